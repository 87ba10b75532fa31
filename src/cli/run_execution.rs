//! Executes an existing run: a saved plan, or the rest of an interrupted run.

use std::future::Future;
use std::path::Path;

use super::connect::{Connection, LocalState};
use super::finish::PreparedRun;
use super::limit_args::{Deadline, LimitArgs};
use super::locks::lock_account;
use super::prepare::{
    already_ran, ask, charges, require_terminal, start_sandbox, too_many_invalid,
};
use super::render::{PlanView, Target, WholeSheet, render_plan};
use super::settings_args::SettingsArgs;
use super::{CliError, Screen};
use ikbulk::account::AccountLock;
use ikbulk::execute::Stop;
use ikbulk::input::{Fingerprint, staged_in};
use ikbulk::ledger::{EARLIER_RUN, LedgerFile, RunMeta, Stage};
use ikbulk::outcome::Status;
use ikbulk::plan::{EXAMPLES_MAX, InputSummary, Planner, Recorded, scan_rest};
use ikbulk::plural::plural;
use ikbulk::run::{RunDir, RunLock, Session, in_flight};
use ikbulk::settings::Execution;
use ikbulk::shell::quoted;

/// The part of a run to execute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunPart {
    /// All rows of a saved plan.
    Plan,
    /// The rows that an interrupted run did not complete.
    Rest,
}

/// A run to execute, with the options of the command.
pub(super) struct RunExecution<'e> {
    pub(super) run: RunDir,
    pub(super) part: RunPart,
    pub(super) yes: bool,
    pub(super) key_changed: bool,
    pub(super) over_later_runs: bool,
    pub(super) limits: &'e LimitArgs,
    /// The settings, with the profile applied.
    pub(super) settings: &'e SettingsArgs,
    pub(super) screen: &'e Screen,
}

/// The result of [`RunExecution::prepare`].
enum Prepared {
    Run(Box<PreparedRun>),
    /// Nothing is left to do; with the exit code of the last session.
    Done(u8),
}

