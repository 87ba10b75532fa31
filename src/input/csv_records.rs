//! Reads CSV records with their positions, and detects truncated input.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use csv::ByteRecord;
use memchr::{memchr, memchr2};

use super::record_limit::{RecordLimit, SinceRecord};
use super::{Input, InputError};
use crate::row::RowPos;

const BUFFER_BYTES: usize = 64 << 10;
/// The header is row 1, as spreadsheet programs show it.
const FIRST_ROW: u64 = 2;

/// A reader of CSV records.
pub(super) struct CsvRecords {
    reader: csv::Reader<RecordLimit<File>>,
    since: SinceRecord,
    input: Input,
    header: ByteRecord,
    record: ByteRecord,
    next_row: u64,
    /// Position of the last record, and whether it has fewer cells than the header.
    last: Option<(RowPos, bool)>,
}

impl CsvRecords {
    /// Opens the file and reads its header; continues at `from`, if given.
    pub(super) fn open(input: &Input, from: Option<RowPos>) -> Result<Self, InputError> {
        let (record_limit, since) = RecordLimit::new(input.open_file()?);
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(record_limit);
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
        records.check_end()?;
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

    /// The current record.
    pub(super) fn record(&self) -> &ByteRecord {
        &self.record
    }

    /// Reads the next record; `None` at the end. Truncated input is an error.
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
        self.check_quotes(pos)?;
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
            _ if self.since.is_exceeded() => {
                InputError::TooLong { row, offset, why: "a quote is not closed" }
            }
            csv::ErrorKind::Io(source) => self.input.unreadable(source),
            other => self.input.unreadable(std::io::Error::other(format!("{other:?}"))),
        }
    }

    /// Detects an unclosed quote. The csv crate accepts a quote that closes in the middle of a
    /// cell, so an unclosed quote merges all rows up to the next quote into one cell, which then
    /// contains line breaks and a quote.
    fn check_quotes(&self, pos: RowPos) -> Result<(), InputError> {
        let RowPos { number: row, offset } = pos;
        let cells = self.record.as_slice();
        let may_contain_rows =
            memchr(b'"', cells).is_some() && memchr2(b'\n', b'\r', cells).is_some();
        if may_contain_rows && self.quotes(offset)? == Quotes::Misplaced {
            return Err(InputError::UnclosedQuote { row, offset });
        }
        Ok(())
    }

    /// Detects a truncated file. The csv crate accepts the end of the file as the end of the
    /// record, even inside of quotes.
    fn check_end(&self) -> Result<(), InputError> {
        let Some((RowPos { number: row, offset }, short)) = self.last else {
            return Ok(());
        };
        if self.quotes(offset)? == Quotes::Open {
            return Err(InputError::DamagedEnd { row, offset, why: "a quote is not closed" });
        }
        if short {
            let why = "it has fewer cells than the header";
            return Err(InputError::DamagedEnd { row, offset, why });
        }
        Ok(())
    }

    /// Checks the quotes of the current record in the raw file.
    fn quotes(&self, offset: u64) -> Result<Quotes, InputError> {
        let read = || {
            let mut file = File::open(&self.input.path)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut raw = Vec::new();
            let length = self.reader.position().byte() - offset;
            file.take(length.min(super::RECORD_BYTES_MAX * 2)).read_to_end(&mut raw)?;
            Ok(raw)
        };
        let raw = read().map_err(|source| self.input.unreadable(source))?;
        Ok(Quotes::parse(raw.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&raw)))
    }
}

/// The quoting of a raw record, parsed as the csv crate does.
#[derive(Debug, PartialEq)]
enum Quotes {
    /// Every opening quote has a closing quote at the end of its cell.
    Balanced,
    /// The last quote is not closed.
    Open,
    /// A quote closes before the end of its cell.
    Misplaced,
}

impl Quotes {
    fn parse(raw: &[u8]) -> Self {
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            CellStart,
            Plain,
            Quoted,
            QuoteInQuoted,
        }
        let mut state = State::CellStart;
        let mut misplaced = false;
        for byte in raw {
            state = match (state, byte) {
                (State::Quoted, b'"') => State::QuoteInQuoted,
                (State::Quoted, _) | (State::CellStart | State::QuoteInQuoted, b'"') => {
                    State::Quoted
                }
                (_, b',' | b'\n' | b'\r') => State::CellStart,
                (State::CellStart | State::Plain, _) => State::Plain,
                (State::QuoteInQuoted, _) => {
                    misplaced = true;
                    State::Plain
                }
            };
        }
        match state {
            State::Quoted => Self::Open,
            _ if misplaced => Self::Misplaced,
            _ => Self::Balanced,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Quotes;

    #[test]
    fn open_quote_differs_from_closed_and_literal_quotes() {
        for open in [r#"a,"b"#, "\"a\nb", r#"a,"b "" c"#, r#"""#] {
            assert_eq!(Quotes::parse(open.as_bytes()), Quotes::Open, "{open}");
        }
        for balanced in
            [r#"a,"b""#, "\"a\nb\"\n", r#"a,"b "" c""#, r#"5" nails,b"#, r#""""#, "a,b\n"]
        {
            assert_eq!(Quotes::parse(balanced.as_bytes()), Quotes::Balanced, "{balanced}");
        }
    }

    #[test]
    fn quote_closing_inside_a_cell_is_misplaced() {
        for misplaced in [r#"a,"b"c,d"#, "a,\"x\nb,\"y\"\n", r#"a,"b" ,c"#] {
            assert_eq!(Quotes::parse(misplaced.as_bytes()), Quotes::Misplaced, "{misplaced}");
        }
    }
}
