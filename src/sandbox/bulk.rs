//! The three bulk calls: the same tags for up to 50 files.

use serde_json::{Value, json};

use super::extension_outcome::{add_tags, remove_tags};
use super::file::Details;
use super::library::Key;
use super::patch::{not_strings, reason_against_tags, strings};
use super::quirks::{MissingIds, Quirks};
use super::response::ApiResponse;
use super::route::Bulk;
use super::store::Store;

const FILES_MAX: usize = 50;

/// A checked body.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    which: Bulk,
    pub(crate) files: Vec<&'a str>,
    tags: Vec<String>,
    /// Every other file, from the first on, cannot be updated.
    refuses_every_other: bool,
}

/// What became of an order: the files that were changed, and the ones that could not be.
#[derive(Debug, Default)]
pub(crate) struct Outcome<'a> {
    pub(crate) done: Vec<&'a str>,
    refused: Vec<(&'a str, &'static str)>,
}

/// Checks a body.
///
/// # Errors
/// The 400 that the API gives it.
pub(crate) fn check(which: Bulk, body: &Value, quirks: Quirks) -> Result<Order<'_>, ApiResponse> {
    let files = check_files(body)?;
    let parameter = match which {
        Bulk::Add | Bulk::Remove => "tags",
        Bulk::RemoveAi => "AITags",
    };
    let refused = |text: &str| ApiResponse::bad_request(&format!("{parameter} {text}"));
    let given = body.get(parameter).ok_or_else(|| refused("parameter is missing."))?;
    let tags = strings(given).ok_or_else(|| not_strings(parameter))?;
    if tags.is_empty() {
        return Err(refused("array cannot be empty."));
    }
    match reason_against_tags(&tags, quirks.tag_length) {
        Some(reason) if which != Bulk::RemoveAi => Err(ApiResponse::bad_request(&format!(
            "Your request contains invalid value for tags parameter. {reason}"
        ))),
        _ => Ok(Order { which, files, tags, refuses_every_other: false }),
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

impl<'a> Order<'a> {
    /// The same order, of which only a part can be carried out.
    pub(crate) fn in_part(self) -> Self {
        Self { refuses_every_other: true, ..self }
    }

    /// Carries the order out, all or nothing as far as missing files go.
    ///
    /// # Errors
    /// The 404 that names the missing files.
    pub(crate) fn carry_out(
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
            let edited = if self.refuses_every_other && place.is_multiple_of(2) {
                Err("The file could not be updated. Please try again later.")
            } else {
                self.edit(store, key, quirks, wall_ms)
            };
            match edited {
                Ok(()) => outcome.done.push(id),
                Err(reason) => outcome.refused.push((id, reason)),
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
            let mut tried = store.file(key).details;
            add_tags(&mut tried, &self.tags);
            let tags = tried.tags.as_deref().unwrap_or_default();
            reason_against_tags(tags, quirks.tag_length).map_or(Ok(()), Err)?;
        }
        let (_, details) = store.edit(key);
        self.change(details);
        details.touch(wall_ms);
        Ok(())
    }

    fn change(&self, details: &mut Details) {
        match self.which {
            Bulk::Add => add_tags(details, &self.tags),
            Bulk::Remove => remove_tags(details, &self.tags),
            Bulk::RemoveAi => details.ai_tags.retain(|tag| !self.tags.contains(&tag.name)),
        }
    }

    /// The response to an order that the API says it carried out, and did not.
    pub(crate) fn pretended(&self) -> ApiResponse {
        ApiResponse::json(200, &json!({"successfullyUpdatedFileIds": self.files}))
    }
}

impl Outcome<'_> {
    pub(crate) fn response(&self) -> ApiResponse {
        if self.refused.is_empty() {
            return ApiResponse::json(200, &json!({"successfullyUpdatedFileIds": self.done}));
        }
        let error = |(id, reason): &(&str, &str)| json!({"fileId": id, "error": reason});
        let errors: Vec<Value> = self.refused.iter().map(error).collect();
        ApiResponse::json(207, &json!({"successfullyUpdatedFileIds": self.done, "errors": errors}))
    }
}
