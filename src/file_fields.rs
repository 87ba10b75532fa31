//! The editable fields of a file.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::row::{
    Coordinates, Details, Field, HeldWord, MetadataValue, PathPolicy, Problem, Publish, Set,
    instant,
};

/// The type of a list entry. Lists also contain folders, which have no file id, and, unless the
/// query excludes them, old versions, which have the file's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// The current version of a file; the default if the entry has no type.
    #[default]
    File,
    /// A folder, an old version, or an unknown type.
    #[serde(other)]
    Other,
}

/// The editable fields of a file, from a list, a search or the file's details. Deserialized
/// leniently: null, empty and absent are the same.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileFields {
    /// File or other entry: lists also contain folders.
    #[serde(rename = "type", skip_serializing)]
    pub kind: EntryKind,
    /// The file's id; empty for other entries.
    #[serde(skip_serializing)]
    pub file_id: String,
    /// Folder and name, like `/products/shoe.jpg`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_path: Option<String>,
    /// `tags`, in the response's order.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// `AITags`: tags that extensions wrote.
    #[serde(
        rename = "AITags",
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub ai_tags: Vec<AiTag>,
    /// `customCoordinates`: the important area, as `x,y,width,height` in pixels.
    #[serde(deserialize_with = "empty_is_none", skip_serializing_if = "Option::is_none")]
    pub custom_coordinates: Option<String>,
    /// `description`; never empty.
    #[serde(deserialize_with = "empty_is_none", skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Custom metadata by API name.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub custom_metadata: BTreeMap<String, Value>,
    /// `isPublished`; `None` if the response does not contain it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_published: Option<bool>,
    /// `selectedFieldsSchema`: the rules of a path policy for custom metadata in the file's folder. It
    /// is no part of the file's state, and stored apart from it.
    #[serde(skip_serializing)]
    pub selected_fields_schema: Option<JsonText>,
}

/// A JSON value as it was received.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct JsonText(Box<RawValue>);

impl JsonText {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for JsonText {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

/// A tag that an extension wrote.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AiTag {
    /// Text of the tag.
    pub name: String,
    /// Name of the extension that wrote the tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl FileFields {
    /// Whether the entry is the current version of a file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.kind == EntryKind::File && !self.file_id.is_empty()
    }

    /// The path of the file's folder; `/` if it is not known.
    #[must_use]
    pub(crate) fn folder(&self) -> &str {
        let path = self.file_path.as_deref().and_then(|path| path.rsplit_once('/'));
        path.map(|(folder, _)| folder).filter(|folder| !folder.is_empty()).unwrap_or("/")
    }

