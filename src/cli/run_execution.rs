//! Executes a run that exists already: a saved plan, or what an interrupted run left to do.

use std::future::Future;
use std::path::Path;

use super::connect::{Connection, LocalState};
use super::finish::PreparedRun;
use super::limit_args::{Deadline, LimitArgs};
use super::locks::{lock, lock_account};
use super::prepare::{already_ran, ask, charges, refuse_unattended, start_sandbox};
use super::settings_args::SettingsArgs;
use super::{CliError, Screen};
use crate::account::AccountLock;
use crate::execute::Stop;
use crate::input::{Fingerprint, staged_in};
use crate::ledger::{EARLIER_RUN, LedgerFile, RunMeta, Stage};
use crate::outcome::Status;
use crate::plan::{InputSummary, Planner, Recorded, scan_rest};
use crate::plural::plural;
use crate::report::{PlanView, Target, render_plan};
use crate::run::{RunDir, RunLock, Session, in_flight};
use crate::sandbox;
use crate::settings::Execution;

/// What is executed of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunPart {
    /// All of a saved plan.
    Plan,
    /// What an interrupted run left to do.
    Rest,
}

/// A run to be executed, and how.
pub(super) struct RunExecution<'e> {
    pub(super) run: RunDir,
    pub(super) part: RunPart,
    pub(super) yes: bool,
    pub(super) key_changed: bool,
    pub(super) over_later_runs: bool,
    pub(super) limits: &'e LimitArgs,
    /// With the profile.
    pub(super) settings: &'e SettingsArgs,
    pub(super) screen: &'e Screen,
}

/// What a run that exists comes to before its next request.
enum Prepared {
    PreparedRun(Box<PreparedRun>),
    /// Nothing is left to do; the exit code is that of its last session.
    Done(u8),
}

