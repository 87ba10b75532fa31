//! Writes a workbook with one worksheet, row by row: the rows are in a temporary file, not in memory.

use std::io::{self, BufWriter};
use std::path::Path;

use rust_xlsxwriter::{
    Color, DocProperties, ExcelDateTime, Format, FormatAlign, Workbook, Worksheet, XlsxError,
};

use crate::atomic_file::AtomicFile;

/// Characters that a cell can hold.
pub(crate) const CELL_LENGTH_MAX: usize = 32_767;
/// Rows that a worksheet can hold.
pub(crate) const ROWS_MAX: u32 = 1 << 20;
/// Widths of columns, in characters.
const COLUMN_WIDTH: f64 = 22.0;
const WIDE_COLUMN_WIDTH: f64 = 70.0;

/// The value of a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum CellValue<'v> {
    /// No value.
    Empty,
    /// Text, never taken for a number or formula.
    Text(&'v str),
    /// A number.
    Number(f64),
    /// A boolean.
    Boolean(bool),
    /// A date, a time or both, in ISO 8601; text if it is none.
    Date(&'v str),
}

/// How a cell looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Look {
    #[default]
    Plain,
    /// It is to be fixed.
    Bad,
    /// It is the name of a column.
    Header,
}

/// A workbook that is being written.
pub(crate) struct WorkbookFile {
    workbook: Workbook,
    row: u32,
    columns: u16,
    formats: Formats,
}

/// Formats by look: of text, of other values, and of dates, times and both.
struct Formats([[Format; 5]; 3]);

impl Formats {
    fn new() -> Self {
        let looks = [
            Format::new(),
            Format::new()
                .set_background_color(Color::RGB(0x00FF_C7CE))
                .set_font_color(Color::RGB(0x009C_0006)),
            Format::new().set_bold().set_align(FormatAlign::Top),
        ];
        let numbers = ["@", "General", "yyyy-mm-dd", "hh:mm:ss", "yyyy-mm-dd hh:mm:ss"];
        Self(looks.map(|look| numbers.map(|number| look.clone().set_num_format(number))))
    }

    fn get(&self, look: Look, number: usize) -> &Format {
        let looks = &self.0[look as usize];
        looks.get(number).unwrap_or(&looks[0])
    }
}

impl WorkbookFile {
    /// Begins a workbook; `directory` is for its temporary files. `wide` are columns with long text.
    pub(crate) fn new(
        worksheet: &str,
        directory: &Path,
        columns: usize,
        wide: &[usize],
    ) -> io::Result<Self> {
        let mut workbook = Workbook::new();
        // Equal rows make equal files.
        let properties = ExcelDateTime::from_ymd(2026, 1, 1).map_err(io::Error::other)?;
        workbook.set_properties(&DocProperties::new().set_creation_datetime(&properties));
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        workbook.set_tempdir(directory).map_err(io::Error::other)?;
        let formats = Formats::new();
        let sheet = workbook.add_worksheet_with_constant_memory().map_err(io::Error::other)?;
        // Other programs allow names that Excel does not; the name that it has already is good.
        drop(sheet.set_name(worksheet).map(|_| ()));
        let columns = u16::try_from(columns).map_err(io::Error::other)?;
        prepare(sheet, columns, wide, &formats).map_err(io::Error::other)?;
        Ok(Self { workbook, row: 0, columns, formats })
    }

    /// Writes the next row.
    ///
    /// # Errors
    /// The worksheet is full, or the temporary file cannot be written.
    pub(crate) fn write_row<'v>(
        &mut self,
        cells: impl IntoIterator<Item = (CellValue<'v>, Look)>,
    ) -> io::Result<()> {
        if self.row >= ROWS_MAX {
            return Err(io::Error::other(
                "a worksheet holds at most 1,048,576 rows; write a sheet in another format, such as .csv",
            ));
        }
        let sheet = self.workbook.worksheet_from_index(0).map_err(io::Error::other)?;
        for (column, (value, look)) in (0_u16..).zip(cells) {
            let at = (self.row, column);
            write_cell(sheet, at, value, look, &self.formats).map_err(io::Error::other)?;
        }
        self.row += 1;
        Ok(())
    }

    /// Writes the workbook to a file. The names of columns stay in sight, and can be filtered by.
    pub(crate) fn finish(mut self, mut file: AtomicFile) -> io::Result<AtomicFile> {
        if self.row > 1 && self.columns > 0 {
            let sheet = self.workbook.worksheet_from_index(0).map_err(io::Error::other)?;
            let filter = sheet.autofilter(0, 0, self.row - 1, self.columns - 1);
            filter.map_err(io::Error::other)?;
        }
        let out = BufWriter::new(&mut file);
        self.workbook.save_to_writer(out).map_err(io::Error::other)?;
        Ok(file)
    }
}

/// What must be set before the first row.
fn prepare(
    sheet: &mut Worksheet,
    columns: u16,
    wide: &[usize],
    formats: &Formats,
) -> Result<(), XlsxError> {
    sheet.set_freeze_panes(1, 0)?;
    for column in 0..columns {
        let is_wide = wide.contains(&usize::from(column));
        sheet.set_column_width(column, if is_wide { WIDE_COLUMN_WIDTH } else { COLUMN_WIDTH })?;
        // What a person types stays the text that it is.
        sheet.set_column_format(column, formats.get(Look::Plain, 0))?;
    }
    Ok(())
}

fn write_cell(
    sheet: &mut Worksheet,
    (row, column): (u32, u16),
    value: CellValue<'_>,
    look: Look,
    formats: &Formats,
) -> Result<(), XlsxError> {
    let text = formats.get(look, 0);
    let written = match value {
        CellValue::Empty | CellValue::Text("") if look == Look::Plain => return Ok(()),
        CellValue::Empty => sheet.write_blank(row, column, text),
        CellValue::Text(value) => sheet.write_string_with_format(row, column, value, text),
        CellValue::Number(number) => {
            sheet.write_number_with_format(row, column, number, formats.get(look, 1))
        }
        CellValue::Boolean(boolean) => {
            sheet.write_boolean_with_format(row, column, boolean, formats.get(look, 1))
        }
        CellValue::Date(value) => {
            let format = match (value.contains('-'), value.contains(':')) {
                (_, false) => 2,
                (false, true) => 3,
                (true, true) => 4,
            };
            let format = formats.get(look, format);
            match ExcelDateTime::parse_from_str(value) {
                Ok(date) => sheet.write_datetime_with_format(row, column, &date, format),
                Err(_) => sheet.write_string_with_format(row, column, value, text),
            }
        }
    };
    written.map(|_| ())
}
