//! The text of a row for a message, with the place of a cell in it.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;

use serde_json::value::RawValue;

use super::raw_object::raw_pairs;
use super::rows::Source;
use super::worksheet_cells::column_index;
use super::{Context, Input, InputError};
use crate::row::{METADATA, MetadataField, RowPos};
use crate::sanitize::sanitize;

/// Bytes of a row that are read for an excerpt.
const TEXT_BYTES_MAX: u64 = 64 << 10;
/// Maximum characters of the cell and of the one that names the file, and of any other.
const CELL_SHOWN_MAX: usize = 60;
const OTHER_SHOWN_MAX: usize = 24;
/// Cells that are shown before and after the cell, besides the first of the row.
const CELLS_BESIDE: usize = 2;
/// What stands between the cells of a worksheet.
const WORKSHEET_SEPARATOR: &str = " │ ";

/// The text of a row on one line, shortened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The row.
    pub pos: RowPos,
    /// The text.
    pub text: String,
    /// The bytes of the text that are the cell; all of them if the row is invalid as a whole.
    pub cell: Range<usize>,
}

impl Input {
    /// The text of the row at this position around a cell, which is named by its column; `None` if the
    /// row is no longer there.
    ///
    /// # Errors
    /// The input cannot be read.
    pub fn excerpt(
        &self,
        context: &Context,
        pos: RowPos,
        column: &str,
    ) -> Result<Option<Excerpt>, InputError> {
        let mut source = self.open(context, Some(pos))?;
        Ok(match &mut source {
            Source::Cells { columns, records } => {
                if records.worksheet().is_some() && records.advance()?.is_none() {
                    return Ok(None);
                }
                let index = column_index(columns, column);
                let first = columns.file_id.unwrap_or(0);
                if records.worksheet().is_some() {
                    let cells: Vec<_> =
                        records.record().iter().map(String::from_utf8_lossy).collect();
                    let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
                    Some(excerpt(pos, &cells, WORKSHEET_SEPARATOR, (first, index)))
                } else {
                    let text = self.text_at(pos)?;
                    let delimiter = char::from(records.delimiter());
                    let cells = raw_cells(&text, delimiter);
                    Some(excerpt(pos, &cells, &delimiter.to_string(), (first, index)))
                }
            }
            Source::Jsonl(lines) => {
                let is_there = lines.advance()?.is_some();
                is_there.then(|| {
                    let text = String::from_utf8_lossy(lines.line());
                    json_excerpt(pos, &text, column)
                })
            }
        })
    }

    /// The text from a row on.
    fn text_at(&self, pos: RowPos) -> Result<String, InputError> {
        let read = || {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(pos.offset))?;
            let mut bytes = Vec::new();
            file.take(TEXT_BYTES_MAX).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().map_err(|source| self.unreadable(source))
    }
}

/// The cells of the first row of a text as they are written, with their quotes.
fn raw_cells(text: &str, delimiter: char) -> Vec<&str> {
    let mut cells = Vec::new();
    let (mut begin, mut is_quoted) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' => is_quoted = !is_quoted,
            '\n' | '\r' if !is_quoted => {
                cells.push(text.get(begin..at).unwrap_or_default());
                return cells;
            }
            _ if c == delimiter && !is_quoted => {
                cells.push(text.get(begin..at).unwrap_or_default());
                begin = at + c.len_utf8();
            }
            _ => {}
        }
    }
    cells.push(text.get(begin..).unwrap_or_default());
    cells
}

/// The cells on one line: the first, the one with the index, and those beside it.
fn excerpt(
    pos: RowPos,
    cells: &[&str],
    separator: &str,
    (first, index): (usize, Option<usize>),
) -> Excerpt {
    let centre = index.unwrap_or(0).min(cells.len().saturating_sub(1));
    let is_shown = |at: usize| at == first || at.abs_diff(centre) <= CELLS_BESIDE;
    let mut line = Line::default();
    let mut is_cut = false;
    for (at, cell) in cells.iter().enumerate() {
        if !is_shown(at) {
            if !is_cut {
                line.push(if at == 0 { "" } else { separator }, usize::MAX);
                line.push("…", usize::MAX);
            }
            is_cut = true;
            continue;
        }
        is_cut = false;
        if at > 0 {
            line.push(separator, usize::MAX);
        }
        if Some(at) == index {
            line.mark(cell);
        } else {
            line.push(cell, if at == first { CELL_SHOWN_MAX } else { OTHER_SHOWN_MAX });
        }
    }
    line.excerpt(pos)
}

/// An object on one line, with the value of a key.
fn json_excerpt(pos: RowPos, text: &str, column: &str) -> Excerpt {
    let mut line = Line::default();
    match value_of(text, column) {
        None => line.push(text, CELL_SHOWN_MAX),
        Some(value) => {
            let range = value.clone();
            let (before, after) = (text.get(..range.start), text.get(range.end..));
            line.push_end(before.unwrap_or_default(), CELL_SHOWN_MAX);
            line.mark(text.get(range).unwrap_or_default());
            line.push(after.unwrap_or_default(), OTHER_SHOWN_MAX);
        }
    }
    line.excerpt(pos)
}

