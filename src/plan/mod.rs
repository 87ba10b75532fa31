//! Turns rows into requests.
//!
//! Two planners: [`DirectPlanner`] sends every row as is; [`DiffPlanner`] compares rows with a
//! snapshot (`diff`), and sends only the differences, in the fewest requests ([`batch`]). Both are
//! deterministic: a resumed run is planned again from the input, the snapshot and the steps recorded
//! in the ledger.

mod allowed_steps;
pub(crate) mod batch;
mod columns;
mod compare;
mod diff;
mod direct;
mod duplicates;
mod expected;
mod invalid;
#[cfg(test)]
mod laws;
mod read_back;
mod recorded;
mod rows_to_plan;
mod scan;
mod since_returned;
mod steps;
mod summary;

pub(crate) use allowed_steps::AllowedSteps;
pub(crate) use columns::ColumnChanges;
pub use columns::ColumnCounts;
pub(crate) use compare::compare;
pub(crate) use diff::{DiffPlanner, PriorRun, PriorRunLookup, PriorRunsError};
pub use diff::{FileDifference, SkippedExtensions};
pub(crate) use direct::direct;
pub use duplicates::Disagreement;
use duplicates::FilesOfSheet;
pub use invalid::{InvalidCause, InvalidCell, InvalidCells};
pub(crate) use read_back::{read_back, read_back_sample};
pub(crate) use recorded::Recorded;
pub(crate) use rows_to_plan::{FilesOfInvalid, ReadRow, RowsToPlan};
pub use scan::InputSummary;
pub use scan::PlanError;
pub(crate) use scan::{UnknownRow, scan, scan_first, scan_rest};
pub(crate) use since_returned::{RunOfRows, SinceReturned};
pub use steps::RowSteps;
pub(crate) use steps::done_steps;
pub(crate) use summary::{EXAMPLES_MAX, ExtensionReferences};
pub use summary::{LostTags, PlanSummary};

use crate::findings::{ColumnFinding, Finding};
use crate::input::{HeaderNames, PriorResult};
use crate::ledger::{LedgerError, LedgerFile, RunMeta, StepRecord};
use crate::outcome::{Code, Outcome, Status};
use crate::request::{Request, StepKind, StepSet};
use crate::row::{Content, FieldSet, FileId, Rejection, Row, RowPos};
use crate::settings::Planning;
use batch::Coalescer;

/// Planned rows and requests, as sent from the planner to the executor.
#[derive(Debug, Default)]
pub struct Batch {
    /// Rows, each exactly once; in input order from the direct planner.
    pub rows: Vec<PlannedRow>,
    /// Their requests. Those of one file are in the order in which they must be sent.
    pub requests: Vec<Request>,
    /// The differences of files, as far as a preview shows them.
    pub differences: Vec<FileDifference>,
    /// What changes in each column; counted for a preview only.
    pub columns: ColumnChanges,
    /// Files for which there are requests; counted for a preview only.
    pub changed_files: u64,
    /// For each file that loses tags to a replacement, those tags; for a preview only.
    pub lost_tags: Vec<Vec<String>>,
    /// Files in several rows that ask for different values; for a preview only.
    pub disagreements: Vec<Disagreement>,
    /// Extension runs that are not sent, because they are evident; counted for a preview only.
    pub skipped_extensions: SkippedExtensions,
}

/// What earlier runs show about the rows of a run.
pub(crate) struct PriorRuns {
    /// Looks up extensions that they ran.
    pub(crate) extensions: PriorRunLookup,
    /// What became of the rows since one of them returned these.
    pub(crate) since: SinceReturned,
}

impl PriorRuns {
    /// No earlier run has to do with the rows.
    #[must_use]
    pub(crate) fn none() -> Self {
        let extensions: PriorRunLookup = Box::new(|_, _| Ok(PriorRun::None));
        Self { extensions, since: SinceReturned::default() }
    }
}

/// Turns rows into requests.
pub(crate) enum Planner {
    /// Sends every row as is.
    Direct(Box<DirectPlanner>),
    /// Sends only differences from the snapshot, in the fewest requests.
    Diff(Box<DiffPlanner>),
}

impl Planner {
    /// The planner of a run.
    ///
    /// # Errors
    /// The ledger cannot be opened.
    pub(crate) fn of(
        meta: &RunMeta,
        ledger: &LedgerFile,
        prior_runs: PriorRuns,
    ) -> Result<Self, LedgerError> {
        Ok(match meta.planning {
            Planning::Direct => {
                let since = prior_runs.since;
                Self::Direct(Box::new(DirectPlanner { since, ..DirectPlanner::default() }))
            }
            Planning::Diff(options) => {
                let planner = DiffPlanner::new(ledger.reconnect()?, meta, options, prior_runs);
                Self::Diff(Box::new(planner))
            }
        })
    }

