//! `ikbulk settle`: reads the files of a run until its pending extensions and unknown outcomes have a
//! final status.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ikbulk::engine::{Engine, SETTLE_FOR, SettleOptions, SettleReport, SettleStop, Stop};
use ikbulk::exit_codes;

use super::help::RUN;
use super::listen_args::ListenArgs;
use super::render::{render_settled, render_settled_summary};
use super::settings_args::SettingsArgs;
use super::terminal_ui::TerminalUi;
use super::values::Span;
use super::{CliError, Screen};

#[derive(Debug, Args)]
pub(super) struct Settle {
    /// The run directory
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Read the files for at most this long, the first time for up to 5 seconds more [default: 15m]
    #[arg(long, value_name = "DURATION")]
    deadline: Option<Span>,
    /// Accept another API key than the run started with, after a key rotation
    #[arg(long)]
    key_changed: bool,
    /// Settle by the callbacks that another receiver has saved in this file, one JSON body after the
    /// other; reads and receives nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["listen", "deadline"])]
    from: Option<PathBuf>,
    #[command(flatten)]
    listen: ListenArgs,
    /// Wait for another process that executes the run instead of exiting with code 75
    #[arg(long, help_heading = RUN)]
    wait_lock: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Settling after a run.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct SettleArgs {
    /// After the last row, read the files until pending extensions and unknown outcomes have a final
    /// status, for at most 15m or this long
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true,
        default_missing_value = "15m", help_heading = RUN)]
    pub(super) settle: Option<Span>,
}

impl SettleArgs {
    /// How long to settle after the run, receiving these callbacks.
    pub(super) fn patience(self, listen: &ListenArgs) -> Result<Option<Duration>, CliError> {
        if listen.listens() && self.settle.is_none() {
            return Err(CliError::new("--listen requires --settle, which says how long to listen"));
        }
        Ok(self.settle.map(|span| span.0))
    }
}

impl Settle {
    pub(super) async fn run(
        self,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, CliError> {
        let mut settings = self.settings.with_profile()?.with_key()?;
        settings.callbacks = self.listen.to_callbacks()?;
        let engine = Engine::new(settings);
        let options = SettleOptions {
            patience: self.deadline.map_or(SETTLE_FOR, |span| span.0),
            key_changed: self.key_changed,
            wait_lock: self.wait_lock,
            saved: self.from.as_deref(),
        };
        let settled = engine.settle(&self.run, options, &TerminalUi::new(screen), signal).await?;
        Ok(print_settled(&settled, screen))
    }
}

/// Prints what was settled and the summary of the run, and returns its exit code.
pub(super) fn print_settled(settled: &SettleReport, screen: &Screen) -> u8 {
    let SettleReport { reports, stop, are_charges_recorded, .. } = settled;
    screen.print(&render_settled(settled, screen.width()));
    screen.print(&render_settled_summary(settled, screen.width()));
    match stop {
        SettleStop::Stopped(stop @ (Stop::Interrupt | Stop::Terminate | Stop::Hangup)) => {
            stop.exit_code()
        }
        _ if !are_charges_recorded => exit_codes::NOT_WRITTEN,
        _ => reports.summary.exit_code,
    }
}
