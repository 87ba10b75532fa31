//! `ikbulk apply`: shows what is about to happen, asks, does it.

use std::future::Future;
use std::path::Path;

use clap::Args;

use super::bounds::{Bounds, Deadline};
use super::choices::{Choices, Client};
use super::finish::Ready;
use super::prepare::{ask, bought, lock, lock_run};
use super::resume::Resume;
use super::sheet::{Opened, Sheet, Wish};
use super::{Refusal, Screen};
use crate::account::state_dir::StateDir;
use crate::execute::Stop;
use crate::input::Owned;
use crate::ledger::{Facts, LedgerError, LedgerFile, Stage};
use crate::plan::{Planner, Tally, survey};
use crate::report::{Opening, Target, opening};
use crate::run::{AccountLock, Place, RunDir, Session, unfinished_runs};
use crate::settings::{Execution, Planning};
use crate::words::counted;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Apply {
    #[command(flatten)]
    sheet: Sheet,
    /// FILE is the directory of a plan that `ikbulk plan` saved: carry it out, leaving out files
    /// that have changed since
    #[arg(long, conflicts_with_all = ["direct", "continue_run", "sandbox", "run_dir"])]
    plan: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Send every row as it is, whatever the files are like
    #[arg(long, conflicts_with_all = ["exact", "rerun_extensions", "skip_tagged"])]
    direct: bool,
    /// Do not read what the files are like before, which `ikbulk undo` puts back
    #[arg(long, requires = "direct")]
    no_before: bool,
    /// Go on with an unfinished run of this input, if there is one (for cron)
    #[arg(long = "continue")]
    continue_run: bool,
    #[command(flatten)]
    bounds: Bounds,
    #[command(flatten)]
    choices: Choices,
}

