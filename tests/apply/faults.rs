//! What goes wrong at the other end, and what it comes to.

use ikbulk::sandbox::{Config, Fault, Faults};
use serde_json::json;

use crate::harness::{World, files};

const GOOGLE: &str =
    r#""[{""name"":""google-auto-tagging"",""minConfidence"":80,""maxTags"":10}]""#;

fn world(ids: &[&str], faults: Faults) -> World {
    World::new(Config { faults, ..files(ids.iter().copied()) })
}

fn script(script: Vec<(u64, Fault)>) -> Faults {
    Faults { script, ..Faults::default() }
}

fn sheet_of(count: usize) -> (Vec<String>, String) {
    let ids: Vec<String> = (0..count).map(|index| format!("file{index:03}")).collect();
    let rows: String = ids.iter().map(|id| format!("{id},red\n")).collect();
    (ids, format!("fileId,tags\n{rows}"))
}

#[test]
fn a_storm_of_429s_costs_no_row_and_no_attempt() {
    let throttle = Fault::Throttle { reset_ms: Some(20), limit: None };
    let (ids, sheet) = sheet_of(60);
    let faults = Faults { random: vec![(throttle, 0.3)], seed: 5, ..Faults::default() };
    let world = World::new(Config { faults, ..files(ids) });
    world.write("sheet.csv", sheet);
    world.apply("sheet.csv --attempts 1").exits(0);
    let run = world.only_run("sheet");
    assert_eq!(run.count("updated"), 60);
    assert!(run.summary()["requests"]["throttled"].as_u64().unwrap() > 5);
    assert!(run.report().iter().all(|row| row["attempts"] == "1"));
}

#[test]
fn passing_faults_before_and_after_the_work_leave_every_row_updated() {
    let server = Fault::Status {
        code: 502,
        body: "<html>Bad Gateway</html>".to_owned(),
        content_type: "text/html".to_owned(),
    };
    let (ids, sheet) = sheet_of(40);
    let random = [server, Fault::ResetBefore, Fault::ResetAfter, Fault::CutBody, Fault::Garbage];
    let random = random.into_iter().map(|fault| (fault, 0.04)).collect();
    let faults = Faults { random, seed: 3, ..Faults::default() };
    let world = World::new(Config { faults, ..files(ids) });
    world.write("sheet.csv", sheet);
    world.apply("sheet.csv --attempts 30").exits(0);
    let run = world.only_run("sheet");
    assert_eq!(run.count("updated"), 40);
    assert!(run.summary()["requests"]["retried"].as_u64().unwrap() > 0);
}

#[test]
fn a_row_whose_attempts_are_used_up_is_failed_and_running_again_helps() {
    let server = Fault::Status {
        code: 500,
        body: r#"{"message":"Oops."}"#.to_owned(),
        content_type: "application/json".to_owned(),
    };
    let world = world(&["a"], script(vec![(1, server.clone()), (2, server)]));
    world.write("sheet.csv", "fileId,tags\na,red\n");
    world.apply("sheet.csv --attempts 2").exits(5).says("Oops.");
    let row = world.only_run("sheet").row(2);
    assert_eq!((row["status"].as_str(), row["attempts"].as_str()), ("failed", "2"));
    assert_eq!((row["code"].as_str(), row["httpStatus"].as_str()), ("server", "500"));
}

#[test]
fn a_paid_request_whose_answer_is_lost_is_unknown_paid_once_and_its_rest_is_applied() {
    // The requests: the state before, the lost PATCH, a probe or the rest of the PATCH.
    let world = world(&["a"], script(vec![(2, Fault::ResetAfter)]));
    world.write("sheet.csv", format!("fileId,tags,extensions\na,red,{GOOGLE}\n"));
    world.apply("sheet.csv").exits(6).says("unknown");
    let run = world.only_run("sheet");
    assert_eq!(run.statuses(), ["unknown"]);
    assert_eq!(world.sandbox.stats().paid_runs_of("a", "google-auto-tagging"), 1);
    assert_eq!(world.file("a")["tags"], json!(["red"]));
    world.write("again.csv", run.text("unknown.csv"));
    world.apply("again.csv").exits(2).says("--repeat-unknown");
    assert_eq!(world.sandbox.stats().paid_runs_of("a", "google-auto-tagging"), 1);
    world.apply("again.csv --repeat-unknown").exits(0);
    assert_eq!(world.sandbox.stats().paid_runs_of("a", "google-auto-tagging"), 2);
}

#[test]
fn a_paid_request_that_never_left_is_sent_again_and_paid_once() {
    let throttle = Fault::Throttle { reset_ms: Some(10), limit: None };
    let world = world(&["a"], script(vec![(2, throttle)]));
    world.write("sheet.csv", format!("fileId,extensions\na,{GOOGLE}\n"));
    world.apply("sheet.csv").exits(0);
    assert_eq!(world.sandbox.stats().paid_runs_of("a", "google-auto-tagging"), 1);
}

#[test]
fn a_lost_publishing_is_not_repeated() {
    let world = world(&["a"], script(vec![(2, Fault::ResetAfter)]));
    world.write("sheet.csv", "fileId,isPublished\na,false\n");
    world.apply("sheet.csv").exits(6);
    assert_eq!(world.sandbox.stats().calls.publish, 1);
}

#[test]
fn a_key_that_expires_half_way_halts_the_run_and_loses_nothing() {
    let (ids, sheet) = sheet_of(10);
    let faults = script(vec![(5, Fault::Expire)]);
    let world = World::new(Config { faults, ..files(ids) });
    world.write("sheet.csv", sheet);
    world.apply("sheet.csv --concurrency 1").exits(3).says("expired private API key");
    let run = world.only_run("sheet");
    assert_eq!((run.count("updated"), run.count("not_attempted")), (4, 6));
}

#[test]
fn the_same_rejection_again_and_again_halts_and_its_rows_are_open_again() {
    let (ids, sheet) = sheet_of(30);
    let refusal = Fault::Status {
        code: 400,
        body: r#"{"message":"Invalid custom metadata."}"#.to_owned(),
        content_type: "application/json".to_owned(),
    };
    let faults = script((4..=13).map(|n| (n, refusal.clone())).collect());
    let world = World::new(Config { faults, ..files(ids) });
    world.write("sheet.csv", sheet);
    let args = "--concurrency 1 --max-same-rejection 10";
    world.apply(&format!("sheet.csv {args}")).exits(3).says("the same rejection 10 times in a row");
    let run = world.only_run("sheet");
    assert_eq!((run.count("updated"), run.count("not_attempted")), (3, 27));
    world.run(&format!("resume --rate unlimited {}", run.name())).exits(0);
    assert_eq!(run.count("updated"), 30);
}

#[test]
fn a_service_that_cannot_be_reached_halts_the_run_without_burning_a_row() {
    let world = World::new(files(["a"]));
    world.write("sheet.csv", "fileId,tags\na,red\nb,red\n");
    // Nothing listens on port 1.
    let nowhere = "--endpoint http://127.0.0.1:1 --down-max 1s";
    world.apply(&format!("sheet.csv {nowhere}")).exits(3).says("out of reach");
    let run = world.only_run("sheet");
    assert_eq!(run.count("not_attempted"), 2);
}
