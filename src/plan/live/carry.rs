//! What is needed becomes requests, and rows become what the executor knows of them.

use std::sync::Arc;

use super::bulk::{Carried, Member};
use super::known::Known;
use super::merge::{Ask, Merged, has_tags_alone};
use super::need::{Need, TagNeed, has_part, set_of};
use crate::outcome::{Outcome, Status};
use crate::plan::{Batch, Behind, PlannedRow};
use crate::request::{Call, Patch, Request, Safe, StepKind, StepRef};
use crate::row::{FileId, RowPos, Set, TagChange, Tags};

/// A file whose tags change, on its way to others for which the same is needed.
#[derive(Debug)]
pub(super) struct TagItem {
    file: FileId,
    asks: Vec<TagAsk>,
    /// The steps that its bulk calls come to, in their order.
    kinds: Vec<StepKind>,
    whole: Option<Set<Tags>>,
    /// Whether the rows have been handed to the executor.
    is_announced: bool,
}

/// A row that has a part in it.
#[derive(Debug, Clone)]
struct TagAsk {
    pos: RowPos,
    behind: Behind,
}

impl TagItem {
    /// For the rows that have a part in that change of the tags.
    pub(super) fn new(
        file: &FileId,
        merged: &Merged,
        part: usize,
        need: &TagNeed,
        is_announced: bool,
    ) -> Self {
        let asks = merged.asks_for_tags(part);
        let asks = asks.map(|ask| TagAsk { pos: ask.pos, behind: ask.behind.clone() });
        Self {
            file: file.clone(),
            asks: asks.collect(),
            kinds: sides(need).map(|(kind, _)| kind).collect(),
            whole: need.whole.clone(),
            is_announced,
        }
    }

    fn announce(&self, kinds: &[StepKind], batch: &mut Batch) {
        if self.is_announced {
            return;
        }
        batch.rows.extend(self.asks.iter().map(|ask| {
            let open = kinds.iter().filter(|kind| ask.behind.wants(**kind)).count();
            planned(ask.pos, open, &ask.behind)
        }));
    }

    fn steps(&self, kind: StepKind) -> impl Iterator<Item = StepRef> {
        let wanted = self.asks.iter().filter(move |ask| ask.behind.wants(kind));
        wanted.map(move |ask| StepRef { row: ask.pos.number, kind })
    }
}

/// The request that a call for tags comes to. Rows that are not known to the executor go into the
/// batch.
pub(super) fn tags(carried: Carried<Arc<TagItem>>, batch: &mut Batch) -> Option<Request> {
    match carried {
        Carried::Patch(item) => {
            item.announce(&[StepKind::Details], batch);
            let patch = Patch { tags: item.whole.clone(), ..Patch::default() };
            let steps: Vec<_> = item.steps(StepKind::Details).collect();
            request(Call::Details(Box::new(patch)), &item.file, steps)
        }
        Carried::Remove(tags, items) => {
            bulk(Call::RemoveTags(tags), StepKind::RemoveTags, &items, batch)
        }
        Carried::Add(tags, items) => bulk(Call::AddTags(tags), StepKind::AddTags, &items, batch),
    }
}

