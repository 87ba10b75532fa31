//! The billed extension runs of all runs on this machine, so that no later run is charged for the
//! same extension on the same file again.
//!
//! A charge is identified by service, file and extension configuration. Key and account do not
//! matter, so a new key or another spelling of the endpoint loses no charges. Before its first
//! request, a run with extensions is marked open ([`Charges::open_run`]). When it ends, its charges
//! are copied from its ledger and it is closed, in one commit ([`Charges::record`]). A killed run
//! stays open, and the next run copies its charges ([`Charges::record_open_runs`]). So the executor
//! does not write to this database, and a crash loses no charges.
//!
//! Another machine does not know them. A file with all of them can be exported there and imported
//! here, or the other way round.
//!
//! Runs against the built-in sandbox do not use it: their files disappear with the sandbox.

mod error;
mod export;
mod import;
mod line;
#[cfg(test)]
mod merge_law;
mod overview;
mod sent_extensions;
mod tables;
#[cfg(test)]
mod tests;

pub use error::ChargesError;
pub(crate) use error::UnrecordedRun;
pub(crate) use export::ExportError;
pub use export::ExportedCharges;
pub use import::{ImportError, ImportedCharges};
pub use overview::{ChargeCounts, ChargesOverview, FileCharge};

use std::fmt;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::account::{AccountDb, AccountId, Service, StateDir};
use crate::history::RunRecord;
use crate::ledger::LedgerFile;
use crate::row::{Extension, ExtensionName, FileId};
use crate::run::{RunDir, RunLock};
use crate::spending::Spent;
use sent_extensions::each_extension;
use tables::OpenRun;

/// The charges of one service.
#[derive(Debug)]
pub struct Charges {
    db: AccountDb,
    service: Service,
}

/// What becomes of a run whose charges are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Afterwards {
    /// It has ended.
    Closed,
    /// Another process has opened it, and may send more.
    Open,
}

/// An extension that ran on a file, or may have run. It was billed, or may have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Id of the run that sent the request.
    pub run_id: String,
    /// Directory of that run.
    pub run: PathBuf,
    /// Start time of that run, in UTC.
    pub begun: String,
    /// How certain it is that the extension ran.
    pub certainty: ChargeCertainty,
}

/// How certain it is that an extension ran. Stored as its number; the smaller one is more certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargeCertainty {
    /// ImageKit accepted the request, and has not reported that the extension failed.
    Accepted = 0,
    /// The request was sent and its response was lost. It counts as charged.
    ResponseLost = 1,
    /// ImageKit reported that the extension failed. Whether it was billed is not documented, so it
    /// counts as charged; it runs again only if a person asks for that.
    Failed = 2,
}

impl ChargeCertainty {
    /// Every certainty, by number.
    const ALL: [Self; 3] = [Self::Accepted, Self::ResponseLost, Self::Failed];

    /// The word for machines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::ResponseLost => "response_lost",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, begun, certainty, .. } = self;
        let run = run.display();
        match certainty {
            ChargeCertainty::Accepted => write!(f, "already ran in {run}, started {begun}"),
            ChargeCertainty::ResponseLost => {
                write!(f, "may have run in {run}, started {begun}: the response was lost")
            }
            ChargeCertainty::Failed => write!(f, "ran and failed in {run}, started {begun}"),
        }
    }
}

impl Charges {
    /// Opens the charges of a service. Several processes may use them concurrently.
    ///
    /// # Errors
    /// The state database cannot be opened or created, or has another format.
    pub fn open(state: &StateDir, service: &Service) -> Result<Self, ChargesError> {
        Ok(Self { db: AccountDb::open(state)?, service: service.clone() })
    }

    /// The charge of an extension with this configuration on a file, if there is one. A saved
    /// extension is identified by the configuration that it stands for.
    ///
    /// # Errors
    /// The state database cannot be read.
    pub fn find(
        &self,
        file: &FileId,
        extension: &Extension,
    ) -> Result<Option<Charge>, ChargesError> {
        let find = |connection: &_| tables::find(connection, &self.service, file, extension, None);
        Ok(self.db.read(find)?)
    }

    /// Like [`Self::find`], but only if the charge is of a run after this one. If the run is not known,
    /// any charge counts.
    ///
    /// # Errors
    /// The state database cannot be read.
    pub fn find_after(
        &self,
        file: &FileId,
        extension: &Extension,
        run_id: &str,
    ) -> Result<Option<Charge>, ChargesError> {
        let after = Some(run_id);
        let find = |connection: &_| tables::find(connection, &self.service, file, extension, after);
        Ok(self.db.read(find)?)
    }

