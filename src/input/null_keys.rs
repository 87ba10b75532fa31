//! Counts the nulls and empty texts of fields in JSON, to tell a program that writes every key in every row
//! from a person who clears a field.

use foldhash::HashMap;
use serde_json::Value;

use crate::row::{Field, is_json_blank};

/// Maximum distinct fields that are counted.
const FIELDS_MAX: usize = 10_000;

/// A field that every row has and that is null or empty in some: that may mean "no value" as well as
/// "clear".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmbiguousNull {
    /// The column, such as `tags` or `customMetadata.brand`.
    pub column: String,
    /// The rows in which it is null or empty.
    pub nulls: u64,
    /// All rows.
    pub rows: u64,
}

/// Counts by column.
#[derive(Debug, Default)]
pub(super) struct NullKeys {
    rows: u64,
    columns: HashMap<String, Counts>,
    /// Whether the current row counts.
    counts_row: bool,
    /// Whether the rows come from an earlier run, which leaves only nulls that clear.
    is_returned: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    present: u64,
    nulls: u64,
}

impl NullKeys {
    /// Begins a row with JSON keys. One that names no file says nothing about what a program writes.
    pub(super) fn begin_row(&mut self, names_file: bool) {
        self.rows += u64::from(names_file);
        self.counts_row = names_file;
    }

    /// Counts the value of a field in that row, whatever its key is called.
    pub(super) fn count(&mut self, field: &Field, value: &Value) {
        let is_clearable = matches!(
            field,
            Field::Tags | Field::CustomCoordinates | Field::Description | Field::CustomMetadata(_)
        );
        if !is_clearable || !self.counts_row {
            return;
        }
        let column = field.column();
        if !self.columns.contains_key(&*column) {
            if self.columns.len() == FIELDS_MAX {
                return;
            }
            self.columns.insert(column.clone().into_owned(), Counts::default());
        }
        if let Some(counts) = self.columns.get_mut(&*column) {
            counts.present += 1;
            counts.nulls += u64::from(is_json_blank(value));
        }
    }

    /// Notes that the rows come from an earlier run.
    pub(super) fn note_returned(&mut self) {
        self.is_returned = true;
    }

    pub(super) fn is_returned(&self) -> bool {
        self.is_returned
    }

    /// The rows that count.
    pub(super) fn rows(&self) -> u64 {
        self.rows
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
