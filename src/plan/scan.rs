//! Reads and plans the whole input before anything is sent.

use std::collections::BTreeSet;

use super::duplicates::{FilesOfSheet, SheetValues};
use super::rows_to_plan::{ReadRow, RowsToPlan};
use super::steps::{RowSteps, fingerprint};
use super::{
    Batch, Disagreement, PlanSummary, Planner, PriorRunsError, Recorded, Returned, RowProgress,
};
use crate::input::{AmbiguousNull, Context, Input, InputError};
use crate::ledger::LedgerError;
use crate::request::Call;
use crate::row::{Content, Row, RowPos, Target};

/// The result of a scan.
#[derive(Debug, Clone, Default)]
pub struct InputSummary {
    /// Counts of rows and planned requests.
    pub summary: PlanSummary,
    /// The worksheet that was read, of a workbook.
    pub worksheet: Option<String>,
    /// Columns that are ignored.
    pub ignored_columns: Vec<String>,
    /// Number of empty cells, which leave their fields unchanged.
    pub empty_cells: u64,
    /// The first row whose outcome in an earlier run is `unknown` and that would send an
    /// at-most-once step again.
    pub first_unknown: Option<UnknownRow>,
    /// Rejected rows that are valid if their files hold the words for which they are rejected. 0 after
    /// a comparison with the library.
    pub undecided: u64,
    /// JSON keys whose null may mean "no value" as well as "clear".
    pub ambiguous_nulls: Vec<AmbiguousNull>,
    /// Paths and URLs that are not resolved yet.
    pub to_look_up: BTreeSet<Target>,
    /// Whether certainly no file is in several rows. Only the direct planner tells, and only if all rows
    /// are read and none is rejected.
    pub names_files_once: bool,
}

impl InputSummary {
    /// Counts a row, and returns it if it can be planned.
    fn count(&mut self, row: Row, progress: &RowProgress, planner: &Planner) -> Option<Row> {
        if self.first_unknown.is_none() {
            self.first_unknown = UnknownRow::of(&row, progress);
        }
        match row.content {
            Content::Unresolved(mut unresolved) => {
                self.summary.add_change(&unresolved.change);
                self.summary.add_unresolved(&mut unresolved.change);
                self.to_look_up.insert(unresolved.target);
                return None;
            }
            Content::Rejected(ref rejection) => {
                self.to_look_up.extend(rejection.target().cloned());
                let is_undecided = rejection.unless_held().is_some() && !planner.reorders_rows();
                self.undecided += u64::from(is_undecided);
            }
            Content::Update(ref update) => self.summary.add_change(&update.change),
            Content::Blank => {}
        }
        Some(row)
    }
}

/// A row with an unknown outcome that would be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownRow {
    /// Row number.
    pub row: u64,
    /// Its at-most-once steps for messages: columns, with the names of extensions.
    pub at_most_once: String,
}

impl UnknownRow {
    /// `Some` if the outcome of the row is `unknown` and it has at-most-once steps that are not
    /// done.
    fn of(row: &Row, progress: &RowProgress) -> Option<Self> {
        let Content::Update(update) = &row.content else { return None };
        if progress.returned != Returned::AsUnknown {
            return None;
        }
        let done = &progress.fingerprints;
        let remaining = RowSteps::of(&update.change).filter(|(_, call)| {
            done.is_empty() || !done.contains(&fingerprint(&update.file, call))
        });
        let at_most_once: Vec<String> =
            remaining.filter_map(|(_, call)| at_most_once_column(&call)).collect();
        (!at_most_once.is_empty())
            .then(|| Self { row: row.pos.number, at_most_once: at_most_once.join(" and ") })
    }
}

/// The column of an at-most-once step; `None` for an idempotent one.
fn at_most_once_column(call: &Call) -> Option<String> {
    match call {
        Call::Details(patch) => {
            let extensions = patch.extensions.as_ref()?.as_slice().iter();
            let names: Vec<&str> = extensions.map(|extension| extension.name().as_str()).collect();
            Some(format!("extensions ({})", names.join(", ")))
        }
        Call::Publish(_) => Some("isPublished".to_owned()),
        Call::AddTags(_) | Call::RemoveTags(_) | Call::RemoveAiTags(_) | Call::ReadBack(_) => None,
    }
}

