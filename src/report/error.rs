//! Why there are no reports.

use std::io;
use std::path::PathBuf;

use crate::input::InputError;
use crate::ledger::LedgerError;

/// Why reports could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file cannot be written.
    #[error("cannot write the reports in {directory}")]
    Write {
        /// Where.
        directory: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The run's own copy of its input cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The statuses do not add up to the rows read: a bug, or a changed input.
    #[error(
        "the input has {found} rows now, and had {expected} when the run began; a row may be lost"
    )]
    Lost {
        /// Rows now.
        found: u64,
        /// Rows then.
        expected: u64,
    },
}
