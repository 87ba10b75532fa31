//! What becomes of a file, field by field: for people.
//!
//! Text stands in quotes, as in JSON, so that its spaces can be seen and nothing else looks like it.

use std::fmt;

use serde_json::Value;

use super::diff::FileDiff;
use super::merge::{MergedRows, PendingRow};
use super::simulated_file::SimulatedFile;
use super::work::{MergedWork, WorkItem};
use crate::plan::{Columns, RowProgress, steps};
use crate::row::{
    AiTagRemoval, Extensions, FileId, MetadataField, Publish, RowPos, TagChange, Update,
    as_slice_or_empty,
};

/// So many rows are named for each file.
const ROWS_NAMED_MAX: usize = 5;
/// What stands where there is nothing.
const NONE: &str = "(none)";

/// What rows change on a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDifference {
    file: FileId,
    path: Option<String>,
    rows: Vec<u64>,
    has_more_rows: bool,
    fields: Vec<Difference>,
}

/// One field of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Difference {
    /// Its name.
    field: String,
    /// What is there, and what will be.
    what: String,
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
        self.fields.iter().map(|Difference { field, what }| format!("{field}: {what}"))
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

/// What the rows of a file change, one after the other: each time from what those before leave.
pub(super) fn differences(file: &FileId, work: &[WorkItem]) -> Vec<FileDifference> {
    let together = work.iter().filter_map(|work| match work {
        WorkItem::Merged(together) => Some(together),
        // Nothing has been done for a row of which it is still to be seen what it changes.
        WorkItem::Leftover(_) => None,
    });
    let of_rows = together.enumerate().map(|(index, together)| {
        let not_known = if index == 0 { "(unknown)" } else { "(set by earlier rows)" };
        let MergedWork { merged, before, .. } = together.as_ref();
        let rows = merged.pending_rows.iter().map(|pending| pending.pos.number);
        FileDifference {
            file: file.clone(),
            path: before.path().map(str::to_owned),
            rows: rows.take(ROWS_NAMED_MAX).collect(),
            has_more_rows: merged.pending_rows.len() > ROWS_NAMED_MAX,
            fields: Fields { not_known, all: Vec::new() }.of(together),
        }
    });
    of_rows.collect()
}

