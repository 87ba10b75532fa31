//! Prepares a sheet for a run: staging, scanning, reading the state of its files, planning,
//! preview.

use std::path::PathBuf;

use clap::Args;
use jiff::ZonedDateTime;

use super::connect::{Connection, LocalState, NewRun};
use super::help::{INPUT, PLANNING, RUN};
use super::hint::hint;
use super::locks::new_run;
use super::prepare::{Fields, InputArg, already_ran, charges, start_sandbox, too_many_invalid};
use super::render::{Counter, PlanView, Target, WholeSheet, render_plan};
use super::scan::Scan;
use super::settings_args::{Client, SettingsArgs};
use super::values::format;
use super::{CliError, Screen};
use ikbulk::charges::Charges;
use ikbulk::imagekit::Concern;
use ikbulk::input::{Context, Format, Input, StagedInput};
use ikbulk::ledger::{LedgerFile, RunMeta, Stage};
use ikbulk::plan::{
    EXAMPLES_MAX, FileDifference, InputSummary, PlanSummary, Planner, UnknownRow, scan,
};
use ikbulk::resolve::Resolution;
use ikbulk::run::{
    ReadError, ReadStats, ReadStrategy, RunDir, RunLock, SnapshotReader, expect_written,
    recent_runs,
};
use ikbulk::settings::{DiffOptions, Execution, Planning};

/// Hints for a failed read of the files.
const DIRECT_HINT: &str = " (--direct applies the sheet without reading them)";
const NO_SNAPSHOT_HINT: &str = " (--no-snapshot skips reading them, which disables `ikbulk undo`)";

/// The sheet and the options for reading and planning it.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Sheet {
    /// The sheet of changes, as CSV or JSONL; - reads standard input
    #[arg(value_name = "FILE")]
    pub(super) file: InputArg,
    /// Use a local ImageKit started for this run: no account, no network
    #[arg(long, conflicts_with = "endpoint")]
    pub(super) sandbox: bool,
    /// The format of the input [default: detected from its name or content]
    #[arg(long, value_parser = format(), value_name = "FORMAT", help_heading = INPUT, hide_short_help = true)]
    format: Option<Format>,
    /// The run directory to create [default: `<sheet>.ikbulk/<UTC time>/` beside FILE]
    #[arg(long, value_name = "DIR", help_heading = RUN, hide_short_help = true)]
    run_dir: Option<PathBuf>,
    /// Skip validating custom metadata against the account's fields
    #[arg(long, help_heading = INPUT, hide_short_help = true)]
    no_schema: bool,
    /// Accept an input without rows
    #[arg(long, help_heading = INPUT, hide_short_help = true)]
    allow_empty: bool,
    /// Re-send rows with an unknown outcome; their extensions can be charged twice
    #[arg(long, help_heading = PLANNING, hide_short_help = true)]
    repeat_unknown: bool,
    /// Replace tags with one PATCH per file, exact even while others edit them
    #[arg(long, help_heading = PLANNING)]
    exact: bool,
    /// Run extensions again that already ran on a file; they are charged again
    #[arg(long, help_heading = PLANNING)]
    rerun_extensions: bool,
    /// Skip tagging extensions on files that have AI tags of that extension
    #[arg(long, help_heading = PLANNING)]
    skip_tagged: bool,
}

/// A sheet copied into the run directory, and a client for the account.
pub(super) struct StagedSheet {
    pub(super) staged: StagedInput,
    pub(super) client: Client,
    pub(super) sandbox: Option<ikbulk_sandbox::Running>,
}

/// A scanned sheet, and the custom metadata fields it was validated against.
pub(super) struct ScannedSheet {
    scan: Scan,
    fields: Fields,
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

/// How to plan a sheet.
pub(super) struct PlanOptions<'w> {
    pub(super) planning: Planning,
    /// Whether to keep snapshots for `undo` even if the planner does not need them.
    pub(super) keeps_snapshots: bool,
    pub(super) run: &'w RunDir,
    pub(super) settings: &'w SettingsArgs,
    pub(super) execution: &'w Execution,
    pub(super) screen: &'w Screen,
    /// Whether the command holds the account lock because it sends now. A plan that is only saved
    /// is checked for conflicts when it is applied.
    pub(super) holds_lock: bool,
    /// Whether a person can confirm a sheet with too many invalid rows.
    pub(super) interactive: bool,
    /// Maximum rows to send now, as a pilot.
    pub(super) limit: Option<u64>,
    /// Maximum files whose differences are collected for the preview.
    pub(super) differences: usize,
}