/// Why an input cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The input cannot be read, or is damaged beyond a single row.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The snapshot cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The charges of earlier runs cannot be read.
    #[error(
        "the charges of earlier runs cannot be read, and without them extensions could be charged again"
    )]
    PriorRuns(#[source] PriorRunsError),
}

/// Reads and plans every row; passes each batch to `on_batch`.
///
/// # Errors
/// The input or the snapshot cannot be read, or the input is damaged beyond a single row.
pub(crate) fn scan(
    input: &Input,
    context: &Context,
    planner: &mut Planner,
    rows_max: Option<u64>,
    on_batch: impl FnMut(&Batch),
) -> Result<InputSummary, PlanError> {
    scan_rest(input, context, planner, &Recorded::default(), rows_max, on_batch)
}

/// Like [`scan`] with a direct planner, for a sheet that is read for the first time: rows with
/// findings that are held are rejected, and recorded so in the rules.
///
/// # Errors
/// As for [`scan`].
pub(crate) fn scan_first(
    input: &Input,
    context: &mut Context,
    examples: usize,
) -> Result<InputSummary, PlanError> {
    let read = |context: &Context| {
        let mut planner = Planner::direct();
        planner.preview(examples);
        scan(input, context, &mut planner, None, |_| {})
    };
    let summary = read(context)?;
    if context.rules.hold(&summary.summary.findings) { read(context) } else { Ok(summary) }
}

/// Like [`scan`], without the steps that are already recorded.
///
/// # Errors
/// As for [`scan`].
pub(crate) fn scan_rest(
    input: &Input,
    context: &Context,
    planner: &mut Planner,
    recorded: &Recorded,
    rows_max: Option<u64>,
    mut on_batch: impl FnMut(&Batch),
) -> Result<InputSummary, PlanError> {
    let mut reader = RowsToPlan::open(input, context, recorded, rows_max)?;
    reader.count_findings();
    planner.name_columns(reader.rows().header_names());
    let mut scan = InputSummary::default();
    let mut batch = Batch::default();
    let mut last_row = 0;
    while let Some(rows) = reader.read(planner)? {
        for ReadRow { row, file_of_invalid, progress } in rows {
            last_row = row.pos.number;
            if let Some(row) = scan.count(row, &progress, planner) {
                planner.row(row, file_of_invalid, &progress, &mut batch)?;
            }
        }
        scan.summary.add(&batch);
        on_batch(&batch);
        batch.start_again();
    }
    let reads_all = recorded.from().is_none() && !reader.is_limit_reached();
    if reads_all {
        reader.rows().check_mapped_keys()?;
    }
    planner.end(&mut batch)?;
    let files = planner.take_files();
    let are_files_single = files.are_all_single();
    if files.has_repeated() {
        batch.disagreements = disagreements(input, context, files, recorded.from(), last_row)?;
    }
    scan.summary.add(&batch);
    scan.summary.columns.add_all(&batch.columns);
    scan.summary.invalid.finish(input, context)?;
    on_batch(&batch);
    let PlanSummary { rejected, unresolved, .. } = scan.summary;
    scan.names_files_once = reads_all && are_files_single && rejected + unresolved == 0;
    let rows = reader.rows();
    scan.empty_cells = rows.empty_cells();
    scan.summary.findings = rows.findings();
    scan.ambiguous_nulls = rows.ambiguous_nulls();
    scan.worksheet.clone_from(&input.options.worksheet);
    scan.ignored_columns = rows.ignored_columns().to_vec();
    Ok(scan)
}

/// The files whose rows ask for different values, in the order of the rows that win. The rows up to
/// `last_row` are read again, so that only the values of files in several rows are held.
fn disagreements(
    input: &Input,
    context: &Context,
    files: FilesOfSheet,
    from: Option<RowPos>,
    last_row: u64,
) -> Result<Vec<Disagreement>, InputError> {
    let mut values = SheetValues::of(files);
    let mut rows = input.rows(context, from)?;
    let mut read_to = 0;
    while read_to < last_row
        && let Some((row, _)) = rows.next_row()?
    {
        read_to = row.pos.number;
        if let Content::Update(update) = row.content {
            values.add(row.pos.number, update);
        }
    }
    Ok(values.disagreements(context.rules.duplicates))
}
