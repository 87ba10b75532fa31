//! Decides what is sent when. Pure: no clock, no network, no disk; what happened and when comes
//! in, what to do and what to write down goes out.
//!
//! A bounded window of rows is admitted in input order. A request waits until it is at its turn on
//! all of its files, then in the lane of its endpoint for a place and for the budget. It holds a
//! place only while an attempt is under way, never while it waits for the next one, so that a row
//! in backoff holds up nothing but its own files.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::{NonZeroU32, NonZeroUsize};

use slab::Slab;

use super::event::{Action, Ending, Event, Halt, Ticket};
use super::holds::Holds;
use super::lanes::{Lane, Lanes};
use super::lines::{FileKey, Lines};
use super::trouble::Trouble;
use super::verdict::{Verdict, of_unread};
use super::watch::Watch;
use super::window::Window;
use super::{Backoff, Budget, Time};
use crate::imagekit::{Failure, RateLimitNote};
use crate::ledger::{Counters, Mark, Op};
use crate::outcome::{Outcome, Status};
use crate::plan::Batch;
use crate::request::{
    BudgetKind, Call, Endpoint, Lost, Request, Safe, Sendable as _, StepKind, StepRef,
};
use crate::row::FileId;
use crate::settings::{Execution, Halts};

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
    lines: Lines,
    lanes: Lanes,
    /// Requests in backoff, by the time at which they come back.
    backing_off: BinaryHeap<Reverse<(Time, Ticket)>>,
    holds: Holds,
    trouble: Trouble,
    /// What happened last to a request that did not get through.
    last_trouble: Box<str>,
    watch: Watch,
    under_way: usize,
    input_ended: bool,
    ending: Option<Ending>,
    ops: Vec<Op>,
    counters: Counters,
}

impl Dispatcher {
    /// A dispatcher with nothing to do yet.
    #[must_use]
    pub fn new(settings: &Execution, counters: Counters) -> Self {
        Self {
            limits: Limits {
                concurrency: settings.concurrency,
                attempts: settings.attempts,
                halts: settings.halts,
            },
            budgets: [Budget::new(settings.writes), Budget::new(settings.reads)],
            backoff: Backoff::new(settings.seed),
            window: Window::default(),
            slots: Slab::new(),
            next_sequence: 0,
            lines: Lines::default(),
            lanes: Lanes::default(),
            backing_off: BinaryHeap::new(),
            holds: Holds::default(),
            trouble: Trouble::default(),
            last_trouble: Box::default(),
            watch: Watch::new(settings.halts),
            under_way: 0,
            input_ended: false,
            ending: None,
            ops: Vec::new(),
            counters,
        }
    }

    /// Whether it takes more rows.
    #[must_use]
    pub fn wants_rows(&self) -> bool {
        !self.input_ended && self.ending.is_none() && self.window.has_room()
    }

    /// What is to be written down, in order; taken away by whoever writes it.
    pub fn ops(&mut self) -> &mut Vec<Op> {
        &mut self.ops
    }

    /// What stands beside the next group in the ledger.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { low_water: self.window.low_water(), counters: self.counters }
    }

    /// How many rows have been settled so, in the order of [`Status::ALL`].
    #[must_use]
    pub fn settled(&self) -> [u64; Status::ALL.len()] {
        self.window.settled()
    }

    /// Why it ended or is ending.
    #[must_use]
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// Takes more rows after all, where it ended because there were none.
    pub fn go_on(&mut self) {
        if self.ending == Some(Ending::Done) {
            self.ending = None;
            self.input_ended = false;
        }
    }

    /// Requests under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// Writes allowed now, in requests a second; `None` where there is no limit.
    #[must_use]
    pub fn write_rate(&self, now: Time) -> Option<f64> {
        self.budgets[BudgetKind::Writes as usize].rate(now)
    }

    /// The endpoint that holds longest, and until when.
    #[must_use]
    pub fn hold(&self, now: Time) -> Option<(Endpoint, Time)> {
        self.holds.longest(now)
    }

    /// Since when the service is out of reach for everyone.
    #[must_use]
    pub fn down_since(&self) -> Option<Time> {
        self.trouble.down_since()
    }
}

