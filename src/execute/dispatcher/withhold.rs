//! Requests whose extensions exceed the allowance: they and later requests on their files are left
//! to a later session.

use super::super::Time;
use super::super::event::Ticket;
use super::super::file_queues::FileKey;
use super::super::ready_queues::ReadyQueue;
use super::Dispatcher;
use crate::ledger::Op;
use crate::outcome::{Code, Outcome, Status};
use crate::request::{Request, StepRef};
use crate::row::FileId;
use crate::sent::Sent;

/// The message of rows that are withheld because of an earlier one.
const AFTER_WITHHELD: &str = "an earlier row of the file exceeds the limit of billed extensions";

impl Dispatcher {
    /// Reserves the extensions of the first request of a queue for today; withholds the request if they
    /// exceed the allowance. Returns whether it did.
    pub(super) fn withhold_if_exceeded(&mut self, queue: ReadyQueue, now: Time) -> bool {
        if !matches!(queue, ReadyQueue::ReadSnapshot | ReadyQueue::PatchAtMostOnce) {
            return false;
        }
        let Some(ticket) = self.ready_queues.first_ticket(queue) else {
            return false;
        };
        let slot = &mut self.slots[ticket];
        let Some(Request::AtMostOnce(request)) = &slot.request else { return false };
        let Some(extensions) = request.extensions() else { return false };
        if let Some(reservation) = &slot.reservation {
            if self.allowance.is_of_today(reservation, now) {
                return false;
            }
            self.allowance.give_back(reservation);
            slot.reservation = None;
        }
        match self.allowance.reserve(extensions, now) {
            Ok(reservation) => {
                slot.reservation = Some(reservation);
                false
            }
            Err(why) => {
                self.ready_queues.pop(queue);
                self.withhold(ticket, &why);
                true
            }
        }
    }

    fn withhold(&mut self, ticket: Ticket, why: &str) {
        let slot = &self.slots[ticket];
        self.withheld_files.extend(slot.files.iter().copied());
        let steps = slot.request.as_ref().map(Request::steps).unwrap_or_default().to_vec();
        self.withhold_steps(&steps, why);
        self.writes.finished += 1;
        self.free(ticket);
    }

    /// Counts the extensions of a request as spent, which is about to be sent.
    pub(super) fn spend_extensions(&mut self, ticket: Ticket) {
        if let Some(reservation) = &mut self.slots[ticket].reservation {
            self.allowance.spend(reservation);
        }
    }

    /// Takes back the extensions of a request that certainly had no effect.
    pub(super) fn give_back_extensions(&mut self, ticket: Ticket) {
        if let Some(reservation) = self.slots[ticket].reservation.take() {
            self.allowance.give_back(&reservation);
        }
    }

    /// Withholds the steps of a request on files whose earlier rows are withheld. Returns whether
    /// there are any; the request is then replaced by the rest of it.
    pub(super) fn withhold_after_withheld(&mut self, ticket: Ticket) -> bool {
        let slot = &self.slots[ticket];
        if !slot.files.iter().any(|file| self.withheld_files.contains(file)) {
            return false;
        }
        let Some(request) = &slot.request else {
            return false;
        };
        let is_withheld = |file: &FileId| self.withheld_files.contains(&FileKey::from(file));
        let files = request.files().iter().zip(request.steps());
        let withheld: Vec<StepRef> =
            files.filter(|(file, _)| is_withheld(file)).map(|(_, step)| *step).collect();
        let rest = match request {
            Request::Idempotent(request) => request.part(|file, _| !is_withheld(file)),
            Request::AtMostOnce(_) => None,
        };
        self.withhold_steps(&withheld, AFTER_WITHHELD);
        self.split(ticket, rest.into_iter().collect());
        true
    }

    fn withhold_steps(&mut self, steps: &[StepRef], why: &str) {
        for step in steps {
            if self.window.withhold(*step) && step.kind.part_of().is_none() {
                let outcome = Outcome::local(Status::NotAttempted, Code::Budget, Some(why.into()));
                self.ops.push(Op::Outcome {
                    step: *step,
                    outcome,
                    attempts: 0,
                    row_done: false,
                    sent: Sent::default(),
                });
            }
        }
    }
}
