//! Order of system calls: the intent is on disk before the first byte of the request is sent.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use crate::harness::{KEY, TestEnv, files};

/// A system call of interest in the trace.
#[derive(Debug, PartialEq, Eq)]
enum SysCall {
    /// Sends a GET for a file.
    Read,
    /// Sends an at-most-once request.
    AtMostOnce,
    /// Writes to the ledger's write-ahead log.
    Write,
    /// A successful fsync.
    Sync,
}

impl SysCall {
    fn of(line: &str) -> Option<Self> {
        let is_sync = line.contains("fdatasync") || line.contains("fsync");
        if line.contains("writev(") && line.contains("GET /v1/files/") {
            Some(Self::Read)
        } else if line.contains("writev(") && line.contains("PATCH") {
            line.contains(r#"\"extensions\":"#).then_some(Self::AtMostOnce)
        } else if line.contains("pwrite64(") && line.contains("ledger.db-wal") {
            Some(Self::Write)
        } else {
            (is_sync && line.ends_with("= 0")).then_some(Self::Sync)
        }
    }
}

fn can_trace() -> bool {
    let result = Command::new("strace").args(["-o", "/dev/null", "true"]).status();
    result.is_ok_and(|status| status.success())
}

/// Whether system calls cannot be traced here. If so, prints a notice past the output capture, so that
/// the test does not look passed.
fn is_untraceable(name: &str) -> bool {
    if can_trace() {
        return false;
    }
    let notice = format!("NOT TESTED: {name} (strace is missing or not permitted)\n");
    std::io::stderr().write_all(notice.as_bytes()).expect("stderr should be writable");
    true
}

/// Applies the sheet under strace; returns the trace.
fn trace(env: &TestEnv, calls: &str) -> String {
    let status = Command::new("strace")
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
        .env("IMAGE_KIT_BASE_URL", env.sandbox.base_url())
        .env("XDG_STATE_HOME", env.path("state"))
        .current_dir(env.path("."))
        .status();
    assert!(status.expect("strace should start").success());
    fs::read_to_string(env.path("trace")).expect("strace should write a trace")
}

#[test]
fn new_run_directories_and_reports_are_fsynced() {
    if is_untraceable("fsync of directories") {
        return;
    }
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,description\na,text\n");
    let trace = trace(&env, "trace=/mkdir,/^rename,openat,fsync");
    let lines: Vec<&str> = trace.lines().collect();
    let creates_name = |line: &str| line.contains("mkdir(") || line.contains("rename(");
    // If another thread interrupts a line, it ends before the result.
    let succeeds = |line: &str| line.ends_with("= 0") || line.ends_with("<unfinished ...>");
    let is_of_run = |line: &str| line.contains("sheet.ikbulk") && succeeds(line);
    let mut names = 0;
    for (at, line) in lines.iter().enumerate() {
        if creates_name(line) && is_of_run(line) {
            let path = line.split('"').nth_back(1).expect("the call should name a path");
            let directory =
                env.path(path).parent().expect("the path should have a parent").to_owned();
            let directory = format!("<{}>", directory.display());
            let is_synced = |line: &&str| {
                line.contains("fsync(") && line.contains(&directory) && succeeds(line)
            };
            assert!(lines[at..].iter().any(is_synced), "{line}\n{trace}");
            names += 1;
        }
    }
    assert_eq!(names, 2 + 2, "the run, the directory of runs and two reports: {trace}");
}

#[test]
fn intent_is_fsynced_before_at_most_once_request() {
    const ROWS: usize = 5;
    if is_untraceable("fsync of intents") {
        return;
    }
    let env = TestEnv::new(files((0..ROWS).map(|n| format!("file{n}"))));
    let mut sheet = "fileId,description,extensions\n".to_owned();
    for n in 0..ROWS {
        sheet += &format!("file{n},text,\"[{{\"\"name\"\":\"\"ai-auto-description\"\"}}]\"\n");
    }
    env.write("sheet.csv", sheet);
    let trace = trace(&env, "trace=writev,pwrite64,fsync,fdatasync");
    let (mut sent, mut written, mut synced) = (0, false, false);
    for line in trace.lines() {
        match SysCall::of(line) {
            Some(SysCall::Read) => (written, synced) = (false, false),
            Some(SysCall::Write) => (written, synced) = (true, false),
            Some(SysCall::Sync) => synced = written,
            Some(SysCall::AtMostOnce) => {
                assert!(synced, "request {sent} was sent before its intent was on disk");
                sent += 1;
            }
            None => {}
        }
    }
    assert_eq!(sent, ROWS, "every request should be in the trace");
}
