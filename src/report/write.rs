//! Writes the reports of a run: one pass over its input and its ledger, side by side.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::PathBuf;

use super::backup;
use super::error::ReportError;
use super::failures::Failures;
use super::row::RowResult;
use super::sheets::{Reason, ReportSheet, ReturnSheet};
use super::summary::{Summary, exit_code};
use super::superseded::{Superseded, SupersededEdits};
use crate::atomic_file::{self, AtomicFile};
use crate::execute::EndReason;
use crate::input::{Context, Fingerprint, Format, Input, Records};
use crate::ledger::{Ended, LedgerError, LedgerFile, RunMeta, Stage, StepRecord};
use crate::outcome::{Code, Status};
use crate::plan::{fingerprint, steps};
use crate::row::Content;
use crate::run::RunDir;

/// What was written.
#[derive(Debug, Clone)]
pub struct Reports {
    /// The run in numbers.
    pub summary: Summary,
    /// What went wrong.
    pub failures: Failures,
    /// `report.csv`.
    pub report: PathBuf,
    /// `failed.*`.
    pub failed: PathBuf,
    /// `unknown.*`.
    pub unknown: PathBuf,
    /// Sheets that somebody had changed since they were last written, under their new names.
    pub backups: Vec<PathBuf>,
    /// How far the run had come.
    pub stage: Stage,
}

/// Writes all reports at the end of a session, and writes down in the ledger how it ended.
///
/// # Errors
/// A file cannot be read or written, or rows are missing.
pub fn write(
    run: &RunDir,
    ledger: &LedgerFile,
    meta: &RunMeta,
    context: &Context,
    ending: &EndReason,
) -> Result<Reports, ReportError> {
    let reports = write_files(run, ledger, meta, context, ending)?;
    let Summary { exit_code, rows, owed, .. } = reports.summary;
    ledger.set_ended(Some(Ended { exit_code, not_attempted: rows.not_attempted + owed }))?;
    ledger.checkpoint()?;
    Ok(reports)
}

/// Writes all reports again. A session that was cut short stays one: requests may have been in
/// flight that its ledger does not hold.
///
/// # Errors
/// A file cannot be read or written, or rows are missing.
pub fn rewrite(
    run: &RunDir,
    ledger: &LedgerFile,
    meta: &RunMeta,
    context: &Context,
) -> Result<Reports, ReportError> {
    if ledger.ended()?.is_some() {
        write(run, ledger, meta, context, &EndReason::Done)
    } else {
        write_files(run, ledger, meta, context, &EndReason::Done)
    }
}

fn write_files(
    run: &RunDir,
    ledger: &LedgerFile,
    meta: &RunMeta,
    context: &Context,
    ending: &EndReason,
) -> Result<Reports, ReportError> {
    let failed = |source| ReportError::Write { directory: run.path().to_owned(), source };
    atomic_file::remove_leftovers(run.path()).map_err(failed)?;
    let input = run.input(meta.input_format);
    let mut pass = Pass::open(run, ledger, meta, context, &input)?;
    ledger.steps(0, |ledger_steps| pass.rows(ledger_steps, &failed))?;
    let Pass { mut summary, failures, report, failed: failed_sheet, unknown, .. } = pass;
    if summary.rows.total != meta.rows {
        return Err(ReportError::Lost { found: summary.rows.total, expected: meta.rows });
    }
    summary.exit_code = exit_code(&summary, ending);
    let sheets = ["failed", "unknown"].map(|name| format!("{name}.{}", input.format.extension()));
    let mut backups = Vec::new();
    for sheet in &sheets {
        let as_written = ledger.written(sheet)?;
        let saved_as = backup::back_up(&run.path().join(sheet), as_written.as_deref());
        backups.extend(saved_as.map_err(failed)?);
    }
    let finish = |whole: io::Result<AtomicFile>| whole.and_then(AtomicFile::finish).map_err(failed);
    let reports = Reports {
        report: finish(report.finish())?,
        failed: finish(failed_sheet.finish())?,
        unknown: finish(unknown.finish())?,
        failures,
        summary,
        backups,
        stage: meta.stage,
    };
    for sheet in &sheets {
        let written = Fingerprint::of_file(&run.path().join(sheet)).map_err(failed)?.0;
        ledger.set_written(sheet, &written)?;
    }
    let mut file = AtomicFile::create(run.path(), "summary.json").map_err(failed)?;
    let json = serde_json::to_string_pretty(&reports.summary).unwrap_or_default() + "\n";
    file.write_all(json.as_bytes()).map_err(failed)?;
    file.finish().map_err(failed)?;
    Ok(reports)
}

