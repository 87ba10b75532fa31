//! Taking an input over: the run works on its own copy, so that row numbers and offsets stay true
//! whatever happens to the original, and standard input is no special case.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Format, Input, InputError};
use crate::atomic_file::{create_temporary, sync_directory};

const CHUNK_BYTES: usize = 64 << 10;

/// What an input is known by: a BLAKE3 hash of its bytes, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(pub String);

impl Fingerprint {
    /// The fingerprint of the file's content as it is now.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let mut hash = blake3::Hasher::new();
        hash.update_reader(File::open(path)?)?;
        Ok(Self::of(&hash))
    }

    fn of(hash: &blake3::Hasher) -> Self {
        Self(hash.finalize().to_hex().to_string())
    }
}

/// An input that has been copied.
#[derive(Debug, Clone)]
pub struct StagedInput {
    /// The copy.
    pub input: Input,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
}

/// Copies `from` into `directory` as `input.csv` or `input.jsonl`, and sees to it that the copy is
/// on disk. The format is `format`, or the one that `name` or the first bytes show.
///
/// # Errors
/// Reading or writing fails.
pub fn stage_input(
    mut from: impl Read,
    name: &Path,
    format: Option<Format>,
    directory: &Path,
) -> Result<StagedInput, InputError> {
    let unreadable = |source| InputError::Read { path: name.display().to_string(), source };
    let mut begun = SniffedInput::read(&mut from, name, format).map_err(unreadable)?;
    let format = begun.format;
    let path = directory.join(format!("input.{}", format.extension()));
    let cannot_copy = |source| InputError::Copy { path: path.display().to_string(), source };
    let mut copy = create_private(&path).map_err(cannot_copy)?;
    let mut hash = blake3::Hasher::new();
    while let Some(bytes) = begun.bytes() {
        hash.update(bytes);
        copy.write_all(bytes).map_err(cannot_copy)?;
        begun.read_on(&mut from).map_err(unreadable)?;
    }
    copy.sync_all().and_then(|()| sync_directory(directory)).map_err(cannot_copy)?;
    Ok(StagedInput { input: Input { path, format }, fingerprint: Fingerprint::of(&hash) })
}

/// A copy of an input that can be read once only. It has no name where the system can read a file
/// without one, so that nothing is left of it however the program ends.
#[derive(Debug)]
pub struct UnnamedInput {
    input: Input,
    /// Held open, since it is read by the number of this.
    file: File,
    /// Its name, where it must have one.
    name: Option<PathBuf>,
}

impl UnnamedInput {
    /// The copy.
    #[must_use]
    pub fn input(&self) -> &Input {
        &self.input
    }
}

impl Drop for UnnamedInput {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // What cannot be removed is left to the system's own cleaning of its temporary files.
            drop(fs::remove_file(name));
        }
    }
}

/// Copies `from` into a file without a name, to be read by this process alone. The format is that of
/// [`stage_input`].
///
/// # Errors
/// Reading or writing fails.
pub fn stage_unnamed_input(
    mut from: impl Read,
    name: &Path,
    format: Option<Format>,
) -> Result<UnnamedInput, InputError> {
    let unreadable = |source| InputError::Read { path: name.display().to_string(), source };
    let directory = std::env::temp_dir();
    let cannot_copy = |source| InputError::Copy { path: directory.display().to_string(), source };
    let (file, path) = create_temporary(&directory).map_err(cannot_copy)?;
    let (path, kept) = without_name(&file, path);
    let input = Input { path, format: Format::Csv };
    let mut unnamed = UnnamedInput { input, file, name: kept };
    let mut begun = SniffedInput::read(&mut from, name, format).map_err(unreadable)?;
    unnamed.input.format = begun.format;
    while let Some(bytes) = begun.bytes() {
        unnamed.file.write_all(bytes).map_err(cannot_copy)?;
        begun.read_on(&mut from).map_err(unreadable)?;
    }
    Ok(unnamed)
}

/// Takes a file's name away if it can be opened without. Gives the path by which it can be opened, and
/// its name if it keeps it.
fn without_name(file: &File, name: PathBuf) -> (PathBuf, Option<PathBuf>) {
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    if path.exists() && fs::remove_file(&name).is_ok() {
        (path, None)
    } else {
        (name.clone(), Some(name))
    }
}

/// An input of which the beginning has been read.
struct SniffedInput {
    format: Format,
    chunk: Vec<u8>,
    filled: usize,
}

impl SniffedInput {
    /// The format is `format`, or the one that `name` or the first bytes show.
    fn read(from: &mut impl Read, name: &Path, format: Option<Format>) -> io::Result<Self> {
        let mut begun = Self { format: Format::Csv, chunk: vec![0; CHUNK_BYTES], filled: 0 };
        begun.read_on(from)?;
        let named = format.or_else(|| Format::of_name(name));
        let sniff = begun.bytes().unwrap_or_default();
        begun.format = named.unwrap_or_else(|| Format::sniff_format(sniff));
        Ok(begun)
    }

    /// What was read last; `None` at the end.
    fn bytes(&self) -> Option<&[u8]> {
        self.chunk.get(..self.filled).filter(|bytes| !bytes.is_empty())
    }

    fn read_on(&mut self, from: &mut impl Read) -> io::Result<()> {
        self.filled = read_chunk(from, &mut self.chunk)?;
        Ok(())
    }
}

/// An input that the run itself has written in its place.
///
/// # Errors
/// Reading fails.
pub fn staged_in(input: Input) -> Result<StagedInput, InputError> {
    match Fingerprint::of_file(&input.path) {
        Ok(fingerprint) => Ok(StagedInput { input, fingerprint }),
        Err(source) => Err(InputError::Read { path: input.path.display().to_string(), source }),
    }
}

/// Fills the chunk as far as the input goes; a pipe gives less at a time.
fn read_chunk(from: &mut impl Read, chunk: &mut [u8]) -> io::Result<usize> {
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
