//! A sheet on its way to a run: taken over, read whole, its files looked up and read, and shown.

use std::path::PathBuf;

use clap::Args;
use jiff::ZonedDateTime;

use super::connect::{Connection, LocalState, NewRun};
use super::locks::new_run;
use super::prepare::{Fields, InputArg, already_ran, charges, hint, start_sandbox};
use super::scan::Scan;
use super::settings_args::{Client, SettingsArgs};
use super::{CliError, Screen};
use crate::charges::Charges;
use crate::imagekit::Concern;
use crate::input::{Context, Format, StagedInput};
use crate::ledger::{LedgerFile, RunMeta, Stage};
use crate::plan::{FileDifference, InputSummary, Planner, UnknownRow, scan};
use crate::plural::plural;
use crate::report::{Counter, PlanView, Target, render_plan};
use crate::resolve::Resolution;
use crate::run::{
    ReadError, ReadStats, ReadStrategy, RunDir, RunLock, SnapshotReader, expect_written,
    recent_runs,
};
use crate::sandbox;
use crate::settings::{Execution, LiveOptions, Planning};

/// What can be done where the files cannot be read.
const GOES_WITHOUT: &str = " (--direct goes without reading them)";
const GOES_WITHOUT_BEFORE: &str =
    " (--no-snapshot goes without reading them; `ikbulk undo` then cannot restore them)";

/// The sheet and how it is read.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Sheet {
    /// The sheet of changes, CSV or JSONL; - for standard input
    #[arg(value_name = "FILE")]
    pub(super) file: InputArg,
    /// Try it on a local ImageKit, started for this run: no account, no network
    #[arg(long, conflicts_with = "endpoint")]
    pub(super) sandbox: bool,
    /// How the input is written [default: what its name or beginning says]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Where the run lives [default: `<sheet>.ikbulk/<UTC time>/` beside FILE]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Take custom metadata as it stands, without asking the account for its fields
    #[arg(long)]
    no_schema: bool,
    /// Accept an input without rows
    #[arg(long)]
    allow_empty: bool,
    /// Send rows of an unknown.csv again, although they may have been done: this can pay twice
    #[arg(long)]
    repeat_unknown: bool,
    /// Replace tags by one PATCH a file, never by adding some and removing others: exact even where
    /// somebody else changes the tags of the same files meanwhile
    #[arg(long)]
    exact: bool,
    /// Run extensions again that an earlier run paid for on the same file; this pays again
    #[arg(long)]
    rerun_extensions: bool,
    /// Run no tagging extension on a file that has AI tags of it
    #[arg(long)]
    skip_tagged: bool,
}

/// A sheet that the run has copied, and the client for where it goes.
pub(super) struct StagedSheet {
    pub(super) staged: StagedInput,
    pub(super) client: Client,
    pub(super) sandbox: Option<sandbox::Running>,
}

/// A sheet that has been read whole, and the account's fields that it was read with.
pub(super) struct SheetRead {
    scanned: Scan,
    fields: Fields,
}

/// A sheet that has been planned.
pub(super) struct Planned {
    pub(super) scan: InputSummary,
    pub(super) context: Context,
    looked_up: Option<Resolution>,
    /// What was read of its files, and in how many requests.
    pub(super) reading: Option<(ReadStats, u64)>,
    pub(super) meta: RunMeta,
    pub(super) ledger: LedgerFile,
    /// Where its charges are remembered.
    pub(super) charges: Option<Charges>,
}

/// How a sheet is to be planned.
pub(super) struct PlanOptions<'w> {
    pub(super) planning: Planning,
    /// Whether what the files are like is kept where the plan does not stand on it.
    pub(super) keeps_before: bool,
    pub(super) run: &'w RunDir,
    pub(super) settings: &'w SettingsArgs,
    pub(super) execution: &'w Execution,
    pub(super) screen: &'w Screen,
    /// Whether the account is locked, for a run that is executed now; one that is only planned is
    /// checked for conflicts when it is applied.
    pub(super) holds_lock: bool,
    /// Whether somebody can be asked about bad rows.
    pub(super) attended: bool,
}

