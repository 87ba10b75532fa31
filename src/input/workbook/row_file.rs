//! The rows of a worksheet as a file that can be read as a stream and from any row: what a run reads
//! in place of the workbook.
//!
//! After [`MAGIC`] and the number of columns follow the rows. A row is its length in bytes, its number
//! in the worksheet, the number of blank rows before it, and its cells up to the last one with content.
//! A cell is its length and kind in one number of variable size, and its text.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom, Write};

use csv::ByteRecord;

use super::stored::Stored;
use crate::input::RECORD_BYTES_MAX;

const MAGIC: &[u8; 8] = b"ikrows1\n";
const BUFFER_BYTES: usize = 64 << 10;
/// Length, number and blank rows, each in four bytes.
const ROW_HEAD_BYTES: usize = 12;

/// Where the rows begin.
const FIRST_ROW_OFFSET: u64 = 12;

/// Writes rows.
pub(super) struct RowWriter<W> {
    out: W,
    /// The encoded cells of the row so far, and their number.
    cells: Vec<u8>,
    columns: usize,
    /// The length of `cells`, and the number of cells, up to the last one with content.
    filled: usize,
    filled_columns: usize,
    width: usize,
    last_number: u32,
    has_rows: bool,
}

impl<W: Write> RowWriter<W> {
    pub(super) fn new(mut out: W) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        // The number of columns is written at the end.
        out.write_all(&[0; 4])?;
        Ok(Self {
            out,
            cells: Vec::new(),
            columns: 0,
            filled: 0,
            filled_columns: 0,
            width: 0,
            last_number: 0,
            has_rows: false,
        })
    }

    /// Whether a row was written.
    pub(super) fn has_rows(&self) -> bool {
        self.has_rows
    }

    /// The number of cells of the row so far.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// The size of the encoded row so far, in bytes.
    pub(super) fn row_bytes(&self) -> usize {
        self.cells.len()
    }

    /// Adds a cell to the row; the cells between the last one and `column` are empty.
    pub(super) fn push(&mut self, column: usize, kind: Stored, text: &[u8]) {
        if column > self.columns {
            self.cells.resize(self.cells.len() + column - self.columns, 0);
        }
        self.columns = column + 1;
        put_number(&mut self.cells, text.len() as u64 * Stored::ROOM + kind as u64);
        self.cells.extend_from_slice(text);
        if !text.is_empty() {
            (self.filled, self.filled_columns) = (self.cells.len(), self.columns);
        }
    }

    /// Takes the cells of the row so far, up to the last one with content, so that it begins again.
    pub(super) fn take_row(&mut self, row: &mut WorksheetRow) -> io::Result<()> {
        row.set_cells(self.cells.get(..self.filled).unwrap_or_default())?;
        self.begin_row();
        Ok(())
    }

    /// Ends the row with this number, from 1. A row without content is left out. Returns the number of
    /// its cells up to the last one with content.
    pub(super) fn end_row(&mut self, number: u32) -> io::Result<usize> {
        let columns = self.filled_columns;
        if columns > 0 {
            let blank = number.saturating_sub(self.last_number + 1);
            let length = u32::try_from(self.filled).unwrap_or(u32::MAX);
            for part in [length, number, blank] {
                self.out.write_all(&part.to_le_bytes())?;
            }
            self.out.write_all(self.cells.get(..self.filled).unwrap_or_default())?;
            self.last_number = number;
            self.has_rows = true;
            self.width = self.width.max(columns);
        }
        self.begin_row();
        Ok(columns)
    }

    fn begin_row(&mut self) {
        self.cells.clear();
        (self.columns, self.filled, self.filled_columns) = (0, 0, 0);
    }
}

