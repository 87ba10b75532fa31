//! Carries one request through: in, its faults and delays, the work, out.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::Response;

use super::connection::{CloseMode, ConnectionControl};
use super::delivery::Reply;
use super::faults::Fault;
use super::hook::{HookEvent, Phase};
use super::internal;
use super::rate_limit::Announced;
use super::request::ApiRequest;
use super::response::{ApiResponse, RateHeaders, Reset};
use super::route::{Route, route};
use super::state::{Arrival, Sandbox};

/// More than any sensible request; what is larger gets a 413.
const BODY_BYTES_MAX: usize = 4 << 20;

/// The handler of every request.
pub(crate) async fn serve(
    State(sandbox): State<Arc<Sandbox>>,
    ConnectInfo(line): ConnectInfo<ConnectionControl>,
    request: Request,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return ApiResponse::error(413, "The request body is too large.").into_response(None);
    };
    match route(&head.method, &head.uri) {
        Route::Internal(asked) => internal::response(&sandbox, &asked).into_response(None),
        Route::Api(call) => {
            let request = ApiRequest::new(head, call, body, &sandbox.lock);
            serve_api(sandbox, &line, request).await
        }
    }
}

async fn serve_api(
    sandbox: Arc<Sandbox>,
    line: &ConnectionControl,
    request: ApiRequest,
) -> Response<Body> {
    let arrival = sandbox.arrive(&request);
    let n = arrival.n;
    let visit = Arc::new(RequestContext { sandbox, request, n });
    let _under_way = InFlightGuard(Arc::clone(&visit));
    visit.tell(Phase::Arrived);
    let reply = if visit.may_take_time(&arrival) {
        // In a task of its own: a client that goes away does not undo what it has sent.
        let task = tokio::spawn(Arc::clone(&visit).process(arrival));
        task.await.unwrap_or_else(|_| Reply::Whole(ApiResponse::error(500, "The sandbox failed.")))
    } else {
        Arc::clone(&visit).process(arrival).await
    };
    reply.deliver(line, n)
}

/// One API request under way.
struct RequestContext {
    sandbox: Arc<Sandbox>,
    request: ApiRequest,
    n: u64,
}

/// A visit counts as under way as long as this lives: until the response, or until the client has
/// gone.
struct InFlightGuard(Arc<RequestContext>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.sandbox.state().recorder.left(&self.0.request);
    }
}

impl RequestContext {
    /// Whether there is any wait between arrival and response. While recording there always is one
    /// turn of the event loop, so that requests that arrive together are seen to overlap.
    fn may_take_time(&self, arrival: &Arrival) -> bool {
        let config = &self.sandbox.config;
        config.record || !config.latency.is_zero() || arrival.fault.is_some()
    }

    fn tell(&self, phase: Phase) {
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
        let Arrival { fault, refusal, rate, .. } = arrival;
        let reply = if let Some(reply) = fault.as_ref().and_then(instead) {
            reply
        } else {
            self.pause(fault.as_ref()).await;
            let response = refusal.unwrap_or_else(|| ApiResponse {
                rate,
                ..self.sandbox.work(&self.request, self.n, fault.as_ref())
            });
            self.tell(Phase::Worked);
            afterwards(fault, response).await
        };
        self.sandbox.state().recorder.answered(&self.request, reply.status());
        reply
    }

    /// Think time, and the fault that makes it longer.
    async fn pause(&self, fault: Option<&Fault>) {
        let hang = match fault {
            Some(Fault::HangBefore(hang)) => *hang,
            _ => Duration::ZERO,
        };
        sleep(self.sandbox.config.latency + hang).await;
    }
}

/// The reply of a fault that takes the place of the work.
fn instead(fault: &Fault) -> Option<Reply> {
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

/// What a fault makes of an response.
async fn afterwards(fault: Option<Fault>, response: ApiResponse) -> Reply {
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

/// Does not even look at the timer for no time at all.
async fn sleep(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}
