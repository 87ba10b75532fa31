//! What a session that ended all at once may have left under way.
//!
//! The requests themselves are known to nobody any more, but they are of rows behind the low-water
//! mark, and no further behind it than a session can be ahead of its ledger.

use std::collections::HashSet;

use crate::execute::ROWS_MAX;
use crate::input::{Context, Input};
use crate::ledger::{LedgerFile, UNWRITTEN_MAX};
use crate::outcome::Code;
use crate::plan::PlanError;
use crate::row::{FileId, RowPos};

/// How far a row that is under way can be behind the low-water mark on disk: a window, and as many
/// rows as may be settled without being written down.
const ROWS_BEHIND_MAX: u64 = (ROWS_MAX + UNWRITTEN_MAX) as u64;

/// Writes down for each file of those rows that a request on it may yet take effect, so that it is
/// read back if a later row of it is accepted.
pub(super) fn mark_lost(
    input: &Input,
    context: &Context,
    ledger: &LedgerFile,
) -> Result<(), PlanError> {
    let from = ledger.low_water()?;
    let first = from.map_or(0, |pos: RowPos| pos.number);
    let answered = answered(ledger, first)?;
    let mut records = input.records(context.files.as_ref())?;
    let mut rows = Vec::new();
    while let Some(pos) = records.advance()? {
        if pos.number >= first.saturating_add(ROWS_BEHIND_MAX) {
            break;
        }
        if pos.number >= first
            && !answered.contains(&pos.number)
            && let Ok(file) = FileId::new(&records.file_id())
        {
            rows.push((file, pos.number));
        }
    }
    Ok(ledger.mark_lost(&rows)?)
}

/// The rows from one on of which every request that went out has been answered.
fn answered(ledger: &LedgerFile, from: u64) -> Result<HashSet<u64>, PlanError> {
    let mut rows = HashSet::new();
    ledger.steps(from, |mut steps| {
        while let Some(record) = steps.next_step()? {
            let is_known = record.outcome.code != Some(Code::Interrupted);
            if record.row_done && is_known {
                rows.insert(record.step.row);
            }
        }
        Ok::<_, PlanError>(())
    })?;
    Ok(rows)
}
