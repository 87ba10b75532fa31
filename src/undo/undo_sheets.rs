//! Writes the sheet that restores values, and the list of skipped fields.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{FileEffects, Reversal, SkipReason, Skipped};
use crate::atomic_file::AtomicFile;
use crate::row::FileId;
use crate::sanitize::escape_formula;

/// Name of the sheet: the input of the run that restores the values.
const SHEET: &str = "input.jsonl";
/// Name of the list of skipped fields.
const LIST: &str = "not_undone.csv";
const LIST_COLUMNS: [&str; 6] = ["fileId", "field", "reason", "before", "after", "now"];
/// Number of skipped fields kept for the summary.
const FIRST_SKIPPED_MAX: usize = 10;

/// Writer of both files. The list is only created if a field is skipped.
pub(crate) struct UndoSheets<'d> {
    directory: &'d Path,
    sheet: BufWriter<AtomicFile>,
    list: Option<Box<csv::Writer<AtomicFile>>>,
    summary: UndoSummary,
}

/// What an undo restores, skips and cannot revert.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UndoSummary {
    /// Number of rows in the sheet: one per file with fields to restore.
    pub rows: u64,
    /// Number of files with skipped fields, by reason.
    pub skipped: BTreeMap<SkipReason, u64>,
    /// The first skipped fields, as (file, column, reason).
    pub first_skipped: Vec<(FileId, String, SkipReason)>,
    /// Path of the list of all skipped fields; `None` if there are none.
    pub list: Option<PathBuf>,
    /// Number of extension runs, by extension name.
    pub extensions: BTreeMap<&'static str, u64>,
    /// Number of files from which AI tags were removed.
    pub ai_tags: u64,
    /// Number of files that were published or unpublished.
    pub publications: u64,
}

impl<'d> UndoSheets<'d> {
    /// Starts a sheet in the directory of the run that restores the values.
    ///
    /// # Errors
    /// The sheet cannot be written.
    pub(crate) fn create(directory: &'d Path) -> io::Result<Self> {
        let sheet = BufWriter::new(AtomicFile::create(directory, SHEET)?);
        Ok(Self { directory, sheet, list: None, summary: UndoSummary::default() })
    }

    /// Writes the reversal of one file. Returns its row number in the sheet, if a row was written.
    ///
    /// # Errors
    /// The sheet or the list cannot be written.
    pub(crate) fn write(
        &mut self,
        effects: &FileEffects,
        reversal: &Reversal,
    ) -> io::Result<Option<u64>> {
        self.summary.add(effects, reversal);
        for skipped in &reversal.skipped {
            self.list_skipped(&effects.file, skipped)?;
        }
        let Some(row) = &reversal.row else {
            return Ok(None);
        };
        serde_json::to_writer(&mut self.sheet, row)?;
        self.sheet.write_all(b"\n")?;
        Ok(Some(self.summary.rows))
    }

    /// Completes both files, which appear under their names only now.
    ///
    /// # Errors
    /// The sheet or the list cannot be written.
    pub(crate) fn finish(self) -> io::Result<UndoSummary> {
        self.sheet.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
        let list = self.list.map(|list| {
            list.into_inner().map_err(csv::IntoInnerError::into_error).and_then(AtomicFile::finish)
        });
        Ok(UndoSummary { list: list.transpose()?, ..self.summary })
    }

    fn list_skipped(&mut self, file: &FileId, skipped: &Skipped) -> io::Result<()> {
        let list = match &mut self.list {
            Some(list) => list,
            none => {
                let mut list = csv::Writer::from_writer(AtomicFile::create(self.directory, LIST)?);
                list.write_record(LIST_COLUMNS)?;
                none.insert(Box::new(list))
            }
        };
        let Skipped { column, reason, before, after, current } = skipped;
        let values = [before, after, current].map(as_cell);
        let cells = [file.as_str(), column, reason.as_str()];
        let cells = cells.into_iter().chain(values.iter().map(String::as_str));
        list.write_record(cells.map(|cell| escape_formula(cell).into_owned()))?;
        Ok(())
    }
}

impl UndoSummary {
    fn add(&mut self, effects: &FileEffects, reversal: &Reversal) {
        self.rows += u64::from(reversal.row.is_some());
        let reasons: BTreeSet<_> = reversal.skipped.iter().map(|skipped| skipped.reason).collect();
        for reason in reasons {
            *self.skipped.entry(reason).or_default() += 1;
        }
        for Skipped { column, reason, .. } in &reversal.skipped {
            if self.first_skipped.len() < FIRST_SKIPPED_MAX {
                self.first_skipped.push((effects.file.clone(), column.clone(), *reason));
            }
        }
        for name in &effects.irreversible.extensions {
            *self.extensions.entry(name).or_default() += 1;
        }
        self.ai_tags += u64::from(effects.irreversible.ai_tags);
        self.publications += u64::from(effects.irreversible.publication);
    }
}

/// The text of a value in a CSV cell: strings without quotes, null as an empty cell.
fn as_cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
