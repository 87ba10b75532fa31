//! Turns differences into requests.

use super::file_diff::{FileDiff, TagDiff, as_set, contributes_to};
use super::merge::{MergedRows, PendingRow, has_tags_alone};
use super::simulated_file::SimulatedFile;
use super::work::MergedWork;
use crate::outcome::Status;
use crate::plan::RowProgress;
use crate::plan::batch::TagJob;
use crate::request::{Call, Idempotent, Patch, Request, StepKind, StepRef};
use crate::row::{AiTagRemoval, FileId, Set, TagChange, Tags};

/// The tag change of a stage of merged rows, for which other files are waited for.
pub(super) fn tag_job(
    file: &FileId,
    work: &MergedWork,
    stage: usize,
    diff: &TagDiff,
    rows_added: bool,
) -> TagJob {
    let MergedWork { merged, left_out, .. } = work;
    let rows = merged.rows_of_stage(stage).map(|pending| (pending.pos, pending.progress.clone()));
    TagJob {
        file: file.clone(),
        rows: rows.collect(),
        remove: diff.remove.clone(),
        add: diff.add.clone(),
        superset: diff.superset.clone(),
        complete: diff.complete.clone(),
        rows_added,
        left_out: left_out.clone(),
    }
}

/// The requests of merged rows: a PATCH, tag calls, publication.
pub(super) struct FileRequests<'n> {
    merged: &'n MergedRows,
    diff: &'n FileDiff,
    /// The fields to set, including tags that are sent with them.
    patch: Patch,
    /// AI tags that a bulk call removes. It names the tags that the rows request, even those that
    /// the file lacks, because other files need the same list.
    ai_tags: Option<Tags>,
    /// Index of the tag stage in the PATCH.
    patch_stage: Option<usize>,
}

impl<'n> FileRequests<'n> {
    /// Includes tags in the PATCH if it has other fields. If the requests on the file must keep an
    /// order, a PATCH of tags also replaces two calls.
    pub(super) fn of(
        merged: &'n MergedRows,
        diff: &'n FileDiff,
        exact: bool,
        keeps_order: bool,
    ) -> Self {
        let takes_tags = |tags: &TagDiff| {
            let is_two_calls = tags.remove.is_some() && tags.add.is_some();
            let has_more = !diff.patch.is_empty() || keeps_order && is_two_calls;
            tags.complete.is_some() && (has_more || tags.needs_patch() || exact)
        };
        let first = diff.changed_stages().next().filter(|(_, tags)| takes_tags(tags));
        let tags = first.and_then(|(_, tags)| tags.complete.clone());
        let mut patch = Patch { tags, ..diff.patch.clone() };
        let ai_tags = merged.fields.ai_tags.as_ref().and_then(AiTagRemoval::as_bulk);
        let ai_tags = ai_tags.filter(|_| patch.take_bulk_ai_tags().is_some());
        Self { merged, diff, patch, ai_tags, patch_stage: first.map(|(stage, _)| stage) }
    }

    /// The tag stages with calls of their own.
    pub(super) fn bulk_stages(&self) -> impl Iterator<Item = (usize, &'n TagDiff)> {
        let patch_stage = self.patch_stage;
        self.diff.changed_stages().filter(move |(stage, _)| Some(*stage) != patch_stage)
    }

    /// Whether tags are all that is sent for the rows, except for publication.
    pub(super) fn are_tags_alone(&self) -> bool {
        self.patch.is_empty() && self.ai_tags.is_none()
    }

    /// Whether the row is part of the bulk call that removes AI tags.
    fn has_ai_tags_step(&self, pending: &PendingRow) -> bool {
        self.ai_tags.is_some() && pending.change.ai_tags.is_some()
    }

    /// The bulk call that removes AI tags.
    pub(super) fn ai_tag_request(&self, file: &FileId) -> Option<Request> {
        let kind = StepKind::RemoveAiTags;
        let rows = self.merged.pending_rows.iter();
        let open = rows
            .filter(|pending| self.has_ai_tags_step(pending) && pending.progress.needs(kind))
            .map(|pending| StepRef { row: pending.pos.number, kind });
        Request::of_file(Call::RemoveAiTags(self.ai_tags.clone()?), file, open.collect())
    }

    /// Whether a row has a step in the PATCH. Of merged rows, every one has: if the PATCH is
    /// rejected, each is sent separately, even if other rows override it.
    fn has_patch_step(&self, pending: &PendingRow) -> bool {
        if self.patch.is_empty() || self.merged.pending_rows.len() == 1 {
            return contributes_to(&pending.change, &self.patch);
        }
        !has_tags_alone(&pending.change) || self.sends_tags_in_patch(pending)
    }

    /// Whether the row's tags are sent with its fields: in the PATCH, or only when each row is sent
    /// separately, because the rows combined leave the tags unchanged.
    fn sends_tags_in_patch(&self, pending: &PendingRow) -> bool {
        let stage = self.merged.stage_of(pending.pos.number);
        stage.is_some_and(|stage| {
            let is_needed = self.diff.tags.get(stage).is_some_and(Option::is_some);
            Some(stage) == self.patch_stage || !is_needed && self.merged.tags[stage].can_split()
        })
    }

