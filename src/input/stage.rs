//! Copies the input: a run reads its own copy, so that row numbers and offsets stay valid if the
//! original changes, and standard input is no special case.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::encoding::EncodingGuess;
use super::sniffed_input::SniffedInput;
use super::stage_workbook::{WorkbookCopy, refuse_worksheet};
use super::utf8_damage::Utf8Damage;
use super::workbook::Converted;
use super::{Format, Input, InputError, ReadOptions, STANDARD_INPUT};
use crate::atomic_file::{create_temporary, sync_directory};

/// Identifies an input: the BLAKE3 hash of its bytes, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint(pub String);

impl Fingerprint {
    /// The fingerprint of the file's current content.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn of_file(path: &Path) -> io::Result<Self> {
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
pub(crate) struct StagedInput {
    /// Path and format of the copy.
    pub input: Input,
    /// Fingerprint of the content.
    pub fingerprint: Fingerprint,
    /// Whether the content is not UTF-8; known since it was copied.
    is_other_encoding: bool,
}

impl StagedInput {
    /// An input that this program wrote, so that it is UTF-8, or a workbook.
    #[must_use]
    pub(crate) fn new(input: Input, fingerprint: Fingerprint) -> Self {
        Self { input, fingerprint, is_other_encoding: false }
    }

    /// Like [`Input::guess_encoding`], but reads only content that is not UTF-8.
    ///
    /// # Errors
    /// The copy cannot be read, or its first bytes show another kind of file.
    pub(crate) fn guess_encoding(&self) -> Result<Option<EncodingGuess>, InputError> {
        if self.is_other_encoding || self.input.format.is_workbook() {
            self.input.guess_encoding()
        } else {
            self.input.open_file().map(|_| None)
        }
    }
}

/// Copies `from` into `directory` as `input.csv` or `input.jsonl` and syncs the copy to disk. The
/// format is `format`, or else detected from `name` or the first bytes. Of a workbook, `input.xlsx` or
/// `input.ods` is the copy, and `input.rows` has the rows of the worksheet that is read.
///
/// # Errors
/// Reading or writing fails.
pub(crate) fn stage_input(
    mut from: impl Read,
    name: &Path,
    format: Option<Format>,
    options: ReadOptions,
    directory: &Path,
) -> Result<StagedInput, InputError> {
    let unreadable = |source| InputError::Read { path: shown(name), source };
    let mut hashing = HashingReader { from: &mut from, hash: blake3::Hasher::new() };
    let mut copy_hash = blake3::Hasher::new();
    let mut source =
        SniffedInput::read(&mut hashing, name, format, &options).map_err(unreadable)?;
    if source.format.is_workbook() {
        let input = stage_workbook(&mut source, name, options, directory)?;
        drop(source);
        io::copy(&mut hashing, &mut io::sink()).map_err(unreadable)?;
        return Ok(StagedInput::new(input, Fingerprint::from_hash(&hashing.hash)));
    }
    refuse_worksheet(options.worksheet.as_deref())?;
    let (format, is_converted) = (source.format, source.is_converted);
    let encoding = source.encoding;
    let path = directory.join(format!("input.{}", format.extension()));
    let cannot_copy = |source| InputError::Copy { path: path.display().to_string(), source };
    let mut copy = create_private(&path).map_err(cannot_copy)?;
    let mut damage = Utf8Damage::default();
    while let Some(bytes) = source.bytes() {
        if is_converted {
            copy_hash.update(bytes);
        }
        damage.add(bytes);
        copy.write_all(bytes).map_err(cannot_copy)?;
        source.read_chunk().map_err(unreadable)?;
    }
    drop(source);
    // What follows compressed text is part of the input, too.
    io::copy(&mut hashing, &mut io::sink()).map_err(unreadable)?;
    copy.sync_all().and_then(|()| sync_directory(directory)).map_err(cannot_copy)?;
    let fingerprint = Fingerprint::from_hash(&hashing.hash);
    let copy_fingerprint = is_converted.then(|| Fingerprint::from_hash(&copy_hash).0);
    let options = ReadOptions { encoding, copy_fingerprint, ..options };
    let is_other_encoding = damage.is_other_encoding();
    Ok(StagedInput { input: Input { path, format, options }, fingerprint, is_other_encoding })
}

/// Copies a workbook, and reads its worksheet; syncs both to disk.
fn stage_workbook(
    source: &mut SniffedInput<'_>,
    name: &Path,
    options: ReadOptions,
    directory: &Path,
) -> Result<Input, InputError> {
    let path = directory.join(format!("input.{}", Format::Xlsx.copy_extension()));
    let cannot_copy = |source| InputError::Copy { path: path.display().to_string(), source };
    let mut copy = WorkbookCopy::new(source, name, directory)?;
    let rows = create_private(&path).map_err(cannot_copy)?;
    let Converted { format, worksheet, rows } = copy.convert(options.worksheet.as_deref(), rows)?;
    copy.keep(&directory.join(format!("input.{}", format.extension())))?;
    rows.sync_all().and_then(|()| sync_directory(directory)).map_err(cannot_copy)?;
    let copy_fingerprint = Some(Fingerprint::of_file(&path).map_err(cannot_copy)?.0);
    let options =
        ReadOptions { copy_fingerprint, worksheet: Some(worksheet), encoding: None, ..options };
    Ok(Input { path, format, options })
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
    let unreadable = |source| InputError::Read { path: shown(name), source };
    let directory = std::env::temp_dir();
    let cannot_copy = |source| InputError::Copy { path: directory.display().to_string(), source };
    let (file, path) = create_temporary(&directory).map_err(cannot_copy)?;
    let (path, kept) = unlink(&file, path);
    let input = Input { path, format: Format::Csv, options };
    let mut unnamed = UnnamedInput { input, file, name: kept };
    let mut source =
        SniffedInput::read(&mut from, name, format, &unnamed.input.options).map_err(unreadable)?;
    if source.format.is_workbook() {
        let mut copy = WorkbookCopy::new(&mut source, name, &directory)?;
        let rows = unnamed.file.try_clone().map_err(cannot_copy)?;
        let worksheet = unnamed.input.options.worksheet.take();
        let converted = copy.convert(worksheet.as_deref(), rows)?;
        unnamed.input.format = converted.format;
        unnamed.input.options.worksheet = Some(converted.worksheet);
        return Ok(unnamed);
    }
    refuse_worksheet(unnamed.input.options.worksheet.as_deref())?;
    unnamed.input.format = source.format;
    unnamed.input.options.encoding = source.encoding;
    while let Some(bytes) = source.bytes() {
        unnamed.file.write_all(bytes).map_err(cannot_copy)?;
        source.read_chunk().map_err(unreadable)?;
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

/// Hashes what is read.
struct HashingReader<R> {
    from: R,
    hash: blake3::Hasher,
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        self.hash.update(into.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// Stages an input that the run itself wrote into its directory.
///
/// # Errors
/// Reading fails.
pub(crate) fn staged_in(input: Input) -> Result<StagedInput, InputError> {
    match Fingerprint::of_file(&input.path) {
        Ok(fingerprint) => Ok(StagedInput::new(input, fingerprint)),
        Err(source) => Err(InputError::Read { path: input.path.display().to_string(), source }),
    }
}

/// The name of an input in messages.
fn shown(name: &Path) -> String {
    if name == Path::new("-") { STANDARD_INPUT.to_owned() } else { name.display().to_string() }
}

fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
