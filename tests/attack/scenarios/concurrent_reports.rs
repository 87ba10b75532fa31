//! `report` while another process works on the same run.

use std::collections::BTreeMap;
use std::fs;

use super::{RequestHold, description_sheet, ids, set_up};
use crate::http::Request;
use crate::program::NO_LIMITS;
use crate::run_directory::RunDirectory;

/// Name and content of the files in a run directory that `report` may write.
fn reports(run: &RunDirectory) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(run.path()).expect("the run directory should exist").flatten();
    let named = entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry));
    let is_of_the_run = |name: &str| name.starts_with("ledger.") || name == "requests_in_flight";
    let reports = named.filter(|(name, _)| !is_of_the_run(name));
    reports.map(|(name, entry)| (name, fs::read(entry.path()).unwrap_or_default())).collect()
}

#[test]
fn report_of_a_running_run_writes_nothing() {
    let ids = ids(10);
    let (server, workspace) = set_up(&ids);
    workspace.write("sheet.csv", description_sheet(&ids, "after"));
    let hold = RequestHold::at(&server, Request::is_write);
    let running = workspace.command(&format!("apply sheet.csv --yes {NO_LIMITS}")).start();
    hold.wait_for_one();
    let run = workspace.last_run("sheet");
    let before = reports(&run);
    workspace.run(&format!("report {}", run.name())).exits(0).output_contains("running");
    assert!(reports(&run) == before, "nothing should be written");
    hold.release();
    running.wait().exits(0);
    assert_eq!(run.count("updated"), 10);
}

#[test]
fn two_reports_at_once_both_succeed() {
    const ROUNDS: usize = 10;
    let ids = ids(100);
    let (_server, workspace) = set_up(&ids);
    workspace.write("sheet.csv", description_sheet(&ids, "after"));
    workspace.run(&format!("apply sheet.csv --yes {NO_LIMITS}")).exits(0);
    let run = workspace.last_run("sheet");
    let line = format!("report {}", run.name());
    workspace.run(&line).exits(0);
    let before = reports(&run);
    for _ in 0..ROUNDS {
        for started in [workspace.command(&line).start(), workspace.command(&line).start()] {
            started.wait().exits(0);
        }
        assert!(reports(&run) == before, "the reports should not change");
    }
}
