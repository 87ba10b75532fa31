//! `resume` spends nothing without a look or a word.

use std::fs;

use rusqlite::Connection;

use super::{charging, ids, killed_at_write, scene};
use crate::program::{FAST, RESUME};

#[test]
fn resume_without_a_terminal_needs_yes() {
    let ids = ids(5);
    let (server, desk) = scene(&ids);
    desk.write("sheet.csv", charging(&ids));
    let run = killed_at_write(&server, &desk, 1, "apply sheet.csv --yes");
    let charged = || server.account().charges().len();
    let before = (charged(), server.writes());
    desk.run(&format!("resume {} {FAST}", run.name())).exits(2).says("--yes");
    assert_eq!((charged(), server.writes()), before);
    desk.run(&format!("resume {} --yes {FAST}", run.name())).exits(6);
    assert!((2..=4).contains(&charged()), "all but what was in flight: {}", charged());
}

#[test]
fn resume_of_a_run_killed_while_it_made_its_ledger_says_to_apply_again() {
    let ids = ids(1);
    let (_server, desk) = scene(&ids);
    desk.write("sheet.csv", charging(&ids));
    let run = desk.path("sheet.ikbulk/2026-01-01T00-00-00Z");
    fs::create_dir_all(&run).expect("a directory can be made");
    // Its tables are made at once, so that this is all there is before.
    let ledger = Connection::open(run.join("ledger.db")).expect("a ledger can be begun");
    ledger.pragma_update(None, "journal_mode", "WAL").expect("it can be written");
    drop(ledger);
    let resumed = desk.run(&format!("resume {} {RESUME} {FAST}", run.display()));
    resumed.exits(2).says("nothing was sent");
}
