//! The account's rate limits, and the background load of another client.

use crate::rate_limit::background_load::BackgroundLoad;
use crate::rate_limit::headers::{RateHeaders, Reset, ms_up};
use crate::rate_limit::limit::{Kind, Limit};
use crate::rate_limit::limiter::Limiter;

/// The rate limits of reads and of writes.
#[derive(Debug, Clone)]
pub(crate) struct AccountLimits {
    reads: Limits,
    writes: Limits,
}

/// The limits of one kind of calls. A request has to pass all of them.
#[derive(Debug, Clone, Default)]
struct Limits {
    limiters: Vec<Limiter>,
    count_throttled: bool,
    background_load: Option<BackgroundLoad>,
}

impl AccountLimits {
    /// Unused limits.
    ///
    /// # Errors
    /// A limit or the share of the background load is invalid.
    pub(crate) fn new(
        reads: &[Limit],
        writes: &[Limit],
        count_throttled: bool,
        background_load: f64,
        now_ns: u64,
    ) -> Result<Self, String> {
        let limits =
            |limits: &[Limit]| Limits::new(limits, count_throttled, background_load, now_ns);
        Ok(Self { reads: limits(reads)?, writes: limits(writes)? })
    }

    /// Counts a request that arrives now.
    ///
    /// # Errors
    /// The request is throttled: the headers of its 429.
    pub(crate) fn take(&mut self, kind: Kind, now_ns: u64) -> Result<(), RateHeaders> {
        self.kind_mut(kind).take(now_ns)
    }

    /// The headers of a response that is not a 429.
    pub(crate) fn headers(&mut self, kind: Kind, now_ns: u64) -> RateHeaders {
        self.kind_mut(kind).headers(now_ns)
    }

    fn kind_mut(&mut self, kind: Kind) -> &mut Limits {
        match kind {
            Kind::Read => &mut self.reads,
            Kind::Write => &mut self.writes,
        }
    }
}

impl Limits {
    fn new(
        limits: &[Limit],
        count_throttled: bool,
        background_load: f64,
        now_ns: u64,
    ) -> Result<Self, String> {
        let limiters: Vec<_> =
            limits.iter().map(|&limit| Limiter::new(limit)).collect::<Result<_, _>>()?;
        let slowest_ns = limiters.iter().map(Limiter::cost_ns).max();
        let background_load = BackgroundLoad::new(background_load, slowest_ns, now_ns)?;
        Ok(Self { limiters, count_throttled, background_load })
    }

    fn take(&mut self, now_ns: u64) -> Result<(), RateHeaders> {
        self.simulate_background_load(now_ns);
        if self.pass(now_ns) { Ok(()) } else { Err(self.tightest(now_ns)) }
    }

    fn headers(&mut self, now_ns: u64) -> RateHeaders {
        self.simulate_background_load(now_ns);
        self.tightest(now_ns)
    }

    /// Whether a request passes all limits. A throttled one counts in none of them, or in all.
    fn pass(&mut self, now_ns: u64) -> bool {
        let passes = self.wait_ns(now_ns) == 0;
        if passes || self.count_throttled {
            self.limiters.iter_mut().for_each(|limiter| limiter.spend(now_ns));
        }
        passes
    }

    fn simulate_background_load(&mut self, now_ns: u64) {
        let Some(mut background_load) = self.background_load.take() else { return };
        background_load.drop_oldest(now_ns);
        while background_load.sends_ns <= now_ns {
            if self.pass(background_load.sends_ns) {
                background_load.passed();
            } else {
                background_load.throttled(self.wait_ns(background_load.sends_ns));
            }
        }
        self.background_load = Some(background_load);
    }

    fn wait_ns(&self, now_ns: u64) -> u64 {
        self.limiters.iter().map(|limiter| limiter.wait_ns(now_ns)).max().unwrap_or(0)
    }

