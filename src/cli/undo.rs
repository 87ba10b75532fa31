//! `ikbulk undo`: puts back what was there before a run.

use std::future::Future;
use std::path::PathBuf;

use clap::Args;
use jiff::ZonedDateTime;

use super::connect::{Connection, LocalState, NewRun};
use super::finish::PreparedRun;
use super::limit_args::{Deadline, LimitArgs};
use super::locks::{lock, lock_account, lock_run, new_run};
use super::prepare::{ask, refuse_unattended};
use super::run_execution::{not_the_key, refuse_edited_copy};
use super::settings_args::SettingsArgs;
use super::sheet::{not_read, read_files};
use super::stop::DiscardUnlessStarted;
use super::{CliError, Screen};
use crate::account::AccountLock;
use crate::execute::Stop;
use crate::input::{Context, Format, Input, staged_in};
use crate::ledger::{LedgerError, LedgerFile, RunMeta, Snapshot, Stage};
use crate::plan::{InputSummary, Planner, scan};
use crate::report::{Counter, PlanView, Target, render_plan, render_undo};
use crate::row::FileId;
use crate::run::{ReadError, ReadStats, ReadStrategy, RunDir, Session, SnapshotReader, SpotCheck};
use crate::settings::{Execution, LiveOptions, Planning};
use crate::undo::{FinishedRun, Sheets, UndoError, UndoSummary, file_effects_of};

/// The exit code where everything was put back that is not left alone: somebody must look at that.
const LEFT_ALONE: u8 = 1;

#[derive(Debug, Args)]
pub(super) struct Undo {
    /// The directory of the run to be undone
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Where the run that undoes it lives [default: beside RUN]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// The account's key was replaced since
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
        let deadline = Deadline::of(&self.limits)?;
        if screen.is_quiet() && !self.yes {
            return Err(CliError::new("with -q nobody sees what is asked: add --yes"));
        }
        if !self.yes {
            refuse_unattended(screen.is_attended())?;
        }
        let old = RunDir::open(&self.run).map_err(|error| CliError::of(&error))?;
        let _old_lock = deadline.within(lock_run(&old, self.limits.wait_lock)).await?;
        let old = RunToUndo::open(old)?;
        let (run, _run_lock) = new_run(match &self.run_dir {
            Some(path) => RunDir::create_at(path),
            None => RunDir::create_beside(&old.run, jiff::Timestamp::now()),
        })?;
        let unbegun = DiscardUnlessStarted::new(&run);
        let prepare = Box::pin(deadline.within(self.prepare(&old, &run, execution, screen)));
        let (prepared, back) = prepare.await?;
        unbegun.keep();
        let exit_code = prepared.finish(screen, signal, deadline).await?;
        let Some(list) = back.list else {
            return Ok(exit_code);
        };
        screen.say(&format!("next       look at what was left alone: {}\n", list.display()));
        Ok(if exit_code == 0 { LEFT_ALONE } else { exit_code })
    }

    /// Everything up to the first request that changes anything.
    async fn prepare(
        &self,
        old: &RunToUndo,
        run: &RunDir,
        execution: Execution,
        screen: &Screen,
    ) -> Result<(Box<PreparedRun>, UndoSummary), CliError> {
        let busy = Some(run).filter(|_| !self.limits.wait_lock);
        let connection = Connection::to_run(
            &self.settings,
            &old.run,
            &old.meta,
            &execution,
            busy,
            screen.person(self.yes),
        )
        .await?;
        let locks = self.locks(old, &connection, run).await?;
        if old.is_unfinished {
            let path = old.run.path().display();
            screen.error(&format!("{path} is unfinished; what it did so far is undone"));
        }
        let (mut meta, ledger) = connection.begin(run, old.undoing_run(), None)?;
        let counter = Counter::new(screen.bars());
        let api = &connection.client.api;
        let reader =
            SnapshotReader { ledger: &ledger, api, reads: &connection.reads, counter: &counter };
        let sent_before = connection.reads.sent();
        let reading = read(old.past(), reader, &connection).await?;
        let reading = (reading, connection.reads.sent() - sent_before);
        drop(counter);
        connection.mark_unsettled(&ledger, &meta)?;
        let back = write_sheets(old.past(), &ledger, run).map_err(|error| failed(&error))?;
        let staged = staged_in(run.input(Format::Jsonl)).map_err(|error| CliError::of(&error))?;
        meta.input_fingerprint = staged.fingerprint.0;
        let context = Context { files: None, ..old.context.clone() };
        let planner = || Planner::of(meta.planning, &ledger, Box::new(|_, _| None));
        let scan = scan(&staged.input, &context, &mut planner()?, |_| {});
        let scan = scan.map_err(|error| CliError::of(&error))?;
        self.show(&connection, &meta, &execution, &scan, reading, screen);
        screen.say(&render_undo(&back, screen.width()));
        if !self.yes {
            ask(screen.is_attended(), &scan.summary, self.settings.max_bad(), screen).await?;
        }
        let planner = planner()?;
        (meta.rows, meta.writes) = (scan.summary.rows, scan.summary.writes);
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
        Ok((prepared, back))
    }

    fn show(
        &self,
        connection: &Connection,
        meta: &RunMeta,
        execution: &Execution,
        scan: &InputSummary,
        reading: (ReadStats, u64),
        screen: &Screen,
    ) {
        screen.say(&render_plan(&PlanView {
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
                limit: self.limits.limit,
                now: ZonedDateTime::now(),
            }),
            width: screen.width(),
        }));
    }

    /// Locks the account that the run was on, also where the key of today is another one.
    async fn locks(
        &self,
        old: &RunToUndo,
        connection: &Connection,
        run: &RunDir,
    ) -> Result<Vec<AccountLock>, CliError> {
        let wait = self.limits.wait_lock;
        let mut locks: Vec<_> = lock(connection, run, wait).await?.into_iter().collect();
        let Some(LocalState { state, db, account }) = &connection.kept else {
            return Ok(locks);
        };
        let began_on = db.account_of(&old.meta.account)?;
        if began_on == *account {
            return Ok(locks);
        }
        if !self.key_changed {
            return Err(not_the_key());
        }
        locks.push(lock_account(state, began_on, run, wait).await?);
        db.join(*account, began_on)?;
        Ok(locks)
    }
}