/// Where the value of a key is in an object, also of a key in `customMetadata` or `publish`.
fn value_of(text: &str, column: &str) -> Option<Range<usize>> {
    let range_in = |value: &RawValue| {
        // The value borrows from the text.
        let start = value.get().as_ptr().addr().checked_sub(text.as_ptr().addr())?;
        Some(start..start + value.get().len())
    };
    let pairs = raw_pairs(text)?;
    let named = |pairs: &[(String, &RawValue)], name: &str| {
        let found = pairs.iter().rev().find(|(key, _)| key == name);
        found.and_then(|(_, value)| range_in(value))
    };
    named(&pairs, column).or_else(|| {
        let nested = pairs.iter().filter(|(key, _)| matches!(key.as_str(), METADATA | "publish"));
        let name = MetadataField::name_in_column(column).unwrap_or(column);
        let mut found = nested.filter_map(|(_, value)| named(&raw_pairs(value.get())?, name));
        found.next()
    })
}

/// A line that is put together.
#[derive(Debug, Default)]
struct Line {
    text: String,
    cell: Option<Range<usize>>,
}

impl Line {
    /// Adds a part, without what is beyond a number of characters.
    fn push(&mut self, part: &str, length_max: usize) {
        let part = on_one_line(part);
        match part.char_indices().nth(length_max) {
            None => self.text.push_str(&part),
            Some((end, _)) => {
                self.text.push_str(part.get(..end).unwrap_or_default());
                self.text.push('…');
            }
        }
    }

    /// Adds the end of a part.
    fn push_end(&mut self, part: &str, length_max: usize) {
        let part = on_one_line(part);
        let cut = part.chars().count().saturating_sub(length_max);
        if let Some((begin, _)) = part.char_indices().nth(cut).filter(|_| cut > 0) {
            self.text.push('…');
            self.text.push_str(part.get(begin..).unwrap_or_default());
        } else {
            self.text.push_str(&part);
        }
    }

    /// Adds the part that is meant.
    fn mark(&mut self, part: &str) {
        let start = self.text.len();
        self.push(part, CELL_SHOWN_MAX);
        self.cell = Some(start..self.text.len());
    }

    fn excerpt(self, pos: RowPos) -> Excerpt {
        let cell = self.cell.unwrap_or(0..self.text.len());
        Excerpt { pos, text: self.text, cell }
    }
}

/// The text without line ends and the blanks after them, and without control characters.
fn on_one_line(text: &str) -> String {
    let mut lines = text.trim_end_matches(['\n', '\r']).lines();
    let mut line = lines.next().unwrap_or_default().to_owned();
    for next in lines {
        line.push('⏎');
        line.push_str(next.trim_start());
    }
    sanitize(&line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POS: RowPos = RowPos { number: 2, line: 2, offset: 0 };

    /// The text, and below it what is marked.
    fn shown(excerpt: &Excerpt) -> [&str; 2] {
        [&excerpt.text, &excerpt.text[excerpt.cell.clone()]]
    }

    #[test]
    fn cells_are_shown_as_they_are_written() {
        let cells = raw_cells("a,\"x, \"\"y\"\"\nz\",50%,\nb,c", ',');
        assert_eq!(cells, ["a", "\"x, \"\"y\"\"\nz\"", "50%", ""]);
        let marked = excerpt(POS, &cells, ",", (0, Some(1)));
        assert_eq!(shown(&marked), ["a,\"x, \"\"y\"\"⏎z\",50%,", "\"x, \"\"y\"\"⏎z\""]);
        let whole = excerpt(POS, &cells, ",", (0, None));
        assert_eq!(whole.cell, 0..whole.text.len());
    }

    #[test]
    fn far_and_long_cells_are_cut() {
        let long = "x".repeat(100);
        let cells = ["id", "1", "2", "3", "4", "50%", "6", &long, "8", "9"];
        let marked = excerpt(POS, &cells, ";", (0, Some(5)));
        let expected = format!("id;…;3;4;50%;6;{}…;…", "x".repeat(OTHER_SHOWN_MAX));
        assert_eq!(shown(&marked), [&expected, "50%"]);
        let missing = excerpt(POS, &["id"], ";", (0, Some(5)));
        assert_eq!(shown(&missing), ["id", "id"]);
    }

    #[test]
    fn value_of_a_key_is_found_in_nested_objects_too() {
        let text = "{\n  \"fileId\": \"a\",\n  \"tags\": [\"50%\"],\n  \"customMetadata\": {\"brand\": 5}\n}";
        let marked = json_excerpt(POS, text, "tags");
        let expected = "{⏎\"fileId\": \"a\",⏎\"tags\": [\"50%\"],⏎\"customMetadata\": {\"br…";
        assert_eq!(shown(&marked), [expected, "[\"50%\"]"]);
        assert_eq!(shown(&json_excerpt(POS, text, "customMetadata.brand"))[1], "5");
        let damaged = json_excerpt(POS, "{\"a\":\u{1b}", "line");
        assert_eq!(shown(&damaged), [r#"{"a":\u{1b}"#; 2]);
    }
}
