//! The body of "Update file details": checks it and applies it to a file.

use serde_json::{Map, Value};

use crate::api::response::ApiResponse;
use crate::extensions::catalogue::{Catalogue, Requested};
use crate::library::file::{Details, File};
use crate::library::metadata::MetadataChange;
use crate::quirks::{EmptyDescription, EmptyTags, Quirks, TagLength};

/// Maximum combined length of all tags of a request or file, in [`TagLength`] units.
const TAGS_LENGTH_MAX: usize = 500;

/// Maximum number of custom metadata values of a file. That each value of a list counts is not
/// documented: it is the stricter reading.
const VALUES_MAX: usize = 1000;

/// A valid body: one of the two branches of the API's `oneOf`.
#[derive(Debug, PartialEq)]
pub(crate) enum Patch {
    Details(Update),
    Publish { is_published: bool },
}

/// The branch with the details.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Update {
    pub(crate) tags: Change<Vec<String>>,
    pub(crate) custom_coordinates: Change<String>,
    pub(crate) custom_metadata: MetadataChange,
    pub(crate) description: Change<String>,
    pub(crate) remove_ai_tags: Option<RemoveAiTags>,
    pub(crate) extensions: Vec<Requested>,
    /// URL for callbacks of settled extensions.
    pub(crate) webhook_url: Option<String>,
}

/// A change of a value that can be unset.
#[derive(Debug, Default, PartialEq)]
pub(crate) enum Change<T> {
    #[default]
    Keep,
    Unset,
    Set(T),
}

#[derive(Debug, PartialEq)]
pub(crate) enum RemoveAiTags {
    All,
    Named(Vec<String>),
}

/// Checks a body.
///
/// # Errors
/// The API's 400 response.
pub(crate) fn check(
    body: &Value,
    catalogue: &Catalogue,
    quirks: Quirks,
) -> Result<Patch, ApiResponse> {
    let body = body
        .as_object()
        .ok_or_else(|| ApiResponse::bad_request("The request body should be a JSON object."))?;
    if let Some(publish) = body.get("publish") {
        return check_publish(body, publish);
    }
    let mut update = Update::default();
    for (name, value) in body {
        update.set_parameter(name, value, catalogue, quirks)?;
    }
    Ok(Patch::Details(update))
}

fn check_publish(body: &Map<String, Value>, publish: &Value) -> Result<Patch, ApiResponse> {
    if body.len() > 1 {
        return Err(ApiResponse::bad_request("publish cannot be combined with other parameters."));
    }
    let include = publish.get("includeFileVersions");
    match publish.get("isPublished").and_then(Value::as_bool) {
        Some(is_published) if include.is_none_or(Value::is_boolean) => {
            Ok(Patch::Publish { is_published })
        }
        _ => Err(invalid("publish", "It should be an object with a boolean isPublished.")),
    }
}

impl Patch {
    /// Applies the body. Returns the extensions, which run afterwards, and the URL for their callbacks.
    pub(crate) fn apply(self, details: &mut Details) -> (Vec<Requested>, Option<String>) {
        match self {
            Self::Publish { is_published } => {
                details.is_published = is_published;
                (Vec::new(), None)
            }
            Self::Details(mut update) => {
                let webhook_url = update.webhook_url.take();
                (update.apply(details), webhook_url)
            }
        }
    }
}

impl Update {
    fn set_parameter(
        &mut self,
        name: &str,
        value: &Value,
        catalogue: &Catalogue,
        quirks: Quirks,
    ) -> Result<(), ApiResponse> {
        match name {
            "tags" => self.tags = check_tags(value, quirks)?,
            "customCoordinates" => self.custom_coordinates = check_coordinates(value)?,
            "customMetadata" => self.custom_metadata = check_metadata(value, catalogue, quirks)?,
            "description" => self.description = check_description(value, quirks)?,
            "removeAITags" => self.remove_ai_tags = Some(check_remove_ai_tags(value)?),
            "extensions" => {
                self.extensions =
                    catalogue.check(value).map_err(|reason| invalid(name, &reason))?;
            }
            "webhookUrl" => self.webhook_url = Some(check_webhook_url(value)?),
            _ => {
                return Err(ApiResponse::bad_request(&format!(
                    "Your request contains unknown parameter {name}."
                )));
            }
        }
        Ok(())
    }

    /// The API's error for the custom metadata of this update on a file.
    pub(crate) fn file_error(&self, file: &File, quirks: Quirks) -> Option<String> {
        let File { base, details } = file;
        let Quirks { required_fields, read_only_fields, .. } = quirks;
        let change = &self.custom_metadata;
        let policy = base.policy.as_ref().and_then(|policy| {
            policy.error(change, &details.custom_metadata, required_fields, read_only_fields)
        });
        let most = details.custom_metadata.count() + change.count();
        policy.or_else(|| {
            if most <= VALUES_MAX {
                return None;
            }
            let mut metadata = details.custom_metadata.clone();
            metadata.apply(change.clone());
            let is_too_much = metadata.count() > VALUES_MAX;
            is_too_much
                .then(|| format!("An asset has at most {VALUES_MAX} custom metadata values."))
        })
    }