/// Called with the difference of each planned file.
pub(super) type OnDiff<'s> = &'s dyn Fn(&FileDifference);

impl Sheet {
    /// Creates and locks the run directory. With `again` (`--continue`), a named directory may
    /// belong to an earlier run; the new run is then created after it.
    pub(super) fn run_dir(
        &self,
        settings: &SettingsArgs,
        again: bool,
    ) -> Result<(RunDir, RunLock), CliError> {
        let now = jiff::Timestamp::now();
        let created = new_run(match &self.run_dir {
            Some(path) => match RunDir::open(path).ok().filter(|_| again) {
                Some(earlier) => RunDir::create_after(&earlier, now),
                None => RunDir::create_at(path),
            },
            None => RunDir::create(&self.file.runs_beside(settings)?, now),
        })?;
        created.0.remove_abandoned_beside();
        Ok(created)
    }

    /// Whether extensions run again on files where they already ran.
    pub(super) fn reruns_extensions(&self) -> bool {
        self.rerun_extensions
    }

    pub(super) fn diff_planning(&self) -> Planning {
        Planning::Diff(DiffOptions {
            exact: self.exact,
            rerun_extensions: self.rerun_extensions,
            skip_tagged: self.skip_tagged,
        })
    }

    /// Copies the sheet into the run directory and creates a client. If the endpoint is not
    /// trusted, asks at `prompt` whether the key may be sent there.
    pub(super) async fn stage(
        &self,
        run: &RunDir,
        settings: &SettingsArgs,
        prompt: Option<&Screen>,
    ) -> Result<StagedSheet, CliError> {
        let staged = self.file.stage_input(self.format, run.path()).await?;
        if self.sandbox {
            let (sandbox, client) = start_sandbox(&staged.input, settings)?;
            return Ok(StagedSheet { staged, client, sandbox: Some(sandbox) });
        }
        let client = settings.api(prompt).await?;
        Ok(StagedSheet { staged, client, sandbox: None })
    }

    /// Scans the sheet before any request, so that it can be refused without an account or network.
    /// `None` if validating needs the custom metadata fields of the account.
    pub(super) fn read_offline(
        &self,
        staged_sheet: &StagedSheet,
        options: &PlanOptions<'_>,
    ) -> Result<Option<ScannedSheet>, CliError> {
        let input = &staged_sheet.staged.input;
        if !self.no_schema
            && input.mentions_metadata().map_err(|error| CliError::from_error(&error))?
        {
            return Ok(None);
        }
        let fields = Fields::unchecked();
        let scan = Scan::read(input, fields.context(options.settings.clear_token(), None))?;
        self.refuse_unless_accepted(&scan.input_summary, &staged_sheet.client, options)?;
        Ok(Some(ScannedSheet { scan, fields }))
    }

    /// Connects to the account of the sheet.
    pub(super) async fn connect(
        &self,
        client: Client,
        options: &PlanOptions<'_>,
        wait_lock: bool,
    ) -> Result<Connection, CliError> {
        if self.sandbox {
            return Connection::to_sandbox(client, options.run, options.execution);
        }
        let busy = Some(options.run).filter(|_| options.holds_lock && !wait_lock);
        Connection::open(client, options.settings.state_dir()?, options.execution, busy).await
    }

