//! What is needed becomes requests, and rows become what the executor knows of them.

use std::sync::Arc;

use super::bulk::Carried;
use super::known::{Known, tags_after};
use super::merge::{Ask, Merged};
use super::need::{Need, has_part, set_of};
use crate::outcome::{Outcome, Status};
use crate::plan::{Batch, Behind, PlannedRow};
use crate::request::{Call, Patch, Request, Safe, StepKind, StepRef};
use crate::row::{Change, FileId, RowPos, Set, TagChange, Tags};

/// A file whose tags change, on its way to others for which the same is needed.
#[derive(Debug)]
pub(super) struct TagItem {
    file: FileId,
    asks: Vec<TagAsk>,
    sides: Sides,
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

/// What bulk calls it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sides {
    remove: bool,
    add: bool,
}

impl TagItem {
    /// For the rows of `merged` that ask for tags.
    pub(super) fn new(file: &FileId, merged: &Merged, need: &Need, is_announced: bool) -> Self {
        let asks = merged.asks.iter().filter(|ask| ask.change.tags.is_some());
        let asks = asks.map(|ask| TagAsk { pos: ask.pos, behind: ask.behind.clone() });
        let tags = need.tags.as_ref();
        Self {
            file: file.clone(),
            asks: asks.collect(),
            sides: Sides {
                remove: tags.is_some_and(|tags| tags.remove.is_some()),
                add: tags.is_some_and(|tags| tags.add.is_some()),
            },
            whole: tags.and_then(|tags| tags.whole.clone()),
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

/// Puts a call for tags into the batch.
pub(super) fn tags(carried: Carried<Arc<TagItem>>, batch: &mut Batch) {
    match carried {
        Carried::Patch(item) => {
            item.announce(&[StepKind::Details], batch);
            let patch = Patch { tags: item.whole.clone(), ..Patch::default() };
            let steps: Vec<_> = item.steps(StepKind::Details).collect();
            push(Call::Details(Box::new(patch)), &item.file, steps, batch);
        }
        Carried::Remove(tags, items) => {
            for item in &items {
                let add = item.sides.add.then_some(StepKind::AddTags);
                let kinds: Vec<_> = [StepKind::RemoveTags].into_iter().chain(add).collect();
                item.announce(&kinds, batch);
            }
            bulk(Call::RemoveTags(tags), StepKind::RemoveTags, &items, batch);
        }
        Carried::Add(tags, items) => {
            for item in items.iter().filter(|item| !item.sides.remove) {
                item.announce(&[StepKind::AddTags], batch);
            }
            bulk(Call::AddTags(tags), StepKind::AddTags, &items, batch);
        }
    }
}

fn bulk(call: Call, kind: StepKind, items: &[Arc<TagItem>], batch: &mut Batch) {
    let (mut files, mut steps) = (Vec::new(), Vec::new());
    for item in items {
        for step in item.steps(kind) {
            files.push(item.file.clone());
            steps.push(step);
        }
    }
    if !steps.is_empty() {
        batch.requests.push(Request::new(call, files.into(), steps.into()));
    }
}

fn push(call: Call, file: &FileId, steps: Vec<StepRef>, batch: &mut Batch) {
    if !steps.is_empty() {
        let files = vec![file.clone(); steps.len()];
        batch.requests.push(Request::new(call, files.into(), steps.into()));
    }
}

/// Which steps the rows of one request come to.
pub(super) struct Parts {
    pub(super) patch: Patch,
    /// Whether it is of several rows.
    is_merged: bool,
    /// Calls for tags that follow.
    pub(super) sides: [Option<StepKind>; 2],
    pub(super) publish: bool,
}

impl Parts {
    pub(super) fn of(merged: &Merged, need: &Need, takes_tags: bool) -> Self {
        let whole = need.tags.as_ref().filter(|_| takes_tags);
        let bulk = need.tags.as_ref().filter(|_| !takes_tags);
        let tags = whole.and_then(|tags| tags.whole.clone());
        Self {
            patch: Patch { tags, ..need.patch.clone() },
            is_merged: merged.asks.len() > 1,
            sides: [
                bulk.and_then(|tags| tags.remove.as_ref()).map(|_| StepKind::RemoveTags),
                bulk.and_then(|tags| tags.add.as_ref()).map(|_| StepKind::AddTags),
            ],
            publish: need.publish.is_some(),
        }
    }

    /// Whether a row has a part in the PATCH. Of merged rows every one has: where the PATCH is
    /// refused, each is sent by itself, whatever the others would have made of it.
    fn has_details(&self, change: &Change) -> bool {
        if self.patch.is_empty() || !self.is_merged {
            return has_part(change, &self.patch);
        }
        let tags = change.tags.clone().filter(|_| !self.has_tag_calls());
        *change != Change { tags: change.tags.clone(), ..Change::default() } || tags.is_some()
    }

    /// Whether tags go by calls of their own.
    fn has_tag_calls(&self) -> bool {
        self.sides.iter().any(Option::is_some)
    }

    /// The steps of one row, those behind it included.
    pub(super) fn of_row<'s>(&'s self, ask: &'s Ask) -> impl Iterator<Item = StepKind> + 's {
        let change = &ask.change;
        let details = self.has_details(change).then_some(StepKind::Details);
        let sides = self.sides.iter().flatten().copied().filter(|_| change.tags.is_some());
        let publish = (self.publish && change.publish.is_some()).then_some(StepKind::Publish);
        details.into_iter().chain(sides).chain(publish)
    }
}

/// A row with so many steps open.
pub(super) fn planned(pos: RowPos, open: usize, behind: &Behind) -> PlannedRow {
    PlannedRow { pos, open, settled: None, so_far: behind.so_far() }
}

/// A row that is settled without sending anything.
pub(super) fn settled(pos: RowPos, behind: &Behind, outcome: Outcome) -> PlannedRow {
    let settled = Some(outcome).filter(|_| !behind.is_recorded());
    PlannedRow { pos, open: 0, settled, so_far: behind.so_far() }
}

/// The PATCH of the fields, or what is left of it for rows that lost its answer.
pub(super) fn details(
    file: &FileId,
    merged: &Merged,
    parts: &Parts,
    known: &Known,
    batch: &mut Batch,
) {
    let patch = &parts.patch;
    if patch.is_empty() {
        return;
    }
    let with_part = || merged.asks.iter().filter(|ask| parts.has_details(&ask.change));
    let step = |ask: &Ask| StepRef { row: ask.pos.number, kind: StepKind::Details };
    let call = || Call::Details(Box::new(patch.clone()));
    let wanted: Vec<StepRef> =
        with_part().filter(|ask| ask.behind.wants(StepKind::Details)).map(step).collect();
    let several = wanted.len() > 1;
    push(call(), file, wanted, batch);
    if several && let Some(request) = batch.requests.last_mut() {
        request.or_apart(apart(file, merged, parts, known));
    }
    let lost: Vec<StepRef> = with_part().filter(|ask| ask.behind.remainder_due).map(step).collect();
    if !lost.is_empty() {
        let files = vec![file.clone(); lost.len()];
        let remainder = Request::new(call(), files.into(), lost.into()).remainder();
        batch.requests.extend(remainder.map(Request::Safe));
    }
}

/// The same row by row, to be sent where the merged request is refused.
fn apart(file: &FileId, merged: &Merged, parts: &Parts, known: &Known) -> Vec<Safe> {
    let mut tags: Option<Vec<String>> = known.tags().map(<[String]>::to_vec);
    let mut apart = Vec::new();
    for ask in &merged.asks {
        if let Some(change) = &ask.change.tags {
            tags = tags_after(tags.as_deref(), change);
        }
        if !parts.has_details(&ask.change) || !ask.behind.wants(StepKind::Details) {
            continue;
        }
        let own = Patch {
            tags: ask.change.tags.as_ref().filter(|_| !parts.has_tag_calls()).and_then(|change| {
                match change {
                    TagChange::Replace(tags) => Some(Set::To(tags.clone())),
                    TagChange::Clear => Some(Set::Clear),
                    TagChange::Edit { .. } => {
                        set_of(tags.clone()).or_else(|| parts.patch.tags.clone())
                    }
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

/// The PATCH of the publication status.
pub(super) fn publish(file: &FileId, merged: &Merged, need: &Need, batch: &mut Batch) {
    let Some(publish) = need.publish else {
        return;
    };
    let asks = merged.asks.iter().filter(|ask| ask.change.publish.is_some());
    let wanted = asks.filter(|ask| ask.behind.wants(StepKind::Publish));
    let steps = wanted.map(|ask| StepRef { row: ask.pos.number, kind: StepKind::Publish });
    push(Call::Publish(publish), file, steps.collect(), batch);
}

impl Behind {
    /// Whether that step of the row is still to be sent.
    pub(super) fn wants(&self, kind: StepKind) -> bool {
        !self.is_stopped() && !self.is_done(kind)
    }

    /// Whether all that it asked for was done.
    pub(super) fn is_success(&self) -> bool {
        self.worst.is_none_or(Status::is_success)
    }
}
