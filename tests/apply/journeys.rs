//! Runs in several sessions: pilots, deadlines, signals, locks.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use ikbulk_sandbox::{Config, Fault, Hook, Phase};
use serde_json::json;

use crate::harness::{ChildHandle, TestEnv, assert_text, files, ids, script, tagged, tagging};

/// An environment with a sheet of `count` rows.
fn rows(count: usize) -> TestEnv {
    tagged(count, |config| config)
}

/// Asserts that every row was sent exactly once over all sessions.
#[track_caller]
fn each_was_sent_once(env: &TestEnv, rows: usize) {
    assert_eq!(env.only_run("sheet").statuses(), vec!["updated"; rows]);
    for id in ids(rows) {
        assert_eq!(env.sandbox.history(&id).len(), 1, "{id}");
    }
}

#[test]
fn pilot_sends_first_rows_and_resume_the_rest() {
    let env = rows(10);
    assert_text!(env.apply("sheet.csv --limit 3").exits(5));
    let run = env.only_run("sheet");
    assert_eq!((run.count("updated"), run.count("not_attempted")), (3, 7));
    env.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(0);
    each_was_sent_once(&env, 10);
}

#[test]
fn unfinished_run_requires_continue() {
    let env = rows(6);
    env.apply("sheet.csv --continue --limit 2").exits(5);
    env.apply("sheet.csv").exits(2);
    assert_eq!(env.sandbox.stats().calls.patch, 2);
    env.apply("sheet.csv --continue").exits(0);
    each_was_sent_once(&env, 6);
    // `--direct` could be charged twice, so that a finished run stays finished.
    assert_text!(env.apply_direct("sheet.csv --continue").exits(0));
    each_was_sent_once(&env, 6);
    env.apply("sheet.csv --continue").exits(0);
    assert_eq!(env.runs("sheet").len(), 2);
    assert_eq!(env.runs("sheet")[1].count("unchanged"), 6);
}

#[test]
fn unfinished_run_of_another_sheet_does_not_block() {
    let env = rows(6);
    env.apply("sheet.csv --limit 2").exits(5);
    env.write("sheet.csv", tagging(&["file005"]));
    env.apply("sheet.csv").exits(0);
    assert_eq!(env.runs("sheet").len(), 2);
}

#[test]
fn max_duration_stops_gracefully() {
    let env = rows(40);
    let done = env.run("apply sheet.csv --yes --rate 10 --burst 1 --max-duration 3s");
    assert_text!(done.exits(5).line("stopped"));
    let run = env.only_run("sheet");
    assert!((1..40).contains(&run.count("updated")));
    env.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(0);
    each_was_sent_once(&env, 40);
}

#[test]
fn stop_at_ends_at_the_given_time() {
    let env = rows(60);
    let soon = jiff::Timestamp::now() + Duration::from_secs(2);
    let at = soon.strftime("%H:%M:%S");
    let done =
        env.run(&format!("apply sheet.csv --yes --rate 10 --burst 1 --leave 0 --stop-at {at}"));
    assert_text!(done.exits(5).line("stopped"));
    assert!((1..60).contains(&env.only_run("sheet").count("updated")));
}

/// Sends a signal at the third write, while others are in flight.
fn signal_at_third_request(name: &'static str) -> (TestEnv, ChildHandle) {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let writes = AtomicU64::new(0);
    let hook = Hook::new(move |event| {
        let is_write = event.method != "GET" && event.phase == Phase::Arrived;
        if is_write && writes.fetch_add(1, SeqCst) == 2 {
            hand.signal(name);
        }
    });
    let latency = Duration::from_millis(50);
    (tagged(100, |config| Config { hook: Some(hook), latency, ..config }), victim)
}

#[test]
fn signal_finishes_in_flight_requests_and_prints_resume() {
    for (name, code) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        let (env, victim) = signal_at_third_request(name);
        let words = ["apply", "sheet.csv", "--yes", "--rate", "unlimited", "--concurrency", "4"];
        let done = env.command(&words).run_as(&victim).exits(code);
        let run = env.only_run("sheet");
        let (stopped, next) = (done.line("stopped"), done.line("next"));
        assert_text!("signal_finishes_in_flight_requests", format!("{stopped}\n{next}"));
        let updated = run.count("updated");
        let changed = ids(100).iter().filter(|id| !env.sandbox.history(id).is_empty()).count();
        assert_eq!(
            u64::try_from(changed).expect("it is small"),
            updated,
            "requests in flight were abandoned"
        );
        assert_eq!(run.count("not_attempted"), 100 - updated);
        assert_eq!(run.summary()["exit_code"], code);
        env.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(0);
        each_was_sent_once(&env, 100);
    }
}

