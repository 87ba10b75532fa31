//! A rate limit and its current use. Time is passed in.

use crate::rate_limit::bucket::Bucket;
use crate::rate_limit::headers::{Announced, ms_up};
use crate::rate_limit::limit::Limit;

/// A limit and its current use.
#[derive(Debug, Clone)]
pub(crate) enum Limiter {
    Bucket(Bucket),
    Window(Window),
}

/// A fixed window, which starts with its first request.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    requests: u32,
    interval_ns: u64,
    /// End of the current window; a past time if there is none.
    ends_ns: u64,
    used: u32,
}

impl Limiter {
    /// # Errors
    /// The limit is zero, or its rate is not positive and finite.
    pub(crate) fn new(limit: Limit) -> Result<Self, String> {
        let limiter = match limit {
            Limit::Bucket { rate, burst } => Bucket::new(rate, burst).map(Self::Bucket),
            Limit::Window { requests, interval } => {
                let interval_ns = u64::try_from(interval.as_nanos()).ok();
                interval_ns
                    .filter(|&interval_ns| requests > 0 && interval_ns >= u64::from(requests))
                    .map(|interval_ns| Window { requests, interval_ns, ends_ns: 0, used: 0 })
                    .map(Self::Window)
            }
        };
        limiter.ok_or_else(|| format!("invalid rate limit: {limit}"))
    }

    /// Time until a request passes; 0 for immediately.
    pub(crate) fn wait_ns(&self, now_ns: u64) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.wait_ns(now_ns),
            Self::Window(window) if window.used < window.requests => 0,
            Self::Window(window) => window.ends_ns.saturating_sub(now_ns),
        }
    }

    /// Counts a request.
    pub(crate) fn spend(&mut self, now_ns: u64) {
        match self {
            Self::Bucket(bucket) => bucket.spend(now_ns),
            Self::Window(window) => window.spend(now_ns),
        }
    }

    /// Interval between requests at the sustained rate.
    pub(crate) fn cost_ns(&self) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.cost_ns,
            Self::Window(window) => window.interval_ns / u64::from(window.requests),
        }
    }

    pub(crate) fn announced(&self) -> Announced {
        match self {
            Self::Bucket(bucket) => bucket.announced,
            Self::Window(Window { requests, interval_ns, .. }) => {
                Announced { limit: u64::from(*requests), interval_ms: ms_up(*interval_ns) }
            }
        }
    }
}

impl Window {
    fn spend(&mut self, now_ns: u64) {
        if self.ends_ns <= now_ns {
            self.ends_ns = now_ns + self.interval_ns;
            self.used = 0;
        }
        self.used = self.requests.min(self.used + 1);
    }
}
