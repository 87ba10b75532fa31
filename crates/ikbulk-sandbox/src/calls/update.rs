//! "Update file details": changes a file, and runs extensions on it.

use std::sync::Arc;

use serde_json::Value;

use crate::api::request::ApiRequest;
use crate::api::response::ApiResponse;
use crate::calls::patch::{self, Patch};
use crate::clock::Clock;
use crate::extensions::catalogue::Requested;
use crate::extensions::result;
use crate::faults::fault::Fault;
use crate::library::file::{File, FileObject, Status};
use crate::library::initial::Key;
use crate::settlement::callback::FileChange;
use crate::settlement::run::ExtensionRun;
use crate::state::{Sandbox, State};

/// Name and status of each extension of a request, as in `extensionStatus`.
type ExtensionStatus = Vec<(&'static str, Status)>;

/// The extensions of a request on a file.
#[derive(Debug)]
struct Extensions<'a> {
    /// Number of the request.
    n: u64,
    key: Key,
    file: &'a str,
    requested: Vec<Requested>,
    webhook_url: Option<String>,
}

impl Sandbox {
    /// Processes a PATCH of a file.
    ///
    /// # Errors
    /// The API's 400 or 404 response.
    pub(crate) fn update(
        self: &Arc<Self>,
        state: &mut State,
        request: &ApiRequest,
        n: u64,
        id: &str,
        fault: Option<&Fault>,
    ) -> Result<ApiResponse, ApiResponse> {
        let patch = self.accepted_patch(state, request, fault)?;
        let key = state.store.find(id).ok_or_else(|| ApiResponse::no_file_with(id))?;
        self.check_file(state, key, &patch)?;
        let (_, details) = state.store.edit(key);
        let version = details.version;
        let (requested, webhook_url) = patch.apply(details);
        details.touch(Clock::wall_ms());
        let extensions = Extensions { n, key, file: id, requested, webhook_url };
        let extension_status = self.run(state, extensions);
        let File { base, details } = state.store.file(key);
        let object =
            FileObject { base: &base, details: &details, extension_status: &extension_status };
        let response = ApiResponse::json(200, &object);
        state.recorder.changed(request, n, &[id]);
        let has_new_version = details.version != version;
        let change = if has_new_version { FileChange::NewVersion } else { FileChange::Updated };
        self.announce(state, key, change);
        Ok(response)
    }

    /// The valid body of a request, without the field that a fault ignores.
    fn accepted_patch(
        &self,
        state: &State,
        request: &ApiRequest,
        fault: Option<&Fault>,
    ) -> Result<Patch, ApiResponse> {
        let body = request.json.as_ref().ok_or_else(ApiResponse::malformed)?;
        let check = |body: &Value| patch::check(body, &state.catalogue, self.config.quirks);
        let patch = check(body)?;
        let ignored = fault.and_then(Fault::ignored_field);
        ignored.map_or(Ok(patch), |field| check(&patch::without(body, field)))
    }

    /// Checks what depends on the file: its path policy, and the numbers of its values and runs.
    fn check_file(&self, state: &State, key: Key, patch: &Patch) -> Result<(), ApiResponse> {
        let Patch::Details(update) = patch else { return Ok(()) };
        let quirks = self.config.quirks;
        if !update.custom_metadata.0.is_empty() {
            let error = update.file_error(&state.store.file(key), quirks);
            error.map_or(Ok(()), |reason| Err(ApiResponse::bad_request(&reason)))?;
        }
        let runs = state.runs_of(key) + update.extensions.len() as u64;
        if !update.extensions.is_empty() && quirks.extension_limit.is_some_and(|max| runs > max) {
            return Err(ApiResponse::bad_request("Extension limit exceeded for this file."));
        }
        Ok(())
    }

    /// Runs extensions. Writes the result of each now if it succeeds immediately, later if it is
    /// pending.
    fn run(self: &Arc<Self>, state: &mut State, extensions: Extensions<'_>) -> ExtensionStatus {
        let Extensions { n, key, file, requested, webhook_url } = extensions;
        let mut statuses = ExtensionStatus::new();
        for (place, requested) in requested.into_iter().enumerate() {
            let name = requested.extension.name();
            let before = self.bill(state, key, file, &requested);
            let extension = requested.extension;
            let status = self.config.extensions.status(file, name, before);
            match status {
                Status::Success => {
                    let (_, details) = state.store.edit(key);
                    result::write(&extension, file, &self.config.found_tags, details);
                }
                Status::Pending => self.settle_later(ExtensionRun {
                    n,
                    place,
                    generation: state.generation,
                    file: file.to_owned(),
                    extension,
                    webhook_url: webhook_url.clone(),
                }),
                Status::Failed => {}
            }
            // Extensions of the same name share a key, with the last status.
            statuses.retain(|(other, _)| *other != name);
            statuses.push((name, status));
        }
        statuses
    }

    /// Bills a run. Returns how often the extension ran on this file before.
    fn bill(&self, state: &mut State, key: Key, file: &str, requested: &Requested) -> u64 {
        let name = requested.extension.name();
        let units = self.config.units.of(name);
        state.usage.record(self.clock.day(), name, units);
        state.recorder.billed(file, name, &requested.configuration, units);
        let runs = state.runs.entry(key).or_default().entry(name).or_default();
        *runs += 1;
        *runs - 1
    }
}
