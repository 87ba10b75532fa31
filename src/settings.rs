//! Validated settings, merged from flags, environment, profile and defaults. The types cannot hold
//! invalid values.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A request rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// Requests per second; above zero and finite.
    PerSecond(f64),
    /// No limit, for test servers.
    Unlimited,
}

/// One of the account's rate limits, for writes or for reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    /// The account's sustained rate.
    pub rate: Rate,
    /// Maximum requests that may be sent at once after a pause.
    pub burst: NonZeroU32,
    /// Share of rate and burst reserved for other clients of the account; 0 ≤ `leave` < 1.
    pub leave: f64,
}

/// Settings of a run's execution: limits, concurrency, retries.
#[derive(Debug, Clone, PartialEq)]
pub struct Execution {
    /// The account's write limit. Default: 5/s, burst 5 (reported by third parties).
    pub writes: RateLimit,
    /// The account's read limit. Default: 40/s, burst 40 (reported by third parties).
    pub reads: RateLimit,
    /// Maximum concurrent requests.
    pub concurrency: NonZeroUsize,
    /// Maximum attempts per idempotent request.
    pub attempts: NonZeroU32,
    /// Seed of the random jitter in backoffs.
    pub seed: u64,
    /// When to abort the run.
    pub abort_limits: AbortLimits,
}

/// Thresholds at which a run aborts, because continuing would do harm or no good.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AbortLimits {
    /// Steps with unknown outcome.
    pub unknown_max: NonZeroU32,
    /// Identical rejections in a row; `None` for no limit.
    pub same_rejection_max: Option<NonZeroU32>,
    /// Share of responses that are rejections, from 0 to 1; applies after
    /// [`Self::REJECTED_SHARE_FROM`] responses.
    pub rejected_share_max: f64,
    /// How long the service may be unreachable.
    pub down_max: Duration,
}

impl AbortLimits {
    /// Minimum responses before [`Self::rejected_share_max`] applies.
    pub const REJECTED_SHARE_FROM: u64 = 100;
}

impl RateLimit {
    /// How long this number of requests takes at the rate after the reserved share; `None` without
    /// a limit.
    #[must_use]
    pub fn time_for(self, requests: u64) -> Option<Duration> {
        let Rate::PerSecond(rate) = self.rate else {
            return None;
        };
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let seconds = requests as f64 / (rate * (1.0 - self.leave));
        Some(Duration::from_secs_f64(seconds.min(1e9)))
    }
}

impl Execution {
    /// The highest latency, in seconds, at which the derived concurrency still reaches the rate.
    const LATENCY_SECONDS_MAX: f64 = 4.0;
    const CONCURRENCY_MIN: usize = 8;
    const CONCURRENCY_MAX: usize = 64;

    /// Concurrent requests needed to reach the rate even with slow responses.
    #[must_use]
    pub fn derived_concurrency(writes: RateLimit) -> NonZeroUsize {
        let wanted = match writes.rate {
            Rate::Unlimited => Self::CONCURRENCY_MAX,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a saturating cast, and clamped below"
            )]
            Rate::PerSecond(rate) => (rate * Self::LATENCY_SECONDS_MAX).ceil() as usize,
        };
        let clamped = wanted.clamp(Self::CONCURRENCY_MIN, Self::CONCURRENCY_MAX);
        NonZeroUsize::new(clamped).unwrap_or(NonZeroUsize::MIN)
    }
}

impl Default for Execution {
    fn default() -> Self {
        let limit = |rate: u32| RateLimit {
            rate: Rate::PerSecond(f64::from(rate)),
            burst: NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN),
            leave: 0.1,
        };
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let writes = limit(5);
        Self {
            writes,
            reads: limit(40),
            concurrency: Self::derived_concurrency(writes),
            attempts: number(6),
            seed: 0,
            abort_limits: AbortLimits {
                unknown_max: number(20),
                same_rejection_max: Some(number(20)),
                rejected_share_max: 0.2,
                down_max: Duration::from_mins(15),
            },
        }
    }
}

/// How rows become requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Planning {
    /// Sends every row as is, without reading the library (`--direct`).
    Direct,
    /// Compares rows with the library, skips what is up to date, and sends the rest in the fewest
    /// requests.
    Diff(DiffOptions),
}

/// Options of [`Planning::Diff`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DiffOptions {
    /// Replaces tags only by PATCH, so that they end up exactly as requested even if other clients
    /// change them meanwhile.
    pub exact: bool,
    /// Re-runs extensions that already ran on a file, and are billed again.
    pub rerun_extensions: bool,
    /// Whether AI tags on a file show that a tagging extension ran on it.
    pub skip_tagged: SkipTagged,
}

/// On which files AI tags from a tagging extension show that it ran, so that it is skipped.
///
/// The tags do not show the configuration. So they never hold an extension back in a row that also
/// removes some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipTagged {
    /// On all files, also where an earlier run is known to have run it in another configuration.
    Always,
    /// On files on which no earlier run is known to have run it: another machine, or a person in the
    /// dashboard, may have.
    #[default]
    Unremembered,
    /// On none.
    Never,
}
