//! How a sandbox behaves: everything that can be set before it starts.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::callback::Callbacks;
use super::defaults;
use super::extension_outcome::{Ending, ExtensionOutcome};
use super::faults::Faults;
use super::hook::Hook;
use super::library::Library;
use super::quirks::Quirks;

/// The settings of a sandbox. `Config::default()` is an empty library behind the reported limits.
#[derive(Debug, Clone)]
pub struct Config {
    /// The private key it accepts.
    pub key: String,
    /// The port on 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// The files it starts with.
    pub library: Library,
    /// The account's custom metadata fields, as the API lists them.
    pub fields: Vec<Value>,
    /// The account's saved extensions, as the API lists them.
    pub saved: Vec<Value>,
    /// The limits on writes (PATCH, bulk tags), which hold all at once; without any, unlimited.
    pub writes: Vec<Limit>,
    /// The limits on reads; without any, unlimited.
    pub reads: Vec<Limit>,
    /// The share of each kind's slowest limit, 0 to 1, that another user of the account asks for,
    /// evenly.
    pub background_load: f64,
    /// Whether a refused (429) request uses up a place too. Nobody knows what the API does.
    pub refused_count: bool,
    /// Whether the `X-RateLimit-*` headers are on every response, and not only on a 429.
    pub headers_always: bool,
    /// What goes wrong, and when.
    pub faults: Faults,
    /// How extension runs stand when their request is answered.
    pub extensions: ExtensionOutcome,
    /// An observer of every request.
    pub hook: Option<Hook>,
    /// Think time before the work of every API request. Without any, requests of one file that
    /// are sent together are worked off one after the other, too fast to be seen as overlapping.
    pub latency: Duration,
    /// How long list and search show a file as it was before a change; GET details is always fresh.
    /// How fresh the API's index is, nobody knows.
    pub search_lag: Duration,
    /// Whether to keep the history of changes, the requests under way per file and the paid runs
    /// per file. Off, a load test costs and keeps less; the totals are counted all the same.
    pub record: bool,
    /// The answers to what the API's description leaves open.
    pub quirks: Quirks,
    /// How pending extension runs end; `None` leaves them pending for ever.
    pub ending: Option<Ending>,
    /// How the ends of pending runs are called back.
    pub callbacks: Callbacks,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            key: "private_sandbox".to_owned(),
            port: 0,
            library: Library::default(),
            fields: defaults::fields(),
            saved: defaults::saved(),
            writes: vec![Limit::Bucket { rate: 5.0, burst: 5 }],
            reads: vec![Limit::Bucket { rate: 40.0, burst: 40 }],
            background_load: 0.0,
            refused_count: false,
            headers_always: false,
            faults: Faults::default(),
            extensions: ExtensionOutcome::default(),
            hook: None,
            latency: Duration::ZERO,
            search_lag: Duration::ZERO,
            record: true,
            quirks: Quirks::default(),
            ending: None,
            callbacks: Callbacks::default(),
        }
    }
}

/// A rate limit. An account can have several, and in which of the two ways the API counts, nobody
/// says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// A bucket that holds `burst` requests and fills at `rate` a second.
    Bucket {
        /// Requests a second that are allowed for ever.
        rate: f64,
        /// Requests that are allowed at once after a pause.
        burst: u32,
    },
    /// So many requests from the first one on, then none until `interval` is over.
    Window {
        /// Requests in one window.
        requests: u32,
        /// How long the window is open.
        interval: Duration,
    },
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket { rate, burst } => write!(f, "{rate} a second, burst {burst}"),
            Self::Window { requests, interval } => write!(f, "{requests} in {interval:?}"),
        }
    }
}
