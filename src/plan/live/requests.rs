//! What is needed becomes requests, and rows become what the executor knows of them.

use std::sync::Arc;

use super::diff::{FileDiff, TagDiff, contributes_to, set_of};
use super::merge::{MergedRows, PendingRow, has_tags_alone};
use super::simulated_file::SimulatedFile;
use super::tag_batcher::{CallFile, TagCall};
use crate::outcome::{Outcome, Status};
use crate::plan::{Batch, PlannedRow, RowProgress};
use crate::request::{Call, Idempotent, Patch, Request, StepKind, StepRef};
use crate::row::{FileId, RowPos, Set, TagChange, Tags};

/// A file whose tags change, on its way to others for which the same is needed.
#[derive(Debug)]
pub(super) struct TagJob {
    file: FileId,
    pending_rows: Vec<TagJobRow>,
    /// The steps that its bulk calls come to, in their order.
    kinds: Vec<StepKind>,
    whole: Option<Set<Tags>>,
    /// Whether the rows have been handed to the executor.
    is_announced: bool,
}

/// A row that has a part in it.
#[derive(Debug, Clone)]
struct TagJobRow {
    pos: RowPos,
    behind: RowProgress,
}

impl TagJob {
    /// For the rows that have a part in that change of the tags.
    pub(super) fn new(
        file: &FileId,
        merged: &MergedRows,
        part: usize,
        diff: &TagDiff,
        is_announced: bool,
    ) -> Self {
        let pending_rows = merged.asks_for_tags(part);
        let pending_rows = pending_rows
            .map(|pending| TagJobRow { pos: pending.pos, behind: pending.behind.clone() });
        Self {
            file: file.clone(),
            pending_rows: pending_rows.collect(),
            kinds: sides(diff).map(|(kind, _)| kind).collect(),
            whole: diff.whole.clone(),
            is_announced,
        }
    }

    fn announce(&self, kinds: &[StepKind], batch: &mut Batch) {
        if self.is_announced {
            return;
        }
        batch.rows.extend(self.pending_rows.iter().map(|pending| {
            let open = kinds.iter().filter(|kind| pending.behind.wants(**kind)).count();
            planned(pending.pos, open, &pending.behind)
        }));
    }

    fn steps(&self, kind: StepKind) -> impl Iterator<Item = StepRef> {
        let wanted = self.pending_rows.iter().filter(move |pending| pending.behind.wants(kind));
        wanted.map(move |pending| StepRef { row: pending.pos.number, kind })
    }
}

/// The request that a call for tags comes to. Rows that are not known to the executor go into the
/// batch.
pub(super) fn tags(carried: TagCall<Arc<TagJob>>, batch: &mut Batch) -> Option<Request> {
    match carried {
        TagCall::Patch(item) => {
            item.announce(&[StepKind::Details], batch);
            let patch = Patch { tags: item.whole.clone(), ..Patch::default() };
            let steps: Vec<_> = item.steps(StepKind::Details).collect();
            request(Call::Details(Box::new(patch)), &item.file, steps)
        }
        TagCall::Remove(tags, items) => {
            bulk(Call::RemoveTags(tags), StepKind::RemoveTags, &items, batch)
        }
        TagCall::Add(tags, items) => bulk(Call::AddTags(tags), StepKind::AddTags, &items, batch),
    }
}

fn bulk(
    call: Call,
    kind: StepKind,
    items: &[CallFile<Arc<TagJob>>],
    batch: &mut Batch,
) -> Option<Request> {
    let (mut files, mut steps) = (Vec::new(), Vec::new());
    for CallFile { item, is_last } in items {
        if *is_last && item.kinds.first() == Some(&kind) {
            item.announce(&item.kinds, batch);
        }
        let part = kind.part().filter(|_| !is_last);
        for step in item.steps(kind) {
            files.push(item.file.clone());
            steps.push(StepRef { kind: part.unwrap_or(kind), ..step });
        }
    }
    (!steps.is_empty()).then(|| Request::new(call, files.into(), steps.into()))
}

/// A request on one file; none without steps.
fn request(call: Call, file: &FileId, steps: Vec<StepRef>) -> Option<Request> {
    let files = vec![file.clone(); steps.len()];
    (!steps.is_empty()).then(|| Request::new(call, files.into(), steps.into()))
}

