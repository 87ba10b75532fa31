//! Compares the change of merged rows with the simulated file: the difference is what must be sent.

use super::merge::MergedRows;
use super::simulated_file::SimulatedFile;
use crate::plan::batch::Superset;
use crate::request::Patch;
use crate::row::{Change, Extension, FieldSet, FileField, Publish, Set, TagChange, Tags};

/// The difference between a change and a file.
#[derive(Debug, Default)]
pub(super) struct FileDiff {
    /// Fields to set, without tags.
    pub(super) patch: Patch,
    /// Tags to change, by [tag stage](super::merge::TagStage).
    pub(super) tags: Vec<Option<TagDiff>>,
    /// Publication status to set.
    pub(super) publish: Option<Publish>,
}

/// The difference in tags.
#[derive(Debug, PartialEq)]
pub(super) struct TagDiff {
    /// Tags to remove that the file has, in alphabetical order.
    pub(super) remove: Option<Tags>,
    /// Tags to add that the file lacks, in alphabetical order.
    pub(super) add: Option<Tags>,
    /// The complete list, if the change sets all tags: a PATCH of it is an alternative to the two
    /// calls.
    pub(super) complete: Option<Set<Tags>>,
    /// The lists that the row requests, where they are longer than the difference.
    pub(super) superset: Superset,
}

impl FileDiff {
    /// The fields that are sent.
    pub(super) fn fields(&self) -> FieldSet {
        self.patch.fields().union(FieldSet::from([
            (FileField::Tags, self.tags.iter().any(Option::is_some)),
            (FileField::Publication, self.publish.is_some()),
        ]))
    }

    /// Compares rows with a file; `should_run` tells which extensions are to run.
    pub(super) fn of(
        merged: &MergedRows,
        simulated_file: &SimulatedFile,
        should_run: impl Fn(&Extension) -> bool,
    ) -> Self {
        let change = &merged.fields;
        let details = change.details.iter();
        let details = details.filter(|(field, set)| !simulated_file.has_detail(field, set));
        let extensions = change.extensions.as_ref();
        let extensions = extensions.and_then(|extensions| extensions.only(should_run));
        let patch = Patch {
            tags: None,
            remove_ai_tags: change
                .ai_tags
                .as_ref()
                .and_then(|requested| simulated_file.remaining_removal(requested)),
            details: details.map(|(field, set)| (field.clone(), set.clone())).collect(),
            webhook_url: change.webhook_url.clone().filter(|_| extensions.is_some()),
            extensions,
        };
        let mut current = simulated_file.tags();
        let tags = merged.tags.iter().map(|stage| {
            let diff = TagDiff::of(&stage.change, current);
            // A request that may be rejected makes the tags unknown to later stages.
            current.take_if(|_| diff.is_some() || !patch.is_empty() && stage.can_split());
            diff
        });
        let publish =
            change.publish.filter(|requested| !simulated_file.has_publication(*requested));
        let tags = tags.collect();
        Self { patch, tags, publish }
    }

