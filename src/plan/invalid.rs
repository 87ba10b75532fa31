//! Invalid rows and missing files by cause, so that a thousand rows with one cause become one message.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::causes::message_pattern;
use crate::input::{Context, Excerpt, Input, InputError};
use crate::outcome::Code;
use crate::row::{Problem, RowPos};

/// Maximum distinct causes; cells with further causes are only counted.
const CAUSES_MAX: usize = 50;
/// Maximum cells kept of all causes.
const CELLS_MAX: usize = 1000;
/// Maximum rows of a cause whose text is shown.
const EXCERPTS_MAX: usize = 3;

/// Invalid cells, and rows that are invalid as a whole, by cause.
#[derive(Debug, Default, Clone)]
pub struct InvalidCells {
    causes: BTreeMap<Key, InvalidCause>,
    /// How many cells are kept.
    kept: usize,
    /// Cells with causes beyond the maximum.
    pub others: u64,
}

type Key = (Code, String, String);

/// A cause: cells of one column with the same problem, except for quoted values and numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidCause {
    /// The code of the rows.
    pub code: Code,
    /// The number of cells.
    pub count: u64,
    /// Whether messages of other cells differ from the first in quoted values or numbers.
    pub varies: bool,
    /// The first cells in the order of their rows; at least one, and at most 1,000 of all causes.
    pub cells: Vec<InvalidCell>,
    /// The text of the first rows, at most three.
    pub excerpts: Vec<Excerpt>,
    /// How many causes were found before.
    order: usize,
}

/// An invalid cell, or a row that is invalid as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidCell {
    /// The row.
    pub pos: RowPos,
    /// The column, the value, what is wrong, and the fix.
    pub problem: Problem,
}

impl InvalidCells {
    /// Adds a problem of a row.
    pub(super) fn add(&mut self, pos: RowPos, code: Code, problem: Problem) {
        let pattern = message_pattern(problem.message()) + &message_pattern(problem.suggestion());
        let key = (code, problem.column().to_owned(), pattern);
        if !self.causes.contains_key(&key)
            && (self.causes.len() >= CAUSES_MAX || self.kept >= CELLS_MAX)
        {
            self.others += 1;
            return;
        }
        let order = self.causes.len();
        let (cells, excerpts) = (Vec::new(), Vec::new());
        let new = InvalidCause { code, count: 0, varies: false, cells, excerpts, order };
        let cause = self.causes.entry(key).or_insert(new);
        cause.count += 1;
        if let Some(first) = cause.cells.first() {
            cause.varies |= first.problem != problem;
        }
        if self.kept < CELLS_MAX {
            self.kept += 1;
            cause.cells.push(InvalidCell { pos, problem });
        }
    }

    /// Sorts the cells, and reads the text of the first rows of each cause.
    pub(super) fn finish(&mut self, input: &Input, context: &Context) -> Result<(), InputError> {
        for cause in self.causes.values_mut() {
            cause.cells.sort_by_key(|cell| cell.pos);
            for cell in cause.cells.iter().take(EXCERPTS_MAX) {
                let excerpt = input.excerpt(context, cell.pos, cell.problem.column())?;
                cause.excerpts.extend(excerpt);
            }
        }
        Ok(())
    }

    /// All causes, the most frequent first, then by first row and cell.
    #[must_use]
    pub fn sorted(&self) -> Vec<&InvalidCause> {
        let mut causes: Vec<&InvalidCause> = self.causes.values().collect();
        let first = |cause: &InvalidCause| cause.cells.first().map(|cell| cell.pos);
        causes.sort_by_key(|cause| (Reverse(cause.count), first(cause), cause.order));
        causes
    }
}
