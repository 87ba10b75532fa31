//! `ikbulk undo`: restores the values from before a run.

use std::future::Future;
use std::path::PathBuf;

use clap::Args;
use jiff::ZonedDateTime;

use super::connect::{Connection, LocalState, NewRun};
use super::finish::PreparedRun;
use super::help::RUN;
use super::limit_args::{Deadline, LimitArgs};
use super::locks::{lock_account, lock_run, new_run};
use super::prepare::{ask, require_terminal};
use super::render::{Counter, PlanView, Target, WholeSheet, render_plan, render_undo};
use super::run_execution::{key_mismatch, refuse_edited_copy};
use super::settings_args::SettingsArgs;
use super::sheet::{read_failed, read_files};
use super::stop::DiscardUnlessStarted;
use super::{CliError, Screen};
use ikbulk::account::AccountLock;
use ikbulk::execute::Stop;
use ikbulk::exit_codes;
use ikbulk::input::{Context, Format, Input, staged_in};
use ikbulk::ledger::{LedgerError, LedgerFile, RunMeta, Snapshot, Stage};
use ikbulk::plan::{EXAMPLES_MAX, InputSummary, LostTags, Planner, scan};
use ikbulk::row::FileId;
use ikbulk::run::{ReadError, ReadStats, ReadStrategy, RunDir, Session, SnapshotReader, SpotCheck};
use ikbulk::settings::{DiffOptions, Execution, Planning};
use ikbulk::undo::{FinishedRun, UndoError, UndoSheets, UndoSummary, file_effects_of};

