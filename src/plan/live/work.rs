//! What the rows of one file need, in the order in which it must be sent.

use super::diff::FileDiff;
use super::merge::{self, MergedRows, PendingRow};
use super::requests::{planned, settled};
use super::simulated_file::SimulatedFile;
use super::{DiffPlanner, leave_out};
use crate::outcome::{Code, Outcome, Status};
use crate::plan::{Batch, PlannedRow};
use crate::request::StepKind;
use crate::row::{Extension, Extensions, FileId};

/// Rows for which something is to be sent.
pub(super) enum WorkItem {
    /// Merged rows.
    Merged(Box<MergedWork>),
    /// A row among several of its file of which an earlier session did a part, together with rows
    /// that may be over by now: what is left of it.
    Leftover(Box<PendingRow>),
}

/// Merged rows, what they need, and what the file is like before.
pub(super) struct MergedWork {
    pub(super) merged: MergedRows,
    pub(super) diff: FileDiff,
    pub(super) before: SimulatedFile,
}

impl WorkItem {
    /// The extensions that are asked for.
    fn extensions(&self) -> Option<&Extensions> {
        match self {
            Self::Merged(together) => together.diff.patch.extensions.as_ref(),
            Self::Leftover(pending) => pending.change.extensions.as_ref(),
        }
    }

    /// Whether other requests on the file must come before or behind some of it.
    pub(super) fn is_in_order(&self) -> bool {
        match self {
            Self::Merged(together) => {
                let diff = &together.diff;
                diff.publish.is_some() || diff.tags_needed().nth(1).is_some()
            }
            Self::Leftover(_) => true,
        }
    }
}

impl DiffPlanner {
    /// What is needed for a file, in the order in which it must be sent. Rows for which nothing is
    /// needed are settled.
    pub(super) fn work(
        &self,
        file: &FileId,
        pending_rows: Vec<PendingRow>,
        simulated_file: SimulatedFile,
        batch: &mut Batch,
    ) -> Vec<WorkItem> {
        let is_only = pending_rows.len() == 1;
        let (ahead, merged) = (simulated_file.clone(), None);
        let (paid, work) = (Vec::new(), Vec::new());
        let mut rows =
            FileRows { live: self, file, simulated_file, ahead, merged, paid, work, batch };
        for pending in pending_rows {
            rows.next(pending, is_only);
        }
        rows.flush();
        rows.work
    }

    /// What merged rows need, and what the file is like afterwards.
    fn diff(
        &self,
        file: &FileId,
        merged: MergedRows,
        simulated_file: &mut SimulatedFile,
        paid: &[(u64, Extension)],
        batch: &mut Batch,
    ) -> Option<WorkItem> {
        let before = simulated_file.clone();
        simulated_file.apply(&merged.fields);
        merged.tags.iter().for_each(|part| simulated_file.apply_tags(&part.change));
        // What is left of a lost request is worked out from the whole of it.
        let is_lost = merged.pending_rows.iter().any(|pending| pending.behind.remainder_due());
        let runs = |extension: &Extension| is_lost || self.runs(file, extension, &before, paid);
        let diff = FileDiff::of(&merged, &before, runs);
        if diff.is_empty() {
            for pending in &merged.pending_rows {
                batch.rows.push(self.unneeded(file, pending, &merged, &before, paid));
            }
            return None;
        }
        simulated_file.invalidate_sent(&diff);
        if !diff.patch.is_empty() && merged.pending_rows.len() > 1 {
            // Should it be refused, it is each row by itself.
            for pending in &merged.pending_rows {
                simulated_file.invalidate_sent(&FileDiff::of(
                    &MergedRows::of(pending.clone()),
                    &before,
                    runs,
                ));
            }
        }
        Some(WorkItem::Merged(Box::new(MergedWork { merged, diff, before })))
    }

    /// Whether an extension is to run. What rows before pay for is not paid for again.
    fn runs(
        &self,
        file: &FileId,
        extension: &Extension,
        simulated_file: &SimulatedFile,
        paid: &[(u64, Extension)],
    ) -> bool {
        let is_bought = || (self.bought)(file, extension).is_some();
        let is_tagged =
            || self.options.skip_tagged && simulated_file.has_ai_tags_of(extension.name().as_str());
        paid_by(paid, extension).is_none()
            && (self.options.rerun_extensions || !is_bought() && !is_tagged())
    }

