//! A run killed while it notes what it writes, and lists that are stale after it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::{describing, descriptions, ids, scene};
use crate::program::{Desk, FAST};
use crate::server::Server;

/// Write calls at which the run is killed, one after the other; it makes fewer.
const CALLS_MAX: usize = 60;

/// The program under a tracer that kills it at the start of its n-th write call; whether it was.
fn killed_at_write_call(desk: &Desk, n: usize, line: &str) -> bool {
    let traced = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=write"])
        .args(["-e", &format!("inject=write:signal=KILL:when={n}")])
        .arg(env!("CARGO_BIN_EXE_ikbulk"))
        .args(line.split_whitespace())
        .envs(desk.environment())
        .current_dir(desk.path("."))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    traced.expect("strace was there before").code() != Some(0)
}

fn can_trace() -> bool {
    let tried = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    tried.is_ok_and(|status| status.success())
}

/// A file of those that a run does not look at by itself when lists show them all as they should be.
fn unsampled(server: &Server, desk: &Desk, ids: &[String]) -> String {
    let before = server.log().len();
    desk.run("plan sheet.csv --read-rate unlimited").exits(0);
    let log = server.log();
    let is_read = |id: &String| {
        log[before..].iter().any(|arrival| arrival.line.contains(&format!("/{id}/details")))
    };
    ids.iter().find(|id| !is_read(id)).expect("a sample is not all").clone()
}

#[test]
fn killed_at_any_write_call_a_stale_list_is_not_believed() {
    if !can_trace() {
        // Past the capture of the test's output: this is not to be taken for a test that passed.
        let said = "NOT TESTED: own writes are remembered whatever kills a run (no strace)\n";
        std::io::stderr().write_all(said.as_bytes()).expect("it takes a line");
        return;
    }
    let all = ids(131);
    let (other, ids) = all.split_at(1);
    let (server, desk) = scene(&all);
    desk.write("sheet.csv", describing(ids, "before"));
    let file = [unsampled(&server, &desk, ids)];
    desk.write("changed.csv", describing(&file, "changed"));
    for call in 1..CALLS_MAX {
        server.account().make_lists_stale(true);
        desk.run(&format!("apply changed.csv --yes {FAST}")).exits(0);
        desk.write("killed.csv", describing(other, &format!("for the {call}th time")));
        let line = format!("apply killed.csv --yes --direct {FAST}");
        let is_killed = killed_at_write_call(&desk, call, &line);
        // The list shows `before`, which is what the sheet asks for.
        desk.run(&format!("apply sheet.csv --yes {FAST}")).exits(0);
        assert_eq!(descriptions(&server, &file), ["before"], "killed at write call {call}");
        server.account().make_lists_stale(false);
        if !is_killed {
            return;
        }
    }
    panic!("it makes more write calls than {CALLS_MAX}");
}
