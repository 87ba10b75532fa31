//! Puts the cells of a worksheet together to rows.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::WorkbookError;
use super::limits::{CELLS_MAX, COLUMNS_MAX, ROWS_BYTES_MAX, ROWS_MAX, too_large};
use super::merged::{MergedCells, Range};
use super::row_file::{RowWriter, WorksheetRow};
use super::stored::Stored;
use crate::input::RECORD_BYTES_MAX;

/// Writes the cells of a worksheet, which come in order, as rows.
pub(super) struct Rows<W> {
    writer: RowWriter<W>,
    merged: MergedCells,
    /// The row that is being put together, from 1; 0 before the first.
    row: u32,
    /// Cells so far, each counted once more with the empty ones before it in its row.
    count: u64,
    /// The texts of all cells so far.
    bytes: u64,
}

impl<W: Write> Rows<W> {
    pub(super) fn new(out: W, merged: MergedCells) -> Result<Self, WorkbookError> {
        let writer = RowWriter::new(out).map_err(WorkbookError::Unpack)?;
        Ok(Self { writer, merged, row: 0, count: 0, bytes: 0 })
    }

    /// Adds a cell: row from 1, column from 0.
    ///
    /// # Errors
    /// The cell does not follow the one before, or there are too many.
    pub(super) fn push(
        &mut self,
        (row, column): (u32, u32),
        kind: Stored,
        text: &str,
    ) -> Result<(), WorkbookError> {
        if row != self.row {
            self.end_row()?;
        }
        if row > ROWS_MAX {
            return Err(too_large("has more than 1,048,576 rows in a worksheet"));
        }
        if u64::from(column) >= COLUMNS_MAX {
            return Err(too_large("has more than 16,384 columns in a worksheet"));
        }
        let column = column as usize;
        if row < self.row || column < self.writer.columns() {
            return Err(WorkbookError::damaged("its cells are not in order"));
        }
        self.row = row;
        self.count += 1;
        self.bytes += text.len() as u64;
        self.writer.push(column, kind, text.as_bytes());
        if self.writer.row_bytes() > RECORD_BYTES_MAX {
            return Err(too_large("has a row of more than 16 MiB"));
        }
        Ok(())
    }

    /// Adds a merged range that begins in the current row.
    pub(super) fn merge(&mut self, range: Range) {
        self.merged.push(range);
    }

    /// Writes the row, if it has a value.
    fn end_row(&mut self) -> Result<(), WorkbookError> {
        if self.merged.reach(self.row) {
            self.cover_cells()?;
        }
        let columns = self.writer.end_row(self.row).map_err(WorkbookError::Unpack)?;
        self.count += columns as u64;
        if self.count > CELLS_MAX {
            return Err(too_large("has more than 100,000,000 cells in a worksheet"));
        }
        if self.bytes > ROWS_BYTES_MAX {
            return Err(too_large("has rows of more than 2 GiB"));
        }
        Ok(())
    }

    /// Puts the row together again, with the ranges that cover cells: what a covered cell holds is not
    /// visible.
    fn cover_cells(&mut self) -> Result<(), WorkbookError> {
        let mut row = WorksheetRow::default();
        self.writer.take_row(&mut row).map_err(WorkbookError::Unpack)?;
        let is_filled =
            |column: u32| row.cells.get(column as usize).is_some_and(|text| !text.is_empty());
        let covered = self.merged.covered(self.row, is_filled)?;
        let mut covered: BTreeMap<usize, Range> =
            covered.into_iter().map(|(column, range)| (column as usize, range)).collect();
        let cells = || row.cells.iter().zip(&row.kinds).enumerate();
        if !cells().any(|(column, (text, _))| !text.is_empty() && !covered.contains_key(&column)) {
            return Ok(());
        }
        for (column, (text, kind)) in cells() {
            match covered.remove(&column) {
                Some(range) => self.push_covered(column, &range),
                None => self.writer.push(column, *kind, text),
            }
        }
        for (column, range) in &covered {
            self.push_covered(*column, range);
        }
        Ok(())
    }

    fn push_covered(&mut self, column: usize, range: &Range) {
        self.writer.push(column, Stored::Covered, range.text().as_bytes());
    }
}

impl<W: Write + io::Seek> Rows<W> {
    /// Ends the last row, and returns the file; `None` if there are no rows.
    pub(super) fn finish(mut self) -> Result<Option<W>, WorkbookError> {
        self.end_row()?;
        let has_rows = self.writer.has_rows();
        let file = self.writer.finish().map_err(WorkbookError::Unpack)?;
        Ok(has_rows.then_some(file))
    }
}
