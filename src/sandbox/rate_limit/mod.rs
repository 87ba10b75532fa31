//! All limits on one kind of calls together, and the neighbour who uses them too.

mod background_load;
mod bucket;
mod limiter;

pub(crate) use limiter::Announced;

use crate::sandbox::config::{Config, Limit};
use crate::sandbox::response::{RateHeaders, Reset};
use crate::sandbox::route::Kind;
use background_load::BackgroundLoad;
use limiter::{Limiter, ms_up};

/// The account's limits, which reads and writes have apart.
#[derive(Debug, Clone)]
pub(crate) struct AccountLimits {
    reads: Limits,
    writes: Limits,
}

/// The limits on one kind of calls. A request needs a place in each of them.
#[derive(Debug, Clone, Default)]
struct Limits {
    limiters: Vec<Limiter>,
    refused_count: bool,
    background_load: Option<BackgroundLoad>,
}

impl AccountLimits {
    /// Full limits from now on.
    ///
    /// # Errors
    /// Says which limit cannot be kept.
    pub(crate) fn new(config: &Config, now_ns: u64) -> Result<Self, String> {
        let limits = |limits: &[Limit]| {
            Limits::new(limits, config.refused_count, config.background_load, now_ns)
        };
        Ok(Self { reads: limits(&config.reads)?, writes: limits(&config.writes)? })
    }

    /// Takes a place for a request that arrives now.
    ///
    /// # Errors
    /// The headers of its 429.
    pub(crate) fn take(&mut self, kind: Kind, now_ns: u64) -> Result<(), RateHeaders> {
        self.of(kind).take(now_ns)
    }

    /// The headers of an response that is no 429.
    pub(crate) fn headers(&mut self, kind: Kind, now_ns: u64) -> RateHeaders {
        self.of(kind).headers(now_ns)
    }

    fn of(&mut self, kind: Kind) -> &mut Limits {
        match kind {
            Kind::Read => &mut self.reads,
            Kind::Write => &mut self.writes,
        }
    }
}

impl Limits {
    fn new(
        limits: &[Limit],
        refused_count: bool,
        background_load: f64,
        now_ns: u64,
    ) -> Result<Self, String> {
        let limiters: Vec<_> =
            limits.iter().map(|&limit| Limiter::new(limit)).collect::<Result<_, _>>()?;
        let slowest_ns = limiters.iter().map(Limiter::cost_ns).max();
        let background_load = BackgroundLoad::new(background_load, slowest_ns, now_ns)?;
        Ok(Self { limiters, refused_count, background_load })
    }

    fn take(&mut self, now_ns: u64) -> Result<(), RateHeaders> {
        self.let_background_load_in(now_ns);
        if self.pass(now_ns) { Ok(()) } else { Err(self.tightest(now_ns)) }
    }

    fn headers(&mut self, now_ns: u64) -> RateHeaders {
        self.let_background_load_in(now_ns);
        self.tightest(now_ns)
    }

    /// Whether a request passes: all or none of the limits give it a place.
    fn pass(&mut self, now_ns: u64) -> bool {
        let passes = self.wait_ns(now_ns) == 0;
        if passes || self.refused_count {
            self.limiters.iter_mut().for_each(|limiter| limiter.spend(now_ns));
        }
        passes
    }

    fn let_background_load_in(&mut self, now_ns: u64) {
        let Some(mut background_load) = self.background_load.take() else { return };
        background_load.forget_the_oldest(now_ns);
        while background_load.sends_ns <= now_ns {
            if self.pass(background_load.sends_ns) {
                background_load.passed();
            } else {
                background_load.refused(self.wait_ns(background_load.sends_ns));
            }
        }
        self.background_load = Some(background_load);
    }

    fn wait_ns(&self, now_ns: u64) -> u64 {
        self.limiters.iter().map(|limiter| limiter.wait_ns(now_ns)).max().unwrap_or(0)
    }

