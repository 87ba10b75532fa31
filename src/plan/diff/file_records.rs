//! Reads the records of files in the order of their last rows, which is the order in which they are
//! planned.

use std::collections::VecDeque;

use crate::ledger::{FileRecord, LedgerError, LedgerFile};

/// Records per query, so that the cost of a query is negligible per record.
const RECORDS_AT_ONCE: usize = 64;

/// The next records.
#[derive(Debug, Default)]
pub(in crate::plan) struct FileRecords {
    next: VecDeque<FileRecord>,
    /// The ledger has no other records between the next ones and before this row.
    read_to: u64,
}

impl FileRecords {
    /// The record of the file whose last row this is; `None` if a later row names its file as well.
    /// Call with ascending rows.
    ///
    /// # Errors
    /// The ledger cannot be read, or its data is damaged.
    pub(in crate::plan) fn of_last_row(
        &mut self,
        row: u64,
        ledger: &LedgerFile,
    ) -> Result<Option<FileRecord>, LedgerError> {
        while self.next.pop_front_if(|record| record.last_row < row).is_some() {}
        if self.next.is_empty() && self.read_to <= row {
            self.next = ledger.records_from(row, RECORDS_AT_ONCE)?.into();
            let is_end = self.next.len() < RECORDS_AT_ONCE;
            let last = self.next.back().filter(|_| !is_end);
            self.read_to = last.map_or(u64::MAX, |last| last.last_row + 1);
        }
        Ok(self.next.pop_front_if(|record| record.last_row == row))
    }
}
