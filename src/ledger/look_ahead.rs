//! Looks up what the ledger holds of rows for a reader that asks for them in order: many at a time, so
//! that the cost of a query is negligible per row.

use std::collections::VecDeque;

use super::{FileRecord, LedgerError, LedgerFile};

/// Items per query.
const ITEMS_AT_ONCE: usize = 64;

/// Finds the record of each file at the last row that names it.
pub(crate) type RecordsOfLastRows = LookAhead<FileRecord>;
/// Finds which rows are the last of their files.
pub(crate) type LastRows = LookAhead<u64>;

/// The items of rows, in the order of the rows.
#[derive(Debug)]
pub(crate) struct LookAhead<T> {
    next: VecDeque<T>,
    /// The ledger has no other items before this row.
    read_to: u64,
}

/// An item of a row.
pub(crate) trait OfRow: Sized {
    /// The row.
    fn row(&self) -> u64;

    /// Up to `at_most` items in the order of their rows, from the row `from` on.
    fn read(ledger: &LedgerFile, from: u64, at_most: usize) -> Result<Vec<Self>, LedgerError>;
}

impl OfRow for FileRecord {
    fn row(&self) -> u64 {
        self.last_row
    }

    fn read(ledger: &LedgerFile, from: u64, at_most: usize) -> Result<Vec<Self>, LedgerError> {
        ledger.records_from(from, at_most)
    }
}

impl OfRow for u64 {
    fn row(&self) -> u64 {
        *self
    }

    fn read(ledger: &LedgerFile, from: u64, at_most: usize) -> Result<Vec<Self>, LedgerError> {
        ledger.last_rows_from(from, at_most)
    }
}

impl<T> Default for LookAhead<T> {
    fn default() -> Self {
        Self { next: VecDeque::new(), read_to: 0 }
    }
}

impl<T: OfRow> LookAhead<T> {
    /// The item of a row; `None` if it has none, as its file is named by a later row as well. Call with
    /// ascending rows.
    ///
    /// # Errors
    /// The ledger cannot be read, or its data is damaged.
    pub(crate) fn take(&mut self, row: u64, ledger: &LedgerFile) -> Result<Option<T>, LedgerError> {
        while self.next.pop_front_if(|item| item.row() < row).is_some() {}
        if self.next.is_empty() && self.read_to <= row {
            self.next = T::read(ledger, row, ITEMS_AT_ONCE)?.into();
            let is_end = self.next.len() < ITEMS_AT_ONCE;
            let last = self.next.back().filter(|_| !is_end);
            self.read_to = last.map_or(u64::MAX, |last| last.row() + 1);
        }
        Ok(self.next.pop_front_if(|item| item.row() == row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::{self, add_files};

    #[test]
    fn rows_have_an_item_if_they_are_the_last_of_their_file() {
        // Row 1 is the header. Each file is in two rows, the second of which is its last.
        let (_directory, ledger) = testing::ledger();
        let files: Vec<String> = (0..200).map(|file| format!("f{file}")).collect();
        let files: Vec<&str> = files.iter().flat_map(|file| [file.as_str(); 2]).collect();
        add_files(&ledger, &files);
        let (mut last_rows, mut records) = (LastRows::default(), RecordsOfLastRows::default());
        // Some rows are skipped: those of files 50 to 129, more than a query reads.
        for row in (2..102).chain(262..402) {
            let expected = (row % 2 == 1).then_some(row);
            assert_eq!(last_rows.take(row, &ledger).unwrap(), expected);
            let record = records.take(row, &ledger).unwrap();
            assert_eq!(record.map(|record| record.last_row), expected);
        }
        for row in [402, 403] {
            assert_eq!(last_rows.take(row, &ledger).unwrap(), None);
        }
    }
}
