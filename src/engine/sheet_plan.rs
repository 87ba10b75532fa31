//! Prepares a sheet for a run: staging, scanning, reading the state of its files, planning,
//! preview.

use std::any::Any;
use std::fs;
use std::path::PathBuf;

use jiff::{Timestamp, ZonedDateTime};

use super::access::Client;
use super::columns::{ask_about_columns, confirmed_encoding};
use super::connection::{Connection, NewRun};
use super::error::{Error, Refusal};
use super::extensions::read_references;
use super::fields::Fields;
use super::locks::new_run;
use super::prior_runs::prior_runs;
use super::reading::{Differences, PlanSubject, plan_with_snapshots, take_snapshots};
use super::recorded_charges::charges;
use super::scan::Scan;
use super::settings::{Settings, ambiguous_nulls, prompt, refuse_unknown_prices};
use super::sheet::Sheet;
use super::ui::{Event, Preview, ReadCounter, Target, Ui, WholeSheet};
use super::{Consent, Engine};
use crate::charges::Charges;
use crate::execute::Reads;
use crate::input::{Context, Input, StagedInput};
use crate::ledger::{LedgerFile, RunKind, RunMeta};
use crate::plan::{EXAMPLES_MAX, InputSummary, Planner, scan};
use crate::resolve::Resolution;
use crate::row::{Duplicates, Rules};
use crate::run::{ReadStats, RunDir, RunLock, SnapshotReader};
use crate::settings::Planning;

/// A sheet that is being planned, and how.
pub(super) struct SheetPlan<'p, U> {
    pub(super) sheet: &'p Sheet,
    pub(super) origin: Origin<'p>,
    pub(super) settings: &'p Settings,
    /// How the cells of the sheet are read.
    pub(super) rules: &'p Rules,
    pub(super) run: &'p RunDir,
    pub(super) ui: &'p U,
    pub(super) planning: Planning,
    /// Whether to keep snapshots for `undo` even if the planner does not need them.
    pub(super) keeps_snapshots: bool,
    pub(super) use_of_plan: UseOfPlan,
    /// Whether a person can confirm a sheet with too many invalid rows.
    pub(super) can_confirm: bool,
    /// Maximum rows to send now, as a pilot.
    pub(super) limit: Option<u64>,
    /// Which differences of files are collected or told.
    pub(super) differences: Differences,
}

/// Where the rows of a sheet come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin<'p> {
    /// A person's sheet.
    Sheet,
    /// The failed rows of another run.
    Retry { of: &'p RunMeta, run: &'p RunDir },
}

/// What happens with a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UseOfPlan {
    /// It is saved, and checked for conflicts when it is applied.
    Save,
    /// It is sent now, under the lock of the account.
    Send,
}

/// A sheet copied into the run directory, and a client for the account.
pub(super) struct StagedSheet {
    pub(super) staged: StagedInput,
    pub(super) client: Client,
    /// The server of a sandbox; runs until it is dropped.
    pub(super) sandbox: Option<Box<dyn Any>>,
}

/// A scanned sheet, and the custom metadata fields it was validated against.
pub(super) struct ScannedSheet {
    scan: Scan,
    fields: Fields,
}

impl ScannedSheet {
    /// Scans rows that were valid in an earlier run, without looking up files.
    pub(super) fn of_run(
        input: &Input,
        rules: &Rules,
        meta: &RunMeta,
        ledger: &LedgerFile,
    ) -> Result<Self, Error> {
        let context = ledger.context(meta)?;
        let scan = Scan::read(input, Context { rules: rules.clone(), files: None, ..context })?;
        Ok(Self { scan, fields: Fields::of_run(meta) })
    }
}

/// A planned sheet.
pub(super) struct Planned {
    pub(super) scan: InputSummary,
    pub(super) context: Context,
    /// All rows of the sheet, also where only a pilot of them is planned.
    whole: WholeSheet,
    looked_up: Option<Resolution>,
    /// The reads of file snapshots, and their number of requests; `None` if nothing was read.
    pub(super) reading: Option<(ReadStats, u64)>,
    pub(super) meta: RunMeta,
    pub(super) ledger: LedgerFile,
    /// The charges database; `None` if the run has no billed extensions, or only plans.
    pub(super) charges: Option<Charges>,
}

