//! `ikbulk apply`: previews a sheet, asks for confirmation, and sends it.

use std::future::Future;
use std::path::Path;

use clap::Args;

use super::connect::{Connection, LocalState};
use super::finish::PreparedRun;
use super::help::PLANNING;
use super::limit_args::{Deadline, LimitArgs};
use super::locks::lock_run;
use super::prepare::{already_ran, ask, require_terminal};
use super::run_execution::{RunExecution, RunPart};
use super::settings_args::SettingsArgs;
use super::sheet::{PlanOptions, Sheet, StagedSheet};
use super::stop::DiscardUnlessStarted;
use super::{CliError, Screen};
use ikbulk::execute::Stop;
use ikbulk::exit_codes;
use ikbulk::input::StagedInput;
use ikbulk::ledger::Stage;
use ikbulk::plan::{EXAMPLES_MAX, PlanSummary, Planner};
use ikbulk::run::{RunDir, RunState, RunsOfSheet, Session};
use ikbulk::settings::{Execution, Planning};
use ikbulk::shell::quoted;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Apply {
    /// Apply without asking for confirmation
    #[arg(short, long)]
    yes: bool,
    /// FILE is a run directory: apply its saved plan, skip files that changed since
    #[arg(long, conflicts_with_all = ["direct", "continue_run", "sandbox", "run_dir"])]
    plan: bool,
    /// Resume the unfinished run of this sheet, if any, else start one (for cron)
    #[arg(long = "continue")]
    continue_run: bool,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    sheet: Sheet,
    /// Send every row as is, without comparing with the library
    #[arg(long, help_heading = PLANNING,
        conflicts_with_all = ["exact", "rerun_extensions", "skip_tagged"])]
    direct: bool,
    /// Skip reading the files before a --direct run; disables `ikbulk undo`
    #[arg(long, help_heading = PLANNING, requires = "direct", hide_short_help = true)]
    no_snapshot: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Apply {
    pub(super) async fn run(
        mut self,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, CliError> {
        let deadline = Deadline::from_limits(&self.limits)?;
        self.settings = self.settings.with_profile()?;
        let execution = self.settings.execution()?;
        if screen.is_quiet() && !self.yes && !self.sheet.sandbox {
            return Err(CliError::new(
                "--quiet requires --yes: nothing can be shown and confirmed",
            ));
        }
        if !self.plan {
            self.sheet.file.require_sheet()?;
        }
        if !self.yes && !self.sheet.sandbox && !self.plan {
            require_terminal(self.is_interactive(screen))?;
        }
        if self.plan {
            let path = self.sheet.file.path().unwrap_or(Path::new("-"));
            let run = RunDir::open(path).map_err(|error| CliError::from_error(&error))?;
            return self.execute(run, RunPart::Plan, screen, deadline, signal).await;
        }
        let (run, run_lock) = self.sheet.run_dir(&self.settings, self.continue_run)?;
        let discard_guard = DiscardUnlessStarted::new(&run);
        let prepare = Box::pin(deadline.within(self.prepare(&run, execution, screen)));
        match prepare.await? {
            Prepared::Run(prepared) => {
                discard_guard.keep();
                prepared.finish(screen, signal, deadline).await
            }
            Prepared::Continue(other) => {
                drop((discard_guard, run_lock));
                screen.print(&format!("resuming   {}\n", other.path().display()));
                self.execute(other, RunPart::Rest, screen, deadline, signal).await
            }
            Prepared::Finished(other, exit_code) => {
                let path = quoted(other.path());
                screen.print(&format!(
                    "run        {path}  already finished; nothing was sent\n\
                     next       `ikbulk report {path}` regenerates its reports; without --continue \
                     the sheet is sent again\n"
                ));
                Ok(exit_code)
            }
        }
    }

    /// Whether a person can confirm the preview. Standard input is not free for that if it is the
    /// sheet.
    fn is_interactive(&self, screen: &Screen) -> bool {
        screen.is_interactive() && self.sheet.file.path().is_some() && !self.yes
    }

    /// Executes an existing run: a saved plan, or the rest of an unfinished run.
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

    /// Prepares the run up to its first write.
    async fn prepare(
        &self,
        run: &RunDir,
        execution: Execution,
        screen: &Screen,
    ) -> Result<Prepared, CliError> {
        let staged_sheet =
            self.sheet.stage(run, &self.settings, screen.prompt_unless(self.yes)).await?;
        let options = PlanOptions {
            planning: if self.direct { Planning::Direct } else { self.sheet.diff_planning() },
            keeps_snapshots: !self.no_snapshot,
            run,
            settings: &self.settings,
            execution: &execution,
            screen,
            holds_lock: true,
            interactive: self.is_interactive(screen),
            limit: self.limits.limit,
            differences: EXAMPLES_MAX,
        };
        let read_offline = self.sheet.read_offline(&staged_sheet, &options)?;
        let StagedSheet { staged, client, sandbox } = staged_sheet;
        let connection = self.sheet.connect(client, &options, self.limits.wait_lock).await?;
        // Lock first: a run in execution would otherwise look unfinished.
        let lock = connection.lock(run, self.limits.wait_lock).await?;
        if let Some(other) = self.replacing_run(run, &staged, &connection, screen)? {
            return Ok(other);
        }
        let mut sheet = self.sheet.plan(&staged, read_offline, &connection, &options, None).await?;
        self.sheet.show(&sheet, &connection, &options);
        self.ask(options.interactive, &sheet.scan.summary, screen).await?;
        sheet.set_stage(Stage::Running)?;
        let already_ran = already_ran(&connection, sheet.meta.has_extensions)?;
        let planner = Planner::of(options.planning, &sheet.ledger, already_ran)?;
        Ok(Prepared::Run(Box::new(PreparedRun {
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

    /// Decides whether an earlier run of the sheet replaces this one; `None` starts a new run.
    fn replacing_run(
        &self,
        run: &RunDir,
        staged: &StagedInput,
        connection: &Connection,
        screen: &Screen,
    ) -> Result<Option<Prepared>, CliError> {
        let Some(LocalState { db, account, .. }) = &connection.local else {
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
                 resume it:      ikbulk resume {0}\n\
                 or revert it:   ikbulk undo {0}\n\
                 then apply the sheet again",
                    quoted(other.path())
                )))
            }
            Some((other, RunState::Unfinished { same_input: false })) => {
                if self.sheet.file.file().is_some() {
                    screen.error(&format!(
                        "there is an unfinished run of an earlier version of this sheet: {}; do not \
                         resume it after this run, or its older values overwrite newer ones",
                        other.path().display()
                    ));
                }
                Ok(None)
            }
            // The planner skips rows that are up to date, and extensions that already ran. Rows of
            // unknown outcome need a decision by a person, so `--continue` does not re-send them.
            Some((other, RunState::Finished { exit_code }))
                if self.continue_run
                    && (self.charges_again() || exit_code == exit_codes::UNKNOWN) =>
            {
                Ok(Some(Prepared::Finished(other, exit_code)))
            }
            Some((_, RunState::Finished { .. })) | None => Ok(None),
        }
    }

    /// Whether applying the same input again charges for its extensions again.
    fn charges_again(&self) -> bool {
        self.direct || self.sheet.reruns_extensions()
    }

    async fn ask(
        &self,
        interactive: bool,
        summary: &PlanSummary,
        screen: &Screen,
    ) -> Result<(), CliError> {
        if self.yes || self.sheet.sandbox {
            Ok(())
        } else {
            ask(interactive, summary, self.settings.max_bad(), screen).await
        }
    }
}

/// The result of [`Apply::prepare`].
enum Prepared {
    Run(Box<PreparedRun>),
    /// Resume this unfinished run instead.
    Continue(RunDir),
    /// This earlier run has finished, with this exit code; send nothing.
    Finished(RunDir, u8),
}