fn bulk(
    call: Call,
    kind: StepKind,
    items: &[Member<Arc<TagItem>>],
    batch: &mut Batch,
) -> Option<Request> {
    let (mut files, mut steps) = (Vec::new(), Vec::new());
    for Member { item, is_last } in items {
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
pub(super) struct Parts<'n> {
    merged: &'n Merged,
    need: &'n Need,
    /// The fields, and the tags that go with them.
    patch: Patch,
    /// Which change of the tags that is.
    in_patch: Option<usize>,
}

impl<'n> Parts<'n> {
    /// Tags go with the fields where there are any. Where the requests on the file go out in an
    /// order, a PATCH of tags does as well as two calls.
    pub(super) fn of(merged: &'n Merged, need: &'n Need, exact: bool, is_in_order: bool) -> Self {
        let takes_tags = |tags: &TagNeed| {
            let is_two_calls = tags.remove.is_some() && tags.add.is_some();
            let has_more = !need.patch.is_empty() || is_in_order && is_two_calls;
            tags.whole.is_some() && (has_more || tags.is_whole_only() || exact)
        };
        let first = need.tags_needed().next().filter(|(_, tags)| takes_tags(tags));
        let tags = first.and_then(|(_, tags)| tags.whole.clone());
        let patch = Patch { tags, ..need.patch.clone() };
        Self { merged, need, patch, in_patch: first.map(|(part, _)| part) }
    }

    /// The changes of tags that go by calls of their own.
    pub(super) fn tags_by_call(&self) -> impl Iterator<Item = (usize, &'n TagNeed)> {
        let in_patch = self.in_patch;
        self.need.tags_needed().filter(move |(part, _)| Some(*part) != in_patch)
    }

    /// Whether there is a PATCH.
    pub(super) fn has_patch(&self) -> bool {
        !self.patch.is_empty()
    }

    /// Whether a row has a part in the PATCH. Of merged rows every one has: where the PATCH is
    /// refused, each is sent by itself, whatever the others would have made of it.
    fn has_details(&self, ask: &Ask) -> bool {
        if self.patch.is_empty() || self.merged.asks.len() == 1 {
            return has_part(&ask.change, &self.patch);
        }
        !has_tags_alone(&ask.change) || self.has_tags_in_patch(ask)
    }

    /// Whether its tags go with its fields: in the PATCH, or only where each row is sent by itself,
    /// because together the rows leave the tags as they are.
    fn has_tags_in_patch(&self, ask: &Ask) -> bool {
        let part = self.merged.tags_of(ask.pos.number);
        part.is_some_and(|part| {
            let is_needed = self.need.tags.get(part).is_some_and(Option::is_some);
            Some(part) == self.in_patch || !is_needed && self.merged.tags[part].can_come_apart()
        })
    }

    /// The steps of one row, those behind it included.
    pub(super) fn of_row(&self, ask: &Ask) -> impl Iterator<Item = StepKind> {
        let details = self.has_details(ask).then_some(StepKind::Details);
        let part = self.merged.tags_of(ask.pos.number);
        let tags = self.tags_by_call().find(|(of_part, _)| Some(*of_part) == part);
        let sides = tags.into_iter().flat_map(|(_, tags)| sides(tags)).map(|(kind, _)| kind);
        let publishes = self.need.publish.is_some() && ask.change.publish.is_some();
        let publish = publishes.then_some(StepKind::Publish);
        details.into_iter().chain(sides.collect::<Vec<_>>()).chain(publish)
    }

    /// Whether the repeatable rest of a lost request is still to be sent.
    pub(super) fn has_remainder(&self, ask: &Ask) -> bool {
        ask.behind.remainder_due() && self.has_details(ask) && self.patch.has_remainder()
    }

    /// The PATCH of the fields, or what is left of it for rows that lost its answer.
    pub(super) fn details(&self, file: &FileId, known: &Known) -> Vec<Request> {
        let mut requests = Vec::new();
        if self.patch.is_empty() {
            return requests;
        }
        let with_part = || self.merged.asks.iter().filter(|ask| self.has_details(ask));
        let step = |ask: &Ask| StepRef { row: ask.pos.number, kind: StepKind::Details };
        let call = || Call::Details(Box::new(self.patch.clone()));
        let wanted: Vec<StepRef> =
            with_part().filter(|ask| ask.behind.wants(StepKind::Details)).map(step).collect();
        let several = wanted.len() > 1;
        requests.extend(request(call(), file, wanted).map(|mut request| {
            if several {
                request.or_apart(self.apart(file, known));
            }
            request
        }));
        let lost = with_part().filter(|ask| ask.behind.remainder_due()).map(step).collect();
        let lost = request(call(), file, lost).and_then(Request::remainder);
        requests.extend(lost.map(Request::Safe));
        requests
    }

    /// The same row by row, to be sent where the merged request is refused.
    fn apart(&self, file: &FileId, known: &Known) -> Vec<Safe> {
        let mut tags: Option<Vec<String>> = known.tags().map(<[String]>::to_vec);
        let mut apart = Vec::new();
        for ask in &self.merged.asks {
            let change = ask.change.tags.as_ref().filter(|_| self.has_tags_in_patch(ask));
            if let Some(change) = change {
                tags = change.after(tags.as_deref());
            }
            if !self.has_details(ask) || !ask.behind.wants(StepKind::Details) {
                continue;
            }
            let own = Patch {
                tags: change.and_then(|change| match change {
                    TagChange::Replace(tags) => Some(Set::To(tags.clone())),
                    TagChange::Clear => Some(Set::Clear),
                    TagChange::Edit { .. } => {
                        set_of(tags.clone()).or_else(|| self.patch.tags.clone())
                    }
                }),
                remove_ai_tags: ask.change.ai_tags.clone(),
                coordinates: ask.change.coordinates.clone(),
                description: ask.change.description.clone(),
                metadata: ask.change.metadata.clone(),
                extensions: None,
                webhook_url: None,
            };
            let steps = [StepRef { row: ask.pos.number, kind: StepKind::Details }];
            let request =
                Request::new(Call::Details(Box::new(own)), [file.clone()].into(), steps.into());
            if let Request::Safe(safe) = request {
                apart.push(safe);
            }
        }
        apart
    }

    /// The calls for tags, for this file alone.
    pub(super) fn calls(&self, file: &FileId) -> Vec<Request> {
        let calls = self.tags_by_call().flat_map(|(part, tags)| {
            sides(tags).filter_map(move |(kind, call)| {
                let asks = self.merged.asks_for_tags(part);
                let wanted = asks.filter(|ask| ask.behind.wants(kind));
                let steps = wanted.map(|ask| StepRef { row: ask.pos.number, kind });
                request(call, file, steps.collect())
            })
        });
        calls.collect()
    }

    /// The step of a row that must not be sent, if there is one of which the ledger does not say so
    /// yet.
    pub(super) fn not_sent(&self, ask: &Ask) -> Option<StepKind> {
        self.of_row(ask).find(|kind| ask.behind.leaves_unsent(*kind))
    }

    /// The PATCH of the publication status.
    pub(super) fn publish(&self, file: &FileId) -> Option<Request> {
        let publish = self.need.publish?;
        let asks = self.merged.asks.iter().filter(|ask| ask.change.publish.is_some());
        let wanted = asks.filter(|ask| ask.behind.wants(StepKind::Publish));
        let steps = wanted.map(|ask| StepRef { row: ask.pos.number, kind: StepKind::Publish });
        request(Call::Publish(publish), file, steps.collect())
    }
}

/// The calls that a change of tags comes to, in their order.
fn sides(tags: &TagNeed) -> impl Iterator<Item = (StepKind, Call)> {
    let remove = tags.remove.clone().map(|tags| (StepKind::RemoveTags, Call::RemoveTags(tags)));
    let add = tags.add.clone().map(|tags| (StepKind::AddTags, Call::AddTags(tags)));
    remove.into_iter().chain(add)
}

/// A row with so many steps open.
pub(super) fn planned(pos: RowPos, open: usize, behind: &Behind) -> PlannedRow {
    let settled = behind.closing().filter(|_| open == 0);
    PlannedRow { pos, open, settled, so_far: behind.so_far(), not_sent: None }
}

/// A row that is settled without sending anything.
pub(super) fn settled(pos: RowPos, behind: &Behind, outcome: Outcome) -> PlannedRow {
    let settled = if behind.is_recorded() { behind.closing() } else { Some(outcome) };
    PlannedRow { pos, open: 0, settled, so_far: behind.so_far(), not_sent: None }
}

impl Behind {
    /// Whether all that it asked for was done.
    pub(super) fn is_success(&self) -> bool {
        self.worst.is_none_or(Status::is_success)
    }
}
