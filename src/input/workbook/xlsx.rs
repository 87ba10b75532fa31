//! Reads a worksheet of an unpacked XLSX workbook.

use std::fmt::Write as _;
use std::io::{Seek, Write};
use std::rc::Rc;

use calamine::{
    DataRef, Reader as _, SheetType, SheetVisible, Xlsx, XlsxCellReader, XlsxError,
    XlsxFormulaMetadata,
};

use super::WorkbookError;
use super::choice::{Choice, Worksheet};
use super::limits::{CELL_BYTES_MAX, larger_cell};
use super::metered::{Meter, Metered};
use super::rows::Rows;
use super::stored::{self, Stored};
use super::unpack::Unpacked;

/// Writes the rows of the worksheet with this name, or of the first one, to `out`. Returns its name.
pub(super) fn convert<W: Write + Seek>(
    mut unpacked: Unpacked,
    name: Option<&str>,
    out: W,
) -> Result<(Choice, W), WorkbookError> {
    let meter = Rc::new(Meter::default());
    let file = unpacked.file.try_clone().map_err(WorkbookError::Unpack)?;
    let file = Metered::new(file, Rc::clone(&meter)).map_err(WorkbookError::Unpack)?;
    let mut workbook = Xlsx::new(file).map_err(|error| damaged(&error))?;
    let worksheets = workbook.sheets_metadata().iter();
    let worksheets = worksheets.filter(|sheet| sheet.typ == SheetType::WorkSheet);
    let worksheets = worksheets.map(|sheet| Worksheet {
        name: sheet.name.clone(),
        is_hidden: sheet.visible != SheetVisible::Visible,
    });
    let choice = Choice::of(worksheets.collect(), name)?;
    meter.allow(CELL_BYTES_MAX);
    let cells = match workbook.worksheet_cells_reader(&choice.name) {
        Ok(cells) => cells,
        Err(XlsxError::WorksheetNotFound(_)) => {
            let why = format!("the part of worksheet {:?} is missing", choice.name);
            return Err(WorkbookError::damaged(why));
        }
        Err(_) if meter.is_exceeded() => return Err(larger_cell()),
        Err(error) => return Err(damaged(&error)),
    };
    let found = unpacked.found_at(meter.offset());
    let mut worksheet = CellsToRows {
        cells,
        rows: Rows::new(out, found.merged)?,
        meter: &meter,
        name: &choice.name,
        last: None,
        is_uncalculated: unpacked.is_uncalculated,
        text: String::new(),
    };
    if found.has_no_formula {
        worksheet.read_values()?;
    } else {
        worksheet.read_values_and_formulas()?;
    }
    match worksheet.into_rows().finish()? {
        Some(out) => Ok((choice, out)),
        None => Err(choice.empty()),
    }
}

/// Puts the cells of a worksheet into rows.
struct CellsToRows<'w, W> {
    cells: XlsxCellReader<'w, Metered>,
    rows: Rows<W>,
    meter: &'w Meter,
    /// The name of the worksheet.
    name: &'w str,
    /// Where the last cell is.
    last: Option<(u32, u32)>,
    /// Whether the formulas are not calculated.
    is_uncalculated: bool,
    /// The text of a cell that does not hold it as text.
    text: String,
}

impl<W: Write> CellsToRows<'_, W> {
    /// Reads all cells of a worksheet without formulas. Each cell is looked at where the reader puts it,
    /// because a cell is large to move.
    fn read_values(&mut self) -> Result<(), WorkbookError> {
        loop {
            self.meter.allow(CELL_BYTES_MAX);
            match self.cells.next_cell() {
                Ok(Some(cell)) => self.add(cell.get_position(), cell.get_value(), None)?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.unreadable(&error)),
            }
        }
    }

    /// Reads all cells, more slowly.
    fn read_values_and_formulas(&mut self) -> Result<(), WorkbookError> {
        loop {
            self.meter.allow(CELL_BYTES_MAX);
            match self.cells.next_cell_with_formula_metadata() {
                Ok(Some(cell)) => self.add(cell.pos, &cell.value, cell.formula.as_ref())?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.unreadable(&error)),
            }
        }
    }

    fn into_rows(self) -> Rows<W> {
        self.rows
    }

    fn unreadable(&self, error: &XlsxError) -> WorkbookError {
        if self.meter.is_exceeded() {
            larger_cell()
        } else {
            unreadable_cell(self.name, self.last, error)
        }
    }

    fn add(
        &mut self,
        pos: (u32, u32),
        value: &DataRef<'_>,
        formula: Option<&XlsxFormulaMetadata>,
    ) -> Result<(), WorkbookError> {
        self.last = Some(pos);
        self.text.clear();
        // Some programs write 0 where they do not calculate.
        let (kind, text) = if self.is_uncalculated && formula.is_some() && is_zero(value) {
            formula_text(formula, &mut self.text)
        } else {
            text_of(value, formula, &mut self.text)
        };
        self.rows.push((pos.0.saturating_add(1), pos.1), kind, text)
    }
}

