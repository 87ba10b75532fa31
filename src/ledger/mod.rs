//! The run's durable truth: which steps are settled and how, and which requests that must not be
//! repeated may be under way. One SQLite file a run; the reports are views of it.
//!
//! What a process that dies at any moment leaves behind is decided here. An outcome reaches the
//! disk within a group of outcomes, at the latest [`GROUP_AGE_MAX`] after it is known: losing it
//! costs a repetition of a request that may be repeated. The intent to send one that must not be
//! repeated reaches the disk before its first byte goes out: [`Journal::record`] takes the request
//! and gives it back as [`Recorded`] only then.
//!
//! No index stands beside the table's own key: keeping one costs six times the insertion.

mod fields;
mod file;
mod files;
mod journal;
mod targets;
#[cfg(test)]
mod testing;
mod views;
mod writer;

pub use fields::{Field, Fields};
pub use file::{Ended, LedgerError, LedgerFile, RunMeta, Stage};
pub use files::{FileFilter, FileRecord, Snapshot};
pub use journal::{Journal, Recorded, Recording, UNWRITTEN_MAX};
pub use views::{StepRecord, Steps};
pub use writer::{Checkpoint, EARLIER_RUN, GROUP_AGE_MAX, GROUP_SIZE, Op};

use serde::{Deserialize, Serialize};

use crate::request::Call;

/// Requests sent, by kind, since the run began, also across interruptions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// PATCH with fields.
    pub patch: u64,
    /// PATCH with `publish`.
    pub publish: u64,
    /// Bulk calls that add tags.
    pub add_tags: u64,
    /// Bulk calls that remove tags.
    pub remove_tags: u64,
    /// Bulk calls that remove AI tags.
    pub remove_ai_tags: u64,
    /// Reads.
    pub read: u64,
    /// Of all of them, those answered with 429.
    pub throttled: u64,
    /// Of all of them, those that repeat an earlier one.
    pub retried: u64,
}

impl Counters {
    /// Requests that change files.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.patch + self.publish + self.add_tags + self.remove_tags + self.remove_ai_tags
    }

    /// About so many of them were no second attempt: what was repeated or answered with 429 may
    /// have been a read as well.
    #[must_use]
    pub fn write_progress(&self) -> u64 {
        self.writes().saturating_sub(self.retried + self.throttled)
    }

    /// One more request with this call.
    pub fn count(&mut self, call: &Call) {
        *self.of(call) += 1;
    }

    /// One request with this call less, which was not sent after all.
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
            Call::ReadBack(_) => &mut self.read,
        }
    }

    /// With the reads of somebody else, as far as [`crate::execute::Reads`] counts them.
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
