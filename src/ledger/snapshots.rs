//! The snapshots of a run's files, and the states that the files must have after other runs.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{LedgerError, LedgerFile, path_policies};
use crate::file_fields::FileFields;
use crate::sqlite::{from_json, to_json};

/// Page cache while files are read, in KiB: room for most of the index of the ids of 1,000,000 files,
/// and little beside what planning needs afterwards.
const READING_CACHE_KIB: i64 = 24 * 1024;

/// Stored in `state` for a file that ImageKit does not have.
pub(super) const MISSING: &str = "";
/// Stored in `expected` if the expected state is unknown.
const UNKNOWN: &str = "";

/// State of a file when the run read it.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Snapshot {
    /// The file has not been read.
    #[default]
    Unread,
    /// ImageKit has no such file.
    Missing,
    /// The file has these fields.
    Fields(Box<FileFields>),
}

/// The result of [`LedgerFile::add_state`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// The file does not belong to the run.
    OtherFile,
    /// The state was stored.
    New,
    /// The same state was stored already.
    Again,
    /// Another state was stored already, and still is.
    Contradictory,
}

/// See [`LedgerFile::reading_files`].
#[derive(Debug)]
pub struct ReadingFiles<'l> {
    ledger: &'l LedgerFile,
    transaction: Option<Transaction<'l>>,
    cache_size: i64,
}

impl ReadingFiles<'_> {
    /// Keeps the snapshots that were stored.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn commit(mut self) -> Result<(), LedgerError> {
        let transaction = self.transaction.take();
        self.ledger.writing(|_| transaction.map_or(Ok(()), Transaction::commit))
    }
}

impl Drop for ReadingFiles<'_> {
    fn drop(&mut self) {
        self.transaction = None;
        // An error only costs memory.
        let connection = &self.ledger.connection;
        drop(connection.pragma_update(None, "cache_size", self.cache_size));
        drop(connection.execute_batch("PRAGMA shrink_memory"));
    }
}

impl LedgerFile {
    /// Prepares for storing the snapshots of many files: in one transaction, so that a page that
    /// they share is written once, and with a larger page cache.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn reading_files(&self) -> Result<ReadingFiles<'_>, LedgerError> {
        self.reading(|connection| {
            let cache_size = connection.pragma_query_value(None, "cache_size", |row| row.get(0))?;
            connection.pragma_update(None, "cache_size", -READING_CACHE_KIB)?;
            Ok(cache_size)
        })
        .and_then(|cache_size| {
            let mut reading = ReadingFiles { ledger: self, transaction: None, cache_size };
            let begun = self.connection.unchecked_transaction();
            reading.transaction = Some(begun.map_err(|source| self.failed("written", source))?);
            Ok(reading)
        })
    }

    /// Stores the state of a file that a listing contains.
    ///
    /// # Errors
    /// The ledger cannot be read or written, or its data on the file is damaged.
    pub fn add_state(&self, fields: &FileFields) -> Result<Added, LedgerError> {
        self.writing(|connection| {
            let Some(key) = key_of(connection, &fields.file_id)? else {
                return Ok(Added::OtherFile);
            };
            let mut insert = connection.prepare_cached(
                "INSERT INTO snapshot VALUES (?1, ?2, ?3)
                 ON CONFLICT (row) DO UPDATE SET state = excluded.state, policy = excluded.policy
                 WHERE state = ''",
            )?;
            let policy = path_policies::add(connection, fields)?;
            if insert.execute(params![key, to_json(fields)?, policy])? > 0 {
                return Ok(Added::New);
            }
            let mut select =
                connection.prepare_cached("SELECT state FROM snapshot WHERE row = ?1")?;
            let stored = select.query_row([key], |row| {
                fields_from_json(row.get_ref(0)?.as_str()?, &fields.file_id)
            })?;
            Ok(if stored.is_like(fields) { Added::Again } else { Added::Contradictory })
        })
    }

    /// Stores the snapshot of a file; returns whether the file belongs to the run.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn set_state(&self, fields: &FileFields) -> Result<bool, LedgerError> {
        let (json, policy) = self.writing(|connection| {
            Ok((to_json(fields)?, path_policies::add(connection, fields)?))
        })?;
        self.set_state_text(&fields.file_id, &json, policy)
    }

    /// Stores that ImageKit has no such file.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn set_missing(&self, file: &str) -> Result<(), LedgerError> {
        self.set_state_text(file, MISSING, None).map(drop)
    }

    fn set_state_text(
        &self,
        file: &str,
        state: &str,
        policy: Option<i64>,
    ) -> Result<bool, LedgerError> {
        self.writing(|connection| {
            let Some(key) = key_of(connection, file)? else { return Ok(false) };
            let mut replace =
                connection.prepare_cached("INSERT OR REPLACE INTO snapshot VALUES (?1, ?2, ?3)")?;
            replace.execute(params![key, state, policy]).map(|_| true)
        })
    }

    /// Discards the snapshot of a file.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn set_unread(&self, file: &str) -> Result<(), LedgerError> {
        self.writing(|connection| {
            let Some(key) = key_of(connection, file)? else { return Ok(()) };
            connection.prepare_cached("DELETE FROM snapshot WHERE row = ?1")?.execute([key])?;
            Ok(())
        })
    }

    /// The state that a file must have after the writes of other runs: its snapshot, unless
    /// [`Self::set_expected`] has replaced it. `None` if unknown, and for a file that does not
    /// exist.
    ///
    /// # Errors
    /// The ledger cannot be read, or its data on the file is damaged.
    pub fn expected(&self, file: &str) -> Result<Option<FileFields>, LedgerError> {
        self.reading(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT coalesce(expected, (SELECT state FROM snapshot WHERE snapshot.row = file.row))
                 FROM file WHERE id = ?1",
            )?;
            let expected =
                select.query_row([file], |row| match row.get_ref(0)?.as_str_or_null()? {
                    None | Some(UNKNOWN) => Ok(None),
                    Some(json) => fields_from_json(json, file).map(Some),
                });
            Ok(expected.optional()?.flatten())
        })
    }

    /// Stores the state that a file must have after the writes of another run; tag order is
    /// ignored. `None` if unknown.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub fn set_expected(&self, file: &str, fields: Option<&FileFields>) -> Result<(), LedgerError> {
        let read = self.file_record(file)?.map(|record| record.state);
        self.writing(|connection| {
            let expected = match (fields, &read) {
                (Some(fields), Some(Snapshot::Fields(read))) if fields.is_like(read) => None,
                (Some(fields), _) => Some(to_json(fields)?),
                (None, _) => Some(UNKNOWN.to_owned()),
            };
            let mut update =
                connection.prepare_cached("UPDATE file SET expected = ?2 WHERE id = ?1")?;
            update.execute(params![file, expected]).map(drop)
        })
    }
}

