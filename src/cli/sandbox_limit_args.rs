//! Flags of `ikbulk sandbox` for rate limits.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::help::RATE_LIMIT;
use super::values::{Share, Span};
use ikbulk_sandbox::{Config, Limit};

#[derive(Debug, Args)]
#[command(next_help_heading = RATE_LIMIT)]
pub(super) struct SandboxLimitArgs {
    /// Writes allowed per second
    #[arg(long, default_value_t = 5.0)]
    rate: f64,
    /// Maximum burst of writes after a pause
    #[arg(long, default_value_t = NonZeroU32::new(5).unwrap_or(NonZeroU32::MIN), value_name = "N")]
    burst: NonZeroU32,
    /// Also limit writes per window, such as 1000/15m; may be given several times
    #[arg(long, value_name = "N/DURATION", hide_short_help = true)]
    window: Vec<Window>,
    /// Reads allowed per second
    #[arg(long, default_value_t = 40.0, value_name = "RATE")]
    read_rate: f64,
    /// Maximum burst of reads after a pause
    #[arg(
        long,
        default_value_t = NonZeroU32::new(40).unwrap_or(NonZeroU32::MIN),
        value_name = "N"
    )]
    read_burst: NonZeroU32,
    /// Also limit reads per window, such as 1000/15m; may be given several times
    #[arg(long, value_name = "N/DURATION", hide_short_help = true)]
    read_window: Vec<Window>,
    /// Disable all rate limits
    #[arg(long, conflicts_with_all = [
        "rate", "burst", "window", "read_rate", "read_burst", "read_window", "background_load",
    ])]
    no_limits: bool,
    /// Count throttled (429) requests against the limit, too
    #[arg(long, hide_short_help = true)]
    refused_count: bool,
    /// Send the X-RateLimit headers with every response, not only with a 429
    #[arg(long, hide_short_help = true)]
    headers_always: bool,
    /// Share of the limits that another client of the account uses, such as 30%
    #[arg(long, default_value = "0%", value_name = "SHARE")]
    background_load: Share,
}

/// A number of requests per interval: `1000/15m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    requests: NonZeroU32,
    interval: Duration,
}

impl FromStr for Window {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (requests, interval) = text.split_once('/')?;
            let interval: Span = interval.parse().ok()?;
            Some(Self { requests: requests.parse().ok()?, interval: interval.0 })
        };
        parse().ok_or("not a limit: use requests per duration, such as 1000/15m or 20/1s")
    }
}

impl SandboxLimitArgs {
    /// The sandbox configuration with these limits.
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
            count_throttled: self.refused_count,
            headers_always: self.headers_always,
            ..config
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_parse_as_requests_per_duration() {
        let window: Window = "1000/15m".parse().unwrap();
        assert_eq!((window.requests.get(), window.interval), (1000, Duration::from_mins(15)));
        for text in ["", "5", "0/1s", "5/", "/1s", "5/s", "-5/1s", "5/-1s"] {
            assert!(text.parse::<Window>().is_err(), "{text}");
        }
    }
}
