//! The sheet that puts values back, and the list of what is left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{FileEffects, Reversal, SkipReason, Skipped};
use crate::atomic_file::AtomicFile;
use crate::report::escape_formula;
use crate::row::FileId;

/// The sheet's name in the directory of the run that carries it out.
const SHEET: &str = "input.jsonl";
/// The list's name beside it.
const LIST: &str = "not_undone.csv";
const LIST_COLUMNS: [&str; 6] = ["fileId", "field", "why", "before", "run left", "now"];
/// How many of the fields that are left alone are named.
const NAMED_MAX: usize = 10;

/// Both, while they are being written. The list is there only if something is on it.
pub struct Sheets<'d> {
    directory: &'d Path,
    sheet: BufWriter<AtomicFile>,
    list: Option<Box<csv::Writer<AtomicFile>>>,
    render_undo: UndoSummary,
}

/// What becomes of a run that is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UndoSummary {
    /// Rows of the sheet, one for each file on which values are put back.
    pub rows: u64,
    /// Files on which something is left alone, by the reason.
    pub skipped: BTreeMap<SkipReason, u64>,
    /// The first fields that are left alone, as (file, field, reason).
    pub first_left_alone: Vec<(FileId, String, SkipReason)>,
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
        let sheet = BufWriter::new(AtomicFile::create(directory, SHEET)?);
        Ok(Self { directory, sheet, list: None, render_undo: UndoSummary::default() })
    }

    /// Writes what becomes of a file; gives the number of its row if it has one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(
        &mut self,
        file_effects: &FileEffects,
        reversal: &Reversal,
    ) -> io::Result<Option<u64>> {
        self.render_undo.add(file_effects, reversal);
        for skipped in &reversal.skipped {
            self.leave_alone(&file_effects.file, skipped)?;
        }
        let Some(row) = &reversal.row else {
            return Ok(None);
        };
        serde_json::to_writer(&mut self.sheet, row)?;
        self.sheet.write_all(b"\n")?;
        Ok(Some(self.render_undo.rows))
    }

    /// Gives both their names.
    ///
    /// # Errors
    /// One of them cannot be written.
    pub fn finish(self) -> io::Result<UndoSummary> {
        self.sheet.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
        let list = self.list.map(|list| {
            list.into_inner().map_err(csv::IntoInnerError::into_error).and_then(AtomicFile::finish)
        });
        Ok(UndoSummary { list: list.transpose()?, ..self.render_undo })
    }

    fn leave_alone(&mut self, file: &FileId, skipped: &Skipped) -> io::Result<()> {
        let list = match &mut self.list {
            Some(list) => list,
            none => {
                let mut list = csv::Writer::from_writer(AtomicFile::create(self.directory, LIST)?);
                list.write_record(LIST_COLUMNS)?;
                none.insert(Box::new(list))
            }
        };
        let Skipped { field, why, before, left, now } = skipped;
        let cells = [before, left, now].map(shown);
        let words = [file.as_str(), field, why.as_str()];
        let cells = words.into_iter().chain(cells.iter().map(String::as_str));
        list.write_record(cells.map(|cell| escape_formula(cell).into_owned()))?;
        Ok(())
    }
}

impl UndoSummary {
    fn add(&mut self, file_effects: &FileEffects, reversal: &Reversal) {
        self.rows += u64::from(reversal.row.is_some());
        for why in reversal.skipped.iter().map(|left| left.why).collect::<BTreeSet<_>>() {
            *self.skipped.entry(why).or_default() += 1;
        }
        for left in &reversal.skipped {
            if self.first_left_alone.len() < NAMED_MAX {
                let named = (file_effects.file.clone(), left.field.clone(), left.why);
                self.first_left_alone.push(named);
            }
        }
        for name in &file_effects.irreversible.extensions {
            *self.extensions.entry(name).or_default() += 1;
        }
        self.ai_tags += u64::from(file_effects.irreversible.ai_tags);
        self.publications += u64::from(file_effects.irreversible.publication);
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
