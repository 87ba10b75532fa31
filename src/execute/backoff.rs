//! How long to wait before a retry.

use std::time::Duration;

/// Exponential backoff with full jitter: a random wait between zero and a bound that doubles with
/// every attempt, so that requests that failed together are not retried together.
#[derive(Debug)]
pub(crate) struct Backoff {
    rng: fastrand::Rng,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(500);
    /// The longest wait.
    pub(crate) const MAX: Duration = Duration::from_secs(30);

    /// A sequence of waits determined by the seed.
    #[must_use]
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed) }
    }

    /// The wait after this many failed attempts.
    pub(crate) fn wait(&mut self, attempts: u32) -> Duration {
        Self::bound(attempts).mul_f64(self.rng.f64())
    }

    /// The upper bound of [`Self::wait`].
    #[must_use]
    pub(crate) fn bound(attempts: u32) -> Duration {
        let doubled = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        Self::FIRST.saturating_mul(doubled).min(Self::MAX)
    }
}
