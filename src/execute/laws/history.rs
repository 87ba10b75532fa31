//! Everything observable of a run from outside, and the ledger that follows from it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::execute::{EndReason, WriteProgress};
use crate::ledger::{Op, StepRecord};
use crate::outcome::{Code, Outcome, Status};
use crate::plan::{Batch, RowProgress};
use crate::report::RowResult;
use crate::request::{BudgetKind, Endpoint, Request, StepKind, StepRef};
use crate::row::FileId;

use super::scenario::{FIRST_ROW, Response, Scenario, plan};

/// A planned request.
#[derive(Debug, Clone)]
pub(crate) struct PlannedRequest {
    pub(crate) steps: Vec<StepRef>,
    pub(crate) files: Vec<FileId>,
    pub(crate) at_most_once: bool,
    /// Whether an at-most-once request has an idempotent part.
    pub(crate) has_idempotent_part: bool,
}

/// The requests that a sheet needs, planned without the dispatcher.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) requests: Vec<PlannedRequest>,
    /// Index of the request of each step.
    pub(crate) request_by_step: HashMap<StepRef, usize>,
    /// The steps of each row; empty for rows that are settled without requests.
    pub(crate) rows: BTreeMap<u64, Vec<StepRef>>,
}

impl Sheet {
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let mut sheet = Self::default();
        let mut batch = Batch::default();
        let mut number = FIRST_ROW;
        for spec in &scenario.sheet {
            plan(*spec, number, &RowProgress::default(), &mut batch);
            number += spec.rows();
        }
        for row in &batch.rows {
            sheet.rows.insert(row.pos.number, Vec::new());
        }
        for request in batch.requests {
            let steps = request.steps().to_vec();
            for step in &steps {
                sheet.request_by_step.insert(*step, sheet.requests.len());
                sheet.rows.get_mut(&step.row).unwrap().push(*step);
            }
            sheet.requests.push(PlannedRequest {
                steps,
                files: request.files().to_vec(),
                at_most_once: matches!(request, Request::AtMostOnce(_)),
                has_idempotent_part: request.remainder().is_some(),
            });
        }
        sheet
    }

    /// Index of the request of a step; details without extensions belong to the request with them.
    pub(crate) fn request_of(&self, step: StepRef) -> usize {
        let kind = match step.kind {
            StepKind::DetailsWithoutExtensions => StepKind::Details,
            kind => kind,
        };
        self.request_by_step[&StepRef { kind, ..step }]
    }

    /// Whether no step of the row is open.
    pub(crate) fn is_settled(&self, row: u64, ledger: &Ledger) -> bool {
        let steps = &self.rows[&row];
        if steps.is_empty() {
            return ledger.status(StepRef { row, kind: StepKind::Details }).is_some();
        }
        // After a lost details step, every later step has a status.
        let is_unknown = steps.iter().any(|step| is_lost(*step, ledger));
        for step in steps {
            match ledger.status(*step) {
                None => return false,
                Some(status) if status.is_success() => {}
                Some(_) if self.idempotent_part_is_open(*step, ledger) => return false,
                Some(_) if is_unknown => {}
                Some(_) => return true,
            }
        }
        true
    }

    /// The steps in a sent request, with their files.
    pub(crate) fn steps_of(&self, sent: SentRequest) -> impl Iterator<Item = (StepRef, &FileId)> {
        let PlannedRequest { steps, files, .. } = &self.requests[sent.request];
        let all = steps.iter().copied().zip(files).enumerate();
        all.filter(move |(index, _)| sent.step_mask & (1 << index) != 0)
            .map(|(_, step_and_file)| step_and_file)
    }

    /// Whether a sent request merges several rows of one file that can be sent separately.
    pub(crate) fn is_merged(&self, sent: SentRequest) -> bool {
        let details = |(step, _): (StepRef, _)| step.kind == StepKind::Details;
        !self.requests[sent.request].at_most_once
            && self.steps_of(sent).filter(|it| details(*it)).count() > 1
    }

    /// Whether no step of the request is open on this file.
    pub(crate) fn is_settled_on(&self, file: &FileId, request: usize, ledger: &Ledger) -> bool {
        let PlannedRequest { steps, files, .. } = &self.requests[request];
        let on_file = steps.iter().zip(files).filter(|(_, other)| *other == file);
        self.are_settled(on_file.map(|(step, _)| *step), ledger)
    }

    /// Whether none of the steps can still be sent.
    pub(crate) fn are_settled(
        &self,
        mut steps: impl Iterator<Item = StepRef>,
        ledger: &Ledger,
    ) -> bool {
        steps.all(|step| {
            let step = &step;
            let steps = &self.rows[&step.row];
            let mut earlier = steps.iter().take_while(|earlier| *earlier < step);
            let ended = earlier.any(|earlier| forbids(*earlier, *step, ledger));
            ended || ledger.status(*step).is_some() && !self.idempotent_part_is_open(*step, ledger)
        })
    }

    fn idempotent_part_is_open(&self, step: StepRef, ledger: &Ledger) -> bool {
        let idempotent_part = StepRef { kind: StepKind::DetailsWithoutExtensions, ..step };
        ledger.status(step) == Some(Status::Unknown)
            && self.requests[self.request_by_step[&step]].has_idempotent_part
            && ledger.status(idempotent_part).is_none()
    }
}

