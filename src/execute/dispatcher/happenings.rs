//! What happened, and what follows from it.

use std::cmp::Reverse;
use std::time::Duration;

use super::super::Time;
use super::super::event::{Ending, Event, Halt, Ticket, Withheld};
use super::super::lanes::Lane;
use super::super::lines::FileKey;
use super::super::verdict::{Verdict, of_moved, of_unread};
use super::{Dispatcher, Slot};
use crate::imagekit::{Failure, RateLimitNote};
use crate::ledger::Op;
use crate::outcome::{Code, Outcome};
use crate::plan::Batch;
use crate::request::{Endpoint, Lost, Request, Safe, Sendable as _, StepKind, StepRef};
use crate::row::FileId;

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
            Event::Withheld(ticket, request, why) => {
                self.under_way -= 1;
                self.withheld(ticket, request, why, now);
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

    pub(super) fn stop(&mut self, ending: Ending) {
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
    pub(super) fn queue(&mut self, ticket: Ticket) {
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
            self.leave_unsent(step);
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
                let steps = settled.iter().map(|(step, _)| step);
                if let Some(step) = steps.chain(rest.iter().flat_map(Safe::steps)).next() {
                    self.holds.answered(step.kind.endpoint());
                }
                self.record_all(ticket, settled);
                self.split(ticket, rest);
            }
            Verdict::Again { request, cause, retry_after } => {
                self.doubt(request.files(), request.steps());
                self.wait_for(ticket, retry_after, now);
                self.again(ticket, Request::Safe(request), cause, now);
            }
            Verdict::Unread { request, cause, retry_after } => {
                self.wait_for(ticket, retry_after, now);
                self.again(ticket, request, cause, now);
            }
            Verdict::NotSent { request, message } => {
                self.last_trouble = message;
                self.trouble.not_sent(now);
                self.put_back_unsent(ticket, request);
                self.back_off(ticket, now);
            }
            Verdict::Hold { request, note } => {
                self.held(request.endpoint(), note, now);
                self.holds.keeps_waiting(request.endpoint(), now);
                self.put_back_unsent(ticket, request);
                self.queue(ticket);
            }
            Verdict::Lost { lost, cause, retry_after } => {
                self.wait_for(ticket, retry_after, now);
                self.lost(ticket, lost, &cause, now);
            }
            Verdict::Halt { message, request } => {
                self.put_back_unsent(ticket, request);
                self.stop(Ending::Halted(Halt::Account { message }));
            }
        }
    }

    /// It was not sent, so that it does not count.
    fn withheld(&mut self, ticket: Ticket, request: Request, why: Withheld, now: Time) {
        let slot = &mut self.slots[ticket];
        self.counters.take_back(request.call());
        self.counters.retried -= u64::from(slot.repeats);
        match why {
            Withheld::Moved(files) => {
                slot.attempts = slot.attempts.saturating_sub(1);
                self.trouble.answered();
                let (settled, rest) = of_moved(&request, &files);
                self.record_all(ticket, settled);
                self.split(ticket, rest.into_iter().collect());
            }
            // Whoever looks has waited for as long as it may.
            Withheld::Unread(Failure::Throttled(_)) => {
                self.put_back_unsent(ticket, request);
                let after = self.limits.halts.down_max;
                self.stop(Ending::Halted(Halt::Throttled { after }));
            }
            Withheld::Unread(failure) => {
                self.withdraw_intent(&request);
                self.answered(ticket, of_unread(request, failure), now);
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
        if let Request::Once(once) = request {
            self.ops.extend(once.steps().iter().map(|step| Op::Forget(*step)));
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
        self.last_trouble = cause.message.clone().unwrap_or_default();
        self.trouble.lost(now, self.at_turn());
        if cause.code == Some(Code::Unreadable) {
            // It may be a proxy on the way that answers.
            self.trouble.suspect(now);
        }
        let is_blameless = self.trouble.is_confirmed();
        let slot = &mut self.slots[ticket];
        slot.attempts = slot.attempts.saturating_sub(u32::from(is_blameless));
        slot.request = Some(request);
        if !is_blameless {
            self.trouble.used_up(ticket);
        }
        if slot.attempts < self.limits.attempts.get() {
            self.back_off(ticket, now);
        } else {
            self.trouble.suspect(now);
            self.exhausted.push((ticket, cause));
        }
    }

    /// The service answers, so that those whose attempts are used up have failed.
    fn back(&mut self) {
        if self.trouble.holds_everyone() {
            self.holds.count_anew();
        }
        self.trouble.probe_answered();
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
            .extend(changes.map(|(file, step)| Op::Doubt { file: file.clone(), row: step.row }));
    }

    /// Requests at their turn, with the one whose answer has just come.
    fn at_turn(&self) -> usize {
        let waiting = self.lanes.len() + self.backing_off.len() + self.exhausted.len();
        1 + self.under_way + waiting
    }

    fn held(&mut self, endpoint: Endpoint, note: RateLimitNote, now: Time) {
        self.trouble.answered();
        self.counters.throttled += 1;
        let budget = &mut self.budgets[endpoint.budget() as usize];
        self.holds.throttled(endpoint, note, budget, now);
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
                self.trouble.answered();
                self.holds.answered(Endpoint::GetDetails);
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
                self.holds.keeps_waiting(Endpoint::GetDetails, now);
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
                self.back();
            }
            Ok(()) | Err(Failure::Refused { .. }) => {
                self.holds.answered(Endpoint::List);
                self.back();
            }
            Err(Failure::NotSent { message }) => self.probe_failed(message, None, now),
            Err(Failure::Lost { message, retry_after, .. }) => {
                self.probe_failed(message, retry_after, now);
            }
        }
    }

    fn probe_failed(&mut self, message: Box<str>, retry_after: Option<Duration>, now: Time) {
        self.last_trouble = message;
        let retry_after = retry_after.unwrap_or_default();
        for ticket in self.trouble.probe_failed(now, retry_after, &mut self.backoff) {
            if let Some(slot) = self.slots.get_mut(ticket) {
                slot.attempts = slot.attempts.saturating_sub(1);
            }
        }
        self.spare_exhausted(now);
    }
}
