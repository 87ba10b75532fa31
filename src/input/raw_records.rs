//! Splits CSV text into records: where each begins, and its cells.
//!
//! The csv crate would do, but for what real sheets need: where quotes and line ends are damaged, how
//! many blank lines precede a record, and blanks around quotes.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use csv::ByteRecord;
use memchr::{memchr, memchr_iter, memchr2, memchr3};

use super::RECORD_BYTES_MAX;

const BUFFER_BYTES: usize = 64 << 10;
/// Enough for a record of the maximum size, and to see that the next one exceeds it.
const BUFFER_BYTES_MAX: usize = RECORD_BYTES_MAX + BUFFER_BYTES;
/// Bytes before a record in which its predecessor is looked for.
pub(super) const LOOK_BACK_BYTES: u64 = 16 << 10;
/// Where MS-DOS programs end a text; everything after it is padding.
const CTRL_Z: u8 = 0x1A;
const BOM: &[u8] = b"\xEF\xBB\xBF";
/// A BOM that a program read as Windows-1252 and wrote as UTF-8: `ï»¿`.
const BROKEN_BOM: &[u8] = b"\xC3\xAF\xC2\xBB\xC2\xBF";

/// A reader of records.
pub(super) struct RawRecords {
    file: File,
    delimiter: u8,
    buffer: Vec<u8>,
    /// The unread text within the buffer.
    start: usize,
    end: usize,
    is_file_read: bool,
    /// Offset and line of the unread text in the file.
    offset: u64,
    line: u64,
    /// Blank lines before the unread text.
    blank_lines: u64,
    scratch: Vec<u8>,
}

/// One record.
#[derive(Debug, Default)]
pub(super) struct RawRecord {
    pub(super) cells: ByteRecord,
    /// The record as written, without its line end; only if its quotes are damaged.
    pub(super) text: Vec<u8>,
    pub(super) offset: u64,
    /// Its first line, from 1.
    pub(super) line: u64,
    /// Blank lines between the record before and this one.
    pub(super) blank_lines: u64,
    pub(super) quoting: Quoting,
    lines: Lines,
    /// Whether any cell is quoted.
    pub(super) is_quoted: bool,
    /// Whether it ends with a line end, rather than with the file.
    pub(super) has_line_end: bool,
}

/// The lines of a record.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Lines {
    /// One, with an even number of quotes or without a quoted cell.
    #[default]
    OneBalanced,
    /// One with an odd number of quotes.
    One,
    /// Several: a line end is in one of its cells.
    Several,
}

impl RawRecord {
    /// Whether a line end is in one of its cells.
    pub(super) fn has_lines(&self) -> bool {
        self.lines == Lines::Several
    }

    /// Whether the line by itself shows that it is a whole record: it is on one line, and an even
    /// number of quotes is in it.
    pub(super) fn is_plain_line(&self) -> bool {
        self.lines == Lines::OneBalanced
            && (self.is_quoted || has_even_quotes(self.cells.as_slice()))
    }
}

/// The quotes of a record.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoting {
    /// Every opening quote has a closing quote at the end of its cell, or there are none.
    #[default]
    Balanced,
    /// The last quote is not closed.
    Open,
    /// A quote closes before the end of its cell.
    Misplaced {
        /// The index of the cell.
        cell: usize,
        /// Whether a backslash precedes the quote: many databases escape it so.
        is_escaped: bool,
        /// Whether the record contains line ends, and so perhaps other records.
        has_lines: bool,
    },
}

/// Why no record can be read.
pub(super) enum ReadFailure {
    Io(io::Error),
    /// The next record exceeds [`RECORD_BYTES_MAX`].
    TooLong,
}

impl RawRecords {
    pub(super) fn new(file: File, delimiter: u8) -> Self {
        let buffer = vec![0; BUFFER_BYTES];
        Self {
            file,
            delimiter,
            buffer,
            start: 0,
            end: 0,
            is_file_read: false,
            offset: 0,
            line: 1,
            blank_lines: 0,
            scratch: Vec::new(),
        }
    }

    /// Offset of what [`Self::read`] reads next.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Line of what [`Self::read`] reads next.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Whether no record is left after the last one that was read.
    pub(super) fn is_at_end(&self) -> bool {
        self.is_file_read && self.start == self.end
    }

    /// Continues at an offset, where the line begins.
    pub(super) fn seek(&mut self, offset: u64, line: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        (self.start, self.end, self.is_file_read) = (0, 0, false);
        (self.offset, self.line, self.blank_lines) = (offset, line, 0);
        Ok(())
    }

