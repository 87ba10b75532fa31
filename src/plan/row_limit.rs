//! How many rows a pilot covers.

use super::RowProgress;
use crate::row::{Content, Row};

/// The rows that a session may still take. Rows that are invalid, or done in an earlier session, do
/// not count.
#[derive(Debug)]
pub(crate) struct RowLimit {
    left: u64,
}

impl RowLimit {
    /// At most `rows_max` rows; `None` for all.
    #[must_use]
    pub(crate) fn new(rows_max: Option<u64>) -> Self {
        Self { left: rows_max.unwrap_or(u64::MAX) }
    }

    /// Whether no further row may be taken.
    #[must_use]
    pub(crate) fn is_reached(&self) -> bool {
        self.left == 0
    }

    /// Counts a row that is taken.
    pub(crate) fn count(&mut self, row: &Row, progress: &RowProgress) {
        let counts = !matches!(row.content, Content::Rejected(_)) && !progress.is_finished();
        self.left -= u64::from(counts);
    }
}
