//! `ikbulk retry`: previews the failed rows of a run, asks for confirmation, and sends them again.

use std::future::Future;
use std::path::PathBuf;

use clap::Args;
use ikbulk::engine::{Engine, Limits, RetryOptions, Stop};

use super::executed::print_executed;
use super::help::RUN;
use super::limit_args::{LimitArgs, ResultArgs};
use super::listen_args::ListenArgs;
use super::settings_args::{SettingsArgs, consent};
use super::settle::SettleArgs;
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
    limits: LimitArgs,
    #[command(flatten)]
    results: ResultArgs,
    #[command(flatten)]
    settle: SettleArgs,
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Retry {
    pub(super) async fn run(
        self,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, CliError> {
        let settle = self.settle.patience(&self.listen)?;
        let limits = Limits { settle, ..self.limits.to_limits()? };
        screen.require_shown_or(self.yes)?;
        let mut settings = self.settings.with_profile()?.with_key()?;
        self.results.apply_to(&mut settings);
        settings.callbacks = self.listen.to_callbacks()?;
        let engine = Engine::new(settings);
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
