//! How callbacks are sent.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How long the API retries a callback, according to its documentation.
const GIVE_UP_AFTER: Duration = Duration::from_hours(24);
/// Minimum wait, because doubling a wait of zero would retry endlessly.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(1);

/// How callbacks are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callbacks {
    /// Secret that signs callbacks, in the Standard Webhooks format; `None` sends them unsigned. The
    /// API's documentation says that webhooks of the dashboard are signed, and does not mention these.
    pub secret: Option<String>,
    /// Wait after the first failed attempt; doubles with each attempt. The API's own waits are not
    /// documented.
    pub retry_after: Duration,
    /// Number of deliveries of each callback. The API promises at-least-once delivery.
    pub copies: u32,
    /// Maximum random delay before the first attempt, which delivers callbacks out of order. The API
    /// promises no order.
    pub max_delay: Duration,
    /// Whether forged callbacks are sent along with each, once: the other result to another token and,
    /// where callbacks are signed, with the signatures of another secret and of an hour ago. Not of
    /// the API: a receiver must refuse them.
    pub forged: bool,
    /// Seed of the random delays.
    pub seed: u64,
}

impl Default for Callbacks {
    fn default() -> Self {
        Self {
            secret: None,
            retry_after: Duration::from_secs(1),
            copies: 1,
            max_delay: Duration::ZERO,
            forged: false,
            seed: 0,
        }
    }
}

impl Callbacks {
    /// The waits before the second and later attempts.
    pub(crate) fn waits(&self) -> impl Iterator<Item = Duration> {
        let first = self.retry_after.max(RETRY_AFTER_MIN);
        let doubled = std::iter::successors(Some(first), |wait| wait.checked_mul(2));
        doubled.scan(Duration::ZERO, |waited, wait| {
            *waited = waited.saturating_add(wait);
            (*waited <= GIVE_UP_AFTER).then_some(wait)
        })
    }

    /// The random delay of one copy before its first attempt.
    pub(crate) fn first_delay(&self, id: &str, copy: u32) -> Duration {
        let max = u64::try_from(self.max_delay.as_nanos()).unwrap_or(u64::MAX);
        let random = xxh3_64_with_seed(id.as_bytes(), self.seed.wrapping_add(copy.into()));
        Duration::from_nanos(random.checked_rem(max).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end_within_a_day() {
        let waits = |ms| {
            let retry_after = Duration::from_millis(ms);
            Callbacks { retry_after, ..Callbacks::default() }.waits().collect::<Vec<_>>()
        };
        let seconds: Vec<u64> = waits(1000).iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, (0..16).map(|n| 1 << n).collect::<Vec<_>>());
        assert_eq!(waits(24 * 3_600_000), [GIVE_UP_AFTER]);
        assert_eq!(waits(24 * 3_600_000 + 1), []);
        assert_eq!(waits(0), waits(1));
    }

    #[test]
    fn delays_of_copies_differ_and_stay_below_maximum() {
        let max = Duration::from_secs(1);
        let callbacks = Callbacks { max_delay: max, ..Callbacks::default() };
        let delays = [0, 1].map(|copy| callbacks.first_delay("msg_1_0", copy));
        assert_ne!(delays[0], delays[1]);
        assert!(delays.iter().all(|delay| *delay < max));
        assert_eq!(Callbacks::default().first_delay("msg_1_0", 0), Duration::ZERO);
    }
}
