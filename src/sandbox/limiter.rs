//! A rate limit as a pure function of time: the generic cell rate algorithm in whole nanoseconds.

use super::config::Limit;

const SECOND_NS: u64 = 1_000_000_000;
const MS_NS: u64 = 1_000_000;

/// What the limit's headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) limit: u64,
    pub(crate) interval_ms: u64,
}

/// One bucket. Time is passed in, so nothing in here sleeps or drifts.
#[derive(Debug, Clone)]
pub(crate) struct Limiter {
    /// What one request costs.
    cost_ns: u64,
    /// How far ahead of the steady rate a burst may run: the cost of a full bucket.
    bucket_ns: u64,
    /// When the bucket would be full again; in the past means that it is full.
    full_at_ns: u64,
    refused_count: bool,
    announced: Announced,
}

impl Limiter {
    /// # Errors
    /// A rate that is not a positive number, or a burst of 0, cannot be kept.
    pub(crate) fn new(limit: Limit, refused_count: bool) -> Result<Self, String> {
        let cost = std::time::Duration::try_from_secs_f64(1.0 / limit.rate);
        let cost_ns = cost.ok().and_then(|cost| u64::try_from(cost.as_nanos()).ok());
        match cost_ns {
            Some(cost_ns) if cost_ns > 0 && limit.burst > 0 => Ok(Self {
                cost_ns,
                bucket_ns: cost_ns.saturating_mul(u64::from(limit.burst)),
                full_at_ns: 0,
                refused_count,
                announced: announce(cost_ns),
            }),
            _ => Err(format!(
                "a limit of {} a second, burst {}, cannot be kept",
                limit.rate, limit.burst
            )),
        }
    }

    /// Takes a place for a request that arrives now, or says in how many nanoseconds one is free.
    pub(crate) fn take(&mut self, now_ns: u64) -> Result<(), u64> {
        let wait_ns = self.wait_ns(now_ns);
        if wait_ns == 0 {
            self.full_at_ns = self.full_at_ns.max(now_ns) + self.cost_ns;
            return Ok(());
        }
        if self.refused_count {
            // The debt ends at an empty bucket, or a flood of refused requests would lock the
            // account for hours.
            let later_ns = self.full_at_ns + self.cost_ns;
            self.full_at_ns = later_ns.min(now_ns + self.bucket_ns);
        }
        Err(self.wait_ns(now_ns))
    }

    /// How long until a request would be let through; 0 is now.
    pub(crate) fn wait_ns(&self, now_ns: u64) -> u64 {
        (self.full_at_ns.max(now_ns) + self.cost_ns).saturating_sub(now_ns + self.bucket_ns)
    }

    pub(crate) fn announced(&self) -> Announced {
        self.announced
    }
}

/// Whole milliseconds that are enough to wait: rounded up.
pub(crate) fn ms_up(ns: u64) -> u64 {
    ns.div_ceil(MS_NS)
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

    fn limiter(rate: f64, burst: u32, refused_count: bool) -> Limiter {
        Limiter::new(Limit { rate, burst }, refused_count).unwrap()
    }

    #[test]
    fn a_burst_goes_at_once_and_then_exactly_the_rate() {
        let mut limiter = limiter(5.0, 5, false);
        let let_through = (0..=100_000).filter(|ms| limiter.take(ms * MS_NS).is_ok()).count();
        assert_eq!(let_through, 5 + 5 * 100);
    }

    #[test]
    fn a_refusal_says_exactly_how_long_to_wait() {
        let mut limiter = limiter(4.0, 1, false);
        assert_eq!(limiter.take(0), Ok(()));
        assert_eq!(limiter.take(100 * MS_NS), Err(150 * MS_NS));
        assert_eq!(limiter.take(250 * MS_NS - 1), Err(1));
        assert_eq!(limiter.take(250 * MS_NS), Ok(()));
    }

    #[test]
    fn never_more_than_burst_and_rate_in_any_stretch() {
        let mut limiter = limiter(40.0, 7, false);
        let passed: Vec<u64> = (0..20_000)
            .map(|step| step * MS_NS / 3)
            .filter(|&now| limiter.take(now).is_ok())
            .collect();
        for (first, from) in passed.iter().enumerate() {
            for (more, to) in passed[first..].iter().enumerate() {
                let allowed = 7 + (to - from) * 40 / SECOND_NS;
                assert!((more as u64) < allowed, "{more} from {from} to {to}");
            }
        }
    }

    #[test]
    fn after_an_hour_idle_the_bucket_holds_a_burst_and_no_more() {
        let mut limiter = limiter(5.0, 3, false);
        let hour = 3600 * SECOND_NS;
        let let_through = (0..10).filter(|_| limiter.take(hour).is_ok()).count();
        assert_eq!(let_through, 3);
    }

    #[test]
    fn refused_requests_that_count_push_the_next_place_back() {
        let mut limiter = limiter(10.0, 1, true);
        assert_eq!(limiter.take(0), Ok(()));
        assert_eq!(limiter.take(50 * MS_NS), Err(100 * MS_NS));
        assert_eq!(limiter.take(100 * MS_NS), Err(100 * MS_NS));
        assert_eq!(limiter.take(200 * MS_NS), Ok(()));
    }

    #[test]
    fn refused_requests_that_do_not_count_change_nothing() {
        let mut limiter = limiter(10.0, 1, false);
        assert_eq!(limiter.take(0), Ok(()));
        assert_eq!(limiter.take(50 * MS_NS), Err(50 * MS_NS));
        assert_eq!(limiter.take(100 * MS_NS), Ok(()));
    }

    #[test]
    fn the_announced_numbers_are_the_rate() {
        let announced = |rate| limiter(rate, 5, false).announced();
        let pair = |limit, interval_ms| Announced { limit, interval_ms };
        assert_eq!(announced(5.0), pair(5, 1000));
        assert_eq!(announced(2.5), pair(5, 2000));
        assert_eq!(announced(300.0), pair(300, 1000));
        assert_eq!(announced(0.5), pair(1, 2000));
        assert_eq!(announced(1.0), pair(1, 1000));
    }

    #[test]
    fn an_impossible_limit_is_refused() {
        for (rate, burst) in [(0.0, 5), (-1.0, 5), (f64::NAN, 5), (5.0, 0), (1e-30, 1), (1e12, 1)] {
            assert!(Limiter::new(Limit { rate, burst }, false).is_err(), "{rate} {burst}");
        }
    }
}
