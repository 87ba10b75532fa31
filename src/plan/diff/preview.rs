//! The changes of a file for the preview, field by field, before → after.
//!
//! Text is quoted as in JSON, to show its spaces and to tell it from placeholders.

use std::fmt;

use serde_json::Value;

use super::file_diff::FileDiff;
use super::merge::{MergedRows, PendingRow};
use super::simulated_file::SimulatedFile;
use super::work::{MergedWork, WorkItem};
use crate::plan::{ColumnChanges, RowProgress, RowSteps};
use crate::request::{Patch, StepKind};
use crate::row::{
    AiTagRemoval, Extensions, Field, FileId, Publish, RowPos, SavedRef, TagChange, Update,
    as_slice_or_empty,
};

/// Maximum row numbers shown for each file.
const ROWS_NAMED_MAX: usize = 5;
/// Placeholder for an empty value.
const NONE: &str = "(none)";

/// The changes that rows make to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDifference {
    file: FileId,
    path: Option<String>,
    rows: Vec<u64>,
    has_more_rows: bool,
    fields: Vec<Difference>,
}

/// The change of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Difference {
    /// Name of the field.
    field: String,
    /// Values before and after, for display.
    change: String,
}

impl FileDifference {
    /// The file's path, or its id where the path is unknown, and the rows that change it.
    #[must_use]
    pub fn title(&self) -> String {
        let file = self.path.as_deref().unwrap_or(self.file.as_str());
        format!("{file}  {}", self.rows_text())
    }

    /// Its fields, each as `field: before → after`.
    pub fn fields(&self) -> impl Iterator<Item = String> {
        self.fields.iter().map(|Difference { field, change }| format!("{field}: {change}"))
    }

    fn rows_text(&self) -> String {
        let numbers = self.rows.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let noun = if self.rows.len() == 1 { "row" } else { "rows" };
        let more = if self.has_more_rows { ", …" } else { "" };
        format!("{noun} {numbers}{more}")
    }
}

impl fmt::Display for FileDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  ", self.file.as_str())?;
        if let Some(path) = &self.path {
            write!(f, "{}  ", quoted(path))?;
        }
        writeln!(f, "{}", self.rows_text())?;
        self.fields().try_for_each(|field| writeln!(f, "  {field}"))
    }
}

/// The changes of a file by group of merged rows, each relative to the state that the rows before
/// leave.
pub(super) fn differences(file: &FileId, work: &[WorkItem]) -> Vec<FileDifference> {
    let work = work.iter().filter_map(|work| match work {
        WorkItem::Merged(work) => Some(work),
        // The change depends on how the row's earlier steps turned out.
        WorkItem::Leftover(_) => None,
    });
    let differences = work.enumerate().map(|(index, work)| {
        let unknown = if index == 0 { "(unknown)" } else { "(set by earlier rows)" };
        let MergedWork { merged, before, .. } = work.as_ref();
        let rows = merged.pending_rows.iter().map(|pending| pending.pos.number);
        FileDifference {
            file: file.clone(),
            path: before.path().map(str::to_owned),
            rows: rows.take(ROWS_NAMED_MAX).collect(),
            has_more_rows: merged.pending_rows.len() > ROWS_NAMED_MAX,
            fields: FieldDiffs { unknown, all: Vec::new() }.collect(work),
        }
    });
    differences.filter(|difference| !difference.fields.is_empty()).collect()
}

/// The values that one row sets, for a file whose state is unknown.
pub(in crate::plan) fn difference_of_row(pos: RowPos, update: &Update) -> FileDifference {
    let (change, progress) = (update.change.clone(), RowProgress::default());
    let row = PendingRow::new(pos, change, progress);
    let (merged, before) = (MergedRows::of(row), SimulatedFile::unknown());
    let diff = FileDiff::of(&merged, &before, |_| true);
    let work = MergedWork { merged, diff, before, left_out: None };
    FileDifference {
        file: update.file.clone(),
        path: None,
        rows: vec![pos.number],
        has_more_rows: false,
        fields: FieldDiffs { unknown: "", all: Vec::new() }.collect(&work),
    }
}

/// The tags that a file has now and loses because rows replace or clear all of its tags; `None` if
/// there are none or its tags are unknown.
pub(super) fn lost_tags(work: &[WorkItem]) -> Option<Vec<String>> {
    let mut lost = Vec::new();
    for item in work {
        let WorkItem::Merged(item) = item else { continue };
        let changes = || item.merged.tags.iter().map(|stage| &stage.change);
        let replaces = changes().any(|change| !matches!(change, TagChange::Edit { .. }));
        let Some(before) = item.before.tags().filter(|_| replaces) else { continue };
        let mut after = before.to_vec();
        for change in changes() {
            after = change.after(Some(&after)).unwrap_or_default();
        }
        lost.extend(before.iter().filter(|tag| !after.contains(tag)).cloned());
    }
    (!lost.is_empty()).then_some(lost)
}

/// Counts what rows change on a file, by the columns that request it.
pub(super) fn count_columns(work: &[WorkItem], columns: &mut ColumnChanges) {
    for item in work {
        match item {
            WorkItem::Merged(item) => {
                let MergedWork { merged, diff, .. } = item.as_ref();
                if is_left(merged, StepKind::Details) {
                    columns.add_patch(&diff.patch);
                }
                for (stage, tags) in diff.changed_stages().filter(|_| are_tags_left(merged)) {
                    let change = &merged.tags[stage].change;
                    columns.add_tags(change, tags.remove.is_some(), tags.add.is_some());
                }
                if diff.publish.is_some() && is_left(merged, StepKind::Publish) {
                    columns.add(&Field::IsPublished, false);
                }
            }
            WorkItem::Leftover(row) => {
                let left = RowSteps::of(&row.change).filter(|(kind, _)| row.progress.needs(*kind));
                left.for_each(|(_, call)| columns.add_call(&call));
            }
        }
    }
}

