//! Response bodies, deserialized leniently: only fields that are compared or reported, borrowed
//! where possible.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Deref;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::extension_results::FoundTag;
use crate::file_fields::{AiTag, Detail, EntryKind};
use crate::request::{Expected, Patch};
use crate::row::{Details, Field, FieldSet, FileField, FileId, Publish, Set};

/// The file object in the response to a PATCH.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Echo<'a> {
    #[serde(borrow)]
    file_id: Text<'a>,
    #[serde(borrow, default)]
    tags: Option<Vec<Text<'a>>>,
    #[serde(rename = "AITags", borrow, default)]
    ai_tags: Option<&'a RawValue>,
    #[serde(borrow, default)]
    custom_coordinates: Option<Text<'a>>,
    #[serde(borrow, default)]
    description: Option<Text<'a>>,
    #[serde(borrow, default)]
    custom_metadata: Option<&'a RawValue>,
    #[serde(default)]
    is_published: Option<bool>,
    /// Time of the last update, verbatim.
    #[serde(borrow, default)]
    pub updated_at: Option<Text<'a>>,
    /// The status of each requested extension, verbatim.
    #[serde(borrow, default)]
    pub extension_status: Option<&'a RawValue>,
}

/// A string, borrowed unless it contains escapes. Needed because serde does not borrow a `Cow`
/// inside an `Option` or a `Vec`.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'a> Echo<'a> {
    /// Parses the response to a PATCH of `file`.
    ///
    /// # Errors
    /// The body is not a file object, or is another file's.
    pub(crate) fn read(body: &'a [u8], file: &FileId) -> Result<Self, String> {
        // Check UTF-8 once instead of for each string.
        let body = std::str::from_utf8(body).map_err(|error| error.to_string())?;
        let echo: Self = serde_json::from_str(body).map_err(|error| error.to_string())?;
        check_file_id(&echo.file_id, file).map(|()| echo)
    }

    /// Fields that differ from the request. Skips fields that an extension of the same request may
    /// write.
    #[must_use]
    pub(crate) fn differences(&self, patch: &Patch) -> Vec<String> {
        let compared = FieldSet::ALL.difference(patch.extension_fields());
        let mut names = Vec::new();
        if compared.contains(FileField::Tags)
            && patch.tags.as_ref().is_some_and(|tags| !self.has_tags(tags))
        {
            names.push("tags".to_owned());
        }
        self.compare(&patch.details, compared, &mut names);
        names
    }

    /// Fields that differ from the expected state.
    #[must_use]
    pub(crate) fn unlike(&self, expected: &Expected) -> Vec<String> {
        let Expected { details, tags, tags_added, tags_removed, ai_tags_removed, publish, .. } =
            expected;
        let mut names = Vec::new();
        self.compare(details, FieldSet::ALL, &mut names);
        if tags.as_ref().is_some_and(|tags| !self.has_exactly(tags))
            || tags_added.iter().any(|tag| !self.has_tag(tag))
            || tags_removed.iter().any(|tag| self.has_tag(tag))
        {
            names.push("tags".to_owned());
        }
        if self.has_any_ai_tag(ai_tags_removed) {
            names.push("AITags".to_owned());
        }
        if publish.is_some_and(|publish| !self.is_published_as(publish)) {
            names.push("isPublished".to_owned());
        }
        names
    }

    /// Whether the file has the requested publication status. `true` if the response does not
    /// contain one.
    #[must_use]
    pub(crate) fn is_published_as(&self, publish: Publish) -> bool {
        self.is_published.is_none_or(|is_published| is_published == publish.is_published)
    }

    fn has_tags(&self, requested: &Set<crate::row::Tags>) -> bool {
        match requested {
            Set::Clear => self.has_exactly(&[]),
            Set::Value(tags) => self.has_exactly(tags.as_slice()),
        }
    }

    /// Compares tags as a set: ImageKit does not document their order.
    fn has_exactly(&self, requested: &[String]) -> bool {
        let actual = self.tags.as_deref().unwrap_or_default();
        requested.len() == actual.len()
            && (requested.iter().zip(actual).all(|(a, b)| *a == **b)
                || requested.iter().all(|tag| self.has_tag(tag)))
    }

    fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().flatten().any(|actual| **actual == *tag)
    }

    fn has_any_ai_tag(&self, names: &[String]) -> bool {
        let Some(raw) = self.ai_tags.filter(|_| !names.is_empty()) else {
            return false;
        };
        let tags: Vec<AiTag> = serde_json::from_str(raw.get()).unwrap_or_default();
        tags.iter().any(|tag| names.contains(&tag.name))
    }

    /// Adds the columns of the details that the file does not have, of the fields in `compared`.
    fn compare(&self, details: &Details, compared: FieldSet, names: &mut Vec<String>) {
        let is_compared =
            |field: &Field| field.file_field().is_some_and(|it| compared.contains(it));
        let has_metadata =
            compared.contains(FileField::Metadata) && details.metadata().next().is_some();
        let metadata = self.custom_metadata.filter(|_| has_metadata);
        let metadata: BTreeMap<Cow<'_, str>, Value> =
            metadata.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        let details = details.iter().filter(|(field, _)| is_compared(field));
        let differing = details.filter(|(field, set)| {
            let actual = match field {
                Field::CustomCoordinates => Detail::text(self.custom_coordinates.as_deref()),
                Field::Description => Detail::text(self.description.as_deref()),
                Field::CustomMetadata(field) => Detail::Json(metadata.get(&*field.name)),
                _ => Detail::Json(None),
            };
            !actual.is(field, set)
        });
        names.extend(differing.map(|(field, _)| field.column().into_owned()));
    }
}

