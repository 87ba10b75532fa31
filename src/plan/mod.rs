//! From rows to requests. There are two planners: [`Direct`] takes every row as it is; [`DiffPlanner`]
//! knows what the files are like, and makes the fewest requests that come to the same.

mod coalesce;
mod columns;
mod direct;
mod expected;
mod follow;
pub mod live;
mod read_back;
mod recorded;
mod row_limit;
mod scan;
mod summary;

pub use columns::{ColumnCounts, Columns};
pub use direct::{direct, fingerprint, steps};
pub use follow::Follow;
pub use live::{DiffPlanner, FileDifference, PriorRunLookup};
pub use read_back::read_back;
pub use recorded::Recorded;
pub use row_limit::RowLimit;
pub use scan::{InputSummary, PlanError, UnknownRow, scan, scan_rest};
pub use summary::{EXAMPLES_MAX, LostTags, PlanSummary, Preview};

use crate::ledger::{LedgerError, LedgerFile, StepRecord};
use crate::outcome::{Code, Outcome, Status};
use crate::request::{Request, StepKind};
use crate::row::{Content, Row, RowPos};
use crate::settings::Planning;
use coalesce::Coalescer;

/// A stretch of the input, planned: what goes through the channel from reader to executor.
#[derive(Debug, Default)]
pub struct Batch {
    /// The rows, in input order.
    pub rows: Vec<PlannedRow>,
    /// Their requests, in the order in which those of one file are to be sent.
    pub requests: Vec<Request>,
    /// The differences of files, as far as a preview shows them.
    pub differences: Vec<FileDifference>,
    /// What changes in each column; counted for a preview only.
    pub columns: Columns,
    /// Files for which there are requests; counted for a preview only.
    pub changed_files: u64,
    /// For each file that loses tags to a replacement, those tags; for a preview only.
    pub lost_tags: Vec<Vec<String>>,
}

/// Turns rows into requests.
pub enum Planner {
    /// Every row as it is.
    Direct(Box<Direct>),
    /// What is not so yet, in the fewest requests.
    Diff(Box<DiffPlanner>),
}

impl Planner {
    /// The one that a run goes by, with what its ledger knows of its files.
    ///
    /// # Errors
    /// The ledger cannot be opened.
    pub fn of(
        planning: Planning,
        ledger: &LedgerFile,
        bought: PriorRunLookup,
    ) -> Result<Self, LedgerError> {
        Ok(match planning {
            Planning::Direct => Self::direct(),
            Planning::Live(options) => {
                Self::Diff(Box::new(DiffPlanner::new(ledger.reopen()?, options, bought)))
            }
        })
    }

    /// One that asks nobody what the files are like.
    #[must_use]
    pub fn direct() -> Self {
        Self::Direct(Box::default())
    }

    /// Collects what a preview shows, with the differences of the first `files`; the direct planner
    /// knows only the values from after.
    pub fn preview(&mut self, files: usize) {
        match self {
            Self::Direct(direct) => direct.preview = Some(files),
            Self::Diff(live) => live.preview(files),
        }
    }

    /// Plans the next row into a batch, leaving out the steps that are behind it. It and some of
    /// its requests may come in a later batch, together with those of other rows.
    ///
    /// # Errors
    /// What is known of the files cannot be read.
    pub fn row(
        &mut self,
        row: Row,
        behind: &RowProgress,
        batch: &mut Batch,
    ) -> Result<(), LedgerError> {
        match self {
            Self::Direct(direct) => {
                direct.row(row, behind, batch);
                Ok(())
            }
            Self::Diff(live) => live.row(row, behind, batch),
        }
    }

    /// There are no more rows: what is still to come goes into the batch.
    ///
    /// # Errors
    /// What is known of the files cannot be read.
    pub fn end(&mut self, batch: &mut Batch) -> Result<(), LedgerError> {
        match self {
            Self::Direct(direct) => {
                direct.end(batch);
                Ok(())
            }
            Self::Diff(live) => live.end(batch),
        }
    }

    /// Whether rows come out in another order than they go in.
    #[must_use]
    pub fn reorders_rows(&self) -> bool {
        matches!(self, Self::Diff(_))
    }
}

/// The direct planner: rows come out in their order, with one request a step; tag changes that
/// many rows ask for share calls.
#[derive(Debug, Default)]
pub struct Direct {
    groups: Coalescer,
    row: Batch,
    /// How many more rows are collected for a preview; `None` without a preview.
    preview: Option<usize>,
}

impl Direct {
    fn row(&mut self, row: Row, behind: &RowProgress, batch: &mut Batch) {
        self.groups.row(&mut batch.requests);
        if let Some(left) = self.preview.filter(|left| *left > 0)
            && let Content::Update(update) = &row.content
            && !update.change.is_empty()
        {
            self.preview = Some(left - 1);
            batch.differences.push(live::difference_of_row(row.pos, update));
        }
        direct(row, behind, &mut self.row);
        if self.preview.is_some() {
            self.row.requests.iter().for_each(|request| batch.columns.add_call(request.call()));
        }
        batch.rows.append(&mut self.row.rows);
        for request in self.row.requests.drain(..) {
            self.groups.take(request, &mut batch.requests);
        }
    }

    fn end(&mut self, batch: &mut Batch) {
        self.groups.end(&mut batch.requests);
    }
}

