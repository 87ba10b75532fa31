//! The memory of charges: every extension that was run on a file, by its configuration, so that no
//! later run pays for it again.
//!
//! It belongs to a service and a file id. Neither the key nor the account matters, so that a new key
//! or another spelling of the endpoint does not lose it. A run that asks for extensions is noted as
//! open before its first request ([`Charges::open_run`]); when it has ended, what its ledger says is
//! copied, and it is closed by the same commit ([`Charges::record`]). One that was killed is still
//! open, and the next run copies it ([`Charges::record_open_runs`]). So the executor writes nothing
//! here, and no crash makes a run forget what it was charged for.
//!
//! Runs against the built-in sandbox neither read nor write it: their files are gone with them.

mod error;
mod evidence;
mod tables;
#[cfg(test)]
mod tests;

pub use error::{ChargesError, UnrecordedRun};

use std::fmt;
use std::path::{Path, PathBuf};

use crate::account::{AccountDb, AccountId, Service, StateDir};
use crate::ledger::LedgerFile;
use crate::row::{Extension, FileId};
use crate::run::{RunDir, RunLock};
use evidence::evidence;
use tables::OpenRun;

/// The memory of charges of one service.
#[derive(Debug)]
pub struct Charges {
    db: AccountDb,
    service: Service,
}

/// An extension that was run on a file, or may have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The directory of the run that caused it.
    pub run: PathBuf,
    /// When that run began, in UTC.
    pub begun: String,
    /// Whether it is certain.
    pub certainty: Certainty,
}

/// Whether an extension ran for certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// ImageKit accepted the request.
    Accepted,
    /// The request was sent and its response was lost: it counts as charged.
    ResponseLost,
}

impl fmt::Display for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, begun, certainty } = self;
        let run = run.display();
        match certainty {
            Certainty::Accepted => write!(f, "already ran in {run}, begun {begun}"),
            Certainty::ResponseLost => write!(
                f,
                "may have run in {run}, begun {begun}: the response to its request was lost"
            ),
        }
    }
}

impl Charges {
    /// Opens the memory of a service. Any process may look things up in it at any time.
    ///
    /// # Errors
    /// It cannot be opened or made, or is of another version.
    pub fn open(state: &StateDir, service: &Service) -> Result<Self, ChargesError> {
        Ok(Self { db: AccountDb::open(state)?, service: service.clone() })
    }

    /// Whether an extension ran on a file with this configuration, and in which run. A saved
    /// extension is known by its id, whatever the account has saved under it since.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn find(
        &self,
        file: &FileId,
        extension: &Extension,
    ) -> Result<Option<Charge>, ChargesError> {
        let find = |connection: &_| tables::find(connection, &self.service, file, extension);
        Ok(self.db.read(find)?)
    }

    /// Whether it holds no charge.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn is_empty(&self) -> Result<bool, ChargesError> {
        Ok(self.db.read(|connection| tables::is_empty(connection, &self.service))?)
    }

    /// Notes that a run, which the database knows, is about to send its first request. From then on
    /// its charges are recorded however it ends.
    ///
    /// # Errors
    /// It cannot be written; the run must not begin.
    pub fn open_run(&self, id: &str) -> Result<(), ChargesError> {
        Ok(self.db.change(|connection| tables::open_run(connection, id))?)
    }

    /// Copies the charges of a run from its ledger, and closes the run. What ImageKit reported of an
    /// extension takes the place of an earlier record; anything less only fills a gap.
    ///
    /// # Errors
    /// Nothing was copied, because the run cannot be read or this cannot be written. A run that was
    /// open stays open, for the next run to copy.
    pub fn record(&self, run: &RunDir, ledger: &LedgerFile) -> Result<(), ChargesError> {
        let meta = ledger.meta()?;
        let failed = |source| ChargesError::Database(self.db.failed("write", source));
        let transaction = self.db.transaction()?;
        let number = tables::number_of(&transaction, &meta.id).map_err(failed)?;
        evidence(&run.input(meta.input_format), &meta, ledger, |file, extension, evidence| {
            tables::record(&transaction, &self.service, number, file, extension, evidence)
                .map_err(failed)
        })?;
        tables::close_run(&transaction, &meta.id).map_err(failed)?;
        transaction.commit().map_err(failed)
    }

    /// Copies the charges of the account's runs that were interrupted. Gives those whose
    /// charges are unknown, for the person to be told. To be called before a run makes its plan.
    ///
    /// The caller holds the account's lock; a run that another state directory or key executes at
    /// this moment is left to itself.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn record_open_runs(&self, account: AccountId) -> Result<Vec<UnrecordedRun>, ChargesError> {
        let mut unrecorded = Vec::new();
        for open in self.db.read(|connection| tables::open_runs(connection, account))? {
            unrecorded.extend(self.record_open_run(open)?);
        }
        Ok(unrecorded)
    }

    fn record_open_run(&self, open: OpenRun) -> Result<Option<UnrecordedRun>, ChargesError> {
        let OpenRun { id, path } = open;
        match self.record_if_there(&id, &path) {
            Ok(true) => Ok(None),
            Ok(false) => {
                self.db.change(|connection| tables::close_run(connection, &id))?;
                Ok(Some(UnrecordedRun::Gone { run: path }))
            }
            Err(source) if source.is_of_the_run() => {
                Ok(Some(UnrecordedRun::Unreadable { run: path, source }))
            }
            Err(error) => Err(error),
        }
    }

    /// Says whether the run is still where it was.
    fn record_if_there(&self, id: &str, path: &Path) -> Result<bool, ChargesError> {
        let Ok(run) = RunDir::open(path) else {
            return Ok(false);
        };
        let ledger = run.ledger()?;
        // Another run may have taken its place.
        if ledger.meta()?.id != id {
            return Ok(false);
        }
        if !RunLock::is_held(&run).unwrap_or(true) {
            self.record(&run, &ledger)?;
        }
        Ok(true)
    }
}