/// What to do next.
impl Dispatcher {
    /// Says what to do now.
    pub fn next(&mut self, now: Time) -> Action {
        if let Some(action) = self.end(now) {
            return action;
        }
        self.come_back(now);
        let mut wake = Wake::default();
        if let Some(action) = self.probe(now, &mut wake) {
            return action;
        }
        if self.trouble.holds_everyone() {
            let since = self.trouble.down_since().unwrap_or(now);
            wake.at(since + self.limits.halts.down_max);
            return wake.action();
        }
        if self.under_way < self.limits.concurrency.get() {
            if let Some(action) = self.send(now, &mut wake) {
                return action;
            }
            if let Some(Reverse((at, _))) = self.backing_off.peek() {
                wake.at(*at);
            }
        }
        wake.action()
    }

    /// What follows if the end is near.
    fn end(&mut self, now: Time) -> Option<Action> {
        let down = self.trouble.down_since().map(|since| now.saturating_sub(since));
        if let Some(after) = down.filter(|after| *after >= self.limits.halts.down_max) {
            let message = self.last_trouble.clone();
            self.stop(Ending::Halted(Halt::Down { after, message }));
        }
        if self.input_ended && self.slots.is_empty() {
            self.ending.get_or_insert(Ending::Done);
        }
        self.ending.as_ref()?;
        Some(if self.under_way == 0 { Action::Finished } else { Action::WaitEvent })
    }

    /// Requests whose backoff is over go back to their lanes.
    fn come_back(&mut self, now: Time) {
        while let Some(Reverse((at, ticket))) = self.backing_off.peek().copied() {
            if at > now {
                break;
            }
            self.backing_off.pop();
            self.queue(ticket);
        }
    }

    /// Asks whether the service is back, if it is time to.
    fn probe(&mut self, now: Time, wake: &mut Wake) -> Option<Action> {
        let at = self.trouble.next_probe()?.max(self.holds.until(Endpoint::List));
        let free = if at > now { Err(at) } else { self.budget(Endpoint::List).take(now) };
        if let Err(at) = free {
            wake.at(at);
            return None;
        }
        self.trouble.probe_sent();
        self.under_way += 1;
        self.counters.read += 1;
        Some(Action::Probe)
    }

    fn budget(&mut self, endpoint: Endpoint) -> &mut Budget {
        &mut self.budgets[endpoint.budget() as usize]
    }

    /// Takes the request that came first out of the lanes that may go, if the budget allows it.
    fn send(&mut self, now: Time, wake: &mut Wake) -> Option<Action> {
        let mut closed = [false; 2];
        loop {
            let lane = self.first_lane(now, closed, wake)?;
            match self.budget(lane.endpoint()).take(now) {
                Ok(()) => {
                    let ticket = self.lanes.pop(lane)?;
                    return self.take_out(ticket, lane);
                }
                Err(at) => {
                    wake.at(at);
                    closed[lane.endpoint().budget() as usize] = true;
                }
            }
        }
    }

    /// The lane whose first request was admitted first, of those that nothing holds up.
    fn first_lane(&self, now: Time, closed: [bool; 2], wake: &mut Wake) -> Option<Lane> {
        let open = Lane::ALL.into_iter().filter_map(|lane| {
            let sequence = self.lanes.first(lane)?;
            let until = self.holds.until(lane.endpoint());
            if until > now {
                wake.at(until);
                return None;
            }
            let held = lane == Lane::PatchOnce && self.trouble.holds_once();
            let closed = closed[lane.endpoint().budget() as usize];
            (!held && !closed).then_some((sequence, lane))
        });
        open.min_by_key(|(sequence, _)| *sequence).map(|(_, lane)| lane)
    }

