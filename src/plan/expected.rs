//! Builds the expected state of a file, step by step.

use crate::request::{Expected, ReadBackReason};
use crate::row::{Details, Tags};

impl Expected {
    /// Nothing is known yet.
    pub(super) fn new(reason: ReadBackReason) -> Self {
        Self {
            details: Details::default(),
            tags: None,
            tags_added: Vec::new(),
            tags_removed: Vec::new(),
            ai_tags_removed: Vec::new(),
            publish: None,
            reason,
        }
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

    pub(super) fn invalidate_tags(&mut self) {
        self.tags = None;
        self.tags_added.clear();
        self.tags_removed.clear();
    }

    /// Whether nothing is known about the file.
    pub(super) fn is_empty(&self) -> bool {
        self.details.is_empty()
            && self.tags.is_none()
            && self.tags_added.is_empty()
            && self.tags_removed.is_empty()
            && self.ai_tags_removed.is_empty()
            && self.publish.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(strings: &[&str]) -> Vec<String> {
        strings.iter().map(|tag| (*tag).to_owned()).collect()
    }

    fn tags(all: &[&str]) -> Tags {
        Tags::new(strings(all)).unwrap()
    }

    #[test]
    fn single_tags_are_tracked_until_all_are_set() {
        let unknown = Expected::new(ReadBackReason::Sample);
        let mut expected = unknown.clone();
        expected.edit_tags(&tags(&["a", "b"]), true);
        expected.edit_tags(&tags(&["b", "c"]), false);
        assert_eq!(
            (&expected.tags_added, &expected.tags_removed),
            (&strings(&["a"]), &strings(&["b", "c"]))
        );
        expected.set_tags(&strings(&["x", "y"]));
        expected.edit_tags(&tags(&["y", "z"]), true);
        expected.edit_tags(&tags(&["x"]), false);
        assert_eq!(expected, Expected { tags: Some(strings(&["y", "z"])), ..unknown });
    }
}
