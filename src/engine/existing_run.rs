//! Executes an existing run: a saved plan, or the rest of an interrupted run.

use std::any::Any;
use std::future::Future;
use std::path::Path;

use super::Engine;
use super::connection::{Connection, LocalState};
use super::error::{Error, Refusal, StageProblem};
use super::extensions::refuse_changed;
use super::limits::Limits;
use super::load::{refuse_edited_copy, why_unsent};
use super::locks::lock_run;
use super::prepared_run::{Executed, PreparedRun, StartedRun, first_signal};
use super::prior_runs::{prior_runs, refuse_undone};
use super::recorded_charges::charges;
use super::settings::{Consent, Settings, prompt, refuse_unknown_prices, require_person};
use super::settle::{SettleOptions, has_unsettled};
use super::ui::{Event, Notice, Preview, Target, Ui, WholeSheet};
use crate::account::AccountLock;
use crate::execute::Stop;
use crate::history::RunRecord;
use crate::input::Fingerprint;
use crate::ledger::{EARLIER_RUN, LedgerFile, RunMeta, Stage};
use crate::outcome::Status;
use crate::plan::{EXAMPLES_MAX, InputSummary, Planner, Recorded, scan_rest};
use crate::report::rewrite;
use crate::run::{LoadedRun, RunDir, RunLock, in_flight};
use crate::spending::SpendingLimits;

/// Options of resuming a run.
#[derive(Debug, Clone, Copy)]
pub struct ResumeOptions {
    /// Whether the rest may be sent without asking.
    pub consent: Consent,
    /// Whether another key than the run started with is accepted, after a key rotation.
    pub key_changed: bool,
    /// Whether to resume although a later run has changed files. Older values then overwrite newer
    /// ones.
    pub over_later_runs: bool,
    /// Limits of the session.
    pub limits: Limits,
}

/// The part of a run to execute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunPart {
    /// All rows of a saved plan.
    Plan,
    /// The rows that an interrupted run did not complete.
    Rest,
}

impl Engine {
    /// Applies a saved plan. Files that changed since it was made are skipped, with the code
    /// `conflict`.
    ///
    /// `signal` stops the session gracefully. Until it is polled nothing has been sent, and the
    /// future may be dropped.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn apply_plan(
        &self,
        run: &Path,
        consent: Consent,
        limits: Limits,
        ui: &impl Ui,
        signal: impl Future<Output = Stop>,
    ) -> Result<Executed, Error> {
        let run = RunDir::open(run)?;
        let options = ResumeOptions { consent, key_changed: false, over_later_runs: false, limits };
        self.execute_existing(run, RunPart::Plan, options, ui, signal).await
    }

    /// Sends what an interrupted run did not complete. At-most-once requests of unknown outcome are
    /// not sent again.
    ///
    /// `signal` stops the session gracefully. Until it is polled nothing has been sent, and the
    /// future may be dropped.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn resume(
        &self,
        run: &Path,
        options: ResumeOptions,
        ui: &impl Ui,
        signal: impl Future<Output = Stop>,
    ) -> Result<Executed, Error> {
        self.execute_existing(RunDir::open(run)?, RunPart::Rest, options, ui, signal).await
    }

    /// Shows the preview, asks for confirmation, and sends the rest.
    pub(super) async fn execute_existing(
        &self,
        run: RunDir,
        part: RunPart,
        options: ResumeOptions,
        ui: &impl Ui,
        signal: impl Future<Output = Stop>,
    ) -> Result<Executed, Error> {
        let limits = options.limits;
        let lock = limits.within(lock_run(&run, limits.wait_lock)).await?;
        let existing = ExistingRun { run, part, options, settings: &self.settings, ui };
        let exit_code = match limits.within(Box::pin(existing.prepare(lock))).await? {
            Prepared::Run(started, _lock) => {
                return Ok(Executed::Ran(started.finish(limits, ui, signal).await?));
            }
            Prepared::Done(exit_code) => exit_code,
        };
        let to_settle = has_unsettled(&existing.run)?;
        let Some(patience) = limits.settle.filter(|_| to_settle) else {
            return Ok(Executed::NothingLeft { run: existing.run, exit_code, to_settle });
        };
        let options = SettleOptions {
            patience,
            key_changed: options.key_changed,
            wait_lock: limits.wait_lock,
            saved: None,
        };
        let stop = first_signal(signal, limits);
        let settled = self.settle(existing.run.path(), options, ui, stop).await?;
        Ok(Executed::Settled(Box::new(settled)))
    }
}

