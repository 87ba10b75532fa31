//! Taking an input over: the run works on its own copy, so that row numbers and offsets stay true
//! whatever happens to the original, and standard input is no special case.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{Format, Input, InputError};
use crate::whole::sync_directory;

const CHUNK_BYTES: usize = 64 << 10;

/// What an input is known by: a BLAKE3 hash of its bytes, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(pub String);

/// An input that has been copied.
#[derive(Debug, Clone)]
pub struct Owned {
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
pub fn take_over(
    mut from: impl Read,
    name: &Path,
    format: Option<Format>,
    directory: &Path,
) -> Result<Owned, InputError> {
    let unreadable = |source| InputError::Read { path: name.display().to_string(), source };
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut filled = read_chunk(&mut from, &mut chunk).map_err(unreadable)?;
    let beginning = chunk.get(..filled).unwrap_or_default();
    let format =
        format.or_else(|| Format::of_name(name)).unwrap_or_else(|| Format::of_beginning(beginning));
    let path = directory.join(format!("input.{}", format.extension()));
    let cannot_copy = |source| InputError::Copy { path: path.display().to_string(), source };
    let mut copy = create_private(&path).map_err(cannot_copy)?;
    let mut hash = blake3::Hasher::new();
    while filled > 0 {
        let bytes = chunk.get(..filled).unwrap_or_default();
        hash.update(bytes);
        copy.write_all(bytes).map_err(cannot_copy)?;
        filled = read_chunk(&mut from, &mut chunk).map_err(unreadable)?;
    }
    copy.sync_all().and_then(|()| sync_directory(directory)).map_err(cannot_copy)?;
    Ok(Owned {
        input: Input { path, format },
        fingerprint: Fingerprint(hash.finalize().to_hex().to_string()),
    })
}

/// An input that the run itself has written in its place.
///
/// # Errors
/// Reading fails.
pub fn in_place(input: Input) -> Result<Owned, InputError> {
    let mut hash = blake3::Hasher::new();
    match File::open(&input.path).and_then(|file| hash.update_reader(file).map(|_| ())) {
        Ok(()) => {
            let fingerprint = Fingerprint(hash.finalize().to_hex().to_string());
            Ok(Owned { input, fingerprint })
        }
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