#[test]
fn second_signal_exits_immediately() {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        // The account, five reads, and then the first write.
        if event.n == 7 && event.phase == Phase::Arrived {
            // Two signals of one kind can be merged into one.
            hand.signal("INT");
            hand.signal("TERM");
        }
    });
    let long = Fault::HangBefore(Duration::from_secs(30));
    let env = tagged(5, |config| script(vec![(6, long)], Config { hook: Some(hook), ..config }));
    let done = env.command(&["apply", "sheet.csv", "--yes"]).run_as(&victim);
    assert!(matches!(done.code, Some(130 | 143)), "{done:?}");
    let run = env.only_run("sheet");
    assert!(!run.path().join("summary.json").exists());
    env.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(0);
    assert_eq!(run.statuses(), ["updated"; 5]);
}

#[test]
fn second_run_on_one_account_exits_75() {
    let env = rows(1);
    let _lock = env.lock_account();
    env.apply("sheet.csv").exits(75);
    assert_eq!(env.sandbox.stats().requests, 0);
    assert!(!env.path("sheet.ikbulk").exists());
}

#[test]
fn wait_lock_waits_for_the_other_run() {
    let env = rows(1);
    let lock = env.lock_account();
    let call = env.command(&["apply", "sheet.csv", "--yes", "--wait-lock"]);
    let done = call.run_and_when_it_says("waiting for another run", || drop(lock)).exits(0);
    assert_text!(done.err);
    assert_eq!(env.file("file000")["tags"], json!(["tag-file000"]));
}

#[test]
fn report_regenerates_identical_files() {
    let env = TestEnv::new(files(["a", "b"]));
    let rows = "fileId,tags,extensions\na,x,\nb,\"=50%\",\nmissing1,z,\na,,\"[{\"\"name\"\":\"\"remove-bg\"\"}]\"\n";
    env.write("sheet.csv", rows);
    env.apply("sheet.csv --max-bad 100%").exits(1);
    let run = env.only_run("sheet");
    let names = ["report.csv", "failed.csv", "summary.json"];
    assert!(!run.path().join("unknown.csv").exists(), "no row is unknown");
    let before = names.map(|name| run.text(name));
    for name in names {
        std::fs::remove_file(run.path().join(name)).unwrap();
    }
    let name = run.path().file_name().unwrap().display();
    env.run(&format!("report sheet.ikbulk/{name}")).exits(1);
    assert_eq!(names.map(|name| run.text(name)), before);
}

#[test]
fn files_of_a_run_are_documented() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,tags\na,x\na,50%\n");
    env.run("apply sheet.csv --sandbox --save-responses").exits(1);
    let run = env.only_run("sheet");
    env.run(&format!("report {}", run.name())).exits(1);
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/run-directory.md");
    let page = std::fs::read_to_string(page).expect("the page can be read");
    let files = std::fs::read_dir(run.path()).expect("the run has a directory");
    let names = files.map(|file| file.expect("it can be listed").file_name());
    let names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    assert!(names.len() >= 8, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name} is not documented");
    }
}

#[test]
fn resume_refuses_another_account() {
    let env = rows(4);
    env.apply("sheet.csv --limit 1").exits(5);
    let run = env.only_run("sheet").name();
    let resume = || env.command(&["resume", "--yes", &run]);
    resume().env("IMAGEKIT_PRIVATE_KEY", "private_other").run().exits(3);
    resume().without("IMAGEKIT_PRIVATE_KEY").run().exits(2);
    env.run("resume nowhere").exits(2);
    env.run("resume").exits(2);
    assert_eq!(env.sandbox.stats().calls.patch, 1);
}

#[test]
fn killed_run_is_unfinished_and_releases_its_lock() {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        // The account, ten reads, and then the third write.
        if event.n == 14 && event.phase == Phase::Processed {
            hand.kill();
        }
    });
    let env = tagged(10, |config| Config { hook: Some(hook), ..config });
    let words = ["apply", "sheet.csv", "--yes", "--rate", "unlimited", "--concurrency", "1"];
    assert_eq!(env.command(&words).run_as(&victim).code, None);
    env.apply("sheet.csv").exits(2);
    env.apply("sheet.csv --continue").exits(0);
    assert_eq!(env.only_run("sheet").statuses(), ["updated"; 10]);
}
