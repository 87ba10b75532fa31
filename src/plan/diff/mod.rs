//! The diff planner: compares rows with the snapshot, skips what is up to date, and sends the
//! differences in the fewest requests.
//!
//! Its requests depend only on the input, the snapshot and the steps that earlier sessions
//! recorded. So a saved or resumed plan is not stored, but computed again.
//!
//! The path of a row:
//!
//! 1. It waits for the last row of its file (`PendingRow`), whose snapshot is then next
//!    (`RecordsOfLastRows`).
//!    Rows that are held back, or that the path policy of the folder does not allow, are rejected.
//! 2. `work` goes through the rows of the file in order, and tracks the state of the file in a
//!    `SimulatedFile`.
//! 3. `merge` combines consecutive rows into one change, if one request can make it.
//! 4. `file_diff` compares the change with the simulated file. Without a difference the rows are up
//!    to date. `skipped` decides which extensions ran before.
//! 5. `requests` makes a `FileEdit` of the difference: a PATCH of the fields, and calls for tags, AI
//!    tags and publication.
//! 6. [`batch`](super::batch) turns the edits of all files into the fewest requests.

mod file_diff;
mod line_ends;
mod merge;
mod paid_results;
mod preview;
mod requests;
mod simulated_file;
mod skipped;
mod work;

use std::collections::HashMap;

use line_ends::adopt_line_ends;
use merge::{PendingRow, has_at_most_once};
pub use preview::FileDifference;
pub(super) use preview::difference_of_row;
use preview::{count_columns, differences, lost_tags};
use requests::FileRequests;
use simulated_file::SimulatedFile;
pub use skipped::SkippedExtensions;
use skipped::{Decision, Situation};
pub(crate) use skipped::{PriorRun, PriorRunLookup, PriorRunsError};
use work::{MergedWork, WorkItem, unsent_row};

use super::batch::{Batcher, FileEdit};
use super::compare::{Comparison, LostPart};
use super::direct::direct;
use super::duplicates::FileValues;
use super::steps::drop_done;
use super::{Batch, PlanError, PlannedRow, PriorRuns, RowProgress, SinceReturned};
use crate::file_fields::FileFields;
use crate::findings::{ColumnFinding, Finding};
use crate::input::{Format, HeaderNames};
use crate::ledger::{
    FileRecord, LedgerError, LedgerFile, PathPolicies, RecordsOfLastRows, RunMeta, Snapshot,
};
use crate::outcome::{Code, Outcome, Status};
use crate::row::{
    Content, Details, Duplicates, Field, FileId, KeptResults, MetadataField, PathPolicy, Problem,
    Rejection, Row, Rules, Update,
};
use crate::settings::DiffOptions;

/// The diff planner; see the module documentation.
pub(crate) struct DiffPlanner {
    /// Holds the snapshot.
    ledger: LedgerFile,
    records: RecordsOfLastRows,
    options: DiffOptions,
    prior_runs: PriorRuns,
    /// How many more files the preview shows; `None` without a preview.
    preview: Option<usize>,
    batcher: Batcher,
    /// Rows of files that later rows name as well.
    waiting_rows: HashMap<FileId, Vec<PendingRow>>,
    /// The last row so far.
    last_row: u64,
    /// Whether requests of an earlier session may still be in flight, and take effect after later
    /// ones.
    may_follow_lost_requests: bool,
    /// How the rows were read, and which findings hold rows back.
    rules: Rules,
    /// Whether the rows are cells, whose line ends are those of the program that saved them.
    has_cells: bool,
    /// How the sheet names the columns.
    names: HeaderNames,
    /// What the rows show against their files; `None` if they are not compared.
    comparison: Option<Comparison>,
    /// Whether rows are checked against the account's custom metadata fields.
    checks_fields: bool,
    /// The path policies of the files so far.
    policies: PathPolicies,
    /// What rows keep, before it is recorded: a transaction for each row would take milliseconds.
    kept: Vec<(u64, KeptResults)>,
}

/// Rows of which it is recorded together what they keep.
const KEPT_ROWS_HELD: usize = 1000;

impl DiffPlanner {
    /// A planner for a run whose ledger holds the snapshot.
    #[must_use]
    pub(crate) fn new(
        ledger: LedgerFile,
        meta: &RunMeta,
        options: DiffOptions,
        prior_runs: PriorRuns,
    ) -> Self {
        Self {
            ledger,
            records: RecordsOfLastRows::default(),
            options,
            prior_runs,
            preview: None,
            batcher: Batcher::new(),
            waiting_rows: HashMap::new(),
            last_row: 0,
            may_follow_lost_requests: false,
            rules: meta.rules.clone(),
            has_cells: meta.input_format != Format::Jsonl,
            names: HeaderNames::default(),
            comparison: None,
            checks_fields: !meta.fields.is_empty(),
            policies: PathPolicies::default(),
            kept: Vec::new(),
        }
    }

