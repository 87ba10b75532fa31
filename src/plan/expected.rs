//! What a file must be like, step by step.

use foldhash::HashSet;

use crate::request::{Expected, Patch};
use crate::row::{Set, Tags};

/// The custom metadata fields that are set, by name.
fn metadata_of(patch: &Patch) -> HashSet<&str> {
    patch.metadata.iter().map(|(field, _)| &*field.name).collect()
}

impl Expected {
    /// These fields were set.
    pub(super) fn set(&mut self, patch: &Patch) {
        if let Some(tags) = &patch.tags {
            self.forget_tags();
            self.tags = Some(match tags {
                Set::Value(tags) => tags.as_slice().to_vec(),
                Set::Clear => Vec::new(),
            });
        }
        let fields = &mut self.fields;
        fields.coordinates = patch.coordinates.clone().or(fields.coordinates.take());
        fields.description = patch.description.clone().or(fields.description.take());
        let set = metadata_of(patch);
        fields.metadata.retain(|(known, _)| !set.contains(&*known.name));
        fields.metadata.extend_from_slice(&patch.metadata);
    }

    /// Tags were added or removed.
    pub(super) fn tag(&mut self, tags: &Tags, is_added: bool) {
        let (into, out_of) = match (&mut self.tags, is_added) {
            (Some(all), true) => (Some(all), None),
            (Some(all), false) => (None, Some(all)),
            (None, true) => (Some(&mut self.tags_added), Some(&mut self.tags_removed)),
            (None, false) => (Some(&mut self.tags_removed), Some(&mut self.tags_added)),
        };
        if let Some(out_of) = out_of {
            out_of.retain(|tag| !tags.as_slice().contains(tag));
        }
        if let Some(into) = into {
            let new = tags.as_slice().iter().filter(|tag| !into.contains(tag)).cloned();
            let new: Vec<_> = new.collect();
            into.extend(new);
        }
    }

    /// These fields were set or not.
    pub(super) fn forget(&mut self, patch: &Patch) {
        let fields = &mut self.fields;
        fields.coordinates.take_if(|_| patch.coordinates.is_some());
        fields.description.take_if(|_| patch.description.is_some());
        let asked = metadata_of(patch);
        fields.metadata.retain(|(known, _)| !asked.contains(&*known.name));
        if patch.tags.is_some() {
            self.forget_tags();
        }
    }

    pub(super) fn forget_tags(&mut self) {
        self.tags = None;
        self.tags_added.clear();
        self.tags_removed.clear();
    }

    /// Whether the file may be anything.
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

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn tags(all: &[&str]) -> Tags {
        Tags::new(words(all)).unwrap()
    }

    #[test]
    fn tags_are_known_one_by_one_until_all_of_them_are_set() {
        let mut expected = Expected::default();
        expected.tag(&tags(&["a", "b"]), true);
        expected.tag(&tags(&["b", "c"]), false);
        assert_eq!(
            (&expected.tags_added, &expected.tags_removed),
            (&words(&["a"]), &words(&["b", "c"]))
        );
        let all = Patch { tags: Some(Set::Value(tags(&["x", "y"]))), ..Patch::default() };
        expected.set(&all);
        expected.tag(&tags(&["y", "z"]), true);
        expected.tag(&tags(&["x"]), false);
        assert_eq!(expected, Expected { tags: Some(words(&["y", "z"])), ..Expected::default() });
    }

    #[test]
    fn what_may_or_may_not_have_been_set_may_be_anything() {
        let patch = Patch { description: Some(Set::Value("one".into())), ..Patch::default() };
        let mut expected = Expected::default();
        expected.set(&patch);
        expected.set(&Patch { tags: Some(Set::Clear), ..Patch::default() });
        expected.forget(&patch);
        assert_eq!(expected, Expected { tags: Some(Vec::new()), ..Expected::default() });
        assert!(!expected.is_empty());
        expected.forget(&Patch { tags: Some(Set::Clear), ..Patch::default() });
        assert!(expected.is_empty());
    }
}
