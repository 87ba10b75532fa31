//! Applies an [`Event`] to the dispatcher.
//!
//! A response becomes a [`Verdict`], and each verdict leads to one of: complete the steps, split
//! the request, retry after a backoff, requeue behind a cooldown, open the circuit breaker, or
//! abort.

use std::cmp::Reverse;
use std::time::Duration;

use super::super::Time;
use super::super::event::{AbortReason, EndReason, Event, NotSent, Ticket};
use super::super::file_queues::FileKey;
use super::super::ready_queues::ReadyQueue;
use super::super::verdict::{Verdict, from_conflict, from_failed_check};
use super::{Dispatcher, Slot};
use crate::imagekit::{Failure, RateLimitHeaders};
use crate::ledger::Op;
use crate::outcome::{Code, Outcome, Status};
use crate::plan::Batch;
use crate::request::{
    Endpoint, Idempotent, LostResponse, Request, Sendable as _, StepKind, StepRef,
};
use crate::row::FileId;
use crate::sent::Sent;

impl Dispatcher {
    /// Applies an event that happened at `now`.
    pub(crate) fn on(&mut self, event: Event, now: Time) {
        match event {
            Event::Admit(batch) => self.admit(batch),
            Event::InputEnded => self.input_ended = true,
            Event::Completed(ticket, verdict) => {
                self.in_flight -= 1;
                self.on_verdict(ticket, verdict, now);
            }
            Event::NotSent(ticket, request, reason) => {
                self.in_flight -= 1;
                self.on_not_sent(ticket, request, reason, now);
            }
            Event::Read(ticket, state) => {
                self.in_flight -= 1;
                self.on_snapshot(ticket, state, now);
            }
            Event::Probed(result) => {
                self.in_flight -= 1;
                self.on_probe(result, now);
            }
            Event::Stop(ending) => self.stop(ending),
        }
    }

    pub(super) fn stop(&mut self, ending: EndReason) {
        self.ending.get_or_insert(ending);
    }

    fn admit(&mut self, batch: Batch) {
        for row in batch.rows {
            self.window.admit(&row);
            if let Some(outcome) = row.outcome {
                let step = StepRef { row: row.pos.number, kind: StepKind::Details };
                self.record(step, *outcome, 0, Sent::default());
            }
            if let Some(kind) = row.not_sent {
                self.record_not_sent(StepRef { row: row.pos.number, kind });
            }
        }
        for request in batch.requests {
            let files = FileKey::of_all(request.files());
            let sequence = self.next_sequence;
            self.next_sequence += 1;
            let ticket = self.slots.insert(Slot::new(request, sequence, files));
            let slot = &mut self.slots[ticket];
            let file_queues = &mut self.file_queues;
            slot.waiting_queues =
                slot.files.iter().filter(|file| !file_queues.join(**file, ticket)).count();
            if slot.waiting_queues == 0 {
                self.queue(ticket);
            }
        }
        self.window.remove_done();
    }

    /// Queues a request that is first in all of its file queues, without the steps of rows that
    /// have stopped.
    pub(super) fn queue(&mut self, ticket: Ticket) {
        if self.withhold_after_withheld(ticket) {
            return;
        }
        let slot = &self.slots[ticket];
        let Some(request) = &slot.request else {
            return;
        };
        let may_send = |step: &StepRef| self.window.may_send(*step);
        let is_sendable = match request {
            Request::Idempotent(request) => request.steps().iter().all(may_send),
            Request::AtMostOnce(request) => request.steps().iter().any(may_send),
        };
        if is_sendable {
            self.ready_queues.push(
                ReadyQueue::of(request, slot.snapshot.is_some()),
                slot.sequence,
                ticket,
            );
            return;
        }
        let rest = match request {
            Request::Idempotent(request) => request.part(|_, step| may_send(&step)),
            Request::AtMostOnce(_) => None,
        };
        let dropped: Vec<StepRef> =
            request.steps().iter().copied().filter(|step| !may_send(step)).collect();
        for step in dropped {
            self.record_not_sent(step);
        }
        self.split(ticket, rest.into_iter().collect());
    }

