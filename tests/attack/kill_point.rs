//! When the program is killed, and what happens to the request in flight.

use std::fs;
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use crate::http::Request;
use crate::program::{ChildHandle, Workspace};
use crate::server::{Event, HookAction, Phase, Server};

/// Approximate maximum of `write` system calls per session.
const MAX_WRITE_CALLS: u64 = 120;

/// The last files that a run writes, in this order.
const REPORTS: [&str; 3] = ["report.csv", "unknown.csv", "summary.json"];

/// When the program is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KillPoint {
    /// At the session's n-th request.
    Request { n: usize, fate: RequestFate },
    /// At the session's n-th write request.
    Write { n: usize, fate: RequestFate },
    /// After this many `write` system calls: to the ledger, a report, its output or a socket.
    WriteCalls(u64),
    /// After it has written this report.
    Report(&'static str),
}

/// What happens to the request at which the program is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestFate {
    /// Applied before the kill, without a response.
    NoResponse,
    /// Applied after the kill.
    AppliedAfterKill,
    /// Never applied.
    Lost,
    /// Applied after this many later writes to one of its files.
    Late(usize),
}

impl KillPoint {
    /// A random kill point in a session of about this many requests.
    pub(crate) fn random(rng: &mut Rng, requests: usize) -> Self {
        let fate = match rng.u8(0..8) {
            0..3 => RequestFate::NoResponse,
            3..5 => RequestFate::AppliedAfterKill,
            5 => RequestFate::Lost,
            _ => RequestFate::Late(rng.usize(1..=2)),
        };
        match rng.u8(0..8) {
            0..2 => Self::Request { n: rng.usize(1..=requests), fate },
            2..5 => Self::Write { n: rng.usize(1..=requests.div_ceil(2)), fate },
            5 => Self::Report(REPORTS[rng.usize(0..REPORTS.len())]),
            _ => Self::at_write_calls(rng),
        }
    }

    /// A kill point that does not depend on requests.
    pub(crate) fn at_write_calls(rng: &mut Rng) -> Self {
        Self::WriteCalls(rng.u64(1..=MAX_WRITE_CALLS))
    }

    /// The same kill point, with lost instead of late requests.
    pub(crate) fn without_late_effect(self) -> Self {
        let without_late_effect =
            |fate| if matches!(fate, RequestFate::Late(_)) { RequestFate::Lost } else { fate };
        match self {
            Self::Request { n, fate } => Self::Request { n, fate: without_late_effect(fate) },
            Self::Write { n, fate } => Self::Write { n, fate: without_late_effect(fate) },
            Self::WriteCalls(_) | Self::Report(_) => self,
        }
    }

    /// Installs the hook that kills the child, which is started next, at a request.
    pub(crate) fn arm(self, server: &Server, child_handle: &ChildHandle) {
        match self {
            Self::Request { n, fate } => kill_at(server, child_handle, n, fate, |_| true),
            Self::Write { n, fate } => kill_at(server, child_handle, n, fate, Request::is_write),
            Self::WriteCalls(_) | Self::Report(_) => {}
        }
    }

    /// Watches the running child and kills it at a point that is not a request.
    pub(crate) fn watch(self, workspace: &Workspace, child_handle: &ChildHandle) {
        let reports = |name| {
            let runs = workspace.runs("sheet").into_iter();
            runs.filter(|run| run.path().join(name).exists()).count()
        };
        let is_reached: Box<dyn Fn() -> bool> = match self {
            Self::Request { .. } | Self::Write { .. } => return,
            Self::WriteCalls(calls) => {
                Box::new(move || write_calls(child_handle).is_some_and(|made| made >= calls))
            }
            Self::Report(name) => {
                let before = reports(name);
                Box::new(move || reports(name) > before)
            }
        };
        while child_handle.id().is_some() {
            if is_reached() {
                return child_handle.kill();
            }
            thread::sleep(Duration::from_micros(100));
        }
    }
}

fn kill_at(
    server: &Server,
    child_handle: &ChildHandle,
    n: usize,
    fate: RequestFate,
    is_counted: impl Fn(&Request) -> bool + Send + 'static,
) {
    let child_handle = child_handle.clone();
    let (mut count, mut kill_at) = (0, None);
    server.hook(move |Event { n: number, phase, request }| {
        if *phase == Phase::Arrived && is_counted(request) {
            count += 1;
            if count == n {
                kill_at = Some(*number);
            }
        }
        if kill_at != Some(*number)
            || (*phase == Phase::Applied) != (fate == RequestFate::NoResponse)
        {
            return HookAction::Continue;
        }
        child_handle.kill();
        match fate {
            RequestFate::NoResponse | RequestFate::AppliedAfterKill => HookAction::Continue,
            RequestFate::Late(writes) if request.is_write() => {
                HookAction::Late(if is_at_most_once(request) { 1 } else { writes })
            }
            RequestFate::Lost | RequestFate::Late(_) => HookAction::Drop,
        }
    });
}

/// Whether a request is at-most-once.
pub(crate) fn is_at_most_once(request: &Request) -> bool {
    request.body.get("extensions").is_some() || request.body.get("publish").is_some()
}

/// Number of `write` system calls of the process; `None` if it has ended.
fn write_calls(child_handle: &ChildHandle) -> Option<u64> {
    let counters = fs::read_to_string(format!("/proc/{}/io", child_handle.id()?)).ok()?;
    counters.lines().find_map(|line| line.strip_prefix("syscw: "))?.parse().ok()
}
