//! The `X-RateLimit-*` headers.

use axum::http::{HeaderName, HeaderValue};

const MS_NS: u64 = 1_000_000;

/// The `X-RateLimit-*` headers of a response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RateHeaders {
    /// `X-RateLimit-Limit` and `X-RateLimit-Interval`.
    pub(crate) announced: Option<Announced>,
    /// `X-RateLimit-Reset`.
    pub(crate) reset: Option<Reset>,
}

/// Value of the `X-RateLimit-Reset` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reset {
    /// Milliseconds to wait.
    Ms(u64),
    /// Text set by a fault, verbatim.
    Raw(Box<str>),
}

/// `X-RateLimit-Limit` and `X-RateLimit-Interval`: the number of requests per interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) limit: u64,
    pub(crate) interval_ms: u64,
}

impl RateHeaders {
    pub(crate) fn headers(self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let announced = self.announced;
        let limit = announced.map(|announced| HeaderValue::from(announced.limit));
        let interval = announced.map(|announced| HeaderValue::from(announced.interval_ms));
        let reset = self.reset.and_then(|reset| match reset {
            Reset::Ms(ms) => Some(HeaderValue::from(ms)),
            Reset::Raw(text) => HeaderValue::from_str(&text).ok(),
        });
        let named = |name, value: Option<_>| Some((HeaderName::from_static(name), value?));
        [
            named("x-ratelimit-limit", limit),
            named("x-ratelimit-interval", interval),
            named("x-ratelimit-reset", reset),
        ]
        .into_iter()
        .flatten()
    }
}

/// Converts to milliseconds, rounded up.
pub(crate) fn ms_up(ns: u64) -> u64 {
    ns.div_ceil(MS_NS)
}