    fn on_verdict(&mut self, ticket: Ticket, verdict: Verdict, now: Time) {
        match verdict {
            Verdict::Final(outcomes) => {
                self.circuit_breaker.responded();
                if let Some((step, _)) = outcomes.first() {
                    self.cooldowns.responded(step.kind.endpoint());
                }
                if outcomes.iter().all(|(_, outcome)| outcome.status == Status::Rejected) {
                    self.give_back_extensions(ticket);
                }
                self.complete(ticket, outcomes);
            }
            Verdict::Split { done, rest } => {
                self.circuit_breaker.responded();
                let steps = done.iter().map(|(step, _)| step);
                if let Some(step) = steps.chain(rest.iter().flat_map(Idempotent::steps)).next() {
                    self.cooldowns.responded(step.kind.endpoint());
                }
                self.record_all(ticket, done);
                self.split(ticket, rest);
            }
            Verdict::Retry { request, cause, retry_after } => {
                self.mark_lost(request.files(), request.steps());
                self.set_not_before(ticket, retry_after, now);
                self.retry(ticket, Request::Idempotent(request), cause, now);
            }
            Verdict::ReadFailed { request, cause, retry_after } => {
                self.set_not_before(ticket, retry_after, now);
                self.retry(ticket, request, cause, now);
            }
            Verdict::NotSent { request, message } => {
                self.last_failure = message;
                self.circuit_breaker.not_sent(now);
                self.restore_unsent(ticket, request);
                self.back_off(ticket, now);
            }
            Verdict::Throttled { request, note } => {
                self.on_throttled(request.endpoint(), note, now);
                self.cooldowns.count_waiting(request.endpoint(), now);
                self.restore_unsent(ticket, request);
                self.queue(ticket);
            }
            Verdict::ResponseLost { lost, cause, retry_after } => {
                self.set_not_before(ticket, retry_after, now);
                self.on_response_lost(ticket, lost, &cause, now);
            }
            Verdict::AccountError { message, request } => {
                self.restore_unsent(ticket, request);
                self.stop(EndReason::Aborted(AbortReason::Account { message }));
            }
        }
    }

    /// A request that was withheld does not count as sent.
    fn on_not_sent(&mut self, ticket: Ticket, request: Request, reason: NotSent, now: Time) {
        let slot = &mut self.slots[ticket];
        self.counters.take_back(request.call());
        self.counters.retried -= u64::from(slot.is_retry);
        match reason {
            NotSent::Conflict(files) => {
                self.give_back_extensions(ticket);
                let slot = &mut self.slots[ticket];
                slot.attempts = slot.attempts.saturating_sub(1);
                self.circuit_breaker.responded();
                let (done, rest) = from_conflict(&request, &files);
                self.record_all(ticket, done);
                self.split(ticket, rest.into_iter().collect());
            }
            // The check has already waited as long as allowed.
            NotSent::CheckFailed(Failure::Throttled(_)) => {
                self.restore_unsent(ticket, request);
                let after = self.settings.abort_limits.down_max;
                self.stop(EndReason::Aborted(AbortReason::Throttled { after }));
            }
            NotSent::CheckFailed(failure) => {
                self.withdraw_intent(ticket, &request);
                self.on_verdict(ticket, from_failed_check(request, failure), now);
            }
        }
    }

    /// Takes a request back as if it had never been sent: its attempt does not count, and its
    /// intent is withdrawn.
    fn restore_unsent(&mut self, ticket: Ticket, request: Request) {
        self.withdraw_intent(ticket, &request);
        let slot = &mut self.slots[ticket];
        slot.attempts = slot.attempts.saturating_sub(1);
        slot.request = Some(request);
    }

    fn withdraw_intent(&mut self, ticket: Ticket, request: &Request) {
        self.give_back_extensions(ticket);
        if let Request::AtMostOnce(request) = request {
            self.ops.extend(request.steps().iter().map(|step| Op::Reopen(*step)));
        }
    }

    /// Stores the earliest time of the next attempt, from `Retry-After`.
    fn set_not_before(&mut self, ticket: Ticket, retry_after: Option<Duration>, now: Time) {
        self.slots[ticket].not_before = now + retry_after.unwrap_or_default();
    }

    fn back_off(&mut self, ticket: Ticket, now: Time) {
        let slot = &mut self.slots[ticket];
        slot.failed_attempts += 1;
        slot.is_retry = true;
        let at = slot.not_before.max(now + self.backoff.wait(slot.failed_attempts));
        self.backing_off.push(Reverse((at, ticket)));
    }

    fn retry(&mut self, ticket: Ticket, request: Request, cause: Outcome, now: Time) {
        self.last_failure = cause.message.clone().unwrap_or_default();
        self.circuit_breaker.response_lost(now, self.pending_requests());
        if cause.code == Some(Code::Unreadable) {
            // The response may come from a proxy.
            self.circuit_breaker.suspect_outage(now);
        }
        let is_service_fault = self.circuit_breaker.is_service_fault();
        let slot = &mut self.slots[ticket];
        slot.attempts = slot.attempts.saturating_sub(u32::from(is_service_fault));
        slot.request = Some(request);
        if !is_service_fault {
            self.circuit_breaker.used_attempt(ticket);
        }
        if slot.attempts < self.settings.attempts.get() {
            self.back_off(ticket, now);
        } else {
            self.circuit_breaker.suspect_outage(now);
            self.exhausted.push((ticket, cause));
        }
    }

    /// The service responds, so requests with no attempts left have failed.
    fn on_service_recovered(&mut self) {
        if self.circuit_breaker.blocks_all() {
            self.cooldowns.reset_streaks();
        }
        self.circuit_breaker.probe_succeeded();
        for (ticket, cause) in std::mem::take(&mut self.exhausted) {
            let request = self.slots[ticket].request.as_ref();
            let steps = request.map_or(&[][..], Request::steps).iter();
            let outcomes = steps.map(|step| (*step, cause.clone())).collect();
            self.complete(ticket, outcomes);
        }
    }

