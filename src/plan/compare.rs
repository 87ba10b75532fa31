//! Compares the values of a sheet with those that its files have, before it is planned: some faults
//! of a column show only against the library.

use std::collections::HashMap;

use serde_json::Value;

use super::PlanError;
use super::diff::file_records::FileRecords;
use crate::file_fields::FileFields;
use crate::findings::{ColumnFinding, Columns, Finding, has_lost_zeros};
use crate::input::{Context, Input};
use crate::ledger::{FileRecord, LedgerFile, Snapshot};
use crate::row::{Change, Content, MetadataField, Set, TagChange, Tags, as_slice_or_empty};

/// Maximum distinct tags of the library that are remembered.
const TAGS_MAX: usize = 10_000;

/// What the columns of a sheet show against the snapshots of its files.
///
/// # Errors
/// The input or a snapshot cannot be read.
pub fn compare(
    input: &Input,
    context: &Context,
    ledger: &LedgerFile,
) -> Result<Vec<ColumnFinding>, PlanError> {
    let mut rows = input.rows(context, None)?;
    let mut comparison = Comparison::default();
    let mut records = FileRecords::default();
    while let Some((row, _)) = rows.next_row()? {
        let Content::Update(update) = row.content else { continue };
        let record = match records.of_last_row(row.pos.number, ledger)? {
            None => ledger.file_record(update.file.as_str())?,
            last => last,
        };
        if let Some(FileRecord { state: Snapshot::Fields(fields), .. }) = record {
            comparison.row(row.pos.number, &update.change, &fields);
        }
    }
    Ok(comparison.columns.findings(&context.rules.accepted))
}

/// The field of a change that differs from the library only in zeros, with the new and the old
/// value, among these columns.
pub(super) fn lost_zeros<'c>(
    change: &'c Change,
    fields: &'c FileFields,
    is_compared: impl Fn(&str) -> bool,
) -> Option<(String, &'c str, &'c str)> {
    texts(change).find_map(|(field, new)| {
        let column = MetadataField::column_of(&field.name);
        let old = fields.custom_metadata.get(&*field.name)?.as_str()?;
        (is_compared(&column) && has_lost_zeros(old, new)).then_some((column, new, old))
    })
}

/// The custom metadata that a change sets to text.
fn texts(change: &Change) -> impl Iterator<Item = (&MetadataField, &str)> {
    change.metadata.iter().filter_map(|(field, set)| match set {
        Set::Value(Value::String(text)) => Some((field, text.as_str())),
        _ => None,
    })
}

#[derive(Default)]
struct Comparison {
    columns: Columns,
    /// Tags of the library by their lower case, in the spelling that was read first.
    tags: HashMap<String, String>,
}

impl Comparison {
    fn row(&mut self, row: u64, change: &Change, fields: &FileFields) {
        for (field, new) in texts(change) {
            let old = fields.custom_metadata.get(&*field.name).and_then(Value::as_str);
            let lost = old.filter(|old| has_lost_zeros(old, new));
            let found = lost.map(|old| (Finding::LostZeros, old));
            self.columns.count_compared(&MetadataField::column_of(&field.name), row, new, found);
        }
        self.remember(&fields.tags);
        match &change.tags {
            Some(TagChange::Replace(tags)) => self.added(row, "tags", Some(tags), fields),
            Some(TagChange::Edit { add, remove }) => {
                self.added(row, "addTags", add.as_ref(), fields);
                self.removed(row, remove.as_ref(), fields);
            }
            Some(TagChange::Clear) | None => {}
        }
    }

    fn remember(&mut self, tags: &[String]) {
        for tag in tags {
            if self.tags.len() < TAGS_MAX {
                self.tags.entry(tag.to_lowercase()).or_insert_with(|| tag.clone());
            }
        }
    }

    /// Counts tags that the library has only in another case.
    fn added(&mut self, row: u64, column: &str, tags: Option<&Tags>, fields: &FileFields) {
        let tags = as_slice_or_empty(tags).iter().filter(|tag| !fields.tags.contains(tag));
        let mut other_case = tags.filter_map(|tag| {
            let known = self.tags.get(&tag.to_lowercase())?;
            (known != tag).then_some((tag, known))
        });
        if let Some((tag, known)) = other_case.next() {
            self.columns.count_compared(column, row, tag, Some((Finding::TagCase, known)));
        }
    }

    /// Counts tags to remove that the file has only in another case.
    fn removed(&mut self, row: u64, tags: Option<&Tags>, fields: &FileFields) {
        let tags = as_slice_or_empty(tags).iter().filter(|tag| !fields.tags.contains(tag));
        let mut other_case = tags.filter_map(|tag| {
            let lower = tag.to_lowercase();
            Some((tag, fields.tags.iter().find(|has| has.to_lowercase() == lower)?))
        });
        if let Some((tag, has)) = other_case.next() {
            let found = Some((Finding::RemovedTagCase, has.as_str()));
            self.columns.count_compared("removeTags", row, tag, found);
        }
    }
}
