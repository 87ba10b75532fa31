//! Reads a worksheet of an unpacked ODS workbook as a stream. The reader of the library for XLSX would
//! hold all worksheets in memory, and knows no merged cells.

use std::collections::HashSet;
use std::io::{BufReader, Read, Seek, Write};
use std::rc::Rc;

use quick_xml::Reader;
use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesStart, Event};

use super::WorkbookError;
use super::choice::{Choice, Worksheet};
use super::limits::{CELL_BYTES_MAX, larger_cell};
use super::merged::Range;
use super::metered::{Meter, Metered};
use super::ods_text::CellContent;
use super::rows::Rows;
use super::stored::{self, Stored};
use super::unpack::{CONTENT, Unpacked};

/// Writes the rows of the worksheet with this name, or of the first one, to `out`. Returns its name.
pub(super) fn convert<W: Write + Seek>(
    mut unpacked: Unpacked,
    name: Option<&str>,
    out: W,
) -> Result<(Choice, W), WorkbookError> {
    let choice = Choice::of(Xml::open(&mut unpacked)?.worksheets()?, name)?;
    let mut xml = Xml::open(&mut unpacked)?;
    let mut rows = Rows::new(out, super::merged::MergedCells::default())?;
    xml.find_table(&choice.name)?;
    xml.read_table(&mut rows)?;
    match rows.finish()? {
        Some(out) => Ok((choice, out)),
        None => Err(choice.empty()),
    }
}

/// A cell, and how often it follows itself.
struct RepeatedCell {
    column: u32,
    count: u32,
    kind: Stored,
    text: String,
    /// The rows and columns that it spans.
    spanned: (u32, u32),
}

/// The content of a workbook.
struct Xml<R> {
    reader: Reader<BufReader<R>>,
    meter: Rc<Meter>,
    buffer: Vec<u8>,
}

impl Xml<std::io::Take<Metered>> {
    fn open(unpacked: &mut Unpacked) -> Result<Self, WorkbookError> {
        let meter = Rc::new(Meter::default());
        let file = unpacked.part(CONTENT, Rc::clone(&meter))?;
        let mut reader = Reader::from_reader(BufReader::new(file));
        reader.config_mut().expand_empty_elements = true;
        Ok(Self { reader, meter, buffer: Vec::new() })
    }
}

