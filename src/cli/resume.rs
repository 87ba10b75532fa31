//! `ikbulk resume`: shows what is left of an unfinished run, asks, and sends it.

use std::future::Future;
use std::path::{Path, PathBuf};

use clap::Args;

use super::limit_args::{Deadline, LimitArgs};
use super::locks::lock_run;
use super::run_execution::{RunExecution, RunPart};
use super::settings_args::SettingsArgs;
use super::{CliError, Screen};
use crate::execute::Stop;
use crate::run::{RunDir, unfinished_runs};

#[derive(Debug, Args)]
pub(super) struct Resume {
    /// The run's directory [default, on a terminal: the one unfinished run of this directory]
    #[arg(value_name = "RUN")]
    run: Option<PathBuf>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// The account's key was replaced: continue with the new one
    #[arg(long)]
    key_changed: bool,
    /// Resume although a later run of the sheet has changed files: older values overwrite newer ones
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
        let deadline = Deadline::of(&self.limits)?;
        if screen.is_quiet() && !self.yes {
            return Err(CliError::new("with -q nothing can be shown and confirmed: add --yes"));
        }
        let settings = self.settings.with_profile()?;
        let run = match &self.run {
            Some(path) => RunDir::open(path).map_err(|error| CliError::of(&error))?,
            None => the_only_unfinished(screen)?,
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

/// The one unfinished run of this directory. Only on a terminal: a script says which.
fn the_only_unfinished(screen: &Screen) -> Result<RunDir, CliError> {
    if !screen.is_attended() {
        return Err(CliError::new("say which run to go on with: ikbulk resume RUN"));
    }
    let mut runs = unfinished_runs(Path::new("."));
    runs.retain(|run| run.newer_run(&[]).is_ok_and(|newer| newer.is_none()));
    match (runs.pop(), runs.is_empty()) {
        (Some(run), true) => Ok(run),
        (None, _) => Err(CliError::new("there is no unfinished run in this directory")),
        (Some(last), false) => {
            runs.push(last);
            let names: Vec<String> =
                runs.iter().map(|run| format!("ikbulk resume {}", run.path().display())).collect();
            let names = names.join("\n");
            Err(CliError::new(format!("there are several unfinished runs; say which:\n{names}")))
        }
    }
}