    /// Scans the sheet, reads the snapshots of its files if needed, and plans. `on_diff` receives
    /// the difference of each file.
    pub(super) async fn plan(
        &self,
        staged: &StagedInput,
        read_offline: Option<ScannedSheet>,
        connection: &Connection,
        options: &PlanOptions<'_>,
        on_diff: Option<OnDiff<'_>>,
    ) -> Result<Planned, CliError> {
        let Connection { client, reads, .. } = connection;
        let screen = options.screen;
        let ScannedSheet { scan, fields } = if let Some(sheet) = read_offline {
            sheet
        } else {
            let fields = Fields::fetch(client, &staged.input, reads).await?;
            let context = fields.context(options.settings.clear_token(), None);
            ScannedSheet { scan: Scan::read(&staged.input, context)?, fields }
        };
        let scan = scan.look_up_files(&staged.input, client, reads, screen).await?;
        let Scan { input_summary: mut scan, context, looked_up } = scan;
        self.refuse_unless_accepted(&scan, client, options)?;
        let whole = WholeSheet { rows: scan.summary.rows, invalid: scan.summary.rejected };
        let has_extensions = !scan.summary.extension_runs.is_empty();
        let charges = charges(connection, has_extensions && options.holds_lock, screen)?;
        let new = self.new_run(staged, &scan.summary, fields.json, options);
        if options.limit.is_some() && options.planning == Planning::Direct {
            scan = scan_pilot(&staged.input, &context, options.limit)?;
        }
        let (meta, ledger) = connection.create_run(options.run, new, context.files.as_deref())?;
        let reads_before = reads.sent();
        let counter = Counter::new(screen.bars());
        let reader =
            SnapshotReader { ledger: &ledger, api: &client.api, reads, progress: &counter };
        let subject = PlanSubject { staged, context: &context, meta: &meta, connection };
        let reading = match options.planning {
            Planning::Diff(_) => {
                let (with_snapshots, read_stats) =
                    plan_with_snapshots(reader, subject, options, on_diff).await?;
                scan = with_snapshots;
                Some(read_stats)
            }
            Planning::Direct if options.keeps_snapshots => {
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

    fn new_run(
        &self,
        staged: &StagedInput,
        summary: &PlanSummary,
        fields: String,
        options: &PlanOptions<'_>,
    ) -> NewRun {
        NewRun {
            input_name: self.file.recorded_name(),
            input_path: self.file.absolute_path(),
            input_format: staged.input.format,
            input_fingerprint: staged.fingerprint.0.clone(),
            rows: summary.rows,
            has_extensions: !summary.extension_runs.is_empty(),
            clear_token: options.settings.clear_token(),
            fields,
            checks_conflicts: !options.holds_lock,
            planning: options.planning,
        }
    }

    /// Refuses an empty sheet, rows of unknown outcome, and too many invalid rows, unless a flag
    /// accepts them.
    fn refuse_unless_accepted(
        &self,
        scan: &InputSummary,
        client: &Client,
        options: &PlanOptions<'_>,
    ) -> Result<(), CliError> {
        let summary = &scan.summary;
        let why = if summary.rows == 0 && !self.allow_empty {
            "the input has no rows; pass --allow-empty to accept that".to_owned()
        } else if let Some(UnknownRow { row, at_most_once }) =
            scan.first_unknown.as_ref().filter(|_| !self.repeat_unknown)
        {
            format!(
                "row {row} has an unknown outcome: {at_most_once} may already have taken effect; nothing was \
                 sent. Check the file and empty these cells, or pass --repeat-unknown to send them \
                 again, which can be charged twice"
            )
        } else if let Some(why) = too_many_invalid(summary, options.settings.max_bad())
            .filter(|_| !self.sandbox && !options.interactive)
        {
            why
        } else {
            return Ok(());
        };
        // Show the preview, so that the reason is visible.
        options.screen.print(&render_plan(&PlanView {
            input: &self.file.name(),
            summary,
            ignored_columns: &scan.ignored_columns,
            empty_cells: scan.empty_cells,
            rows_of_run: None,
            looked_up: None,
            reading: None,
            target: Some(self.target(client, false, options, None)),
            is_refused: true,
            verbose: options.screen.is_verbose(),
            width: options.screen.width(),
        }));
        Err(CliError::new(why))
    }

    /// Prints the preview.
    pub(super) fn show(
        &self,
        planned: &Planned,
        connection: &Connection,
        options: &PlanOptions<'_>,
    ) {
        let scan = &planned.scan;
        let is_first_run = connection.is_first_run(&planned.meta);
        options.screen.print(&render_plan(&PlanView {
            input: &self.file.name(),
            summary: &scan.summary,
            ignored_columns: &scan.ignored_columns,
            empty_cells: scan.empty_cells,
            rows_of_run: None,
            looked_up: planned.looked_up.as_ref(),
            reading: planned.reading,
            target: Some(self.target(
                &connection.client,
                is_first_run,
                options,
                Some(planned.whole),
            )),
            is_refused: false,
            verbose: options.screen.is_verbose(),
            width: options.screen.width(),
        }));
    }

    fn target<'t>(
        &self,
        client: &'t Client,
        is_first_run: bool,
        options: &PlanOptions<'t>,
        whole: Option<WholeSheet>,
    ) -> Target<'t> {
        Target {
            endpoint: &client.endpoint,
            account: &client.identity,
            is_first_run,
            sandbox: self.sandbox,
            execution: options.execution,
            pilot_of: options.limit.and(whole),
            can_undo: Some(options.planning != Planning::Direct || options.keeps_snapshots),
            now: ZonedDateTime::now(),
        }
    }
}

/// Scans the rows of a `--direct` pilot.
fn scan_pilot(
    input: &Input,
    context: &Context,
    limit: Option<u64>,
) -> Result<InputSummary, CliError> {
    let mut planner = Planner::direct();
    planner.preview(EXAMPLES_MAX);
    scan(input, context, &mut planner, limit, |_| {}).map_err(|error| CliError::from_error(&error))
}

impl Planned {
    /// Records the stage of the run and its number of writes in the ledger.
    pub(super) fn set_stage(&mut self, stage: Stage) -> Result<(), CliError> {
        self.meta.stage = stage;
        self.meta.writes = self.scan.summary.writes;
        Ok(self.ledger.set_meta(&self.meta)?)
    }
}

/// The run for which files are read.
#[derive(Clone, Copy)]
struct PlanSubject<'s> {
    staged: &'s StagedInput,
    context: &'s Context,
    meta: &'s RunMeta,
    connection: &'s Connection,
}

