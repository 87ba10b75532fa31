//! The looks behind the scenes: `/__sandbox/…`.

use super::answer::Answer;
use super::route::Internal;
use super::state::Sandbox;
use super::store::Store;

/// Answers an internal request.
pub(crate) fn answer(sandbox: &Sandbox, asked: &Internal) -> Answer {
    match asked {
        Internal::Stats => Answer::json(200, &sandbox.state().recorder.stats()),
        Internal::Library => lines(&sandbox.state().store),
        Internal::History(id) => Answer::json(200, &sandbox.state().recorder.history(id)),
        Internal::Reset => {
            sandbox.reset();
            Answer::json(200, &serde_json::json!({"reset": true}))
        }
        Internal::Nothing => Answer::error(404, "The sandbox has nothing of that name."),
    }
}

fn lines(store: &Store) -> Answer {
    let mut text = Vec::new();
    store.write_lines(&mut text).expect("a buffer takes everything");
    Answer::plain(200, text, "application/jsonl; charset=utf-8")
}