    /// Reads the next record; `false` at the end.
    pub(super) fn read(&mut self, record: &mut RawRecord) -> Result<bool, ReadFailure> {
        self.skip_blank_lines().map_err(ReadFailure::Io)?;
        record.blank_lines = std::mem::take(&mut self.blank_lines);
        if self.is_padding().map_err(ReadFailure::Io)? {
            return Ok(false);
        }
        loop {
            let text = self.buffer.get(self.start..self.end).unwrap_or_default();
            if text.is_empty() && self.is_file_read {
                return Ok(false);
            }
            let split = split(
                text,
                self.delimiter,
                self.is_file_read,
                &mut record.cells,
                &mut self.scratch,
            );
            let Some(split) = split else {
                if text.len() > RECORD_BYTES_MAX {
                    return Err(ReadFailure::TooLong);
                }
                self.fill().map_err(ReadFailure::Io)?;
                continue;
            };
            (record.offset, record.line) = (self.offset, self.line);
            (record.quoting, record.has_line_end) = (split.quoting, split.has_line_end);
            let text = text.get(..split.length).unwrap_or_default();
            let has_lines =
                split.is_quoted && memchr2(b'\n', b'\r', without_line_end(text)).is_some();
            let lines = if has_lines { line_ends(text) } else { 1 };
            self.line += lines;
            record.is_quoted = split.is_quoted;
            record.lines = match (has_lines, split.is_quoted) {
                (true, _) => Lines::Several,
                (false, true) if !has_even_quotes(text) => Lines::One,
                (false, _) => Lines::OneBalanced,
            };
            record.text.clear();
            if let Quoting::Misplaced { has_lines, .. } = &mut record.quoting {
                record.text.extend_from_slice(without_line_end(text));
                *has_lines = memchr2(b'\n', b'\r', &record.text).is_some();
            }
            self.skip(split.length);
            self.skip_blank_lines().map_err(ReadFailure::Io)?;
            return Ok(true);
        }
    }

    /// Skips and counts blank lines, and a BOM at the beginning of the next line, also a broken one.
    fn skip_blank_lines(&mut self) -> io::Result<()> {
        loop {
            while self.end - self.start < BROKEN_BOM.len() && !self.is_file_read {
                self.fill()?;
            }
            let length = match self.buffer.get(self.start..self.end).unwrap_or_default() {
                text if text.starts_with(BOM) => {
                    // Two joined files have a BOM in the middle.
                    self.skip(BOM.len());
                    continue;
                }
                text if text.starts_with(BROKEN_BOM) => {
                    self.skip(BROKEN_BOM.len());
                    continue;
                }
                [b'\r', b'\n', ..] => 2,
                [b'\r' | b'\n', ..] => 1,
                _ => return Ok(()),
            };
            self.skip(length);
            self.line += 1;
            self.blank_lines += 1;
        }
    }

    /// Whether only Ctrl-Z and blank lines are left.
    fn is_padding(&mut self) -> io::Result<bool> {
        if self.buffer.get(self.start..self.end).and_then(<[u8]>::first) != Some(&CTRL_Z) {
            return Ok(false);
        }
        let is_padding = |text: &[u8]| {
            text.iter().all(|byte| matches!(*byte, CTRL_Z | b'\0') || byte.is_ascii_whitespace())
        };
        while !self.is_file_read && self.end - self.start < BUFFER_BYTES {
            self.fill()?;
        }
        let rest = self.buffer.get(self.start..self.end).unwrap_or_default();
        Ok(self.is_file_read && is_padding(rest))
    }

    fn skip(&mut self, length: usize) {
        self.start += length;
        self.offset += length as u64;
    }

