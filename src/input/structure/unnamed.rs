//! Cells in the columns at the end of the header that have no name: notes, or the rest of a cell that a
//! delimiter without quotes has split.

use csv::ByteRecord;

use super::Structure;
use super::damage::is_of_unnamed_column;

/// Maximum digits after a decimal comma for which a cell is the rest of a number.
const DECIMALS_MAX: usize = 2;

impl Structure {
    /// The number of cells directly after those of the last column with a name. The rest of a split cell
    /// leaves no gap; notes behind an empty column are none of it.
    pub(in crate::input) fn cells_beyond_names(&self, cells: &ByteRecord) -> usize {
        let is_filled =
            |column: &usize| cells.get(*column).is_some_and(|cell| !cell.trim_ascii().is_empty());
        self.unnamed.clone().take_while(is_filled).count()
    }

    /// Whether the first cell without a name is by itself the rest of a cell: it begins with a blank, as
    /// after the comma of a text, or has the decimals of a number.
    pub(in crate::input) fn is_rest_beyond_names(&self, cells: &ByteRecord) -> bool {
        let first = cells.get(self.unnamed.start).unwrap_or_default();
        let last = self.unnamed.start.checked_sub(1).and_then(|column| cells.get(column));
        let is_number = |cell: &[u8]| !cell.is_empty() && cell.iter().all(u8::is_ascii_digit);
        let is_whole = |cell: &[u8]| is_number(cell.strip_prefix(b"-").unwrap_or(cell));
        first.starts_with(b" ")
            || first.len() <= DECIMALS_MAX && is_number(first) && last.is_some_and(is_whole)
    }

    /// Whether an earlier run has found a cell of the record in a column without a name; `None` if no run
    /// has returned the sheet. Most of the rows that a run returns may have such a cell.
    pub(in crate::input) fn was_found_beyond_names(&self, cells: &ByteRecord) -> Option<bool> {
        let status = self.status?;
        Some(cells.iter().skip(status).any(is_of_unnamed_column))
    }
}
