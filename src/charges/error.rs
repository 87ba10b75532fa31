//! Errors of the recorded charges.

use std::io;
use std::path::PathBuf;

use crate::account::AccountError;
use crate::input::InputError;
use crate::ledger::LedgerError;

/// Reason why charges cannot be read or recorded. Then no billed extension may be sent.
#[derive(Debug, thiserror::Error)]
pub enum ChargesError {
    /// The state database cannot be read or written.
    #[error(transparent)]
    Database(#[from] AccountError),
    /// The ledger of a run cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A run's copy of its sheet cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A row was sent, and its file is not known.
    #[error("the run cannot be read: row {row} was sent, and its file is not known")]
    FileOfRow {
        /// Number of the row.
        row: u64,
    },
    /// The directory of a run cannot be reached.
    #[error("the run cannot be read")]
    Directory(#[source] io::Error),
}

impl ChargesError {
    /// Whether the run cannot be read, rather than the state database.
    pub(super) fn concerns_run(&self) -> bool {
        !matches!(self, Self::Database(_))
    }
}

/// An interrupted run whose charges are unknown.
#[derive(Debug, thiserror::Error)]
pub enum UnrecordedRun {
    /// The run was moved or removed. It is not reported again.
    #[error(
        "the run {run} was interrupted and has since been moved or removed; its charges are \
         unknown, so its extensions may be charged again"
    )]
    Gone {
        /// Directory in which the run was executed.
        run: PathBuf,
    },
    /// The run cannot be read. The next run retries.
    #[error(
        "the run {run} was interrupted and cannot be read; its charges are unknown, so its \
         extensions may be charged again"
    )]
    Unreadable {
        /// Directory of the run.
        run: PathBuf,
        /// The error of its ledger or sheet.
        #[source]
        source: ChargesError,
    },
}
