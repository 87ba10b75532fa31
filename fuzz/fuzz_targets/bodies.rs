//! Arbitrary bytes as the body of a successful response to each kind of request. Every step of the
//! request gets one outcome, or its response counts as lost.

use ikbulk::internals::{
    Accepted, Builder, Cell, Content, Field, FileId, FileState, Request, RowSteps, Rules, Schema,
    SendResult, StepRef, Verdict, from_at_most_once, from_idempotent,
};

const FILE: &str = "a";

/// The requests of one row that changes every field.
fn requests() -> Vec<Request> {
    let rules = Rules::default();
    let mut builder = Builder::new(&rules);
    let extensions = r#"[{"name":"aws-auto-tagging","minConfidence":80,"maxTags":3}]"#;
    for (name, cell) in [
        ("fileId", FILE),
        ("addTags", "x"),
        ("removeTags", "y"),
        ("description", "text"),
        ("customCoordinates", "1,2,3,4"),
        ("extensions", extensions),
        ("isPublished", "false"),
    ] {
        let field = Field::fixed(name).expect("it is a column");
        builder.set(name, &field, Cell::Text(cell));
    }
    let Content::Update(update) = builder.finish() else { panic!("the row is good") };
    let file = FileId::new(FILE).expect("it is an id");
    let requests = RowSteps::of(&update.change).map(|(kind, call)| {
        Request::new(call, [file.clone()].into(), [StepRef { row: 2, kind }].into())
    });
    requests.collect()
}

/// Takes the bytes as the response to each kind of request, without panicking.
pub(crate) fn takes_response(bytes: &[u8]) {
    // Unreadable input is an error, not a panic.
    drop((Schema::from_json(bytes), serde_json::from_slice::<FileState>(bytes)));
    for request in requests() {
        let steps = request.steps().to_vec();
        let body = bytes.to_vec().into();
        let accepted = Accepted { http_status: 200, request_id: None, body };
        let verdict = match request {
            Request::Idempotent(request) => from_idempotent(request, Ok(accepted)),
            Request::AtMostOnce(request) => {
                from_at_most_once(SendResult::Accepted(request, accepted))
            }
        };
        match verdict {
            Verdict::Final(outcomes) => {
                assert!(outcomes.iter().map(|(step, _)| *step).eq(steps));
            }
            Verdict::Retry { .. } | Verdict::ResponseLost { .. } => {}
            other => panic!("a successful response became {other:?}"),
        }
    }
}
