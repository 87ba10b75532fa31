//! `ikbulk settle`, and `apply --settle`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ikbulk_sandbox::{
    Config, ExtensionOutcome, Fault, FinalStatus, Hook, Library, Phase, Settlement, Status,
};
use serde_json::json;

use crate::harness::{
    Cases, ChildHandle, RunFiles, TestEnv, assert_text, files, ids, script, sheet, status,
    with_library,
};

const HOUR: Duration = Duration::from_hours(1);

/// Every extension is pending, and settles in this way after an hour.
fn pending(status: FinalStatus, config: Config) -> Config {
    Config {
        extensions: ExtensionOutcome::Always(Status::Pending),
        settlement: Some(Settlement { after: HOUR, status }),
        ..config
    }
}

/// A row that runs an extension.
fn row(file: &str, extension: &str) -> String {
    format!("{{\"fileId\":\"{file}\",\"extensions\":[{extension}]}}\n")
}

const REMOVE_BG: &str = r#"{"name":"remove-bg"}"#;
const GOOGLE: &str = r#"{"name":"google-auto-tagging","minConfidence":80,"maxTags":2}"#;
const DESCRIPTION: &str = r#"{"name":"ai-auto-description"}"#;
const TASKS: &str = r#"{"name":"ai-tasks","tasks":[{"type":"select_tags","instruction":"What?","vocabulary":["shirt"]}]}"#;

/// A sheet with one row per extension.
fn each_extension() -> String {
    let rows = [("a", REMOVE_BG), ("b", GOOGLE), ("c", DESCRIPTION), ("d", TASKS)];
    rows.into_iter().map(|(file, extension)| row(file, extension)).collect()
}

#[test]
fn pending_extensions_are_settled_by_what_the_files_show() {
    let env = TestEnv::new(pending(FinalStatus::Success, files(["a", "b", "c", "d"])));
    env.write("sheet.jsonl", each_extension());
    let mut cases = Cases::default();
    cases.add("apply", env.apply("sheet.jsonl").exits(0));
    let run = env.only_run("sheet");
    let settle = format!("settle {}", run.name());
    cases.add("before", env.run(&format!("{settle} --deadline 1ms")).exits(0));
    assert_eq!(run.row(1)["extensionStatus.remove-bg"], "pending");
    env.sandbox.advance(HOUR);
    cases.add("after", env.run(&settle).exits(0));
    cases.add("report.csv", run.text("report.csv"));
    // What ai-tasks did cannot be told from other changes.
    cases.add("again", env.run(&settle).exits(0));
    assert_text!(cases);
    let success = json!({"success": 1, "pending": 0, "failed": 0, "unclear": 0});
    assert_eq!(run.summary()["extensions"]["google-auto-tagging"], success);
    assert_eq!(run.row(3)["description"], env.file("c")["description"].as_str().unwrap());
    assert_eq!(env.sandbox.stats().calls.patch, 4, "settling changes nothing");
}

/// The description of the row comes first, so that another one is that of the extension.
#[test]
fn description_after_that_of_the_row_is_that_of_the_extension() {
    let env = TestEnv::new(pending(FinalStatus::Success, files(["a"])));
    let row = json!({"fileId": "a", "description": "mine",
        "extensions": [{"name": "ai-auto-description"}]});
    env.write("sheet.jsonl", format!("{row}\n"));
    env.apply("sheet.jsonl").exits(0);
    let run = env.only_run("sheet");
    let settle = format!("settle {} --deadline 1ms", run.name());
    env.run(&settle).exits(0);
    assert_eq!(run.row(1)["extensionStatus.ai-auto-description"], "pending");
    env.sandbox.advance(HOUR);
    env.run(&settle).exits(0);
    assert_eq!(run.row(1)["extensionStatus.ai-auto-description"], "success");
    assert_eq!(run.row(1)["description"], env.file("a")["description"].as_str().expect("a text"));
}

/// A row that sets a description and runs the extension that writes one, whose response is lost; settled.
fn settled_without_a_response(extension: Status) -> (TestEnv, RunFiles) {
    let extensions = ExtensionOutcome::Always(extension);
    // Two snapshots come before the request.
    let env =
        TestEnv::new(script(vec![(3, Fault::ResetAfter)], Config { extensions, ..files(["a"]) }));
    let row = json!({"fileId": "a", "description": "mine",
        "extensions": [{"name": "ai-auto-description"}]});
    env.write("sheet.jsonl", format!("{row}\n"));
    env.apply("sheet.jsonl").exits(6);
    let run = env.only_run("sheet");
    env.run(&format!("settle {} --deadline 1ms", run.name()));
    (env, run)
}

