//! Finds the earlier runs of a sheet, and the one that decides what a new run has to do.

use std::path::{Path, PathBuf};

use super::RunDir;
use super::directory::subdirectories;
use crate::account::Identity;
use crate::ledger::{LedgerError, LedgerFile, RunMeta, Stage};

/// A search for earlier runs of a sheet, made by a new run.
#[derive(Debug)]
pub(crate) struct RunsOfSheet<'r> {
    /// Directory of the new run, which itself is not a result.
    pub run: &'r RunDir,
    /// Path of the sheet; `None` for standard input, whose runs are the siblings of `run`.
    pub sheet: Option<&'r Path>,
    /// Only runs on this account are found.
    pub account: &'r Identity,
    /// Fingerprint of the sheet's current content.
    pub fingerprint: &'r str,
}

/// State of an earlier run of the sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunState {
    /// The run can be resumed.
    Unfinished {
        /// Whether the sheet is unchanged since that run.
        same_input: bool,
    },
    /// The run is finished, and the sheet is unchanged since.
    Finished {
        /// Exit code of the run.
        exit_code: u8,
    },
}

impl RunsOfSheet<'_> {
    /// The newest unfinished run of the same input, else of an earlier version of the sheet, else the
    /// newest finished run of the same input. Runs that a newer run superseded, or an undo reverted,
    /// are skipped. Searches the siblings of the new run and `others`.
    ///
    /// # Errors
    /// A ledger that was opened cannot be read. Runs that cannot be opened are ignored.
    pub(crate) fn newest(
        &self,
        others: &[PathBuf],
    ) -> Result<Option<(RunDir, RunState)>, LedgerError> {
        let parent = self.run.path().parent();
        let siblings = parent.map(subdirectories).unwrap_or_default();
        // `others` may contain the siblings too.
        let parent = parent.and_then(|parent| std::path::absolute(parent).ok());
        let elsewhere =
            others.iter().filter(|path| parent.is_none() || path.parent() != parent.as_deref());
        let mut found = Vec::new();
        let candidates =
            elsewhere.map(|path| (path, false)).chain(siblings.iter().map(|path| (path, true)));
        for (path, is_sibling) in candidates {
            let Ok(run) = RunDir::open(path) else {
                continue;
            };
            let opened = run.ledger().and_then(|ledger| Ok((ledger.meta()?, ledger)));
            let Ok((meta, ledger)) = opened else {
                continue;
            };
            if self.is_same_sheet(&meta, is_sibling)
                && let Some(state) = self.state(&run, &meta, &ledger)?
            {
                found.push((rank(state), meta.position, run, state));
            }
        }
        found.sort_by_key(|(rank, position, ..)| (*rank, *position));
        while let Some((_, _, run, state)) = found.pop() {
            if run.newer_run(others)?.is_none() && run.undone_by(others)?.is_none() {
                return Ok(Some((run, state)));
            }
            if matches!(state, RunState::Finished { .. }) {
                // Only older finished runs are left, and the newer run superseded those too.
                return Ok(None);
            }
        }
        Ok(None)
    }

    fn is_same_sheet(&self, meta: &RunMeta, is_sibling: bool) -> bool {
        let is_same_path = match self.sheet.and_then(|sheet| std::path::absolute(sheet).ok()) {
            Some(sheet) => meta.is_of_sheet(&sheet, is_sibling),
            None => is_sibling && meta.input_path.is_none(),
        };
        let is_whole = meta.kind.is_of_whole_sheet();
        is_same_path && is_whole && !meta.sandbox && meta.account.is_same(self.account)
    }

    fn state(
        &self,
        run: &RunDir,
        meta: &RunMeta,
        ledger: &LedgerFile,
    ) -> Result<Option<RunState>, LedgerError> {
        let same_input = meta.input_fingerprint == self.fingerprint;
        if run.can_resume(meta, ledger) {
            return Ok(Some(RunState::Unfinished { same_input }));
        }
        if meta.stage != Stage::Running || !same_input {
            return Ok(None);
        }
        Ok(ledger.final_exit_code()?.map(|exit_code| RunState::Finished { exit_code }))
    }
}

fn rank(state: RunState) -> u8 {
    match state {
        RunState::Finished { .. } => 0,
        RunState::Unfinished { same_input: false } => 1,
        RunState::Unfinished { same_input: true } => 2,
    }
}
