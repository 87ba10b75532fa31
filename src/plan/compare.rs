//! Compares the values of a sheet with those that its files have: some faults of a column show only
//! against the library.

use std::borrow::Cow;
use std::collections::BTreeSet;

use foldhash::{HashMap, HashSet};
use serde_json::Value;

use super::PlanError;
use crate::file_fields::FileFields;
use crate::findings::{
    ColumnFinding, Finding, FindingCounts, composed, has_lost_accents, has_lost_zeros, is_rounded,
};
use crate::input::{Context, HeaderNames, Input};
use crate::ledger::{FileRecord, LedgerError, LedgerFile, RecordsOfLastRows, Snapshot};
use crate::row::{AiTagRemoval, Change, Content, Field, MetadataField, Set, TagChange, Update};

const REMOVE_TAGS: &str = "removeTags";
const REMOVE_AI_TAGS: &str = "removeAITags";
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
    let mut records = RecordsOfLastRows::default();
    while let Some((row, _)) = rows.next_row()? {
        let Content::Update(update) = ledger.admit(row.content)? else { continue };
        let record = records.take(row.pos.number, ledger)?;
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
        let held = |column: &str, finding, new, old| {
            let column = names.of(column).to_owned();
            is_held(&column, finding).then_some(Self { column, finding, new, old })
        };
        let text = texts(change).find_map(|(field, new)| {
            let old = current_text(fields, field)?;
            held(&field.column(), what_is_lost(old, new)?, new, old)
        });
        text.or_else(|| {
            tag_lists(change).find_map(|(column, tags)| {
                let (new, finding, old) = lost_tag(column, tags, fields)?;
                held(column, finding, new, old)
            })
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
    columns: FindingCounts,
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
        let Self { columns, tags: library, .. } = self;
        for (column, tags) in tag_lists(change) {
            let found = lost_tag(column, tags, fields)
                .or_else(|| look_alike(library, column, tags, fields))
                .map(|(new, finding, old)| (new, (finding, old)));
            let (new, found) = found.unzip();
            columns.count_compared(column, row, new.unwrap_or_default(), found);
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
}

/// The first tag to add that the library has only in another case or with other accents, or to remove
/// that the file has only in another spelling.
fn look_alike<'t>(
    library: &'t HashMap<String, String>,
    column: &str,
    tags: &'t [String],
    fields: &'t FileFields,
) -> Option<(&'t str, Finding, &'t str)> {
    let is_removed = matches!(column, REMOVE_TAGS | REMOVE_AI_TAGS);
    let in_case = if is_removed { Finding::RemovedTagSpelling } else { Finding::TagCase };
    let known = |tag: &str| {
        let key = folded(tag);
        if is_removed {
            current_tags(fields, column).find(|has| folded(has) == key || has_lost_zeros(tag, has))
        } else {
            library.get(&*key)
        }
    };
    other_tags(column, tags, fields).find_map(|tag| {
        let known = known(tag).filter(|known| *known != tag)?;
        Some((tag.as_str(), difference(tag, known, in_case), known.as_str()))
    })
}

/// The lists of tags that a change sets, adds or removes, with their columns.
fn tag_lists(change: &Change) -> impl Iterator<Item = (&'static str, &[String])> {
    let (all, add, remove) = match &change.tags {
        Some(TagChange::Replace(tags)) => (Some(tags), None, None),
        Some(TagChange::Edit { add, remove }) => (None, add.as_ref(), remove.as_ref()),
        Some(TagChange::Clear) | None => (None, None, None),
    };
    let lists = [("tags", all), ("addTags", add), (REMOVE_TAGS, remove)];
    let lists = lists.into_iter().filter_map(|(column, tags)| Some((column, tags?.as_slice())));
    let ai_tags = match &change.ai_tags {
        Some(AiTagRemoval::Named(names)) => Some((REMOVE_AI_TAGS, &**names)),
        Some(AiTagRemoval::All) | None => None,
    };
    lists.chain(ai_tags)
}

/// The tags of the file that a column changes.
fn current_tags<'f>(fields: &'f FileFields, column: &str) -> impl Iterator<Item = &'f String> {
    let is_of_ai = column == REMOVE_AI_TAGS;
    let tags = fields.tags.iter().filter(move |_| !is_of_ai);
    tags.chain(fields.ai_tags.iter().filter(move |_| is_of_ai).map(|tag| &tag.name))
}

/// The tags of a list that the file does not have.
fn other_tags<'t>(
    column: &str,
    tags: &'t [String],
    fields: &'t FileFields,
) -> impl Iterator<Item = &'t String> {
    tags.iter().filter(move |tag| !current_tags(fields, column).any(|has| has == *tag))
}

/// The first tag that has lost something of one of the file.
fn lost_tag<'t>(
    column: &str,
    tags: &'t [String],
    fields: &'t FileFields,
) -> Option<(&'t str, Finding, &'t str)> {
    other_tags(column, tags, fields).find_map(|tag| {
        let lost = |old: &'t String| Some((tag.as_str(), what_is_lost(old, tag)?, old.as_str()));
        current_tags(fields, column).find_map(lost)
    })
}

/// A number as JSON has it.
fn number_text(number: f64) -> String {
    Value::from(number).to_string()
}

/// What is equal for tags that look alike: case, also of `ß` and `İ`, and composition do not matter.
fn folded(tag: &str) -> Cow<'_, str> {
    if tag.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Cow::Borrowed(tag);
    }
    let lower = composed(tag).to_lowercase();
    if lower.is_ascii() {
        return Cow::Owned(lower);
    }
    // The lower case of a letter can depend on its language; that of its capital does not.
    Cow::Owned(lower.replace("i\u{307}", "i").to_uppercase().to_lowercase())
}

/// What two tags that look alike differ in: only in how accents are composed, or in case.
fn difference(tag: &str, known: &str, in_case: Finding) -> Finding {
    if composed(tag) == composed(known) { Finding::TagAccents } else { in_case }
}
