//! Rows for the planner, records for the reports.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek as _};

use csv::ByteRecord;

use super::beginning::{LOOKED_AT_BYTES, refuse_other_kinds};
use super::columns::{Columns, own};
use super::csv_records::CsvRecords;
use super::jsonl::{JsonLines, METADATA_WORD, Object};
use super::{Format, Input, InputError};
use crate::row::{
    Builder, Cell, Content, MetadataField, Problem, Row, RowPos, Rules, Schema, SchemaError,
};
use crate::words::counted;

/// What the cells of an input are read with.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The rules of cells.
    pub rules: Rules,
    /// The account's custom metadata fields; `None` takes names and values as they stand.
    pub schema: Option<Schema>,
}

impl Context {
    pub(super) fn metadata(&self, name: &str) -> Result<MetadataField, SchemaError> {
        match &self.schema {
            Some(schema) => schema.resolve(name),
            None => Ok(MetadataField::unchecked(name)),
        }
    }
}

impl Input {
    /// The rows from the beginning, or from where a run goes on.
    ///
    /// # Errors
    /// The file cannot be read, or its header is not usable.
    pub fn rows<'c>(
        &self,
        context: &'c Context,
        from: Option<RowPos>,
    ) -> Result<Rows<'c>, InputError> {
        Ok(Rows { source: self.open(context, from)?, context, left_alone: 0 })
    }

    fn open(&self, context: &Context, from: Option<RowPos>) -> Result<Source, InputError> {
        Ok(match self.format {
            Format::Csv => {
                let records = CsvRecords::open(self, from)?;
                let columns = Columns::read(header(&records)?.into_iter(), context)?;
                Source::Csv { columns, records: Box::new(records) }
            }
            Format::Jsonl => Source::Jsonl(JsonLines::open(self, from)?),
        })
    }

    /// The records from the beginning, as they stand.
    ///
    /// # Errors
    /// The file cannot be read, or its header is not usable.
    pub fn records(&self) -> Result<Records, InputError> {
        self.open(&Context::default(), None).map(Records)
    }

    /// Whether custom metadata is set, so that the account's fields are worth asking for.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn mentions_metadata(&self) -> Result<bool, InputError> {
        match self.format {
            Format::Csv => {
                let records = CsvRecords::open(self, None)?;
                Ok(header(&records)?
                    .iter()
                    .any(|name| MetadataField::name_in_column(name.trim()).is_some()))
            }
            Format::Jsonl => self.contains(METADATA_WORD).map_err(|source| self.unreadable(source)),
        }
    }

    /// Whether a word stands anywhere in the file.
    fn contains(&self, word: &[u8]) -> std::io::Result<bool> {
        const CHUNK_BYTES: u64 = 64 << 10;
        let finder = memchr::memmem::Finder::new(word);
        let mut file = File::open(&self.path)?;
        let mut window = Vec::new();
        loop {
            // The end of the last chunk stays, in case the word lies across.
            let keep = window.len().saturating_sub(word.len());
            window.drain(..keep);
            if (&mut file).take(CHUNK_BYTES).read_to_end(&mut window)? == 0 {
                return Ok(false);
            }
            if finder.find(&window).is_some() {
                return Ok(true);
            }
        }
    }

    /// Opens the file, if it is no other kind of file.
    pub(super) fn open_file(&self) -> Result<File, InputError> {
        let unreadable = |source| self.unreadable(source);
        let mut file = File::open(&self.path).map_err(unreadable)?;
        let mut beginning = Vec::new();
        (&mut file).take(LOOKED_AT_BYTES).read_to_end(&mut beginning).map_err(unreadable)?;
        refuse_other_kinds(&beginning)?;
        file.rewind().map_err(unreadable)?;
        Ok(file)
    }

    pub(super) fn unreadable(&self, source: std::io::Error) -> InputError {
        InputError::Read { path: self.path.display().to_string(), source }
    }
}

/// The rows of an input, one after the other.
pub struct Rows<'c> {
    source: Source,
    context: &'c Context,
    left_alone: u64,
}

enum Source {
    Csv { columns: Columns, records: Box<CsvRecords> },
    Jsonl(JsonLines),
}

