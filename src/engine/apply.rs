//! Applies a sheet: previews it, asks for confirmation, and sends it.

use std::future::Future;

use super::Engine;
use super::connection::{Connection, LocalState};
use super::discard::DiscardUnlessStarted;
use super::error::{Error, Refusal};
use super::existing_run::{ResumeOptions, RunPart};
use super::limits::Limits;
use super::prepared_run::{Executed, PreparedRun, StartedRun};
use super::reading::Differences;
use super::settings::{Consent, require_person};
use super::settle::has_unsettled;
use super::sheet::Sheet;
use super::sheet_plan::{Origin, Planned, SheetPlan, StagedSheet, UseOfPlan};
use super::ui::{Event, Notice, Ui};
use crate::execute::Stop;
use crate::exit_codes;
use crate::input::StagedInput;
use crate::plan::PlanSummary;
use crate::run::{RunDir, RunState, RunsOfSheet};
use crate::settings::{DiffOptions, Planning};

/// Options of applying a sheet.
#[derive(Debug, Clone, Copy)]
pub struct ApplyOptions {
    /// How the sheet becomes requests.
    pub planning: Planning,
    /// Whether to keep the values from before for an undo even if the planner does not read them.
    pub keeps_snapshots: bool,
    /// Whether the plan may be sent without asking. A run on a sandbox of its own never asks.
    pub consent: Consent,
    /// Whether the unfinished run of the same sheet, if any, is resumed instead.
    pub resumes_unfinished: bool,
    /// Limits of the session.
    pub limits: Limits,
}

impl ApplyOptions {
    /// Sends only what differs from the library, and can be undone.
    #[must_use]
    pub fn new(consent: Consent) -> Self {
        Self {
            planning: Planning::Diff(DiffOptions::default()),
            keeps_snapshots: true,
            consent,
            resumes_unfinished: false,
            limits: Limits::default(),
        }
    }
}

/// The result of [`Engine::prepare_apply`].
enum Prepared {
    Run(Box<StartedRun>),
    /// Resume this unfinished run instead.
    Resume(RunDir),
    /// This earlier run has finished, with this exit code; send nothing.
    Finished(RunDir, u8),
}

impl Engine {
    /// Plans a sheet, shows the preview, asks for confirmation, and sends it.
    ///
    /// `signal` stops the session gracefully. Until it is polled nothing has been sent, and the
    /// future may be dropped.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn apply(
        &self,
        sheet: &Sheet,
        options: ApplyOptions,
        ui: &impl Ui,
        signal: impl Future<Output = Stop>,
    ) -> Result<Executed, Error> {
        sheet.source.require_file()?;
        if options.consent == Consent::Ask && !sheet.sandbox {
            require_person(can_confirm(sheet, options, ui))?;
        }
        let limits = options.limits;
        let (run, run_lock) = self.run_dir(sheet, options.resumes_unfinished)?;
        let discard_guard = DiscardUnlessStarted::new(&run);
        let prepare = Box::pin(self.prepare_apply(sheet, options, &run, ui));
        match limits.within(prepare).await? {
            Prepared::Run(started) => {
                discard_guard.keep();
                Ok(Executed::Ran(started.finish(limits, ui, signal).await?))
            }
            Prepared::Resume(other) => {
                drop((discard_guard, run_lock));
                ui.event(Event::Resuming(&other));
                let ApplyOptions { consent, limits, .. } = options;
                let (key_changed, over_later_runs) = (false, false);
                let options = ResumeOptions { consent, key_changed, over_later_runs, limits };
                self.execute_existing(other, RunPart::Rest, options, ui, signal).await
            }
            Prepared::Finished(run, exit_code) => {
                let to_settle = has_unsettled(&run)?;
                Ok(Executed::AlreadyFinished { run, exit_code, to_settle })
            }
        }
    }

    /// Asks for confirmation of a preview; if consent is given, refuses spending without a limit.
    pub(super) async fn confirm_plan(
        &self,
        summary: &PlanSummary,
        consent: Consent,
        can_confirm: bool,
        ui: &impl Ui,
    ) -> Result<(), Error> {
        let spending = &self.settings.spending;
        match consent {
            Consent::Ask => self.settings.confirm(summary, &spending.prices, can_confirm, ui).await,
            Consent::Given => Ok(self.settings.refuse_unlimited_spending(summary, spending)?),
        }
    }

    /// Prepares the run up to its first write.
    async fn prepare_apply(
        &self,
        sheet: &Sheet,
        options: ApplyOptions,
        run: &RunDir,
        ui: &impl Ui,
    ) -> Result<Prepared, Error> {
        let can_confirm = can_confirm(sheet, options, ui);
        let plan = SheetPlan {
            sheet,
            origin: Origin::Sheet,
            settings: &self.settings,
            rules: &self.settings.rules,
            run,
            ui,
            planning: options.planning,
            keeps_snapshots: options.keeps_snapshots,
            use_of_plan: UseOfPlan::Send,
            can_confirm,
            limit: options.limits.rows,
            differences: Differences::Examples,
        };
        let mut staged_sheet = plan.stage(options.consent).await?;
        let read_offline = plan.read_offline(&mut staged_sheet).await?;
        let StagedSheet { mut staged, client, sandbox } = staged_sheet;
        let wait_lock = options.limits.wait_lock;
        let connection = plan.connect(client, wait_lock).await?;
        // Lock first: a run in execution would otherwise look unfinished.
        let lock = connection.lock(run, wait_lock).await?;
        if let Some(other) = replacing_run(sheet, options, run, &staged, &connection, ui)? {
            return Ok(other);
        }
        let planned = plan.plan(&mut staged, read_offline, &connection).await?;
        plan.show(&planned, &connection);
        let listener = self.settings.callbacks.start(&planned.ledger)?;
        if !sheet.sandbox {
            let summary = &planned.scan.summary;
            self.confirm_plan(summary, options.consent, can_confirm, ui).await?;
        }
        let Planned { scan, context, mut meta, ledger, charges, .. } = planned;
        meta.writes = scan.summary.writes;
        let prepared = PreparedRun {
            run: run.clone(),
            meta,
            ledger,
            input: staged.input,
            context,
            charges,
            connection,
            listener,
            locks: lock.into_iter().collect(),
            sandbox,
        };
        Ok(Prepared::Run(prepared.started(&self.settings, options.limits.rows)?))
    }
}

