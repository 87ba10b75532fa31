//! `resume` sends nothing without a confirmation or `--yes`.

use std::fs;

use rusqlite::Connection;

use super::{extension_sheet, ids, kill_at_write, set_up};
use crate::program::{NO_LIMITS, RESUME};

#[test]
fn resume_without_a_terminal_needs_yes() {
    let ids = ids(5);
    let (server, workspace) = set_up(&ids);
    workspace.write("sheet.csv", extension_sheet(&ids));
    let run = kill_at_write(&server, &workspace, 1, "apply sheet.csv --yes");
    let charged = || server.account().charges().len();
    let before = (charged(), server.writes());
    workspace.run(&format!("resume {} {NO_LIMITS}", run.name())).exits(2).output_contains("--yes");
    assert_eq!((charged(), server.writes()), before);
    workspace.run(&format!("resume {} --yes {NO_LIMITS}", run.name())).exits(6);
    assert!((2..=4).contains(&charged()), "all except the requests in flight: {}", charged());
}

#[test]
fn resume_without_a_complete_ledger_reports_nothing_sent() {
    let ids = ids(1);
    let (_server, workspace) = set_up(&ids);
    workspace.write("sheet.csv", extension_sheet(&ids));
    let run = workspace.path("sheet.ikbulk/2026-01-01T00-00-00Z");
    fs::create_dir_all(&run).expect("a directory should be creatable");
    // Tables are created in one transaction: before, the file exists without tables.
    let ledger = Connection::open(run.join("ledger.db")).expect("the ledger should open");
    ledger.pragma_update(None, "journal_mode", "WAL").expect("the ledger should be writable");
    drop(ledger);
    let resumed = workspace.run(&format!("resume {} {RESUME} {NO_LIMITS}", run.display()));
    resumed.exits(2).output_contains("nothing was sent");
}
