//! Damage to the structure of a CSV sheet: records that are no rows of the sheet, or only half of one.

mod below;
mod damage;
mod returned;
mod unnamed;
mod unsplit;

pub(super) use below::{Below, is_end_mark};
pub(super) use damage::{Damage, quote_damage};

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use csv::ByteRecord;

use super::names::{is_generated, names_file, own};
use super::{InputError, ReadOptions};
use crate::outcome::Status;
use crate::row::{Field, RowPos, fold, folds_to, has_file_ending, is_imagekit_id, unforced};

/// First words of a line below the rows, folded.
const FOOTER_WORDS: [&str; 16] = [
    "total",
    "totals",
    "sum",
    "summe",
    "gesamt",
    "gesamtsumme",
    "subtotal",
    "grandtotal",
    "totalgeneral",
    "somme",
    "suma",
    "totale",
    "count",
    "anzahl",
    "eof",
    "end",
];
/// Words of the line in which a database counts rows.
const COUNT_WORDS: [&str; 10] = [
    "row",
    "rows",
    "record",
    "records",
    "zeile",
    "zeilen",
    "datensätze",
    "lignes",
    "filas",
    "righe",
];
/// Names of a file's column in the tables of other programs, folded.
const OTHER_FILE_NAMES: [&str; 8] =
    ["id", "asset", "assetid", "file", "filename", "image", "imageid", "name"];
/// Names of the columns that identify files, folded.
const FILE_NAMES: [&str; 3] = ["fileid", "filepath", "url"];
/// Maximum characters of a line in a message.
const SHOWN_MAX: usize = 60;

/// Whether a cell is the status of a row.
fn is_status(cell: &[u8]) -> bool {
    let is = |status: Status| cell.trim_ascii().eq_ignore_ascii_case(status.as_str().as_bytes());
    Status::ALL.into_iter().any(is)
}

/// The text of a record for messages.
pub(super) fn shown(cells: &ByteRecord) -> String {
    let cells: Vec<_> = cells.iter().map(String::from_utf8_lossy).collect();
    let text = cells.join(",");
    let mut shown: String = text.trim_end_matches(',').chars().take(SHOWN_MAX).collect();
    if shown.len() < text.trim_end_matches(',').len() {
        shown.push('…');
    }
    shown
}

/// The shape of the cells that name files, where it tells them from words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileShape {
    /// An id of ImageKit.
    Id,
    /// A path or URL.
    Target,
}

impl FileShape {
    pub(super) fn of(cell: &str) -> Option<Self> {
        if is_imagekit_id(cell) {
            return Some(Self::Id);
        }
        (cell.starts_with('/') || cell.contains("://")).then_some(Self::Target)
    }
}

/// What the header says about the records below it.
#[derive(Debug, Default)]
pub(super) struct Structure {
    /// The folded names of all columns, in order.
    names: Vec<String>,
    /// The names in the header, and those of all known columns, folded.
    known: HashSet<String>,
    /// Indices of the columns that name the file.
    file: Vec<usize>,
    /// Index of the first column that an earlier run added, or a large number.
    own_from: usize,
    /// Index of the column with the status of an earlier run.
    status: Option<usize>,
    /// The columns at the end of the header that have no name, or one that a program made up.
    unnamed: Range<usize>,
    /// The shape of the cell that names the file of the first row, and so of the others.
    usual_shape: Option<FileShape>,
    /// Whether rows can be told from everything else by their number of cells and the id of their file.
    has_usual_rows: bool,
    /// Lengths up to which a cell can be a column name, and the first letters of those names.
    length_max: usize,
    first_letters: FirstLetters,
}

/// Whether a name begins with each byte.
#[derive(Debug)]
struct FirstLetters([bool; 256]);

impl Default for FirstLetters {
    fn default() -> Self {
        Self([false; 256])
    }
}