/// What merged rows come to: a PATCH, calls for tags, publishing.
pub(super) struct FileRequests<'n> {
    merged: &'n MergedRows,
    diff: &'n FileDiff,
    /// The fields, and the tags that go with them.
    patch: Patch,
    /// Which change of the tags that is.
    in_patch: Option<usize>,
}

impl<'n> FileRequests<'n> {
    /// Tags go with the fields where there are any. Where the requests on the file go out in an
    /// order, a PATCH of tags does as well as two calls.
    pub(super) fn of(
        merged: &'n MergedRows,
        diff: &'n FileDiff,
        exact: bool,
        is_in_order: bool,
    ) -> Self {
        let takes_tags = |tags: &TagDiff| {
            let is_two_calls = tags.remove.is_some() && tags.add.is_some();
            let has_more = !diff.patch.is_empty() || is_in_order && is_two_calls;
            tags.whole.is_some() && (has_more || tags.is_whole_only() || exact)
        };
        let first = diff.tags_needed().next().filter(|(_, tags)| takes_tags(tags));
        let tags = first.and_then(|(_, tags)| tags.whole.clone());
        let patch = Patch { tags, ..diff.patch.clone() };
        Self { merged, diff, patch, in_patch: first.map(|(part, _)| part) }
    }

    /// The changes of tags that go by calls of their own.
    pub(super) fn tags_by_call(&self) -> impl Iterator<Item = (usize, &'n TagDiff)> {
        let in_patch = self.in_patch;
        self.diff.tags_needed().filter(move |(part, _)| Some(*part) != in_patch)
    }

    /// Whether there is a PATCH.
    pub(super) fn has_patch(&self) -> bool {
        !self.patch.is_empty()
    }

    /// Whether a row has a part in the PATCH. Of merged rows every one has: where the PATCH is
    /// refused, each is sent by itself, whatever the others would have made of it.
    fn has_details(&self, pending: &PendingRow) -> bool {
        if self.patch.is_empty() || self.merged.pending_rows.len() == 1 {
            return contributes_to(&pending.change, &self.patch);
        }
        !has_tags_alone(&pending.change) || self.has_tags_in_patch(pending)
    }

    /// Whether its tags go with its fields: in the PATCH, or only where each row is sent by itself,
    /// because together the rows leave the tags as they are.
    fn has_tags_in_patch(&self, pending: &PendingRow) -> bool {
        let part = self.merged.tags_of(pending.pos.number);
        part.is_some_and(|part| {
            let is_needed = self.diff.tags.get(part).is_some_and(Option::is_some);
            Some(part) == self.in_patch || !is_needed && self.merged.tags[part].can_come_apart()
        })
    }

    /// The steps of one row, those behind it included.
    pub(super) fn of_row(&self, pending: &PendingRow) -> impl Iterator<Item = StepKind> {
        let details = self.has_details(pending).then_some(StepKind::Details);
        let part = self.merged.tags_of(pending.pos.number);
        let tags = self.tags_by_call().find(|(of_part, _)| Some(*of_part) == part);
        let sides = tags.into_iter().flat_map(|(_, tags)| sides(tags)).map(|(kind, _)| kind);
        let publishes = self.diff.publish.is_some() && pending.change.publish.is_some();
        let publish = publishes.then_some(StepKind::Publish);
        details.into_iter().chain(sides.collect::<Vec<_>>()).chain(publish)
    }

    /// Whether the repeatable rest of a lost request is still to be sent.
    pub(super) fn has_idempotent_part(&self, pending: &PendingRow) -> bool {
        pending.behind.remainder_due()
            && self.has_details(pending)
            && self.patch.has_idempotent_part()
    }

    /// The PATCH of the fields, or what is left of it for rows that lost its answer.
    pub(super) fn details(&self, file: &FileId, simulated_file: &SimulatedFile) -> Vec<Request> {
        let mut requests = Vec::new();
        if self.patch.is_empty() {
            return requests;
        }
        let with_part =
            || self.merged.pending_rows.iter().filter(|pending| self.has_details(pending));
        let step =
            |pending: &PendingRow| StepRef { row: pending.pos.number, kind: StepKind::Details };
        let call = || Call::Details(Box::new(self.patch.clone()));
        let wanted: Vec<StepRef> = with_part()
            .filter(|pending| pending.behind.wants(StepKind::Details))
            .map(step)
            .collect();
        let several = wanted.len() > 1;
        requests.extend(request(call(), file, wanted).map(|mut request| {
            if several {
                request.set_fallback(self.apart(file, simulated_file));
            }
            request
        }));
        let lost = with_part().filter(|pending| pending.behind.remainder_due()).map(step).collect();
        let lost = request(call(), file, lost).and_then(Request::remainder);
        requests.extend(lost.map(Request::Idempotent));
        requests
    }

