//! Puts the cells of a worksheet together to rows.

use std::io::{self, Write};

use super::WorkbookError;
use super::limits::{CELLS_MAX, COLUMNS_MAX, ROWS_BYTES_MAX, ROWS_MAX, too_large};
use super::merged::{MergedCells, Range};
use super::row_file::RowWriter;
use super::stored::Stored;
use crate::input::RECORD_BYTES_MAX;

/// Writes the cells of a worksheet, which come in order, as rows.
pub(super) struct Rows<W> {
    writer: RowWriter<W>,
    merged: MergedCells,
    /// The row that is being put together, from 1; 0 before the first.
    row: u32,
    cells: Vec<CellText>,
    text: String,
    /// Cells so far, each counted once more with the empty ones before it in its row.
    count: u64,
    /// The texts of all rows so far.
    bytes: u64,
}

/// A cell, and where its text is.
struct CellText {
    column: u32,
    kind: Stored,
    start: usize,
    end: usize,
}

impl CellText {
    fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

impl<W: Write> Rows<W> {
    pub(super) fn new(out: W, merged: MergedCells) -> Result<Self, WorkbookError> {
        let writer = RowWriter::new(out).map_err(WorkbookError::Unpack)?;
        Ok(Self {
            writer,
            merged,
            row: 0,
            cells: Vec::new(),
            text: String::new(),
            count: 0,
            bytes: 0,
        })
    }

    /// Begins a cell: row from 1, column from 0. Its text is to be appended.
    ///
    /// # Errors
    /// The cell does not follow the one before, or there are too many.
    pub(super) fn begin(&mut self, row: u32, column: u32) -> Result<&mut String, WorkbookError> {
        if row != self.row {
            self.end_row()?;
        }
        if row > ROWS_MAX {
            return Err(too_large("has more than 1,048,576 rows in a worksheet"));
        }
        if u64::from(column) >= COLUMNS_MAX {
            return Err(too_large("has more than 16,384 columns in a worksheet"));
        }
        let last = self.cells.last().map(|cell| cell.column);
        if row < self.row || last.is_some_and(|last| column <= last) {
            return Err(WorkbookError::damaged("its cells are not in order"));
        }
        self.row = row;
        self.count(1)?;
        let start = self.text.len();
        self.cells.push(CellText { column, kind: Stored::Text, start, end: start });
        Ok(&mut self.text)
    }

    /// Ends the cell.
    pub(super) fn end(&mut self, kind: Stored) -> Result<(), WorkbookError> {
        if let Some(cell) = self.cells.last_mut() {
            (cell.kind, cell.end) = (kind, self.text.len());
        }
        if self.text.len() > RECORD_BYTES_MAX {
            return Err(too_large("has a row of more than 16 MiB"));
        }
        Ok(())
    }

    /// Adds a merged range that begins in the current row.
    pub(super) fn merge(&mut self, range: Range) {
        self.merged.push(range);
    }

    fn count(&mut self, cells: u32) -> Result<(), WorkbookError> {
        self.count += u64::from(cells);
        if self.count > CELLS_MAX {
            return Err(too_large("has more than 100,000,000 cells in a worksheet"));
        }
        Ok(())
    }

    /// Writes the row, if it has a value.
    fn end_row(&mut self) -> Result<(), WorkbookError> {
        let Self { writer, merged, row, cells, text, .. } = self;
        let is_filled = |column| cells.iter().any(|it| it.column == column && !it.is_empty());
        let mut covered = merged.covered(*row, is_filled)?;
        // What a covered cell holds is not visible.
        let is_covered = |cell: &CellText| covered.iter().any(|(it, _)| *it == cell.column);
        cells.retain(|cell| !cell.is_empty() && !is_covered(cell));
        if cells.is_empty() {
            covered.clear();
        }
        let last = cells.last().map(|cell| cell.column).max(covered.last().map(|(it, _)| *it));
        let mut covered = covered.into_iter().peekable();
        for cell in &*cells {
            while let Some((column, range)) = covered.next_if(|(column, _)| *column < cell.column) {
                writer.push(column as usize, Stored::Covered, &range.text());
            }
            let text = text.get(cell.start..cell.end).unwrap_or_default();
            writer.push(cell.column as usize, cell.kind, text);
        }
        for (column, range) in covered {
            writer.push(column as usize, Stored::Covered, &range.text());
        }
        writer.end_row(*row).map_err(WorkbookError::Unpack)?;
        self.bytes += text.len() as u64;
        cells.clear();
        text.clear();
        if self.bytes > ROWS_BYTES_MAX {
            return Err(too_large("has rows of more than 2 GiB"));
        }
        self.count(last.map_or(0, |last| last + 1))
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
