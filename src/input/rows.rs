//! Validated rows, for the planner.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek as _};
use std::sync::Arc;

use csv::ByteRecord;
use memchr::memmem;

use super::cell_records::CellRecords;
use super::columns::{Columns, HeaderNames};
use super::json_words;
use super::jsonl::{JsonLines, METADATA_WORD, Object, SeenKeys, is_object_key};
use super::names::{Meaning, Names, own};
use super::null_keys::{AmbiguousNull, NullKeys};
use super::sniff::{SNIFFED_BYTES, check_kind};
use super::{Format, Input, InputError, NearlyKnown, ReadOptions, worksheet_cells};
use crate::findings::{self, ColumnFinding, Finding};
use crate::outcome::Status;
use crate::row::{
    Builder, Cell, Content, METADATA, Problem, Resolved, Row, RowPos, Rules, Schema, TagCache,
    starts_loosely_with, unforced,
};

/// Objects whose keys are examined before the input is read.
const FIRST_OBJECTS: usize = 1000;

/// What is needed to parse and validate the cells of an input.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Rules for all cells.
    pub rules: Rules,
    /// The account's custom metadata fields; `None` accepts any name and value.
    pub schema: Option<Schema>,
    /// Files by path or URL; `None` before the lookup.
    pub files: Option<Arc<Resolved>>,
}

impl Context {
    /// Finishes a row and resolves its path or URL.
    fn finish(&self, builder: &mut Builder<'_>) -> Content {
        let content = builder.finish();
        match &self.files {
            Some(files) => content.resolved(files),
            None => content,
        }
    }
}

impl Input {
    /// All rows, or the rows starting at `from` to resume a run. What their columns show is not counted.
    ///
    /// # Errors
    /// The file cannot be read, or its header is not usable.
    pub fn rows<'c>(
        &self,
        context: &'c Context,
        from: Option<RowPos>,
    ) -> Result<Rows<'c>, InputError> {
        Ok(Rows {
            source: self.open(context, from)?,
            context,
            options: self.options.clone(),
            tag_cache: TagCache::default(),
            seen_keys: SeenKeys::default(),
            empty_cells: 0,
            nulls: NullKeys::default(),
            findings: None,
        })
    }

    pub(super) fn open(
        &self,
        context: &Context,
        from: Option<RowPos>,
    ) -> Result<Source, InputError> {
        Ok(match self.format {
            Format::Csv | Format::Xlsx | Format::Ods => {
                let records = CellRecords::open(self, from)?;
                let columns = Columns::read(header(&records)?.into_iter(), self.names(context))?;
                Source::Cells { columns, records: Box::new(records) }
            }
            Format::Jsonl => Source::Jsonl(JsonLines::open(self, from)?),
        })
    }

    /// What decides about the names of columns and keys.
    pub(super) fn names<'n>(&'n self, context: &'n Context) -> Names<'n> {
        Names { options: &self.options, context }
    }

    /// Whether the input may set custom metadata, so that the account's fields must be read: a column
    /// can have the name or label of a field.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn mentions_metadata(&self) -> Result<bool, InputError> {
        let context = Context::default();
        let names = self.names(&context);
        match self.format {
            Format::Csv | Format::Xlsx | Format::Ods => {
                let records = CellRecords::open(self, None)?;
                let header = header(&records)?;
                Ok(header.iter().any(|name| names.depends_on_account(name.trim())))
            }
            Format::Jsonl => {
                let contains = self.contains(METADATA_WORD);
                Ok(contains.map_err(|source| self.unreadable(source))?
                    || self.first_keys()?.iter().any(|key| names.depends_on_account(key)))
            }
        }
    }

    /// Whether the input says that it sets custom metadata.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn names_metadata(&self) -> Result<bool, InputError> {
        match self.format {
            Format::Csv | Format::Xlsx | Format::Ods => {
                let records = CellRecords::open(self, None)?;
                let header = header(&records)?;
                Ok(header.iter().any(|name| starts_loosely_with(name, METADATA)))
            }
            Format::Jsonl => self.contains(METADATA_WORD).map_err(|source| self.unreadable(source)),
        }
    }

    /// The keys of the first objects.
    fn first_keys(&self) -> Result<BTreeSet<String>, InputError> {
        let mut lines = JsonLines::open(self, None)?;
        let mut keys = BTreeSet::new();
        for _ in 0..FIRST_OBJECTS {
            if lines.advance()?.is_none() {
                break;
            }
            let Object(pairs) = Object::parse(lines.line()).unwrap_or_default();
            keys.extend(pairs.into_iter().map(|(key, _)| key).filter(|key| !is_object_key(key)));
        }
        Ok(keys)
    }

    /// The columns, or the keys of the first objects, that are nearly known ones.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn nearly_known(&self, context: &Context) -> Result<Vec<NearlyKnown>, InputError> {
        let nearly = |name: String| match self.names(context).meaning(&name) {
            Meaning::Close(column) => Some(NearlyKnown { name, column }),
            _ => None,
        };
        let names: Vec<String> = match self.format {
            Format::Csv | Format::Xlsx | Format::Ods => {
                let records = CellRecords::open(self, None)?;
                header(&records)?.iter().map(|name| name.trim().to_owned()).collect()
            }
            Format::Jsonl => self.first_keys()?.into_iter().collect(),
        };
        Ok(names.into_iter().filter_map(nearly).collect())
    }

    /// Whether the file contains these bytes anywhere.
    fn contains(&self, word: &[u8]) -> std::io::Result<bool> {
        const CHUNK_BYTES: u64 = 64 << 10;
        let finder = memmem::Finder::new(word);
        let mut file = File::open(&self.path)?;
        let mut window = Vec::new();
        loop {
            // Keep the end of the previous chunk: the word may span both.
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

    /// Opens the file; fails if its first bytes show another kind of file.
    pub(super) fn open_file(&self) -> Result<File, InputError> {
        let unreadable = |source| self.unreadable(source);
        let mut file = File::open(&self.path).map_err(unreadable)?;
        let mut sniff = Vec::new();
        (&mut file).take(SNIFFED_BYTES).read_to_end(&mut sniff).map_err(unreadable)?;
        check_kind(&sniff)?;
        file.rewind().map_err(unreadable)?;
        Ok(file)
    }

    pub(super) fn unreadable(&self, source: std::io::Error) -> InputError {
        InputError::Read { path: self.path.display().to_string(), source }
    }
}

/// Precedes the fingerprint of a completed step, so that no spreadsheet program takes it for a number.
const DONE_MARK: char = 'x';

/// A reader of validated rows.
pub struct Rows<'c> {
    source: Source,
    context: &'c Context,
    options: ReadOptions,
    tag_cache: TagCache,
    seen_keys: SeenKeys,
    empty_cells: u64,
    nulls: NullKeys,
    /// What the columns show; `None` if it is not counted.
    findings: Option<findings::FindingCounts>,
}

