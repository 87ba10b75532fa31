//! `ikbulk report`: regenerates the reports of a run, or prints the progress of a running one.

use std::path::PathBuf;

use clap::Args;
use ikbulk::engine::{EndReason, Engine, Reported};
use ikbulk::exit_codes;

use super::render::{render_run_progress, render_summary};
use super::{CliError, Screen};

#[derive(Debug, Args)]
pub(super) struct Report {
    /// The run directory
    #[arg(value_name = "RUN")]
    run: PathBuf,
}

impl Report {
    pub(super) async fn run(self, screen: &Screen) -> Result<u8, CliError> {
        match Engine::report(&self.run).await? {
            Reported::Written { run, reports } => {
                let (ending, width) = (EndReason::Done, screen.width());
                screen.print(&render_summary(&reports, &ending, run.path(), width));
                Ok(reports.summary.exit_code)
            }
            Reported::Running { run, holder, progress } => {
                let (progress, width) = (progress.as_ref(), screen.width());
                screen.print(&render_run_progress(run.path(), &holder, progress, width));
                Ok(exit_codes::DONE)
            }
        }
    }
}
