//! Files that are there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file that is written under another name and appears under its own when it is whole. Not
/// buffered: whoever writes small pieces buffers them.
pub(crate) struct Whole {
    file: File,
    writing: PathBuf,
    path: PathBuf,
}

impl Whole {
    /// At a path that somebody named.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidFilename, "it is no file name"))?;
        Self::create(path.parent().unwrap_or(Path::new("")), name)
    }

    pub(crate) fn create(directory: &Path, name: &str) -> io::Result<Self> {
        let (path, writing) = (directory.join(name), directory.join(format!(".{name}.writing")));
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&writing)?;
        Ok(Self { file, writing, path })
    }

    /// Sees to it that the bytes are on disk, and only then gives the file its name.
    pub(crate) fn finish(mut self) -> io::Result<PathBuf> {
        self.file.sync_all()?;
        fs::rename(&self.writing, &self.path)?;
        self.writing.clear();
        Ok(std::mem::take(&mut self.path))
    }
}

impl Drop for Whole {
    /// What did not become whole is taken away.
    fn drop(&mut self) {
        if !self.writing.as_os_str().is_empty() {
            drop(fs::remove_file(&self.writing));
        }
    }
}

impl Write for Whole {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
