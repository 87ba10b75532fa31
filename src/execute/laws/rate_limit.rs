//! Rate limit: never exceeded, and fully used.

use std::collections::HashMap;
use std::time::Duration;

use crate::execute::Budget;
use crate::imagekit::RateLimitHeaders;
use crate::request::{BudgetKind, Endpoint};
use crate::settings::{Rate, RateLimit};
use proptest::prelude::*;

use super::history::{History, Observed, Purpose};
use super::scenario::{
    Details, FIRST_ROW, FakeApi, Response, RowSpec, Scenario, Weights, execution, limit, our_share,
    scenarios,
};
use super::simulation::{PriorState, SessionOptions, simulate, simulate_with};

/// Less than the smallest fraction of a request that the budget counts.
const EPSILON: f64 = 1e-6;
const TEN_MINUTES: Duration = Duration::from_mins(10);
/// Minimum time after the last 429 during which a stated limit applies.
const STATED_LIMIT_LIFETIME: Duration = TEN_MINUTES;

/// Checks `burst + rate × t` over all pairs of times. With `x(i) = i - rate × t(i)` this is
/// `x(j) - x(i) + 1 <= burst` for all `i <= j`, so that only the least `x` so far is needed.
pub(crate) fn at_most(times: &[Duration], rate: f64, burst: f64) {
    let mut least = f64::INFINITY;
    for (index, at) in times.iter().enumerate() {
        let x = f64::from(u32::try_from(index).unwrap()) - rate * at.as_secs_f64();
        least = least.min(x);
        let over = x - least + 1.0 - burst;
        assert!(over <= EPSILON, "{over} requests above burst {burst}, rate {rate}/s at {at:?}");
    }
}

fn never_above_the_limit(scenario: &Scenario, history: &History) {
    for kind in [BudgetKind::Writes, BudgetKind::Reads] {
        if let Some((rate, burst)) = our_share(&scenario.execution, kind) {
            at_most(&history.times(kind), rate, burst);
            // Nor above the account's whole limit, which ImageKit enforces.
            let account = match kind {
                BudgetKind::Writes => scenario.execution.writes,
                BudgetKind::Reads => scenario.execution.reads,
            };
            if let Rate::PerSecond(rate) = account.rate {
                at_most(&history.times(kind), rate, f64::from(account.burst.get()));
            }
        }
    }
}

/// After a 429 that states a limit, never above our share of that limit while it applies.
fn never_above_a_stated_limit(scenario: &Scenario, history: &History) {
    for kind in [BudgetKind::Writes, BudgetKind::Reads] {
        let Some((rate, burst)) = our_share(&scenario.execution, kind) else { continue };
        let left = rate
            / match (kind, scenario.execution.writes.rate, scenario.execution.reads.rate) {
                (BudgetKind::Writes, Rate::PerSecond(rate), _)
                | (BudgetKind::Reads, _, Rate::PerSecond(rate)) => rate,
                _ => unreachable!("the budget should have a limit"),
            };
        let mut ceiling = rate;
        let mut times = Vec::new();
        let mut last_429 = Duration::ZERO;
        for (at, observed) in &history.events {
            if ceiling < rate && *at >= last_429 + STATED_LIMIT_LIFETIME {
                at_most(&times, ceiling, burst);
                times.clear();
                ceiling = rate;
            }
            if let Observed::Responded(id, Response::Throttled(_)) = observed
                && history.requests[*id].budget() == kind
            {
                last_429 = *at;
            }
            match observed {
                Observed::Sent(id) if history.requests[*id].budget() == kind => {
                    times.push(*at);
                }
                Observed::Responded(
                    id,
                    Response::Throttled(RateLimitHeaders { rate: Some(stated), .. }),
                ) if history.requests[*id].budget() == kind && stated * left < ceiling => {
                    at_most(&times, ceiling, burst);
                    times.clear();
                    ceiling = stated * left;
                }
                _ => {}
            }
        }
        at_most(&times, ceiling, burst);
    }
}

