//! Finds the edits of failed rows that later rows of the same file superseded.
//!
//! Rows of one file apply in sheet order, and the last one wins. If row 2 fails and row 5 then sets
//! the same column, applying row 2 again from `failed.*` would overwrite the newer value. So
//! `failed.*` must only contain the edits of row 2 that no later row superseded.
//!
//! [`find_superseded`] reads the input and the ledger side by side, row by row:
//!
//! 1. A rejected or failed row is kept in memory with its remaining edits: all its columns, except
//!    those that its own successful steps applied.
//! 2. Each later row of the same file removes from them the columns that it applied or found up to
//!    date (see [`supersedes`]).
//! 3. Tags are compared by tag, not by column: [`remaining_tag_change`] computes the change that,
//!    applied after the later row, gives the same tags as both rows in sheet order.
//!
//! A row without remaining edits is superseded entirely and not in `failed.*`. A row from which
//! nothing was removed is an ordinary failed row.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::history::{Certainty, RowEffects, TagEffects, each_record};
use crate::input::{Context, Input, Records};
use crate::ledger::{LedgerFile, StepRecord};
use crate::outcome::{Code, Status};
use crate::request::StepKind;
use crate::row::{FileField, Rules, TagChange, Tags, as_slice_or_empty};

use super::error::ReportError;
use super::row::RowResult;

/// The edits of a failed row that are not superseded, and those that are.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct RemainingEdits {
    /// The last row that superseded an edit; 0 for none.
    by: u64,
    /// Columns that a later row superseded. They must not be sent again.
    pub(super) superseded_columns: Vec<String>,
    /// Columns that can still be applied.
    remaining_columns: Vec<String>,
    /// The tag change that can still be applied; `None` if there is none or its cells are invalid.
    tags: Option<TagChange>,
    /// Whether a later row superseded a part of the tag change.
    has_reduced_tags: bool,
}

/// The superseded rows of a run. Only rows that were rejected or failed take memory.
pub(super) struct SupersededRows<'r> {
    input: &'r Input,
    context: &'r Context,
    ledger: &'r LedgerFile,
    /// By row number; computed at the first rejected or failed row.
    rows: Option<HashMap<u64, RemainingEdits>>,
}

impl<'r> SupersededRows<'r> {
    pub(super) fn new(input: &'r Input, context: &'r Context, ledger: &'r LedgerFile) -> Self {
        Self { input, context, ledger, rows: None }
    }

    /// The remaining edits of a row with this status; `None` if nothing of it is superseded.
    pub(super) fn find(
        &mut self,
        row: u64,
        status: Status,
    ) -> Result<Option<&RemainingEdits>, ReportError> {
        if !matches!(status, Status::Rejected | Status::Failed) {
            return Ok(None);
        }
        let rows = match &mut self.rows {
            Some(rows) => rows,
            not_computed => {
                not_computed.insert(find_superseded(self.input, self.context, self.ledger)?)
            }
        };
        Ok(rows.get(&row))
    }
}

/// All rows with superseded edits, by row number.
fn find_superseded(
    input: &Input,
    context: &Context,
    ledger: &LedgerFile,
) -> Result<HashMap<u64, RemainingEdits>, ReportError> {
    let planning = ledger.meta()?.planning;
    // Rejected and failed rows so far, by the hash of their file id.
    let mut rows_by_file: HashMap<u64, Vec<u64>> = HashMap::new();
    let mut remaining_by_row: HashMap<u64, RemainingEdits> = HashMap::new();
    each_record(input, context, ledger, |pos, records, steps| {
        let status = RowResult::of(steps).status;
        let effects = RowEffects::new(steps, planning, false);
        let file = xxh3_64(records.file_id().as_bytes());
        if let Some(rows) = rows_by_file.get(&file) {
            let is_up_to_date = |it: &StepRecord| it.outcome.code == Some(Code::UpToDate);
            let has_all = status == Status::Updated || steps.iter().any(is_up_to_date);
            let has = |column: &str| has_all || was_applied(column, effects);
            let later = AppliedEdits::of_row(records, &context.rules, has);
            for row in rows {
                if let Some(remaining) = remaining_by_row.get_mut(row) {
                    remaining.supersede(pos.number, &later);
                }
            }
        }
        if matches!(status, Status::Rejected | Status::Failed) {
            rows_by_file.entry(file).or_default().push(pos.number);
            let mut remaining_columns = edited_columns(records);
            remaining_columns.retain(|column| !was_applied(column, effects));
            let tags = records.tags(&context.rules);
            let remaining = RemainingEdits { remaining_columns, tags, ..RemainingEdits::default() };
            remaining_by_row.insert(pos.number, remaining);
        }
        Ok::<_, ReportError>(())
    })?;
    remaining_by_row.retain(|_, remaining| remaining.by > 0);
    Ok(remaining_by_row)
}

