//! One run is executed by one process at a time, whatever state directory or key each has, and a
//! report disturbs nobody.

use std::collections::BTreeSet;
use std::fs;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ikbulk::run::{ReportLock, RunDir, RunLock};
use ikbulk::sandbox::{Config, ExtensionOutcome, Hook, Phase, Status};
use serde_json::json;

use crate::harness::{Call, ChildHandle, CmdResult, RunFiles, TestEnv, files, ids, tagged};

/// How long a command that ought to be refused at once is waited for while the sandbox stands still.
const REFUSED_WITHIN: Duration = Duration::from_secs(20);

fn rows() -> String {
    let row = |id| format!("{{\"fileId\":\"{id}\",\"extensions\":[{{\"name\":\"remove-bg\"}}]}}\n");
    ["a", "b", "c"].map(row).concat()
}

/// Runs a second command while one request, and with it the whole sandbox, is held.
#[derive(Clone, Default)]
struct Held {
    second: Arc<Mutex<Option<Call>>>,
    running: Arc<Mutex<Option<JoinHandle<CmdResult>>>>,
}

impl Held {
    /// The tap that holds the first request that changes that file.
    fn hook(&self, id: &'static str) -> Hook {
        let held = self.clone();
        Hook::new(move |event| {
            let is_patch = event.method == "PATCH" && event.path.contains(&format!("/{id}/"));
            if is_patch && event.phase == Phase::Arrived {
                held.run_second();
            }
        })
    }

    fn run_second(&self) {
        let Some(call) = unpoisoned(&self.second).take() else { return };
        let (ended, end) = sync_channel(1);
        let running = std::thread::spawn(move || {
            let done = call.run();
            ended.send(()).ok();
            done
        });
        // One that is not refused goes on when the sandbox does.
        end.recv_timeout(REFUSED_WITHIN).ok();
        *unpoisoned(&self.running) = Some(running);
    }

    fn done(&self) -> CmdResult {
        let running = unpoisoned(&self.running).take().expect("the request was held");
        running.join().expect("the second command ends")
    }
}

fn unpoisoned<T>(place: &Mutex<T>) -> MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn two_resumes_at_once_run_no_extension_twice() {
    let held = Held::default();
    let config = files(["a", "b", "c"]);
    let extensions = ExtensionOutcome::Always(Status::Success);
    let world = TestEnv::new(Config { hook: Some(held.hook("b")), extensions, ..config });
    world.write("sheet.jsonl", rows());
    world.apply_direct("sheet.jsonl --limit 1").exits(5);
    let run = world.only_run("sheet");
    let resume = ["resume", "--yes", &run.name(), "--rate", "unlimited"];
    let second = world.command(&resume).env("XDG_STATE_HOME", world.path("other-state"));
    *unpoisoned(&held.second) = Some(second);
    world.command(&resume).run().exits(0);
    let second = held.done().exits(75);
    second
        .output_contains("this run is being executed by process")
        .output_contains(&format!("ikbulk resume --yes {}", run.name()));
    for id in ["a", "b", "c"] {
        assert_eq!(world.sandbox.stats().paid_runs_of(id, "remove-bg"), 1, "{id}");
    }
    assert_eq!(run.statuses(), ["updated"; 3]);
}

fn names(run: &RunFiles) -> BTreeSet<String> {
    let entries = fs::read_dir(run.path()).expect("the run is there").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_report_of_a_running_run_writes_nothing_and_says_how_far_it_is() {
    let held = Held::default();
    let config = Config { hook: Some(held.hook("b")), ..files(["a", "b", "c"]) };
    let extensions = ExtensionOutcome::Always(Status::Success);
    let world = TestEnv::new(Config { extensions, ..config });
    world.write("sheet.jsonl", rows());
    let report = world.command(&["report", "the-run"]);
    *unpoisoned(&held.second) = Some(report);
    world.apply_direct("sheet.jsonl --run-dir the-run --concurrency 1").exits(0);
    let report = held.done().exits(0);
    assert!(report.err.is_empty(), "{}", report.err);
    report
        .output_contains("running    by process ")
        .output_contains("(ikbulk apply ")
        .output_contains("rows       1 of 3 settled: 1 updated; 1 sent, no response yet\n")
        .output_contains("requests   ")
        .output_contains("next       its reports are written when it ends\n");
    let run = RunFiles(world.path("the-run"));
    assert_eq!(run.statuses(), ["updated"; 3]);
    assert_eq!(run.summary()["exit_code"], 0);
}

#[test]
fn reports_at_once_do_not_disturb_each_other() {
    let world = tagged(2000, |config| config);
    world.apply_direct("sheet.csv --limit 1900").exits(5);
    let run = world.only_run("sheet");
    let before = names(&run);
    let name = run.name();
    let reports: Vec<_> = (0..6).map(|_| world.command(&["report", &name])).collect();
    let reports: Vec<_> =
        reports.into_iter().map(|call| std::thread::spawn(move || call.run())).collect();
    for report in reports {
        report.join().expect("it ends").exits(5).output_contains("1900 updated");
    }
    let mut after = names(&run);
    after.remove("report.lock");
    assert_eq!(after, before);
}

#[test]
fn a_report_that_is_being_written_is_waited_for_and_named() {
    let world = tagged(2, |config| config);
    world.apply_direct("sheet.csv --limit 1").exits(5);
    let run = world.only_run("sheet");
    let dir = RunDir::open(run.path()).expect("it is a run");
    let lock = ReportLock::take(&dir).expect("nobody holds it");
    let calls = [&["report"][..], &["resume", "--yes"]]
        .map(|words| world.command(&[words, &[&run.name()]].concat()));
    for call in calls.map(|call| std::thread::spawn(|| call.run())) {
        let done = call.join().expect("it ends").exits(75);
        done.output_contains("another process is writing the reports of this run");
    }
    drop(lock);
    let lock = RunLock::take(&dir).expect("nobody holds it");
    world.run(&format!("report {}", run.name())).exits(0).output_contains("running    by process ");
    drop(lock);
    world.run(&format!("resume --yes {}", run.name())).exits(0);
}

#[test]
fn a_report_of_a_killed_run_does_not_hide_from_undo_what_was_in_flight() {
    let ids = ids(2);
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        if event.method == "PATCH" && event.path.contains("file001") && event.phase == Phase::Worked
        {
            hand.kill();
        }
    });
    let world = tagged(2, |config| Config { hook: Some(hook), ..config });
    world.write("sheet.csv", "fileId,description\nfile000,new\nfile001,new\n");
    let words = ["apply", "sheet.csv", "--yes", "--rate", "unlimited", "--concurrency", "1"];
    assert_eq!(world.command(&words).run_as(&victim).code, None);
    let run = world.only_run("sheet").name();
    world.run(&format!("report {run}")).exits(5);
    world.run(&format!("undo {run} --yes --rate unlimited")).exits(0);
    for id in ids {
        assert_ne!(world.file(&id)["description"], json!("new"), "{id}");
    }
}
