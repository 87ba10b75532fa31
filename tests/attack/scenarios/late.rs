//! A request of a killed run that takes effect late, over what another run has written since.

use super::{describing, descriptions, ids, scene};
use crate::program::{FAST, Victim};
use crate::server::{Phase, Then};

const SAID: [&str; 3] = ["updated differs", "updated mismatch", "updated unverified"];

/// Kills a run while requests of it are in flight, which take effect once another sheet's run has
/// written to the same files.
fn overwritten_by_a_killed_run(flags: &str) {
    let ids = ids(3);
    let (server, desk) = scene(&ids);
    desk.write("killed.csv", describing(&ids, "late"));
    desk.write("sheet.csv", describing(&ids, "in time"));
    let victim = Victim::default();
    let hand = victim.clone();
    let mut in_flight = 0;
    server.hook(move |event| {
        if event.phase != Phase::Arrived || !event.request.is_write() {
            return Then::GoOn;
        }
        in_flight += 1;
        if in_flight == 3 {
            hand.kill();
        }
        Then::Late(1)
    });
    let line = format!("apply killed.csv --yes {flags} {FAST}");
    desk.call(&line).start_as(&victim).wait().died();
    server.unhook();
    server.wait_until_idle();
    let done = desk.run(&format!("apply sheet.csv --yes {flags} {FAST}"));
    assert_eq!(descriptions(&server, &ids), vec!["late"; 3]);
    for outcome in desk.last_run("sheet").outcomes() {
        assert!(SAID.contains(&outcome.as_str()), "{outcome}");
    }
    done.exits(1);
}

#[test]
fn a_late_request_of_a_killed_run_is_noticed_by_the_next() {
    overwritten_by_a_killed_run("");
}

#[test]
fn a_late_request_of_a_killed_run_is_noticed_by_the_next_direct_one() {
    overwritten_by_a_killed_run("--direct");
}