/// Whether a person can confirm the preview. Standard input is not free for that if it is the
/// sheet.
fn can_confirm(sheet: &Sheet, options: ApplyOptions, ui: &impl Ui) -> bool {
    options.consent == Consent::Ask && ui.can_ask() && sheet.source.path().is_some()
}

/// Decides whether an earlier run of the sheet replaces this one; `None` starts a new run.
fn replacing_run(
    sheet: &Sheet,
    options: ApplyOptions,
    run: &RunDir,
    staged: &StagedInput,
    connection: &Connection,
    ui: &impl Ui,
) -> Result<Option<Prepared>, Error> {
    let Some(LocalState { db, account, .. }) = &connection.local else {
        return Ok(None);
    };
    let runs = RunsOfSheet {
        run,
        sheet: sheet.source.file(),
        account: &connection.client.identity,
        fingerprint: &staged.fingerprint.0,
    };
    let resumes = options.resumes_unfinished;
    match runs.newest(&db.run_paths(*account)?)? {
        Some((other, RunState::Unfinished { same_input: true })) if resumes => {
            Ok(Some(Prepared::Resume(other)))
        }
        Some((other, RunState::Unfinished { same_input: true })) => {
            Err(Refusal::Unfinished(other.path().to_owned()).into())
        }
        Some((other, RunState::Unfinished { same_input: false })) => {
            if sheet.source.file().is_some() {
                ui.event(Event::Notice(Notice::EarlierVersionUnfinished(&other)));
            }
            Ok(None)
        }
        // The planner skips rows that are up to date, and extensions that already ran. Rows of
        // unknown outcome need a decision by a person, so an unattended run does not re-send them.
        Some((other, RunState::Finished { exit_code }))
            if resumes && (charges_again(options.planning) || exit_code == exit_codes::UNKNOWN) =>
        {
            Ok(Some(Prepared::Finished(other, exit_code)))
        }
        Some((_, RunState::Finished { .. })) | None => Ok(None),
    }
}

/// Whether applying the same input again charges for its extensions again.
fn charges_again(planning: Planning) -> bool {
    match planning {
        Planning::Direct => true,
        Planning::Diff(diff) => diff.rerun_extensions,
    }
}
