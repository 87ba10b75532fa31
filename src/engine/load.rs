//! Loads an existing run, and refuses one that is not in a state for the command.

use super::error::{Error, Refusal, StageProblem};
use crate::input::staged_in;
use crate::ledger::{RunMeta, Stage};
use crate::run::{LoadedRun, RunDir};

/// Loads a run that has begun to send.
///
/// # Errors
/// The run cannot be read, has sent nothing, or its copy of the sheet was edited.
pub(super) fn load_sent(run: RunDir) -> Result<LoadedRun, Error> {
    let run = LoadedRun::load(run)?;
    let LoadedRun { directory, meta, .. } = &run;
    if let Some(problem) = why_unsent(meta.stage) {
        return Err(Refusal::Stage { run: directory.path().to_owned(), problem }.into());
    }
    refuse_edited_copy(directory, meta)?;
    Ok(run)
}

/// Why a run in this stage has sent nothing; `None` if it has begun to send.
pub(super) fn why_unsent(stage: Stage) -> Option<StageProblem> {
    match stage {
        Stage::Running => None,
        Stage::Planned => Some(StageProblem::SavedPlan),
        Stage::Planning => Some(StageProblem::RunNotPlanned),
    }
}

/// Fails if the copy of the sheet in the run directory was edited: the ledger refers to its
/// original rows.
pub(super) fn refuse_edited_copy(run: &RunDir, meta: &RunMeta) -> Result<(), Error> {
    let now = staged_in(run.input(meta))?;
    let copied = meta.read_options.copy_fingerprint.as_ref().unwrap_or(&meta.input_fingerprint);
    if now.fingerprint.0 == *copied {
        return Ok(());
    }
    Err(Refusal::EditedCopy(now.input.path).into())
}
