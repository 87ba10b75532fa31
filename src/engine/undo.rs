//! Restores the values from before a run.

use std::future::Future;
use std::path::{Path, PathBuf};

use jiff::ZonedDateTime;

use super::Engine;
use super::connection::{Connection, NewRun};
use super::discard::DiscardUnlessStarted;
use super::error::{Error, FilesPurpose, NothingToUndo, Refusal};
use super::limits::Limits;
use super::load::refuse_edited_copy;
use super::locks::{lock_run, new_run};
use super::prepared_run::{PreparedRun, RunReport, StartedRun};
use super::reading::read_files;
use super::settings::{Consent, Settings, prompt, require_person};
use super::ui::{Event, Notice, Preview, ReadCounter, Target, Ui, WholeSheet};
use crate::execute::Stop;
use crate::history::RunRecord;
use crate::input::{Context, Format, ReadOptions, staged_in};
use crate::ledger::{
    FileRecord, LedgerError, LedgerFile, PathPolicies, RunKind, RunMeta, Snapshot, Stage,
};
use crate::plan::{EXAMPLES_MAX, InputSummary, LostTags, Planner, PriorRuns, scan};
use crate::row::{FileId, Rules};
use crate::run::{LoadedRun, ReadStats, ReadStrategy, RunDir, SnapshotReader, SpotCheck};
use crate::settings::{DiffOptions, Planning};
use crate::spending::SpendingLimits;
use crate::undo::{UndoError, UndoSheets, UndoSummary, file_effects_of};

/// Options of an undo.
#[derive(Debug, Clone)]
pub struct UndoOptions {
    /// The run directory to create for the undo; `None` for one beside the run.
    pub run_dir: Option<PathBuf>,
    /// Whether the values from before may be sent without asking.
    pub consent: Consent,
    /// Whether another key than the run started with is accepted, after a key rotation.
    pub key_changed: bool,
    /// Limits of the session.
    pub limits: Limits,
}

impl UndoOptions {
    /// An undo in a run directory beside the run, without limits.
    #[must_use]
    pub fn new(consent: Consent) -> Self {
        Self { run_dir: None, consent, key_changed: false, limits: Limits::default() }
    }
}

/// The result of an undo.
#[derive(Debug)]
pub struct Undone {
    /// The run that restored the values.
    pub report: Box<RunReport>,
    /// What was restored, and what was not.
    pub summary: UndoSummary,
}

impl Engine {
    /// Restores the values from before a run. Values that changed since the run are skipped.
    ///
    /// `signal` stops the session gracefully. Until it is polled nothing has been sent, and the
    /// future may be dropped.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn undo(
        &self,
        run: &Path,
        options: UndoOptions,
        ui: &impl Ui,
        signal: impl Future<Output = Stop>,
    ) -> Result<Undone, Error> {
        let old = RunDir::open(run)?;
        if options.consent == Consent::Ask {
            require_person(ui.can_ask())?;
        }
        let limits = options.limits;
        let _old_lock = limits.within(lock_run(&old, limits.wait_lock)).await?;
        let old = RunToUndo::load(old)?;
        let (run, _run_lock) = new_run(match &options.run_dir {
            Some(path) => RunDir::create_at(path),
            None => RunDir::create_beside(&old.run.directory, jiff::Timestamp::now()),
        })?;
        let discard_guard = DiscardUnlessStarted::new(&run);
        let undo = Undo { old: &old, run: &run, options: &options, settings: &self.settings, ui };
        let (started, summary) = limits.within(Box::pin(undo.prepare())).await?;
        discard_guard.keep();
        let report = started.finish(limits, ui, signal).await?;
        Ok(Undone { report, summary })
    }
}

/// The undo of a run, with the options of the command.
struct Undo<'u, U> {
    old: &'u RunToUndo,
    run: &'u RunDir,
    options: &'u UndoOptions,
    settings: &'u Settings,
    ui: &'u U,
}