    /// The headers of the limit with the longest wait.
    fn tightest(&self, now_ns: u64) -> RateHeaders {
        let waits = self.limiters.iter().map(|limiter| (limiter.wait_ns(now_ns), limiter));
        // `max_by_key` returns the last maximum, so this reverses for the first one.
        let tightest = waits.rev().max_by_key(|(wait_ns, _)| *wait_ns);
        tightest.map_or_else(RateHeaders::default, |(wait_ns, limiter)| RateHeaders {
            announced: Some(limiter.announced()),
            reset: Some(Reset::Ms(ms_up(wait_ns))),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rate_limit::headers::Announced;

    const SECOND_NS: u64 = 1_000_000_000;
    const MS_NS: u64 = 1_000_000;
    const QUARTER_NS: u64 = 900 * SECOND_NS;

    fn bucket(rate: f64, burst: u32) -> Limit {
        Limit::Bucket { rate, burst }
    }

    fn window(requests: u32, seconds: u64) -> Limit {
        Limit::Window { requests, interval: Duration::from_secs(seconds) }
    }

    fn limits(limits: &[Limit], count_throttled: bool) -> Limits {
        Limits::new(limits, count_throttled, 0.0, 0).unwrap()
    }

    /// The announced wait of a request that arrives now; `None` if it passes.
    fn wait_ms(limits: &mut Limits, now_ns: u64) -> Option<u64> {
        match limits.take(now_ns).err()?.reset {
            Some(Reset::Ms(ms)) => Some(ms),
            other => panic!("{other:?}"),
        }
    }

    fn passed(limits: &mut Limits, times_ns: impl Iterator<Item = u64>) -> usize {
        times_ns.filter(|&now_ns| limits.take(now_ns).is_ok()).count()
    }

    #[test]
    fn burst_is_followed_by_exactly_the_rate() {
        let mut limits = limits(&[bucket(5.0, 5)], false);
        assert_eq!(passed(&mut limits, (0..=100_000).map(|ms| ms * MS_NS)), 5 + 5 * 100);
    }

    #[test]
    fn throttled_request_passes_exactly_after_the_wait() {
        let mut limits = limits(&[bucket(4.0, 1)], false);
        assert_eq!(wait_ms(&mut limits, 0), None);
        assert_eq!(wait_ms(&mut limits, 100 * MS_NS), Some(150));
        assert_eq!(wait_ms(&mut limits, 250 * MS_NS - 1), Some(1));
        assert_eq!(wait_ms(&mut limits, 250 * MS_NS), None);
    }

    #[test]
    fn no_interval_exceeds_burst_plus_rate() {
        let mut limits = limits(&[bucket(40.0, 7)], false);
        let passed: Vec<u64> = (0..20_000)
            .map(|step| step * MS_NS / 3)
            .filter(|&now| limits.take(now).is_ok())
            .collect();
        for (first, from) in passed.iter().enumerate() {
            for (more, to) in passed[first..].iter().enumerate() {
                let allowed = 7 + (to - from) * 40 / SECOND_NS;
                assert!((more as u64) < allowed, "{more} from {from} to {to}");
            }
        }
    }

    #[test]
    fn idle_bucket_holds_at_most_a_burst() {
        let mut limits = limits(&[bucket(5.0, 3)], false);
        assert_eq!(passed(&mut limits, [3600 * SECOND_NS; 10].into_iter()), 3);
    }

    #[test]
    fn counted_throttled_requests_prolong_the_wait() {
        let mut limits = limits(&[bucket(10.0, 1)], true);
        assert_eq!(wait_ms(&mut limits, 0), None);
        assert_eq!(wait_ms(&mut limits, 50 * MS_NS), Some(100));
        assert_eq!(wait_ms(&mut limits, 100 * MS_NS), Some(100));
        assert_eq!(wait_ms(&mut limits, 200 * MS_NS), None);
    }

    #[test]
    fn uncounted_throttled_requests_change_nothing() {
        let mut limits = limits(&[bucket(10.0, 1)], false);
        assert_eq!(wait_ms(&mut limits, 0), None);
        assert_eq!(wait_ms(&mut limits, 50 * MS_NS), Some(50));
        assert_eq!(wait_ms(&mut limits, 100 * MS_NS), None);
    }

    #[test]
    fn window_starts_with_its_first_request() {
        let mut limits = limits(&[window(2, 900)], false);
        let opened_ns = 100 * SECOND_NS;
        assert_eq!(wait_ms(&mut limits, opened_ns), None);
        assert_eq!(wait_ms(&mut limits, opened_ns + SECOND_NS), None);
        assert_eq!(wait_ms(&mut limits, opened_ns + 2 * SECOND_NS), Some(898_000));
        assert_eq!(wait_ms(&mut limits, opened_ns + QUARTER_NS - 1), Some(1));
        assert_eq!(passed(&mut limits, [opened_ns + QUARTER_NS; 5].into_iter()), 2);
    }

    #[test]
    fn headers_announce_the_limit_that_throttles() {
        let mut limits = limits(&[bucket(5.0, 5), window(7, 900)], false);
        let announced = |limits: &mut Limits, now_ns| limits.take(now_ns).unwrap_err().announced;
        let pair = |limit, interval_ms| Some(Announced { limit, interval_ms });
        assert_eq!(passed(&mut limits, [0; 5].into_iter()), 5);
        assert_eq!(announced(&mut limits, 0), pair(5, 1000));
        assert_eq!(passed(&mut limits, [SECOND_NS; 2].into_iter()), 2);
        assert_eq!(announced(&mut limits, SECOND_NS), pair(7, 900_000));
        assert_eq!(wait_ms(&mut limits, SECOND_NS), Some(899_000));
        assert_eq!(passed(&mut limits, [QUARTER_NS; 9].into_iter()), 5);
    }

    #[test]
    fn throttled_requests_count_in_other_limits_if_configured() {
        for (count_throttled, left) in [(false, 2), (true, 0)] {
            let mut limits = limits(&[bucket(1.0, 1), window(3, 900)], count_throttled);
            assert_eq!(passed(&mut limits, [0; 9].into_iter()), 1);
            assert_eq!(passed(&mut limits, (1..=9).map(|s| 2 * s * SECOND_NS)), left);
        }
    }

    #[test]
    fn background_load_leaves_the_rest_of_the_rate() {
        let loaded = || Limits::new(&[bucket(10.0, 10)], false, 0.3, 0).unwrap();
        let (mut limits, mut observed) = (loaded(), loaded());
        // 1009 requests would pass alone; the background load has sent 299.
        let time = |ms: u64| ms * MS_NS + MS_NS / 2;
        assert_eq!(passed(&mut limits, (0..100_000).map(time)), 1009 - 299);
        for ms in 0..100_000 {
            observed.headers(time(ms));
        }
        // The simulation does not depend on how often it is updated.
        assert_eq!(observed.headers(time(100_000)), loaded().headers(time(100_000)));
    }

    #[test]
    fn background_load_is_a_share_of_the_slowest_limit() {
        let limits = [bucket(5.0, 5), window(900, 900)];
        let mut limits = Limits::new(&limits, false, 0.5, 0).unwrap();
        // One every 2 s each: 450 of ours from 0 s on, 449 of the background load from 2 s on.
        assert_eq!(passed(&mut limits, (0..450).map(|n| 2 * n * SECOND_NS + 1)), 450);
        assert_eq!(passed(&mut limits, [899 * SECOND_NS; 5].into_iter()), 1);
    }

    #[test]
    fn idle_day_is_simulated_quickly() {
        let mut limits = Limits::new(&[bucket(1e6, 1000)], false, 0.5, 0).unwrap();
        let day_ns = 24 * 3600 * SECOND_NS;
        assert_eq!(passed(&mut limits, [day_ns; 2000].into_iter()), 999);
    }

    #[test]
    fn invalid_limit_or_background_load_is_rejected() {
        for limit in [bucket(0.0, 5), bucket(5.0, 0), window(0, 1), window(1, 0)] {
            assert!(Limits::new(&[limit], false, 0.0, 0).is_err(), "{limit}");
        }
        for share in [-0.1, 1.1, f64::NAN] {
            assert!(Limits::new(&[], false, share, 0).is_err(), "{share}");
        }
    }
}
