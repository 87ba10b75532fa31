//! Goes through the rows of one file in order, and collects what must be sent.

use super::DiffPlanner;
use super::file_diff::FileDiff;
use super::merge::{self, MergedRows, PendingRow};
use super::paid_results::keep_paid_results;
use super::simulated_file::SimulatedFile;
use super::skipped::{DecidedExtension, Decision, Situation, SkippedExtensions};
use crate::outcome::{Code, Outcome, Status};
use crate::plan::steps::drop_step;
use crate::plan::{Batch, PlanError, PlannedRow};
use crate::request::StepKind;
use crate::row::{Extension, Extensions, FileId};

/// What must be sent for some rows.
pub(super) enum WorkItem {
    /// Merged rows.
    Merged(Box<MergedWork>),
    /// The remaining steps of a row that an earlier session began, on a file with several rows.
    Leftover(Box<PendingRow>),
}

/// Merged rows, their difference, and the file before them.
pub(super) struct MergedWork {
    pub(super) merged: MergedRows,
    pub(super) diff: FileDiff,
    pub(super) before: SimulatedFile,
    /// What a row requests and its requests do not, with the reasons. Merged rows have no extensions,
    /// and so send all that they request.
    pub(super) left_out: Option<Box<str>>,
}

impl WorkItem {
    /// The extensions to run.
    fn extensions(&self) -> Option<&Extensions> {
        match self {
            Self::Merged(work) => work.diff.patch.extensions.as_ref(),
            Self::Leftover(pending) => pending.change.extensions.as_ref(),
        }
    }

    /// Whether other requests on the file must precede or follow parts of it.
    pub(super) fn keeps_order(&self) -> bool {
        match self {
            Self::Merged(work) => {
                let diff = &work.diff;
                diff.publish.is_some() || diff.changed_stages().nth(1).is_some()
            }
            Self::Leftover(_) => true,
        }
    }
}

impl DiffPlanner {
    /// What must be sent for a file, in order. Rows that need nothing are added to the batch as
    /// done.
    ///
    /// # Errors
    /// The charges of earlier runs cannot be read.
    pub(super) fn work(
        &self,
        file: &FileId,
        pending_rows: Vec<PendingRow>,
        simulated_file: SimulatedFile,
        batch: &mut Batch,
    ) -> Result<Vec<WorkItem>, PlanError> {
        let is_only = pending_rows.len() == 1;
        let (after_merged, merged) = (simulated_file.clone(), None);
        let (extensions_run, work) = (Vec::new(), Vec::new());
        let mut rows = FileRows {
            planner: self,
            file,
            simulated_file,
            after_merged,
            merged,
            extensions_run,
            work,
            batch,
        };
        for pending in pending_rows {
            rows.add(pending, is_only)?;
        }
        rows.flush();
        Ok(rows.work)
    }

    /// The difference of merged rows; updates the simulated file.
    fn diff(
        &self,
        merged: MergedRows,
        simulated_file: &mut SimulatedFile,
        batch: &mut Batch,
    ) -> Option<WorkItem> {
        let before = simulated_file.clone();
        simulated_file.apply(&merged.fields);
        merged.tags.iter().for_each(|stage| simulated_file.apply_tags(&stage.change));
        // The remainder of a lost request is computed from the whole request.
        let has_lost_response =
            merged.pending_rows.iter().any(|pending| pending.progress.remainder_due());
        let should_run = |extension: &Extension| has_lost_response || merged.runs(extension);
        let diff = FileDiff::of(&merged, &before, should_run);
        if self.preview.is_some() && !has_lost_response {
            for row in &merged.pending_rows {
                batch.skipped_extensions += SkippedExtensions::of(&row.extensions);
            }
        }
        if diff.is_empty() {
            for pending in &merged.pending_rows {
                batch.rows.push(unsent_row(pending, &merged, &before));
            }
            return None;
        }
        simulated_file.invalidate(diff.fields());
        if let Some(extensions) = &diff.patch.extensions {
            simulated_file.run(extensions);
        }
        if !diff.patch.is_empty() && merged.pending_rows.len() > 1 {
            // If the merged request is rejected, each row is sent separately.
            for pending in &merged.pending_rows {
                let row = MergedRows::of(pending.clone());
                simulated_file.invalidate(FileDiff::of(&row, &before, should_run).fields());
            }
        }
        // What an earlier session of this run sent is not left out.
        let is_left_out = |decision: &Decision| !matches!(decision, Decision::RanInThisRun(_));
        let left_out = merged.pending_rows.iter();
        let left_out = left_out.flat_map(|row| reasons(row, is_left_out));
        let left_out: Vec<String> = left_out.collect();
        let left_out = (!left_out.is_empty()).then(|| left_out.join("; ").into());
        Some(WorkItem::Merged(Box::new(MergedWork { merged, diff, before, left_out })))
    }
}

