//! Counts the nulls of fields in JSON, to tell a program that writes every key in every row from a
//! person who clears a field.

use foldhash::HashMap;
use serde_json::Value;

use crate::row::Field;

/// Maximum distinct fields that are counted.
const FIELDS_MAX: usize = 10_000;

/// A field that every row has and that is null in some: null may mean "no value" as well as "clear".
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
    /// Counts a row with JSON keys.
    pub(super) fn count_row(&mut self) {
        self.rows += 1;
    }

    /// Counts the value of a field in that row, whatever its key is called.
    pub(super) fn count(&mut self, field: &Field, value: &Value) {
        let is_clearable = matches!(
            field,
            Field::Tags | Field::CustomCoordinates | Field::Description | Field::CustomMetadata(_)
        );
        if !is_clearable {
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
            counts.nulls += u64::from(value.is_null());
        }
    }

    /// Notes that the rows come from an earlier run.
    pub(super) fn note_returned(&mut self) {
        self.is_returned = true;
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
