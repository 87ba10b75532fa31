//! Writes the reports of a run, in one pass over its input and its ledger.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::backup;
use super::error::ReportError;
use super::returned::{ReturnedRow, return_sheet};
use super::row::RowResult;
use super::sheets::{ReportSheet, ReturnSheet};
use super::summary::{Summary, exit_code};
use super::superseded::SupersededRows;
use crate::atomic_file::{self, AtomicFile};
use crate::causes::Causes;
use crate::execute::EndReason;
use crate::extension_results::ExtensionResults;
use crate::history::RunRecord;
use crate::input::{Fingerprint, ReadOptions, Records, read_flags};
use crate::ledger::{Ended, LedgerError, LedgerFile, RunKind, RunMeta, Stage, StepRecord};
use crate::outcome::{Code, Status};
use crate::row::{Change, Content, FileField, RowPos};
use crate::run::{RunDir, Successor};
use crate::settle::state_before;
use crate::spending::SpendingLimits;

/// The reports that were written.
#[derive(Debug, Clone)]
pub struct Reports {
    /// The summary of the run.
    pub summary: Summary,
    /// The causes of failures, and their rows.
    pub failures: Causes,
    /// The path of `report.csv`.
    pub report: PathBuf,
    /// The path of `failed.*`; `None` if it would have no rows.
    pub failed: Option<PathBuf>,
    /// The path of `unknown.*`; `None` if it would have no rows.
    pub unknown: Option<PathBuf>,
    /// The flags with which `failed.*` and `unknown.*` are read like the sheet, each after a blank.
    pub read_flags: String,
    /// The recorded limits of billed extensions.
    pub spending: SpendingLimits,
    /// The backups of sheets that were edited since they were last written.
    pub backups: Vec<PathBuf>,
    /// The stage of the run.
    pub stage: Stage,
    /// Whether the run kept snapshots on an account that still exists.
    pub can_undo: bool,
    /// The later run that decides what can still be done with this one; `None` at the end of a session.
    pub successor: Option<Successor>,
}

/// Writes all reports at the end of a session, and records its end in the ledger.
///
/// # Errors
/// A file cannot be read or written, or rows are missing.
pub(crate) fn write(
    directory: &RunDir,
    run: RunRecord<'_>,
    ending: &EndReason,
) -> Result<Reports, ReportError> {
    let reports = write_files(directory, run, ending)?;
    let (exit_code, rows_left) = (reports.summary.exit_code, reports.summary.rows_left());
    run.ledger.set_ended(Some(Ended { exit_code, rows_left }))?;
    run.ledger.checkpoint()?;
    Ok(reports)
}

/// The flags with which a returned sheet is read. A returned workbook has one worksheet, and what a
/// retry or an undo accepts of its own sheet is no decision about a sheet that a person edits.
fn flags_of_returned(meta: &RunMeta, records: &Records) -> String {
    let options = ReadOptions { worksheet: None, ..records.options() };
    let mut rules = meta.rules.clone();
    if matches!(meta.kind, RunKind::Retry { .. } | RunKind::Undo { .. }) {
        rules.accepted.clear();
        rules.null_means = None;
    }
    read_flags(&options, &rules)
}

/// Regenerates all reports. A session that was interrupted stays so in the ledger: it may have had
/// requests in flight that the ledger does not have.
///
/// # Errors
/// A file cannot be read or written, or rows are missing.
pub(crate) fn rewrite(directory: &RunDir, run: RunRecord<'_>) -> Result<Reports, ReportError> {
    if run.ledger.ended()?.is_some() {
        write(directory, run, &EndReason::Done)
    } else {
        write_files(directory, run, &EndReason::Done)
    }
}

