//! Rows that did not succeed and were overtaken by a later one: sent again, they would undo what
//! the later row did.

use std::collections::HashMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::input::{Input, Records};
use crate::ledger::{LedgerFile, StepRecord};
use crate::outcome::Status;
use crate::request::StepKind;
use crate::row::{Resolved, TagChange, words};

use super::error::ReportError;
use super::row::RowResult;

/// By which row, and in what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overtaken {
    pub(super) by: u64,
    /// Columns that must not be sent again, because a later row of the file has done something else.
    pub(super) fields: Vec<String>,
    /// Columns that can be.
    pub(super) left: Vec<String>,
    edit: Option<TagChange>,
}

/// Rows that were overtaken. Memory is taken only by rows that did not succeed.
pub(super) struct Superseded<'r> {
    input: &'r Input,
    files: Option<&'r Arc<Resolved>>,
    ledger: &'r LedgerFile,
    /// Not looked for before there is a row that may be one.
    rows: Option<HashMap<u64, Overtaken>>,
}

impl<'r> Superseded<'r> {
    pub(super) fn new(
        input: &'r Input,
        files: Option<&'r Arc<Resolved>>,
        ledger: &'r LedgerFile,
    ) -> Self {
        Self { input, files, ledger, rows: None }
    }

    /// What is known of a row of this status.
    pub(super) fn of(
        &mut self,
        row: u64,
        status: Status,
    ) -> Result<Option<&Overtaken>, ReportError> {
        if !matches!(status, Status::Rejected | Status::Failed) {
            return Ok(None);
        }
        let rows = match &mut self.rows {
            Some(rows) => rows,
            unknown => unknown.insert(find(self.input.records(self.files)?, self.ledger)?),
        };
        Ok(rows.get(&row))
    }
}

/// Looks through input and ledger side by side.
fn find(mut records: Records, ledger: &LedgerFile) -> Result<HashMap<u64, Overtaken>, ReportError> {
    // By file, the rows that did not succeed so far.
    let mut waiting: HashMap<u64, Vec<u64>> = HashMap::new();
    let mut open: HashMap<u64, Overtaken> = HashMap::new();
    let mut steps: Vec<StepRecord> = Vec::new();
    ledger.steps(0, |mut ledger_steps| {
        while let Some(pos) = records.advance()? {
            ledger_steps.of_row(pos.number, &mut steps)?;
            let status = RowResult::of(&steps).status;
            let file = xxh3_64(records.file_id().as_bytes());
            match status {
                Status::Rejected | Status::Failed => {
                    waiting.entry(file).or_default().push(pos.number);
                    let mut left = columns(&records);
                    left.retain(|column| !is_done(column, &steps));
                    let edit = records.tag_edit();
                    open.insert(pos.number, Overtaken { by: 0, fields: Vec::new(), left, edit });
                }
                Status::Updated => {
                    let Some(rows) = waiting.get(&file) else {
                        continue;
                    };
                    let (set, edit) = (columns(&records), records.tag_edit());
                    for row in rows {
                        if let Some(row) = open.get_mut(row) {
                            row.overtake(pos.number, &set, edit.as_ref());
                        }
                    }
                }
                _ => {}
            }
        }
        Ok::<_, ReportError>(())
    })?;
    open.retain(|_, row| !row.fields.is_empty());
    Ok(open)
}

impl Overtaken {
    fn overtake(&mut self, by: u64, set: &[String], edit: Option<&TagChange>) {
        let edits = (self.edit.take(), edit);
        let is_overtaken = |field: &String| {
            set.iter().any(|later| match (field.as_str(), later.as_str(), &edits) {
                ("addTags", "removeTags", (Some(before), Some(edit))) => {
                    meet(added(before), removed(edit))
                }
                ("removeTags", "addTags", (Some(before), Some(edit))) => {
                    meet(removed(before), added(edit))
                }
                _ => overtakes(later, field),
            })
        };
        let (overtaken, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.left).into_iter().partition(is_overtaken);
        self.left = left;
        if !overtaken.is_empty() {
            self.by = by;
            self.fields.extend(overtaken);
        }
        self.edit = edits.0;
    }

