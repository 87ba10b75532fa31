//! Why charges are not remembered.

use std::path::PathBuf;

use crate::account::AccountError;
use crate::input::InputError;
use crate::ledger::LedgerError;

/// Why the memory of charges cannot be used. Nothing that is billed may be sent without it.
#[derive(Debug, thiserror::Error)]
pub enum ChargesError {
    /// The state database cannot be used.
    #[error("cannot use the memory of charges")]
    Database(#[from] AccountError),
    /// The ledger of a run cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The input of a run cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
}

impl ChargesError {
    /// Whether the run cannot be read, and the memory itself is sound.
    pub(super) fn is_of_the_run(&self) -> bool {
        matches!(self, Self::Ledger(_) | Self::Input(_))
    }
}

/// An interrupted run whose charges are not known.
#[derive(Debug, thiserror::Error)]
pub enum UnrecordedRun {
    /// It is no longer there, and will not be named again.
    #[error(
        "the run {run} was interrupted and has been moved or removed since; what it was charged \
         for is not known, so that its extensions may be charged again"
    )]
    Gone {
        /// Its directory.
        run: PathBuf,
    },
    /// It cannot be read; the next run tries again.
    #[error(
        "the run {run} was interrupted and cannot be read; what it was charged for is not known, \
         so that its extensions may be charged again"
    )]
    Unreadable {
        /// Its directory.
        run: PathBuf,
        /// Why.
        #[source]
        source: ChargesError,
    },
}
