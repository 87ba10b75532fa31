//! Encodes requests: paths and JSON bodies.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::request::{Call, Patch};
use crate::row::{AiTagRemoval, Details, Extension, Field, FileId, Publish, Set};

/// Everything except RFC 3986's unreserved characters, so that a file id cannot add path segments.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The path of a file's details.
pub(crate) fn details_path(file: &FileId) -> String {
    // ImageKit's file ids have 24 characters.
    const TYPICAL_LENGTH: usize = "/v1/files//details".len() + 24;
    let mut path = String::with_capacity(TYPICAL_LENGTH);
    path.push_str("/v1/files/");
    path.extend(utf8_percent_encode(file.as_str(), SEGMENT));
    path.push_str("/details");
    path
}

/// The HTTP method and path of a call.
#[must_use]
pub(crate) fn target(call: &Call, files: &[FileId]) -> (&'static str, String) {
    match call {
        Call::Details(_) | Call::Publish(_) => ("PATCH", first_details_path(files)),
        Call::ReadBack(_) => ("GET", first_details_path(files)),
        Call::AddTags(_) => ("POST", "/v1/files/addTags".to_owned()),
        Call::RemoveTags(_) => ("POST", "/v1/files/removeTags".to_owned()),
        Call::RemoveAiTags(_) => ("POST", "/v1/files/removeAITags".to_owned()),
    }
}

fn first_details_path(files: &[FileId]) -> String {
    files.first().map(details_path).unwrap_or_default()
}

/// The JSON body of a call; empty for reads. Each file appears once.
///
/// # Panics
/// Never: serializing strings, numbers and JSON values into memory cannot fail.
#[must_use]
pub(crate) fn encode(call: &Call, files: &[FileId]) -> Vec<u8> {
    let mut body = Vec::with_capacity(128);
    let written = match call {
        Call::Details(patch) => serde_json::to_writer(&mut body, &PatchBody(patch)),
        Call::Publish(publish) => {
            serde_json::to_writer(&mut body, &PublishBody { publish: (*publish).into() })
        }
        Call::AddTags(tags) | Call::RemoveTags(tags) => {
            let bulk = BulkTags { file_ids: distinct(files), tags: tags.as_slice() };
            serde_json::to_writer(&mut body, &bulk)
        }
        Call::RemoveAiTags(tags) => {
            let bulk = BulkAiTags { file_ids: distinct(files), ai_tags: tags.as_slice() };
            serde_json::to_writer(&mut body, &bulk)
        }
        Call::ReadBack(_) => Ok(()),
    };
    written.expect("strings, numbers and JSON values can always be written into memory");
    body
}

/// The ids of the files, each once.
fn distinct(files: &[FileId]) -> Vec<&str> {
    let is_new = |(index, file): &(usize, &FileId)| !files[..*index].contains(file);
    files.iter().enumerate().filter(is_new).map(|(_, file)| file.as_str()).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BulkTags<'a> {
    file_ids: Vec<&'a str>,
    tags: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BulkAiTags<'a> {
    file_ids: Vec<&'a str>,
    #[serde(rename = "AITags")]
    ai_tags: &'a [String],
}

#[derive(Serialize)]
struct PublishBody {
    publish: PublishFields,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PublishFields {
    is_published: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    include_file_versions: Option<bool>,
}

impl From<Publish> for PublishFields {
    fn from(publish: Publish) -> Self {
        let Publish { is_published, include_file_versions } = publish;
        Self { is_published, include_file_versions }
    }
}

struct PatchBody<'a>(&'a Patch);

impl Serialize for PatchBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let patch = self.0;
        let mut map = serializer.serialize_map(None)?;
        match &patch.tags {
            None => {}
            Some(Set::Value(tags)) => map.serialize_entry("tags", tags.as_slice())?,
            Some(Set::Clear) => map.serialize_entry("tags", &())?,
        }
        for (field, set) in patch.details.iter() {
            match (field, set) {
                (Field::CustomMetadata(_), _) => {}
                (_, Set::Value(value)) => map.serialize_entry(&field.column(), value)?,
                // The API accepts no null here, and documents no other way; the file in the response
                // shows whether it worked.
                (Field::Description, Set::Clear) => map.serialize_entry("description", "")?,
                (_, Set::Clear) => map.serialize_entry(&field.column(), &())?,
            }
        }
        if patch.details.metadata().next().is_some() {
            map.serialize_entry("customMetadata", &Metadata(&patch.details))?;
        }
        match &patch.remove_ai_tags {
            None => {}
            Some(AiTagRemoval::Named(tags)) => map.serialize_entry("removeAITags", tags)?,
            Some(AiTagRemoval::All) => map.serialize_entry("removeAITags", "all")?,
        }
        if let Some(extensions) = &patch.extensions {
            let configs: Vec<_> = extensions.as_slice().iter().map(Extension::sent).collect();
            map.serialize_entry("extensions", &configs)?;
        }
        if let Some(url) = patch.webhook_url.as_ref().filter(|_| patch.extensions.is_some()) {
            map.serialize_entry("webhookUrl", url.as_str())?;
        }
        map.end()
    }
}

struct Metadata<'a>(&'a Details);

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (field, set) in self.0.metadata() {
            match set {
                Set::Value(value) => map.serialize_entry(field.name.as_ref(), value)?,
                Set::Clear => map.serialize_entry(field.name.as_ref(), &())?,
            }
        }
        map.end()
    }
}