    fn take_out(&mut self, ticket: Ticket, lane: Lane) -> Option<Action> {
        let slot = self.slots.get_mut(ticket)?;
        slot.attempts += 1;
        self.under_way += 1;
        self.counters.retried += u64::from(slot.repeats);
        if lane == Lane::ReadBefore {
            self.counters.read += 1;
            let file = slot.request.as_ref()?.files().first()?.clone();
            return Some(Action::Read(ticket, file));
        }
        let request = slot.request.take()?;
        match request.call() {
            Call::Details(_) => self.counters.patch += 1,
            Call::Publish(_) => self.counters.publish += 1,
            Call::AddTags(_) => self.counters.add_tags += 1,
            Call::RemoveTags(_) => self.counters.remove_tags += 1,
            Call::ReadBack(_) => self.counters.read += 1,
        }
        Some(Action::Send(ticket, request, slot.before.take()))
    }
}

/// The earliest of several times.
#[derive(Debug, Default)]
struct Wake(Option<Time>);

impl Wake {
    fn at(&mut self, time: Time) {
        self.0 = Some(self.0.map_or(time, |earlier| earlier.min(time)));
    }

    fn action(self) -> Action {
        self.0.map_or(Action::WaitEvent, Action::WaitUntil)
    }
}

/// What happened.
impl Dispatcher {
    /// Takes note of what happened.
    pub fn on(&mut self, event: Event, now: Time) {
        match event {
            Event::Admit(batch) => self.admit(batch),
            Event::InputEnded => self.input_ended = true,
            Event::Answered(ticket, verdict) => {
                self.under_way -= 1;
                self.answered(ticket, verdict, now);
            }
            Event::Read(ticket, state) => {
                self.under_way -= 1;
                self.read(ticket, state, now);
            }
            Event::Probed(answer) => {
                self.under_way -= 1;
                self.probed(answer, now);
            }
            Event::Stop(ending) => self.stop(ending),
        }
    }

    fn stop(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
    }

    fn admit(&mut self, batch: Batch) {
        for row in batch.rows {
            self.window.admit(&row);
            if let Some(outcome) = row.settled {
                let step = StepRef { row: row.pos.number, kind: StepKind::Details };
                self.record(step, outcome, 0);
            }
        }
        for request in batch.requests {
            let files = FileKey::of_all(request.files());
            let sequence = self.next_sequence;
            self.next_sequence += 1;
            let ticket = self.slots.insert(Slot::new(request, sequence, files));
            let slot = &mut self.slots[ticket];
            let lines = &mut self.lines;
            slot.behind = slot.files.iter().filter(|file| !lines.join(**file, ticket)).count();
            if slot.behind == 0 {
                self.queue(ticket);
            }
        }
        self.window.leave();
    }

    /// Puts a request that is at its turn into its lane, without the steps of rows that are at an
    /// end.
    fn queue(&mut self, ticket: Ticket) {
        let slot = &self.slots[ticket];
        let Some(request) = &slot.request else {
            return;
        };
        let may_send = |step: &StepRef| self.window.may_send(*step);
        let is_to_be_sent = match request {
            Request::Safe(safe) => safe.steps().iter().all(may_send),
            Request::Once(once) => once.steps().iter().any(may_send),
        };
        if is_to_be_sent {
            self.lanes.push(Lane::of(request, slot.before.is_some()), slot.sequence, ticket);
            return;
        }
        let rest = match request {
            Request::Safe(safe) => safe.part(|_, step| may_send(&step)),
            Request::Once(_) => None,
        };
        let dropped: Vec<StepRef> =
            request.steps().iter().copied().filter(|step| !may_send(step)).collect();
        for step in dropped {
            self.window.drop_step(step.row);
        }
        self.split(ticket, rest.into_iter().collect());
    }

    fn answered(&mut self, ticket: Ticket, verdict: Verdict, now: Time) {
        match verdict {
            Verdict::Final(outcomes) => {
                self.trouble.answered();
                if let Some((step, _)) = outcomes.first() {
                    self.holds.answered(step.kind.endpoint());
                }
                self.settle(ticket, outcomes);
            }
            Verdict::Split { settled, rest } => {
                self.trouble.answered();
                self.record_all(ticket, settled);
                self.split(ticket, rest);
            }
            Verdict::Again { request, cause } => {
                self.doubt(request.files(), request.steps());
                self.again(ticket, Request::Safe(request), &cause, now);
            }
            Verdict::Unread { request, cause } => self.again(ticket, request, &cause, now),
            Verdict::NotSent { request, message } => {
                self.last_trouble = message;
                self.trouble.not_sent(now);
                self.put_back_unsent(ticket, request);
                self.back_off(ticket, now);
            }
            Verdict::Hold { request, note } => {
                self.held(request.endpoint(), note, now);
                self.put_back_unsent(ticket, request);
                self.queue(ticket);
            }
            Verdict::Lost { lost, cause } => self.lost(ticket, lost, &cause, now),
            Verdict::Halt { message, request } => {
                self.put_back_unsent(ticket, request);
                self.stop(Ending::Halted(Halt::Account { message }));
            }
        }
    }

