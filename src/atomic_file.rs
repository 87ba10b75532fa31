//! Atomic file writes: a file appears complete or not at all, even after a power failure.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Prefix and suffix of temporary file names.
const TEMPORARY_NAME: (&str, &str) = (".ikbulk-", ".writing");
/// Maximum temporary names to try. A killed process with the same id, on this machine or another,
/// may have left a file under one of them.
const ATTEMPTS_MAX: u32 = 1000;

/// A file that is written under a temporary name and renamed when it is complete. Unbuffered: wrap
/// it in a `BufWriter` for small writes.
pub struct AtomicFile {
    file: File,
    temporary: PathBuf,
    directory: PathBuf,
    path: PathBuf,
}

impl AtomicFile {
    /// Starts a file at a path that the user chose.
    ///
    /// # Errors
    /// The temporary file cannot be created.
    pub fn at(path: &Path) -> io::Result<Self> {
        let name = path
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidFilename, "not a file name"))?;
        Self::create(path.parent().unwrap_or(Path::new("")), name)
    }

    pub(crate) fn create(directory: &Path, name: impl Into<OsString>) -> io::Result<Self> {
        let (file, temporary) = create_temporary(directory)?;
        let path = directory.join(name.into());
        Ok(Self { file, temporary, directory: directory.to_owned(), path })
    }

    /// Starts another file that is to have the same final name.
    ///
    /// # Errors
    /// The temporary file cannot be created.
    pub(crate) fn replacement(&self) -> io::Result<Self> {
        let (file, temporary) = create_temporary(&self.directory)?;
        Ok(Self { file, temporary, directory: self.directory.clone(), path: self.path.clone() })
    }

    /// The directory of the file.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Syncs the content to disk, renames the file to its final name, then syncs the directory.
    ///
    /// # Errors
    /// The file cannot be written or renamed.
    pub fn finish(mut self) -> io::Result<PathBuf> {
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        self.temporary.clear();
        sync_directory(&self.directory)?;
        Ok(std::mem::take(&mut self.path))
    }
}

/// Creates a file with mode 0600 under an unused temporary name. Existing files and symbolic links
/// are never opened.
pub(crate) fn create_temporary(directory: &Path) -> io::Result<(File, PathBuf)> {
    let (prefix, suffix) = TEMPORARY_NAME;
    let process = std::process::id();
    let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
    for n in 0..ATTEMPTS_MAX {
        let path = directory.join(format!("{prefix}{process}-{n}{suffix}"));
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = error,
            Err(error) => return Err(error),
        }
    }
    Err(taken)
}

/// Removes the temporary files of killed processes. The caller must make sure that no other process
/// is writing in this directory.
pub(crate) fn remove_leftovers(directory: &Path) -> io::Result<()> {
    let (prefix, suffix) = TEMPORARY_NAME;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(prefix) && name.ends_with(suffix)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Syncs a directory, so that created, renamed and removed names are on disk. Does nothing on file
/// systems that cannot sync directories.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    match File::open(path).and_then(|directory| directory.sync_all()) {
        Err(error) if matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported) => {
            Ok(())
        }
        synced => synced,
    }
}

impl Drop for AtomicFile {
    /// Removes the temporary file of an unfinished write.
    fn drop(&mut self) {
        if !self.temporary.as_os_str().is_empty() {
            drop(fs::remove_file(&self.temporary));
        }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Read for AtomicFile {
    /// Reads what was written, from the current position.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.file.read(into)
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(directory: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn concurrent_writers_of_one_file_do_not_interfere() {
        let directory = tempfile::tempdir().unwrap();
        let mut writers = ["one", "two"]
            .map(|text| (AtomicFile::create(directory.path(), "report").unwrap(), text));
        for (writer, text) in &mut writers {
            writer.write_all(text.as_bytes()).unwrap();
        }
        for (writer, text) in writers {
            let path = writer.finish().unwrap();
            assert_eq!(fs::read_to_string(path).unwrap(), text);
        }
        assert_eq!(names(directory.path()), ["report"]);
    }

    #[test]
    fn dropped_and_leftover_temporary_files_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        drop(AtomicFile::create(directory.path(), "report").unwrap());
        assert!(names(directory.path()).is_empty());
        std::mem::forget(AtomicFile::create(directory.path(), "report").unwrap());
        fs::write(directory.path().join("kept"), "").unwrap();
        remove_leftovers(directory.path()).unwrap();
        assert_eq!(names(directory.path()), ["kept"]);
    }

    #[test]
    fn symbolic_links_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("target");
        fs::write(&target, "kept").unwrap();
        let process = std::process::id();
        for name in [format!(".ikbulk-{process}-0.writing"), "report".to_owned()] {
            symlink(&target, directory.path().join(name)).unwrap();
        }
        let mut file = AtomicFile::create(directory.path(), "report").unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(fs::read_to_string(file.finish().unwrap()).unwrap(), "new");
        assert_eq!(fs::read_to_string(target).unwrap(), "kept");
    }

    #[test]
    fn file_name_need_not_be_utf8() {
        use std::os::unix::ffi::OsStringExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(OsString::from_vec(b"r\xe9port.csv".to_vec()));
        AtomicFile::at(&path).unwrap().finish().unwrap();
        assert!(path.exists());
    }
}