    /// Assumes that requests of an interrupted session may still take effect. Which ones is
    /// unknown, so every file with requests in an order is read back at the end.
    pub(crate) fn distrust_earlier_requests(&mut self) {
        self.may_follow_lost_requests = true;
    }

    /// Collects what a preview shows: the number of changed files, the tags that they lose, and the
    /// differences of the first `files`.
    pub(crate) fn preview(&mut self, files: usize) {
        self.preview = Some(files);
    }

    /// What became of the rows since a run returned them.
    pub(super) fn since_returned(&self) -> &SinceReturned {
        &self.prior_runs.since
    }

    /// Names the columns of the rows as the sheet does.
    pub(crate) fn name_columns(&mut self, names: HeaderNames) {
        self.names = names;
    }

    /// Compares the rows with their files.
    pub(crate) fn compare(&mut self) {
        self.comparison = Some(Comparison::default());
    }

    /// What the columns of the rows so far show against their files.
    #[must_use]
    pub(crate) fn compared(&self) -> Vec<ColumnFinding> {
        let findings =
            |comparison: &Comparison| comparison.findings(&self.rules.accepted, &self.names);
        self.comparison.as_ref().map(findings).unwrap_or_default()
    }

    /// The row, which is valid if it is rejected only for words that its file holds.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) fn admit(&self, Row { pos, content }: Row) -> Result<Row, LedgerError> {
        Ok(Row { pos, content: self.ledger.admit(content)? })
    }

    /// Plans the next row. The row and its requests may be added to a later batch.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) fn row(
        &mut self,
        row: Row,
        file_of_invalid: Option<FileId>,
        progress: &RowProgress,
        batch: &mut Batch,
    ) -> Result<(), PlanError> {
        let Row { pos, content } = row;
        self.last_row = pos.number;
        let update = match (content, file_of_invalid) {
            (Content::Update(update), _) => update,
            (Content::Rejected(rejection), Some(file)) => {
                let record = self.records.take(pos.number, &self.ledger)?;
                let pending = PendingRow::invalid(pos, rejection, progress.clone());
                return self.pending(file, pending, record, batch);
            }
            (content, _) => {
                direct(Row { pos, content }, progress, &mut batch.rows, &mut batch.requests);
                return Ok(());
            }
        };
        let record = self.records.take(pos.number, &self.ledger)?;
        if let Some(comparison) = &mut self.comparison {
            comparison.row(pos.number, &update, record.as_ref(), &self.ledger)?;
        }
        if update.change.is_empty() {
            let row = Row { pos, content: Content::Update(update) };
            direct(row, progress, &mut batch.rows, &mut batch.requests);
            return Ok(());
        }
        let Update { file, mut change } = update;
        drop_done(&file, &mut change, &progress.fingerprints, progress.reverted);
        let pending = PendingRow::new(pos, change, progress.clone());
        self.pending(file, pending, record, batch)
    }

    /// Adds a row to those of its file, which are planned with the last of them.
    fn pending(
        &mut self,
        file: FileId,
        pending: PendingRow,
        record: Option<FileRecord>,
        batch: &mut Batch,
    ) -> Result<(), PlanError> {
        let Some(record) = record else {
            self.waiting_rows.entry(file).or_default().push(pending);
            return Ok(());
        };
        let mut pending_rows = self.waiting_rows.remove(&file).unwrap_or_default();
        pending_rows.push(pending);
        self.file(&file, pending_rows, Some(record), batch)
    }

    /// Makes the rows invalid that are held back.
    fn hold(&self, rows: &mut [PendingRow], record: Option<&FileRecord>) {
        let Some(FileRecord { state: Snapshot::Fields(fields), .. }) = record else { return };
        for row in rows.iter_mut().filter(|row| row.rejection.is_none()) {
            row.rejection = self.held(row, fields).map(|problem| Box::new(problem.into()));
        }
    }

    /// Rejects the rows with a value that the path policy of the file's folder does not allow; returns
    /// the others. A value that a later row replaces is not sent, and so not compared; but rows that
    /// cannot be merged are sent each by itself.
    fn without_refused(
        &mut self,
        file: &FileId,
        rows: Vec<PendingRow>,
        record: Option<&FileRecord>,
        batch: &mut Batch,
    ) -> Result<Vec<PendingRow>, PlanError> {
        let Some(record @ FileRecord { state: Snapshot::Fields(fields), .. }) = record else {
            return Ok(rows);
        };
        let Some(policy) = self.policies.of(record, &self.ledger)? else { return Ok(rows) };

        let mut later = Details::default();
        let mut admitted = Vec::with_capacity(rows.len());
        for row in rows.into_iter().rev() {
            let is_sent_alone = has_at_most_once(&row.change);
            if is_sent_alone {
                later = Details::default();
            }
            let mut details = row.change.details.clone();
            details.remove(&later);
            let mut problems = refused(&details, fields, &policy, &self.names);
            problems.extend(self.refused_extension(file, &row, fields, &policy)?);
            if let Some(rejection) = Rejection::from_problems(problems) {
                reject(&row, rejection, batch);
                continue;
            }
            if !is_sent_alone {
                later.extend(&row.change.details);
            }
            admitted.push(row);
        }
        admitted.reverse();
        Ok(admitted)
    }

    /// What the path policy does not allow about an extension of a row that is to run.
    fn refused_extension(
        &self,
        file: &FileId,
        row: &PendingRow,
        fields: &FileFields,
        policy: &PathPolicy,
    ) -> Result<Option<Problem>, PlanError> {
        let Some(extensions) = row.change.extensions.as_ref().filter(|_| self.checks_fields) else {
            return Ok(None);
        };
        let before = SimulatedFile::from_snapshot(fields.clone());
        let situation = Situation {
            file,
            before: &before,
            removal: row.change.ai_tags.as_ref(),
            returned: row.progress.returned,
            extensions_run: &[],
        };
        let current = |name: &str| fields.custom_metadata.get(name);
        for extension in extensions.as_slice() {
            if let Some(problem) = policy.problem_of_extension(extension, current)
                && self.decide(extension, situation)? == Decision::Run
            {
                return Ok(Some(problem));
            }
        }
        Ok(None)
    }

    /// The value for which a row is held back, because it has lost something of the one in the library.
    fn held(&self, row: &PendingRow, fields: &FileFields) -> Option<Problem> {
        let is_held = |column: &str, finding: Finding| {
            let is_held_again = row.progress.held.contains(&finding);
            is_held_again && self.rules.can_hold(finding) || self.rules.holds(column, finding)
        };
        let LostPart { column, finding, new, old } =
            LostPart::find(&row.change, fields, &self.names, is_held)?;
        let shown = format!("{new} (library: {old})");
        Some(Problem::held(&column, &shown, finding, finding.fix()))
    }

    /// Adds the remaining rows and requests to the batch after the last row. Where a row beyond a limit
    /// decides whether the rows of its file take effect, they wait for a session that reads it.
    ///
    /// # Errors
    /// The ledger or the charges of earlier runs cannot be read.
    pub(crate) fn end(&mut self, batch: &mut Batch) -> Result<(), PlanError> {
        let mut files: Vec<_> = std::mem::take(&mut self.waiting_rows).into_iter().collect();
        files.sort_unstable_by_key(|(_, pending_rows)| {
            pending_rows.first().map(|pending| pending.pos)
        });
        for (file, pending_rows) in files {
            let record = self.ledger.file_record(file.as_str())?;
            let has_later_row = record.as_ref().is_some_and(|it| it.last_row > self.last_row);
            if has_later_row && self.rules.duplicates != Duplicates::InOrder {
                continue;
            }
            self.file(&file, pending_rows, record, batch)?;
        }
        self.batcher.end(batch);
        Ok(self.flush_kept()?)
    }

    /// Plans all rows of a file.
    fn file(
        &mut self,
        file: &FileId,
        pending_rows: Vec<PendingRow>,
        record: Option<FileRecord>,
        batch: &mut Batch,
    ) -> Result<(), PlanError> {
        let pending_rows = self.admitted_rows(file, pending_rows, record.as_ref(), batch)?;
        if pending_rows.is_empty() {
            return Ok(());
        }
        let simulated_file = match record.map(trusted_snapshot).unwrap_or_default() {
            Snapshot::Fields(fields) => SimulatedFile::from_snapshot(*fields),
            Snapshot::Unread => SimulatedFile::unknown(),
            Snapshot::Missing => {
                let rows = pending_rows
                    .iter()
                    .map(|pending| PlannedRow::done(pending.pos, &pending.progress, missing()));
                batch.rows.extend(rows);
                return Ok(());
            }
        };
        let first_open = pending_rows
            .iter()
            .find(|pending| !pending.progress.is_finished())
            .map(|pending| pending.pos.number);
        let work = self.work(file, pending_rows, simulated_file, batch)?;
        self.add_to_preview(file, &work, batch);
        let keeps_order = work.len() > 1 || work.iter().any(WorkItem::keeps_order);
        if self.may_follow_lost_requests && keeps_order {
            let lost = first_open.map(|row| (file.clone(), row));
            self.ledger.mark_lost(lost.as_slice())?;
        }
        for work in &work {
            self.record_kept(work)?;
        }
        for work in work {
            match work {
                WorkItem::Merged(merged) => self.merged_requests(file, &merged, keeps_order, batch),
                WorkItem::Leftover(pending) => self.leftover_requests(file, *pending, batch),
            }
        }
        Ok(())
    }

    /// The rows of a file that take effect; adds the others to the batch, with the reasons.
    fn admitted_rows(
        &mut self,
        file: &FileId,
        mut pending_rows: Vec<PendingRow>,
        record: Option<&FileRecord>,
        batch: &mut Batch,
    ) -> Result<Vec<PendingRow>, PlanError> {
        if self.has_cells
            && let Some(FileRecord { state: Snapshot::Fields(fields), .. }) = record
        {
            for row in &mut pending_rows {
                adopt_line_ends(&mut row.change, fields);
            }
        }
        self.hold(&mut pending_rows, record);
        let mut pending_rows = self.without_duplicates(file, pending_rows, batch);
        pending_rows.retain_mut(|row| match row.rejection.take() {
            Some(rejection) => {
                reject(row, *rejection, batch);
                false
            }
            None => true,
        });
        self.without_refused(file, pending_rows, record, batch)
    }

    /// Counts the work for a file, and adds its differences, if a preview is made.
    fn add_to_preview(&mut self, file: &FileId, work: &[WorkItem], batch: &mut Batch) {
        let Some(left) = self.preview else { return };
        batch.changed_files += u64::from(!work.is_empty());
        batch.lost_tags.extend(lost_tags(work));
        count_columns(work, &mut batch.columns);
        if left > 0 {
            let mut differences = differences(file, work);
            self.preview = Some(left - usize::from(!differences.is_empty()));
            batch.differences.append(&mut differences);
        }
    }

    /// Records what the rows keep, so that it is known what their requests set.
    fn record_kept(&mut self, work: &WorkItem) -> Result<(), LedgerError> {
        let rows = match work {
            WorkItem::Merged(work) => work.merged.pending_rows.as_slice(),
            WorkItem::Leftover(row) => std::slice::from_ref(&**row),
        };
        let kept = rows.iter().filter(|row| !row.kept.results.is_empty());
        self.kept.extend(kept.map(|row| (row.pos.number, row.kept.results.clone())));
        if self.kept.len() >= KEPT_ROWS_HELD { self.flush_kept() } else { Ok(()) }
    }

    fn flush_kept(&mut self) -> Result<(), LedgerError> {
        if !self.kept.is_empty() {
            self.ledger.set_kept(&self.kept)?;
            self.kept.clear();
        }
        Ok(())
    }

    /// The rows of a file that take effect, by the rules for duplicates; adds the others to the batch
    /// as done.
    fn without_duplicates(
        &self,
        file: &FileId,
        mut pending_rows: Vec<PendingRow>,
        batch: &mut Batch,
    ) -> Vec<PendingRow> {
        let is_in_order = self.rules.duplicates == Duplicates::InOrder;
        if pending_rows.len() < 2 || is_in_order && self.preview.is_none() {
            return pending_rows;
        }
        let mut values = FileValues::default();
        for PendingRow { pos, change, .. } in pending_rows.iter().filter(|row| row.is_valid()) {
            values.add(pos.number, change);
        }
        let has_invalid = pending_rows.iter().any(|row| !row.is_valid());
        let disagreement = values.disagreement(file, self.rules.duplicates);
        batch.disagreements.extend(disagreement.clone().filter(|_| self.preview.is_some()));
        let (outcome, kept) = match (self.rules.duplicates, disagreement) {
            (Duplicates::Last, _) => {
                let Some(last) = pending_rows.pop() else { return pending_rows };
                let invalid = if last.is_valid() { "" } else { ", and is invalid" };
                let message =
                    format!("row {} is the last of the same file{invalid}", last.pos.number);
                let code = Code::Superseded;
                (Outcome::local(Status::Unchanged, code, Some(message.into())), vec![last])
            }
            (Duplicates::Reject, disagreement) if has_invalid || disagreement.is_some() => {
                let rows: Vec<String> =
                    pending_rows.iter().map(|row| row.pos.number.to_string()).collect();
                let what = if disagreement.is_some() {
                    "ask for different values"
                } else {
                    "are not all valid"
                };
                let message =
                    format!("rows {} of the same file {what}; keep one of them", rows.join(", "));
                let invalid = pending_rows.extract_if(.., |row| !row.is_valid()).collect();
                (Outcome::local(Status::Rejected, Code::Invalid, Some(message.into())), invalid)
            }
            (Duplicates::InOrder | Duplicates::Reject, _) => return pending_rows,
        };
        let rows = pending_rows.iter();
        batch
            .rows
            .extend(rows.map(|row| PlannedRow::done(row.pos, &row.progress, outcome.clone())));
        kept
    }

    /// Makes the requests for the remaining steps of a row.
    fn leftover_requests(&mut self, file: &FileId, pending: PendingRow, batch: &mut Batch) {
        let PendingRow { pos, change, progress, .. } = pending;
        let update = Update { file: file.clone(), change };
        let mut requests = Vec::new();
        let row = Row { pos, content: Content::Update(update) };
        direct(row, &progress, &mut batch.rows, &mut requests);
        self.batcher.add(FileEdit { requests, tags: None }, batch);
    }

    /// Makes the requests for merged rows. Their tag changes wait for those of other files, unless
    /// the requests on the file must keep an order.
    fn merged_requests(
        &mut self,
        file: &FileId,
        work: &MergedWork,
        keeps_order: bool,
        batch: &mut Batch,
    ) {
        let MergedWork { merged, diff, before, left_out } = work;
        let file_requests = FileRequests::of(merged, diff, self.options.exact, keeps_order);
        let shared = file_requests.bulk_stages().next().filter(|_| !keeps_order);
        // For rows with only tag changes, the number of steps is known once their calls are.
        let open = shared.map(|(stage, _)| stage).filter(|_| file_requests.are_tags_alone());
        for pending in &merged.pending_rows {
            if open.is_some() && merged.stage_of(pending.pos.number) == open {
                continue;
            }
            let steps = file_requests
                .step_kinds(pending)
                .filter(|kind| pending.progress.needs(*kind))
                .count();
            batch.rows.push(match file_requests.step_kinds(pending).next() {
                Some(_) => {
                    let not_sent = file_requests.not_sent(pending);
                    let others = [file_requests.has_remainder(pending), not_sent.is_some()];
                    let steps = steps + others.into_iter().filter(|is_open| *is_open).count();
                    let progress = &pending.progress;
                    PlannedRow {
                        not_sent,
                        left_out: left_out.clone(),
                        ..PlannedRow::with_open_steps(pending.pos, steps, progress)
                    }
                }
                None => unsent_row(pending, merged, before),
            });
        }
        let mut requests = file_requests.detail_requests(file, before);
        requests.extend(file_requests.ai_tag_request(file));
        let tags =
            shared.map(|(stage, tags)| requests::tag_job(file, work, stage, tags, open.is_none()));
        if tags.is_none() {
            requests.extend(file_requests.tag_requests(file));
        }
        requests.extend(file_requests.publish_request(file));
        self.batcher.add(FileEdit { requests, tags }, batch);
    }
}

