//! The progress of a run that another process executes.

use crate::ledger::{Counters, LedgerError, LedgerFile, Stage};
use crate::outcome::{Code, Status};
use crate::plan::RowProgress;

/// The progress of a running run in its ledger, which lags behind by a fraction of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunProgress {
    /// Progress of the run through planning and sending.
    pub stage: Stage,
    /// All rows of the run.
    pub rows: u64,
    /// Settled rows by status, in the order of [`Status::ALL`].
    pub settled: [u64; Status::ALL.len()],
    /// Rows with an at-most-once step in flight.
    pub in_flight: u64,
    /// Requests sent so far.
    pub requests: Counters,
}

impl RunProgress {
    /// Reads the progress from the ledger.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn from_ledger(ledger: &LedgerFile) -> Result<Self, LedgerError> {
        let meta = ledger.meta()?;
        let mut progress = Self {
            stage: meta.stage,
            rows: meta.rows,
            settled: [0; Status::ALL.len()],
            in_flight: 0,
            requests: ledger.counters()?,
        };
        ledger.steps(0, |mut steps| {
            let (mut row, mut row_progress, mut in_flight) = (0, RowProgress::default(), false);
            while let Some(record) = steps.next_step()? {
                if record.step.row != row {
                    progress.count(&row_progress, in_flight);
                    (row, row_progress, in_flight) =
                        (record.step.row, RowProgress::default(), false);
                }
                row_progress.record(&record);
                in_flight |= record.outcome.code == Some(Code::Interrupted);
            }
            progress.count(&row_progress, in_flight);
            Ok::<_, LedgerError>(())
        })?;
        Ok(progress)
    }

    fn count(&mut self, row_progress: &RowProgress, in_flight: bool) {
        if in_flight {
            self.in_flight += 1;
        } else if row_progress.is_finished() {
            self.settled[row_progress.worst_status() as usize] += 1;
        }
    }
}
