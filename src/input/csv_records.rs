//! CSV records with their places, and whether the last one is whole.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use csv::ByteRecord;

use super::guard::{Guard, SinceRecord};
use super::{Input, InputError};
use crate::row::RowPos;

const BUFFER_BYTES: usize = 64 << 10;
/// The header is row 1, as spreadsheet programs show it.
const FIRST_ROW: u64 = 2;

/// Reads the records of a CSV file.
pub(super) struct CsvRecords {
    reader: csv::Reader<Guard<File>>,
    since: SinceRecord,
    input: Input,
    header: ByteRecord,
    record: ByteRecord,
    next_row: u64,
    /// The record last given out, and whether it had fewer cells than the header.
    last: Option<(RowPos, bool)>,
}

impl CsvRecords {
    /// Opens the file and reads its header; `from` is where to go on.
    pub(super) fn open(input: &Input, from: Option<RowPos>) -> Result<Self, InputError> {
        let file = File::open(&input.path).map_err(|source| input.unreadable(source))?;
        let (guard, since) = Guard::new(file);
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(guard);
        let mut records = Self {
            reader,
            since,
            input: input.clone(),
            header: ByteRecord::new(),
            record: ByteRecord::new(),
            next_row: FIRST_ROW - 1,
            last: None,
        };
        records.advance()?;
        records.header = std::mem::take(&mut records.record);
        records.last = None;
        if let Some(pos) = from {
            records.seek(pos)?;
        }
        Ok(records)
    }

    pub(super) fn header(&self) -> &ByteRecord {
        &self.header
    }

    /// The record last read.
    pub(super) fn record(&self) -> &ByteRecord {
        &self.record
    }

    /// Reads the next record; `None` at the end, if the end is whole.
    pub(super) fn advance(&mut self) -> Result<Option<RowPos>, InputError> {
        let pos = RowPos { number: self.next_row, offset: self.reader.position().byte() };
        self.since.record_read();
        let read = self.reader.read_byte_record(&mut self.record);
        if !read.map_err(|error| self.failed(pos, error))? {
            return self.check_end().map(|()| None);
        }
        // Blank lines between records are skipped before the record's own position is known.
        let offset = self.record.position().map_or(pos.offset, csv::Position::byte);
        let pos = RowPos { offset, ..pos };
        self.next_row += 1;
        self.last = Some((pos, self.record.len() < self.header.len()));
        Ok(Some(pos))
    }

    fn seek(&mut self, to: RowPos) -> Result<(), InputError> {
        let mut position = csv::Position::new();
        position.set_byte(to.offset);
        self.reader.seek(position).map_err(|error| self.failed(to, error))?;
        self.next_row = to.number;
        Ok(())
    }

    fn failed(&self, pos: RowPos, error: csv::Error) -> InputError {
        let RowPos { number: row, offset } = pos;
        match error.into_kind() {
            _ if self.since.is_over() => InputError::TooLong { row, offset },
            csv::ErrorKind::Io(source) => self.input.unreadable(source),
            other => self.input.unreadable(std::io::Error::other(format!("{other:?}"))),
        }
    }

    /// The csv crate takes the end of the file for the end of the record, whatever is open. A
    /// file that was cut off while it was written ends just so.
    fn check_end(&self) -> Result<(), InputError> {
        let Some((RowPos { number: row, offset }, short)) = self.last else {
            return Ok(());
        };
        if self.ends_inside_quotes(offset).map_err(|source| self.input.unreadable(source))? {
            return Err(InputError::DamagedEnd { row, offset, why: "a quote is never closed" });
        }
        if short {
            let why = "it has fewer cells than the header";
            return Err(InputError::DamagedEnd { row, offset, why });
        }
        Ok(())
    }

    fn ends_inside_quotes(&self, offset: u64) -> std::io::Result<bool> {
        let mut file = File::open(&self.input.path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut raw = Vec::new();
        file.take(super::RECORD_BYTES_MAX * 2).read_to_end(&mut raw)?;
        Ok(is_open(&raw))
    }
}

/// Whether a record, read the way the csv crate reads it, ends within quotes.
fn is_open(raw: &[u8]) -> bool {
    #[derive(Clone, Copy, PartialEq)]
    enum At {
        FieldStart,
        Plain,
        Quoted,
        QuoteInQuoted,
    }
    let mut at = At::FieldStart;
    for byte in raw {
        at = match (at, byte) {
            (At::Quoted, b'"') => At::QuoteInQuoted,
            (At::Quoted, _) | (At::FieldStart | At::QuoteInQuoted, b'"') => At::Quoted,
            (_, b',' | b'\n' | b'\r') => At::FieldStart,
            (At::FieldStart | At::Plain | At::QuoteInQuoted, _) => At::Plain,
        };
    }
    at == At::Quoted
}

#[cfg(test)]
mod tests {
    use super::is_open;

    #[test]
    fn an_open_quote_is_told_from_a_closed_one_and_from_a_literal_one() {
        for open in [r#"a,"b"#, "\"a\nb", r#"a,"b "" c"#, r#"""#] {
            assert!(is_open(open.as_bytes()), "{open}");
        }
        for closed in [r#"a,"b""#, "\"a\nb\"\n", r#"a,"b "" c""#, r#"5" nails,b"#, r#""""#, "a,b\n"]
        {
            assert!(!is_open(closed.as_bytes()), "{closed}");
        }
    }
}