impl RunExecution<'_> {
    /// Shows the preview, asks for confirmation, and sends the rest.
    pub(super) async fn execute(
        self,
        _lock: RunLock,
        deadline: Deadline,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, CliError> {
        match deadline.within(self.prepare()).await? {
            Prepared::Run(prepared) => prepared.finish(self.screen, signal, deadline).await,
            Prepared::Done(exit_code) => Ok(exit_code),
        }
    }

    /// Prepares the session up to its first write.
    async fn prepare(&self) -> Result<Prepared, CliError> {
        let ledger = self.run.ledger()?;
        let mut meta = ledger.meta()?;
        self.refuse_stage(&ledger, &meta)?;
        refuse_edited_copy(&self.run, &meta)?;
        if let Some(exit_code) = ledger.is_done()? {
            let path = quoted(self.run.path());
            self.screen.print(&format!(
                "nothing is left to do\nnext       `ikbulk report {path}` regenerates its reports\n"
            ));
            return Ok(Prepared::Done(exit_code));
        }
        if !self.yes && !meta.sandbox {
            require_terminal(self.screen.is_interactive())?;
        }
        let execution = self.settings.execution()?;
        let (connection, sandbox) = self.connect(&meta, &execution).await?;
        let locks = self.lock(&connection, &mut meta, &ledger).await?;
        self.refuse_superseded(&connection, &ledger, &meta)?;
        let charges = charges(&connection, meta.has_extensions, self.screen)?;
        self.mark_unsettled(&connection, &ledger, &meta)?;
        let writes_left = self.confirm(&connection, &ledger, &meta, &execution).await?;
        meta.writes = ledger.counters()?.write_progress() + writes_left;
        if self.part == RunPart::Plan {
            meta.stage = Stage::Running;
            meta.position = connection.next_position(&self.run)?;
            ledger.set_meta(&meta)?;
        }
        let planner =
            Planner::of(meta.planning, &ledger, already_ran(&connection, meta.has_extensions)?)?;
        let session = Session {
            input: self.run.input(meta.input_format),
            context: ledger.context(&meta)?,
            execution,
            rates: Some(connection.rates.clone()),
            rows_max: self.limits.limit,
        };
        let run = self.run.clone();
        Ok(Prepared::Run(Box::new(PreparedRun {
            session,
            planner,
            run,
            meta,
            ledger,
            charges,
            connection,
            _locks: locks,
            _sandbox: sandbox,
        })))
    }

    /// `apply --plan` accepts only a saved plan, and `resume` only a run that has started to send.
    fn refuse_stage(&self, ledger: &LedgerFile, meta: &RunMeta) -> Result<(), CliError> {
        let path = quoted(self.run.path());
        let is_done = ledger.is_done()?.is_some();
        let what = if meta.checks_conflicts { "a plan" } else { "a run, not a saved plan," };
        Err(CliError::new(match (self.part, meta.stage) {
            (RunPart::Plan, Stage::Planned) | (RunPart::Rest, Stage::Running) => return Ok(()),
            (RunPart::Rest, Stage::Planned) => {
                format!("{path} is a saved plan; apply it with: ikbulk apply --plan {path}")
            }
            (RunPart::Rest, Stage::Planning) => format!(
                "{path} was interrupted while planning; nothing was sent. Apply the sheet again"
            ),
            (RunPart::Plan, Stage::Planning) => format!(
                "{path} was interrupted while planning; nothing was sent. Plan the sheet again"
            ),
            (RunPart::Plan, Stage::Running) if is_done => {
                format!("{path} is {what} that has finished; see: ikbulk report {path}")
            }
            (RunPart::Plan, Stage::Running) => {
                format!("{path} is {what} that is unfinished; run: ikbulk resume {path}")
            }
        }))
    }

    async fn connect(
        &self,
        meta: &RunMeta,
        execution: &Execution,
    ) -> Result<(Connection, Option<ikbulk_sandbox::Running>), CliError> {
        if meta.sandbox {
            self.screen.error("the sandbox of this run is gone; starting a new one");
            let input = self.run.input(meta.input_format);
            let (sandbox, client) = start_sandbox(&input, self.settings)?;
            let connection = Connection::to_sandbox(client, &self.run, execution)?;
            return Ok((connection, Some(sandbox)));
        }
        let busy = Some(&self.run).filter(|_| !self.limits.wait_lock);
        let connection = Connection::to_account_of_run(
            self.settings,
            &self.run,
            meta,
            execution,
            busy,
            self.screen.prompt_unless(self.yes),
        )
        .await?;
        Ok((connection, None))
    }

    /// Locks the account of the key, and also the account that the run started on if that is
    /// recorded under another key.
    async fn lock(
        &self,
        connection: &Connection,
        meta: &mut RunMeta,
        ledger: &LedgerFile,
    ) -> Result<Vec<AccountLock>, CliError> {
        let wait = self.limits.wait_lock;
        let mut locks: Vec<_> = connection.lock(&self.run, wait).await?.into_iter().collect();
        let Some(LocalState { state, db, account }) = &connection.local else {
            return Ok(locks);
        };
        let ours = &connection.client.identity;
        let started_on = db.account_of(&meta.account)?;
        if started_on != *account {
            locks.push(lock_account(state, started_on, &self.run, wait).await?);
            self.check_key(meta, ledger)?;
            db.join(*account, started_on)?;
        }
        if meta.account != *ours {
            meta.account.clone_from(ours);
            ledger.set_meta(meta)?;
        }
        connection.register(&self.run, meta)?;
        Ok(locks)
    }

    /// Fails unless the new key belongs to the account of the run, or `--key-changed` confirms
    /// that.
    fn check_key(&self, meta: &RunMeta, ledger: &LedgerFile) -> Result<(), CliError> {
        if meta.stage == Stage::Planned && !self.key_changed {
            return Err(CliError::new(
                "the API key differs from the one that the sheet was planned with; nothing was sent.\n\
                 Plan the sheet again with this key",
            ));
        }
        let sent_statuses = [Status::Updated, Status::Failed, Status::Unknown];
        if ledger.has_status(&sent_statuses)? && !self.key_changed {
            return Err(key_mismatch());
        }
        Ok(())
    }

    /// Fails if a newer run has changed files. Called under the lock, so that no other run on this
    /// machine starts in between.
    fn refuse_superseded(
        &self,
        connection: &Connection,
        ledger: &LedgerFile,
        meta: &RunMeta,
    ) -> Result<(), CliError> {
        // A saved plan that has sent nothing yet checks each file for conflicts.
        let checks_conflicts = meta.checks_conflicts && ledger.has_no_steps()?;
        let Some(LocalState { db, account, .. }) =
            connection.local.as_ref().filter(|_| !self.over_later_runs && !checks_conflicts)
        else {
            return Ok(());
        };
        let newer = self.run.newer_run(&db.run_paths(*account)?)?;
        newer.map_or(Ok(()), |newer| {
            Err(CliError::new(format!(
                "a later run ({}) has changed files or is about to; continuing this run would \
                 overwrite newer values with older ones; nothing was sent.\n\
                 Apply the sheet again to send what is left, or pass --over-later-runs",
                newer.path().display()
            )))
        })
    }

    /// Marks the files on which requests of earlier sessions or other runs may still take effect.
    /// They are read back at the end.
    fn mark_unsettled(
        &self,
        connection: &Connection,
        ledger: &LedgerFile,
        meta: &RunMeta,
    ) -> Result<(), CliError> {
        if self.part == RunPart::Plan {
            return connection.mark_unsettled(ledger, meta);
        }
        let pending =
            in_flight::pending(&self.run).map_err(|error| CliError::not_written(&error))?;
        let ours = pending.into_iter().map(|pending| (pending.file, pending.row));
        let others = connection.unsettled_files(meta)?.into_iter();
        let others = others.map(|file| (file, EARLIER_RUN));
        let lost_rows: Vec<_> = ours.chain(others).collect();
        Ok(ledger.mark_lost(&lost_rows)?)
    }

    /// Shows the rest of the run, asks for confirmation, and returns its number of writes.
    async fn confirm(
        &self,
        connection: &Connection,
        ledger: &LedgerFile,
        meta: &RunMeta,
        execution: &Execution,
    ) -> Result<u64, CliError> {
        let context = ledger.context(meta)?;
        let mut planner =
            Planner::of(meta.planning, ledger, already_ran(connection, meta.has_extensions)?)?;
        let recorded = Recorded::of(&planner, ledger)?;
        let input = self.run.input(meta.input_format);
        planner.preview(EXAMPLES_MAX);
        let limit = self.limits.limit;
        let scan = scan_rest(&input, &context, &mut planner, &recorded, limit, |_| {})
            .map_err(|error| CliError::from_error(&error))?;
        self.show(connection, meta, execution, &scan, ledger.file_count()? > 0);
        if !meta.sandbox && self.part == RunPart::Rest {
            self.warn_if_sheet_changed(meta);
        }
        let max_bad = self.settings.max_bad();
        if self.yes
            && self.part == RunPart::Plan
            && !meta.sandbox
            && let Some(why) = too_many_invalid(&scan.summary, max_bad)
        {
            return Err(CliError::new(why));
        }
        if !self.yes && !meta.sandbox {
            let is_interactive = self.screen.is_interactive();
            ask(is_interactive, &scan.summary, max_bad, self.screen).await?;
        }
        Ok(scan.summary.writes)
    }

    fn show(
        &self,
        connection: &Connection,
        meta: &RunMeta,
        execution: &Execution,
        scan: &InputSummary,
        can_undo: bool,
    ) {
        let screen = self.screen;
        screen.print(&render_plan(&PlanView {
            input: &meta.input_name,
            rows_of_run: (self.part == RunPart::Rest).then_some(meta.rows),
            summary: &scan.summary,
            ignored_columns: &scan.ignored_columns,
            empty_cells: scan.empty_cells,
            looked_up: None,
            reading: None,
            target: Some(Target {
                endpoint: &meta.endpoint,
                account: &connection.client.identity,
                is_first_run: connection.is_first_run(meta),
                sandbox: meta.sandbox,
                execution,
                pilot_of: self
                    .limits
                    .limit
                    .filter(|_| self.part == RunPart::Plan)
                    .map(|_| WholeSheet { rows: meta.rows, invalid: scan.summary.rejected }),
                can_undo: Some(can_undo),
                now: jiff::ZonedDateTime::now(),
            }),
            is_refused: false,
            verbose: screen.is_verbose(),
            width: screen.width(),
        }));
        let checks = scan.summary.writes;
        if meta.checks_conflicts && checks > 0 {
            let reads = plural(checks, "read", "reads");
            screen.print(&format!(
                "checks     every file for conflicts before it is changed, in about {reads}\n"
            ));
        }
    }

    /// Prints a notice if the sheet has changed since the run copied it.
    fn warn_if_sheet_changed(&self, meta: &RunMeta) {
        let Some(path) = meta.input_path.as_ref().map(Path::new) else {
            return;
        };
        // A missing sheet is no error: the run has its copy.
        let Ok(now) = Fingerprint::of_file(path) else {
            return;
        };
        if now.0 != meta.input_fingerprint {
            let sheet = path.display();
            self.screen.error(&format!(
                "{sheet} has changed since this run copied it; resuming sends the rest of the copy.\n\
                 To apply the changed sheet instead: ikbulk apply {sheet}"
            ));
        }
    }
}

/// The error for a key that differs from the one the run started with.
pub(super) fn key_mismatch() -> CliError {
    CliError::new(
        "the API key differs from the one that this run started with; nothing was sent.\n\
         If the key was rotated, pass --key-changed",
    )
}

/// Fails if the copy of the sheet in the run directory was edited: the ledger refers to its
/// original rows.
pub(super) fn refuse_edited_copy(run: &RunDir, meta: &RunMeta) -> Result<(), CliError> {
    let copy = run.input(meta.input_format);
    let path = copy.path.display().to_string();
    let now = staged_in(copy).map_err(|error| CliError::from_error(&error))?;
    if now.fingerprint.0 == meta.input_fingerprint {
        return Ok(());
    }
    Err(CliError::new(format!(
        "{path} was edited since the run copied it; nothing was sent.\n\
         The ledger of the run refers to the original rows. Apply the edited file as a new sheet: \
         copy it elsewhere, then `ikbulk apply` the copy"
    )))
}
