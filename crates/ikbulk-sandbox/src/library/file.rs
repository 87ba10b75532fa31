//! A file: its immutable and mutable parts, and the API's JSON object.

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::clock::Iso;
use crate::digits::push_decimal;
use crate::library::metadata::Metadata;
use crate::library::policy::Policy;

/// Default URL endpoint of files.
pub(crate) const ENDPOINT: &str = "https://ik.imagekit.io/sandbox";
/// Characters that are percent-encoded in the path of a URL.
const URL_PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// The properties of a file that no API request changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Base {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Path of the folder, with a leading and a trailing slash.
    pub(crate) folder: Cow<'static, str>,
    /// URL endpoint of the account, without a trailing slash.
    pub(crate) endpoint: Cow<'static, str>,
    pub(crate) is_private: bool,
    pub(crate) file_type: Cow<'static, str>,
    pub(crate) mime: Cow<'static, str>,
    pub(crate) width: u64,
    pub(crate) height: u64,
    pub(crate) size: u64,
    pub(crate) has_alpha: bool,
    pub(crate) created_ms: i64,
    /// The path policy of the file.
    pub(crate) policy: Option<Arc<Policy>>,
    /// Unknown members of an inserted file object, returned verbatim.
    pub(crate) extra: Map<String, Value>,
}

impl Base {
    /// Duration of a video; 0 for other files.
    pub(crate) fn duration(&self) -> u64 {
        self.extra.get("duration").and_then(Value::as_u64).unwrap_or(0)
    }

    /// The percent-encoded path of the file, in pieces.
    pub(crate) fn url_path(&self) -> impl Iterator<Item = &str> {
        let pieces = [&*self.folder, &*self.name].into_iter();
        pieces.flat_map(|piece| utf8_percent_encode(piece, URL_PATH))
    }
}

/// The properties of a file that API requests change. Stored only for changed files.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Details {
    /// `None` for `null`; never an empty list.
    pub(crate) tags: Option<Vec<String>>,
    /// `null` in the object if empty.
    pub(crate) ai_tags: Vec<AiTag>,
    pub(crate) custom_coordinates: Option<String>,
    pub(crate) custom_metadata: Metadata,
    /// Omitted from the object if `None`.
    pub(crate) description: Option<String>,
    pub(crate) is_published: bool,
    /// Incremented by remove-bg.
    pub(crate) version: u32,
    pub(crate) updated_ms: i64,
}

impl Details {
    /// Sets the time of the last change to `wall_ms`, or later if needed to increase it.
    pub(crate) fn touch(&mut self, wall_ms: i64) {
        self.updated_ms = wall_ms.max(self.updated_ms + 1);
    }

    /// Appends the tags that the file does not have yet.
    pub(crate) fn add_tags(&mut self, tags: &[String]) {
        let mut all = self.tags.take().unwrap_or_default();
        for tag in tags {
            if !all.contains(tag) {
                all.push(tag.clone());
            }
        }
        self.tags = (!all.is_empty()).then_some(all);
    }

    /// Removes the tags. Without any tag left, the file's tags are `null`.
    pub(crate) fn remove_tags(&mut self, tags: &[String]) {
        let mut left = self.tags.take().unwrap_or_default();
        left.retain(|tag| !tags.contains(tag));
        self.tags = (!left.is_empty()).then_some(left);
    }
}

/// A tag added by an extension.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct AiTag {
    pub(crate) name: String,
    pub(crate) confidence: f64,
    pub(crate) source: Cow<'static, str>,
}

/// Status of an extension on a file, as in the API's `extensionStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Succeeded, with its result written
    Success,
    /// Still running
    Pending,
    /// Failed; the API does not report why
    Failed,
}

/// A file in some state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct File {
    pub(crate) base: Base,
    pub(crate) details: Details,
}

/// The file object of a response.
pub(crate) struct FileObject<'a> {
    pub(crate) base: &'a Base,
    pub(crate) details: &'a Details,
    /// Empty except in the response to a PATCH with extensions.
    pub(crate) extension_status: &'a [(&'static str, Status)],
}

impl FileObject<'_> {
    /// The object as a JSON value.
    pub(crate) fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("strings, numbers and string keys only")
    }
}

impl Serialize for FileObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { base, details, .. } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", "file")?;
        map.serialize_entry("name", &base.name)?;
        map.serialize_entry("createdAt", &Iso(base.created_ms))?;
        map.serialize_entry("updatedAt", &Iso(details.updated_ms))?;
        map.serialize_entry("fileId", &base.id)?;
        map.serialize_entry("tags", &details.tags)?;
        let ai_tags = (!details.ai_tags.is_empty()).then_some(&details.ai_tags);
        map.serialize_entry("AITags", &ai_tags)?;
        map.serialize_entry("versionInfo", &VersionInfo(self))?;
        if let Some(description) = &details.description {
            map.serialize_entry("description", description)?;
        }
        map.serialize_entry("customCoordinates", &details.custom_coordinates)?;
        map.serialize_entry("customMetadata", &details.custom_metadata)?;
        if let Some(policy) = &base.policy {
            map.serialize_entry("selectedFieldsSchema", &policy.schema)?;
        }
        map.serialize_entry("isPrivateFile", &base.is_private)?;
        map.serialize_entry("isPublished", &details.is_published)?;
        self.serialize_media(&mut map)?;
        if !self.extension_status.is_empty() {
            map.serialize_entry("extensionStatus", &StatusMap(self.extension_status))?;
        }
        map.end()
    }
}

impl FileObject<'_> {
    /// Serializes path, URLs and media properties.
    fn serialize_media<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let base = self.base;
        // Built in one buffer, so that each URL is escaped for JSON only once.
        let mut text = String::with_capacity(128);
        text += &base.folder;
        text += &base.name;
        map.serialize_entry("filePath", &text)?;
        text.clear();
        text += &base.endpoint;
        text.extend(base.url_path());
        text += "?updatedAt=";
        push_decimal(&mut text, self.details.updated_ms.unsigned_abs(), 13);
        map.serialize_entry("url", &text)?;
        text += "&tr=n-ik_ml_thumbnail";
        map.serialize_entry("thumbnail", &text)?;
        map.serialize_entry("fileType", &base.file_type)?;
        map.serialize_entry("mime", &base.mime)?;
        map.serialize_entry("width", &base.width)?;
        map.serialize_entry("height", &base.height)?;
        map.serialize_entry("size", &base.size)?;
        map.serialize_entry("hasAlpha", &base.has_alpha)?;
        for (key, value) in &base.extra {
            map.serialize_entry(key, value)?;
        }
        Ok(())
    }
}

/// Serializes a value as a JSON string, through `Display`.
struct Text<T>(T);

impl<T: std::fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Serializes `versionInfo`. Version 1 has the file's own id, as in the API's examples.
struct VersionInfo<'a>(&'a FileObject<'a>);

impl Serialize for VersionInfo<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (id, version) = (&self.0.base.id, self.0.details.version);
        let mut map = serializer.serialize_map(Some(2))?;
        if version == 1 {
            map.serialize_entry("id", id)?;
        } else {
            map.serialize_entry("id", &Text(format_args!("{id}v{version}")))?;
        }
        map.serialize_entry("name", &Text(format_args!("Version {version}")))?;
        map.end()
    }
}

struct StatusMap<'a>(&'a [(&'static str, Status)]);

impl Serialize for StatusMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, status)| (name, status)))
    }
}