    /// A direct planner, which needs no snapshot.
    #[must_use]
    pub(crate) fn direct() -> Self {
        Self::Direct(Box::default())
    }

    /// Collects what a preview shows, with the differences of the first `files`. The direct planner
    /// knows only the values after the change.
    pub(crate) fn preview(&mut self, files: usize) {
        match self {
            Self::Direct(planner) => planner.preview = Some(files),
            Self::Diff(planner) => planner.preview(files),
        }
    }

    /// Names the columns of the rows in messages as the sheet does. The direct planner names none.
    pub(crate) fn name_columns(&mut self, names: HeaderNames) {
        if let Self::Diff(planner) = self {
            planner.name_columns(names);
        }
    }

    /// Compares the rows with the snapshots of their files, while they are planned. The direct planner
    /// has no snapshots.
    pub(crate) fn compare(&mut self) {
        if let Self::Diff(planner) = self {
            planner.compare();
        }
    }

    /// What the columns of the rows so far show against the snapshots; empty without
    /// [`Self::compare`].
    #[must_use]
    pub(crate) fn compared(&self) -> Vec<ColumnFinding> {
        match self {
            Self::Direct(_) => Vec::new(),
            Self::Diff(planner) => planner.compared(),
        }
    }

    /// The row, which is valid if it is rejected only for words that its file holds. A direct planner
    /// does not know the files.
    ///
    /// # Errors
    /// The snapshot cannot be read.
    pub(crate) fn admit(&self, row: Row) -> Result<Row, LedgerError> {
        match self {
            Self::Direct(_) => Ok(row),
            Self::Diff(planner) => planner.admit(row),
        }
    }

    /// Plans the next row into a batch, without the steps that are done. The row and its requests
    /// may be added to a later batch, with those of other rows. `file_of_invalid` is the file of an invalid
    /// row that counts as one of it.
    ///
    /// # Errors
    /// The snapshot or the charges of earlier runs cannot be read.
    pub(crate) fn row(
        &mut self,
        row: Row,
        file_of_invalid: Option<FileId>,
        progress: &RowProgress,
        batch: &mut Batch,
    ) -> Result<(), PlanError> {
        match self {
            Self::Direct(planner) => {
                planner.row(row, progress, batch);
                Ok(())
            }
            Self::Diff(planner) => planner.row(row, file_of_invalid, progress, batch),
        }
    }

    /// Adds the remaining rows and requests to the batch after the last row.
    ///
    /// # Errors
    /// The snapshot or the charges of earlier runs cannot be read.
    pub(crate) fn end(&mut self, batch: &mut Batch) -> Result<(), PlanError> {
        match self {
            Self::Direct(planner) => {
                planner.coalescer.end(&mut batch.requests);
                Ok(())
            }
            Self::Diff(planner) => planner.end(batch),
        }
    }

    /// The files of a preview whose values the planner has not compared.
    fn take_files(&mut self) -> FilesOfSheet {
        match self {
            Self::Direct(planner) => std::mem::take(&mut planner.files),
            Self::Diff(_) => FilesOfSheet::default(),
        }
    }

    /// What became of the rows since a run returned them.
    fn since_returned(&self) -> &SinceReturned {
        match self {
            Self::Direct(planner) => &planner.since,
            Self::Diff(planner) => planner.since_returned(),
        }
    }

    /// Whether rows leave the planner in another order than the input's.
    #[must_use]
    pub(crate) fn reorders_rows(&self) -> bool {
        matches!(self, Self::Diff(_))
    }
}

/// The direct planner: rows leave in input order, with one request per step; equal tag changes
/// share bulk calls.
#[derive(Debug, Default)]
pub(crate) struct DirectPlanner {
    coalescer: Coalescer,
    /// The requests of the current row.
    requests: Vec<Request>,
    /// How many more rows are collected for a preview; `None` without a preview.
    preview: Option<usize>,
    /// Which files are in several rows; for a preview only.
    files: FilesOfSheet,
    since: SinceReturned,
}