#[test]
fn description_that_a_lost_request_did_not_set_is_that_of_its_extension() {
    let (env, run) = settled_without_a_response(Status::Success);
    assert_eq!((&*run.row(1)["status"], &*run.row(1)["code"]), ("updated", "inferred"));
    assert_eq!(run.row(1)["description"], env.file("a")["description"].as_str().expect("a text"));
}

#[test]
fn description_that_a_lost_request_set_itself_proves_nothing_of_its_extension() {
    let (env, run) = settled_without_a_response(Status::Failed);
    assert_eq!(env.file("a")["description"], "mine");
    assert_eq!(run.statuses(), ["unknown"]);
}

/// The deadline counts, not how long the API may be unreachable.
#[test]
fn deadline_holds_where_the_api_answers_no_read() {
    let config = || pending(FinalStatus::Success, files(["a", "b", "c", "d"]));
    let applied = |env: &TestEnv| {
        env.write("sheet.jsonl", each_extension());
        env.apply("sheet.jsonl").exits(0);
        env.sandbox.stats().requests
    };
    let requests = applied(&TestEnv::new(config()));
    let down = (requests + 1..requests + 200).map(|request| (request, status(503, "Down.")));
    let env = TestEnv::new(script(down.collect(), config()));
    assert_eq!(applied(&env), requests);
    let run = env.only_run("sheet");
    env.run(&format!("settle {} --deadline 1ms", run.name())).exits(0);
    assert_eq!(run.row(1)["extensionStatus.remove-bg"], "pending");
}

#[test]
fn failed_extensions_show_nothing_and_stay_pending() {
    let env = TestEnv::new(pending(FinalStatus::Failed, files(["a", "b", "c", "d"])));
    env.write("sheet.jsonl", each_extension());
    env.apply("sheet.jsonl").exits(0);
    env.sandbox.advance(HOUR);
    let run = env.only_run("sheet");
    env.run(&format!("settle {} --deadline 1ms", run.name())).exits(0);
    assert!(run.report().iter().all(|row| row["code"].is_empty()));
    assert_eq!(run.summary()["extensions"]["remove-bg"]["pending"], 1);
}

#[test]
fn apply_and_resume_settle_what_they_sent() {
    let settlement = Some(Settlement { after: Duration::ZERO, status: FinalStatus::Success });
    let config = pending(FinalStatus::Success, files(["a", "b"]));
    let env = TestEnv::new(Config { settlement, ..config });
    env.write("sheet.jsonl", row("a", REMOVE_BG) + &row("b", GOOGLE));
    env.apply("sheet.jsonl --limit 1 --settle").exits(5);
    let run = env.only_run("sheet");
    assert_eq!(run.row(1)["extensionStatus.remove-bg"], "success");
    assert_eq!(run.row(2)["status"], "not_attempted");
    env.run(&format!("resume --yes {} --rate unlimited --settle=1m", run.name())).exits(0);
    let row = run.row(2);
    assert_eq!(
        (row["code"].as_str(), row["extensionStatus.google-auto-tagging"].as_str()),
        ("inferred", "success")
    );
    assert_eq!(row["aiTags"].split(',').count(), 2);
}

