//! The summary of a run, and its exit code.

use std::collections::BTreeMap;

use serde::Serialize;

use super::row::RowResult;
use crate::execute::{EndReason, Stop};
use crate::exit_codes;
use crate::ledger::Counters;
use crate::outcome::{Code, ExtensionStatus, Status};
use crate::spending::{Prices, Runs, Spent};

/// The summary of a run, as in `summary.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// The run directory.
    pub run: String,
    /// The name of the input.
    pub input: String,
    /// Whether the run used the built-in sandbox.
    pub sandbox: bool,
    /// Rows by status.
    pub rows: RowCounts,
    /// Requests by kind, of all sessions: without the reads for planning.
    pub requests: Counters,
    /// The sessions that have sent.
    #[serde(skip)]
    pub sessions: u64,
    /// Extension runs by name and status.
    pub extensions: BTreeMap<String, ExtensionCounts>,
    /// Billed extensions that were run, failed and unknown ones included.
    #[serde(skip_serializing_if = "Billed::is_empty")]
    pub billed: Billed,
    /// Execution time in seconds, summed over all sessions.
    pub seconds: f64,
    /// The program's exit code.
    pub exit_code: u8,
    /// Updated rows that a person must check, such as failed extensions.
    #[serde(skip)]
    pub needs_attention: u64,
    /// Rows whose files are still to be read back.
    #[serde(skip)]
    pub unverified: u64,
    /// Rows with completed steps before the run stopped; a part of the rows not attempted.
    #[serde(skip)]
    pub partially_done: u64,
    /// Rows with one step of unknown outcome and others still to be sent.
    #[serde(skip)]
    pub with_unsent_steps: u64,
    /// Updated rows of which an extension failed.
    #[serde(skip)]
    pub with_failed_extension: u64,
    /// Whether a pending extension needs a decision by a person.
    #[serde(skip)]
    pub fails_on_pending: bool,
}

/// The billed extensions of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Billed {
    /// Runs by extension.
    pub runs: Runs,
    /// Their units, as far as prices are known.
    pub units: u64,
    /// Runs and units for people.
    #[serde(skip)]
    pub description: String,
}

impl Billed {
    /// The extensions that a run spent, at these prices.
    #[must_use]
    pub fn of(spent: &Spent, prices: &Prices) -> Self {
        let runs = spent.total();
        let description = runs.describe(prices).unwrap_or_default();
        Self { units: runs.units(prices), description, runs }
    }

    fn is_empty(&self) -> bool {
        self.description.is_empty()
    }
}

/// Rows by status. The statuses add up to the total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RowCounts {
    /// All rows of the input.
    pub total: u64,
    /// Rows whose requests succeeded.
    pub updated: u64,
    /// Rows that needed no request.
    pub unchanged: u64,
    /// Invalid rows, and rows that ImageKit rejected.
    pub rejected: u64,
    /// Rows whose retries are exhausted.
    pub failed: u64,
    /// Rows with a lost response to an at-most-once request.
    pub unknown: u64,
    /// Rows that were not sent before the run stopped.
    pub not_attempted: u64,
}

/// Runs of one extension by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ExtensionCounts {
    /// Completed.
    pub success: u64,
    /// Without a final status yet.
    pub pending: u64,
    /// Failed; ImageKit gives no reason and does not retry.
    pub failed: u64,
    /// With another status than the documented ones.
    pub unclear: u64,
}

impl RowCounts {
    /// Counts a row with this status.
    pub fn add(&mut self, status: Status) {
        self.total += 1;
        *match status {
            Status::Updated => &mut self.updated,
            Status::Unchanged => &mut self.unchanged,
            Status::Rejected => &mut self.rejected,
            Status::Failed => &mut self.failed,
            Status::Unknown => &mut self.unknown,
            Status::NotAttempted => &mut self.not_attempted,
        } += 1;
    }
}

