//! Retries a finished run: sends its failed rows, and runs its failed extensions, again.

use std::any::Any;
use std::future::Future;
use std::path::{Path, PathBuf};

use super::Engine;
use super::access::Client;
use super::connection::{Connection, LocalState};
use super::discard::DiscardUnlessStarted;
use super::error::{Error, Refusal, StageProblem};
use super::extensions::refuse_changed;
use super::limits::Limits;
use super::load::load_sent;
use super::locks::{lock_run, new_run};
use super::prepared_run::{Executed, PreparedRun, StartedRun};
use super::reading::Differences;
use super::recorded_charges::open_charges;
use super::settings::{Consent, Settings, prompt, require_person};
use super::sheet::Sheet;
use super::sheet_plan::{Origin, Planned, ScannedSheet, SheetPlan, UseOfPlan};
use super::ui::{Event, Notice, Ui};
use crate::execute::Stop;
use crate::findings::Finding;
use crate::input::{Format, Input, ReadOptions, StagedInput, stage_input, staged_in};
use crate::ledger::RunMeta;
use crate::report::{RetryRows, write_retry_sheet};
use crate::row::{NullMeans, Rules};
use crate::run::{LoadedRun, RunDir};
use crate::settings::{DiffOptions, Planning};

/// Options of a retry.
#[derive(Debug, Clone)]
pub struct RetryOptions {
    /// The run directory to create for the retry; `None` for one beside the run.
    pub run_dir: Option<PathBuf>,
    /// Whether the rows may be sent without asking.
    pub consent: Consent,
    /// Whether another key than the run started with is accepted, after a key rotation.
    pub key_changed: bool,
    /// Whether to retry although a later run has changed files. Older values then overwrite newer
    /// ones.
    pub over_later_runs: bool,
    /// Limits of the session.
    pub limits: Limits,
}

impl RetryOptions {
    /// A retry in a run directory beside the run, without limits.
    #[must_use]
    pub fn new(consent: Consent) -> Self {
        let (run_dir, key_changed, over_later_runs) = (None, false, false);
        Self { run_dir, consent, key_changed, over_later_runs, limits: Limits::default() }
    }
}

impl Engine {
    /// Sends the failed rows of a finished run again, in a run of their own. Of a row with a failed
    /// extension, only this extension is left to do. Rows of unknown outcome, and rejected ones, are
    /// not retried. A run is retried once: what fails again is retried from the retry's own run.
    ///
    /// `signal` stops the session gracefully. Until it is polled nothing has been sent, and the
    /// future may be dropped.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn retry(
        &self,
        run: &Path,
        options: RetryOptions,
        ui: &impl Ui,
        signal: impl Future<Output = Stop>,
    ) -> Result<Executed, Error> {
        let old = RunDir::open(run)?;
        let limits = options.limits;
        let _old_lock = limits.within(lock_run(&old, limits.wait_lock)).await?;
        let old = RunToRetry::load(old)?;
        let (run, _run_lock) = new_run(match &options.run_dir {
            Some(path) => RunDir::create_at(path),
            None => RunDir::create_beside(&old.run.directory, jiff::Timestamp::now()),
        })?;
        let discard_guard = DiscardUnlessStarted::new(&run);
        let (staged, rows) = old.write_sheet(&run)?;
        let Some(staged) = staged else {
            return Ok(Executed::NothingToRetry {
                run: old.run.directory,
                rows,
                exit_code: old.exit_code,
            });
        };
        if options.consent == Consent::Ask && !old.run.meta.sandbox {
            require_person(ui.can_ask())?;
        }
        // The limits of the run hold until a flag says otherwise, as for the rest of it.
        let spending = self.settings.spending.clone().or(old.run.meta.spending.clone());
        let engine = Self::new(Settings { spending, ..self.settings.clone() });
        let retry = Retry { engine: &engine, old: &old, run: &run, options: &options, ui };
        let prepared = limits.within(Box::pin(retry.prepare(staged))).await?;
        discard_guard.keep();
        let report = prepared.finish(limits, ui, signal).await?;
        if rows.unknown > 0 {
            ui.event(Event::Notice(Notice::UnknownNotRetried(&old.run.directory, rows.unknown)));
        }
        Ok(Executed::Ran(report))
    }
}

