//! Decides what is sent when. A pure state machine without clock, network or disk: events and the
//! time go in, actions and ledger operations come out.
//!
//! The path of a request:
//!
//! 1. `events`: the planner's rows enter a bounded window in input order, and each request joins
//!    the queue of every file that it touches.
//! 2. First in all of its file queues, the request moves to the ready queue of its endpoint.
//! 3. `schedule`: the oldest ready request is sent when a concurrency slot is free, its endpoint is
//!    not cooling down after a 429, the circuit breaker is closed, and the rate budget allows it.
//! 4. `events`: its [`Verdict`](super::Verdict) completes, splits, retries or aborts. In backoff a
//!    request blocks its own files but holds no concurrency slot.
//! 5. `complete`: outcomes are queued for the ledger, then its files are released.
//!
//! A request whose extensions exceed the [`Allowance`] is withheld: `withhold` leaves its rows, and
//! later rows of the file, to a later session.
//!
//! The abort policy counts rejections and unknown outcomes, and ends the run at its limits.

mod complete;
mod events;
mod schedule;
mod withhold;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use foldhash::HashSet;
use slab::Slab;

use super::abort_policy::AbortPolicy;
use super::circuit_breaker::CircuitBreaker;
use super::event::{EndReason, Ticket};
use super::file_queues::{FileKey, FileQueues};
use super::ready_queues::ReadyQueues;
use super::throttle::Cooldowns;
use super::window::Window;
use super::{Backoff, Budget, Time};
use crate::account::RateFile;
use crate::ledger::{Checkpoint, Counters, Op};
use crate::outcome::{Outcome, Status};
use crate::request::{BudgetKind, Endpoint, Request};
use crate::sent::Sent;
use crate::settings::Execution;
use crate::spending::{Allowance, Reservation};

/// Ready requests beyond which no more rows are admitted: more would only evict the next ones from
/// the CPU caches.
const READY_MAX: usize = 160;
/// Upper limit of requests in memory, also when rows come in any order.
const REQUESTS_MAX: usize = 4096;

#[derive(Debug)]
struct Slot {
    /// `None` while the request is in flight.
    request: Option<Request>,
    /// What the request carried when it was last sent.
    sent: Sent,
    /// Position in admission order.
    sequence: u64,
    files: Box<[FileKey]>,
    /// Number of file queues in which the request is not first yet.
    waiting_queues: usize,
    /// Snapshot of the file of an at-most-once request, as JSON, once it is read.
    snapshot: Option<String>,
    /// Attempts that count towards the limit, including the one in flight.
    attempts: u32,
    /// Failed attempts, whether they count or not; determines the backoff.
    failed_attempts: u32,
    /// Whether the next attempt is a retry.
    is_retry: bool,
    /// Earliest time of the next attempt, from `Retry-After`.
    not_before: Time,
    /// The extensions of the request, once they are reserved.
    reservation: Option<Reservation>,
}

impl Slot {
    fn new(request: Request, sequence: u64, files: Box<[FileKey]>) -> Self {
        Self {
            request: Some(request),
            sent: Sent::default(),
            sequence,
            files,
            waiting_queues: 0,
            snapshot: None,
            attempts: 0,
            failed_attempts: 0,
            is_retry: false,
            not_before: Time::ZERO,
            reservation: None,
        }
    }
}

/// Decides what is sent when; see the module documentation.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    settings: Execution,
    budgets: [Budget; 2],
    backoff: Backoff,
    window: Window,
    slots: Slab<Slot>,
    next_sequence: u64,
    file_queues: FileQueues,
    ready_queues: ReadyQueues,
    /// Requests in backoff, by the time at which it ends.
    backing_off: BinaryHeap<Reverse<(Time, Ticket)>>,
    /// Requests with no attempts left, each with its last outcome, until a probe shows whether the
    /// service was at fault.
    exhausted: Vec<(Ticket, Outcome)>,
    cooldowns: Cooldowns,
    circuit_breaker: CircuitBreaker,
    /// Message of the last request that failed.
    last_failure: Box<str>,
    abort_policy: AbortPolicy,
    allowance: Allowance,
    /// Files of rows that are left to a later session: their later rows must not come first.
    withheld_files: HashSet<FileKey>,
    in_flight: usize,
    input_ended: bool,
    ending: Option<EndReason>,
    ops: Vec<Op>,
    counters: Counters,
    writes: WriteProgress,
}

