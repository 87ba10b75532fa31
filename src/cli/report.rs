//! `ikbulk report`: the reports of a run again, from its ledger; how far it is while it runs.

use std::path::PathBuf;

use clap::Args;

use super::locks::{lock_reports, not_locked};
use super::{CliError, Screen};
use crate::execute::EndReason;
use crate::ledger::LedgerFile;
use crate::report::{SoFar, render_summary, rewrite, running};
use crate::run::{RunDir, RunLockError};

#[derive(Debug, Args)]
pub(super) struct Report {
    /// The run's directory
    #[arg(value_name = "RUN")]
    run: PathBuf,
}

impl Report {
    pub(super) async fn run(self, screen: &Screen) -> Result<u8, CliError> {
        let run = RunDir::open(&self.run).map_err(|error| CliError::of(&error))?;
        match lock_reports(&run).await {
            Ok(_lock) => rewrite_reports(&run, screen),
            Err(RunLockError::Held { holder, .. }) => {
                // What it has not written yet cannot be read.
                let so_far = LedgerFile::observe(run.path()).and_then(|ledger| SoFar::of(&ledger));
                screen.say(&running(run.path(), &holder, so_far.ok().as_ref(), screen.width()));
                Ok(0)
            }
            Err(error) => Err(not_locked(&error)),
        }
    }
}

fn rewrite_reports(run: &RunDir, screen: &Screen) -> Result<u8, CliError> {
    let ledger = run.ledger().map_err(|error| CliError::not_written(&error))?;
    let meta = ledger.meta().map_err(|error| CliError::not_written(&error))?;
    let context = ledger.context(&meta).map_err(|error| CliError::not_written(&error))?;
    let reports =
        rewrite(run, &ledger, &meta, &context).map_err(|error| CliError::not_written(&error))?;
    screen.say(&render_summary(&reports, &EndReason::Done, run.path(), screen.width()));
    Ok(reports.summary.exit_code)
}
