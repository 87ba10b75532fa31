//! Errors that make the whole input unusable, in contrast to invalid rows.

use std::io;
use std::path::Path;

use super::STANDARD_INPUT;
use crate::row::RowPos;
use crate::shell::quoted;

/// Why an input cannot be used. Nothing of it is sent.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The input cannot be opened or read.
    #[error("cannot read {}", named(path))]
    Read {
        /// Path of the input, or a name like "standard input".
        path: String,
        /// The error of the operating system.
        #[source]
        source: io::Error,
    },
    /// The input cannot be copied into the run directory.
    #[error("cannot copy the input to {path}")]
    Copy {
        /// Path of the copy.
        path: String,
        /// The error of the operating system.
        #[source]
        source: io::Error,
    },
    /// No rows can be read from a workbook.
    #[error(transparent)]
    Workbook(#[from] super::WorkbookError),
    /// The input is not a sheet, or not in UTF-8.
    #[error("the input is {what}, not CSV or JSONL in UTF-8; {suggestion}")]
    OtherKind {
        /// The kind of file detected.
        what: &'static str,
        /// The fix, as an imperative.
        suggestion: &'static str,
    },
    /// The header is not usable.
    #[error("invalid header: {why} (nothing was sent)")]
    Header {
        /// The problem and its fix.
        why: String,
    },
    /// Columns that cannot be used as they are.
    #[error("invalid header: {} (nothing was sent)", all_problems(problems, nearly))]
    Columns {
        /// The problems, each with its fix.
        problems: Vec<String>,
        /// The columns that are nearly known ones, so that a person can say what they mean.
        nearly: Vec<NearlyKnown>,
    },
    /// The file is truncated or damaged at its end.
    #[error(
        "the input is truncated: row {pos} is incomplete, because {why}: {text:?}; export or copy the \
         file again (nothing was sent)"
    )]
    DamagedEnd {
        /// The last row.
        pos: RowPos,
        /// What is missing.
        why: &'static str,
        /// The beginning of the row.
        text: String,
    },
    /// A title or comment is above the header.
    #[error(
        "line {line} is not the header, which is in line {header_line}: {text:?}; delete the lines \
         above the header (nothing was sent)"
    )]
    AboveHeader {
        /// The line of the title.
        line: u64,
        /// The beginning of the title.
        text: String,
        /// The line of the header.
        header_line: u64,
    },
    /// Rows with a title or comment are above the header of a worksheet.
    #[error(
        "row {row} is not the header, which is in row {header_row}: {text:?}; delete the rows above \
         the header (nothing was sent)"
    )]
    RowsAboveHeader {
        /// The row of the title.
        row: u64,
        /// The beginning of the title.
        text: String,
        /// The row of the header.
        header_row: u64,
    },
    /// A row is a header again, with other columns than the first.
    #[error(
        "row {pos} is a header again, with other columns: {columns:?}; the rows below it would be read \
         in the wrong columns; make two sheets of it (nothing was sent)"
    )]
    SecondHeader {
        /// The row.
        pos: RowPos,
        /// Its cells.
        columns: String,
    },
    /// A quote closes in the middle of a multi-line cell.
    #[error(
        "row {pos} has a quote that closes in the middle of a cell{}; the row may contain the rows \
         after it; fix the quotes (nothing was sent)",
        if *is_escaped {
            ", after a backslash, which does not escape it: write \"\" for a quote in a cell"
        } else {
            "; an earlier quote is probably not closed"
        }
    )]
    UnclosedQuote {
        /// The row.
        pos: RowPos,
        /// Whether a backslash precedes the quote.
        is_escaped: bool,
    },
    /// A record exceeds [`super::RECORD_BYTES_MAX`].
    #[error(
        "row {pos} is longer than 16 MiB, probably because {why}; fix the row (nothing was sent)"
    )]
    TooLong {
        /// The row.
        pos: RowPos,
        /// The likely cause.
        why: &'static str,
    },
}

/// A column whose name is nearly a known one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearlyKnown {
    /// The name in the header.
    pub name: String,
    /// The known column.
    pub column: String,
}

impl std::fmt::Display for NearlyKnown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, column } = self;
        write!(
            f,
            "unknown column {name:?}; did you mean {column:?}? pass --map {} to read it so, or \
             --ignore-columns {} to ignore it",
            quoted(Path::new(&format!("{name}={column}"))),
            quoted(Path::new(name))
        )
    }
}

/// What an input is called in a sentence.
fn named(path: &str) -> String {
    if path == STANDARD_INPUT { path.to_owned() } else { format!("the input {path}") }
}

/// All problems of a header, one below the other.
fn all_problems(problems: &[String], nearly: &[NearlyKnown]) -> String {
    let all = nearly.iter().map(NearlyKnown::to_string).chain(problems.iter().cloned());
    all.collect::<Vec<_>>().join("\n  ")
}
