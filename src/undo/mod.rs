//! Undo: determines what a run changed, and reverts it.
//!
//! [`file_effects_of`] reads the input and the ledger of a run side by side, and yields the
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
use crate::history::{RowEffects, each_update};
use crate::input::{Context, Input, InputError};
use crate::ledger::{Completeness, LedgerError, LedgerFile, Snapshot, StepRecord};
use crate::outcome::Status;
use crate::row::{FileId, Update};
use crate::settings::Planning;

/// A run whose effects are determined.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FinishedRun<'r> {
    /// The run's copy of the sheet.
    pub input: &'r Input,
    /// How the run parsed cells and resolved files.
    pub context: &'r Context,
    /// The run's ledger.
    pub ledger: &'r LedgerFile,
    /// How the run planned its requests.
    pub planning: Planning,
    /// Whether its ledger has every request.
    pub completeness: Completeness,
}

impl FinishedRun<'_> {
    fn effects_of<'r>(&self, records: &'r [StepRecord]) -> RowEffects<'r> {
        RowEffects::new(records, self.planning, self.completeness)
    }
}

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

/// Calls `visit` with the effects of the run on each file, in the order of the files' last rows.
///
/// # Errors
/// The input or the ledger cannot be read, or `visit` fails.
pub(crate) fn file_effects_of(
    run: FinishedRun<'_>,
    mut visit: impl FnMut(FileEffects) -> Result<(), UndoError>,
) -> Result<(), UndoError> {
    // Files that have later rows.
    let mut incomplete: HashMap<FileId, FileEffects> = HashMap::new();
    each_update(run.input, run.context, run.ledger, |pos, update, records| {
        let record = run.ledger.file_record(update.file.as_str())?;
        let last_row = record.as_ref().map_or(pos.number, |record| record.last_row);
        let mut effects = incomplete.remove(&update.file).unwrap_or_else(|| {
            let before = match record.map(|record| record.state) {
                Some(Snapshot::Fields(fields)) => Some(*fields),
                Some(Snapshot::Missing | Snapshot::Unread) | None => None,
            };
            FileEffects::new(update.file.clone(), before)
        });
        effects.apply_row(&update.change, run.effects_of(records));
        if last_row > pos.number {
            incomplete.insert(update.file, effects);
        } else if let Some(effects) = effects.finish() {
            visit(effects)?;
        }
        Ok(())
    })
}

/// Calls `visit` for each row of the run that may have changed its file, with the file and a function
/// that computes the row's effect on a given state.
///
/// # Errors
/// The input or the ledger cannot be read, or `visit` fails.
pub(crate) fn replay(
    run: FinishedRun<'_>,
    mut visit: impl FnMut(&FileId, &dyn Fn(FileFields) -> Effect) -> Result<(), UndoError>,
) -> Result<(), UndoError> {
    each_update(run.input, run.context, run.ledger, |_, Update { file, change }, records| {
        let is_recorded = run.completeness == Completeness::Complete || !records.is_empty();
        if is_recorded && records.iter().all(|record| record.outcome.status == Status::Unchanged) {
            return Ok(());
        }
        visit(&file, &|before| {
            let mut effects = FileEffects::new(file.clone(), Some(before));
            effects.apply_row(&change, run.effects_of(records));
            effects.into_effect()
        })
    })
}
