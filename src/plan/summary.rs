//! What an input would do, counted before anything is sent.

use std::collections::BTreeMap;

use super::{Batch, steps};
use crate::imagekit::body;
use crate::ledger::Counters;
use crate::outcome::{Code, Status};
use crate::request::{Call, Request};
use crate::row::{Change, ExtensionName, Extensions, FileId, MetadataField, Set};

/// How many requests are kept to be shown.
const REQUESTS_SHOWN_MAX: usize = 3;
/// How many bad rows are kept to be shown.
const BAD_SHOWN_MAX: usize = 1000;

/// The count of a whole input.
#[derive(Debug, Default, Clone)]
pub struct PlanSummary {
    /// Rows read.
    pub rows: u64,
    /// Rows that an earlier session of the run settled.
    pub settled_before: u64,
    /// Rows that break our rules.
    pub rejected: u64,
    /// Rows that ask for nothing.
    pub without_change: u64,
    /// Rows for which nothing is sent, because it is so already or will be by other rows.
    pub up_to_date: u64,
    /// Rows for which nothing is sent, because an earlier run paid for their extensions and the rest
    /// is so already.
    pub already_ran: u64,
    /// Rows whose file ImageKit does not have.
    pub missing: u64,
    /// Some of those that break our rules or have no file, with what is wrong, in the order in which
    /// they came out.
    pub first_bad: Vec<(u64, String)>,
    /// Rows whose files have not been looked up yet. What they ask for is counted all the same, one
    /// write a step, although some of them may share one.
    pub unresolved: u64,
    /// Writes.
    pub writes: u64,
    /// The same, by kind.
    pub by_kind: Counters,
    /// Reads: the state before each request that must not be repeated.
    pub reads: u64,
    /// How often each field is set.
    pub set: BTreeMap<String, u64>,
    /// How often each field is cleared.
    pub cleared: BTreeMap<String, u64>,
    /// Runs asked of each extension.
    pub paid_runs: BTreeMap<ExtensionName, u64>,
    /// The first requests.
    pub first_requests: Vec<Preview>,
}

/// One request, to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// Method and path.
    pub target: String,
    /// The JSON body.
    pub body: String,
}

impl PlanSummary {
    /// Counts a batch.
    pub fn add(&mut self, batch: &Batch) {
        for row in &batch.rows {
            self.rows += 1;
            let Some(outcome) = &row.settled else {
                self.settled_before += u64::from(row.open == 0);
                continue;
            };
            match (outcome.status, outcome.code) {
                (Status::Rejected, Some(Code::NotFound)) => {
                    self.missing += 1;
                    self.keep_bad(row.pos.number, "ImageKit has no such file");
                }
                (Status::Rejected, _) => {
                    self.rejected += 1;
                    self.keep_bad(row.pos.number, outcome.message.as_deref().unwrap_or_default());
                }
                (_, Some(Code::UpToDate | Code::Superseded)) => self.up_to_date += 1,
                (_, Some(Code::AlreadyRan)) => self.already_ran += 1,
                _ => self.without_change += 1,
            }
        }
        for request in &batch.requests {
            self.writes += 1;
            self.by_kind.count(request.call());
            self.reads += u64::from(matches!(request, Request::AtMostOnce(_)));
            self.count_fields(request.call(), files_done(request));
            if self.first_requests.len() < REQUESTS_SHOWN_MAX {
                self.first_requests.push(Preview::of(request));
            }
        }
    }

    fn keep_bad(&mut self, row: u64, why: &str) {
        if self.first_bad.len() < BAD_SHOWN_MAX {
            self.first_bad.push((row, why.to_owned()));
        }
    }

    /// Counts a row whose file has not been looked up yet.
    pub fn add_unresolved(&mut self, change: Change) {
        self.rows += 1;
        self.unresolved += 1;
        self.without_change += u64::from(change.is_empty());
        for (_, call) in steps(change).into_iter().flatten() {
            self.writes += 1;
            self.count_fields(&call, 1);
        }
    }

    /// The share of rows that break our rules, from 0 to 1.
    #[must_use]
    pub fn rejected_share(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
        let share = self.rejected as f64 / self.rows.max(1) as f64;
        share
    }

    /// Counts what a call asks of so many files.
    fn count_fields(&mut self, call: &Call, files: u64) {
        match call {
            Call::AddTags(_) => self.count("addTags", false, files),
            Call::RemoveTags(_) => self.count("removeTags", false, files),
            Call::Publish(_) => self.count("isPublished", false, files),
            // No row asks for it.
            Call::ReadBack(_) => {}
            Call::Details(patch) => {
                let fields = [
                    ("tags", patch.tags.as_ref().map(|set| *set == Set::Clear)),
                    ("removeAITags", patch.remove_ai_tags.as_ref().map(|_| false)),
                    ("customCoordinates", patch.coordinates.as_ref().map(|set| *set == Set::Clear)),
                    ("description", patch.description.as_ref().map(|set| *set == Set::Clear)),
                    ("extensions", patch.extensions.as_ref().map(|_| false)),
                ];
                for (name, clears) in fields {
                    if let Some(clears) = clears {
                        self.count(name, clears, files);
                    }
                }
                for (field, set) in &patch.metadata {
                    let name = MetadataField::column_of(&field.name);
                    self.count(&name, *set == Set::Clear, files);
                }
                for extension in patch.extensions.iter().flat_map(Extensions::as_slice) {
                    *self.paid_runs.entry(extension.name()).or_default() += 1;
                }
            }
        }
    }

    fn count(&mut self, field: &str, clears: bool, files: u64) {
        let counts = if clears { &mut self.cleared } else { &mut self.set };
        match counts.get_mut(field) {
            Some(count) => *count += files,
            None => {
                counts.insert(field.to_owned(), files);
            }
        }
    }
}

/// For how many files nothing of the kind follows. Several rows of one file stand side by side.
fn files_done(request: &Request) -> u64 {
    let steps = request.files().iter().zip(request.steps());
    let mut files: Vec<&FileId> =
        steps.filter(|(_, step)| step.kind.part_of().is_none()).map(|(file, _)| file).collect();
    files.dedup();
    files.len() as u64
}

impl Preview {
    fn of(request: &Request) -> Self {
        let (call, files) = (request.call(), request.files());
        let (method, path) = body::target(call, files);
        Self {
            target: format!("{method} {path}"),
            body: String::from_utf8_lossy(&body::encode(call, files)).into_owned(),
        }
    }
}
