//! The values that a change sets, as hashes, to tell whether two rows ask for the same.

use std::borrow::Cow;
use std::hash::Hasher as _;

use xxhash_rust::xxh3::Xxh3Default;

use super::{Change, MetadataField, Set, TagChange};

/// A field that a change sets to one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ValueField<'c> {
    Tags,
    Coordinates,
    Description,
    Publication,
    /// Custom metadata, by its name.
    Metadata(&'c str),
}

impl ValueField<'_> {
    /// The name of its column.
    pub(crate) fn column(self) -> Cow<'static, str> {
        match self {
            Self::Tags => "tags".into(),
            Self::Coordinates => "customCoordinates".into(),
            Self::Description => "description".into(),
            Self::Publication => "isPublished".into(),
            Self::Metadata(name) => MetadataField::column_of(name).into(),
        }
    }

    /// A hash of the field.
    pub(crate) fn hash(self) -> u64 {
        hash(&self)
    }
}

impl Change {
    /// The fields that it sets, and hashes of their values; 0 for a field to clear. Tags to add or
    /// remove are no values: they take effect one after the other.
    pub(crate) fn values(&self) -> impl Iterator<Item = (ValueField<'_>, u64)> {
        let Self { tags, coordinates, description, metadata, publish, .. } = self;
        let tags = tags.as_ref().and_then(|tags| match tags {
            TagChange::Replace(tags) => Some(hash(&tags.as_slice())),
            TagChange::Clear => Some(0),
            TagChange::Edit { .. } => None,
        });
        let coordinates =
            coordinates.as_ref().map(|set| of_set(set, |area| hash(&area.to_string())));
        let description = description.as_ref().map(|set| of_set(set, hash));
        let publish = publish.as_ref().map(|publish| hash(&publish.is_published));
        let fixed = [
            (ValueField::Tags, tags),
            (ValueField::Coordinates, coordinates),
            (ValueField::Description, description),
            (ValueField::Publication, publish),
        ];
        let fixed = fixed.into_iter().filter_map(|(field, value)| Some((field, value?)));
        let metadata = metadata.iter().map(|(field, set)| {
            let value = of_set(set, |value| match value.as_str() {
                Some(text) => hash(text),
                None => hash(&value.to_string()),
            });
            (ValueField::Metadata(&field.name), value)
        });
        fixed.chain(metadata)
    }
}

/// The hash of a value; 0 for a field to clear.
fn of_set<T>(set: &Set<T>, hash: impl Fn(&T) -> u64) -> u64 {
    set.value().map_or(0, hash)
}

fn hash(value: &(impl std::hash::Hash + ?Sized)) -> u64 {
    let mut hasher = Xxh3Default::new();
    value.hash(&mut hasher);
    hasher.finish()
}