    /// Applies the update. Returns the extensions, which run afterwards.
    fn apply(self, details: &mut Details) -> Vec<Requested> {
        self.tags.apply(&mut details.tags);
        self.custom_coordinates.apply(&mut details.custom_coordinates);
        details.custom_metadata.apply(self.custom_metadata);
        self.description.apply(&mut details.description);
        match self.remove_ai_tags {
            Some(RemoveAiTags::All) => details.ai_tags.clear(),
            Some(RemoveAiTags::Named(names)) => {
                details.ai_tags.retain(|tag| !names.contains(&tag.name));
            }
            None => {}
        }
        self.extensions
    }
}

impl<T> Change<T> {
    fn apply(self, target: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Unset => *target = None,
            Self::Set(value) => *target = Some(value),
        }
    }
}

/// The body without a field, for the fault that ignores it.
pub(crate) fn without(body: &Value, field: &str) -> Value {
    let mut body = body.clone();
    match field.strip_prefix("customMetadata.") {
        Some(name) => {
            body["customMetadata"].as_object_mut().and_then(|metadata| metadata.remove(name))
        }
        None => body.as_object_mut().and_then(|body| body.remove(field)),
    };
    body
}

fn invalid(parameter: &str, reason: &str) -> ApiResponse {
    ApiResponse::bad_request(&format!(
        "Your request contains invalid value for {parameter} parameter. {reason}"
    ))
}

fn check_tags(value: &Value, quirks: Quirks) -> Result<Change<Vec<String>>, ApiResponse> {
    if value.is_null() {
        return Ok(Change::Unset);
    }
    let tags = strings(value).ok_or_else(|| not_strings("tags"))?;
    if let Some(reason) = tags_error(&tags, quirks.tag_length) {
        return Err(invalid("tags", reason));
    }
    match (tags.is_empty(), quirks.empty_tags) {
        (false, _) => Ok(Change::Set(tags)),
        (true, EmptyTags::Clear) => Ok(Change::Unset),
        (true, EmptyTags::Ignore) => Ok(Change::Keep),
        (true, EmptyTags::Refuse) => Err(invalid("tags", "It should not be empty.")),
    }
}

/// The API's error for the tags of a request or file.
pub(crate) fn tags_error(tags: &[String], unit: TagLength) -> Option<&'static str> {
    let length = |tag: &String| match unit {
        TagLength::Characters => tag.chars().count(),
        TagLength::Bytes => tag.len(),
    };
    if tags.iter().map(length).sum::<usize>() > TAGS_LENGTH_MAX {
        return Some("Combined length of all tags should be less than or equal to 500.");
    }
    let percent = tags.iter().any(|tag| tag.contains('%'));
    percent.then_some("% is not allowed in tags.")
}

pub(crate) fn strings(value: &Value) -> Option<Vec<String>> {
    let texts = value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned));
    texts.collect()
}

pub(crate) fn not_strings(parameter: &str) -> ApiResponse {
    ApiResponse::bad_request(&format!(
        "Your request contains invalid value for {parameter}. Please provide an array of strings. \
         Example - ['t-shirt','summer-sale']."
    ))
}

fn check_description(value: &Value, quirks: Quirks) -> Result<Change<String>, ApiResponse> {
    let text = value.as_str().ok_or_else(|| invalid("description", "It should be a string."))?;
    match (text, quirks.empty_description) {
        ("", EmptyDescription::Clear) => Ok(Change::Unset),
        ("", EmptyDescription::Ignore) => Ok(Change::Keep),
        ("", EmptyDescription::Refuse) => Err(invalid("description", "It should not be empty.")),
        (text, _) => Ok(Change::Set(text.to_owned())),
    }
}

fn check_coordinates(value: &Value) -> Result<Change<String>, ApiResponse> {
    let text = match value {
        Value::Null => return Ok(Change::Unset),
        Value::String(text) => text,
        _ => return Err(invalid("customCoordinates", "It should be a string.")),
    };
    let is_integer =
        |part: &str| part.parse::<u32>().is_ok() && part.bytes().all(|byte| byte.is_ascii_digit());
    if text.split(',').count() == 4 && text.split(',').all(is_integer) {
        Ok(Change::Set(text.clone()))
    } else {
        Err(invalid("customCoordinates", "The format is x,y,width,height."))
    }
}

fn check_metadata(
    value: &Value,
    catalogue: &Catalogue,
    quirks: Quirks,
) -> Result<MetadataChange, ApiResponse> {
    let values =
        value.as_object().ok_or_else(|| invalid("customMetadata", "It should be an object."))?;
    let checked = catalogue.fields().check_update(values.clone(), quirks.required_fields);
    checked.map_err(|errors| ApiResponse::invalid_metadata(&errors))
}

fn check_remove_ai_tags(value: &Value) -> Result<RemoveAiTags, ApiResponse> {
    match value {
        Value::String(text) if text == "all" => Ok(RemoveAiTags::All),
        value => strings(value).map(RemoveAiTags::Named).ok_or_else(|| not_strings("removeAITags")),
    }
}

fn check_webhook_url(value: &Value) -> Result<String, ApiResponse> {
    let schemes = ["https://", "http://"];
    let url = value.as_str().unwrap_or_default();
    if schemes.iter().any(|scheme| url.starts_with(scheme)) {
        Ok(url.to_owned())
    } else {
        Err(invalid("webhookUrl", "It should be a URL."))
    }
}