/// Nothing is sent to an endpoint while it is throttled.
fn throttling_is_respected(history: &History) {
    let mut throttled_until = [Duration::ZERO; Endpoint::ALL.len()];
    for (at, observed) in &history.events {
        match observed {
            Observed::Sent(id) => {
                let endpoint = history.requests[*id].endpoint;
                let until = throttled_until[endpoint as usize];
                assert!(until <= *at, "{endpoint:?} is throttled until {until:?}, sent at {at:?}");
            }
            Observed::Responded(id, Response::Throttled(note)) => {
                let endpoint = history.requests[*id].endpoint;
                let least = note.reset.unwrap_or(Duration::from_secs(1));
                let until = &mut throttled_until[endpoint as usize];
                *until = (*until).max(*at + least);
            }
            _ => {}
        }
    }
}

/// No request is sent again before its `Retry-After`.
fn retry_after_is_respected(history: &History) {
    let mut not_before: HashMap<(bool, usize, u8), Duration> = HashMap::new();
    let request_key = |id: &usize| {
        let sent = history.requests[*id];
        (sent.purpose == Purpose::Probe, sent.request, sent.step_mask)
    };
    for (at, observed) in &history.events {
        match observed {
            Observed::Sent(id) => {
                let until = not_before.get(&request_key(id)).copied().unwrap_or_default();
                assert!(until <= *at, "{:?} sent at {at:?}, not {until:?}", history.requests[*id]);
            }
            Observed::Responded(id, Response::Unavailable(retry_after)) => {
                not_before.insert(request_key(id), *at + *retry_after);
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn retries_respect_retry_after(scenario in scenarios(), lost in 5_u64..80) {
        let weights = Weights { lost, ..scenario.api.weights };
        let scenario = Scenario { api: FakeApi { weights, ..scenario.api }, ..scenario };
        retry_after_is_respected(&simulate(&scenario));
    }

    #[test]
    fn rate_never_exceeds_burst_plus_rate_times_t(scenario in scenarios()) {
        never_above_the_limit(&scenario, &simulate(&scenario));
    }

    #[test]
    fn late_loop_does_not_exceed_the_limit(scenario in scenarios()) {
        let history = simulate_with(&scenario, SessionOptions { wakes_late: true, ..SessionOptions::default() }, &PriorState::default());
        never_above_the_limit(&scenario, &history);
    }

    #[test]
    fn stated_limit_is_not_exceeded(
        scenario in scenarios(),
        stated in 0.2..40.0,
        throttled in 5_u64..60,
    ) {
        let weights = Weights { throttled, ..scenario.api.weights };
        let api = FakeApi { weights, stated_rate: Some(stated), ..scenario.api };
        let scenario = Scenario { api, ..scenario };
        let history = simulate(&scenario);
        never_above_the_limit(&scenario, &history);
        never_above_a_stated_limit(&scenario, &history);
    }

    #[test]
    fn throttled_endpoint_gets_no_requests(scenario in scenarios(), throttled in 5_u64..100) {
        let weights = Weights { throttled, ..scenario.api.weights };
        let scenario = Scenario { api: FakeApi { weights, ..scenario.api }, ..scenario };
        throttling_is_respected(&simulate(&scenario));
    }

    #[test]
    fn budget_respects_its_limit_at_any_times(
        rate in 0.1..3000.0,
        burst in 1_u32..600,
        leave in 0.0..0.95,
        pauses_and_actions in proptest::collection::vec((0_u64..2_000_000, 0_u8..40), 1..400),
    ) {
        let limit = RateLimit { burst: burst.try_into().unwrap(), rate: Rate::PerSecond(rate), leave };
        let mut budget = Budget::new(limit);
        let (mut now, mut times, mut ceiling) = (Duration::ZERO, Vec::new(), 1.0_f64);
        for (pause_us, action) in pauses_and_actions {
            now += Duration::from_micros(pause_us);
            match action {
                0 => budget.ramp_up_from(now + Duration::from_micros(pause_us)),
                1 => {
                    let share = f64::from(u32::try_from(pause_us).unwrap()) / 2e6 + 0.05;
                    ceiling = ceiling.min(share);
                    // Applies to the end: all pauses together are shorter than that.
                    budget.lower_ceiling(rate * share, now + TEN_MINUTES);
                    times.clear();
                }
                _ => while budget.take(now).is_ok() && times.len() < 5000 { times.push(now) },
            }
            let (rate, burst) = (rate * (1.0 - leave), f64::from(burst) * (1.0 - leave));
            at_most(&times, rate * ceiling, burst.max(1.0));
        }
    }
}

fn plain(file: usize) -> RowSpec {
    let file = u8::try_from(file % 250).unwrap();
    RowSpec::Update { file, details: Details::Plain, remove: false, add: false, publish: false }
}

fn steady(
    writes: RateLimit,
    rows: usize,
    throttle: Vec<(Duration, Endpoint, RateLimitHeaders)>,
) -> Scenario {
    Scenario {
        execution: execution(writes, 64, 6),
        sheet: (0..rows).map(plain).collect(),
        batches: vec![(500, 0)],
        api: FakeApi { throttle_once: throttle, ..FakeApi::default() },
    }
}

/// The used share of the allowed rate in the ten minutes after `from`.
fn used_share(times: &[Duration], from: Duration, rate: f64) -> f64 {
    let sent = times.iter().filter(|at| (from..from + TEN_MINUTES).contains(*at)).count();
    f64::from(u32::try_from(sent).unwrap()) / (rate * TEN_MINUTES.as_secs_f64())
}

fn rows_for(rate: f64, seconds: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand")]
    let rows = (rate * seconds) as usize;
    rows
}

#[test]
fn steady_run_uses_the_whole_rate() {
    for limit in [limit(5.0, 5, 0.1), limit(5.0, 5, 0.0), limit(1.1, 1, 0.0), limit(20.0, 40, 0.3)]
    {
        let scenario = steady(limit, rows_for(20.0, 700.0), Vec::new());
        let (rate, _) = our_share(&scenario.execution, BudgetKind::Writes).unwrap();
        let scenario =
            Scenario { sheet: (0..rows_for(rate, 700.0) + 40).map(plain).collect(), ..scenario };
        let history = simulate(&scenario);
        never_above_the_limit(&scenario, &history);
        let share = used_share(&history.times(BudgetKind::Writes), Duration::ZERO, rate);
        assert!(share >= 0.995, "{limit:?}: {share}");
    }
}

#[test]
fn run_uses_97_percent_after_throttling() {
    for limit in [limit(5.0, 5, 0.1), limit(5.0, 5, 0.0), limit(20.0, 10, 0.0)] {
        let (at, pause) = (Duration::from_mins(1), Duration::from_secs(20));
        let note = RateLimitHeaders { reset: Some(pause), rate: None };
        let mut scenario = steady(limit, 0, vec![(at, Endpoint::Patch, note)]);
        let (rate, _) = our_share(&scenario.execution, BudgetKind::Writes).unwrap();
        scenario.sheet = (0..rows_for(rate, 720.0)).map(plain).collect();
        let history = simulate(&scenario);
        throttling_is_respected(&history);
        never_above_the_limit(&scenario, &history);
        let mut throttled =
            history.responses().filter(|(.., r)| matches!(r, Response::Throttled(_)));
        let until = throttled.next().unwrap().0 + pause;
        let share = used_share(&history.times(BudgetKind::Writes), until, rate);
        assert!(share >= 0.97, "{limit:?}: {share}");
    }
}

#[test]
fn budget_of_500_per_second_is_fully_used() {
    let mut budget = Budget::new(limit(500.0, 500, 0.0));
    let mut times = Vec::new();
    let (mut now, pause) = (Duration::ZERO, Duration::from_secs(700));
    let mut is_paused = false;
    while now < pause + TEN_MINUTES {
        if !is_paused && now >= pause {
            budget.ramp_up_from(now);
            is_paused = true;
        }
        match budget.take(now) {
            Ok(()) => times.push(now),
            Err(at) => now = at,
        }
    }
    at_most(&times, 500.0, 500.0);
    let before = used_share(&times, Duration::ZERO, 500.0);
    let after = used_share(&times, pause, 500.0);
    assert!(before >= 0.995 && after >= 0.97, "{before} before the pause, {after} after it");
}

/// Takes every request that the budget grants between two times.
fn take_all(budget: &mut Budget, from: Duration, to: Duration) -> Vec<Duration> {
    let (mut now, mut times) = (from, Vec::new());
    while now < to {
        match budget.take(now) {
            Ok(()) => times.push(now),
            Err(at) => now = at.min(to),
        }
    }
    times
}

#[test]
fn stated_limit_expires_ten_minutes_after_last_429() {
    let tiny_rate = 1.0 / 86_400.0;
    let (rate, minute) = (5.0, Duration::from_mins(1));
    let mut budget = Budget::new(limit(rate, 5, 0.0));
    let mut times = take_all(&mut budget, Duration::ZERO, minute);
    budget.lower_ceiling(tiny_rate, minute);
    budget.ramp_up_from(2 * minute);
    let while_stated = take_all(&mut budget, minute, 12 * minute);
    assert!(while_stated.len() <= 1, "{while_stated:?}");
    // A further 429, even without a stated limit, extends it.
    budget.ramp_up_from(11 * minute + minute / 2);
    let while_stated = take_all(&mut budget, 12 * minute, 21 * minute);
    assert!(while_stated.is_empty(), "{while_stated:?}");
    let after_expiry = take_all(&mut budget, 21 * minute, 32 * minute);
    let share = used_share(&after_expiry, 22 * minute, rate);
    assert!(share >= 0.995, "{share}");
    times.extend(after_expiry);
    at_most(&times, rate, 5.0);
    // A limit stated later applies by itself.
    budget.lower_ceiling(2.0, 32 * minute);
    let share = used_share(&take_all(&mut budget, 32 * minute, 43 * minute), 32 * minute, 2.0);
    assert!((0.99..1.2).contains(&share), "{share}");
}

#[test]
fn small_burst_tolerates_a_millisecond_timer() {
    for (rate, burst) in [(500.0, 5), (500.0, 500), (100.0, 2), (5.0, 5)] {
        let mut budget = Budget::new(limit(rate, burst, 0.0));
        let (mut now, mut times) = (Duration::ZERO, Vec::new());
        while now < TEN_MINUTES {
            match budget.take(now) {
                Ok(()) => times.push(now),
                Err(at) => now = Duration::from_millis(u64::try_from(at.as_millis()).unwrap() + 2),
            }
        }
        at_most(&times, rate, f64::from(burst));
        let share = used_share(&times, Duration::ZERO, rate);
        assert!(share >= 0.995, "{rate}/s, burst {burst}: {share}");
    }
}

#[test]
fn late_requests_gain_nothing_during_gradual_return() {
    for late_at in 0..2 {
        let mut budget = Budget::new(limit(1.0, 1, 0.0));
        budget.ramp_up_from(Duration::ZERO);
        let (mut now, mut times) = (Duration::ZERO, Vec::new());
        while times.len() < 60 {
            let late = if times.len() % 2 == late_at { 3 } else { 0 };
            match budget.take(now) {
                Ok(()) => times.push(now),
                Err(at) => now = at + Duration::from_millis(late),
            }
        }
        at_most(&times, 1.0, 1.0);
    }
}

#[test]
fn throttled_endpoint_does_not_block_others() {
    let pause = Duration::from_secs(50);
    let note = RateLimitHeaders { reset: Some(pause), rate: None };
    let mut scenario =
        steady(limit(5.0, 5, 0.0), 0, vec![(Duration::ZERO, Endpoint::AddTags, note)]);
    let adds = |file| RowSpec::Update {
        file,
        details: Details::None,
        remove: false,
        add: true,
        publish: false,
    };
    scenario.sheet = (0..100).map(adds).collect();
    scenario.sheet.extend((100..250).map(plain));
    let history = simulate(&scenario);
    throttling_is_respected(&history);
    let patches = history.sent().filter(|(at, sent)| {
        (Duration::from_secs(5)..pause).contains(at) && sent.endpoint == Endpoint::Patch
    });
    // At half the rate, because the budget returns gradually.
    assert!(patches.count() >= 100);
}

#[test]
fn simultaneous_429s_without_reset_pause_one_second() {
    let note = RateLimitHeaders::default();
    let throttle = vec![(Duration::ZERO, Endpoint::Patch, note); 4];
    let mut scenario = steady(limit(100.0, 100, 0.0), 4, throttle);
    scenario.execution.concurrency = 4.try_into().unwrap();
    let history = simulate(&scenario);
    let throttled = history.responses().filter(|(.., r)| matches!(r, Response::Throttled(_)));
    let last = throttled.map(|(at, ..)| at).max().unwrap();
    let again = history.sent().map(|(at, _)| at).find(|at| *at > last).unwrap();
    assert!(again >= last + Duration::from_secs(1), "{again:?} after {last:?}");
    assert!(again < last + Duration::from_millis(1100), "{again:?} after {last:?}");
    assert_eq!(history.ledger().row_status(FIRST_ROW), crate::outcome::Status::Updated);
}
