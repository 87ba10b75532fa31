//! Usage reports, and the sandbox's own counts of billed runs.

use std::time::Duration;

use ikbulk_sandbox::{Config, ExtensionRuns, ExtensionUnits, Running, UsageReports};
use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};

use crate::client::{config, get, patch, post, request, start_sandbox};

fn sandbox() -> Running {
    start_sandbox(Config { usage_reports: UsageReports::Current, ..config() })
}

fn run(running: &Running, id: &str, extensions: &Value) {
    assert_eq!(patch(running, id, &json!({"extensions": extensions})).status, 200);
}

fn tagging(name: &str) -> Value {
    json!({"name": name, "minConfidence": 80, "maxTags": 5})
}

fn today() -> Date {
    Offset::UTC.to_datetime(Timestamp::now()).date()
}

/// A report from yesterday to tomorrow, or later days.
fn report(running: &Running, path: &str, from_today: i64, to_today: i64) -> Value {
    let day = |days: i64| today().saturating_add(days.days());
    let query = format!("startDate={}&endDate={}", day(from_today), day(to_today));
    let response = get(running, &format!("/v1/accounts/{path}?{query}"));
    assert_eq!(response.status, 200, "{}", response.text);
    response.json()
}

fn units(running: &Running) -> Value {
    report(running, "usage", -1, 2)["extensionUnitsCount"].clone()
}

#[test]
fn units_are_those_of_the_extensions_that_ran() {
    let running = sandbox();
    run(&running, "f1", &json!([tagging("aws-auto-tagging"), {"name": "remove-bg"}]));
    run(&running, "f2", &json!([tagging("google-auto-tagging"), tagging("aws-auto-tagging")]));
    let saved = json!({"name": "saved-extension", "id": "ext_tagging"});
    run(&running, "f1", &json!([saved]));
    assert_eq!(units(&running), 1 + 130 + 2 + 1 + 2);
    assert_eq!(running.stats().billed_units, 136);
    let operations = report(&running, "usage-analytics", -1, 1)["extensions"].clone();
    let expected = json!([
        {"name": "aws-auto-tagging", "operationCount": 2},
        {"name": "google-auto-tagging", "operationCount": 2},
        {"name": "remove-bg", "operationCount": 1},
    ]);
    assert_eq!(operations, expected);
}

#[test]
fn undocumented_price_can_be_measured() {
    let prices = ExtensionUnits { ai_tasks: 11, ai_auto_description: 4, ..Default::default() };
    let running = start_sandbox(Config { units: prices, ..config() });
    for id in ["f1", "f2"] {
        run(&running, id, &json!([{"name": "ai-auto-description"}]));
    }
    assert_eq!(units(&running), 8);
    let operations = report(&running, "usage-analytics", -1, 1)["extensions"].clone();
    assert_eq!(operations, json!([{"name": "ai-auto-description", "operationCount": 2}]));
}

#[test]
fn rejected_requests_cost_nothing() {
    let running = sandbox();
    for (id, body) in [
        ("gone", json!({"extensions": [{"name": "remove-bg"}]})),
        ("f1", json!({"extensions": [{"name": "remove-bg"}], "tags": ["50%"]})),
        ("f1", json!({"extensions": [{"name": "remove-bg"}, {"name": "unknown"}]})),
    ] {
        assert_ne!(patch(&running, id, &body).status, 200);
    }
    assert_eq!((units(&running), running.stats().billed_units), (json!(0), 0));
    assert_eq!(running.extension_runs(), []);
}

#[test]
fn usage_excludes_the_last_day_and_analytics_include_it() {
    let running = sandbox();
    let day = Duration::from_hours(24);
    running.advance(day * 2);
    run(&running, "f1", &json!([{"name": "remove-bg"}]));
    let units = |from, to| report(&running, "usage", from, to)["extensionUnitsCount"].clone();
    let runs = |from, to| {
        let list = report(&running, "usage-analytics", from, to)["extensions"].clone();
        list.as_array().expect("an array").len()
    };
    // It ran two days from now.
    assert_eq!((units(-1, 2), runs(-1, 2)), (json!(0), 1));
    assert_eq!((units(2, 3), runs(2, 3)), (json!(130), 1));
    assert_eq!((units(3, 4), runs(-1, 1)), (json!(0), 0));
}