    /// The limit that makes a request wait longest.
    fn tightest(&self, now_ns: u64) -> RateHeaders {
        let waits = self.limiters.iter().map(|limiter| (limiter.wait_ns(now_ns), limiter));
        // The first of several that are the same.
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

    use super::limiter::Announced;
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;
    const MS_NS: u64 = 1_000_000;
    const QUARTER_NS: u64 = 900 * SECOND_NS;

    fn bucket(rate: f64, burst: u32) -> Limit {
        Limit::Bucket { rate, burst }
    }

    fn window(requests: u32, seconds: u64) -> Limit {
        Limit::Window { requests, interval: Duration::from_secs(seconds) }
    }

    fn limits(limits: &[Limit], refused_count: bool) -> Limits {
        Limits::new(limits, refused_count, 0.0, 0).unwrap()
    }

    /// How long a request that arrives now is told to wait; `None`: it passes.
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
    fn a_burst_goes_at_once_and_then_exactly_the_rate() {
        let mut limits = limits(&[bucket(5.0, 5)], false);
        assert_eq!(passed(&mut limits, (0..=100_000).map(|ms| ms * MS_NS)), 5 + 5 * 100);
    }

    #[test]
    fn a_refusal_says_exactly_how_long_to_wait() {
        let mut limits = limits(&[bucket(4.0, 1)], false);
        assert_eq!(wait_ms(&mut limits, 0), None);
        assert_eq!(wait_ms(&mut limits, 100 * MS_NS), Some(150));
        assert_eq!(wait_ms(&mut limits, 250 * MS_NS - 1), Some(1));
        assert_eq!(wait_ms(&mut limits, 250 * MS_NS), None);
    }

    #[test]
    fn never_more_than_burst_and_rate_in_any_stretch() {
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
    fn after_an_hour_idle_the_bucket_holds_a_burst_and_no_more() {
        let mut limits = limits(&[bucket(5.0, 3)], false);
        assert_eq!(passed(&mut limits, [3600 * SECOND_NS; 10].into_iter()), 3);
    }

    #[test]
    fn refused_requests_that_count_push_the_next_place_back() {
        let mut limits = limits(&[bucket(10.0, 1)], true);
        assert_eq!(wait_ms(&mut limits, 0), None);
        assert_eq!(wait_ms(&mut limits, 50 * MS_NS), Some(100));
        assert_eq!(wait_ms(&mut limits, 100 * MS_NS), Some(100));
        assert_eq!(wait_ms(&mut limits, 200 * MS_NS), None);
    }

    #[test]
    fn refused_requests_that_do_not_count_change_nothing() {
        let mut limits = limits(&[bucket(10.0, 1)], false);
        assert_eq!(wait_ms(&mut limits, 0), None);
        assert_eq!(wait_ms(&mut limits, 50 * MS_NS), Some(50));
        assert_eq!(wait_ms(&mut limits, 100 * MS_NS), None);
    }

    #[test]
    fn a_window_opens_with_its_first_request_and_closes_for_the_rest_of_its_time() {
        let mut limits = limits(&[window(2, 900)], false);
        let opened_ns = 100 * SECOND_NS;
        assert_eq!(wait_ms(&mut limits, opened_ns), None);
        assert_eq!(wait_ms(&mut limits, opened_ns + SECOND_NS), None);
        assert_eq!(wait_ms(&mut limits, opened_ns + 2 * SECOND_NS), Some(898_000));
        assert_eq!(wait_ms(&mut limits, opened_ns + QUARTER_NS - 1), Some(1));
        assert_eq!(passed(&mut limits, [opened_ns + QUARTER_NS; 5].into_iter()), 2);
    }

    #[test]
    fn of_several_limits_the_one_that_refuses_is_announced() {
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
    fn what_one_limit_refuses_costs_a_place_in_the_others_only_if_it_counts() {
        for (refused_count, left) in [(false, 2), (true, 0)] {
            let mut limits = limits(&[bucket(1.0, 1), window(3, 900)], refused_count);
            assert_eq!(passed(&mut limits, [0; 9].into_iter()), 1);
            assert_eq!(passed(&mut limits, (1..=9).map(|s| 2 * s * SECOND_NS)), left);
        }
    }

    #[test]
    fn a_neighbour_leaves_the_rest_of_the_rate_and_nothing_of_it_depends_on_when_one_looks() {
        let with = || Limits::new(&[bucket(10.0, 10)], false, 0.3, 0).unwrap();
        let (mut often, mut seldom) = (with(), with());
        // Alone it would get 1009; the neighbour has sent 299.
        let greedy = |ms: u64| ms * MS_NS + MS_NS / 2;
        assert_eq!(passed(&mut often, (0..100_000).map(greedy)), 1009 - 299);
        for ms in 0..100_000 {
            seldom.headers(greedy(ms));
        }
        assert_eq!(seldom.headers(greedy(100_000)), with().headers(greedy(100_000)));
    }

    #[test]
    fn a_neighbour_keeps_to_the_slowest_of_the_limits() {
        let limits = [bucket(5.0, 5), window(900, 900)];
        let mut limits = Limits::new(&limits, false, 0.5, 0).unwrap();
        // One each every 2 s: 450 of ours from 0 s on, 449 of the neighbour's from 2 s on.
        assert_eq!(passed(&mut limits, (0..450).map(|n| 2 * n * SECOND_NS + 1)), 450);
        assert_eq!(passed(&mut limits, [899 * SECOND_NS; 5].into_iter()), 1);
    }

    #[test]
    fn a_day_of_silence_is_made_up_for_without_going_through_it() {
        let mut limits = Limits::new(&[bucket(1e6, 1000)], false, 0.5, 0).unwrap();
        let day_ns = 24 * 3600 * SECOND_NS;
        assert_eq!(passed(&mut limits, [day_ns; 2000].into_iter()), 999);
    }

    #[test]
    fn an_impossible_limit_or_neighbour_is_refused() {
        for limit in [bucket(0.0, 5), bucket(5.0, 0), window(0, 1), window(1, 0)] {
            assert!(Limits::new(&[limit], false, 0.0, 0).is_err(), "{limit}");
        }
        for share in [-0.1, 1.1, f64::NAN] {
            assert!(Limits::new(&[], false, share, 0).is_err(), "{share}");
        }
    }
}
