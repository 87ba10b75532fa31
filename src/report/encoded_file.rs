//! A file in the encoding of the input.

use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write};

use crate::atomic_file::AtomicFile;
use crate::input::{Input, TextEncoding};

/// The BOM of UTF-8.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Writes text in the encoding of the input, or in UTF-8 with a BOM if that encoding lacks one of its
/// characters: a message can have some that the input has not.
pub(super) struct EncodedFile {
    /// The text in UTF-8. If the input has another encoding, it is encoded at the end, when it is known
    /// whether all of it fits.
    text: BufWriter<AtomicFile>,
    encoding: Option<TextEncoding>,
}

impl EncodedFile {
    /// Begins a file with a BOM if the input has one.
    pub(super) fn new(file: AtomicFile, input: &Input) -> io::Result<Self> {
        let encoding = input.options.encoding;
        let mut text = BufWriter::new(file);
        if encoding.is_some() || input.has_bom() {
            text.write_all(BOM)?;
        }
        Ok(Self { text, encoding })
    }

    pub(super) fn finish(self) -> io::Result<AtomicFile> {
        let text = self.text.into_inner().map_err(io::IntoInnerError::into_error)?;
        match self.encoding {
            None => Ok(text),
            Some(encoding) => encoded(text, encoding),
        }
    }
}

impl Write for EncodedFile {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.text.write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.text.flush()
    }
}

/// The text in this encoding; the text itself if the encoding lacks one of its characters.
fn encoded(mut text: AtomicFile, encoding: TextEncoding) -> io::Result<AtomicFile> {
    text.seek(io::SeekFrom::Start(BOM.len() as u64))?;
    let mut encoded = BufWriter::new(text.replacement()?);
    encoded.write_all(&encoding.encode(encoding.bom()).unwrap_or_default())?;
    let mut reader = BufReader::new(text);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let Some(bytes) = encoding.encode(&String::from_utf8_lossy(&line)) else {
            return Ok(reader.into_inner());
        };
        encoded.write_all(&bytes)?;
        line.clear();
    }
    encoded.into_inner().map_err(io::IntoInnerError::into_error)
}
