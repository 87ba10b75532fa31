//! Configuration of a sandbox.

use std::time::Duration;

use serde_json::Value;

use crate::account::reports::UsageReports;
use crate::defaults;
use crate::extensions::callbacks::Callbacks;
use crate::extensions::findings::FoundTags;
use crate::extensions::outcome::{ExtensionOutcome, Settlement};
use crate::extensions::units::ExtensionUnits;
use crate::faults::fault::Faults;
use crate::hook::Hook;
use crate::library::initial::Library;
use crate::library::policy::PathPolicy;
use crate::quirks::Quirks;
use crate::rate_limit::limit::Limit;

/// The settings of a sandbox. The default is an empty library with the rate limits that users have
/// reported for ImageKit.
#[derive(Debug, Clone)]
pub struct Config {
    /// Private key of the account.
    pub key: String,
    /// Port on 127.0.0.1; 0 for any free port.
    pub port: u16,
    /// Files of the account at the start.
    pub library: Library,
    /// Custom metadata fields of the account, in the API's format.
    pub fields: Vec<Value>,
    /// Path policies of the account.
    pub path_policies: Vec<PathPolicy>,
    /// Saved extensions of the account, in the API's format.
    pub saved: Vec<Value>,
    /// Rate limits of writes (PATCH, bulk tags), all of which apply. Empty means unlimited.
    pub writes: Vec<Limit>,
    /// Rate limits of reads. Empty means unlimited.
    pub reads: Vec<Limit>,
    /// Share of the slowest limit of each kind, 0 to 1, that another client of the account uses, at a
    /// constant rate.
    pub background_load: f64,
    /// Whether throttled (429) requests count towards the limit. The API does not document this.
    pub count_throttled: bool,
    /// Whether all responses have `X-RateLimit-*` headers, not only 429s.
    pub headers_always: bool,
    /// Faults to inject.
    pub faults: Faults,
    /// Status of extensions in the response to their request.
    pub extensions: ExtensionOutcome,
    /// AI tags that tagging finds; the first entry for a file and extension counts. Without one,
    /// [`found_tags`](crate::found_tags).
    pub found_tags: Vec<FoundTags>,
    /// Units of each extension.
    pub units: ExtensionUnits,
    /// Whether usage reports are current.
    pub usage_reports: UsageReports,
    /// Observer of every API request.
    pub hook: Option<Hook>,
    /// Delay before each API request is processed. Without a delay, concurrent requests for one file
    /// are processed too fast to overlap.
    pub latency: Duration,
    /// How long list and search lag behind changes; GET details is always current. The API's own lag
    /// is not documented.
    pub search_lag: Duration,
    /// Whether to record the history of changes, and requests in flight and billed runs per file.
    /// Turn this off for load tests; totals are counted regardless.
    pub record: bool,
    /// Behaviours that the API's description leaves open.
    pub quirks: Quirks,
    /// How pending extensions settle; `None` leaves them pending forever.
    pub settlement: Option<Settlement>,
    /// How callbacks of settled extensions are sent.
    pub callbacks: Callbacks,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            key: "private_sandbox".to_owned(),
            port: 0,
            library: Library::default(),
            fields: defaults::fields(),
            path_policies: Vec::new(),
            saved: defaults::saved(),
            writes: vec![Limit::Bucket { rate: 5.0, burst: 5 }],
            reads: vec![Limit::Bucket { rate: 40.0, burst: 40 }],
            background_load: 0.0,
            count_throttled: false,
            headers_always: false,
            faults: Faults::default(),
            extensions: ExtensionOutcome::default(),
            found_tags: Vec::new(),
            units: ExtensionUnits::default(),
            usage_reports: UsageReports::default(),
            hook: None,
            latency: Duration::ZERO,
            search_lag: Duration::ZERO,
            record: true,
            quirks: Quirks::default(),
            settlement: None,
            callbacks: Callbacks::default(),
        }
    }
}