#[derive(Debug, Args)]
pub(super) struct Undo {
    /// The directory of the run to revert
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The run directory to create for the undo [default: beside RUN]
    #[arg(long, value_name = "DIR", help_heading = RUN)]
    run_dir: Option<PathBuf>,
    /// Revert without asking for confirmation
    #[arg(short, long)]
    yes: bool,
    /// Accept another API key than the run started with, after a key rotation
    #[arg(long)]
    key_changed: bool,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Undo {
    pub(super) async fn run(
        mut self,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, CliError> {
        self.settings = self.settings.with_profile()?;
        let execution = self.settings.execution()?;
        let deadline = Deadline::from_limits(&self.limits)?;
        if screen.is_quiet() && !self.yes {
            return Err(CliError::new(
                "--quiet requires --yes: nothing can be shown and confirmed",
            ));
        }
        let old = RunDir::open(&self.run).map_err(|error| CliError::from_error(&error))?;
        if !self.yes {
            require_terminal(screen.is_interactive())?;
        }
        let _old_lock = deadline.within(lock_run(&old, self.limits.wait_lock)).await?;
        let old = RunToUndo::load(old)?;
        let (run, _run_lock) = new_run(match &self.run_dir {
            Some(path) => RunDir::create_at(path),
            None => RunDir::create_beside(&old.run, jiff::Timestamp::now()),
        })?;
        let discard_guard = DiscardUnlessStarted::new(&run);
        let prepare = Box::pin(deadline.within(self.prepare(&old, &run, execution, screen)));
        let (prepared, undo_summary) = prepare.await?;
        discard_guard.keep();
        let exit_code = prepared.finish(screen, signal, deadline).await?;
        let Some(list) = undo_summary.list else {
            return Ok(exit_code);
        };
        screen.print(&format!(
            "next       check the values that were not undone: {}\n",
            list.display()
        ));
        Ok(if exit_code == exit_codes::DONE { exit_codes::NEEDS_FIXING } else { exit_code })
    }

    /// Prepares the undo up to its first write.
    async fn prepare(
        &self,
        old: &RunToUndo,
        run: &RunDir,
        execution: Execution,
        screen: &Screen,
    ) -> Result<(Box<PreparedRun>, UndoSummary), CliError> {
        let busy = Some(run).filter(|_| !self.limits.wait_lock);
        let connection = Connection::to_account_of_run(
            &self.settings,
            &old.run,
            &old.meta,
            &execution,
            busy,
            screen.prompt_unless(self.yes),
        )
        .await?;
        let locks = self.locks(old, &connection, run).await?;
        if old.is_unfinished {
            let path = old.run.path().display();
            screen.error(&format!("{path} is unfinished; undoing what it has done so far"));
        }
        let (mut meta, ledger) = connection.create_run(run, old.undoing_run(), None)?;
        let reading = take_snapshots(old, &ledger, &connection, screen).await?;
        connection.mark_unsettled(&ledger, &meta)?;
        let undo_summary =
            write_sheets(old.finished_run(), &ledger, run).map_err(|error| undo_error(&error))?;
        let staged =
            staged_in(run.input(Format::Jsonl)).map_err(|error| CliError::from_error(&error))?;
        meta.input_fingerprint = staged.fingerprint.0;
        let context = Context { files: None, ..old.context.clone() };
        let planner = || Planner::of(meta.planning, &ledger, Box::new(|_, _| None));
        let mut preview = planner()?;
        preview.preview(EXAMPLES_MAX);
        let scan = scan(&staged.input, &context, &mut preview, self.limits.limit, |_| {});
        let mut scan = scan.map_err(|error| CliError::from_error(&error))?;
        // Tags that the run added are meant to go.
        scan.summary.lost_tags = LostTags::default();
        self.show(&connection, &meta, &execution, (&scan, undo_summary.rows), reading, screen);
        screen.print(&render_undo(&undo_summary, screen.width()));
        if !self.yes {
            ask(screen.is_interactive(), &scan.summary, self.settings.max_bad(), screen).await?;
        }
        let planner = planner()?;
        (meta.rows, meta.writes) = (undo_summary.rows, scan.summary.writes);
        meta.stage = Stage::Running;
        ledger.set_meta(&meta)?;
        let rates = Some(connection.rates.clone());
        let rows_max = self.limits.limit;
        let prepared = Box::new(PreparedRun {
            session: Session { input: staged.input, context, execution, rates, rows_max },
            planner,
            run: run.clone(),
            meta,
            ledger,
            charges: None,
            connection,
            _locks: locks,
            _sandbox: None,
        });
        Ok((prepared, undo_summary))
    }

    fn show(
        &self,
        connection: &Connection,
        meta: &RunMeta,
        execution: &Execution,
        (scan, all_rows): (&InputSummary, u64),
        reading: (ReadStats, u64),
        screen: &Screen,
    ) {
        screen.print(&render_plan(&PlanView {
            input: &meta.input_name,
            rows_of_run: None,
            summary: &scan.summary,
            ignored_columns: &[],
            empty_cells: 0,
            looked_up: None,
            reading: Some(reading),
            target: Some(Target {
                endpoint: &connection.client.endpoint,
                account: &connection.client.identity,
                is_first_run: false,
                sandbox: false,
                execution,
                pilot_of: self.limits.limit.map(|_| WholeSheet { rows: all_rows, invalid: 0 }),
                can_undo: Some(true),
                now: ZonedDateTime::now(),
            }),
            is_refused: false,
            verbose: screen.is_verbose(),
            width: screen.width(),
        }));
    }

    /// Locks the account of the key, and also the account that the run started on if that is
    /// recorded under another key.
    async fn locks(
        &self,
        old: &RunToUndo,
        connection: &Connection,
        run: &RunDir,
    ) -> Result<Vec<AccountLock>, CliError> {
        let wait = self.limits.wait_lock;
        let mut locks: Vec<_> = connection.lock(run, wait).await?.into_iter().collect();
        let Some(LocalState { state, db, account }) = &connection.local else {
            return Ok(locks);
        };
        let started_on = db.account_of(&old.meta.account)?;
        if started_on == *account {
            return Ok(locks);
        }
        if !self.key_changed {
            return Err(key_mismatch());
        }
        locks.push(lock_account(state, started_on, run, wait).await?);
        db.join(*account, started_on)?;
        Ok(locks)
    }
}

/// Reads the files of the run to be undone; returns how, and in how many requests.
async fn take_snapshots(
    old: &RunToUndo,
    ledger: &LedgerFile,
    connection: &Connection,
    screen: &Screen,
) -> Result<(ReadStats, u64), CliError> {
    let counter = Counter::new(screen.bars());
    let (api, reads) = (&connection.client.api, &connection.reads);
    let reader = SnapshotReader { ledger, api, reads, progress: &counter };
    let reads_before = reads.sent();
    let stats = read_snapshots(old.finished_run(), reader, connection).await?;
    Ok((stats, reads.sent() - reads_before))
}

/// The run to undo.
struct RunToUndo {
    run: RunDir,
    meta: RunMeta,
    ledger: LedgerFile,
    input: Input,
    context: Context,
    is_unfinished: bool,
    was_interrupted: bool,
}

impl RunToUndo {
    fn load(run: RunDir) -> Result<Self, CliError> {
        let path = run.path().display();
        let ledger = run.ledger()?;
        let meta = ledger.meta()?;
        refuse_edited_copy(&run, &meta)?;
        if meta.sandbox {
            return Err(CliError::new(format!(
                "{path} ran on its own sandbox, which is gone with all of its changes; there is nothing \
                 to undo. To try undo, start `ikbulk sandbox`"
            )));
        }
        if meta.stage != Stage::Running {
            return Err(CliError::new(format!("{path} has not started; there is nothing to undo")));
        }
        if ledger.file_count()? == 0 {
            return Err(CliError::new(format!(
                "{path} has no snapshots of its files (--no-snapshot), or changed none; there is \
                 nothing to restore"
            )));
        }
        let ended = ledger.ended()?;
        let context = ledger.context(&meta)?;
        let input = run.input(meta.input_format);
        let is_unfinished = ended.is_none_or(|ended| ended.not_attempted > 0);
        let was_interrupted = ended.is_none();
        Ok(Self { run, meta, ledger, input, context, is_unfinished, was_interrupted })
    }

    fn finished_run(&self) -> FinishedRun<'_> {
        FinishedRun {
            input: &self.input,
            context: &self.context,
            ledger: &self.ledger,
            planning: self.meta.planning,
            was_interrupted: self.was_interrupted,
        }
    }

    /// The parameters of the run that undoes this one, before its rows are known.
    fn undoing_run(&self) -> NewRun {
        NewRun {
            input_name: RunMeta::name_of_undoing(self.run.path()),
            input_path: None,
            input_format: Format::Jsonl,
            input_fingerprint: String::new(),
            rows: 0,
            has_extensions: false,
            clear_token: self.meta.clear_token.clone(),
            fields: self.meta.fields.clone(),
            checks_conflicts: false,
            planning: Planning::Diff(DiffOptions::default()),
        }
    }
}

/// Reads the current snapshots of the files of the run. Listings may be stale and show values from
/// before the run, so a sample is re-read one by one, with more of the files whose values differ
/// from what the run left. If any of these is stale, all files are re-read.
async fn read_snapshots(
    finished_run: FinishedRun<'_>,
    reader: SnapshotReader<'_>,
    connection: &Connection,
) -> Result<ReadStats, CliError> {
    let failed_read = |error: ReadError| read_failed(&error, "");
    let ledger = reader.ledger;
    let recorded = ledger
        .transaction(|| {
            file_effects_of(finished_run, |effects| {
                Ok(ledger.upsert_file(effects.file.as_str(), 0)?)
            })
        })
        .map_err(|error: UndoError| undo_error(&error));
    recorded?;
    let mut reading = read_files(reader, connection).await.map_err(failed_read)?;
    if reading.strategy != ReadStrategy::OneByOne {
        reader.verify_sample(&mut reading).await.map_err(failed_read)?;
        let mut suspects = SpotCheck::default();
        let compared = file_effects_of(finished_run, |effects| {
            let is_unchanged_since_run = matches!(snapshot_of(ledger, &effects.file)?,
                Snapshot::Fields(fields) if effects.is_unchanged_since_run(&fields));
            if !is_unchanged_since_run {
                suspects.add(&effects.file);
            }
            Ok(())
        });
        compared.map_err(|error| undo_error(&error))?;
        reader.verify(&suspects.files(), &mut reading).await.map_err(failed_read)?;
    }
    Ok(reading)
}

fn snapshot_of(ledger: &LedgerFile, file: &FileId) -> Result<Snapshot, LedgerError> {
    let known = ledger.file_record(file.as_str())?;
    Ok(known.map(|known| known.state).unwrap_or_default())
}

/// Writes the sheet that restores the values from before the run, and the list of skipped values.
fn write_sheets(
    finished_run: FinishedRun<'_>,
    ledger: &LedgerFile,
    run: &RunDir,
) -> Result<UndoSummary, UndoError> {
    let mut sheets = UndoSheets::create(run.path())?;
    ledger.transaction(|| {
        file_effects_of(finished_run, |effects| {
            let reversal = match snapshot_of(ledger, &effects.file)? {
                Snapshot::Fields(fields) => effects.reversal(Some(&fields)),
                Snapshot::Missing | Snapshot::Unread => effects.reversal(None),
            };
            if let Some(row) = sheets.write(&effects, &reversal)? {
                ledger.upsert_file(effects.file.as_str(), row)?;
            }
            Ok(())
        })
    })?;
    Ok(sheets.finish()?)
}

fn undo_error(error: &UndoError) -> CliError {
    match error {
        UndoError::Input(error) => CliError::from_error(error),
        UndoError::Ledger(_) | UndoError::Write(_) => CliError::not_written(error),
    }
}
