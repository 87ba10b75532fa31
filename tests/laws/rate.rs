//! Exactly at the limit: never above it, and as little as possible below.

use std::collections::HashMap;
use std::time::Duration;

use ikbulk::execute::Budget;
use ikbulk::imagekit::RateLimitNote;
use ikbulk::request::{BudgetKind, Endpoint};
use ikbulk::settings::{Rate, RateLimit};
use proptest::prelude::*;

use super::history::{Aim, History, What};
use super::sim::{Bounds, Left, play, play_with};
use super::world::{
    Details, FIRST_ROW, FarEnd, Reply, Spec, Weights, World, execution, left_to_us, limit, worlds,
};

/// Less than the smallest part of a request that the budget counts.
const EPSILON: f64 = 1e-6;
const TEN_MINUTES: Duration = Duration::from_mins(10);
/// For so long at least behind the last 429 a limit that one has stated is believed.
const BELIEVED: Duration = TEN_MINUTES;

/// In any t seconds at most `burst + rate × t`, over all pairs of times: with
/// `x(i) = i - rate × t(i)` it means that `x(j) - x(i) + 1 <= burst` for all `i <= j`, so that the
/// least `x` so far is all that has to be kept.
pub(crate) fn at_most(times: &[Duration], rate: f64, burst: f64) {
    let mut least = f64::INFINITY;
    for (index, at) in times.iter().enumerate() {
        let x = f64::from(u32::try_from(index).unwrap()) - rate * at.as_secs_f64();
        least = least.min(x);
        let over = x - least + 1.0 - burst;
        assert!(over <= EPSILON, "{over} requests above burst {burst}, rate {rate}/s at {at:?}");
    }
}

fn never_above_the_limit(world: &World, history: &History) {
    for kind in [BudgetKind::Writes, BudgetKind::Reads] {
        if let Some((rate, burst)) = left_to_us(&world.execution, kind) {
            at_most(&history.times(kind), rate, burst);
            // And so below the account's own limit, which is the one that ImageKit counts by.
            let account = match kind {
                BudgetKind::Writes => world.execution.writes,
                BudgetKind::Reads => world.execution.reads,
            };
            if let Rate::PerSecond(rate) = account.rate {
                at_most(&history.times(kind), rate, f64::from(account.burst.get()));
            }
        }
    }
}

