//! What a sheet changes, column by column, for a preview.

use std::collections::BTreeMap;

use crate::request::{Call, Patch};
use crate::row::{Field, Set, TagChange};

/// How many values a sheet changes in one column.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ColumnCounts {
    /// Values that are set, or tags that are added to or removed from a file.
    pub set: u64,
    /// Values that are cleared.
    pub cleared: u64,
}

/// The changes of all columns.
#[derive(Debug, Default, Clone)]
pub struct ColumnChanges {
    /// Where each column is in `counts`, by its name.
    by_name: BTreeMap<String, usize>,
    counts: Vec<(Field, ColumnCounts)>,
    /// Index of the column that is probably next: rows change their columns in the same order.
    next: usize,
}

impl ColumnChanges {
    /// All columns that change, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, ColumnCounts)> {
        self.by_name.iter().filter_map(|(name, index)| {
            let (_, counts) = self.counts.get(*index)?;
            Some((name.as_str(), *counts))
        })
    }

    /// The number of columns that change.
    #[must_use]
    pub fn count(&self) -> usize {
        self.counts.len()
    }

    /// Whether a column changes.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Adds the counts of others.
    pub(super) fn add_all(&mut self, others: &Self) {
        others.counts.iter().for_each(|(field, counts)| self.add_counts(field, *counts));
    }

    /// Counts a request that carries what one row requests.
    pub(super) fn add_call(&mut self, call: &Call) {
        match call {
            Call::AddTags(_) => self.add(&Field::AddTags, false),
            Call::RemoveTags(_) => self.add(&Field::RemoveTags, false),
            Call::RemoveAiTags(_) => self.add(&Field::RemoveAiTags, false),
            Call::Publish(_) => self.add(&Field::IsPublished, false),
            Call::Details(patch) => self.add_patch(patch),
            Call::ReadBack(_) => {}
        }
    }

    /// Counts the fields of a PATCH.
    pub(super) fn add_patch(&mut self, patch: &Patch) {
        let fields = [
            (Field::Tags, patch.tags.as_ref().map(|set| *set == Set::Clear)),
            (Field::RemoveAiTags, patch.remove_ai_tags.as_ref().map(|_| false)),
            (Field::Extensions, patch.extensions.as_ref().map(|_| false)),
        ];
        for (field, clears) in fields {
            if let Some(clears) = clears {
                self.add(&field, clears);
            }
        }
        for (field, set) in patch.details.iter() {
            self.add(field, *set == Set::Clear);
        }
    }

    /// Counts a change of tags by the column that requests it, whichever calls carry it.
    pub(super) fn add_tags(&mut self, change: &TagChange, removes: bool, adds: bool) {
        match change {
            TagChange::Replace(_) => self.add(&Field::Tags, false),
            TagChange::Clear => self.add(&Field::Tags, true),
            TagChange::Edit { .. } => {
                if removes {
                    self.add(&Field::RemoveTags, false);
                }
                if adds {
                    self.add(&Field::AddTags, false);
                }
            }
        }
    }

    /// Counts a change of one field.
    pub(super) fn add(&mut self, field: &Field, clears: bool) {
        let counts = ColumnCounts { set: u64::from(!clears), cleared: u64::from(clears) };
        self.add_counts(field, counts);
    }

    fn add_counts(&mut self, field: &Field, counts: ColumnCounts) {
        let index = match self.counts.get(self.next) {
            Some((known, _)) if known.is_same(field) => self.next,
            _ => self.index_of(field),
        };
        if let Some((_, sum)) = self.counts.get_mut(index) {
            sum.set += counts.set;
            sum.cleared += counts.cleared;
        }
        self.next = if index + 1 < self.counts.len() { index + 1 } else { 0 };
    }

    /// The index of a column, which is added if it is new.
    fn index_of(&mut self, field: &Field) -> usize {
        let Self { by_name, counts, .. } = self;
        *by_name.entry(field.column().into_owned()).or_insert_with(|| {
            counts.push((field.clone(), ColumnCounts::default()));
            counts.len() - 1
        })
    }
}
