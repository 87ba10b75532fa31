//! Writes the sheets of a run: `report.csv`, and `failed.*` and `unknown.*` with records of the
//! input and their results.

use std::io::{self, Write};

use csv::ByteRecord;
use serde_json::Value;

use super::csv_line::CsvLine;
use super::encoded_file::EncodedFile;
use super::json_records::JsonWriter;
use super::reason::{Reason, remaining_cell};
use super::result_cells::result_cells;
use super::row::RowResult;
use super::workbook_sheet::WorkbookWriter;
use crate::atomic_file::AtomicFile;
use crate::extension_results::ExtensionResults;
use crate::input::{DamagedText, NO_ROW, Record, Records, own, report};
use crate::row::Rules;
use crate::sanitize::escape_formula;

const BUFFER_BYTES: usize = 64 << 10;

/// `report.csv`: one line per row, in input order.
pub(super) struct ReportSheet<'r> {
    csv: csv::Writer<AtomicFile>,
    extensions: Vec<String>,
    rules: &'r Rules,
}

impl<'r> ReportSheet<'r> {
    pub(super) fn new(
        file: AtomicFile,
        extensions: Vec<String>,
        rules: &'r Rules,
    ) -> csv::Result<Self> {
        let mut csv = csv::WriterBuilder::new().buffer_capacity(BUFFER_BYTES).from_writer(file);
        let statuses = extensions.iter().map(|name| format!("extensionStatus.{name}"));
        let results = report::RESULTS.iter().filter(|_| !extensions.is_empty());
        let columns = report::COMMON.iter().map(|name| (*name).to_owned());
        let columns = columns.chain(statuses).chain(results.map(|name| (*name).to_owned()));
        csv.write_record(columns.map(|name| escape_formula(&name).into_owned()))?;
        Ok(Self { csv, extensions, rules })
    }

    pub(super) fn write(
        &mut self,
        number: u64,
        file_id: &str,
        row: &RowResult<'_>,
        found: Option<&ExtensionResults>,
    ) -> csv::Result<()> {
        let csv = &mut self.csv;
        csv.write_field(number.to_string())?;
        csv.write_field(escape_formula(file_id).as_bytes())?;
        csv.write_field(row.status.as_str())?;
        csv.write_field(row.code.map_or("", crate::outcome::Code::as_str))?;
        csv.write_field(escape_formula(&row.message).as_bytes())?;
        csv.write_field(row.attempts.to_string())?;
        csv.write_field(row.http_status.map_or(String::new(), |status| status.to_string()))?;
        csv.write_field(escape_formula(row.request_id.unwrap_or_default()).as_bytes())?;
        csv.write_field(escape_formula(row.updated_at.unwrap_or_default()).as_bytes())?;
        if !self.extensions.is_empty() {
            let statuses: serde_json::Map<String, Value> = row
                .extension_status
                .and_then(|json| serde_json::from_str(json).ok())
                .unwrap_or_default();
            for name in &self.extensions {
                let status = statuses.get(name).map(|status| match status.as_str() {
                    Some(word) => word.to_owned(),
                    None => status.to_string(),
                });
                csv.write_field(escape_formula(&status.unwrap_or_default()).as_bytes())?;
            }
            for cell in result_cells(found, self.rules) {
                csv.write_field(escape_formula(&cell).as_bytes())?;
            }
        }
        csv.write_record(None::<&[u8]>)
    }

