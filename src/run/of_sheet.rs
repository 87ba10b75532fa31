//! The earlier runs of a sheet, and which of them a new run has to know of.

use std::path::{Path, PathBuf};

use super::RunDir;
use super::directory::children;
use crate::account::Identity;
use crate::ledger::{LedgerError, LedgerFile, RunMeta, Stage};

/// A new run of a sheet that looks for earlier ones.
#[derive(Debug)]
pub struct RunsOfSheet<'r> {
    /// The new run.
    pub run: &'r RunDir,
    /// The sheet; `None` for standard input, whose runs are those beside the new one.
    pub sheet: Option<&'r Path>,
    /// The account.
    pub account: &'r Identity,
    /// The fingerprint of the input.
    pub fingerprint: &'r str,
}

/// How far an earlier run of the sheet has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// It can be resumed.
    Unfinished {
        /// Whether the sheet has not changed since.
        same_input: bool,
    },
    /// It is done, and so is the sheet: neither has changed since, and no newer run has.
    Finished {
        /// The exit code that it ended with.
        exit_code: u8,
    },
}

impl RunsOfSheet<'_> {
    /// The run that matters most: an unfinished one of the same input, else one of an earlier
    /// version of the sheet, else a finished one of the same input. One that a newer run has
    /// superseded matters no more. Looks beside the new run and at `others`, which may be anywhere.
    ///
    /// # Errors
    /// A ledger cannot be read in the middle of it. Runs that cannot be opened are passed by.
    pub fn newest(&self, others: &[PathBuf]) -> Result<Option<(RunDir, RunState)>, LedgerError> {
        let home = self.run.path().parent();
        let beside = home.map(children).unwrap_or_default();
        // The account knows the runs beside it as well; each is looked into once.
        let home = home.and_then(|home| std::path::absolute(home).ok());
        let elsewhere =
            others.iter().filter(|path| home.is_none() || path.parent() != home.as_deref());
        let mut found = Vec::new();
        // Those beside it come last, so that they are named as the person names them.
        let others_and_beside =
            elsewhere.map(|path| (path, false)).chain(beside.iter().map(|path| (path, true)));
        for (path, is_beside) in others_and_beside {
            let Ok(run) = RunDir::open(path) else {
                continue;
            };
            let looked_into = run.ledger().and_then(|ledger| Ok((ledger.meta()?, ledger)));
            let Ok((meta, ledger)) = looked_into else {
                continue;
            };
            if self.is_ours(&meta, is_beside)
                && let Some(state) = self.state(&run, &meta, &ledger)?
            {
                found.push((rank(state), meta.position, run, state));
            }
        }
        found.sort_by_key(|(rank, position, ..)| (*rank, *position));
        while let Some((_, _, run, state)) = found.pop() {
            if run.newer_run(others)?.is_none() {
                return Ok(Some((run, state)));
            }
            if matches!(state, RunState::Finished { .. }) {
                // What is newer than the newest of them is newer than all of them.
                return Ok(None);
            }
        }
        Ok(None)
    }

    fn is_ours(&self, meta: &RunMeta, is_beside: bool) -> bool {
        let about_sheet = match self.sheet.and_then(|sheet| std::path::absolute(sheet).ok()) {
            Some(sheet) => meta.is_of_sheet(&sheet, is_beside),
            None => is_beside && meta.input_path.is_none(),
        };
        about_sheet && !meta.sandbox && meta.account.is_same(self.account)
    }

    fn state(
        &self,
        run: &RunDir,
        meta: &RunMeta,
        ledger: &LedgerFile,
    ) -> Result<Option<RunState>, LedgerError> {
        let same_input = meta.input_fingerprint == self.fingerprint;
        if run.is_left_unfinished(meta, ledger) {
            return Ok(Some(RunState::Unfinished { same_input }));
        }
        if meta.stage != Stage::Running || !same_input {
            return Ok(None);
        }
        Ok(ledger.is_done()?.map(|exit_code| RunState::Finished { exit_code }))
    }
}

fn rank(state: RunState) -> u8 {
    match state {
        RunState::Finished { .. } => 0,
        RunState::Unfinished { same_input: false } => 1,
        RunState::Unfinished { same_input: true } => 2,
    }
}
