//! Verbatim records, for reports that contain the input's own cells. Also reads single fields of a
//! record without validating the whole row.

use std::borrow::Cow;
use std::sync::Arc;

use csv::ByteRecord;
use serde_json::Value;

use super::cell_records::CellRecords;
use super::jsonl::{Object, is_read_only};
use super::names::{Meaning, Names, own};
use super::raw_records::end_of_cells;
use super::rows::Source;
use super::{Context, Delimiter, Input, InputError, ReadOptions, Stored};
use crate::row::{
    ADDRESS_BEGINS, Builder, Cell, Content, Field, FileId, MetadataField, PROBLEM_SEPARATOR,
    Resolved, RowPos, Rules, TagChange, Target, unforced,
};

impl Input {
    /// All records. The files of the context resolve rows that identify their file by path or URL.
    ///
    /// # Errors
    /// The file cannot be read, or its header is not usable.
    pub fn records(&self, context: &Context) -> Result<Records, InputError> {
        let source = self.open(context, None)?;
        let names = (self.options.clone(), context.clone());
        Ok(Records { source, names, files: context.files.clone() })
    }
}

/// A reader of verbatim records.
pub struct Records {
    source: Source,
    /// What decides about the names of keys.
    names: (ReadOptions, Context),
    files: Option<Arc<Resolved>>,
}

