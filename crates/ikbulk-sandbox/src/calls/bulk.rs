//! The three bulk calls: add or remove the same tags on up to 50 files.

use serde_json::{Value, json};

use crate::api::response::ApiResponse;
use crate::api::route::Bulk;
use crate::calls::patch::{not_strings, strings, tags_error};
use crate::library::file::Details;
use crate::library::initial::Key;
use crate::library::store::Store;
use crate::quirks::{MissingIds, Quirks};

const FILES_MAX: usize = 50;

/// A valid body of a bulk call.
#[derive(Debug)]
pub(crate) struct BulkRequest<'a> {
    which: Bulk,
    pub(crate) files: Vec<&'a str>,
    tags: Vec<String>,
    /// What becomes of every other file, starting with the first; `None` if all are updated.
    skipped: Option<Skipped>,
}

/// What the response says of files that are not updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skipped {
    /// That they failed.
    Failed,
    /// That they were updated.
    Claimed,
}

/// Result of a bulk call.
#[derive(Debug, Default)]
pub(crate) struct Outcome<'a> {
    /// Ids of the files that were updated.
    pub(crate) updated: Vec<&'a str>,
    /// Ids of the files that were not updated, with the error message.
    failed: Vec<(&'a str, &'static str)>,
}

/// Checks the body of a bulk call.
///
/// # Errors
/// The API's 400 response.
pub(crate) fn check(
    which: Bulk,
    body: &Value,
    quirks: Quirks,
) -> Result<BulkRequest<'_>, ApiResponse> {
    let files = check_files(body)?;
    let parameter = match which {
        Bulk::Add | Bulk::Remove => "tags",
        Bulk::RemoveAi => "AITags",
    };
    let bad_request = |text: &str| ApiResponse::bad_request(&format!("{parameter} {text}"));
    let given = body.get(parameter).ok_or_else(|| bad_request("parameter is missing."))?;
    let tags = strings(given).ok_or_else(|| not_strings(parameter))?;
    if tags.is_empty() {
        return Err(bad_request("array cannot be empty."));
    }
    match tags_error(&tags, quirks.tag_length) {
        Some(reason) if which != Bulk::RemoveAi => Err(ApiResponse::bad_request(&format!(
            "Your request contains invalid value for tags parameter. {reason}"
        ))),
        _ => Ok(BulkRequest { which, files, tags, skipped: None }),
    }
}

fn check_files(body: &Value) -> Result<Vec<&str>, ApiResponse> {
    let given = body
        .get("fileIds")
        .ok_or_else(|| ApiResponse::bad_request("fileIds parameter is missing."))?;
    let not_array = || ApiResponse::bad_request("fileIds should be an Array.");
    let given = given.as_array().ok_or_else(not_array)?;
    if given.is_empty() {
        return Err(ApiResponse::bad_request("fileIds is empty."));
    }
    if given.len() > FILES_MAX {
        return Err(ApiResponse::bad_request("A maximum of 50 files can be edited at a time."));
    }
    let mut files = Vec::with_capacity(given.len());
    for id in given {
        let id = id.as_str().ok_or_else(ApiResponse::invalid_file_id)?;
        if !files.contains(&id) {
            files.push(id);
        }
    }
    Ok(files)
}

impl<'a> BulkRequest<'a> {
    /// The same request, which does not update every other file.
    pub(crate) fn skipping(self, skipped: Skipped) -> Self {
        Self { skipped: Some(skipped), ..self }
    }

    /// Updates the files, or none of them if some do not exist.
    ///
    /// # Errors
    /// The API's 404 response, because of missing files.
    pub(crate) fn execute(
        &self,
        store: &mut Store,
        quirks: Quirks,
        wall_ms: i64,
    ) -> Result<Outcome<'a>, ApiResponse> {
        let missing: Vec<&str> =
            self.files.iter().copied().filter(|id| store.find(id).is_none()).collect();
        if !missing.is_empty() {
            let named = (quirks.missing_ids == MissingIds::Named).then_some(missing.as_slice());
            return Err(ApiResponse::no_files(named));
        }
        let mut outcome = Outcome::default();
        for (place, id) in self.files.iter().enumerate() {
            let Some(key) = store.find(id) else { continue };
            let edited = match self.skipped.filter(|_| place.is_multiple_of(2)) {
                Some(Skipped::Failed) => {
                    Err("The file could not be updated. Please try again later.")
                }
                Some(Skipped::Claimed) => Ok(()),
                None => self.edit(store, key, quirks, wall_ms),
            };
            match edited {
                Ok(()) => outcome.updated.push(id),
                Err(error) => outcome.failed.push((id, error)),
            }
        }
        Ok(outcome)
    }

    fn edit(
        &self,
        store: &mut Store,
        key: Key,
        quirks: Quirks,
        wall_ms: i64,
    ) -> Result<(), &'static str> {
        if self.which == Bulk::Add {
            let mut changed = store.file(key).details;
            changed.add_tags(&self.tags);
            let tags = changed.tags.as_deref().unwrap_or_default();
            tags_error(tags, quirks.tag_length).map_or(Ok(()), Err)?;
        }
        let (_, details) = store.edit(key);
        self.change(details);
        details.touch(wall_ms);
        Ok(())
    }

    fn change(&self, details: &mut Details) {
        match self.which {
            Bulk::Add => details.add_tags(&self.tags),
            Bulk::Remove => details.remove_tags(&self.tags),
            Bulk::RemoveAi => details.ai_tags.retain(|tag| !self.tags.contains(&tag.name)),
        }
    }

    /// A success response, for the fault that ignores the tags.
    pub(crate) fn success(&self) -> ApiResponse {
        ApiResponse::json(200, &json!({"successfullyUpdatedFileIds": self.files}))
    }
}

impl Outcome<'_> {
    pub(crate) fn response(&self) -> ApiResponse {
        let updated = &self.updated;
        if self.failed.is_empty() {
            return ApiResponse::json(200, &json!({"successfullyUpdatedFileIds": updated}));
        }
        let error = |(id, error): &(&str, &str)| json!({"fileId": id, "error": error});
        let errors: Vec<Value> = self.failed.iter().map(error).collect();
        ApiResponse::json(207, &json!({"successfullyUpdatedFileIds": updated, "errors": errors}))
    }
}
