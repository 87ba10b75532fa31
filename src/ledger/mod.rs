//! The durable record of a run: the outcome of each step and what its request carried, and the
//! intents of at-most-once requests.
//! One SQLite file per run; the reports are views of it.
//!
//! The crash model:
//!
//! - Outcomes are written in groups, at most [`GROUP_AGE_MAX`](writer::GROUP_AGE_MAX) after they are known. A crash loses
//!   only outcomes that are not on disk yet; `resume` sends their idempotent requests again.
//! - The intent to send an at-most-once request is on disk before its first byte is sent:
//!   [`Journal::record`] consumes the request, and returns it as [`Recorded`] only then. After a
//!   crash, an intent without an outcome is an unknown outcome.
//!
//! The tables have no index besides the primary key, because maintaining one makes inserts six
//! times as expensive.

mod callbacks;
mod file;
mod files;
mod journal;
mod kept_results;
mod look_ahead;
mod path_policies;
mod row_notes;
mod run_meta;
mod settlements;
mod snapshots;
mod targets;
#[cfg(test)]
mod testing;
mod views;
mod writer;

pub use file::LedgerError;
pub(crate) use file::LedgerFile;
pub(crate) use files::{FileFilter, FileRecord};
pub(crate) use journal::{Journal, Recorded, Recording, UNWRITTEN_MAX};
pub(crate) use look_ahead::{LastRows, RecordsOfLastRows};
pub(crate) use path_policies::{PathPolicies, PolicyId};
pub(crate) use row_notes::RowNotes;
pub(crate) use run_meta::{Completeness, Ended, RunKind};
pub use run_meta::{RunMeta, Stage};
pub(crate) use settlements::Settlement;
pub(crate) use snapshots::{Added, Snapshot};
pub(crate) use views::StepRecord;
pub(crate) use writer::{Checkpoint, EARLIER_RUN, Op};

use serde::{Deserialize, Serialize};

use crate::request::Call;

/// Requests sent since the run started, over all sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// PATCH calls that set fields or request extensions.
    pub patch: u64,
    /// PATCH calls that publish or unpublish.
    pub publish: u64,
    /// Bulk calls that add tags.
    pub add_tags: u64,
    /// Bulk calls that remove tags.
    pub remove_tags: u64,
    /// Bulk calls that remove AI tags.
    pub remove_ai_tags: u64,
    /// Reads.
    pub read: u64,
    /// Requests of any kind that got a 429.
    pub throttled: u64,
    /// Retries of any kind.
    pub retried: u64,
}

impl Counters {
    /// Requests that change files.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.patch + self.publish + self.add_tags + self.remove_tags + self.remove_ai_tags
    }

    /// Bulk calls.
    #[must_use]
    pub(crate) fn bulk_calls(&self) -> u64 {
        self.add_tags + self.remove_tags + self.remove_ai_tags
    }

    /// Estimated completed writes: all minus retries and 429s. An estimate, because some of those
    /// may have been reads.
    #[must_use]
    pub fn write_progress(&self) -> u64 {
        self.writes().saturating_sub(self.retried + self.throttled)
    }

    /// Counts a request.
    pub fn count(&mut self, call: &Call) {
        *self.of(call) += 1;
    }

    /// Uncounts a request that was not sent after all.
    pub fn take_back(&mut self, call: &Call) {
        let count = self.of(call);
        *count = count.saturating_sub(1);
    }

    fn of(&mut self, call: &Call) -> &mut u64 {
        match call {
            Call::Details(_) => &mut self.patch,
            Call::Publish(_) => &mut self.publish,
            Call::AddTags(_) => &mut self.add_tags,
            Call::RemoveTags(_) => &mut self.remove_tags,
            Call::RemoveAiTags(_) => &mut self.remove_ai_tags,
            Call::ReadBack(_) => &mut self.read,
        }
    }

    /// Adds the fields that [`crate::execute::Reads`] counts.
    #[must_use]
    pub fn and_reads(self, reads: Self) -> Self {
        Self {
            read: self.read + reads.read,
            throttled: self.throttled + reads.throttled,
            retried: self.retried + reads.retried,
            ..self
        }
    }
}
