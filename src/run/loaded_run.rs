//! A run that is loaded, with everything that its directory holds.

use super::RunDir;
use crate::history::RunRecord;
use crate::input::{Context, Input};
use crate::ledger::{LedgerError, LedgerFile, RunMeta};

/// A run that was made before: its directory, and what is recorded there.
#[derive(Debug)]
pub(crate) struct LoadedRun {
    pub directory: RunDir,
    pub meta: RunMeta,
    pub ledger: LedgerFile,
    /// Its copy of the sheet.
    pub input: Input,
    /// How it parsed cells and resolved files.
    pub context: Context,
}

impl LoadedRun {
    /// Opens a run to continue, settle or report it.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) fn load(directory: RunDir) -> Result<Self, LedgerError> {
        let ledger = directory.ledger()?;
        Self::with_ledger(directory, ledger)
    }

    /// A run with its ledger, which may be open for reading only.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) fn with_ledger(directory: RunDir, ledger: LedgerFile) -> Result<Self, LedgerError> {
        let meta = ledger.meta()?;
        let (input, context) = (directory.input(&meta), ledger.context(&meta)?);
        Ok(Self { directory, meta, ledger, input, context })
    }

    /// What was asked for, and what was sent.
    pub(crate) fn record(&self) -> RunRecord<'_> {
        let Self { meta, ledger, input, context, .. } = self;
        RunRecord { input, context, meta, ledger }
    }
}
