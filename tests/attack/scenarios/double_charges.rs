//! No file is charged twice for one extension configuration, whatever the home directory, the key or
//! the spelling of the endpoint, and wherever the program is killed.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use super::{RequestHold, extension_sheet, ids, kill_at_write, set_up};
use crate::http::Request;
use crate::invariants::nothing_billed_or_published_twice;
use crate::program::{ChildHandle, NO_LIMITS, RESUME, Workspace, wait_for_file, wait_until};
use crate::server::{HookAction, KEYS, Phase, Server, lock_mutex};

/// Exit code if another run holds the account's lock.
const LOCKED_EXIT_CODE: i32 = 75;

#[test]
fn run_resumed_from_two_homes_charges_once() {
    let ids = ids(30);
    let (server, workspace) = set_up(&ids);
    workspace.write("sheet.csv", extension_sheet(&ids));
    let run = kill_at_write(&server, &workspace, 3, "apply sheet.csv --yes");
    let line = format!("resume {} {RESUME} {NO_LIMITS}", run.name());
    let from = |home: &str| {
        let (home, state) = (workspace.path(home), workspace.path(home).join("state"));
        workspace.command(&line).env("HOME", home).env("XDG_STATE_HOME", state)
    };
    let hold = RequestHold::at(&server, Request::is_write);
    let first = from("one").start();
    hold.wait_for_one();
    let second = from("two").run();
    hold.release();
    let first = first.wait();
    nothing_billed_or_published_twice(&server);
    second.exits(LOCKED_EXIT_CODE);
    first.exits(6);
}

#[test]
fn two_keys_of_one_account_share_the_lock() {
    let ids = ids(4);
    let (server, workspace) = set_up(&ids);
    workspace.write("sheet.csv", extension_sheet(&ids));
    workspace.write("other.csv", extension_sheet(&ids));
    let hold = RequestHold::at(&server, Request::is_write);
    let first = workspace.command(&format!("apply sheet.csv --yes {NO_LIMITS}")).start();
    hold.wait_for_one();
    let second =
        workspace.command(&format!("apply other.csv --yes {NO_LIMITS}")).key(KEYS[1]).run();
    hold.release();
    first.wait().exits(0);
    nothing_billed_or_published_twice(&server);
    second.exits(LOCKED_EXIT_CODE);
}

/// Applies a sheet, then the same rows with another key or endpoint.
fn apply_twice(key: &str, endpoint: impl Fn(&Server) -> String) {
    let ids = ids(8);
    let (server, workspace) = set_up(&ids);
    for name in ["sheet.csv", "other.csv"] {
        workspace.write(name, extension_sheet(&ids));
    }
    workspace.run(&format!("apply sheet.csv --yes {NO_LIMITS}")).exits(0);
    let again = workspace.command(&format!("apply other.csv --yes {NO_LIMITS}"));
    again.key(key).endpoint(&endpoint(&server)).run().exits(0);
    nothing_billed_or_published_twice(&server);
    assert_eq!(workspace.last_run("other").count("unchanged"), 8);
}

#[test]
fn new_key_does_not_charge_again() {
    apply_twice(KEYS[1], Server::endpoint);
}

#[test]
fn trailing_slash_of_endpoint_does_not_charge_again() {
    apply_twice(KEYS[0], |server| server.endpoint() + "/");
}

#[test]
fn other_spelling_of_endpoint_does_not_charge_again() {
    apply_twice(KEYS[0], |server| format!("HTTP://LocalHost:{}/", server.port()));
}

/// Where the program is killed after its run has finished.
#[derive(Clone, Copy)]
enum ExitPoint {
    /// As soon as `summary.json` exists.
    Summary,
    /// While it prints the summary to standard output.
    PrintingSummary,
}

/// Applies a sheet with `--continue`, kills the program at this point, and repeats the command.
fn kill_after_the_run_has_finished(flags: &str, point: ExitPoint) {
    let ids = ids(6);
    let (server, workspace) = set_up(&ids);
    workspace.write("sheet.csv", extension_sheet(&ids));
    let line = format!("apply sheet.csv --yes --continue {flags} {NO_LIMITS}");
    let child_handle = ChildHandle::default();
    let (unread, output_socket) = UnixStream::pair().expect("a socket pair should be creatable");
    let output = OwnedFd::from(output_socket.try_clone().expect("the socket should be cloneable"));
    let full_socket = Arc::new(Mutex::new(output_socket));
    let mut writes = 0;
    server.hook(move |event| {
        if event.phase == Phase::Applied && event.request.is_write() {
            writes += 1;
            if writes == 6 {
                // From now on the program blocks when it prints the summary.
                fill(&lock_mutex(&full_socket));
            }
        }
        HookAction::Continue
    });
    let started = workspace.command(&line).output(output).start_as(&child_handle);
    wait_for_run(&workspace);
    wait_for_file(&workspace.last_run("sheet").path().join("summary.json"));
    if matches!(point, ExitPoint::PrintingSummary) {
        wait_until("output blocks", || is_blocked(&child_handle));
    }
    child_handle.kill();
    started.wait().was_killed();
    drop(unread);
    server.unhook();
    workspace.run(&line).exits(0);
    nothing_billed_or_published_twice(&server);
    assert_eq!(server.account().charges().len(), ids.len());
}

fn wait_for_run(workspace: &Workspace) {
    wait_until("a run directory", || !workspace.runs("sheet").is_empty());
}

/// Fills the buffer of an unread socket, so that the next write to it blocks.
fn fill(socket: &UnixStream) {
    socket.set_nonblocking(true).expect("the socket mode should be settable");
    for chunk in [[0; 4096].as_slice(), &[0]] {
        let mut socket = socket;
        let full = loop {
            if let Err(error) = socket.write(chunk) {
                break error.kind();
            }
        };
        assert_eq!(full, ErrorKind::WouldBlock);
    }
    socket.set_nonblocking(false).expect("the socket mode should be settable");
}

/// Whether the program is blocked on a full socket.
fn is_blocked(child_handle: &ChildHandle) -> bool {
    let id = child_handle.id().expect("the process should be blocked at its output");
    let kernel_function = fs::read_to_string(format!("/proc/{id}/wchan")).unwrap_or_default();
    kernel_function.contains("sock_alloc_send") || kernel_function.contains("unix_stream_sendmsg")
}

#[test]
fn continue_killed_at_summary_charges_once() {
    kill_after_the_run_has_finished("", ExitPoint::Summary);
}

#[test]
fn continue_killed_while_printing_charges_once() {
    kill_after_the_run_has_finished("", ExitPoint::PrintingSummary);
}

#[test]
fn continue_direct_killed_at_summary_charges_once() {
    kill_after_the_run_has_finished("--direct", ExitPoint::Summary);
}

#[test]
fn continue_direct_killed_while_printing_charges_once() {
    kill_after_the_run_has_finished("--direct", ExitPoint::PrintingSummary);
}