impl DirectPlanner {
    fn row(&mut self, row: Row, progress: &RowProgress, batch: &mut Batch) {
        self.coalescer.row(&mut batch.requests);
        if let Some(left) = self.preview.filter(|left| *left > 0)
            && let Content::Update(update) = &row.content
            && !update.change.is_empty()
            && !progress.is_recorded()
        {
            self.preview = Some(left - 1);
            batch.differences.push(diff::difference_of_row(row.pos, update));
        }
        if self.preview.is_some()
            && let Content::Update(update) = &row.content
        {
            self.files.add(&update.file);
        }
        direct(row, progress, &mut batch.rows, &mut self.requests);
        for request in self.requests.drain(..) {
            if self.preview.is_some() {
                batch.columns.add_call(request.call());
            }
            self.coalescer.take(request, &mut batch.requests);
        }
    }
}

impl Batch {
    /// Splits the batch into parts of at most `requests_max` requests. All rows are in the first.
    pub fn chunks(self, requests_max: usize) -> impl Iterator<Item = Self> {
        let mut requests = self.requests.into_iter();
        let mut next = Some(Self { requests: Vec::new(), ..self });
        std::iter::from_fn(move || {
            let mut part = next.take().unwrap_or_default();
            part.requests.extend(requests.by_ref().take(requests_max));
            (!part.is_empty()).then_some(part)
        })
    }

    /// Empties the batch, which keeps its memory; what changes in the columns is counted on.
    fn start_again(&mut self) {
        let Self { rows, requests, differences, lost_tags, disagreements, .. } = self;
        rows.clear();
        requests.clear();
        differences.clear();
        lost_tags.clear();
        disagreements.clear();
        self.changed_files = 0;
        self.skipped_extensions = SkippedExtensions::default();
    }

    /// Whether the batch has neither rows nor requests.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.requests.is_empty()
    }
}

/// A row as the executor sees it.
#[derive(Debug)]
pub struct PlannedRow {
    /// Position in the input.
    pub pos: RowPos,
    /// Number of its steps that requests of this batch and later ones will complete.
    pub open: usize,
    /// Its outcome, if nothing is sent for it. A row with neither an outcome nor an open step is
    /// done in the ledger.
    pub outcome: Option<Box<Outcome>>,
    /// Worst status of its steps that an earlier session recorded; [`Status::Unchanged`] if none.
    pub worst: Status,
    /// An open step without a request, which must not follow the recorded steps and is still to be
    /// recorded as not sent.
    pub not_sent: Option<StepKind>,
    /// Its problems, if cells of it are invalid and the outcome says so.
    pub rejection: Option<Box<Rejection>>,
    /// What the row requests and its requests do not, with the reasons: the message of its steps that
    /// succeed.
    pub left_out: Option<Box<str>>,
}

impl PlannedRow {
    /// A row with this many open steps.
    fn with_open_steps(pos: RowPos, open: usize, progress: &RowProgress) -> Self {
        let outcome = progress.interrupted_outcome().filter(|_| open == 0);
        Self {
            open,
            outcome: outcome.map(Box::new),
            ..Self::without_steps(pos, progress.worst_status())
        }
    }

    /// A row for which nothing is sent.
    fn done(pos: RowPos, progress: &RowProgress, outcome: Outcome) -> Self {
        let outcome =
            if progress.is_recorded() { progress.interrupted_outcome() } else { Some(outcome) };
        let outcome = outcome.map(Box::new);
        Self { outcome, ..Self::without_steps(pos, progress.worst_status()) }
    }

    /// A row without open steps or an outcome.
    fn without_steps(pos: RowPos, worst: Status) -> Self {
        Self { pos, open: 0, outcome: None, worst, not_sent: None, rejection: None, left_out: None }
    }
}

/// The steps of a row that are already done, when a run is resumed or failed rows are applied
/// again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RowProgress {
    /// Steps that succeeded according to this run's ledger.
    done: StepSet,
    /// Steps with any record in this run's ledger.
    recorded: StepSet,
    /// Worst status of the recorded steps; `None` if there are none.
    worst: Option<Status>,
    /// State of the details step.
    details: DetailsSent,
    /// Whether the row has no further steps.
    row_done: bool,
    /// The steps that may still be sent.
    allowed: AllowedSteps,
    /// Steps done in an earlier run, by [`steps::fingerprint`]: they count only while the row requests the
    /// same change.
    fingerprints: Vec<u64>,
    /// The fields of these steps that an undo has reverted since: they are to be sent again.
    reverted: FieldSet,
    /// The findings for which an earlier run held the row back.
    held: Vec<Finding>,
    /// What an earlier run, which returned the row, says about it.
    returned: Returned,
}

/// What an earlier run says about a row that it returned, to be applied again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Returned {
    /// No run returned it.
    #[default]
    No,
    /// It was not applied.
    NotApplied,
    /// The response to its request was lost.
    AsUnknown,
}

impl Returned {
    /// Whether a run returned the row.
    pub(crate) fn is_any(self) -> bool {
        self != Self::No
    }
}