impl RunExecution<'_> {
    /// Shows what is to be sent, asks, and sends it.
    pub(super) async fn execute(
        self,
        _lock: RunLock,
        deadline: Deadline,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, CliError> {
        match deadline.within(self.prepare()).await? {
            Prepared::PreparedRun(ready) => ready.finish(self.screen, signal, deadline).await,
            Prepared::Done(exit_code) => Ok(exit_code),
        }
    }

    /// Everything up to the next request that changes anything.
    async fn prepare(&self) -> Result<Prepared, CliError> {
        let ledger = self.run.ledger()?;
        let mut meta = ledger.meta()?;
        self.refuse_stage(&ledger, &meta)?;
        refuse_edited_copy(&self.run, &meta)?;
        if let Some(exit_code) = ledger.is_done()? {
            let path = self.run.path().display();
            self.screen.say(&format!(
                "nothing is left to do\nnext       `ikbulk report {path}` writes its reports again\n"
            ));
            return Ok(Prepared::Done(exit_code));
        }
        if !self.yes && !meta.sandbox {
            refuse_unattended(self.screen.is_attended())?;
        }
        let execution = self.settings.execution()?;
        let (connection, sandbox) = self.connect(&meta, &execution).await?;
        let locks = self.lock(&connection, &mut meta, &ledger).await?;
        self.refuse_superseded(&connection, &ledger, &meta)?;
        let charges = charges(&connection, meta.pays, self.screen)?;
        self.note_unsettled(&connection, &ledger, &meta)?;
        self.confirm(&connection, &ledger, &meta, &execution).await?;
        if self.part == RunPart::Plan {
            meta.stage = Stage::Running;
            meta.position = connection.next_position(&self.run)?;
            ledger.set_meta(&meta)?;
        }
        let planner = Planner::of(meta.planning, &ledger, already_ran(&connection, meta.pays)?)?;
        let session = Session {
            input: self.run.input(meta.input_format),
            context: ledger.context(&meta)?,
            execution,
            rates: Some(connection.rates.clone()),
            rows_max: self.limits.limit,
        };
        let run = self.run.clone();
        Ok(Prepared::PreparedRun(Box::new(PreparedRun {
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

    /// Only a saved plan is applied, and only what began to send is resumed.
    fn refuse_stage(&self, ledger: &LedgerFile, meta: &RunMeta) -> Result<(), CliError> {
        let path = self.run.path().display();
        let is_done = ledger.is_done()?.is_some();
        let what = if meta.guarded { "a plan that" } else { "no saved plan, but a run that" };
        Err(CliError::new(match (self.part, meta.stage) {
            (RunPart::Plan, Stage::Planned) | (RunPart::Rest, Stage::Running) => return Ok(()),
            (RunPart::Rest, Stage::Planned) => {
                format!("this is a saved plan; carry it out with: ikbulk apply --plan {path}")
            }
            (RunPart::Rest, Stage::Planning) => format!(
                "{path} was left while it was being planned; nothing was sent. Apply the sheet again"
            ),
            (RunPart::Plan, Stage::Planning) => format!(
                "{path} was left while it was being planned; nothing was sent. Plan it again"
            ),
            (RunPart::Plan, Stage::Running) if is_done => {
                format!("{path} is {what} is finished; `ikbulk report {path}` says how it ended")
            }
            (RunPart::Plan, Stage::Running) => {
                format!("{path} is {what} was begun and is unfinished; go on: ikbulk resume {path}")
            }
        }))
    }

    async fn connect(
        &self,
        meta: &RunMeta,
        execution: &Execution,
    ) -> Result<(Connection, Option<sandbox::Running>), CliError> {
        if meta.sandbox {
            self.screen.error("the sandbox of this run is gone; a new one takes its place");
            let input = self.run.input(meta.input_format);
            let (sandbox, client) = start_sandbox(&input, self.settings)?;
            let connection = Connection::to_sandbox(client, &self.run, execution)?;
            return Ok((connection, Some(sandbox)));
        }
        let busy = Some(&self.run).filter(|_| !self.limits.wait_lock);
        let connection = Connection::to_run(
            self.settings,
            &self.run,
            meta,
            execution,
            busy,
            self.screen.person(self.yes),
        )
        .await?;
        Ok((connection, None))
    }

    /// Locks the account, and the one that the run began on where that is known by another key.
    async fn lock(
        &self,
        connection: &Connection,
        meta: &mut RunMeta,
        ledger: &LedgerFile,
    ) -> Result<Vec<AccountLock>, CliError> {
        let wait = self.limits.wait_lock;
        let mut locks: Vec<_> = lock(connection, &self.run, wait).await?.into_iter().collect();
        let Some(LocalState { state, db, account }) = &connection.kept else {
            return Ok(locks);
        };
        let ours = &connection.client.identity;
        let began_on = db.account_of(&meta.account)?;
        if began_on != *account {
            locks.push(lock_account(state, began_on, &self.run, wait).await?);
            self.accept_key(meta, ledger)?;
            db.join(*account, began_on)?;
        }
        if meta.account != *ours {
            meta.account.clone_from(ours);
            ledger.set_meta(meta)?;
        }
        connection.register(&self.run, meta)?;
        Ok(locks)
    }

    /// A key that nothing shows to be of the run's account may be another account's.
    fn accept_key(&self, meta: &RunMeta, ledger: &LedgerFile) -> Result<(), CliError> {
        if meta.stage == Stage::Planned && !self.key_changed {
            return Err(CliError::new(
                "this is not the key that the sheet was planned with; nothing was sent.\n\
                 Plan the sheet again with this one",
            ));
        }
        let touched = [Status::Updated, Status::Failed, Status::Unknown];
        if ledger.has_status(&touched)? && !self.key_changed {
            return Err(not_the_key());
        }
        Ok(())
    }

    /// What a newer run has overwritten or undone is not written again. Asked under the lock, so
    /// that no run of this machine begins in between.
    fn refuse_superseded(
        &self,
        connection: &Connection,
        ledger: &LedgerFile,
        meta: &RunMeta,
    ) -> Result<(), CliError> {
        // A saved plan of which nothing was sent checks each file by itself.
        let checks_conflicts = meta.guarded && ledger.has_no_steps()?;
        let Some(LocalState { db, account, .. }) =
            connection.kept.as_ref().filter(|_| !self.over_later_runs && !checks_conflicts)
        else {
            return Ok(());
        };
        let newer = self.run.newer_run(&db.run_paths(*account)?)?;
        newer.map_or(Ok(()), |newer| {
            Err(CliError::new(format!(
                "{} began later and has changed files since, or is about to, so that older values \
                 would overwrite newer ones; nothing was sent.\n\
                 Apply the sheet again for what is left, or say --over-later-runs",
                newer.path().display()
            )))
        })
    }

    /// Files on which requests of earlier sessions or of other runs may still take effect are read
    /// back at the end.
    fn note_unsettled(
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

    /// Shows what is left to send and asks whether to send it.
    async fn confirm(
        &self,
        connection: &Connection,
        ledger: &LedgerFile,
        meta: &RunMeta,
        execution: &Execution,
    ) -> Result<(), CliError> {
        let context = ledger.context(meta)?;
        let mut planner = Planner::of(meta.planning, ledger, already_ran(connection, meta.pays)?)?;
        let recorded = Recorded::of(&planner, ledger)?;
        let input = self.run.input(meta.input_format);
        let scan = scan_rest(&input, &context, &mut planner, &recorded, |_| {})
            .map_err(|error| CliError::of(&error))?;
        self.show(connection, meta, execution, &scan);
        if !meta.sandbox && self.part == RunPart::Rest {
            self.show_changed_sheet(meta);
        }
        if self.yes || meta.sandbox {
            return Ok(());
        }
        ask(self.screen.is_attended(), &scan.summary, self.settings.max_bad(), self.screen).await
    }

    fn show(
        &self,
        connection: &Connection,
        meta: &RunMeta,
        execution: &Execution,
        scan: &InputSummary,
    ) {
        let screen = self.screen;
        screen.say(&render_plan(&PlanView {
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
                limit: self.limits.limit,
                now: jiff::ZonedDateTime::now(),
            }),
            width: screen.width(),
        }));
        let checks = scan.summary.writes.min(self.limits.limit.unwrap_or(u64::MAX));
        if meta.guarded && checks > 0 {
            let reads = plural(checks, "read", "reads");
            screen.say(&format!(
                "looks      at each file again before it is changed, in at most about {reads}\n"
            ));
        }
    }

    /// Says where the sheet is no longer what the run copied, and both ways on.
    fn show_changed_sheet(&self, meta: &RunMeta) {
        let Some(path) = meta.input_path.as_ref().map(Path::new) else {
            return;
        };
        // A sheet that is gone, or another kind of file now, is no error: the run has its copy.
        let Ok(now) = Fingerprint::of_file(path) else {
            return;
        };
        if now.0 != meta.input_fingerprint {
            let sheet = path.display();
            self.screen.error(&format!(
                "{sheet} has changed since this run copied it; this sends what is left of the copy.\n\
                 To apply the changed sheet instead: ikbulk apply {sheet}"
            ));
        }
    }
}

/// Refuses a key that is not the one that a run began with.
pub(super) fn not_the_key() -> CliError {
    CliError::new(
        "this is not the key that the run was begun with; nothing was sent.\n\
         If it is the same account's, say --key-changed",
    )
}

/// A run executes what it copied, and says of it what it copied: a copy that was edited since is
/// another sheet.
pub(super) fn refuse_edited_copy(run: &RunDir, meta: &RunMeta) -> Result<(), CliError> {
    let copy = run.input(meta.input_format);
    let path = copy.path.display().to_string();
    let now = staged_in(copy).map_err(|error| CliError::of(&error))?;
    if now.fingerprint.0 == meta.input_fingerprint {
        return Ok(());
    }
    Err(CliError::new(format!(
        "{path} is not what the run copied: it was edited since; nothing was sent.\n\
         Its ledger speaks of the rows as they were. Apply the edited file as a sheet of its own: \
         copy it elsewhere, then `ikbulk apply` the copy"
    )))
}