fn write_files(
    directory: &RunDir,
    run: RunRecord<'_>,
    ending: &EndReason,
) -> Result<Reports, ReportError> {
    let RunRecord { input, meta, ledger, .. } = run;
    let path = directory.path();
    let failed = |source| ReportError::Write { directory: path.to_owned(), source };
    atomic_file::remove_leftovers(path).map_err(failed)?;
    let mut writer = ReportWriter::open(directory, run)?;
    run.each_record(|pos, records, steps| writer.row(pos, records, steps, &failed))?;
    let ReportWriter {
        mut summary,
        failures,
        report,
        failed: failed_sheet,
        unknown,
        read_flags,
        ..
    } = writer;
    if summary.rows.total != meta.rows {
        return Err(ReportError::RowsLost { found: summary.rows.total, expected: meta.rows });
    }
    summary.exit_code = exit_code(&summary, ending);
    let extension = input.returned_extension()?;
    let sheets = ["failed", "unknown"].map(|name| format!("{name}.{extension}"));
    let mut backups = Vec::new();
    for sheet in &sheets {
        let as_written = ledger.written(sheet)?;
        let saved_as = backup::back_up(&path.join(sheet), as_written.as_deref());
        let Some(backup) = saved_as.map_err(failed)? else { continue };
        if let (Some(name), Some(edited_from)) = (backup.file_name(), as_written) {
            ledger.set_written(&name.to_string_lossy(), &edited_from)?;
        }
        backups.push(backup);
    }
    let finish_sheet = |name: &str, sheet: ReturnSheet| match sheet.finish()? {
        Some(file) => file.finish().map(Some),
        None => remove_if_exists(&path.join(name)).map(|()| None),
    };
    let reports = Reports {
        report: report.finish().and_then(AtomicFile::finish).map_err(failed)?,
        failed: finish_sheet(&sheets[0], failed_sheet).map_err(failed)?,
        unknown: finish_sheet(&sheets[1], unknown).map_err(failed)?,
        failures,
        summary,
        read_flags,
        spending: meta.spending.clone(),
        backups,
        stage: meta.stage,
        can_undo: !meta.sandbox && ledger.file_count()? > 0,
        successor: None,
    };
    for (sheet, path) in sheets.iter().zip([&reports.failed, &reports.unknown]) {
        if let Some(path) = path {
            let written = Fingerprint::of_file(path).map_err(failed)?.0;
            ledger.set_written(sheet, &written)?;
        }
    }
    let mut file = AtomicFile::create(path, "summary.json").map_err(failed)?;
    let json = serde_json::to_string_pretty(&reports.summary).unwrap_or_default() + "\n";
    file.write_all(json.as_bytes()).map_err(failed)?;
    file.finish().map_err(failed)?;
    Ok(reports)
}

/// Collects the results of all rows, and writes them to the sheets.
struct ReportWriter<'p> {
    run: RunRecord<'p>,
    superseded: SupersededRows<'p>,
    summary: Summary,
    failures: Causes,
    report: ReportSheet<'p>,
    failed: ReturnSheet,
    unknown: ReturnSheet,
    /// The flags with which the returned sheets are read.
    read_flags: String,
}

impl<'p> ReportWriter<'p> {
    fn open(directory: &RunDir, run: RunRecord<'p>) -> Result<Self, ReportError> {
        let RunRecord { input, context, meta, ledger } = run;
        let path = directory.path();
        let failed = |source| ReportError::Write { directory: path.to_owned(), source };
        let records = input.records(context)?;
        let extension = input.returned_extension()?;
        let sheet = |name: &str| -> Result<ReturnSheet, ReportError> {
            let name = format!("{name}.{extension}");
            let file = AtomicFile::create(path, &name).map_err(failed)?;
            return_sheet(file, input, &records).map_err(failed)
        };
        let report = AtomicFile::create(path, "report.csv").map_err(failed)?;
        let report = ReportSheet::new(report, extension_names(ledger)?, &context.rules);
        Ok(Self {
            run,
            superseded: SupersededRows::find_all(run)?,
            summary: Summary {
                run: path.display().to_string(),
                input: meta.input_name.clone(),
                sandbox: meta.sandbox,
                rows: super::RowCounts::default(),
                requests: ledger.counters()?,
                sessions: ledger.sessions()?,
                extensions: std::collections::BTreeMap::new(),
                billed: super::Billed::of(&ledger.spent()?, &meta.spending.prices),
                seconds: ledger.seconds()?,
                exit_code: 0,
                needs_attention: 0,
                unverified: 0,
                partially_done: 0,
                with_unsent_steps: 0,
                with_failed_extension: 0,
                fails_on_pending: meta.fails_on_pending,
            },
            failures: Causes::default(),
            report: report.map_err(|error| failed(error.into()))?,
            failed: sheet("failed")?,
            unknown: sheet("unknown")?,
            read_flags: flags_of_returned(meta, &records),
        })
    }