/// The key of a file of the run.
pub(super) fn key_of(connection: &Connection, file: &str) -> rusqlite::Result<Option<i64>> {
    let mut select = connection.prepare_cached("SELECT row FROM file WHERE id = ?1")?;
    select.query_row([file], |row| row.get(0)).optional()
}

/// The fields of a file from their JSON, which is without the id: the file's record has it.
pub(super) fn fields_from_json(json: &str, file: &str) -> rusqlite::Result<FileFields> {
    Ok(FileFields { file_id: file.to_owned(), ..from_json(json)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::FileFilter;
    use crate::ledger::testing::{self, add_files, fields, files, id};

    #[test]
    fn snapshot_is_expected_unless_replaced() {
        let (_directory, ledger) = testing::ledger();
        add_files(&ledger, &["a", "gone", "unread"]);
        ledger.set_state(&fields("a", "read")).unwrap();
        ledger.set_missing("gone").unwrap();
        let expected = |file| ledger.expected(file).unwrap();
        let unexpected = || files(&ledger, FileFilter::Unexpected);
        assert_eq!(expected("a"), Some(fields("a", "read")));
        for file in ["gone", "unread", "elsewhere"] {
            assert_eq!(expected(file), None);
        }
        ledger.set_expected("a", Some(&fields("a", "other"))).unwrap();
        assert_eq!((expected("a"), unexpected()), (Some(fields("a", "other")), vec![id("a")]));
        ledger.set_expected("a", Some(&fields("a", "read"))).unwrap();
        assert_eq!((expected("a"), unexpected()), (Some(fields("a", "read")), vec![]));
        ledger.set_expected("a", None).unwrap();
        assert_eq!((expected("a"), unexpected()), (None, vec![id("a")]));
    }

    #[test]
    fn listed_twice_is_contradictory_unless_equal() {
        let (_directory, ledger) = testing::ledger();
        add_files(&ledger, &["a", "b"]);
        ledger.set_missing("b").unwrap();
        let add = |file, tag| ledger.add_state(&fields(file, tag)).unwrap();
        assert_eq!(add("elsewhere", "x"), Added::OtherFile);
        assert_eq!([add("a", "x"), add("a", "x")], [Added::New, Added::Again]);
        assert_eq!(add("a", "y"), Added::Contradictory);
        assert_eq!(add("b", "x"), Added::New, "it exists after all");
    }

    #[test]
    fn snapshots_are_kept_once_committed() {
        let (_directory, ledger) = testing::ledger();
        add_files(&ledger, &["a"]);
        let cache = || -> i64 {
            ledger.connection.pragma_query_value(None, "cache_size", |row| row.get(0)).unwrap()
        };
        let before = cache();
        for (is_kept, there) in [(false, vec![]), (true, vec![id("a")])] {
            let reading = ledger.reading_files().unwrap();
            assert_eq!(cache(), -READING_CACHE_KIB);
            ledger.set_state(&fields("a", "x")).unwrap();
            if is_kept {
                reading.commit().unwrap();
            } else {
                drop(reading);
            }
            assert_eq!((files(&ledger, FileFilter::There), cache()), (there, before));
        }
    }
}
