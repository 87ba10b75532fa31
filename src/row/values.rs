//! The values that a change sets, as hashes, to tell whether two rows ask for the same.

use std::hash::Hasher as _;

use xxhash_rust::xxh3::Xxh3Default;

use super::{Change, Field, TagChange};

impl Change {
    /// The fields that it sets, and hashes of their values; 0 for a field to clear. Tags to add or
    /// remove are no values: they take effect one after the other.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&Field, u64)> {
        let Self { tags, details, publish, .. } = self;
        let tags = tags.as_ref().and_then(|tags| match tags {
            TagChange::Replace(tags) => Some(hash(&tags.as_slice())),
            TagChange::Clear => Some(0),
            TagChange::Edit { .. } => None,
        });
        let publish = publish.as_ref().map(|publish| hash(&publish.is_published));
        let fixed = [(&Field::Tags, tags), (&Field::IsPublished, publish)];
        let fixed = fixed.into_iter().filter_map(|(field, value)| Some((field, value?)));
        let details = details.iter().map(|(field, set)| {
            let value = set.value().map_or(0, |value| match value.as_str() {
                Some(text) => hash(text),
                None => hash(&value.to_string()),
            });
            (field, value)
        });
        fixed.chain(details)
    }
}

impl Field {
    /// A hash of [`Self::key`].
    pub(crate) fn hash(&self) -> u64 {
        hash(&self.key())
    }
}

fn hash(value: &(impl std::hash::Hash + ?Sized)) -> u64 {
    let mut hasher = Xxh3Default::new();
    value.hash(&mut hasher);
    hasher.finish()
}
