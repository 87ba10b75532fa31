//! `ikbulk resume`: goes on with an unfinished run.

use std::future::Future;
use std::path::{Path, PathBuf};

use clap::Args;

use super::bounds::{Bounds, Deadline};
use super::choices::{Choices, Client};
use super::finish::Ready;
use super::prepare::{bought, lock, lock_run, paid_work, start_sandbox};
use super::{Refusal, Screen};
use crate::execute::Stop;
use crate::ledger::{Facts, LedgerFile, Stage};
use crate::outcome::Status;
use crate::plan::Planner;
use crate::run::{Place, RunDir, RunLock, Session, unfinished_runs};

#[derive(Debug, Args)]
pub(super) struct Resume {
    /// The run's directory [default, on a terminal: the one unfinished run of this directory]
    #[arg(value_name = "RUN")]
    run: Option<PathBuf>,
    /// The account's key was replaced: go on with the new one
    #[arg(long)]
    key_changed: bool,
    /// Go on although a later run of the sheet has changed files: older values go over newer ones
    #[arg(long)]
    over_later_runs: bool,
    #[command(flatten)]
    bounds: Bounds,
    #[command(flatten)]
    choices: Choices,
}

impl Resume {
    /// Going on with a run that another command found.
    pub(super) fn of(bounds: Bounds, choices: Choices) -> Self {
        Self { run: None, key_changed: false, over_later_runs: false, bounds, choices }
    }

    pub(super) async fn run(
        self,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, Refusal> {
        let run = match &self.run {
            Some(path) => RunDir::open(path).map_err(|error| Refusal::of(&error))?,
            None => the_only_unfinished(screen)?,
        };
        let run_lock = lock_run(&run, self.bounds.wait_lock).await?;
        self.go_on(run, run_lock, screen, signal).await
    }

    /// Goes on with a run whose lock is held.
    pub(super) async fn go_on(
        self,
        run: RunDir,
        _run_lock: RunLock,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, Refusal> {
        let choices = self.choices.clone().with_profile()?;
        let mut execution = choices.execution()?;
        let deadline = Deadline::of(&self.bounds)?;
        let ledger = run.ledger().map_err(|error| Refusal::not_written(&error))?;
        let mut facts = ledger.facts().map_err(|error| Refusal::not_written(&error))?;
        refuse_unbegun(&run, facts.stage)?;
        if let Some(exit_code) = ledger.is_done().map_err(|error| Refusal::not_written(&error))? {
            let path = run.path().display();
            screen.say(&format!(
                "nothing is left to do\nnext       `ikbulk report {path}` writes its reports again\n"
            ));
            return Ok(exit_code);
        }
        // A saved plan of which nothing was sent looks at each file by itself.
        let is_guarded =
            facts.guarded && ledger.has_no_steps().map_err(|error| Refusal::not_written(&error))?;
        if !self.over_later_runs && !facts.sandbox && !is_guarded {
            refuse_overtaken(&run)?;
        }
        if facts.guarded {
            // Whoever looks at files before they are changed reads as well.
            execution.reads = execution.reads.half();
        }
        let input = run.input(facts.input_format);
        let (sandbox, client) = if facts.sandbox {
            screen.error("the sandbox of this run is gone; going on with a new one");
            let (sandbox, client) = start_sandbox(&input, &choices)?;
            (Some(sandbox), client)
        } else {
            choices.go_to(&facts.endpoint)?;
            (None, choices.client_of(&facts.endpoint)?)
        };
        let state = if facts.sandbox { None } else { Some(choices.state_dir()?) };
        let mut locks = Vec::new();
        if let Some(state) = &state {
            locks.push(lock(state, &client.account, &run, self.bounds.wait_lock).await?);
            if client.account != facts.account {
                // With the key that it was begun with, the run may be under way at this moment.
                locks.push(lock(state, &facts.account, &run, self.bounds.wait_lock).await?);
                self.accept_key(&client, &mut facts, &ledger)?;
            }
        }
        let paid = paid_work(state.as_ref(), &client, facts.pays, screen)?;
        let context = ledger.context(&facts).map_err(|error| Refusal::not_written(&error))?;
        let session = Session { input, context, execution, rows_max: self.bounds.limit };
        let planner = Planner::of(facts.planning, &ledger, bought(state.as_ref(), &facts)?)
            .map_err(|error| Refusal::not_written(&error))?;
        let ready = Ready {
            session,
            planner,
            run,
            facts,
            ledger,
            paid,
            api: client.api,
            state,
            _locks: locks,
            _sandbox: sandbox,
        };
        Box::new(ready).finish(screen, signal, deadline).await
    }
}

impl Resume {
    /// Another key than the run was begun with may be another account's.
    fn accept_key(
        &self,
        client: &Client,
        facts: &mut Facts,
        ledger: &LedgerFile,
    ) -> Result<(), Refusal> {
        let touched = [Status::Updated, Status::Failed, Status::Unknown];
        let touched = ledger.has_status(&touched).map_err(|error| Refusal::not_written(&error))?;
        if touched && !self.key_changed {
            return Err(Refusal::new(
                "this is not the key that the run was begun with; nothing was sent.\n\
                 If it is the same account's, say --key-changed",
            ));
        }
        facts.account.clone_from(&client.account);
        ledger.set_facts(facts).map_err(|error| Refusal::not_written(&error))
    }
}

/// What sent nothing so far is not resumed.
fn refuse_unbegun(run: &RunDir, stage: Stage) -> Result<(), Refusal> {
    let path = run.path().display();
    match stage {
        Stage::Running => Ok(()),
        Stage::Planned => Err(Refusal::new(format!(
            "this is a saved plan; carry it out with: ikbulk apply --plan {path}"
        ))),
        Stage::Planning => Err(Refusal::new(format!(
            "{path} was left while it was being planned; nothing was sent. Apply the sheet again"
        ))),
    }
}

/// What a later run has written over, or undone, is not written once more.
fn refuse_overtaken(run: &RunDir) -> Result<(), Refusal> {
    let later = run.overtaken_by().map_err(|error| Refusal::not_written(&error))?;
    later.map_or(Ok(()), |later| {
        Err(Refusal::new(format!(
            "{} was begun later and has changed files since, so that older values would go over newer \
             ones; nothing was sent.\n\
             Apply the sheet again for what is left, or say --over-later-runs",
            later.path().display()
        )))
    })
}

/// The one unfinished run of this directory. Only on a terminal: a script says which.
fn the_only_unfinished(screen: &Screen) -> Result<RunDir, Refusal> {
    if !screen.is_attended() {
        return Err(Refusal::new("say which run to go on with: ikbulk resume RUN"));
    }
    let mut runs = unfinished_runs(&Place::Directory(Path::new(".")));
    runs.retain(|run| run.overtaken_by().is_ok_and(|later| later.is_none()));
    match (runs.pop(), runs.is_empty()) {
        (Some(run), true) => Ok(run),
        (None, _) => Err(Refusal::new("there is no unfinished run in this directory")),
        (Some(last), false) => {
            runs.push(last);
            let names: Vec<String> =
                runs.iter().map(|run| format!("ikbulk resume {}", run.path().display())).collect();
            let names = names.join("\n");
            Err(Refusal::new(format!("there are several unfinished runs; say which:\n{names}")))
        }
    }
}