impl Structure {
    pub(super) fn new(header: &ByteRecord, options: &ReadOptions) -> Self {
        let cells: Vec<_> = header.iter().map(String::from_utf8_lossy).collect();
        let names: Vec<String> = cells.iter().map(|name| fold(name)).collect();
        let is_file = |name: &str| names_file(name, options);
        let file =
            cells.iter().enumerate().filter(|(_, name)| is_file(name)).map(|(index, _)| index);
        let own_from = cells.iter().position(|name| own::ALL.contains(&name.trim()));
        let status = cells.iter().position(|name| name.trim() == own::STATUS);
        let end = own_from.unwrap_or(names.len());
        let is_named = |name: &Cow<'_, str>| !name.trim().is_empty() && !is_generated(name.trim());
        let last_named = cells.iter().take(end).rposition(is_named);
        let unnamed = last_named.map_or(end, |last| last + 1)..end;
        let fixed = Field::FIXED.iter().map(|(name, _)| fold(name));
        let known: HashSet<String> =
            names.iter().cloned().chain(fixed).filter(|name| !name.is_empty()).collect();
        let mut first_letters = FirstLetters::default();
        for name in &known {
            let first = name.bytes().next().unwrap_or_default();
            for letter in [first, first.to_ascii_uppercase()] {
                first_letters.0[usize::from(letter)] = true;
            }
        }
        // Names in other scripts are longer in bytes when they are not folded.
        let length_max = cells.iter().map(|name| name.len()).max().unwrap_or(0).max(40);
        Self {
            file: file.collect(),
            names,
            known,
            own_from: own_from.unwrap_or(usize::MAX),
            status,
            unnamed,
            usual_shape: None,
            has_usual_rows: false,
            length_max,
            first_letters,
        }
    }

    /// Whether no column names the file.
    pub(super) fn names_no_file(&self) -> bool {
        self.file.is_empty()
    }

    /// The number of columns.
    pub(super) fn columns(&self) -> usize {
        self.names.len()
    }

    /// Why a record is none of the rows, by its own cells.
    ///
    /// # Errors
    /// It is a header with other columns, so that the rows below it mean something else.
    pub(super) fn no_row(
        &self,
        cells: &ByteRecord,
        pos: RowPos,
    ) -> Result<Option<Damage>, InputError> {
        if self.repeats_header(cells, pos)? {
            return Ok(Some(Damage::Header));
        }
        if Self::is_dashes(cells) {
            return Ok(Some(Damage::Dashes));
        }
        let is_comment = self.is_short(cells) && Self::is_comment(cells) && !self.has_file(cells);
        Ok(is_comment.then_some(Damage::Comment))
    }

    /// Whether a record that has the header's columns, or others, is a header again.
    ///
    /// # Errors
    /// It has other columns than the header, so that the rows below it mean something else.
    pub(super) fn repeats_header(
        &self,
        cells: &ByteRecord,
        pos: RowPos,
    ) -> Result<bool, InputError> {
        let first = cells.iter().find(|cell| !cell.is_empty()).unwrap_or_default();
        let may_be_header = self.may_be_name(first) || self.file.contains(&0);
        if !may_be_header || !(self.names_file_column(cells) || self.has_unusual_file(cells)) {
            return Ok(false);
        }
        let names: Vec<String> = cells
            .iter()
            .take(self.own_from)
            .map(|cell| fold(&String::from_utf8_lossy(cell)))
            .collect();
        let filled = || names.iter().filter(|name| !name.is_empty());
        let has_file = filled().any(|name| FILE_NAMES.contains(&name.as_str()));
        let repeats_column = names
            .iter()
            .enumerate()
            .any(|(index, name)| self.file.contains(&index) && self.names.get(index) == Some(name));
        let is_all_names = filled().count() >= 2 && filled().all(|name| self.known.contains(name));
        let renames_file = self.renames_file(&names, cells);
        if !(repeats_column || has_file && is_all_names || renames_file) {
            return Ok(false);
        }
        let without_end = |names: &[String]| {
            let length = names.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
            names.iter().take(length).cloned().collect::<Vec<_>>()
        };
        let header = self.names.get(..self.own_from).unwrap_or(&self.names);
        let are_same = |(index, (name, own)): (usize, (&String, &String))| {
            name == own || renames_file && self.file.contains(&index)
        };
        let (names, header) = (without_end(&names), without_end(header));
        if names.len() == header.len() && names.iter().zip(&header).enumerate().all(are_same) {
            return Ok(true);
        }
        Err(InputError::SecondHeader { pos, columns: shown(cells) })
    }

