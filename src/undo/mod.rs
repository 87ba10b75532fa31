//! Undo: determines what a run changed, and reverts it.
//!
//! [`file_effects_of`] goes through the record of a run, and yields the
//! [`FileEffects`] of every file that the run changed or may have changed. [`FileEffects::reversal`]
//! compares them with the file's current state, and decides which values to restore and which to
//! skip. The values to restore form a sheet like any other, which the diff planner executes.
//! [`replay`] computes the effect of each row on its file, to detect stale listings.

mod file_effects;
mod reversal;
mod undo_sheets;

use std::collections::HashMap;

pub(crate) use file_effects::{Effect, FileEffects};
pub use reversal::SkipReason;
pub(crate) use reversal::{Reversal, Skipped};
pub(crate) use undo_sheets::UndoSheets;
pub use undo_sheets::UndoSummary;

use crate::file_fields::FileFields;
use crate::history::{RowEffects, RunRecord};
use crate::input::InputError;
use crate::ledger::{Completeness, LedgerError, Snapshot};
use crate::outcome::Status;
use crate::row::{FileId, Update};

/// Reason why a run cannot be undone.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// The run's copy of the sheet cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A ledger cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The sheet of values to restore, or the list of skipped fields, cannot be written.
    #[error("cannot write the values to restore")]
    Write(#[from] std::io::Error),
}

/// Calls `visit` with the effects of the run on each file, in the order of the files' last rows. Files whose
/// last row was rejected come after the others.
///
/// # Errors
/// The input or the ledger cannot be read, or `visit` fails.
pub(crate) fn file_effects_of(
    run: RunRecord<'_>,
    mut visit: impl FnMut(FileEffects) -> Result<(), UndoError>,
) -> Result<(), UndoError> {
    let completeness = run.ledger.completeness()?;
    // Files that have later rows.
    let mut incomplete: HashMap<FileId, FileEffects> = HashMap::new();
    run.each_update(|pos, update, records| {
        let record = run.ledger.file_record(update.file.as_str())?;
        let last_row = record.as_ref().map_or(pos.number, |record| record.last_row);
        let mut effects = incomplete.remove(&update.file).unwrap_or_else(|| {
            let before = match record.map(|record| record.state) {
                Some(Snapshot::Fields(fields)) => Some(*fields),
                Some(Snapshot::Missing | Snapshot::Unread) | None => None,
            };
            FileEffects::new(update.file.clone(), before)
        });
        let of_row = RowEffects::new(records, run.meta.planning, completeness);
        effects.apply_row(&update.change, of_row);
        if last_row > pos.number {
            incomplete.insert(update.file, effects);
        } else if let Some(effects) = effects.finish() {
            visit(effects)?;
        }
        Ok::<_, UndoError>(())
    })?;
    let mut rest: Vec<_> = incomplete.into_values().collect();
    rest.sort_unstable_by(|one, other| one.file.as_str().cmp(other.file.as_str()));
    rest.into_iter().filter_map(FileEffects::finish).try_for_each(visit)
}

/// Calls `visit` for each row of the run that may have changed its file, with the file and a function
/// that computes the row's effect on a given state.
///
/// # Errors
/// The input or the ledger cannot be read, or `visit` fails.
pub(crate) fn replay(
    run: RunRecord<'_>,
    mut visit: impl FnMut(&FileId, &dyn Fn(FileFields) -> Effect) -> Result<(), UndoError>,
) -> Result<(), UndoError> {
    let completeness = run.ledger.completeness()?;
    run.each_update(|_, Update { file, change }, records| {
        let is_recorded = completeness == Completeness::Complete || !records.is_empty();
        if is_recorded && records.iter().all(|record| record.outcome.status == Status::Unchanged) {
            return Ok(());
        }
        visit(&file, &|before| {
            let mut effects = FileEffects::new(file.clone(), Some(before));
            effects.apply_row(&change, RowEffects::new(records, run.meta.planning, completeness));
            effects.into_effect()
        })
    })
}
