//! Reads a sheet into rows, as a stream: memory does not depend on the size of the file.
//!
//! [`Input`] is a file and its format. [`Input::rows`] returns validated rows; [`Input::records`]
//! returns the same records verbatim, for reports that contain the input's own cells. Both use the
//! same readers, so their row numbers and offsets match.

mod cell_records;
mod columns;
mod csv_records;
mod decompressed;
mod encoding;
mod error;
mod excerpt;
mod json_words;
mod jsonl;
#[cfg(test)]
mod laws;
mod names;
mod no_header;
mod null_keys;
mod options;
mod raw_object;
mod raw_records;
mod read_flags;
mod records;
mod rows;
mod sniff;
mod sniffed_input;
mod stage;
mod stage_workbook;
mod structure;
mod utf8_damage;
mod workbook;
mod worksheet_cells;
mod worksheet_records;

pub(crate) use columns::HeaderNames;
pub(crate) use encoding::EncodingGuess;
use encoding::Found;
pub use encoding::TextEncoding;
pub use error::InputError;
pub(crate) use error::NearlyKnown;
pub use excerpt::Excerpt;
pub(crate) use names::NO_ROW;
pub(crate) use names::{own, report};
pub(crate) use null_keys::AmbiguousNull;
pub use options::{Delimiter, ReadOptions};
pub(crate) use raw_object::raw_pairs;
pub use read_flags::read_flags;
pub(crate) use records::{DamagedText, Record, Records};
pub use rows::Context;
pub(crate) use rows::done_cell;
pub(crate) use rows::{PriorResult, Rows};
pub use stage::stage_unnamed_input;
pub(crate) use stage::{Fingerprint, StagedInput, UnnamedInput, stage_input, staged_in};

pub(crate) use workbook::{Stored, WorkbookError};
pub(crate) use worksheet_cells::worksheet_number;

use std::fs::File;

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Maximum length of a record, in bytes. A longer one is nearly always an unclosed quote, and a
/// record must fit into memory.
pub(crate) const RECORD_BYTES_MAX: usize = 16 << 20;

/// The name of standard input in place of a path.
pub(crate) const STANDARD_INPUT: &str = "standard input";

/// The file format of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// A worksheet of an Excel workbook.
    Xlsx,
    /// A worksheet of an `OpenDocument` workbook.
    Ods,
}

impl Format {
    /// The format by file extension, if it is known.
    #[must_use]
    pub fn of_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let name = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(&name);
        match name.rsplit_once('.')?.1 {
            "csv" | "tsv" => Some(Self::Csv),
            "jsonl" | "ndjson" | "json" => Some(Self::Jsonl),
            "xlsx" | "xlsm" => Some(Self::Xlsx),
            "ods" => Some(Self::Ods),
            _ => None,
        }
    }

    /// The format of a file, by its extension or else by its first 4 KiB.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of_file(path: &Path) -> std::io::Result<Self> {
        const BEGINNING_BYTES: u64 = 4096;
        if let Some(format) = Self::of_name(path) {
            return Ok(format);
        }
        let mut sniff = Vec::new();
        File::open(path)?.take(BEGINNING_BYTES).read_to_end(&mut sniff)?;
        Ok(Self::sniff_format(&sniff))
    }

    /// The format by the first bytes of a file: JSONL if they start an object or array, a workbook if
    /// they start an archive, else CSV.
    #[must_use]
    pub fn sniff_format(bytes: &[u8]) -> Self {
        if workbook::is_workbook(bytes) {
            return Self::Xlsx;
        }
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{' | b'[') => Self::Jsonl,
            _ => Self::Csv,
        }
    }

    /// The file extension, without the dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Xlsx => "xlsx",
            Self::Ods => "ods",
        }
    }

    /// Whether it is a workbook: an archive with worksheets, rather than text.
    #[must_use]
    pub fn is_workbook(self) -> bool {
        matches!(self, Self::Xlsx | Self::Ods)
    }

    /// Whether `export` writes it.
    #[must_use]
    pub fn can_be_exported(self) -> bool {
        self != Self::Ods
    }

    /// The file extension of what a run reads: the input itself, or the rows of a worksheet.
    #[must_use]
    pub fn copy_extension(self) -> &'static str {
        if self.is_workbook() { "rows" } else { self.extension() }
    }
}

/// A sheet of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Path of the file; of a workbook, path of the rows that were read from it.
    pub path: PathBuf,
    /// Format of the input.
    pub format: Format,
    /// How its text is read.
    pub options: ReadOptions,
}

impl Input {
    /// An input that is read with the default options.
    #[must_use]
    pub fn new(path: PathBuf, format: Format) -> Self {
        Self { path, format, options: ReadOptions::default() }
    }

    /// Guesses the encoding, if the file is not UTF-8.
    ///
    /// # Errors
    /// The file cannot be read, or has several encodings.
    pub fn guess_encoding(&self) -> Result<Option<EncodingGuess>, InputError> {
        if self.format.is_workbook() {
            return Ok(None);
        }
        let mut file = self.open_file()?;
        match encoding::find(&mut file).map_err(|source| self.unreadable(source))? {
            Found::Utf8 => Ok(None),
            Found::Other(guess) => Ok(Some(guess)),
            Found::Mixed => Err(InputError::OtherKind {
                what: "in UTF-8 in some places and in another encoding in others",
                suggestion: "export all rows again as UTF-8",
            }),
        }
    }

    /// Whether the file can be read as it is: it is text, not compressed, and not in another encoding.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn is_plain(&self) -> Result<bool, InputError> {
        let unreadable = |source| self.unreadable(source);
        let file = File::open(&self.path).map_err(unreadable)?;
        let text = encoding::Text::open(file, self.options.encoding).map_err(unreadable)?;
        let is_text = !self.format.is_workbook() && !text.is_workbook;
        Ok(is_text && text.encoding.is_none() && !text.is_compressed)
    }

    /// The file extension of sheets that are returned to a person.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn returned_extension(&self) -> Result<&'static str, InputError> {
        Ok(match self.format {
            Format::Jsonl if self.is_json_array()? => "json",
            Format::Csv | Format::Jsonl => self.format.extension(),
            Format::Xlsx | Format::Ods => Format::Xlsx.extension(),
        })
    }

    /// Whether the file is a JSON array, rather than objects one after the other.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn is_json_array(&self) -> Result<bool, InputError> {
        let file = File::open(&self.path).map_err(|source| self.unreadable(source))?;
        let is_array = jsonl::is_array(file).map_err(|source| self.unreadable(source))?;
        Ok(self.format == Format::Jsonl && is_array)
    }

    /// Whether the file begins with a BOM.
    pub(crate) fn has_bom(&self) -> bool {
        let mut first = [0; 3];
        let read = File::open(&self.path).and_then(|mut file| file.read_exact(&mut first));
        read.is_ok() && first == *b"\xEF\xBB\xBF"
    }
}
