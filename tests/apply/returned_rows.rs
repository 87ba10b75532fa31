//! Rows that a run has returned, after an undo or a retry of the run: what is still to be sent of them.

use crate::harness::{CmdResult, RunFiles, TestEnv, files, script, status};
use ikbulk_sandbox::{Config, ExtensionOutcome, Status};

const FAST: &str = "--yes --rate unlimited --read-rate unlimited";

/// A row that sets a description and adds a tag, and runs an extension that is billed.
const SHEET: &str = concat!(
    "fileId,description,addTags,extensions\n",
    "a,New,x,\"[{\"\"name\"\":\"\"remove-bg\"\"}]\"\n",
);

/// The same row, of another file.
fn row_of(file: &str) -> String {
    let row = SHEET.lines().last().expect("it has a row");
    format!("{file}{}\n", row.trim_start_matches('a'))
}

fn run(env: &TestEnv, command: &str, run: &RunFiles) -> CmdResult {
    env.run(&format!("{command} {FAST} {}", run.name()))
}

fn apply_failed(env: &TestEnv, run: &RunFiles, options: &str) -> CmdResult {
    env.apply(&format!("{}/failed.csv{options}", run.name()))
}

fn newest(env: &TestEnv) -> RunFiles {
    env.runs("sheet").pop().expect("there is one")
}

fn billed(env: &TestEnv) -> u64 {
    env.sandbox.stats().billed_runs_of("a", "remove-bg")
}

fn has_tag(env: &TestEnv) -> bool {
    let file = env.file("a");
    file["tags"].as_array().is_some_and(|tags| tags.iter().any(|tag| tag == "x"))
}

/// A person edits a file, from another machine.
fn edit(env: &TestEnv, cells: &str) {
    env.write("edit.csv", cells);
    let words = ["apply", "edit.csv", "--yes", "--rate", "unlimited"];
    env.command(&words).env("XDG_STATE_HOME", env.path("another-machine")).run().exits(0);
}

/// The request that fails: after two snapshots and the PATCH.
const FAILED_TAG: u64 = 4;

/// As [`env_with_failures`], after an undo of the run, which is passed along.
fn undone(requests: &[u64]) -> (TestEnv, RunFiles) {
    let env = env_with_failures(requests);
    let first = env.only_run("sheet");
    run(&env, "undo", &first).exits(0);
    (env, first)
}

/// An environment after a run that has set the description and run the extension, of which these requests
/// fail: the call to add the tag, and requests of later runs.
fn env_with_failures(requests: &[u64]) -> TestEnv {
    let unavailable = || status(503, "The service is unavailable.");
    let faults = requests.iter().map(|request| (*request, unavailable()));
    let failed = script(faults.collect(), files(["a"]));
    let extensions = ExtensionOutcome::Always(Status::Success);
    let env = TestEnv::new(Config { extensions, ..failed });
    env.write("sheet.csv", SHEET);
    env.apply("sheet.csv --direct --attempts 1").exits(5);
    assert_eq!((env.file("a")["description"].as_str(), billed(&env)), (Some("New"), 1));
    env
}

/// The file has what the sheet requests, and the extension was not run again.
fn assert_is_done(env: &TestEnv) {
    assert_eq!(env.file("a")["description"], "New");
    assert!(has_tag(env));
    assert_eq!(billed(env), 1);
}

#[test]
fn failed_csv_sends_again_what_an_undo_has_reverted() {
    for options in ["", " --direct"] {
        let (env, first) = undone(&[FAILED_TAG]);
        assert_ne!(env.file("a")["description"], "New");
        let applied = apply_failed(&env, &first, options).exits(0);
        let planned = applied.out.lines().find(|line| line.starts_with("requests"));
        assert!(planned.is_some_and(|it| it.contains("2 writes")), "{}", applied.out);
        assert_is_done(&env);
    }
}

#[test]
fn retry_sends_again_what_an_undo_has_reverted() {
    let (env, first) = undone(&[FAILED_TAG]);
    run(&env, "retry", &first).exits(2).output_contains("--over-later-runs");
    run(&env, "retry --over-later-runs", &first).exits(0);
    assert_is_done(&env);
    assert_eq!(newest(&env).statuses(), ["updated"]);
}

#[test]
fn stopped_retry_of_a_run_that_was_undone_meanwhile_is_not_resumed() {
    let extensions = ExtensionOutcome::Always(Status::Failed);
    let env = TestEnv::new(Config { extensions, ..files(["a", "b"]) });
    env.write("sheet.csv", format!("{SHEET}{}", row_of("b")));
    env.apply("sheet.csv").exits(1);
    let first = env.only_run("sheet");
    run(&env, "retry --limit 1", &first).exits(5);
    let retry = newest(&env);
    run(&env, "undo", &first).exits(0);
    let refused = run(&env, "resume --over-later-runs", &retry).exits(2);
    refused.output_contains("was undone by");
    // Extensions fail again, and were asked for again.
    apply_failed(&env, &first, "").exits(1);
    assert_eq!(["a", "b"].map(|id| env.file(id)["description"].clone()), ["New", "New"]);
    let runs = ["a", "b"].map(|id| env.sandbox.stats().billed_runs_of(id, "remove-bg"));
    assert_eq!(runs, [2, 2]);
}

