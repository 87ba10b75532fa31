//! What runs on an account have bought, so that none buys it again: every extension that was run
//! on a file, by its configuration.
//!
//! One SQLite file an account, in the state directory. A run that asks for extensions is written
//! down as open before its first request ([`PaidWork::register`]); when it has ended, what its
//! ledger says is copied, and it is closed by the same commit ([`PaidWork::record`]). One that was
//! killed is still open, and is copied by the next ([`PaidWork::record_open_runs`]). So the
//! executor writes nothing here, and no crash makes a run forget what it bought.
//!
//! Runs against the built-in sandbox neither read nor write it: their files are gone with them.

mod error;
mod evidence;
mod tables;
#[cfg(test)]
mod tests;

pub use error::{PaidWorkError, Unrecorded};

use std::fmt;
use std::path::PathBuf;

use rusqlite::Connection;

use super::RunDir;
use crate::account::state_dir::StateDir;
use crate::ledger::{Facts, LedgerFile};
use crate::row::{Extension, FileId};
use crate::sqlite;
use evidence::evidence;
use tables::OpenRun;

/// An account's memory of paid work.
#[derive(Debug)]
pub struct PaidWork {
    connection: Connection,
    path: PathBuf,
}

/// An extension that was run on a file, or may have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bought {
    /// The directory of the run that bought it.
    pub run: PathBuf,
    /// When that run was begun, in UTC.
    pub begun: String,
    /// Whether it is certain.
    pub certainty: Certainty,
}

/// Whether something was bought for certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// ImageKit accepted the request.
    Accepted,
    /// The request went out and its answer was lost: it counts as bought.
    AnswerLost,
}

impl fmt::Display for Bought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, begun, certainty } = self;
        let run = run.display();
        match certainty {
            Certainty::Accepted => write!(f, "bought by the run {run}, begun {begun}"),
            Certainty::AnswerLost => write!(
                f,
                "perhaps bought by the run {run}, begun {begun}: the answer to its request was lost"
            ),
        }
    }
}

impl PaidWork {
    /// Opens the memory of an account, or begins it. Any process may look things up in it at any
    /// time.
    ///
    /// # Errors
    /// It cannot be opened or made, or is of another version.
    pub fn open(state: &StateDir, account: &str) -> Result<Self, PaidWorkError> {
        let name = format!("{account}.db");
        let path = state.subdir("paid").and_then(|directory| directory.database(&name))?;
        let opened = sqlite::create(&path)
            .and_then(|connection| Ok((tables::begin(&connection)?, connection)));
        match opened {
            Ok((tables::FORMAT, connection)) => Ok(Self { connection, path }),
            Ok((found, _)) => Err(PaidWorkError::Format { path, found }),
            Err(source) => Err(PaidWorkError::Sqlite { path, doing: "opened", source }),
        }
    }

    /// Whether an extension was run on a file with this configuration, and by which run. A saved
    /// extension is known by its id, whatever the account has saved under it since.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn known(
        &self,
        file: &FileId,
        extension: &Extension,
    ) -> Result<Option<Bought>, PaidWorkError> {
        tables::bought(&self.connection, file, extension)
            .map_err(|source| self.failed("read", source))
    }

    /// Writes down that a run is about to send its first request. From then on it is known, however
    /// it ends.
    ///
    /// # Errors
    /// It cannot be written; the run must not begin.
    pub fn register(&self, run: &RunDir, facts: &Facts) -> Result<(), PaidWorkError> {
        let path = absolute(run)?;
        let opened = tables::open_run(&self.connection, &path, facts);
        opened.map(drop).map_err(|source| self.failed("written", source))
    }

    /// Copies what a run bought from its ledger, and closes the run. What ImageKit said of an
    /// extension takes the place of what an earlier run left; anything less only fills a gap.
    ///
    /// # Errors
    /// Nothing was copied, because the run cannot be read or this cannot be written. A run that was
    /// registered stays open, for the next run to copy.
    pub fn record(&self, run: &RunDir, ledger: &LedgerFile) -> Result<(), PaidWorkError> {
        let (path, facts) = (absolute(run)?, ledger.facts()?);
        let failed = |source| self.failed("written", source);
        let transaction = self.connection.unchecked_transaction().map_err(failed)?;
        let id = tables::open_run(&transaction, &path, &facts).map_err(failed)?;
        evidence(&run.input(facts.input_format), &facts, ledger, |file, extension, evidence| {
            tables::buy(&transaction, id, file, extension, evidence).map_err(failed)
        })?;
        tables::close_run(&transaction, id).map_err(failed)?;
        transaction.commit().map_err(failed)
    }

    /// Copies what the runs bought that were cut short. Gives those of which nobody can say that,
    /// for the person to be told. To be called before a run makes its plan.
    ///
    /// The caller holds the account's lock ([`super::AccountLock`]): so none of these runs is under
    /// way.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn record_open_runs(&self) -> Result<Vec<Unrecorded>, PaidWorkError> {
        let mut unrecorded = Vec::new();
        let open = tables::open_runs(&self.connection);
        for open in open.map_err(|source| self.failed("read", source))? {
            unrecorded.extend(self.record_open_run(open)?);
        }
        Ok(unrecorded)
    }

    fn record_open_run(&self, open: OpenRun) -> Result<Option<Unrecorded>, PaidWorkError> {
        let OpenRun { id, path, begun } = open;
        let recorded = match RunDir::open(&path) {
            Ok(run) => run.ledger().map_err(PaidWorkError::from).and_then(|ledger| {
                // Another run may have taken its place.
                let is_it = ledger.facts()?.begun == begun;
                if is_it { self.record(&run, &ledger).map(|()| true) } else { Ok(false) }
            }),
            Err(_) => Ok(false),
        };
        match recorded {
            Ok(true) => Ok(None),
            Ok(false) => {
                let closed = tables::close_run(&self.connection, id);
                closed.map_err(|source| self.failed("written", source))?;
                Ok(Some(Unrecorded::Gone { run: path }))
            }
            Err(source) if source.is_of_the_run() => {
                Ok(Some(Unrecorded::Unreadable { run: path, source }))
            }
            Err(error) => Err(error),
        }
    }

    fn failed(&self, doing: &'static str, source: rusqlite::Error) -> PaidWorkError {
        PaidWorkError::Sqlite { path: self.path.clone(), doing, source }
    }
}

/// A run's directory, wherever the program is started the next time.
fn absolute(run: &RunDir) -> Result<PathBuf, PaidWorkError> {
    let path = std::path::absolute(run.path());
    path.map_err(|source| PaidWorkError::Run { run: run.path().to_owned(), source })
}
