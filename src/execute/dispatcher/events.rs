//! What happened, and what follows from it.

use std::cmp::Reverse;
use std::time::Duration;

use super::super::Time;
use super::super::event::{EndReason, Event, Halt, NotSent, Ticket};
use super::super::file_queues::FileKey;
use super::super::ready_queues::Lane;
use super::super::verdict::{Verdict, from_conflict, from_failed_check};
use super::{Dispatcher, Slot};
use crate::imagekit::{Failure, RateLimitNote};
use crate::ledger::Op;
use crate::outcome::{Code, Outcome};
use crate::plan::Batch;
use crate::request::{
    Endpoint, Idempotent, LostResponse, Request, Sendable as _, StepKind, StepRef,
};
use crate::row::FileId;

impl Dispatcher {
    /// Takes note of what happened.
    pub fn on(&mut self, event: Event, now: Time) {
        match event {
            Event::Admit(batch) => self.admit(batch),
            Event::InputEnded => self.input_ended = true,
            Event::Answered(ticket, verdict) => {
                self.in_flight -= 1;
                self.answered(ticket, verdict, now);
            }
            Event::NotSent(ticket, request, why) => {
                self.in_flight -= 1;
                self.withheld(ticket, request, why, now);
            }
            Event::Read(ticket, state) => {
                self.in_flight -= 1;
                self.read(ticket, state, now);
            }
            Event::Probed(answer) => {
                self.in_flight -= 1;
                self.probed(answer, now);
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
            if let Some(outcome) = row.settled {
                let step = StepRef { row: row.pos.number, kind: StepKind::Details };
                self.record(step, outcome, 0);
            }
            if let Some(kind) = row.not_sent {
                self.leave_unsent(StepRef { row: row.pos.number, kind });
            }
        }
        for request in batch.requests {
            let files = FileKey::of_all(request.files());
            let sequence = self.next_sequence;
            self.next_sequence += 1;
            let ticket = self.slots.insert(Slot::new(request, sequence, files));
            let slot = &mut self.slots[ticket];
            let file_queues = &mut self.file_queues;
            slot.behind =
                slot.files.iter().filter(|file| !file_queues.join(**file, ticket)).count();
            if slot.behind == 0 {
                self.queue(ticket);
            }
        }
        self.window.leave();
    }

    /// Puts a request that is at its turn into its lane, without the steps of rows that are at an
    /// end.
    pub(super) fn queue(&mut self, ticket: Ticket) {
        let slot = &self.slots[ticket];
        let Some(request) = &slot.request else {
            return;
        };
        let may_send = |step: &StepRef| self.window.may_send(*step);
        let is_to_be_sent = match request {
            Request::Idempotent(safe) => safe.steps().iter().all(may_send),
            Request::AtMostOnce(once) => once.steps().iter().any(may_send),
        };
        if is_to_be_sent {
            self.ready_queues.push(Lane::of(request, slot.before.is_some()), slot.sequence, ticket);
            return;
        }
        let rest = match request {
            Request::Idempotent(safe) => safe.part(|_, step| may_send(&step)),
            Request::AtMostOnce(_) => None,
        };
        let dropped: Vec<StepRef> =
            request.steps().iter().copied().filter(|step| !may_send(step)).collect();
        for step in dropped {
            self.leave_unsent(step);
        }
        self.split(ticket, rest.into_iter().collect());
    }

    fn answered(&mut self, ticket: Ticket, verdict: Verdict, now: Time) {
        match verdict {
            Verdict::Final(outcomes) => {
                self.circuit_breaker.answered();
                if let Some((step, _)) = outcomes.first() {
                    self.cooldowns.answered(step.kind.endpoint());
                }
                self.settle(ticket, outcomes);
            }
            Verdict::Split { settled, rest } => {
                self.circuit_breaker.answered();
                let steps = settled.iter().map(|(step, _)| step);
                if let Some(step) = steps.chain(rest.iter().flat_map(Idempotent::steps)).next() {
                    self.cooldowns.answered(step.kind.endpoint());
                }
                self.record_all(ticket, settled);
                self.split(ticket, rest);
            }
            Verdict::Again { request, cause, retry_after } => {
                self.doubt(request.files(), request.steps());
                self.wait_for(ticket, retry_after, now);
                self.again(ticket, Request::Idempotent(request), cause, now);
            }
            Verdict::Unread { request, cause, retry_after } => {
                self.wait_for(ticket, retry_after, now);
                self.again(ticket, request, cause, now);
            }
            Verdict::NotSent { request, message } => {
                self.last_failure = message;
                self.circuit_breaker.not_sent(now);
                self.put_back_unsent(ticket, request);
                self.back_off(ticket, now);
            }
            Verdict::Hold { request, note } => {
                self.held(request.endpoint(), note, now);
                self.cooldowns.keeps_waiting(request.endpoint(), now);
                self.put_back_unsent(ticket, request);
                self.queue(ticket);
            }
            Verdict::Lost { lost, cause, retry_after } => {
                self.wait_for(ticket, retry_after, now);
                self.lost(ticket, lost, &cause, now);
            }
            Verdict::Halt { message, request } => {
                self.put_back_unsent(ticket, request);
                self.stop(EndReason::Halted(Halt::Account { message }));
            }
        }
    }

    /// It was not sent, so that it does not count.
    fn withheld(&mut self, ticket: Ticket, request: Request, why: NotSent, now: Time) {
        let slot = &mut self.slots[ticket];
        self.counters.take_back(request.call());
        self.counters.retried -= u64::from(slot.repeats);
        match why {
            NotSent::Conflict(files) => {
                slot.attempts = slot.attempts.saturating_sub(1);
                self.circuit_breaker.answered();
                let (settled, rest) = from_conflict(&request, &files);
                self.record_all(ticket, settled);
                self.split(ticket, rest.into_iter().collect());
            }
            // Whoever looks has waited for as long as it may.
            NotSent::CheckFailed(Failure::Throttled(_)) => {
                self.put_back_unsent(ticket, request);
                let after = self.limits.halts.down_max;
                self.stop(EndReason::Halted(Halt::Throttled { after }));
            }
            NotSent::CheckFailed(failure) => {
                self.withdraw_intent(&request);
                self.answered(ticket, from_failed_check(request, failure), now);
            }
        }
    }

    /// Nothing was done: no attempt is used up, and an intent that was written down is withdrawn.
    fn put_back_unsent(&mut self, ticket: Ticket, request: Request) {
        self.withdraw_intent(&request);
        let slot = &mut self.slots[ticket];
        slot.attempts = slot.attempts.saturating_sub(1);
        slot.request = Some(request);
    }

    fn withdraw_intent(&mut self, request: &Request) {
        if let Request::AtMostOnce(once) = request {
            self.ops.extend(once.steps().iter().map(|step| Op::Reopen(*step)));
        }
    }

    /// An answer to a request said how long to wait before it is repeated.
    fn wait_for(&mut self, ticket: Ticket, retry_after: Option<Duration>, now: Time) {
        self.slots[ticket].not_before = now + retry_after.unwrap_or_default();
    }

    fn back_off(&mut self, ticket: Ticket, now: Time) {
        let slot = &mut self.slots[ticket];
        slot.waits += 1;
        slot.repeats = true;
        let at = slot.not_before.max(now + self.backoff.wait(slot.waits));
        self.backing_off.push(Reverse((at, ticket)));
    }

    fn again(&mut self, ticket: Ticket, request: Request, cause: Outcome, now: Time) {
        self.last_failure = cause.message.clone().unwrap_or_default();
        self.circuit_breaker.lost(now, self.at_turn());
        if cause.code == Some(Code::Unreadable) {
            // It may be a proxy on the way that answers.
            self.circuit_breaker.suspect(now);
        }
        let is_blameless = self.circuit_breaker.is_confirmed();
        let slot = &mut self.slots[ticket];
        slot.attempts = slot.attempts.saturating_sub(u32::from(is_blameless));
        slot.request = Some(request);
        if !is_blameless {
            self.circuit_breaker.gave_up(ticket);
        }
        if slot.attempts < self.limits.attempts.get() {
            self.back_off(ticket, now);
        } else {
            self.circuit_breaker.suspect(now);
            self.exhausted.push((ticket, cause));
        }
    }

    /// The service answers, so that those whose attempts are used up have failed.
    fn back(&mut self) {
        if self.circuit_breaker.holds_everyone() {
            self.cooldowns.count_anew();
        }
        self.circuit_breaker.probe_answered();
        for (ticket, cause) in std::mem::take(&mut self.exhausted) {
            let request = self.slots[ticket].request.as_ref();
            let steps = request.map_or(&[][..], Request::steps).iter();
            let outcomes = steps.map(|step| (*step, cause.clone())).collect();
            self.settle(ticket, outcomes);
        }
    }

    /// The service does not answer, so that at least the last attempt of those whose attempts are
    /// used up does not count.
    fn spare_exhausted(&mut self, now: Time) {
        for (ticket, _) in std::mem::take(&mut self.exhausted) {
            let slot = &mut self.slots[ticket];
            slot.attempts = slot.attempts.min(self.limits.attempts.get() - 1);
            self.back_off(ticket, now);
        }
    }

    /// A request whose answer was lost may take effect even later than those that follow on its
    /// files. Those are behind the last of its own rows on the file, which goes first here because
    /// the ledger keeps the first doubt of a file.
    fn doubt(&mut self, files: &[FileId], steps: &[StepRef]) {
        let changes = files.iter().zip(steps).rev();
        let changes = changes.filter(|(_, step)| step.kind != StepKind::ReadBack);
        self.ops
            .extend(changes.map(|(file, step)| Op::MarkLost { file: file.clone(), row: step.row }));
    }

    /// Requests at their turn, with the one whose answer has just come.
    fn at_turn(&self) -> usize {
        let waiting = self.ready_queues.len() + self.backing_off.len() + self.exhausted.len();
        1 + self.in_flight + waiting
    }

    fn held(&mut self, endpoint: Endpoint, note: RateLimitNote, now: Time) {
        self.circuit_breaker.answered();
        self.counters.throttled += 1;
        let budget = &mut self.budgets[endpoint.budget() as usize];
        self.cooldowns.throttled(endpoint, note, budget, now);
    }

    fn lost(&mut self, ticket: Ticket, lost: LostResponse, cause: &Outcome, now: Time) {
        self.circuit_breaker.lost_at_most_once(now);
        let LostResponse { steps, files, remainder } = lost;
        self.doubt(&files, &steps);
        if let Some(remainder) = remainder {
            steps.iter().for_each(|step| self.window.open_remainder(step.row));
            self.record_all(ticket, steps.iter().map(|step| (*step, cause.clone())).collect());
            let slot = &mut self.slots[ticket];
            (slot.attempts, slot.waits, slot.repeats) = (0, 0, false);
            slot.request = Some(Request::Idempotent(remainder));
            let not_before = slot.not_before;
            self.writes.over += 1;
            self.writes.added += 1;
            if not_before > now {
                self.backing_off.push(Reverse((not_before, ticket)));
            } else {
                self.queue(ticket);
            }
        } else {
            self.settle(ticket, steps.iter().map(|step| (*step, cause.clone())).collect());
        }
    }

    fn read(&mut self, ticket: Ticket, state: Result<String, Failure>, now: Time) {
        let failure = match state {
            Ok(before) => {
                self.circuit_breaker.answered();
                self.cooldowns.answered(Endpoint::GetDetails);
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
        match from_failed_check(request, failure) {
            Verdict::Hold { request, note } => {
                self.held(Endpoint::GetDetails, note, now);
                self.cooldowns.keeps_waiting(Endpoint::GetDetails, now);
                self.put_back_unsent(ticket, request);
                self.queue(ticket);
            }
            other => self.answered(ticket, other, now),
        }
    }

    fn probed(&mut self, answer: Result<(), Failure>, now: Time) {
        match answer {
            Err(Failure::Account { message }) => {
                self.stop(EndReason::Halted(Halt::Account { message }));
            }
            Err(Failure::Throttled(note)) => {
                self.held(Endpoint::List, note, now);
                self.back();
            }
            Ok(()) | Err(Failure::Refused { .. }) => {
                self.cooldowns.answered(Endpoint::List);
                self.back();
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
        self.spare_exhausted(now);
    }
}
