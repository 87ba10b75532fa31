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
    pub(crate) fn create(directory: &Path, name: &str) -> io::Result<Self> {
        let (path, writing) = (directory.join(name), directory.join(format!(".{name}.writing")));
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&writing)?;
        Ok(Self { file, writing, path })
    }

    /// Sees to it that the bytes are on disk, and only then gives the file its name.
    pub(crate) fn finish(self) -> io::Result<PathBuf> {
        self.file.sync_all()?;
        fs::rename(&self.writing, &self.path)?;
        Ok(self.path)
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