    /// The service is down, so the last attempt of each exhausted request does not count.
    fn requeue_exhausted(&mut self, now: Time) {
        for (ticket, _) in std::mem::take(&mut self.exhausted) {
            let slot = &mut self.slots[ticket];
            slot.attempts = slot.attempts.min(self.settings.attempts.get() - 1);
            self.back_off(ticket, now);
        }
    }

    /// Marks files whose response was lost: the request may take effect after later requests on the
    /// same file. Reversed, because the ledger keeps the first mark of each file, which must be the
    /// last row of the request that touches the file.
    fn mark_lost(&mut self, files: &[FileId], steps: &[StepRef]) {
        let writes = files.iter().zip(steps).rev();
        let writes = writes.filter(|(_, step)| step.kind != StepKind::ReadBack);
        self.ops
            .extend(writes.map(|(file, step)| Op::MarkLost { file: file.clone(), row: step.row }));
    }

    /// Requests that are ready, backing off or in flight, including the one that has just finished.
    fn pending_requests(&self) -> usize {
        let waiting = self.ready_queues.len() + self.backing_off.len() + self.exhausted.len();
        1 + self.in_flight + waiting
    }

    fn on_throttled(&mut self, endpoint: Endpoint, note: RateLimitHeaders, now: Time) {
        self.circuit_breaker.responded();
        self.counters.throttled += 1;
        let budget = &mut self.budgets[endpoint.budget() as usize];
        self.cooldowns.throttled(endpoint, note, budget, now);
    }

    fn on_response_lost(&mut self, ticket: Ticket, lost: LostResponse, cause: &Outcome, now: Time) {
        self.circuit_breaker.lost_at_most_once(now);
        let LostResponse { steps, files, remainder } = lost;
        // The extensions may have run. Whatever becomes of the remainder, they stay spent.
        self.slots[ticket].reservation = None;
        self.mark_lost(&files, &steps);
        if let Some(remainder) = remainder {
            steps.iter().for_each(|step| self.window.open_remainder(step.row));
            self.record_all(ticket, steps.iter().map(|step| (*step, cause.clone())).collect());
            let slot = &mut self.slots[ticket];
            (slot.attempts, slot.failed_attempts, slot.is_retry) = (0, 0, false);
            slot.request = Some(Request::Idempotent(remainder));
            let not_before = slot.not_before;
            self.writes.finished += 1;
            self.writes.added += 1;
            if not_before > now {
                self.backing_off.push(Reverse((not_before, ticket)));
            } else {
                self.queue(ticket);
            }
        } else {
            self.complete(ticket, steps.iter().map(|step| (*step, cause.clone())).collect());
        }
    }

    fn on_snapshot(&mut self, ticket: Ticket, state: Result<String, Failure>, now: Time) {
        let failure = match state {
            Ok(snapshot) => {
                self.circuit_breaker.responded();
                self.cooldowns.responded(Endpoint::GetDetails);
                let slot = &mut self.slots[ticket];
                slot.snapshot = Some(snapshot);
                // The backoff keeps growing: a successful read says nothing about a write that
                // fails.
                (slot.attempts, slot.is_retry) = (0, false);
                return self.queue(ticket);
            }
            Err(failure) => failure,
        };
        let Some(request) = self.slots[ticket].request.take() else {
            return;
        };
        match from_failed_check(request, failure) {
            Verdict::Throttled { request, note } => {
                self.on_throttled(Endpoint::GetDetails, note, now);
                self.cooldowns.count_waiting(Endpoint::GetDetails, now);
                self.restore_unsent(ticket, request);
                self.queue(ticket);
            }
            other => self.on_verdict(ticket, other, now),
        }
    }

    fn on_probe(&mut self, result: Result<(), Failure>, now: Time) {
        match result {
            Err(Failure::Account { message }) => {
                self.stop(EndReason::Aborted(AbortReason::Account { message }));
            }
            Err(Failure::Throttled(note)) => {
                self.on_throttled(Endpoint::List, note, now);
                self.on_service_recovered();
            }
            Ok(()) | Err(Failure::Rejected { .. }) => {
                self.cooldowns.responded(Endpoint::List);
                self.on_service_recovered();
            }
            Err(Failure::NotSent { message }) => self.probe_failed(message, None, now),
            Err(Failure::Lost { message, retry_after, .. }) => {
                self.probe_failed(message, retry_after, now);
            }
        }
    }

    fn probe_failed(&mut self, message: Box<str>, retry_after: Option<Duration>, now: Time) {
        self.last_failure = message;
        let retry_after = retry_after.unwrap_or_default();
        for ticket in self.circuit_breaker.probe_failed(now, retry_after, &mut self.backoff) {
            if let Some(slot) = self.slots.get_mut(ticket) {
                slot.attempts = slot.attempts.saturating_sub(1);
            }
        }
        self.requeue_exhausted(now);
    }
}