/// Whether the outcome of a row's earlier step forbids sending a later one. After a lost details step,
/// idempotent steps are still sent, unless the details without extensions did not succeed.
fn forbids(earlier: StepRef, later: StepRef, ledger: &Ledger) -> bool {
    let failed = |step| ledger.status(step).is_some_and(|status| !status.is_success());
    if is_lost(earlier, ledger) {
        let idempotent_part = StepRef { kind: StepKind::DetailsWithoutExtensions, ..earlier };
        later.kind == StepKind::Publish || failed(idempotent_part)
    } else {
        failed(earlier)
    }
}

/// Whether the step is a details step with an unknown outcome.
pub(crate) fn is_lost(step: StepRef, ledger: &Ledger) -> bool {
    step.kind == StepKind::Details && ledger.status(step) == Some(Status::Unknown)
}

/// The ledger's steps; the flag marks intents.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    steps: BTreeMap<StepRef, (StepRecord, bool)>,
}

impl Ledger {
    /// Applies an operation like the ledger's writer.
    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Outcome { step, outcome, attempts, row_done, sent } => {
                let closes_earlier = *attempts == 0 && outcome.status == Status::Unknown;
                let before = self.steps.get(step).filter(|_| closes_earlier);
                let sent_before = before.map(|(record, _)| (record.attempts, &record.sent));
                let (attempts, sent) = sent_before.unwrap_or((*attempts, sent));
                let record = StepRecord {
                    step: *step,
                    outcome: outcome.clone(),
                    attempts,
                    row_done: *row_done,
                    sent: sent.clone(),
                    settled: Box::default(),
                };
                self.steps.insert(*step, (record, false));
            }
            Op::Intent { step, sent, .. } => {
                let outcome = Outcome::local(Status::Unknown, Code::Interrupted, None);
                let record = StepRecord {
                    step: *step,
                    outcome,
                    attempts: 1,
                    row_done: false,
                    sent: sent.clone(),
                    settled: Box::default(),
                };
                self.steps.insert(*step, (record, true));
            }
            Op::Reopen(step) => {
                self.steps.remove(step);
            }
            Op::MarkLost { .. } => {}
        }
    }

    /// The final status of a step; `None` for open steps and intents.
    pub(crate) fn status(&self, step: StepRef) -> Option<Status> {
        let (record, is_intent) = self.steps.get(&step)?;
        (!is_intent).then_some(record.outcome.status)
    }

    pub(crate) fn has_intent(&self, step: StepRef) -> bool {
        self.steps.get(&step).is_some_and(|(_, is_intent)| *is_intent)
    }

    /// The ledger as the next session opens it: intents are unknown.
    pub(crate) fn reopened(mut self) -> Self {
        for (_, is_intent) in self.steps.values_mut() {
            *is_intent = false;
        }
        self
    }

    /// The row's steps as a reader of the file finds them.
    pub(crate) fn row(&self, row: u64) -> Vec<StepRecord> {
        let of = |kind| StepRef { row, kind };
        let steps = self.steps.range(of(StepKind::Details)..=of(StepKind::Publish));
        steps.map(|(_, (record, _))| record.clone()).collect()
    }

    pub(crate) fn row_status(&self, row: u64) -> Status {
        RowResult::of(&self.row(row)).status
    }

    /// The progress of each row from `from` on, as `Session` computes it.
    pub(crate) fn progress(&self, from: u64) -> HashMap<u64, RowProgress> {
        let mut rows: HashMap<u64, RowProgress> = HashMap::new();
        for (step, (record, _)) in &self.steps {
            if step.row >= from {
                rows.entry(step.row).or_default().record(record);
            }
        }
        rows
    }

    pub(crate) fn steps(&self) -> impl Iterator<Item = &StepRecord> {
        self.steps.values().map(|(record, _)| record)
    }
}

