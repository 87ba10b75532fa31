//! Rows of one file, merged: what they ask for together, so that one request does it.

use std::mem;

use foldhash::HashSet;

use super::simulated_file::SimulatedFile;
use crate::outcome::{Code, Outcome, Status};
use crate::plan::RowProgress;
use crate::row::{AiTagRemoval, Change, RowPos, TAGS_LENGTH_MAX, TagChange};

/// What one row asks of its file.
#[derive(Debug, Clone)]
pub(super) struct PendingRow {
    pub(super) pos: RowPos,
    pub(super) change: Change,
    pub(super) behind: RowProgress,
}

/// Rows in a row, and what they ask for together.
#[derive(Debug)]
pub(super) struct MergedRows {
    pub(super) pending_rows: Vec<PendingRow>,
    /// What they ask for, tags aside.
    pub(super) fields: Change,
    /// What becomes of the tags, one after the other.
    pub(super) tags: Vec<TagStage>,
}

/// A change of tags that rows ask for together.
#[derive(Debug)]
pub(super) struct TagStage {
    pub(super) change: TagChange,
    /// The numbers of the rows.
    rows: Vec<u64>,
    /// Whether they ask for nothing else. A row that asks for more can be refused for that, and
    /// then its tags must not be among those of rows behind it.
    only_tags: bool,
}

impl MergedRows {
    pub(super) fn of(pending: PendingRow) -> Self {
        let fields = Change { tags: None, ..pending.change.clone() };
        let tags = TagStage::of(&pending).into_iter().collect();
        Self { pending_rows: vec![pending], fields, tags }
    }

    /// Whether another row can be taken in, behind which it must not come otherwise. What must not
    /// be repeated is never merged with anything: if it is lost, it must be known what was.
    pub(super) fn may_take(&self, pending: &PendingRow, knows_tags: bool) -> bool {
        let stands_alone =
            |change: &Change| change.extensions.is_some() || change.publish.is_some();
        let has_place = TagStage::of(pending).is_none_or(|part| {
            self.tags.is_empty() || !part.sets_all() || self.overwrites(&part, knows_tags)
        });
        !stands_alone(&self.fields) && !stands_alone(&pending.change) && has_place
    }

    /// Takes another row in, if it may.
    pub(super) fn take(&mut self, pending: PendingRow, knows_tags: bool) {
        self.fields = then(&self.fields, &pending.change);
        if let Some(part) = TagStage::of(&pending) {
            if self.overwrites(&part, knows_tags) {
                let before = mem::take(&mut self.tags);
                let rows = before.iter().flat_map(|part| &part.rows).chain(&part.rows);
                let (rows, only_tags) = (rows.copied().collect(), part.only_tags);
                let only_tags = only_tags && before.iter().all(|part| part.only_tags);
                self.tags.push(TagStage { rows, only_tags, ..part });
            } else if let Some(part) = match self.tags.last_mut() {
                Some(last) => last.join(part),
                None => Some(part),
            } {
                self.tags.push(part);
            }
        }
        self.pending_rows.push(pending);
    }

    /// Whether the tags that rows before ask for are of no account any more, and it is known what
    /// they come to, should the rows be sent one by one: what is added to or removed from the tags of
    /// a row that may be refused is not.
    fn overwrites(&self, part: &TagStage, knows_tags: bool) -> bool {
        let may_be_refused = self.tags.iter().position(|part| !part.only_tags);
        let behind = may_be_refused.map_or(&[][..], |first| &self.tags[first + 1..]);
        let is_known = knows_tags && behind.iter().all(TagStage::sets_all);
        part.sets_all() && (is_known || part.only_tags && may_be_refused.is_none())
    }

    /// Which change of the tags a row has a part in.
    pub(super) fn tags_of(&self, row: u64) -> Option<usize> {
        self.tags.iter().position(|part| part.rows.contains(&row))
    }

    /// The rows that have a part in a change of the tags.
    pub(super) fn asks_for_tags(&self, part: usize) -> impl Iterator<Item = &PendingRow> {
        let rows = self.tags.get(part).map_or(&[][..], |part| &part.rows);
        self.pending_rows.iter().filter(|pending| rows.contains(&pending.pos.number))
    }
}

impl TagStage {
    fn of(pending: &PendingRow) -> Option<Self> {
        let change = pending.change.tags.clone()?;
        Some(Self {
            change,
            rows: vec![pending.pos.number],
            only_tags: has_tags_alone(&pending.change),
        })
    }

    /// Whether it does not matter what tags there were.
    fn sets_all(&self) -> bool {
        matches!(self.change, TagChange::Replace(_) | TagChange::Clear)
    }

    /// Whether some of its rows can be refused and others not.
    pub(super) fn can_come_apart(&self) -> bool {
        !self.only_tags && self.rows.len() > 1
    }

    /// Takes in what rows behind ask for; gives it back where it must stay by itself.
    fn join(&mut self, behind: Self) -> Option<Self> {
        let together = self.change.then(&behind.change);
        match together.filter(|_| self.only_tags && behind.only_tags) {
            Some(change) => {
                self.change = change;
                self.rows.extend(behind.rows);
                None
            }
            None => Some(behind),
        }
    }
}

/// Whether a row asks for tags and nothing else.
pub(super) fn has_tags_alone(change: &Change) -> bool {
    change.tags.is_some() && *change == Change { tags: change.tags.clone(), ..Change::default() }
}

/// Both changes in one, tags aside.
fn then(first: &Change, second: &Change) -> Change {
    let later: HashSet<&str> = second.metadata.iter().map(|(field, _)| &*field.name).collect();
    let mut metadata = first.metadata.clone();
    metadata.retain(|(field, _)| !later.contains(&*field.name));
    metadata.extend_from_slice(&second.metadata);
    Change {
        tags: None,
        ai_tags: match (&first.ai_tags, &second.ai_tags) {
            (Some(AiTagRemoval::Named(first)), Some(AiTagRemoval::Named(second))) => {
                let new = second.iter().filter(|tag| !first.contains(tag));
                Some(AiTagRemoval::Named(first.iter().chain(new).cloned().collect()))
            }
            (Some(AiTagRemoval::All), _) | (_, Some(AiTagRemoval::All)) => Some(AiTagRemoval::All),
            (one, None) | (None, one) => one.clone(),
        },
        coordinates: second.coordinates.clone().or_else(|| first.coordinates.clone()),
        description: second.description.clone().or_else(|| first.description.clone()),
        metadata,
        extensions: None,
        webhook_url: None,
        publish: None,
    }
}

/// Why a row cannot be carried out on a file with these tags: added to them, its own are too long.
pub(super) fn too_many_tags(simulated_file: &SimulatedFile, change: &Change) -> Option<Outcome> {
    let Some(tags @ TagChange::Edit { add: Some(_), .. }) = &change.tags else {
        return None;
    };
    let has = simulated_file.tags()?;
    let after = tags.after(Some(has))?;
    if after.iter().all(|tag| has.contains(tag)) {
        return None;
    }
    let length: usize = after.iter().map(|tag| tag.chars().count()).sum();
    let message = format!(
        "with the tags that the file has, addTags makes {length} characters of tags, and ImageKit \
         allows {TAGS_LENGTH_MAX} together; remove some in the same row, or add fewer"
    );
    let rejected = Outcome::local(Status::Rejected, Code::Invalid, Some(message.into()));
    (length > TAGS_LENGTH_MAX).then_some(rejected)
}
