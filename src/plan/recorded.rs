//! The progress that earlier sessions of a run recorded: where the next session starts, and which
//! steps it skips.

use std::collections::HashMap;
use std::ops::Deref;

use super::{Planner, RowProgress};
use crate::ledger::{LedgerError, LedgerFile};
use crate::row::RowPos;

/// The recorded progress of a run's rows.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    from: Option<RowPos>,
    rows: Rows,
    empty: RowProgress,
}

/// Source of the progress of a row.
#[derive(Debug)]
enum Rows {
    /// In memory. Rows that are done in order need no more than the executor's window.
    Window(HashMap<u64, RowProgress>),
    /// The ledger, one query per row.
    Ledger(Box<LedgerFile>),
}

impl Default for Rows {
    fn default() -> Self {
        Self::Window(HashMap::new())
    }
}

impl Recorded {
    /// Loads what a planner needs to continue the run.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) fn of(planner: &Planner, ledger: &LedgerFile) -> Result<Self, LedgerError> {
        let from = ledger.low_water()?;
        if !planner.reorders_rows() {
            let rows = Rows::Window(window(ledger, from)?);
            return Ok(Self { from, rows, ..Self::default() });
        }
        let is_new = ledger.has_no_steps()? && ledger.lost_rows()?.is_empty();
        let rows =
            if is_new { Rows::default() } else { Rows::Ledger(Box::new(ledger.reconnect()?)) };
        Ok(Self { rows, ..Self::default() })
    }

    /// The low-water mark, if the planner keeps the order of rows.
    #[must_use]
    pub(crate) fn from(&self) -> Option<RowPos> {
        self.from
    }

    /// The recorded progress of a row.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) fn row(&self, number: u64) -> Result<ProgressOfRow<'_>, LedgerError> {
        match &self.rows {
            Rows::Window(rows) => Ok(ProgressOfRow::Kept(rows.get(&number).unwrap_or(&self.empty))),
            Rows::Ledger(ledger) => {
                let mut progress = RowProgress::default();
                ledger.steps_of_row(number)?.iter().for_each(|record| progress.record(record));
                Ok(ProgressOfRow::Own(Box::new(progress)))
            }
        }
    }
}

/// The progress of a row. Small, because it is held for all rows that are read together.
#[derive(Debug)]
pub(crate) enum ProgressOfRow<'r> {
    Kept(&'r RowProgress),
    Own(Box<RowProgress>),
}

impl Deref for ProgressOfRow<'_> {
    type Target = RowProgress;

    fn deref(&self) -> &RowProgress {
        match self {
            Self::Kept(progress) => progress,
            Self::Own(progress) => progress,
        }
    }
}

/// The recorded progress of the rows from the low-water mark on.
fn window(
    ledger: &LedgerFile,
    from: Option<RowPos>,
) -> Result<HashMap<u64, RowProgress>, LedgerError> {
    let mut rows: HashMap<u64, RowProgress> = HashMap::new();
    ledger.steps(from.map_or(0, |pos| pos.number), |mut steps| {
        while let Some(record) = steps.next_step()? {
            rows.entry(record.step.row).or_default().record(&record);
        }
        Ok::<_, LedgerError>(())
    })?;
    Ok(rows)
}
