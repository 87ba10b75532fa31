//! Only one process at a time executes a run, whatever its state directory and key; reports do not
//! interfere.

use std::collections::BTreeSet;
use std::fs;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ikbulk::internals::{ReportLock, RunDir, RunLock};
use ikbulk_sandbox::{Config, ExtensionOutcome, Hook, Phase, Status};
use serde_json::json;

use crate::harness::{
    Call, Cases, ChildHandle, CmdResult, RunFiles, TestEnv, assert_text, files, ids, tagged,
};

/// How long to wait for a command that should be refused at once, while the sandbox is blocked.
const REFUSED_WITHIN: Duration = Duration::from_secs(20);

fn rows() -> String {
    let row = |id| format!("{{\"fileId\":\"{id}\",\"extensions\":[{{\"name\":\"remove-bg\"}}]}}\n");
    ["a", "b", "c"].map(row).concat()
}

/// Runs a second command while one request, and with it the whole sandbox, is blocked.
#[derive(Clone, Default)]
struct BlockedRequest {
    second: Arc<Mutex<Option<Call>>>,
    running: Arc<Mutex<Option<JoinHandle<CmdResult>>>>,
}

impl BlockedRequest {
    /// A hook that blocks the first PATCH of this file.
    fn hook(&self, id: &'static str) -> Hook {
        let blocked = self.clone();
        Hook::new(move |event| {
            let is_patch = event.method == "PATCH" && event.path.contains(&format!("/{id}/"));
            if is_patch && event.phase == Phase::Arrived {
                blocked.run_second();
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
        // A command that is not refused continues with the sandbox.
        end.recv_timeout(REFUSED_WITHIN).ok();
        *unpoisoned(&self.running) = Some(running);
    }

    fn done(&self) -> CmdResult {
        let running = unpoisoned(&self.running).take().expect("the request was blocked");
        running.join().expect("the second command ends")
    }
}

fn unpoisoned<T>(place: &Mutex<T>) -> MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn concurrent_resumes_run_no_extension_twice() {
    let blocked = BlockedRequest::default();
    let config = files(["a", "b", "c"]);
    let extensions = ExtensionOutcome::Always(Status::Success);
    let env = TestEnv::new(Config { hook: Some(blocked.hook("b")), extensions, ..config });
    env.write("sheet.jsonl", rows());
    env.apply("sheet.jsonl --limit 1").exits(5);
    let run = env.only_run("sheet");
    let resume = ["resume", "--yes", &run.name(), "--rate", "unlimited"];
    let second = env.command(&resume).env("XDG_STATE_HOME", env.path("other-state"));
    *unpoisoned(&blocked.second) = Some(second);
    env.command(&resume).run().exits(0);
    assert_text!(blocked.done().exits(75));
    for id in ["a", "b", "c"] {
        assert_eq!(env.sandbox.stats().billed_runs_of(id, "remove-bg"), 1, "{id}");
    }
    assert_eq!(run.statuses(), ["updated"; 3]);
}

fn names(run: &RunFiles) -> BTreeSet<String> {
    let entries = fs::read_dir(run.path()).expect("the run is there").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn report_of_running_run_shows_progress_only() {
    let blocked = BlockedRequest::default();
    let config = Config { hook: Some(blocked.hook("b")), ..files(["a", "b", "c"]) };
    let extensions = ExtensionOutcome::Always(Status::Success);
    let env = TestEnv::new(Config { extensions, ..config });
    env.write("sheet.jsonl", rows());
    let report = env.command(&["report", "the-run"]);
    *unpoisoned(&blocked.second) = Some(report);
    env.apply("sheet.jsonl --run-dir the-run --concurrency 1").exits(0);
    assert_text!(blocked.done().exits(0));
    let run = RunFiles(env.path("the-run"));
    assert_eq!(run.statuses(), ["updated"; 3]);
    assert_eq!(run.summary()["exit_code"], 0);
}

#[test]
fn concurrent_reports_do_not_interfere() {
    let env = tagged(2000, |config| config);
    env.apply("sheet.csv --limit 1900").exits(5);
    let run = env.only_run("sheet");
    let before = names(&run);
    let name = run.name();
    let reports: Vec<_> = (0..6).map(|_| env.command(&["report", &name])).collect();
    let reports: Vec<_> =
        reports.into_iter().map(|call| std::thread::spawn(move || call.run())).collect();
    for report in reports {
        report.join().expect("it ends").exits(5);
    }
    assert_eq!(run.count("updated"), 1900);
    let mut after = names(&run);
    after.remove("report.lock");
    assert_eq!(after, before);
}

#[test]
fn busy_report_lock_exits_75() {
    let env = tagged(2, |config| config);
    env.apply("sheet.csv --limit 1").exits(5);
    let run = env.only_run("sheet");
    let dir = RunDir::open(run.path()).expect("it is a run");
    let lock = ReportLock::take(&dir).expect("it is free");
    let calls = [&["report"][..], &["resume", "--yes"]]
        .map(|words| env.command(&[words, &[&run.name()]].concat()));
    let mut cases = Cases::default();
    let calls = calls.map(|call| std::thread::spawn(|| call.run()));
    for (name, call) in ["report", "resume"].iter().zip(calls) {
        cases.add(name, call.join().expect("it ends").exits(75));
    }
    assert_text!(cases);
    drop(lock);
    let lock = RunLock::take(&dir).expect("it is free");
    env.run(&format!("report {}", run.name())).exits(0).line("running");
    drop(lock);
    env.run(&format!("resume --yes {}", run.name())).exits(0);
}

#[test]
fn undo_restores_in_flight_rows_after_report() {
    let ids = ids(2);
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        if event.method == "PATCH"
            && event.path.contains("file001")
            && event.phase == Phase::Processed
        {
            hand.kill();
        }
    });
    let env = tagged(2, |config| Config { hook: Some(hook), ..config });
    env.write("sheet.csv", "fileId,description\nfile000,new\nfile001,new\n");
    let words = ["apply", "sheet.csv", "--yes", "--rate", "unlimited", "--concurrency", "1"];
    assert_eq!(env.command(&words).run_as(&victim).code, None);
    let run = env.only_run("sheet").name();
    env.run(&format!("report {run}")).exits(5);
    env.run(&format!("undo {run} --yes --rate unlimited")).exits(0);
    for id in ids {
        assert_ne!(env.file(&id)["description"], json!("new"), "{id}");
    }
}
