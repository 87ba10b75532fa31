//! What an earlier session of a run settled, row by row: where the next one begins, and what it
//! leaves out.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Planner, RowProgress};
use crate::ledger::{LedgerError, LedgerFile};
use crate::row::RowPos;

/// What the ledger of a run holds of its rows.
#[derive(Debug, Default)]
pub struct Recorded {
    from: Option<RowPos>,
    rows: Rows,
    nothing: RowProgress,
}

/// Where the rows are looked up.
#[derive(Debug)]
enum Rows {
    /// Here: where rows are settled in their order, it is no more than a window of them.
    Window(HashMap<u64, RowProgress>),
    /// In the ledger.
    Ledger(Box<LedgerFile>),
}

impl Default for Rows {
    fn default() -> Self {
        Self::Window(HashMap::new())
    }
}

impl Recorded {
    /// What a planner has to know of a run to continue it.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn of(planner: &Planner, ledger: &LedgerFile) -> Result<Self, LedgerError> {
        let from = ledger.low_water()?;
        if !planner.reorders_rows() {
            let rows = Rows::Window(window(ledger, from)?);
            return Ok(Self { from, rows, ..Self::default() });
        }
        let is_new = ledger.has_no_steps()? && ledger.lost_rows()?.is_empty();
        let rows = if is_new { Rows::default() } else { Rows::Ledger(Box::new(ledger.reopen()?)) };
        Ok(Self { rows, ..Self::default() })
    }

    /// The row below which everything is settled, where rows are settled in their order.
    #[must_use]
    pub fn from(&self) -> Option<RowPos> {
        self.from
    }

    /// What is recorded of a row.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn row(&self, number: u64) -> Result<Cow<'_, RowProgress>, LedgerError> {
        match &self.rows {
            Rows::Window(rows) => Ok(Cow::Borrowed(rows.get(&number).unwrap_or(&self.nothing))),
            Rows::Ledger(ledger) => {
                let mut behind = RowProgress::default();
                ledger.steps_of_row(number)?.iter().for_each(|record| behind.record(record));
                Ok(Cow::Owned(behind))
            }
        }
    }
}

/// What the ledger knows of the rows from the low-water mark on: no more than a window of them.
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
