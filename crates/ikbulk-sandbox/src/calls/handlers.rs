//! Processes admitted requests.

use std::sync::Arc;

use serde_json::Value;

use crate::account::reports::{Dates, Now, UsageReports};
use crate::api::request::ApiRequest;
use crate::api::response::ApiResponse;
use crate::api::route::{Bulk, Call, Report};
use crate::calls::patch::{self, Patch};
use crate::calls::{bulk, fields, listing, saved_extensions, webhooks};
use crate::clock::Clock;
use crate::extensions::catalogue::Requested;
use crate::extensions::result;
use crate::faults::fault::Fault;
use crate::library::file::{Details, FileObject, Status};
use crate::library::initial::Key;
use crate::settlement::callback::FileChange;
use crate::settlement::run::ExtensionRun;
use crate::state::{Sandbox, State};

/// Name and status of each extension of a request, as in `extensionStatus`.
type ExtensionStatus = Vec<(&'static str, Status)>;

impl Sandbox {
    /// Processes request `n`, with its fault if it has one.
    pub(crate) fn handle(
        self: &Arc<Self>,
        request: &ApiRequest,
        n: u64,
        fault: Option<&Fault>,
    ) -> ApiResponse {
        let mut state = self.state();
        let result = match &request.call {
            Call::Update(id) => self.update(&mut state, request, n, id, fault),
            Call::Bulk(which) => self.bulk(&mut state, request, n, *which, fault),
            Call::Get(id) => details(&state, id),
            Call::List => {
                let query = request.uri.query().unwrap_or_default();
                Ok(listing::list(&state.store, query, self.config.quirks))
            }
            Call::Fields => {
                let query = request.uri.query().unwrap_or_default();
                fields::list(&self.config.fields, &state.store, query)
            }
            Call::Saved(call) => {
                saved_extensions::handle(&mut state.catalogue, call, request.json.as_ref())
            }
            Call::Webhooks(call) => {
                webhooks::handle(&mut state.webhooks, call, request.json.as_ref())
            }
            Call::Report(report) => self.report(&mut state, *report, request.uri.query()),
            Call::NoFileId => Err(ApiResponse::invalid_file_id()),
            Call::NoMethod => Err(ApiResponse::no_method()),
            Call::NoEndpoint => Err(ApiResponse::no_endpoint()),
        };
        result.unwrap_or_else(|rejection| rejection)
    }

    fn update(
        self: &Arc<Self>,
        state: &mut State,
        request: &ApiRequest,
        n: u64,
        id: &str,
        fault: Option<&Fault>,
    ) -> Result<ApiResponse, ApiResponse> {
        let body = request.json.as_ref().ok_or_else(ApiResponse::malformed)?;
        let catalogue = &state.catalogue;
        let check = |body: &Value| patch::check(body, catalogue, self.config.quirks);
        let patch = check(body)?;
        let ignored = fault.and_then(Fault::ignored_field);
        let patch = ignored.map_or(Ok(patch), |field| check(&patch::without(body, field)))?;
        let key = state.store.find(id).ok_or_else(|| no_file(id))?;
        self.check_file(state, key, &patch)?;
        let (base, details) = state.store.edit(key);
        let version = details.version;
        let extension_status: ExtensionStatus = match patch {
            Patch::Publish { is_published } => {
                details.is_published = is_published;
                Vec::new()
            }
            Patch::Details(mut update) => {
                let (generation, webhook_url) = (state.generation, update.webhook_url.take());
                let extensions = update.apply(details).into_iter().enumerate();
                let start = |(place, Requested { extension, configuration })| {
                    let name = extension.name();
                    let units = self.config.units.of(name);
                    state.usage.record(self.clock.day(), name, units);
                    *state.runs.entry(key).or_default() += 1;
                    state.recorder.billed(id, name, &configuration, units);
                    let (file, webhook_url) = (id.to_owned(), webhook_url.clone());
                    self.start(
                        ExtensionRun { n, place, generation, file, extension, webhook_url },
                        details,
                    )
                };
                one_per_name(extensions.map(start))
            }
        };
        details.touch(Clock::wall_ms());
        let response = ApiResponse::json(
            200,
            &FileObject { base: &base, details, extension_status: &extension_status },
        );
        let has_new_version = details.version != version;
        state.recorder.changed(request, n, &[id]);
        let change = if has_new_version { FileChange::NewVersion } else { FileChange::Updated };
        self.announce(state, key, change);
        Ok(response)
    }

    /// Checks what depends on the file: its path policy, and the numbers of its values and runs.
    fn check_file(&self, state: &State, key: Key, patch: &Patch) -> Result<(), ApiResponse> {
        let Patch::Details(update) = patch else { return Ok(()) };
        let quirks = self.config.quirks;
        if !update.custom_metadata.0.is_empty() {
            let error = update.file_error(&state.store.file(key), quirks);
            error.map_or(Ok(()), |reason| Err(ApiResponse::bad_request(&reason)))?;
        }
        let runs = state.runs.get(&key).unwrap_or(&0) + update.extensions.len() as u64;
        if !update.extensions.is_empty() && quirks.extension_limit.is_some_and(|max| runs > max) {
            return Err(ApiResponse::bad_request("Extension limit exceeded for this file."));
        }
        Ok(())
    }

    /// Starts an extension. Writes its result now if it succeeds immediately, later if it is pending.
    fn start(self: &Arc<Self>, run: ExtensionRun, details: &mut Details) -> (&'static str, Status) {
        let (file, name) = (&run.file, run.extension.name());
        let status = self.config.extensions.status(file, name);
        match status {
            Status::Success => {
                result::write(&run.extension, file, &self.config.found_tags, details);
            }
            Status::Pending => self.settle_later(run),
            Status::Failed => {}
        }
        (name, status)
    }

    fn report(
        &self,
        state: &mut State,
        report: Report,
        query: Option<&str>,
    ) -> Result<ApiResponse, ApiResponse> {
        let dates = Dates::parse(query.unwrap_or_default())?;
        let now = Now { ns: self.clock.now_ns(), wall_ms: Clock::wall_ms() };
        let State { usage, reports, .. } = state;
        Ok(match self.config.usage_reports {
            UsageReports::Cached => reports.get(report, dates, usage, now),
            UsageReports::Current => dates.report(report, usage, now.wall_ms),
        })
    }

    fn bulk(
        self: &Arc<Self>,
        state: &mut State,
        request: &ApiRequest,
        n: u64,
        which: Bulk,
        fault: Option<&Fault>,
    ) -> Result<ApiResponse, ApiResponse> {
        let body = request.json.as_ref().ok_or_else(ApiResponse::malformed)?;
        let quirks = self.config.quirks;
        let mut bulk = bulk::check(which, body, quirks)?;
        match fault {
            Some(Fault::DropField(field)) if matches!(field.as_str(), "tags" | "AITags") => {
                return Ok(bulk.success());
            }
            Some(Fault::PartialBulk) => bulk = bulk.failing_every_other(),
            _ => {}
        }
        let outcome = bulk.execute(&mut state.store, quirks, Clock::wall_ms())?;
        state.recorder.changed(request, n, &outcome.updated);
        for id in &outcome.updated {
            if let Some(key) = state.store.find(id) {
                self.announce(state, key, FileChange::Updated);
            }
        }
        Ok(outcome.response())
    }
}

/// The last status of each name, because extensions of the same name share a key.
fn one_per_name(all: impl Iterator<Item = (&'static str, Status)>) -> ExtensionStatus {
    let mut statuses = ExtensionStatus::new();
    for (name, status) in all {
        statuses.retain(|(other, _)| *other != name);
        statuses.push((name, status));
    }
    statuses
}

fn details(state: &State, id: &str) -> Result<ApiResponse, ApiResponse> {
    let key = state.store.find(id).ok_or_else(|| no_file(id))?;
    let file = state.store.file(key);
    Ok(ApiResponse::json(
        200,
        &FileObject { base: &file.base, details: &file.details, extension_status: &[] },
    ))
}

/// The response for a missing file: 404, or 400 if the id is invalid.
fn no_file(id: &str) -> ApiResponse {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if id.bytes().all(is_allowed) { ApiResponse::no_file() } else { ApiResponse::invalid_file_id() }
}
