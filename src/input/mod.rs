//! From a sheet to rows. Reads a file in a stream, so that memory does not grow with it.
//!
//! [`Input`] is a file and its format. [`Input::rows`] gives its rows, checked;
//! [`Input::records`] gives the same records as they stand, for the reports that return a person's
//! own cells. Both count and place records alike, because both stand on the same two readers.

mod columns;
mod csv_records;
mod error;
mod jsonl;
mod record_limit;
mod records;
mod rows;
mod sniff;
mod stage;

pub use columns::{Columns, own};
pub use error::InputError;
pub use records::{Record, Records};
pub use rows::{Context, PriorRun, Rows};
pub use stage::{
    Fingerprint, StagedInput, UnnamedInput, stage_input, stage_unnamed_input, staged_in,
};

use std::fs::File;

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The longest record. A longer one is nearly always a quote that was never closed, and it would
/// have to be held in memory whole.
pub const RECORD_BYTES_MAX: u64 = 16 << 20;

/// What standard input is called where other inputs have a path.
pub const STANDARD_INPUT: &str = "standard input";

/// How an input is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

impl Format {
    /// The format that a file's name says, if it says one.
    #[must_use]
    pub fn of_name(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            _ => None,
        }
    }

    /// The format of a file: what its name says, or else its beginning.
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

    /// The format that a file's beginning shows: an object is JSONL, anything else a header.
    #[must_use]
    pub fn sniff_format(bytes: &[u8]) -> Self {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => Self::Jsonl,
            _ => Self::Csv,
        }
    }

    /// The ending of a file in this format.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }
}

/// A file of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Where it is.
    pub path: PathBuf,
    /// How it is written.
    pub format: Format,
}
