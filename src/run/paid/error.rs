//! Why paid work is not remembered.

use std::io;
use std::path::PathBuf;

use crate::account::state_dir::StateDirError;
use crate::input::InputError;
use crate::ledger::LedgerError;

/// Why the memory of paid work cannot be used. Nothing may be bought without it.
#[derive(Debug, thiserror::Error)]
pub enum PaidWorkError {
    /// The state directory, which it is kept in, cannot be used.
    #[error("there is no memory of paid work")]
    State(#[from] StateDirError),
    /// A run's directory has no name.
    #[error("cannot tell where the run {run} is")]
    Run {
        /// The directory, as it was given.
        run: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// SQLite refused.
    #[error("the memory of paid work {path} cannot be {doing}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Written, read or opened.
        doing: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// It is of another version.
    #[error("the memory of paid work {path} has format {found}, which this ikbulk does not know")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// The ledger of a run cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The input of a run cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
}

impl PaidWorkError {
    /// Whether it is the run that cannot be read, and not the memory that fails.
    pub(super) fn is_of_the_run(&self) -> bool {
        match self {
            Self::Run { .. } | Self::Ledger(_) | Self::Input(_) => true,
            Self::State(_) | Self::Sqlite { .. } | Self::Format { .. } => false,
        }
    }
}

/// A run that did not come to its end, and of which nobody can say what it bought.
#[derive(Debug, thiserror::Error)]
pub enum Unrecorded {
    /// It is no longer there, and will not be named again.
    #[error(
        "the run {run} was cut short and has been moved or removed since; what it bought is not \
         known and may be bought again"
    )]
    Gone {
        /// Its directory.
        run: PathBuf,
    },
    /// It cannot be read; the next run tries again.
    #[error(
        "the run {run} was cut short and cannot be read; what it bought is not known and may be \
         bought again"
    )]
    Unreadable {
        /// Its directory.
        run: PathBuf,
        /// Why.
        #[source]
        source: PaidWorkError,
    },
}