/// After a 429 that states a limit, no more than that, less what is left to others, for as long as it
/// is believed.
fn never_above_a_stated_limit(world: &World, history: &History) {
    for kind in [BudgetKind::Writes, BudgetKind::Reads] {
        let Some((rate, burst)) = left_to_us(&world.execution, kind) else { continue };
        let left = rate
            / match (kind, world.execution.writes.rate, world.execution.reads.rate) {
                (BudgetKind::Writes, Rate::PerSecond(rate), _)
                | (BudgetKind::Reads, _, Rate::PerSecond(rate)) => rate,
                _ => unreachable!("there is a limit"),
            };
        let mut ceiling = rate;
        let mut times = Vec::new();
        let mut last_429 = Duration::ZERO;
        for (at, what) in &history.events {
            if ceiling < rate && *at >= last_429 + BELIEVED {
                at_most(&times, ceiling, burst);
                times.clear();
                ceiling = rate;
            }
            if let What::Replied(id, Reply::Throttled(_)) = what
                && history.shots[*id].budget() == kind
            {
                last_429 = *at;
            }
            match what {
                What::Sent(id) if history.shots[*id].budget() == kind => {
                    times.push(*at);
                }
                What::Replied(id, Reply::Throttled(RateLimitNote { rate: Some(stated), .. }))
                    if history.shots[*id].budget() == kind && stated * left < ceiling =>
                {
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

/// While an endpoint holds, nothing goes there.
fn holds_are_kept(history: &History) {
    let mut holds = [Duration::ZERO; Endpoint::ALL.len()];
    for (at, what) in &history.events {
        match what {
            What::Sent(id) => {
                let endpoint = history.shots[*id].endpoint;
                let until = holds[endpoint as usize];
                assert!(until <= *at, "{endpoint:?} holds until {until:?}, sent at {at:?}");
            }
            What::Replied(id, Reply::Throttled(note)) => {
                let endpoint = history.shots[*id].endpoint;
                let least = note.reset.unwrap_or(Duration::from_secs(1));
                let until = &mut holds[endpoint as usize];
                *until = (*until).max(*at + least);
            }
            _ => {}
        }
    }
}

/// A request whose answer said when to come back is not sent again before.
fn retry_after_is_kept(history: &History) {
    let mut not_before: HashMap<(bool, usize, u8), Duration> = HashMap::new();
    let whose = |id: &usize| {
        let shot = history.shots[*id];
        (shot.aim == Aim::Probe, shot.request, shot.part)
    };
    for (at, what) in &history.events {
        match what {
            What::Sent(id) => {
                let until = not_before.get(&whose(id)).copied().unwrap_or_default();
                assert!(until <= *at, "{:?} sent at {at:?}, not {until:?}", history.shots[*id]);
            }
            What::Replied(id, Reply::Unavailable(retry_after)) => {
                not_before.insert(whose(id), *at + *retry_after);
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn nothing_is_repeated_before_the_time_that_its_answer_said(world in worlds(), lost in 5_u64..80) {
        let weights = Weights { lost, ..world.far_end.weights };
        let world = World { far_end: FarEnd { weights, ..world.far_end }, ..world };
        retry_after_is_kept(&play(&world));
    }

    #[test]
    fn in_any_t_seconds_at_most_burst_and_rate_times_t_go_out(world in worlds()) {
        never_above_the_limit(&world, &play(&world));
    }

    #[test]
    fn a_loop_that_comes_late_never_catches_up_beyond_the_limit(world in worlds()) {
        let history = play_with(&world, Bounds { late: true, ..Bounds::default() }, &Left::default());
        never_above_the_limit(&world, &history);
    }

    #[test]
    fn a_stated_limit_is_never_exceeded_afterwards(
        world in worlds(),
        stated in 0.2..40.0,
        throttled in 5_u64..60,
    ) {
        let weights = Weights { throttled, ..world.far_end.weights };
        let far_end = FarEnd { weights, stated_rate: Some(stated), ..world.far_end };
        let world = World { far_end, ..world };
        let history = play(&world);
        never_above_the_limit(&world, &history);
        never_above_a_stated_limit(&world, &history);
    }

    #[test]
    fn nothing_goes_to_an_endpoint_while_it_holds(world in worlds(), throttled in 5_u64..100) {
        let weights = Weights { throttled, ..world.far_end.weights };
        let world = World { far_end: FarEnd { weights, ..world.far_end }, ..world };
        holds_are_kept(&play(&world));
    }

    #[test]
    fn a_budget_alone_keeps_to_its_limit_whenever_it_is_asked(
        rate in 0.1..3000.0,
        burst in 1_u32..600,
        leave in 0.0..0.95,
        asks in proptest::collection::vec((0_u64..2_000_000, 0_u8..40), 1..400),
    ) {
        let limit = RateLimit { burst: burst.try_into().unwrap(), rate: Rate::PerSecond(rate), leave };
        let mut budget = Budget::new(limit);
        let (mut now, mut times, mut ceiling) = (Duration::ZERO, Vec::new(), 1.0_f64);
        for (pause_us, what) in asks {
            now += Duration::from_micros(pause_us);
            match what {
                0 => budget.return_from(now + Duration::from_micros(pause_us)),
                1 => {
                    let share = f64::from(u32::try_from(pause_us).unwrap()) / 2e6 + 0.05;
                    ceiling = ceiling.min(share);
                    // Believed to the end: all asks together take less than twice ten minutes.
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

fn plain(file: usize) -> Spec {
    let file = u8::try_from(file % 250).unwrap();
    Spec::Update { file, details: Details::Plain, remove: false, add: false, publish: false }
}

fn steady(
    writes: RateLimit,
    rows: usize,
    throttle: Vec<(Duration, Endpoint, RateLimitNote)>,
) -> World {
    World {
        execution: execution(writes, 64, 6),
        sheet: (0..rows).map(plain).collect(),
        batches: vec![(500, 0)],
        far_end: FarEnd { throttle_once: throttle, ..FarEnd::default() },
    }
}

/// The share of the allowed rate that is used in the ten minutes from a time on.
fn used(times: &[Duration], from: Duration, rate: f64) -> f64 {
    let sent = times.iter().filter(|at| (from..from + TEN_MINUTES).contains(at)).count();
    f64::from(u32::try_from(sent).unwrap()) / (rate * TEN_MINUTES.as_secs_f64())
}

fn rows_for(rate: f64, seconds: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand")]
    let rows = (rate * seconds) as usize;
    rows
}

#[test]
fn at_the_limit_all_of_the_allowed_rate_is_used() {
    for limit in [limit(5.0, 5, 0.1), limit(5.0, 5, 0.0), limit(1.1, 1, 0.0), limit(20.0, 40, 0.3)]
    {
        let world = steady(limit, rows_for(20.0, 700.0), Vec::new());
        let (rate, _) = left_to_us(&world.execution, BudgetKind::Writes).unwrap();
        let world = World { sheet: (0..rows_for(rate, 700.0) + 40).map(plain).collect(), ..world };
        let history = play(&world);
        never_above_the_limit(&world, &history);
        let share = used(&history.times(BudgetKind::Writes), Duration::ZERO, rate);
        assert!(share >= 0.995, "{limit:?}: {share}");
    }
}

#[test]
fn in_the_ten_minutes_after_a_hold_97_percent_of_the_allowed_rate_is_used() {
    for limit in [limit(5.0, 5, 0.1), limit(5.0, 5, 0.0), limit(20.0, 10, 0.0)] {
        let (at, hold) = (Duration::from_mins(1), Duration::from_secs(20));
        let note = RateLimitNote { reset: Some(hold), rate: None };
        let mut world = steady(limit, 0, vec![(at, Endpoint::Patch, note)]);
        let (rate, _) = left_to_us(&world.execution, BudgetKind::Writes).unwrap();
        world.sheet = (0..rows_for(rate, 720.0)).map(plain).collect();
        let history = play(&world);
        holds_are_kept(&history);
        never_above_the_limit(&world, &history);
        let mut throttled = history.replies().filter(|(.., r)| matches!(r, Reply::Throttled(_)));
        let until = throttled.next().unwrap().0 + hold;
        let share = used(&history.times(BudgetKind::Writes), until, rate);
        assert!(share >= 0.97, "{limit:?}: {share}");
    }
}

#[test]
fn a_budget_of_500_a_second_is_used_as_fully() {
    let mut budget = Budget::new(limit(500.0, 500, 0.0));
    let mut times = Vec::new();
    let (mut now, hold) = (Duration::ZERO, Duration::from_secs(700));
    let mut is_held = false;
    while now < hold + TEN_MINUTES {
        if !is_held && now >= hold {
            budget.return_from(now);
            is_held = true;
        }
        match budget.take(now) {
            Ok(()) => times.push(now),
            Err(at) => now = at,
        }
    }
    at_most(&times, 500.0, 500.0);
    let before = used(&times, Duration::ZERO, 500.0);
    let after = used(&times, hold, 500.0);
    assert!(before >= 0.995 && after >= 0.97, "{before} before the hold, {after} after it");
}

/// Takes all that a budget gives between two times.
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
fn an_absurd_limit_is_believed_for_ten_minutes_behind_the_last_hold_and_then_forgotten() {
    let absurd = 1.0 / 86_400.0;
    let (rate, minute) = (5.0, Duration::from_mins(1));
    let mut budget = Budget::new(limit(rate, 5, 0.0));
    let mut times = take_all(&mut budget, Duration::ZERO, minute);
    budget.lower_ceiling(absurd, minute);
    budget.return_from(2 * minute);
    let believed = take_all(&mut budget, minute, 12 * minute);
    assert!(believed.len() <= 1, "{believed:?}");
    // Another 429 in the meantime, also one that states no limit, makes it last longer.
    budget.return_from(11 * minute + minute / 2);
    let believed = take_all(&mut budget, 12 * minute, 21 * minute);
    assert!(believed.is_empty(), "{believed:?}");
    let forgotten = take_all(&mut budget, 21 * minute, 32 * minute);
    let share = used(&forgotten, 22 * minute, rate);
    assert!(share >= 0.995, "{share}");
    times.extend(forgotten);
    at_most(&times, rate, 5.0);
    // A limit that is stated after that counts by itself.
    budget.lower_ceiling(2.0, 32 * minute);
    let share = used(&take_all(&mut budget, 32 * minute, 43 * minute), 32 * minute, 2.0);
    assert!((0.99..1.2).contains(&share), "{share}");
}

#[test]
fn a_small_burst_loses_nothing_to_a_timer_of_whole_milliseconds() {
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
        let share = used(&times, Duration::ZERO, rate);
        assert!(share >= 0.995, "{rate}/s, burst {burst}: {share}");
    }
}

#[test]
fn whoever_asks_late_while_the_rate_comes_back_gains_nothing_for_the_next_request() {
    for late_at in 0..2 {
        let mut budget = Budget::new(limit(1.0, 1, 0.0));
        budget.return_from(Duration::ZERO);
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
fn while_one_endpoint_holds_the_others_go_on() {
    let hold = Duration::from_secs(50);
    let note = RateLimitNote { reset: Some(hold), rate: None };
    let mut world = steady(limit(5.0, 5, 0.0), 0, vec![(Duration::ZERO, Endpoint::AddTags, note)]);
    let adds = |file| Spec::Update {
        file,
        details: Details::None,
        remove: false,
        add: true,
        publish: false,
    };
    world.sheet = (0..100).map(adds).collect();
    world.sheet.extend((100..250).map(plain));
    let history = play(&world);
    holds_are_kept(&history);
    let patches = history.sent().filter(|(at, shot)| {
        (Duration::from_secs(5)..hold).contains(at) && shot.endpoint == Endpoint::Patch
    });
    // At half the rate, which is how the budget comes back.
    assert!(patches.count() >= 100);
}

#[test]
fn several_429s_of_one_moment_without_a_reset_are_one_hold_of_a_second() {
    let note = RateLimitNote::default();
    let throttle = vec![(Duration::ZERO, Endpoint::Patch, note); 4];
    let mut world = steady(limit(100.0, 100, 0.0), 4, throttle);
    world.execution.concurrency = 4.try_into().unwrap();
    let history = play(&world);
    let throttled = history.replies().filter(|(.., r)| matches!(r, Reply::Throttled(_)));
    let last = throttled.map(|(at, ..)| at).max().unwrap();
    let again = history.sent().map(|(at, _)| at).find(|at| *at > last).unwrap();
    assert!(again >= last + Duration::from_secs(1), "{again:?} after {last:?}");
    assert!(again < last + Duration::from_millis(1100), "{again:?} after {last:?}");
    assert_eq!(history.ledger().row_status(FIRST_ROW), ikbulk::outcome::Status::Updated);
}
