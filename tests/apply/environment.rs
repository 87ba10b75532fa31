//! A machine that lets the program down: a full disk, a ledger that cannot be written, a directory
//! that goes away. The run ends with exit code 4 and can be resumed; nothing is lost.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ikbulk::internals::RunDir;
use ikbulk_sandbox::{Config, Hook, Phase};
use rusqlite::Connection;
use serde_json::json;

use crate::harness::{Call, Cases, CmdResult, RunFiles, TestEnv, assert_text, files, ids, sheet};

const ROWS: usize = 60;
/// Latency of the sandbox, so that the ledger commits several times in a run.
const LATENCY: Duration = Duration::from_millis(20);
/// Requests in flight at once: the most that a failing ledger can leave unknown.
const CONCURRENCY: usize = 4;

/// Something that happens to the only run of the sheet while its n-th request is looked at.
fn env_where(n: u64, happens: impl Fn(&Path) + Send + Sync + 'static) -> TestEnv {
    let home: Arc<OnceLock<PathBuf>> = Arc::default();
    let place = Arc::clone(&home);
    let hook = Hook::new(move |event| {
        if event.n == n && event.phase == Phase::Arrived {
            let home = place.get().expect("it is set before the run");
            let mut runs = fs::read_dir(home).expect("a run has begun");
            let run = runs.next().expect("a run has begun");
            happens(&run.expect("the directory can be read").path());
        }
    });
    let env = env(Some(hook));
    home.set(env.path("sheet.ikbulk")).expect("this is the only env of the place");
    env
}

/// Every third row also unpublishes its file, which is at-most-once.
fn unpublishes(index: usize) -> bool {
    index.is_multiple_of(3)
}

fn env(hook: Option<Hook>) -> TestEnv {
    let ids = ids(ROWS);
    let env = TestEnv::new(Config { hook, latency: LATENCY, ..files(&ids) });
    let rows = ids.iter().enumerate().map(|(index, id)| {
        let publish = if unpublishes(index) { "false" } else { "" };
        format!("{id},tag-{id},{publish}")
    });
    env.write("sheet.csv", sheet("fileId,tags,isPublished", rows));
    env
}

const WORDS: [&str; 11] = [
    "apply",
    "--direct",
    "--no-snapshot",
    "sheet.csv",
    "--yes",
    "--rate",
    "unlimited",
    "--read-rate",
    "unlimited",
    "--concurrency",
    "4",
];

fn apply(env: &TestEnv) -> CmdResult {
    env.command(&WORDS).run()
}

/// Resumes the run: then every row is done exactly once, except at-most-once requests whose response
/// came when the ledger could no longer be written; these are unknown.
#[track_caller]
fn resumes_to_its_end(env: &TestEnv, run: &RunFiles) {
    let done =
        env.run(&format!("resume --yes {} --rate unlimited --read-rate unlimited", run.name()));
    let report = run.report();
    let unknown = report.iter().filter(|line| line["status"] == "unknown").count();
    done.exits(if unknown > 0 { 6 } else { 0 });
    assert!(unknown <= CONCURRENCY, "{unknown} unknown");
    assert_eq!(run.count("updated") + unknown as u64, ROWS as u64);
    for (index, id) in ids(ROWS).iter().enumerate() {
        assert_eq!(env.file(id)["tags"], json!([format!("tag-{id}")]), "{id}");
        let history = env.sandbox.history(id);
        let published = history.iter().filter(|change| change["call"] == "publish").count();
        let wanted = usize::from(unpublishes(index));
        let is_unknown = report[index]["status"] == "unknown";
        assert!(published == wanted || is_unknown && published < wanted, "{id}");
    }
}

/// The biggest file that the disk takes, in blocks of 512 bytes: from none for the input to enough
/// for everything.
#[cfg(target_os = "linux")]
const DISKS: [u32; 9] = [1, 8, 48, 96, 112, 144, 176, 208, 100_000];

#[cfg(target_os = "linux")]
#[test]
fn full_disk_ends_the_run_without_loss() {
    let mut cut_short = 0;
    for blocks in DISKS {
        let env = env(None);
        let shell = format!("trap '' XFSZ; ulimit -f {blocks}");
        let done = env.command_after(&shell, &WORDS).run();
        let sent = env.sandbox.stats().requests > 0;
        match (done.code, env.runs("sheet").as_slice()) {
            (Some(2), []) => assert!(!sent, "{done:?}"),
            (Some(4), []) => {
                assert!(env.sandbox.stats().calls.patch == 0, "{done:?}");
                assert!(!done.err.is_empty(), "{done:?}");
            }
            (Some(4), [run]) => {
                assert!(!done.err.is_empty(), "{done:?}");
                resumes_to_its_end(&env, run);
                cut_short += 1;
            }
            (Some(0), [run]) => assert_eq!(run.count("updated"), ROWS as u64),
            other => panic!("{other:?} {done:?}"),
        }
    }
    assert!(cut_short >= 2, "no disk became full during the run");
}

#[test]
fn locked_ledger_ends_the_run_resumably() {
    let held: Arc<Mutex<Option<Connection>>> = Arc::default();
    let holder = Arc::clone(&held);
    let env = env_where(30, move |run| {
        let ledger = Connection::open(run.join("ledger.db")).unwrap();
        ledger.execute_batch("BEGIN IMMEDIATE").unwrap();
        *holder.lock().unwrap_or_else(PoisonError::into_inner) = Some(ledger);
    });
    // How many rows were done by then depends on the time that each takes.
    assert_text!(apply(&env).exits(4).err);
    drop(held.lock().unwrap_or_else(PoisonError::into_inner).take());
    resumes_to_its_end(&env, &env.only_run("sheet"));
}

