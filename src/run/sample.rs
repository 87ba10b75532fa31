//! Which rows of accepted bulk calls are read back.

use std::collections::BTreeSet;

use fastrand::Rng;

use crate::ledger::{Counters, LedgerError, LedgerFile};
use crate::outcome::Code;
use crate::request::StepKind;

/// Maximum rows in a sample, however many of them miss their change.
const ROWS_MAX: usize = 1000;
/// The first bulk calls, for each of which the sample has a row, as far as the run has enough rows: one
/// call can report success for files that it did not change, and the others be right.
const FIRST_CALLS: u64 = 16;
/// Bulk calls for each row of the sample after the first, however few rows they had.
const CALLS_PER_ROW: u64 = 128;
/// A confirmed miss widens the sample by this factor.
const WIDENED: usize = 10;

/// A sample of the rows of a session, determined by its seed.
pub(super) struct Sample {
    rng: Rng,
    rows: BTreeSet<u64>,
    /// Rows to add next, at most.
    size: usize,
    /// Rows to add next, however few rows the bulk calls had.
    few: usize,
}

impl Sample {
    /// The sample of a session that sent these requests; empty if it sent no bulk call.
    pub(super) fn new(seed: u64, sent: Counters) -> Self {
        let calls = sent.bulk_calls();
        let few = if calls == 0 { 0 } else { 1 + calls / CALLS_PER_ROW };
        let rows = |count: u64| usize::try_from(count).unwrap_or(ROWS_MAX).min(ROWS_MAX);
        let (few, size) = (rows(few), rows(few.max(calls.min(FIRST_CALLS))));
        Self { rng: Rng::with_seed(seed), rows: BTreeSet::new(), size, few }
    }

    /// The next rows to read back; none if no bulk call was sent.
    pub(super) fn next(&mut self, ledger: &LedgerFile) -> Result<BTreeSet<u64>, LedgerError> {
        if self.size == 0 {
            return Ok(BTreeSet::new());
        }
        let rows = ledger.sample_of_bulk_rows(self.size, self.few, &self.rows, &mut self.rng)?;
        self.rows.extend(&rows);
        Ok(rows)
    }

    /// Widens the sample if one of these rows misses its change for certain; returns whether it did.
    pub(super) fn widen(
        &mut self,
        ledger: &LedgerFile,
        missed: &BTreeSet<u64>,
    ) -> Result<bool, LedgerError> {
        let mut is_confirmed = false;
        for row in missed {
            let steps = ledger.steps_of_row(*row)?;
            is_confirmed |= steps.iter().any(|step| {
                step.step.kind == StepKind::ReadBack && step.outcome.code == Some(Code::Mismatch)
            });
        }
        self.size =
            (self.rows.len().max(1) * WIDENED).min(ROWS_MAX.saturating_sub(self.rows.len()));
        self.few = self.size;
        Ok(is_confirmed && self.size > 0)
    }
}
