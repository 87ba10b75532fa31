//! What is put back on a file, and what is left alone.

use serde_json::{Map, Value};

use super::FileEffects;
use crate::imagekit::FileFields;
use crate::row::{Builder, Cell, Content, Field, MetadataField, Rules};

/// What becomes of a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reversal {
    /// The row that puts its values back, as a line of JSON; `None` where there are none to be put
    /// back.
    pub row: Option<Map<String, Value>>,
    /// What is not put back.
    pub skipped: Vec<Skipped>,
}

/// A field that the run changed, and that is not put back.
#[derive(Debug, Clone, PartialEq)]
pub struct Skipped {
    /// Its column.
    pub field: String,
    /// Why.
    pub why: SkipReason,
    /// What it was before the run.
    pub before: Value,
    /// What the run left.
    pub left: Value,
    /// What it is now.
    pub now: Value,
}

/// Why a field is not put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// It has been changed since.
    ChangedSince,
    /// Another field of the file has been changed since.
    OtherChangedSince,
    /// The file is gone.
    Gone,
    /// An extension of the run may have written it.
    Extension,
    /// It is not known what it was before.
    NotKnown,
    /// Its value from before is one that ImageKit would not take.
    NotAllowed,
}

impl SkipReason {
    /// The words in `skipped.csv`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChangedSince => "changed since",
            Self::OtherChangedSince => "another field changed since",
            Self::Gone => "the file is gone",
            Self::Extension => "an extension may have written it",
            Self::NotKnown => "not known what it was before",
            Self::NotAllowed => "its value from before is not allowed",
        }
    }
}

impl FileEffects {
    /// Whether the file is like the run left it, as far as the run touched it: one that is not has
    /// been changed since, or was read from a list that is behind.
    #[must_use]
    pub fn is_as_left(&self, now: &FileFields) -> bool {
        let left = self.left.first();
        left.is_some_and(|left| self.touched.iter().all(|field| is_same(field, left, now)))
    }

    /// What becomes of the file if it is like this now; `None` if it is gone.
    #[must_use]
    pub fn reversal(&self, now: Option<&FileFields>) -> Reversal {
        let mut reversal = Reversal::default();
        let is_moved = |field: &Field| now.is_some_and(|now| !self.is_ours(field, now));
        let open = |field: &&Field| !self.is_written(field);
        let any_moved = self.touched.iter().filter(open).any(is_moved);
        let mut row = Map::new();
        for field in &self.touched {
            let why = if self.is_written(field) {
                SkipReason::Extension
            } else if self.before.is_none() {
                SkipReason::NotKnown
            } else if now.is_none() {
                SkipReason::Gone
            } else if is_moved(field) {
                SkipReason::ChangedSince
            } else if any_moved {
                SkipReason::OtherChangedSince
            } else {
                let before = self.before.as_ref().map(|before| value(field, before));
                let before = before.unwrap_or_default();
                if is_allowed(field, &before) {
                    put(field, before, &mut row);
                    continue;
                }
                SkipReason::NotAllowed
            };
            reversal.skipped.push(self.skipped(field, why, now));
        }
        if !row.is_empty() {
            row.insert("fileId".to_owned(), self.file.as_str().into());
            reversal.row = Some(row);
        }
        reversal
    }

    /// Whether a field is as the run left it, or as it was before.
    fn is_ours(&self, field: &Field, now: &FileFields) -> bool {
        let known = || self.before.iter().chain(&self.left);
        let is_between = || {
            let has = |tag: &String| now.tags.contains(tag);
            let is_known = |tag: &String| known().any(|known| known.tags.contains(tag));
            let is_kept = |tag: &&String| known().all(|known| known.tags.contains(tag));
            let mut kept = known().flat_map(|known| &known.tags).filter(is_kept);
            now.tags.iter().all(is_known) && kept.all(has)
        };
        known().any(|known| is_same(field, known, now))
            || *field == Field::Tags && self.has_tags_between && is_between()
    }

    fn skipped(&self, field: &Field, why: SkipReason, now: Option<&FileFields>) -> Skipped {
        let of = |fields: Option<&FileFields>| fields.map(|f| value(field, f)).unwrap_or_default();
        Skipped {
            field: column(field),
            why,
            before: of(self.before.as_ref()),
            left: of(self.left.first()),
            now: of(now),
        }
    }
}

/// What a file has in a field; null where it has nothing, which is what clears it.
fn value(field: &Field, fields: &FileFields) -> Value {
    let text = |text: &Option<String>| {
        text.as_deref().filter(|text| !text.is_empty()).map_or(Value::Null, Value::from)
    };
    match field {
        Field::Tags if !fields.tags.is_empty() => fields.tags.clone().into(),
        Field::CustomCoordinates => text(&fields.custom_coordinates),
        Field::Description => text(&fields.description),
        Field::CustomMetadata(field) => {
            fields.custom_metadata.get(&*field.name).cloned().unwrap_or_default()
        }
        _ => Value::Null,
    }
}

/// Whether two states of a file are the same in a field.
pub(super) fn is_same(field: &Field, one: &FileFields, other: &FileFields) -> bool {
    match field {
        Field::Tags => one.has_tags_of(other),
        Field::CustomCoordinates => one.has_coordinates_of(other),
        Field::Description => one.has_description_of(other),
        Field::CustomMetadata(field) => one.has_metadata_of(other, field),
        _ => true,
    }
}

/// Whether a row may say so: not every value that a file has may be set.
fn is_allowed(field: &Field, value: &Value) -> bool {
    let rules = Rules::default();
    let mut row = Builder::new(&rules);
    row.set("fileId", &Field::FileId, Cell::Text("any"));
    row.set("value", field, Cell::Json(value));
    matches!(row.finish(), Content::Update(_))
}

fn put(field: &Field, value: Value, row: &mut Map<String, Value>) {
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
