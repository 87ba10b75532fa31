//! The looks behind the scenes: `/__sandbox/…`.

use super::response::ApiResponse;
use super::route::Internal;
use super::state::Sandbox;
use super::store::Store;

/// Answers an internal request.
pub(crate) fn response(sandbox: &Sandbox, asked: &Internal) -> ApiResponse {
    match asked {
        Internal::Stats => ApiResponse::json(200, &sandbox.state().recorder.stats()),
        Internal::Library => lines(&sandbox.state().store),
        Internal::History(id) => ApiResponse::json(200, &sandbox.state().recorder.history(id)),
        Internal::Reset => {
            sandbox.reset();
            ApiResponse::json(200, &serde_json::json!({"reset": true}))
        }
        Internal::Nothing => ApiResponse::error(404, "The sandbox has nothing of that name."),
    }
}

fn lines(store: &Store) -> ApiResponse {
    let mut text = Vec::new();
    store.write_lines(&mut text).expect("a buffer takes everything");
    ApiResponse::plain(200, text, "application/jsonl; charset=utf-8")
}