    /// Whether an extension of this name has a charge on a file, in any configuration. Charges that
    /// were recorded without a name do not count.
    ///
    /// # Errors
    /// The state database cannot be read.
    pub fn has_any(&self, file: &FileId, name: ExtensionName) -> Result<bool, ChargesError> {
        Ok(self.db.read(|connection| tables::has_any(connection, &self.service, file, name))?)
    }

    /// Whether the service has no charges.
    ///
    /// # Errors
    /// The state database cannot be read.
    pub fn is_empty(&self) -> Result<bool, ChargesError> {
        Ok(self.db.read(|connection| tables::is_empty(connection, &self.service))?)
    }

    /// What all other runs of an account spent on a day and the days after it. Call
    /// [`Self::record_open_runs`] before.
    ///
    /// # Errors
    /// The state database cannot be read.
    pub fn spent_by_others(
        &self,
        account: AccountId,
        run_id: &str,
        from: Date,
    ) -> Result<Spent, ChargesError> {
        Ok(self.db.read(|connection| tables::spent_by_others(connection, account, run_id, from))?)
    }

    /// Marks a registered run as open. Call it before the run's first request: from then on, its
    /// charges are recorded even if it is killed.
    ///
    /// # Errors
    /// The state database cannot be written. The run must not start.
    pub fn open_run(&self, id: &str) -> Result<(), ChargesError> {
        Ok(self.db.change(|connection| tables::open_run(connection, id))?)
    }

    /// Copies the charges of a run from its ledger, and closes the run. A status that ImageKit
    /// reported replaces an earlier charge; weaker evidence does not.
    ///
    /// # Errors
    /// The run cannot be read, or the state database cannot be written. Then nothing is copied, and
    /// an open run stays open for the next run to copy.
    pub fn record(&self, run: &RunDir, ledger: &LedgerFile) -> Result<(), ChargesError> {
        self.copy(run, ledger, Afterwards::Closed)
    }

    fn copy(
        &self,
        run: &RunDir,
        ledger: &LedgerFile,
        afterwards: Afterwards,
    ) -> Result<(), ChargesError> {
        let meta = ledger.meta()?;
        let failed = |source| ChargesError::Database(self.db.failed("write", source));
        let transaction = self.db.transaction()?;
        let number = tables::number_of(&transaction, &meta.id).map_err(failed)?;
        let (input, context) = (&run.input(&meta), &ledger.context(&meta)?);
        let run = RunRecord { input, context, meta: &meta, ledger };
        each_extension(run, |file, extension, report| {
            tables::record(&transaction, &self.service, number, file, extension, report)
                .map_err(failed)
        })?;
        tables::record_spent(&transaction, number, &ledger.spent()?).map_err(failed)?;
        if afterwards == Afterwards::Closed {
            tables::close_run(&transaction, &meta.id).map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }

    /// Copies the charges of the account's interrupted runs. Returns the runs whose charges cannot be
    /// determined, to be shown as warnings. Call it before planning, with the account's lock held.
    ///
    /// A run that another process has opened stays open: a `resume` that waits for the lock of the
    /// account, or one with another state directory or key. What it has sent so far is copied anyway,
    /// because this run would be charged for it again.
    ///
    /// # Errors
    /// The state database cannot be read or written.
    pub fn record_open_runs(&self, account: AccountId) -> Result<Vec<UnrecordedRun>, ChargesError> {
        let mut unrecorded = Vec::new();
        for open in self.db.read(|connection| tables::open_runs(connection, account))? {
            unrecorded.extend(self.record_open_run(open)?);
        }
        Ok(unrecorded)
    }

    fn record_open_run(&self, open: OpenRun) -> Result<Option<UnrecordedRun>, ChargesError> {
        let OpenRun { id, path } = open;
        match self.record_if_found(&id, &path) {
            Ok(true) => Ok(None),
            Ok(false) => {
                self.db.change(|connection| tables::close_run(connection, &id))?;
                Ok(Some(UnrecordedRun::Gone { run: path }))
            }
            Err(source) if source.concerns_run() => {
                Ok(Some(UnrecordedRun::Unreadable { run: path, source }))
            }
            Err(error) => Err(error),
        }
    }

    /// Records the charges of a run, and closes it unless another process has opened it. Returns
    /// whether `path` still contains that run.
    fn record_if_found(&self, id: &str, path: &Path) -> Result<bool, ChargesError> {
        let Some(run) = RunDir::open_if_exists(path).map_err(ChargesError::Directory)? else {
            return Ok(false);
        };
        let ledger = run.ledger()?;
        // Another run may be in its place.
        if ledger.meta()?.id != id {
            return Ok(false);
        }
        let is_held = RunLock::is_held(&run).unwrap_or(true);
        let afterwards = if is_held { Afterwards::Open } else { Afterwards::Closed };
        self.copy(&run, &ledger, afterwards)?;
        Ok(true)
    }
}
