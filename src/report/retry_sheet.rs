//! The rows of a run that can be retried, as a sheet.

use std::path::Path;

use super::error::ReportError;
use super::returned::{ReturnedRow, return_sheet};
use super::row::RowResult;
use super::superseded::SupersededRows;
use crate::atomic_file::AtomicFile;
use crate::history::RunRecord;
use crate::outcome::Status;

/// The rows of a run, for a retry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetryRows {
    /// Rows in the sheet: failed ones, and ones of which an extension failed.
    pub to_retry: u64,
    /// Rows of unknown outcome, which are never retried.
    pub unknown: u64,
    /// Rejected rows, which need fixing.
    pub rejected: u64,
}

/// Writes the rows to retry to `into`, in UTF-8 and with the steps that are done. A row of which later
/// rows have superseded everything is not retried.
///
/// # Errors
/// The input or the ledger cannot be read, or the sheet cannot be written.
pub(crate) fn write_retry_sheet(run: RunRecord<'_>, into: &Path) -> Result<RetryRows, ReportError> {
    let directory = into.parent().unwrap_or(Path::new(""));
    let failed = |source| ReportError::Write { directory: directory.to_owned(), source };
    let name = into.file_name().unwrap_or_default().to_string_lossy();
    let file = AtomicFile::create(directory, &*name).map_err(failed)?;
    let mut utf8 = run.input.clone();
    utf8.options.encoding = None;
    let mut sheet = return_sheet(file, &utf8, &run.input.records(run.context)?).map_err(failed)?;
    let superseded = SupersededRows::find_all(run)?;
    let mut rows = RetryRows::default();
    run.each_record(|pos, records, steps| {
        let mut result = RowResult::of(steps);
        let superseded = superseded.of_row(pos.number)?;
        if let Some(superseded) = &superseded {
            superseded.apply(&mut result);
        }
        rows.unknown += u64::from(result.status == Status::Unknown);
        rows.rejected += u64::from(result.status == Status::Rejected);
        if !result.can_retry() {
            return Ok(());
        }
        rows.to_retry += 1;
        let superseded = superseded.as_ref();
        let row = ReturnedRow { pos, records, steps, result: &result, superseded };
        row.write(&mut sheet, run, &failed)
    })?;
    if let Some(file) = sheet.finish().map_err(failed)? {
        file.finish().map_err(failed)?;
    }
    Ok(rows)
}