/// What an earlier run wrote behind a row that is fed back.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct FedBack {
    /// Its status was `unknown`, so that sending it again may pay for it twice.
    pub unknown: bool,
    /// Fingerprints of its steps that were done.
    pub done: Vec<u64>,
}

impl FedBack {
    fn read(status: Option<&str>, done: Option<&str>) -> Self {
        let done = done.unwrap_or_default().split_whitespace();
        Self {
            unknown: status == Some("unknown"),
            done: done.filter_map(|hex| u64::from_str_radix(hex, 16).ok()).collect(),
        }
    }
}

impl Rows<'_> {
    /// The next row, with what an earlier run said of it; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged in a way that is not one row's.
    pub fn next_row(&mut self) -> Result<Option<(Row, FedBack)>, InputError> {
        let (pos, content, fed_back) = match &mut self.source {
            Source::Csv { columns, records } => {
                let Some(pos) = records.advance()? else { return Ok(None) };
                let (content, empty) =
                    of_cells(records.record(), records.header(), columns, self.context);
                self.left_alone += empty;
                let own =
                    |index: Option<usize>| std::str::from_utf8(records.record().get(index?)?).ok();
                (pos, content, FedBack::read(own(columns.status), own(columns.done)))
            }
            Source::Jsonl(lines) => {
                let Some(pos) = lines.advance()? else { return Ok(None) };
                let (content, fed_back) = of_line(lines.line(), self.context);
                (pos, content, fed_back)
            }
        };
        Ok(Some((Row { pos, content }, fed_back)))
    }

    /// How many empty cells so far left their field alone.
    #[must_use]
    pub fn left_alone(&self) -> u64 {
        self.left_alone
    }

    /// Columns that are not read.
    #[must_use]
    pub fn ignored_columns(&self) -> &[String] {
        match &self.source {
            Source::Csv { columns, .. } => &columns.ignored,
            Source::Jsonl(_) => &[],
        }
    }
}

/// What the cells of a record say, and how many of them are empty.
fn of_cells(
    record: &ByteRecord,
    header: &ByteRecord,
    columns: &Columns,
    context: &Context,
) -> (Content, u64) {
    if is_second_header(record, header) {
        let right = "delete the row; it is left from joining two sheets";
        return (unreadable(Problem::new("row", "", "repeats the header", right)), 0);
    }
    if record.len() != columns.len() {
        return (unreadable(wrong_length(record.len(), columns.len())), 0);
    }
    let mut builder = Builder::new(&context.rules);
    let empty = fill(&mut builder, columns, record);
    (builder.finish(), empty)
}

/// What a line of JSON says, and what an earlier run said of it.
fn of_line(line: &[u8], context: &Context) -> (Content, FedBack) {
    match Object::parse(line) {
        Ok(object) => {
            let mut builder = Builder::new(&context.rules);
            object.fill(&mut builder, context);
            (builder.finish(), FedBack::read(object.own(own::STATUS), object.own(own::DONE)))
        }
        Err(error) => {
            // The whole line is line 1 of what was parsed, whichever it is of the input.
            let error = error.to_string().replacen(" at line 1 column", " at byte", 1);
            let wrong = format!("is not a JSON object ({error})");
            let line = String::from_utf8_lossy(line);
            (
                unreadable(Problem::new("line", &line, wrong, "write one object a line")),
                FedBack::default(),
            )
        }
    }
}

/// A record of which no cell can be read.
fn unreadable(problem: Problem) -> Content {
    Content::Rejected(problem.into())
}

/// Hands the cells of a record to the builder; gives how many were empty.
fn fill(builder: &mut Builder<'_>, columns: &Columns, record: &ByteRecord) -> u64 {
    let mut empty = 0;
    for (index, name, field) in columns.fields() {
        let bytes = record.get(index).unwrap_or_default();
        if bytes.is_empty() {
            empty += 1;
            continue;
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => builder.set(name, field, Cell::Text(text)),
            Err(_) => builder.reject(Problem::new(
                name,
                &String::from_utf8_lossy(bytes),
                "is not UTF-8",
                "save the sheet as “CSV UTF-8”",
            )),
        }
    }
    empty
}

fn is_second_header(record: &ByteRecord, header: &ByteRecord) -> bool {
    record.get(0) == header.get(0) && record == header
}

