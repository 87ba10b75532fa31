//! Writes files as rows of a sheet.

use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use foldhash::HashSet;
use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_128;

use super::columns::{Column, Columns};
use crate::atomic_file::AtomicFile;
use crate::imagekit::ListedFile;
use crate::input::Format;
use crate::row::{Encoded, Field, Rules, is_json_blank};
use crate::workbook_file::{CellValue, Look, WorkbookFile};

/// Maximum unrepresentable values to list.
const NAMED_MAX: usize = 10;

/// A sheet that is being written. The file appears complete or not at all.
pub(crate) struct SheetWriter {
    file: SheetFile,
    columns: Columns,
    rules: Rules,
    exported: Exported,
    /// 128-bit hashes of the ids of all files so far; collisions are negligible.
    seen: HashSet<u128>,
}

enum SheetFile {
    Csv(Box<csv::Writer<AtomicFile>>),
    Jsonl(BufWriter<AtomicFile>),
    Workbook(Box<WorkbookFile>, AtomicFile),
}

/// The result of an export.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exported {
    /// Path of the sheet.
    pub path: PathBuf,
    /// Number of files in the sheet.
    pub files: u64,
    /// Number of repeated files, which were skipped.
    pub twice: u64,
    /// Number of values that no cell can represent, which were omitted; if the value is a `fileId`,
    /// its row was omitted.
    pub unwritten: u64,
    /// The first omitted values, as (file id, column).
    pub first_unwritten: Vec<(String, String)>,
}

impl SheetWriter {
    /// Creates the sheet and writes its header.
    ///
    /// # Errors
    /// The sheet cannot be written.
    pub(crate) fn create(
        path: &Path,
        format: Format,
        columns: Columns,
        rules: Rules,
    ) -> io::Result<Self> {
        let mut output = AtomicFile::at(path)?;
        let file = match format {
            Format::Csv => {
                // Excel takes a CSV without a BOM for Windows-1252, and breaks every accent.
                output.write_all(b"\xEF\xBB\xBF")?;
                let mut csv = csv::Writer::from_writer(output);
                csv.write_record(columns.iter().map(Column::name))?;
                SheetFile::Csv(Box::new(csv))
            }
            Format::Jsonl => SheetFile::Jsonl(BufWriter::new(output)),
            Format::Xlsx | Format::Ods => {
                let directory = path.parent().unwrap_or(Path::new(""));
                SheetFile::Workbook(Box::new(begin_workbook(directory, &columns)?), output)
            }
        };
        let (exported, seen) = (Exported::default(), HashSet::default());
        Ok(Self { file, columns, rules, exported, seen })
    }

    /// The number of distinct files so far.
    #[must_use]
    pub(crate) fn files(&self) -> u64 {
        self.seen.len() as u64
    }

    /// Writes a file's row. Skips repeated files: pages of a listing overlap if files are created
    /// or deleted meanwhile.
    ///
    /// # Errors
    /// The sheet cannot be written.
    pub(crate) fn write(&mut self, file: &ListedFile) -> io::Result<()> {
        let Self { file: sheet, columns, rules, exported, seen } = self;
        if !seen.insert(xxh3_128(file.file_id.as_bytes())) {
            exported.twice += 1;
            return Ok(());
        }
        match sheet {
            SheetFile::Csv(csv) => {
                let row = exported.row(file, columns, |column| column.as_text(file, rules));
                if let Some(row) = row {
                    csv.write_record(row.map(|(_, text)| text.unwrap_or_default()))?;
                }
            }
            SheetFile::Jsonl(lines) => {
                let row = exported.row(file, columns, |column| column.as_json(file, rules));
                if let Some(row) = row {
                    serde_json::to_writer(&mut *lines, &object(row))?;
                    lines.write_all(b"\n")?;
                }
            }
            SheetFile::Workbook(workbook, _) => {
                let row = exported.row(file, columns, |column| column.as_cell(file, rules));
                if let Some(row) = row {
                    let row: Vec<_> = row.collect();
                    workbook.write_row(
                        row.iter().map(|(column, value)| cell(column, value.as_ref())),
                    )?;
                }
            }
        }
        Ok(())
    }

