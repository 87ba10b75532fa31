//! Reads the rows that a planner is to plan, some at a time.

use std::vec::Drain;

use super::recorded::ProgressOfRow;
use super::{PlanError, Planner, Recorded};
use crate::input::{Context, Input, InputError, PriorResult, Records, Rows};
use crate::row::{Content, Duplicates, FileId, Row};

/// Rows that are read before they are planned: the code of reading and that of planning do not fit into
/// the instruction cache of a processor together. As a batch, they also make the cost of a message to the
/// executor negligible per row.
const ROWS_READ_TOGETHER: usize = 64;

/// A row, and what is done of it.
pub(crate) struct ReadRow<'r> {
    pub row: Row,
    /// The file of an invalid row; see [`FilesOfInvalid`].
    pub file_of_invalid: Option<FileId>,
    pub progress: ProgressOfRow<'r>,
}

/// The files that invalid rows name. By the rules that let only one row of a file take effect, such a row
/// counts as one of its file: fixed, it may be the one that does.
pub(crate) struct FilesOfInvalid(Option<Records>);

impl FilesOfInvalid {
    /// Finds none if all rows of a file take effect in order.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn open(input: &Input, context: &Context) -> Result<Self, InputError> {
        let counts = context.rules.duplicates != Duplicates::InOrder;
        Ok(Self(counts.then(|| input.records(context)).transpose()?))
    }

    /// The file of a row, if the row is invalid and the file is known. Call with ascending rows.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn of(&mut self, row: &Row) -> Result<Option<FileId>, InputError> {
        let (Some(records), Content::Rejected(_)) = (&mut self.0, &row.content) else {
            return Ok(None);
        };
        while let Some(pos) = records.advance()? {
            if pos.number >= row.pos.number {
                break;
            }
        }
        Ok(FileId::new(&records.file_id()).ok())
    }
}

/// Reads the rows of an input for a planner, and the progress of each.
pub(crate) struct RowsToPlan<'r> {
    rows: Rows<'r>,
    files_of_invalid: FilesOfInvalid,
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
        let files_of_invalid = FilesOfInvalid::open(input, context)?;
        Ok(Self {
            rows,
            files_of_invalid,
            recorded,
            left: rows_max.unwrap_or(u64::MAX),
            read: Vec::new(),
        })
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
            let file_of_invalid = self.files_of_invalid.of(&row)?;
            self.read.push(ReadRow { row, file_of_invalid, progress });
        }
        Ok((!self.read.is_empty()).then(|| self.read.drain(..)))
    }
}
