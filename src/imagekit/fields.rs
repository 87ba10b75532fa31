//! What a file is like: the fields that changes are about.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::listing::Kind;
use crate::row::{Change, Coordinates, MetadataField, MetadataValue, Publish, Set, instant};

/// The fields of a file that can be changed, as a list, a search or the file's details show them.
/// Read leniently: null, empty and absent are the same.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileFields {
    /// What it is: a list shows folders as well.
    #[serde(rename = "type", skip_serializing)]
    pub kind: Kind,
    /// Its id; empty where it is no file.
    pub file_id: String,
    /// Its folder and name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_path: Option<String>,
    /// Its tags.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its AI tags.
    #[serde(
        rename = "AITags",
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub ai_tags: Vec<AiTag>,
    /// Its important area, as `x,y,width,height`.
    #[serde(deserialize_with = "empty_is_none", skip_serializing_if = "Option::is_none")]
    pub custom_coordinates: Option<String>,
    /// Its description.
    #[serde(deserialize_with = "empty_is_none", skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its custom metadata, by name.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub custom_metadata: BTreeMap<String, Value>,
    /// Whether it is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_published: Option<bool>,
}

/// A tag that an extension wrote.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AiTag {
    /// The tag.
    pub name: String,
    /// The extension that wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl FileFields {
    /// Whether it is a file as it is now.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.kind == Kind::File && !self.file_id.is_empty()
    }

    /// Whether both are the same, whatever the order of their tags.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let sorted = |fields: &Self| {
            let mut fields = fields.clone();
            fields.tags.sort_unstable();
            fields
        };
        self == other || sorted(self) == sorted(other)
    }

    /// Whether it has this area, or none where it is to be cleared.
    #[must_use]
    pub fn has_coordinates(&self, asked: &Set<Coordinates>) -> bool {
        is_area(self.custom_coordinates.as_deref(), asked)
    }

    /// Whether it has this description; an empty one is none.
    #[must_use]
    pub fn has_description(&self, asked: &Set<Box<str>>) -> bool {
        is_description(self.description.as_deref(), asked)
    }

    /// Whether it has this value in a custom metadata field.
    #[must_use]
    pub fn has_metadata(&self, field: &MetadataField, asked: &Set<MetadataValue>) -> bool {
        is_metadata(self.custom_metadata.get(field.name.as_ref()), asked)
    }

    /// Whether its publication status is known to be this one. That of its other versions is not
    /// in the object, so that what is asked for all of them is never known.
    #[must_use]
    pub fn has_publication(&self, asked: Publish) -> bool {
        asked.include_file_versions != Some(true) && self.is_published == Some(asked.is_published)
    }
}

impl FileFields {
    /// Its area, description and custom metadata become what a change asks for.
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
    /// Whether another look shows the same tags. They are a set: nobody says that ImageKit keeps
    /// their order.
    #[must_use]
    pub fn has_tags_of(&self, other: &Self) -> bool {
        fn set(fields: &FileFields) -> BTreeSet<&String> {
            fields.tags.iter().collect()
        }
        set(self) == set(other)
    }

    /// Whether another look shows the same AI tags, in any order.
    #[must_use]
    pub fn has_ai_tags_of(&self, other: &Self) -> bool {
        fn set(fields: &FileFields) -> BTreeSet<&AiTag> {
            fields.ai_tags.iter().collect()
        }
        set(self) == set(other)
    }

    /// Whether another look shows the same area, however it is written.
    #[must_use]
    pub fn has_coordinates_of(&self, other: &Self) -> bool {
        let texts = [self, other].map(|fields| fields.custom_coordinates.as_deref().unwrap_or(""));
        let [a, b] = texts.map(Coordinates::parse);
        texts[0] == texts[1] || a.is_some() && a == b
    }

    /// Whether another look shows the same description; an empty one is none.
    #[must_use]
    pub fn has_description_of(&self, other: &Self) -> bool {
        let [a, b] = [self, other].map(|fields| fields.description.as_deref().unwrap_or(""));
        a == b
    }

    /// Whether another look shows the same value in a custom metadata field; null is none.
    #[must_use]
    pub fn has_metadata_of(&self, other: &Self, field: &MetadataField) -> bool {
        let value = |fields: &'_ Self| fields.custom_metadata.get(field.name.as_ref()).cloned();
        match [self, other].map(|fields| value(fields).filter(|value| !value.is_null())) {
            [None, None] => true,
            [Some(a), Some(b)] => same_value(&a, &b),
            _ => false,
        }
    }

    /// Whether another look shows the same publication status; where one of them does not say, it
    /// is believed.
    #[must_use]
    pub fn has_publication_of(&self, other: &Self) -> bool {
        self.is_published.zip(other.is_published).is_none_or(|(a, b)| a == b)
    }
}

/// Whether an important area is the one that is asked for; an empty one is none.
pub(super) fn is_area(has: Option<&str>, asked: &Set<Coordinates>) -> bool {
    let has = has.filter(|text| !text.is_empty());
    match asked {
        Set::Clear => has.is_none(),
        Set::Value(area) => has.and_then(Coordinates::parse) == Some(*area),
    }
}

/// Whether a description is the one that is asked for; an empty one is none.
pub(super) fn is_description(has: Option<&str>, asked: &Set<Box<str>>) -> bool {
    has.unwrap_or_default() == asked.value().map_or("", |text| text.as_ref())
}

/// Whether a metadata value is the one that is asked for; null is none.
pub(super) fn is_metadata(has: Option<&Value>, asked: &Set<MetadataValue>) -> bool {
    match (asked, has.filter(|value| !value.is_null())) {
        (Set::Clear, has) => has.is_none(),
        (Set::Value(_), None) => false,
        (Set::Value(asked), Some(has)) => same_value(asked, has),
    }
}

/// Whether two metadata values are the same. `12` and `12.0` are; so are two spellings of one
/// date, because ImageKit may store a date in its own.
fn same_value(asked: &Value, has: &Value) -> bool {
    match (asked, has) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::String(a), Value::String(b)) => {
            a == b || instant(a).is_some_and(|at| instant(b) == Some(at))
        }
        (Value::Array(a), Value::Array(b)) => {
            let has = |all: &[Value], one: &Value| all.iter().any(|other| same_value(one, other));
            a.len() == b.len() && a.iter().all(|a| has(b, a)) && b.iter().all(|b| has(a, b))
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
    fn two_looks_at_a_file_are_compared_by_what_they_mean() {
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