    /// Whether a record is a header in which the column of the file has another name, as in another table.
    fn renames_file(&self, names: &[String], cells: &ByteRecord) -> bool {
        let (of_file, others): (Vec<_>, Vec<_>) = names
            .iter()
            .enumerate()
            .filter(|(_, name)| !name.is_empty())
            .partition(|(index, _)| self.file.contains(index));
        let is_other_name =
            |(_, name): &(usize, &String)| OTHER_FILE_NAMES.contains(&name.as_str());
        let others_min = if of_file.iter().any(is_other_name) { 1 } else { 2 };
        others.len() >= others_min
            && others.iter().all(|(_, name)| self.known.contains(*name))
            && self.has_unusual_file(cells)
            && !self.file_cell(cells).is_some_and(|file| is_imagekit_id(file.as_bytes()))
    }

    /// Whether a cell is the name of a column that names files.
    fn names_file_column(&self, cells: &ByteRecord) -> bool {
        let is_own_name = |index: &usize| {
            let cell = cells.get(*index).zip(self.names.get(*index));
            cell.is_some_and(|(cell, name)| folds_to(cell, name))
        };
        let is_file_name = |cell: &[u8]| {
            let first = cell.iter().find(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii());
            let can_begin = |first: &u8| !first.is_ascii() || matches!(first | 0x20, b'f' | b'u');
            first.is_some_and(can_begin) && FILE_NAMES.iter().any(|name| folds_to(cell, name))
        };
        self.file.iter().any(is_own_name) || cells.iter().any(is_file_name)
    }

    /// Whether a cell can be the name of a column; a fast check for nearly all cells.
    fn may_be_name(&self, cell: &[u8]) -> bool {
        let first = cell.iter().find(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii());
        cell.len() <= self.length_max
            && first
                .is_some_and(|first| !first.is_ascii() || self.first_letters.0[usize::from(*first)])
    }

    /// Whether all cells consist of dashes, as below the header of a database's console.
    pub(super) fn is_dashes(cells: &ByteRecord) -> bool {
        let first = cells.iter().find(|cell| !cell.trim_ascii().is_empty()).unwrap_or_default();
        let is_dash = |byte: &u8| matches!(byte, b'-' | b'=' | b'+' | b':' | b'|' | b' ');
        first.trim_ascii().len() > 2 && cells.iter().all(|cell| cell.iter().all(is_dash))
    }

    /// Whether the record is a comment in the way of programming languages and databases.
    pub(super) fn is_comment(cells: &ByteRecord) -> bool {
        let first = cells.get(0).unwrap_or_default().trim_ascii();
        [&b"# "[..], b"-- ", b"// "].iter().any(|mark| first.starts_with(mark))
    }

    /// Whether the last record is a line below the rows. `follows_blank`: a blank line precedes it.
    pub(super) fn is_footer(&self, cells: &ByteRecord, follows_blank: bool) -> bool {
        let first = String::from_utf8_lossy(cells.get(0).unwrap_or_default());
        let words = || first.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
        let first_word = words().next().unwrap_or_default().to_lowercase();
        let can_be_word = !self.has_file(cells) || self.file.contains(&0);
        if can_be_word && FOOTER_WORDS.contains(&fold(&first).as_str()) {
            return true;
        }
        if !self.has_gaps(cells) || self.has_file(cells) {
            return false;
        }
        let counts = || words().any(|word| COUNT_WORDS.contains(&word.to_lowercase().as_str()));
        follows_blank
            || first.trim_start().starts_with(['(', '#', '-', '*', '/', '['])
            || counts()
            || FOOTER_WORDS.contains(&first_word.as_str())
    }

