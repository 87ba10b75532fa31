//! In any t seconds at most burst + rate × t requests, and one more for each restart in them, as the
//! server counts them.

use std::time::Instant;

use super::{describing, ids, scene};
use crate::program::{RESUME, Victim};
use crate::server::{Arrival, Phase, Then};

/// By how much a request can arrive later than it was sent, on a machine that is busy.
const JITTER_S: f64 = 0.1;

/// A limit, as the program is told.
struct Limit {
    rate: f64,
    burst: f64,
}

impl Limit {
    /// No stretch of time has more arrivals than the limit allows.
    #[track_caller]
    fn holds(&self, arrivals: &[Arrival], starts: &[Instant]) {
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
    let (server, desk) = scene(&ids);
    desk.write("sheet.csv", describing(&ids, "after"));
    let flags = "--rate 20 --burst 5 --leave 0% --read-rate unlimited";
    desk.run(&format!("apply sheet.csv --yes --direct --no-snapshot {flags}")).exits(0);
    Limit { rate: 20.0, burst: 5.0 }.holds(&arrivals(server.log(), true), &[]);
}

#[test]
fn ten_sessions_keep_the_write_rate_of_one() {
    let ids = ids(40);
    let (server, desk) = scene(&ids);
    desk.write("sheet.csv", describing(&ids, "after"));
    let flags = "--limit 4 --rate 10 --burst 5 --leave 0% --read-rate unlimited";
    let mut starts = vec![Instant::now()];
    desk.run(&format!("apply sheet.csv --yes --direct --no-snapshot {flags}")).exits(5);
    let run = desk.last_run("sheet");
    for session in 2..=10 {
        starts.push(Instant::now());
        let done = desk.run(&format!("resume {} {RESUME} {flags}", run.name()));
        done.exits(if session == 10 { 0 } else { 5 });
    }
    let writes = arrivals(server.log(), true);
    assert_eq!(writes.len(), 40);
    Limit { rate: 10.0, burst: 5.0 }.holds(&writes, &starts);
}

#[test]
fn four_plans_keep_the_read_rate_of_one() {
    let ids = ids(20);
    let (server, desk) = scene(&ids);
    desk.write("sheet.csv", describing(&ids, "after"));
    let mut starts = Vec::new();
    for _ in 0..4 {
        starts.push(Instant::now());
        desk.run("plan sheet.csv --read-rate 20 --read-burst 10 --leave 0%").exits(0);
    }
    let reads = arrivals(server.log(), false);
    assert!(reads.len() >= 80, "each file is read each time");
    Limit { rate: 20.0, burst: 10.0 }.holds(&reads, &starts);
}

#[test]
fn fifty_restarts_keep_the_write_rate() {
    const RESTARTS: usize = 50;
    let ids = ids(300);
    let (server, desk) = scene(&ids);
    desk.write("sheet.csv", describing(&ids, "after"));
    let flags = "--rate 15 --burst 5 --leave 0% --read-rate unlimited";
    let mut rng = fastrand::Rng::with_seed(16);
    let mut line = format!("apply sheet.csv --yes --direct --no-snapshot {flags}");
    let mut starts = Vec::new();
    for _ in 0..RESTARTS {
        let victim = Victim::default();
        let (hand, fatal, mut writes) = (victim.clone(), rng.usize(2..=5), 0);
        server.hook(move |event| {
            writes += usize::from(event.phase == Phase::Arrived && event.request.is_write());
            if writes == fatal {
                hand.kill();
            }
            Then::GoOn
        });
        starts.push(Instant::now());
        desk.call(&line).start_as(&victim).wait().died();
        line = format!("resume {} {RESUME} {flags}", desk.last_run("sheet").name());
    }
    Limit { rate: 15.0, burst: 5.0 }.holds(&arrivals(server.log(), true), &starts);
}
