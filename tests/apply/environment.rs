//! A machine that lets the program down: a full disk, a ledger that cannot be written, a directory
//! that goes away. The run ends with exit code 4, or goes on afterwards; nothing is lost.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ikbulk::run::RunDir;
use ikbulk::sandbox::{Config, Hook, Phase};
use rusqlite::Connection;
use serde_json::json;

use crate::harness::{Call, Cases, CmdResult, RunFiles, TestEnv, assert_text, files, ids, sheet};

const ROWS: usize = 60;
/// Think time of ImageKit, so that the ledger commits now and then.
const LATENCY: Duration = Duration::from_millis(20);
/// Requests under way at once, and so what a ledger that fails can leave unknown.
const CONCURRENCY: usize = 4;

/// Something that happens to the only run of the sheet while its n-th request is looked at.
fn world_where(n: u64, happens: impl Fn(&Path) + Send + Sync + 'static) -> TestEnv {
    let home: Arc<OnceLock<PathBuf>> = Arc::default();
    let place = Arc::clone(&home);
    let hook = Hook::new(move |event| {
        if event.n == n && event.phase == Phase::Arrived {
            let home = place.get().expect("the world stands");
            let mut runs = fs::read_dir(home).expect("a run has begun");
            let run = runs.next().expect("a run has begun");
            happens(&run.expect("the directory can be read").path());
        }
    });
    let world = world(Some(hook));
    home.set(world.path("sheet.ikbulk")).expect("this is the only world of the place");
    world
}

/// Every third row unpublishes its file as well, which must not be repeated.
fn unpublishes(index: usize) -> bool {
    index.is_multiple_of(3)
}

