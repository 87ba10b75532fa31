//! Reads the rows of a worksheet with their positions, from the file that a workbook was converted to.

use std::fs::File;

use csv::ByteRecord;

use super::names::{NO_ROW, known_columns};
use super::structure::{Damage, Structure, is_blank, shown};
use super::workbook::{RowReader, Stored, WorksheetRow};
use super::{Input, InputError};
use crate::row::RowPos;

/// Maximum rows above the header that are searched for it.
const ROWS_ABOVE_HEADER_MAX: usize = 20;

/// A reader of the rows of a worksheet.
pub(super) struct WorksheetRecords {
    rows: RowReader,
    input: Input,
    header: ByteRecord,
    structure: Structure,
    current: WorksheetRow,
    /// The row after the current one; `None` at the end.
    next: Option<WorksheetRow>,
    /// A row whose memory is used again.
    spare: WorksheetRow,
    damage: Option<Damage>,
}

impl WorksheetRecords {
    /// Opens the file and reads the header; continues at `from`, if given.
    pub(super) fn open(input: &Input, from: Option<RowPos>) -> Result<Self, InputError> {
        let rows = File::open(&input.path).and_then(RowReader::new);
        let mut records = Self {
            rows: rows.map_err(|source| input.unreadable(source))?,
            input: input.clone(),
            header: ByteRecord::new(),
            structure: Structure::default(),
            current: WorksheetRow::default(),
            next: None,
            spare: WorksheetRow::default(),
            damage: None,
        };
        records.read_header()?;
        if let Some(pos) = from {
            records.rows.seek(pos.offset).map_err(|source| input.unreadable(source))?;
        }
        records.read_next()?;
        if let Some(first) = &records.next {
            records.structure.learn_shape(&first.cells);
        }
        Ok(records)
    }

    /// Takes the first row as the header, with a column for every cell below it.
    fn read_header(&mut self) -> Result<(), InputError> {
        self.read_next()?;
        let Some(first) = self.next.take() else { return Ok(()) };
        self.header = header_of(&first);
        for _ in self.header.len()..self.rows.width {
            self.header.push_field(b"");
        }
        self.structure = Structure::new(&self.header, &self.input.options);
        if !self.structure.names_no_file() {
            return Ok(());
        }
        let offset = first.offset;
        for _ in 0..ROWS_ABOVE_HEADER_MAX {
            self.read_next()?;
            let Some(row) = self.next.take() else { break };
            let cells = header_of(&row);
            let is_header = !Structure::new(&cells, &self.input.options).names_no_file();
            if is_header && known_columns(&cells, &self.input.options) > 1 {
                let (row, header_row) = (first.number, row.number);
                return Err(InputError::RowsAboveHeader {
                    row,
                    text: shown(&self.header),
                    header_row,
                });
            }
        }
        self.rows.seek(offset).map_err(|source| self.input.unreadable(source))?;
        self.read_next()?;
        self.next = None;
        Ok(())
    }

    /// The header, with an empty name for each column that has none.
    pub(super) fn header(&self) -> &ByteRecord {
        &self.header
    }

    /// The current row.
    pub(super) fn record(&self) -> &ByteRecord {
        &self.current.cells
    }

    /// What the cells of the current row hold.
    pub(super) fn kinds(&self) -> &[Stored] {
        &self.current.kinds
    }

    /// What a cell of the current row holds.
    pub(super) fn kind(&self, column: usize) -> Stored {
        self.current.kinds.get(column).copied().unwrap_or_default()
    }

    /// Why the current row is none.
    pub(super) fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// Reads the next row; `None` at the end.
    pub(super) fn advance(&mut self) -> Result<Option<RowPos>, InputError> {
        let Some(next) = self.next.take() else { return Ok(None) };
        self.spare = std::mem::replace(&mut self.current, next);
        self.read_next()?;
        let WorksheetRow { number, offset, .. } = self.current;
        let pos = RowPos { number, line: number, offset };
        self.damage = self.find_damage(pos)?;
        Ok(Some(pos))
    }

    fn read_next(&mut self) -> Result<(), InputError> {
        let mut row = std::mem::take(&mut self.spare);
        let read = self.rows.read(&mut row);
        let is_row = read.map_err(|source| self.input.unreadable(source))?;
        self.next = is_row.then_some(row);
        Ok(())
    }

    /// Why the current row is no row of the table. Cells cannot have moved as in damaged text.
    fn find_damage(&self, pos: RowPos) -> Result<Option<Damage>, InputError> {
        let (structure, cells) = (&self.structure, &self.current.cells);
        if !structure.is_usual_row(cells) {
            if is_blank(cells) {
                return Ok(None);
            }
            if let Some(damage) = structure.no_row(cells, pos)? {
                return Ok(Some(damage));
            }
        }
        if cells.iter().next_back() == Some(NO_ROW.as_bytes()) {
            return Ok(Some(Damage::Marked));
        }
        let is_footer = self.next.is_none()
            && structure.may_be_footer(cells)
            && structure.is_footer(cells, self.current.blank_rows > 0);
        Ok(is_footer.then_some(Damage::Footer))
    }
}

/// The cells of a row as names of columns: those that merged cells cover have none.
fn header_of(row: &WorksheetRow) -> ByteRecord {
    let cells = row.cells.iter().zip(&row.kinds);
    let name = |(cell, kind)| if kind == &Stored::Covered { &b""[..] } else { cell };
    cells.map(name).collect()
}