/// Reads the snapshots of the files, and plans with them. A sample is re-read one by one; if any of
/// it was stale, all files are.
async fn plan_with_snapshots(
    reader: SnapshotReader<'_>,
    subject: PlanSubject<'_>,
    options: &PlanOptions<'_>,
    on_diff: Option<OnDiff<'_>>,
) -> Result<(InputSummary, ReadStats), CliError> {
    let PlanSubject { staged, context, meta, connection } = subject;
    let failed = |error: ReadError| read_failed(&error, DIRECT_HINT);
    reader.record_files(&staged.input, context).map_err(failed)?;
    let mut reading = read_files(reader, connection).await.map_err(failed)?;
    reader.verify_sample(&mut reading).await.map_err(failed)?;
    connection.mark_unsettled(reader.ledger, meta)?;
    let already_ran = already_ran(connection, meta.has_extensions)?;
    let mut planner = Planner::of(meta.planning, reader.ledger, already_ran)?;
    planner.preview(options.differences);
    let scan = scan(&staged.input, context, &mut planner, options.limit, |batch| {
        if let Some(on_diff) = on_diff {
            batch.differences.iter().for_each(on_diff);
        }
    });
    Ok((scan.map_err(|error| CliError::from_error(&error))?, reading))
}

/// Reads the recorded files. A listing may be stale for files that recent runs on the account
/// wrote: those whose snapshot differs from the written values are re-read one by one.
pub(super) async fn read_files(
    reader: SnapshotReader<'_>,
    connection: &Connection,
) -> Result<ReadStats, ReadError> {
    let mut reading = reader.read().await?;
    if let Some(LocalState { db, account, .. }) =
        connection.local.as_ref().filter(|_| reading.strategy != ReadStrategy::OneByOne)
    {
        let runs = recent_runs(db, *account, jiff::Timestamp::now())?;
        expect_written(&runs, reader.ledger)?;
        reader.verify_unexpected(&mut reading).await?;
    }
    Ok(reading)
}

/// Reads the snapshots of the files before they are changed, for `undo`.
async fn take_snapshots(
    reader: SnapshotReader<'_>,
    subject: PlanSubject<'_>,
) -> Result<ReadStats, CliError> {
    let PlanSubject { staged, context, meta, connection } = subject;
    let failed = |error: ReadError| read_failed(&error, NO_SNAPSHOT_HINT);
    reader.record_files(&staged.input, context).map_err(failed)?;
    connection.mark_unsettled(reader.ledger, meta)?;
    read_files(reader, connection).await.map_err(failed)
}

/// The error for failed reads before anything was sent; `workaround` tells how to do without them.
pub(super) fn read_failed(error: &ReadError, workaround: &str) -> CliError {
    match error {
        ReadError::Api(failure) => {
            let why = ikbulk::error::chain(error);
            let why = why.trim_end_matches('.');
            let workaround = if failure.concerns() == Concern::Account { "" } else { workaround };
            let hint = hint(failure);
            CliError::read_failed(failure, format!("{why}{workaround}{hint}; nothing was sent"))
        }
        ReadError::Input(error) => CliError::from_error(error),
        ReadError::Ledger(_) | ReadError::Account(_) => CliError::not_written(error),
    }
}