pub(super) enum Source {
    Cells { columns: Columns, records: Box<CellRecords> },
    Jsonl(JsonLines),
}

impl Source {
    /// Whether semicolons are between the cells.
    fn has_semicolons(&self) -> bool {
        match self {
            Self::Cells { records, .. } => {
                records.worksheet().is_none() && records.delimiter().byte() == b';'
            }
            Self::Jsonl(_) => false,
        }
    }
}

/// The result of a row in an earlier run, from the columns in [`own`].
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct PriorResult {
    /// Whether the row comes from a sheet that an earlier run returned.
    pub is_returned: bool,
    /// The status was `unknown`: re-sending the row may be billed twice.
    pub unknown: bool,
    /// The findings for which the row was held back. This sheet may have too few rows to show them.
    pub held: Vec<Finding>,
    /// Fingerprints of the completed steps.
    pub done: Vec<u64>,
}

/// The findings that a message offers to accept.
fn held(message: &str) -> Vec<Finding> {
    if !message.contains("--accept ") {
        return Vec::new();
    }
    let is_named = |finding: &Finding| message.contains(&finding.accept_flag());
    Finding::ALL.into_iter().filter(is_named).collect()
}

impl Columns {
    /// The result of a record's row in an earlier run.
    fn prior_result(&self, record: &ByteRecord) -> Result<PriorResult, Problem> {
        if self.own.is_empty() {
            return Ok(PriorResult::default());
        }
        PriorResult::parse(|column| self.own(column, record).map(Cow::Borrowed))
    }

    /// The cell of one of ikbulk's own columns.
    pub(super) fn own<'r>(&self, column: &str, record: &'r ByteRecord) -> Option<&'r str> {
        let (_, index) = self.own.iter().find(|(name, _)| *name == column)?;
        std::str::from_utf8(record.get(*index)?).ok()
    }
}

