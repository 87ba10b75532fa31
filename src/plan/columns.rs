//! What a sheet changes, column by column, for a preview.

use std::collections::BTreeMap;

use crate::request::{Call, Patch};
use crate::row::{Set, TagChange};

/// How many values a sheet changes in one column.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ColumnCounts {
    /// Values that are set, or tags that are added to or removed from a file.
    pub set: u64,
    /// Values that are cleared.
    pub cleared: u64,
}

/// The changes of all columns, by the column's name.
#[derive(Debug, Default, Clone)]
pub struct Columns(BTreeMap<String, ColumnCounts>);

impl Columns {
    /// All columns that change, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, ColumnCounts)> {
        self.0.iter().map(|(name, counts)| (name.as_str(), *counts))
    }

    /// The number of columns that change.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether a column changes.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Adds the counts of others.
    pub(super) fn add_all(&mut self, others: &Self) {
        others.0.iter().for_each(|(name, counts)| self.add_counts(name, *counts));
    }

    /// Counts a request that carries what one row requests.
    pub(super) fn add_call(&mut self, call: &Call) {
        match call {
            Call::AddTags(_) => self.add("addTags", false),
            Call::RemoveTags(_) => self.add("removeTags", false),
            Call::RemoveAiTags(_) => self.add("removeAITags", false),
            Call::Publish(_) => self.add("isPublished", false),
            Call::Details(patch) => self.add_patch(patch),
            Call::ReadBack(_) => {}
        }
    }

    /// Counts the fields of a PATCH.
    pub(super) fn add_patch(&mut self, patch: &Patch) {
        let fields = [
            ("tags", patch.tags.as_ref().map(|set| *set == Set::Clear)),
            ("removeAITags", patch.remove_ai_tags.as_ref().map(|_| false)),
            ("extensions", patch.extensions.as_ref().map(|_| false)),
        ];
        for (name, clears) in fields {
            if let Some(clears) = clears {
                self.add(name, clears);
            }
        }
        for (field, set) in patch.details.iter() {
            self.add(&field.column(), *set == Set::Clear);
        }
    }

    /// Counts a change of tags by the column that requests it, whichever calls carry it.
    pub(super) fn add_tags(&mut self, change: &TagChange, removes: bool, adds: bool) {
        match change {
            TagChange::Replace(_) => self.add("tags", false),
            TagChange::Clear => self.add("tags", true),
            TagChange::Edit { .. } => {
                if removes {
                    self.add("removeTags", false);
                }
                if adds {
                    self.add("addTags", false);
                }
            }
        }
    }

    pub(super) fn add(&mut self, name: &str, clears: bool) {
        self.add_counts(name, ColumnCounts { set: u64::from(!clears), cleared: u64::from(clears) });
    }

    /// Adds counts to those of a column; its name is copied only the first time.
    fn add_counts(&mut self, name: &str, counts: ColumnCounts) {
        if let Some(sum) = self.0.get_mut(name) {
            sum.set += counts.set;
            sum.cleared += counts.cleared;
        } else {
            self.0.insert(name.to_owned(), counts);
        }
    }
}
