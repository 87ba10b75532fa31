//! Rows for the planner.

use std::fs::File;
use std::io::{Read, Seek as _};
use std::sync::Arc;

use csv::ByteRecord;

use super::columns::{Columns, own};
use super::csv_records::CsvRecords;
use super::jsonl::{JsonLines, METADATA_WORD, Object};
use super::sniff::{LOOKED_AT_BYTES, refuse_other_kinds};
use super::{Format, Input, InputError};
use crate::plural::plural;
use crate::row::{
    Builder, Cell, Content, MetadataField, Problem, Resolved, Row, RowPos, Rules, Schema,
    SchemaError, TagCache,
};

/// What the cells of an input are read with.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The rules of cells.
    pub rules: Rules,
    /// The account's custom metadata fields; `None` takes names and values as they stand.
    pub schema: Option<Schema>,
    /// The files that are named by where they are; `None` until they have been looked up.
    pub files: Option<Arc<Resolved>>,
}

impl Context {
    pub(super) fn metadata(&self, name: &str) -> Result<MetadataField, SchemaError> {
        match &self.schema {
            Some(schema) => schema.resolve(name),
            None => Ok(MetadataField::unchecked(name)),
        }
    }

    /// What the cells of a row came to.
    fn finish(&self, builder: Builder<'_>) -> Content {
        let content = builder.finish();
        match &self.files {
            Some(files) => content.resolved(files),
            None => content,
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
        let source = self.open(context, from)?;
        Ok(Rows { source, context, lists: TagCache::default(), empty_cells: 0 })
    }

    pub(super) fn open(
        &self,
        context: &Context,
        from: Option<RowPos>,
    ) -> Result<Source, InputError> {
        Ok(match self.format {
            Format::Csv => {
                let records = CsvRecords::open(self, from)?;
                let columns = Columns::read(header(&records)?.into_iter(), context)?;
                Source::Csv { columns, records: Box::new(records) }
            }
            Format::Jsonl => Source::Jsonl(JsonLines::open(self, from)?),
        })
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
        let mut sniff = Vec::new();
        (&mut file).take(LOOKED_AT_BYTES).read_to_end(&mut sniff).map_err(unreadable)?;
        refuse_other_kinds(&sniff)?;
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
    lists: TagCache,
    empty_cells: u64,
}

pub(super) enum Source {
    Csv { columns: Columns, records: Box<CsvRecords> },
    Jsonl(JsonLines),
}

/// What an earlier run wrote behind a row that is fed back.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct PriorRun {
    /// Its status was `unknown`, so that sending it again may pay for it twice.
    pub unknown: bool,
    /// Fingerprints of its steps that were done.
    pub done: Vec<u64>,
}

impl PriorRun {
    fn read(status: Option<&str>, done: Option<&str>) -> Self {
        let done = done.into_iter().flat_map(str::split_whitespace);
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
    pub fn next_row(&mut self) -> Result<Option<(Row, PriorRun)>, InputError> {
        let Self { source, context, lists, empty_cells } = self;
        let (pos, content, fed_back) = match source {
            Source::Csv { columns, records } => {
                let Some(pos) = records.advance()? else { return Ok(None) };
                let (content, empty) = of_cells(records, columns, context, lists);
                *empty_cells += empty;
                let own =
                    |index: Option<usize>| std::str::from_utf8(records.record().get(index?)?).ok();
                (pos, content, PriorRun::read(own(columns.status), own(columns.done)))
            }
            Source::Jsonl(lines) => {
                let Some(pos) = lines.advance()? else { return Ok(None) };
                let (content, fed_back) = of_line(lines.line(), context);
                (pos, content, fed_back)
            }
        };
        Ok(Some((Row { pos, content }, fed_back)))
    }

    /// How many empty cells so far left their field alone.
    #[must_use]
    pub fn empty_cells(&self) -> u64 {
        self.empty_cells
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
    records: &CsvRecords,
    columns: &Columns,
    context: &Context,
    lists: &mut TagCache,
) -> (Content, u64) {
    let (record, header) = (records.record(), records.header());
    if is_second_header(record, header) {
        let suggestion = "delete the row; it is left from joining two sheets";
        return (unreadable(Problem::new("row", "", "repeats the header", suggestion)), 0);
    }
    if record.len() != columns.len() {
        return (unreadable(wrong_length(record.len(), columns.len())), 0);
    }
    let mut builder = Builder::remembering(&context.rules, lists);
    let empty = fill(&mut builder, columns, record);
    (context.finish(builder), empty)
}

/// What a line of JSON says, and what an earlier run said of it.
fn of_line(line: &[u8], context: &Context) -> (Content, PriorRun) {
    match Object::parse(line) {
        Ok(object) => {
            let mut builder = Builder::new(&context.rules);
            object.fill(&mut builder, context);
            let fed_back = PriorRun::read(object.own(own::STATUS), object.own(own::DONE));
            (context.finish(builder), fed_back)
        }
        Err(error) => {
            // The whole line is line 1 of what was parsed, whichever it is of the input.
            let error = error.to_string().replacen(" at line 1 column", " at byte", 1);
            let problem = format!("is not a JSON object ({error})");
            let line = String::from_utf8_lossy(line);
            (
                unreadable(Problem::new("line", &line, problem, "write one object a line")),
                PriorRun::default(),
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
    // Checked once here rather than cell by cell, unless one of them is bad.
    let cells = std::str::from_utf8(record.as_slice()).ok();
    let mut empty = 0;
    for (index, name, field) in columns.fields() {
        let bytes = record.get(index).unwrap_or_default();
        if bytes.is_empty() {
            empty += 1;
            continue;
        }
        let text = cells.and_then(|cells| cells.get(record.range(index)?));
        match text.map_or_else(|| std::str::from_utf8(bytes), Ok) {
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
        format!("has {} where the header has {wanted}", plural(has as u64, "cell", "cells")),
        "put cells with commas or line ends into quotes",
    )
}

fn header(records: &CsvRecords) -> Result<Vec<&str>, InputError> {
    let cells = records.header().iter().map(std::str::from_utf8).collect::<Result<_, _>>();
    let (what, suggestion) = ("in another encoding", "save it as “CSV UTF-8”");
    cells.map_err(|_| InputError::OtherKind { what, suggestion })
}