    /// Whether both are equal, ignoring the order of tags and the rules of their folders.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let sorted = |fields: &Self| {
            let mut fields = fields.clone();
            fields.tags.sort_unstable();
            fields.selected_fields_schema = None;
            fields
        };
        self == other || sorted(self) == sorted(other)
    }

    /// The value of a field of [`Details`].
    #[must_use]
    pub(crate) fn detail(&self, field: &Field) -> Detail<'_> {
        match field {
            Field::CustomCoordinates => Detail::text(self.custom_coordinates.as_deref()),
            Field::Description => Detail::text(self.description.as_deref()),
            Field::CustomMetadata(field) => Detail::Json(self.custom_metadata.get(&*field.name)),
            _ => Detail::Json(None),
        }
    }

    /// Whether a detail is up to date.
    #[must_use]
    pub(crate) fn has_detail(&self, field: &Field, requested: &Set<MetadataValue>) -> bool {
        self.detail(field).is(field, requested)
    }

    /// Whether both have the same value of a detail.
    #[must_use]
    pub(crate) fn has_detail_of(&self, other: &Self, field: &Field) -> bool {
        let requested = other.detail(field).to_value().into_owned();
        self.has_detail(field, &requested.into())
    }

    /// What the path policy of the file's folder does not allow about a new value of a field. A value
    /// that the file has is not sent, and so allowed.
    pub(crate) fn refusal(
        &self,
        policy: &PathPolicy,
        field: &Field,
        requested: &Set<MetadataValue>,
    ) -> Option<Problem> {
        let Field::CustomMetadata(metadata) = field else { return None };
        if self.has_detail(field, requested) {
            return None;
        }
        policy.problem(metadata, requested, self.custom_metadata.get(&*metadata.name))
    }

    /// Whether a field holds a word: as its value, or in its list.
    #[must_use]
    pub fn holds(&self, HeldWord { field, word }: &HeldWord) -> bool {
        match field {
            Field::Tags | Field::AddTags | Field::RemoveTags => self.tags.contains(word),
            Field::RemoveAiTags => self.ai_tags.iter().any(|tag| tag.name == *word),
            Field::Description => self.description.as_ref() == Some(word),
            Field::CustomMetadata(field) => match self.custom_metadata.get(&*field.name) {
                Some(Value::String(text)) => text == word,
                Some(Value::Array(list)) => list.iter().any(|it| it.as_str() == Some(word)),
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether the publication status is known to be up to date. Never true for changes of all
    /// versions: the response contains only the current one.
    #[must_use]
    pub fn has_publication(&self, requested: Publish) -> bool {
        requested.include_file_versions != Some(true)
            && self.is_published == Some(requested.is_published)
    }
}

impl FileFields {
    /// Sets details.
    pub(crate) fn set(&mut self, details: &Details) {
        for (field, set) in details.iter() {
            let text = || set.value().and_then(Value::as_str).map(str::to_owned);
            match field {
                Field::CustomCoordinates => self.custom_coordinates = text(),
                Field::Description => self.description = text(),
                Field::CustomMetadata(field) => {
                    match set.value() {
                        Some(value) => {
                            self.custom_metadata.insert(field.name.to_string(), value.clone())
                        }
                        None => self.custom_metadata.remove(&*field.name),
                    };
                }
                _ => {}
            }
        }
    }
}

impl FileFields {
    /// Whether both have the same tags, in any order: ImageKit does not document the order.
    #[must_use]
    pub fn has_tags_of(&self, other: &Self) -> bool {
        fn set(fields: &FileFields) -> BTreeSet<&String> {
            fields.tags.iter().collect()
        }
        set(self) == set(other)
    }

    /// Whether both have the same AI tags, in any order.
    #[must_use]
    pub fn has_ai_tags_of(&self, other: &Self) -> bool {
        fn set(fields: &FileFields) -> BTreeSet<&AiTag> {
            fields.ai_tags.iter().collect()
        }
        set(self) == set(other)
    }

    /// Whether both have the same publication status; `true` if either lacks it.
    #[must_use]
    pub fn has_publication_of(&self, other: &Self) -> bool {
        self.is_published.zip(other.is_published).is_none_or(|(a, b)| a == b)
    }
}

/// The value of a field of [`Details`], as a file has it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Detail<'a> {
    /// A text; `None` if it is absent or empty.
    Text(Option<&'a str>),
    /// A value of custom metadata; null counts as absent.
    Json(Option<&'a Value>),
}

impl<'a> Detail<'a> {
    /// A text; empty counts as absent.
    pub(crate) fn text(text: Option<&'a str>) -> Self {
        Self::Text(text.filter(|text| !text.is_empty()))
    }

    /// The text, if it is one.
    pub(crate) fn as_str(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => text,
            Self::Json(value) => value.and_then(Value::as_str),
        }
    }

    /// The value; null if it is absent.
    pub(crate) fn to_value(self) -> Cow<'a, Value> {
        match self {
            Self::Text(text) => Cow::Owned(text.into()),
            Self::Json(value) => value.map_or(Cow::Owned(Value::Null), Cow::Borrowed),
        }
    }

    /// Whether it is as requested.
    pub(crate) fn is(self, field: &Field, requested: &Set<MetadataValue>) -> bool {
        match (self, requested.value()) {
            (Self::Text(actual), requested) => {
                let requested = requested.and_then(Value::as_str).filter(|text| !text.is_empty());
                actual == requested
                    || *field == Field::CustomCoordinates && is_same_area(actual, requested)
            }
            (Self::Json(actual), requested) => {
                match (requested, actual.filter(|value| !value.is_null())) {
                    (None, actual) => actual.is_none(),
                    (Some(_), None) => false,
                    (Some(requested), Some(actual)) => same_value(requested, actual),
                }
            }
        }
    }
}

/// Whether both are the same area, however it is written.
fn is_same_area(one: Option<&str>, other: Option<&str>) -> bool {
    let area = one.and_then(Coordinates::parse);
    area.is_some() && area == other.and_then(Coordinates::parse)
}

/// Whether two metadata values are equal. `12` equals `12.0`, and two spellings of a date are
/// equal, because ImageKit may store dates in another spelling.
fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::String(a), Value::String(b)) => {
            a == b || instant(a).is_some_and(|at| instant(b) == Some(at))
        }
        (Value::Array(a), Value::Array(b)) => {
            let contains =
                |all: &[Value], one: &Value| all.iter().any(|other| same_value(one, other));
            let has_all = |of: &[Value], all: &[Value]| of.iter().all(|one| contains(all, one));
            a.len() == b.len() && has_all(a, b) && has_all(b, a)
        }
        (a, b) => a == b,
    }
}

fn empty_is_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(from).map(|text| text.filter(|text: &String| !text.is_empty()))
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::MetadataField;

    fn read(json: &str) -> FileFields {
        serde_json::from_str(json).expect("it is an object")
    }

    #[test]
    fn fields_are_compared_by_meaning() {
        let a = read(
            r#"{"tags": ["x", "y"], "AITags": [{"name": "a"}, {"name": "b"}], "description": null,
                "customCoordinates": "", "customMetadata": {"n": 12, "none": null}}"#,
        );
        let b = read(
            r#"{"tags": ["y", "x"], "AITags": [{"name": "b"}, {"name": "a"}], "description": "",
                "customCoordinates": null, "customMetadata": {"n": 12.0}, "isPublished": true}"#,
        );
        let metadata =
            |name: &str| Field::CustomMetadata(MetadataField { name: name.into(), rule: None });
        assert!(a.has_tags_of(&b) && a.has_ai_tags_of(&b) && a.has_publication_of(&b));
        for field in [Field::Description, Field::CustomCoordinates, metadata("n"), metadata("none")]
        {
            assert!(a.has_detail_of(&b, &field) && b.has_detail_of(&a, &field), "{field:?}");
        }
        let c = read(
            r#"{"tags": ["x"], "AITags": [{"name": "a"}], "description": "d",
                "customCoordinates": "1,2,3,4", "customMetadata": {"n": 13}, "isPublished": false}"#,
        );
        assert!(!c.has_tags_of(&b) && !c.has_ai_tags_of(&b) && !c.has_publication_of(&b));
        for field in [Field::Description, Field::CustomCoordinates, metadata("n")] {
            assert!(!c.has_detail_of(&b, &field) && !b.has_detail_of(&c, &field), "{field:?}");
        }
        let spaced = read(r#"{"customCoordinates": "1, 2,3,4"}"#);
        assert!(spaced.has_detail_of(&c, &Field::CustomCoordinates));
    }
}