/// What one row sets, for a file whose state is unknown.
pub(in crate::plan) fn difference_of_row(pos: RowPos, update: &Update) -> FileDifference {
    let row = PendingRow { pos, change: update.change.clone(), behind: RowProgress::default() };
    let (merged, before) = (MergedRows::of(row), SimulatedFile::nothing());
    let diff = FileDiff::of(&merged, &before, |_| true);
    let work = MergedWork { merged, diff, before };
    FileDifference {
        file: update.file.clone(),
        path: None,
        rows: vec![pos.number],
        has_more_rows: false,
        fields: Fields { not_known: "", all: Vec::new() }.of(&work),
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
pub(super) fn count_columns(work: &[WorkItem], columns: &mut Columns) {
    for item in work {
        match item {
            WorkItem::Merged(item) => {
                let MergedWork { merged, diff, .. } = item.as_ref();
                columns.add_patch(&diff.patch);
                for (stage, tags) in diff.tags_needed() {
                    let change = &merged.tags[stage].change;
                    columns.add_tags(change, tags.remove.is_some(), tags.add.is_some());
                }
                if diff.publish.is_some() {
                    columns.add("isPublished", false);
                }
            }
            WorkItem::Leftover(row) => {
                let calls = steps(row.change.clone()).into_iter().flatten();
                calls.for_each(|(_, call)| columns.add_call(&call));
            }
        }
    }
}

/// The fields of a file, one after the other.
struct Fields {
    /// What stands where nobody knows what is there.
    not_known: &'static str,
    all: Vec<Difference>,
}

impl Fields {
    fn of(mut self, together: &MergedWork) -> Vec<Difference> {
        let MergedWork { merged, diff, before } = together;
        if diff.tags_needed().next().is_some() {
            let changes: Vec<&TagChange> = merged.tags.iter().map(|part| &part.change).collect();
            self.tags(before, &changes);
        }
        let patch = &diff.patch;
        if let Some(removal) = &patch.remove_ai_tags {
            self.ai_tags(before, removal);
        }
        if let Some(set) = &patch.coordinates {
            let after = set.value().map(ToString::to_string).unwrap_or_default();
            self.add("customCoordinates", before.coordinates().map(text), &text(&after));
        }
        if let Some(set) = &patch.description {
            let after = set.value().map(AsRef::as_ref).unwrap_or_default();
            self.add("description", before.description().map(text), &text(after));
        }
        for (field, set) in &patch.metadata {
            let after = set.value().unwrap_or(&Value::Null);
            let field_name = MetadataField::column_of(&field.name);
            self.add(&field_name, before.metadata(field).map(value), &value(after));
        }
        for extension in patch.extensions.iter().flat_map(Extensions::as_slice) {
            self.put("extensions", format!("run {}", extension.config()));
        }
        if let Some(url) = &patch.webhook_url {
            self.put("webhookUrl", quoted(url.as_str()));
        }
        if let Some(publish) = diff.publish {
            self.publication(before, publish);
        }
        self.all
    }

    fn tags(&mut self, before: &SimulatedFile, changes: &[&TagChange]) {
        let has = before.tags();
        let mut after = has.map(<[String]>::to_vec);
        for change in changes {
            after = change.after(after.as_deref());
        }
        let Some(after) = after else {
            let edits: String = changes.iter().map(|change| edit_of(change)).collect();
            self.add("tags", None, &format!("the same{edits}"));
            return;
        };
        let mut what = list(&after);
        if let Some(has) = has
            && has.iter().any(|tag| after.contains(tag))
        {
            let gone = has.iter().filter(|tag| !after.contains(tag));
            let new = after.iter().filter(|tag| !has.contains(tag));
            what.push_str(&format!("  ({})", edit(gone, new).trim_start()));
        }
        self.add("tags", has.map(list), &what);
    }

    fn ai_tags(&mut self, before: &SimulatedFile, removal: &AiTagRemoval) {
        let has = before.ai_tags();
        let after = match (removal, &has) {
            (AiTagRemoval::All, _) => NONE.to_owned(),
            (AiTagRemoval::Named(names), None) => format!("the same{}", edit(names.iter(), [])),
            (AiTagRemoval::Named(names), Some(has)) => {
                list(has.iter().filter(|has| names.iter().all(|name| name != **has)))
            }
        };
        self.add("AITags", has.as_ref().map(list), &after);
    }

    fn publication(&mut self, before: &SimulatedFile, publish: Publish) {
        let Publish { is_published, include_file_versions } = publish;
        let versions = match include_file_versions {
            Some(true) => ", with all its versions",
            _ => "",
        };
        let has = before.publication().map(|has| has.to_string());
        self.add("isPublished", has, &format!("{is_published}{versions}"));
    }

    /// From one value to another; `None` where nobody knows what is there.
    fn add(&mut self, field: &str, before: Option<String>, after: &str) {
        let before = before.unwrap_or_else(|| self.not_known.to_owned());
        let arrow = if before.is_empty() { "" } else { " → " };
        self.put(field, format!("{before}{arrow}{after}"));
    }

    fn put(&mut self, field: &str, what: String) {
        self.all.push(Difference { field: field.to_owned(), what });
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Text; none is the same as an empty one.
fn text(text: &str) -> String {
    if text.is_empty() { NONE.to_owned() } else { quoted(text) }
}

fn value(value: &Value) -> String {
    if value.is_null() { NONE.to_owned() } else { value.to_string() }
}

fn list<T: AsRef<str>>(tags: impl IntoIterator<Item = T>) -> String {
    let tags: Vec<String> = tags.into_iter().map(|tag| quoted(tag.as_ref())).collect();
    if tags.is_empty() { NONE.to_owned() } else { format!("[{}]", tags.join(", ")) }
}

/// The tags that go, and those that come.
fn edit<'t>(
    gone: impl IntoIterator<Item = &'t String>,
    new: impl IntoIterator<Item = &'t String>,
) -> String {
    let gone = gone.into_iter().map(|tag| format!(" - {}", quoted(tag)));
    let new = new.into_iter().map(|tag| format!(" + {}", quoted(tag)));
    gone.chain(new).collect()
}

fn edit_of(change: &TagChange) -> String {
    match change {
        TagChange::Edit { add, remove } => {
            edit(as_slice_or_empty(remove.as_ref()), as_slice_or_empty(add.as_ref()))
        }
        TagChange::Replace(_) | TagChange::Clear => String::new(),
    }
}
