//! Decides which fields of a file to restore, and which to skip.

use serde_json::{Map, Value};

use super::FileEffects;
use crate::file_fields::FileFields;
use crate::row::{
    Builder, Cell, Content, Field, MetadataField, PathPolicy, Rules, escaped_strings,
};

/// How to revert the changes of one file.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Reversal {
    /// The row that restores the file's fields, as a JSON object; `None` if all are skipped.
    pub row: Option<Map<String, Value>>,
    /// The changed fields that are not restored.
    pub skipped: Vec<Skipped>,
}

/// A changed field that is not restored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Skipped {
    /// Column of the field, as in a sheet.
    pub column: String,
    /// Why the field is not restored.
    pub reason: SkipReason,
    /// Value before the run; null if unset or unknown.
    pub before: Value,
    /// Value after the run; null if unset or unknown.
    pub after: Value,
    /// Current value; null if unset or the file is gone.
    pub current: Value,
}

/// Why a field is not restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// Conflict: the field was changed since the run.
    ChangedSince,
    /// Conflict: another field of the file was changed since the run.
    OtherChangedSince,
    /// The file no longer exists.
    FileMissing,
    /// An extension of the run may have written the field.
    Extension,
    /// There is no snapshot of the file from before the run.
    NoSnapshot,
    /// ImageKit would reject the value from before the run.
    NotAllowed,
}

impl SkipReason {
    /// The reason as text, for the list of skipped fields.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChangedSince => "changed since the run",
            Self::OtherChangedSince => "another field was changed since the run",
            Self::FileMissing => "the file no longer exists",
            Self::Extension => "may have been set by an extension",
            Self::NoSnapshot => "no snapshot from before the run",
            Self::NotAllowed => "the previous value is no longer allowed",
        }
    }
}

impl FileEffects {
    /// Whether the touched fields still have the values that the run set. If not, the file was changed
    /// since, or `current` comes from a stale listing.
    #[must_use]
    pub(crate) fn is_unchanged_since_run(&self, current: &FileFields) -> bool {
        let after = self.after.first();
        after.is_some_and(|after| self.touched.iter().all(|field| is_same(field, after, current)))
    }

    /// How to revert the file's changes, given its current state and the path policy of its folder;
    /// `None` if the file is gone.
    #[must_use]
    pub(crate) fn reversal(
        &self,
        current: Option<&FileFields>,
        policy: Option<&PathPolicy>,
    ) -> Reversal {
        let mut reversal = Reversal::default();
        let is_conflict =
            |field: &Field| current.is_some_and(|current| !self.is_unchanged_since(field, current));
        let is_restorable = |field: &&Field| !self.may_be_written_by_extension(field);
        let has_conflict = self.touched.iter().filter(is_restorable).any(is_conflict);
        let mut row = Map::new();
        for field in &self.touched {
            let reason = if self.may_be_written_by_extension(field) {
                SkipReason::Extension
            } else if self.before.is_none() {
                SkipReason::NoSnapshot
            } else if current.is_none() {
                SkipReason::FileMissing
            } else if is_conflict(field) {
                SkipReason::ChangedSince
            } else if has_conflict {
                SkipReason::OtherChangedSince
            } else {
                let before = self.before.as_ref().map(|before| value(field, before));
                let before = before.unwrap_or_default();
                let refusal = current.zip(policy).and_then(|(current, policy)| {
                    current.refusal(policy, field, &before.clone().into())
                });
                if is_allowed(field, &before) && refusal.is_none() {
                    set(field, &before, &mut row);
                    continue;
                }
                SkipReason::NotAllowed
            };
            reversal.skipped.push(self.skipped(field, reason, current));
        }
        if !row.is_empty() {
            row.insert("fileId".to_owned(), self.file.as_str().into());
            reversal.row = Some(row);
        }
        reversal
    }

    /// Whether a field still has a value from before the run or one that the run may have set.
    fn is_unchanged_since(&self, field: &Field, current: &FileFields) -> bool {
        let states = || self.before.iter().chain(&self.after);
        let is_mixture = || {
            let is_current = |tag: &String| current.tags.contains(tag);
            let is_in_any = |tag: &String| states().any(|state| state.tags.contains(tag));
            let is_in_all = |tag: &&String| states().all(|state| state.tags.contains(tag));
            let mut in_all = states().flat_map(|state| &state.tags).filter(is_in_all);
            current.tags.iter().all(is_in_any) && in_all.all(is_current)
        };
        states().any(|state| is_same(field, state, current))
            || *field == Field::Tags && self.may_mix_tags && is_mixture()
    }

    fn skipped(&self, field: &Field, reason: SkipReason, current: Option<&FileFields>) -> Skipped {
        let value_in =
            |state: Option<&FileFields>| state.map(|state| value(field, state)).unwrap_or_default();
        Skipped {
            column: column(field),
            reason,
            before: value_in(self.before.as_ref()),
            after: value_in(self.after.first()),
            current: value_in(current),
        }
    }
}

/// The value of a field; null if unset. Null in a row clears the field.
fn value(field: &Field, fields: &FileFields) -> Value {
    match field {
        Field::Tags if !fields.tags.is_empty() => fields.tags.clone().into(),
        Field::Tags => Value::Null,
        detail => fields.detail(detail).to_value().into_owned(),
    }
}

/// Whether a field has the same value in two states of a file.
pub(super) fn is_same(field: &Field, one: &FileFields, other: &FileFields) -> bool {
    match field {
        Field::Tags => one.has_tags_of(other),
        detail => one.has_detail_of(other, detail),
    }
}

/// Whether a row may set this value: ImageKit rejects some values that files have.
fn is_allowed(field: &Field, value: &Value) -> bool {
    let rules = Rules::default();
    let mut row = Builder::new(&rules);
    row.set("fileId", &Field::FileId, Cell::Text("any"));
    row.set("value", field, Cell::Json(&escaped_strings(value)));
    matches!(row.finish(), Content::Update(_))
}

fn set(field: &Field, value: &Value, row: &mut Map<String, Value>) {
    let value = escaped_strings(value);
    match field {
        Field::CustomMetadata(field) => {
            let all = row.entry("customMetadata").or_insert_with(|| Map::new().into());
            if let Value::Object(all) = all {
                all.insert(field.name.to_string(), value);
            }
        }
        _ => {
            row.insert(column(field), value);
        }
    }
}

fn column(field: &Field) -> String {
    match field {
        Field::CustomMetadata(field) => MetadataField::column_of(&field.name),
        _ => Field::FIXED
            .iter()
            .find(|(_, fixed)| fixed == field)
            .map(|(name, _)| (*name).to_owned())
            .unwrap_or_default(),
    }
}
