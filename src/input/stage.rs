//! Copies the input: a run reads its own copy, so that row numbers and offsets stay valid if the
//! original changes, and standard input is no special case.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Format, Input, InputError, ReadOptions};
use crate::atomic_file::{create_temporary, sync_directory};

const CHUNK_BYTES: usize = 64 << 10;

/// Identifies an input: the BLAKE3 hash of its bytes, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(pub String);

impl Fingerprint {
    /// The fingerprint of the file's current content.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let mut hash = blake3::Hasher::new();
        hash.update_reader(File::open(path)?)?;
        Ok(Self::from_hash(&hash))
    }

    fn from_hash(hash: &blake3::Hasher) -> Self {
        Self(hash.finalize().to_hex().to_string())
    }
}

/// The run's own copy of an input.
#[derive(Debug, Clone)]
pub struct StagedInput {
    /// Path and format of the copy.
    pub input: Input,
    /// Fingerprint of the content.
    pub fingerprint: Fingerprint,
}

/// Copies `from` into `directory` as `input.csv` or `input.jsonl` and syncs the copy to disk. The
/// format is `format`, or else detected from `name` or the first bytes.
///
/// # Errors
/// Reading or writing fails.
pub fn stage_input(
    mut from: impl Read,
    name: &Path,
    format: Option<Format>,
    options: ReadOptions,
    directory: &Path,
) -> Result<StagedInput, InputError> {
    let unreadable = |source| InputError::Read { path: name.display().to_string(), source };
    let mut source = SniffedInput::read(&mut from, name, format).map_err(unreadable)?;
    let format = source.format;
    let path = directory.join(format!("input.{}", format.extension()));
    let cannot_copy = |source| InputError::Copy { path: path.display().to_string(), source };
    let mut copy = create_private(&path).map_err(cannot_copy)?;
    let mut hash = blake3::Hasher::new();
    while let Some(bytes) = source.bytes() {
        hash.update(bytes);
        copy.write_all(bytes).map_err(cannot_copy)?;
        source.read_chunk(&mut from).map_err(unreadable)?;
    }
    copy.sync_all().and_then(|()| sync_directory(directory)).map_err(cannot_copy)?;
    Ok(StagedInput {
        input: Input { path, format, options },
        fingerprint: Fingerprint::from_hash(&hash),
    })
}

/// A temporary copy of an input that can only be read once, such as a pipe. The file is unlinked
/// where the system supports it, so that nothing remains however the process ends.
#[derive(Debug)]
pub struct UnnamedInput {
    input: Input,
    /// Kept open: an unlinked file is read through its descriptor.
    file: File,
    /// Path of the file, if it could not be unlinked.
    name: Option<PathBuf>,
}

impl UnnamedInput {
    /// Path and format of the copy.
    #[must_use]
    pub fn input(&self) -> &Input {
        &self.input
    }
}

impl Drop for UnnamedInput {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // On failure, the system's cleanup of temporary files removes it.
            drop(fs::remove_file(name));
        }
    }
}

/// Copies `from` into a temporary file for this process only. The format is detected as in
/// [`stage_input`].
///
/// # Errors
/// Reading or writing fails.
pub fn stage_unnamed_input(
    mut from: impl Read,
    name: &Path,
    format: Option<Format>,
    options: ReadOptions,
) -> Result<UnnamedInput, InputError> {
    let unreadable = |source| InputError::Read { path: name.display().to_string(), source };
    let directory = std::env::temp_dir();
    let cannot_copy = |source| InputError::Copy { path: directory.display().to_string(), source };
    let (file, path) = create_temporary(&directory).map_err(cannot_copy)?;
    let (path, kept) = unlink(&file, path);
    let input = Input { path, format: Format::Csv, options };
    let mut unnamed = UnnamedInput { input, file, name: kept };
    let mut source = SniffedInput::read(&mut from, name, format).map_err(unreadable)?;
    unnamed.input.format = source.format;
    while let Some(bytes) = source.bytes() {
        unnamed.file.write_all(bytes).map_err(cannot_copy)?;
        source.read_chunk(&mut from).map_err(unreadable)?;
    }
    Ok(unnamed)
}

/// Unlinks a file if it can be opened through its descriptor. Returns the path for opening it, and
/// its name if it was not unlinked.
fn unlink(file: &File, name: PathBuf) -> (PathBuf, Option<PathBuf>) {
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    if path.exists() && fs::remove_file(&name).is_ok() {
        (path, None)
    } else {
        (name.clone(), Some(name))
    }
}

/// An input whose first chunk has been read.
struct SniffedInput {
    format: Format,
    chunk: Vec<u8>,
    filled: usize,
}

impl SniffedInput {
    /// Reads the first chunk. The format is `format`, or else detected from `name` or the first
    /// bytes.
    fn read(from: &mut impl Read, name: &Path, format: Option<Format>) -> io::Result<Self> {
        let mut source = Self { format: Format::Csv, chunk: vec![0; CHUNK_BYTES], filled: 0 };
        source.read_chunk(from)?;
        let named = format.or_else(|| Format::of_name(name));
        let sniff = source.bytes().unwrap_or_default();
        source.format = named.unwrap_or_else(|| Format::sniff_format(sniff));
        Ok(source)
    }

    /// The current chunk; `None` at the end.
    fn bytes(&self) -> Option<&[u8]> {
        self.chunk.get(..self.filled).filter(|bytes| !bytes.is_empty())
    }

    fn read_chunk(&mut self, from: &mut impl Read) -> io::Result<()> {
        self.filled = fill_chunk(from, &mut self.chunk)?;
        Ok(())
    }
}

/// Stages an input that the run itself wrote into its directory.
///
/// # Errors
/// Reading fails.
pub fn staged_in(input: Input) -> Result<StagedInput, InputError> {
    match Fingerprint::of_file(&input.path) {
        Ok(fingerprint) => Ok(StagedInput { input, fingerprint }),
        Err(source) => Err(InputError::Read { path: input.path.display().to_string(), source }),
    }
}

/// Reads until the chunk is full or the input ends: a pipe returns less per read.
fn fill_chunk(from: &mut impl Read, chunk: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = chunk.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
