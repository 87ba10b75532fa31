//! A rate limit as configured, and the kinds of calls that have limits of their own.

use std::fmt;
use std::time::Duration;

/// A rate limit. An account can have several. The API does not document which kind it uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// Token bucket.
    Bucket {
        /// Sustained rate in requests per second.
        rate: f64,
        /// Capacity in requests.
        burst: u32,
    },
    /// Fixed window, which starts with its first request.
    Window {
        /// Maximum number of requests per window.
        requests: u32,
        /// Length of the window.
        interval: Duration,
    },
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket { rate, burst } => write!(f, "{rate} per second, burst {burst}"),
            Self::Window { requests, interval } => write!(f, "{requests} in {interval:?}"),
        }
    }
}

/// The two kinds of calls, which have separate rate limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
}
