//! Reads the files of a sheet, and plans with their snapshots.

use super::connection::{Connection, LocalState};
use super::error::{Error, FilesPurpose};
use super::prior_runs::prior_runs;
use super::ui::{Event, Ui};
use crate::input::{Context, StagedInput};
use crate::ledger::{LedgerFile, RunMeta};
use crate::plan::{EXAMPLES_MAX, InputSummary, Planner, compare, scan};
use crate::row::Rules;
use crate::run::{
    ReadError, ReadStats, ReadStrategy, RunDir, SnapshotReader, expect_written, recent_runs,
};

/// Which differences of files are collected or told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Differences {
    /// The first ones, for the preview.
    Examples,
    /// All: each is an event.
    All,
}

/// The run for which files are read.
#[derive(Clone, Copy)]
pub(super) struct PlanSubject<'s> {
    pub(super) run: &'s RunDir,
    pub(super) staged: &'s StagedInput,
    pub(super) context: &'s Context,
    pub(super) meta: &'s RunMeta,
    pub(super) connection: &'s Connection,
}

/// Reads the snapshots of the files, and plans with them. A sample is re-read one by one; if any of
/// it was stale, all files are.
pub(super) async fn plan_with_snapshots(
    reader: SnapshotReader<'_>,
    subject: PlanSubject<'_>,
    rows_max: Option<u64>,
    differences: Differences,
    ui: &impl Ui,
) -> Result<(InputSummary, ReadStats, Rules), Error> {
    let PlanSubject { staged, context, meta, connection, .. } = subject;
    let failed = |source| Error::Files { purpose: FilesPurpose::Plan, source };
    reader.record_files(&staged.input, context).map_err(failed)?;
    let mut reading = read_files(reader, connection).await.map_err(failed)?;
    reader.verify_sample(&mut reading).await.map_err(failed)?;
    // Without the account's fields, the sheet sets no custom metadata that is checked.
    if context.schema.is_some() {
        reader.complete_policies().await.map_err(failed)?;
    }
    connection.mark_unsettled(reader.ledger, meta)?;
    let planning = SnapshotPlan { subject, ledger: reader.ledger, rows_max, differences, ui };
    let (scan, rules) = planning.plan()?;
    Ok((scan, reading, rules))
}

/// A plan with the snapshots that the ledger holds.
struct SnapshotPlan<'s, U> {
    subject: PlanSubject<'s>,
    ledger: &'s LedgerFile,
    /// Maximum rows to plan, as a pilot.
    rows_max: Option<u64>,
    differences: Differences,
    ui: &'s U,
}

impl<U: Ui> SnapshotPlan<'_, U> {
    /// Plans the rows; also returns the rules, which hold rows back for what a comparison with the
    /// library shows.
    fn plan(&self) -> Result<(InputSummary, Rules), Error> {
        let PlanSubject { staged, context, meta, .. } = self.subject;
        let mut meta = meta.clone();
        // What is told cannot be taken back, and a pilot is held back for what all rows show.
        let is_compared_before = self.differences == Differences::All || self.rows_max.is_some();
        let (found, planned) = if is_compared_before {
            (compare(&staged.input, context, self.ledger)?, None)
        } else {
            let mut planner = self.planner(&meta)?;
            planner.compare();
            let scan = self.scan(&mut planner)?;
            (planner.compared(), Some(scan))
        };
        let has_new_holds = meta.rules.hold(&found);
        if has_new_holds {
            self.ledger.set_meta(&meta)?;
        }
        let mut scan = match planned.filter(|_| !has_new_holds) {
            Some(scan) => scan,
            None => self.scan(&mut self.planner(&meta)?)?,
        };
        scan.summary.findings.extend(found);
        Ok((scan, meta.rules))
    }

    fn planner(&self, meta: &RunMeta) -> Result<Planner, Error> {
        let prior_runs = prior_runs(self.subject.connection, self.subject.run, meta)?;
        let mut planner = Planner::of(meta, self.ledger, prior_runs)?;
        let tells_all = self.differences == Differences::All;
        planner.preview(if tells_all { usize::MAX } else { EXAMPLES_MAX });
        Ok(planner)
    }

    fn scan(&self, planner: &mut Planner) -> Result<InputSummary, Error> {
        let PlanSubject { staged, context, .. } = self.subject;
        let tells_all = self.differences == Differences::All;
        Ok(scan(&staged.input, context, planner, self.rows_max, |batch| {
            for difference in batch.differences.iter().filter(|_| tells_all) {
                self.ui.event(Event::Difference(difference));
            }
        })?)
    }
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
pub(super) async fn take_snapshots(
    reader: SnapshotReader<'_>,
    subject: PlanSubject<'_>,
) -> Result<ReadStats, Error> {
    let PlanSubject { staged, context, meta, connection, .. } = subject;
    let failed = |source| Error::Files { purpose: FilesPurpose::Snapshots, source };
    reader.record_files(&staged.input, context).map_err(failed)?;
    connection.mark_unsettled(reader.ledger, meta)?;
    read_files(reader, connection).await.map_err(failed)
}