    /// Nothing was done: no attempt is used up, and an intent that was written down is withdrawn.
    fn put_back_unsent(&mut self, ticket: Ticket, request: Request) {
        if let Request::Once(once) = &request {
            self.ops.extend(once.steps().iter().map(|step| Op::Forget(*step)));
        }
        let slot = &mut self.slots[ticket];
        slot.attempts = slot.attempts.saturating_sub(1);
        slot.request = Some(request);
    }

    fn back_off(&mut self, ticket: Ticket, now: Time) {
        let slot = &mut self.slots[ticket];
        slot.waits += 1;
        slot.repeats = true;
        let at = now + self.backoff.wait(slot.waits);
        self.backing_off.push(Reverse((at, ticket)));
    }

    fn again(&mut self, ticket: Ticket, request: Request, cause: &Outcome, now: Time) {
        self.last_trouble = cause.message.clone().unwrap_or_default();
        self.trouble.lost(now, self.at_turn());
        let is_blameless = self.trouble.is_confirmed();
        let slot = &mut self.slots[ticket];
        slot.attempts = slot.attempts.saturating_sub(u32::from(is_blameless));
        if slot.attempts < self.limits.attempts.get() {
            slot.request = Some(request);
            if !is_blameless {
                self.trouble.goes_on(ticket);
            }
            self.back_off(ticket, now);
        } else {
            self.trouble.is_over(ticket);
            let steps = request.steps().iter();
            self.settle(ticket, steps.map(|step| (*step, cause.clone())).collect());
        }
    }

    /// A request whose answer was lost may take effect even later than those that follow on its
    /// files.
    fn doubt(&mut self, files: &[FileId], steps: &[StepRef]) {
        let Some(step) = steps.first().filter(|step| step.kind != StepKind::ReadBack) else {
            return;
        };
        let doubts = files.iter().map(|file| Op::Doubt { file: file.clone(), row: step.row });
        self.ops.extend(doubts);
    }

    /// Requests at their turn, with the one whose answer has just come.
    fn at_turn(&self) -> usize {
        1 + self.under_way + self.lanes.len() + self.backing_off.len()
    }

    fn held(&mut self, endpoint: Endpoint, note: RateLimitNote, now: Time) {
        self.trouble.answered();
        self.counters.throttled += 1;
        let until = self.holds.throttled(endpoint, note.reset, now);
        let budget = self.budget(endpoint);
        budget.return_from(until);
        if let Some(rate) = note.rate {
            budget.lower_ceiling(rate);
        }
    }

    fn lost(&mut self, ticket: Ticket, lost: Lost, cause: &Outcome, now: Time) {
        self.trouble.lost_once(now);
        let Lost { steps, files, remainder } = lost;
        self.doubt(&files, &steps);
        if let Some(remainder) = remainder {
            steps.iter().for_each(|step| self.window.open_remainder(step.row));
            self.record_all(ticket, steps.iter().map(|step| (*step, cause.clone())).collect());
            let slot = &mut self.slots[ticket];
            (slot.attempts, slot.waits, slot.repeats) = (0, 0, false);
            slot.request = Some(Request::Safe(remainder));
            self.queue(ticket);
        } else {
            self.settle(ticket, steps.iter().map(|step| (*step, cause.clone())).collect());
        }
    }