    /// Whether later rows did everything that the row asked for.
    pub(super) fn is_whole(&self) -> bool {
        self.left.is_empty()
    }

    pub(super) fn message(&self, before: &str) -> String {
        let Self { by, fields, left, .. } = self;
        let mut message = format!("overtaken by row {by} in {}", fields.join(", "));
        if !left.is_empty() {
            message.push_str(&format!("; not applied: {}", left.join(", ")));
        }
        format!("{message}; before that: {before}")
    }
}

/// The columns that a record touches and that a later one can overtake or leave. A webhook URL is no
/// field of the file.
fn columns(records: &Records) -> Vec<String> {
    let mut columns = records.touched();
    columns.retain(|column| column != "webhookUrl");
    columns
}

/// Whether what a row asks for in a column was done before something else of it was not.
fn is_done(column: &str, steps: &[StepRecord]) -> bool {
    let has = |kind| steps.iter().any(|record| record.step.kind == kind);
    let is_done = |kind| {
        let mut of_kind = steps.iter().filter(|record| record.step.kind == kind);
        of_kind.any(|record| record.outcome.status.is_success())
    };
    match column {
        "addTags" => is_done(StepKind::AddTags),
        "removeTags" => is_done(StepKind::RemoveTags),
        "isPublished" | "includeFileVersions" => is_done(StepKind::Publish),
        "tags" if has(StepKind::RemoveTags) || has(StepKind::AddTags) => false,
        _ => is_done(StepKind::Details),
    }
}

fn added(edit: &TagChange) -> &[String] {
    match edit {
        TagChange::Edit { add, .. } => words(add.as_ref()),
        TagChange::Replace(_) | TagChange::Clear => &[],
    }
}

fn removed(edit: &TagChange) -> &[String] {
    match edit {
        TagChange::Edit { remove, .. } => words(remove.as_ref()),
        TagChange::Replace(_) | TagChange::Clear => &[],
    }
}

fn meet(one: &[String], other: &[String]) -> bool {
    one.iter().any(|tag| other.contains(tag))
}

/// Whether what a row asks for in one column, sent again, would undo what a later row has done in
/// another. Tags that are only added are not undone by adding others, nor is an extension by running
/// another.
fn overtakes(later: &str, earlier: &str) -> bool {
    match earlier {
        "tags" => matches!(later, "tags" | "addTags" | "removeTags"),
        "addTags" => matches!(later, "tags" | "removeTags"),
        "removeTags" => matches!(later, "tags" | "addTags"),
        // What was bought, if that tags.
        "removeAITags" => later == "extensions",
        "extensions" => false,
        "isPublished" | "includeFileVersions" => {
            matches!(later, "isPublished" | "includeFileVersions")
        }
        _ => later == earlier,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_would_undo_a_later_row_is_overtaken() {
        let earlier = |columns: &[&str]| Overtaken {
            by: 0,
            fields: Vec::new(),
            left: columns.iter().map(|column| (*column).to_owned()).collect(),
            edit: None,
        };
        let left = |before: &[&str], later: &str| {
            let mut row = earlier(before);
            row.overtake(3, &[later.to_owned()], None);
            row.left
        };
        assert!(left(&["tags"], "addTags").is_empty());
        assert!(left(&["addTags", "removeTags"], "tags").is_empty());
        assert!(left(&["isPublished", "includeFileVersions"], "isPublished").is_empty());
        assert!(left(&["customMetadata.a"], "customMetadata.a").is_empty());
        assert!(left(&["removeAITags"], "extensions").is_empty());
        for stays in ["addTags", "removeTags", "removeAITags", "extensions"] {
            assert_eq!(left(&[stays], stays), [stays]);
        }
        assert_eq!(left(&["customMetadata.a", "description"], "description"), ["customMetadata.a"]);
    }
}