#[test]
fn reports_are_cached_for_the_same_dates() {
    let running = start_sandbox(config());
    assert_eq!(units(&running), 0);
    report(&running, "usage-analytics", -1, 1);
    run(&running, "f1", &json!([{"name": "remove-bg"}]));
    let operations =
        || report(&running, "usage-analytics", -1, 1)["extensions"].as_array().unwrap().len();
    assert_eq!((units(&running), operations()), (json!(0), 0));
    assert_eq!(report(&running, "usage", -2, 2)["extensionUnitsCount"], 130);
    running.advance(Duration::from_mins(5));
    assert_eq!((units(&running), operations()), (json!(0), 1));
    running.advance(Duration::from_hours(6));
    assert_eq!(units(&running), 130);
}

#[test]
fn dates_must_be_in_order_and_less_than_90_days_apart() {
    let running = sandbox();
    let status = |query: &str| {
        let usage = get(&running, &format!("/v1/accounts/usage?{query}")).status;
        let analytics = get(&running, &format!("/v1/accounts/usage-analytics?{query}")).status;
        assert_eq!(usage, analytics, "{query}");
        usage
    };
    assert_eq!(status("startDate=2026-01-01&endDate=2026-03-31"), 200);
    for bad in [
        "",
        "startDate=2026-01-01",
        "endDate=2026-01-01",
        "startDate=2026-01-01&endDate=2026-01-01",
        "startDate=2026-01-02&endDate=2026-01-01",
        "startDate=2026-01-01&endDate=2026-04-01",
        "startDate=2026-02-30&endDate=2026-03-01",
        "startDate=20260101&endDate=20260102",
        "startDate=2026-01-01T00:00:00Z&endDate=2026-01-02",
    ] {
        assert_eq!(status(bad), 400, "{bad}");
    }
}

#[test]
fn runs_are_counted_by_file_extension_and_configuration() {
    let running = sandbox();
    let config = json!({"name": "google-auto-tagging", "minConfidence": 80, "maxTags": 10});
    let saved = json!({"name": "saved-extension", "id": "ext_tagging"});
    run(&running, "f1", &json!([config]));
    run(&running, "f1", &json!([saved]));
    run(&running, "f1", &json!([tagging("google-auto-tagging")]));
    run(&running, "f2", &json!([config]));
    let runs = |file_id: &str, configuration: &Value, runs| ExtensionRuns {
        file_id: file_id.to_owned(),
        extension: "google-auto-tagging".to_owned(),
        configuration: configuration.clone(),
        runs,
        units: 2 * runs,
    };
    let expected = [
        runs("f1", &config, 2),
        runs("f1", &tagging("google-auto-tagging"), 1),
        runs("f2", &config, 1),
    ];
    assert_eq!(running.extension_runs(), expected);
    assert_eq!(running.stats().max_billed_runs_per_configuration, 2);
    assert_eq!(get(&running, "/__sandbox/runs").json(), json!(expected));
    request(&running, "POST /__sandbox/reset", "");
    assert_eq!((running.extension_runs().len(), units(&running)), (0, json!(0)));
}

#[test]
fn totals_are_counted_without_recording_runs() {
    let running = start_sandbox(Config { record: false, ..config() });
    run(&running, "f1", &json!([{"name": "remove-bg"}]));
    assert_eq!((units(&running), running.stats().billed_units), (json!(130), 130));
    assert_eq!(running.extension_runs(), []);
    assert_eq!(post(&running, "/v1/accounts/usage", &json!({})).status, 405);
}