    fn read(&mut self, ticket: Ticket, state: Result<String, Failure>, now: Time) {
        let failure = match state {
            Ok(before) => {
                self.trouble.answered();
                let slot = &mut self.slots[ticket];
                slot.before = Some(before);
                // The waits go on growing: that its file can be read says nothing of a request
                // that does not get through.
                (slot.attempts, slot.repeats) = (0, false);
                return self.queue(ticket);
            }
            Err(failure) => failure,
        };
        let Some(request) = self.slots[ticket].request.take() else {
            return;
        };
        match of_unread(request, failure) {
            Verdict::Hold { request, note } => {
                self.held(Endpoint::GetDetails, note, now);
                self.put_back_unsent(ticket, request);
                self.queue(ticket);
            }
            other => self.answered(ticket, other, now),
        }
    }

    fn probed(&mut self, answer: Result<(), Failure>, now: Time) {
        match answer {
            Err(Failure::Account { message }) => {
                self.stop(Ending::Halted(Halt::Account { message }));
            }
            Err(Failure::Throttled(note)) => {
                self.held(Endpoint::List, note, now);
                self.trouble.probe_answered();
            }
            Ok(()) | Err(Failure::Refused { .. }) => {
                self.holds.answered(Endpoint::List);
                self.trouble.probe_answered();
            }
            Err(Failure::NotSent { message } | Failure::Lost { message, .. }) => {
                self.last_trouble = message;
                for ticket in self.trouble.probe_failed(now, &mut self.backoff) {
                    if let Some(slot) = self.slots.get_mut(ticket) {
                        slot.attempts = slot.attempts.saturating_sub(1);
                    }
                }
            }
        }
    }
}

/// Settling.
impl Dispatcher {
    /// Writes down the outcomes of a request and frees its files. In this order: who takes a file
    /// next must find that what came before is on its way to the ledger.
    fn settle(&mut self, ticket: Ticket, outcomes: Vec<(StepRef, Outcome)>) {
        self.record_all(ticket, outcomes);
        self.free(ticket);
    }

    fn record_all(&mut self, ticket: Ticket, outcomes: Vec<(StepRef, Outcome)>) {
        let attempts = self.slots[ticket].attempts;
        for (step, outcome) in outcomes {
            let halt = match (outcome.status, self.window.pos(step.row)) {
                (Status::Unknown, _) => self.watch.unknown(),
                (Status::Failed, _) | (_, None) => None,
                (_, Some(pos)) => self.watch.answered(step, pos, &outcome),
            };
            self.record(step, outcome, attempts);
            if let Some(halt) = halt {
                self.halt(halt);
            }
        }
    }

    fn record(&mut self, step: StepRef, outcome: Outcome, attempts: u32) {
        if let Some(row_done) = self.window.settle(step, outcome.status) {
            self.ops.push(Op::Outcome { step, outcome, attempts, row_done });
        }
    }

    fn halt(&mut self, halt: Halt) {
        if matches!(halt, Halt::SameRejection { .. }) {
            for (step, pos) in self.watch.take_streak() {
                self.ops.push(Op::Forget(step));
                self.window.reopen(step, pos);
            }
        }
        self.stop(Ending::Halted(halt));
    }

    fn free(&mut self, ticket: Ticket) {
        let slot = self.slots.remove(ticket);
        self.leave_lines(&slot.files);
        self.window.leave();
    }

    fn leave_lines(&mut self, files: &[FileKey]) {
        for file in files {
            if let Some(next) = self.lines.leave(*file) {
                let slot = &mut self.slots[next];
                slot.behind -= 1;
                if slot.behind == 0 {
                    self.queue(next);
                }
            }
        }
    }

    /// Puts parts of a request into its place, and frees the files that are in none of them.
    fn split(&mut self, ticket: Ticket, parts: Vec<Safe>) {
        let Slot { sequence, files, .. } = self.slots.remove(ticket);
        let mut left = files.into_vec();
        for part in parts {
            let keys = FileKey::of_all(part.files());
            let (own, others): (Vec<_>, _) = left.into_iter().partition(|key| keys.contains(key));
            left = others;
            let slot = Slot::new(Request::Safe(part), sequence, own.into());
            let part = self.slots.insert(slot);
            for key in &self.slots[part].files {
                self.lines.hand_over(*key, part);
            }
            self.queue(part);
        }
        self.leave_lines(&left);
        self.window.leave();
    }
}