    /// Whether the record may be a line below the rows, so that it matters whether it is the last.
    pub(super) fn may_be_footer(&self, cells: &ByteRecord) -> bool {
        self.has_gaps(cells) || cells.get(0).is_some_and(|cell| cell.len() < 16)
    }

    /// Whether the record has fewer filled cells than the header has columns.
    fn has_gaps(&self, cells: &ByteRecord) -> bool {
        cells.iter().filter(|cell| !cell.trim_ascii().is_empty()).count() < self.columns()
    }

    /// Whether the record is the rest of the one before, which a line end outside quotes cut off.
    pub(super) fn continues(&self, before: &ByteRecord, cells: &ByteRecord) -> bool {
        if is_blank(cells) || is_blank(before) {
            return false;
        }
        let is_rest = if self.is_short(cells) {
            self.is_short_rest(before, cells)
        } else {
            self.is_long_rest(before, cells)
        };
        is_rest || ends_in_backslash(before) && self.has_unusual_file(cells)
    }

    /// Whether a short record is the rest of the one before.
    fn is_short_rest(&self, before: &ByteRecord, cells: &ByteRecord) -> bool {
        // The cell that is cut gives each half a part: more parts are two rows.
        let (parts, parts_max) = (before.len() + cells.len(), self.columns() + 1);
        // A row whose first cell is empty is a row without a file, not the rest of a text.
        let begins_with_text = cells.get(0).is_some_and(|cell| !cell.trim_ascii().is_empty());
        let has_file = self.has_file(cells);
        // An id that is not the usual one has digits, a word of a text has none.
        let may_be_id = self.file_cell(cells).is_some_and(|cell| {
            FileShape::of(&cell) == Some(FileShape::Target)
                || cell.contains(|c: char| c.is_ascii_digit())
        });
        let is_cut_once = parts <= parts_max || !may_be_id;
        begins_with_text && !has_file
            || begins_with_text && self.has_unusual_file(cells) && is_cut_once
            || self.is_short(before)
                && parts == parts_max
                && !(has_file && may_be_id)
                && self.length_and_digits(before) != self.length_and_digits(cells)
    }

    /// Whether a record with all columns is the rest of the one before: the cell that is cut is the last
    /// one and its rest has delimiters, or it is the first one.
    fn is_long_rest(&self, before: &ByteRecord, cells: &ByteRecord) -> bool {
        let file_column = self.file.first().copied().unwrap_or_default();
        if file_column > 0 {
            let fits = before.len() + cells.len() == self.columns() + 1;
            return fits && before.len() <= file_column && !self.has_file(before);
        }
        // Two rows are as likely, unless the text shows: it has words in place of the id, and blanks
        // after its commas, which the row before has not, or more commas than a row.
        let first = String::from_utf8_lossy(cells.get(0).unwrap_or_default());
        let first = first.trim();
        let is_words = FileShape::of(first).is_none()
            && !first.is_empty()
            && (first.contains(char::is_whitespace)
                || !first.contains(|c: char| c.is_ascii_digit()))
            && !has_file_ending(first);
        let has_commas_of_text = has_blanks_after_delimiters(cells)
            && !has_blanks_after_delimiters(before)
            || self.has_surplus(cells);
        is_words && has_commas_of_text && self.has_usual_file(before)
    }

