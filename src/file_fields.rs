//! The editable fields of a file.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::row::{
    Change, Coordinates, Field, HeldWord, MetadataField, MetadataValue, Publish, Set, instant,
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

    /// Whether both are equal, ignoring the order of tags.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let sorted = |fields: &Self| {
            let mut fields = fields.clone();
            fields.tags.sort_unstable();
            fields
        };
        self == other || sorted(self) == sorted(other)
    }

    /// Whether the coordinates are up to date.
    #[must_use]
    pub fn has_coordinates(&self, requested: &Set<Coordinates>) -> bool {
        is_area(self.custom_coordinates.as_deref(), requested)
    }

    /// Whether the description is up to date; empty counts as cleared.
    #[must_use]
    pub fn has_description(&self, requested: &Set<Box<str>>) -> bool {
        is_description(self.description.as_deref(), requested)
    }

    /// Whether a custom metadata field is up to date.
    #[must_use]
    pub fn has_metadata(&self, field: &MetadataField, requested: &Set<MetadataValue>) -> bool {
        is_metadata(self.custom_metadata.get(field.name.as_ref()), requested)
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
    /// Applies a change to coordinates, description and custom metadata.
    pub fn set(&mut self, change: &Change) {
        if let Some(area) = &change.coordinates {
            self.custom_coordinates = area.value().map(ToString::to_string);
        }
        if let Some(text) = &change.description {
            self.description = text.value().map(ToString::to_string);
        }
        for (field, value) in &change.metadata {
            match value.value() {
                Some(value) => self.custom_metadata.insert(field.name.to_string(), value.clone()),
                None => self.custom_metadata.remove(field.name.as_ref()),
            };
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

    /// Whether both have the same coordinates, in any spelling.
    #[must_use]
    pub fn has_coordinates_of(&self, other: &Self) -> bool {
        let texts = [self, other].map(|fields| fields.custom_coordinates.as_deref().unwrap_or(""));
        let [a, b] = texts.map(Coordinates::parse);
        texts[0] == texts[1] || a.is_some() && a == b
    }

    /// Whether both have the same description; empty equals absent.
    #[must_use]
    pub fn has_description_of(&self, other: &Self) -> bool {
        let [a, b] = [self, other].map(|fields| fields.description.as_deref().unwrap_or(""));
        a == b
    }

    /// Whether both have the same value in a custom metadata field; null equals absent.
    #[must_use]
    pub fn has_metadata_of(&self, other: &Self, field: &MetadataField) -> bool {
        let value = |fields: &'_ Self| fields.custom_metadata.get(field.name.as_ref()).cloned();
        match [self, other].map(|fields| value(fields).filter(|value| !value.is_null())) {
            [None, None] => true,
            [Some(a), Some(b)] => same_value(&a, &b),
            _ => false,
        }
    }

    /// Whether both have the same publication status; `true` if either lacks it.
    #[must_use]
    pub fn has_publication_of(&self, other: &Self) -> bool {
        self.is_published.zip(other.is_published).is_none_or(|(a, b)| a == b)
    }
}

/// Whether the actual coordinates match the request; empty counts as cleared.
pub(crate) fn is_area(actual: Option<&str>, requested: &Set<Coordinates>) -> bool {
    let actual = actual.filter(|text| !text.is_empty());
    match requested {
        Set::Clear => actual.is_none(),
        Set::Value(area) => actual.and_then(Coordinates::parse) == Some(*area),
    }
}

/// Whether the actual description matches the request; absent and empty count as cleared.
pub(crate) fn is_description(actual: Option<&str>, requested: &Set<Box<str>>) -> bool {
    actual.unwrap_or_default() == requested.value().map_or("", |text| text.as_ref())
}

/// Whether the actual metadata value matches the request; null counts as cleared.
pub(crate) fn is_metadata(actual: Option<&Value>, requested: &Set<MetadataValue>) -> bool {
    match (requested, actual.filter(|value| !value.is_null())) {
        (Set::Clear, actual) => actual.is_none(),
        (Set::Value(_), None) => false,
        (Set::Value(requested), Some(actual)) => same_value(requested, actual),
    }
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
        let field = |name: &str| MetadataField { name: name.into(), rule: None };
        assert!(a.has_tags_of(&b) && a.has_ai_tags_of(&b) && a.has_description_of(&b));
        assert!(a.has_coordinates_of(&b) && a.has_publication_of(&b));
        assert!(a.has_metadata_of(&b, &field("n")) && a.has_metadata_of(&b, &field("none")));
        let c = read(
            r#"{"tags": ["x"], "AITags": [{"name": "a"}], "description": "d",
                "customCoordinates": "1,2,3,4", "customMetadata": {"n": 13}, "isPublished": false}"#,
        );
        assert!(!c.has_tags_of(&b) && !c.has_ai_tags_of(&b) && !c.has_description_of(&b));
        assert!(!c.has_coordinates_of(&b) && !c.has_publication_of(&b));
        assert!(!c.has_metadata_of(&b, &field("n")));
    }
}
