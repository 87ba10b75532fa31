//! Compares the values of a sheet with those that its files have: some faults of a column show only
//! against the library.

use std::borrow::Cow;
use std::collections::BTreeSet;

use foldhash::{HashMap, HashSet};
use serde_json::Value;

use super::PlanError;
use super::diff::file_records::FileRecords;
use crate::file_fields::FileFields;
use crate::findings::{
    ColumnFinding, Columns, Finding, composed, has_lost_accents, has_lost_zeros, is_rounded,
};
use crate::input::{Context, HeaderNames, Input};
use crate::ledger::{FileRecord, LedgerError, LedgerFile, Snapshot};
use crate::row::{
    Change, Content, Field, MetadataField, Set, TagChange, Tags, Update, as_slice_or_empty,
};

/// Maximum distinct tags of the library that are remembered.
const TAGS_MAX: usize = 10_000;

/// What the columns of a sheet show against the snapshots of its files, before anything is planned. A
/// planner finds the same while it plans all rows: [`super::Planner::compare`].
///
/// # Errors
/// The input or a snapshot cannot be read.
pub(crate) fn compare(
    input: &Input,
    context: &Context,
    ledger: &LedgerFile,
) -> Result<Vec<ColumnFinding>, PlanError> {
    let mut rows = input.rows(context, None)?;
    let mut comparison = Comparison::default();
    let mut records = FileRecords::default();
    while let Some((row, _)) = rows.next_row()? {
        let Content::Update(update) = ledger.admit(row.content)? else { continue };
        let record = records.of_last_row(row.pos.number, ledger)?;
        comparison.row(row.pos.number, &update, record.as_ref(), ledger)?;
    }
    Ok(comparison.findings(&context.rules.accepted, &rows.header_names()))
}

/// A text of a change that has lost something of the one in the library.
pub(super) struct LostPart<'c> {
    /// The column, as in the header.
    pub(super) column: String,
    pub(super) finding: Finding,
    pub(super) new: &'c str,
    pub(super) old: &'c str,
}

impl<'c> LostPart<'c> {
    /// The first one of a change for which its row is held back.
    pub(super) fn find(
        change: &'c Change,
        fields: &'c FileFields,
        names: &HeaderNames,
        is_held: impl Fn(&str, Finding) -> bool,
    ) -> Option<Self> {
        texts(change).find_map(|(field, new)| {
            let old = current_text(fields, field)?;
            let finding = what_is_lost(old, new)?;
            let column = names.of(&field.column()).to_owned();
            is_held(&column, finding).then_some(Self { column, finding, new, old })
        })
    }
}

/// What a new text has lost of the old one, if it is the same otherwise.
fn what_is_lost(old: &str, new: &str) -> Option<Finding> {
    if has_lost_zeros(old, new) {
        Some(Finding::LostZeros)
    } else {
        has_lost_accents(old, new).then_some(Finding::LostAccents)
    }
}

/// The fields that a change sets to text.
fn texts(change: &Change) -> impl Iterator<Item = (&Field, &str)> {
    change.details.iter().filter_map(|(field, set)| match set {
        Set::Value(Value::String(text)) => Some((field, text.as_str())),
        _ => None,
    })
}

/// The text that a file has in a field.
fn current_text<'f>(fields: &'f FileFields, field: &Field) -> Option<&'f str> {
    match field {
        Field::Description => fields.description.as_deref(),
        Field::CustomMetadata(field) => fields.custom_metadata.get(&*field.name)?.as_str(),
        _ => None,
    }
}

/// What the rows so far show against their files.
#[derive(Default)]
pub(super) struct Comparison {
    columns: Columns,
    /// Tags of the library by their composed lower case, in the spelling that was read first.
    tags: HashMap<String, String>,
    /// The spellings that were read.
    spellings: HashSet<String>,
}

