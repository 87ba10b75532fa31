//! A sheet, and how to read it.

use std::path::PathBuf;

use super::source::Source;
use crate::input::{Format, ReadOptions};

/// A sheet of changes, and how to read it.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct Sheet {
    /// Where it comes from.
    pub source: Source,
    /// Its format; `None` detects it from the name or the content.
    pub format: Option<Format>,
    /// How its text is read.
    pub read_options: ReadOptions,
    /// The run directory to create; `None` for one beside the sheet.
    pub run_dir: Option<PathBuf>,
    /// Whether to apply it to a sandbox of its own.
    pub sandbox: bool,
    /// Whether to check custom metadata against the fields of the account.
    pub checks_metadata: bool,
    /// Whether a sheet without rows is accepted.
    pub allow_empty: bool,
    /// Whether rows with the outcome `unknown` are sent again; their extensions can be charged
    /// twice.
    pub repeat_unknown: bool,
}

impl Sheet {
    /// The sheet in a file.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self::new(Source::Path(path.into()))
    }

    /// The sheet of a source.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self {
            source,
            format: None,
            read_options: ReadOptions::default(),
            run_dir: None,
            sandbox: false,
            checks_metadata: true,
            allow_empty: false,
            repeat_unknown: false,
        }
    }
}
