//! Older values never go over newer ones.

use std::path::PathBuf;
use std::process::Command;

use super::{Held, describing, descriptions, ids, killed_at_write, scene};
use crate::http::Request;
use crate::program::{Desk, FAST, RESUME};

/// An older run of a sheet is left unfinished; a newer one of its next state is held at a request,
/// while the older one is resumed and waits for the lock.
fn resumed_while_a_newer_run_is_held_at(is_it: impl Fn(&Request) -> bool + Send + 'static) {
    let ids = ids(10);
    let (server, desk) = scene(&ids);
    desk.write("sheet.csv", describing(&ids, "older"));
    let older = killed_at_write(&server, &desk, 3, "apply sheet.csv --yes");
    desk.write("sheet.csv", describing(&ids, "newer"));
    let held = Held::at(&server, is_it);
    let newer = desk.call(&format!("apply sheet.csv --yes {FAST}")).start();
    held.wait_for_one();
    let line = format!("resume {} --wait-lock {RESUME} {FAST}", older.name());
    let resumed = desk.call(&line).start();
    // Where a newer run is known before, it is refused at once.
    resumed.wait_until_it_says("waiting");
    held.let_go();
    newer.wait().exits(0);
    resumed.wait().exits(2).says("over-later-runs");
    assert_eq!(descriptions(&server, &ids), vec!["newer"; 10]);
}

#[test]
fn resume_waiting_for_a_run_that_reads_does_not_go_over_it() {
    resumed_while_a_newer_run_is_held_at(|request| request.file().is_some() && !request.is_write());
}

#[test]
fn resume_waiting_for_a_run_that_writes_does_not_go_over_it() {
    resumed_while_a_newer_run_is_held_at(Request::is_write);
}

/// Overrides the C library's clock by one that is two hours fast.
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

/// The library that does so. It needs a C compiler, as the program itself does.
fn fast_clock(desk: &Desk) -> PathBuf {
    desk.write("clock.c", FAST_CLOCK);
    let (source, library) = (desk.path("clock.c"), desk.path("clock.so"));
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl");
    assert!(compiler.status().is_ok_and(|status| status.success()), "cc makes a library");
    library
}

#[test]
fn resume_of_a_run_begun_before_the_clock_was_set_back_is_refused() {
    let ids = ids(10);
    let (server, desk) = scene(&ids);
    desk.write("sheet.csv", describing(&ids, "older"));
    let apply = desk.call(&format!("apply sheet.csv --yes --limit 3 {FAST}"));
    apply.env("LD_PRELOAD", fast_clock(&desk)).run().exits(5);
    let older = desk.last_run("sheet");
    desk.write("sheet.csv", describing(&ids, "newer"));
    desk.run(&format!("apply sheet.csv --yes {FAST}")).exits(0);
    assert_eq!(desk.last_run("sheet"), older, "by the clock it was begun later");
    let resumed = desk.run(&format!("resume {} {RESUME} {FAST}", older.name()));
    resumed.exits(2).says("over-later-runs");
    assert_eq!(descriptions(&server, &ids), vec!["newer"; 10]);
}
