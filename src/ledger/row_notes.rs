//! Notes about rows while a report is made, by file. They are on disk, so that memory does not depend
//! on the number of rows: SQLite keeps temporary tables in a file of their own, which vanishes with
//! the connection, and never in the ledger.

use std::marker::PhantomData;

use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::writer::row_number;
use super::{LedgerError, LedgerFile};
use crate::sqlite::{from_json, to_json};

/// Rows count backwards, so that a scan meets the rows of a file from the last to the first.
const TABLES: &str = "
    DROP TABLE IF EXISTS temp.row_note;
    DROP TABLE IF EXISTS temp.row_result;
    CREATE TEMP TABLE row_note (
        file TEXT NOT NULL,
        back INTEGER NOT NULL,
        note TEXT NOT NULL,
        PRIMARY KEY (file, back)
    ) WITHOUT ROWID;
    CREATE TEMP TABLE row_result (row INTEGER PRIMARY KEY, result TEXT NOT NULL);";

/// Notes about rows, and the results that were concluded from them.
#[derive(Debug)]
pub struct RowNotes<'l, Note, Result> {
    ledger: &'l LedgerFile,
    is_empty: bool,
    content: PhantomData<(Note, Result)>,
}

impl LedgerFile {
    /// An empty store of notes; at most one may be in use.
    ///
    /// # Errors
    /// The tables cannot be created.
    pub fn row_notes<N, R>(&self) -> Result<RowNotes<'_, N, R>, LedgerError> {
        self.writing(|connection| connection.execute_batch(TABLES))?;
        Ok(RowNotes { ledger: self, is_empty: true, content: PhantomData })
    }

    /// Up to `at_most` rows, from the row `from` on, that are the last of their files.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn last_rows_from(&self, from: u64, at_most: usize) -> Result<Vec<u64>, LedgerError> {
        self.reading(|connection| {
            let sql = "SELECT row FROM file WHERE row >= ?1 ORDER BY row LIMIT ?2";
            let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
            let mut select = connection.prepare_cached(sql)?;
            let rows = select.query_map([row_number(from), at_most], |row| row.get::<_, i64>(0))?;
            rows.map(|row| row.map(i64::unsigned_abs)).collect()
        })
    }
}

impl<N, R> RowNotes<'_, N, R>
where
    N: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned,
{
    /// Adds a note about a row of a file.
    ///
    /// # Errors
    /// The note cannot be written.
    pub fn add(&mut self, file: &str, row: u64, note: &N) -> Result<(), LedgerError> {
        self.is_empty = false;
        self.ledger.writing(|connection| {
            let sql = "INSERT INTO temp.row_note VALUES (?1, ?2, ?3)";
            let mut insert = connection.prepare_cached(sql)?;
            insert.execute(params![file, -row_number(row), to_json(note)?]).map(drop)
        })
    }

    /// Whether there is a note about a row of the file.
    ///
    /// # Errors
    /// The notes cannot be read.
    pub fn has_file(&self, file: &str) -> Result<bool, LedgerError> {
        if self.is_empty {
            return Ok(false);
        }
        self.ledger.reading(|connection| {
            let sql = "SELECT EXISTS (SELECT 1 FROM temp.row_note WHERE file = ?1)";
            connection.prepare_cached(sql)?.query_row([file], |row| row.get(0))
        })
    }

    /// Passes all notes to `visit`, by file, and of each file from its last row to its first.
    ///
    /// # Errors
    /// The notes cannot be read, or `visit` fails.
    pub fn each_backwards<E: From<LedgerError>>(
        &self,
        mut visit: impl FnMut(&str, u64, N) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = |source| E::from(self.ledger.failed("read", source));
        let sql = "SELECT file, back, note FROM temp.row_note ORDER BY file, back";
        let mut select = self.ledger.connection.prepare(sql).map_err(failed)?;
        let mut rows = select.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let text = |index| row.get_ref(index).and_then(|cell| Ok(cell.as_str()?));
            let back: i64 = row.get(1).map_err(failed)?;
            let note = text(2).and_then(from_json).map_err(failed)?;
            visit(text(0).map_err(failed)?, back.unsigned_abs(), note)?;
        }
        Ok(())
    }

    /// Stores the result of a row.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn set_result(&self, row: u64, result: &R) -> Result<(), LedgerError> {
        self.ledger.writing(|connection| {
            let sql = "INSERT OR REPLACE INTO temp.row_result VALUES (?1, ?2)";
            let mut insert = connection.prepare_cached(sql)?;
            insert.execute(params![row_number(row), to_json(result)?]).map(drop)
        })
    }

    /// The result of a row; `None` if it has none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn result(&self, row: u64) -> Result<Option<R>, LedgerError> {
        if self.is_empty {
            return Ok(None);
        }
        self.ledger.reading(|connection| {
            let sql = "SELECT result FROM temp.row_result WHERE row = ?1";
            let mut select = connection.prepare_cached(sql)?;
            let result = |row: &Row<'_>| from_json(row.get_ref(0)?.as_str()?);
            select.query_row([row_number(row)], result).optional()
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::ledger::testing::{self, add_files};

    #[test]
    fn notes_are_read_by_file_and_backwards() {
        let (_directory, ledger) = testing::ledger();
        let mut notes = ledger.row_notes::<String, String>().unwrap();
        assert!(!notes.has_file("a").unwrap());
        for (file, row) in [("b", 2), ("a", 3), ("b", 10), ("a", 4)] {
            notes.add(file, row, &format!("note {row}")).unwrap();
        }
        assert!(notes.has_file("a").unwrap() && !notes.has_file("c").unwrap());
        let mut seen = Vec::new();
        notes
            .each_backwards(|file, row, note| {
                seen.push(format!("{file} {row} {note}"));
                notes.set_result(row, &note)
            })
            .unwrap();
        assert_eq!(seen, ["a 4 note 4", "a 3 note 3", "b 10 note 10", "b 2 note 2"]);
        assert_eq!(notes.result(10).unwrap().as_deref(), Some("note 10"));
        assert_eq!(notes.result(5).unwrap(), None);
    }

    #[test]
    fn last_rows_are_those_that_no_later_row_of_the_file_follows() {
        let (_directory, ledger) = testing::ledger();
        add_files(&ledger, &["b", "a", "b", "c"]);
        assert_eq!(ledger.last_rows_from(0, 9).unwrap(), [3, 4, 5]);
        assert_eq!(ledger.last_rows_from(4, 1).unwrap(), [4]);
    }
}
