//! Finds the earlier runs that decide which steps of a run's rows are still to be sent.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::connection::{Connection, LocalState};
use super::error::{Error, Refusal};
use super::recorded_charges::already_ran;
use crate::ledger::{LedgerError, RunKind, RunMeta, Stage};
use crate::plan::{PriorRuns, RunOfRows, SinceReturned};
use crate::run::{LoadedRun, RunDir};

/// What earlier runs show about the rows of `run`.
pub(super) fn prior_runs(
    connection: &Connection,
    run: &RunDir,
    meta: &RunMeta,
) -> Result<PriorRuns, Error> {
    let extensions = already_ran(connection, meta)?;
    let since = match &connection.local {
        Some(local) => since_returned(run, meta, local)?,
        None => SinceReturned::default(),
    };
    Ok(PriorRuns { extensions, since })
}

/// What became of the rows of `run` since an earlier run returned them; nothing if none did.
fn since_returned(
    run: &RunDir,
    meta: &RunMeta,
    LocalState { db, account, .. }: &LocalState,
) -> Result<SinceReturned, Error> {
    let returned_by = returned_by(meta)?;
    if returned_by.is_none() && !matches!(meta.kind, RunKind::Retry { .. }) {
        return Ok(SinceReturned::default());
    }
    let runs = KnownRuns::read(run, returned_by.as_ref(), &db.run_paths(*account)?);
    let family = runs.family(meta);
    let mut writers = runs.with_undos(&family);
    writers.retain(|(_, _, it)| it.stage == Stage::Running);
    writers.sort_by_key(|(_, _, it)| it.position);
    let opened = writers.into_iter().map(|(reverts, run, it)| {
        Ok::<_, Error>(RunOfRows { ledger: run.ledger()?, planning: it.planning, reverts })
    });
    let mut since = SinceReturned::of(opened.collect::<Result<_, _>>()?);
    for (run, it) in family {
        if matches!(it.kind, RunKind::Retry { .. }) && it.stage == Stage::Running {
            since.add_retry(LoadedRun::load(run)?.record())?;
        }
    }
    Ok(since)
}

/// Fails if an undo has reverted changes of a run that is to be resumed, which has recorded them as done,
/// or of the runs whose failed rows it sends: what it compared with the library is no longer so.
pub(super) fn refuse_undone(run: &RunDir, meta: &RunMeta, known: &[PathBuf]) -> Result<(), Error> {
    let runs = KnownRuns::read(run, returned_by(meta)?.as_ref(), known);
    let own = (run.clone(), meta.clone());
    for (run, it) in [own].into_iter().chain(runs.origins(meta)) {
        let mut undos = runs.0.iter().filter(|(_, undo)| undo.undoes(&it));
        let has_reverted = |(run, undo): &&Known| {
            let reverts = |ledger| run.changes_files(undo, &ledger);
            undo.position > meta.position && run.ledger().is_ok_and(reverts)
        };
        if let Some((by, _)) = undos.find(has_reverted) {
            let (run, by) = (run.path().to_owned(), by.path().to_owned());
            return Err(Refusal::Undone { run, by }.into());
        }
    }
    Ok(())
}

/// The run in whose directory the sheet of another run is.
fn returned_by(meta: &RunMeta) -> Result<Option<Known>, LedgerError> {
    match (&meta.kind, &meta.input_path) {
        (RunKind::Apply | RunKind::Plan, Some(sheet)) => RunDir::of_file(Path::new(sheet)),
        _ => Ok(None),
    }
}

/// A run with its metadata.
type Known = (RunDir, RunMeta);

/// The runs that can have to do with returned rows.
struct KnownRuns(Vec<Known>);

impl KnownRuns {
    /// Those of the account, and those beside the run and beside the one that returned its sheet.
    fn read(run: &RunDir, returned_by: Option<&Known>, known: &[PathBuf]) -> Self {
        let returned_by = returned_by.map(|(run, _)| run);
        let beside = [Some(run), returned_by].into_iter().flatten().flat_map(RunDir::siblings);
        let mut by_id = HashMap::new();
        for path in beside.chain(known.iter().cloned()) {
            let Ok(run) = RunDir::open(&path) else { continue };
            // One that cannot be read is no reason to stop.
            if let Ok(meta) = run.ledger().and_then(|ledger| ledger.meta()) {
                by_id.entry(meta.id.clone()).or_insert((run, meta));
            }
        }
        Self(by_id.into_values().collect())
    }

    /// The run whose rows a run sends again.
    fn origin(&self, meta: &RunMeta) -> Option<Known> {
        match &meta.kind {
            RunKind::Retry { of, .. } => self.0.iter().find(|(_, it)| it.id == *of).cloned(),
            _ => returned_by(meta).ok().flatten(),
        }
    }

    /// The run whose rows a run sends again, the one whose rows that sent, and so on.
    fn origins(&self, meta: &RunMeta) -> Vec<Known> {
        let mut origins: Vec<Known> = Vec::new();
        let mut last = self.origin(meta);
        while let Some(run) = last.filter(|(_, it)| origins.iter().all(|(_, of)| of.id != it.id)) {
            last = self.origin(&run.1);
            origins.push(run);
        }
        origins
    }

    /// The runs whose rows a run sends again, and the retries of all of them; without the run itself.
    fn family(&self, now: &RunMeta) -> Vec<Known> {
        let mut family = self.origins(now);
        loop {
            let has = |id: &str| family.iter().any(|(_, it)| it.id == id);
            let is_retry = |(_, it): &&Known| {
                it.id != now.id && !has(&it.id) && family.iter().any(|(_, of)| it.retries(of))
            };
            let Some(retry) = self.0.iter().find(is_retry) else { return family };
            family.push(retry.clone());
        }
    }

    /// The runs of a family, their undos, and the undos of these. Each with whether it reverts what the
    /// family has done.
    fn with_undos(&self, family: &[Known]) -> Vec<(bool, RunDir, RunMeta)> {
        let own = family.iter().map(|(run, meta)| (false, run.clone(), meta.clone()));
        let mut all: Vec<(bool, RunDir, RunMeta)> = own.collect();
        let mut next = 0;
        while let Some((reverts, _, meta)) = all.get(next) {
            let undos = self.0.iter().filter(|(_, it)| it.undoes(meta));
            let undos = undos.map(|(run, it)| (!reverts, run.clone(), it.clone()));
            let undos: Vec<_> = undos.collect();
            all.extend(undos);
            next += 1;
        }
        all
    }
}
