//! Finds the edits that later rows of the same file superseded.
//!
//! Rows of one file apply in sheet order, and the last one wins. So the report says of each row what
//! became of its edits, and `failed.*` must not return an edit that would overwrite a newer value:
//!
//! - A rejected or failed row keeps the edits that no later row applied or found up to date. Without
//!   any, nothing is left to do on the file.
//! - A row that was applied is superseded in the fields that a later row set to another value.
//!
//! [`SupersededRows::find_all`] reads the input and the ledger side by side, and notes the edits of
//! the rows whose files are in several rows. The notes are kept on disk, by file. Then each file is
//! read from its last row to its first, with what the rows after it set ([`LaterRows`]): so memory
//! depends on the number of columns, not on the number of rows.

mod edits;
mod later;
mod later_tags;
mod repeated;
mod setter;

use std::borrow::Cow;

use edits::{Kind, RowEdits};
use later::LaterRows;
use repeated::RepeatedFiles;
use serde::{Deserialize, Serialize};

use crate::history::{RowEffects, RunRecord};
use crate::ledger::{Completeness, LastRows, RowNotes};
use crate::row::{Content, TagChange};

use super::error::ReportError;
use super::row::RowResult;
use crate::outcome::{Code, Status};

/// What later rows superseded of a row, and what they did not.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Superseded {
    /// Columns that a later row superseded, with its number. They must not be sent again.
    columns: Vec<(String, u64)>,
    /// The row that superseded some tags of a list, of which the rest remains.
    some_tags: Option<u64>,
    /// Columns that can still be applied to a rejected or failed row.
    open: Vec<String>,
    /// The tag change that can still be applied; `None` if all of it can, or none.
    tags: Option<TagChange>,
    /// Whether later rows superseded all edits of the row.
    is_whole: bool,
    /// Whether nothing of the row was sent on its own, and nothing is left to do.
    is_unchanged: bool,
}

/// The superseded rows of a run.
pub(super) struct SupersededRows<'r>(Option<Notes<'r>>);

type Notes<'r> = RowNotes<'r, RowEdits, Superseded>;

impl<'r> SupersededRows<'r> {
    /// Finds the superseded rows of a run.
    pub(super) fn find_all(run: RunRecord<'r>) -> Result<Self, ReportError> {
        let RunRecord { input, context, meta, ledger } = run;
        if meta.names_files_once {
            return Ok(Self(None));
        }
        let files = ledger.file_count()?;
        if files == meta.rows {
            return Ok(Self(None));
        }
        // Without files, the rows were sent without reading them.
        let repeated = match files {
            0 => Some(RepeatedFiles::find(input, context, meta.rows)?),
            _ => None,
        };
        if repeated.as_ref().is_some_and(RepeatedFiles::is_empty) {
            return Ok(Self(None));
        }
        let mut notes: Notes = ledger.row_notes()?;
        let mut rows = input.rows(context, None)?;
        let mut last_rows = LastRows::default();
        ledger.transaction(|| {
            run.each_record(|pos, records, steps| {
                let row = rows.next_row()?.map_or(Content::Blank, |(row, _)| row.content);
                let row = ledger.admit(row)?;
                let file = records.file_id();
                let is_noted = match (&repeated, &row) {
                    _ if file.is_empty() => false,
                    (Some(repeated), _) => repeated.contains(&file),
                    (None, _) if last_rows.take(pos.number, ledger)?.is_some() => {
                        notes.has_file(&file)?
                    }
                    (None, Content::Update(_)) => true,
                    (None, _) => ledger.file_record(&file)?.is_some(),
                };
                if is_noted {
                    let effects = RowEffects::new(steps, meta.planning, Completeness::Complete);
                    let kept = ledger.kept(pos.number, &row)?.unwrap_or_default();
                    let edits = RowEdits::of(records, &row, &kept, steps, effects, &context.rules);
                    if let Some(edits) = edits {
                        notes.add(&file, pos.number, &edits)?;
                    }
                }
                Ok::<_, ReportError>(())
            })?;
            conclude(&notes)
        })?;
        Ok(Self(Some(notes)))
    }

    /// What later rows superseded of a row; `None` if nothing.
    pub(super) fn of_row(&self, row: u64) -> Result<Option<Superseded>, ReportError> {
        let Some(notes) = &self.0 else { return Ok(None) };
        Ok(notes.result(row)?)
    }
}

/// Stores what later rows superseded of each row.
fn conclude(notes: &Notes<'_>) -> Result<(), ReportError> {
    let mut of_file = String::new();
    let mut later = LaterRows::default();
    notes.each_backwards(|file, row, edits| {
        if file != of_file {
            file.clone_into(&mut of_file);
            later = LaterRows::default();
        }
        let superseded = match edits.kind {
            Kind::NotApplied => Some(later.superseded_of_not_applied(&edits)),
            Kind::Applied { .. } => Some(later.superseded_of_applied(&edits)),
            Kind::Other => None,
        };
        if let Some(superseded) = superseded.filter(Superseded::is_any) {
            notes.set_result(row, &superseded)?;
        }
        later.add(row, edits);
        Ok(())
    })
}

impl Superseded {
    fn is_any(&self) -> bool {
        !self.columns.is_empty() || self.some_tags.is_some()
    }

    /// Changes the result of the row to what later rows left of it.
    pub(super) fn apply(&self, row: &mut RowResult<'_>) {
        let is_planned = row.code == Some(Code::Superseded);
        if is_planned && !self.is_whole {
            // The plan left the row out as a whole, for a reason of its own.
            return;
        }
        let own_message = row.message.clone();
        let is_success = row.status.is_success();
        row.code = Some(Code::Superseded);
        // An extension that failed is still to be retried.
        if self.is_unchanged && !row.has_failed_extension {
            row.status = Status::Unchanged;
        }
        let mut message = self.description();
        if !self.open.is_empty() && !is_success {
            message.push_str(&format!("; not applied: {}", self.open.join(", ")));
        }
        if !is_success {
            message = format!("{message}; own error: {own_message}");
        } else if !is_planned && !own_message.is_empty() {
            message = format!("{message}; {own_message}");
        }
        row.message = Cow::Owned(message);
    }

    /// `superseded by row 5 in tags and by row 7 in description`.
    fn description(&self) -> String {
        let some_tags = self.some_tags.map(|row| ("some tags".to_owned(), row));
        let mut by_row: Vec<(u64, Vec<&str>)> = Vec::new();
        for (column, row) in self.columns.iter().chain(&some_tags) {
            match by_row.iter_mut().find(|(by, _)| by == row) {
                Some((_, columns)) => columns.push(column),
                None => by_row.push((*row, vec![column])),
            }
        }
        by_row.sort_unstable_by_key(|(row, _)| *row);
        let parts = by_row.iter();
        let parts = parts.map(|(row, columns)| format!("by row {row} in {}", columns.join(", ")));
        format!("superseded {}", parts.collect::<Vec<_>>().join(" and "))
    }

    /// The columns that must not be sent again.
    pub(super) fn columns(&self) -> Vec<String> {
        self.columns.iter().map(|(column, _)| column.clone()).collect()
    }

    /// The remaining tag change, if it is less than in the row.
    pub(super) fn reduced_tags(&self) -> Option<&TagChange> {
        self.tags.as_ref()
    }
}
