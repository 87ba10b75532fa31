//! `report` beside others that are at work on the same run.

use std::collections::BTreeMap;
use std::fs;

use super::{Held, describing, ids, scene};
use crate::http::Request;
use crate::program::FAST;
use crate::run::Run;

/// The files of a run that a report could have written, with their contents.
fn reports(run: &Run) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(run.path()).expect("the run is there").flatten();
    let named = entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry));
    let is_of_the_run = |name: &str| name.starts_with("ledger.") || name == "in_flight";
    let reports = named.filter(|(name, _)| !is_of_the_run(name));
    reports.map(|(name, entry)| (name, fs::read(entry.path()).unwrap_or_default())).collect()
}

#[test]
fn report_of_a_running_run_writes_nothing() {
    let ids = ids(10);
    let (server, desk) = scene(&ids);
    desk.write("sheet.csv", describing(&ids, "after"));
    let held = Held::at(&server, Request::is_write);
    let running = desk.call(&format!("apply sheet.csv --yes {FAST}")).start();
    held.wait_for_one();
    let run = desk.last_run("sheet");
    let before = reports(&run);
    desk.run(&format!("report {}", run.name())).exits(0).says("running");
    assert!(reports(&run) == before, "nothing is written");
    held.let_go();
    running.wait().exits(0);
    assert_eq!(run.count("updated"), 10);
}

#[test]
fn two_reports_at_once_both_succeed() {
    const ROUNDS: usize = 10;
    let ids = ids(100);
    let (_server, desk) = scene(&ids);
    desk.write("sheet.csv", describing(&ids, "after"));
    desk.run(&format!("apply sheet.csv --yes {FAST}")).exits(0);
    let run = desk.last_run("sheet");
    let line = format!("report {}", run.name());
    desk.run(&line).exits(0);
    let before = reports(&run);
    for _ in 0..ROUNDS {
        for started in [desk.call(&line).start(), desk.call(&line).start()] {
            started.wait().exits(0);
        }
        assert!(reports(&run) == before, "the reports are the same again");
    }
}
