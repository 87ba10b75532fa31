//! The progress of a run according to its ledger.

use crate::ledger::{Counters, LedgerError, LedgerFile, Stage, StepRecord};
use crate::outcome::{Code, Status};
use crate::plan::RowProgress;

/// The progress of a run in its ledger. If another process executes the run, it lags behind by a
/// fraction of a second.
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
    /// The rows in flight that have nothing left to send once their responses are lost.
    pub(super) lost_if_interrupted: u64,
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
            lost_if_interrupted: 0,
            requests: ledger.counters()?,
        };
        ledger.steps(0, |mut all| {
            let mut steps = Vec::new();
            while all.next_row(&mut steps)? {
                progress.count(&steps);
            }
            Ok::<_, LedgerError>(())
        })?;
        Ok(progress)
    }

    fn count(&mut self, steps: &[StepRecord]) {
        let mut row = RowProgress::default();
        for step in steps {
            row.record(step);
        }
        let is_finished = u64::from(row.is_finished());
        if steps.iter().any(|step| step.outcome.code == Some(Code::Interrupted)) {
            self.in_flight += 1;
            self.lost_if_interrupted += is_finished;
        } else {
            self.settled[row.worst_status() as usize] += is_finished;
        }
    }

    /// Settled rows by status for a session that resumes an interrupted run: the responses to
    /// what was in flight are lost.
    #[must_use]
    pub(crate) fn settled_before_session(&self) -> [u64; Status::ALL.len()] {
        let mut settled = self.settled;
        settled[Status::Unknown as usize] += self.lost_if_interrupted;
        settled
    }
}
