//! The files that hold rows: `report.csv`, and the input's own records with a reason behind them.

use std::borrow::Cow;
use std::io::{self, BufWriter, Write};

use csv::ByteRecord;
use serde_json::{Value, json};

use super::row::RowResult;
use super::sanitize::sanitize;
use crate::atomic_file::AtomicFile;
use crate::input::{Record, own};
use crate::row::{MetadataField, TagChange, Tags, as_slice_or_empty};

const BUFFER_BYTES: usize = 64 << 10;

/// `report.csv`: a line a row, in input order.
pub(super) struct ReportSheet {
    csv: csv::Writer<AtomicFile>,
    extensions: Vec<String>,
}

const REPORT_COLUMNS: [&str; 9] = [
    "row",
    "fileId",
    "status",
    "code",
    "message",
    "attempts",
    "httpStatus",
    "requestId",
    "updatedAt",
];

impl ReportSheet {
    pub(super) fn new(file: AtomicFile, extensions: Vec<String>) -> csv::Result<Self> {
        let mut csv = csv::WriterBuilder::new().buffer_capacity(BUFFER_BYTES).from_writer(file);
        let columns = extensions.iter().map(|name| format!("extensionStatus.{name}"));
        let columns = REPORT_COLUMNS.iter().map(|name| (*name).to_owned()).chain(columns);
        csv.write_record(columns.map(|name| escape_formula(&name).into_owned()))?;
        Ok(Self { csv, extensions })
    }

    pub(super) fn write(
        &mut self,
        number: u64,
        file_id: &str,
        row: &RowResult<'_>,
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
        }
        csv.write_record(None::<&[u8]>)
    }

    pub(super) fn finish(self) -> io::Result<AtomicFile> {
        self.csv.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

/// Text that a spreadsheet program would take for a formula, or a terminal for an order, made
/// harmless. Only for what this program writes: a person's own cells go back as they came.
pub(crate) fn escape_formula(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t']) {
        format!("'{}", sanitize(text)).into()
    } else {
        sanitize(text)
    }
}

/// `failed.*` or `unknown.*`: the input's own records, each with its reason behind it.
pub(super) enum ReturnSheet {
    Cells {
        csv: Box<csv::Writer<AtomicFile>>,
        /// The columns that are a person's own, with their names.
        kept: Vec<(usize, String)>,
        /// All columns, with those that an earlier run wrote.
        columns: usize,
    },
    Layout(BufWriter<AtomicFile>),
}

/// Why a record is in the sheet.
pub(super) struct Reason<'r> {
    pub(super) row: &'r RowResult<'r>,
    /// Fingerprints of the steps that are done, so that they are not repeated.
    pub(super) done: &'r str,
    /// Columns in which a later row has done something else: what this one asked for there is left
    /// out.
    pub(super) superseded_edits: &'r [String],
    /// What is asked of the tags instead, behind what later rows have done to them.
    pub(super) other_tags: Option<&'r TagChange>,
    pub(super) clear_token: &'r str,
}

impl Reason<'_> {
    /// What stands in a column of tags instead of what was there; null for what clears them.
    fn instead(&self, column: &str) -> Option<Value> {
        let list = |tags: Option<&Tags>| Value::from(as_slice_or_empty(tags));
        Some(match (column, self.other_tags?) {
            ("tags", TagChange::Replace(tags)) => list(Some(tags)),
            ("tags", TagChange::Clear) => Value::Null,
            ("addTags", TagChange::Edit { add, .. }) => list(add.as_ref()),
            ("removeTags", TagChange::Edit { remove, .. }) => list(remove.as_ref()),
            _ => return None,
        })
    }

    /// The same as a cell.
    fn instead_as_cell(&self, column: &str) -> Option<String> {
        Some(match self.instead(column)? {
            Value::Null => self.clear_token.to_owned(),
            Value::Array(none) if none.is_empty() => String::new(),
            list => list.to_string(),
        })
    }
}

impl ReturnSheet {
    pub(super) fn cells(file: AtomicFile, header: &ByteRecord) -> csv::Result<Self> {
        let mut csv = csv::WriterBuilder::new().flexible(true).from_writer(file);
        let is_own = |name: &[u8]| own::ALL.iter().any(|own| own.as_bytes() == name.trim_ascii());
        let name = |name: &[u8]| String::from_utf8_lossy(name.trim_ascii()).into_owned();
        let kept: Vec<(usize, String)> = header
            .iter()
            .enumerate()
            .filter(|(_, name)| !is_own(name))
            .map(|(index, column)| (index, name(column)))
            .collect();
        for (index, _) in &kept {
            csv.write_field(header.get(*index).unwrap_or_default())?;
        }
        for name in own::ALL {
            csv.write_field(name)?;
        }
        csv.write_record(None::<&[u8]>)?;
        Ok(Self::Cells { csv: Box::new(csv), kept, columns: header.len() })
    }

