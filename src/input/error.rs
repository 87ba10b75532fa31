//! Why an input cannot be used at all, as against a row that is wrong.

use std::io;

use crate::row::SchemaError;

/// An input that nothing is sent from.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It cannot be opened or read.
    #[error("cannot read the input {path}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It cannot be copied into the run directory.
    #[error("cannot copy the input to {path}")]
    Copy {
        /// Where to.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no sheet, or not in UTF-8.
    #[error("the input is {what}, not CSV or JSONL in UTF-8; {suggestion}")]
    OtherKind {
        /// What it looks like.
        what: &'static str,
        /// What to do.
        suggestion: &'static str,
    },
    /// The header is not usable.
    #[error("the header of the input is not usable: {why}; nothing was sent")]
    Header {
        /// What is wrong and what to do.
        why: String,
    },
    /// A custom metadata column that the account does not have.
    #[error("the header of the input is not usable, and nothing was sent: column {column:?}")]
    Metadata {
        /// The column.
        column: String,
        /// Why not.
        #[source]
        source: SchemaError,
    },
    /// The file is cut off or damaged at its end.
    #[error(
        "the input ends in the middle of a record (row {row}, which begins at byte {offset}): {why}; \
         it may have been cut off while it was written or copied, so nothing is sent"
    )]
    DamagedEnd {
        /// The last row.
        row: u64,
        /// Where it begins.
        offset: u64,
        /// What is missing.
        why: &'static str,
    },
    /// A quote that closes in the middle of a cell which has line ends in it.
    #[error(
        "row {row}, which begins at byte {offset}, has a quote that closes in the middle of a cell; \
         most likely an earlier quote of the row is never closed and the row has swallowed those \
         behind it, so nothing is sent"
    )]
    UnclosedQuote {
        /// The row.
        row: u64,
        /// Where it begins.
        offset: u64,
    },
    /// A record that is too long to be one.
    #[error(
        "row {row}, which begins at byte {offset}, is over 16 MiB long; \
         most likely {why}, so nothing is sent"
    )]
    TooLong {
        /// The row.
        row: u64,
        /// Where it begins.
        offset: u64,
        /// How that comes about.
        why: &'static str,
    },
}
