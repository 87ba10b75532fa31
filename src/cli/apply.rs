//! `ikbulk apply`: shows what is about to happen, asks, does it.

use std::future::Future;
use std::path::Path;

use clap::Args;

use super::connect::{Connection, LocalState};
use super::finish::PreparedRun;
use super::limit_args::{Deadline, LimitArgs};
use super::locks::{lock, lock_run};
use super::prepare::{already_ran, ask, refuse_unattended};
use super::run_execution::{RunExecution, RunPart};
use super::settings_args::SettingsArgs;
use super::sheet::{PlanOptions, Sheet, StagedSheet};
use super::stop::DiscardUnlessStarted;
use super::{CliError, Screen, UNKNOWN};
use crate::execute::Stop;
use crate::input::StagedInput;
use crate::ledger::Stage;
use crate::plan::{PlanSummary, Planner};
use crate::run::{RunDir, RunState, RunsOfSheet, Session};
use crate::settings::{Execution, Planning};

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
    no_snapshot: bool,
    /// Go on with an unfinished run of this input, if there is one (for cron)
    #[arg(long = "continue")]
    continue_run: bool,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Apply {
    pub(super) async fn run(
        mut self,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, CliError> {
        let deadline = Deadline::of(&self.limits)?;
        self.settings = self.settings.with_profile()?;
        let execution = self.settings.execution()?;
        if screen.is_quiet() && !self.yes && !self.sheet.sandbox {
            return Err(CliError::new("with -q nothing can be shown and confirmed: add --yes"));
        }
        if !self.yes && !self.sheet.sandbox && !self.plan {
            refuse_unattended(self.is_attended(screen))?;
        }
        if self.plan {
            let path = self.sheet.file.path().unwrap_or(Path::new("-"));
            let run = RunDir::open(path).map_err(|error| CliError::of(&error))?;
            return self.execute(run, RunPart::Plan, screen, deadline, signal).await;
        }
        let (run, run_lock) = self.sheet.run_dir(&self.settings, self.continue_run)?;
        let unbegun = DiscardUnlessStarted::new(&run);
        let prepare = Box::pin(deadline.within(self.prepare(&run, execution, screen)));
        match prepare.await? {
            Prepared::PreparedRun(ready) => {
                unbegun.keep();
                ready.finish(screen, signal, deadline).await
            }
            Prepared::Continue(other) => {
                drop((unbegun, run_lock));
                self.execute(other, RunPart::Rest, screen, deadline, signal).await
            }
            Prepared::Finished(other, exit_code) => {
                let path = other.path().display();
                screen.say(&format!(
                    "run        {path}  finished before; nothing was sent\n\
                     next       `ikbulk report {path}` writes its reports again; without --continue \
                     the sheet is sent once more\n"
                ));
                Ok(exit_code)
            }
        }
    }

    /// Whether there is a person to be asked about the sheet.
    fn is_attended(&self, screen: &Screen) -> bool {
        screen.is_attended() && self.sheet.file.path().is_some() && !self.yes
    }

    /// Executes a run that exists: a saved plan, or what is left of an unfinished run.
    async fn execute(
        &self,
        run: RunDir,
        part: RunPart,
        screen: &Screen,
        deadline: Deadline,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, CliError> {
        let lock = deadline.within(lock_run(&run, self.limits.wait_lock)).await?;
        let existing = RunExecution {
            run,
            part,
            yes: self.yes,
            key_changed: false,
            over_later_runs: false,
            limits: &self.limits,
            settings: &self.settings,
            screen,
        };
        existing.execute(lock, deadline, signal).await
    }

    /// Everything up to the first request that changes anything.
    async fn prepare(
        &self,
        run: &RunDir,
        execution: Execution,
        screen: &Screen,
    ) -> Result<Prepared, CliError> {
        let opened = self.sheet.open(run, &self.settings, screen.person(self.yes)).await?;
        let wish = PlanOptions {
            planning: if self.direct { Planning::Direct } else { self.sheet.live() },
            keeps_before: !self.no_snapshot,
            run,
            settings: &self.settings,
            execution: &execution,
            screen,
            holds_lock: true,
            attended: self.is_attended(screen),
        };
        let read_alone = self.sheet.read_alone(&opened, &wish)?;
        let StagedSheet { staged, client, sandbox } = opened;
        let connection = self.sheet.connect(client, &wish, self.limits.wait_lock).await?;
        // Before looking for unfinished runs, or one that is being executed would be taken for one.
        let lock = lock(&connection, run, self.limits.wait_lock).await?;
        if let Some(other) = self.go_on_with(run, &staged, &connection, screen)? {
            return Ok(other);
        }
        let mut sheet = self.sheet.plan(&staged, read_alone, &connection, &wish, None).await?;
        self.sheet.show(&sheet, &connection, &wish, self.limits.limit);
        self.ask(wish.attended, &sheet.scan.summary, screen).await?;
        sheet.reach(Stage::Running)?;
        let already_ran = already_ran(&connection, sheet.meta.pays)?;
        let planner = Planner::of(wish.planning, &sheet.ledger, already_ran)?;
        Ok(Prepared::PreparedRun(Box::new(PreparedRun {
            session: Session {
                input: staged.input.clone(),
                context: sheet.context,
                execution,
                rates: Some(connection.rates.clone()),
                rows_max: self.limits.limit,
            },
            planner,
            run: run.clone(),
            meta: sheet.meta,
            ledger: sheet.ledger,
            charges: sheet.charges,
            connection,
            _locks: lock.into_iter().collect(),
            _sandbox: sandbox,
        })))
    }

    /// What an earlier run of the sheet means for this one, if it takes its place.
    fn go_on_with(
        &self,
        run: &RunDir,
        staged: &StagedInput,
        connection: &Connection,
        screen: &Screen,
    ) -> Result<Option<Prepared>, CliError> {
        let Some(LocalState { db, account, .. }) = &connection.kept else {
            return Ok(None);
        };
        let runs = RunsOfSheet {
            run,
            sheet: self.sheet.file.file(),
            account: &connection.client.identity,
            fingerprint: &staged.fingerprint.0,
        };
        match runs.newest(&db.run_paths(*account)?)? {
            Some((other, RunState::Unfinished { same_input: true })) if self.continue_run => {
                Ok(Some(Prepared::Continue(other)))
            }
            Some((other, RunState::Unfinished { same_input: true })) => {
                Err(CliError::new(format!(
                    "there is an unfinished run of this input: {0}; nothing was sent\n\
                 finish it:         ikbulk resume {0}\n\
                 or take it back:   ikbulk undo {0}\n\
                 and then apply the sheet again",
                    other.path().display()
                )))
            }
            Some((other, RunState::Unfinished { same_input: false })) => {
                if self.sheet.file.file().is_some() {
                    screen.error(&format!(
                        "there is an unfinished run of an earlier version of this sheet, {}; do not \
                         resume it after this one, or its older values overwrite newer ones",
                        other.path().display()
                    ));
                }
                Ok(None)
            }
            // The live planner finds what is up to date, and the memory of charges what ran; but
            // rows of unknown outcome are a person's to settle.
            Some((other, RunState::Finished { exit_code }))
                if self.continue_run && (self.repeats_charges() || exit_code == UNKNOWN) =>
            {
                Ok(Some(Prepared::Finished(other, exit_code)))
            }
            Some((_, RunState::Finished { .. })) | None => Ok(None),
        }
    }

    /// Whether the same input sent once more runs its extensions once more.
    fn repeats_charges(&self) -> bool {
        self.direct || self.sheet.reruns_extensions()
    }

    async fn ask(
        &self,
        attended: bool,
        summary: &PlanSummary,
        screen: &Screen,
    ) -> Result<(), CliError> {
        if self.yes || self.sheet.sandbox {
            Ok(())
        } else {
            ask(attended, summary, self.settings.max_bad(), screen).await
        }
    }
}

/// What a run came to before its first request.
enum Prepared {
    PreparedRun(Box<PreparedRun>),
    /// There is another one to go on with.
    Continue(RunDir),
    /// There is another one that is finished, with that exit code.
    Finished(RunDir, u8),
}
