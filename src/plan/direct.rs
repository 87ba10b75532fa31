//! The direct planner: sends every row as is, one request per step, without a snapshot.

use super::steps::{RowSteps, drop_done};
use super::{PlannedRow, RowProgress};
use crate::outcome::{Code, Outcome, Status};
use crate::request::{Request, StepKind, StepRef};
use crate::row::{Content, Row, Update};

/// Plans one row, without the steps that are already done: adds it to `rows`, and its requests to `requests`.
pub(crate) fn direct(
    row: Row,
    progress: &RowProgress,
    rows: &mut Vec<PlannedRow>,
    requests: &mut Vec<Request>,
) {
    let first = requests.len();
    let (mut not_sent, mut rejection) = (None, None);
    let outcome = match row.content {
        Content::Blank => Some((Status::Unchanged, Code::Blank, None)),
        Content::Rejected(problems) => {
            let code = if problems.is_suspect() { Code::Suspect } else { Code::Invalid };
            let message = problems.to_string().into();
            rejection = Some(problems);
            Some((Status::Rejected, code, Some(message)))
        }
        // Every file is resolved before planning; without an id nothing can be sent.
        Content::Unresolved(_) => {
            let message = "the file was not resolved; this is a bug in ikbulk";
            Some((Status::Rejected, Code::Invalid, Some(message.into())))
        }
        Content::Update(update) if update.change.is_empty() => {
            Some((Status::Unchanged, Code::NoChange, None))
        }
        Content::Update(update) => {
            not_sent = add_requests(row.pos.number, update, progress, requests);
            let all_done = requests.len() == first;
            all_done.then_some((Status::Unchanged, Code::AlreadyDone, None))
        }
    };
    let open = requests.len() - first + usize::from(not_sent.is_some());
    let outcome = outcome.filter(|_| !progress.is_recorded());
    let mut planned = PlannedRow::with_open_steps(row.pos, open, progress);
    if let Some((status, code, message)) = outcome {
        planned.outcome = Some(Box::new(Outcome::local(status, code, message)));
    }
    (planned.not_sent, planned.rejection) = (not_sent, rejection);
    rows.push(planned);
}

/// Adds the requests for the steps of a row that are not done, in order. Returns a step that must
/// not be sent and is still to be recorded as such.
fn add_requests(
    row: u64,
    mut update: Update,
    progress: &RowProgress,
    requests: &mut Vec<Request>,
) -> Option<StepKind> {
    drop_done(&update.file, &mut update.change, &progress.fingerprints, progress.reverted);
    let mut not_sent = None;
    let mut steps = RowSteps::take_from(&mut update.change).peekable();
    let mut file = Some(update.file);
    while let Some((kind, call)) = steps.next() {
        // The last step takes the id.
        let file = if steps.peek().is_some() { file.clone() } else { file.take() };
        if progress.must_record_not_sent(kind) {
            not_sent = Some(kind);
        }
        let is_needed = progress.needs(kind);
        let is_remainder_due = progress.remainder_due() && kind == StepKind::Details;
        if let Some(file) = file.filter(|_| is_needed || is_remainder_due) {
            let request = Request::new(call, [file].into(), [StepRef { row, kind }].into());
            requests.extend(if is_needed {
                Some(request)
            } else {
                request.remainder().map(Request::Idempotent)
            });
        }
    }
    not_sent
}
