//! The fields that are set to a value, whatever the file has.

use std::collections::HashSet;
use std::mem::Discriminant;

use super::{Field, FieldSet, FileField, MetadataField, MetadataValue, Set};

/// Maximum number of details that are compared one by one; more are hashed.
const LINEAR_SEARCH_MAX: usize = 16;

/// Fields and the values that they are set to: custom coordinates, the description and custom
/// metadata. Each field at most once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Details(Vec<(Field, Set<MetadataValue>)>);

impl Details {
    /// Whether there are none.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields with their values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Field, &Set<MetadataValue>)> {
        self.0.iter().map(|(field, set)| (field, set))
    }

    /// Whether they set one field, to this value.
    #[must_use]
    pub(crate) fn sets_only(&self, value: &MetadataValue) -> bool {
        matches!(self.0.as_slice(), [(_, Set::Value(set))] if set == value)
    }

    /// The fields that are set to a text, with their texts.
    pub(crate) fn texts_mut(&mut self) -> impl Iterator<Item = (&Field, &mut String)> {
        self.0.iter_mut().filter_map(|(field, set)| match set {
            Set::Value(MetadataValue::String(text)) => Some((&*field, text)),
            _ => None,
        })
    }

    /// The text that they set a field to, if it is one.
    #[must_use]
    pub(crate) fn text(&self, field: &Field) -> Option<&str> {
        let (_, set) = self.0.iter().find(|(known, _)| known == field)?;
        set.value()?.as_str()
    }

    /// Whether they set a field other than custom metadata.
    #[must_use]
    pub(super) fn sets(&self, field: &Field) -> bool {
        self.0.iter().any(|(set, _)| set == field)
    }

    /// Keeps the fields for which `is_kept` is true.
    pub(crate) fn retain(&mut self, mut is_kept: impl FnMut(&Field, &Set<MetadataValue>) -> bool) {
        self.0.retain(|(field, set)| is_kept(field, set));
    }

    /// The number of fields.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The fields of custom metadata with their values.
    pub(crate) fn metadata(&self) -> impl Iterator<Item = (&MetadataField, &Set<MetadataValue>)> {
        self.metadata_after(0)
    }

    /// The fields of custom metadata after the first `count` fields.
    pub(super) fn metadata_after(
        &self,
        count: usize,
    ) -> impl Iterator<Item = (&MetadataField, &Set<MetadataValue>)> {
        self.0.get(count..).unwrap_or_default().iter().filter_map(|(field, set)| match field {
            Field::CustomMetadata(field) => Some((field, set)),
            _ => None,
        })
    }

    /// The fields of the file that they set.
    #[must_use]
    pub(crate) fn fields(&self) -> FieldSet {
        let fields = self.iter().filter_map(|(field, _)| field.file_field());
        fields.fold(FieldSet::default(), |all, field| all.union(field.into()))
    }

    /// Adds a field, which must not be among them.
    pub(super) fn push(&mut self, field: Field, set: Set<MetadataValue>) {
        self.0.push((field, set));
    }

    /// Brings them into the order of the fields of a file, so that rows which set the same are equal,
    /// however their columns are ordered. Custom metadata stays in input order.
    pub(super) fn sort(&mut self) {
        self.0.sort_by_key(|(field, _)| field.file_field().map(|field| field as usize));
    }

    /// Those of selected fields.
    #[must_use]
    pub(crate) fn only(&self, is_selected: impl Fn(FileField) -> bool) -> Self {
        let selected =
            self.0.iter().filter(|(field, _)| field.file_field().is_some_and(&is_selected));
        Self(selected.cloned().collect())
    }

    /// Adds later ones, which replace those of the same fields.
    pub(crate) fn extend(&mut self, later: &Self) {
        self.remove(later);
        self.0.extend_from_slice(&later.0);
        self.sort();
    }

    /// Removes those of the same fields as others.
    pub(crate) fn remove(&mut self, others: &Self) {
        let fields = others.search();
        self.0.retain(|(field, _)| !fields.contain(field));
    }

    /// Whether others set one of the same fields.
    #[must_use]
    pub(crate) fn overlap(&self, others: &Self) -> bool {
        let fields = others.search();
        self.0.iter().any(|(field, _)| fields.contain(field))
    }

    fn search(&self) -> Fields<'_> {
        if self.0.len() <= LINEAR_SEARCH_MAX {
            return Fields::Few(&self.0);
        }
        Fields::Many(self.0.iter().map(|(field, _)| field.key()).collect())
    }
}

/// Fields to search.
enum Fields<'d> {
    Few(&'d [(Field, Set<MetadataValue>)]),
    Many(HashSet<(Discriminant<Field>, &'d str)>),
}

impl Fields<'_> {
    fn contain(&self, field: &Field) -> bool {
        match self {
            Self::Few(fields) => fields.iter().any(|(other, _)| other.is_same(field)),
            Self::Many(keys) => keys.contains(&field.key()),
        }
    }
}

impl FromIterator<(Field, Set<MetadataValue>)> for Details {
    fn from_iter<T: IntoIterator<Item = (Field, Set<MetadataValue>)>>(details: T) -> Self {
        Self(details.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(names: &[&str], value: &str) -> Details {
        let field = |name: &&str| Field::fixed(name).unwrap_or_else(|| metadata(name));
        names.iter().map(|name| (field(name), Set::Value(value.into()))).collect()
    }

    fn metadata(name: &str) -> Field {
        Field::CustomMetadata(MetadataField { name: name.into(), rule: None })
    }

    fn shown(details: &Details) -> Vec<String> {
        let value = |set: &Set<MetadataValue>| set.value().cloned().unwrap_or_default();
        details.iter().map(|(field, set)| format!("{}={}", field.column(), value(set))).collect()
    }

    #[test]
    fn later_details_replace_those_of_the_same_fields() {
        let mut all = details(&["description", "m1", "x"], "old");
        all.extend(&details(&["description", "m1"], "new"));
        let expected =
            ["description=\"new\"", "customMetadata.x=\"old\"", "customMetadata.m1=\"new\""];
        assert_eq!(shown(&all), expected);
        let many: Vec<String> = (0..100).map(|number| format!("m{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        all.remove(&details(&many, "new"));
        assert_eq!(shown(&all), ["description=\"new\"", "customMetadata.x=\"old\""]);
    }

    #[test]
    fn metadata_named_like_a_field_is_another_field() {
        let description: Details = [(metadata("description"), Set::Clear)].into_iter().collect();
        let mut all = details(&["description"], "kept");
        assert!(!all.overlap(&description));
        all.remove(&description);
        assert_eq!(all.fields(), FileField::Description.into());
    }

    #[test]
    fn order_of_columns_makes_no_difference() {
        let names = ["x", "description", "customCoordinates"];
        let mut all = details(&names, "1,2,3,4");
        all.sort();
        let mut reversed = details(&[names[2], names[1], names[0]], "1,2,3,4");
        reversed.sort();
        assert_eq!(all, reversed);
        assert!(shown(&all)[0].starts_with("customCoordinates="));
    }
}