fn wrong_length(has: usize, wanted: usize) -> Problem {
    Problem::new(
        "row",
        "",
        format!("has {} where the header has {wanted}", counted(has as u64, "cell", "cells")),
        "put cells with commas or line ends into quotes",
    )
}

fn header(records: &CsvRecords) -> Result<Vec<&str>, InputError> {
    let cells = records.header().iter().map(std::str::from_utf8).collect::<Result<_, _>>();
    let (what, right) = ("in another encoding", "save it as “CSV UTF-8”");
    cells.map_err(|_| InputError::OtherKind { what, right })
}

/// The records of an input as they stand.
pub struct Records(Source);

/// One record as it stands.
pub enum Record<'r> {
    /// The cells of a sheet.
    Cells(&'r ByteRecord),
    /// A line of JSON, without its end.
    Line(&'r [u8]),
}

impl Records {
    /// Goes to the next record; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn advance(&mut self) -> Result<Option<RowPos>, InputError> {
        match &mut self.0 {
            Source::Csv { records, .. } => records.advance(),
            Source::Jsonl(lines) => lines.advance(),
        }
    }

    /// The record that was reached.
    #[must_use]
    pub fn record(&self) -> Record<'_> {
        match &self.0 {
            Source::Csv { records, .. } => Record::Cells(records.record()),
            Source::Jsonl(lines) => Record::Line(lines.line()),
        }
    }

    /// The header of a sheet.
    #[must_use]
    pub fn header(&self) -> Option<&ByteRecord> {
        match &self.0 {
            Source::Csv { records, .. } => Some(records.header()),
            Source::Jsonl(_) => None,
        }
    }

    /// The file id of the record that was reached, as far as it can be read.
    #[must_use]
    pub fn file_id(&self) -> Cow<'_, str> {
        match &self.0 {
            Source::Csv { records, columns } => {
                let cell = records.record().get(columns.file_id).unwrap_or_default();
                String::from_utf8_lossy(cell.trim_ascii())
            }
            Source::Jsonl(lines) => {
                #[derive(serde::Deserialize)]
                struct Id<'a> {
                    #[serde(rename = "fileId", borrow)]
                    file_id: Cow<'a, str>,
                }
                let id = serde_json::from_slice::<Id<'_>>(lines.line());
                match id.map_or(Cow::Borrowed(""), |id| id.file_id) {
                    Cow::Borrowed(id) => Cow::Borrowed(id.trim()),
                    Cow::Owned(id) => Cow::Owned(id.trim().to_owned()),
                }
            }
        }
    }

    /// What an earlier run wrote behind the record that was reached: fingerprints of the steps
    /// that were done.
    #[must_use]
    pub fn done_before(&self) -> String {
        match &self.0 {
            Source::Csv { records, columns } => {
                let cell = columns.done.and_then(|index| records.record().get(index));
                String::from_utf8_lossy(cell.unwrap_or_default()).into_owned()
            }
            Source::Jsonl(lines) => {
                let object = Object::parse(lines.line()).unwrap_or_default();
                object.own(own::DONE).unwrap_or_default().to_owned()
            }
        }
    }

    /// The names of the columns that the record reached touches, `fileId` aside.
    #[must_use]
    pub fn touched(&self) -> Vec<String> {
        match &self.0 {
            Source::Csv { records, columns } => columns
                .fields()
                .filter(|(index, ..)| *index != columns.file_id)
                .filter(|(index, ..)| {
                    // Spaces leave a field alone, as nothing does.
                    let cell = records.record().get(*index).unwrap_or_default();
                    !cell.trim_ascii().is_empty()
                })
                .map(|(_, name, _)| name.to_owned())
                .collect(),
            Source::Jsonl(lines) => {
                let Ok(Object(pairs)) = Object::parse(lines.line()) else {
                    return Vec::new();
                };
                let mut names = Vec::new();
                for (key, value) in pairs {
                    match (key.as_str(), value.as_object()) {
                        ("customMetadata", Some(keys)) => {
                            names.extend(keys.keys().map(|key| MetadataField::column_of(key)));
                        }
                        ("publish", Some(_)) => names.push("isPublished".to_owned()),
                        ("fileId" | "ikbulk", _) => {}
                        _ => names.push(key),
                    }
                }
                names
            }
        }
    }
}
