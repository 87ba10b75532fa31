//! Taking a run back: what it did to each file, and what puts back what was there before.
//!
//! [`file_effects_of`] goes through a run's input and ledger side by side and gives a [`FileEffects`] for every file
//! that the run changed, or may have changed. Compared with what the file is like now,
//! [`FileEffects::reversal`] says which values are put back and which are left alone. The values put back are
//! a sheet like any other, for the live planner to carry out. [`replay`] says of each row what it
//! made of its file, so that it can be told whether a list shows it already.

mod file_effects;
mod reversal;
mod sheets;

use std::collections::HashMap;

pub use file_effects::{Effect, FileEffects, Irreversible};
pub use reversal::{Reversal, SkipReason, Skipped};
pub use sheets::{Sheets, UndoSummary};

use crate::imagekit::FileFields;
use crate::input::{Context, Input, InputError};
use crate::ledger::{LedgerError, LedgerFile, Snapshot, StepRecord};
use crate::outcome::Status;
use crate::row::{Content, FileId, Update};
use crate::settings::Planning;

/// A run to be taken back.
#[derive(Debug, Clone, Copy)]
pub struct FinishedRun<'p> {
    /// Its input.
    pub input: &'p Input,
    /// What its cells were read with.
    pub context: &'p Context,
    /// Its ledger.
    pub ledger: &'p LedgerFile,
    /// How its rows became requests.
    pub planning: Planning,
    /// Whether it was cut short, so that requests may have been done of which its ledger knows
    /// nothing.
    pub is_cut_short: bool,
}

/// Why it cannot be said what a run did.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// Its input cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A ledger cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What puts it back cannot be written.
    #[error("cannot write what is to be put back")]
    Write(#[from] std::io::Error),
}

/// What the run did, file by file, into a function; in the order of the last row of each file.
///
/// # Errors
/// Input or ledger cannot be read, or the function fails.
pub fn file_effects_of(
    past: FinishedRun<'_>,
    mut take: impl FnMut(FileEffects) -> Result<(), UndoError>,
) -> Result<(), UndoError> {
    // Files that later rows name as well.
    let mut waiting: HashMap<FileId, FileEffects> = HashMap::new();
    each_row(past, |row, update, records| {
        let known = past.ledger.file_record(update.file.as_str())?;
        let last_row = known.as_ref().map_or(row, |known| known.last_row);
        let mut file_effects = waiting.remove(&update.file).unwrap_or_else(|| {
            let before = match known.map(|known| known.state) {
                Some(Snapshot::Fields(fields)) => Some(*fields),
                Some(Snapshot::Missing | Snapshot::Unread) | None => None,
            };
            FileEffects::new(update.file.clone(), before)
        });
        file_effects.row(&update.change, records, past.planning, past.is_cut_short);
        if last_row > row {
            waiting.insert(update.file, file_effects);
        } else if let Some(file_effects) = file_effects.ended() {
            take(file_effects)?;
        }
        Ok(())
    })
}

/// What the run did, row by row, into a function: the file of the row, and what the row makes of it,
/// whatever it was like before.
///
/// # Errors
/// Input or ledger cannot be read, or the function fails.
pub fn replay(
    past: FinishedRun<'_>,
    mut take: impl FnMut(&FileId, &dyn Fn(FileFields) -> Effect) -> Result<(), UndoError>,
) -> Result<(), UndoError> {
    each_row(past, |_, Update { file, change }, records| {
        let is_known = !past.is_cut_short || !records.is_empty();
        if is_known && records.iter().all(|record| record.outcome.status == Status::Unchanged) {
            return Ok(());
        }
        take(&file, &|before| {
            let mut file_effects = FileEffects::new(file.clone(), Some(before));
            file_effects.row(&change, records, past.planning, past.is_cut_short);
            file_effects.made()
        })
    })
}

/// Every row that asks for a change, and what the ledger knows of it, into a function.
fn each_row(
    past: FinishedRun<'_>,
    mut take: impl FnMut(u64, Update, &[StepRecord]) -> Result<(), UndoError>,
) -> Result<(), UndoError> {
    let mut rows = past.input.rows(past.context, None)?;
    let mut records = Vec::new();
    past.ledger.steps(0, |mut steps| {
        while let Some((row, _)) = rows.next_row()? {
            let Content::Update(update) = row.content else {
                continue;
            };
            if !update.change.is_empty() {
                steps.of_row(row.pos.number, &mut records)?;
                take(row.pos.number, *update, &records)?;
            }
        }
        Ok(())
    })
}
