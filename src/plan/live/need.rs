//! What has to be sent for a change: what the file does not have already.

use super::bulk::Asked;
use super::known::Known;
use super::merge::Merged;
use crate::request::Patch;
use crate::row::{Change, Extension, Publish, Set, TagChange, Tags};

/// What is needed.
#[derive(Debug, Default)]
pub(super) struct Need {
    /// The fields, tags aside.
    pub(super) patch: Patch,
    /// The tags, for each change that becomes of them.
    pub(super) tags: Vec<Option<TagNeed>>,
    /// The publication status.
    pub(super) publish: Option<Publish>,
}

/// What has to become of the tags.
#[derive(Debug, PartialEq)]
pub(super) struct TagNeed {
    /// Those that must go and are there, in alphabetical order.
    pub(super) remove: Option<Tags>,
    /// Those that must come and are not there, in alphabetical order.
    pub(super) add: Option<Tags>,
    /// All of them, where the change says so: it may also be sent as a whole.
    pub(super) whole: Option<Set<Tags>>,
    /// What was asked for, where that is more than is needed.
    pub(super) asked: Asked,
}

impl Need {
    /// What rows need on such a file; `wanted` says which extensions are to run.
    pub(super) fn of(merged: &Merged, known: &Known, wanted: impl Fn(&Extension) -> bool) -> Self {
        let change = &merged.fields;
        let metadata = change.metadata.iter();
        let metadata = metadata.filter(|(field, value)| !known.has_metadata(field, value));
        let extensions = change.extensions.as_ref();
        let extensions = extensions.and_then(|extensions| extensions.only(wanted));
        let patch = Patch {
            tags: None,
            remove_ai_tags: change.ai_tags.as_ref().and_then(|asked| known.still_to_remove(asked)),
            coordinates: change.coordinates.clone().filter(|area| !known.has_coordinates(area)),
            description: change.description.clone().filter(|text| !known.has_description(text)),
            metadata: metadata.cloned().collect(),
            webhook_url: change.webhook_url.clone().filter(|_| extensions.is_some()),
            extensions,
        };
        let mut has = known.tags();
        let tags = merged.tags.iter().map(|part| {
            let need = TagNeed::of(&part.change, has);
            // Once something is sent that may be refused, nobody knows what later parts find.
            has.take_if(|_| need.is_some() || !patch.is_empty() && part.can_come_apart());
            need
        });
        let publish = change.publish.filter(|asked| !known.has_publication(*asked));
        let tags = tags.collect();
        Self { patch, tags, publish }
    }

