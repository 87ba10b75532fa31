//! A rate limit as a pure function of time: the generic cell rate algorithm in whole nanoseconds.

use super::limiter::{Announced, ms_up};

const SECOND_NS: u64 = 1_000_000_000;

/// A bucket of requests that fills at a steady rate.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// What one request costs: the time in which the bucket gets it back.
    pub(crate) cost_ns: u64,
    /// How far ahead of the steady rate a burst may run: the cost of a full bucket.
    full_ns: u64,
    /// When the bucket would be full again; in the past means that it is full.
    full_at_ns: u64,
    pub(crate) announced: Announced,
}

impl Bucket {
    /// `None`: a rate that is not a positive number, or a burst of 0, cannot be kept.
    pub(crate) fn new(rate: f64, burst: u32) -> Option<Self> {
        let cost = std::time::Duration::try_from_secs_f64(1.0 / rate).ok()?;
        let cost_ns = u64::try_from(cost.as_nanos()).ok()?;
        (cost_ns > 0 && burst > 0).then(|| Self {
            cost_ns,
            full_ns: cost_ns.saturating_mul(u64::from(burst)),
            full_at_ns: 0,
            announced: announce(cost_ns),
        })
    }

    /// How long until a request would be let through; 0 is now.
    pub(crate) fn wait_ns(&self, now_ns: u64) -> u64 {
        (self.full_at_ns.max(now_ns) + self.cost_ns).saturating_sub(now_ns + self.full_ns)
    }

    /// Takes a place out. The debt ends at an empty bucket, or a flood of refused requests that
    /// count would lock the account for hours.
    pub(crate) fn spend(&mut self, now_ns: u64) {
        let later_ns = self.full_at_ns.max(now_ns) + self.cost_ns;
        self.full_at_ns = later_ns.min(now_ns + self.full_ns);
    }
}

/// The rate as "so many in so long", in the shortest of 1 to 10 seconds that gives a whole number;
/// a rate of less than one a second as one in so long.
fn announce(cost_ns: u64) -> Announced {
    if cost_ns > SECOND_NS {
        return Announced { limit: 1, interval_ms: ms_up(cost_ns) };
    }
    // A cost of whole nanoseconds is rounded itself, so "whole" leaves it that much room.
    let even = |seconds: &u64| (seconds * SECOND_NS) % cost_ns <= seconds * SECOND_NS / cost_ns;
    let seconds = (1..=10).find(even).unwrap_or(1);
    Announced { limit: seconds * SECOND_NS / cost_ns, interval_ms: seconds * 1000 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announced_numbers_are_the_rate() {
        let announced = |rate| Bucket::new(rate, 5).unwrap().announced;
        let pair = |limit, interval_ms| Announced { limit, interval_ms };
        assert_eq!(announced(5.0), pair(5, 1000));
        assert_eq!(announced(2.5), pair(5, 2000));
        assert_eq!(announced(300.0), pair(300, 1000));
        assert_eq!(announced(0.5), pair(1, 2000));
        assert_eq!(announced(1.0), pair(1, 1000));
    }

    #[test]
    fn an_impossible_rate_is_refused() {
        for (rate, burst) in [(0.0, 5), (-1.0, 5), (f64::NAN, 5), (5.0, 0), (1e-30, 1), (1e12, 1)] {
            assert!(Bucket::new(rate, burst).is_none(), "{rate} {burst}");
        }
    }
}