impl Engine {
    /// Creates and locks the run directory of a sheet. If it may come `after_earlier` runs, a named
    /// directory may belong to one; the new run is then created after it.
    pub(super) fn run_dir(
        &self,
        sheet: &Sheet,
        after_earlier: bool,
    ) -> Result<(RunDir, RunLock), Error> {
        let now = Timestamp::now();
        let created = new_run(match &sheet.run_dir {
            Some(path) => match RunDir::open(path).ok().filter(|_| after_earlier) {
                Some(earlier) => RunDir::create_after(&earlier, now),
                None => RunDir::create_at(path),
            },
            None => RunDir::create(&self.runs_beside(sheet)?, now),
        })?;
        created.0.remove_abandoned_beside();
        Ok(created)
    }

    /// The path beside which the runs of a sheet are created: its own, or a name in the state
    /// directory if the sheet cannot be read again.
    fn runs_beside(&self, sheet: &Sheet) -> Result<PathBuf, Error> {
        match sheet.source.file() {
            Some(path) => Ok(path.to_owned()),
            None => Ok(self.settings.open_state()?.path().join("stdin")),
        }
    }
}

impl<U: Ui> SheetPlan<'_, U> {
    /// Copies the sheet into the run directory and creates a client. If the endpoint is not
    /// trusted, asks whether the key may be sent there.
    pub(super) async fn stage(&self, consent: Consent) -> Result<StagedSheet, Error> {
        self.refuse_returned()?;
        let (source, format) = (&self.sheet.source, self.sheet.format);
        let mut options = self.sheet.read_options.clone();
        let mut staged = source.stage(format, options.clone(), self.run.path()).await?;
        let prompt = prompt(self.ui, consent);
        // A stream cannot be read a second time, so its encoding must be named.
        let prompt_again = prompt.filter(|_| source.file().is_some());
        if let Some(encoding) = confirmed_encoding(staged.guess_encoding()?, prompt_again).await? {
            options.encoding = Some(encoding);
            fs::remove_file(&staged.input.path)
                .map_err(|error| Error::file("replace the copy of the sheet", error))?;
            staged = source.stage(format, options, self.run.path()).await?;
        }
        if self.sheet.sandbox {
            let (sandbox, client) = self.settings.start_sandbox(&staged.input)?;
            return Ok(StagedSheet { staged, client, sandbox: Some(sandbox) });
        }
        let client = self.settings.access.client(prompt).await?;
        Ok(StagedSheet { staged, client, sandbox: None })
    }

    /// Fails if a run has returned the sheet, and other rows since; or if its flag ran extensions on all
    /// rows, and is not given: without it, the sheet does not ask for what failed.
    fn refuse_returned(&self) -> Result<(), Error> {
        let sheet = self.sheet.source.path().filter(|path| RunDir::is_returned(path));
        let Some(sheet) = sheet else { return Ok(()) };
        let Some((run, meta)) = RunDir::of_file(sheet)? else { return Ok(()) };
        if let Some(by) = run.replaced(sheet)? {
            return Err(Refusal::Replaced { sheet: sheet.to_owned(), by }.into());
        }
        match (meta.rules.extensions.for_all, &self.rules.extensions.for_all) {
            (Some(names), None) => {
                Err(Refusal::ExtensionsOfRun { run: run.path().to_owned(), names }.into())
            }
            _ => Ok(()),
        }
    }

    /// Scans the sheet before any request, so that it can be refused without an account or network.
    /// `None` if validating needs the custom metadata fields of the account.
    pub(super) async fn read_offline(
        &self,
        staged_sheet: &mut StagedSheet,
    ) -> Result<Option<ScannedSheet>, Error> {
        let input = &mut staged_sheet.staged.input;
        if self.sheet.checks_metadata && input.mentions_metadata()? {
            return Ok(None);
        }
        let fields = Fields::unchecked();
        let context = fields.context(self.rules.clone(), None);
        self.ask_about_columns(input, &context).await?;
        let scan = Scan::read(input, context)?;
        self.refuse_unless_accepted(&scan.input_summary, &staged_sheet.client)?;
        Ok(Some(ScannedSheet { scan, fields }))
    }

    /// Connects to the account of the sheet.
    pub(super) async fn connect(
        &self,
        client: Client,
        wait_lock: bool,
    ) -> Result<Connection, Error> {
        let execution = &self.settings.execution;
        if self.sheet.sandbox {
            return Connection::to_sandbox(client, self.run, execution);
        }
        let busy = Some(self.run).filter(|_| self.use_of_plan == UseOfPlan::Send && !wait_lock);
        Connection::open(client, self.settings.open_state()?, execution, busy).await
    }

    /// Scans the sheet, reads the snapshots of its files if needed, and plans.
    pub(super) async fn plan(
        &self,
        staged: &mut StagedInput,
        read_offline: Option<ScannedSheet>,
        connection: &Connection,
    ) -> Result<Planned, Error> {
        let Connection { client, reads, .. } = connection;
        let sheet = match read_offline {
            Some(sheet) => sheet,
            None => self.scan(staged, connection).await?,
        };
        let staged = &*staged;
        let ScannedSheet { scan, fields } = sheet
            .with_references(&staged.input, self.sheet.checks_metadata, (client, reads))
            .await?;
        let scan = scan.look_up_files(&staged.input, client, reads, self.ui).await?;
        let Scan { input_summary: mut scan, context, looked_up } = scan;
        self.refuse_unless_accepted(&scan, client)?;
        refuse_unknown_prices(&scan.summary, &self.settings.spending)?;
        let whole = WholeSheet { rows: scan.summary.rows, invalid: scan.summary.rejected };
        let has_extensions = !scan.summary.extension_runs.is_empty();
        let sends = self.use_of_plan == UseOfPlan::Send;
        let charges = charges(connection, has_extensions && sends, self.ui)?;
        let new = self.new_run(staged, &scan, fields.json, &context.rules);
        let (mut meta, ledger) = connection.create_run(self.run, new, context.files.as_deref())?;
        if let Some(direct) = self.scan_direct(staged, &context, (&meta, &ledger), connection)? {
            scan = direct;
        }
        let reads_before = reads.sent();
        let counter = ReadCounter::new(self.ui);
        let reader =
            SnapshotReader { ledger: &ledger, api: &client.api, reads, progress: &counter };
        let subject =
            PlanSubject { run: self.run, staged, context: &context, meta: &meta, connection };
        let reading = match self.planning {
            Planning::Diff(_) => {
                let (with_snapshots, read_stats, rules) =
                    plan_with_snapshots(reader, subject, self.limit, self.differences, self.ui)
                        .await?;
                let has_undecided = scan.undecided > 0;
                let rejected_before = scan.summary.rejected;
                scan = with_snapshots;
                let has_more = scan.summary.rejected > rejected_before;
                if rules != meta.rules || has_undecided || has_more {
                    meta.rules = rules;
                    self.refuse_unless_accepted(&scan, client)?;
                }
                Some(read_stats)
            }
            Planning::Direct if self.keeps_snapshots => {
                Some(take_snapshots(reader, subject).await?)
            }
            Planning::Direct => {
                connection.mark_unsettled(&ledger, &meta)?;
                None
            }
        };
        let reading = reading.map(|reading| (reading, reads.sent() - reads_before));
        Ok(Planned { scan, context, whole, looked_up, reading, meta, ledger, charges })
    }

    /// Scans a sheet of which fewer or other rows are sent than the first scan has found; `None` if it is
    /// compared with the library, or sent as is.
    fn scan_direct(
        &self,
        staged: &StagedInput,
        context: &Context,
        (meta, ledger): (&RunMeta, &LedgerFile),
        connection: &Connection,
    ) -> Result<Option<InputSummary>, Error> {
        if self.planning != Planning::Direct {
            return Ok(None);
        }
        let prior_runs = prior_runs(connection, self.run, meta)?;
        if self.limit.is_none() && prior_runs.since.is_empty() {
            return Ok(None);
        }
        let mut planner = Planner::of(meta, ledger, prior_runs)?;
        planner.preview(EXAMPLES_MAX);
        Ok(Some(scan(&staged.input, context, &mut planner, self.limit, |_| {})?))
    }

    /// Reads the sheet with the fields of the account, which [`Self::read_offline`] has found to be needed.
    async fn scan(
        &self,
        staged: &mut StagedInput,
        Connection { client, reads, .. }: &Connection,
    ) -> Result<ScannedSheet, Error> {
        let fields = Fields::read(client, reads).await?;
        let context = fields.context(self.rules.clone(), None);
        self.ask_about_columns(&mut staged.input, &context).await?;
        Ok(ScannedSheet { scan: Scan::read(&staged.input, context)?, fields })
    }

    /// Asks about columns that are nearly known, if a person can confirm the sheet.
    async fn ask_about_columns(&self, input: &mut Input, context: &Context) -> Result<(), Error> {
        let can_ask = self.can_confirm && self.ui.can_ask();
        ask_about_columns(input, context, Some(self.ui).filter(|_| can_ask)).await
    }

    /// The name of the sheet for people.
    fn name(&self) -> String {
        match self.origin {
            Origin::Sheet => self.sheet.source.recorded_name(),
            Origin::Retry { run, .. } => format!("retry of {}", run.path().display()),
        }
    }

    fn new_run(
        &self,
        staged: &StagedInput,
        scan: &InputSummary,
        fields: String,
        rules: &Rules,
    ) -> NewRun {
        let source = &self.sheet.source;
        let (kind, input_path) = match (self.origin, self.use_of_plan) {
            (Origin::Retry { of, .. }, _) => {
                let reruns_extensions = of.reruns_extensions();
                let kind = RunKind::Retry { of: of.id.clone(), reruns_extensions };
                (kind, of.input_path.clone().map(PathBuf::from))
            }
            (Origin::Sheet, UseOfPlan::Send) => (RunKind::Apply, source.absolute_path()),
            (Origin::Sheet, UseOfPlan::Save) => (RunKind::Plan, source.absolute_path()),
        };
        NewRun {
            kind,
            input_name: self.name(),
            input_path,
            input_format: staged.input.format,
            read_options: staged.input.options.clone(),
            input_fingerprint: staged.fingerprint.0.clone(),
            rows: scan.summary.rows,
            names_files_once: scan.names_files_once,
            has_extensions: !scan.summary.extension_runs.is_empty(),
            rules: rules.clone(),
            fields,
            planning: self.planning,
            spending: self.settings.spending.clone(),
            saves_responses: self.settings.saves_responses,
            fails_on_pending: self.settings.fails_on_pending,
        }
    }

    /// Refuses an empty sheet, rows of unknown outcome, and too many invalid rows, unless the
    /// options accept them.
    fn refuse_unless_accepted(&self, scan: &InputSummary, client: &Client) -> Result<(), Error> {
        let summary = &scan.summary;
        let is_direct = self.planning == Planning::Direct;
        let undecided = if is_direct { 0 } else { scan.undecided };
        let too_many = || self.settings.too_many_invalid_except(summary, undecided);
        let refusal = if is_direct && self.rules.duplicates != Duplicates::InOrder {
            Refusal::DuplicatesOfDirect
        } else if summary.rows == 0 && !self.sheet.allow_empty {
            Refusal::NoRows
        } else if let Some(row) = scan.first_unknown.clone().filter(|_| !self.sheet.repeat_unknown)
        {
            Refusal::UnknownOutcome(row)
        } else if let Some(refusal) = ambiguous_nulls(scan, self.rules) {
            refusal
        } else if let Some(refusal) =
            too_many().filter(|_| !self.sheet.sandbox && !self.can_confirm)
        {
            refusal
        } else {
            return Ok(());
        };
        // Show the preview, so that the reason is visible.
        self.ui.event(Event::Preview(&Preview {
            target: Some(self.target(client, false, None)),
            is_refused: true,
            ..Preview::of(&self.name(), scan)
        }));
        Err(refusal.into())
    }

    /// Shows the preview.
    pub(super) fn show(&self, planned: &Planned, connection: &Connection) {
        let is_first_run = connection.is_first_run(&planned.meta);
        self.ui.event(Event::Preview(&Preview {
            looked_up: planned.looked_up.as_ref(),
            reading: planned.reading,
            target: Some(self.target(&connection.client, is_first_run, Some(planned.whole))),
            ..Preview::of(&self.name(), &planned.scan)
        }));
    }

    fn target<'t>(
        &'t self,
        client: &'t Client,
        is_first_run: bool,
        whole: Option<WholeSheet>,
    ) -> Target<'t> {
        Target {
            endpoint: &client.endpoint,
            account: &client.identity,
            is_first_run,
            sandbox: self.sheet.sandbox,
            execution: &self.settings.execution,
            spending: &self.settings.spending,
            pilot_of: self.limit.and(whole),
            can_undo: Some(self.planning != Planning::Direct || self.keeps_snapshots),
            now: ZonedDateTime::now(),
        }
    }
}

impl ScannedSheet {
    /// Reads what the extensions refer to in the account, and scans again with it.
    async fn with_references(
        self,
        input: &Input,
        checks_metadata: bool,
        account: (&Client, &Reads),
    ) -> Result<Self, Error> {
        let Self { mut scan, mut fields } = self;
        let references = &scan.input_summary.summary.references;
        let (context, fields_read) = (&mut scan.context, &mut fields);
        if read_references(references, context, fields_read, checks_metadata, account).await? {
            scan = Scan::read(input, scan.context)?;
        }
        Ok(Self { scan, fields })
    }
}
