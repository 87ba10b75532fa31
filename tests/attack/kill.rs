//! When a program is killed, and what becomes of the request that this meets.

use std::fs;
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use crate::http::Request;
use crate::program::{Desk, Victim};
use crate::server::{Event, Phase, Server, Then};

/// The most write calls that a session makes, roughly.
const WRITE_CALLS_MAX: u64 = 120;

/// What is written last, in this order.
const REPORTS: [&str; 3] = ["report.csv", "unknown.csv", "summary.json"];

/// When it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kill {
    /// At its n-th request.
    Request { n: usize, fate: Fate },
    /// At its n-th request for a change.
    Write { n: usize, fate: Fate },
    /// Once it has made this many write calls: to the ledger, to a report, to its output, to a socket.
    Calls(u64),
    /// Once it has written this report.
    Report(&'static str),
}

/// What becomes of the request at which it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was carried out before the kill, and not answered.
    Unanswered,
    /// It is carried out after the kill.
    CarriedOut,
    /// It is never carried out.
    Lost,
    /// It is carried out late, after this many later writes to one of its files.
    Late(usize),
}

impl Kill {
    /// A kill of a session that takes about this many requests.
    pub(crate) fn random(rng: &mut Rng, requests: usize) -> Self {
        let fate = match rng.u8(0..8) {
            0..3 => Fate::Unanswered,
            3..5 => Fate::CarriedOut,
            5 => Fate::Lost,
            _ => Fate::Late(rng.usize(1..=2)),
        };
        match rng.u8(0..8) {
            0..2 => Self::Request { n: rng.usize(1..=requests), fate },
            2..5 => Self::Write { n: rng.usize(1..=requests.div_ceil(2)), fate },
            5 => Self::Report(REPORTS[rng.usize(0..REPORTS.len())]),
            _ => Self::calls(rng),
        }
    }

    /// A kill of a session that need not send anything.
    pub(crate) fn calls(rng: &mut Rng) -> Self {
        Self::Calls(rng.u64(1..=WRITE_CALLS_MAX))
    }

    /// The same, but what it meets does not take effect late.
    pub(crate) fn in_time(self) -> Self {
        let in_time = |fate| if matches!(fate, Fate::Late(_)) { Fate::Lost } else { fate };
        match self {
            Self::Request { n, fate } => Self::Request { n, fate: in_time(fate) },
            Self::Write { n, fate } => Self::Write { n, fate: in_time(fate) },
            Self::Calls(_) | Self::Report(_) => self,
        }
    }

    /// Sees to it that `victim`, which is about to be started, is killed at its moment.
    pub(crate) fn arm(self, server: &Server, victim: &Victim) {
        match self {
            Self::Request { n, fate } => kill_at(server, victim, n, fate, |_| true),
            Self::Write { n, fate } => kill_at(server, victim, n, fate, Request::is_write),
            Self::Calls(_) | Self::Report(_) => {}
        }
    }

    /// Waits, beside a victim that runs, for a moment that no request shows.
    pub(crate) fn watch(self, desk: &Desk, victim: &Victim) {
        let reports = |name| {
            let runs = desk.runs("sheet").into_iter();
            runs.filter(|run| run.path().join(name).exists()).count()
        };
        let is_now: Box<dyn Fn() -> bool> = match self {
            Self::Request { .. } | Self::Write { .. } => return,
            Self::Calls(calls) => {
                Box::new(move || write_calls(victim).is_some_and(|made| made >= calls))
            }
            Self::Report(name) => {
                let before = reports(name);
                Box::new(move || reports(name) > before)
            }
        };
        while victim.id().is_some() {
            if is_now() {
                return victim.kill();
            }
            thread::sleep(Duration::from_micros(100));
        }
    }
}

fn kill_at(
    server: &Server,
    victim: &Victim,
    n: usize,
    fate: Fate,
    counts: impl Fn(&Request) -> bool + Send + 'static,
) {
    let victim = victim.clone();
    let (mut seen, mut fatal) = (0, None);
    server.hook(move |Event { n: number, phase, request }| {
        if *phase == Phase::Arrived && counts(request) {
            seen += 1;
            if seen == n {
                fatal = Some(*number);
            }
        }
        if fatal != Some(*number) || (*phase == Phase::Worked) != (fate == Fate::Unanswered) {
            return Then::GoOn;
        }
        victim.kill();
        match fate {
            Fate::Unanswered | Fate::CarriedOut => Then::GoOn,
            Fate::Late(writes) if request.is_write() => {
                Then::Late(if is_at_most_once(request) { 1 } else { writes })
            }
            Fate::Lost | Fate::Late(_) => Then::Lose,
        }
    });
}

/// Whether a request must not be sent a second time.
pub(crate) fn is_at_most_once(request: &Request) -> bool {
    request.body.get("extensions").is_some() || request.body.get("publish").is_some()
}

/// How many write calls a process has made.
fn write_calls(victim: &Victim) -> Option<u64> {
    let counters = fs::read_to_string(format!("/proc/{}/io", victim.id()?)).ok()?;
    counters.lines().find_map(|line| line.strip_prefix("syscw: "))?.parse().ok()
}
