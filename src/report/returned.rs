//! Writes rows back as a sheet of the input's own format: `failed.*`, `unknown.*`, and the sheet of
//! a retry.

use std::io;

use super::encoded_file::EncodedFile;
use super::error::ReportError;
use super::json_records::JsonWriter;
use super::reason::Reason;
use super::row::RowResult;
use super::sheets::ReturnSheet;
use super::superseded::Superseded;
use super::workbook_sheet::WorkbookWriter;
use crate::atomic_file::AtomicFile;
use crate::history::RunRecord;
use crate::input::{Input, Records, done_cell};
use crate::ledger::StepRecord;
use crate::plan::done_steps;
use crate::row::{Content, RowPos};

/// Begins a sheet in the format of the input.
pub(super) fn return_sheet(
    file: AtomicFile,
    input: &Input,
    records: &Records,
) -> io::Result<ReturnSheet> {
    if let (Some(worksheet), Some(header)) = (records.worksheet(), records.header()) {
        return WorkbookWriter::new(file, worksheet, records, header).map(ReturnSheet::workbook);
    }
    let file = EncodedFile::new(file, input)?;
    if let Some(header) = records.header() {
        return ReturnSheet::cells(file, records, header);
    }
    let is_array = input.is_json_array().map_err(io::Error::other)?;
    JsonWriter::new(file, is_array).map(ReturnSheet::json)
}

/// A row of the input with its result.
pub(super) struct ReturnedRow<'r> {
    pub(super) pos: RowPos,
    pub(super) records: &'r Records,
    pub(super) steps: &'r [StepRecord],
    pub(super) result: &'r RowResult<'r>,
    /// What later rows superseded of it; `None` if nothing.
    pub(super) superseded: Option<&'r Superseded>,
}

impl ReturnedRow<'_> {
    /// Writes the row to a sheet, with the steps that are not to be repeated.
    pub(super) fn write(
        &self,
        sheet: &mut ReturnSheet,
        run: RunRecord<'_>,
        failed: &impl Fn(io::Error) -> ReportError,
    ) -> Result<(), ReportError> {
        let Self { pos, records, steps, result, superseded } = *self;
        let done = if steps.iter().any(|record| record.outcome.status.is_success()) {
            already_done(run, pos, steps)?
        } else {
            records.already_done()
        };
        let bad_columns = records.bad_columns(&result.message);
        let superseded_columns = superseded.map(Superseded::columns).unwrap_or_default();
        let reason = Reason {
            row: result,
            done: &done,
            superseded_columns: &superseded_columns,
            remaining_tag_change: superseded.and_then(Superseded::reduced_tags),
            bad_columns: &bad_columns,
            rules: &run.context.rules,
        };
        sheet.write(&records.record(), &reason).map_err(failed)
    }
}

/// Fingerprints of the completed steps of a row, including those of an earlier run that returned
/// the row. As the sheet has it: the next run compares them with the sheet's cells, not with what was sent.
fn already_done(
    run: RunRecord<'_>,
    pos: RowPos,
    records: &[StepRecord],
) -> Result<String, ReportError> {
    let Some((row, prior_run)) = run.input.rows(run.context, Some(pos))?.next_row()? else {
        return Ok(String::new());
    };
    let mut done = prior_run.done;
    if let Content::Update(update) = run.ledger.admit(row.content)? {
        done.extend(done_steps(&update, records));
    }
    Ok(done_cell(&done))
}
