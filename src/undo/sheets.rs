//! The sheet that puts values back, and the list of what is left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Back, Deeds, LeftAlone, Why};
use crate::report::defused;
use crate::row::FileId;
use crate::whole::Whole;

/// The sheet's name in the directory of the run that carries it out.
const SHEET: &str = "input.jsonl";
/// The list's name beside it.
const LIST: &str = "left_alone.csv";
const LIST_COLUMNS: [&str; 6] = ["fileId", "field", "why", "before", "run left", "now"];
/// How many of the fields that are left alone are named.
const NAMED_MAX: usize = 10;

/// Both, while they are being written. The list is there only if something is on it.
pub struct Sheets<'d> {
    directory: &'d Path,
    sheet: BufWriter<Whole>,
    list: Option<Box<csv::Writer<Whole>>>,
    undoing: Undoing,
}

/// What becomes of a run that is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Undoing {
    /// Rows of the sheet, one for each file on which values are put back.
    pub rows: u64,
    /// Files on which something is left alone, by the reason.
    pub left_alone: BTreeMap<Why, u64>,
    /// The first fields that are left alone, as (file, field, reason).
    pub first_left_alone: Vec<(FileId, String, Why)>,
    /// Where all of them are listed.
    pub list: Option<PathBuf>,
    /// Runs of extensions, by name.
    pub extensions: BTreeMap<&'static str, u64>,
    /// Files from which AI tags were removed.
    pub ai_tags: u64,
    /// Files that were published or unpublished.
    pub publications: u64,
}

impl<'d> Sheets<'d> {
    /// Begins the sheet in a directory.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(directory: &'d Path) -> io::Result<Self> {
        let sheet = BufWriter::new(Whole::create(directory, SHEET)?);
        Ok(Self { directory, sheet, list: None, undoing: Undoing::default() })
    }

    /// Writes what becomes of a file; gives the number of its row if it has one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, deeds: &Deeds, back: &Back) -> io::Result<Option<u64>> {
        self.undoing.add(deeds, back);
        for left_alone in &back.left_alone {
            self.leave_alone(&deeds.file, left_alone)?;
        }
        let Some(row) = &back.row else {
            return Ok(None);
        };
        serde_json::to_writer(&mut self.sheet, row)?;
        self.sheet.write_all(b"\n")?;
        Ok(Some(self.undoing.rows))
    }

    /// Gives both their names.
    ///
    /// # Errors
    /// One of them cannot be written.
    pub fn finish(self) -> io::Result<Undoing> {
        self.sheet.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
        let list = self.list.map(|list| {
            list.into_inner().map_err(csv::IntoInnerError::into_error).and_then(Whole::finish)
        });
        Ok(Undoing { list: list.transpose()?, ..self.undoing })
    }

    fn leave_alone(&mut self, file: &FileId, left_alone: &LeftAlone) -> io::Result<()> {
        let list = match &mut self.list {
            Some(list) => list,
            none => {
                let mut list = csv::Writer::from_writer(Whole::create(self.directory, LIST)?);
                list.write_record(LIST_COLUMNS)?;
                none.insert(Box::new(list))
            }
        };
        let LeftAlone { field, why, before, left, now } = left_alone;
        let cells = [before, left, now].map(shown);
        let words = [file.as_str(), field, why.as_str()];
        let cells = words.into_iter().chain(cells.iter().map(String::as_str));
        list.write_record(cells.map(|cell| defused(cell).into_owned()))?;
        Ok(())
    }
}

impl Undoing {
    fn add(&mut self, deeds: &Deeds, back: &Back) {
        self.rows += u64::from(back.row.is_some());
        for why in back.left_alone.iter().map(|left| left.why).collect::<BTreeSet<_>>() {
            *self.left_alone.entry(why).or_default() += 1;
        }
        for left in &back.left_alone {
            if self.first_left_alone.len() < NAMED_MAX {
                let named = (deeds.file.clone(), left.field.clone(), left.why);
                self.first_left_alone.push(named);
            }
        }
        for name in &deeds.lasting.extensions {
            *self.extensions.entry(name).or_default() += 1;
        }
        self.ai_tags += u64::from(deeds.lasting.ai_tags);
        self.publications += u64::from(deeds.lasting.publication);
    }
}

/// A value as a person reads it; nothing for null.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
