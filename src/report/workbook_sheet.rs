//! `failed.xlsx` and `unknown.xlsx`: rows of a worksheet with their results, and the cells that are to
//! be fixed marked.

use std::io;

use csv::ByteRecord;

use super::reason::{Reason, remaining_cell};
use crate::atomic_file::AtomicFile;
use crate::input::{NO_ROW, Records, Stored, own};
use crate::outcome::Code;
use crate::row::without_addresses;
use crate::workbook_file::{CELL_LENGTH_MAX, CellValue, Look, WorkbookFile};

/// What stands for a value that the row cannot be sent without, and that is not in its cell: the row
/// is refused until a person has written the value.
const NO_VALUE: &str = "#VALUE!";

/// The index of the message among the columns that are added.
const MESSAGE_INDEX: usize = 2;

/// Writes rows of a worksheet.
pub(super) struct WorkbookWriter {
    workbook: WorkbookFile,
    file: AtomicFile,
    columns: Vec<InputColumn>,
}

/// A column of the input.
struct InputColumn {
    index: usize,
    /// The name of its field, or of the column if it is not read.
    name: String,
    is_read: bool,
    /// Whether it holds ids, which a program must not take for numbers when a person writes them again.
    has_ids: bool,
}

impl WorkbookWriter {
    /// Writes the header.
    pub(super) fn new(
        file: AtomicFile,
        worksheet: &str,
        records: &Records,
        header: &ByteRecord,
    ) -> io::Result<Self> {
        let is_own = |name: &[u8]| own::ALL.iter().any(|own| own.as_bytes() == name.trim_ascii());
        let own_from = header.iter().position(is_own).unwrap_or(usize::MAX);
        let names = header.iter().zip(records.column_names()).enumerate();
        let columns = names.filter(|(index, (name, _))| {
            // A cell that marked a row as none is beyond the columns of the earlier run.
            !is_own(name) && (*index < own_from || !name.is_empty())
        });
        let columns: Vec<InputColumn> = columns
            .map(|(index, (_, name))| {
                let has_ids = name == "fileId";
                InputColumn { index, name, is_read: records.reads(index), has_ids }
            })
            .collect();
        let message = columns.len() + MESSAGE_INDEX;
        let count = columns.len() + own::ALL.len();
        let mut workbook = WorkbookFile::new(worksheet, file.directory(), count, &[message])?;
        let text = |index: usize| String::from_utf8_lossy(header.get(index).unwrap_or_default());
        let names: Vec<_> = columns.iter().map(|column| text(column.index)).collect();
        let names = names.iter().map(AsRef::as_ref).chain(own::ALL);
        workbook.write_row(names.map(|name| (CellValue::Text(name), Look::Header)))?;
        Ok(Self { workbook, file, columns })
    }

    /// Writes a row.
    pub(super) fn write(
        &mut self,
        cells: &ByteRecord,
        kinds: &[Stored],
        is_row: bool,
        reason: &Reason<'_>,
    ) -> io::Result<()> {
        let remaining: Vec<_> = self
            .columns
            .iter()
            .map(|column| remaining_cell(cells, column.index, &column.name, reason))
            .collect();
        let texts: Vec<_> = remaining.iter().map(|cell| String::from_utf8_lossy(cell)).collect();
        let input = self.columns.iter().zip(&texts).map(|(column, text)| {
            let is_as_before = cells.get(column.index) == Some(text.as_bytes());
            let kind = kinds.get(column.index).filter(|_| is_as_before);
            let is_bad = reason.bad_columns.contains(&column.index);
            let look = if is_bad { Look::Bad } else { Look::Plain };
            let kind = kind.copied().filter(|_| !column.has_ids).unwrap_or_default();
            (value(kind, text, column.is_read), look)
        });
        let row = reason.row;
        let message = without_addresses(&row.message);
        let results = [
            row.status.as_str(),
            row.code.map_or("", Code::as_str),
            &message,
            reason.done,
            if is_row { "" } else { NO_ROW },
        ];
        let results = results.map(|text| (CellValue::Text(text), Look::Plain));
        self.workbook.write_row(input.chain(results))
    }

    pub(super) fn finish(self) -> io::Result<AtomicFile> {
        self.workbook.finish(self.file)
    }
}

/// The value of a cell as it was stored.
fn value(kind: Stored, text: &str, is_read: bool) -> CellValue<'_> {
    match kind {
        _ if text.is_empty() => CellValue::Empty,
        Stored::Covered | Stored::Formula if is_read => CellValue::Text(NO_VALUE),
        Stored::Covered => CellValue::Empty,
        Stored::Number => text.parse().map_or(CellValue::Text(text), CellValue::Number),
        Stored::Boolean => CellValue::Boolean(text == "true"),
        Stored::Date => CellValue::Date(text),
        _ if text.chars().count() > CELL_LENGTH_MAX => CellValue::Text(NO_VALUE),
        Stored::Text | Stored::Error | Stored::Formula => CellValue::Text(text),
    }
}