impl<R: Read> Xml<R> {
    /// The next event.
    fn event(&mut self) -> Result<Event<'_>, WorkbookError> {
        self.meter.allow(CELL_BYTES_MAX);
        self.buffer.clear();
        match self.reader.read_event_into(&mut self.buffer) {
            Ok(Event::Eof) => Err(WorkbookError::damaged("its content ends too early")),
            Ok(event) => Ok(event),
            Err(_) if self.meter.is_exceeded() => Err(larger_cell()),
            Err(error) => Err(WorkbookError::damaged(error)),
        }
    }

    /// Skips the rest of the element that has begun.
    fn skip(&mut self) -> Result<(), WorkbookError> {
        let mut depth = 1;
        while depth > 0 {
            match self.event()? {
                Event::Start(_) => depth += 1,
                Event::End(_) => depth -= 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// All worksheets.
    fn worksheets(mut self) -> Result<Vec<Worksheet>, WorkbookError> {
        let mut worksheets = Vec::new();
        let mut hidden_styles = HashSet::new();
        let mut style = String::new();
        loop {
            match self.event()? {
                Event::Start(start) => match start.name().as_ref() {
                    "style:style" => style = attribute(&start, "style:name")?.unwrap_or_default(),
                    "style:table-properties"
                        if attribute(&start, "table:display")?.as_deref() == Some("false") =>
                    {
                        hidden_styles.insert(style.clone());
                    }
                    "table:table" => {
                        let style = attribute(&start, "table:style-name")?.unwrap_or_default();
                        let name = attribute(&start, "table:name")?.unwrap_or_default();
                        worksheets
                            .push(Worksheet { name, is_hidden: hidden_styles.contains(&style) });
                        self.skip()?;
                    }
                    "table:tracked-changes" => self.skip()?,
                    _ => {}
                },
                Event::End(end) if end.name().as_ref() == "office:body" => return Ok(worksheets),
                _ => {}
            }
        }
    }

    /// Continues in the table with this name.
    fn find_table(&mut self, name: &str) -> Result<(), WorkbookError> {
        loop {
            if let Event::Start(start) = self.event()? {
                match start.name().as_ref() {
                    "table:table" => {
                        if attribute(&start, "table:name")?.unwrap_or_default() == name {
                            return Ok(());
                        }
                        self.skip()?;
                    }
                    "table:tracked-changes" => self.skip()?,
                    _ => {}
                }
            }
        }
    }

    /// Reads the rows of a table.
    fn read_table<W: Write>(&mut self, rows: &mut Rows<W>) -> Result<(), WorkbookError> {
        let mut row = 0_u32;
        loop {
            match self.event()? {
                Event::Start(start) => match start.name().as_ref() {
                    "table:table-row" => {
                        let count = count(&start, "table:number-rows-repeated")?;
                        let cells = self.read_row()?;
                        if !cells.is_empty() {
                            write_rows(rows, row, count, &cells)?;
                        }
                        row = row.saturating_add(count);
                    }
                    "table:table" | "table:shapes" | "office:forms" => self.skip()?,
                    _ => {}
                },
                Event::End(end) if end.name().as_ref() == "table:table" => return Ok(()),
                _ => {}
            }
        }
    }

    /// Reads the cells of a row that have content.
    fn read_row(&mut self) -> Result<Vec<RepeatedCell>, WorkbookError> {
        let mut cells = Vec::new();
        let mut column = 0_u32;
        loop {
            let cell = match self.event()? {
                Event::Start(start) => {
                    let name = start.name();
                    let is_cell =
                        matches!(name.as_ref(), "table:table-cell" | "table:covered-table-cell");
                    is_cell.then(|| CellAttributes::of(&start)).transpose()?
                }
                Event::End(end) if end.name().as_ref() == "table:table-row" => return Ok(cells),
                _ => continue,
            };
            let Some(cell) = cell else {
                self.skip()?;
                continue;
            };
            let content = self.read_content()?;
            let (kind, text) = cell.value(content)?;
            let count = cell.count;
            if !text.is_empty() {
                cells.push(RepeatedCell { column, count, kind, text, spanned: cell.spanned });
            }
            column = column.saturating_add(count);
        }
    }

    /// Reads the text of a cell.
    fn read_content(&mut self) -> Result<String, WorkbookError> {
        let mut content = CellContent::default();
        loop {
            let is_skipped = match self.event()? {
                Event::Start(start) => match start.name().as_ref() {
                    "office:annotation" | "table:table" | "draw:frame" => true,
                    "text:s" => {
                        content.begin("text:s", count(&start, "text:c")?);
                        false
                    }
                    name => {
                        content.begin(name, 1);
                        false
                    }
                },
                Event::End(_) => {
                    if content.end() {
                        return Ok(content.text);
                    }
                    false
                }
                Event::Text(text) => {
                    content.push(&text.xml10_content());
                    false
                }
                Event::CData(text) => {
                    content.push(&text.xml10_content());
                    false
                }
                Event::GeneralRef(entity) => {
                    let c = entity.resolve_char_ref().map_err(WorkbookError::damaged)?;
                    match (c, resolve_predefined_entity(entity.as_ref())) {
                        (Some(c), _) => content.push(c.encode_utf8(&mut [0; 4])),
                        (None, Some(text)) => content.push(text),
                        (None, None) => {
                            return Err(WorkbookError::damaged("it has unknown entities"));
                        }
                    }
                    false
                }
                _ => false,
            };
            if is_skipped {
                self.skip()?;
            }
            if content.text.len() as u64 > CELL_BYTES_MAX {
                return Err(larger_cell());
            }
        }
    }
}

/// The attributes of a cell.
#[derive(Default)]
struct CellAttributes {
    count: u32,
    spanned: (u32, u32),
    kind: String,
    is_error: bool,
    value: Option<String>,
    formula: Option<String>,
}

impl CellAttributes {
    fn of(start: &BytesStart<'_>) -> Result<Self, WorkbookError> {
        let mut cell = Self { count: 1, spanned: (1, 1), ..Self::default() };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(WorkbookError::damaged)?;
            let text = unescape(&attribute.value).map_err(WorkbookError::damaged)?;
            match attribute.key.as_ref() {
                "office:value-type" => cell.kind = text.into_owned(),
                "calcext:value-type" => cell.is_error = text == "error",
                "office:value"
                | "office:date-value"
                | "office:time-value"
                | "office:boolean-value"
                | "office:string-value" => {
                    cell.value = Some(text.into_owned());
                }
                "table:formula" => cell.formula = Some(text.into_owned()),
                "table:number-columns-repeated" => cell.count = parse_count(&text)?,
                "table:number-rows-spanned" => cell.spanned.0 = parse_count(&text)?,
                "table:number-columns-spanned" => cell.spanned.1 = parse_count(&text)?,
                _ => {}
            }
        }
        Ok(cell)
    }

    /// What the cell holds, given its text as shown.
    fn value(&self, shown: String) -> Result<(Stored, String), WorkbookError> {
        if self.is_error {
            return Ok((
                Stored::Error,
                if shown.is_empty() { "#ERROR!".to_owned() } else { shown },
            ));
        }
        let value = || self.value.clone().unwrap_or_default();
        Ok(match self.kind.as_str() {
            "float" | "percentage" | "currency" => {
                let number: f64 = value().trim().parse().map_err(WorkbookError::damaged)?;
                (Stored::Number, stored::number(number))
            }
            "date" => (Stored::Date, stored::iso_date(&value()).to_owned()),
            "time" => (Stored::Date, stored::iso_duration(&value())),
            "boolean" => (Stored::Boolean, value().to_ascii_lowercase()),
            "string" => (Stored::Text, self.value.clone().unwrap_or(shown)),
            _ => match &self.formula {
                Some(formula) => {
                    let formula = formula.split_once(":=").map_or(formula.as_str(), |it| it.1);
                    (Stored::Formula, format!("={}", formula.trim_start_matches('=')))
                }
                None => (Stored::Text, shown),
            },
        })
    }
}

/// Writes a row, and its repetitions, to the rows after `before`.
fn write_rows<W: Write>(
    rows: &mut Rows<W>,
    before: u32,
    count: u32,
    cells: &[RepeatedCell],
) -> Result<(), WorkbookError> {
    for repetition in 1..=count {
        let row = before.saturating_add(repetition);
        for RepeatedCell { column, count, kind, text, spanned } in cells {
            let end = column.saturating_add(*count);
            for column in *column..end {
                rows.push((row, column), *kind, text)?;
                if *spanned != (1, 1) {
                    rows.merge(Range {
                        first_row: row,
                        first_column: column,
                        last_row: row.saturating_add(spanned.0 - 1),
                        last_column: column.saturating_add(spanned.1 - 1),
                    });
                }
            }
        }
    }
    Ok(())
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Result<Option<String>, WorkbookError> {
    let found = start.try_get_attribute(name).map_err(WorkbookError::damaged)?;
    let text = found.map(|it| unescape(&it.value).map(std::borrow::Cow::into_owned)).transpose();
    text.map_err(WorkbookError::damaged)
}

/// The number in an attribute; 1 if there is none.
fn count(start: &BytesStart<'_>, name: &str) -> Result<u32, WorkbookError> {
    attribute(start, name)?.map_or(Ok(1), |text| parse_count(&text))
}

fn parse_count(text: &str) -> Result<u32, WorkbookError> {
    let count: u32 = text.trim().parse().map_err(WorkbookError::damaged)?;
    Ok(count.max(1))
}
