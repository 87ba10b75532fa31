//! Lines below the rows, as programs write them at the end of a sheet.
//!
//! They are found from the end of the file alone, so that it does not matter where reading begins.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use csv::ByteRecord;
use memchr::memchr2;

use super::{COUNT_WORDS, FOOTER_WORDS, FileShape, Structure, is_one_cell};
use crate::input::Delimiter;
use crate::input::raw_records::{has_even_quotes, line_ends, split_line};
use crate::row::fold;

/// Bytes at the end of a file in which the lines are looked for.
const END_BYTES: u64 = 4 << 10;
/// First words of lines with which programs begin what they write below the rows, folded.
const BEGINNINGS: [&str; 12] = [
    "appliedfilter",
    "nofilter",
    "generatedby",
    "generatedon",
    "generatedat",
    "exportedby",
    "exportedon",
    "exportedat",
    "exportedfrom",
    "createdby",
    "copyright",
    "confidential",
];

/// What databases write before and after the number of rows, or the time.
const AROUND_NUMBERS: [(&[u8], &[u8]); 6] = [
    (b"(", b" rows)"),
    (b"(", b" row)"),
    (b"COPY ", b""),
    (b"SELECT ", b""),
    (b"INSERT 0 ", b""),
    (b"Time: ", b" ms"),
];

/// Where lines below the rows begin.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Below {
    /// Offset of the first line that is none of a row.
    footer: Option<u64>,
    /// Offset of the first line that can be the rest of the row before as well.
    undecided: Option<u64>,
}

impl Below {
    /// Whether the record at an offset is below the rows.
    pub(crate) fn has(&self, offset: u64) -> bool {
        self.footer.is_some_and(|from| offset >= from)
    }

    /// Whether the record at an offset is the rest of a row, or below the rows.
    pub(crate) fn may_have(&self, offset: u64) -> bool {
        self.undecided.is_some_and(|from| offset >= from)
    }
}

/// A line at the end of the file, or several if a quoted cell has line ends.
struct Line {
    offset: u64,
    /// `None` if its quotes are damaged.
    cells: Option<ByteRecord>,
    follows_blank: bool,
    has_line_ends: bool,
}

impl Structure {
    /// Finds the lines below the rows.
    pub(crate) fn below(&self, file: &mut File, delimiter: Delimiter) -> io::Result<Below> {
        let from = file.metadata()?.len().saturating_sub(END_BYTES);
        file.seek(SeekFrom::Start(from))?;
        let mut end = Vec::new();
        file.take(END_BYTES).read_to_end(&mut end)?;
        let mut lines = Lines { end: &end, from, delimiter };
        let mut texts = Vec::new();
        let mut row = None;
        for line in &mut lines {
            if !line.cells.as_ref().is_some_and(|cells| self.is_text(cells)) {
                row = line.cells;
                break;
            }
            texts.push(line);
        }
        texts.reverse();
        let Some(row) = row else { return Ok(Below::default()) };
        Ok(self.decide(&row, &texts))
    }

    /// Whether lines of text are below the rows, or the rest of the row before them.
    fn decide(&self, row: &ByteRecord, texts: &[Line]) -> Below {
        let Some(first) = texts.first() else { return Below::default() };
        let delimiters = |cells: &ByteRecord| cells.len().saturating_sub(1);
        let in_texts: usize =
            texts.iter().filter_map(|line| line.cells.as_ref()).map(delimiters).sum();
        if in_texts > 0 && delimiters(row) + in_texts + 1 == self.columns() {
            // Together, they have the cells of a row.
            return Below::default();
        }
        let has_several_lines = texts.len() > 1 || first.has_line_ends;
        let is_end = |line: &&Line| {
            let begins = line.cells.as_ref().is_some_and(begins_footer);
            line.follows_blank
                || begins && has_several_lines
                || line.cells.as_ref().is_some_and(is_end_mark)
        };
        if is_end(&first) {
            return Below { footer: Some(first.offset), undecided: None };
        }
        let footer = texts.iter().find(|line| line.follows_blank).map(|line| line.offset);
        Below { footer, undecided: Some(first.offset) }
    }

