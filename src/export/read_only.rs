//! Columns that a person may want to read, and that no sheet can change.

use serde_json::Value;

use crate::extension_results::FoundTag;
use crate::imagekit::ListedFile;
use crate::row::{Encoded, Field, Rules, encode_as_json, encode_as_text};

/// A column that is ignored when the sheet is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReadOnly {
    /// A value of the file object, as the column's name and the keys that lead to the value.
    Value(&'static str, &'static [&'static str]),
    /// `aiTags`: the names of the AI tags, in the form of a `tags` cell; with a source, only those
    /// of one extension: `aiTags.google-auto-tagging`.
    AiTags(Option<Box<str>>),
    /// `aiTagConfidences`: each AI tag with its confidence, such as `shirt (97.5 %)`.
    AiTagConfidences,
}

/// The path comes first because it is a default column.
const VALUES: [(&str, &[&str]); 18] = [
    ("filePath", &["filePath"]),
    ("name", &["name"]),
    ("url", &["url"]),
    ("thumbnail", &["thumbnail"]),
    ("fileType", &["fileType"]),
    ("mime", &["mime"]),
    ("width", &["width"]),
    ("height", &["height"]),
    ("size", &["size"]),
    ("duration", &["duration"]),
    ("hasAlpha", &["hasAlpha"]),
    ("isPrivateFile", &["isPrivateFile"]),
    ("createdAt", &["createdAt"]),
    ("updatedAt", &["updatedAt"]),
    ("version", &["versionInfo", "id"]),
    ("versionName", &["versionInfo", "name"]),
    ("embeddedMetadata", &["embeddedMetadata"]),
    ("selectedFieldsSchema", &["selectedFieldsSchema"]),
];
const AI_TAGS: &str = "aiTags";
const AI_TAG_CONFIDENCES: &str = "aiTagConfidences";

impl ReadOnly {
    /// `filePath`: shows people which file a row is for.
    pub(crate) const FILE_PATH: Self = Self::Value(VALUES[0].0, VALUES[0].1);

    /// The column with this name.
    #[must_use]
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            AI_TAGS => Some(Self::AiTags(None)),
            AI_TAG_CONFIDENCES => Some(Self::AiTagConfidences),
            _ => {
                let source = name.strip_prefix(AI_TAGS).and_then(|rest| rest.strip_prefix('.'));
                if let Some(source) = source.filter(|source| !source.is_empty()) {
                    return Some(Self::AiTags(Some(source.into())));
                }
                let value = VALUES.iter().find(|(known, _)| *known == name);
                value.map(|(name, keys)| Self::Value(name, keys))
            }
        }
    }

    /// The names of all columns, for messages.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        let values = VALUES.iter().map(|(name, _)| *name);
        values.chain([AI_TAGS, "aiTags.<source>", AI_TAG_CONFIDENCES])
    }

    /// The name in the header.
    #[must_use]
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Value(name, _) => (*name).to_owned(),
            Self::AiTags(None) => AI_TAGS.to_owned(),
            Self::AiTags(Some(source)) => format!("{AI_TAGS}.{source}"),
            Self::AiTagConfidences => AI_TAG_CONFIDENCES.to_owned(),
        }
    }

    /// The file's value as a CSV cell.
    #[must_use]
    pub(crate) fn as_text(&self, file: &ListedFile, rules: &Rules) -> Encoded<String> {
        match (self, self.value(file)) {
            (_, Value::Null) => Encoded::Nothing,
            (Self::AiTags(_), names) => encode_as_text(&Field::Tags, &names, rules),
            (_, Value::String(text)) => Encoded::As(text),
            (_, other) => Encoded::As(other.to_string()),
        }
    }

    /// The file's value as JSON.
    #[must_use]
    pub(crate) fn as_json(&self, file: &ListedFile, rules: &Rules) -> Encoded<Value> {
        match (self, self.value(file)) {
            (_, Value::Null) => Encoded::Nothing,
            (Self::AiTags(_), names) => encode_as_json(&Field::Tags, names, rules),
            (_, value) => Encoded::As(value),
        }
    }

    fn value(&self, file: &ListedFile) -> Value {
        match self {
            Self::Value(_, keys) => {
                let (first, rest) = keys.split_first().expect("a column has a key");
                let value = file.value(first);
                rest.iter().fold(value, |value, key| value?.get(key)).cloned()
            }
            Self::AiTags(source) => {
                let is_of_source = |tag: &FoundTag| {
                    let source = source.as_deref();
                    source.is_none_or(|source| tag.source.as_deref() == Some(source))
                };
                let tags = ai_tags(file).filter(is_of_source);
                let names: Vec<Value> = tags.map(|tag| String::from(tag.name).into()).collect();
                (!names.is_empty()).then(|| names.into())
            }
            Self::AiTagConfidences => {
                let tags: Vec<String> = ai_tags(file).map(|tag| tag.with_confidence()).collect();
                (!tags.is_empty()).then(|| tags.join(", ").into())
            }
        }
        .unwrap_or_default()
    }
}

fn ai_tags(file: &ListedFile) -> impl Iterator<Item = FoundTag> {
    FoundTag::all_in(file.value("AITags").unwrap_or(&Value::Null))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_named_column_is_known_by_its_name() {
        for name in ReadOnly::names().filter(|name| !name.contains('<')) {
            assert_eq!(ReadOnly::named(name).map(|column| column.name()).as_deref(), Some(name));
        }
        let of_source = ReadOnly::named("aiTags.google-auto-tagging").expect("it is known");
        assert_eq!(of_source.name(), "aiTags.google-auto-tagging");
        for unknown in ["tags", "aiTags.", "aiTag", "versionInfo"] {
            assert_eq!(ReadOnly::named(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn values_are_read_from_the_file_object() {
        let file: ListedFile = serde_json::from_value(json!({
            "type": "file", "fileId": "f", "filePath": "/a.jpg", "size": 1024, "hasAlpha": false,
            "versionInfo": {"id": "v1", "name": "Version 1"}, "duration": null,
            "AITags": [
                {"name": "shirt, red", "confidence": 97.504, "source": "google-auto-tagging"},
                {"name": "dress", "confidence": 95, "source": "aws-auto-tagging"},
            ],
        }))
        .expect("a file object");
        let text = |name: &str| {
            let column = ReadOnly::named(name).expect("it is known");
            match column.as_text(&file, &Rules::default()) {
                Encoded::As(text) => Some(text),
                Encoded::Nothing => None,
                Encoded::NotRepresentable => panic!("{name} is representable"),
            }
        };
        assert_eq!(text("filePath").as_deref(), Some("/a.jpg"));
        assert_eq!(text("size").as_deref(), Some("1024"));
        assert_eq!(text("hasAlpha").as_deref(), Some("false"));
        assert_eq!(text("version").as_deref(), Some("v1"));
        assert_eq!(text("aiTags").as_deref(), Some(r#"["shirt, red","dress"]"#));
        assert_eq!(text("aiTags.aws-auto-tagging").as_deref(), Some("dress"));
        assert_eq!(text("aiTagConfidences").as_deref(), Some("shirt, red (97.5 %), dress (95 %)"));
        for empty in ["duration", "mime", "aiTags.other"] {
            assert_eq!(text(empty), None, "{empty}");
        }
    }
}
