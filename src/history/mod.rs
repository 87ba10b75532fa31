//! What a run did. [`each_record`] reads its input and its ledger side by side, in constant memory.

use std::sync::Arc;

use crate::input::{Input, InputError, Records};
use crate::ledger::{LedgerError, LedgerFile, StepRecord};
use crate::row::{Resolved, RowPos};

/// Calls `visit` for each record of the input, with the steps of its row.
///
/// # Errors
/// The input or the ledger cannot be read, or `visit` fails.
pub fn each_record<E: From<InputError> + From<LedgerError>>(
    input: &Input,
    files: Option<&Arc<Resolved>>,
    ledger: &LedgerFile,
    mut visit: impl FnMut(RowPos, &Records, &[StepRecord]) -> Result<(), E>,
) -> Result<(), E> {
    let mut records = input.records(files)?;
    let mut steps = Vec::new();
    ledger.steps(0, |mut all| {
        while let Some(pos) = records.advance()? {
            all.of_row(pos.number, &mut steps)?;
            visit(pos, &records, &steps)?;
        }
        Ok(())
    })
}
