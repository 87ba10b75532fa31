//! What could be seen of a run from outside, and the ledger that follows from it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use ikbulk::execute::{EndReason, WriteProgress};
use ikbulk::ledger::{Op, StepRecord};
use ikbulk::outcome::{Code, Outcome, Status};
use ikbulk::plan::{Batch, RowProgress};
use ikbulk::report::RowResult;
use ikbulk::request::{BudgetKind, Endpoint, Request, StepKind, StepRef};
use ikbulk::row::FileId;

use super::world::{FIRST_ROW, Reply, World, plan};

/// A request as the sheet asks for it, in input order.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) steps: Vec<StepRef>,
    pub(crate) files: Vec<FileId>,
    /// Whether it must not be repeated.
    pub(crate) once: bool,
    /// Whether a part of it may be repeated all the same.
    pub(crate) remainder: bool,
}

/// What a sheet asks for, worked out without the dispatcher.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) requests: Vec<Planned>,
    /// The request of each step.
    pub(crate) of_step: HashMap<StepRef, usize>,
    /// The steps of each row; none where it is settled without sending.
    pub(crate) rows: BTreeMap<u64, Vec<StepRef>>,
}

impl Sheet {
    pub(crate) fn of(world: &World) -> Self {
        let mut sheet = Self::default();
        let mut batch = Batch::default();
        let mut number = FIRST_ROW;
        for spec in &world.sheet {
            plan(*spec, number, &RowProgress::default(), &mut batch);
            number += spec.rows();
        }
        for row in &batch.rows {
            sheet.rows.insert(row.pos.number, Vec::new());
        }
        for request in batch.requests {
            let steps = request.steps().to_vec();
            for step in &steps {
                sheet.of_step.insert(*step, sheet.requests.len());
                sheet.rows.get_mut(&step.row).unwrap().push(*step);
            }
            sheet.requests.push(Planned {
                steps,
                files: request.files().to_vec(),
                once: matches!(request, Request::AtMostOnce(_)),
                remainder: request.remainder().is_some(),
            });
        }
        sheet
    }

    /// The request that a step belongs to; a remainder belongs to the details that it is left of.
    pub(crate) fn request_of(&self, step: StepRef) -> usize {
        let kind = match step.kind {
            StepKind::DetailsWithoutExtensions => StepKind::Details,
            kind => kind,
        };
        self.of_step[&StepRef { kind, ..step }]
    }

    /// Whether the ledger holds all that there is to be known of a row.
    pub(crate) fn is_settled(&self, row: u64, ledger: &Ledger) -> bool {
        let steps = &self.rows[&row];
        if steps.is_empty() {
            return ledger.status(StepRef { row, kind: StepKind::Details }).is_some();
        }
        // Of a row with details of unknown outcome every step says what became of it.
        let is_unknown = steps.iter().any(|step| is_lost(*step, ledger));
        for step in steps {
            match ledger.status(*step) {
                None => return false,
                Some(status) if status.is_success() => {}
                Some(_) if self.remainder_is_open(*step, ledger) => return false,
                Some(_) if is_unknown => {}
                Some(_) => return true,
            }
        }
        true
    }

    /// The steps of a shot with their files: all of its request's, or a part of them.
    pub(crate) fn aimed_at(&self, shot: Shot) -> impl Iterator<Item = (StepRef, &FileId)> {
        let Planned { steps, files, .. } = &self.requests[shot.request];
        let all = steps.iter().copied().zip(files).enumerate();
        all.filter(move |(index, _)| shot.part & (1 << index) != 0).map(|(_, aimed)| aimed)
    }

    /// Whether a shot is of several rows of one file, each of which can be sent by itself.
    pub(crate) fn is_merged(&self, shot: Shot) -> bool {
        let details = |(step, _): (StepRef, _)| step.kind == StepKind::Details;
        !self.requests[shot.request].once
            && self.aimed_at(shot).filter(|it| details(*it)).count() > 1
    }

    /// Whether nothing of a request can follow any more on one of its files.
    pub(crate) fn is_over_on(&self, file: &FileId, request: usize, ledger: &Ledger) -> bool {
        let Planned { steps, files, .. } = &self.requests[request];
        let on_file = steps.iter().zip(files).filter(|(_, other)| *other == file);
        self.are_over(on_file.map(|(step, _)| *step), ledger)
    }

    /// Whether nothing of any of these steps can follow any more.
    pub(crate) fn are_over(
        &self,
        mut steps: impl Iterator<Item = StepRef>,
        ledger: &Ledger,
    ) -> bool {
        steps.all(|step| {
            let step = &step;
            let steps = &self.rows[&step.row];
            let mut earlier = steps.iter().take_while(|earlier| *earlier < step);
            let ended = earlier.any(|earlier| ends(*earlier, *step, ledger));
            ended || ledger.status(*step).is_some() && !self.remainder_is_open(*step, ledger)
        })
    }

    fn remainder_is_open(&self, step: StepRef, ledger: &Ledger) -> bool {
        let remainder = StepRef { kind: StepKind::DetailsWithoutExtensions, ..step };
        ledger.status(step) == Some(Status::Unknown)
            && self.requests[self.of_step[&step]].remainder
            && ledger.status(remainder).is_none()
    }
}

/// Whether an earlier step of a row ended so that a later one must not be sent. Behind details of
/// unknown outcome, what is idempotent is sent all the same, unless their remainder did not succeed.
fn ends(earlier: StepRef, later: StepRef, ledger: &Ledger) -> bool {
    let failed = |step| ledger.status(step).is_some_and(|status| !status.is_success());
    if is_lost(earlier, ledger) {
        let remainder = StepRef { kind: StepKind::DetailsWithoutExtensions, ..earlier };
        later.kind == StepKind::Publish || failed(remainder)
    } else {
        failed(earlier)
    }
}

