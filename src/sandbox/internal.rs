//! The looks behind the scenes: `/__sandbox/…`.

use super::answer::Answer;
use super::route::Internal;
use super::state::Sandbox;
use super::stock::Stock;

/// Answers an internal request.
pub(crate) fn answer(sandbox: &Sandbox, asked: &Internal) -> Answer {
    match asked {
        Internal::Stats => Answer::json(200, &sandbox.state().recorder.stats()),
        Internal::Library => lines(&sandbox.state().stock),
        Internal::History(id) => Answer::json(200, &sandbox.state().recorder.history(id)),
        Internal::Reset => {
            sandbox.reset();
            Answer::json(200, &serde_json::json!({"reset": true}))
        }
        Internal::Nothing => Answer::error(404, "The sandbox has nothing of that name."),
    }
}

fn lines(stock: &Stock) -> Answer {
    let mut text = Vec::new();
    stock.write_lines(&mut text).expect("a buffer takes everything");
    Answer::plain(200, text, "application/jsonl; charset=utf-8")
}