    /// The stages whose tags differ, with their indices.
    pub(super) fn changed_stages(&self) -> impl Iterator<Item = (usize, &TagDiff)> {
        let all = self.tags.iter().enumerate();
        all.filter_map(|(stage, diff)| Some((stage, diff.as_ref()?)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.patch.is_empty() && self.changed_stages().next().is_none() && self.publish.is_none()
    }
}

impl TagDiff {
    fn of(change: &TagChange, current: Option<&[String]>) -> Option<Self> {
        let complete = match change {
            TagChange::Replace(tags) => Some(Set::Value(tags.clone())),
            TagChange::Clear => Some(Set::Clear),
            TagChange::Edit { .. } => None,
        };
        let Some(current) = current else {
            let (remove, add) = match change {
                TagChange::Edit { add, remove } => (remove.clone(), add.clone()),
                TagChange::Replace(_) | TagChange::Clear => (None, None),
            };
            return Some(Self { remove, add, complete, superset: Superset::default() });
        };
        let after = change.after(Some(current))?;
        let remove = current.iter().filter(|tag| !after.contains(tag));
        let add = after.iter().filter(|tag| !current.contains(tag));
        let (Ok(remove), Ok(add)) = (list(remove), list(add)) else {
            // The file has tags that bulk calls cannot name.
            return Some(Self { remove: None, add: None, complete, superset: Superset::default() });
        };
        let superset = match change {
            TagChange::Edit { add: requested_add, remove: requested_remove } => Superset {
                remove: superset_of(remove.as_ref(), requested_remove.as_ref()),
                add: superset_of(add.as_ref(), requested_add.as_ref()),
            },
            TagChange::Replace(_) | TagChange::Clear => Superset::default(),
        };
        (remove.is_some() || add.is_some()).then_some(Self { remove, add, complete, superset })
    }

    /// Whether only a PATCH of all tags can make the change.
    pub(super) fn needs_patch(&self) -> bool {
        self.remove.is_none() && self.add.is_none()
    }
}

/// The requested tags, if they are more than the needed ones and any are needed.
fn superset_of(needed: Option<&Tags>, requested: Option<&Tags>) -> Option<Tags> {
    let (needed, requested) = (needed?, requested?);
    let is_longer = requested.as_slice().len() > needed.as_slice().len();
    list(requested.as_slice().iter()).ok().flatten().filter(|_| is_longer)
}

/// The tags as a list for a bulk call.
///
/// # Errors
/// A bulk call cannot name them.
fn list<'t>(tags: impl Iterator<Item = &'t String>) -> Result<Option<Tags>, NotRepresentable> {
    let mut tags: Vec<String> = tags.cloned().collect();
    tags.sort_unstable();
    tags.dedup();
    if tags.is_empty() {
        return Ok(None);
    }
    Tags::new(tags).map(Some).map_err(|_| NotRepresentable)
}

/// The list is too long for a bulk call, or contains a tag that it does not accept.
struct NotRepresentable;

/// Whether a row with this change contributes to the patch.
pub(super) fn contributes_to(change: &Change, patch: &Patch) -> bool {
    patch.tags.is_some() && change.tags.is_some()
        || patch.remove_ai_tags.is_some() && change.ai_tags.is_some()
        || patch.details.overlap(&change.details)
        || patch.extensions.is_some() && change.extensions.is_some()
}

/// A list of tags as the value of a PATCH.
pub(super) fn as_set(tags: Option<Vec<String>>) -> Option<Set<Tags>> {
    let tags = tags?;
    if tags.is_empty() { Some(Set::Clear) } else { Tags::new(tags).ok().map(Set::Value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(all: &[&str]) -> Tags {
        Tags::new(all.iter().map(|tag| (*tag).to_owned()).collect()).expect("tags")
    }

    fn diff(change: &TagChange, current: &[&str]) -> Option<TagDiff> {
        let current: Vec<String> = current.iter().map(|tag| (*tag).to_owned()).collect();
        TagDiff::of(change, Some(&current))
    }

    #[test]
    fn replacement_becomes_removal_and_addition() {
        let change = TagChange::Replace(tags(&["sale", "red"]));
        let complete = || Some(Set::Value(tags(&["sale", "red"])));
        let expected = TagDiff {
            remove: Some(tags(&["old"])),
            add: Some(tags(&["sale"])),
            complete: complete(),
            superset: Superset::default(),
        };
        assert_eq!(diff(&change, &["red", "old"]), Some(expected));
        assert_eq!(diff(&change, &["red", "sale"]), None, "tag order is ignored");
        assert_eq!(TagDiff::of(&change, None).map(|diff| diff.needs_patch()), Some(true));
    }

    #[test]
    fn edit_is_reduced_to_the_difference() {
        let change = TagChange::Edit { add: Some(tags(&["a", "b"])), remove: Some(tags(&["c"])) };
        let superset = Superset { remove: None, add: Some(tags(&["a", "b"])) };
        let expected = TagDiff { remove: None, add: Some(tags(&["b"])), complete: None, superset };
        assert_eq!(diff(&change, &["a"]), Some(expected));
        assert_eq!(diff(&change, &["b", "a"]), None);
    }

    #[test]
    fn clearing_removes_the_current_tags() {
        let (remove, complete) = (Some(tags(&["a", "b"])), Some(Set::Clear));
        let expected = TagDiff { remove, add: None, complete, superset: Superset::default() };
        assert_eq!(diff(&TagChange::Clear, &["b", "a"]), Some(expected));
        assert_eq!(diff(&TagChange::Clear, &[]), None);
    }
}
