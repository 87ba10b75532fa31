//! Builds the expected state of a file, step by step.

use foldhash::HashSet;

use crate::request::{Expected, Patch};
use crate::row::Tags;

/// Names of the custom metadata fields that a patch sets.
fn metadata_of(patch: &Patch) -> HashSet<&str> {
    patch.metadata.iter().map(|(field, _)| &*field.name).collect()
}

impl Expected {
    /// Applies a PATCH of fields other than tags.
    pub(super) fn apply_patch(&mut self, patch: &Patch) {
        let fields = &mut self.fields;
        fields.coordinates = patch.coordinates.clone().or(fields.coordinates.take());
        fields.description = patch.description.clone().or(fields.description.take());
        let set = metadata_of(patch);
        fields.metadata.retain(|(field, _)| !set.contains(&*field.name));
        fields.metadata.extend_from_slice(&patch.metadata);
    }

    /// Applies a complete list of tags.
    pub(super) fn set_tags(&mut self, tags: &[String]) {
        self.invalidate_tags();
        self.tags = Some(tags.to_vec());
    }

    /// Applies an addition or removal of tags.
    pub(super) fn edit_tags(&mut self, tags: &Tags, is_added: bool) {
        let (target, opposite) = match (&mut self.tags, is_added) {
            (Some(all), true) => (Some(all), None),
            (Some(all), false) => (None, Some(all)),
            (None, true) => (Some(&mut self.tags_added), Some(&mut self.tags_removed)),
            (None, false) => (Some(&mut self.tags_removed), Some(&mut self.tags_added)),
        };
        if let Some(opposite) = opposite {
            opposite.retain(|tag| !tags.as_slice().contains(tag));
        }
        if let Some(target) = target {
            let new = tags.as_slice().iter().filter(|tag| !target.contains(tag)).cloned();
            let new: Vec<_> = new.collect();
            target.extend(new);
        }
    }

    /// Marks fields as unknown: they may or may not have been set.
    pub(super) fn invalidate(&mut self, patch: &Patch) {
        let fields = &mut self.fields;
        fields.coordinates.take_if(|_| patch.coordinates.is_some());
        fields.description.take_if(|_| patch.description.is_some());
        let named = metadata_of(patch);
        fields.metadata.retain(|(field, _)| !named.contains(&*field.name));
    }

    pub(super) fn invalidate_tags(&mut self) {
        self.tags = None;
        self.tags_added.clear();
        self.tags_removed.clear();
    }

    /// Whether nothing is known about the file.
    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
            && self.tags.is_none()
            && self.tags_added.is_empty()
            && self.tags_removed.is_empty()
            && self.publish.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Set;

    fn strings(strings: &[&str]) -> Vec<String> {
        strings.iter().map(|tag| (*tag).to_owned()).collect()
    }

    fn tags(all: &[&str]) -> Tags {
        Tags::new(strings(all)).unwrap()
    }

    #[test]
    fn single_tags_are_tracked_until_all_are_set() {
        let mut expected = Expected::default();
        expected.edit_tags(&tags(&["a", "b"]), true);
        expected.edit_tags(&tags(&["b", "c"]), false);
        assert_eq!(
            (&expected.tags_added, &expected.tags_removed),
            (&strings(&["a"]), &strings(&["b", "c"]))
        );
        expected.set_tags(&strings(&["x", "y"]));
        expected.edit_tags(&tags(&["y", "z"]), true);
        expected.edit_tags(&tags(&["x"]), false);
        assert_eq!(expected, Expected { tags: Some(strings(&["y", "z"])), ..Expected::default() });
    }

    #[test]
    fn invalidated_fields_are_unknown() {
        let patch = Patch { description: Some(Set::Value("one".into())), ..Patch::default() };
        let mut expected = Expected::default();
        expected.apply_patch(&patch);
        expected.set_tags(&[]);
        expected.invalidate(&patch);
        assert_eq!(expected, Expected { tags: Some(Vec::new()), ..Expected::default() });
        assert!(!expected.is_empty());
        expected.invalidate_tags();
        assert!(expected.is_empty());
    }
}
