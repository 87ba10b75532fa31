//! `ikbulk report`: regenerates the reports of a run, or prints the progress of a running one.

use std::path::PathBuf;

use clap::Args;

use super::locks::{lock_error, lock_reports};
use super::render::{render_run_progress, render_summary};
use super::{CliError, Screen};
use ikbulk::execute::EndReason;
use ikbulk::ledger::LedgerFile;
use ikbulk::report::{RunProgress, rewrite};
use ikbulk::run::{RunDir, RunLockError};

#[derive(Debug, Args)]
pub(super) struct Report {
    /// The run directory
    #[arg(value_name = "RUN")]
    run: PathBuf,
}

impl Report {
    pub(super) async fn run(self, screen: &Screen) -> Result<u8, CliError> {
        let run = RunDir::open(&self.run).map_err(|error| CliError::from_error(&error))?;
        match lock_reports(&run).await {
            Ok(_lock) => rewrite_reports(&run, screen),
            Err(RunLockError::Held { holder, .. }) => {
                // The ledger may not exist or be complete yet.
                let progress = LedgerFile::observe(run.path())
                    .and_then(|ledger| RunProgress::from_ledger(&ledger));
                screen.print(&render_run_progress(
                    run.path(),
                    &holder,
                    progress.ok().as_ref(),
                    screen.width(),
                ));
                Ok(0)
            }
            Err(error) => Err(lock_error(&error)),
        }
    }
}

fn rewrite_reports(run: &RunDir, screen: &Screen) -> Result<u8, CliError> {
    let ledger = run.ledger().map_err(|error| CliError::not_written(&error))?;
    let meta = ledger.meta().map_err(|error| CliError::not_written(&error))?;
    let context = ledger.context(&meta).map_err(|error| CliError::not_written(&error))?;
    let reports =
        rewrite(run, &ledger, &meta, &context).map_err(|error| CliError::not_written(&error))?;
    screen.print(&render_summary(&reports, &EndReason::Done, run.path(), screen.width()));
    Ok(reports.summary.exit_code)
}