    pub(super) fn lines(file: AtomicFile) -> Self {
        Self::Layout(BufWriter::new(file))
    }

    pub(super) fn write(&mut self, record: &Record<'_>, reason: &Reason<'_>) -> io::Result<()> {
        match (self, record) {
            (Self::Cells { csv, kept, columns }, Record::Cells(cells)) => {
                if cells.len() == *columns {
                    let cells = kept.iter().map(|(index, column)| {
                        let cell = cells.get(*index);
                        let cell = cell.filter(|_| !reason.superseded_edits.contains(column));
                        let cell = Cow::Borrowed(cell.unwrap_or_default());
                        let instead = reason.instead_as_cell(column).filter(|_| !cell.is_empty());
                        instead.map_or(cell, |cell| Cow::Owned(cell.into_bytes()))
                    });
                    write_cells(csv, cells, reason).map_err(io::Error::from)
                } else {
                    // Nobody can say which cell belongs to which column. All of them go back, so
                    // that the row stays as wrong as it is until it is mended.
                    let own = *columns - kept.len();
                    let cells = cells.iter().take(cells.len().saturating_sub(own));
                    let cells = cells.map(Cow::Borrowed);
                    write_cells(csv, cells, reason).map_err(io::Error::from)
                }
            }
            (Self::Layout(file), Record::Line(line)) => write_line(file, line, reason),
            _ => unreachable!("a sheet and its records come from one input"),
        }
    }

    pub(super) fn finish(self) -> io::Result<AtomicFile> {
        match self {
            Self::Cells { csv, .. } => csv.into_inner().map_err(csv::IntoInnerError::into_error),
            Self::Layout(file) => file.into_inner().map_err(io::IntoInnerError::into_error),
        }
    }
}

fn write_cells<'c>(
    csv: &mut csv::Writer<AtomicFile>,
    cells: impl Iterator<Item = Cow<'c, [u8]>>,
    reason: &Reason<'_>,
) -> csv::Result<()> {
    for cell in cells {
        csv.write_field(cell)?;
    }
    let Reason { row, done, .. } = reason;
    csv.write_field(row.status.as_str())?;
    csv.write_field(row.code.map_or("", crate::outcome::Code::as_str))?;
    csv.write_field(escape_formula(&row.message).as_bytes())?;
    csv.write_field(done)?;
    csv.write_record(None::<&[u8]>)
}

/// The line itself, with one more key at its end. A line that is no object is left as it is: it
/// must be mended before anything can be added to it.
fn write_line(file: &mut impl Write, line: &[u8], reason: &Reason<'_>) -> io::Result<()> {
    let Reason { row, done, .. } = reason;
    let left = left_of(line, reason);
    let line = left.as_deref().unwrap_or(line);
    let own = json!({
        "status": row.status.as_str(),
        "code": row.code.map_or("", crate::outcome::Code::as_str),
        "message": row.message,
        "done": done,
    });
    let Some(object) = before_own_key(line) else {
        file.write_all(line)?;
        return file.write_all(b"\n");
    };
    file.write_all(object)?;
    let comma = if object.trim_ascii_end().ends_with(b"{") { "" } else { "," };
    writeln!(file, "{comma}\"ikbulk\":{own}}}")
}

/// A line without the keys that are about overtaken fields; none where it is as it was.
fn left_of(line: &[u8], reason: &Reason<'_>) -> Option<Vec<u8>> {
    let superseded_edits = reason.superseded_edits;
    if superseded_edits.is_empty() && reason.other_tags.is_none() {
        return None;
    }
    let is_overtaken = |key: &str| superseded_edits.iter().any(|column| column == key);
    let mut object = serde_json::from_slice::<serde_json::Map<_, Value>>(line).ok()?;
    object.retain(|key, _| !is_overtaken(if key == "publish" { "isPublished" } else { key }));
    if let Some(metadata) = object.get_mut("customMetadata").and_then(|value| value.as_object_mut())
    {
        metadata.retain(|key, _| !is_overtaken(&MetadataField::column_of(key)));
    }
    object.retain(|column, value| match reason.instead(column) {
        None => true,
        Some(Value::Array(none)) if none.is_empty() => false,
        Some(instead) => {
            *value = instead;
            true
        }
    });
    serde_json::to_vec(&object).ok()
}

/// An object's text up to its closing brace, without what ikbulk added to it earlier, which always
/// stands at the end.
fn before_own_key(line: &[u8]) -> Option<&[u8]> {
    const ADDED: &[u8] = b",\"ikbulk\":{\"";
    serde_json::from_slice::<serde_json::Map<String, Value>>(line).ok()?;
    let object = line.trim_ascii_end().strip_suffix(b"}")?;
    let added = memchr::memmem::rfind(object, ADDED);
    match added.and_then(|at| object.split_at_checked(at)) {
        Some((before, _)) => Some(before),
        None => Some(object),
    }
}
