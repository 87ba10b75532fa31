//! The API enforces another limit than configured.

use std::time::Duration;

use crate::execute::EndReason;
use crate::outcome::Status;
use crate::request::{BudgetKind, Endpoint};

use super::history::History;
use super::scenario::{
    Details, FIRST_ROW, FakeApi, RealLimit, Response, RowSpec, Scenario, execution, limit,
    our_share,
};
use super::simulation::simulate;

/// A scenario with this configured limit; the rows cycle through 250 files.
fn scenario_with_limit(rate: f64, burst: u32, leave: f64, rows: usize, api: FakeApi) -> Scenario {
    let plain = |n: usize| RowSpec::Update {
        file: u8::try_from(n % 250).unwrap(),
        details: Details::Plain,
        remove: false,
        add: false,
        publish: false,
    };
    Scenario {
        execution: execution(limit(rate, burst, leave), 64, 6),
        sheet: (0..rows).map(plain).collect(),
        batches: vec![(500, 0)],
        api: FakeApi { latency_max_ms: 50, ..api },
    }
}

fn all_updated(history: &History, rows: u64) {
    assert_eq!(history.end_reason(), Some(&EndReason::Done));
    let ledger = history.ledger();
    for row in FIRST_ROW..FIRST_ROW + rows {
        assert_eq!(ledger.row_status(row), Status::Updated, "row {row}");
    }
}

fn duration_s(history: &History) -> f64 {
    history.responses().map(|(at, ..)| at).max().unwrap().as_secs_f64()
}

/// Checks that a run updates every row within 110 % of the ideal time under the enforced limit.
#[track_caller]
fn check_within_10_percent_of_ideal(
    scenario: impl FnOnce(usize, FakeApi) -> Scenario,
    rows: u32,
    real: RealLimit,
) -> History {
    let api = FakeApi { real_limit: Some(real), ..FakeApi::default() };
    let history = simulate(&scenario(rows as usize, api));
    all_updated(&history, u64::from(rows));
    let ideal = (f64::from(rows) - real.burst) / (real.rate * (1.0 - real.background_load));
    assert!(duration_s(&history) <= ideal * 1.1, "{} s instead of {ideal} s", duration_s(&history));
    history
}

fn throttled(history: &History) -> usize {
    history.responses().filter(|(.., response)| matches!(response, Response::Throttled(_))).count()
}

#[test]
fn stated_lower_limit_updates_all_rows() {
    let real = RealLimit { rate: 200.0, burst: 200.0, is_stated: true, background_load: 0.0 };
    let history = check_within_10_percent_of_ideal(
        |rows, api| scenario_with_limit(500.0, 500, 0.0, rows, api),
        40_000,
        real,
    );
    // The requests in flight at the first 429, and few later ones.
    assert!(throttled(&history) <= 200, "{}", throttled(&history));
}

#[test]
fn unstated_lower_limit_updates_all_rows() {
    let real = RealLimit { rate: 200.0, burst: 200.0, is_stated: false, background_load: 0.0 };
    check_within_10_percent_of_ideal(
        |rows, api| scenario_with_limit(500.0, 500, 0.0, rows, api),
        10_000,
        real,
    );
}

#[test]
fn background_load_within_its_reserve_causes_no_429() {
    let real = RealLimit { rate: 5.0, burst: 5.0, is_stated: true, background_load: 0.1 };
    let api = FakeApi { real_limit: Some(real), ..FakeApi::default() };
    let scenario = scenario_with_limit(5.0, 5, 0.1, 3000, api);
    let history = simulate(&scenario);
    all_updated(&history, 3000);
    assert_eq!(throttled(&history), 0);
    let (rate, _) = our_share(&scenario.execution, BudgetKind::Writes).unwrap();
    assert!(duration_s(&history) <= 3000.0 / rate * 1.01, "{}", duration_s(&history));
}

#[test]
fn background_load_of_half_updates_all_rows() {
    let real = RealLimit { rate: 5.0, burst: 5.0, is_stated: true, background_load: 0.5 };
    check_within_10_percent_of_ideal(
        |rows, api| scenario_with_limit(5.0, 5, 0.1, rows, api),
        3000,
        real,
    );
}

#[test]
fn run_waits_for_a_reset_in_15_minutes() {
    let fifteen = Duration::from_mins(15);
    let note = crate::imagekit::RateLimitHeaders { reset: Some(fifteen), rate: None };
    let at = Duration::from_secs(30);
    let throttle_once = vec![(at, Endpoint::Patch, note)];
    let api = FakeApi { throttle_once, ..FakeApi::default() };
    let history = simulate(&scenario_with_limit(5.0, 5, 0.0, 600, api));
    all_updated(&history, 600);
    assert_eq!(throttled(&history), 1);
    let (throttled_at, ..) = history
        .responses()
        .find(|(.., response)| matches!(response, Response::Throttled(_)))
        .unwrap();
    let between = |at: &Duration| *at > throttled_at && *at < throttled_at + fifteen;
    assert_eq!(history.times(BudgetKind::Writes).iter().filter(|at| between(at)).count(), 0);
    // 600 requests at 5/s, the wait, and the gradual return to the full rate.
    assert!(duration_s(&history) <= 120.0 + 900.0 + 5.0, "{}", duration_s(&history));
}
