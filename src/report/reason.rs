//! Why a record is returned, and what is left of its cells.

use std::borrow::Cow;

use csv::ByteRecord;
use serde_json::Value;

use super::row::RowResult;
use crate::row::{
    METADATA, MetadataField, Rules, TagChange, Tags, as_slice_or_empty, escaped_strings,
};

/// The result of a record, and the changes to its cells.
pub(super) struct Reason<'r> {
    pub(super) row: &'r RowResult<'r>,
    /// Fingerprints of the completed steps, so that they are not repeated.
    pub(super) done: &'r str,
    /// Columns that a later row superseded; their cells are emptied.
    pub(super) superseded_columns: &'r [String],
    /// The remaining change of the tags, if later rows superseded a part of it.
    pub(super) remaining_tag_change: Option<&'r TagChange>,
    /// Indices of the columns whose cells are to be fixed, if the record is a row of a worksheet.
    pub(super) bad_columns: &'r [usize],
    /// How the cells of the input were read.
    pub(super) rules: &'r Rules,
}

impl Reason<'_> {
    /// The remaining value of a tag column; null for a column that clears the tags. `None` if the
    /// value stays as is.
    pub(super) fn remaining_tags(&self, column: &str) -> Option<Value> {
        let list = |tags: Option<&Tags>| escaped_strings(&Value::from(as_slice_or_empty(tags)));
        Some(match (column, self.remaining_tag_change?) {
            ("tags", TagChange::Replace(tags)) => list(Some(tags)),
            ("tags", TagChange::Clear) => Value::Null,
            ("addTags", TagChange::Edit { add, .. }) => list(add.as_ref()),
            ("removeTags", TagChange::Edit { remove, .. }) => list(remove.as_ref()),
            _ => return None,
        })
    }

    /// The remaining value of a tag column as a cell.
    fn remaining_tags_cell(&self, column: &str) -> Option<String> {
        Some(match self.remaining_tags(column)? {
            Value::Null => self.rules.clear_token.clone(),
            Value::Array(none) if none.is_empty() => String::new(),
            list => list.to_string(),
        })
    }
}

/// The cell of a column, without what later rows superseded.
pub(super) fn remaining_cell<'c>(
    cells: &'c ByteRecord,
    index: usize,
    column: &str,
    reason: &Reason<'_>,
) -> Cow<'c, [u8]> {
    let cell =
        cells.get(index).filter(|_| !reason.superseded_columns.iter().any(|it| it == column));
    let cell = cell.unwrap_or_default();
    if column == METADATA {
        return remaining_metadata(cell, reason).map_or(Cow::Borrowed(cell), Cow::Owned);
    }
    match reason.remaining_tags_cell(column).filter(|_| !cell.is_empty()) {
        Some(remaining_tags) => Cow::Owned(remaining_tags.into_bytes()),
        None => Cow::Borrowed(cell),
    }
}

/// The object in a cell `customMetadata` without superseded fields; `None` if it stays as is.
fn remaining_metadata(cell: &[u8], reason: &Reason<'_>) -> Option<Vec<u8>> {
    let is_superseded = |name: &str| {
        let column = MetadataField::column_of(name);
        reason.superseded_columns.contains(&column)
    };
    let mut object = serde_json::from_slice::<serde_json::Map<_, Value>>(cell).ok()?;
    let before = object.len();
    object.retain(|name, _| !is_superseded(name));
    match object.len() {
        0 => Some(Vec::new()),
        left if left < before => serde_json::to_vec(&object).ok(),
        _ => None,
    }
}
