//! A limit that is not what it was said to be.

use std::time::Duration;

use ikbulk::execute::EndReason;
use ikbulk::outcome::Status;
use ikbulk::request::{BudgetKind, Endpoint};

use super::history::History;
use super::sim::play;
use super::world::{
    Details, FIRST_ROW, FarEnd, RealLimit, Reply, Spec, World, execution, left_to_us, limit,
};

/// Rows of a file each, as far as numbers of files go, and the limit that we are told.
fn told(rate: f64, burst: u32, leave: f64, rows: usize, far_end: FarEnd) -> World {
    let plain = |n: usize| Spec::Update {
        file: u8::try_from(n % 250).unwrap(),
        details: Details::Plain,
        remove: false,
        add: false,
        publish: false,
    };
    World {
        execution: execution(limit(rate, burst, leave), 64, 6),
        sheet: (0..rows).map(plain).collect(),
        batches: vec![(500, 0)],
        far_end: FarEnd { latency_max_ms: 50, ..far_end },
    }
}

fn all_updated(history: &History, rows: u64) {
    assert_eq!(history.ending(), Some(&EndReason::Done));
    let ledger = history.ledger();
    for row in FIRST_ROW..FIRST_ROW + rows {
        assert_eq!(ledger.row_status(row), Status::Updated, "row {row}");
    }
}

fn took(history: &History) -> f64 {
    history.replies().map(|(at, ..)| at).max().unwrap().as_secs_f64()
}

/// A run that is told one limit and meets another: everything is updated, and within a tenth of the
/// ideal time.
#[track_caller]
fn ideal_within_a_tenth(
    told: impl FnOnce(usize, FarEnd) -> World,
    rows: u32,
    real: RealLimit,
) -> History {
    let far_end = FarEnd { real_limit: Some(real), ..FarEnd::default() };
    let history = play(&told(rows as usize, far_end));
    all_updated(&history, u64::from(rows));
    let ideal = (f64::from(rows) - real.burst) / (real.rate * (1.0 - real.background_load));
    assert!(took(&history) <= ideal * 1.1, "{} s instead of {ideal} s", took(&history));
    history
}

fn throttled(history: &History) -> usize {
    history.replies().filter(|(.., reply)| matches!(reply, Reply::Throttled(_))).count()
}

#[test]
fn told_500_a_second_where_200_hold_a_run_takes_its_time_and_updates_everything() {
    let real = RealLimit { rate: 200.0, burst: 200.0, is_stated: true, background_load: 0.0 };
    let history = ideal_within_a_tenth(|rows, far| told(500.0, 500, 0.0, rows, far), 40_000, real);
    // Those that were under way when the first one came back, and few afterwards.
    assert!(throttled(&history) <= 200, "{}", throttled(&history));
}

#[test]
fn where_no_429_says_what_the_limit_is_everything_is_updated_all_the_same() {
    let real = RealLimit { rate: 200.0, burst: 200.0, is_stated: false, background_load: 0.0 };
    ideal_within_a_tenth(|rows, far| told(500.0, 500, 0.0, rows, far), 10_000, real);
}

#[test]
fn beside_a_neighbour_who_takes_what_was_left_to_him_there_is_no_429() {
    let real = RealLimit { rate: 5.0, burst: 5.0, is_stated: true, background_load: 0.1 };
    let far_end = FarEnd { real_limit: Some(real), ..FarEnd::default() };
    let world = told(5.0, 5, 0.1, 3000, far_end);
    let history = play(&world);
    all_updated(&history, 3000);
    assert_eq!(throttled(&history), 0);
    let (rate, _) = left_to_us(&world.execution, BudgetKind::Writes).unwrap();
    assert!(took(&history) <= 3000.0 / rate * 1.01, "{}", took(&history));
}

#[test]
fn beside_a_neighbour_who_takes_half_everything_is_updated_in_the_other_half() {
    let real = RealLimit { rate: 5.0, burst: 5.0, is_stated: true, background_load: 0.5 };
    ideal_within_a_tenth(|rows, far| told(5.0, 5, 0.1, rows, far), 3000, real);
}

#[test]
fn a_reset_in_fifteen_minutes_is_waited_for_and_costs_nothing_more() {
    let fifteen = Duration::from_mins(15);
    let note = ikbulk::imagekit::RateLimitNote { reset: Some(fifteen), rate: None };
    let at = Duration::from_secs(30);
    let throttle_once = vec![(at, Endpoint::Patch, note)];
    let far_end = FarEnd { throttle_once, ..FarEnd::default() };
    let history = play(&told(5.0, 5, 0.0, 600, far_end));
    all_updated(&history, 600);
    assert_eq!(throttled(&history), 1);
    let (told_at, ..) =
        history.replies().find(|(.., reply)| matches!(reply, Reply::Throttled(_))).unwrap();
    let between = |at: &Duration| *at > told_at && *at < told_at + fifteen;
    assert_eq!(history.times(BudgetKind::Writes).iter().filter(|at| between(at)).count(), 0);
    // 600 requests at 5 a second, the wait, and the gradual return.
    assert!(took(&history) <= 120.0 + 900.0 + 5.0, "{}", took(&history));
}
