//! Counts what a plan would do, before anything is sent.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{
    Batch, ColumnChanges, Disagreement, FileDifference, InvalidCells, PlannedRow, RowSteps,
    SkippedExtensions,
};
use crate::findings::ColumnFinding;
use crate::imagekit::body;
use crate::ledger::Counters;
use crate::outcome::{Code, Outcome, Status};
use crate::request::{Call, Request};
use crate::row::{Change, Extension, Extensions, Problem};
use crate::spending::Runs;

/// Maximum requests kept for the preview.
const REQUESTS_SHOWN_MAX: usize = 3;
/// Files whose changes are shown as examples.
pub(crate) const EXAMPLES_MAX: usize = 3;
/// Distinct lost tags that are counted.
const LOST_TAGS_MAX: usize = 1000;

/// Counts over a whole input.
#[derive(Debug, Default, Clone)]
pub struct PlanSummary {
    /// Rows read.
    pub rows: u64,
    /// Rows that an earlier session of the run finished.
    pub done_before: u64,
    /// Rows that are invalid by our rules.
    pub rejected: u64,
    /// Rows without a change.
    pub without_change: u64,
    /// Rows for which nothing is sent, because the file has the requested values.
    pub up_to_date: u64,
    /// Rows for which nothing is sent, because later rows of the same file take effect instead.
    pub superseded: u64,
    /// Rows for which nothing is sent, because their extensions ran before and the file has the other
    /// values.
    pub already_ran: u64,
    /// Extension runs that are not sent, because they are evident; counted by the diff planner for a
    /// preview.
    pub skipped_extensions: SkippedExtensions,
    /// Rows whose file ImageKit does not have.
    pub missing: u64,
    /// Rows whose files are not resolved yet. Their steps count as one write each, although some
    /// may share a call.
    pub unresolved: u64,
    /// Write requests.
    pub writes: u64,
    /// Requests by kind.
    pub by_kind: Counters,
    /// Read requests: one snapshot per at-most-once request.
    pub reads: u64,
    /// Files that change; counted by the diff planner for a preview.
    pub changed_files: u64,
    /// Changes by column.
    pub columns: ColumnChanges,
    /// Tags that files lose because a row replaces or clears all of them.
    pub lost_tags: LostTags,
    /// Number of runs of each extension.
    pub extension_runs: Runs,
    /// What the extensions refer to in the account.
    pub references: ExtensionReferences,
    /// Rows with a `webhookUrl` and without extensions, for which it has no effect.
    pub idle_webhooks: u64,
    /// The first requests, for the preview.
    pub first_requests: Vec<RequestPreview>,
    /// The first files that change, field by field.
    pub examples: Vec<FileDifference>,
    /// Invalid cells, and rows whose file was not found, by cause.
    pub invalid: InvalidCells,
    /// Files in several rows that ask for different values.
    pub disagreements: u64,
    /// The first of these files.
    pub first_disagreement: Option<Disagreement>,
    /// What columns show as a whole.
    pub findings: Vec<ColumnFinding>,
}

/// What planned extensions refer to in the account.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ExtensionReferences {
    /// Whether any may be a saved extension, whose configuration is not read yet.
    pub unresolved: bool,
    /// Whether any names custom metadata fields.
    pub fields: bool,
    /// The ids of the saved extensions.
    pub saved: BTreeSet<Box<str>>,
}

impl ExtensionReferences {
    fn add(&mut self, extension: &Extension) {
        self.unresolved |= !extension.is_resolved();
        self.fields |= extension.names_fields();
        if let Some(saved) = extension.saved().filter(|saved| !self.saved.contains(&saved.id)) {
            self.saved.insert(saved.id.clone());
        }
    }
}

/// Tags that files lose.
#[derive(Debug, Default, Clone)]
pub struct LostTags {
    /// Files that lose any.
    pub files: u64,
    /// Files that lose each tag.
    pub tags: BTreeMap<String, u64>,
    /// Files that lose tags beyond the first 1,000 distinct ones.
    pub others: u64,
}

impl LostTags {
    fn add(&mut self, lost: &[String]) {
        self.files += 1;
        let mut is_other = false;
        for tag in lost {
            if let Some(count) = self.tags.get_mut(tag) {
                *count += 1;
            } else if self.tags.len() < LOST_TAGS_MAX {
                self.tags.insert(tag.clone(), 1);
            } else {
                is_other = true;
            }
        }
        self.others += u64::from(is_other);
    }