    fn row(
        &mut self,
        pos: RowPos,
        records: &Records,
        steps: &[StepRecord],
        failed: &impl Fn(io::Error) -> ReportError,
    ) -> Result<(), ReportError> {
        let mut row = RowResult::of(steps);
        let superseded = self.superseded.of_row(pos.number)?;
        if let Some(superseded) = &superseded {
            superseded.apply(&mut row);
        }
        self.summary.add(&row);
        add_failure(&mut self.failures, pos, &row);
        let file_id = records.file_id();
        let found = self.found(pos, steps)?;
        let written = self.report.write(pos.number, &file_id, &row, found.as_ref());
        written.map_err(|error| failed(error.into()))?;
        let sheet = match row.status {
            Status::Rejected => &mut self.failed,
            Status::Unknown => &mut self.unknown,
            _ if row.can_retry() => &mut self.failed,
            _ => return Ok(()),
        };
        let superseded = superseded.as_ref();
        let row = ReturnedRow { pos, records, steps, result: &row, superseded };
        row.write(sheet, self.run, failed)
    }
}

impl ReportWriter<'_> {
    /// What the extensions of a row found and wrote. If it is not known which AI tags the file had
    /// before, all that are theirs.
    fn found(
        &self,
        pos: RowPos,
        steps: &[StepRecord],
    ) -> Result<Option<ExtensionResults>, ReportError> {
        let mut records = steps.iter().rev();
        let Some(record) = records.find(|record| record.outcome.results.is_some()) else {
            return Ok(None);
        };
        let results = record.outcome.results.as_deref().cloned().unwrap_or_default();
        if results.ai_tags.is_empty() {
            return Ok(Some(results));
        }
        let removes_tags = record.sent.fields.contains(FileField::AiTags);
        let change = if removes_tags { self.change(pos)? } else { Change::default() };
        Ok(match state_before(&change, record, self.run.ledger)? {
            Some(before) => results.since(&before.ai_tags),
            None => Some(results),
        })
    }

    /// The change of a row, as it was planned.
    fn change(&self, pos: RowPos) -> Result<Change, ReportError> {
        Ok(match self.run.planned_row::<ReportError>(pos)? {
            Content::Update(update) => *update.change,
            _ => Change::default(),
        })
    }
}

/// The names of all extensions that ImageKit returned a status for, sorted.
fn extension_names(ledger: &LedgerFile) -> Result<Vec<String>, LedgerError> {
    let mut names = BTreeSet::new();
    ledger.extension_statuses(|json| {
        if let Ok(statuses) =
            serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json)
        {
            names.extend(statuses.into_iter().map(|(name, _)| name));
        }
    })?;
    Ok(names.into_iter().collect())
}

/// Removes a sheet of an earlier session that would have no rows now.
fn remove_if_exists(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Adds a row to the causes of failure if it failed, needs attention or exceeds a limit of spending.
fn add_failure(failures: &mut Causes, pos: RowPos, row: &RowResult<'_>) {
    let needs_attention = row.code.is_some_and(Code::needs_attention);
    let is_failure = row.status != Status::NotAttempted && !row.status.is_success();
    // Other rows that were not attempted have one cause, which ended the run.
    if is_failure || needs_attention || row.code == Some(Code::Budget) {
        failures.add(pos, row.status, row.code, &row.message);
    }
}
