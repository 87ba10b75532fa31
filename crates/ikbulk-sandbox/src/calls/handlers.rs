//! Processes admitted requests.

use std::sync::Arc;

use crate::account::reports::{Dates, Now, UsageReports};
use crate::api::request::ApiRequest;
use crate::api::response::ApiResponse;
use crate::api::route::{Bulk, Call, Report};
use crate::calls::bulk::Skipped;
use crate::calls::{bulk, fields, listing, saved_extensions, webhooks};
use crate::clock::Clock;
use crate::faults::fault::Fault;
use crate::library::file::FileObject;
use crate::settlement::callback::FileChange;
use crate::state::{Sandbox, State};

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
            Some(Fault::PartialBulk) => bulk = bulk.skipping(Skipped::Failed),
            Some(Fault::FalseBulkSuccess) => bulk = bulk.skipping(Skipped::Claimed),
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

fn details(state: &State, id: &str) -> Result<ApiResponse, ApiResponse> {
    let key = state.store.find(id).ok_or_else(|| ApiResponse::no_file_with(id))?;
    let file = state.store.file(key);
    Ok(ApiResponse::json(
        200,
        &FileObject { base: &file.base, details: &file.details, extension_status: &[] },
    ))
}