/// Looks at what becomes of a file.
pub(super) type OnDiff<'s> = &'s dyn Fn(&FileDifference);

impl Sheet {
    /// A new directory for the run, which is locked from its beginning. Where `again` says that the
    /// command is repeated, an earlier run may have taken the directory that was named.
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
            None => RunDir::create(&self.file.beside(settings)?, now),
        })?;
        created.0.remove_abandoned_beside();
        Ok(created)
    }

    /// Whether extensions run again on files where they ran before.
    pub(super) fn reruns_extensions(&self) -> bool {
        self.rerun_extensions
    }

    pub(super) fn live(&self) -> Planning {
        Planning::Live(LiveOptions {
            exact: self.exact,
            rerun_extensions: self.rerun_extensions,
            skip_tagged: self.skip_tagged,
        })
    }

    /// Copies the sheet, and makes a client; `person` can be asked whether the key may go there.
    pub(super) async fn open(
        &self,
        run: &RunDir,
        settings: &SettingsArgs,
        person: Option<&Screen>,
    ) -> Result<StagedSheet, CliError> {
        let staged = self.file.stage_input(self.format, run.path()).await?;
        if self.sandbox {
            let (sandbox, client) = start_sandbox(&staged.input, settings)?;
            return Ok(StagedSheet { staged, client, sandbox: Some(sandbox) });
        }
        let client = settings.api(person).await?;
        Ok(StagedSheet { staged, client, sandbox: None })
    }

    /// Reads the sheet before anything is requested, where it needs no fields of the account: what
    /// is refused then takes no account and no network. Gives what it holds and what it was read
    /// with, as far as looking nothing up allows.
    pub(super) fn read_alone(
        &self,
        opened: &StagedSheet,
        wish: &PlanOptions<'_>,
    ) -> Result<Option<SheetRead>, CliError> {
        let input = &opened.staged.input;
        if !self.no_schema && input.mentions_metadata().map_err(|error| CliError::of(&error))? {
            return Ok(None);
        }
        let fields = Fields::unchecked();
        let scanned = Scan::of(input, fields.context(wish.settings.clear_token(), None))?;
        self.refuse(&scanned.scan, &opened.client, wish)?;
        Ok(Some(SheetRead { scanned, fields }))
    }

    /// Reaches the account that the sheet goes to.
    pub(super) async fn connect(
        &self,
        client: Client,
        wish: &PlanOptions<'_>,
        wait_lock: bool,
    ) -> Result<Connection, CliError> {
        if self.sandbox {
            return Connection::to_sandbox(client, wish.run, wish.execution);
        }
        let busy = Some(wish.run).filter(|_| wish.holds_lock && !wait_lock);
        Connection::open(client, wish.settings.state_dir()?, wish.execution, busy).await
    }

    /// Reads the sheet whole, and the state of its files where the plan stands on that; `see` is
    /// shown what becomes of each file.
    pub(super) async fn plan(
        &self,
        staged: &StagedInput,
        read_alone: Option<SheetRead>,
        connection: &Connection,
        wish: &PlanOptions<'_>,
        see: Option<OnDiff<'_>>,
    ) -> Result<Planned, CliError> {
        let Connection { client, reads, .. } = connection;
        let screen = wish.screen;
        let SheetRead { scanned, fields } = if let Some(read) = read_alone {
            read
        } else {
            let fields = Fields::of(client, &staged.input, reads).await?;
            let context = fields.context(wish.settings.clear_token(), None);
            SheetRead { scanned: Scan::of(&staged.input, context)?, fields }
        };
        let scanned = scanned.looked_up(&staged.input, client, reads, screen).await?;
        let Scan { mut scan, context, looked_up } = scanned;
        self.refuse(&scan, client, wish)?;
        let pays = !scan.summary.paid_runs.is_empty();
        let charges = charges(connection, pays && wish.holds_lock, screen)?;
        let new = NewRun {
            input_name: self.file.recorded_name(),
            input_path: self.file.absolute_path(),
            input_format: staged.input.format,
            input_fingerprint: staged.fingerprint.0.clone(),
            rows: scan.summary.rows,
            pays,
            clear_token: wish.settings.clear_token(),
            fields: fields.json,
            guarded: !wish.holds_lock,
            planning: wish.planning,
        };
        let (meta, ledger) = connection.begin(wish.run, new, context.files.as_deref())?;
        let sent_before = reads.sent();
        let counter = Counter::new(screen.bars());
        let reader = SnapshotReader { ledger: &ledger, api: &client.api, reads, counter: &counter };
        let subject = PlanSubject { staged, context: &context, meta: &meta, connection };
        let reading = match wish.planning {
            Planning::Live(_) => {
                let (with_state, read) = live(reader, subject, see).await?;
                scan = with_state;
                Some(read)
            }
            Planning::Direct if wish.keeps_before => Some(before(reader, subject).await?),
            Planning::Direct => {
                connection.mark_unsettled(&ledger, &meta)?;
                None
            }
        };
        let reading = reading.map(|reading| (reading, reads.sent() - sent_before));
        Ok(Planned { scan, context, looked_up, reading, meta, ledger, charges })
    }

    /// Refuses what nobody can want to be sent.
    fn refuse(
        &self,
        scan: &InputSummary,
        client: &Client,
        wish: &PlanOptions<'_>,
    ) -> Result<(), CliError> {
        let summary = &scan.summary;
        let why = if summary.rows == 0 && !self.allow_empty {
            "the input has no rows (--allow-empty accepts that)".to_owned()
        } else if let Some(UnknownRow { row, once }) =
            scan.first_unknown.as_ref().filter(|_| !self.repeat_unknown)
        {
            format!(
                "row {row} got no response in an earlier run, so that {once} may have been done \
                 already; look at the file and empty these cells, or send them again, extensions \
                 charged again, with --repeat-unknown. Nothing was sent"
            )
        } else if !self.sandbox
            && !wish.attended
            && summary.rejected_share() > wish.settings.max_bad()
        {
            format!(
                "{} in {}, more than --max-bad allows ({} %); nothing was sent",
                plural(summary.rejected, "bad row", "bad rows"),
                summary.rows,
                wish.settings.max_bad() * 100.0
            )
        } else {
            return Ok(());
        };
        // What is refused is shown, so that the person sees why.
        wish.screen.say(&render_plan(&PlanView {
            input: &self.file.name(),
            summary,
            ignored_columns: &scan.ignored_columns,
            empty_cells: scan.empty_cells,
            rows_of_run: None,
            looked_up: None,
            reading: None,
            target: Some(self.target(client, false, wish, None)),
            width: wish.screen.width(),
        }));
        Err(CliError::new(why))
    }

    /// Says what is about to happen.
    pub(super) fn show(
        &self,
        planned: &Planned,
        connection: &Connection,
        wish: &PlanOptions<'_>,
        limit: Option<u64>,
    ) {
        let scan = &planned.scan;
        let is_first_run = connection.is_first_run(&planned.meta);
        wish.screen.say(&render_plan(&PlanView {
            input: &self.file.name(),
            summary: &scan.summary,
            ignored_columns: &scan.ignored_columns,
            empty_cells: scan.empty_cells,
            rows_of_run: None,
            looked_up: planned.looked_up.as_ref(),
            reading: planned.reading,
            target: Some(self.target(&connection.client, is_first_run, wish, limit)),
            width: wish.screen.width(),
        }));
    }

    fn target<'t>(
        &self,
        client: &'t Client,
        is_first_run: bool,
        wish: &PlanOptions<'t>,
        limit: Option<u64>,
    ) -> Target<'t> {
        Target {
            endpoint: &client.endpoint,
            account: &client.identity,
            is_first_run,
            sandbox: self.sandbox,
            execution: wish.execution,
            limit,
            now: ZonedDateTime::now(),
        }
    }
}

