//! What runs on one account know of each other, and what a run that exists is executed with.

use std::fs;
use std::time::Duration;

use ikbulk_sandbox::{Config, ExtensionOutcome, Fault, Hook, Library, Phase, Status};
use serde_json::json;

use crate::harness::{
    ChildHandle, CmdResult, RunFiles, TestEnv, assert_text, files, script, status, tagged, tagging,
    with_library,
};

const REMOVE_BG: &str = r#"[{"name":"remove-bg"}]"#;

/// A sheet that removes the backgrounds of these files.
fn charging(ids: &[&str]) -> String {
    ids.iter().map(|id| format!("{{\"fileId\":\"{id}\",\"extensions\":{REMOVE_BG}}}\n")).collect()
}

#[test]
fn edited_copy_of_the_sheet_is_refused() {
    for (made_by, words) in [
        ("apply sheet.csv --yes --rate unlimited --limit 1", "resume --yes RUN"),
        ("plan sheet.csv", "apply --plan RUN --yes"),
        ("apply sheet.csv --yes --rate unlimited", "undo --yes RUN"),
    ] {
        let env = tagged(3, |config| config);
        env.run(made_by);
        let run = env.only_run("sheet");
        let sent = env.sandbox.stats().calls.patch;
        let copy = run.path().join("input.csv");
        let text = fs::read_to_string(&copy).expect("the run has a copy");
        fs::write(&copy, text.replace("tag-file002", "other")).expect("it can be edited");
        env.run(&words.replace("RUN", &run.name())).exits(2);
        assert_eq!(env.sandbox.stats().calls.patch, sent, "{words}");
        fs::write(&copy, text).expect("it can be put right");
        env.run(&words.replace("RUN", &run.name())).exits(0);
    }
}

#[test]
fn resume_shows_what_is_left_and_asks() {
    let env = TestEnv::new(Config {
        extensions: ExtensionOutcome::Always(Status::Success),
        ..files(["a", "b", "c"])
    });
    env.write("sheet.jsonl", charging(&["a", "b", "c"]));
    env.run("apply sheet.jsonl --yes --rate unlimited --limit 1").exits(5);
    let run = env.only_run("sheet").name();
    env.run(&format!("resume {run}")).exits(2);
    env.run(&format!("resume -q {run}")).exits(2);
    let resume = || env.command(&["resume", &run, "--rate", "unlimited"]).on_terminal();
    let mut terminal = resume();
    terminal.waits_for("anything else to cancel: ");
    terminal.types("y\n");
    assert_text!(terminal.ends().exits(2));
    assert_eq!(env.sandbox.stats().billed_runs.values().sum::<u64>(), 1);
    let mut terminal = resume();
    terminal.waits_for("Type 260");
    terminal.types("260\n");
    terminal.ends().exits(0);
    assert_eq!(env.sandbox.stats().max_billed_runs_per_pair, 1);
    assert_eq!(env.only_run("sheet").count("updated"), 3);
}

#[test]
fn resume_of_a_changed_sheet_sends_the_copy() {
    let env = tagged(3, |config| config);
    env.run("apply sheet.csv --yes --rate unlimited --limit 1").exits(5);
    let run = env.only_run("sheet").name();
    env.write("sheet.csv", tagging(&["file000"]));
    env.run(&format!("resume --yes {run} --rate unlimited")).exits(0);
    assert_eq!(env.only_run("sheet").count("updated"), 3);
}

#[test]
fn resume_of_a_removed_sheet_sends_the_copy() {
    let env = tagged(3, |config| config);
    env.run("apply sheet.csv --yes --rate unlimited --limit 1").exits(5);
    fs::remove_file(env.path("sheet.csv")).expect("it can be removed");
    let run = env.only_run("sheet");
    let done = env.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(0);
    assert_eq!(done.err, "");
    assert_eq!(run.count("updated"), 3);
}

#[test]
fn continue_follows_a_changed_sheet_without_asking() {
    let env = tagged(3, |config| config);
    env.run("apply sheet.csv --yes --rate unlimited --limit 1").exits(5);
    env.write("sheet.csv", tagging(&["file002"]));
    env.run("apply sheet.csv --yes --continue --rate unlimited").exits(0);
    assert_eq!(env.runs("sheet").len(), 2);
}

#[test]
fn continue_reuses_its_run_directory_every_night() {
    let env = tagged(4, |config| config);
    let night = "apply sheet.csv --yes --continue --run-dir nightly --rate unlimited";
    env.run(&format!("{night} --limit 1")).exits(5);
    env.run(night).exits(0).output_contains("4 updated");
    env.run(night).exits(0).output_contains("4 unchanged");
    env.run(night).exits(0).output_contains("4 unchanged");
    // Without it, a directory that is taken is refused, as ever.
    env.run("apply sheet.csv --yes --run-dir nightly").exits(2);
}

#[test]
fn runs_killed_while_planning_are_removed() {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        if event.n <= 3 && event.phase == Phase::Arrived {
            hand.kill();
        }
    });
    let env = tagged(3, |config| Config { hook: Some(hook), ..config });
    let words = ["apply", "sheet.csv", "--yes", "--continue", "--rate", "unlimited"];
    for _ in 0..3 {
        assert_eq!(env.command(&words).run_as(&victim).code, None);
    }
    assert_eq!(env.runs("sheet").len(), 1, "each night removes what the last one left");
    env.command(&words).run().exits(0);
    assert_eq!(env.runs("sheet").len(), 1);
}