#[test]
fn failed_csv_of_failed_csv_sends_what_was_reverted_and_failed_since() {
    // The undo takes four requests, and the next run fails at its PATCH.
    let (env, first) = undone(&[FAILED_TAG, 12]);
    apply_failed(&env, &first, " --attempts 1").exits(5);
    let second = std::fs::read_dir(first.path().join("failed.ikbulk")).expect("it has a run");
    let second =
        RunFiles(second.map(|entry| entry.expect("it can be read").path()).next().expect("a run"));
    assert_ne!(env.file("a")["description"], "New");
    apply_failed(&env, &second, "").exits(0);
    assert_is_done(&env);
}

#[test]
fn undone_undo_leaves_what_was_done_as_it_is() {
    let (env, first) = undone(&[FAILED_TAG]);
    run(&env, "undo", &newest(&env)).exits(0);
    edit(&env, "fileId,description\na,Edited\n");
    apply_failed(&env, &first, "").exits(0);
    assert_eq!(env.file("a")["description"], "Edited");
    assert!(has_tag(&env));
}

#[test]
fn undone_run_is_not_resumed() {
    let env = TestEnv::new(files(["a", "b"]));
    env.write("sheet.csv", "fileId,description\na,New\nb,New\n");
    env.apply("sheet.csv --limit 1").exits(5);
    let first = env.only_run("sheet");
    run(&env, "undo", &first).exits(0);
    let refused = run(&env, "resume --over-later-runs", &first).exits(2);
    refused.output_contains("was undone by");
    assert_eq!(first.statuses(), ["updated", "not_attempted"], "its own report stays");
    let report = env.run(&format!("report {}", first.name())).exits(5);
    assert!(
        !report.out.contains("ikbulk "),
        "no command is offered that is refused: {}",
        report.out
    );
    assert!(report.line("undone").contains(&newest(&env).name()));
    env.apply("sheet.csv").exits(0);
    assert_eq!(["a", "b"].map(|id| env.file(id)["description"].clone()), ["New", "New"]);
}

/// The request of a retry that fails.
const FAILS_AGAIN: u64 = 12;

#[test]
fn failed_csv_leaves_rows_that_a_retry_has_done_since() {
    let unavailable = |request| (request, status(503, "The service is unavailable."));
    // The PATCHes of the run are its requests 4 to 6; those of the retry follow its reads.
    let faults = [4, 6, FAILS_AGAIN].map(unavailable).to_vec();
    let env = TestEnv::new(script(faults, files(["a", "b", "c"])));
    env.write("sheet.csv", "fileId,description\na,New\nb,New\nc,New\n");
    env.apply("sheet.csv --attempts 1 --concurrency 1").exits(5);
    let first = env.only_run("sheet");
    assert_eq!(first.count("failed"), 2);
    run(&env, "retry --attempts 1 --concurrency 1", &first).exits(5);
    let retry = newest(&env);
    assert_eq!(retry.count("failed"), 1);
    run(&env, "retry", &retry).exits(0);
    edit(&env, "fileId,description\na,Edited\nb,Edited\nc,Edited\n");
    apply_failed(&env, &first, "").exits(0);
    let descriptions = || ["a", "b", "c"].map(|id| env.file(id)["description"].clone());
    assert_eq!(descriptions(), ["Edited", "Edited", "Edited"]);
    let failed = std::fs::read_dir(first.path().join("failed.ikbulk")).expect("it has a run");
    let failed = failed.map(|entry| RunFiles(entry.expect("it can be read").path()));
    for run in failed {
        assert!(run.report().iter().all(|row| row["code"] == "already_done"), "{:?}", run.report());
    }
    // A cell that was fixed since asks for something else.
    let path = format!("{}/failed.csv", first.name());
    let text = std::fs::read_to_string(&path).expect("it is there").replace("a,New,", "a,Newer,");
    std::fs::write(&path, text).expect("it can be edited");
    apply_failed(&env, &first, "").exits(0);
    assert_eq!(descriptions(), ["Newer", "Edited", "Edited"]);
}

#[test]
fn report_of_a_retried_run_names_the_retry() {
    let extensions = ExtensionOutcome::Always(Status::Failed);
    let env = TestEnv::new(Config { extensions, ..files(["a", "b"]) });
    env.write("sheet.csv", format!("{SHEET}{}", row_of("b")));
    env.apply("sheet.csv").exits(1);
    let first = env.only_run("sheet");
    run(&env, "retry --limit 1", &first).exits(5);
    let retry = newest(&env).name();
    let next = |command: &str| format!("ikbulk {command} {retry}");
    let report = || env.run(&format!("report {}", first.name())).exits(1);
    report().output_contains(&next("resume"));
    run(&env, "retry", &first).exits(2).output_contains(&next("resume"));
    env.run(&format!("resume {FAST} {retry}")).exits(1);
    assert!(
        report().output_contains(&next("report")).out.lines().all(|it| !it.contains("retry /"))
    );
    run(&env, "retry", &first).exits(2).output_contains(&next("retry"));
}

#[test]
fn report_of_a_run_before_a_later_one_offers_neither_resume_nor_retry() {
    let env = TestEnv::new(files(["a", "b"]));
    env.write("sheet.csv", "fileId,description\na,old\nb,old\n");
    env.apply("sheet.csv --limit 1").exits(5);
    let first = env.only_run("sheet");
    env.write("sheet.csv", "fileId,description\na,new\nb,new\n");
    env.apply("sheet.csv").exits(0);
    let report = env.run(&format!("report {}", first.name())).exits(5);
    assert!(report.line("next").contains("apply the sheet again"), "{}", report.out);
    assert!(!report.out.contains("ikbulk resume"), "{}", report.out);
}
