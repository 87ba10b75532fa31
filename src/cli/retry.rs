//! `ikbulk retry`: previews the failed rows of a run, asks for confirmation, and sends them again.

use std::future::Future;
use std::path::PathBuf;

use clap::Args;
use ikbulk::engine::{RetryOptions, Stop};

use super::executed::print_executed;
use super::help::RUN;
use super::session_args::SessionArgs;
use super::settings_args::{SettingsArgs, consent};
use super::terminal_ui::TerminalUi;
use super::{CliError, Screen};

#[derive(Debug, Args)]
pub(super) struct Retry {
    /// The directory of the run to retry
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The run directory to create for the retry [default: beside RUN]
    #[arg(long, value_name = "DIR", help_heading = RUN)]
    run_dir: Option<PathBuf>,
    /// Retry without asking for confirmation
    #[arg(short, long)]
    yes: bool,
    /// Accept another API key than the run started with, after a key rotation
    #[arg(long)]
    key_changed: bool,
    /// Retry although a later run has changed files; older values overwrite newer ones
    #[arg(long)]
    over_later_runs: bool,
    #[command(flatten)]
    session: SessionArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Retry {
    pub(super) async fn run(
        self,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, CliError> {
        screen.require_shown_or(self.yes)?;
        let settings = self.settings.with_profile()?.with_key()?;
        let (engine, limits) = self.session.prepare(settings)?;
        let options = RetryOptions {
            run_dir: self.run_dir,
            consent: consent(self.yes),
            key_changed: self.key_changed,
            over_later_runs: self.over_later_runs,
            limits,
        };
        let executed = engine.retry(&self.run, options, &TerminalUi::new(screen), signal).await?;
        Ok(print_executed(&executed, screen))
    }
}
