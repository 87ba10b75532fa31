//! What has to be sent for a change: what the file does not have already.

use super::merge::MergedRows;
use super::simulated_file::SimulatedFile;
use super::tag_batcher::Superset;
use crate::request::Patch;
use crate::row::{Change, Extension, Publish, Set, TagChange, Tags};

/// What is needed.
#[derive(Debug, Default)]
pub(super) struct FileDiff {
    /// The fields, tags aside.
    pub(super) patch: Patch,
    /// The tags, for each change that becomes of them.
    pub(super) tags: Vec<Option<TagDiff>>,
    /// The publication status.
    pub(super) publish: Option<Publish>,
}

/// What has to become of the tags.
#[derive(Debug, PartialEq)]
pub(super) struct TagDiff {
    /// Those that must go and are there, in alphabetical order.
    pub(super) remove: Option<Tags>,
    /// Those that must come and are not there, in alphabetical order.
    pub(super) add: Option<Tags>,
    /// All of them, where the change says so: it may also be sent as a whole.
    pub(super) whole: Option<Set<Tags>>,
    /// What was asked for, where that is more than is needed.
    pub(super) asked: Superset,
}

impl FileDiff {
    /// What rows need on such a file; `wanted` says which extensions are to run.
    pub(super) fn of(
        merged: &MergedRows,
        simulated_file: &SimulatedFile,
        wanted: impl Fn(&Extension) -> bool,
    ) -> Self {
        let change = &merged.fields;
        let metadata = change.metadata.iter();
        let metadata = metadata.filter(|(field, value)| !simulated_file.has_metadata(field, value));
        let extensions = change.extensions.as_ref();
        let extensions = extensions.and_then(|extensions| extensions.only(wanted));
        let patch = Patch {
            tags: None,
            remove_ai_tags: change
                .ai_tags
                .as_ref()
                .and_then(|asked| simulated_file.still_to_remove(asked)),
            coordinates: change
                .coordinates
                .clone()
                .filter(|area| !simulated_file.has_coordinates(area)),
            description: change
                .description
                .clone()
                .filter(|text| !simulated_file.has_description(text)),
            metadata: metadata.cloned().collect(),
            webhook_url: change.webhook_url.clone().filter(|_| extensions.is_some()),
            extensions,
        };
        let mut has = simulated_file.tags();
        let tags = merged.tags.iter().map(|part| {
            let diff = TagDiff::of(&part.change, has);
            // Once something is sent that may be refused, nobody knows what later parts find.
            has.take_if(|_| diff.is_some() || !patch.is_empty() && part.can_come_apart());
            diff
        });
        let publish = change.publish.filter(|asked| !simulated_file.has_publication(*asked));
        let tags = tags.collect();
        Self { patch, tags, publish }
    }

    /// The changes of tags that are needed.
    pub(super) fn tags_needed(&self) -> impl Iterator<Item = (usize, &TagDiff)> {
        let all = self.tags.iter().enumerate();
        all.filter_map(|(part, diff)| Some((part, diff.as_ref()?)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.patch.is_empty() && self.tags_needed().next().is_none() && self.publish.is_none()
    }
}

impl TagDiff {
    fn of(change: &TagChange, has: Option<&[String]>) -> Option<Self> {
        let whole = match change {
            TagChange::Replace(tags) => Some(Set::Value(tags.clone())),
            TagChange::Clear => Some(Set::Clear),
            TagChange::Edit { .. } => None,
        };
        let Some(has) = has else {
            let (remove, add) = match change {
                TagChange::Edit { add, remove } => (remove.clone(), add.clone()),
                TagChange::Replace(_) | TagChange::Clear => (None, None),
            };
            return Some(Self { remove, add, whole, asked: Superset::default() });
        };
        let after = change.after(Some(has))?;
        let remove = has.iter().filter(|tag| !after.contains(tag));
        let add = after.iter().filter(|tag| !has.contains(tag));
        let (Ok(remove), Ok(add)) = (list(remove), list(add)) else {
            // The file has tags that no call can name.
            return Some(Self { remove: None, add: None, whole, asked: Superset::default() });
        };
        let asked = match change {
            TagChange::Edit { add: asked_add, remove: asked_remove } => Superset {
                remove: more_than(remove.as_ref(), asked_remove.as_ref()),
                add: more_than(add.as_ref(), asked_add.as_ref()),
            },
            TagChange::Replace(_) | TagChange::Clear => Superset::default(),
        };
        (remove.is_some() || add.is_some()).then_some(Self { remove, add, whole, asked })
    }

    /// Whether only a PATCH of all tags can do it.
    pub(super) fn is_whole_only(&self) -> bool {
        self.remove.is_none() && self.add.is_none()
    }
}

/// What was asked for, where that is more than is needed, and anything is.
fn more_than(work: Option<&Tags>, asked: Option<&Tags>) -> Option<Tags> {
    let (work, asked) = (work?, asked?);
    let is_more = asked.as_slice().len() > work.as_slice().len();
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
pub(super) fn contributes_to(change: &Change, patch: &Patch) -> bool {
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
    if tags.is_empty() { Some(Set::Clear) } else { Tags::new(tags).ok().map(Set::Value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(all: &[&str]) -> Tags {
        Tags::new(all.iter().map(|tag| (*tag).to_owned()).collect()).expect("tags")
    }

    fn diff(change: &TagChange, has: &[&str]) -> Option<TagDiff> {
        let has: Vec<String> = has.iter().map(|tag| (*tag).to_owned()).collect();
        TagDiff::of(change, Some(&has))
    }

    #[test]
    fn a_replacement_is_what_must_come_and_what_must_go() {
        let change = TagChange::Replace(tags(&["sale", "red"]));
        let whole = || Some(Set::Value(tags(&["sale", "red"])));
        let wanted = TagDiff {
            remove: Some(tags(&["old"])),
            add: Some(tags(&["sale"])),
            whole: whole(),
            asked: Superset::default(),
        };
        assert_eq!(diff(&change, &["red", "old"]), Some(wanted));
        assert_eq!(diff(&change, &["red", "sale"]), None, "the order of tags is nobody's");
        assert_eq!(TagDiff::of(&change, None).map(|diff| diff.is_whole_only()), Some(true));
    }

    #[test]
    fn of_an_edit_only_what_is_not_so_is_left() {
        let change = TagChange::Edit { add: Some(tags(&["a", "b"])), remove: Some(tags(&["c"])) };
        let asked = Superset { remove: None, add: Some(tags(&["a", "b"])) };
        let wanted = TagDiff { remove: None, add: Some(tags(&["b"])), whole: None, asked };
        assert_eq!(diff(&change, &["a"]), Some(wanted));
        assert_eq!(diff(&change, &["b", "a"]), None);
    }

    #[test]
    fn to_clear_tags_is_to_remove_those_that_are_there() {
        let (remove, whole) = (Some(tags(&["a", "b"])), Some(Set::Clear));
        let wanted = TagDiff { remove, add: None, whole, asked: Superset::default() };
        assert_eq!(diff(&TagChange::Clear, &["b", "a"]), Some(wanted));
        assert_eq!(diff(&TagChange::Clear, &[]), None);
    }
}
