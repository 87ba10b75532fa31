//! No file is charged twice for one extension configuration: whatever home, key, or spelling of the
//! endpoint, and wherever the program dies.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use super::{Held, charging, ids, killed_at_write, scene};
use crate::http::Request;
use crate::invariants::nothing_twice;
use crate::program::{Desk, FAST, RESUME, Victim, wait_for_file, wait_until};
use crate::server::{KEYS, Phase, Server, Then, locked};

/// The exit code where another run is in the way.
const IN_THE_WAY: i32 = 75;

#[test]
fn one_run_resumed_from_two_homes_charges_once() {
    let ids = ids(30);
    let (server, desk) = scene(&ids);
    desk.write("sheet.csv", charging(&ids));
    let run = killed_at_write(&server, &desk, 3, "apply sheet.csv --yes");
    let line = format!("resume {} {RESUME} {FAST}", run.name());
    let from = |home: &str| {
        let (home, state) = (desk.path(home), desk.path(home).join("state"));
        desk.call(&line).env("HOME", home).env("XDG_STATE_HOME", state)
    };
    let held = Held::at(&server, Request::is_write);
    let first = from("one").start();
    held.wait_for_one();
    let second = from("two").run();
    held.let_go();
    let first = first.wait();
    nothing_twice(&server);
    second.exits(IN_THE_WAY);
    first.exits(6);
}

#[test]
fn two_keys_of_one_account_lock_each_other() {
    let ids = ids(4);
    let (server, desk) = scene(&ids);
    desk.write("sheet.csv", charging(&ids));
    desk.write("other.csv", charging(&ids));
    let held = Held::at(&server, Request::is_write);
    let first = desk.call(&format!("apply sheet.csv --yes {FAST}")).start();
    held.wait_for_one();
    let second = desk.call(&format!("apply other.csv --yes {FAST}")).key(KEYS[1]).run();
    held.let_go();
    first.wait().exits(0);
    nothing_twice(&server);
    second.exits(IN_THE_WAY);
}

/// Applies a sheet, and a second time with another key or at another endpoint.
fn applied_again(key: &str, endpoint: impl Fn(&Server) -> String) {
    let ids = ids(8);
    let (server, desk) = scene(&ids);
    for name in ["sheet.csv", "other.csv"] {
        desk.write(name, charging(&ids));
    }
    desk.run(&format!("apply sheet.csv --yes {FAST}")).exits(0);
    let again = desk.call(&format!("apply other.csv --yes {FAST}"));
    again.key(key).endpoint(&endpoint(&server)).run().exits(0);
    nothing_twice(&server);
    assert_eq!(desk.last_run("other").count("unchanged"), 8);
}

#[test]
fn a_new_key_charges_nothing_again() {
    applied_again(KEYS[1], Server::endpoint);
}

#[test]
fn a_trailing_slash_of_the_endpoint_charges_nothing_again() {
    applied_again(KEYS[0], |server| server.endpoint() + "/");
}

#[test]
fn another_spelling_of_the_endpoint_charges_nothing_again() {
    applied_again(KEYS[0], |server| format!("HTTP://LocalHost:{}/", server.port()));
}

/// Where a program is killed whose run has come to its end.
#[derive(Clone, Copy)]
enum Point {
    /// As soon as `summary.json` is there.
    Summary,
    /// When nothing is left but to say how the run ended.
    LastWords,
}

/// Applies a sheet with `--continue`, kills the program at that point, and does the same again.
fn killed_between_its_end_and_its_exit(flags: &str, point: Point) {
    let ids = ids(6);
    let (server, desk) = scene(&ids);
    desk.write("sheet.csv", charging(&ids));
    let line = format!("apply sheet.csv --yes --continue {flags} {FAST}");
    let victim = Victim::default();
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets can be had");
    let output = OwnedFd::from(theirs.try_clone().expect("a socket can be cloned"));
    let stuffed = Arc::new(Mutex::new(theirs));
    let mut writes = 0;
    server.hook(move |event| {
        if event.phase == Phase::Worked && event.request.is_write() {
            writes += 1;
            if writes == 6 {
                // The program has said all but its last words, which no longer go through.
                stuff(&locked(&stuffed));
            }
        }
        Then::GoOn
    });
    let started = desk.call(&line).output(output).start_as(&victim);
    wait_for_run(&desk);
    wait_for_file(&desk.last_run("sheet").path().join("summary.json"));
    if matches!(point, Point::LastWords) {
        wait_until("its last words are stuck", || is_stuck(&victim));
    }
    victim.kill();
    started.wait().died();
    drop(ours);
    server.unhook();
    desk.run(&line).exits(0);
    nothing_twice(&server);
    assert_eq!(server.account().charges().len(), ids.len());
}

fn wait_for_run(desk: &Desk) {
    wait_until("a run begins", || !desk.runs("sheet").is_empty());
}

/// Fills a socket that is not read, so that the next write to it waits.
fn stuff(socket: &UnixStream) {
    socket.set_nonblocking(true).expect("a socket can be set");
    for piece in [[0; 4096].as_slice(), &[0]] {
        let mut socket = socket;
        let full = loop {
            if let Err(error) = socket.write(piece) {
                break error.kind();
            }
        };
        assert_eq!(full, ErrorKind::WouldBlock);
    }
    socket.set_nonblocking(false).expect("a socket can be set");
}

/// Whether the program waits for a socket that takes no more.
fn is_stuck(victim: &Victim) -> bool {
    let id = victim.id().expect("it cannot end: its last words are stuck");
    let place = fs::read_to_string(format!("/proc/{id}/wchan")).unwrap_or_default();
    place.contains("sock_alloc_send") || place.contains("unix_stream_sendmsg")
}

#[test]
fn continue_killed_at_its_summary_charges_nothing_again() {
    killed_between_its_end_and_its_exit("", Point::Summary);
}

#[test]
fn continue_killed_at_its_last_words_charges_nothing_again() {
    killed_between_its_end_and_its_exit("", Point::LastWords);
}

#[test]
fn continue_direct_killed_at_its_summary_charges_nothing_again() {
    killed_between_its_end_and_its_exit("--direct", Point::Summary);
}

#[test]
fn continue_direct_killed_at_its_last_words_charges_nothing_again() {
    killed_between_its_end_and_its_exit("--direct", Point::LastWords);
}