/// The purpose of a sent request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The planned request, or part of it.
    Send,
    /// Its idempotent part after a lost response.
    DetailsWithoutExtensions,
    /// Reads the snapshot before it.
    Read,
    /// Probes whether the service responds.
    Probe,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct SentRequest {
    pub(crate) purpose: Purpose,
    /// Index of the planned request; meaningless for a probe.
    pub(crate) request: usize,
    /// Bit mask of the planned request's steps.
    pub(crate) step_mask: u8,
    pub(crate) endpoint: Endpoint,
}

impl SentRequest {
    pub(crate) fn budget(&self) -> BudgetKind {
        self.endpoint.budget()
    }
}

/// An observable event.
#[derive(Debug)]
pub(crate) enum Observed {
    /// The request with this index was sent.
    Sent(usize),
    /// The request with this index got this response.
    Responded(usize, Response),
    /// An operation was passed to the ledger.
    Recorded(Op),
    /// The checkpoint: all rows below this one are settled.
    Checkpoint(u64),
    /// The run was asked to stop.
    StopRequested,
    /// The run ended.
    Ended(EndReason),
}

/// All observable events of a run, in order.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) events: Vec<(Duration, Observed)>,
    pub(crate) requests: Vec<SentRequest>,
    pub(crate) steps: u64,
    /// The dispatcher's final count of settled rows per status.
    pub(crate) settled: [u64; Status::ALL.len()],
    /// The dispatcher's final write progress.
    pub(crate) writes: WriteProgress,
}

impl History {
    /// Calls `look` for every event with the ledger at that time; returns the final ledger.
    pub(crate) fn replay(&self, mut look: impl FnMut(&Ledger, Duration, &Observed)) -> Ledger {
        let mut ledger = Ledger::default();
        for (at, observed) in &self.events {
            if let Observed::Recorded(op) = observed {
                ledger.apply(op);
            }
            look(&ledger, *at, observed);
        }
        ledger
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.replay(|_, _, _| {})
    }

    pub(crate) fn end_reason(&self) -> Option<&EndReason> {
        self.events.iter().rev().find_map(|(_, observed)| match observed {
            Observed::Ended(reason) => Some(reason),
            _ => None,
        })
    }

    /// When the requests of a budget were sent.
    pub(crate) fn times(&self, kind: BudgetKind) -> Vec<Duration> {
        let sent = self.sent().filter(|(_, sent)| sent.budget() == kind);
        sent.map(|(at, _)| at).collect()
    }

    pub(crate) fn sent(&self) -> impl Iterator<Item = (Duration, SentRequest)> {
        self.events.iter().filter_map(|(at, observed)| match observed {
            Observed::Sent(sent) => Some((*at, self.requests[*sent])),
            _ => None,
        })
    }

    /// Every response.
    pub(crate) fn responses(&self) -> impl Iterator<Item = (Duration, SentRequest, Response)> {
        self.events.iter().filter_map(|(at, observed)| match observed {
            Observed::Responded(sent, response) => Some((*at, self.requests[*sent], *response)),
            _ => None,
        })
    }
}