    /// Whether a record is a line of text rather than a row.
    fn is_text(&self, cells: &ByteRecord) -> bool {
        let first = cells.get(0).unwrap_or_default().trim_ascii();
        if self.columns() < 2 || first.is_empty() || self.names_file_column(cells) {
            return false;
        }
        let first = String::from_utf8_lossy(first);
        let can_be_word = !self.has_file(cells) || self.file.contains(&0);
        let is_total = can_be_word && FOOTER_WORDS.contains(&fold(&first).as_str());
        let is_word = || {
            let is_target = FileShape::of(&first) == Some(FileShape::Target);
            !is_target
                && !first.contains(|c: char| c.is_ascii_digit())
                && self.has_unusual_file(cells)
        };
        is_total
            || is_end_mark(cells)
            || (self.is_short(cells) || is_one_cell(cells))
                && (!self.has_file(cells) || is_one_cell(cells) && is_word())
    }
}

/// Whether the record is a line with which databases end their output: the mark of a dump of `PostgreSQL`,
/// a number of rows, or the time that it took.
pub(crate) fn is_end_mark(cells: &ByteRecord) -> bool {
    let first = cells.get(0).unwrap_or_default().trim_ascii();
    let is_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b',' | b' ');
    let has_number_in = |(start, end): &(&[u8], &[u8])| {
        let number = first.strip_prefix(*start).and_then(|rest| rest.strip_suffix(*end));
        number.is_some_and(|number| !number.is_empty() && number.iter().all(is_number))
    };
    cells.len() == 1 && (first == b"\\." || AROUND_NUMBERS.iter().any(has_number_in))
        || first.starts_with(b"Time taken: ")
        || first.starts_with(b"Run Time: real ")
}

/// Whether a line begins as those that programs write below the rows.
fn begins_footer(cells: &ByteRecord) -> bool {
    let first = String::from_utf8_lossy(cells.get(0).unwrap_or_default());
    let words = || first.split_whitespace().map(str::to_lowercase);
    let counts = || words().any(|word| COUNT_WORDS.contains(&word.trim_end_matches(['.', ':'])));
    let folded = fold(&first);
    BEGINNINGS.iter().any(|beginning| folded.starts_with(beginning))
        || FOOTER_WORDS.contains(&folded.as_str())
        || first.contains(|c: char| c.is_ascii_digit()) && counts()
}

/// The lines at the end of a text, the last one first.
struct Lines<'t> {
    end: &'t [u8],
    /// Offset of the text in the file.
    from: u64,
    delimiter: Delimiter,
}

impl Iterator for Lines<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        let is_padding = |byte: &u8| matches!(byte, b'\n' | b'\r' | b'\x1A' | b'\0');
        let length = self.end.iter().rposition(|byte| !is_padding(byte))? + 1;
        let text = self.end.get(..length)?;
        let mut begin = length;
        loop {
            begin = text
                .get(..begin.checked_sub(1)?)?
                .iter()
                .rposition(|byte| is_line_end(*byte))
                .map_or(0, |at| at + 1);
            // The first line of the text may be the rest of one.
            if begin == 0 && self.from > 0 {
                return None;
            }
            if text.get(begin..).is_some_and(has_even_quotes) {
                break;
            }
        }
        let (before, line) = text.split_at(begin);
        let trimmed = before.iter().rposition(|byte| !is_line_end(*byte)).map_or(0, |at| at + 1);
        let follows_blank = line_ends(before.get(trimmed..)?) > 1;
        self.end = before;
        Some(Line {
            offset: self.from + begin as u64,
            cells: split_line(line, self.delimiter.byte()),
            follows_blank,
            has_line_ends: memchr2(b'\n', b'\r', line).is_some(),
        })
    }
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}