/// Progress of the writes of a session. A write that is retried is not finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WriteProgress {
    /// Writes that need no further attempt.
    pub finished: u64,
    /// Writes that replaced a finished one (parts of a split request, remainders of a lost one) and
    /// are in no plan.
    pub added: u64,
}

impl Dispatcher {
    /// An idle dispatcher with its own budgets and a full burst.
    #[must_use]
    pub(crate) fn new(settings: &Execution, counters: Counters) -> Self {
        let budgets = [Budget::new(settings.writes), Budget::new(settings.reads)];
        Self::with_budgets(budgets, settings, counters)
    }

    /// An idle dispatcher with the budgets that all processes on this machine share.
    #[must_use]
    pub(crate) fn sharing(settings: &Execution, counters: Counters, rates: &Arc<RateFile>) -> Self {
        let budgets = [
            Budget::shared(settings.writes, rates, BudgetKind::Writes),
            Budget::shared(settings.reads, rates, BudgetKind::Reads),
        ];
        Self::with_budgets(budgets, settings, counters)
    }

    fn with_budgets(budgets: [Budget; 2], settings: &Execution, counters: Counters) -> Self {
        Self {
            settings: settings.clone(),
            budgets,
            backoff: Backoff::new(settings.seed),
            window: Window::default(),
            slots: Slab::new(),
            next_sequence: 0,
            file_queues: FileQueues::default(),
            ready_queues: ReadyQueues::default(),
            backing_off: BinaryHeap::new(),
            exhausted: Vec::new(),
            cooldowns: Cooldowns::default(),
            circuit_breaker: CircuitBreaker::default(),
            last_failure: Box::default(),
            abort_policy: AbortPolicy::new(settings.abort_limits),
            allowance: Allowance::default(),
            withheld_files: HashSet::default(),
            in_flight: 0,
            input_ended: false,
            ending: None,
            ops: Vec::new(),
            counters,
            writes: WriteProgress::default(),
        }
    }

    /// Runs extensions only within this allowance.
    #[must_use]
    pub(crate) fn with_allowance(self, allowance: Allowance) -> Self {
        Self { allowance, ..self }
    }

    /// What extensions may still spend, and have spent.
    #[must_use]
    pub(crate) fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// Accepts rows in any order; there is then no low-water mark.
    pub(crate) fn allow_out_of_order(&mut self) {
        self.window.allow_out_of_order();
    }

    /// Whether there is room for more rows.
    #[must_use]
    pub(crate) fn wants_rows(&self) -> bool {
        !self.input_ended
            && self.ending.is_none()
            && self.window.has_room()
            && self.slots.len() < REQUESTS_MAX
            && self.ready_queues.len() < READY_MAX
    }

    /// Operations for the ledger, in order. The caller drains them.
    pub(crate) fn ops(&mut self) -> &mut Vec<Op> {
        &mut self.ops
    }

    /// The checkpoint to write with the next group of operations.
    #[must_use]
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        let spent = self.allowance.spent().clone();
        Checkpoint { low_water: self.window.low_water(), counters: self.counters, spent }
    }

    /// Number of finished rows by status, in the order of [`Status::ALL`].
    #[must_use]
    pub(crate) fn done_by_status(&self) -> [u64; Status::ALL.len()] {
        self.window.done_by_status()
    }

    /// Progress of the writes of this session.
    #[must_use]
    pub(crate) fn writes(&self) -> WriteProgress {
        self.writes
    }

    /// Why the session has ended or is ending; `None` while it runs.
    #[must_use]
    pub(crate) fn end_reason(&self) -> Option<&EndReason> {
        self.ending.as_ref()
    }

    /// Accepts more rows after the input had ended.
    pub(crate) fn reopen_input(&mut self) {
        if self.ending == Some(EndReason::Done) {
            self.ending = None;
            self.input_ended = false;
        }
    }

    /// The requests that were sent, by all sessions of the run.
    #[must_use]
    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// Requests in flight, reads and probes included.
    #[must_use]
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Current write limit, in requests per second; `None` if unlimited.
    #[must_use]
    pub(crate) fn write_rate(&self, now: Time) -> Option<f64> {
        self.budgets[BudgetKind::Writes as usize].rate(now)
    }

    /// The endpoint with the longest cooldown, and its end.
    #[must_use]
    pub(crate) fn longest_cooldown(&self, now: Time) -> Option<(Endpoint, Time)> {
        self.cooldowns.longest(now)
    }

    /// Since when the circuit breaker blocks all requests.
    #[must_use]
    pub(crate) fn down_since(&self) -> Option<Time> {
        self.circuit_breaker.down_since()
    }
}
