//! Rows of one file, merged: what they ask for together, so that one request does it.

use super::known::{Known, tags_after};
use crate::outcome::{Code, Outcome, Status};
use crate::plan::Behind;
use crate::row::{AiTagRemoval, Change, RowPos, TAGS_LENGTH_MAX, TagChange, Tags, words};

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
    pub(super) change: Change,
}

impl Merged {
    pub(super) fn of(ask: Ask) -> Self {
        Self { change: ask.change.clone(), asks: vec![ask] }
    }

    /// What they ask for together with another row; nothing where that must come after them. What
    /// must not be repeated is never merged with anything: if it is lost, it must be known what was.
    pub(super) fn with(&self, ask: &Ask, knows_tags: bool) -> Option<Change> {
        let stands_alone =
            |change: &Change| change.extensions.is_some() || change.publish.is_some();
        if stands_alone(&self.change) || stands_alone(&ask.change) {
            return None;
        }
        let are_tags_safe = match (&self.change.tags, &ask.change.tags) {
            (None, _) | (_, None) => true,
            (_, Some(TagChange::Replace(_) | TagChange::Clear)) if knows_tags => true,
            _ => self.asks.iter().chain([ask]).all(|ask| has_tags_alone(&ask.change)),
        };
        then(&self.change, &ask.change).filter(|_| are_tags_safe)
    }

    /// Takes another row in, with which it comes to that change.
    pub(super) fn take(&mut self, ask: Ask, change: Change) {
        self.change = change;
        self.asks.push(ask);
    }
}

/// Whether a row with tags asks for nothing else. One that asks for more can be refused for that,
/// and then its tags must not be among those of rows behind it.
fn has_tags_alone(change: &Change) -> bool {
    change.tags.is_none() || *change == Change { tags: change.tags.clone(), ..Change::default() }
}

/// Both changes in one, where one request can say it.
fn then(first: &Change, second: &Change) -> Option<Change> {
    let tags = match (&first.tags, &second.tags) {
        (tags, None) | (None, tags) => tags.clone(),
        (Some(first), Some(second)) => Some(tags_then(first, second)?),
    };
    let mut metadata = first.metadata.clone();
    metadata.retain(|(field, _)| second.metadata.iter().all(|(later, _)| later.name != field.name));
    metadata.extend_from_slice(&second.metadata);
    Some(Change {
        tags,
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
    })
}

fn tags_then(first: &TagChange, second: &TagChange) -> Option<TagChange> {
    let (TagChange::Edit { add, remove }, TagChange::Edit { add: later, remove: gone }) =
        (first, second)
    else {
        // All tags are known after the first, or set by the second.
        let before = tags_after(None, first).unwrap_or_default();
        let tags = tags_after(Some(&before), second)?;
        return if tags.is_empty() {
            Some(TagChange::Clear)
        } else {
            Tags::new(tags).ok().map(TagChange::Replace)
        };
    };
    let union = |one: Option<&Tags>, without: Option<&Tags>, other: Option<&Tags>| {
        let (one, without, other) = (words(one), words(without), words(other));
        let kept = one.iter().filter(|tag| !without.contains(tag) && !other.contains(tag));
        let all: Vec<String> = kept.chain(other).cloned().collect();
        if all.is_empty() { Ok(None) } else { Tags::new(all).map(Some) }
    };
    let add_both = union(add.as_ref(), gone.as_ref(), later.as_ref()).ok()?;
    let remove_both = union(remove.as_ref(), later.as_ref(), gone.as_ref()).ok()?;
    Some(TagChange::Edit { add: add_both, remove: remove_both })
}

/// Why a row cannot be carried out on a file with these tags: added to them, its own are too long.
pub(super) fn too_many_tags(known: &Known, change: &Change) -> Option<Outcome> {
    let Some(tags @ TagChange::Edit { add: Some(_), .. }) = &change.tags else {
        return None;
    };
    let after = tags_after(known.tags(), tags)?;
    let length: usize = after.iter().map(|tag| tag.chars().count()).sum();
    let message = format!(
        "with the tags that the file has, addTags makes {length} characters of tags, and ImageKit \
         allows {TAGS_LENGTH_MAX} together; remove some in the same row, or add fewer"
    );
    let rejected = Outcome::local(Status::Rejected, Code::Invalid, Some(message.into()));
    (length > TAGS_LENGTH_MAX).then_some(rejected)
}
