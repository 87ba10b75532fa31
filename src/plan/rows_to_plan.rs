//! Reads the rows that a planner is to plan, some at a time.

use std::vec::Drain;

use super::recorded::ProgressOfRow;
use super::{PlanError, Planner, Recorded};
use crate::input::{Context, Input, InputError, PriorResult, Rows};
use crate::row::{Content, Row};

/// Rows that are read before they are planned: the code of reading and that of planning do not fit into
/// the instruction cache of a processor together. As a batch, they also make the cost of a message to the
/// executor negligible per row.
const ROWS_READ_TOGETHER: usize = 64;

/// A row, and what is done of it.
pub(crate) struct ReadRow<'r> {
    pub row: Row,
    pub progress: ProgressOfRow<'r>,
}

/// Reads the rows of an input for a planner, and the progress of each.
pub(crate) struct RowsToPlan<'r> {
    rows: Rows<'r>,
    recorded: &'r Recorded,
    /// How many rows may still be taken. Rows that are invalid, or done in an earlier session, do not
    /// count.
    left: u64,
    read: Vec<ReadRow<'r>>,
}

impl<'r> RowsToPlan<'r> {
    /// Reads the rows that are not recorded as done; at most `rows_max` of those that count, or all.
    ///
    /// # Errors
    /// The file cannot be read, or its header is not usable.
    pub(crate) fn open(
        input: &Input,
        context: &'r Context,
        recorded: &'r Recorded,
        rows_max: Option<u64>,
    ) -> Result<Self, InputError> {
        let rows = input.rows(context, recorded.from())?;
        Ok(Self { rows, recorded, left: rows_max.unwrap_or(u64::MAX), read: Vec::new() })
    }

    /// Counts what the columns of the rows show.
    pub(crate) fn count_findings(&mut self) {
        self.rows.count_findings();
    }

    /// What the rows read so far show.
    pub(crate) fn rows(&self) -> &Rows<'r> {
        &self.rows
    }

    /// Whether no further row may be taken.
    pub(crate) fn is_limit_reached(&self) -> bool {
        self.left == 0
    }

    /// Reads the next rows, in order; `None` after the last.
    ///
    /// # Errors
    /// The input or the snapshot cannot be read, or the input is damaged beyond a single row.
    pub(crate) fn read(
        &mut self,
        planner: &Planner,
    ) -> Result<Option<Drain<'_, ReadRow<'r>>>, PlanError> {
        while self.read.len() < ROWS_READ_TOGETHER
            && !self.is_limit_reached()
            && let Some((row, prior)) = self.rows.next_row()?
        {
            let row = planner.admit(row)?;
            let mut progress = self.recorded.row(row.pos.number)?;
            if prior != PriorResult::default() {
                let (prior, reverted) = planner.since_returned().complete(&row.content, prior)?;
                progress = ProgressOfRow::Own(Box::new(progress.with_prior(prior, reverted)));
            }
            let counts = !matches!(row.content, Content::Rejected(_) | Content::Unresolved(_))
                && !progress.is_finished();
            self.left -= u64::from(counts);
            self.read.push(ReadRow { row, progress });
        }
        Ok((!self.read.is_empty()).then(|| self.read.drain(..)))
    }
}
