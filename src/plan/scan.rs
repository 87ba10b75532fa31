//! Reads a whole input before anything of it is sent.

use std::collections::BTreeSet;

use super::direct::{fingerprint, steps};
use super::{Batch, PlanSummary, Planner, Recorded, RowLimit};
use crate::input::{Context, Input, InputError, PriorRun};
use crate::ledger::LedgerError;
use crate::request::Call;
use crate::row::{Content, Row, Target};

/// What an input holds.
#[derive(Debug, Clone, Default)]
pub struct InputSummary {
    /// Its rows and what they ask for.
    pub summary: PlanSummary,
    /// Columns that are not read.
    pub ignored_columns: Vec<String>,
    /// Empty cells that leave their field alone.
    pub empty_cells: u64,
    /// The first row that an earlier run left `unknown` and that still asks for what must not be
    /// repeated.
    pub first_unknown: Option<UnknownRow>,
    /// The files that are named by where they are and have not been looked up yet.
    pub to_look_up: BTreeSet<Target>,
}

/// A row that may have been done, and that would be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownRow {
    /// Its number.
    pub row: u64,
    /// What of it must not be repeated, for people: its columns, and the extensions by name.
    pub once: String,
}

impl UnknownRow {
    /// If the row was left `unknown` and asks for what must not be repeated. What was done for
    /// certain is not sent again.
    fn of(row: &Row, fed_back: &PriorRun) -> Option<Self> {
        let Content::Update(update) = &row.content else { return None };
        if !fed_back.unknown {
            return None;
        }
        let steps = steps(update.change.clone()).into_iter().flatten();
        let left = steps.filter(|(_, call)| {
            fed_back.done.is_empty() || !fed_back.done.contains(&fingerprint(&update.file, call))
        });
        let once: Vec<String> = left.filter_map(|(_, call)| at_most_once(&call)).collect();
        (!once.is_empty()).then(|| Self { row: row.pos.number, once: once.join(" and ") })
    }
}

/// What of a call must not be repeated, by its column.
fn at_most_once(call: &Call) -> Option<String> {
    match call {
        Call::Details(patch) => {
            let extensions = patch.extensions.as_ref()?.as_slice().iter();
            let names: Vec<&str> = extensions.map(|extension| extension.name().as_str()).collect();
            Some(format!("extensions ({})", names.join(", ")))
        }
        Call::Publish(_) => Some("isPublished".to_owned()),
        Call::AddTags(_) | Call::RemoveTags(_) | Call::ReadBack(_) => None,
    }
}

/// Why an input cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// It cannot be read, or is damaged in a way that is not one row's.
    #[error(transparent)]
    Input(#[from] InputError),
    /// What is known of its files cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Reads and plans every row; shows what comes of it as it comes.
///
/// # Errors
/// The input cannot be read, is damaged in a way that is not one row's, or what is known of its
/// files cannot be read.
pub fn scan(
    input: &Input,
    context: &Context,
    planner: &mut Planner,
    rows_max: Option<u64>,
    see: impl FnMut(&Batch),
) -> Result<InputSummary, PlanError> {
    scan_rest(input, context, planner, &Recorded::default(), rows_max, see)
}

/// The same for what is left of a run.
///
/// # Errors
/// The same.
pub fn scan_rest(
    input: &Input,
    context: &Context,
    planner: &mut Planner,
    recorded: &Recorded,
    rows_max: Option<u64>,
    mut see: impl FnMut(&Batch),
) -> Result<InputSummary, PlanError> {
    let mut rows = input.rows(context, recorded.from())?;
    let mut scan = InputSummary::default();
    let mut batch = Batch::default();
    let mut limit = RowLimit::new(rows_max);
    while !limit.is_reached()
        && let Some((row, fed_back)) = rows.next_row()?
    {
        if scan.first_unknown.is_none() {
            scan.first_unknown = UnknownRow::of(&row, &fed_back);
        }
        match row.content {
            Content::Unresolved(unresolved) => {
                scan.summary.add_unresolved(unresolved.change);
                scan.to_look_up.insert(unresolved.target);
                continue;
            }
            Content::Rejected(ref rejection) => {
                scan.to_look_up.extend(rejection.target().cloned());
            }
            Content::Update(_) | Content::Blank => {}
        }
        let behind = recorded.row(row.pos.number)?.with_prior_run(fed_back.done);
        limit.count(&row, &behind);
        planner.row(row, &behind, &mut batch)?;
        scan.summary.add(&batch);
        see(&batch);
        batch.rows.clear();
        batch.requests.clear();
        batch.differences.clear();
        batch.lost_tags.clear();
        batch.changed_files = 0;
        batch.columns.clear();
    }
    planner.end(&mut batch)?;
    scan.summary.add(&batch);
    see(&batch);
    scan.empty_cells = rows.empty_cells();
    scan.ignored_columns = rows.ignored_columns().to_vec();
    Ok(scan)
}
