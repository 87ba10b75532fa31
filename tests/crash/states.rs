//! Killed in every state that the ledger can be in. Each test looks into the ledger after the kill,
//! so that none can stop meeting its state without being noticed.

use std::fs;
use std::process::Command;

use ikbulk::sandbox::{Config, Fault, Faults, Hook, HookEvent, Phase};
use serde_json::json;

use crate::case::{Case, Ledger, Strike, kill_when, requests, wait_until_it_sleeps};
use crate::harness::{ChildHandle, TestEnv, files};

const REMOVE_BG: &str = "remove-bg";

/// A request for the details of a file.
fn details(event: &HookEvent, method: &str, file: &str) -> bool {
    event.method == method && event.path == format!("/v1/files/{file}/details")
}

/// A case that is killed at one moment of the request for the details of a file.
fn killed_at(method: &'static str, file: &'static str, phase: Phase) -> Case {
    let strike = kill_when(move |event| event.phase == phase && details(event, method, file));
    Case::new(vec![strike]).one_at_a_time().through()
}

fn paid(case: &Case, file: &str) -> u64 {
    case.world.sandbox.stats().paid_runs_of(file, REMOVE_BG)
}

/// The kinds of the row's steps, and their statuses, at the only kill.
fn steps(case: &Case, file: &str) -> Vec<(u64, String)> {
    let [ledger] = case.ledgers.as_slice() else { panic!("{} kills", case.ledgers.len()) };
    let wanted = case.row_of(file);
    let steps = ledger.0.iter().filter(|(row, ..)| *row == wanted);
    steps.map(|(_, kind, status)| (*kind, status.clone())).collect()
}

fn intent() -> Vec<(u64, String)> {
    vec![(0, "intent".to_owned())]
}

#[test]
fn before_there_is_a_ledger_nothing_was_sent_and_the_sheet_is_applied_anew() {
    let is_schema = |event: &HookEvent| event.path == "/v1/customMetadataFields";
    let case = Case::new(vec![kill_when(is_schema)]);
    assert_eq!(case.apply_direct().code, None);
    let leftover = case.files();
    assert!(!leftover.path().join("ledger.db").exists());
    case.resume().exits(2).output_contains("there is no run in");
    fs::remove_dir_all(leftover.path()).expect("it can be removed");
    case.through().holds();
}

#[test]
fn before_the_first_commit_what_was_done_is_done_again() {
    let case = Case::new(vec![kill_when(|event| event.n == 5)]).one_at_a_time().through();
    assert_eq!(case.ledgers, [Ledger(Vec::new())]);
    // The first two requests ask whose account it is and read its fields.
    assert!(
        case.world.sandbox.stats().calls.patch
            > case
                .rows
                .iter()
                .filter(|row| { row.asks.iter().any(|(call, _)| *call == "patch") })
                .count() as u64
    );
    case.holds();
}

#[test]
fn while_the_state_before_is_read_nothing_is_recorded_and_nothing_gets_lost() {
    let case = killed_at("GET", "cut-out0", Phase::Worked);
    assert_eq!(steps(&case, "cut-out0"), []);
    assert_eq!(paid(&case, "cut-out0"), 1);
    assert!(!case.unknown().contains(&case.row_of("cut-out0")));
    case.holds();
}

#[test]
fn an_intent_that_was_never_carried_out_is_unknown_and_is_not_sent_again() {
    let case = killed_at("PATCH", "cut-out0", Phase::Arrived);
    assert_eq!(steps(&case, "cut-out0"), intent());
    // What has arrived is worked on although nobody waits for it, in its own time.
    assert!(paid(&case, "cut-out0") <= 1);
    assert!(case.unknown().contains(&case.row_of("cut-out0")));
    case.holds();
}

#[test]
fn what_was_paid_for_and_not_answered_is_unknown_and_is_not_paid_for_again() {
    let case = killed_at("PATCH", "cut-out0", Phase::Worked);
    assert_eq!(steps(&case, "cut-out0"), intent());
    assert_eq!(paid(&case, "cut-out0"), 1);
    assert!(case.unknown().contains(&case.row_of("cut-out0")));
    case.holds();
}

#[test]
fn an_answer_that_was_not_committed_is_unknown_and_is_not_paid_for_again() {
    // One request at a time: the second time that the file is read shows that the first request
    // for it is answered. How soon the ledger commits that is a matter of time, so that one of
    // five places must do.
    let missed = (0..5).find(|block| {
        let file = format!("both{block}");
        let reads = std::sync::atomic::AtomicU32::new(0);
        let of = file.clone();
        let second_read = kill_when(move |event| {
            let read = event.phase == Phase::Arrived && details(event, "GET", &of);
            read && reads.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 1
        });
        let case = Case::new(vec![second_read]).one_at_a_time().through();
        case.holds();
        steps(&case, &file) == intent()
    });
    assert!(missed.is_some(), "the state was met in none of five places");
}

#[test]
fn what_was_committed_is_not_done_again() {
    let last = requests();
    let case =
        Case::new(vec![kill_when(move |event| event.n == last - 3)]).one_at_a_time().through();
    let committed =
        |file: &str| case.ledgers.iter().all(|ledger| ledger.settled(case.row_of(file)) > 0);
    for file in ["many0", "published0", "cut-out0", "both0", "three0", "cut-out3"] {
        assert!(committed(file), "{file}");
        let file = case.world.sandbox.history(file);
        let mut asked: Vec<String> = file.iter().map(|change| change["body"].to_string()).collect();
        asked.sort();
        asked.dedup();
        assert_eq!(asked.len(), file.len(), "sent twice");
    }
    case.holds();
}