    /// The tags that most files lose, the most frequent first.
    #[must_use]
    pub fn most_frequent(&self) -> Vec<(&str, u64)> {
        let mut tags: Vec<(&str, u64)> =
            self.tags.iter().map(|(tag, count)| (tag.as_str(), *count)).collect();
        tags.sort_by_key(|(_, count)| Reverse(*count));
        tags
    }
}

/// A request for the preview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPreview {
    /// Method and path.
    pub target: String,
    /// The JSON body.
    pub body: String,
}

impl PlanSummary {
    /// Counts a batch, without its columns.
    pub fn add(&mut self, batch: &Batch) {
        for row in &batch.rows {
            self.rows += 1;
            let Some(outcome) = &row.outcome else {
                self.done_before += u64::from(row.open == 0);
                continue;
            };
            match (outcome.status, outcome.code) {
                (Status::Rejected, Some(Code::NotFound)) => {
                    self.missing += 1;
                    let fix = "check its id, or remove the row";
                    let problem = Problem::new("fileId", "", "ImageKit has no such file", fix);
                    self.invalid.add(row.pos, Code::NotFound, problem);
                }
                (Status::Rejected, code) => {
                    self.rejected += 1;
                    self.add_invalid(row, code.unwrap_or(Code::Invalid), outcome);
                }
                (_, Some(Code::UpToDate)) => self.up_to_date += 1,
                (_, Some(Code::Superseded)) => self.superseded += 1,
                (_, Some(Code::AlreadyRan)) => self.already_ran += 1,
                _ => self.without_change += 1,
            }
        }
        self.changed_files += batch.changed_files;
        self.skipped_extensions += batch.skipped_extensions;
        batch.lost_tags.iter().for_each(|lost| self.lost_tags.add(lost));
        self.disagreements += batch.disagreements.len() as u64;
        if self.first_disagreement.is_none() {
            self.first_disagreement = batch.disagreements.first().cloned();
        }
        let room = EXAMPLES_MAX.saturating_sub(self.examples.len());
        self.examples.extend(batch.differences.iter().take(room).cloned());
        for request in &batch.requests {
            self.writes += 1;
            self.by_kind.count(request.call());
            self.reads += u64::from(matches!(request, Request::AtMostOnce(_)));
            self.count_extensions(request.call());
            if self.first_requests.len() < REQUESTS_SHOWN_MAX {
                self.first_requests.push(RequestPreview::of(request));
            }
        }
    }

    /// Counts what a row asks for and will not get.
    pub fn add_change(&mut self, change: &Change) {
        let is_idle = change.webhook_url.is_some() && change.extensions.is_none();
        self.idle_webhooks += u64::from(is_idle);
    }

    /// Adds the problems of an invalid row.
    fn add_invalid(&mut self, row: &PlannedRow, code: Code, outcome: &Outcome) {
        let Some(rejection) = &row.rejection else {
            let message = outcome.message.as_deref().unwrap_or_default();
            return self.invalid.add(row.pos, code, Problem::of_row(message));
        };
        for problem in rejection.problems() {
            self.invalid.add(row.pos, code, problem.clone());
        }
    }

    /// Counts a row whose file is not resolved yet, and takes the steps out of its change.
    pub fn add_unresolved(&mut self, change: &mut Change) {
        self.rows += 1;
        self.unresolved += 1;
        self.without_change += u64::from(change.is_empty());
        for (_, call) in RowSteps::take_from(change) {
            self.writes += 1;
            self.columns.add_call(&call);
            self.count_extensions(&call);
        }
    }

    fn count_extensions(&mut self, call: &Call) {
        let Call::Details(patch) = call else { return };
        for extension in patch.extensions.iter().flat_map(Extensions::as_slice) {
            self.extension_runs.add(extension.name(), 1);
            self.references.add(extension);
        }
    }

    /// Share of invalid rows, from 0 to 1.
    #[must_use]
    pub fn rejected_share(&self) -> f64 {
        self.rejected_share_without(0)
    }

    /// The same without rejected rows that may be valid.
    #[must_use]
    pub fn rejected_share_without(&self, undecided: u64) -> f64 {
        let rejected = self.rejected.saturating_sub(undecided);
        #[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
        let share = rejected as f64 / self.rows.max(1) as f64;
        share
    }
}

impl RequestPreview {
    fn of(request: &Request) -> Self {
        let (call, files) = (request.call(), request.files());
        let (method, path) = body::target(call, files);
        Self {
            target: format!("{method} {path}"),
            body: String::from_utf8_lossy(&body::encode(call, files)).into_owned(),
        }
    }
}
