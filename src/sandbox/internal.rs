//! The looks behind the scenes: `/__sandbox/…`.

use serde_json::Value;

use super::answer::Answer;
use super::route::Internal;
use super::state::Sandbox;

/// Answers an internal request.
pub(crate) fn answer(sandbox: &Sandbox, asked: &Internal) -> Answer {
    match asked {
        Internal::Stats => Answer::json(200, &sandbox.state().recorder.stats()),
        Internal::Library => lines(&sandbox.state().stock.objects()),
        Internal::History(id) => Answer::json(200, &sandbox.state().recorder.history(id)),
        Internal::Reset => {
            sandbox.reset();
            Answer::json(200, &serde_json::json!({"reset": true}))
        }
        Internal::Nothing => Answer::error(404, "The sandbox has nothing of that name."),
    }
}

/// JSONL: one object a line.
fn lines(objects: &[Value]) -> Answer {
    let mut text = String::new();
    for object in objects {
        text += &object.to_string();
        text.push('\n');
    }
    Answer::plain(200, text, "application/jsonl; charset=utf-8")
}
