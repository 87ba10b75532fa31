//! What a run did, from its input and its ledger: the one place that interprets recorded steps.
//!
//! [`each_record`] and [`each_update`] read both side by side, in constant memory. [`RowEffects`]
//! says which fields, tags and extensions the requests of a row carried, and how certain it is that
//! they took effect.

mod extension_statuses;
mod row_effects;

pub(crate) use extension_statuses::{ExtensionReport, extensions_with, reports_of};
pub(crate) use row_effects::{Certainty, RowEffects, TagEffects};

use crate::input::{Context, Input, InputError, Records};
use crate::ledger::{LedgerError, LedgerFile, StepRecord};
use crate::row::{Content, RowPos, Update};

/// Calls `visit` for each record of the input, with the steps of its row.
///
/// # Errors
/// The input or the ledger cannot be read, or `visit` fails.
pub(crate) fn each_record<E: From<InputError> + From<LedgerError>>(
    input: &Input,
    context: &Context,
    ledger: &LedgerFile,
    mut visit: impl FnMut(RowPos, &Records, &[StepRecord]) -> Result<(), E>,
) -> Result<(), E> {
    let mut records = input.records(context)?;
    let mut steps = Vec::new();
    ledger.steps(0, |mut all| {
        while let Some(pos) = records.advance()? {
            all.of_row(pos.number, &mut steps)?;
            visit(pos, &records, &steps)?;
        }
        Ok(())
    })
}

/// Calls `visit` for each row that requests a change, with its steps.
///
/// # Errors
/// The input or the ledger cannot be read, or `visit` fails.
pub(crate) fn each_update<E: From<InputError> + From<LedgerError>>(
    input: &Input,
    context: &Context,
    ledger: &LedgerFile,
    mut visit: impl FnMut(RowPos, Update, &[StepRecord]) -> Result<(), E>,
) -> Result<(), E> {
    let mut rows = input.rows(context, None)?;
    let mut steps = Vec::new();
    ledger.steps(0, |mut all| {
        while let Some((row, _)) = rows.next_row()? {
            let Content::Update(update) = ledger.planned(row.pos.number, row.content)? else {
                continue;
            };
            if !update.change.is_empty() {
                all.of_row(row.pos.number, &mut steps)?;
                visit(row.pos, update, &steps)?;
            }
        }
        Ok(())
    })
}