impl Planned {
    /// Writes down how far the run has come.
    pub(super) fn reach(&mut self, stage: Stage) -> Result<(), CliError> {
        self.meta.stage = stage;
        self.meta.writes = self.scan.summary.writes;
        Ok(self.ledger.set_meta(&self.meta)?)
    }
}

/// What is read for: a run on a sheet.
#[derive(Clone, Copy)]
struct PlanSubject<'s> {
    staged: &'s StagedInput,
    context: &'s Context,
    meta: &'s RunMeta,
    connection: &'s Connection,
}

/// Reads the state of the files, and plans with it. Some of them are read again by themselves; if one
/// was stale, all are.
async fn live(
    reader: SnapshotReader<'_>,
    subject: PlanSubject<'_>,
    see: Option<OnDiff<'_>>,
) -> Result<(InputSummary, ReadStats), CliError> {
    let PlanSubject { staged, context, meta, connection } = subject;
    let failed = |error: ReadError| not_read(&error, GOES_WITHOUT);
    reader.record_files(&staged.input, context).map_err(failed)?;
    let mut reading = read_files(reader, connection).await.map_err(failed)?;
    reader.verify_sample(&mut reading).await.map_err(failed)?;
    connection.mark_unsettled(reader.ledger, meta)?;
    let already_ran = already_ran(connection, meta.pays)?;
    let mut planner = Planner::of(meta.planning, reader.ledger, already_ran)?;
    if see.is_some() {
        planner.collect_diffs();
    }
    let scan = scan(&staged.input, context, &mut planner, |batch| {
        if let Some(see) = see {
            batch.differences.iter().for_each(see);
        }
    });
    Ok((scan.map_err(|error| CliError::of(&error))?, reading))
}

