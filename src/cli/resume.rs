//! `ikbulk resume`: previews the rest of an unfinished run, asks for confirmation, and sends it.

use std::future::Future;
use std::path::{Path, PathBuf};

use clap::Args;
use ikbulk::engine::{ResumeOptions, Stop};
use ikbulk::internals::{path_argument, unfinished_runs};

use super::executed::print_executed;
use super::session_args::SessionArgs;
use super::settings_args::{SettingsArgs, consent};
use super::terminal_ui::TerminalUi;
use super::{CliError, Screen};

#[derive(Debug, Args)]
pub(super) struct Resume {
    /// The run directory [default, on a terminal: the only unfinished run in this directory]
    #[arg(value_name = "RUN")]
    run: Option<PathBuf>,
    /// Resume without asking for confirmation
    #[arg(short, long)]
    yes: bool,
    /// Accept another API key than the run started with, after a key rotation
    #[arg(long)]
    key_changed: bool,
    /// Resume although a later run has changed files; older values overwrite newer ones
    #[arg(long)]
    over_later_runs: bool,
    #[command(flatten)]
    session: SessionArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Resume {
    pub(super) async fn run(
        self,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, CliError> {
        screen.require_shown_or(self.yes)?;
        let settings = self.settings.with_profile()?.with_key()?;
        let (engine, limits) = self.session.prepare(settings)?;
        let run = match self.run {
            Some(path) => path,
            None => only_unfinished_run(screen)?,
        };
        let options = ResumeOptions {
            consent: consent(self.yes),
            key_changed: self.key_changed,
            over_later_runs: self.over_later_runs,
            limits,
        };
        let executed = engine.resume(&run, options, &TerminalUi::new(screen), signal).await?;
        Ok(print_executed(&executed, screen))
    }
}

/// The only unfinished run in the working directory. Only on a terminal: a script must name the
/// run.
fn only_unfinished_run(screen: &Screen) -> Result<PathBuf, CliError> {
    if !screen.is_interactive() {
        return Err(CliError::new("name the run to resume: ikbulk resume RUN"));
    }
    let mut runs = unfinished_runs(Path::new("."));
    runs.retain(|run| {
        run.newer_run(&[]).is_ok_and(|newer| newer.is_none())
            && run.undone_by(&[]).is_ok_and(|undo| undo.is_none())
    });
    match (runs.pop(), runs.is_empty()) {
        (Some(run), true) => Ok(run.path().to_owned()),
        (None, _) => Err(CliError::new("no unfinished run in this directory")),
        (Some(last), false) => {
            runs.push(last);
            let names: Vec<String> = runs
                .iter()
                .map(|run| format!("ikbulk resume {}", path_argument(run.path())))
                .collect();
            let names = names.join("\n");
            Err(CliError::new(format!("several unfinished runs; name one:\n{names}")))
        }
    }
}
