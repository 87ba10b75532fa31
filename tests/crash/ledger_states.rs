//! Kills in every state of the ledger. Each test checks the ledger after the kill, so that it fails if
//! it no longer reaches its state.

use std::fs;
use std::process::Command;

use ikbulk_sandbox::{Config, Fault, Faults, Hook, HookEvent, Phase};
use serde_json::json;

use crate::case::{
    Case, KillTrigger, LedgerSteps, baseline_requests, kill_when, wait_until_thread_sleeps,
};
use crate::harness::{ChildHandle, TestEnv, files};

const REMOVE_BG: &str = "remove-bg";

/// Whether the request has this method and is for the file's details.
fn details(event: &HookEvent, method: &str, file: &str) -> bool {
    event.method == method && event.path == format!("/v1/files/{file}/details")
}

/// A case that is killed in one phase of a request for the file's details.
fn killed_at(method: &'static str, file: &'static str, phase: Phase) -> Case {
    let trigger = kill_when(move |event| event.phase == phase && details(event, method, file));
    Case::new(vec![trigger]).sequential().run_to_end()
}

fn billed_runs(case: &Case, file: &str) -> u64 {
    case.env.sandbox.stats().billed_runs_of(file, REMOVE_BG)
}

/// Kind and status of the row's steps at the only kill.
fn steps(case: &Case, file: &str) -> Vec<(u64, String)> {
    let [ledger] = case.ledgers.as_slice() else { panic!("{} kills", case.ledgers.len()) };
    let row_number = case.row_of(file);
    let steps = ledger.0.iter().filter(|(row, ..)| *row == row_number);
    steps.map(|(_, kind, status)| (*kind, status.clone())).collect()
}

fn open_intent() -> Vec<(u64, String)> {
    vec![(0, "intent".to_owned())]
}

#[test]
fn killed_before_the_ledger_exists_sends_nothing() {
    let is_schema = |event: &HookEvent| event.path == "/v1/customMetadataFields";
    let case = Case::new(vec![kill_when(is_schema)]);
    assert_eq!(case.apply_direct().code, None);
    let incomplete_run = case.files();
    assert!(!incomplete_run.path().join("ledger.db").exists());
    case.resume().exits(2).output_contains("there is no run in");
    fs::remove_dir_all(incomplete_run.path()).expect("the directory should be removable");
    case.run_to_end().check_invariants();
}

#[test]
fn killed_before_the_first_commit_repeats_idempotent_requests() {
    let case = Case::new(vec![kill_when(|event| event.n == 5)]).sequential().run_to_end();
    assert_eq!(case.ledgers, [LedgerSteps(Vec::new())]);
    // The first two requests read the account and its fields.
    assert!(
        case.env.sandbox.stats().calls.patch
            > case
                .rows
                .iter()
                .filter(|row| { row.expected_calls.iter().any(|(call, _)| *call == "patch") })
                .count() as u64
    );
    case.check_invariants();
}

#[test]
fn killed_during_snapshot_read_loses_nothing() {
    let case = killed_at("GET", "cut-out0", Phase::Processed);
    assert_eq!(steps(&case, "cut-out0"), []);
    assert_eq!(billed_runs(&case, "cut-out0"), 1);
    assert!(!case.unknown().contains(&case.row_of("cut-out0")));
    case.check_invariants();
}

#[test]
fn intent_without_change_is_unknown_and_not_resent() {
    let case = killed_at("PATCH", "cut-out0", Phase::Arrived);
    assert_eq!(steps(&case, "cut-out0"), open_intent());
    // The sandbox may still carry out the request although the client is gone.
    assert!(billed_runs(&case, "cut-out0") <= 1);
    assert!(case.unknown().contains(&case.row_of("cut-out0")));
    case.check_invariants();
}

#[test]
fn lost_billed_request_is_unknown_and_not_resent() {
    let case = killed_at("PATCH", "cut-out0", Phase::Processed);
    assert_eq!(steps(&case, "cut-out0"), open_intent());
    assert_eq!(billed_runs(&case, "cut-out0"), 1);
    assert!(case.unknown().contains(&case.row_of("cut-out0")));
    case.check_invariants();
}

#[test]
fn uncommitted_response_is_unknown_and_not_resent() {
    // With one request at a time, the second read of the file shows that the response to its first
    // write was received. Whether that is committed yet depends on timing: one of five files suffices.
    let reached = (0..5).find(|block| {
        let file = format!("both{block}");
        let reads = std::sync::atomic::AtomicU32::new(0);
        let target = file.clone();
        let second_read = kill_when(move |event| {
            let read = event.phase == Phase::Arrived && details(event, "GET", &target);
            read && reads.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 1
        });
        let case = Case::new(vec![second_read]).sequential().run_to_end();
        case.check_invariants();
        steps(&case, &file) == open_intent()
    });
    assert!(reached.is_some(), "the state was reached for none of five files");
}

#[test]
fn committed_steps_are_not_repeated() {
    let last = baseline_requests();
    let case =
        Case::new(vec![kill_when(move |event| event.n == last - 3)]).sequential().run_to_end();
    let committed =
        |file: &str| case.ledgers.iter().all(|ledger| ledger.settled_steps(case.row_of(file)) > 0);
    for file in ["many0", "published0", "cut-out0", "both0", "three0", "cut-out3"] {
        assert!(committed(file), "{file}");
        let file = case.env.sandbox.history(file);
        let mut bodies: Vec<String> =
            file.iter().map(|change| change["body"].to_string()).collect();
        bodies.sort();
        bodies.dedup();
        assert_eq!(bodies.len(), file.len(), "a change was sent twice");
    }
    case.check_invariants();
}

