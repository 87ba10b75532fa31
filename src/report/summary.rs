//! The run in numbers, and what they come to for who called the program.

use std::collections::BTreeMap;

use serde::Serialize;

use super::row::RowResult;
use crate::execute::{EndReason, Stop};
use crate::ledger::Counters;
use crate::outcome::{Code, ExtensionStatus, Status};

/// `summary.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// The run directory.
    pub run: String,
    /// The input's name.
    pub input: String,
    /// Whether it ran against the built-in sandbox.
    pub sandbox: bool,
    /// Rows by status.
    pub rows: RowCounts,
    /// Requests by kind.
    pub requests: Counters,
    /// What ImageKit said of the extensions that were run.
    pub extensions: BTreeMap<String, ExtensionCounts>,
    /// For how long it was executed, in seconds, over all sessions.
    pub seconds: f64,
    /// The program's exit code.
    pub exit_code: u8,
    /// Rows that a person must look at although they are in no bad status.
    #[serde(skip)]
    pub to_mend: u64,
    /// Rows whose files are still to be read back.
    #[serde(skip)]
    pub unverified: u64,
    /// Rows of which a part was done before the run stopped: some of those that were not attempted.
    #[serde(skip)]
    pub begun: u64,
    /// Rows with a step of unknown outcome of which other steps are still to be sent.
    #[serde(skip)]
    pub owed: u64,
    /// Rows for which nothing is to be done, because a later row did it.
    #[serde(skip)]
    pub superseded: SupersededCounts,
}

/// Rows by status. The statuses add up to the total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RowCounts {
    /// Rows read.
    pub total: u64,
    /// Accepted.
    pub updated: u64,
    /// Nothing to do.
    pub unchanged: u64,
    /// Wrong.
    pub rejected: u64,
    /// Attempts used up.
    pub failed: u64,
    /// Answer lost.
    pub unknown: u64,
    /// Not reached.
    pub not_attempted: u64,
}

/// One extension's results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ExtensionCounts {
    /// It ran.
    pub success: u64,
    /// It is still running.
    pub pending: u64,
    /// It did not work out; ImageKit gives no reason and does not try again.
    pub failed: u64,
    /// ImageKit stated something else of it.
    pub unclear: u64,
}

/// Rows that a later row overtook in everything that they asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SupersededCounts {
    /// Of the rejected ones.
    pub rejected: u64,
    /// Of the failed ones.
    pub failed: u64,
}

impl RowCounts {
    /// Counts a row.
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
    /// Counts a row; `superseded_edits` says that later rows did all that it asked for.
    pub(super) fn add(&mut self, row: &RowResult<'_>, superseded_edits: bool) {
        self.rows.add(row.status);
        match (row.status, superseded_edits) {
            (Status::Rejected, true) => self.superseded.rejected += 1,
            (Status::Failed, true) => self.superseded.failed += 1,
            _ => {}
        }
        let needs_attention =
            row.status == Status::Updated && row.code.is_some_and(Code::needs_attention);
        self.to_mend += u64::from(needs_attention);
        let is_begun = row.status == Status::NotAttempted && row.code == Some(Code::Partial);
        self.begun += u64::from(is_begun);
        self.owed += u64::from(row.is_owed);
        self.unverified += u64::from(needs_attention && row.code == Some(Code::Unverified));
        let Some(json) = row.extension_status else {
            return;
        };
        for (name, status) in ExtensionStatus::read(json) {
            let counts = self.extensions.entry(name).or_default();
            *match status {
                ExtensionStatus::Success => &mut counts.success,
                ExtensionStatus::Pending => &mut counts.pending,
                ExtensionStatus::Failed => &mut counts.failed,
                ExtensionStatus::Unclear => &mut counts.unclear,
            } += 1;
        }
    }
}

/// What the program's caller is told: the first that applies. Rows that were not attempted come
/// before those that a person must fix, because a resumed run may still settle them.
#[must_use]
pub fn exit_code(summary: &Summary, ending: &EndReason) -> u8 {
    let rows = summary.rows;
    match ending {
        EndReason::Ledger | EndReason::Input(_) => 4,
        EndReason::Halted(_) => 3,
        EndReason::Stopped(signal @ (Stop::Hangup | Stop::Interrupt | Stop::Terminate)) => {
            signal.exit_code()
        }
        _ if rows.unknown > 0 => 6,
        _ if rows.not_attempted > 0 => 5,
        _ if rows.rejected > summary.superseded.rejected || summary.to_mend > 0 => 1,
        _ if rows.failed > summary.superseded.failed => 5,
        EndReason::Done | EndReason::Stopped(Stop::Deadline) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_reasons_the_first_decides_the_exit_code() {
        let code = |rows, to_mend, ending: &EndReason| {
            let summary = Summary { rows, to_mend, ..Summary::default() };
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