    /// Completes the sheet and renames it to its final name.
    ///
    /// # Errors
    /// The sheet cannot be written.
    pub(crate) fn finish(self) -> io::Result<Exported> {
        let output = match self.file {
            SheetFile::Csv(csv) => csv.into_inner().map_err(csv::IntoInnerError::into_error)?,
            SheetFile::Jsonl(lines) => {
                lines.into_inner().map_err(io::IntoInnerError::into_error)?
            }
            SheetFile::Workbook(workbook, output) => workbook.finish(output)?,
        };
        Ok(Exported { path: output.finish()?, ..self.exported })
    }
}

impl Exported {
    /// Encodes and counts a file's row and its omitted values. Returns the cells by column; `None`
    /// if the file id cannot be represented.
    fn row<'c, T>(
        &mut self,
        file: &ListedFile,
        columns: &'c Columns,
        encode: impl Fn(&Column) -> Encoded<T>,
    ) -> Option<impl Iterator<Item = (&'c Column, Option<T>)>> {
        let mut row = Vec::new();
        for column in columns.iter() {
            let cell = match encode(column) {
                Encoded::As(cell) => Some(cell),
                Encoded::Nothing if !column.names_file() => None,
                Encoded::Nothing | Encoded::NotRepresentable => {
                    self.count_unwritten(file, column);
                    None
                }
            };
            if cell.is_none() && column.names_file() {
                return None;
            }
            row.push((column, cell));
        }
        self.files += 1;
        Some(row.into_iter())
    }

    fn count_unwritten(&mut self, file: &ListedFile, column: &Column) {
        self.unwritten += 1;
        if self.first_unwritten.len() < NAMED_MAX {
            self.first_unwritten.push((file.file_id.clone(), column.name()));
        }
    }
}

/// Begins a workbook with a header.
fn begin_workbook(directory: &Path, columns: &Columns) -> io::Result<WorkbookFile> {
    let names: Vec<String> = columns.iter().map(Column::name).collect();
    let mut workbook = WorkbookFile::new("Files", directory, names.len(), &[])?;
    workbook.write_row(names.iter().map(|name| (CellValue::Text(name), Look::Header)))?;
    Ok(workbook)
}

/// A value as the cell of a worksheet. Numbers that a worksheet would round are text.
fn cell<'v>(column: &Column, value: Option<&'v Value>) -> (CellValue<'v>, Look) {
    let value = match value {
        Some(Value::String(text)) if column.has_dates() && is_day(text) => CellValue::Date(text),
        Some(Value::String(text)) => CellValue::Text(text),
        Some(Value::Bool(boolean)) => CellValue::Boolean(*boolean),
        Some(Value::Number(number)) => CellValue::Number(number.as_f64().unwrap_or_default()),
        _ => CellValue::Empty,
    };
    (value, Look::Plain)
}

/// Whether a text is a date without a time that a worksheet can store: from 1900-03-01, because
/// before that spreadsheet programs count a day that did not exist.
fn is_day(text: &str) -> bool {
    let day = text.parse::<jiff::civil::Date>();
    text.len() == "2026-11-24".len() && day.is_ok_and(|day| day >= jiff::civil::date(1900, 3, 1))
}

/// A row as a JSON object. Absent and empty values are omitted: null would clear the field.
fn object<'c>(row: impl Iterator<Item = (&'c Column, Option<Value>)>) -> Map<String, Value> {
    let mut object = Map::new();
    let mut metadata = Map::new();
    for (column, value) in row {
        match (column, value) {
            (_, None) => {}
            (_, Some(value)) if is_json_blank(&value) => {}
            (Column::Field(_, Field::CustomMetadata(field)), Some(value)) => {
                metadata.insert(field.name.to_string(), value);
            }
            (Column::ReadOnly(..) | Column::Field(..), Some(value)) => {
                object.insert(column.name(), value);
            }
        }
    }
    if !metadata.is_empty() {
        object.insert("customMetadata".to_owned(), metadata.into());
    }
    object
}