/// One pass over input and ledger.
struct Pass<'p> {
    records: Records,
    superseded: Superseded<'p>,
    input: &'p Input,
    context: &'p Context,
    summary: Summary,
    failures: Failures,
    report: ReportSheet,
    failed: ReturnSheet,
    unknown: ReturnSheet,
}

impl<'p> Pass<'p> {
    fn open(
        run: &RunDir,
        ledger: &'p LedgerFile,
        meta: &RunMeta,
        context: &'p Context,
        input: &'p Input,
    ) -> Result<Self, ReportError> {
        let failed = |source| ReportError::Write { directory: run.path().to_owned(), source };
        let records = input.records(context.files.as_ref())?;
        let sheet = |name: &str| -> Result<ReturnSheet, ReportError> {
            let name = format!("{name}.{}", input.format.extension());
            let file = AtomicFile::create(run.path(), &name).map_err(failed)?;
            match (input.format, records.header()) {
                (Format::Csv, Some(header)) => {
                    ReturnSheet::cells(file, header).map_err(|error| failed(error.into()))
                }
                _ => Ok(ReturnSheet::lines(file)),
            }
        };
        let report = AtomicFile::create(run.path(), "report.csv").map_err(failed)?;
        let report = ReportSheet::new(report, extension_names(ledger)?);
        Ok(Self {
            superseded: Superseded::new(input, context, ledger),
            summary: Summary {
                run: run.path().display().to_string(),
                input: meta.input_name.clone(),
                sandbox: meta.sandbox,
                rows: super::RowCounts::default(),
                requests: ledger.counters()?,
                extensions: std::collections::BTreeMap::new(),
                seconds: ledger.seconds()?,
                exit_code: 0,
                to_mend: 0,
                unverified: 0,
                begun: 0,
                owed: 0,
                superseded: super::summary::SupersededCounts::default(),
            },
            failures: Failures::default(),
            report: report.map_err(|error| failed(error.into()))?,
            failed: sheet("failed")?,
            unknown: sheet("unknown")?,
            records,
            input,
            context,
        })
    }

    fn rows(
        &mut self,
        mut ledger_steps: crate::ledger::Steps<'_, '_>,
        failed: &impl Fn(io::Error) -> ReportError,
    ) -> Result<(), ReportError> {
        let mut steps: Vec<StepRecord> = Vec::new();
        while let Some(pos) = self.records.advance()? {
            ledger_steps.of_row(pos.number, &mut steps)?;
            let mut row = RowResult::of(&steps);
            let superseded_edits = self.superseded.of(pos.number, row.status)?;
            if let Some(superseded_edits) = superseded_edits {
                row.code = Some(Code::Superseded);
                row.message = superseded_edits.message(&row.message).into();
            }
            self.summary.add(&row, superseded_edits.is_some_and(SupersededEdits::is_whole));
            self.failures.add(pos.number, &row);
            let file_id = self.records.file_id();
            self.report.write(pos.number, &file_id, &row).map_err(|error| failed(error.into()))?;
            let sheet = match row.status {
                Status::Rejected | Status::Failed
                    if !superseded_edits.is_some_and(SupersededEdits::is_whole) =>
                {
                    &mut self.failed
                }
                Status::Unknown => &mut self.unknown,
                _ => continue,
            };
            let done = if steps.iter().any(|record| record.outcome.status.is_success()) {
                already_done(self.input, self.context, pos, &steps)?
            } else {
                self.records.already_done()
            };
            let other_tags = superseded_edits.and_then(SupersededEdits::other_tags);
            let superseded_edits =
                superseded_edits.map_or(&[][..], |superseded_edits| &superseded_edits.fields);
            let clear_token = &self.context.rules.clear_token;
            let reason =
                Reason { row: &row, done: &done, superseded_edits, other_tags, clear_token };
            sheet.write(&self.records.record(), &reason).map_err(failed)?;
        }
        Ok(())
    }
}

/// Every extension that ImageKit said anything of, by name.
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

/// Fingerprints of the steps of a row that are done, here or, for a row that was fed back, before.
fn already_done(
    input: &Input,
    context: &Context,
    pos: crate::row::RowPos,
    records: &[StepRecord],
) -> Result<String, ReportError> {
    let Some((row, fed_back)) = input.rows(context, Some(pos))?.next_row()? else {
        return Ok(String::new());
    };
    let mut done = fed_back.done;
    if let Content::Update(update) = row.content {
        for (kind, call) in steps(update.change).into_iter().flatten() {
            let is_done = records
                .iter()
                .any(|record| record.step.kind == kind && record.outcome.status.is_success());
            if is_done {
                done.push(fingerprint(&update.file, &call));
            }
        }
    }
    Ok(done.iter().map(|hash| format!("{hash:016x}")).collect::<Vec<_>>().join(" "))
}
