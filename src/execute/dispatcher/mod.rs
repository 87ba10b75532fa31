//! Decides what is sent when. Pure: no clock, no network, no disk; what happened and when comes
//! in, what to do and what to write down goes out.
//!
//! A bounded window of rows is admitted in input order. A request waits until it is at its turn on
//! all of its files, then in the lane of its endpoint for a place and for the budget. It holds a
//! place only while an attempt is under way, never while it waits for the next one, so that a row
//! in backoff holds up nothing but its own files.
//!
//! `schedule` says what is to be done now, `events` takes what happened, `complete` writes down
//! what became of steps and frees their files.

mod complete;
mod events;
mod schedule;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;

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
use crate::settings::{Execution, Halts};

/// So many requests ready to be sent are enough: more rows would only push what is needed next out
/// of the processor's caches.
const READY_ENOUGH: usize = 160;
/// Requests in memory at once, also where rows come in any order.
const REQUESTS_MAX: usize = 4096;

/// What the dispatcher goes by.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Requests under way at once.
    pub concurrency: NonZeroUsize,
    /// Attempts for a request that may be repeated.
    pub attempts: NonZeroU32,
    /// What stops a run.
    pub halts: Halts,
}

#[derive(Debug)]
struct Slot {
    /// The request; `None` while it is given away to be sent.
    request: Option<Request>,
    /// Its place in the order of admission.
    sequence: u64,
    files: Box<[FileKey]>,
    /// Lines of which it is not at the head.
    behind: usize,
    /// The state of its file, where it needs to be known.
    before: Option<String>,
    /// Attempts that count, with the one under way.
    attempts: u32,
    /// Attempts that came to nothing, whether they count or not.
    waits: u32,
    /// Whether the next attempt repeats an earlier one.
    repeats: bool,
    /// Before that time nothing of it is to be sent, as an answer to it said.
    not_before: Time,
}

impl Slot {
    fn new(request: Request, sequence: u64, files: Box<[FileKey]>) -> Self {
        Self {
            request: Some(request),
            sequence,
            files,
            behind: 0,
            before: None,
            attempts: 0,
            waits: 0,
            repeats: false,
            not_before: Time::ZERO,
        }
    }
}

/// Decides what is sent when.
#[derive(Debug)]
pub struct Dispatcher {
    limits: Limits,
    budgets: [Budget; 2],
    backoff: Backoff,
    window: Window,
    slots: Slab<Slot>,
    next_sequence: u64,
    file_queues: FileQueues,
    ready_queues: ReadyQueues,
    /// Requests in backoff, by the time at which they come back.
    backing_off: BinaryHeap<Reverse<(Time, Ticket)>>,
    /// Requests whose attempts are used up, with the outcome of the last one, until a probe has said
    /// whether the service was to blame.
    exhausted: Vec<(Ticket, Outcome)>,
    cooldowns: Cooldowns,
    circuit_breaker: CircuitBreaker,
    /// What happened last to a request that did not get through.
    last_failure: Box<str>,
    abort_policy: AbortPolicy,
    in_flight: usize,
    input_ended: bool,
    ending: Option<EndReason>,
    ops: Vec<Op>,
    counters: Counters,
    writes: WriteProgress,
}

/// How far the writes of a session are. One that is tried again is not over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteProgress {
    /// Those that nothing more is to be sent of.
    pub over: u64,
    /// Those that came in the place of one that is over, which nobody planned.
    pub added: u64,
}

impl Dispatcher {
    /// A dispatcher with nothing to do yet, and with all of the burst of budgets of its own.
    #[must_use]
    pub fn new(settings: &Execution, counters: Counters) -> Self {
        let budgets = [Budget::new(settings.writes), Budget::new(settings.reads)];
        Self::within(budgets, settings, counters)
    }

    /// A dispatcher with nothing to do yet, within the budgets that all processes on this machine
    /// share.
    #[must_use]
    pub fn sharing(settings: &Execution, counters: Counters, rates: &Arc<RateFile>) -> Self {
        let budgets = [
            Budget::shared(settings.writes, rates, BudgetKind::Writes),
            Budget::shared(settings.reads, rates, BudgetKind::Reads),
        ];
        Self::within(budgets, settings, counters)
    }

    fn within(budgets: [Budget; 2], settings: &Execution, counters: Counters) -> Self {
        Self {
            limits: Limits {
                concurrency: settings.concurrency,
                attempts: settings.attempts,
                halts: settings.halts,
            },
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
            abort_policy: AbortPolicy::new(settings.halts),
            in_flight: 0,
            input_ended: false,
            ending: None,
            ops: Vec::new(),
            counters,
            writes: WriteProgress::default(),
        }
    }

    /// Rows will come in any order, so that there is no row below which everything is settled.
    pub fn allow_out_of_order(&mut self) {
        self.window.allow_out_of_order();
    }

    /// Whether it takes more rows.
    #[must_use]
    pub fn wants_rows(&self) -> bool {
        !self.input_ended
            && self.ending.is_none()
            && self.window.has_room()
            && self.slots.len() < REQUESTS_MAX
            && self.ready_queues.len() < READY_ENOUGH
    }

    /// What is to be written down, in order; taken away by whoever writes it.
    pub fn ops(&mut self) -> &mut Vec<Op> {
        &mut self.ops
    }

    /// What stands beside the next group in the ledger.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { low_water: self.window.low_water(), counters: self.counters }
    }

    /// How many rows have been settled so, in the order of [`Status::ALL`].
    #[must_use]
    pub fn settled(&self) -> [u64; Status::ALL.len()] {
        self.window.settled()
    }

    /// How far the writes are.
    #[must_use]
    pub fn writes(&self) -> WriteProgress {
        self.writes
    }

    /// Why it ended or is ending.
    #[must_use]
    pub fn ending(&self) -> Option<&EndReason> {
        self.ending.as_ref()
    }

    /// Takes more rows after all, where it ended because there were none.
    pub fn go_on(&mut self) {
        if self.ending == Some(EndReason::Done) {
            self.ending = None;
            self.input_ended = false;
        }
    }

    /// Requests under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Writes allowed now, in requests a second; `None` where there is no limit.
    #[must_use]
    pub fn write_rate(&self, now: Time) -> Option<f64> {
        self.budgets[BudgetKind::Writes as usize].rate(now)
    }

    /// The endpoint that holds longest, and until when.
    #[must_use]
    pub fn hold(&self, now: Time) -> Option<(Endpoint, Time)> {
        self.cooldowns.longest(now)
    }

    /// Since when the service is out of reach for everyone.
    #[must_use]
    pub fn down_since(&self) -> Option<Time> {
        self.circuit_breaker.down_since()
    }
}