/// Whether a step is one of details of unknown outcome.
pub(crate) fn is_lost(step: StepRef, ledger: &Ledger) -> bool {
    step.kind == StepKind::Details && ledger.status(step) == Some(Status::Unknown)
}

/// What the ledger holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    steps: BTreeMap<StepRef, (StepRecord, bool)>,
}

impl Ledger {
    /// As the writer writes it.
    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Outcome { step, outcome, attempts, row_done } => {
                let record = StepRecord {
                    step: *step,
                    outcome: outcome.clone(),
                    attempts: *attempts,
                    row_done: *row_done,
                    extensions: Vec::new(),
                };
                self.steps.insert(*step, (record, false));
            }
            Op::Intent { step, extensions, .. } => {
                let outcome = Outcome::local(Status::Unknown, Code::Interrupted, None);
                let extensions = extensions.clone();
                let record =
                    StepRecord { step: *step, outcome, attempts: 1, row_done: false, extensions };
                self.steps.insert(*step, (record, true));
            }
            Op::Reopen(step) => {
                self.steps.remove(step);
            }
            Op::MarkLost { .. } => {}
        }
    }

    /// The final status of a step, if it has one while the program runs.
    pub(crate) fn status(&self, step: StepRef) -> Option<Status> {
        let (record, is_intent) = self.steps.get(&step)?;
        (!is_intent).then_some(record.outcome.status)
    }

    pub(crate) fn has_intent(&self, step: StepRef) -> bool {
        self.steps.get(&step).is_some_and(|(_, is_intent)| *is_intent)
    }

    /// As the next session finds it: a request that may have been under way is unknown.
    pub(crate) fn left_behind(mut self) -> Self {
        for (_, is_intent) in self.steps.values_mut() {
            *is_intent = false;
        }
        self
    }

    /// What a reader of the file finds of a row.
    pub(crate) fn row(&self, row: u64) -> Vec<StepRecord> {
        let of = |kind| StepRef { row, kind };
        let steps = self.steps.range(of(StepKind::Details)..=of(StepKind::Publish));
        steps.map(|(_, (record, _))| record.clone()).collect()
    }

    pub(crate) fn row_status(&self, row: u64) -> Status {
        RowResult::of(&self.row(row)).status
    }

    /// What a resumed run makes of it, as `Session` does.
    pub(crate) fn behind(&self, from: u64) -> HashMap<u64, RowProgress> {
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

/// What a shot was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// The request itself.
    Send,
    /// What is left of it after a lost answer.
    DetailsWithoutExtensions,
    /// The state of its file before it.
    Read,
    /// Whether the service answers.
    Probe,
}

/// One request on the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shot {
    pub(crate) aim: Aim,
    /// Which of the sheet's requests; meaningless for a probe.
    pub(crate) request: usize,
    /// Which of its steps, a bit each.
    pub(crate) part: u8,
    pub(crate) endpoint: Endpoint,
}

impl Shot {
    pub(crate) fn budget(&self) -> BudgetKind {
        self.endpoint.budget()
    }
}

/// One thing that could be seen.
#[derive(Debug)]
pub(crate) enum What {
    /// The shot of that number went out.
    Sent(usize),
    /// The shot of that number came to this end.
    Replied(usize, Reply),
    /// This was handed to the ledger.
    Wrote(Op),
    /// Everything below this row is said to be settled.
    LowWater(u64),
    /// The run was told to stop.
    Stop,
    /// It came to its end.
    Ended(EndReason),
}

/// All that could be seen, in order.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) events: Vec<(Duration, What)>,
    pub(crate) shots: Vec<Shot>,
    pub(crate) steps: u64,
    /// What the dispatcher counted at the end.
    pub(crate) settled: [u64; Status::ALL.len()],
    /// How far the dispatcher says that the writes are.
    pub(crate) writes: WriteProgress,
}

impl History {
    /// Shows every event with the ledger as it was when it happened.
    pub(crate) fn replay(&self, mut look: impl FnMut(&Ledger, Duration, &What)) -> Ledger {
        let mut ledger = Ledger::default();
        for (at, what) in &self.events {
            if let What::Wrote(op) = what {
                ledger.apply(op);
            }
            look(&ledger, *at, what);
        }
        ledger
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.replay(|_, _, _| {})
    }

    pub(crate) fn ending(&self) -> Option<&EndReason> {
        self.events.iter().rev().find_map(|(_, what)| match what {
            What::Ended(ending) => Some(ending),
            _ => None,
        })
    }

    /// When the shots of a budget went out.
    pub(crate) fn times(&self, kind: BudgetKind) -> Vec<Duration> {
        let sent = self.sent().filter(|(_, shot)| shot.budget() == kind);
        sent.map(|(at, _)| at).collect()
    }

    pub(crate) fn sent(&self) -> impl Iterator<Item = (Duration, Shot)> {
        self.events.iter().filter_map(|(at, what)| match what {
            What::Sent(shot) => Some((*at, self.shots[*shot])),
            _ => None,
        })
    }

    /// Every end of a shot.
    pub(crate) fn replies(&self) -> impl Iterator<Item = (Duration, Shot, Reply)> {
        self.events.iter().filter_map(|(at, what)| match what {
            What::Replied(shot, reply) => Some((*at, self.shots[*shot], *reply)),
            _ => None,
        })
    }
}
