//! Internal requests, `/__sandbox/…`, which inspect or reset the sandbox.

use crate::api::response::ApiResponse;
use crate::api::route::Internal;
use crate::library::store::Store;
use crate::state::Sandbox;

/// Handles an internal request.
pub(crate) fn handle(sandbox: &Sandbox, request: &Internal) -> ApiResponse {
    match request {
        Internal::Stats => ApiResponse::json(200, &sandbox.state().recorder.stats()),
        Internal::Library => lines(&sandbox.state().store),
        Internal::History(id) => ApiResponse::json(200, &sandbox.state().recorder.history(id)),
        Internal::Runs => ApiResponse::json(200, &sandbox.state().recorder.runs()),
        Internal::Reset => {
            sandbox.reset();
            ApiResponse::json(200, &serde_json::json!({"reset": true}))
        }
        Internal::NotFound => ApiResponse::error(404, "The sandbox has no such internal endpoint."),
    }
}

fn lines(store: &Store) -> ApiResponse {
    let mut text = Vec::new();
    store.write_lines(&mut text).expect("writing to a buffer cannot fail");
    ApiResponse::plain(200, text, "application/jsonl; charset=utf-8")
}
