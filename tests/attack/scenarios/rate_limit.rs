//! In any t seconds the server receives at most burst + rate × t requests, plus one per restart.

use std::time::Instant;

use super::{description_sheet, ids, set_up};
use crate::program::{ChildHandle, RESUME};
use crate::server::{Arrival, HookAction, Phase};

/// Maximum delay between sending and arrival of a request on a busy machine, in seconds.
const JITTER_S: f64 = 0.1;

/// The limit that the program is given.
struct Limit {
    rate: f64,
    burst: f64,
}

impl Limit {
    /// Checks the limit over every interval between two arrivals.
    #[track_caller]
    fn check(&self, arrivals: &[Arrival], starts: &[Instant]) {
        for (index, first) in arrivals.iter().enumerate() {
            for (count, last) in (1..).zip(&arrivals[index..]) {
                let seconds = last.at.duration_since(first.at).as_secs_f64();
                let restarts = starts.iter().filter(|start| (first.at..last.at).contains(start));
                let restarts: u32 = restarts.map(|_| 1).sum();
                let burst = self.burst + f64::from(restarts);
                assert!(
                    f64::from(count) <= burst + self.rate * (seconds + JITTER_S),
                    "{count} requests in {seconds:.3} s with {restarts} restarts, from {} on",
                    first.line
                );
            }
        }
    }
}

fn arrivals(log: Vec<Arrival>, is_write: bool) -> Vec<Arrival> {
    log.into_iter().filter(|arrival| arrival.is_write == is_write).collect()
}

#[test]
fn one_session_keeps_the_write_rate() {
    let ids = ids(30);
    let (server, workspace) = set_up(&ids);
    workspace.write("sheet.csv", description_sheet(&ids, "after"));
    let flags = "--rate 20 --burst 5 --leave 0% --read-rate unlimited";
    workspace.run(&format!("apply sheet.csv --yes --direct --no-snapshot {flags}")).exits(0);
    Limit { rate: 20.0, burst: 5.0 }.check(&arrivals(server.log(), true), &[]);
}

#[test]
fn ten_sessions_share_the_write_rate() {
    let ids = ids(40);
    let (server, workspace) = set_up(&ids);
    workspace.write("sheet.csv", description_sheet(&ids, "after"));
    let flags = "--limit 4 --rate 10 --burst 5 --leave 0% --read-rate unlimited";
    let mut starts = vec![Instant::now()];
    workspace.run(&format!("apply sheet.csv --yes --direct --no-snapshot {flags}")).exits(5);
    let run = workspace.last_run("sheet");
    for session in 2..=10 {
        starts.push(Instant::now());
        let result = workspace.run(&format!("resume {} {RESUME} {flags}", run.name()));
        result.exits(if session == 10 { 0 } else { 5 });
    }
    let writes = arrivals(server.log(), true);
    assert_eq!(writes.len(), 40);
    Limit { rate: 10.0, burst: 5.0 }.check(&writes, &starts);
}

#[test]
fn four_plans_share_the_read_rate() {
    let ids = ids(20);
    let (server, workspace) = set_up(&ids);
    workspace.write("sheet.csv", description_sheet(&ids, "after"));
    let mut starts = Vec::new();
    for _ in 0..4 {
        starts.push(Instant::now());
        workspace.run("plan sheet.csv --read-rate 20 --read-burst 10 --leave 0%").exits(0);
    }
    let reads = arrivals(server.log(), false);
    assert!(reads.len() >= 80, "every plan should read every file");
    Limit { rate: 20.0, burst: 10.0 }.check(&reads, &starts);
}

#[test]
fn fifty_restarts_keep_the_write_rate() {
    const RESTARTS: usize = 50;
    let ids = ids(300);
    let (server, workspace) = set_up(&ids);
    workspace.write("sheet.csv", description_sheet(&ids, "after"));
    let flags = "--rate 15 --burst 5 --leave 0% --read-rate unlimited";
    let mut rng = fastrand::Rng::with_seed(16);
    let mut line = format!("apply sheet.csv --yes --direct --no-snapshot {flags}");
    let mut starts = Vec::new();
    for _ in 0..RESTARTS {
        let child_handle = ChildHandle::default();
        let (child, kill_at, mut writes) = (child_handle.clone(), rng.usize(2..=5), 0);
        server.hook(move |event| {
            writes += usize::from(event.phase == Phase::Arrived && event.request.is_write());
            if writes == kill_at {
                child.kill();
            }
            HookAction::Continue
        });
        starts.push(Instant::now());
        workspace.command(&line).start_as(&child_handle).wait().was_killed();
        line = format!("resume {} {RESUME} {flags}", workspace.last_run("sheet").name());
    }
    Limit { rate: 15.0, burst: 5.0 }.check(&arrivals(server.log(), true), &starts);
}