impl Batch {
    /// The same in parts of no more requests than that, all of the rows in the first.
    pub fn chunks(self, requests_max: usize) -> impl Iterator<Item = Self> {
        let mut requests = self.requests.into_iter();
        let mut first = Some(Self { requests: Vec::new(), ..self });
        std::iter::from_fn(move || {
            let mut part = first.take().unwrap_or_default();
            part.requests.extend(requests.by_ref().take(requests_max));
            (!part.is_empty()).then_some(part)
        })
    }

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
    /// One of its open steps for which there is no request, because it must not follow those that
    /// an earlier session settled. The ledger does not say so yet.
    pub not_sent: Option<StepKind>,
}

/// The steps of a row that are behind it, when a run goes on or failed rows are fed back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowProgress {
    /// Steps that this run's ledger knows to be done, as a set of [`StepKind`]s.
    done: u8,
    /// Steps of which this run's ledger holds anything, as such a set.
    recorded: u8,
    /// The worst status of this run's steps; `None` where the ledger holds none.
    worst: Option<Status>,
    /// What became of its details.
    details: DetailsSent,
    /// Nothing of the row follows.
    row_done: bool,
    /// Which steps may follow.
    follow: Follow,
    /// Steps done in an earlier run, by [`fingerprint`]: they count only while the row still asks
    /// for the same.
    fingerprints: Vec<u64>,
}

/// Whether the details of a row went out, as the ledger knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum DetailsSent {
    #[default]
    No,
    Yes,
    /// The response was lost.
    Lost,
    /// They were in flight when an earlier session was cut short.
    InFlight,
}

impl DetailsSent {
    fn of(record: &StepRecord) -> Self {
        match (record.outcome.status, record.outcome.code) {
            (Status::Unknown, Some(Code::Interrupted)) => Self::InFlight,
            (Status::Unknown, _) => Self::Lost,
            _ if record.was_sent() => Self::Yes,
            _ => Self::No,
        }
    }
}

impl RowProgress {
    /// The same, and steps done in an earlier run.
    #[must_use]
    pub fn with_prior_run(&self, fingerprints: Vec<u64>) -> Self {
        Self { fingerprints, ..*self }
    }

    /// The worst status of its steps that are settled.
    #[must_use]
    pub fn so_far(&self) -> Status {
        self.worst.unwrap_or(Status::Unchanged)
    }

    /// The ledger says this of one of the row's steps.
    pub fn record(&mut self, record: &StepRecord) {
        let (kind, status) = (record.step.kind, record.outcome.status);
        self.row_done |= record.row_done;
        self.worst = self.worst.max(Some(status));
        self.follow = self.follow.after(kind, status);
        self.recorded |= 1 << kind as u8;
        if kind == StepKind::Details {
            self.details = DetailsSent::of(record);
        }
        if status.is_success() && kind != StepKind::DetailsWithoutExtensions {
            self.done |= 1 << kind as u8;
        }
    }

    /// Whether the ledger says that nothing of the row is left to do.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let is_stopped = self.follow == Follow::Nothing && !self.remainder_due();
        self.is_recorded() && (self.row_done || is_stopped)
    }

    /// The outcome of a row of which nothing is left to do, where the ledger does not hold one yet:
    /// its details were in flight when an earlier session was cut short.
    fn closing(&self) -> Option<Outcome> {
        let is_open = self.details == DetailsSent::InFlight && !self.row_done;
        let message = "the program ended while the request was in flight; it may have been done";
        is_open.then(|| Outcome::local(Status::Unknown, Code::Interrupted, Some(message.into())))
    }

    /// What was done of the row's tags by calls of their own is to be done once more.
    fn forget_tags(&mut self) {
        self.done &= !(1 << StepKind::RemoveTags as u8 | 1 << StepKind::AddTags as u8);
    }

    /// Whether its details went out, or may have.
    fn has_sent_details(&self) -> bool {
        self.details != DetailsSent::No
    }

    /// Whether its details are of unknown outcome, and their repeatable part has not been settled.
    fn remainder_due(&self) -> bool {
        matches!(self.details, DetailsSent::Lost | DetailsSent::InFlight)
            && !self.is_recorded_of(StepKind::DetailsWithoutExtensions)
    }

    fn is_recorded_of(&self, kind: StepKind) -> bool {
        self.recorded & (1 << kind as u8) != 0
    }

    fn is_done(&self, kind: StepKind) -> bool {
        self.done & (1 << kind as u8) != 0
    }

    /// Whether that step of the row is still to be sent.
    fn wants(&self, kind: StepKind) -> bool {
        self.follow.allows(kind) && !self.is_done(kind)
    }

    /// Whether that step of the row is not sent because of what became of its details, and the ledger
    /// does not say so yet.
    fn leaves_unsent(&self, kind: StepKind) -> bool {
        self.follow == Follow::Idempotent && !self.follow.allows(kind) && !self.is_recorded_of(kind)
    }

    /// Whether a part of the row was done, and the rest is to follow.
    fn is_begun(&self) -> bool {
        self.is_recorded() && !self.is_over()
    }

    /// Whether the ledger holds anything of the row.
    fn is_recorded(&self) -> bool {
        self.worst.is_some()
    }
}
