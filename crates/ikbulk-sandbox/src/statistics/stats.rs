//! Statistics of a sandbox, for tests and measurements of clients.

use std::collections::BTreeMap;

use serde::Serialize;

/// Statistics since the start or the last reset. Internal requests are not counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Number of API requests.
    pub requests: u64,
    /// Number of API requests by call.
    pub calls: Calls,
    /// Number of responses by HTTP status, including truncated ones.
    pub statuses: BTreeMap<u16, u64>,
    /// Number of responses by call (named as in [`Calls`]) and HTTP status.
    pub statuses_by_call: BTreeMap<&'static str, BTreeMap<u16, u64>>,
    /// Number of requests whose connection was reset without a response.
    pub no_response: u64,
    /// Number of connections reset when accepted. Their requests are not counted anywhere.
    pub reset_at_accept: u64,
    /// Number of 429 responses, including those of faults.
    pub throttled: u64,
    /// The busiest second of writes.
    pub writes_per_second: Peak,
    /// The busiest second of reads.
    pub reads_per_second: Peak,
    /// The busiest intervals of writes, one per [`Limit::Window`](crate::Limit::Window).
    pub writes_per_window: Vec<WindowPeak>,
    /// The busiest intervals of reads, one per [`Limit::Window`](crate::Limit::Window).
    pub reads_per_window: Vec<WindowPeak>,
    /// Maximum number of API requests in flight.
    pub max_in_flight: u64,
    /// Maximum number of requests in flight for the same file. 0 unless recording.
    pub max_in_flight_per_file: u64,
    /// Whether requests for the same file were ever in flight together.
    pub overlapped: bool,
    /// Maximum number of requests in flight, of files that had more than one. Empty unless recording.
    pub overlaps_by_file: BTreeMap<String, u64>,
    /// Number of changes: one per file of each accepted write.
    pub changes: u64,
    /// Number of billed runs by extension, including failed and pending ones.
    pub billed_runs: BTreeMap<String, u64>,
    /// Number of units of all billed runs.
    pub billed_units: u64,
    /// Number of billed runs by file and extension. Empty unless recording.
    pub billed_runs_by_file: BTreeMap<String, BTreeMap<String, u64>>,
    /// Maximum number of billed runs of the same extension on the same file. 0 unless recording.
    pub max_billed_runs_per_pair: u64,
    /// Maximum number of billed runs of the same configuration of an extension on the same file, as in
    /// [`Running::extension_runs`](crate::Running::extension_runs). 0 unless recording.
    pub max_billed_runs_per_configuration: u64,
    /// Number of pending extensions that settled, as success or failure.
    pub settled_runs: u64,
    /// Callbacks of settled extensions, to their `webhookUrl`.
    pub callbacks: CallbackCounts,
    /// Forged callbacks of settled extensions.
    pub forged_callbacks: CallbackCounts,
    /// Events for the webhooks of the account.
    pub webhook_events: CallbackCounts,
}

/// Number of requests by call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// PATCH details without `publish`.
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
    /// GET custom metadata fields.
    pub fields: u64,
    /// GET saved extensions, all or one.
    pub saved: u64,
    /// Creating, updating and deleting saved extensions.
    pub saved_changes: u64,
    /// Calls of the account's webhooks.
    pub webhooks: u64,
    /// GET usage and usage analytics.
    pub usage: u64,
    /// Requests that match no endpoint of the API.
    pub other: u64,
}

/// Counts of callbacks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CallbackCounts {
    /// Number of callbacks, each for one URL.
    pub due: u64,
    /// Number of callbacks not sent, because the URL is not plain http on this machine.
    pub not_called: u64,
    /// Number of POSTs, including retries and copies.
    pub sent: u64,
    /// Number of POSTs with a 200 response.
    pub delivered: u64,
}

/// Maximum number of requests in any second (or window). Intervals are half-open: requests at 0 s and
/// 1 s are not in the same second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Peak {
    /// Number of requests that arrived.
    pub arrived: u64,
    /// Number of requests that passed authentication and rate limits.
    pub accepted: u64,
}

/// Maximum number of requests in any interval as long as a limit's window. It can be twice the
/// window's limit, because the interval can start anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WindowPeak {
    /// Length of the window in milliseconds.
    pub interval_ms: u64,
    /// The busiest interval.
    #[serde(flatten)]
    pub peak: Peak,
}

impl Stats {
    /// Number of billed runs of an extension on a file. 0 unless recording.
    #[must_use]
    pub fn billed_runs_of(&self, file: &str, extension: &str) -> u64 {
        self.billed_runs_by_file
            .get(file)
            .and_then(|runs| runs.get(extension))
            .copied()
            .unwrap_or(0)
    }
}