/// The edits that a row applied to its file or found up to date.
struct AppliedEdits {
    columns: Vec<String>,
    tags: Option<TagChange>,
}

impl AppliedEdits {
    fn of_row(records: &Records, rules: &Rules, has: impl Fn(&str) -> bool) -> Self {
        let mut columns = edited_columns(records);
        columns.retain(|column| has(column));
        let tags = records.tags(rules).and_then(|tags| match tags {
            TagChange::Edit { add, remove } => {
                let add = add.filter(|_| has("addTags"));
                let remove = remove.filter(|_| has("removeTags"));
                (add.is_some() || remove.is_some()).then_some(TagChange::Edit { add, remove })
            }
            replace_or_clear => has("tags").then_some(replace_or_clear),
        });
        Self { columns, tags }
    }
}

impl RemainingEdits {
    /// Removes what a later row, number `by`, superseded.
    fn supersede(&mut self, by: u64, later: &AppliedEdits) {
        let mut all_tags_superseded =
            matches!(later.tags, Some(TagChange::Replace(_) | TagChange::Clear));
        if let (Some(tags), Some(later)) = (&self.tags, &later.tags) {
            let remaining = remaining_tag_change(tags, later);
            if remaining.as_ref() != Some(tags) {
                self.by = by;
                self.has_reduced_tags = true;
                all_tags_superseded = remaining.is_none();
                self.tags = remaining;
            }
        }
        let is_superseded = |column: &String| {
            let is_tags = matches!(column.as_str(), "tags" | "addTags" | "removeTags");
            is_tags && all_tags_superseded
                || later.columns.iter().any(|later| supersedes(later, column))
        };
        let (superseded, remaining): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.remaining_columns).into_iter().partition(is_superseded);
        self.remaining_columns = remaining;
        if !superseded.is_empty() {
            self.by = by;
            self.superseded_columns.extend(superseded);
        }
    }

    /// Whether later rows superseded all edits of the row.
    pub(super) fn is_empty(&self) -> bool {
        self.remaining_columns.is_empty()
    }

    /// The remaining tag change, if it is less than in the row.
    pub(super) fn reduced_tags(&self) -> Option<&TagChange> {
        self.tags.as_ref().filter(|_| self.has_reduced_tags)
    }

    /// The message of the row; `own_error` is the one without later rows.
    pub(super) fn message(&self, own_error: &str) -> String {
        let Self { by, superseded_columns, remaining_columns, .. } = self;
        let what = if superseded_columns.is_empty() {
            "some tags".to_owned()
        } else {
            superseded_columns.join(", ")
        };
        let mut message = format!("superseded by row {by} in {what}");
        if !remaining_columns.is_empty() {
            message.push_str(&format!("; not applied: {}", remaining_columns.join(", ")));
        }
        format!("{message}; own error: {own_error}")
    }
}

/// The columns that a record edits, except the webhook URL, which is no field of the file.
fn edited_columns(records: &Records) -> Vec<String> {
    let mut columns = records.touched();
    columns.retain(|column| column != "webhookUrl");
    columns
}

/// Whether the requests of a row that did not succeed as a whole applied a column, or left it out
/// because it was up to date.
fn was_applied(column: &str, row: RowEffects<'_>) -> bool {
    match column {
        "tags" => row.has_tags(false, |tags| tags.removed().min(tags.added())),
        "addTags" => row.has_tags(true, TagEffects::added),
        "removeTags" => row.has_tags(true, TagEffects::removed),
        "isPublished" | "includeFileVersions" => {
            row.field(FileField::Publication) == Certainty::Done
        }
        "extensions" => row.has_done(StepKind::Details),
        "removeAITags" => row.has(FileField::AiTags),
        "customCoordinates" => row.has(FileField::Coordinates),
        "description" => row.has(FileField::Description),
        _ => row.has(FileField::Metadata),
    }
}

