//! Decompresses an input, within a bound: a small file can hold more text than fits a disk.

use std::cell::Cell;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

/// Text of up to this many bytes is read, however small its file is.
const UNCHECKED_BYTES: u64 = 256 << 20;
/// More text is read up to this many times the size of its file. Sheets compress to a third or a tenth,
/// and hardly to a hundredth, since each row names another file.
const RATIO_MAX: u64 = 100;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    /// The compression that the first bytes of a file show.
    pub(super) fn of(first: &[u8]) -> Option<Self> {
        if first.starts_with(b"\x1F\x8B") {
            Some(Self::Gzip)
        } else if first.starts_with(b"\x28\xB5\x2F\xFD") {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    /// Decompresses a file as it is read.
    pub(super) fn decompress<'r>(self, from: impl Read + 'r) -> io::Result<impl Read + 'r> {
        let compressed = Rc::new(Cell::new(0));
        let from = Counting { from, read: Rc::clone(&compressed) };
        let text: Box<dyn Read + 'r> = match self {
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(from))),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(from)?),
        };
        Ok(Bounded { text, read: 0, compressed })
    }
}

/// Counts the bytes that are read.
struct Counting<R> {
    from: R,
    read: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        self.read.set(self.read.get() + read as u64);
        Ok(read)
    }
}

/// Fails when a text exceeds its bound.
struct Bounded<R> {
    text: R,
    read: u64,
    /// How many bytes of the file were decompressed.
    compressed: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.text.read(into)?;
        self.read += read as u64;
        if self.read > UNCHECKED_BYTES && self.read / RATIO_MAX > self.compressed.get() {
            return Err(io::Error::other(
                "it decompresses to over 256 MiB and over 100 times its size, the limit for compressed \
                 sheets; if it is a sheet, decompress it first (nothing was sent)",
            ));
        }
        Ok(read)
    }
}
