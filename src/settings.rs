//! Validated settings: what flags, environment, profile and defaults came to, in types in which a
//! wrong value cannot be said.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A rate in requests a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// At most this many; above zero and finite.
    PerSecond(f64),
    /// No limit: for servers of one's own.
    Unlimited,
}

/// One of the account's limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    /// The account's sustained rate.
    pub rate: Rate,
    /// How many requests may go out at once after a pause.
    pub burst: NonZeroU32,
    /// The share of both that is left to the account's other users, from 0 to below 1.
    pub leave: f64,
}

/// How a run is executed.
#[derive(Debug, Clone, PartialEq)]
pub struct Execution {
    /// The account's limit for writes: 5 a second, burst 5 (reported by third parties).
    pub writes: RateLimit,
    /// The account's limit for reads: 40 a second, burst 40 (reported by third parties).
    pub reads: RateLimit,
    /// Requests under way at once.
    pub concurrency: NonZeroUsize,
    /// Attempts for a request that may be repeated.
    pub attempts: NonZeroU32,
    /// The seed of all chance: jitter of waits.
    pub seed: u64,
    /// What stops a run.
    pub halts: Halts,
}

/// When a run halts by itself, because going on would do harm or nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Halts {
    /// Steps of unknown outcome.
    pub unknown_max: NonZeroU32,
    /// The same rejection this many times in a row; `None` never halts for it.
    pub same_rejection_max: Option<NonZeroU32>,
    /// The share of answers that are rejections, once there are [`Self::REJECTED_SHARE_FROM`].
    pub rejected_share_max: f64,
    /// For how long the service may be out of reach.
    pub down_max: Duration,
}

impl Halts {
    /// Answers before the share of rejections is looked at.
    pub const REJECTED_SHARE_FROM: u64 = 100;
}

impl RateLimit {
    /// How long so many requests take at the rate that is used; `None` where there is no limit.
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
    /// The slowest answer that the derived concurrency still reaches the rate with.
    const SLOW_ANSWER_SECONDS: f64 = 4.0;
    const CONCURRENCY_MIN: usize = 8;
    const CONCURRENCY_MAX: usize = 64;

    /// Requests under way at once, so that the rate is reached even if answers are slow.
    #[must_use]
    pub fn derived_concurrency(writes: RateLimit) -> NonZeroUsize {
        let wanted = match writes.rate {
            Rate::Unlimited => Self::CONCURRENCY_MAX,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a saturating cast, and clamped below"
            )]
            Rate::PerSecond(rate) => (rate * Self::SLOW_ANSWER_SECONDS).ceil() as usize,
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
            halts: Halts {
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
    /// Every row as it is, whatever the file is like.
    Direct,
    /// What is already so is left out, and the rest goes by the cheapest calls.
    Live(LiveOptions),
}

/// What the live planner does differently if asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LiveOptions {
    /// Replaces tags by PATCH alone, so that they are exactly as asked for afterwards whoever else
    /// changes them in between.
    pub exact: bool,
    /// Runs extensions again that were paid for already.
    pub rerun_extensions: bool,
    /// Runs no tagging extension on a file that has AI tags of it.
    pub skip_tagged: bool,
}
