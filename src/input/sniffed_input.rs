//! An input as it is read: decompressed, decoded, and its format known from its first bytes.

use std::io::{self, Read};
use std::path::Path;

use super::encoding::{Text, TextEncoding};
use super::{Format, ReadOptions};

const CHUNK_BYTES: usize = 64 << 10;

/// The text of an input in UTF-8, of which the first chunk has been read.
pub(super) struct SniffedInput<'r> {
    text: Box<dyn Read + 'r>,
    pub(super) format: Format,
    pub(super) encoding: Option<TextEncoding>,
    /// Whether the text was decoded or decompressed.
    pub(super) is_converted: bool,
    chunk: Vec<u8>,
    filled: usize,
}

impl<'r> SniffedInput<'r> {
    /// Reads the first chunk. The format is `format`, or else detected from `name` or the first
    /// bytes.
    pub(super) fn read(
        from: impl Read + 'r,
        name: &Path,
        format: Option<Format>,
        options: &ReadOptions,
    ) -> io::Result<Self> {
        let Text { reader: text, encoding, is_compressed, is_workbook } =
            Text::open(from, options.encoding)?;
        let is_converted = is_compressed || encoding.is_some();
        let (format_found, chunk) = (Format::Csv, vec![0; CHUNK_BYTES]);
        let mut source =
            Self { text, format: format_found, encoding, is_converted, chunk, filled: 0 };
        source.read_chunk()?;
        // What a file is counts more than what it is called, but not more than what a person says.
        let found = is_workbook.then_some(Format::Xlsx);
        let named = format.or(found).or_else(|| Format::of_name(name));
        let sniff = source.bytes().unwrap_or_default();
        source.format = named.unwrap_or_else(|| Format::sniff_format(sniff));
        Ok(source)
    }

    /// The current chunk; `None` at the end.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        self.chunk.get(..self.filled).filter(|bytes| !bytes.is_empty())
    }

    pub(super) fn read_chunk(&mut self) -> io::Result<()> {
        self.filled = fill_chunk(&mut self.text, &mut self.chunk)?;
        Ok(())
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