impl<W: Write + io::Seek> RowWriter<W> {
    /// Writes the number of columns, and returns the file.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.out.seek(SeekFrom::Start(MAGIC.len() as u64))?;
        self.out.write_all(&u32::try_from(self.width).unwrap_or(u32::MAX).to_le_bytes())?;
        self.out.seek(SeekFrom::End(0))?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// One row.
#[derive(Debug, Default, Clone)]
pub(in crate::input) struct WorksheetRow {
    /// Number in the worksheet, from 1.
    pub(in crate::input) number: u64,
    /// Blank rows before it.
    pub(in crate::input) blank_rows: u64,
    pub(in crate::input) offset: u64,
    pub(in crate::input) cells: ByteRecord,
    pub(in crate::input) kinds: Vec<Stored>,
}

/// Reads rows.
pub(in crate::input) struct RowReader {
    file: BufReader<File>,
    offset: u64,
    bytes: Vec<u8>,
    /// The number of columns of the worksheet.
    pub(in crate::input) width: usize,
}

impl RowReader {
    pub(in crate::input) fn new(file: File) -> io::Result<Self> {
        let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
        let mut head = [0; 12];
        file.read_exact(&mut head)?;
        let [magic @ .., a, b, c, d] = &head;
        if magic != MAGIC {
            return Err(damaged());
        }
        let width = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        Ok(Self { file, offset: FIRST_ROW_OFFSET, bytes: Vec::new(), width })
    }

    /// Continues at the row with this offset.
    pub(in crate::input) fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        self.offset = offset;
        Ok(())
    }

    /// Reads the next row; `false` at the end.
    pub(in crate::input) fn read(&mut self, row: &mut WorksheetRow) -> io::Result<bool> {
        let mut head = [0; ROW_HEAD_BYTES];
        match self.file.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        let part = |at: usize| {
            let bytes = head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u32::from_le_bytes)
        };
        let length = part(0) as usize;
        if length > 2 * RECORD_BYTES_MAX {
            return Err(damaged());
        }
        (row.number, row.blank_rows, row.offset) = (part(4).into(), part(8).into(), self.offset);
        self.offset += (ROW_HEAD_BYTES + length) as u64;
        if let Some(cells) = self.file.buffer().get(..length) {
            row.set_cells(cells)?;
            self.file.consume(length);
        } else {
            self.bytes.resize(length, 0);
            self.file.read_exact(&mut self.bytes)?;
            row.set_cells(&self.bytes)?;
        }
        Ok(true)
    }
}

impl WorksheetRow {
    fn set_cells(&mut self, mut rest: &[u8]) -> io::Result<()> {
        self.cells.clear();
        self.kinds.clear();
        while !rest.is_empty() {
            let number = take_number(&mut rest)?;
            let length = usize::try_from(number / Stored::ROOM).map_err(|_| damaged())?;
            let (text, after) = rest.split_at_checked(length).ok_or_else(damaged)?;
            self.cells.push_field(text);
            self.kinds.push(Stored::of(number % Stored::ROOM).ok_or_else(damaged)?);
            rest = after;
        }
        Ok(())
    }
}

/// Appends a number, seven bits a byte, the lowest first.
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7F).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or_default());
}

fn take_number(bytes: &mut &[u8]) -> io::Result<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or_else(damaged)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(damaged())
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the run's copy of the worksheet is damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_rows_are_read_from_the_beginning_and_from_each_row() {
        let mut writer = RowWriter::new(tempfile::tempfile().unwrap()).unwrap();
        let long = "x".repeat(300);
        writer.push(0, Stored::Text, b"fileId");
        writer.push(2, Stored::Text, long.as_bytes());
        writer.end_row(1).unwrap();
        writer.end_row(2).unwrap();
        writer.push(1, Stored::Number, b"5");
        writer.push(3, Stored::Text, b"");
        writer.end_row(4).unwrap();
        let mut file = writer.finish().unwrap();
        file.rewind().unwrap();
        let mut reader = RowReader::new(file).unwrap();
        assert_eq!(reader.width, 3);
        let mut row = WorksheetRow::default();
        assert!(reader.read(&mut row).unwrap());
        assert_eq!(row.cells, ByteRecord::from(vec!["fileId", "", &long]));
        assert!(reader.read(&mut row).unwrap());
        assert_eq!((row.number, row.blank_rows), (4, 2));
        assert_eq!(row.cells, ByteRecord::from(vec!["", "5"]));
        assert_eq!(row.kinds, [Stored::Text, Stored::Number]);
        let offset = row.offset;
        assert!(!reader.read(&mut row).unwrap());
        reader.seek(offset).unwrap();
        assert!(reader.read(&mut row).unwrap());
        assert_eq!(row.number, 4);
    }
}
