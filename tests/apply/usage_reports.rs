//! `ikbulk usage`: units and runs by the account's reports, against what the sandbox charged.

use ikbulk_sandbox::{Config, ExtensionOutcome, ExtensionUnits, Status, UsageReports};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};

use crate::harness::{Cases, TestEnv, assert_text, files, script, status};

const TASKS: &str = r#"[{"name":"ai-tasks","tasks":[{"type":"select_tags","instruction":"Which colours?","vocabulary":["red","blue"]}]}]"#;

fn config() -> Config {
    Config {
        extensions: ExtensionOutcome::Always(Status::Success),
        units: ExtensionUnits { ai_tasks: 11, ai_auto_description: 4, ..Default::default() },
        usage_reports: UsageReports::Current,
        ..files(["a", "b", "c"])
    }
}

/// Runs extensions on files, whatever they cost.
fn run(env: &TestEnv, ids: &[&str], extensions: &str) {
    let extensions: Value = serde_json::from_str(extensions).expect("it is JSON");
    let rows = ids.iter().map(|id| json!({"fileId": id, "extensions": extensions}));
    env.write("sheet.jsonl", rows.map(|row| format!("{row}\n")).collect::<String>());
    env.apply("sheet.jsonl").exits(0);
}

/// The output, with today and the day 29 days before replaced.
fn usage(env: &TestEnv, flags: &str) -> String {
    let shown = env.run(&format!("usage {flags}")).exits(0).out;
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    let first = today.saturating_sub(29.days());
    shown.replace(&today.to_string(), "[today]").replace(&first.to_string(), "[29 days ago]")
}

#[test]
fn price_is_measured_and_the_flag_is_right() {
    let env = TestEnv::new(config());
    let mut cases = Cases::default();
    cases.add("nothing ran", usage(&env, ""));
    run(&env, &["a"], r#"[{"name":"remove-bg"}]"#);
    cases.add("published prices", usage(&env, ""));
    run(&env, &["a", "b"], TASKS);
    cases.add("one unknown price", usage(&env, ""));
    let json: Value = serde_json::from_str(&env.run("usage --json").exits(0).out).expect("JSON");
    assert_eq!(json["units"], env.sandbox.stats().billed_units);
    assert_eq!(json["flag"], "--price ai-tasks=11");
    run(&env, &["a"], r#"[{"name":"ai-auto-description"}]"#);
    cases.add("two unknown prices", usage(&env, ""));
    cases.add("one of them stated", usage(&env, "--price ai-tasks=11"));
    cases.add("a wrong price stated", usage(&env, "--price ai-tasks=60"));
    assert_text!(cases);
    // With the flag, a limit of units holds exactly.
    let before = env.sandbox.stats().billed_units;
    run_limited(&env);
    assert_eq!(env.sandbox.stats().billed_units, before + 11);
}

/// Runs ai-tasks on three files, of which one fits 15 units.
fn run_limited(env: &TestEnv) {
    let tasks: Value = serde_json::from_str(&TASKS.replace("colours", "shapes")).expect("JSON");
    let rows = ["a", "b", "c"].map(|id| json!({"fileId": id, "extensions": tasks}));
    env.write("limited.jsonl", rows.map(|row| format!("{row}\n")).concat());
    env.apply("limited.jsonl --max-units 15").exits(2);
    env.apply("limited.jsonl --max-units 15 --price ai-tasks=11").exits(5);
}

#[test]
fn runs_of_different_prices_are_not_one_price() {
    let env = TestEnv::new(Config { usage_reports: UsageReports::Cached, ..config() });
    // The reports are cached: the units lack the second run.
    run(&env, &["a"], TASKS);
    env.run("usage").exits(0).output_contains("--price ai-tasks=11");
    run(&env, &["b"], TASKS);
    env.sandbox.advance(std::time::Duration::from_mins(6));
    env.run("usage").exits(0).output_contains("11 units of ai-tasks for 2 runs: not one price");
}

#[test]
fn periods_that_imagekit_does_not_report_are_refused() {
    let env = TestEnv::new(config());
    let mut cases = Cases::default();
    for flags in [
        "--since 2026-11-02 --until 2026-11-01",
        "--since 2026-11-02 --until 2026-11-02",
        "--since 2026-01-01 --until 2026-11-02",
        "--until 9999-01-01",
        "--since yesterday",
    ] {
        let refused = env.run(&format!("usage {flags}")).exits(2);
        let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
        cases.add(flags, refused.err.replace(&today.to_string(), "[today]"));
    }
    assert_text!(cases);
    assert_eq!(env.sandbox.stats().requests, 0);
}

#[test]
fn report_that_the_key_may_not_read_is_explained() {
    let env = TestEnv::new(script(vec![(2, status(403, "Not permitted."))], config()));
    assert_text!(env.run("usage").exits(2).err);
}