impl PriorResult {
    /// Parses the cells of the columns in [`own`]. Fails if the completed steps cannot be read: they would
    /// be sent again.
    fn parse<'c>(own: impl Fn(&str) -> Option<Cow<'c, str>>) -> Result<Self, Problem> {
        let text = |column| own(column).unwrap_or_default();
        let (status, done) = (text(own::STATUS), text(own::DONE));
        Ok(Self {
            is_returned: !status.is_empty(),
            unknown: status == Status::Unknown.as_str(),
            held: held(&text(own::MESSAGE)),
            done: done.split_whitespace().map(done_step).collect::<Option<_>>().ok_or_else(
                || {
                    let suggestion = "copy the cell again from the sheet that ikbulk wrote";
                    Problem::new(own::DONE, &done, "is not what ikbulk wrote", suggestion)
                },
            )?,
        })
    }
}

/// The cell with the fingerprints of completed steps.
pub(crate) fn done_cell(steps: &[u64]) -> String {
    let steps = steps.iter().map(|step| format!("{DONE_MARK}{step:016x}"));
    steps.collect::<Vec<_>>().join(" ")
}

/// The fingerprint of a word of [`done_cell`].
fn done_step(word: &str) -> Option<u64> {
    let digits = word.strip_prefix([DONE_MARK, DONE_MARK.to_ascii_uppercase()]).unwrap_or(word);
    u64::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 16)
}

impl Rows<'_> {
    /// Reads the next row and its result in an earlier run; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or the damage is not limited to one row.
    pub fn next_row(&mut self) -> Result<Option<(Row, PriorResult)>, InputError> {
        let Self { source, context, options, tag_cache, seen_keys, empty_cells, nulls, findings } =
            self;
        let names = Names { options, context };
        let (pos, content, prior) = match source {
            Source::Cells { columns, records } => {
                let Some(pos) = records.advance()? else { return Ok(None) };
                let seen = Seen { findings: findings.as_mut(), nulls, row: pos.number };
                let (content, empty, prior) = parse_cells(records, columns, names, tag_cache, seen);
                *empty_cells += empty;
                (pos, content, prior)
            }
            Source::Jsonl(lines) => {
                let Some(pos) = lines.advance()? else { return Ok(None) };
                let seen = Seen { findings: findings.as_mut(), nulls, row: pos.number };
                let (content, prior) = parse_line(lines.line(), names, seen_keys, seen);
                (pos, content, prior)
            }
        };
        Ok(Some((Row { pos, content }, prior)))
    }

    /// The number of empty cells so far; they leave their field unchanged.
    #[must_use]
    pub fn empty_cells(&self) -> u64 {
        self.empty_cells
    }

    /// The JSON keys so far whose null may mean "no value" as well as "clear".
    #[must_use]
    pub fn ambiguous_nulls(&self) -> Vec<AmbiguousNull> {
        self.nulls.ambiguous()
    }

    /// Counts what the columns show.
    pub(crate) fn count_findings(&mut self) {
        self.findings = Some(findings::FindingCounts::of_semicolons(self.source.has_semicolons()));
    }

    /// What the columns show so far; nothing if it is not counted.
    #[must_use]
    pub fn findings(&self) -> Vec<ColumnFinding> {
        let accepted = &self.context.rules.accepted;
        self.findings.as_ref().map(|columns| columns.findings(accepted)).unwrap_or_default()
    }

    /// Fails if `--map` names keys that no row of JSON has; call it after the last row. A sheet that an
    /// earlier run returned may have lost them with other rows; a header is checked before the rows.
    pub(crate) fn check_mapped_keys(&self) -> Result<(), InputError> {
        match self.source {
            Source::Jsonl(_) if self.nulls.rows() > 0 && !self.nulls.is_returned() => {
                self.seen_keys.check_mapped(&self.options)
            }
            _ => Ok(()),
        }
    }

    /// The names of the columns in the header; none for JSON, whose keys each row names.
    #[must_use]
    pub(crate) fn header_names(&self) -> HeaderNames {
        match &self.source {
            Source::Cells { columns, .. } => columns.header_names(),
            Source::Jsonl(_) => HeaderNames::default(),
        }
    }

    /// Names of the columns, or of the keys so far, that are not read.
    #[must_use]
    pub fn ignored_columns(&self) -> &[String] {
        match &self.source {
            Source::Cells { columns, .. } => &columns.ignored,
            Source::Jsonl(_) => &self.seen_keys.unread,
        }
    }
}

/// What is counted over all rows, for the row with this number.
struct Seen<'s> {
    findings: Option<&'s mut findings::FindingCounts>,
    nulls: &'s mut NullKeys,
    row: u64,
}

