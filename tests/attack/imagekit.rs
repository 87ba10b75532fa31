//! An ImageKit account, written from the API description alone: files, custom metadata fields, and a
//! count of every charge.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::file::File;
use crate::http::{Request, Response};
use crate::query::Query;

const NO_FILE: &str = "The requested file does not exist.";
/// Maximum number of files in a bulk call.
const BULK_MAX: usize = 50;
/// Maximum number of characters of a file's tags combined.
const TAGS_MAX: usize = 500;

#[derive(Debug, Default)]
pub(crate) struct Account {
    files: BTreeMap<String, File>,
    /// Files that bulk calls cannot change: such a call fails partially (207).
    locked: BTreeSet<String>,
    charges: BTreeMap<(String, String), u32>,
    publications: BTreeMap<String, u32>,
    /// What lists and searches return while they are stale.
    stale: Option<Vec<Value>>,
    /// Number of changes so far, the source of `updatedAt`.
    changes: u64,
}

impl Account {
    pub(crate) fn add(&mut self, file: File) {
        self.files.insert(file.id.clone(), file);
    }

    pub(crate) fn lock_file(&mut self, file: &str) {
        self.locked.insert(file.to_owned());
    }

    pub(crate) fn file(&self, id: &str) -> Option<&File> {
        self.files.get(id)
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        self.files.values()
    }

    /// Number of runs by file and extension configuration.
    pub(crate) fn charges(&self) -> &BTreeMap<(String, String), u32> {
        &self.charges
    }

    /// Number of publish and unpublish requests by file.
    pub(crate) fn publications(&self) -> &BTreeMap<String, u32> {
        &self.publications
    }

    /// Freezes what lists and searches return, or makes them current again.
    pub(crate) fn make_lists_stale(&mut self, stale: bool) {
        self.stale = stale.then(|| self.files().map(File::json).collect());
    }

    /// Applies a request; returns its response.
    pub(crate) fn handle(&mut self, request: &Request) -> Response {
        match (request.method.as_str(), request.path.as_str(), request.file()) {
            ("GET", "/v1/files", _) => self.list(request),
            ("GET", "/v1/customMetadataFields", _) => Response::ok(fields()),
            ("GET", _, Some(id)) => match self.files.get(id) {
                Some(file) => Response::ok(file.json()),
                None => Response::error(404, NO_FILE),
            },
            ("PATCH", _, Some(id)) => self.patch(id, &request.body).unwrap_or_else(|error| error),
            ("POST", "/v1/files/addTags", _) => self.bulk(&request.body, "tags", File::add_tags),
            ("POST", "/v1/files/removeTags", _) => {
                self.bulk(&request.body, "tags", File::remove_tags)
            }
            ("POST", "/v1/files/removeAITags", _) => {
                self.bulk(&request.body, "AITags", File::remove_ai_tags)
            }
            _ => Response::error(404, "The requested resource does not exist."),
        }
    }

    fn list(&self, request: &Request) -> Response {
        let query = match Query::parse(request.parameter("searchQuery").unwrap_or_default()) {
            Ok(query) => query,
            Err(message) => return Response::error(400, &message),
        };
        let number = |name| request.parameter(name).and_then(|text| text.parse().ok());
        let (skip, limit) = (number("skip").unwrap_or(0), number("limit").unwrap_or(1000));
        if !(1..=1000).contains(&limit) {
            return Response::error(400, "limit must be between 1 and 1000");
        }
        let mut files: Vec<Value> = match &self.stale {
            Some(stale) => stale.clone(),
            None => self.files().map(File::json).collect(),
        };
        files.retain(|file| query.matches(file));
        if request.parameter("sort") == Some("DESC_CREATED") {
            files.reverse();
        }
        Response::ok(files.into_iter().skip(skip).take(limit).collect())
    }

    fn patch(&mut self, id: &str, body: &Value) -> Result<Response, Response> {
        let body =
            body.as_object().ok_or_else(|| Response::error(400, "The body is no object."))?;
        let file = self.files.get_mut(id).ok_or_else(|| Response::error(404, NO_FILE))?;
        if let Some(publish) = body.get("publish") {
            if body.len() > 1 {
                return Err(Response::error(400, "publish cannot be combined with other fields."));
            }
            let is_published = publish["isPublished"].as_bool();
            file.is_published = is_published
                .ok_or_else(|| Response::error(400, "isPublished must be a boolean."))?;
            *self.publications.entry(id.to_owned()).or_default() += 1;
            return Ok(Response::ok(file.json()));
        }
        // A rejected request changes nothing.
        let mut changed = file.clone();
        update(&mut changed, body)?;
        let extensions = body.get("extensions").and_then(Value::as_array);
        let status = extensions.map(|extensions| run(&mut changed, extensions)).transpose()?;
        self.changes += 1;
        changed.updated = self.changes;
        *file = changed;
        for extension in extensions.into_iter().flatten() {
            *self.charges.entry((id.to_owned(), config(extension))).or_default() += 1;
        }
        let mut response = file.json();
        if let Some(status) = status {
            response["extensionStatus"] = status.into();
        }
        Ok(Response::ok(response))
    }

