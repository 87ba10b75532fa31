//! Files that are there whole or not at all, also after a power failure.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What the names of files begin and end with that are being written.
const WRITING: (&str, &str) = (".ikbulk-", ".writing");
/// Temporary names that are tried. One is taken where a process with this id was killed, on this
/// machine or another.
const NAMES_MAX: u32 = 1000;

/// A file that is written under another name and appears under its own when it is whole. Not
/// buffered: whoever writes small pieces buffers them.
pub(crate) struct AtomicFile {
    file: File,
    writing: PathBuf,
    directory: PathBuf,
    path: PathBuf,
}

impl AtomicFile {
    /// At a path that somebody named.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let name = path
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidFilename, "it is no file name"))?;
        Self::create(path.parent().unwrap_or(Path::new("")), name)
    }

    pub(crate) fn create(directory: &Path, name: impl Into<OsString>) -> io::Result<Self> {
        let (file, writing) = create_temporary(directory)?;
        let path = directory.join(name.into());
        Ok(Self { file, writing, directory: directory.to_owned(), path })
    }

    /// Sees to it that the bytes are on disk, and only then gives the file its name, which is then on
    /// disk as well.
    pub(crate) fn finish(mut self) -> io::Result<PathBuf> {
        self.file.sync_all()?;
        fs::rename(&self.writing, &self.path)?;
        self.writing.clear();
        sync_directory(&self.directory)?;
        Ok(std::mem::take(&mut self.path))
    }
}

/// A new file under a name that no other process and no other file of this one has. What is already
/// there under a name is not touched, not even a link.
pub(crate) fn create_temporary(directory: &Path) -> io::Result<(File, PathBuf)> {
    let (begin, end) = WRITING;
    let process = std::process::id();
    let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
    for n in 0..NAMES_MAX {
        let path = directory.join(format!("{begin}{process}-{n}{end}"));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = error,
            Err(error) => return Err(error),
        }
    }
    Err(taken)
}

/// Removes what processes left behind that were killed while they wrote. Only for a directory in
/// which no other process writes at this moment.
pub(crate) fn remove_leftovers(directory: &Path) -> io::Result<()> {
    let (begin, end) = WRITING;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(begin) && name.ends_with(end)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Sees to it that names that were given or taken in a directory are on disk. Where a file system
/// cannot do that for directories, it is left to it.
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
    /// What did not become whole is taken away.
    fn drop(&mut self) {
        if !self.writing.as_os_str().is_empty() {
            drop(fs::remove_file(&self.writing));
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
    fn two_writers_of_one_file_do_not_disturb_each_other() {
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
    fn what_is_dropped_and_what_a_killed_process_left_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        drop(AtomicFile::create(directory.path(), "report").unwrap());
        assert!(names(directory.path()).is_empty());
        std::mem::forget(AtomicFile::create(directory.path(), "report").unwrap());
        fs::write(directory.path().join("kept"), "").unwrap();
        remove_leftovers(directory.path()).unwrap();
        assert_eq!(names(directory.path()), ["kept"]);
    }

    #[test]
    fn no_link_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("target");
        fs::write(&target, "kept").unwrap();
        let process = std::process::id();
        for name in [format!(".ikbulk-{process}-0.writing"), "report".to_owned()] {
            symlink(&target, directory.path().join(name)).unwrap();
        }
        let mut whole = AtomicFile::create(directory.path(), "report").unwrap();
        whole.write_all(b"new").unwrap();
        assert_eq!(fs::read_to_string(whole.finish().unwrap()).unwrap(), "new");
        assert_eq!(fs::read_to_string(target).unwrap(), "kept");
    }

    #[test]
    fn a_name_need_not_be_text() {
        use std::os::unix::ffi::OsStringExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(OsString::from_vec(b"r\xe9port.csv".to_vec()));
        AtomicFile::at(&path).unwrap().finish().unwrap();
        assert!(path.exists());
    }
}