impl Summary {
    /// Rows for which the run can be resumed.
    #[must_use]
    pub fn rows_left(&self) -> u64 {
        self.rows.not_attempted + self.unverified + self.with_unsent_steps
    }

    /// Extensions without a final status.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.extensions.values().map(|counts| counts.pending).sum()
    }

    /// Rows that can be retried as they are: failed ones, and ones of which an extension failed.
    #[must_use]
    pub fn to_retry(&self) -> u64 {
        self.rows.failed + self.with_failed_extension
    }

    /// Counts a row.
    pub(super) fn add(&mut self, row: &RowResult<'_>) {
        self.rows.add(row.status);
        let needs_attention =
            row.status == Status::Updated && row.code.is_some_and(Code::needs_attention);
        self.needs_attention += u64::from(needs_attention);
        let has_failed_extension = row.status == Status::Updated && row.has_failed_extension;
        self.with_failed_extension += u64::from(has_failed_extension);
        let is_partially_done =
            row.status == Status::NotAttempted && row.code == Some(Code::Partial);
        self.partially_done += u64::from(is_partially_done);
        self.with_unsent_steps += u64::from(row.has_unsent_steps);
        self.unverified += u64::from(needs_attention && row.code == Some(Code::Unverified));
        for (name, status) in &row.extensions {
            let counts = self.extensions.entry(name.clone()).or_default();
            *match status {
                ExtensionStatus::Success => &mut counts.success,
                ExtensionStatus::Pending => &mut counts.pending,
                ExtensionStatus::Failed => &mut counts.failed,
                ExtensionStatus::Unclear => &mut counts.unclear,
            } += 1;
        }
    }
}

/// The exit code of a run: the first that applies. Rows not attempted come before rows that need
/// fixing, because resuming may still settle them.
#[must_use]
pub(crate) fn exit_code(summary: &Summary, ending: &EndReason) -> u8 {
    let rows = summary.rows;
    match ending {
        EndReason::Ledger | EndReason::Responses | EndReason::Input(_) => exit_codes::NOT_WRITTEN,
        EndReason::Aborted(_) => exit_codes::ABORTED,
        EndReason::Stopped(signal @ (Stop::Hangup | Stop::Interrupt | Stop::Terminate)) => {
            signal.exit_code()
        }
        _ if rows.unknown > 0 => exit_codes::UNKNOWN,
        _ if rows.not_attempted > 0 => exit_codes::INCOMPLETE,
        _ if rows.rejected > 0 || summary.needs_attention > 0 => exit_codes::NEEDS_FIXING,
        _ if summary.fails_on_pending && summary.pending() > 0 => exit_codes::NEEDS_FIXING,
        _ if rows.failed > 0 => exit_codes::INCOMPLETE,
        EndReason::Done | EndReason::Stopped(Stop::Deadline) => exit_codes::DONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_severe_reason_decides_exit_code() {
        let code = |rows, needs_attention, ending: &EndReason| {
            let summary = Summary { rows, needs_attention, ..Summary::default() };
            exit_code(&summary, ending)
        };
        let mut rows = RowCounts {
            rejected: 1,
            failed: 1,
            unknown: 1,
            not_attempted: 1,
            ..RowCounts::default()
        };
        assert_eq!(code(rows, 1, &EndReason::Ledger), 4);
        assert_eq!(code(rows, 1, &EndReason::Stopped(Stop::Interrupt)), 130);
        assert_eq!(code(rows, 1, &EndReason::Stopped(Stop::Deadline)), 6);
        rows.unknown = 0;
        assert_eq!(code(rows, 1, &EndReason::Done), 5);
        rows.not_attempted = 0;
        assert_eq!(code(rows, 0, &EndReason::Done), 1);
        rows.rejected = 0;
        assert_eq!(code(rows, 1, &EndReason::Done), 1);
        assert_eq!(code(rows, 0, &EndReason::Done), 5);
        rows.failed = 0;
        assert_eq!(code(rows, 0, &EndReason::Done), 0);
    }
}