fn world(hook: Option<Hook>) -> TestEnv {
    let ids = ids(ROWS);
    let world = TestEnv::new(Config { hook, latency: LATENCY, ..files(&ids) });
    let rows = ids.iter().enumerate().map(|(index, id)| {
        let publish = if unpublishes(index) { "false" } else { "" };
        format!("{id},tag-{id},{publish}")
    });
    world.write("sheet.csv", sheet("fileId,tags,isPublished", rows));
    world
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

fn apply(world: &TestEnv) -> CmdResult {
    world.command(&WORDS).run()
}

/// Goes on with the run, and then everything is done, once; what must not be repeated may be
/// unknown where its answer came when the ledger took no more.
#[track_caller]
fn goes_on_to_its_end(world: &TestEnv, run: &RunFiles) {
    let done =
        world.run(&format!("resume --yes {} --rate unlimited --read-rate unlimited", run.name()));
    let report = run.report();
    let unknown = report.iter().filter(|line| line["status"] == "unknown").count();
    done.exits(if unknown > 0 { 6 } else { 0 });
    assert!(unknown <= CONCURRENCY, "{unknown} unknown");
    assert_eq!(run.count("updated") + unknown as u64, ROWS as u64);
    for (index, id) in ids(ROWS).iter().enumerate() {
        assert_eq!(world.file(id)["tags"], json!([format!("tag-{id}")]), "{id}");
        let history = world.sandbox.history(id);
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
fn a_disk_that_is_full_sooner_or_later_ends_the_run_and_nothing_is_lost() {
    let mut cut_short = 0;
    for blocks in DISKS {
        let world = world(None);
        let shell = format!("trap '' XFSZ; ulimit -f {blocks}");
        let done = world.command_after(&shell, &WORDS).run();
        let sent = world.sandbox.stats().requests > 0;
        match (done.code, world.runs("sheet").as_slice()) {
            (Some(2), []) => assert!(!sent, "{done:?}"),
            (Some(4), []) => {
                assert!(world.sandbox.stats().calls.patch == 0, "{done:?}");
                assert!(!done.err.is_empty(), "{done:?}");
            }
            (Some(4), [run]) => {
                assert!(!done.err.is_empty(), "{done:?}");
                goes_on_to_its_end(&world, run);
                cut_short += 1;
            }
            (Some(0), [run]) => assert_eq!(run.count("updated"), ROWS as u64),
            other => panic!("{other:?} {done:?}"),
        }
    }
    assert!(cut_short >= 2, "no disk was full while the run was under way");
}

#[test]
fn a_ledger_that_cannot_be_written_ends_the_run_which_goes_on_once_it_can() {
    let held: Arc<Mutex<Option<Connection>>> = Arc::default();
    let holder = Arc::clone(&held);
    let world = world_where(30, move |run| {
        let ledger = Connection::open(run.join("ledger.db")).unwrap();
        ledger.execute_batch("BEGIN IMMEDIATE").unwrap();
        *holder.lock().unwrap_or_else(PoisonError::into_inner) = Some(ledger);
    });
    // How many rows were done by then depends on the time that each takes.
    assert_text!(apply(&world).exits(4).err);
    drop(held.lock().unwrap_or_else(PoisonError::into_inner).take());
    goes_on_to_its_end(&world, &world.only_run("sheet"));
}

#[test]
fn a_run_directory_that_goes_away_ends_the_run_which_goes_on_once_it_is_back() {
    let elsewhere: Arc<OnceLock<PathBuf>> = Arc::default();
    let place = Arc::clone(&elsewhere);
    let world = world_where(30, move |run| fs::rename(run, place.get().unwrap()).unwrap());
    elsewhere.set(world.path("moved")).unwrap();
    apply(&world).exits(4);
    let back = world.path("sheet.ikbulk").join("back");
    fs::rename(world.path("moved"), &back).unwrap();
    goes_on_to_its_end(&world, &world.only_run("sheet"));
}

#[test]
fn a_run_directory_that_is_deleted_ends_the_run_and_the_sheet_can_be_applied_anew() {
    let world = world_where(30, |run| fs::remove_dir_all(run).unwrap());
    apply(&world).exits(4);
    assert!(world.runs("sheet").is_empty());
    apply(&world).exits(0);
    assert_eq!(world.only_run("sheet").count("updated"), ROWS as u64);
}

#[test]
fn a_report_that_cannot_be_written_is_exit_4_and_is_written_afterwards() {
    let mut cases = Cases::default();
    for name in ["report.csv", "failed.csv", "unknown.csv", "summary.json"] {
        let world = world_where(30, move |run| fs::create_dir(run.join(name)).unwrap());
        cases.add(name, apply(&world).exits(4).err);
        let run = world.only_run("sheet");
        let sent = world.sandbox.stats().requests;
        fs::remove_dir(run.path().join(name)).unwrap();
        world.run(&format!("report {}", run.name())).exits(0);
        assert_eq!(run.count("updated"), ROWS as u64);
        assert_eq!(world.sandbox.stats().requests, sent);
    }
    assert_text!(cases);
}

#[test]
fn a_state_directory_that_cannot_be_made_is_exit_4_before_anything_is_sent() {
    let world = world(None);
    world.write("state", "a file stands in its way");
    apply(&world).exits(4);
    assert_eq!(world.sandbox.stats().requests, 0);
}

/// A sheet with one row, and a command that leaves where state is kept to its environment.
fn applying(world: &TestEnv) -> Call {
    world.write("one.csv", "fileId,tags\nfile000,x\n");
    world
        .command(&["apply", "--direct", "--no-snapshot", "one.csv", "--yes"])
        .without("XDG_STATE_HOME")
}

#[test]
fn without_a_place_for_state_nothing_is_sent_and_none_is_made_up() {
    let world = world(None);
    for home in ["", "relative"] {
        applying(&world).env("HOME", home).env("TMPDIR", world.path("tmp")).run().exits(2);
    }
    assert_eq!(world.sandbox.stats().requests, 0);
    assert!(!world.path("tmp").exists() && !world.path("one.ikbulk").exists());
    let sandbox = applying(&world).without("IMAGE_KIT_BASE_URL").arg("--sandbox").run();
    sandbox.exits(0);
}

#[test]
fn state_is_kept_where_the_flag_or_else_the_variable_says_for_its_user_alone() {
    let world = world(None);
    let call = || applying(&world).env("IKBULK_STATE_DIR", world.path("variable"));
    call().run().exits(0);
    call().arg("--state-dir").arg("flag/here").run().exits(0);
    for place in ["variable", "flag", "flag/here", "flag/here/locks"] {
        let mode = fs::metadata(world.path(place)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{place}");
    }
}

#[test]
fn a_link_in_the_place_of_a_state_file_is_refused_and_its_target_kept() {
    let world = world(None);
    world.write("bystander", "kept");
    let call = || applying(&world).env("IKBULK_STATE_DIR", world.path("state"));
    call().run().exits(0);
    let sent = world.sandbox.stats().requests;
    for file in ["state.db", "locks/1.lock", "rates/1"] {
        let file = world.path("state").join(file);
        let kept = file.with_extension("kept");
        fs::rename(&file, &kept).unwrap();
        symlink(world.path("bystander"), &file).unwrap();
        call().run().exits(2);
        fs::rename(&kept, &file).unwrap();
    }
    fs::rename(world.path("state"), world.path("elsewhere")).unwrap();
    symlink(world.path("elsewhere"), world.path("state")).unwrap();
    call().run().exits(2);
    assert_eq!(world.sandbox.stats().requests, sent);
    assert_eq!(fs::read(world.path("bystander")).unwrap(), b"kept");
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_that_takes_nothing_stops_no_run() {
    let world = world(None);
    let shell = "exec >/dev/full 2>/dev/full";
    world.command_after(shell, &[&WORDS[..], &["-vv"]].concat()).run().exits(0);
    assert_eq!(world.only_run("sheet").count("updated"), ROWS as u64);
}

#[test]
fn a_clock_that_stands_still_or_goes_back_gives_every_run_a_name_of_its_own() {
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
