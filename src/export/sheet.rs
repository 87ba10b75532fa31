//! Files written as rows.

use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use foldhash::HashSet;
use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_128;

use super::columns::{Column, Columns};
use crate::atomic_file::AtomicFile;
use crate::imagekit::ListedFile;
use crate::input::Format;
use crate::row::{Encoded, Field, Rules};

/// How many values that cannot be written are named.
const NAMED_MAX: usize = 10;

/// A sheet that is being written; it is there whole or not at all.
pub struct Sheet {
    file: SheetFile,
    columns: Columns,
    rules: Rules,
    exported: Exported,
    /// The files so far, as hashes of their ids that are wide enough to stand for them.
    seen: HashSet<u128>,
}

enum SheetFile {
    Csv(Box<csv::Writer<AtomicFile>>),
    Jsonl(BufWriter<AtomicFile>),
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exported {
    /// The sheet.
    pub path: PathBuf,
    /// Files in it.
    pub files: u64,
    /// Files that were given more than once.
    pub twice: u64,
    /// Values that no row can say, so that they are left out; with that of `fileId` its whole row.
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
        let whole = AtomicFile::at(path)?;
        let file = match format {
            Format::Csv => {
                let mut csv = csv::Writer::from_writer(whole);
                csv.write_record(columns.iter().map(Column::name))?;
                SheetFile::Csv(Box::new(csv))
            }
            Format::Jsonl => SheetFile::Jsonl(BufWriter::new(whole)),
        };
        let (exported, seen) = (Exported::default(), HashSet::default());
        Ok(Self { file, columns, rules, exported, seen })
    }

    /// How many files were given so far, each counted once.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.seen.len() as u64
    }

    /// Writes a file's row. One that was given before is counted and not written again: pages overlap
    /// where files come and go between them.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, file: &ListedFile) -> io::Result<()> {
        let Self { file: sheet, columns, rules, exported, seen } = self;
        if !seen.insert(xxh3_128(file.file_id.as_bytes())) {
            exported.twice += 1;
            return Ok(());
        }
        match sheet {
            SheetFile::Csv(csv) => {
                let row = exported.row(file, columns, |column| column.as_text(file, rules));
                if let Some(row) = row {
                    csv.write_record(row.map(|(_, text)| text.unwrap_or_default()))?;
                }
            }
            SheetFile::Jsonl(lines) => {
                let row = exported.row(file, columns, |column| column.as_json(file, rules));
                if let Some(row) = row {
                    serde_json::to_writer(&mut *lines, &object(row))?;
                    lines.write_all(b"\n")?;
                }
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
    /// Counts a file and what no row can say of it. Gives what its row says, column by column; `None`
    /// where it cannot even say which file it is.
    fn row<'c, T>(
        &mut self,
        file: &ListedFile,
        columns: &'c Columns,
        write: impl Fn(&Column) -> Encoded<T>,
    ) -> Option<impl Iterator<Item = (&'c Column, Option<T>)>> {
        let mut row = Vec::new();
        for column in columns.iter() {
            let said = match write(column) {
                Encoded::As(said) => Some(said),
                Encoded::Nothing if !column.names_file() => None,
                Encoded::Nothing | Encoded::NotRepresentable => {
                    self.unwritten(file, column);
                    None
                }
            };
            if said.is_none() && column.names_file() {
                return None;
            }
            row.push((column, said));
        }
        self.files += 1;
        Some(row.into_iter())
    }

    fn unwritten(&mut self, file: &ListedFile, column: &Column) {
        self.unwritten += 1;
        if self.first_unwritten.len() < NAMED_MAX {
            self.first_unwritten.push((file.file_id.clone(), column.name().to_owned()));
        }
    }
}

/// A row as a line of JSON. What it says nothing of is left out: null would clear it.
fn object<'c>(row: impl Iterator<Item = (&'c Column, Option<Value>)>) -> Map<String, Value> {
    let mut object = Map::new();
    let mut metadata = Map::new();
    for (column, value) in row {
        match (column, value) {
            (_, None) => {}
            (Column::Field(_, Field::CustomMetadata(field)), Some(value)) => {
                metadata.insert(field.name.to_string(), value);
            }
            (Column::FilePath | Column::Field(..), Some(value)) => {
                object.insert(column.name().to_owned(), value);
            }
        }
    }
    if !metadata.is_empty() {
        object.insert("customMetadata".to_owned(), metadata.into());
    }
    object
}
