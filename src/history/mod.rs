//! What a run did, from its input and its ledger: the one place that interprets recorded steps.
//!
//! A [`RunRecord`] has both, and reads them side by side, in constant memory. [`RowEffects`]
//! says which fields, tags and extensions the requests of a row carried, and how certain it is that
//! they took effect.

mod extension_statuses;
mod row_effects;

pub(crate) use extension_statuses::{ExtensionReport, extensions_with, reports_of};
pub(crate) use row_effects::{Certainty, RowEffects, TagEffects};

use crate::input::{Context, Input, InputError, Records};
use crate::ledger::{LedgerError, LedgerFile, RunMeta, StepRecord};
use crate::row::{Content, RowPos, Update};

/// A run as it is recorded: what was asked for, and what was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunRecord<'r> {
    /// The run's copy of the sheet.
    pub input: &'r Input,
    /// How the run parsed cells and resolved files.
    pub context: &'r Context,
    /// What is known about the run as a whole.
    pub meta: &'r RunMeta,
    /// The run's ledger.
    pub ledger: &'r LedgerFile,
}

impl RunRecord<'_> {
    /// Calls `visit` for each record of the input, with the steps of its row.
    ///
    /// # Errors
    /// The input or the ledger cannot be read, or `visit` fails.
    pub(crate) fn each_record<E: From<InputError> + From<LedgerError>>(
        self,
        mut visit: impl FnMut(RowPos, &Records, &[StepRecord]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut records = self.input.records(self.context)?;
        let mut steps = Vec::new();
        self.ledger.steps(0, |mut all| {
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
        self,
        mut visit: impl FnMut(RowPos, Update, &[StepRecord]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rows = self.input.rows(self.context, None)?;
        let mut steps = Vec::new();
        self.ledger.steps(0, |mut all| {
            while let Some((row, _)) = rows.next_row()? {
                let Content::Update(update) = self.ledger.planned(row.pos.number, row.content)?
                else {
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

    /// The row at this position, as it was planned.
    ///
    /// # Errors
    /// The input or the ledger cannot be read.
    pub(crate) fn planned_row<E: From<InputError> + From<LedgerError>>(
        self,
        pos: RowPos,
    ) -> Result<Content, E> {
        match self.input.rows(self.context, Some(pos))?.next_row()? {
            Some((row, _)) => Ok(self.ledger.planned(pos.number, row.content)?),
            None => Ok(Content::Blank),
        }
    }
}