/// Blocks the program after writing its reports and before renaming them, and kills it there: the
/// existing file `name`, which it reads for comparison, is a FIFO without a writer. The FIFO is created
/// at the request `prepared_at`.
pub(crate) fn kill_while_writing_reports(name: &'static str, prepared_at: u64) -> KillTrigger {
    Box::new(move |event, site| {
        if event.n != prepared_at {
            return false;
        }
        let fifo = site.run().join(name);
        let status = Command::new("mkfifo").arg(&fifo).status();
        assert!(status.is_ok_and(|status| status.success()), "mkfifo {}", fifo.display());
        let process = site.process.clone();
        site.kill_with(move || {
            wait_until_thread_sleeps(&process, "ikbulk", &["fifo_open", "wait_for_partner"]);
            process.kill();
            fs::remove_file(&fifo).expect("the FIFO should be removable");
        });
        true
    })
}

#[test]
fn killed_while_writing_reports_rewrites_them_without_requests() {
    for name in ["failed.csv", "unknown.csv"] {
        let case =
            Case::new(vec![kill_while_writing_reports(name, baseline_requests() / 2)]).sequential();
        assert_eq!(case.apply_direct().code, None, "the program was not killed at {name}");
        let ledger = LedgerSteps::of(case.files().path());
        assert_eq!(ledger.intents().count(), 0);
        assert!((2..2 + case.rows.len() as u64).all(|row| ledger.settled_steps(row) > 0));
        assert!(!case.files().path().join("summary.json").exists());
        assert_eq!(temporary_reports(&case), 3);
        let sent = case.env.sandbox.stats().requests;
        case.resume().exits(1);
        // The only request identifies the account.
        assert_eq!(case.env.sandbox.stats().requests, sent + 1);
        assert_eq!(temporary_reports(&case), 0);
        case.check_invariants();
    }
}

fn temporary_reports(case: &Case) -> usize {
    let entries =
        fs::read_dir(case.files().path()).expect("the run directory should exist").flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".writing")).count()
}

#[test]
fn killed_before_resending_the_idempotent_part_bills_once() {
    let process = ChildHandle::default();
    let child = process.clone();
    let patches = std::sync::atomic::AtomicU32::new(0);
    let hook = Hook::new(move |event| {
        let patch = event.phase == Phase::Arrived && event.method == "PATCH";
        if patch && patches.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 1 {
            child.kill();
        }
    });
    // The second request reads the snapshot, the third runs the extension.
    let script = vec![(3, Fault::ResetAfter)];
    let faults = Faults { script, ..Faults::default() };
    let env = TestEnv::new(Config { hook: Some(hook), faults, ..files(["a"]) });
    let row = json!({"fileId": "a", "tags": ["x"], "extensions": [{"name": REMOVE_BG}]});
    env.write("sheet.jsonl", row.to_string());
    let applied = env
        .command(&["apply", "--direct", "--no-snapshot", "--yes", "sheet.jsonl"])
        .run_as(&process);
    assert_eq!(applied.code, None, "{}", applied.err);
    let run = env.only_run("sheet");
    let ledger = LedgerSteps::of(run.path());
    assert!(
        matches!(ledger.0.as_slice(), [(1, 0, status)] if status == "intent" || status == "unknown")
    );
    env.run(&format!("resume --yes {}", run.name())).exits(6);
    assert_eq!(run.statuses(), ["unknown"]);
    assert_eq!(env.file("a")["tags"], json!(["x"]));
    assert_eq!(env.sandbox.stats().billed_runs_of("a", REMOVE_BG), 1);
}

#[test]
fn requests_in_flight_at_kill_are_read_back() {
    let process = ChildHandle::default();
    let child = process.clone();
    let hook = Hook::new(move |event| {
        if event.phase == Phase::Arrived && details(event, "PATCH", "c") {
            child.kill();
        }
    });
    let env = TestEnv::new(Config { hook: Some(hook), ..files(["a", "b", "c"]) });
    // Only c has a later row that a late-applied request could overwrite.
    let rows = ["a,one", "b,one", "c,one", "c,two"];
    env.write("sheet.csv", format!("fileId,tags\n{}\n", rows.join("\n")));
    assert_eq!(
        env.command(&["apply", "--direct", "--no-snapshot", "sheet.csv", "--yes"])
            .run_as(&process)
            .code,
        None
    );
    let run = env.only_run("sheet");
    env.run(&format!("resume --yes {}", run.name())).exits(0);
    assert_eq!(env.sandbox.stats().calls.get, 1);
    assert_eq!(env.file("c")["tags"], json!(["two"]));
    assert_eq!(run.statuses(), ["updated"; 4]);
}

#[test]
fn session_that_ended_normally_needs_no_read_back() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,tags\na,one\na,two\na,three\n");
    env.run("apply --direct --no-snapshot sheet.csv --yes --limit 1");
    let run = env.only_run("sheet");
    env.run(&format!("resume --yes {}", run.name())).exits(0);
    assert_eq!(env.sandbox.stats().calls.get, 0);
    assert_eq!(env.file("a")["tags"], json!(["three"]));
}