impl Apply {
    pub(super) async fn run(
        mut self,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, Refusal> {
        self.choices = self.choices.with_profile()?;
        let execution = self.choices.execution()?;
        let deadline = Deadline::of(&self.bounds)?;
        if screen.is_quiet() && !self.yes && !self.sheet.sandbox {
            return Err(Refusal::new("with -q nobody sees what is asked: add --yes"));
        }
        if self.plan {
            let path = self.sheet.file.path().unwrap_or(Path::new("-"));
            let run = RunDir::open(path).map_err(|error| Refusal::of(&error))?;
            let run_lock = lock_run(&run, self.bounds.wait_lock).await?;
            self.begin_plan(&run, &execution, screen).await?;
            let resume = Resume::of(self.bounds, self.choices);
            return resume.go_on(run, run_lock, screen, signal).await;
        }
        let (run, _run_lock) = self.sheet.run_dir(&self.choices)?;
        match self.prepare(&run, execution, screen).await {
            Ok(Prepared::Ready(ready)) => ready.finish(screen, signal, deadline).await,
            Ok(Prepared::Continue(other)) => {
                run.discard();
                let run_lock = lock_run(&other, self.bounds.wait_lock).await?;
                let resume = Resume::of(self.bounds, self.choices);
                resume.go_on(other, run_lock, screen, signal).await
            }
            Err(refusal) => {
                run.discard();
                Err(refusal)
            }
        }
    }

    /// Shows a saved plan and asks whether to carry it out. One that cannot be carried out now is
    /// refused before anything is shown, and stays as it is.
    async fn begin_plan(
        &self,
        run: &RunDir,
        execution: &Execution,
        screen: &Screen,
    ) -> Result<(), Refusal> {
        let ledger = run.ledger().map_err(|error| Refusal::not_written(&error))?;
        let mut facts = ledger.facts().map_err(|error| Refusal::not_written(&error))?;
        refuse_unplanned(run, &ledger, &facts)?;
        let state = if facts.sandbox { None } else { Some(self.choices.state_dir()?) };
        let _lock = match &state {
            None => None,
            Some(state) => Some(self.plan_lock(state, run, &facts).await?),
        };
        let tally = self.show_plan(state.as_ref(), run, &ledger, &facts, execution, screen)?;
        if !facts.sandbox {
            self.ask(screen.is_attended() && !self.yes, &tally, screen)?;
        }
        facts.stage = Stage::Running;
        ledger.set_facts(&facts).map_err(|error| Refusal::not_written(&error))
    }

    /// The lock of the account that a plan was made for, if that is the one that is given now.
    async fn plan_lock(
        &self,
        state: &StateDir,
        run: &RunDir,
        facts: &Facts,
    ) -> Result<AccountLock, Refusal> {
        self.choices.go_to(&facts.endpoint)?;
        if self.choices.client_of(&facts.endpoint)?.account != facts.account {
            return Err(Refusal::new(
                "this is not the key that the sheet was planned with; nothing was sent.\n\
                 Plan the sheet again with this one",
            ));
        }
        lock(state, &facts.account, run, self.bounds.wait_lock).await
    }

    fn show_plan(
        &self,
        state: Option<&StateDir>,
        run: &RunDir,
        ledger: &LedgerFile,
        facts: &Facts,
        execution: &Execution,
        screen: &Screen,
    ) -> Result<Tally, Refusal> {
        let not_written = |error: LedgerError| Refusal::not_written(&error);
        let context = ledger.context(facts).map_err(not_written)?;
        let mut planner =
            Planner::of(facts.planning, ledger, bought(state, facts)?).map_err(not_written)?;
        let input = run.input(facts.input_format);
        let survey =
            survey(&input, &context, &mut planner, |_| {}).map_err(|error| Refusal::of(&error))?;
        screen.say(&opening(&Opening {
            input: &facts.input_name,
            tally: &survey.tally,
            ignored_columns: &survey.ignored_columns,
            left_alone: survey.left_alone,
            looked_up: None,
            reading: None,
            target: Some(Target {
                endpoint: &facts.endpoint,
                account: &facts.account,
                sandbox: facts.sandbox,
                execution,
                limit: self.bounds.limit,
                now: jiff::ZonedDateTime::now(),
            }),
            width: screen.width(),
        }));
        let looks = survey.tally.writes.min(self.bounds.limit.unwrap_or(u64::MAX));
        if looks > 0 {
            let reads = counted(looks, "read", "reads");
            screen.say(&format!(
                "looks      at each file again before it is changed, in at most about {reads}\n"
            ));
        }
        Ok(survey.tally)
    }

    /// Everything up to the first request that changes anything.
    async fn prepare(
        &self,
        run: &RunDir,
        execution: Execution,
        screen: &Screen,
    ) -> Result<Prepared, Refusal> {
        let opened = self.sheet.open(run, &self.choices)?;
        // Before looking for unfinished runs, or one that is under way would be taken for one.
        let lock = match &opened.state {
            None => None,
            Some(state) => {
                Some(lock(state, &opened.client.account, run, self.bounds.wait_lock).await?)
            }
        };
        if let Some(other) = self.go_on_with(&opened, screen)? {
            return Ok(Prepared::Continue(other));
        }
        let wish = Wish {
            planning: if self.direct { Planning::Direct } else { self.sheet.live() },
            keeps_before: !self.no_before,
            run,
            choices: &self.choices,
            execution: &execution,
            screen,
            holds_lock: true,
            attended: screen.is_attended() && self.sheet.file.path().is_some() && !self.yes,
        };
        let mut sheet = self.sheet.plan(&opened, &wish, None).await?;
        self.sheet.show(&sheet, &opened.client, &wish, self.bounds.limit);
        self.ask(wish.attended, &sheet.survey.tally, screen)?;
        sheet.reach(Stage::Running)?;
        let planner =
            Planner::of(wish.planning, &sheet.ledger, bought(opened.state.as_ref(), &sheet.facts)?)
                .map_err(|error| Refusal::not_written(&error))?;
        Ok(Prepared::Ready(Box::new(Ready {
            session: Session {
                input: opened.owned.input.clone(),
                context: sheet.context,
                execution: sheet.execution,
                rows_max: self.bounds.limit,
            },
            planner,
            run: run.clone(),
            facts: sheet.facts,
            ledger: sheet.ledger,
            paid: sheet.paid,
            api: opened.client.api,
            state: opened.state,
            _locks: lock.into_iter().collect(),
            _sandbox: opened.sandbox,
        })))
    }

    /// The unfinished run to go on with instead, if there is one and that is wanted.
    fn go_on_with(&self, opened: &Opened, screen: &Screen) -> Result<Option<RunDir>, Refusal> {
        match self.unfinished(&opened.owned, &opened.client) {
            Some(Unfinished { run, same_input: true }) if self.continue_run => Ok(Some(run)),
            Some(Unfinished { run, same_input: true }) => Err(Refusal::new(format!(
                "there is an unfinished run of this input: {0}\n\
                 go on with it:  ikbulk resume {0}\n\
                 or remove it to begin anew",
                run.path().display()
            ))),
            Some(Unfinished { same_input: false, .. }) if self.sheet.file.path().is_none() => {
                Ok(None)
            }
            Some(Unfinished { run, same_input: false }) => {
                screen.error(&format!(
                    "there is an unfinished run of an earlier state of this sheet, {}; it is not to be \
                     resumed after this one, or its older values go over the new ones",
                    run.path().display()
                ));
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// An unfinished run of the same bytes for the same account, or else of another state of the
    /// same sheet. A sandbox's runs end with it.
    fn unfinished(&self, owned: &Owned, client: &Client) -> Option<Unfinished> {
        if self.sheet.sandbox {
            return None;
        }
        let beside = self.sheet.file.beside(&self.choices).ok()?;
        let runs = unfinished_runs(&Place::Input(&beside));
        let ours = runs.into_iter().filter_map(|run| {
            let facts = run.ledger().and_then(|ledger| ledger.facts()).ok()?;
            let same_input = facts.input_fingerprint == owned.fingerprint.0;
            let is_ours = facts.account == client.account && !facts.sandbox;
            let is_open = is_ours && run.overtaken_by().is_ok_and(|by| by.is_none());
            is_open.then_some(Unfinished { run, same_input })
        });
        ours.max_by_key(|unfinished| unfinished.same_input)
    }

    fn ask(&self, attended: bool, tally: &Tally, screen: &Screen) -> Result<(), Refusal> {
        if self.yes || self.sheet.sandbox {
            Ok(())
        } else {
            ask(attended, tally, self.choices.max_bad(), screen)
        }
    }
}

/// What is no saved plan is not carried out as one.
fn refuse_unplanned(run: &RunDir, ledger: &LedgerFile, facts: &Facts) -> Result<(), Refusal> {
    let path = run.path().display();
    let is_done = ledger.is_done().map_err(|error| Refusal::not_written(&error))?.is_some();
    let what = if facts.guarded { "a plan that" } else { "no saved plan, but a run that" };
    Err(Refusal::new(match facts.stage {
        Stage::Planned => return Ok(()),
        Stage::Planning => {
            format!("{path} was left while it was being planned; nothing was sent. Plan it again")
        }
        Stage::Running if is_done => {
            format!("{path} is {what} is finished; `ikbulk report {path}` says how it ended")
        }
        Stage::Running => {
            format!("{path} is {what} was begun and is unfinished; go on: ikbulk resume {path}")
        }
    }))
}

/// A run of the sheet that can be gone on with.
struct Unfinished {
    run: RunDir,
    /// The sheet has not changed since.
    same_input: bool,
}

/// What a run came to before its first request.
enum Prepared {
    Ready(Box<Ready>),
    /// There is another one to go on with.
    Continue(RunDir),
}
