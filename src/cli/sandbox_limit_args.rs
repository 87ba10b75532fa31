//! The flags of `ikbulk sandbox` about rate limits.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::values::{Share, Span};
use crate::sandbox::{Config, Limit};

#[derive(Debug, Args)]
pub(super) struct SandboxLimitArgs {
    /// Writes that it allows a second
    #[arg(long, default_value_t = 5.0)]
    rate: f64,
    /// Writes that it allows at once after a pause
    #[arg(long, default_value_t = NonZeroU32::new(5).unwrap_or(NonZeroU32::MIN), value_name = "N")]
    burst: NonZeroU32,
    /// Writes that it allows in a stretch of time besides, like 1000/15m; can be repeated
    #[arg(long, value_name = "N/TIME")]
    window: Vec<Window>,
    /// Reads that it allows a second
    #[arg(long, default_value_t = 40.0, value_name = "RATE")]
    read_rate: f64,
    /// Reads that it allows at once after a pause
    #[arg(
        long,
        default_value_t = NonZeroU32::new(40).unwrap_or(NonZeroU32::MIN),
        value_name = "N"
    )]
    read_burst: NonZeroU32,
    /// Reads that it allows in a stretch of time besides, like 1000/15m; can be repeated
    #[arg(long, value_name = "N/TIME")]
    read_window: Vec<Window>,
    /// Allow everything at any rate
    #[arg(long, conflicts_with_all = [
        "rate", "burst", "window", "read_rate", "read_burst", "read_window", "background_load",
    ])]
    no_limits: bool,
    /// Count refused requests as well as the others; nobody knows whether the API does
    #[arg(long)]
    refused_count: bool,
    /// Say the limit on every answer, and not only on a 429
    #[arg(long)]
    headers_always: bool,
    /// Another user of the account, who asks for this share of its limits, like 30%
    #[arg(long, default_value = "0%", value_name = "SHARE")]
    background_load: Share,
}

/// So many requests in so long: `1000/15m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    requests: NonZeroU32,
    interval: Duration,
}

impl FromStr for Window {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (requests, interval) = text.split_once('/')?;
            let interval: Span = interval.parse().ok()?;
            Some(Self { requests: requests.parse().ok()?, interval: interval.0 })
        };
        read().ok_or("not a limit: write it like 1000/15m or 20/1s")
    }
}

impl SandboxLimitArgs {
    /// The settings with these limits.
    pub(super) fn apply(&self, config: Config) -> Config {
        let limits = |rate, burst: NonZeroU32, windows: &[Window]| {
            let window = |&Window { requests, interval }| Limit::Window {
                requests: requests.get(),
                interval,
            };
            let bucket = Limit::Bucket { rate, burst: burst.get() };
            let all = [bucket].into_iter().chain(windows.iter().map(window));
            all.filter(|_| !self.no_limits).collect()
        };
        Config {
            writes: limits(self.rate, self.burst, &self.window),
            reads: limits(self.read_rate, self.read_burst, &self.read_window),
            background_load: self.background_load.0,
            refused_count: self.refused_count,
            headers_always: self.headers_always,
            ..config
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_number_and_a_time() {
        let window: Window = "1000/15m".parse().unwrap();
        assert_eq!((window.requests.get(), window.interval), (1000, Duration::from_mins(15)));
        for text in ["", "5", "0/1s", "5/", "/1s", "5/s", "-5/1s", "5/-1s"] {
            assert!(text.parse::<Window>().is_err(), "{text}");
        }
    }
}
