//! What the system calls say: the disk has the intent before the wire has the first byte.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use crate::harness::{KEY, TestEnv, files};

/// What a line of the trace is about.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// The state of a file is asked for.
    Read,
    /// A request that must not be repeated goes out.
    AtMostOnce,
    /// The ledger's log is written to.
    Written,
    /// All that was written to it is on the disk.
    Synced,
}

impl Step {
    fn of(line: &str) -> Option<Self> {
        let is_sync = line.contains("fdatasync") || line.contains("fsync");
        if line.contains("writev(") && line.contains("GET /v1/files/") {
            Some(Self::Read)
        } else if line.contains("writev(") && line.contains("PATCH") {
            line.contains(r#"\"extensions\":"#).then_some(Self::AtMostOnce)
        } else if line.contains("pwrite64(") && line.contains("ledger.db-wal") {
            Some(Self::Written)
        } else {
            (is_sync && line.ends_with("= 0")).then_some(Self::Synced)
        }
    }
}

/// Where system calls cannot be watched, the test says so and nothing more.
fn can_trace() -> bool {
    let tried = Command::new("strace").args(["-o", "/dev/null", "true"]).status();
    tried.is_ok_and(|status| status.success())
}

/// Says so where system calls cannot be watched, past the capture of the test's output: nobody is to
/// take this for a test that passed.
fn cannot_trace(what: &str) -> bool {
    if can_trace() {
        return false;
    }
    let said = format!("NOT TESTED: {what} (strace is missing or may not)\n");
    std::io::stderr().write_all(said.as_bytes()).expect("it takes a line");
    true
}

/// Runs the program on a sheet, and gives its system calls.
fn trace(world: &TestEnv, calls: &str) -> String {
    let traced = Command::new("strace")
        .args(["-f", "-y", "-s", "4096", "-o", "trace", "-e", calls])
        .arg(env!("CARGO_BIN_EXE_ikbulk"))
        .args([
            "-q",
            "apply",
            "--direct",
            "--no-snapshot",
            "sheet.csv",
            "--yes",
            "--concurrency",
            "1",
        ])
        .args(["--rate", "unlimited", "--read-rate", "unlimited"])
        .env("IMAGEKIT_PRIVATE_KEY", KEY)
        .env("IMAGE_KIT_BASE_URL", world.sandbox.base_url())
        .env("XDG_STATE_HOME", world.path("state"))
        .current_dir(world.path("."))
        .status();
    assert!(traced.expect("strace can be started").success());
    fs::read_to_string(world.path("trace")).expect("strace writes a trace")
}

#[test]
fn the_names_of_new_run_directories_and_of_reports_are_on_the_disk() {
    if cannot_trace("that new names are on the disk") {
        return;
    }
    let world = TestEnv::new(files(["a"]));
    world.write("sheet.csv", "fileId,description\na,text\n");
    let trace = trace(&world, "trace=/mkdir,/^rename,openat,fsync");
    let lines: Vec<&str> = trace.lines().collect();
    let gives_name = |line: &str| line.contains("mkdir(") || line.contains("rename(");
    let is_of_run = |line: &str| line.contains("sheet.ikbulk") && line.ends_with("= 0");
    let mut named = 0;
    for (at, line) in lines.iter().enumerate() {
        if gives_name(line) && is_of_run(line) {
            let path = line.split('"').nth_back(1).expect("it names a file");
            let directory = world.path(path).parent().expect("it is in one").to_owned();
            // Another thread may come in between, and then the line ends before its result.
            let directory = format!("<{}>", directory.display());
            let is_synced = |line: &&str| {
                let is_done = line.ends_with("= 0") || line.ends_with("<unfinished ...>");
                line.contains("fsync(") && line.contains(&directory) && is_done
            };
            assert!(lines[at..].iter().any(is_synced), "{line}\n{trace}");
            named += 1;
        }
    }
    assert_eq!(named, 2 + 4, "the run, the directory of runs, and four reports: {trace}");
}

#[test]
fn the_intent_is_on_the_disk_before_the_first_byte_of_what_must_not_be_repeated() {
    const ROWS: usize = 5;
    if cannot_trace("that an intent is on the disk first") {
        return;
    }
    let world = TestEnv::new(files((0..ROWS).map(|n| format!("file{n}"))));
    let mut sheet = "fileId,description,extensions\n".to_owned();
    for n in 0..ROWS {
        sheet += &format!("file{n},text,\"[{{\"\"name\"\":\"\"ai-auto-description\"\"}}]\"\n");
    }
    world.write("sheet.csv", sheet);
    let trace = trace(&world, "trace=writev,pwrite64,fsync,fdatasync");
    let (mut sent, mut written, mut synced) = (0, false, false);
    for line in trace.lines() {
        match Step::of(line) {
            Some(Step::Read) => (written, synced) = (false, false),
            Some(Step::Written) => (written, synced) = (true, false),
            Some(Step::Synced) => synced = written,
            Some(Step::AtMostOnce) => {
                assert!(synced, "request {sent} was sent before its intent was on the disk");
                sent += 1;
            }
            None => {}
        }
    }
    assert_eq!(sent, ROWS, "each was seen");
}
