//! Copies a workbook, and reads its worksheet into a file of rows.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::sniffed_input::SniffedInput;
use super::workbook::{self, Converted, FILE_BYTES_MAX};
use super::{InputError, WorkbookError};
use crate::atomic_file::create_temporary;

/// The copy of a workbook in a directory, under a temporary name.
pub(super) struct WorkbookCopy {
    file: File,
    path: PathBuf,
    directory: PathBuf,
}

impl WorkbookCopy {
    /// Copies the whole source.
    pub(super) fn new(
        source: &mut SniffedInput<'_>,
        name: &Path,
        directory: &Path,
    ) -> Result<Self, InputError> {
        let unreadable = |source| InputError::Read { path: name.display().to_string(), source };
        let cannot_copy = |source| cannot_copy(directory, source);
        let (file, path) = create_temporary(directory).map_err(cannot_copy)?;
        let mut copy = Self { file, path, directory: directory.to_owned() };
        let mut left = FILE_BYTES_MAX;
        while let Some(bytes) = source.bytes() {
            left = left.checked_sub(bytes.len() as u64).ok_or_else(workbook::larger_file)?;
            copy.file.write_all(bytes).map_err(cannot_copy)?;
            source.read_chunk().map_err(unreadable)?;
        }
        Ok(copy)
    }

    /// Reads the worksheet with this name, or the first one, into `rows`, an empty file.
    pub(super) fn convert(
        &mut self,
        worksheet: Option<&str>,
        rows: File,
    ) -> Result<Converted, InputError> {
        let scratch = unnamed_file(&self.directory);
        let scratch = scratch.map_err(|source| cannot_copy(&self.directory, source))?;
        Ok(workbook::convert(&mut self.file, worksheet, rows, scratch)?)
    }

    /// Keeps the copy under its final name.
    pub(super) fn keep(mut self, path: &Path) -> Result<(), InputError> {
        let kept = self.file.sync_all().and_then(|()| fs::rename(&self.path, path));
        self.path.clear();
        kept.map_err(|source| cannot_copy(path, source))
    }
}

impl Drop for WorkbookCopy {
    /// Removes a copy that is not kept.
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // On failure, a leftover of the run directory is removed with it.
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Refuses a worksheet that is named for text.
pub(super) fn refuse_worksheet(worksheet: Option<&str>) -> Result<(), WorkbookError> {
    match worksheet {
        Some(name) => Err(WorkbookError::NoWorkbook { name: name.to_owned() }),
        None => Ok(()),
    }
}

/// A file without a name, which the system removes when it is closed.
fn unnamed_file(directory: &Path) -> io::Result<File> {
    let (file, path) = create_temporary(directory)?;
    fs::remove_file(path)?;
    Ok(file)
}

fn cannot_copy(path: &Path, source: io::Error) -> InputError {
    InputError::Copy { path: path.display().to_string(), source }
}