/// Checks that a body is the object of `file`.
///
/// # Errors
/// The body is not a file object, or is another file's.
pub(super) fn check_id(body: &[u8], file: &FileId) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Id<'a> {
        #[serde(borrow)]
        file_id: Text<'a>,
    }
    let id: Id<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    check_file_id(&id.file_id, file)
}

fn check_file_id(id: &str, file: &FileId) -> Result<(), String> {
    if id == file.as_str() {
        Ok(())
    } else {
        Err(format!("the response is for another file, {id:?}"))
    }
}

/// The response to a bulk call: 200, or 207 if some files failed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BulkAnswer {
    /// Ids of the updated files.
    #[serde(default)]
    pub successfully_updated_file_ids: Vec<String>,
    /// The files that failed.
    #[serde(default)]
    pub errors: Vec<BulkError>,
}

/// Why one file of a bulk call was not updated.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BulkError {
    /// Id of the file.
    pub file_id: String,
    /// ImageKit's message.
    #[serde(default)]
    pub error: String,
}

/// What extensions and publications change on a file. Read before each at-most-once request: if its
/// response is lost, or its extensions are pending, differences from this state prove that it had an
/// effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct FileState {
    /// `AITags`.
    #[serde(rename = "AITags", deserialize_with = "null_is_default")]
    pub ai_tags: Vec<FoundTag>,
    /// The current version.
    pub version_info: Option<VersionInfo>,
    /// `description`.
    pub description: Option<String>,
    /// `isPublished`.
    pub is_published: Option<bool>,
    /// `updatedAt`, verbatim.
    pub updated_at: Option<String>,
}

/// The current version of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct VersionInfo {
    /// Version id.
    #[serde(default)]
    pub id: Option<String>,
}

/// The state of a file in a list or search, which may be stale.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListedState {
    /// File or other entry.
    #[serde(rename = "type")]
    pub kind: EntryKind,
    /// The file's id; empty for other entries.
    pub file_id: String,
    /// Its state.
    #[serde(flatten)]
    pub state: FileState,
}

impl ListedState {
    /// Whether the entry is the current version of a file.
    #[must_use]
    pub(crate) fn is_file(&self) -> bool {
        self.kind == EntryKind::File && !self.file_id.is_empty()
    }
}

fn null_is_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}