/// The retry of a run, with the options of the command.
struct Retry<'r, U> {
    engine: &'r Engine,
    old: &'r RunToRetry,
    run: &'r RunDir,
    options: &'r RetryOptions,
    ui: &'r U,
}

impl<U: Ui> Retry<'_, U> {
    /// Prepares the retry up to its first write.
    async fn prepare(&self, mut staged: StagedInput) -> Result<Box<StartedRun>, Error> {
        let Self { engine, old, run, options, ui } = self;
        let settings = engine.settings();
        let (client, sandbox) = self.client(&staged).await?;
        let rules = retry_rules(&old.run.meta);
        let sheet = Sheet {
            sandbox: old.run.meta.sandbox,
            ..Sheet::at(old.run.directory.path().to_owned())
        };
        let can_confirm = options.consent == Consent::Ask && ui.can_ask();
        let plan = SheetPlan {
            sheet: &sheet,
            origin: Origin::Retry { of: &old.run.meta, run: &old.run.directory },
            settings,
            rules: &rules,
            run,
            ui: *ui,
            planning: retry_planning(old.run.meta.planning),
            keeps_snapshots: true,
            use_of_plan: UseOfPlan::Send,
            can_confirm,
            limit: options.limits.rows,
            differences: Differences::Examples,
        };
        let connection = plan.connect(client, options.limits.wait_lock).await?;
        let wait = options.limits.wait_lock;
        let check_key =
            || if options.key_changed { Ok(()) } else { Err(Refusal::KeyDiffers.into()) };
        let locks = connection.lock_account_of_run(run, &old.run.meta, wait, check_key).await?;
        self.refuse_superseded(&connection)?;
        if let Some(charges) = open_charges(&connection, old.run.meta.has_extensions)? {
            // Which extensions failed may have become known since they were recorded.
            charges.record(&old.run.directory, &old.run.ledger)?;
        }
        let scanned = ScannedSheet::of_run(&staged.input, &rules, &old.run.meta, &old.run.ledger)?;
        let planned = plan.plan(&mut staged, Some(scanned), &connection).await?;
        plan.show(&planned, &connection);
        let listener = settings.callbacks.start(&planned.ledger)?;
        let Planned { scan, context, mut meta, ledger, charges, .. } = planned;
        let account = (&connection.client, &connection.reads);
        refuse_changed(&scan.summary.references, &rules.extensions, account).await?;
        if !old.run.meta.sandbox {
            engine.confirm_plan(&scan.summary, options.consent, can_confirm, *ui).await?;
        }
        meta.writes = scan.summary.writes;
        let (run, input) = ((*run).clone(), staged.input);
        let prepared = PreparedRun {
            run,
            meta,
            ledger,
            input,
            context,
            charges,
            connection,
            listener,
            locks,
            sandbox,
        };
        prepared.started(settings, options.limits.rows)
    }

    /// A client for the account of the run, or of a new sandbox.
    async fn client(&self, staged: &StagedInput) -> Result<(Client, Option<Box<dyn Any>>), Error> {
        let Self { engine, old, options, ui, .. } = self;
        if old.run.meta.sandbox {
            ui.event(Event::Notice(Notice::NewSandbox));
            let (sandbox, client) = engine.settings().start_sandbox(&staged.input)?;
            return Ok((client, Some(sandbox)));
        }
        let prompt = prompt(*ui, options.consent);
        let client =
            engine.settings().client_of_run(&old.run.directory, &old.run.meta, prompt).await?;
        Ok((client, None))
    }

    /// Fails if the run was retried before, or if a newer run has changed files. Called under the
    /// lock of the account, so that no other run on this machine starts in between.
    fn refuse_superseded(&self, connection: &Connection) -> Result<(), Error> {
        let paths = match &connection.local {
            Some(LocalState { db, account, .. }) => db.run_paths(*account)?,
            None => Vec::new(),
        };
        let run = &self.old.run.directory;
        if let Some(by) = run.retried_by(&paths)? {
            let is_finished = by.has_ended();
            let (run, by) = (run.path().to_owned(), by.path().to_owned());
            return Err(Refusal::Retried { run, by, is_finished }.into());
        }
        if self.options.over_later_runs || self.old.run.meta.sandbox {
            return Ok(());
        }
        match run.newer_run(&paths)? {
            Some(newer) => Err(Refusal::LaterRun(newer.path().to_owned()).into()),
            None => Ok(()),
        }
    }
}

