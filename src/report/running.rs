//! How far a run is that another process executes.

use std::path::Path;

use super::layout::Layout;
use crate::ledger::{Counters, LedgerError, LedgerFile, Stage};
use crate::outcome::{Code, Status};
use crate::plan::RowProgress;
use crate::plural::plural;

/// What the ledger of a running run holds. It lags behind the run by the fraction of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoFar {
    stage: Stage,
    rows: u64,
    /// Rows settled, in the order of [`Status::ALL`].
    settled: [u64; Status::ALL.len()],
    /// Rows of which an at-most-once step was sent and has no response yet.
    in_flight: u64,
    requests: Counters,
}

impl SoFar {
    /// What the ledger holds at this moment.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn of(ledger: &LedgerFile) -> Result<Self, LedgerError> {
        let meta = ledger.meta()?;
        let mut so_far = Self {
            stage: meta.stage,
            rows: meta.rows,
            settled: [0; Status::ALL.len()],
            in_flight: 0,
            requests: ledger.counters()?,
        };
        ledger.steps(0, |mut steps| {
            let (mut row, mut behind, mut in_flight) = (0, RowProgress::default(), false);
            while let Some(record) = steps.next_step()? {
                if record.step.row != row {
                    so_far.count(&behind, in_flight);
                    (row, behind, in_flight) = (record.step.row, RowProgress::default(), false);
                }
                behind.record(&record);
                in_flight |= record.outcome.code == Some(Code::Interrupted);
            }
            so_far.count(&behind, in_flight);
            Ok::<_, LedgerError>(())
        })?;
        Ok(so_far)
    }

    fn count(&mut self, behind: &RowProgress, in_flight: bool) {
        if in_flight {
            self.in_flight += 1;
        } else if behind.is_over() {
            self.settled[behind.so_far() as usize] += 1;
        }
    }

    fn rows(&self) -> String {
        let settled: u64 = self.settled.iter().sum();
        let counts = Status::ALL.into_iter().zip(self.settled).filter(|(_, count)| *count > 0);
        let counts: Vec<String> = counts
            .map(|(status, count)| format!("{count} {}", status.as_str().replace('_', " ")))
            .collect();
        let mut text = format!("{settled} of {} settled", self.rows);
        if !counts.is_empty() {
            text.push_str(&format!(": {}", counts.join(", ")));
        }
        if self.in_flight > 0 {
            text.push_str(&format!("; {} sent, no response yet", self.in_flight));
        }
        text
    }

    fn requests(&self) -> String {
        let requests = self.requests;
        format!(
            "{}, {} so far; {} repeated, {} throttled",
            plural(requests.writes(), "write", "writes"),
            plural(requests.read, "read", "reads"),
            requests.retried,
            requests.throttled
        )
    }
}

/// Says that a run is being executed by `holder`, and how far it is; `None` where its ledger does
/// not say that yet.
#[must_use]
pub fn running(run: &Path, holder: &str, so_far: Option<&SoFar>, width: usize) -> String {
    let mut lines = Layout::new(width);
    lines.add_whole("run", &run.display().to_string());
    lines.add_whole("running", &format!("by {holder}"));
    match so_far {
        Some(so_far) if so_far.stage == Stage::Running => {
            lines.add("rows", &so_far.rows());
            lines.add("requests", &so_far.requests());
        }
        _ => lines.add("rows", "still being read and planned; nothing has been sent"),
    }
    lines.add("next", "its reports are written when it ends");
    lines.into_text()
}
