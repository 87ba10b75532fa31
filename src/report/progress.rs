//! The progress of a running session.

use std::collections::VecDeque;
use std::time::Duration;

use crate::execute::{Dispatcher, Time, WriteProgress};
use crate::outcome::Status;
use crate::request::Endpoint;

use super::run_progress::RunProgress;

/// Time over which the displayed rate is measured.
const RATE_OVER: Duration = Duration::from_secs(5);

/// Measures the progress of a running session.
#[derive(Debug)]
pub(crate) struct ProgressMeter {
    /// Progress of the sessions before.
    prior: RunProgress,
    /// Planned writes of the run; 0 if unknown.
    planned: u64,
    /// Start of this session; `None` before the first measurement.
    started: Option<Time>,
    /// Samples of time and total writes over the last [`RATE_OVER`].
    writes: VecDeque<(Time, u64)>,
}

/// A completed part of a total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fraction {
    /// The completed number.
    pub done: u64,
    /// The total number.
    pub total: u64,
}

/// The progress of a run at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Time since the start of the session.
    pub elapsed: Duration,
    /// Settled rows.
    pub rows: Fraction,
    /// Completed writes; `None` if their total is unknown.
    pub writes: Option<Fraction>,
    /// Writes per second, over the last 5 s.
    pub rate: f64,
    /// The current limit of writes per second; `None` if unlimited.
    pub allowed: Option<f64>,
    /// Estimated time left at the pace of this session.
    pub left: Option<Duration>,
    /// The reason why nothing is sent at the moment.
    pub hold: Option<Hold>,
    /// Settled rows by status, in the order of [`Status::ALL`].
    pub counts: [u64; Status::ALL.len()],
    /// Units of the run's billed extensions so far, as far as their prices are known.
    pub units: u64,
}

/// Why a run sends nothing at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// The API has been unreachable for this long.
    Unreachable(Duration),
    /// The API throttles an endpoint for this long.
    Throttled(Endpoint, Duration),
}

impl ProgressMeter {
    /// A meter for a session of a run, with the progress of the sessions before, and the planned writes
    /// of the whole run.
    #[must_use]
    pub(crate) fn new(planned: u64, prior: RunProgress) -> Self {
        Self { prior, planned, started: None, writes: VecDeque::new() }
    }

    /// Measures the progress. Called regularly, so that the rate can be measured.
    pub(crate) fn measure(&mut self, dispatcher: &Dispatcher, now: Time) -> Progress {
        let in_session = dispatcher.done_by_status();
        let prior = self.prior.settled_before_session();
        let counts = std::array::from_fn(|status| prior[status] + in_session[status]);
        let sent = dispatcher.checkpoint().counters.writes();
        self.writes.push_back((now, sent));
        while self.writes.front().is_some_and(|(then, _)| *then + RATE_OVER < now) {
            self.writes.pop_front();
        }
        let (since, then) = self.writes.front().copied().unwrap_or((now, sent));
        let started = *self.started.get_or_insert(now);
        let WriteProgress { finished, added } = dispatcher.writes();
        let pace = per_second(finished, now.saturating_sub(started));
        let writes = (self.planned > 0).then(|| {
            let total = self.planned + added;
            Fraction { done: (self.prior.requests.write_progress() + finished).min(total), total }
        });
        let left = writes.map_or(0, |writes| writes.total - writes.done);
        let allowed = dispatcher.write_rate(now);
        let cooldown = dispatcher
            .longest_cooldown(now)
            .map_or(Duration::ZERO, |(_, until)| until.saturating_sub(now));
        let is_down = dispatcher.down_since().is_some();
        Progress {
            elapsed: now.saturating_sub(started),
            rows: Fraction { done: counts.iter().sum(), total: self.prior.rows },
            writes,
            rate: per_second(sent.saturating_sub(then), now.saturating_sub(since)),
            allowed,
            left: time_left(left, pace, allowed).filter(|_| !is_down).map(|time| time + cooldown),
            hold: hold(dispatcher, now),
            counts,
            units: dispatcher.allowance().units(),
        }
    }
}

fn hold(dispatcher: &Dispatcher, now: Time) -> Option<Hold> {
    if let Some(since) = dispatcher.down_since() {
        return Some(Hold::Unreachable(now.saturating_sub(since)));
    }
    let (endpoint, until) = dispatcher.longest_cooldown(now)?;
    Some(Hold::Throttled(endpoint, until.saturating_sub(now)))
}

/// Estimated time for the remaining writes: at the pace of this session, but no faster than the
/// limit, which the initial burst exceeds.
fn time_left(writes: u64, pace: f64, allowed: Option<f64>) -> Option<Duration> {
    let pace = pace.min(allowed.unwrap_or(f64::INFINITY));
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let seconds = writes as f64 / pace;
    (writes > 0 && pace > 0.0).then(|| Duration::from_secs_f64(seconds.min(1e9)))
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(count: u64, over: Duration) -> f64 {
    if over.is_zero() { 0.0 } else { count as f64 / over.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Counters, Stage};
    use crate::settings::Execution;

    #[test]
    fn time_left_ignores_the_burst_and_follows_a_slower_pace() {
        let seconds = |pace, allowed| time_left(90, pace, allowed).map(|time| time.as_secs());
        assert_eq!(seconds(50.0, Some(4.5)), Some(20), "the burst is over soon");
        assert_eq!(seconds(0.9, Some(4.5)), Some(100), "retries slow the run down");
        assert_eq!(seconds(90.0, None), Some(1));
        assert_eq!(seconds(0.0, Some(4.5)), None);
        assert_eq!(time_left(0, 4.5, None), None);
    }

    #[test]
    fn resumed_run_includes_prior_progress() {
        let mut settled = [0; Status::ALL.len()];
        settled[Status::Updated as usize] = 48;
        settled[Status::Rejected as usize] = 1;
        let prior = RunProgress {
            stage: Stage::Running,
            rows: 101,
            settled,
            in_flight: 2,
            lost_if_interrupted: 1,
            requests: Counters { patch: 93, retried: 2, throttled: 1, ..Counters::default() },
        };
        let mut meter = ProgressMeter::new(200, prior);
        let dispatcher = Dispatcher::new(&Execution::default(), Counters::default());
        let progress = meter.measure(&dispatcher, Duration::ZERO);
        assert_eq!(progress.rows, Fraction { done: 50, total: 101 });
        assert_eq!(progress.writes, Some(Fraction { done: 90, total: 200 }));
        settled[Status::Unknown as usize] = 1;
        assert_eq!(progress.counts, settled);
    }
}