/// Whether the details of a row were sent, according to the ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum DetailsSent {
    #[default]
    No,
    Yes,
    /// The response was lost.
    Lost,
    /// The request was in flight when an earlier session was interrupted.
    InFlight,
    /// The response was lost, and `settle` has found that the request took effect.
    Settled,
}

impl DetailsSent {
    fn of(record: &StepRecord) -> Self {
        match (record.outcome.status, record.outcome.code) {
            (Status::Unknown, Some(Code::Interrupted)) => Self::InFlight,
            (Status::Unknown, _) => Self::Lost,
            (_, None | Some(Code::Inferred)) if !record.settled.is_empty() => Self::Settled,
            _ if record.was_sent() => Self::Yes,
            _ => Self::No,
        }
    }
}

impl RowProgress {
    /// Adds what an earlier run, which returned the row, says about it, and which fields an undo has
    /// reverted since.
    #[must_use]
    pub(crate) fn with_prior(&self, prior: PriorResult, reverted: FieldSet) -> Self {
        let returned = match (prior.is_returned, prior.unknown) {
            (_, true) => Returned::AsUnknown,
            (true, false) => Returned::NotApplied,
            (false, false) => Returned::No,
        };
        Self { fingerprints: prior.done, reverted, held: prior.held, returned, ..*self }
    }

    /// Worst status of the recorded steps.
    #[must_use]
    pub(crate) fn worst_status(&self) -> Status {
        self.worst.unwrap_or(Status::Unchanged)
    }

    /// Adds a step of the row from the ledger.
    pub(crate) fn record(&mut self, record: &StepRecord) {
        // Left to a later session, which begins as if it had no record.
        if record.outcome.code == Some(Code::Budget) {
            return;
        }
        let (kind, status) = (record.step.kind, record.outcome.status);
        self.row_done |= record.row_done;
        self.worst = self.worst.max(Some(status));
        self.allowed = self.allowed.after(kind, status);
        self.recorded.add(kind);
        if kind == StepKind::Details {
            self.details = DetailsSent::of(record);
        }
        if status.is_success() && kind != StepKind::DetailsWithoutExtensions {
            self.done.add(kind);
        }
    }

    /// Whether the ledger shows that nothing is left to send for the row.
    #[must_use]
    pub(crate) fn is_finished(&self) -> bool {
        let is_blocked = self.allowed == AllowedSteps::None && !self.remainder_due();
        self.is_recorded() && (self.row_done || is_blocked)
    }

    /// The outcome of a row with nothing left to send whose details were in flight when an earlier
    /// session was interrupted; `None` if the ledger has the outcome. What was settled since stays
    /// recorded beside it.
    fn interrupted_outcome(&self) -> Option<Outcome> {
        let is_open = matches!(self.details, DetailsSent::InFlight | DetailsSent::Settled);
        let is_interrupted = is_open && !self.row_done;
        is_interrupted.then(Outcome::interrupted)
    }

    /// Marks the row's tag calls as not done, so that they are sent again.
    fn redo_tags(&mut self) {
        self.done.remove(StepKind::RemoveTags);
        self.done.remove(StepKind::AddTags);
    }

    /// Whether the details were sent, or may have been.
    fn has_sent_details(&self) -> bool {
        self.details != DetailsSent::No
    }

    /// Whether the outcome of the details is unknown and their idempotent remainder is still to be
    /// sent.
    fn remainder_due(&self) -> bool {
        matches!(self.details, DetailsSent::Lost | DetailsSent::InFlight)
            && !self.is_recorded_of(StepKind::DetailsWithoutExtensions)
    }

    fn is_recorded_of(&self, kind: StepKind) -> bool {
        self.recorded.contains(kind)
    }

    fn has_done(&self, kind: StepKind) -> bool {
        self.done.contains(kind)
    }

    /// Whether the step is still to be sent.
    fn needs(&self, kind: StepKind) -> bool {
        self.allowed.allows(kind) && !self.has_done(kind)
    }

    /// Whether the step must not be sent because the outcome of the details is unknown, and this is
    /// still to be recorded.
    fn must_record_not_sent(&self, kind: StepKind) -> bool {
        self.allowed == AllowedSteps::Idempotent
            && !self.allowed.allows(kind)
            && !self.is_recorded_of(kind)
    }

    /// Whether some steps are done and others are left.
    fn is_partially_done(&self) -> bool {
        self.is_recorded() && !self.is_finished()
    }

    /// Whether the ledger has any record of the row.
    fn is_recorded(&self) -> bool {
        self.worst.is_some()
    }
}
