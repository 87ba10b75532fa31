//! Rows whose requests may still take effect after a crash.
//!
//! The ledger does not record which idempotent requests were in flight. Their rows start at the
//! low-water mark, and a session is ahead of its ledger by at most `IN_FLIGHT_ROWS_MAX` rows.

use std::collections::HashSet;

use crate::execute::ROWS_MAX;
use crate::input::{Context, Input};
use crate::ledger::{LedgerFile, UNWRITTEN_MAX};
use crate::outcome::Code;
use crate::plan::PlanError;
use crate::row::{FileId, RowPos};

/// Maximum number of rows after the low-water mark on disk that can have a request in flight: the
/// window of the dispatcher, plus the rows whose outcomes the ledger has not written yet.
const IN_FLIGHT_ROWS_MAX: u64 = (ROWS_MAX + UNWRITTEN_MAX) as u64;

/// Marks the files of these rows as having lost a response, so that they are read back if a later row
/// of the same file is accepted.
pub(super) fn mark_lost(
    input: &Input,
    context: &Context,
    ledger: &LedgerFile,
) -> Result<(), PlanError> {
    let from = ledger.low_water()?;
    let first = from.map_or(0, |pos: RowPos| pos.number);
    let completed = completed_rows(ledger, first)?;
    let mut records = input.records(context)?;
    let mut rows = Vec::new();
    while let Some(pos) = records.advance()? {
        if pos.number >= first.saturating_add(IN_FLIGHT_ROWS_MAX) {
            break;
        }
        if pos.number >= first
            && !completed.contains(&pos.number)
            && let Ok(file) = FileId::new(&records.file_id())
        {
            rows.push((file, pos.number));
        }
    }
    Ok(ledger.mark_lost(&rows)?)
}

/// The rows, starting at `from`, for which every request that was sent got a response.
fn completed_rows(ledger: &LedgerFile, from: u64) -> Result<HashSet<u64>, PlanError> {
    let mut rows = HashSet::new();
    ledger.steps(from, |mut steps| {
        while let Some(record) = steps.next_step()? {
            let was_interrupted = record.outcome.code == Some(Code::Interrupted);
            if record.row_done && !was_interrupted {
                rows.insert(record.step.row);
            }
        }
        Ok::<_, PlanError>(())
    })?;
    Ok(rows)
}
