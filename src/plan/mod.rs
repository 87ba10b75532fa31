//! From rows to requests. There is one [`Planner`] so far, which asks nobody for the live state:
//! [`direct`] makes one request a step, and tag changes that many rows ask for share calls.

mod direct;
mod expected;
mod group;
mod read_back;
mod survey;
mod tally;

pub use direct::{direct, fingerprint, steps};
pub use read_back::{ReadBackError, read_back};
pub use survey::{Survey, survey};
pub use tally::{Preview, Tally};

use crate::outcome::{Outcome, Status};
use crate::request::{Request, StepKind};
use crate::row::{Row, RowPos};
use group::Groups;

/// A stretch of the input, planned: what goes through the channel from reader to executor.
#[derive(Debug, Default)]
pub struct Batch {
    /// The rows, in input order.
    pub rows: Vec<PlannedRow>,
    /// Their requests, in the order in which those of one file are to be sent.
    pub requests: Vec<Request>,
}

/// Turns rows into requests, in their order.
#[derive(Debug, Default)]
pub struct Planner {
    groups: Groups,
    direct: Batch,
}

impl Planner {
    /// Plans the next row into a batch, leaving out the steps that are behind it. Some of its
    /// requests may come in a later batch, together with those of other rows.
    pub fn row(&mut self, row: Row, behind: &Behind, batch: &mut Batch) {
        self.groups.row(&mut batch.requests);
        direct(row, behind, &mut self.direct);
        batch.rows.append(&mut self.direct.rows);
        for request in self.direct.requests.drain(..) {
            self.groups.take(request, &mut batch.requests);
        }
    }

    /// There are no more rows: what is still to come goes into the batch.
    pub fn end(&mut self, batch: &mut Batch) {
        self.groups.end(&mut batch.requests);
    }
}

impl Batch {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.requests.is_empty()
    }
}

/// One row as the executor knows it.
#[derive(Debug)]
pub struct PlannedRow {
    /// Where it stands.
    pub pos: RowPos,
    /// How many steps the requests of its batch and later ones settle for it.
    pub open: usize,
    /// Its outcome where that is known without sending anything. A row with neither an outcome nor
    /// an open step is one that the ledger already holds.
    pub settled: Option<Outcome>,
    /// The worst status of those of its steps that an earlier session settled;
    /// [`Status::Unchanged`] where there are none.
    pub so_far: Status,
}

/// The steps of a row that are behind it, when a run goes on or failed rows are fed back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Behind {
    /// Steps that this run's ledger knows to be done, as a set of [`StepKind`]s.
    done: u8,
    /// The worst status of this run's steps; `None` where the ledger holds none.
    worst: Option<Status>,
    /// The step without success was a lost details step whose repeatable part has not been settled.
    remainder_due: bool,
    /// Steps done in an earlier run, by [`fingerprint`]: they count only while the row still asks
    /// for the same.
    fingerprints: Vec<u64>,
}

impl Behind {
    /// The same, and steps done in an earlier run.
    #[must_use]
    pub fn with_fed_back(&self, fingerprints: Vec<u64>) -> Self {
        Self { fingerprints, ..*self }
    }

    fn so_far(&self) -> Status {
        self.worst.unwrap_or(Status::Unchanged)
    }

    /// The ledger says that this step ended so.
    pub fn ended(&mut self, kind: StepKind, status: Status) {
        self.worst = self.worst.max(Some(status));
        if kind == StepKind::Remainder {
            self.remainder_due = false;
        } else if status.is_success() {
            self.done |= 1 << kind as u8;
        } else {
            self.remainder_due = status == Status::Unknown && kind == StepKind::Details;
        }
    }

    fn is_done(&self, kind: StepKind) -> bool {
        self.done & (1 << kind as u8) != 0
    }

    /// Whether a step of this run ended without success, so that nothing of the row follows.
    fn is_stopped(&self) -> bool {
        !self.so_far().is_success()
    }

    /// Whether the ledger holds anything of the row.
    fn is_recorded(&self) -> bool {
        self.worst.is_some()
    }
}
