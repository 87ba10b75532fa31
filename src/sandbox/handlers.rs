//! The work: what a request that has passed the gate does, and its response.

use std::sync::Arc;

use serde_json::Value;

use super::clock::Clock;
use super::extension_outcome::{self, Status};
use super::extension_run::ExtensionRun;
use super::faults::Fault;
use super::file::{Details, FileObject};
use super::patch::{self, Patch};
use super::request::ApiRequest;
use super::response::ApiResponse;
use super::route::{Bulk, Call};
use super::state::{Sandbox, State};
use super::{bulk, listing};

/// How an extension of a request went, by its name.
type ExtensionStatus = Vec<(&'static str, Status)>;

impl Sandbox {
    /// Does the work of request `n`, as far as its fault lets it, and commits it.
    pub(crate) fn work(
        self: &Arc<Self>,
        request: &ApiRequest,
        n: u64,
        fault: Option<&Fault>,
    ) -> ApiResponse {
        let mut state = self.state();
        let done = match &request.call {
            Call::Update(id) => self.update(&mut state, request, n, id, fault),
            Call::Bulk(which) => self.bulk(&mut state, request, n, *which, fault),
            Call::Get(id) => details(&state, id),
            Call::List => {
                let query = request.uri.query().unwrap_or_default();
                Ok(listing::response(&state.store, query, self.config.quirks))
            }
            Call::Fields => Ok(ApiResponse::json(200, &self.config.fields)),
            Call::Saved => Ok(ApiResponse::json(200, &self.config.saved)),
            Call::NoFileId => Err(ApiResponse::invalid_file_id()),
            Call::NoMethod => Err(ApiResponse::no_method()),
            Call::NoEndpoint => Err(ApiResponse::no_endpoint()),
        };
        done.unwrap_or_else(|refused| refused)
    }

    fn update(
        self: &Arc<Self>,
        state: &mut State,
        request: &ApiRequest,
        n: u64,
        id: &str,
        fault: Option<&Fault>,
    ) -> Result<ApiResponse, ApiResponse> {
        let body = request.json.as_ref().ok_or_else(malformed)?;
        let check = |body: &Value| patch::check(body, &self.catalogue, self.config.quirks);
        let asked = check(body)?;
        let ignored = fault.and_then(Fault::ignored);
        let asked = ignored.map_or(Ok(asked), |field| check(&patch::without(body, field)))?;
        let key = state.store.find(id).ok_or_else(|| no_file(id))?;
        let (base, details) = state.store.edit(key);
        let extension_status: ExtensionStatus = match asked {
            Patch::Publish { is_published } => {
                details.is_published = is_published;
                Vec::new()
            }
            Patch::Details(mut update) => {
                let (generation, webhook_url) = (state.generation, update.webhook_url.take());
                let extensions = update.apply(details).into_iter().enumerate();
                let start = |(place, extension)| {
                    let (file, webhook_url) = (id.to_owned(), webhook_url.clone());
                    self.start(
                        ExtensionRun { n, place, generation, file, extension, webhook_url },
                        details,
                    )
                };
                extensions.map(start).collect()
            }
        };
        details.touch(Clock::wall_ms());
        let response = ApiResponse::json(
            200,
            &FileObject { base: &base, details, extension_status: &extension_status },
        );
        for (extension, _) in &extension_status {
            state.recorder.paid(id, extension);
        }
        state.recorder.changed(request, n, &[id]);
        Ok(response)
    }

    /// Starts a run. One that succeeds at once writes its result now, a pending one later.
    fn start(self: &Arc<Self>, run: ExtensionRun, details: &mut Details) -> (&'static str, Status) {
        let (file, name) = (&run.file, run.extension.name());
        let status = self.config.extensions.status(file, name);
        match status {
            Status::Success => extension_outcome::write_result(&run.extension, file, details),
            Status::Pending => self.end_later(run),
            Status::Failed => {}
        }
        (name, status)
    }

    fn bulk(
        &self,
        state: &mut State,
        request: &ApiRequest,
        n: u64,
        which: Bulk,
        fault: Option<&Fault>,
    ) -> Result<ApiResponse, ApiResponse> {
        let body = request.json.as_ref().ok_or_else(malformed)?;
        let quirks = self.config.quirks;
        let mut order = bulk::check(which, body, quirks)?;
        match fault {
            Some(Fault::DropField(field)) if matches!(field.as_str(), "tags" | "AITags") => {
                return Ok(order.pretended());
            }
            Some(Fault::BulkInPart) => order = order.in_part(),
            _ => {}
        }
        let outcome = order.carry_out(&mut state.store, quirks, Clock::wall_ms())?;
        state.recorder.changed(request, n, &outcome.done);
        Ok(outcome.response())
    }
}

fn details(state: &State, id: &str) -> Result<ApiResponse, ApiResponse> {
    let key = state.store.find(id).ok_or_else(|| no_file(id))?;
    let file = state.store.file(key);
    Ok(ApiResponse::json(
        200,
        &FileObject { base: &file.base, details: &file.details, extension_status: &[] },
    ))
}

fn malformed() -> ApiResponse {
    ApiResponse::bad_request("Your request contains malformed JSON.")
}

/// A file that does not exist: 404 if its id could be one, else 400.
fn no_file(id: &str) -> ApiResponse {
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if id.bytes().all(usual) { ApiResponse::no_file() } else { ApiResponse::invalid_file_id() }
}