impl<U: Ui> Undo<'_, U> {
    /// Prepares the undo up to its first write.
    async fn prepare(&self) -> Result<(Box<StartedRun>, UndoSummary), Error> {
        let Self { old, run, options, settings, ui } = self;
        let connection = Connection::to_account_of_run(
            settings,
            &old.run.directory,
            &old.run.meta,
            Some(*run).filter(|_| !options.limits.wait_lock),
            prompt(*ui, options.consent),
        )
        .await?;
        let wait = options.limits.wait_lock;
        let check_key = || self.check_key();
        let locks = connection.lock_account_of_run(run, &old.run.meta, wait, check_key).await?;
        if old.is_unfinished {
            ui.event(Event::Notice(Notice::UndoingUnfinished(&old.run.directory)));
        }
        let (mut meta, ledger) = connection.create_run(run, old.undoing_run(), None)?;
        let reading = self.take_snapshots(&ledger, &connection).await?;
        connection.mark_unsettled(&ledger, &meta)?;
        let undo_summary = write_sheets(old.run.record(), &ledger, run)?;
        let staged = staged_in(run.own_input(Format::Jsonl))?;
        meta.input_fingerprint = staged.fingerprint.0;
        let schema = old.run.context.schema.clone();
        let context = Context { rules: meta.rules.clone(), schema, files: None };
        let mut preview = Planner::of(&meta, &ledger, PriorRuns::none())?;
        preview.preview(EXAMPLES_MAX);
        let mut scan = scan(&staged.input, &context, &mut preview, options.limits.rows, |_| {})?;
        // Tags that the run added are meant to go, and values from before to return as they were.
        scan.summary.lost_tags = LostTags::default();
        scan.summary.findings = Vec::new();
        self.show(&connection, &meta, (&scan, undo_summary.rows), reading);
        ui.event(Event::UndoPreview(&undo_summary));
        if options.consent == Consent::Ask {
            let prices = &settings.spending.prices;
            settings.confirm(&scan.summary, prices, ui.can_ask(), *ui).await?;
        }
        (meta.rows, meta.writes) = (undo_summary.rows, scan.summary.writes);
        let prepared = PreparedRun {
            run: (*run).clone(),
            meta,
            ledger,
            input: staged.input,
            context,
            // An undo runs no extensions.
            charges: None,
            connection,
            listener: None,
            locks,
            sandbox: None,
        };
        let started = prepared.started(settings, options.limits.rows)?;
        Ok((started, undo_summary))
    }

    fn show(
        &self,
        connection: &Connection,
        meta: &RunMeta,
        (scan, all_rows): (&InputSummary, u64),
        reading: (ReadStats, u64),
    ) {
        let pilot_of = self.options.limits.rows.map(|_| WholeSheet { rows: all_rows, invalid: 0 });
        self.ui.event(Event::Preview(&Preview {
            empty_cells: 0,
            reading: Some(reading),
            target: Some(Target {
                endpoint: &connection.client.endpoint,
                account: &connection.client.identity,
                is_first_run: false,
                sandbox: false,
                execution: &self.settings.execution,
                spending: &self.settings.spending,
                pilot_of,
                can_undo: Some(true),
                now: ZonedDateTime::now(),
            }),
            ..Preview::of(&meta.input_name, scan)
        }));
    }

    fn check_key(&self) -> Result<(), Error> {
        if self.options.key_changed { Ok(()) } else { Err(Refusal::KeyDiffers.into()) }
    }

    /// Reads the files of the run to be undone; returns how, and in how many requests.
    async fn take_snapshots(
        &self,
        ledger: &LedgerFile,
        connection: &Connection,
    ) -> Result<(ReadStats, u64), Error> {
        let counter = ReadCounter::new(self.ui);
        let (api, reads) = (&connection.client.api, &connection.reads);
        let reader = SnapshotReader { ledger, api, reads, progress: &counter };
        let reads_before = reads.sent();
        let stats = read_snapshots(self.old.run.record(), reader, connection).await?;
        Ok((stats, reads.sent() - reads_before))
    }
}