/// Makes the program stop where its reports are written and are about to get their names, and kills
/// it there: the sheet `name`, which it compares with what it wrote last, is a pipe that nobody ever
/// writes to. The pipe is laid at that request.
pub(crate) fn kill_while_it_reports(name: &'static str, prepared_at: u64) -> Strike {
    Box::new(move |event, scene| {
        if event.n != prepared_at {
            return false;
        }
        let pipe = scene.run().join(name);
        let made = Command::new("mkfifo").arg(&pipe).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo {}", pipe.display());
        let victim = scene.victim.clone();
        std::thread::spawn(move || {
            wait_until_it_sleeps(&victim, "ikbulk", &["fifo_open", "wait_for_partner"]);
            victim.kill();
            fs::remove_file(&pipe).expect("a pipe can be removed");
        });
        true
    })
}

#[test]
fn killed_while_the_reports_are_written_it_writes_them_again_and_sends_nothing() {
    for name in ["failed.csv", "unknown.csv"] {
        let case = Case::new(vec![kill_while_it_reports(name, requests() / 2)]).one_at_a_time();
        assert_eq!(case.apply_direct().code, None, "it got past {name}");
        let ledger = Ledger::of(case.files().path());
        assert_eq!(ledger.intents().count(), 0);
        assert!((2..2 + case.rows.len() as u64).all(|row| ledger.settled(row) > 0));
        assert!(!case.files().path().join("summary.json").exists());
        assert_eq!(half_written(&case), 3);
        let sent = case.world.sandbox.stats().requests;
        case.resume().exits(1);
        // Whose account it is is asked, and nothing else.
        assert_eq!(case.world.sandbox.stats().requests, sent + 1);
        assert_eq!(half_written(&case), 0);
        case.holds();
    }
}

fn half_written(case: &Case) -> usize {
    let entries = fs::read_dir(case.files().path()).expect("the run is there").flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".writing")).count()
}

#[test]
fn killed_between_a_lost_answer_and_its_repeatable_rest_it_sends_the_rest_and_pays_once() {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let patches = std::sync::atomic::AtomicU32::new(0);
    let hook = Hook::new(move |event| {
        let patch = event.phase == Phase::Arrived && event.method == "PATCH";
        if patch && patches.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 1 {
            hand.kill();
        }
    });
    // The second request reads the state before, the third pays.
    let script = vec![(3, Fault::ResetAfter)];
    let faults = Faults { script, ..Faults::default() };
    let world = TestEnv::new(Config { hook: Some(hook), faults, ..files(["a"]) });
    let row = json!({"fileId": "a", "tags": ["x"], "extensions": [{"name": REMOVE_BG}]});
    world.write("sheet.jsonl", row.to_string());
    let applied = world
        .command(&["apply", "--direct", "--no-snapshot", "--yes", "sheet.jsonl"])
        .run_as(&victim);
    assert_eq!(applied.code, None, "{}", applied.err);
    let run = world.only_run("sheet");
    let ledger = Ledger::of(run.path());
    assert!(
        matches!(ledger.0.as_slice(), [(1, 0, status)] if status == "intent" || status == "unknown")
    );
    world.run(&format!("resume --yes {}", run.name())).exits(6);
    assert_eq!(run.statuses(), ["unknown"]);
    assert_eq!(world.file("a")["tags"], json!(["x"]));
    assert_eq!(world.sandbox.stats().paid_runs_of("a", REMOVE_BG), 1);
}

#[test]
fn what_was_under_way_at_the_kill_is_read_back_where_later_rows_follow() {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        if event.phase == Phase::Arrived && details(event, "PATCH", "c") {
            hand.kill();
        }
    });
    let world = TestEnv::new(Config { hook: Some(hook), ..files(["a", "b", "c"]) });
    // Only c has a row that a request which takes effect later could undo.
    let rows = ["a,one", "b,one", "c,one", "c,two"];
    world.write("sheet.csv", format!("fileId,tags\n{}\n", rows.join("\n")));
    assert_eq!(
        world
            .command(&["apply", "--direct", "--no-snapshot", "sheet.csv", "--yes"])
            .run_as(&victim)
            .code,
        None
    );
    let run = world.only_run("sheet");
    world.run(&format!("resume --yes {}", run.name())).exits(0);
    assert_eq!(world.sandbox.stats().calls.get, 1);
    assert_eq!(world.file("c")["tags"], json!(["two"]));
    assert_eq!(run.statuses(), ["updated"; 4]);
}

#[test]
fn a_session_that_ended_by_itself_leaves_nothing_in_doubt() {
    let world = TestEnv::new(files(["a"]));
    world.write("sheet.csv", "fileId,tags\na,one\na,two\na,three\n");
    world.run("apply --direct --no-snapshot sheet.csv --yes --limit 1");
    let run = world.only_run("sheet");
    world.run(&format!("resume --yes {}", run.name())).exits(0);
    assert_eq!(world.sandbox.stats().calls.get, 0);
    assert_eq!(world.file("a")["tags"], json!(["three"]));
}
