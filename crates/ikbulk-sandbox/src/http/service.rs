//! Serves a request: receives it, applies faults and delays, processes it and sends the response.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::Response;

use crate::api::request::ApiRequest;
use crate::api::response::ApiResponse;
use crate::api::route::{Route, route};
use crate::faults::fault::Fault;
use crate::hook::{HookEvent, Phase};
use crate::http::connection::{CloseMode, ConnectionControl};
use crate::http::delivery::Reply;
use crate::http::internal;
use crate::rate_limit::headers::{Announced, RateHeaders, Reset};
use crate::state::{Arrival, Sandbox};

/// Maximum size of a request body; larger ones get a 413.
const BODY_BYTES_MAX: usize = 4 << 20;

/// Handles any request.
pub(crate) async fn serve(
    State(sandbox): State<Arc<Sandbox>>,
    ConnectInfo(connection): ConnectInfo<ConnectionControl>,
    request: Request,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return ApiResponse::error(413, "The request body is too large.").into_response(None);
    };
    match route(&head.method, &head.uri) {
        Route::Internal(request) => internal::handle(&sandbox, &request).into_response(None),
        Route::Api(call) => {
            let request = ApiRequest::new(head, call, body, &sandbox.authenticator);
            serve_api(sandbox, &connection, request).await
        }
    }
}

async fn serve_api(
    sandbox: Arc<Sandbox>,
    connection: &ConnectionControl,
    request: ApiRequest,
) -> Response<Body> {
    let arrival = sandbox.arrive(&request);
    let n = arrival.n;
    let context = Arc::new(RequestContext { sandbox, request, n });
    let _in_flight = InFlightGuard(Arc::clone(&context));
    context.call_hook(Phase::Arrived);
    let reply = if context.may_wait(&arrival) {
        // In its own task, so that the request is processed even if the client disconnects.
        let task = tokio::spawn(Arc::clone(&context).process(arrival));
        task.await
            .unwrap_or_else(|_| Reply::Whole(ApiResponse::error(500, "The sandbox failed (bug).")))
    } else {
        Arc::clone(&context).process(arrival).await
    };
    reply.deliver(connection, n)
}

/// An API request in flight.
struct RequestContext {
    sandbox: Arc<Sandbox>,
    request: ApiRequest,
    n: u64,
}

/// A request is in flight while this exists: until its response, or until the client disconnects.
struct InFlightGuard(Arc<RequestContext>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.sandbox.state().recorder.finished(&self.0.request);
    }
}

impl RequestContext {
    /// Whether the request may wait before its response. While recording, each request waits at least
    /// one turn of the event loop, so that concurrent requests are recorded as overlapping.
    fn may_wait(&self, arrival: &Arrival) -> bool {
        let config = &self.sandbox.config;
        config.record || !config.latency.is_zero() || arrival.fault.is_some()
    }

    fn call_hook(&self, phase: Phase) {
        if let Some(hook) = &self.sandbox.config.hook {
            hook.call(&HookEvent {
                n: self.n,
                phase,
                method: self.request.method.to_string(),
                path: self.request.uri.path().to_owned(),
            });
        }
    }

    async fn process(self: Arc<Self>, arrival: Arrival) -> Reply {
        let Arrival { fault, rejection, rate, .. } = arrival;
        let reply = if let Some(reply) = fault.as_ref().and_then(reply_without_processing) {
            reply
        } else {
            self.wait(fault.as_ref()).await;
            let response = rejection.unwrap_or_else(|| ApiResponse {
                rate,
                ..self.sandbox.handle(&self.request, self.n, fault.as_ref())
            });
            self.call_hook(Phase::Processed);
            reply_after_processing(fault, response).await
        };
        self.sandbox.state().recorder.responded(&self.request, reply.status());
        reply
    }

    /// Waits for the configured latency, and longer if a fault says so.
    async fn wait(&self, fault: Option<&Fault>) {
        let hang = match fault {
            Some(Fault::HangBefore(hang)) => *hang,
            _ => Duration::ZERO,
        };
        sleep(self.sandbox.config.latency + hang).await;
    }
}

/// The reply of a fault that skips processing.
fn reply_without_processing(fault: &Fault) -> Option<Reply> {
    match fault {
        Fault::Status { code, body, content_type } => {
            Some(Reply::Whole(ApiResponse::plain(*code, body.clone(), content_type.clone())))
        }
        Fault::Throttle { reset_ms, limit } => Some(throttled(*limit, reset_ms.map(Reset::Ms))),
        Fault::ThrottleRaw { reset } => {
            Some(throttled(None, Some(Reset::Raw(reset.as_str().into()))))
        }
        Fault::ResetBefore => Some(Reply::Nothing),
        _ => None,
    }
}

fn throttled(limit: Option<(u64, u64)>, reset: Option<Reset>) -> Reply {
    let announced = limit.map(|(limit, interval_ms)| Announced { limit, interval_ms });
    Reply::Whole(ApiResponse::throttled(RateHeaders { announced, reset }))
}

/// The reply with this response, changed by a fault.
async fn reply_after_processing(fault: Option<Fault>, response: ApiResponse) -> Reply {
    match fault {
        Some(Fault::StatusAfter { code, body, content_type }) => {
            Reply::Whole(ApiResponse::plain(code, body, content_type))
        }
        Some(Fault::ResetAfter) => Reply::Nothing,
        Some(Fault::HangAfter(hang)) => {
            sleep(hang).await;
            Reply::Whole(response)
        }
        Some(Fault::ResetInHead) => Reply::PartOfHead(response),
        Some(Fault::ResetInBody) => Reply::Half(response, CloseMode::Reset),
        Some(Fault::CutBody) => Reply::Half(response, CloseMode::Graceful),
        Some(Fault::Trickle { bytes, every }) => Reply::Slow(response, bytes, every),
        Some(Fault::HugeBody { bytes }) => Reply::Huge(response, bytes),
        Some(Fault::Garbage) => Reply::Whole(ApiResponse::garbage()),
        _ => Reply::Whole(response),
    }
}

/// Sleeps, without using the timer if `time` is zero.
async fn sleep(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}
