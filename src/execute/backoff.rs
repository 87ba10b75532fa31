//! How long to wait before trying again.

use std::time::Duration;

/// Exponential backoff with full jitter: a random wait between nothing and a bound that doubles
/// with every attempt, so that many that failed together do not come back together.
#[derive(Debug)]
pub struct Backoff {
    chance: fastrand::Rng,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(500);
    /// No wait is longer.
    pub const MAX: Duration = Duration::from_secs(30);

    /// The waits that follow from a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { chance: fastrand::Rng::with_seed(seed) }
    }

    /// The wait after so many attempts that came to nothing.
    pub fn wait(&mut self, attempts: u32) -> Duration {
        Self::bound(attempts).mul_f64(self.chance.f64())
    }

    /// The longest that this wait can be.
    #[must_use]
    pub fn bound(attempts: u32) -> Duration {
        let doubled = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        Self::FIRST.saturating_mul(doubled).min(Self::MAX)
    }
}
