//! Sheets that a person may have begun to mend.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::input::Fingerprint;

/// How many versions of a sheet are kept beside it.
const KEPT_MAX: u32 = 1000;

/// Renames a sheet that is no longer as it was written, so that nobody's work is written over.
/// Gives its new name.
pub(super) fn back_up(path: &Path, as_written: Option<&str>) -> io::Result<Option<PathBuf>> {
    let now = match Fingerprint::of_file(path) {
        Ok(now) => now,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if as_written == Some(now.0.as_str()) {
        return Ok(None);
    }
    let name = |part: Option<&std::ffi::OsStr>| {
        part.and_then(std::ffi::OsStr::to_str).unwrap_or_default().to_owned()
    };
    let (stem, ending) = (name(path.file_stem()), name(path.extension()));
    let mut names =
        (1..KEPT_MAX).map(|n| path.with_file_name(format!("{stem}.edited-{n}.{ending}")));
    let kept = names.find(|kept| !kept.exists());
    let kept = kept.ok_or_else(|| io::Error::from(io::ErrorKind::AlreadyExists))?;
    fs::rename(path, &kept)?;
    Ok(Some(kept))
}