impl Comparison {
    /// Adds a row with the record of its file; `None` for a file that later rows name as well, whose
    /// record is then read.
    pub(super) fn row(
        &mut self,
        row: u64,
        update: &Update,
        record: Option<&FileRecord>,
        ledger: &LedgerFile,
    ) -> Result<(), LedgerError> {
        let read;
        let record = if record.is_some() {
            record
        } else {
            read = ledger.file_record(update.file.as_str())?;
            read.as_ref()
        };
        if let Some(FileRecord { state: Snapshot::Fields(fields), .. }) = record {
            self.compare(row, &update.change, fields);
        }
        Ok(())
    }

    /// The findings, of which a person accepts some; the columns are named as in the header.
    pub(super) fn findings(
        &self,
        accepted: &BTreeSet<Finding>,
        names: &HeaderNames,
    ) -> Vec<ColumnFinding> {
        let findings = self.columns.findings(accepted).into_iter();
        let renamed = findings.map(|mut finding| {
            finding.column = names.of(&finding.column).to_owned();
            finding
        });
        renamed.collect()
    }

    fn compare(&mut self, row: u64, change: &Change, fields: &FileFields) {
        for (field, new) in texts(change) {
            let old = current_text(fields, field);
            let found = old.and_then(|old| Some((what_is_lost(old, new)?, old)));
            self.columns.count_compared(&field.column(), row, new, found);
        }
        for (field, set) in change.details.metadata() {
            let Set::Value(Value::Number(new)) = set else { continue };
            let old = fields.custom_metadata.get(&*field.name).and_then(Value::as_f64);
            let rounded = old.zip(new.as_f64()).filter(|(old, new)| is_rounded(*old, *new));
            let old = rounded.map(|(old, _)| number_text(old)).unwrap_or_default();
            let found = rounded.map(|_| (Finding::RoundedNumbers, &*old));
            let column = MetadataField::column_of(&field.name);
            self.columns.count_compared(&column, row, &new.to_string(), found);
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
            if self.tags.len() < TAGS_MAX && !self.spellings.contains(tag) {
                if self.spellings.len() < TAGS_MAX {
                    self.spellings.insert(tag.clone());
                }
                self.tags.entry(folded(tag).into_owned()).or_insert_with(|| tag.clone());
            }
        }
    }

    /// Counts tags that the library has only in another case or with other accents.
    fn added(&mut self, row: u64, column: &str, tags: Option<&Tags>, fields: &FileFields) {
        let tags = as_slice_or_empty(tags).iter().filter(|tag| !fields.tags.contains(tag));
        let mut look_alikes = tags.filter_map(|tag| {
            let known = self.tags.get(&*folded(tag))?;
            (known != tag).then_some((tag, known))
        });
        if let Some((tag, known)) = look_alikes.next() {
            let finding = look_alike(tag, known, Finding::TagCase);
            self.columns.count_compared(column, row, tag, Some((finding, known)));
        }
    }

    /// Counts tags to remove that the file has only in another case or with other accents.
    fn removed(&mut self, row: u64, tags: Option<&Tags>, fields: &FileFields) {
        let tags = as_slice_or_empty(tags).iter().filter(|tag| !fields.tags.contains(tag));
        let mut look_alikes = tags.filter_map(|tag| {
            let key = folded(tag);
            Some((tag, fields.tags.iter().find(|has| folded(has) == key)?))
        });
        if let Some((tag, has)) = look_alikes.next() {
            let finding = look_alike(tag, has, Finding::RemovedTagCase);
            self.columns.count_compared("removeTags", row, tag, Some((finding, has.as_str())));
        }
    }
}

/// A number as JSON has it.
fn number_text(number: f64) -> String {
    Value::from(number).to_string()
}

/// What is equal for tags that look alike.
fn folded(tag: &str) -> Cow<'_, str> {
    if tag.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        Cow::Borrowed(tag)
    } else {
        Cow::Owned(composed(tag).to_lowercase())
    }
}

/// What two tags that look alike differ in: only in how accents are composed, or in case.
fn look_alike(tag: &str, known: &str, in_case: Finding) -> Finding {
    if composed(tag) == composed(known) { Finding::TagAccents } else { in_case }
}