/// One verbatim record.
pub enum Record<'r> {
    /// The cells of a record of a sheet.
    Cells(&'r ByteRecord),
    /// A CSV record whose quotes are damaged.
    Text(DamagedText<'r>),
    /// The cells of a row of a worksheet, and what they hold.
    Worksheet {
        /// The texts.
        cells: &'r ByteRecord,
        /// What each cell holds.
        kinds: &'r [Stored],
        /// Whether the row is one of the table. In other surroundings it could be taken for one.
        is_row: bool,
    },
    /// The cells of a CSV record that is no row, or half of one. In other surroundings it could be
    /// taken for a row.
    NoRow(&'r ByteRecord),
    /// A JSON line, without its line end.
    Line(&'r [u8]),
}

/// The text of a CSV record whose quotes are damaged.
#[derive(Debug, Clone, Copy)]
pub struct DamagedText<'r> {
    text: &'r [u8],
    delimiter: Delimiter,
    /// The number of its cells, as far as they can be told.
    pub cells: usize,
}

impl<'r> DamagedText<'r> {
    /// The text of the first cells.
    #[must_use]
    pub fn first_cells(&self, cells: usize) -> &'r [u8] {
        let end = end_of_cells(self.text, self.delimiter.byte(), cells);
        self.text.get(..end).unwrap_or(self.text)
    }
}

impl Records {
    /// Advances to the next record; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn advance(&mut self) -> Result<Option<RowPos>, InputError> {
        match &mut self.source {
            Source::Cells { records, .. } => records.advance(),
            Source::Jsonl(lines) => lines.advance(),
        }
    }

    /// The current record.
    #[must_use]
    pub fn record(&self) -> Record<'_> {
        match &self.source {
            Source::Cells { records, .. } => {
                let cells = records.record();
                if let Some(worksheet) = records.worksheet() {
                    let is_row = records.damage().is_none();
                    return Record::Worksheet { cells, kinds: worksheet.kinds(), is_row };
                }
                match (records.text(), records.damage()) {
                    (Some(text), _) => Record::Text(DamagedText {
                        text,
                        cells: cells.len(),
                        delimiter: records.delimiter(),
                    }),
                    (None, Some(damage)) if damage.is_hidden_when_rewritten() => {
                        Record::NoRow(cells)
                    }
                    (None, _) => Record::Cells(cells),
                }
            }
            Source::Jsonl(lines) => Record::Line(lines.line()),
        }
    }

    /// The header of a sheet; `None` for JSON.
    #[must_use]
    pub fn header(&self) -> Option<&ByteRecord> {
        match &self.source {
            Source::Cells { records, .. } => Some(records.header()),
            Source::Jsonl(_) => None,
        }
    }

    /// The name of each CSV column as ikbulk calls it; as in the header if the column is not read.
    #[must_use]
    pub fn column_names(&self) -> Vec<String> {
        match &self.source {
            Source::Cells { columns, .. } => columns.canonical_names().collect(),
            Source::Jsonl(_) => Vec::new(),
        }
    }

    /// The options with which a sheet with the columns of this one is read.
    #[must_use]
    pub fn options(&self) -> ReadOptions {
        let mut options = self.names.0.clone();
        if let Source::Cells { columns, .. } = &self.source {
            options.usual_columns.retain(|name, _| columns.has(name));
        }
        options
    }

    /// The name of the worksheet that is read; `None` for text.
    #[must_use]
    pub fn worksheet(&self) -> Option<&str> {
        self.names.0.worksheet.as_deref()
    }

    /// Whether the CSV column with this index is read.
    #[must_use]
    pub fn reads(&self, index: usize) -> bool {
        match &self.source {
            Source::Cells { columns, .. } => {
                columns.fields().any(|(column, ..)| column == index)
                    || columns.metadata_object().is_some_and(|(column, _)| column == index)
            }
            Source::Jsonl(_) => false,
        }
    }

    /// The indices of the columns whose cells the message of a rejected row names, if the current record
    /// is a row of a worksheet.
    #[must_use]
    pub fn bad_columns(&self, message: &str) -> Vec<usize> {
        let Source::Cells { records, columns } = &self.source else { return Vec::new() };
        if records.worksheet().is_none_or(|worksheet| worksheet.damage().is_some()) {
            return Vec::new();
        }
        let is_named = |column: &str| {
            let mut problems = message.split(PROBLEM_SEPARATOR);
            problems.any(|problem| {
                let rest = problem.strip_prefix(column);
                rest.is_some_and(|rest| rest.starts_with(": ") || rest.starts_with(ADDRESS_BEGINS))
            })
        };
        let fields = columns.fields();
        let named = fields.filter(|(_, name, field)| is_named(name) || is_named(&field.column()));
        let object = columns.metadata_object().filter(|(_, name)| is_named(name));
        named.map(|(index, ..)| index).chain(object.map(|(index, _)| index)).collect()
    }

    /// What a key means, if it is known.
    fn meaning(&self, key: &str) -> Option<Meaning> {
        let (options, context) = &self.names;
        Names { options, context }.decided(key)
    }

    /// The delimiter of CSV cells.
    #[must_use]
    pub fn delimiter(&self) -> Delimiter {
        match &self.source {
            Source::Cells { records, .. } => records.delimiter(),
            Source::Jsonl(_) => Delimiter::default(),
        }
    }

    /// The file id of the current record; empty if it is unreadable or not resolved.
    #[must_use]
    pub fn file_id(&self) -> Cow<'_, str> {
        let written = match &self.source {
            Source::Cells { records, columns } => {
                columns.file_id.map(|index| cell(records, index, true))
            }
            Source::Jsonl(lines) => Some(self.file_id_in_line(lines.line())),
        };
        match written.filter(|id| !id.is_empty()) {
            Some(id) => id,
            None => Cow::Borrowed(self.resolved_id().unwrap_or_default()),
        }
    }

    fn resolved_id(&self) -> Option<&str> {
        let file = self.files.as_ref()?.get(&self.target()?)?;
        file.as_ref().ok().map(FileId::as_str)
    }

    /// The path or URL of the current record; `None` if it has a file id or no valid target.
    #[must_use]
    pub fn target(&self) -> Option<Target> {
        let rules = Rules::default();
        let mut builder = Builder::new(&rules);
        self.fill(&mut builder, Field::names_file);
        match builder.finish() {
            Content::Unresolved(unresolved) => Some(unresolved.target),
            _ => None,
        }
    }

    /// The tag change of the current record; `None` if there is none or it is invalid.
    #[must_use]
    pub fn tags(&self, rules: &Rules) -> Option<TagChange> {
        let mut builder = Builder::new(rules);
        builder.set("fileId", &Field::FileId, Cell::Text("any"));
        self.fill(&mut builder, Field::changes_tags);
        match builder.finish() {
            Content::Update(update) => update.change.tags,
            _ => None,
        }
    }

    /// Passes the selected fields of the current record to the builder.
    fn fill(&self, builder: &mut Builder<'_>, is_selected: fn(&Field) -> bool) {
        match &self.source {
            Source::Cells { records, columns } => {
                for (index, name, field) in columns.fields() {
                    if is_selected(field) {
                        let cell = cell(records, index, field.names_file());
                        builder.set(name, field, Cell::Text(&cell));
                    }
                }
            }
            Source::Jsonl(lines) => {
                let Object(pairs) = Object::parse(lines.line()).unwrap_or_default();
                for (key, value) in &pairs {
                    if let Some(Meaning::Field(field)) = self.meaning(key)
                        && is_selected(&field)
                    {
                        builder.set(key, &field, Cell::Json(value));
                    }
                }
            }
        }
    }

    /// The current record's [`own::DONE`] cell of an earlier run: fingerprints of completed steps.
    #[must_use]
    pub fn already_done(&self) -> String {
        match &self.source {
            Source::Cells { records, columns } => {
                columns.own(own::DONE, records.record()).unwrap_or_default().to_owned()
            }
            Source::Jsonl(lines) => {
                let object = Object::parse(lines.line()).unwrap_or_default();
                object.own(own::DONE).unwrap_or_default().into_owned()
            }
        }
    }

    /// The names of the fields that the current record changes.
    #[must_use]
    pub fn touched(&self) -> Vec<String> {
        match &self.source {
            Source::Cells { records, columns } => {
                // A blank cell leaves its field unchanged, like an empty one.
                let cell = |index| records.record().get(index).unwrap_or_default().trim_ascii();
                let object = columns.metadata_object().map(|(index, _)| cell(index));
                let Object(pairs) =
                    object.and_then(|it| Object::parse(it).ok()).unwrap_or_default();
                let in_object = pairs.iter().map(|(name, _)| self.metadata_column(name));
                columns
                    .fields()
                    .filter(|(index, _, field)| !field.names_file() && !cell(*index).is_empty())
                    .map(|(_, _, field)| field.column().into_owned())
                    .chain(in_object)
                    .collect()
            }
            Source::Jsonl(lines) => {
                let object = Object::parse(lines.line()).unwrap_or_default();
                let is_ignored = |key: &str| object.is_file() && is_read_only(key, &self.names.0);
                let pairs = object.0.iter().filter(|(key, _)| !is_ignored(key));
                pairs.flat_map(|(key, value)| self.touched_by(key, value)).collect()
            }
        }
    }

    /// The names of the fields that a key of an object changes.
    fn touched_by(&self, key: &str, value: &Value) -> Vec<String> {
        match (self.meaning(key), value) {
            (_, Value::Object(_)) if key == "publish" => vec!["isPublished".to_owned()],
            (Some(Meaning::MetadataObject), Value::Object(names)) => {
                names.keys().map(|name| self.metadata_column(name)).collect()
            }
            (Some(Meaning::Field(field)), _) if !field.names_file() => {
                vec![field.column().into_owned()]
            }
            _ => Vec::new(),
        }
    }

    /// The name of the column of a custom metadata field.
    fn metadata_column(&self, name: &str) -> String {
        let (options, context) = &self.names;
        let names = Names { options, context };
        if let Some(mapped) = names.mapped_in_metadata(name)
            && let Meaning::Field(field) = names.meaning(&mapped)
        {
            return field.column().into_owned();
        }
        let field = names.metadata(name);
        MetadataField::column_of(field.as_ref().map_or(name, |field| &*field.name))
    }

    /// The file id in a JSON line; empty if there is none.
    fn file_id_in_line(&self, line: &[u8]) -> Cow<'static, str> {
        let Object(pairs) = Object::parse(line).unwrap_or_default();
        let is_id = |key: &str| {
            key == "fileId" || matches!(self.meaning(key), Some(Meaning::Field(Field::FileId)))
        };
        let id = pairs.iter().find(|(key, _)| is_id(key)).and_then(|(_, value)| value.as_str());
        Cow::Owned(id.unwrap_or_default().trim().to_owned())
    }
}

fn cell(records: &CellRecords, index: usize, is_id: bool) -> Cow<'_, str> {
    let kind = records.worksheet().map_or(Stored::Text, |it| it.kind(index));
    if matches!(kind, Stored::Covered | Stored::Formula) {
        return Cow::Borrowed("");
    }
    let cell = records.record().get(index).unwrap_or_default().trim_ascii();
    match String::from_utf8_lossy(cell) {
        Cow::Borrowed(text) => unforced(text, is_id),
        Cow::Owned(text) => Cow::Owned(unforced(&text, is_id).into_owned()),
    }
}