#[test]
fn changes_that_an_unreadable_run_may_have_caused_prove_nothing() {
    let env = TestEnv::new(pending(FinalStatus::Success, files(["a"])));
    env.write("other.jsonl", row("a", REMOVE_BG));
    env.apply("other.jsonl").exits(0);
    env.write("sheet.jsonl", row("a", r#"{"name":"remove-bg","options":{"bg_color":"white"}}"#));
    env.apply("sheet.jsonl").exits(0);
    std::fs::remove_dir_all(env.only_run("other").path()).expect("it can be removed");
    env.sandbox.advance(HOUR);
    let run = env.only_run("sheet");
    let settled = env.run(&format!("settle {}", run.name())).exits(0);
    settled.output_contains("cannot tell which files the run").output_contains("other.ikbulk");
    assert_eq!(run.row(1)["extensionStatus.remove-bg"], "pending");
}

#[test]
fn run_that_has_sent_all_is_settled_by_resume() {
    let env = TestEnv::new(pending(FinalStatus::Success, files(["a"])));
    env.write("sheet.jsonl", row("a", REMOVE_BG));
    env.apply("sheet.jsonl").exits(0);
    let run = env.only_run("sheet");
    let mut cases = Cases::default();
    let resume = format!("resume --yes {} --rate unlimited", run.name());
    cases.add("resume", env.run(&resume).exits(0));
    let again = "sheet.jsonl --continue --rerun-extensions --max-units 999";
    cases.add("apply --continue", env.apply(again).exits(0));
    env.sandbox.advance(HOUR);
    cases.add("resume --settle", env.run(&format!("{resume} --settle")).exits(0));
    assert_eq!(run.row(1)["extensionStatus.remove-bg"], "success");
    cases.add("nothing is pending", env.run(&format!("{resume} --settle")).exits(0));
    assert_text!(cases);
    assert_eq!(env.sandbox.stats().calls.patch, 1, "settling changes nothing");
}

#[test]
fn many_files_are_read_from_lists() {
    let many = ids(200);
    let env = TestEnv::new(pending(FinalStatus::Success, files(&many)));
    env.write("sheet.jsonl", many.iter().map(|id| row(id, GOOGLE)).collect::<String>());
    env.apply("sheet.jsonl").exits(0);
    env.sandbox.advance(HOUR);
    let run = env.only_run("sheet");
    let before = env.sandbox.stats().calls;
    env.run(&format!("settle {}", run.name())).exits(0);
    let after = env.sandbox.stats().calls;
    assert_eq!(
        (after.list - before.list, after.get - before.get),
        (2, 0),
        "the account, and one page"
    );
    assert!(run.report().iter().all(|row| row["code"] == "inferred"));
}

#[test]
fn lost_requests_are_settled_by_what_the_files_show() {
    let publishing = "{\"fileId\":\"a\",\"extensions\":[{\"name\":\"remove-bg\"}],\"addTags\":[\"new\"],\
                      \"isPublished\":false}\n";
    for (fault, is_settled) in [(Fault::ResetAfter, true), (Fault::ResetBefore, false)] {
        // A read to plan the row, its snapshot, and the billed request.
        let config =
            Config { extensions: ExtensionOutcome::Always(Status::Success), ..files(["a"]) };
        let env = TestEnv::new(script(vec![(3, fault)], config));
        env.write("sheet.jsonl", publishing);
        env.apply("sheet.jsonl").exits(6);
        let run = env.only_run("sheet");
        let settle = format!("settle {} --deadline 1ms", run.name());
        if !is_settled {
            env.run(&settle).exits(6);
            assert_eq!(run.row(1)["status"], "unknown");
            continue;
        }
        let mut cases = Cases::default();
        cases.add("settle", env.run(&settle).exits(5));
        cases.add("report.csv", run.text("report.csv"));
        assert!(!run.path().join("unknown.jsonl").exists());
        // The rest of the row, which was not sent because its first request was unknown.
        cases.add(
            "resume",
            env.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(0),
        );
        assert_text!("lost_requests_are_settled", cases);
        let row = run.row(1);
        assert_eq!((row["status"].as_str(), row["code"].as_str()), ("updated", "inferred"));
        let stats = env.sandbox.stats();
        assert_eq!((stats.billed_runs_of("a", "remove-bg"), stats.calls.publish), (1, 1));
        assert_eq!(env.file("a")["isPublished"], false);
        // The charge is certain now, and the same extension does not run again.
        env.write("next.jsonl", row_of_remove_bg());
        env.apply("next.jsonl").exits(0);
        assert_eq!(env.only_run("next").row(1)["code"], "already_ran");
        assert!(env.only_run("next").row(1)["message"].contains("already ran in"));
    }
}

fn row_of_remove_bg() -> String {
    row("a", REMOVE_BG)
}

#[test]
fn lost_publication_is_settled() {
    for (fault, status) in [(Fault::ResetAfter, "updated"), (Fault::ResetBefore, "unknown")] {
        let env = TestEnv::new(script(vec![(3, fault)], files(["a"])));
        env.write("sheet.jsonl", "{\"fileId\":\"a\",\"isPublished\":false}\n");
        env.apply("sheet.jsonl").exits(6);
        let run = env.only_run("sheet");
        let settled = env.run(&format!("settle {} --deadline 1ms", run.name()));
        assert_eq!(run.row(1)["status"], status);
        assert_eq!(settled.code, Some(if status == "updated" { 0 } else { 6 }));
    }
}

#[test]
fn row_killed_in_flight_is_settled_before_or_after_it_is_resumed() {
    for resumes_first in [true, false] {
        let victim = ChildHandle::default();
        let hand = victim.clone();
        let hook = Hook::new(move |event| {
            if event.method == "PATCH" && event.phase == Phase::Processed {
                hand.kill();
            }
        });
        let extensions = ExtensionOutcome::Always(Status::Success);
        let env = TestEnv::new(Config { hook: Some(hook), extensions, ..files(["a"]) });
        env.write("sheet.jsonl", row_of_remove_bg());
        let words = ["apply", "sheet.jsonl", "--yes", "--rate", "unlimited"];
        assert_eq!(env.command(&words).run_as(&victim).code, None);
        let run = env.only_run("sheet");
        let resume = format!("resume --yes {} --rate unlimited", run.name());
        let settle = format!("settle {}", run.name());
        if resumes_first {
            env.run(&resume).exits(6);
            env.run(&settle).exits(0);
        } else {
            env.run(&settle);
            env.run(&resume).exits(0);
        }
        let row = run.row(1);
        assert_eq!(
            (row["status"].as_str(), row["code"].as_str()),
            ("updated", "inferred"),
            "{resumes_first}"
        );
        assert_eq!(row["extensionStatus.remove-bg"], "success");
        assert_eq!(env.sandbox.stats().billed_runs_of("a", "remove-bg"), 1);
        env.write("next.jsonl", row_of_remove_bg());
        env.apply("next.jsonl").exits(0);
        assert_eq!(env.sandbox.stats().billed_runs_of("a", "remove-bg"), 1);
    }
}

/// Another request on the file may have caused what it shows.
#[test]
fn change_that_two_requests_may_have_made_proves_neither() {
    let other = r#"{"name":"google-auto-tagging","minConfidence":0,"maxTags":1}"#;
    let env = TestEnv::new(script(
        // The reads of both files to plan, the snapshot, and the billed request.
        vec![(4, Fault::ResetBefore)],
        pending(FinalStatus::Success, files(["a", "b"])),
    ));
    env.write("sheet.jsonl", row("a", other) + &row("a", GOOGLE) + &row("b", DESCRIPTION));
    env.apply("sheet.jsonl --concurrency 1").exits(6);
    env.sandbox.advance(HOUR);
    let run = env.only_run("sheet");
    assert_eq!(run.statuses(), ["unknown", "updated", "updated"]);
    env.run(&format!("settle {} --deadline 1ms", run.name())).exits(6);
    let statuses: Vec<String> = run
        .report()
        .into_iter()
        .map(|row| row["extensionStatus.google-auto-tagging"].clone())
        .collect();
    assert_eq!(statuses, ["", "pending", ""]);
    assert_eq!(run.row(3)["extensionStatus.ai-auto-description"], "success");
}

/// The same, where the other request belongs to another run.
#[test]
fn change_that_another_run_may_have_made_proves_nothing() {
    let env = TestEnv::new(script(
        vec![(3, Fault::ResetBefore)],
        pending(FinalStatus::Success, files(["a"])),
    ));
    env.write("sheet.jsonl", row("a", GOOGLE));
    env.apply("sheet.jsonl").exits(6);
    let other = r#"{"name":"google-auto-tagging","minConfidence":0,"maxTags":1}"#;
    env.write("other.jsonl", row("a", other));
    env.apply("other.jsonl").exits(0);
    env.sandbox.advance(HOUR);
    for run in [env.only_run("sheet"), env.only_run("other")] {
        env.run(&format!("settle {} --deadline 1ms", run.name()));
    }
    assert_eq!(env.only_run("sheet").row(1)["status"], "unknown");
    assert_eq!(env.only_run("other").row(1)["extensionStatus.google-auto-tagging"], "pending");
}

/// A list that lags shows what the file had before the request.
#[test]
fn stale_list_proves_nothing() {
    let many = ids(60);
    let mut library = Library::new();
    for id in &many {
        library.insert(json!({"fileId": id, "filePath": format!("/{id}.jpg"),
            "AITags": [{"name": "Old", "confidence": 90.0, "source": "google-auto-tagging"}]}));
    }
    let config = pending(FinalStatus::Failed, with_library(library));
    let env = TestEnv::new(Config { search_lag: HOUR, ..config });
    let rows = many.iter().map(|id| {
        format!("{{\"fileId\":\"{id}\",\"removeAITags\":\"all\",\"extensions\":[{GOOGLE}]}}\n")
    });
    env.write("sheet.jsonl", rows.collect::<String>());
    env.apply("sheet.jsonl").exits(0);
    let run = env.only_run("sheet");
    env.run(&format!("settle {} --deadline 1ms", run.name())).exits(0);
    assert!(run.report().iter().all(|row| row["code"].is_empty()));
}

#[test]
fn settling_that_is_killed_anywhere_and_repeated_has_the_same_result() {
    let many = ids(55);
    for kill_at in [1, 2, 5, 60] {
        let (count, victim) = (Arc::new(AtomicU64::new(u64::MAX)), ChildHandle::default());
        let (counter, hand) = (Arc::clone(&count), victim.clone());
        let hook = Hook::new(move |event| {
            // Counts down from the chosen request once settling begins.
            if event.phase == Phase::Processed && counter.fetch_sub(1, Ordering::SeqCst) == 1 {
                hand.kill();
            }
        });
        let config = pending(FinalStatus::Success, files(&many));
        // The lists lag, so that the files are read one by one.
        let env = TestEnv::new(Config { hook: Some(hook), search_lag: 3 * HOUR, ..config });
        env.write("sheet.jsonl", many.iter().map(|id| row(id, GOOGLE)).collect::<String>());
        env.apply("sheet.jsonl").exits(0);
        env.sandbox.advance(HOUR);
        let run = env.only_run("sheet");
        count.store(kill_at, Ordering::SeqCst);
        let words = ["settle", &run.name(), "--read-rate", "unlimited"];
        let killed = env.command(&words).run_as(&victim);
        assert_eq!(killed.code.is_none(), kill_at < 50, "{killed}");
        count.store(u64::MAX, Ordering::SeqCst);
        env.run(&format!("settle {} --read-rate unlimited", run.name())).exits(0);
        assert!(run.report().iter().all(|row| row["code"] == "inferred"), "{kill_at}");
    }
}

#[test]
fn signal_stops_settling_and_keeps_what_was_found() {
    let (count, victim) = (Arc::new(AtomicU64::new(u64::MAX)), ChildHandle::default());
    let (counter, hand) = (Arc::clone(&count), victim.clone());
    let hook = Hook::new(move |event| {
        if event.phase == Phase::Arrived && counter.fetch_sub(1, Ordering::SeqCst) == 1 {
            hand.signal("INT");
        }
    });
    let config = pending(FinalStatus::Success, files(["a", "b"]));
    let env = TestEnv::new(Config { hook: Some(hook), ..config });
    env.write("sheet.jsonl", row("a", GOOGLE) + &row("b", REMOVE_BG));
    env.apply("sheet.jsonl --limit 1").exits(5);
    env.sandbox.advance(HOUR);
    let run = env.only_run("sheet");
    env.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(0);
    // The account, both files, and then the one that is left.
    count.store(4, Ordering::SeqCst);
    let stopped = env.command(&["settle", &run.name()]).run_as(&victim).exits(130);
    assert!(stopped.out.contains("stopped by a signal"), "{}", stopped.out);
    assert_eq!(run.row(1)["extensionStatus.google-auto-tagging"], "success");
    assert_eq!(run.row(2)["extensionStatus.remove-bg"], "pending");
    assert_eq!(run.summary()["exit_code"], 0, "of the run");
}

#[test]
fn what_cannot_be_settled_is_refused() {
    let env = TestEnv::new(pending(FinalStatus::Success, files(["a"])));
    env.write("sheet.jsonl", row("a", REMOVE_BG));
    env.run("plan sheet.jsonl").exits(0);
    let plan = env.only_run("sheet");
    let mut cases = Cases::default();
    cases.add("a saved plan", env.run(&format!("settle {}", plan.name())).exits(2));
    env.run("apply sheet.jsonl --sandbox --run-dir own").exits(0);
    cases.add("a run on its own sandbox", env.run("settle own").exits(2));
    env.write("tags.csv", sheet("fileId,tags", std::iter::once("a,x".to_owned())));
    env.apply("tags.csv").exits(0);
    let tags = env.only_run("tags");
    cases.add("nothing is open", env.run(&format!("settle {}", tags.name())).exits(0));
    cases.add("no run", env.run("settle .").exits(2));
    assert_text!(cases);
}