    /// The same row by row, to be sent where the merged request is refused.
    fn apart(&self, file: &FileId, simulated_file: &SimulatedFile) -> Vec<Idempotent> {
        let mut tags: Option<Vec<String>> = simulated_file.tags().map(<[String]>::to_vec);
        let mut apart = Vec::new();
        for pending in &self.merged.pending_rows {
            let change = pending.change.tags.as_ref().filter(|_| self.has_tags_in_patch(pending));
            if let Some(change) = change {
                tags = change.after(tags.as_deref());
            }
            if !self.has_details(pending) || !pending.behind.wants(StepKind::Details) {
                continue;
            }
            let own = Patch {
                tags: change.and_then(|change| match change {
                    TagChange::Replace(tags) => Some(Set::Value(tags.clone())),
                    TagChange::Clear => Some(Set::Clear),
                    TagChange::Edit { .. } => {
                        set_of(tags.clone()).or_else(|| self.patch.tags.clone())
                    }
                }),
                remove_ai_tags: pending.change.ai_tags.clone(),
                coordinates: pending.change.coordinates.clone(),
                description: pending.change.description.clone(),
                metadata: pending.change.metadata.clone(),
                extensions: None,
                webhook_url: None,
            };
            let steps = [StepRef { row: pending.pos.number, kind: StepKind::Details }];
            let request =
                Request::new(Call::Details(Box::new(own)), [file.clone()].into(), steps.into());
            if let Request::Idempotent(safe) = request {
                apart.push(safe);
            }
        }
        apart
    }

    /// The calls for tags, for this file alone.
    pub(super) fn calls(&self, file: &FileId) -> Vec<Request> {
        let calls = self.tags_by_call().flat_map(|(part, tags)| {
            sides(tags).filter_map(move |(kind, call)| {
                let pending_rows = self.merged.asks_for_tags(part);
                let wanted = pending_rows.filter(|pending| pending.behind.wants(kind));
                let steps = wanted.map(|pending| StepRef { row: pending.pos.number, kind });
                request(call, file, steps.collect())
            })
        });
        calls.collect()
    }

    /// The step of a row that must not be sent, if there is one of which the ledger does not say so
    /// yet.
    pub(super) fn not_sent(&self, pending: &PendingRow) -> Option<StepKind> {
        self.of_row(pending).find(|kind| pending.behind.leaves_unsent(*kind))
    }

    /// The PATCH of the publication status.
    pub(super) fn publish(&self, file: &FileId) -> Option<Request> {
        let publish = self.diff.publish?;
        let pending_rows =
            self.merged.pending_rows.iter().filter(|pending| pending.change.publish.is_some());
        let wanted = pending_rows.filter(|pending| pending.behind.wants(StepKind::Publish));
        let steps =
            wanted.map(|pending| StepRef { row: pending.pos.number, kind: StepKind::Publish });
        request(Call::Publish(publish), file, steps.collect())
    }
}

/// The calls that a change of tags comes to, in their order.
fn sides(tags: &TagDiff) -> impl Iterator<Item = (StepKind, Call)> {
    let remove = tags.remove.clone().map(|tags| (StepKind::RemoveTags, Call::RemoveTags(tags)));
    let add = tags.add.clone().map(|tags| (StepKind::AddTags, Call::AddTags(tags)));
    remove.into_iter().chain(add)
}

/// A row with so many steps open.
pub(super) fn planned(pos: RowPos, open: usize, behind: &RowProgress) -> PlannedRow {
    let settled = behind.closing().filter(|_| open == 0);
    PlannedRow { pos, open, settled, so_far: behind.so_far(), not_sent: None }
}

/// A row that is settled without sending anything.
pub(super) fn settled(pos: RowPos, behind: &RowProgress, outcome: Outcome) -> PlannedRow {
    let settled = if behind.is_recorded() { behind.closing() } else { Some(outcome) };
    PlannedRow { pos, open: 0, settled, so_far: behind.so_far(), not_sent: None }
}

impl RowProgress {
    /// Whether all that it asked for was done.
    pub(super) fn is_success(&self) -> bool {
        self.worst.is_none_or(Status::is_success)
    }
}
