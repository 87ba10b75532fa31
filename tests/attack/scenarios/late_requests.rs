//! A request of a killed run takes effect late and overwrites a newer run's value.

use std::collections::BTreeSet;

use super::{description_sheet, descriptions, ids, set_up};
use crate::program::{ChildHandle, NO_LIMITS};
use crate::server::{HookAction, Phase};

const EXPECTED_OUTCOMES: [&str; 2] = ["updated mismatch", "updated unverified"];

/// Kills a run with three requests in flight, which take effect after another run has written to the
/// same files.
fn late_request_overwrites_newer_run(flags: &str) {
    let ids = ids(3);
    let (server, workspace) = set_up(&ids);
    workspace.write("killed.csv", description_sheet(&ids, "late"));
    workspace.write("sheet.csv", description_sheet(&ids, "in time"));
    let child_handle = ChildHandle::default();
    let child = child_handle.clone();
    let mut files = BTreeSet::new();
    server.hook(move |event| {
        if event.phase != Phase::Arrived || !event.request.is_write() {
            return HookAction::Continue;
        }
        // A request that lost its response is retried, so that one file may be written twice before
        // another one is.
        files.insert(event.request.path.clone());
        if files.len() == 3 {
            child.kill();
        }
        HookAction::Late(1)
    });
    let line = format!("apply killed.csv --yes {flags} {NO_LIMITS}");
    workspace.command(&line).start_as(&child_handle).wait().was_killed();
    server.unhook();
    server.wait_until_idle();
    let result = workspace.run(&format!("apply sheet.csv --yes {flags} {NO_LIMITS}"));
    assert_eq!(descriptions(&server, &ids), vec!["late"; 3]);
    for outcome in workspace.last_run("sheet").outcomes() {
        assert!(EXPECTED_OUTCOMES.contains(&outcome.as_str()), "{outcome}");
    }
    result.exits(1);
}

#[test]
fn next_run_detects_late_request_of_killed_run() {
    late_request_overwrites_newer_run("");
}

#[test]
fn direct_run_detects_late_request_of_killed_run() {
    late_request_overwrites_newer_run("--direct");
}
