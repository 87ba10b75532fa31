//! CSV records with their places, and whether the last one is whole.

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

/// Reads the records of a CSV file.
pub(super) struct CsvRecords {
    reader: csv::Reader<RecordLimit<File>>,
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
            _ if self.since.is_over() => {
                InputError::TooLong { row, offset, why: "a quote in it is never closed" }
            }
            csv::ErrorKind::Io(source) => self.input.unreadable(source),
            other => self.input.unreadable(std::io::Error::other(format!("{other:?}"))),
        }
    }

    /// The csv crate goes on with a cell whose quote closes in its middle. If nobody closed that
    /// quote before, the cell holds all the rows up to the next one: line ends, and a quote.
    fn check_quotes(&self, pos: RowPos) -> Result<(), InputError> {
        let RowPos { number: row, offset } = pos;
        let cells = self.record.as_slice();
        let may_have_swallowed =
            memchr(b'"', cells).is_some() && memchr2(b'\n', b'\r', cells).is_some();
        if may_have_swallowed && self.quotes(offset)? == Quotes::Misplaced {
            return Err(InputError::UnclosedQuote { row, offset });
        }
        Ok(())
    }

    /// The csv crate takes the end of the file for the end of the record, whatever is open. A
    /// file that was cut off while it was written ends just so.
    fn check_end(&self) -> Result<(), InputError> {
        let Some((RowPos { number: row, offset }, short)) = self.last else {
            return Ok(());
        };
        if self.quotes(offset)? == Quotes::Open {
            return Err(InputError::DamagedEnd { row, offset, why: "a quote is never closed" });
        }
        if short {
            let why = "it has fewer cells than the header";
            return Err(InputError::DamagedEnd { row, offset, why });
        }
        Ok(())
    }

    /// The quotes of the record that was read last, from the file itself.
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
        Ok(Quotes::of(raw.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&raw)))
    }
}

/// How the quotes of a record stand, read the way the csv crate reads it.
#[derive(Debug, PartialEq)]
enum Quotes {
    /// Each that opens a cell closes it, too.
    Whole,
    /// The last one is never closed.
    Open,
    /// One closes before its cell is over.
    Misplaced,
}

impl Quotes {
    fn of(raw: &[u8]) -> Self {
        #[derive(Clone, Copy, PartialEq)]
        enum At {
            CellStart,
            Plain,
            Quoted,
            QuoteInQuoted,
        }
        let mut at = At::CellStart;
        let mut misplaced = false;
        for byte in raw {
            at = match (at, byte) {
                (At::Quoted, b'"') => At::QuoteInQuoted,
                (At::Quoted, _) | (At::CellStart | At::QuoteInQuoted, b'"') => At::Quoted,
                (_, b',' | b'\n' | b'\r') => At::CellStart,
                (At::CellStart | At::Plain, _) => At::Plain,
                (At::QuoteInQuoted, _) => {
                    misplaced = true;
                    At::Plain
                }
            };
        }
        match at {
            At::Quoted => Self::Open,
            _ if misplaced => Self::Misplaced,
            _ => Self::Whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Quotes;

    #[test]
    fn an_open_quote_is_told_from_a_closed_one_and_from_a_literal_one() {
        for open in [r#"a,"b"#, "\"a\nb", r#"a,"b "" c"#, r#"""#] {
            assert_eq!(Quotes::of(open.as_bytes()), Quotes::Open, "{open}");
        }
        for whole in [r#"a,"b""#, "\"a\nb\"\n", r#"a,"b "" c""#, r#"5" nails,b"#, r#""""#, "a,b\n"]
        {
            assert_eq!(Quotes::of(whole.as_bytes()), Quotes::Whole, "{whole}");
        }
    }

    #[test]
    fn a_quote_that_closes_before_its_cell_is_over_is_misplaced() {
        for misplaced in [r#"a,"b"c,d"#, "a,\"x\nb,\"y\"\n", r#"a,"b" ,c"#] {
            assert_eq!(Quotes::of(misplaced.as_bytes()), Quotes::Misplaced, "{misplaced}");
        }
    }
}
