//! What ImageKit sends back, read leniently: only what is compared or reported is looked at, and
//! nothing of it is copied where it can be borrowed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Deref;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::fields::{is_area, is_description, is_metadata};
use crate::request::{Expected, Patch};
use crate::row::{FileId, MetadataField, Publish, Set};

/// The file object that answers a PATCH.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Echo<'a> {
    #[serde(borrow)]
    file_id: Text<'a>,
    #[serde(borrow, default)]
    tags: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    custom_coordinates: Option<Text<'a>>,
    #[serde(borrow, default)]
    description: Option<Text<'a>>,
    #[serde(borrow, default)]
    custom_metadata: Option<&'a RawValue>,
    #[serde(default)]
    is_published: Option<bool>,
    /// When the file was last updated, as ImageKit writes it.
    #[serde(borrow, default)]
    pub updated_at: Option<Text<'a>>,
    /// The status of each extension asked for, kept as it came.
    #[serde(borrow, default)]
    pub extension_status: Option<&'a RawValue>,
}

/// A string, borrowed where it holds no escapes. serde borrows no `Cow` inside of an `Option` or a
/// `Vec`.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'a> Echo<'a> {
    /// Reads the body of an answer to a PATCH of `file`.
    ///
    /// # Errors
    /// It is not a file object, or not that file's.
    pub fn read(body: &'a [u8], file: &FileId) -> Result<Self, String> {
        // Checked for UTF-8 once here rather than string by string.
        let body = std::str::from_utf8(body).map_err(|error| error.to_string())?;
        let echo: Self = serde_json::from_str(body).map_err(|error| error.to_string())?;
        is_about(&echo.file_id, file).map(|()| echo)
    }

    /// The fields in which the file is not as it was asked to be. Fields that an extension of the
    /// same request may write are not looked at.
    #[must_use]
    pub fn differences(&self, patch: &Patch) -> Vec<String> {
        let writes = patch.extensions.as_ref();
        let exempt = |may_write: fn(&crate::row::Extensions) -> bool| writes.is_some_and(may_write);
        let mut names = Vec::new();
        if !exempt(crate::row::Extensions::may_write_tags)
            && patch.tags.as_ref().is_some_and(|tags| !self.has_tags(tags))
        {
            names.push("tags".to_owned());
        }
        if patch
            .coordinates
            .as_ref()
            .is_some_and(|area| !is_area(self.custom_coordinates.as_deref(), area))
        {
            names.push("customCoordinates".to_owned());
        }
        if !exempt(crate::row::Extensions::may_write_description)
            && patch
                .description
                .as_ref()
                .is_some_and(|text| !is_description(self.description.as_deref(), text))
        {
            names.push("description".to_owned());
        }
        if !exempt(crate::row::Extensions::may_write_metadata) && !patch.metadata.is_empty() {
            self.compare_metadata(patch, &mut names);
        }
        names
    }

    /// The fields in which the file is not what it must be.
    #[must_use]
    pub fn unlike(&self, expected: &Expected) -> Vec<String> {
        let Expected { fields, tags, tags_added, tags_removed, publish, doubt: _ } = expected;
        let mut names = self.differences(fields);
        if tags.as_ref().is_some_and(|tags| !self.has_exactly(tags))
            || tags_added.iter().any(|tag| !self.has_tag(tag))
            || tags_removed.iter().any(|tag| self.has_tag(tag))
        {
            names.push("tags".to_owned());
        }
        if publish.is_some_and(|publish| !self.is_published_as(publish)) {
            names.push("isPublished".to_owned());
        }
        names
    }

    /// Whether the file has the publication status that was asked for. Where the object does not
    /// say, it is believed.
    #[must_use]
    pub fn is_published_as(&self, publish: Publish) -> bool {
        self.is_published.is_none_or(|is_published| is_published == publish.is_published)
    }

    fn has_tags(&self, asked: &Set<crate::row::Tags>) -> bool {
        match asked {
            Set::Clear => self.has_exactly(&[]),
            Set::Value(tags) => self.has_exactly(tags.as_slice()),
        }
    }

    /// Tags are compared as a set: nobody says that ImageKit keeps their order.
    fn has_exactly(&self, asked: &[String]) -> bool {
        let has = self.tags.as_deref().unwrap_or_default();
        asked.len() == has.len()
            && (asked.iter().zip(has).all(|(a, b)| *a == **b)
                || asked.iter().all(|tag| self.has_tag(tag)))
    }

    fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().flatten().any(|has| **has == *tag)
    }

    fn compare_metadata(&self, patch: &Patch, names: &mut Vec<String>) {
        let has: BTreeMap<Cow<'_, str>, Value> = self
            .custom_metadata
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default();
        for (field, set) in &patch.metadata {
            if !is_metadata(has.get(field.name.as_ref()), set) {
                names.push(MetadataField::column_of(&field.name));
            }
        }
    }
}

/// Checks that an object is that of a file.
///
/// # Errors
/// It is not a file object, or another file's.
pub(super) fn check_id(body: &[u8], file: &FileId) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Id<'a> {
        #[serde(borrow)]
        file_id: Text<'a>,
    }
    let id: Id<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    is_about(&id.file_id, file)
}

fn is_about(id: &str, file: &FileId) -> Result<(), String> {
    if id == file.as_str() {
        Ok(())
    } else {
        Err(format!("the answer is about another file, {id:?}"))
    }
}

/// The answer of a bulk call: 200, and 207 where some files failed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkAnswer {
    /// The files that were updated.
    #[serde(default)]
    pub successfully_updated_file_ids: Vec<String>,
    /// The files that were not.
    #[serde(default)]
    pub errors: Vec<BulkError>,
}

/// Why one file of a bulk call was not updated.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkError {
    /// The file.
    pub file_id: String,
    /// What ImageKit said.
    #[serde(default)]
    pub error: String,
}

/// What a file was like before a request that must not be repeated. Without it nobody could find
/// out later what became of a lost one: whether a pending extension ended is inferred from AI tags
/// of its source, a changed description or a new version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct FileState {
    /// The sources of its AI tags.
    #[serde(default, rename = "AITags", deserialize_with = "sources")]
    pub ai_tag_sources: Option<Vec<String>>,
    /// Its version.
    #[serde(default)]
    pub version_info: Option<VersionInfo>,
    /// Its description.
    #[serde(default)]
    pub description: Option<String>,
    /// Whether it is published.
    #[serde(default)]
    pub is_published: Option<bool>,
}

/// Which version of a file is current.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct VersionInfo {
    /// Its id.
    #[serde(default)]
    pub id: Option<String>,
}

fn sources<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    struct AiTag {
        #[serde(default)]
        source: Option<String>,
    }
    let tags = Option::<Vec<AiTag>>::deserialize(from)?;
    Ok(tags.map(|tags| {
        let mut sources: Vec<_> = tags.into_iter().filter_map(|tag| tag.source).collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }))
}
