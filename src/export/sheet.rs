//! Files written as rows.

use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::columns::{Column, Columns};
use crate::imagekit::ListedFile;
use crate::input::Format;
use crate::row::{Field, Rules, written};
use crate::whole::Whole;

/// How many values that cannot be written are named.
const NAMED_MAX: usize = 10;

/// A sheet that is being written; it is there whole or not at all.
pub struct Sheet {
    file: SheetFile,
    columns: Columns,
    rules: Rules,
    exported: Exported,
}

enum SheetFile {
    Csv(Box<csv::Writer<Whole>>),
    Jsonl(BufWriter<Whole>),
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exported {
    /// The sheet.
    pub path: PathBuf,
    /// Files in it.
    pub files: u64,
    /// Values that no cell can say, so that their cells are empty.
    pub unwritten: u64,
    /// The first of them, as (file id, column).
    pub first_unwritten: Vec<(String, String)>,
}

impl Sheet {
    /// Begins a sheet.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(path: &Path, format: Format, columns: Columns, rules: Rules) -> io::Result<Self> {
        let whole = Whole::at(path)?;
        let file = match format {
            Format::Csv => {
                let mut csv = csv::Writer::from_writer(whole);
                csv.write_record(columns.iter().map(Column::name))?;
                SheetFile::Csv(Box::new(csv))
            }
            Format::Jsonl => SheetFile::Jsonl(BufWriter::new(whole)),
        };
        Ok(Self { file, columns, rules, exported: Exported::default() })
    }

    /// Writes a file's row.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, file: &ListedFile) -> io::Result<()> {
        self.exported.files += 1;
        match &mut self.file {
            SheetFile::Csv(csv) => {
                for column in self.columns.iter() {
                    let value = column.value(file);
                    let text = match column {
                        Column::Field(_, Field::FileId) | Column::FilePath => {
                            value.as_str().map(str::to_owned)
                        }
                        Column::Field(_, field) => written(field, &value, &self.rules),
                    };
                    if text.is_none() && !value.is_null() {
                        self.exported.unwritten(file, column);
                    }
                    csv.write_field(text.unwrap_or_default())?;
                }
                csv.write_record(None::<&[u8]>)?;
            }
            SheetFile::Jsonl(lines) => {
                serde_json::to_writer(&mut *lines, &object(&self.columns, file))?;
                lines.write_all(b"\n")?;
            }
        }
        Ok(())
    }

    /// Gives the sheet its name.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self) -> io::Result<Exported> {
        let whole = match self.file {
            SheetFile::Csv(csv) => csv.into_inner().map_err(csv::IntoInnerError::into_error)?,
            SheetFile::Jsonl(lines) => {
                lines.into_inner().map_err(io::IntoInnerError::into_error)?
            }
        };
        Ok(Exported { path: whole.finish()?, ..self.exported })
    }
}

impl Exported {
    fn unwritten(&mut self, file: &ListedFile, column: &Column) {
        self.unwritten += 1;
        if self.first_unwritten.len() < NAMED_MAX {
            self.first_unwritten.push((file.file_id.clone(), column.name().to_owned()));
        }
    }
}

/// A file as a line of JSON. What it has not is left out: null would clear it.
fn object(columns: &Columns, file: &ListedFile) -> Map<String, Value> {
    let mut object = Map::new();
    let mut metadata = Map::new();
    for column in columns.iter() {
        let value = column.value(file);
        match column {
            _ if value.is_null() => {}
            Column::Field(_, Field::CustomMetadata(field)) => {
                metadata.insert(field.name.to_string(), value);
            }
            Column::FilePath | Column::Field(..) => {
                object.insert(column.name().to_owned(), value);
            }
        }
    }
    if !metadata.is_empty() {
        object.insert("customMetadata".to_owned(), metadata.into());
    }
    object
}
