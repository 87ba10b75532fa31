//! What the system calls say: the disk has the intent before the wire has the first byte.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use crate::harness::{KEY, World, files};

/// What a line of the trace is about.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// The state of a file is asked for.
    Read,
    /// A request that must not be repeated goes out.
    Once,
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
            line.contains(r#"\"extensions\":"#).then_some(Self::Once)
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

#[test]
fn the_intent_is_on_the_disk_before_the_first_byte_of_what_must_not_be_repeated() {
    const ROWS: usize = 5;
    if !can_trace() {
        // Past the capture of the test's output: nobody is to take this for a test that passed.
        let said =
            "NOT TESTED: that an intent is on the disk first (strace is missing or may not)\n";
        std::io::stderr().write_all(said.as_bytes()).expect("it takes a line");
        return;
    }
    let world = World::new(files((0..ROWS).map(|n| format!("file{n}"))));
    let mut sheet = "fileId,description,extensions\n".to_owned();
    for n in 0..ROWS {
        sheet += &format!("file{n},text,\"[{{\"\"name\"\":\"\"ai-auto-description\"\"}}]\"\n");
    }
    world.write("sheet.csv", sheet);
    let traced = Command::new("strace")
        .args(["-f", "-y", "-s", "4096", "-o", "trace", "-e"])
        .arg("trace=writev,pwrite64,fsync,fdatasync")
        .arg(env!("CARGO_BIN_EXE_ikbulk"))
        .args(["-q", "apply", "sheet.csv", "--yes", "--concurrency", "1"])
        .args(["--rate", "unlimited", "--read-rate", "unlimited"])
        .env("IMAGEKIT_PRIVATE_KEY", KEY)
        .env("IMAGE_KIT_BASE_URL", world.sandbox.base_url())
        .env("XDG_STATE_HOME", world.path("state"))
        .current_dir(world.path("."))
        .status();
    assert!(traced.expect("strace can be started").success());
    let trace = fs::read_to_string(world.path("trace")).expect("strace writes a trace");
    let (mut sent, mut written, mut synced) = (0, false, false);
    for line in trace.lines() {
        match Step::of(line) {
            Some(Step::Read) => (written, synced) = (false, false),
            Some(Step::Written) => (written, synced) = (true, false),
            Some(Step::Synced) => synced = written,
            Some(Step::Once) => {
                assert!(synced, "request {sent} was sent before its intent was on the disk");
                sent += 1;
            }
            None => {}
        }
    }
    assert_eq!(sent, ROWS, "each was seen");
}
