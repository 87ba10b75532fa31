//! Errors that make the whole input unusable, in contrast to invalid rows.

use std::io;

use crate::row::SchemaError;

/// Why an input cannot be used. Nothing of it is sent.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The input cannot be opened or read.
    #[error("cannot read the input {path}")]
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
    /// A custom metadata column that does not match a field of the account.
    #[error("invalid header: column {column:?}: {source} (nothing was sent)")]
    Metadata {
        /// The column's name in the header.
        column: String,
        /// Why the name could not be resolved.
        #[source]
        source: SchemaError,
    },
    /// The file is truncated or damaged at its end.
    #[error(
        "the input is truncated: row {row} (byte {offset}) is incomplete, because {why}; export or copy \
         the file again (nothing was sent)"
    )]
    DamagedEnd {
        /// Number of the last row.
        row: u64,
        /// Byte offset of the row.
        offset: u64,
        /// What is missing.
        why: &'static str,
    },
    /// A quote closes in the middle of a multi-line cell.
    #[error(
        "row {row} (byte {offset}) has a quote that closes in the middle of a cell; an earlier quote is \
         probably not closed, so that the row contains the rows after it; fix the quotes (nothing was \
         sent)"
    )]
    UnclosedQuote {
        /// Number of the row.
        row: u64,
        /// Byte offset of the row.
        offset: u64,
    },
    /// A record exceeds [`super::RECORD_BYTES_MAX`].
    #[error(
        "row {row} (byte {offset}) is longer than 16 MiB, probably because {why}; fix the row (nothing \
         was sent)"
    )]
    TooLong {
        /// Number of the row.
        row: u64,
        /// Byte offset of the row.
        offset: u64,
        /// The likely cause.
        why: &'static str,
    },
}
