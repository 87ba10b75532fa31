//! Errors of writing reports.

use std::io;
use std::path::PathBuf;

use crate::input::InputError;
use crate::ledger::LedgerError;

/// An error of writing reports.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A report cannot be read or written.
    #[error("cannot write the reports in {directory}")]
    Write {
        /// The run directory.
        directory: PathBuf,
        /// The I/O error.
        #[source]
        source: io::Error,
    },
    /// The copy of the input in the run directory cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The number of rows differs from that at the start of the run: a bug, or the copy of the
    /// input was edited.
    #[error(
        "the input has {found} rows, but had {expected} when the run started; a row may be lost"
    )]
    RowsLost {
        /// Rows in the input now.
        found: u64,
        /// Rows when the run started.
        expected: u64,
    },
}
