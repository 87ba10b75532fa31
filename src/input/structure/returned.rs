//! Records that an earlier run returned, and in which a person has repaired a split cell: what the run added
//! is no longer in its columns.

use std::iter;

use csv::ByteRecord;

use super::damage::{is_of_too_many_cells, is_of_unnamed_column};
use super::{Structure, is_status};

impl Structure {
    /// The record with what an earlier run added in its columns; `None` if it is there, or if the run has
    /// not found a split cell.
    pub(in crate::input) fn realigned(&self, cells: &ByteRecord) -> Option<ByteRecord> {
        let column = self.status.filter(|column| *column == self.own_from)?;
        Self::without_gap(cells, column).or_else(|| self.with_unnamed(cells, column))
    }

    /// The record without the empty cells that are left before the status, of a row with too many cells.
    fn without_gap(cells: &ByteRecord, column: usize) -> Option<ByteRecord> {
        let is_filled = |cell: &[u8]| !cell.trim_ascii().is_empty();
        let gap = cells.iter().skip(column).position(is_filled).filter(|gap| *gap > 0)?;
        let mut own = cells.iter().skip(column + gap);
        if !own.next().is_some_and(is_status) || !own.take(2).any(is_of_too_many_cells) {
            return None;
        }
        Some(cells.iter().take(column).chain(cells.iter().skip(column + gap)).collect())
    }

    /// The record with empty cells in the columns without a name, into which the status has moved.
    fn with_unnamed(&self, cells: &ByteRecord, column: usize) -> Option<ByteRecord> {
        let has_status = |at: &usize| cells.get(*at).is_some_and(is_status);
        let at = self.unnamed.clone().find(has_status)?;
        if !cells.iter().skip(at).take(3).any(is_of_unnamed_column) {
            return None;
        }
        let moved = iter::repeat_n(&b""[..], column - at).chain(cells.iter().skip(at));
        Some(cells.iter().take(at).chain(moved).collect())
    }
}