    /// Reads more of the file, after making room in the buffer.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.end > self.buffer.len() / 2 {
            let length = (self.buffer.len() * 2).min(BUFFER_BYTES_MAX);
            self.buffer.reserve_exact(length - self.buffer.len());
            self.buffer.resize(length, 0);
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        loop {
            match self.file.read(room) {
                Ok(read) => {
                    self.end += read;
                    self.is_file_read = read == 0;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// What precedes a record.
pub(super) struct Before {
    /// The record on the line before; `None` if the line may be the end of a record of several lines.
    pub(super) record: Option<ByteRecord>,
    /// The number of line ends after it.
    pub(super) line_ends: u64,
}

/// What precedes the record at an offset.
pub(super) fn before(file: &mut File, offset: u64, delimiter: u8) -> io::Result<Before> {
    let from = offset.saturating_sub(LOOK_BACK_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.take(offset - from).read_to_end(&mut text)?;
    let end = text.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |at| at + 1);
    let (lines, after) = text.split_at(end);
    let start = lines.iter().rposition(|byte| matches!(byte, b'\n' | b'\r'));
    let line = start.and_then(|start| lines.get(start + 1..));
    let record = line.filter(|line| has_even_quotes(line));
    let record = record.and_then(|line| split_line(line, delimiter));
    Ok(Before { record, line_ends: line_ends(after) })
}

/// The cells of a whole line; `None` if its quotes are damaged.
pub(super) fn split_line(line: &[u8], delimiter: u8) -> Option<ByteRecord> {
    let (mut cells, mut scratch) = (ByteRecord::new(), Vec::new());
    let split = split(line, delimiter, true, &mut cells, &mut scratch)?;
    (split.quoting == Quoting::Balanced).then_some(cells)
}

/// The end of a record, and its quotes.
#[derive(Debug, PartialEq, Eq)]
struct Split {
    /// The length of the record with its line end.
    length: usize,
    has_line_end: bool,
    is_quoted: bool,
    quoting: Quoting,
}

/// Splits the record at the beginning of `text` into its cells. `None` if more text is needed;
/// never if `is_whole`, that is, if the text ends with the file.
fn split(
    text: &[u8],
    delimiter: u8,
    is_whole: bool,
    cells: &mut ByteRecord,
    scratch: &mut Vec<u8>,
) -> Option<Split> {
    cells.clear();
    let mut quoting = Quoting::Balanced;
    let (mut is_quoted, mut ends_in_backslash) = (false, false);
    let mut at = 0;
    loop {
        let opening = at + blanks(text, at, delimiter);
        let cell = match text.get(opening) {
            None if !is_whole => return None,
            Some(b'"') => {
                is_quoted = true;
                let cell = quoted_cell(text, opening + 1, delimiter, is_whole, scratch)?;
                ends_in_backslash |= scratch.ends_with(b"\\");
                cells.push_field(scratch);
                cell
            }
            _ => {
                let end = cell_end(text, at, delimiter, is_whole)?;
                let plain = text.get(at..end).unwrap_or_default();
                cells.push_field(plain);
                // `"12\", 5"` is one cell to the program that wrote it.
                let damage = ends_in_backslash && memchr(b'"', plain).is_some();
                QuotedCell { end, damage: damage.then_some(Damage::Misplaced { is_escaped: true }) }
            }
        };
        let damage = cell.damage.filter(|_| quoting == Quoting::Balanced);
        quoting = match damage {
            None => quoting,
            Some(Damage::Open) => Quoting::Open,
            Some(Damage::Misplaced { is_escaped }) => {
                Quoting::Misplaced { cell: cells.len() - 1, is_escaped, has_lines: false }
            }
        };
        let finished =
            |length, has_line_end| Some(Split { length, has_line_end, is_quoted, quoting });
        match text.get(cell.end..).unwrap_or_default() {
            [] => return finished(cell.end, false),
            [b'\r', b'\n', ..] => return finished(cell.end + 2, true),
            [b'\r'] if !is_whole => return None,
            [b'\r' | b'\n', ..] => return finished(cell.end + 1, true),
            _ => at = cell.end + 1,
        }
    }
}

/// The end of the first cells of a record.
pub(super) fn end_of_cells(text: &[u8], delimiter: u8, cells: usize) -> usize {
    let mut scratch = Vec::new();
    let (mut at, mut end) = (0, 0);
    for _ in 0..cells {
        let opening = at + blanks(text, at, delimiter);
        let quoted = text.get(opening) == Some(&b'"');
        let cell = if quoted {
            quoted_cell(text, opening + 1, delimiter, true, &mut scratch).map(|cell| cell.end)
        } else {
            cell_end(text, at, delimiter, true)
        };
        end = cell.unwrap_or(text.len());
        at = end + 1;
    }
    end
}

/// The end of a quoted cell: a delimiter, a line end, or the end of the text.
struct QuotedCell {
    end: usize,
    damage: Option<Damage>,
}

enum Damage {
    Open,
    Misplaced { is_escaped: bool },
}

/// Reads a cell after its opening quote into `content`.
fn quoted_cell(
    text: &[u8],
    mut from: usize,
    delimiter: u8,
    is_whole: bool,
    content: &mut Vec<u8>,
) -> Option<QuotedCell> {
    content.clear();
    loop {
        let rest = text.get(from..).unwrap_or_default();
        let Some(length) = memchr(b'"', rest) else {
            if !is_whole {
                return None;
            }
            content.extend_from_slice(rest);
            return Some(QuotedCell { end: text.len(), damage: Some(Damage::Open) });
        };
        let quote = from + length;
        if text.get(quote + 1) == Some(&b'"') {
            content.extend_from_slice(text.get(from..=quote).unwrap_or_default());
            from = quote + 2;
            continue;
        }
        content.extend_from_slice(text.get(from..quote).unwrap_or_default());
        let after = quote + 1 + blanks(text, quote + 1, delimiter);
        return match text.get(after) {
            None if !is_whole => None,
            None | Some(b'\n' | b'\r') => Some(QuotedCell { end: after, damage: None }),
            Some(byte) if *byte == delimiter => Some(QuotedCell { end: after, damage: None }),
            Some(_) => {
                let end = cell_end(text, quote + 1, delimiter, is_whole)?;
                let is_escaped = content.ends_with(b"\\");
                content.extend_from_slice(text.get(quote + 1..end).unwrap_or_default());
                Some(QuotedCell { end, damage: Some(Damage::Misplaced { is_escaped }) })
            }
        };
    }
}

/// The end of an unquoted cell.
fn cell_end(text: &[u8], from: usize, delimiter: u8, is_whole: bool) -> Option<usize> {
    let rest = text.get(from..).unwrap_or_default();
    match memchr3(delimiter, b'\n', b'\r', rest) {
        Some(length) => Some(from + length),
        None => is_whole.then_some(text.len()),
    }
}

/// The number of blanks at a position.
fn blanks(text: &[u8], from: usize, delimiter: u8) -> usize {
    let is_blank = |byte: &&u8| matches!(**byte, b' ' | b'\t') && **byte != delimiter;
    text.get(from..).unwrap_or_default().iter().take_while(is_blank).count()
}

/// Whether the number of quotes is even.
pub(super) fn has_even_quotes(text: &[u8]) -> bool {
    // Without a count, which would need wider numbers, the compiler makes it a loop over many bytes.
    !text.iter().fold(false, |is_odd, byte| is_odd ^ (*byte == b'"'))
}

/// The number of line ends; `\r\n` is one.
pub(super) fn line_ends(text: &[u8]) -> u64 {
    let lone = |at: &usize| text.get(at + 1) != Some(&b'\n');
    (memchr_iter(b'\n', text).count() + memchr_iter(b'\r', text).filter(lone).count()) as u64
}

fn without_line_end(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn cells(text: &str) -> (Vec<String>, Quoting) {
        let (mut cells, mut scratch) = (ByteRecord::new(), Vec::new());
        let split = split(text.as_bytes(), b',', true, &mut cells, &mut scratch).expect("whole");
        assert_eq!(split.length, text.len(), "{text}");
        let cells = cells.iter().map(|cell| String::from_utf8_lossy(cell).into_owned());
        (cells.collect(), split.quoting)
    }

    #[test]
    fn cells_are_split_and_unquoted() {
        for (text, expected) in [
            ("a,b\n", &["a", "b"][..]),
            ("a,b\r\n", &["a", "b"]),
            ("a,", &["a", ""]),
            ("\n", &[""]),
            (r#"a,"b, ""c""""#, &["a", r#"b, "c""#]),
            ("\"a\nb\",c\n", &["a\nb", "c"]),
            (r#"a, "b, c" ,"d""#, &["a", "b, c", "d"]),
            (r#" a ,5" nails, b"c""#, &[" a ", r#"5" nails"#, r#" b"c""#]),
        ] {
            assert_eq!(
                cells(text),
                (expected.iter().map(|&cell| cell.into()).collect(), Quoting::Balanced)
            );
        }
    }

    #[test]
    fn quotes_that_close_in_a_cell_are_misplaced() {
        for (text, index, escaped) in [
            (r#"a,"b"c,d"#, 1, false),
            (r#""say \"hi\" now",b"#, 0, true),
            (r#"a,"12\", 5",b"#, 2, true),
            (r#"a, "b" c"#, 1, false),
        ] {
            let (_, quoting) = cells(text);
            let expected =
                Quoting::Misplaced { cell: index, is_escaped: escaped, has_lines: false };
            assert_eq!(quoting, expected, "{text}");
        }
        assert_eq!(cells(r#"a,"b"#).1, Quoting::Open);
        assert_eq!(cells(r#"a,""#).1, Quoting::Open);
    }

    #[test]
    fn part_of_a_record_is_never_taken_for_the_whole() {
        let text = "a, \"b\"\"\r\nc\" ,d\r\n";
        for length in 0..text.len() {
            let (mut cells, mut scratch) = (ByteRecord::new(), Vec::new());
            let part = &text.as_bytes()[..length];
            let part = split(part, b',', false, &mut cells, &mut scratch);
            assert_eq!(part, None, "{length}");
        }
    }

    #[test]
    fn record_with_a_line_end_in_a_cell_is_no_line_at_the_end_of_the_file_either() {
        for text in ["\"a\nb\",c\n", "\"a\nb\",c", "c,\"a\nb\"", "c,\"a\r\nb"] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let mut records = RawRecords::new(file, b',');
            records.seek(0, 1).unwrap();
            let mut record = RawRecord::default();
            assert!(matches!(records.read(&mut record), Ok(true)));
            assert!(record.has_lines() && !record.is_plain_line(), "{text:?}");
        }
    }

    #[test]
    fn line_ends_of_every_system_are_counted() {
        assert_eq!(line_ends(b"a\r\nb\nc\rd\r\n"), 4);
    }
}
