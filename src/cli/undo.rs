//! `ikbulk undo`: restores the values from before a run.

use std::future::Future;
use std::path::PathBuf;

use clap::Args;
use ikbulk::engine::{Engine, Stop, UndoOptions};
use ikbulk::exit_codes;

use super::executed::print_run;
use super::help::RUN;
use super::limit_args::LimitArgs;
use super::settings_args::{SettingsArgs, consent};
use super::terminal_ui::TerminalUi;
use super::{CliError, Screen};

#[derive(Debug, Args)]
pub(super) struct Undo {
    /// The directory of the run to revert
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The run directory to create for the undo [default: beside RUN]
    #[arg(long, value_name = "DIR", help_heading = RUN)]
    run_dir: Option<PathBuf>,
    /// Revert without asking for confirmation
    #[arg(short, long)]
    yes: bool,
    /// Accept another API key than the run started with, after a key rotation
    #[arg(long)]
    key_changed: bool,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Undo {
    pub(super) async fn run(
        self,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, CliError> {
        let limits = self.limits.to_limits()?;
        screen.require_shown_or(self.yes)?;
        let engine = Engine::new(self.settings.with_profile()?.with_key()?);
        let options = UndoOptions {
            run_dir: self.run_dir,
            consent: consent(self.yes),
            key_changed: self.key_changed,
            limits,
        };
        let undone = engine.undo(&self.run, options, &TerminalUi::new(screen), signal).await?;
        let exit_code = print_run(&undone.report, screen);
        let Some(list) = undone.summary.list else {
            return Ok(exit_code);
        };
        let list = list.display();
        screen.print(&format!("next       check the values that were not undone: {list}\n"));
        Ok(if exit_code == exit_codes::DONE { exit_codes::NEEDS_FIXING } else { exit_code })
    }
}