/// The run to retry.
struct RunToRetry {
    run: LoadedRun,
    /// The exit code of its last session.
    exit_code: u8,
}

impl RunToRetry {
    /// Fails unless the run has finished.
    fn load(run: RunDir) -> Result<Self, Error> {
        let run = load_sent(run)?;
        let Some(exit_code) = run.ledger.final_exit_code()? else {
            let (run, problem) = (run.directory.path().to_owned(), StageProblem::NotFinished);
            return Err(Refusal::Stage { run, problem }.into());
        };
        Ok(Self { run, exit_code })
    }

    /// Writes the rows to retry as the input of `run`; none if there are none.
    fn write_sheet(&self, run: &RunDir) -> Result<(Option<StagedInput>, RetryRows), Error> {
        let meta = &self.run.meta;
        let is_workbook = meta.input_format.is_workbook();
        let input = run.own_input(meta.input_format);
        let path = if is_workbook { run.path().join("input.retry") } else { input.path.clone() };
        let rows = write_retry_sheet(self.run.record(), &path)?;
        let staged = match rows.to_retry {
            0 => None,
            _ if is_workbook => Some(self.stage_workbook(&path, run)?),
            _ => Some(self.stage_text(input)?),
        };
        Ok((staged, rows))
    }

    /// Reads the workbook of the rows to retry as the input of `run`.
    fn stage_workbook(&self, path: &Path, run: &RunDir) -> Result<StagedInput, Error> {
        let failed = |error| Error::file("read the rows to retry", error);
        let file = std::fs::File::open(path).map_err(failed)?;
        let options = self.run.meta.read_options.clone();
        let options = ReadOptions { worksheet: None, copy_fingerprint: None, ..options };
        let staged = stage_input(file, path, Some(Format::Xlsx), options, run.path())?;
        std::fs::remove_file(path).map_err(failed)?;
        Ok(staged)
    }

    /// Reads the text of the rows to retry.
    fn stage_text(&self, mut input: Input) -> Result<StagedInput, Error> {
        let staged = staged_in(input.clone())?;
        let copy_fingerprint = Some(staged.fingerprint.0.clone());
        input.options = ReadOptions { copy_fingerprint, ..self.run.meta.read_options.clone() };
        Ok(StagedInput::new(input, staged.fingerprint))
    }
}

/// The rules for the cells of a retry: those of the run, in which every row was accepted. Findings in
/// a few of its rows hold nothing back, and a null means what it meant.
fn retry_rules(meta: &RunMeta) -> Rules {
    let mut rules = meta.rules.clone();
    rules.null_means.get_or_insert(NullMeans::Clear);
    rules.accepted = Finding::ALL.into();
    rules.holds.clear();
    rules
}

/// A retry compares its rows with the library, whatever the run did: what took effect anyway is not
/// sent again. Extensions that ran since the run began are not run again.
fn retry_planning(planning: Planning) -> Planning {
    Planning::Diff(match planning {
        Planning::Direct => DiffOptions::default(),
        Planning::Diff(options) => DiffOptions { rerun_extensions: false, ..options },
    })
}