/// Parses a record of cells; also returns the number of empty cells and the row's result in an earlier
/// run.
fn parse_cells(
    records: &CellRecords,
    columns: &Columns,
    names: Names<'_>,
    tag_cache: &mut TagCache,
    seen: Seen<'_>,
) -> (Content, u64, PriorResult) {
    let Seen { findings, nulls, row } = seen;
    let context = names.context;
    let (record, header) = (records.record(), records.header());
    let prior = columns.prior_result(record);
    if let Some(damage) = records.damage() {
        return (unreadable(damage.problem(header, record)), 0, prior.unwrap_or_default());
    }
    let prior = match prior {
        Ok(prior) => prior,
        Err(problem) => return (unreadable(problem), 0, PriorResult::default()),
    };
    let mut builder = Builder::new(&context.rules);
    builder.share_tags(tag_cache);
    if let Some(findings) = findings {
        builder.watch(findings, row);
    }
    builder.hold_again(&prior.held);
    builder.check_fields(context.schema.as_ref());
    let empty = match records.worksheet() {
        Some(worksheet) => worksheet_cells::fill(&mut builder, columns, worksheet),
        None => fill(&mut builder, columns, record),
    };
    if !columns.own.is_empty() {
        nulls.note_returned();
    }
    fill_metadata(&mut builder, columns, record, names, nulls);
    let mut parsed = context.finish(&mut builder);
    if records.worksheet().is_some() {
        worksheet_cells::locate(&mut parsed, columns, row);
    }
    (parsed, empty, prior)
}

/// Parses a JSON line; also returns the row's result in an earlier run.
fn parse_line(
    line: &[u8],
    names: Names<'_>,
    keys: &mut SeenKeys,
    Seen { findings, nulls, row }: Seen<'_>,
) -> (Content, PriorResult) {
    let context = names.context;
    match Object::parse(line) {
        Ok(object) => {
            let prior = match PriorResult::parse(|column| object.own(column)) {
                Ok(prior) => prior,
                Err(problem) => return (unreadable(problem), PriorResult::default()),
            };
            let mut builder = Builder::new(&context.rules);
            if let Some(findings) = findings {
                builder.watch(findings, row);
            }
            builder.hold_again(&prior.held);
            builder.check_fields(context.schema.as_ref());
            object.fill(&mut builder, names, keys, nulls);
            (context.finish(&mut builder), prior)
        }
        Err(error) => {
            let (problem, suggestion) = json_problem(line, &error);
            let line = String::from_utf8_lossy(line);
            (unreadable(Problem::new("line", &line, problem, suggestion)), PriorResult::default())
        }
    }
}

/// Why a line is no JSON object, and the fix.
fn json_problem(line: &[u8], error: &serde_json::Error) -> (String, &'static str) {
    if let Some((word, fix)) = json_words::find(line) {
        return (format!("contains {word}, which is not JSON"), fix);
    }
    let fix = json_words::fix(line, error).unwrap_or(if error.is_data() {
        r#"write an object with the names of columns as keys: {"fileId":"…","tags":["…"]}"#
    } else {
        "write one object per line"
    });
    // The parser counts the lines of one object, so drop them if there is only one.
    let error = error.to_string().replacen(" at line 1 column", " at byte", 1);
    (format!("is not a JSON object ({error})"), fix)
}

/// A rejected record whose cells cannot be parsed.
fn unreadable(problem: Problem) -> Content {
    Content::rejected(problem)
}

/// Passes the cells of a record to the builder; returns the number of empty cells.
fn fill(builder: &mut Builder<'_>, columns: &Columns, record: &ByteRecord) -> u64 {
    // Check UTF-8 once for the record; check each cell only if that fails.
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
            Ok(text) => {
                let text = unforced(text, field.names_file());
                builder.set(name, field, Cell::Text(&text));
            }
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

/// Passes the object in the column `customMetadata` to the builder.
fn fill_metadata(
    builder: &mut Builder<'_>,
    columns: &Columns,
    record: &ByteRecord,
    names: Names<'_>,
    nulls: &mut NullKeys,
) {
    let Some((index, column)) = columns.metadata_object() else { return };
    nulls.begin_row(builder.names_file());
    let cell = record.get(index).unwrap_or_default().trim_ascii();
    if cell.is_empty() {
        return;
    }
    match Object::parse(cell) {
        Ok(object) => object.fill_metadata(builder, names, nulls),
        Err(error) => builder.reject(Problem::new(
            column,
            &String::from_utf8_lossy(cell),
            format!("is not a JSON object ({error})"),
            "write {\"name\":value}, where null clears the field, or leave the cell empty",
        )),
    }
}

fn header(records: &CellRecords) -> Result<Vec<&str>, InputError> {
    let cells = records.header().iter().map(std::str::from_utf8).collect::<Result<_, _>>();
    let (what, suggestion) = ("in another encoding", "save it as “CSV UTF-8”");
    cells.map_err(|_| InputError::OtherKind { what, suggestion })
}
