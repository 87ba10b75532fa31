//! Completes steps: records their outcomes, releases their files to the next request in each file
//! queue, and splits bulk requests.

use std::collections::HashMap;

use super::super::abort_policy::Rejected;
use super::super::event::{AbortReason, EndReason, Ticket};
use super::super::file_queues::FileKey;
use super::{Dispatcher, Slot};
use crate::ledger::Op;
use crate::outcome::{Code, Outcome, Status};
use crate::request::{Idempotent, Request, Sendable as _, StepKind, StepRef};
use crate::sent::Sent;

impl Dispatcher {
    /// Records the outcomes of a request, then releases its files. The order matters: the next
    /// request on a file must find the outcomes of the previous one queued for the ledger.
    pub(super) fn complete(&mut self, ticket: Ticket, outcomes: Vec<(StepRef, Outcome)>) {
        let is_write = outcomes.iter().any(|(step, _)| step.kind != StepKind::ReadBack);
        self.writes.finished += u64::from(is_write);
        self.record_all(ticket, outcomes);
        self.free(ticket);
    }

    pub(super) fn record_all(&mut self, ticket: Ticket, outcomes: Vec<(StepRef, Outcome)>) {
        let Slot { attempts, ref sent, .. } = self.slots[ticket];
        // Without an attempt, the request was withheld.
        let sent = if attempts > 0 { sent.clone() } else { Sent::default() };
        for (step, outcome) in outcomes {
            // A failed part ends its step: the remaining parts are not sent.
            let whole_step = step.kind.part_of().filter(|_| !outcome.status.is_success());
            let step = StepRef { kind: whole_step.unwrap_or(step.kind), ..step };
            let halt = match (outcome.status, self.window.pos(step.row)) {
                (Status::Unknown, _) => self.abort_policy.unknown(),
                (Status::Failed, _) | (_, None) => None,
                (_, Some(pos)) => {
                    let row_is_unknown = self.window.is_unknown(step.row);
                    self.abort_policy
                        .count_response(Rejected { step, pos, row_is_unknown }, &outcome)
                }
            };
            self.record(step, outcome, attempts, sent.clone());
            if let Some(halt) = halt {
                self.halt(halt);
            }
        }
    }

    pub(super) fn record(
        &mut self,
        step: StepRef,
        mut outcome: Outcome,
        attempts: u32,
        sent: Sent,
    ) {
        if outcome.status == Status::Updated && outcome.message.is_none() {
            outcome.message = self.window.left_out(step.row).map(Into::into);
        }
        if let Some(row_done) = self.window.complete(step, outcome.status) {
            self.ops.push(Op::Outcome { step, outcome, attempts, row_done, sent });
        }
    }

    /// Records that a step is not sent because an earlier step of its row did not succeed.
    pub(super) fn record_not_sent(&mut self, step: StepRef) {
        if let Some(row_done) = self.window.drop_step(step) {
            let outcome = Outcome::local(Status::NotAttempted, Code::Partial, None);
            let (attempts, sent) = (0, Sent::default());
            self.ops.push(Op::Outcome { step, outcome, attempts, row_done, sent });
        }
    }

    fn halt(&mut self, halt: AbortReason) {
        if matches!(halt, AbortReason::SameRejection { .. }) {
            for rejected in self.abort_policy.take_streak() {
                let step = rejected.step;
                if rejected.row_is_unknown {
                    // Reopen the later steps as well: they were not sent because of this one.
                    let later = StepKind::ALL.into_iter();
                    let later = later.filter(|kind| (step.kind..=StepKind::Publish).contains(kind));
                    self.ops.extend(later.map(|kind| Op::Reopen(StepRef { kind, ..step })));
                } else {
                    self.ops.push(Op::Reopen(step));
                }
                self.window.reopen(&rejected);
            }
        }
        self.stop(EndReason::Aborted(halt));
    }

    pub(super) fn free(&mut self, ticket: Ticket) {
        let slot = self.slots.remove(ticket);
        self.leave_file_queues(&slot.files);
        self.window.remove_done();
    }

    fn leave_file_queues(&mut self, files: &[FileKey]) {
        for file in files {
            if let Some(next) = self.file_queues.leave(*file) {
                let slot = &mut self.slots[next];
                slot.waiting_queues -= 1;
                if slot.waiting_queues == 0 {
                    self.queue(next);
                }
            }
        }
    }

    /// Replaces a request by parts of it, and releases the files that no part contains.
    pub(super) fn split(&mut self, ticket: Ticket, parts: Vec<Idempotent>) {
        let Slot { sequence, files, .. } = self.slots.remove(ticket);
        self.writes.finished += 1;
        self.writes.added += parts.len() as u64;
        // Parts inserted so far into the queue of each file.
        let mut inserted: HashMap<FileKey, usize> = HashMap::new();
        for part in parts {
            let keys = FileKey::of_all(part.files());
            let part_ticket =
                self.slots.insert(Slot::new(Request::Idempotent(part), sequence, keys));
            let slot = &mut self.slots[part_ticket];
            for key in &slot.files {
                let index = inserted.entry(*key).or_default();
                self.file_queues.insert_part(*key, part_ticket, *index);
                slot.waiting_queues += usize::from(*index > 0);
                *index += 1;
            }
            if slot.waiting_queues == 0 {
                self.queue(part_ticket);
            }
        }
        let unused: Vec<FileKey> =
            files.into_iter().filter(|key| !inserted.contains_key(key)).collect();
        self.leave_file_queues(&unused);
        self.window.remove_done();
    }
}