    /// The kinds of steps of a row, including those already done.
    pub(super) fn step_kinds(&self, pending: &PendingRow) -> impl Iterator<Item = StepKind> {
        let details = self.has_patch_step(pending).then_some(StepKind::Details);
        let ai_tags = self.has_ai_tags_step(pending).then_some(StepKind::RemoveAiTags);
        let stage = self.merged.stage_of(pending.pos.number);
        let tags = self.bulk_stages().find(|(of_stage, _)| Some(*of_stage) == stage);
        let calls = tags.into_iter().flat_map(|(_, tags)| tag_calls(tags)).map(|(kind, _)| kind);
        let publishes = self.diff.publish.is_some() && pending.change.publish.is_some();
        let publish = publishes.then_some(StepKind::Publish);
        details.into_iter().chain(ai_tags).chain(calls.collect::<Vec<_>>()).chain(publish)
    }

    /// Whether the idempotent remainder of a lost request is still to be sent.
    pub(super) fn has_remainder(&self, pending: &PendingRow) -> bool {
        pending.progress.remainder_due()
            && self.has_patch_step(pending)
            && self.patch.has_idempotent_part()
    }

    /// The PATCH of the fields, and its remainder for rows whose response was lost.
    pub(super) fn detail_requests(
        &self,
        file: &FileId,
        simulated_file: &SimulatedFile,
    ) -> Vec<Request> {
        let mut requests = Vec::new();
        if self.patch.is_empty() {
            return requests;
        }
        let rows =
            || self.merged.pending_rows.iter().filter(|pending| self.has_patch_step(pending));
        let step =
            |pending: &PendingRow| StepRef { row: pending.pos.number, kind: StepKind::Details };
        let call = || Call::Details(Box::new(self.patch.clone()));
        let open: Vec<StepRef> =
            rows().filter(|pending| pending.progress.needs(StepKind::Details)).map(step).collect();
        let several = open.len() > 1;
        requests.extend(Request::of_file(call(), file, open).map(|mut request| {
            if several {
                request.set_fallback(self.fallback(file, simulated_file));
            }
            request
        }));
        let lost = rows().filter(|pending| pending.progress.remainder_due()).map(step).collect();
        let lost = Request::of_file(call(), file, lost).and_then(Request::remainder);
        requests.extend(lost.map(Request::Idempotent));
        requests
    }

    /// One request per row, to be sent if the merged request is rejected.
    fn fallback(&self, file: &FileId, simulated_file: &SimulatedFile) -> Vec<Idempotent> {
        let mut tags: Option<Vec<String>> = simulated_file.tags().map(<[String]>::to_vec);
        let mut fallback = Vec::new();
        for pending in &self.merged.pending_rows {
            let change = pending.change.tags.as_ref().filter(|_| self.sends_tags_in_patch(pending));
            if let Some(change) = change {
                tags = change.after(tags.as_deref());
            }
            if !self.has_patch_step(pending) || !pending.progress.needs(StepKind::Details) {
                continue;
            }
            let patch = Patch {
                tags: change.and_then(|change| match change {
                    TagChange::Replace(tags) => Some(Set::Value(tags.clone())),
                    TagChange::Clear => Some(Set::Clear),
                    TagChange::Edit { .. } => {
                        as_set(tags.clone()).or_else(|| self.patch.tags.clone())
                    }
                }),
                remove_ai_tags: pending.change.ai_tags.clone(),
                details: pending.change.details.clone(),
                extensions: None,
                webhook_url: None,
            };
            let steps = [StepRef { row: pending.pos.number, kind: StepKind::Details }];
            let request =
                Request::new(Call::Details(Box::new(patch)), [file.clone()].into(), steps.into());
            if let Request::Idempotent(request) = request {
                fallback.push(request);
            }
        }
        fallback
    }

    /// The tag calls for this file alone.
    pub(super) fn tag_requests(&self, file: &FileId) -> Vec<Request> {
        let calls = self.bulk_stages().flat_map(|(stage, tags)| {
            tag_calls(tags).filter_map(move |(kind, call)| {
                let pending_rows = self.merged.rows_of_stage(stage);
                let open = pending_rows.filter(|pending| pending.progress.needs(kind));
                let steps = open.map(|pending| StepRef { row: pending.pos.number, kind });
                Request::of_file(call, file, steps.collect())
            })
        });
        calls.collect()
    }

    /// The step of a row that must not be sent and is still to be recorded as such.
    pub(super) fn not_sent(&self, pending: &PendingRow) -> Option<StepKind> {
        self.step_kinds(pending).find(|kind| pending.progress.must_record_not_sent(*kind))
    }

    /// The PATCH of the publication status.
    pub(super) fn publish_request(&self, file: &FileId) -> Option<Request> {
        let publish = self.diff.publish?;
        let pending_rows =
            self.merged.pending_rows.iter().filter(|pending| pending.change.publish.is_some());
        let open = pending_rows.filter(|pending| pending.progress.needs(StepKind::Publish));
        let steps =
            open.map(|pending| StepRef { row: pending.pos.number, kind: StepKind::Publish });
        Request::of_file(Call::Publish(publish), file, steps.collect())
    }
}

/// The calls for a tag difference, in order.
fn tag_calls(tags: &TagDiff) -> impl Iterator<Item = (StepKind, Call)> {
    let remove = tags.remove.clone().map(|tags| (StepKind::RemoveTags, Call::RemoveTags(tags)));
    let add = tags.add.clone().map(|tags| (StepKind::AddTags, Call::AddTags(tags)));
    remove.into_iter().chain(add)
}

impl RowProgress {
    /// Whether no recorded step is without success.
    pub(super) fn is_success(&self) -> bool {
        self.worst.is_none_or(Status::is_success)
    }
}