#[test]
fn charge_without_a_status_is_remembered_with_skip_tagged() {
    let tagging = r#"[{"name":"google-auto-tagging","minConfidence":80,"maxTags":3}]"#;
    let silent = json!({"fileId": "a", "type": "file", "tags": null});
    let silent = Fault::Status {
        code: 200,
        body: silent.to_string(),
        content_type: "application/json".to_owned(),
    };
    // The file twice, once to plan and once before it is charged; then the response without a status.
    let env = TestEnv::new(script(vec![(3, silent)], files(["a"])));
    env.write("sheet.jsonl", format!("{{\"fileId\":\"a\",\"extensions\":{tagging}}}\n"));
    let night = "apply sheet.jsonl --yes --skip-tagged --rate unlimited";
    // Its status is unclear, so that a person looks at it; and it stays charged.
    for exit_code in [1, 0] {
        env.run(night).exits(exit_code);
    }
    let statuses: Vec<_> = env.runs("sheet").iter().map(RunFiles::statuses).collect();
    assert_eq!(statuses, [["updated"], ["unchanged"]]);
    assert_eq!(env.sandbox.stats().calls.patch, 1);
}

#[test]
fn deadline_counts_reads_and_lock_waits() {
    let late = Fault::HangBefore(Duration::from_secs(20));
    let env = tagged(3, |config| script(vec![(1, late)], config));
    env.run("apply sheet.csv --yes --max-duration 1s").exits(5);
    assert!(!env.path("sheet.ikbulk").exists());
    let env = tagged(3, |config| config);
    let _lock = env.lock_account();
    env.run("apply sheet.csv --yes --max-duration 1s --wait-lock").exits(5);
    assert_eq!(env.sandbox.stats().calls.patch, 0);
}

#[test]
fn endpoint_ending_in_v1_is_refused_without_a_request() {
    let env = tagged(3, |config| config);
    let endpoint = format!("{}/v1", env.sandbox.base_url());
    for words in ["apply sheet.csv --yes", "plan sheet.csv", "export -o all.csv"] {
        env.run(&format!("{words} --endpoint {endpoint}")).exits(2);
    }
    assert_eq!(env.sandbox.stats().requests, 0);
}

#[test]
fn file_with_an_unsettled_request_is_not_up_to_date() {
    // The response is lost and the request may yet take effect, so what is read may not last.
    let env = TestEnv::new(script(
        vec![(2, status(500, "Out of order."))],
        with_library({
            let mut library = Library::new();
            library.insert(json!({"fileId": "a", "filePath": "/a.jpg", "tags": ["old"]}));
            library
        }),
    ));
    env.write("first.csv", "fileId,tags\na,new\n");
    env.run("apply first.csv --yes --rate unlimited --attempts 1").exits(5);
    env.write("second.csv", "fileId,tags\na,old\n");
    let done = env.run("apply second.csv --yes --rate unlimited").exits(0);
    assert_eq!(env.only_run("second").statuses(), ["updated"]);
    assert_text!(done);
    assert_eq!(env.file("a")["tags"], json!(["old"]));
}

#[test]
fn lost_response_concerns_later_runs_and_is_not_passed_on_by_them() {
    let env = TestEnv::new(script(vec![(2, status(503, "Out of order."))], files(["a", "b"])));
    env.write("first.csv", "fileId,description\na,x\n");
    env.write("second.csv", "fileId,description\nb,x\n");
    let warnings = |result: CmdResult| result.err.matches("may still take effect").count();
    let words = |sheet: &str| format!("apply {sheet} --yes --rate unlimited");
    env.run(&words("first.csv")).exits(0);
    assert_eq!(warnings(env.run(&words("second.csv")).exits(0)), 1, "of the first run");
    assert_eq!(warnings(env.run(&words("second.csv")).exits(0)), 1, "of the first run only");
}

#[test]
fn processes_share_the_limits_of_the_account() {
    let env = tagged(12, |config| config);
    let began = std::time::SystemTime::now();
    let words = "apply sheet.csv --yes --exact --rate 4 --burst 4 --leave 0% --limit 4";
    for code in [5, 5, 0] {
        env.run(&format!("{words} --run-dir r --continue")).exits(code);
    }
    // Twelve writes at four a second: a burst of four at once, and no second one.
    let took = began.elapsed().expect("the clock is not set back meanwhile");
    assert!(took >= Duration::from_millis(1900), "{took:?}");
    assert_eq!(env.sandbox.stats().calls.patch, 12);
}

#[test]
fn checks_share_the_limit_of_reads() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,customMetadata.brand\na,Acme\n");
    let began = std::time::SystemTime::now();
    for _ in 0..3 {
        env.run("check sheet.csv --read-rate 1 --read-burst 1 --leave 0%").exits(0);
    }
    let took = began.elapsed().expect("the clock is not set back meanwhile");
    assert!(took >= Duration::from_millis(1900), "three reads at one a second took {took:?}");
    assert_eq!(env.sandbox.stats().calls.fields, 3);
}

#[test]
fn key_without_list_permission_can_apply() {
    let refused = status(403, "This key may not list files.");
    let env = tagged(2, |config| script(vec![(0, refused)], config));
    env.run("apply sheet.csv --yes --rate unlimited").exits(0);
    assert_eq!(env.only_run("sheet").count("updated"), 2);
}
