//! Counts the nulls of JSON keys, to tell a program that writes every key in every row from a
//! person who clears a field.

use foldhash::HashMap;
use serde_json::Value;

use super::jsonl::Object;
use crate::row::{METADATA, MetadataField};

/// Maximum distinct keys that are counted.
const KEYS_MAX: usize = 10_000;
/// Fields that null clears, besides custom metadata.
const CLEARABLE: [&str; 3] = ["tags", "customCoordinates", "description"];

/// A key that every row has and that is null in some: null may mean "no value" as well as "clear".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmbiguousNull {
    /// The column, such as `tags` or `customMetadata.brand`.
    pub column: String,
    /// The rows in which it is null.
    pub nulls: u64,
    /// All rows.
    pub rows: u64,
}

/// Counts by column.
#[derive(Debug, Default)]
pub(super) struct NullKeys {
    rows: u64,
    columns: HashMap<String, Counts>,
    /// Whether the rows come from an earlier run, which leaves only nulls that clear.
    is_returned: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    present: u64,
    nulls: u64,
}

impl NullKeys {
    /// Counts the keys of one row.
    pub(super) fn count(&mut self, Object(pairs): &Object) {
        self.rows += 1;
        for (key, value) in pairs {
            match (key.as_str(), value) {
                ("ikbulk", _) => self.note_returned(),
                (METADATA, Value::Object(nested)) => {
                    nested.iter().for_each(|(name, value)| self.count_metadata(name, value));
                }
                (key, value)
                    if CLEARABLE.contains(&key) || MetadataField::name_in_column(key).is_some() =>
                {
                    self.count_key(key, value);
                }
                _ => {}
            }
        }
    }

    /// Counts the keys of the object of custom metadata in the cell of one row.
    pub(super) fn count_cell(&mut self, Object(pairs): &Object) {
        self.rows += 1;
        pairs.iter().for_each(|(name, value)| self.count_metadata(name, value));
    }

    /// Notes that the rows come from an earlier run.
    pub(super) fn note_returned(&mut self) {
        self.is_returned = true;
    }

    fn count_metadata(&mut self, name: &str, value: &Value) {
        self.count_key(&MetadataField::column_of(name), value);
    }

    fn count_key(&mut self, column: &str, value: &Value) {
        if !self.columns.contains_key(column) {
            if self.columns.len() == KEYS_MAX {
                return;
            }
            self.columns.insert(column.to_owned(), Counts::default());
        }
        if let Some(counts) = self.columns.get_mut(column) {
            counts.present += 1;
            counts.nulls += u64::from(value.is_null());
        }
    }

    /// The ambiguous columns, sorted by name.
    pub(super) fn ambiguous(&self) -> Vec<AmbiguousNull> {
        let rows = self.rows;
        let is_ambiguous = |counts: &Counts| {
            !self.is_returned && counts.present == rows && (1..rows).contains(&counts.nulls)
        };
        let ambiguous = self.columns.iter().filter(|(_, counts)| is_ambiguous(counts));
        let mut ambiguous: Vec<AmbiguousNull> = ambiguous
            .map(|(column, counts)| AmbiguousNull {
                column: column.clone(),
                nulls: counts.nulls,
                rows,
            })
            .collect();
        ambiguous.sort_unstable_by(|one, other| one.column.cmp(&other.column));
        ambiguous
    }
}
