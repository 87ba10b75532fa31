//! Records that are not split into their cells: they have another delimiter than the header, or quotes
//! around the whole line.

use std::borrow::Cow;

use csv::ByteRecord;

use super::{Damage, FileShape, Structure, file_name, is_one_cell};
use crate::input::Delimiter;
use crate::input::raw_records::split_line;
use crate::row::has_file_ending;

impl Structure {
    /// Why a record is not split into its cells; `None` if it is. `text` is the record as written if its
    /// quotes are damaged, and else empty.
    pub(crate) fn unsplit(
        &self,
        cells: &ByteRecord,
        text: &[u8],
        header: Delimiter,
    ) -> Option<Damage> {
        let is_split = || cells.len() >= self.columns() && self.names_file_alone(cells);
        if self.columns() < 2 || text.is_empty() && (!self.may_be_unsplit(cells) || is_split()) {
            return None;
        }
        let line =
            if text.is_empty() { Cow::Owned(joined(cells, header)) } else { Cow::Borrowed(text) };
        let has_cells = |delimiter: &Delimiter| {
            split_line(&line, delimiter.byte())
                .is_some_and(|parts| self.is_row_of_parts(cells, &parts, *delimiter))
        };
        if is_one_cell(cells) && has_cells(&header) {
            return Some(Damage::QuotedLine);
        }
        let mut others = Delimiter::DETECTED.into_iter().filter(|other| *other != header);
        others.find(has_cells).map(|row| Damage::OtherDelimiter { row, header })
    }

    /// Whether a delimiter is where a record that is split has none; a fast check for nearly all records.
    fn may_be_unsplit(&self, cells: &ByteRecord) -> bool {
        let is_delimiter = |byte: u8| matches!(byte, b',' | b';' | b'\t' | b'|');
        let has_delimiter =
            |cell: &[u8]| cell.iter().fold(false, |has, byte| has | is_delimiter(*byte));
        if self.is_short(cells) || is_one_cell(cells) {
            return cells.iter().any(has_delimiter);
        }
        self.file.iter().filter_map(|index| cells.get(*index)).any(has_delimiter)
    }

    /// Whether the parts are the cells of a row, rather than those of a text or of a list of files.
    fn is_row_of_parts(
        &self,
        cells: &ByteRecord,
        parts: &ByteRecord,
        delimiter: Delimiter,
    ) -> bool {
        let is_filled = |part: &[u8]| !part.trim_ascii().is_empty();
        let length = parts.iter().rposition(is_filled).map_or(0, |last| last + 1);
        let has_all_columns = length == self.columns();
        if length < 2 || !(has_all_columns || is_one_cell(cells)) {
            return false;
        }
        let names_file = |index: &usize| {
            let Some(part) = parts.get(*index) else { return false };
            let others = parts.iter().enumerate().filter(|(at, _)| at != index);
            let mut other_files = others.filter(|(_, other)| has_file_ending(&file_name(other)));
            self.is_file_part(part, has_all_columns) && other_files.next().is_none()
        };
        self.file.iter().any(names_file) && !self.lists_ids(cells, delimiter)
    }

    /// Whether a part names a file. Ids of unknown shape count only if the row has all columns.
    fn is_file_part(&self, part: &[u8], has_all_columns: bool) -> bool {
        let name = file_name(part);
        match FileShape::of(&name) {
            Some(FileShape::Id) => true,
            Some(FileShape::Target) => has_file_ending(&name),
            None => {
                let is_of_id =
                    |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
                has_all_columns
                    && self.usual_shape.is_none()
                    && name.bytes().all(is_of_id)
                    && name.bytes().any(|byte| byte.is_ascii_digit())
            }
        }
    }

    /// Whether the record has a cell with nothing but an id, path or URL where the file is named.
    fn names_file_alone(&self, cells: &ByteRecord) -> bool {
        let is_alone = |cell: Cow<'_, str>| match FileShape::of(&cell) {
            Some(FileShape::Id) => true,
            Some(FileShape::Target) => {
                cell.starts_with('/') || cell.starts_with("http://") || cell.starts_with("https://")
            }
            None => false,
        };
        self.file_cell(cells).is_some_and(is_alone)
    }

    /// Whether the cell that names the file is a list of several ids.
    fn lists_ids(&self, cells: &ByteRecord, delimiter: Delimiter) -> bool {
        let Some(cell) = self.file_cell(cells) else { return false };
        let mut parts = cell.split(char::from(delimiter));
        cell.contains(char::from(delimiter))
            && parts.all(|part| FileShape::of(part.trim()) == Some(FileShape::Id))
    }
}

/// The cells with the delimiter between them.
fn joined(cells: &ByteRecord, delimiter: Delimiter) -> Vec<u8> {
    let cells: Vec<&[u8]> = cells.iter().collect();
    cells.join(&delimiter.byte())
}