/// The snapshot of a file, unless a request of an earlier run may still change the file.
fn trusted_snapshot(record: FileRecord) -> Snapshot {
    match record.state {
        Snapshot::Fields(_) if record.unsettled => Snapshot::Unread,
        state => state,
    }
}

/// What the path policy of the file's folder does not allow. With `--no-schema` nothing is checked.
fn refused(
    details: &Details,
    fields: &FileFields,
    policy: &PathPolicy,
    names: &HeaderNames,
) -> Vec<Problem> {
    let is_checked =
        |field: &Field| matches!(field, Field::CustomMetadata(MetadataField { rule: Some(_), .. }));
    let checked = details.iter().filter(|(field, _)| is_checked(field));
    let problem = |(field, set): (&Field, &_)| {
        let problem = fields.refusal(policy, field, set)?;
        Some(problem.in_column(names.of(&field.column())))
    };
    checked.filter_map(problem).collect()
}

/// Rejects a row for what the state of its file shows.
fn reject(row: &PendingRow, rejection: Rejection, batch: &mut Batch) {
    let rejected = Row { pos: row.pos, content: Content::Rejected(Box::new(rejection)) };
    direct(rejected, &row.progress, &mut batch.rows, &mut batch.requests);
}

fn missing() -> Outcome {
    let message = "ImageKit has no such file; nothing was sent";
    Outcome::local(Status::Rejected, Code::NotFound, Some(message.into()))
}