/// The run to be undone.
struct RunToUndo {
    run: RunDir,
    meta: RunMeta,
    ledger: LedgerFile,
    input: Input,
    context: Context,
    is_unfinished: bool,
    is_cut_short: bool,
}

impl RunToUndo {
    fn open(run: RunDir) -> Result<Self, CliError> {
        let path = run.path().display();
        let ledger = run.ledger()?;
        let meta = ledger.meta()?;
        refuse_edited_copy(&run, &meta)?;
        if meta.sandbox {
            return Err(CliError::new(format!(
                "{path} was on a sandbox of its own, which is gone with all that was changed on it; \
                 there is nothing to undo. To try it, start `ikbulk sandbox`"
            )));
        }
        if meta.stage != Stage::Running {
            return Err(CliError::new(format!("{path} was never begun; there is nothing to undo")));
        }
        if ledger.file_count()? == 0 {
            return Err(CliError::new(format!(
                "{path} did not keep what its files were like before (--no-snapshot), or was about \
                 none; nothing can be put back"
            )));
        }
        let ended = ledger.ended()?;
        let context = ledger.context(&meta)?;
        let input = run.input(meta.input_format);
        let is_unfinished = ended.is_none_or(|ended| ended.not_attempted > 0);
        let is_cut_short = ended.is_none();
        Ok(Self { run, meta, ledger, input, context, is_unfinished, is_cut_short })
    }

    fn past(&self) -> FinishedRun<'_> {
        FinishedRun {
            input: &self.input,
            context: &self.context,
            ledger: &self.ledger,
            planning: self.meta.planning,
            is_cut_short: self.is_cut_short,
        }
    }

    /// What the run that undoes it is, before it is known which values it restores.
    fn undoing_run(&self) -> NewRun {
        NewRun {
            input_name: RunMeta::name_of_undoing(self.run.path()),
            input_path: None,
            input_format: Format::Jsonl,
            input_fingerprint: String::new(),
            rows: 0,
            pays: false,
            clear_token: self.meta.clear_token.clone(),
            fields: self.meta.fields.clone(),
            guarded: false,
            planning: Planning::Live(LiveOptions::default()),
        }
    }
}

/// Reads what the files of the run are like now. Some are looked at again, and more of those that are
/// not as it left them: a list that is behind shows them as they were before. If one is out of date,
/// all are read by themselves.
async fn read(
    past: FinishedRun<'_>,
    reader: SnapshotReader<'_>,
    connection: &Connection,
) -> Result<ReadStats, CliError> {
    let not_read = |error: ReadError| not_read(&error, "");
    let ledger = reader.ledger;
    let named = ledger
        .transaction(|| {
            file_effects_of(past, |effects| Ok(ledger.upsert_file(effects.file.as_str(), 0)?))
        })
        .map_err(|error: UndoError| failed(&error));
    named?;
    let mut reading = read_files(reader, connection).await.map_err(not_read)?;
    if reading.way != ReadStrategy::OneByOne {
        reader.verify_sample(&mut reading).await.map_err(not_read)?;
        let mut suspects = SpotCheck::default();
        let looked_at = file_effects_of(past, |effects| {
            let is_as_left = matches!(now(ledger, &effects.file)?,
                Snapshot::Fields(fields) if effects.is_as_left(&fields));
            if !is_as_left {
                suspects.add(&effects.file);
            }
            Ok(())
        });
        looked_at.map_err(|error| failed(&error))?;
        reader.verify(&suspects.files(), &mut reading).await.map_err(not_read)?;
    }
    Ok(reading)
}

fn now(ledger: &LedgerFile, file: &FileId) -> Result<Snapshot, LedgerError> {
    let known = ledger.file_record(file.as_str())?;
    Ok(known.map(|known| known.state).unwrap_or_default())
}

/// Writes the sheet that puts back what was there before, and the list of what is left alone.
fn write_sheets(
    past: FinishedRun<'_>,
    ledger: &LedgerFile,
    run: &RunDir,
) -> Result<UndoSummary, UndoError> {
    let mut sheets = Sheets::create(run.path())?;
    ledger.transaction(|| {
        file_effects_of(past, |effects| {
            let back = match now(ledger, &effects.file)? {
                Snapshot::Fields(fields) => effects.reversal(Some(&fields)),
                Snapshot::Missing | Snapshot::Unread => effects.reversal(None),
            };
            if let Some(row) = sheets.write(&effects, &back)? {
                ledger.upsert_file(effects.file.as_str(), row)?;
            }
            Ok(())
        })
    })?;
    Ok(sheets.finish()?)
}

fn failed(error: &UndoError) -> CliError {
    match error {
        UndoError::Input(error) => CliError::of(error),
        UndoError::Ledger(_) | UndoError::Write(_) => CliError::not_written(error),
    }
}