/// Why a row does not run extensions, for the decisions that `is_named` accepts, and which paid results it
/// keeps.
fn reasons(pending: &PendingRow, is_named: impl Fn(&Decision) -> bool) -> Vec<String> {
    let named = pending.extensions.iter().filter(|decided| is_named(&decided.decision));
    let reasons = named.filter_map(DecidedExtension::reason);
    reasons.chain(pending.kept.reasons.iter().cloned()).collect()
}

/// A row for which nothing is sent, with the reason as its code.
pub(super) fn unsent_row(
    pending: &PendingRow,
    merged: &MergedRows,
    before: &SimulatedFile,
) -> PlannedRow {
    let own = MergedRows::of(pending.clone());
    let own_diff = FileDiff::of(&own, before, |extension| pending.runs(extension));
    let reasons = reasons(pending, |_| true);
    let (code, message) = if !own_diff.is_empty() {
        let last = merged.pending_rows.last().map_or(0, |pending| pending.pos.number);
        let message = format!("later rows of the same file, up to row {last}, set other values");
        (Code::Superseded, Some(message))
    } else if reasons.is_empty() {
        (Code::UpToDate, None)
    } else {
        (Code::AlreadyRan, Some(reasons.join("; ")))
    };
    let outcome = Outcome::local(Status::Unchanged, code, message.map(Into::into));
    PlannedRow::done(pending.pos, &pending.progress, outcome)
}

/// State while going through the rows of a file.
struct FileRows<'l> {
    planner: &'l DiffPlanner,
    file: &'l FileId,
    /// The file after the work so far.
    simulated_file: SimulatedFile,
    /// The file after the rows that are being merged, as well.
    after_merged: SimulatedFile,
    merged: Option<MergedRows>,
    /// Extensions of the rows so far, with the row numbers.
    extensions_run: Vec<(u64, Extension)>,
    work: Vec<WorkItem>,
    batch: &'l mut Batch,
}