    /// Whether a line in one of the cells is a row of the sheet, because a quote is not closed. Its first
    /// line belongs to the cells before it, and its last one to those after it.
    pub(super) fn swallows_row(&self, cells: &ByteRecord, delimiter: u8) -> bool {
        let Some(usual) = self.usual_shape else { return false };
        cells.iter().enumerate().any(|(index, cell)| {
            let lines: Vec<&[u8]> = cell.split(|byte| matches!(byte, b'\n' | b'\r')).collect();
            let is_row = |(at, line): (usize, &&[u8])| {
                let before = if at == 0 { index } else { 0 };
                let after = if at + 1 == lines.len() { cells.len() - index - 1 } else { 0 };
                let parts: Vec<&[u8]> = line.split(|byte| *byte == delimiter).collect();
                let is_name = |part: &[u8]| {
                    let is_text = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'"';
                    FileShape::of(&file_name(part)) == Some(usual) && !part.iter().any(is_text)
                };
                let names_file = |file: &usize| {
                    let part = file.checked_sub(before).and_then(|at| parts.get(at));
                    part.is_some_and(|part| is_name(part))
                };
                // A text has blanks after its commas.
                let is_text = parts.iter().skip(1).any(|part| part.starts_with(b" "));
                parts.len() > 1
                    && !is_text
                    && before + parts.len() + after == self.columns()
                    && self.file.iter().any(names_file)
            };
            lines.len() > 1 && lines.iter().enumerate().any(is_row)
        })
    }

    /// Whether apostrophes are around the cells, also around the one that names the file.
    pub(super) fn is_in_apostrophes(&self, cells: &ByteRecord) -> bool {
        let is_file = |index: &usize| cells.get(*index).is_some_and(is_in_apostrophes);
        let mut filled = cells.iter().map(<[u8]>::trim_ascii).filter(|cell| !cell.is_empty());
        filled.next().is_some_and(|first| first.starts_with(b"'"))
            && filled.next_back().is_some_and(|last| last.ends_with(b"'"))
            && self.file.iter().any(is_file)
    }

    pub(super) fn is_short(&self, cells: &ByteRecord) -> bool {
        cells.len() < self.columns()
    }

    /// Whether the record has cells beyond the header that are not empty.
    pub(super) fn has_surplus(&self, cells: &ByteRecord) -> bool {
        self.surplus(cells) > 0
            && cells.iter().skip(self.columns()).any(|cell| !cell.trim_ascii().is_empty())
    }

    /// The number of cells that the record has beyond the header.
    pub(super) fn surplus(&self, cells: &ByteRecord) -> usize {
        cells.len().saturating_sub(self.columns())
    }

    /// Whether a cell may be a part of the one before it: two values follow the name of the file.
    pub(super) fn may_be_split(&self, cells: &ByteRecord) -> bool {
        let values = cells.iter().enumerate().filter(|(index, cell)| {
            !self.file.contains(index) && *index < self.own_from && !cell.trim_ascii().is_empty()
        });
        values.count() > 1
    }

    /// Whether the status of an earlier run is right of its column, which has something else.
    pub(super) fn has_moved_status(&self, cells: &ByteRecord) -> bool {
        let Some(column) = self.status else { return false };
        !cells.get(column).is_some_and(is_status) && cells.iter().skip(column + 1).any(is_status)
    }

    /// Whether a cell of a column that is no column of an earlier run contains the delimiter, and so is
    /// quoted.
    pub(super) fn quotes(&self, cells: &ByteRecord, delimiter: u8) -> bool {
        cells.iter().take(self.own_from).any(|cell| cell.contains(&delimiter))
    }

    /// Whether the record has one cell more than the header, and the file is named one cell further right.
    pub(super) fn has_row_number(&self, cells: &ByteRecord) -> bool {
        let shape = |index: usize| FileShape::of(&file_name(cells.get(index).unwrap_or_default()));
        let is_moved = |index: &usize| shape(*index).is_none() && shape(*index + 1).is_some();
        let number = cells.get(0).unwrap_or_default().trim_ascii();
        cells.len() == self.columns() + 1
            && !number.is_empty()
            && number.iter().all(u8::is_ascii_digit)
            && self.file.iter().any(is_moved)
    }

    /// Whether a cell of the record can name a file: it is not empty and not a phrase.
    pub(super) fn has_file(&self, cells: &ByteRecord) -> bool {
        self.file_cell(cells).is_some_and(|cell| {
            let is_target = FileShape::of(&cell) == Some(FileShape::Target);
            is_target || !cell.contains(|c: char| c.is_whitespace() || matches!(c, '(' | ')'))
        })
    }

