//! Refuses a run whose copy of the sheet was edited.

use super::error::{Error, Refusal};
use crate::input::staged_in;
use crate::ledger::RunMeta;
use crate::run::RunDir;

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