#[test]
fn moved_run_directory_ends_the_run_resumably() {
    let elsewhere: Arc<OnceLock<PathBuf>> = Arc::default();
    let place = Arc::clone(&elsewhere);
    let env = env_where(30, move |run| fs::rename(run, place.get().unwrap()).unwrap());
    elsewhere.set(env.path("moved")).unwrap();
    apply(&env).exits(4);
    let back = env.path("sheet.ikbulk").join("back");
    fs::rename(env.path("moved"), &back).unwrap();
    resumes_to_its_end(&env, &env.only_run("sheet"));
}

#[test]
fn deleted_run_directory_ends_the_run() {
    let env = env_where(30, |run| fs::remove_dir_all(run).unwrap());
    apply(&env).exits(4);
    assert!(env.runs("sheet").is_empty());
    apply(&env).exits(0);
    assert_eq!(env.only_run("sheet").count("updated"), ROWS as u64);
}

#[test]
fn unwritable_report_exits_4_and_is_written_later() {
    let mut cases = Cases::default();
    for name in ["report.csv", "failed.csv", "unknown.csv", "summary.json"] {
        let env = env_where(30, move |run| fs::create_dir(run.join(name)).unwrap());
        cases.add(name, apply(&env).exits(4).err);
        let run = env.only_run("sheet");
        let sent = env.sandbox.stats().requests;
        fs::remove_dir(run.path().join(name)).unwrap();
        env.run(&format!("report {}", run.name())).exits(0);
        assert_eq!(run.count("updated"), ROWS as u64);
        assert_eq!(env.sandbox.stats().requests, sent);
    }
    assert_text!(cases);
}

#[test]
fn unusable_state_directory_exits_4_without_a_request() {
    let env = env(None);
    env.write("state", "a file stands in its way");
    apply(&env).exits(4);
    assert_eq!(env.sandbox.stats().requests, 0);
}

/// A sheet with one row, and a command that leaves where state is kept to its environment.
fn applying(env: &TestEnv) -> Call {
    env.write("one.csv", "fileId,tags\nfile000,x\n");
    env.command(&["apply", "--direct", "--no-snapshot", "one.csv", "--yes"])
        .without("XDG_STATE_HOME")
}

#[test]
fn missing_state_directory_is_refused() {
    let env = env(None);
    for home in ["", "relative"] {
        applying(&env).env("HOME", home).env("TMPDIR", env.path("tmp")).run().exits(2);
    }
    assert_eq!(env.sandbox.stats().requests, 0);
    assert!(!env.path("tmp").exists() && !env.path("one.ikbulk").exists());
    let sandbox = applying(&env).without("IMAGE_KIT_BASE_URL").arg("--sandbox").run();
    sandbox.exits(0);
}

#[test]
fn state_directory_follows_flag_then_variable() {
    let env = env(None);
    let call = || applying(&env).env("IKBULK_STATE_DIR", env.path("variable"));
    call().run().exits(0);
    call().arg("--state-dir").arg("flag/here").run().exits(0);
    for place in ["variable", "flag", "flag/here", "flag/here/locks"] {
        let mode = fs::metadata(env.path(place)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{place}");
    }
}

#[test]
fn symbolic_links_as_state_files_are_refused() {
    let env = env(None);
    env.write("bystander", "kept");
    let call = || applying(&env).env("IKBULK_STATE_DIR", env.path("state"));
    call().run().exits(0);
    let sent = env.sandbox.stats().requests;
    for file in ["state.db", "locks/1.lock", "rates/1"] {
        let file = env.path("state").join(file);
        let kept = file.with_extension("kept");
        fs::rename(&file, &kept).unwrap();
        symlink(env.path("bystander"), &file).unwrap();
        call().run().exits(2);
        fs::rename(&kept, &file).unwrap();
    }
    fs::rename(env.path("state"), env.path("elsewhere")).unwrap();
    symlink(env.path("elsewhere"), env.path("state")).unwrap();
    call().run().exits(2);
    assert_eq!(env.sandbox.stats().requests, sent);
    assert_eq!(fs::read(env.path("bystander")).unwrap(), b"kept");
}

#[cfg(target_os = "linux")]
#[test]
fn unwritable_terminal_does_not_stop_a_run() {
    let env = env(None);
    let shell = "exec >/dev/full 2>/dev/full";
    env.command_after(shell, &[&WORDS[..], &["-vv"]].concat()).run().exits(0);
    assert_eq!(env.only_run("sheet").count("updated"), ROWS as u64);
}

#[test]
fn run_names_are_unique_whatever_the_clock() {
    // Names are all that wall time is used for; every wait and limit goes by tokio's clock.
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("sheet.csv");
    let now = "2026-11-24T12:00:00Z".parse().unwrap();
    let before = "2025-11-24T12:00:00Z".parse().unwrap();
    let made = [now, now, before, before].map(|time| RunDir::create(&input, time).unwrap());
    let mut names = made.map(|run| run.path().to_owned()).to_vec();
    names.dedup();
    assert_eq!(names.len(), 4);
}