/// What a cell holds, and its text. Text that the cell does not hold as such is put into `made`, an empty
/// string.
fn text_of<'c>(
    value: &'c DataRef<'_>,
    formula: Option<&XlsxFormulaMetadata>,
    made: &'c mut String,
) -> (Stored, &'c str) {
    match value {
        DataRef::Empty => formula_text(formula, made),
        DataRef::String(value) | DataRef::DurationIso(value) => (Stored::Text, value),
        DataRef::SharedString(value) => (Stored::Text, value),
        DataRef::Int(value) => {
            made.push_str(&value.to_string());
            (Stored::Number, made)
        }
        DataRef::Float(value) => {
            push_number(made, *value);
            (Stored::Number, made)
        }
        DataRef::Bool(value) => (Stored::Boolean, if *value { "true" } else { "false" }),
        DataRef::DateTime(value) => {
            let date = stored::date(*value);
            let kind = if date.is_some() { Stored::Date } else { Stored::Number };
            made.push_str(&date.unwrap_or_else(|| stored::number(value.as_f64())));
            (kind, made)
        }
        DataRef::DateTimeIso(value) => (Stored::Date, stored::iso_date(value)),
        DataRef::Error(value) => {
            made.push_str(&value.to_string());
            (Stored::Error, made)
        }
    }
}

fn is_zero(value: &DataRef<'_>) -> bool {
    matches!(value, DataRef::Int(0) | DataRef::Float(0.0))
}

/// Appends a number; most are short.
fn push_number(text: &mut String, value: f64) {
    const WHOLE_MAX: f64 = 1e15;
    // Smaller and larger numbers are written with an exponent by the fast algorithm.
    const FRACTION_MIN: f64 = 1e-4;
    let size = value.abs();
    if size < WHOLE_MAX && value.fract() == 0.0 {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and below 10^15")]
        let whole = value as i64;
        let written = write!(text, "{whole}");
        debug_assert!(written.is_ok(), "writing to a string does not fail");
    } else if (FRACTION_MIN..WHOLE_MAX).contains(&size) {
        text.push_str(zmij::Buffer::new().format_finite(value));
    } else {
        text.push_str(&stored::number(value));
    }
}

/// What a cell without a stored value holds: nothing, or a formula.
fn formula_text<'c>(
    formula: Option<&XlsxFormulaMetadata>,
    made: &'c mut String,
) -> (Stored, &'c str) {
    let Some(formula) = formula else { return (Stored::Text, "") };
    made.push('=');
    match formula {
        XlsxFormulaMetadata::Normal { formula } | XlsxFormulaMetadata::Shared { formula, .. } => {
            made.push_str(formula);
        }
        // The formula is that of another cell.
        _ => made.push('…'),
    }
    (Stored::Formula, made)
}

fn damaged(error: &XlsxError) -> WorkbookError {
    match error {
        XlsxError::Password => WorkbookError::Encrypted,
        XlsxError::NotAWorksheet(_) => WorkbookError::damaged("its worksheet has no cells"),
        other => WorkbookError::damaged(other),
    }
}

/// The error for the cell after `last`.
fn unreadable_cell(worksheet: &str, last: Option<(u32, u32)>, error: &XlsxError) -> WorkbookError {
    let Some((row, column)) = last else { return damaged(error) };
    let why = match error {
        XlsxError::CellError(value) => format!(
            "a cell after it has the error value {value:?}, which is not known; fix its formula, and \
             save the workbook again"
        ),
        other => format!(
            "the cells after it cannot be read: {other}; open the workbook in a spreadsheet program, \
             and save it again as XLSX"
        ),
    };
    let cell = stored::address(u64::from(row) + 1, column as usize);
    WorkbookError::Cell { worksheet: worksheet.to_owned(), cell, why }
}
