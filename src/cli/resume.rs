//! `ikbulk resume`: previews the rest of an unfinished run, asks for confirmation, and sends it.

use std::future::Future;
use std::path::{Path, PathBuf};

use clap::Args;

use super::limit_args::{Deadline, LimitArgs};
use super::locks::lock_run;
use super::run_execution::{RunExecution, RunPart};
use super::settings_args::SettingsArgs;
use super::{CliError, Screen};
use ikbulk::execute::Stop;
use ikbulk::run::{RunDir, unfinished_runs};
use ikbulk::shell::quoted;

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
    limits: LimitArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Resume {
    pub(super) async fn run(
        self,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, CliError> {
        let deadline = Deadline::from_limits(&self.limits)?;
        if screen.is_quiet() && !self.yes {
            return Err(CliError::new(
                "--quiet requires --yes: nothing can be shown and confirmed",
            ));
        }
        let settings = self.settings.with_profile()?;
        let run = match &self.run {
            Some(path) => RunDir::open(path).map_err(|error| CliError::from_error(&error))?,
            None => only_unfinished_run(screen)?,
        };
        let lock = deadline.within(lock_run(&run, self.limits.wait_lock)).await?;
        let existing = RunExecution {
            run,
            part: RunPart::Rest,
            yes: self.yes,
            key_changed: self.key_changed,
            over_later_runs: self.over_later_runs,
            limits: &self.limits,
            settings: &settings,
            screen,
        };
        existing.execute(lock, deadline, signal).await
    }
}

/// The only unfinished run in the working directory. Only on a terminal: a script must name the
/// run.
fn only_unfinished_run(screen: &Screen) -> Result<RunDir, CliError> {
    if !screen.is_interactive() {
        return Err(CliError::new("name the run to resume: ikbulk resume RUN"));
    }
    let mut runs = unfinished_runs(Path::new("."));
    runs.retain(|run| run.newer_run(&[]).is_ok_and(|newer| newer.is_none()));
    match (runs.pop(), runs.is_empty()) {
        (Some(run), true) => Ok(run),
        (None, _) => Err(CliError::new("no unfinished run in this directory")),
        (Some(last), false) => {
            runs.push(last);
            let names: Vec<String> =
                runs.iter().map(|run| format!("ikbulk resume {}", quoted(run.path()))).collect();
            let names = names.join("\n");
            Err(CliError::new(format!("several unfinished runs; name one:\n{names}")))
        }
    }
}