    /// A row for which nothing is sent.
    pub(super) fn unneeded(
        &self,
        file: &FileId,
        pending: &PendingRow,
        merged: &MergedRows,
        before: &SimulatedFile,
        paid: &[(u64, Extension)],
    ) -> PlannedRow {
        let alone = MergedRows::of(pending.clone());
        let alone =
            FileDiff::of(&alone, before, |extension| self.runs(file, extension, before, paid));
        let extensions = pending.change.extensions.iter().flat_map(Extensions::as_slice);
        let bought = extensions.filter_map(|extension| {
            let name = extension.name().as_str();
            match paid_by(paid, extension) {
                Some(row) => Some(format!("{name}: row {row} asks for the same on the same file")),
                None => (self.bought)(file, extension)
                    .map(|run| format!("{name}: {run}; --rerun-extensions pays again")),
            }
        });
        let bought: Vec<String> = bought.collect();
        let (code, message) = if !alone.is_empty() {
            let last = merged.pending_rows.last().map_or(0, |pending| pending.pos.number);
            let message = format!("rows of the same file up to row {last} ask for something else");
            (Code::Superseded, Some(message))
        } else if bought.is_empty() {
            (Code::UpToDate, None)
        } else {
            (Code::AlreadyRan, Some(bought.join(", ")))
        };
        let outcome = Outcome::local(Status::Unchanged, code, message.map(Into::into));
        settled(pending.pos, &pending.behind, outcome)
    }
}

/// The rows of a file, one after the other.
struct FileRows<'l> {
    live: &'l DiffPlanner,
    file: &'l FileId,
    /// What the file is like behind what is needed so far.
    simulated_file: SimulatedFile,
    /// What it is like behind the rows that are being merged, too.
    ahead: SimulatedFile,
    merged: Option<MergedRows>,
    /// The extensions that rows so far pay for.
    paid: Vec<(u64, Extension)>,
    work: Vec<WorkItem>,
    batch: &'l mut Batch,
}

impl FileRows<'_> {
    fn next(&mut self, pending: PendingRow, is_only: bool) {
        let Some(extensions) = pending.change.extensions.clone() else {
            return self.row(pending, is_only);
        };
        let (row, is_sent) = (pending.pos.number, pending.behind.has_sent_details());
        let count = self.work.len();
        self.row(pending, is_only);
        // They are merged with nothing, not even with rows that ask for the same.
        self.flush();
        let asked = self.work[count..].iter().filter_map(WorkItem::extensions);
        let asked = asked.chain(is_sent.then_some(&extensions));
        let asked = asked.flat_map(Extensions::as_slice).map(|it| (row, it.clone()));
        self.paid.extend(asked);
    }

    fn row(&mut self, pending: PendingRow, is_only: bool) {
        let knows_tags = self.ahead.tags().is_some();
        if self.merged.as_ref().is_some_and(|merged| !merged.may_take(&pending, knows_tags)) {
            self.flush();
        }
        if pending.behind.is_begun() && !is_only {
            self.flush();
            self.simulated_file.invalidate(&pending.change);
            self.ahead = self.simulated_file.clone();
            self.work.push(WorkItem::Leftover(Box::new(rest(pending))));
        } else if is_passed_by(&pending, &self.ahead, self.batch) {
            self.flush();
            self.simulated_file.replay_row(&pending);
            self.ahead = self.simulated_file.clone();
        } else {
            self.ahead.apply(&pending.change);
            match &mut self.merged {
                Some(merged) => merged.take(pending, knows_tags),
                None => self.merged = Some(MergedRows::of(pending)),
            }
        }
    }

    /// Nothing more is merged with the rows so far.
    fn flush(&mut self) {
        if let Some(merged) = self.merged.take() {
            let (simulated_file, batch) = (&mut self.simulated_file, &mut *self.batch);
            let work = self.live.diff(self.file, merged, simulated_file, &self.paid, batch);
            self.work.extend(work);
            self.ahead = self.simulated_file.clone();
        }
    }
}

/// Which of the rows before asks for the same extension on the same file.
fn paid_by(paid: &[(u64, Extension)], extension: &Extension) -> Option<u64> {
    paid.iter().find(|(_, other)| other == extension).map(|(row, _)| *row)
}

/// What is left of a row of which a part was done. A lost request is worked out from the whole of
/// it. Otherwise its fields went first, or were left out because of rows behind it, so that they must
/// not be sent now. Its tags are carried out anew, since what was done of them may have been what it
/// came to together with others.
fn rest(pending: PendingRow) -> PendingRow {
    let PendingRow { pos, mut change, mut behind } = pending;
    if !behind.remainder_due() {
        let tags = change.tags.clone();
        leave_out(&mut change, StepKind::Details);
        if !behind.is_done(StepKind::Details) {
            change.tags = tags;
        }
        behind.forget_tags();
    }
    PendingRow { pos, change, behind }
}

/// Whether nothing is to be sent for a row, whatever the file is like; then it is settled.
fn is_passed_by(pending: &PendingRow, simulated_file: &SimulatedFile, batch: &mut Batch) -> bool {
    let outcome = if pending.behind.is_over() {
        None
    } else if pending.change.is_empty() {
        Some(Outcome::local(Status::Unchanged, Code::AlreadyDone, None))
    } else if let Some(rejected) = merge::too_many_tags(simulated_file, &pending.change) {
        Some(rejected)
    } else {
        return false;
    };
    batch.rows.push(match outcome {
        Some(outcome) => settled(pending.pos, &pending.behind, outcome),
        None => planned(pending.pos, 0, &pending.behind),
    });
    true
}