impl FileRows<'_> {
    fn add(&mut self, mut pending: PendingRow, is_only: bool) -> Result<(), PlanError> {
        let Some(extensions) = pending.change.extensions.clone() else {
            self.row(pending, is_only);
            return Ok(());
        };
        // Rows with extensions are merged with nothing, not even with equal rows.
        self.flush();
        self.decide(&mut pending, &extensions)?;
        let (row, is_sent) = (pending.pos.number, pending.progress.has_sent_details());
        let count = self.work.len();
        self.row(pending, is_only);
        self.flush();
        let requested = self.work[count..].iter().filter_map(WorkItem::extensions);
        let requested = requested.chain(is_sent.then_some(&extensions));
        let requested = requested.flat_map(Extensions::as_slice).map(|it| (row, it.clone()));
        self.extensions_run.extend(requested);
        Ok(())
    }

    /// Decides which extensions of a row run, and keeps the results of the others.
    fn decide(&self, pending: &mut PendingRow, extensions: &Extensions) -> Result<(), PlanError> {
        let removal = pending.change.ai_tags.clone();
        let situation = Situation {
            file: self.file,
            before: &self.simulated_file,
            removal: removal.as_ref(),
            returned: pending.progress.returned,
            extensions_run: &self.extensions_run,
        };
        pending.extensions = self.planner.decide_all(extensions, situation)?;
        pending.kept = keep_paid_results(&mut pending.change, &pending.extensions, situation);
        if pending.change.ai_tags.is_none() && removal.is_some() {
            // The file keeps its AI tags, which may show that an extension has run.
            let situation = Situation { removal: None, ..situation };
            pending.extensions = self.planner.decide_all(extensions, situation)?;
        }
        Ok(())
    }

    fn row(&mut self, pending: PendingRow, is_only: bool) {
        let tags_known = self.after_merged.tags().is_some();
        if self.merged.as_ref().is_some_and(|merged| !merged.can_merge(&pending, tags_known)) {
            self.flush();
        }
        if pending.progress.is_partially_done() && !is_only {
            self.flush();
            self.simulated_file.invalidate(pending.change.written_fields());
            self.after_merged = self.simulated_file.clone();
            self.work.push(WorkItem::Leftover(Box::new(leftover(pending))));
        } else if finish_unsent(&pending, &self.after_merged, self.batch) {
            self.flush();
            replay_row(&mut self.simulated_file, &pending);
            self.after_merged = self.simulated_file.clone();
        } else {
            self.after_merged.apply(&pending.change);
            match &mut self.merged {
                Some(merged) => merged.merge(pending, tags_known),
                None => self.merged = Some(MergedRows::of(pending)),
            }
        }
    }

    /// Ends the current group of merged rows.
    fn flush(&mut self) {
        if let Some(merged) = self.merged.take() {
            let (simulated_file, batch) = (&mut self.simulated_file, &mut *self.batch);
            self.work.extend(self.planner.diff(merged, simulated_file, batch));
            self.after_merged = self.simulated_file.clone();
        }
    }
}

/// The remaining steps of a row that was begun. The remainder of a lost request is computed from
/// the whole request. Otherwise the details are done, or were superseded by later rows; so they
/// must not be sent now. The tags are sent again, because the earlier request may have combined
/// them with those of other rows.
fn leftover(pending: PendingRow) -> PendingRow {
    let PendingRow { mut change, mut progress, .. } = pending;
    if !progress.remainder_due() {
        let (tags, ai_tags) = (change.tags.clone(), change.ai_tags.clone());
        drop_step(&mut change, StepKind::Details);
        if !progress.has_done(StepKind::Details) {
            change.tags = tags;
            change.ai_tags = ai_tags;
        }
        progress.redo_tags();
    }
    PendingRow { change, progress, ..pending }
}

/// Finishes a row for which nothing is sent, regardless of the file; returns whether it did.
fn finish_unsent(pending: &PendingRow, simulated_file: &SimulatedFile, batch: &mut Batch) -> bool {
    let outcome = if pending.progress.is_finished() {
        None
    } else if pending.change.is_empty() {
        Some(Outcome::local(Status::Unchanged, Code::AlreadyDone, None))
    } else if let Some(rejected) = merge::too_many_tags(simulated_file, &pending.change) {
        Some(rejected)
    } else {
        return false;
    };
    batch.rows.push(match outcome {
        Some(outcome) => PlannedRow::done(pending.pos, &pending.progress, outcome),
        None => PlannedRow::with_open_steps(pending.pos, 0, &pending.progress),
    });
    true
}

/// Applies a row that an earlier session recorded.
fn replay_row(file: &mut SimulatedFile, pending: &PendingRow) {
    if !pending.progress.is_recorded() {
        return;
    }
    if pending.progress.is_success() {
        // As it was planned then, so that later rows need the same steps again.
        let sent = FileDiff::of(&MergedRows::of(pending.clone()), file, |_| true);
        file.apply(&pending.change);
        file.invalidate(sent.fields());
        if let Some(extensions) = &pending.change.extensions {
            file.run(extensions);
        }
    } else {
        file.invalidate(pending.change.written_fields());
    }
}
