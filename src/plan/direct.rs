//! The direct planner: every row as it is, one request a step, without reading the live state.

use xxhash_rust::xxh3::Xxh3;

use super::{Batch, PlannedRow, RowProgress};
use crate::imagekit::body;
use crate::outcome::{Code, Outcome, Status};
use crate::request::{Call, Patch, Request, StepKind, StepRef};
use crate::row::{Change, Content, FileId, Row, Set, TagChange, Update};

/// Plans one row into a batch, leaving out the steps that are behind it.
pub fn direct(row: Row, behind: &RowProgress, batch: &mut Batch) {
    let first = batch.requests.len();
    let mut not_sent = None;
    let settled = match row.content {
        Content::Blank => Some((Status::Unchanged, Code::Blank, None)),
        Content::Rejected(rejection) => {
            Some((Status::Rejected, Code::Invalid, Some(rejection.to_string().into())))
        }
        // Whoever plans has looked up every file before. Without its id nothing can be sent to it.
        Content::Unresolved(_) => {
            let message = "nobody has looked up which file it is";
            Some((Status::Rejected, Code::Invalid, Some(message.into())))
        }
        Content::Update(update) if update.change.is_empty() => {
            Some((Status::Unchanged, Code::NoChange, None))
        }
        Content::Update(update) => {
            not_sent = requests(row.pos.number, *update, behind, &mut batch.requests);
            let all_behind = batch.requests.len() == first;
            all_behind.then_some((Status::Unchanged, Code::AlreadyDone, None))
        }
    };
    let open = batch.requests.len() - first + usize::from(not_sent.is_some());
    let settled = settled.filter(|_| !behind.is_recorded());
    let settled = settled.map(|(status, code, message)| Outcome::local(status, code, message));
    batch.rows.push(PlannedRow {
        pos: row.pos,
        open,
        settled: settled.or_else(|| behind.closing().filter(|_| open == 0)),
        so_far: behind.so_far(),
        not_sent,
    });
}

/// The requests of one row that are not behind it, in the order of its steps. Gives the step that
/// must not be sent, if there is one of which the ledger does not say so yet.
fn requests(
    row: u64,
    update: Update,
    behind: &RowProgress,
    into: &mut Vec<Request>,
) -> Option<StepKind> {
    let Update { file, change } = update;
    let mut not_sent = None;
    for (kind, call) in steps(change).into_iter().flatten() {
        let known = &behind.fingerprints;
        if !known.is_empty() && known.contains(&fingerprint(&file, &call)) {
            continue;
        }
        if behind.leaves_unsent(kind) {
            not_sent = Some(kind);
        }
        let wanted = behind.wants(kind);
        let remainder = behind.remainder_due() && kind == StepKind::Details;
        if wanted || remainder {
            let steps = [StepRef { row, kind }].into();
            let request = Request::new(call, [file.clone()].into(), steps);
            into.extend(if wanted {
                Some(request)
            } else {
                request.remainder().map(Request::Idempotent)
            });
        }
    }
    not_sent
}

/// The steps of a change, in the order in which they are carried out.
#[must_use]
pub fn steps(change: Change) -> [Option<(StepKind, Call)>; 4] {
    let (tags, add, remove) = match change.tags {
        None => (None, None, None),
        Some(TagChange::Replace(tags)) => (Some(Set::Value(tags)), None, None),
        Some(TagChange::Clear) => (Some(Set::Clear), None, None),
        Some(TagChange::Edit { add, remove }) => (None, add, remove),
    };
    let patch = Patch {
        tags,
        remove_ai_tags: change.ai_tags,
        coordinates: change.coordinates,
        description: change.description,
        metadata: change.metadata,
        extensions: change.extensions,
        webhook_url: change.webhook_url,
    };
    [
        (!patch.is_empty()).then(|| (StepKind::Details, Call::Details(Box::new(patch)))),
        remove.map(|tags| (StepKind::RemoveTags, Call::RemoveTags(tags))),
        add.map(|tags| (StepKind::AddTags, Call::AddTags(tags))),
        change.publish.map(|publish| (StepKind::Publish, Call::Publish(publish))),
    ]
}

/// What a step asks of a file, as a number: equal where file and call are equal.
#[must_use]
pub fn fingerprint(file: &FileId, call: &Call) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(file.as_str().as_bytes());
    hash.update(&[0, call.endpoint() as u8]);
    hash.update(&body::encode(call, std::slice::from_ref(file)));
    hash.digest()
}