    fn bulk(&mut self, body: &Value, key: &str, change: fn(&mut File, &[String])) -> Response {
        let strings = |name: &str| serde_json::from_value::<Vec<String>>(body[name].clone());
        let (Ok(ids), Ok(tags)) = (strings("fileIds"), strings(key)) else {
            return Response::error(400, "fileIds and tags must be arrays of strings.");
        };
        if ids.is_empty() || ids.len() > BULK_MAX || tags.iter().any(|tag| tag.contains('%')) {
            return Response::error(400, "Too many files, or a tag that is not allowed.");
        }
        let missing: Vec<&String> = ids.iter().filter(|id| !self.files.contains_key(*id)).collect();
        if !missing.is_empty() {
            let body = json!({"message": NO_FILE, "missingFileIds": missing});
            return Response { status: 404, body };
        }
        let (locked, unlocked): (Vec<String>, Vec<String>) =
            ids.into_iter().partition(|id| self.locked.contains(id));
        self.changes += 1;
        for id in &unlocked {
            if let Some(file) = self.files.get_mut(id) {
                change(file, &tags);
                file.updated = self.changes;
            }
        }
        if locked.is_empty() {
            return Response::ok(json!({"successfullyUpdatedFileIds": unlocked}));
        }
        let error = |id: &String| json!({"fileId": id, "error": "The file is locked."});
        let errors: Vec<Value> = locked.iter().map(error).collect();
        Response {
            status: 207,
            body: json!({"successfullyUpdatedFileIds": unlocked, "errors": errors}),
        }
    }
}

/// The custom metadata fields of the account.
fn fields() -> Value {
    json!([
        {"id": "field1", "name": "brand", "label": "Brand", "schema": {"type": "Text"}},
        {"id": "field2", "name": "price", "label": "Price", "schema": {"type": "Number"}},
    ])
}

/// Applies the fields of a PATCH body, except extensions.
fn update(file: &mut File, body: &Map<String, Value>) -> Result<(), Response> {
    for (name, value) in body {
        match (name.as_str(), value) {
            ("tags", Value::Null) => file.tags.clear(),
            ("tags", Value::Array(_)) => file.tags = tags(value)?,
            ("customCoordinates", Value::Null) => file.coordinates = None,
            ("customCoordinates", Value::String(area)) => file.coordinates = Some(area.clone()),
            ("description", Value::String(text)) => file.description.clone_from(text),
            ("customMetadata", Value::Object(values)) => merge(&mut file.metadata, values)?,
            ("removeAITags", Value::String(all)) if all == "all" => file.ai_tags.clear(),
            ("removeAITags", Value::Array(_)) => file.remove_ai_tags(&tags(value)?),
            ("extensions", Value::Array(_)) | ("webhookUrl", Value::String(_)) => {}
            _ => return Err(Response::error(400, &format!("{name} is not valid."))),
        }
    }
    Ok(())
}

fn tags(value: &Value) -> Result<Vec<String>, Response> {
    let tags: Vec<String> = serde_json::from_value(value.clone())
        .map_err(|_| Response::error(400, "Tags must be an array of strings."))?;
    let length: usize = tags.iter().map(String::len).sum();
    if length > TAGS_MAX || tags.iter().any(|tag| tag.contains('%')) {
        return Err(Response::error(400, "Tags are too long or hold a %."));
    }
    Ok(tags)
}

/// Merges custom metadata: absent fields stay, null clears.
fn merge(metadata: &mut Map<String, Value>, values: &Map<String, Value>) -> Result<(), Response> {
    for (name, value) in values {
        match (name.as_str(), value) {
            ("brand" | "price", Value::Null) => drop(metadata.remove(name)),
            ("brand", Value::String(_)) | ("price", Value::Number(_)) => {
                metadata.insert(name.clone(), value.clone());
            }
            _ => {
                let mut error = Response::error(400, "Invalid custom metadata.");
                error.body["errors"] = json!({name: "is not a value of this field"});
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Runs extensions on a file; returns the response's `extensionStatus`.
fn run(file: &mut File, extensions: &[Value]) -> Result<Map<String, Value>, Response> {
    let mut status = Map::new();
    for extension in extensions {
        let name = extension["name"].as_str().unwrap_or_default();
        let result = match name {
            "google-auto-tagging" | "aws-auto-tagging" => {
                if !extension["minConfidence"].is_number() || !extension["maxTags"].is_number() {
                    return Err(Response::error(400, "minConfidence and maxTags are required."));
                }
                file.ai_tags.push((format!("tagged by {name}"), name.to_owned()));
                "success"
            }
            "ai-auto-description" => {
                "described by AI".clone_into(&mut file.description);
                "success"
            }
            "remove-bg" => {
                file.version += 1;
                "pending"
            }
            _ => return Err(Response::error(400, &format!("Unknown extension {name}."))),
        };
        status.insert(name.to_owned(), result.into());
    }
    Ok(status)
}

/// An extension configuration as canonical JSON.
pub(crate) fn config(extension: &Value) -> String {
    let mut extension = extension.clone();
    extension.sort_all_objects();
    extension.to_string()
}
