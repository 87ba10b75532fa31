//! Resuming an older run never overwrites newer values.

use std::path::PathBuf;
use std::process::Command;

use super::{RequestHold, description_sheet, descriptions, ids, kill_at_write, set_up};
use crate::http::Request;
use crate::program::{NO_LIMITS, RESUME, Workspace};

/// Resumes an interrupted older run, which waits for the lock while a newer run with other values is
/// blocked at a request.
fn resume_older_run_while_newer_is_blocked_at(matches: impl Fn(&Request) -> bool + Send + 'static) {
    let ids = ids(10);
    let (server, workspace) = set_up(&ids);
    workspace.write("sheet.csv", description_sheet(&ids, "older"));
    let older = kill_at_write(&server, &workspace, 3, "apply sheet.csv --yes");
    workspace.write("sheet.csv", description_sheet(&ids, "newer"));
    let hold = RequestHold::at(&server, matches);
    let newer = workspace.command(&format!("apply sheet.csv --yes {NO_LIMITS}")).start();
    hold.wait_for_one();
    let line = format!("resume {} --wait-lock {RESUME} {NO_LIMITS}", older.name());
    let resumed = workspace.command(&line).start();
    // The older run must wait for the lock: if it knew the newer run, it would fail at once.
    resumed.wait_for_stderr("waiting");
    hold.release();
    newer.wait().exits(0);
    resumed.wait().exits(2).output_contains("over-later-runs");
    assert_eq!(descriptions(&server, &ids), vec!["newer"; 10]);
}

#[test]
fn waiting_resume_does_not_overwrite_a_reading_run() {
    resume_older_run_while_newer_is_blocked_at(|request| {
        request.file().is_some() && !request.is_write()
    });
}

#[test]
fn waiting_resume_does_not_overwrite_a_writing_run() {
    resume_older_run_while_newer_is_blocked_at(Request::is_write);
}

/// C source of an `LD_PRELOAD` library that sets the clock two hours ahead.
const FAST_CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) =
        (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += 2 * 60 * 60;
    return result;
}
"#;

/// Compiles that library. Needs a C compiler, as the build of SQLite does.
fn fast_clock(workspace: &Workspace) -> PathBuf {
    workspace.write("clock.c", FAST_CLOCK);
    let (source, library) = (workspace.path("clock.c"), workspace.path("clock.so"));
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl");
    assert!(compiler.status().is_ok_and(|status| status.success()), "cc should build the library");
    library
}

#[test]
fn resume_detects_later_runs_despite_clock_set_back() {
    let ids = ids(10);
    let (server, workspace) = set_up(&ids);
    workspace.write("sheet.csv", description_sheet(&ids, "older"));
    let apply = workspace.command(&format!("apply sheet.csv --yes --limit 3 {NO_LIMITS}"));
    apply.env("LD_PRELOAD", fast_clock(&workspace)).run().exits(5);
    let older = workspace.last_run("sheet");
    workspace.write("sheet.csv", description_sheet(&ids, "newer"));
    workspace.run(&format!("apply sheet.csv --yes {NO_LIMITS}")).exits(0);
    assert_eq!(workspace.last_run("sheet"), older, "the older run should have the later timestamp");
    let resumed = workspace.run(&format!("resume {} {RESUME} {NO_LIMITS}", older.name()));
    resumed.exits(2).output_contains("over-later-runs");
    assert_eq!(descriptions(&server, &ids), vec!["newer"; 10]);
}
