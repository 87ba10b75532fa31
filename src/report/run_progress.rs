//! The progress of a run that another process executes.

use std::path::Path;

use super::layout::Layout;
use crate::ledger::{Counters, LedgerError, LedgerFile, Stage};
use crate::outcome::{Code, Status};
use crate::plan::RowProgress;
use crate::plural::{plural, thousands};

/// The progress of a running run in its ledger, which lags behind by a fraction of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunProgress {
    stage: Stage,
    rows: u64,
    /// Settled rows by status, in the order of [`Status::ALL`].
    settled: [u64; Status::ALL.len()],
    /// Rows with an at-most-once step in flight.
    in_flight: u64,
    requests: Counters,
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

    fn rows(&self) -> String {
        let settled: u64 = self.settled.iter().sum();
        let counts = Status::ALL.into_iter().zip(self.settled).filter(|(_, count)| *count > 0);
        let counts: Vec<String> = counts
            .map(|(status, count)| {
                format!("{} {}", thousands(count), status.as_str().replace('_', " "))
            })
            .collect();
        let mut text = format!("{} of {} settled", thousands(settled), thousands(self.rows));
        if !counts.is_empty() {
            text.push_str(&format!(": {}", counts.join(", ")));
        }
        if self.in_flight > 0 {
            text.push_str(&format!("; {} in flight", thousands(self.in_flight)));
        }
        text
    }

    fn requests(&self) -> String {
        let requests = self.requests;
        format!(
            "{}, {} so far; {} retried, {} throttled",
            plural(requests.writes(), "write", "writes"),
            plural(requests.read, "read", "reads"),
            requests.retried,
            requests.throttled
        )
    }
}

/// Renders which process executes a run and its progress; `None` if the ledger does not have it
/// yet.
#[must_use]
pub fn render_progress(
    run: &Path,
    holder: &str,
    progress: Option<&RunProgress>,
    width: usize,
) -> String {
    let mut lines = Layout::new(width);
    lines.add_unwrapped("run", &run.display().to_string());
    lines.add_unwrapped("running", &format!("by {holder}"));
    match progress {
        Some(progress) if progress.stage == Stage::Running => {
            lines.add("rows", &progress.rows());
            lines.add("requests", &progress.requests());
        }
        _ => lines.add("rows", "planning; nothing has been sent"),
    }
    lines.add("next", "the run writes its reports when it ends");
    lines.into_text()
}