/// The run to undo.
struct RunToUndo {
    run: LoadedRun,
    is_unfinished: bool,
}

impl RunToUndo {
    fn load(run: RunDir) -> Result<Self, Error> {
        let run = LoadedRun::load(run)?;
        let LoadedRun { directory, meta, ledger, .. } = &run;
        refuse_edited_copy(directory, meta)?;
        let nothing = |reason| Refusal::NothingToUndo { run: directory.path().to_owned(), reason };
        if meta.sandbox {
            return Err(nothing(NothingToUndo::Sandbox).into());
        }
        if meta.stage != Stage::Running {
            return Err(nothing(NothingToUndo::NotStarted).into());
        }
        if ledger.file_count()? == 0 {
            return Err(nothing(NothingToUndo::NoSnapshots).into());
        }
        let is_unfinished = ledger.final_exit_code()?.is_none();
        Ok(Self { run, is_unfinished })
    }

    /// The parameters of the run that undoes this one, before its rows are known.
    fn undoing_run(&self) -> NewRun {
        NewRun {
            kind: RunKind::Undo { of: self.run.meta.id.clone() },
            input_name: format!("undo of {}", self.run.directory.path().display()),
            input_path: None,
            input_format: Format::Jsonl,
            read_options: ReadOptions::default(),
            input_fingerprint: String::new(),
            rows: 0,
            names_files_once: false,
            has_extensions: false,
            rules: Rules::of_own_sheet(),
            fields: self.run.meta.fields.clone(),
            planning: Planning::Diff(DiffOptions::default()),
            spending: SpendingLimits::default(),
            saves_responses: false,
            fails_on_pending: false,
        }
    }
}

/// Reads the current snapshots of the files of the run. Listings may be stale and show values from
/// before the run, so a sample is re-read one by one, with more of the files whose values differ
/// from what the run left. If any of these is stale, all files are re-read.
async fn read_snapshots(
    undone: RunRecord<'_>,
    reader: SnapshotReader<'_>,
    connection: &Connection,
) -> Result<ReadStats, Error> {
    let failed_read = |source| Error::Files { purpose: FilesPurpose::Undo, source };
    let ledger = reader.ledger;
    ledger.transaction(|| {
        file_effects_of(undone, |effects| Ok(ledger.add_file_without_row(&effects.file)?))?;
        Ok::<_, UndoError>(ledger.index_files()?)
    })?;
    let mut reading = read_files(reader, connection).await.map_err(failed_read)?;
    if reading.strategy != ReadStrategy::OneByOne {
        reader.verify_sample(&mut reading).await.map_err(failed_read)?;
        let mut suspects = SpotCheck::default();
        file_effects_of(undone, |effects| {
            let is_unchanged_since_run = matches!(snapshot_of(ledger, &effects.file)?,
                Snapshot::Fields(fields) if effects.is_unchanged_since_run(&fields));
            if !is_unchanged_since_run {
                suspects.add(&effects.file);
            }
            Ok(())
        })?;
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
    undone: RunRecord<'_>,
    ledger: &LedgerFile,
    run: &RunDir,
) -> Result<UndoSummary, UndoError> {
    let mut sheets = UndoSheets::create(run.path())?;
    let mut policies = PathPolicies::default();
    ledger.transaction(|| {
        file_effects_of(undone, |effects| {
            let record = ledger.file_record(effects.file.as_str())?;
            let reversal = match &record {
                Some(record @ FileRecord { state: Snapshot::Fields(fields), .. }) => {
                    effects.reversal(Some(fields), policies.of(record, ledger)?.as_deref())
                }
                _ => effects.reversal(None, None),
            };
            if let Some(row) = sheets.write(&effects, &reversal)? {
                ledger.set_last_row(&effects.file, row)?;
            }
            Ok(())
        })
    })?;
    Ok(sheets.finish()?)
}