    pub(super) fn finish(self) -> io::Result<AtomicFile> {
        self.csv.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

/// `failed.*` or `unknown.*`: records of the input with their results.
pub(super) struct ReturnSheet {
    records: RecordWriter,
    is_empty: bool,
}

enum RecordWriter {
    Cells(CellWriter),
    Json(JsonWriter),
    Workbook(Box<WorkbookWriter>),
}

/// Writes CSV records in the delimiter of the input.
struct CellWriter {
    file: EncodedFile,
    line: CsvLine,
    /// Index of each column of the original input, without those that an earlier run added, and the
    /// name of its field.
    input_columns: Vec<(usize, String)>,
    /// The number of columns, including those that an earlier run added.
    columns: usize,
}

impl ReturnSheet {
    pub(super) fn cells(
        file: EncodedFile,
        records: &Records,
        header: &ByteRecord,
    ) -> io::Result<Self> {
        let writer = CellWriter::new(file, records, header)?;
        Ok(Self { records: RecordWriter::Cells(writer), is_empty: true })
    }

    pub(super) fn json(writer: JsonWriter) -> Self {
        Self { records: RecordWriter::Json(writer), is_empty: true }
    }

    pub(super) fn workbook(writer: WorkbookWriter) -> Self {
        Self { records: RecordWriter::Workbook(Box::new(writer)), is_empty: true }
    }

    pub(super) fn write(&mut self, record: &Record<'_>, reason: &Reason<'_>) -> io::Result<()> {
        self.is_empty = false;
        match (&mut self.records, record) {
            (RecordWriter::Cells(writer), Record::Cells(cells)) => writer.write(cells, reason),
            (RecordWriter::Cells(writer), Record::NoRow(cells)) => {
                writer.write_no_row(cells, reason)
            }
            (RecordWriter::Cells(writer), Record::Text(text)) => writer.write_text(text, reason),
            (RecordWriter::Json(writer), Record::Line(line)) => writer.write(line, reason),
            (RecordWriter::Workbook(writer), Record::Worksheet { cells, kinds, is_row }) => {
                writer.write(cells, kinds, *is_row, reason)
            }
            _ => unreachable!("a sheet and its records come from one input"),
        }
    }

    /// The finished file; `None` if it has no records.
    pub(super) fn finish(self) -> io::Result<Option<AtomicFile>> {
        if self.is_empty {
            return Ok(None);
        }
        Ok(Some(match self.records {
            RecordWriter::Cells(CellWriter { file, .. }) => file.finish()?,
            RecordWriter::Json(writer) => writer.finish()?,
            RecordWriter::Workbook(writer) => writer.finish()?,
        }))
    }
}

impl CellWriter {
    /// Writes the header.
    fn new(mut file: EncodedFile, records: &Records, header: &ByteRecord) -> io::Result<Self> {
        let is_own = |name: &[u8]| own::ALL.iter().any(|own| own.as_bytes() == name.trim_ascii());
        let names = header.iter().zip(records.column_names()).enumerate();
        let input_columns: Vec<(usize, String)> = names
            .filter(|(_, (name, _))| !is_own(name))
            .map(|(index, (_, name))| (index, name))
            .collect();
        let mut line = CsvLine::new(records.delimiter());
        for (index, _) in &input_columns {
            line.push(header.get(*index).unwrap_or_default());
        }
        for name in own::ALL {
            line.push(name);
        }
        file.write_all(&line.end())?;
        Ok(Self { file, line, input_columns, columns: header.len() })
    }

    fn write(&mut self, cells: &ByteRecord, reason: &Reason<'_>) -> io::Result<()> {
        if cells.iter().skip(self.columns).any(|cell| !cell.trim_ascii().is_empty()) {
            return self.write_no_row(cells, reason);
        }
        for (index, column) in &self.input_columns {
            self.line.push(remaining_cell(cells, *index, column, reason));
        }
        self.end(reason, None)
    }

    /// Writes a record whose cells cannot be matched to columns, so that it stays invalid until it is
    /// fixed.
    fn write_no_row(&mut self, cells: &ByteRecord, reason: &Reason<'_>) -> io::Result<()> {
        let mut count = cells.len();
        let own = self.columns - self.input_columns.len();
        if own > 0 && count >= self.columns {
            let is_marked = cells.iter().next_back() == Some(NO_ROW.as_bytes());
            count -= own + usize::from(is_marked);
        }
        cells.iter().take(count).for_each(|cell| self.line.push(cell));
        self.line.pad(self.input_columns.len());
        self.end(reason, Some(NO_ROW))
    }

    /// Writes a record whose quotes are damaged. Quoting its cells anew would hide the damage.
    fn write_text(&mut self, text: &DamagedText<'_>, reason: &Reason<'_>) -> io::Result<()> {
        let own = self.columns - self.input_columns.len();
        let cells = text.cells.saturating_sub(own);
        self.line.push_verbatim(text.first_cells(cells), cells);
        self.line.pad(self.input_columns.len());
        self.end(reason, None)
    }

    /// Adds the result of the record, and ends it.
    fn end(&mut self, reason: &Reason<'_>, last: Option<&str>) -> io::Result<()> {
        let Reason { row, done, .. } = reason;
        self.line.push(row.status.as_str());
        self.line.push(row.code.map_or("", crate::outcome::Code::as_str));
        self.line.push(escape_formula(&row.message).as_bytes());
        self.line.push(done);
        if let Some(last) = last {
            self.line.push(last);
        }
        self.file.write_all(&self.line.end())
    }
}