    /// Learns the shape of the cells that name files from the first row.
    pub(super) fn learn_shape(&mut self, first_row: &ByteRecord) {
        self.usual_shape = self.shape(first_row);
        self.has_usual_rows = self.usual_shape == Some(FileShape::Id)
            && self.file.len() == 1
            && self.columns() > 1
            && self.unnamed.is_empty()
            && self.status.is_none()
            && !self.known.iter().any(is_imagekit_id);
    }

    #[cfg(test)]
    pub(super) fn forget_usual_rows(&mut self) {
        self.has_usual_rows = false;
    }

    /// Whether a record is certainly a row: it has as many cells as the header, and its file has an id of
    /// ImageKit. A fast check for nearly all records; between two such records, only quotes can be damaged.
    pub(super) fn is_usual_row(&self, cells: &ByteRecord) -> bool {
        let file = || self.file.first().and_then(|file| cells.get(*file));
        self.has_usual_rows && cells.len() == self.columns() && file().is_some_and(is_imagekit_id)
    }

    /// Whether the record names its file as the first row does, where that tells it from words.
    fn has_usual_file(&self, cells: &ByteRecord) -> bool {
        self.usual_shape.is_some() && self.shape(cells) == self.usual_shape
    }

    /// Whether the record names its file otherwise than the first row, or not at all.
    fn has_unusual_file(&self, cells: &ByteRecord) -> bool {
        self.usual_shape.is_some() && self.shape(cells) != self.usual_shape
    }

    fn shape(&self, cells: &ByteRecord) -> Option<FileShape> {
        FileShape::of(&self.file_cell(cells)?)
    }

    /// The length of the cell that names the file, and whether it is hexadecimal.
    fn length_and_digits(&self, cells: &ByteRecord) -> Option<(usize, bool)> {
        let cell = self.file_cell(cells)?;
        Some((cell.len(), cell.bytes().all(|byte| byte.is_ascii_hexdigit())))
    }

    fn file_cell<'c>(&self, cells: &'c ByteRecord) -> Option<Cow<'c, str>> {
        let cells = self.file.iter().filter_map(|index| cells.get(*index));
        cells.map(file_name).find(|cell| !cell.is_empty())
    }
}

/// The text of a cell that names a file, without what programs and people put around it.
fn file_name(cell: &[u8]) -> Cow<'_, str> {
    let is_around = |c: char| c.is_whitespace() || matches!(c, '\u{200b}' | '\u{feff}');
    let Ok(text) = std::str::from_utf8(cell) else { return String::from_utf8_lossy(cell) };
    match unforced(text.trim_matches(is_around), true) {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(is_around)),
        Cow::Owned(text) => Cow::Owned(text.trim_matches(is_around).to_owned()),
    }
}

/// Whether a cell after the first one begins with a blank, as the parts of a text do.
fn has_blanks_after_delimiters(cells: &ByteRecord) -> bool {
    cells.iter().skip(1).any(|cell| cell.starts_with(b" "))
}

/// Whether the record ends in a backslash that escapes the line end, as databases write it.
fn ends_in_backslash(cells: &ByteRecord) -> bool {
    let last = cells.iter().next_back().unwrap_or_default();
    last.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Whether a cell is in apostrophes.
pub(super) fn is_in_apostrophes(cell: &[u8]) -> bool {
    let cell = cell.trim_ascii();
    cell.len() > 1 && cell.starts_with(b"'") && cell.ends_with(b"'")
}

/// Whether all cells after the first are empty.
fn is_one_cell(cells: &ByteRecord) -> bool {
    cells.iter().skip(1).all(|cell| cell.trim_ascii().is_empty())
}

pub(super) fn is_blank(cells: &ByteRecord) -> bool {
    cells.iter().all(|cell| cell.trim_ascii().is_empty())
}