/// Whether sending the earlier column again would revert the later one. Tags are compared by
/// [`remaining_tag_change`]; running an extension does not revert another.
fn supersedes(later: &str, earlier: &str) -> bool {
    match earlier {
        "tags" | "addTags" | "removeTags" | "extensions" => false,
        // A tagging extension may have added AI tags, which were charged.
        "removeAITags" => later == "extensions",
        "isPublished" | "includeFileVersions" => {
            matches!(later, "isPublished" | "includeFileVersions")
        }
        _ => later == earlier,
    }
}

/// The part of a failed tag change that can still be applied after a later one: together they give
/// the same tags as both in sheet order. `None` if nothing remains.
fn remaining_tag_change(change: &TagChange, later: &TagChange) -> Option<TagChange> {
    let TagChange::Edit { add: later_added, remove: later_removed } = later else {
        return None;
    };
    let without = |tags: Option<&Tags>, excluded: Option<&Tags>| {
        let tags = as_slice_or_empty(tags)
            .iter()
            .filter(|tag| !as_slice_or_empty(excluded).contains(tag))
            .cloned();
        Tags::new(tags.collect()).ok()
    };
    match change {
        TagChange::Edit { add, remove } => {
            let add = without(add.as_ref(), later_removed.as_ref());
            let remove = without(remove.as_ref(), later_added.as_ref());
            (add.is_some() || remove.is_some()).then_some(TagChange::Edit { add, remove })
        }
        replace_or_clear => replace_or_clear.then(later),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(all: &[&str]) -> Option<Tags> {
        Tags::new(all.iter().map(|tag| (*tag).to_owned()).collect()).ok()
    }

    fn edit(add: &[&str], remove: &[&str]) -> TagChange {
        TagChange::Edit { add: tags(add), remove: tags(remove) }
    }

    fn replace(all: &[&str]) -> TagChange {
        TagChange::Replace(tags(all).expect("tags"))
    }

    #[test]
    fn only_conflicting_columns_are_superseded() {
        let remaining = |earlier: &[&str], later: &str| {
            let remaining_columns = earlier.iter().map(|column| (*column).to_owned()).collect();
            let mut row = RemainingEdits { remaining_columns, ..RemainingEdits::default() };
            row.supersede(3, &AppliedEdits { columns: vec![later.to_owned()], tags: None });
            row.remaining_columns
        };
        assert!(remaining(&["isPublished", "includeFileVersions"], "isPublished").is_empty());
        assert!(remaining(&["customMetadata.a"], "customMetadata.a").is_empty());
        assert!(remaining(&["removeAITags"], "extensions").is_empty());
        for column in ["removeAITags", "extensions"] {
            assert_eq!(remaining(&[column], column), [column]);
        }
        assert_eq!(
            remaining(&["customMetadata.a", "description"], "description"),
            ["customMetadata.a"]
        );
    }

    #[test]
    fn remaining_tag_change_gives_the_same_tags() {
        let (all, none) = (replace(&["a", "b"]), TagChange::Clear);
        for change in [&all, &none, &edit(&["a"], &[])] {
            assert_eq!(remaining_tag_change(change, &replace(&["x"])), None);
            assert_eq!(remaining_tag_change(change, &TagChange::Clear), None);
        }
        assert_eq!(remaining_tag_change(&all, &edit(&["c"], &["a"])), Some(replace(&["b", "c"])));
        assert_eq!(
            remaining_tag_change(&replace(&["a"]), &edit(&[], &["a"])),
            Some(TagChange::Clear)
        );
        assert_eq!(remaining_tag_change(&none, &edit(&["c"], &[])), Some(replace(&["c"])));
        let both = edit(&["a", "q"], &["r", "s"]);
        assert_eq!(remaining_tag_change(&both, &edit(&["r"], &["q"])), Some(edit(&["a"], &["s"])));
        assert_eq!(remaining_tag_change(&both, &edit(&["a"], &["r"])), Some(both));
        assert_eq!(remaining_tag_change(&edit(&["q"], &[]), &edit(&[], &["q"])), None);
    }
}