/// Reads the files that have been named. A list is believed of those that runs on the account wrote
/// just now only if it shows them as they were written; the others are read again by themselves.
pub(super) async fn read_files(
    reader: SnapshotReader<'_>,
    connection: &Connection,
) -> Result<ReadStats, ReadError> {
    let mut reading = reader.read().await?;
    if let Some(LocalState { db, account, .. }) =
        connection.kept.as_ref().filter(|_| reading.way != ReadStrategy::OneByOne)
    {
        let runs = recent_runs(db, *account, jiff::Timestamp::now())?;
        expect_written(&runs, reader.ledger)?;
        reader.verify_unexpected(&mut reading).await?;
    }
    Ok(reading)
}

/// Keeps the state of the files before they are changed, for `undo`.
async fn before(
    reader: SnapshotReader<'_>,
    subject: PlanSubject<'_>,
) -> Result<ReadStats, CliError> {
    let PlanSubject { staged, context, meta, connection } = subject;
    let failed = |error: ReadError| not_read(&error, GOES_WITHOUT_BEFORE);
    reader.record_files(&staged.input, context).map_err(failed)?;
    connection.mark_unsettled(reader.ledger, meta)?;
    read_files(reader, connection).await.map_err(failed)
}

/// Refuses a run whose reads did not succeed before anything was sent; `way_round` says how to do
/// without them.
pub(super) fn not_read(error: &ReadError, way_round: &str) -> CliError {
    match error {
        ReadError::Api(failure) => {
            let why = crate::error::chain(error);
            let why = why.trim_end_matches('.');
            let way_round = if failure.concerns() == Concern::Account { "" } else { way_round };
            let hint = hint(failure);
            CliError::not_read(failure, format!("{why}{way_round}{hint}; nothing was sent"))
        }
        ReadError::Input(error) => CliError::of(error),
        ReadError::Ledger(_) | ReadError::Account(_) => CliError::not_written(error),
    }
}
