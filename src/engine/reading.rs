//! Reads the files of a sheet, and plans with their snapshots.

use super::connection::{Connection, LocalState};
use super::error::{Error, FilesPurpose};
use super::recorded_charges::already_ran;
use super::ui::{Event, Ui};
use crate::input::{Context, StagedInput};
use crate::ledger::RunMeta;
use crate::plan::{EXAMPLES_MAX, InputSummary, Planner, compare, scan};
use crate::row::Rules;
use crate::run::{ReadError, ReadStats, ReadStrategy, SnapshotReader, expect_written, recent_runs};

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
    let PlanSubject { staged, context, meta, connection } = subject;
    let failed = |source| Error::Files { purpose: FilesPurpose::Plan, source };
    reader.record_files(&staged.input, context).map_err(failed)?;
    let mut reading = read_files(reader, connection).await.map_err(failed)?;
    reader.verify_sample(&mut reading).await.map_err(failed)?;
    connection.mark_unsettled(reader.ledger, meta)?;
    let found = compare(&staged.input, context, reader.ledger)?;
    let mut meta = meta.clone();
    if meta.rules.hold(&found) {
        reader.ledger.set_meta(&meta)?;
    }
    let already_ran = already_ran(connection, &meta)?;
    let mut planner = Planner::of(meta.planning, reader.ledger, already_ran)?;
    let tells_all = differences == Differences::All;
    planner.preview(if tells_all { usize::MAX } else { EXAMPLES_MAX });
    let mut scan = scan(&staged.input, context, &mut planner, rows_max, |batch| {
        for difference in batch.differences.iter().filter(|_| tells_all) {
            ui.event(Event::Difference(difference));
        }
    })?;
    scan.summary.findings.extend(found);
    Ok((scan, reading, meta.rules))
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
    let PlanSubject { staged, context, meta, connection } = subject;
    let failed = |source| Error::Files { purpose: FilesPurpose::Snapshots, source };
    reader.record_files(&staged.input, context).map_err(failed)?;
    connection.mark_unsettled(reader.ledger, meta)?;
    read_files(reader, connection).await.map_err(failed)
}
