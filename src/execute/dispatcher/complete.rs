//! What is settled is written down, and files are freed for those who wait for them.

use std::collections::HashMap;

use super::super::abort_policy::Rejected;
use super::super::event::{EndReason, Halt, Ticket};
use super::super::file_queues::FileKey;
use super::{Dispatcher, Slot};
use crate::ledger::Op;
use crate::outcome::{Code, Outcome, Status};
use crate::request::{Idempotent, Request, Sendable as _, StepKind, StepRef};

impl Dispatcher {
    /// Writes down the outcomes of a request and frees its files. In this order: who takes a file
    /// next must find that what came before is on its way to the ledger.
    pub(super) fn settle(&mut self, ticket: Ticket, outcomes: Vec<(StepRef, Outcome)>) {
        let is_write = outcomes.iter().any(|(step, _)| step.kind != StepKind::ReadBack);
        self.writes.over += u64::from(is_write);
        self.record_all(ticket, outcomes);
        self.free(ticket);
    }

    pub(super) fn record_all(&mut self, ticket: Ticket, outcomes: Vec<(StepRef, Outcome)>) {
        let attempts = self.slots[ticket].attempts;
        for (step, outcome) in outcomes {
            // A part without success ends its step: what is left of that is not sent.
            let whole = step.kind.part_of().filter(|_| !outcome.status.is_success());
            let step = StepRef { kind: whole.unwrap_or(step.kind), ..step };
            let halt = match (outcome.status, self.window.pos(step.row)) {
                (Status::Unknown, _) => self.abort_policy.unknown(),
                (Status::Failed, _) | (_, None) => None,
                (_, Some(pos)) => {
                    let row_is_unknown = self.window.is_unknown(step.row);
                    self.abort_policy.answered(Rejected { step, pos, row_is_unknown }, &outcome)
                }
            };
            self.record(step, outcome, attempts);
            if let Some(halt) = halt {
                self.halt(halt);
            }
        }
    }

    pub(super) fn record(&mut self, step: StepRef, outcome: Outcome, attempts: u32) {
        if let Some(row_done) = self.window.settle(step, outcome.status) {
            self.ops.push(Op::Outcome { step, outcome, attempts, row_done });
        }
    }

    /// A step is not sent, because of an earlier one of its row.
    pub(super) fn leave_unsent(&mut self, step: StepRef) {
        if let Some(row_done) = self.window.drop_step(step) {
            let outcome = Outcome::local(Status::NotAttempted, Code::Partial, None);
            self.ops.push(Op::Outcome { step, outcome, attempts: 0, row_done });
        }
    }

    fn halt(&mut self, halt: Halt) {
        if matches!(halt, Halt::SameRejection { .. }) {
            for rejected in self.abort_policy.take_streak() {
                let step = rejected.step;
                if rejected.row_is_unknown {
                    // Steps that were not sent because of it are open again as well.
                    let behind = StepKind::ALL.into_iter();
                    let behind =
                        behind.filter(|kind| (step.kind..=StepKind::Publish).contains(kind));
                    self.ops.extend(behind.map(|kind| Op::Reopen(StepRef { kind, ..step })));
                } else {
                    self.ops.push(Op::Reopen(step));
                }
                self.window.reopen(&rejected);
            }
        }
        self.stop(EndReason::Halted(halt));
    }

    pub(super) fn free(&mut self, ticket: Ticket) {
        let slot = self.slots.remove(ticket);
        self.leave_lines(&slot.files);
        self.window.leave();
    }

    fn leave_lines(&mut self, files: &[FileKey]) {
        for file in files {
            if let Some(next) = self.file_queues.leave(*file) {
                let slot = &mut self.slots[next];
                slot.behind -= 1;
                if slot.behind == 0 {
                    self.queue(next);
                }
            }
        }
    }

    /// Puts parts of a request into its place, and frees the files that are in none of them.
    pub(super) fn split(&mut self, ticket: Ticket, parts: Vec<Idempotent>) {
        let Slot { sequence, files, .. } = self.slots.remove(ticket);
        self.writes.over += 1;
        self.writes.added += parts.len() as u64;
        // How many parts stand in the line of each file.
        let mut placed: HashMap<FileKey, usize> = HashMap::new();
        for part in parts {
            let keys = FileKey::of_all(part.files());
            let part = self.slots.insert(Slot::new(Request::Idempotent(part), sequence, keys));
            let slot = &mut self.slots[part];
            for key in &slot.files {
                let place = placed.entry(*key).or_default();
                self.file_queues.take_place(*key, part, *place);
                slot.behind += usize::from(*place > 0);
                *place += 1;
            }
            if slot.behind == 0 {
                self.queue(part);
            }
        }
        let left: Vec<FileKey> =
            files.into_iter().filter(|key| !placed.contains_key(key)).collect();
        self.leave_lines(&left);
        self.window.leave();
    }
}