/// A run to execute, with the options of the command.
struct ExistingRun<'e, U> {
    run: RunDir,
    part: RunPart,
    options: ResumeOptions,
    settings: &'e Settings,
    ui: &'e U,
}

/// The result of [`ExistingRun::prepare`].
enum Prepared {
    Run(Box<StartedRun>, RunLock),
    /// Nothing is left to do; with the exit code of the last session.
    Done(u8),
}

impl<U: Ui> ExistingRun<'_, U> {
    /// Prepares the session up to its first write.
    async fn prepare(&self, lock: RunLock) -> Result<Prepared, Error> {
        let mut run = LoadedRun::load(self.run.clone())?;
        self.refuse_stage(&run.ledger, &run.meta)?;
        refuse_edited_copy(&self.run, &run.meta)?;
        if let Some(exit_code) = run.ledger.final_exit_code()? {
            return self.done(exit_code, run.record()).map(Prepared::Done);
        }
        if !self.is_confirmed(&run.meta) {
            require_person(self.ui.can_ask())?;
        }
        let (connection, sandbox) = self.connect(&run.meta).await?;
        let locks = self.lock(&connection, &mut run.meta, &run.ledger).await?;
        self.refuse_superseded(&connection, &run.ledger, &run.meta)?;
        let charges = charges(&connection, run.meta.has_extensions, self.ui)?;
        self.mark_unsettled(&connection, &run.ledger, &run.meta)?;
        let listener = self.settings.callbacks.start(&run.ledger)?;
        let writes_left = self.confirm(&connection, run.record()).await?;
        let LoadedRun { mut meta, ledger, input, context, .. } = run;
        meta.spending = self.settings.spending.clone().or(meta.spending);
        meta.saves_responses |= self.settings.saves_responses;
        meta.fails_on_pending |= self.settings.fails_on_pending;
        meta.writes = ledger.counters()?.write_progress() + writes_left;
        if self.part == RunPart::Plan {
            meta.position = connection.next_position(&self.run)?;
        }
        let prepared = PreparedRun {
            run: self.run.clone(),
            input,
            context,
            meta,
            ledger,
            charges,
            connection,
            listener,
            locks,
            sandbox,
        };
        Ok(Prepared::Run(prepared.started(self.settings, self.options.limits.rows)?, lock))
    }

    /// The exit code of a run with nothing left to do; from now on pending extensions count, if they are to.
    fn done(&self, exit_code: u8, run: RunRecord<'_>) -> Result<u8, Error> {
        if run.meta.fails_on_pending || !self.settings.fails_on_pending {
            return Ok(exit_code);
        }
        let meta = &RunMeta { fails_on_pending: true, ..run.meta.clone() };
        run.ledger.set_meta(meta)?;
        let reports = rewrite(&self.run, RunRecord { meta, ..run })?;
        Ok(reports.summary.exit_code)
    }

    /// Whether no confirmation is needed: consent is given, or the run uses a sandbox of its own.
    fn is_confirmed(&self, meta: &RunMeta) -> bool {
        self.options.consent == Consent::Given || meta.sandbox
    }

    /// A plan is applied only if it is saved, and a run resumed only if it has started to send.
    fn refuse_stage(&self, ledger: &LedgerFile, meta: &RunMeta) -> Result<(), Error> {
        let is_done = ledger.final_exit_code()?.is_some();
        let is_plan = meta.checks_conflicts();
        let problem = match (self.part, meta.stage) {
            (RunPart::Rest, stage) => why_unsent(stage),
            (RunPart::Plan, Stage::Planned) => None,
            (RunPart::Plan, Stage::Planning) => Some(StageProblem::PlanNotSaved),
            (RunPart::Plan, Stage::Running) if is_done => Some(StageProblem::Finished { is_plan }),
            (RunPart::Plan, Stage::Running) => Some(StageProblem::Unfinished { is_plan }),
        };
        let Some(problem) = problem else { return Ok(()) };
        Err(Refusal::Stage { run: self.run.path().to_owned(), problem }.into())
    }

    async fn connect(&self, meta: &RunMeta) -> Result<(Connection, Option<Box<dyn Any>>), Error> {
        let execution = &self.settings.execution;
        if meta.sandbox {
            self.ui.event(Event::Notice(Notice::NewSandbox));
            let input = self.run.input(meta);
            let (sandbox, client) = self.settings.start_sandbox(&input)?;
            let connection = Connection::to_sandbox(client, &self.run, execution)?;
            return Ok((connection, Some(sandbox)));
        }
        let connection = Connection::to_account_of_run(
            self.settings,
            &self.run,
            meta,
            Some(&self.run).filter(|_| !self.options.limits.wait_lock),
            prompt(self.ui, self.options.consent),
        )
        .await?;
        Ok((connection, None))
    }

    /// Takes the locks of the run's account, and records a new key.
    async fn lock(
        &self,
        connection: &Connection,
        meta: &mut RunMeta,
        ledger: &LedgerFile,
    ) -> Result<Vec<AccountLock>, Error> {
        let wait = self.options.limits.wait_lock;
        let check_key = || self.check_key(meta, ledger);
        let locks = connection.lock_account_of_run(&self.run, meta, wait, check_key).await?;
        let ours = &connection.client.identity;
        if connection.local.is_some() && meta.account != *ours {
            meta.account.clone_from(ours);
            ledger.set_meta(meta)?;
        }
        connection.register(&self.run, meta)?;
        Ok(locks)
    }

    /// Fails unless the new key belongs to the account of the run, or the options confirm that.
    fn check_key(&self, meta: &RunMeta, ledger: &LedgerFile) -> Result<(), Error> {
        if self.options.key_changed {
            return Ok(());
        }
        if meta.stage == Stage::Planned {
            return Err(Refusal::KeyDiffersFromPlan.into());
        }
        let sent_statuses = [Status::Updated, Status::Failed, Status::Unknown];
        if ledger.has_status(&sent_statuses)? {
            return Err(Refusal::KeyDiffers.into());
        }
        Ok(())
    }

    /// Fails if the run was undone, or if a newer run has changed files. Called under the lock, so that no
    /// other run on this machine starts in between.
    fn refuse_superseded(
        &self,
        connection: &Connection,
        ledger: &LedgerFile,
        meta: &RunMeta,
    ) -> Result<(), Error> {
        let Some(LocalState { db, account, .. }) = &connection.local else { return Ok(()) };
        let paths = db.run_paths(*account)?;
        refuse_undone(&self.run, meta, &paths)?;
        // A saved plan that has sent nothing yet checks each file for conflicts.
        let checks_conflicts = meta.checks_conflicts() && ledger.has_no_steps()?;
        if self.options.over_later_runs || checks_conflicts {
            return Ok(());
        }
        match self.run.newer_run(&paths)? {
            Some(newer) => Err(Refusal::LaterRun(newer.path().to_owned()).into()),
            None => Ok(()),
        }
    }

    /// Marks the files on which requests of earlier sessions or other runs may still take effect.
    /// They are read back at the end.
    fn mark_unsettled(
        &self,
        connection: &Connection,
        ledger: &LedgerFile,
        meta: &RunMeta,
    ) -> Result<(), Error> {
        if self.part == RunPart::Plan {
            return connection.mark_unsettled(ledger, meta);
        }
        let failed = |error| Error::file("read the requests in flight of the run", error);
        let pending = in_flight::pending(&self.run).map_err(failed)?;
        let ours = pending.into_iter().map(|pending| (pending.file, pending.row));
        let others = connection.unsettled_files(meta)?.into_iter();
        let others = others.map(|file| (file, EARLIER_RUN));
        let lost_rows: Vec<_> = ours.chain(others).collect();
        Ok(ledger.mark_lost(&lost_rows)?)
    }

    /// Shows the rest of the run, asks for confirmation, and returns its number of writes.
    async fn confirm(&self, connection: &Connection, run: RunRecord<'_>) -> Result<u64, Error> {
        let RunRecord { input, context, meta, ledger } = run;
        let mut planner = Planner::of(meta, ledger, prior_runs(connection, &self.run, meta)?)?;
        let recorded = Recorded::of(&planner, ledger)?;
        planner.preview(EXAMPLES_MAX);
        let rows_max = self.options.limits.rows;
        let scan = scan_rest(input, context, &mut planner, &recorded, rows_max, |_| {})?;
        let spending = self.settings.spending.clone().or(meta.spending.clone());
        let account = (&connection.client, &connection.reads);
        refuse_changed(&scan.summary.references, &context.rules.extensions, account).await?;
        refuse_unknown_prices(&scan.summary, &spending)?;
        self.show(connection, meta, &scan, &spending, ledger.file_count()? > 0);
        if !meta.sandbox && self.part == RunPart::Rest {
            self.tell_if_sheet_changed(meta);
        }
        if !self.is_confirmed(meta) {
            let (prices, can_ask) = (&spending.prices, self.ui.can_ask());
            self.settings.confirm(&scan.summary, prices, can_ask, self.ui).await?;
        } else if !meta.sandbox {
            self.settings.refuse_unlimited_spending(&scan.summary, &spending)?;
            if self.part == RunPart::Plan
                && let Some(refusal) = self.settings.too_many_invalid(&scan.summary)
            {
                return Err(refusal.into());
            }
        }
        Ok(scan.summary.writes)
    }

    fn show(
        &self,
        connection: &Connection,
        meta: &RunMeta,
        scan: &InputSummary,
        spending: &SpendingLimits,
        can_undo: bool,
    ) {
        let is_pilot = self.options.limits.rows.is_some() && self.part == RunPart::Plan;
        let whole = WholeSheet { rows: meta.rows, invalid: scan.summary.rejected };
        self.ui.event(Event::Preview(&Preview {
            rows_of_run: (self.part == RunPart::Rest).then_some(meta.rows),
            target: Some(Target {
                endpoint: &meta.endpoint,
                account: &connection.client.identity,
                is_first_run: connection.is_first_run(meta),
                sandbox: meta.sandbox,
                execution: &self.settings.execution,
                spending,
                pilot_of: is_pilot.then_some(whole),
                can_undo: Some(can_undo),
                now: jiff::ZonedDateTime::now(),
            }),
            conflict_checks: if meta.checks_conflicts_when_resumed() {
                scan.summary.writes
            } else {
                0
            },
            ..Preview::of(&meta.input_name, scan)
        }));
    }

    /// Tells if the sheet has changed since the run copied it.
    fn tell_if_sheet_changed(&self, meta: &RunMeta) {
        // A retry has its own sheet.
        let sheet = meta.input_path.as_ref().filter(|_| meta.kind.is_of_whole_sheet());
        let Some(path) = sheet.map(Path::new) else {
            return;
        };
        // A missing sheet is no error: the run has its copy.
        let Ok(now) = Fingerprint::of_file(path) else {
            return;
        };
        if now.0 != meta.input_fingerprint {
            self.ui.event(Event::Notice(Notice::SheetChanged(path)));
        }
    }
}
