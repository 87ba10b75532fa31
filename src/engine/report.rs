//! Writes the reports of a run again, or tells how far a running one is.

use std::path::Path;

use super::Engine;
use super::error::Error;
use super::locks::lock_reports;
use crate::ledger::LedgerFile;
use crate::report::{Reports, RunProgress, rewrite};
use crate::run::{LoadedRun, RunDir, RunLockError};

/// The reports of a run, or its progress.
#[derive(Debug)]
pub enum Reported {
    /// The reports were written.
    Written {
        /// The run.
        run: RunDir,
        /// The reports.
        reports: Box<Reports>,
    },
    /// Another process executes the run; nothing was written.
    Running {
        /// The run.
        run: RunDir,
        /// The process, for people.
        holder: String,
        /// How far it is; `None` if the run has not begun to send.
        progress: Option<RunProgress>,
    },
}

impl Engine {
    /// Writes the reports of a run again. Needs no account.
    ///
    /// # Errors
    /// There is no such run, or its reports cannot be written.
    pub async fn report(run: &Path) -> Result<Reported, Error> {
        let run = RunDir::open(run)?;
        let _lock = match lock_reports(&run).await {
            Ok(lock) => lock,
            Err(RunLockError::Held { holder, .. }) => {
                // The ledger may not exist or be complete yet.
                let progress = LedgerFile::observe(run.path())
                    .and_then(|ledger| RunProgress::from_ledger(&ledger))
                    .ok();
                return Ok(Reported::Running { run, holder, progress });
            }
            Err(error) => return Err(error.into()),
        };
        let run = LoadedRun::load(run)?;
        let reports = rewrite(&run.directory, run.record())?;
        let reports = Box::new(Reports { successor: run.directory.successor()?, ..reports });
        Ok(Reported::Written { run: run.directory, reports })
    }
}
