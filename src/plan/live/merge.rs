//! Rows of one file, merged: what they ask for together, so that one request does it.

use std::mem;

use foldhash::HashSet;

use super::known::Known;
use crate::outcome::{Code, Outcome, Status};
use crate::plan::Behind;
use crate::row::{AiTagRemoval, Change, RowPos, TAGS_LENGTH_MAX, TagChange};

/// What one row asks of its file.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) pos: RowPos,
    pub(super) change: Change,
    pub(super) behind: Behind,
}

/// Rows in a row, and what they ask for together.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) asks: Vec<Ask>,
    /// What they ask for, tags aside.
    pub(super) fields: Change,
    /// What becomes of the tags, one after the other.
    pub(super) tags: Vec<TagPart>,
}

/// A change of tags that rows ask for together.
#[derive(Debug)]
pub(super) struct TagPart {
    pub(super) change: TagChange,
    /// The numbers of the rows.
    rows: Vec<u64>,
    /// Whether they ask for nothing else. A row that asks for more can be refused for that, and
    /// then its tags must not be among those of rows behind it.
    is_all: bool,
}

impl Merged {
    pub(super) fn of(ask: Ask) -> Self {
        let fields = Change { tags: None, ..ask.change.clone() };
        let tags = TagPart::of(&ask).into_iter().collect();
        Self { asks: vec![ask], fields, tags }
    }

    /// Whether another row can be taken in, behind which it must not come otherwise. What must not
    /// be repeated is never merged with anything: if it is lost, it must be known what was.
    pub(super) fn may_take(&self, ask: &Ask, knows_tags: bool) -> bool {
        let stands_alone =
            |change: &Change| change.extensions.is_some() || change.publish.is_some();
        let has_place = TagPart::of(ask).is_none_or(|part| {
            self.tags.is_empty() || !part.sets_all() || self.overwrites(&part, knows_tags)
        });
        !stands_alone(&self.fields) && !stands_alone(&ask.change) && has_place
    }

    /// Takes another row in, if it may.
    pub(super) fn take(&mut self, ask: Ask, knows_tags: bool) {
        self.fields = then(&self.fields, &ask.change);
        if let Some(part) = TagPart::of(&ask) {
            if self.overwrites(&part, knows_tags) {
                let before = mem::take(&mut self.tags);
                let rows = before.iter().flat_map(|part| &part.rows).chain(&part.rows);
                let (rows, is_all) = (rows.copied().collect(), part.is_all);
                let is_all = is_all && before.iter().all(|part| part.is_all);
                self.tags.push(TagPart { rows, is_all, ..part });
            } else if let Some(part) = match self.tags.last_mut() {
                Some(last) => last.join(part),
                None => Some(part),
            } {
                self.tags.push(part);
            }
        }
        self.asks.push(ask);
    }

    /// Whether the tags that rows before ask for are of no account any more, and it is known what
    /// they come to, should the rows be sent one by one: what is added to or removed from the tags of
    /// a row that may be refused is not.
    fn overwrites(&self, part: &TagPart, knows_tags: bool) -> bool {
        let may_be_refused = self.tags.iter().position(|part| !part.is_all);
        let behind = may_be_refused.map_or(&[][..], |first| &self.tags[first + 1..]);
        let is_known = knows_tags && behind.iter().all(TagPart::sets_all);
        part.sets_all() && (is_known || part.is_all && may_be_refused.is_none())
    }

    /// Which change of the tags a row has a part in.
    pub(super) fn tags_of(&self, row: u64) -> Option<usize> {
        self.tags.iter().position(|part| part.rows.contains(&row))
    }

    /// The rows that have a part in a change of the tags.
    pub(super) fn asks_for_tags(&self, part: usize) -> impl Iterator<Item = &Ask> {
        let rows = self.tags.get(part).map_or(&[][..], |part| &part.rows);
        self.asks.iter().filter(|ask| rows.contains(&ask.pos.number))
    }
}

impl TagPart {
    fn of(ask: &Ask) -> Option<Self> {
        let change = ask.change.tags.clone()?;
        Some(Self { change, rows: vec![ask.pos.number], is_all: has_tags_alone(&ask.change) })
    }

    /// Whether it does not matter what tags there were.
    fn sets_all(&self) -> bool {
        matches!(self.change, TagChange::Replace(_) | TagChange::Clear)
    }

    /// Whether some of its rows can be refused and others not.
    pub(super) fn can_come_apart(&self) -> bool {
        !self.is_all && self.rows.len() > 1
    }

    /// Takes in what rows behind ask for; gives it back where it must stay by itself.
    fn join(&mut self, behind: Self) -> Option<Self> {
        let together = self.change.then(&behind.change);
        match together.filter(|_| self.is_all && behind.is_all) {
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
pub(super) fn too_many_tags(known: &Known, change: &Change) -> Option<Outcome> {
    let Some(tags @ TagChange::Edit { add: Some(_), .. }) = &change.tags else {
        return None;
    };
    let has = known.tags()?;
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
