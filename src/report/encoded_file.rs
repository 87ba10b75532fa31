//! A file in the encoding of the input.

use std::io::{self, BufWriter, Write};

use crate::atomic_file::AtomicFile;
use crate::input::{Input, TextEncoding};

/// Encodes text as it is written. Cells of the input fit its encoding; a character of a message that
/// does not becomes `?`.
pub(super) struct EncodedFile {
    file: BufWriter<AtomicFile>,
    encoding: Option<TextEncoding>,
}

impl EncodedFile {
    /// Begins a file with a BOM if the input has one.
    pub(super) fn new(file: AtomicFile, input: &Input) -> io::Result<Self> {
        let encoding = input.options.encoding;
        let bom = match encoding {
            Some(encoding) => encoding.bom(),
            None if input.has_bom() => "\u{feff}",
            None => "",
        };
        let mut file = Self { file: BufWriter::new(file), encoding };
        file.write_all(bom.as_bytes())?;
        Ok(file)
    }

    pub(super) fn finish(self) -> io::Result<AtomicFile> {
        self.file.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

impl Write for EncodedFile {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let Some(encoding) = self.encoding else {
            return self.file.write(text);
        };
        self.file.write_all(&encoding.encode(&String::from_utf8_lossy(text)))?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