/// Whether a step of merged rows is still to be sent: not if an earlier session sent it.
fn is_left(merged: &MergedRows, kind: StepKind) -> bool {
    merged.pending_rows.iter().any(|row| row.progress.needs(kind))
}

fn are_tags_left(merged: &MergedRows) -> bool {
    let kinds = [StepKind::Details, StepKind::RemoveTags, StepKind::AddTags];
    kinds.into_iter().any(|kind| is_left(merged, kind))
}

/// Collects the changes of a file's fields.
struct FieldDiffs {
    /// Placeholder for an unknown value.
    unknown: &'static str,
    all: Vec<Difference>,
}

impl FieldDiffs {
    fn collect(mut self, work: &MergedWork) -> Vec<Difference> {
        let MergedWork { merged, diff, before, .. } = work;
        if are_tags_left(merged) && diff.changed_stages().next().is_some() {
            let changes: Vec<&TagChange> = merged.tags.iter().map(|stage| &stage.change).collect();
            self.tags(before, &changes);
        }
        let nothing = Patch::default();
        let patch = if is_left(merged, StepKind::Details) { &diff.patch } else { &nothing };
        if let Some(removal) = &patch.remove_ai_tags {
            self.ai_tags(before, removal);
        }
        for (field, set) in patch.details.iter() {
            let after = set.value().unwrap_or(&Value::Null);
            let before = before.detail(field).map(|before| value(&before));
            self.add(&field.column(), before, &value(after));
        }
        for extension in patch.extensions.iter().flat_map(Extensions::as_slice) {
            let saved = extension.saved().map(|SavedRef { id, name }| format!("{name} ({id}) = "));
            let saved = saved.unwrap_or_default();
            self.push("extensions", format!("run {saved}{}", extension.config()));
        }
        if let Some(url) = &patch.webhook_url {
            self.push("webhookUrl", quoted(url.as_str()));
        }
        if let Some(publish) = diff.publish.filter(|_| is_left(merged, StepKind::Publish)) {
            self.publication(before, publish);
        }
        self.all
    }

    fn tags(&mut self, before: &SimulatedFile, changes: &[&TagChange]) {
        let current = before.tags();
        let mut after = current.map(<[String]>::to_vec);
        for change in changes {
            after = change.after(after.as_deref());
        }
        let Some(after) = after else {
            let edits: String = changes.iter().map(|change| edit_of(change)).collect();
            self.add("tags", None, &format!("(previous){edits}"));
            return;
        };
        let mut change = list(&after);
        if let Some(current) = current
            && current.iter().any(|tag| after.contains(tag))
        {
            let removed = current.iter().filter(|tag| !after.contains(tag));
            let added = after.iter().filter(|tag| !current.contains(tag));
            change.push_str(&format!("  ({})", edit(removed, added).trim_start()));
        }
        self.add("tags", current.map(list), &change);
    }

    fn ai_tags(&mut self, before: &SimulatedFile, removal: &AiTagRemoval) {
        let current = before.ai_tags();
        let after = match (removal, &current) {
            (AiTagRemoval::All, _) => NONE.to_owned(),
            (AiTagRemoval::Named(names), None) => format!("(previous){}", edit(names.iter(), [])),
            (AiTagRemoval::Named(names), Some(current)) => {
                list(current.iter().filter(|current| names.iter().all(|name| name != **current)))
            }
        };
        self.add("AITags", current.as_ref().map(list), &after);
    }

    fn publication(&mut self, before: &SimulatedFile, publish: Publish) {
        let Publish { is_published, include_file_versions } = publish;
        let versions = match include_file_versions {
            Some(true) => ", including all versions",
            _ => "",
        };
        let current = before.publication().map(|current| current.to_string());
        self.add("isPublished", current, &format!("{is_published}{versions}"));
    }

    /// Adds a change between two values; `before` is `None` if unknown.
    fn add(&mut self, field: &str, before: Option<String>, after: &str) {
        let before = before.unwrap_or_else(|| self.unknown.to_owned());
        let arrow = if before.is_empty() { "" } else { " → " };
        self.push(field, format!("{before}{arrow}{after}"));
    }

    fn push(&mut self, field: &str, change: String) {
        self.all.push(Difference { field: field.to_owned(), change });
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Formats a value; none and an empty text are the same.
fn value(value: &Value) -> String {
    if value.is_null() || value == "" { NONE.to_owned() } else { value.to_string() }
}

fn list<T: AsRef<str>>(tags: impl IntoIterator<Item = T>) -> String {
    let tags: Vec<String> = tags.into_iter().map(|tag| quoted(tag.as_ref())).collect();
    if tags.is_empty() { NONE.to_owned() } else { format!("[{}]", tags.join(", ")) }
}

/// Formats removed and added tags.
fn edit<'t>(
    removed: impl IntoIterator<Item = &'t String>,
    added: impl IntoIterator<Item = &'t String>,
) -> String {
    let removed = removed.into_iter().map(|tag| format!(" - {}", quoted(tag)));
    let added = added.into_iter().map(|tag| format!(" + {}", quoted(tag)));
    removed.chain(added).collect()
}

fn edit_of(change: &TagChange) -> String {
    match change {
        TagChange::Edit { add, remove } => {
            edit(as_slice_or_empty(remove.as_ref()), as_slice_or_empty(add.as_ref()))
        }
        TagChange::Replace(_) | TagChange::Clear => String::new(),
    }
}