    /// The changes of tags that are needed.
    pub(super) fn tags_needed(&self) -> impl Iterator<Item = (usize, &TagNeed)> {
        let all = self.tags.iter().enumerate();
        all.filter_map(|(part, need)| Some((part, need.as_ref()?)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.patch.is_empty() && self.tags_needed().next().is_none() && self.publish.is_none()
    }
}

impl TagNeed {
    fn of(change: &TagChange, has: Option<&[String]>) -> Option<Self> {
        let whole = match change {
            TagChange::Replace(tags) => Some(Set::To(tags.clone())),
            TagChange::Clear => Some(Set::Clear),
            TagChange::Edit { .. } => None,
        };
        let Some(has) = has else {
            let (remove, add) = match change {
                TagChange::Edit { add, remove } => (remove.clone(), add.clone()),
                TagChange::Replace(_) | TagChange::Clear => (None, None),
            };
            return Some(Self { remove, add, whole, asked: Asked::default() });
        };
        let after = change.after(Some(has))?;
        let remove = has.iter().filter(|tag| !after.contains(tag));
        let add = after.iter().filter(|tag| !has.contains(tag));
        let (Ok(remove), Ok(add)) = (list(remove), list(add)) else {
            // The file has tags that no call can name.
            return Some(Self { remove: None, add: None, whole, asked: Asked::default() });
        };
        let asked = match change {
            TagChange::Edit { add: asked_add, remove: asked_remove } => Asked {
                remove: more_than(remove.as_ref(), asked_remove.as_ref()),
                add: more_than(add.as_ref(), asked_add.as_ref()),
            },
            TagChange::Replace(_) | TagChange::Clear => Asked::default(),
        };
        (remove.is_some() || add.is_some()).then_some(Self { remove, add, whole, asked })
    }

    /// Whether only a PATCH of all tags can do it.
    pub(super) fn is_whole_only(&self) -> bool {
        self.remove.is_none() && self.add.is_none()
    }
}

/// What was asked for, where that is more than is needed, and anything is.
fn more_than(needed: Option<&Tags>, asked: Option<&Tags>) -> Option<Tags> {
    let (needed, asked) = (needed?, asked?);
    let is_more = asked.as_slice().len() > needed.as_slice().len();
    list(asked.as_slice().iter()).ok().flatten().filter(|_| is_more)
}

/// The tags as a call names them.
///
/// # Errors
/// It cannot name them.
fn list<'t>(tags: impl Iterator<Item = &'t String>) -> Result<Option<Tags>, CannotBeNamed> {
    let mut tags: Vec<String> = tags.cloned().collect();
    tags.sort_unstable();
    tags.dedup();
    if tags.is_empty() {
        return Ok(None);
    }
    Tags::new(tags).map(Some).map_err(|_| CannotBeNamed)
}

/// A list of tags that is too long for a call, or has a tag that it does not take.
struct CannotBeNamed;

/// Whether a row that asks for `change` has a part in this patch.
pub(super) fn has_part(change: &Change, patch: &Patch) -> bool {
    let metadata = &patch.metadata;
    let named = |name: &str| metadata.iter().any(|(field, _)| field.name.as_ref() == name);
    patch.tags.is_some() && change.tags.is_some()
        || patch.remove_ai_tags.is_some() && change.ai_tags.is_some()
        || patch.coordinates.is_some() && change.coordinates.is_some()
        || patch.description.is_some() && change.description.is_some()
        || change.metadata.iter().any(|(field, _)| named(&field.name))
        || patch.extensions.is_some() && change.extensions.is_some()
}

/// All tags, to be compared with: the words of a list.
pub(super) fn set_of(tags: Option<Vec<String>>) -> Option<Set<Tags>> {
    let tags = tags?;
    if tags.is_empty() { Some(Set::Clear) } else { Tags::new(tags).ok().map(Set::To) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(all: &[&str]) -> Tags {
        Tags::new(all.iter().map(|tag| (*tag).to_owned()).collect()).expect("tags")
    }

    fn need(change: &TagChange, has: &[&str]) -> Option<TagNeed> {
        let has: Vec<String> = has.iter().map(|tag| (*tag).to_owned()).collect();
        TagNeed::of(change, Some(&has))
    }

    #[test]
    fn a_replacement_is_what_must_come_and_what_must_go() {
        let change = TagChange::Replace(tags(&["sale", "red"]));
        let whole = || Some(Set::To(tags(&["sale", "red"])));
        let wanted = TagNeed {
            remove: Some(tags(&["old"])),
            add: Some(tags(&["sale"])),
            whole: whole(),
            asked: Asked::default(),
        };
        assert_eq!(need(&change, &["red", "old"]), Some(wanted));
        assert_eq!(need(&change, &["red", "sale"]), None, "the order of tags is nobody's");
        assert_eq!(TagNeed::of(&change, None).map(|need| need.is_whole_only()), Some(true));
    }

    #[test]
    fn of_an_edit_only_what_is_not_so_is_left() {
        let change = TagChange::Edit { add: Some(tags(&["a", "b"])), remove: Some(tags(&["c"])) };
        let asked = Asked { remove: None, add: Some(tags(&["a", "b"])) };
        let wanted = TagNeed { remove: None, add: Some(tags(&["b"])), whole: None, asked };
        assert_eq!(need(&change, &["a"]), Some(wanted));
        assert_eq!(need(&change, &["b", "a"]), None);
    }

    #[test]
    fn to_clear_tags_is_to_remove_those_that_are_there() {
        let (remove, whole) = (Some(tags(&["a", "b"])), Some(Set::Clear));
        let wanted = TagNeed { remove, add: None, whole, asked: Asked::default() };
        assert_eq!(need(&TagChange::Clear, &["b", "a"]), Some(wanted));
        assert_eq!(need(&TagChange::Clear, &[]), None);
    }
}
