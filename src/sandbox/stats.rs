//! What a sandbox has seen, for those who judge a client by it.

use std::collections::BTreeMap;

use serde::Serialize;

/// Everything counted since the start (or the last reset). Internal requests are in none of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// All API requests that arrived.
    pub requests: u64,
    /// The same by call.
    pub calls: Calls,
    /// Answers by HTTP status, whether or not they got through whole.
    pub statuses: BTreeMap<u16, u64>,
    /// The same by call, under the names of [`Calls`].
    pub statuses_by_call: BTreeMap<&'static str, BTreeMap<u16, u64>>,
    /// Requests whose connection was reset before any byte of an response.
    pub no_answer: u64,
    /// Connections that were reset as they were accepted. What they would have asked is in none of
    /// the other numbers.
    pub reset_at_accept: u64,
    /// 429s, those of faults included.
    pub throttled: u64,
    /// The busiest second of the writes.
    pub writes_per_second: Peak,
    /// The busiest second of the reads.
    pub reads_per_second: Peak,
    /// The busiest stretches of the writes, one for each [`Limit::Window`](super::Limit::Window) on
    /// them.
    pub writes_per_window: Vec<WindowPeak>,
    /// The same of the reads.
    pub reads_per_window: Vec<WindowPeak>,
    /// The most API requests under way at once.
    pub max_under_way: u64,
    /// The most requests under way at once for any one file. 0 when nothing is recorded.
    pub max_under_way_per_file: u64,
    /// Whether two requests for one file were ever under way at once.
    pub overlapped: bool,
    /// The most requests under way at once, of each file that ever had more than one. Empty when
    /// nothing is recorded.
    pub overlaps_by_file: BTreeMap<String, u64>,
    /// Changes made: one for each file of each accepted write.
    pub changes: u64,
    /// Extension runs by extension, failed and pending ones included: each is billed.
    pub paid_runs: BTreeMap<String, u64>,
    /// The same by file and extension. Empty when nothing is recorded.
    pub paid_runs_by_file: BTreeMap<String, BTreeMap<String, u64>>,
    /// The most runs of one extension on one file. 0 when nothing is recorded.
    pub max_paid_runs_per_pair: u64,
    /// Pending runs that have ended, in either way.
    pub ended_runs: u64,
    /// The calls to `webhookUrl`.
    pub callbacks: CallbackCounts,
}

/// Requests by call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// PATCH details with details, or with a body that says nothing clear.
    pub patch: u64,
    /// PATCH details with `publish`.
    pub publish: u64,
    /// GET details.
    pub get: u64,
    /// List and search.
    pub list: u64,
    /// Bulk addTags.
    pub add_tags: u64,
    /// Bulk removeTags.
    pub remove_tags: u64,
    /// Bulk removeAITags.
    pub remove_ai_tags: u64,
    /// Custom metadata fields.
    pub fields: u64,
    /// Saved extensions.
    pub saved: u64,
    /// Anything that the API does not have.
    pub other: u64,
}

/// What became of the ends of pending runs whose request had a `webhookUrl`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CallbackCounts {
    /// The runs that ended.
    pub due: u64,
    /// Those that were not called back, because the URL is not plain http on this machine.
    pub not_called: u64,
    /// All POSTs, repetitions and copies included.
    pub sent: u64,
    /// The POSTs that were answered with 200.
    pub delivered: u64,
}

/// The highest number of requests in any one second (or window): half-open, so that one at 0 s and
/// one at 1 s are not in the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Peak {
    /// All that arrived.
    pub arrived: u64,
    /// Those that authentication and limit let through.
    pub accepted: u64,
}

/// The highest number of requests in any stretch as long as a limit's window, wherever it starts:
/// it can be twice what one window allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WindowPeak {
    /// The length of the window in milliseconds.
    pub interval_ms: u64,
    /// The requests.
    #[serde(flatten)]
    pub peak: Peak,
}

impl Stats {
    /// How many times this extension has run on this file.
    #[must_use]
    pub fn paid_runs_of(&self, file: &str, extension: &str) -> u64 {
        self.paid_runs_by_file.get(file).and_then(|runs| runs.get(extension)).copied().unwrap_or(0)
    }
}
