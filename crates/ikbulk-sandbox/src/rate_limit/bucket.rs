//! Token bucket: the generic cell rate algorithm (GCRA) as a pure function of time.

use crate::rate_limit::headers::{Announced, ms_up};

const SECOND_NS: u64 = 1_000_000_000;

/// A bucket that refills at a constant rate.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// Cost of a request: the time to refill one token.
    pub(crate) cost_ns: u64,
    /// Cost of a burst: the time to refill the empty bucket.
    full_ns: u64,
    /// When the bucket will be full; a past time if it is full.
    full_at_ns: u64,
    pub(crate) announced: Announced,
}

impl Bucket {
    /// `None` if the rate is not positive and finite, or the burst is 0.
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

    /// Time until a request passes; 0 for immediately.
    pub(crate) fn wait_ns(&self, now_ns: u64) -> u64 {
        (self.full_at_ns.max(now_ns) + self.cost_ns).saturating_sub(now_ns + self.full_ns)
    }

    /// Takes a token. The bucket never gets emptier than empty; otherwise a flood of throttled
    /// requests that count would block the account for hours.
    pub(crate) fn spend(&mut self, now_ns: u64) {
        let later_ns = self.full_at_ns.max(now_ns) + self.cost_ns;
        self.full_at_ns = later_ns.min(now_ns + self.full_ns);
    }
}

/// The rate as a number of requests per interval: the shortest interval of 1 to 10 seconds with a
/// whole number, or one request per interval if the rate is below one per second.
fn announce(cost_ns: u64) -> Announced {
    if cost_ns > SECOND_NS {
        return Announced { limit: 1, interval_ms: ms_up(cost_ns) };
    }
    // Tolerates that `cost_ns` is rounded to whole nanoseconds.
    let is_whole = |seconds: &u64| (seconds * SECOND_NS) % cost_ns <= seconds * SECOND_NS / cost_ns;
    let seconds = (1..=10).find(is_whole).unwrap_or(1);
    Announced { limit: seconds * SECOND_NS / cost_ns, interval_ms: seconds * 1000 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announced_limit_and_interval_match_rate() {
        let announced = |rate| Bucket::new(rate, 5).unwrap().announced;
        let pair = |limit, interval_ms| Announced { limit, interval_ms };
        assert_eq!(announced(5.0), pair(5, 1000));
        assert_eq!(announced(2.5), pair(5, 2000));
        assert_eq!(announced(300.0), pair(300, 1000));
        assert_eq!(announced(0.5), pair(1, 2000));
        assert_eq!(announced(1.0), pair(1, 1000));
    }

    #[test]
    fn invalid_rate_or_burst_is_rejected() {
        for (rate, burst) in [(0.0, 5), (-1.0, 5), (f64::NAN, 5), (5.0, 0), (1e-30, 1), (1e12, 1)] {
            assert!(Bucket::new(rate, burst).is_none(), "{rate} {burst}");
        }
    }
}
