//! Backs up sheets that a person may have edited.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::input::Fingerprint;

/// Maximum backups of a sheet.
const BACKUPS_MAX: u32 = 1000;

/// Renames a sheet that differs from the fingerprint in `as_written`, so that edits are not
/// overwritten. Returns the new path; `None` if the sheet does not exist or is unchanged.
pub(super) fn back_up(path: &Path, as_written: Option<&str>) -> io::Result<Option<PathBuf>> {
    let current = match Fingerprint::of_file(path) {
        Ok(current) => current,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if as_written == Some(current.0.as_str()) {
        return Ok(None);
    }
    let text_of = |part: Option<&std::ffi::OsStr>| {
        part.and_then(std::ffi::OsStr::to_str).unwrap_or_default().to_owned()
    };
    let (stem, extension) = (text_of(path.file_stem()), text_of(path.extension()));
    let mut names =
        (1..BACKUPS_MAX).map(|n| path.with_file_name(format!("{stem}.edited-{n}.{extension}")));
    let backup = names.find(|name| !name.exists());
    let backup = backup.ok_or_else(|| io::Error::from(io::ErrorKind::AlreadyExists))?;
    fs::rename(path, &backup)?;
    Ok(Some(backup))
}
