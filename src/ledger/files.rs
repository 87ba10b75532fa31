//! The files of a run and their snapshots: the base of its plan, of conflict checks and of undo.

use std::error::Error;

use rusqlite::{OptionalExtension, params};

use super::writer::{MARK_LOST, row_number};
use super::{EARLIER_RUN, LedgerError, LedgerFile};
use crate::file_fields::FileFields;
use crate::row::{FieldSet, FileId};

pub(super) const TABLE: &str = "
    CREATE TABLE file (
        id TEXT PRIMARY KEY,
        last_row INTEGER NOT NULL,
        state TEXT,
        expected TEXT,
        sent_fields INTEGER NOT NULL DEFAULT 0,
        unsettled INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;";

/// Stored in `state` for a file that ImageKit does not have.
const MISSING: &str = "";
/// Stored in `expected` if the expected state is unknown.
const UNKNOWN: &str = "";

/// What the ledger holds about a file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileRecord {
    /// Number of the last row that names the file.
    pub last_row: u64,
    /// State of the file when the run read it.
    pub state: Snapshot,
    /// Fields that requests of this run may have changed.
    pub sent_fields: FieldSet,
    /// Whether a request of an earlier run may still take effect, so that the snapshot may not
    /// last.
    pub unsettled: bool,
}

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

impl LedgerFile {
    /// Runs `act` in one transaction: all of its writes become durable, or none.
    ///
    /// # Errors
    /// `act` fails, or the ledger cannot be written.
    pub fn transaction<T, E: From<LedgerError>>(
        &self,
        act: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let failed = |source| E::from(self.failed("written", source));
        let transaction = self.connection.unchecked_transaction().map_err(failed)?;
        let result = act()?;
        transaction.commit().map_err(failed)?;
        Ok(result)
    }

    /// Adds a file that a row names, or updates its last row.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn upsert_file(&self, file: &str, row: u64) -> Result<(), LedgerError> {
        self.writing(|connection| {
            let mut insert = connection.prepare_cached(
                "INSERT INTO file (id, last_row) VALUES (?1, ?2)
                 ON CONFLICT (id) DO UPDATE SET last_row = excluded.last_row",
            )?;
            insert.execute(params![file, row_number(row)]).map(|_| ())
        })
    }

    /// Removes all files and their snapshots.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn forget_files(&self) -> Result<(), LedgerError> {
        self.writing(|connection| connection.execute("DELETE FROM file", []).map(|_| ()))
    }

    /// Number of files in the run.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn file_count(&self) -> Result<u64, LedgerError> {
        self.reading(|connection| {
            let count: i64 = connection.query_row("SELECT count(*) FROM file", [], |r| r.get(0))?;
            Ok(count.unsigned_abs())
        })
    }

    /// Stores the snapshot of a file; returns whether the file belongs to the run.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn set_state(&self, fields: &FileFields) -> Result<bool, LedgerError> {
        self.set_state_text(&fields.file_id, Some(&to_json(fields)))
    }

    /// Stores that ImageKit has no such file.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn set_missing(&self, file: &str) -> Result<(), LedgerError> {
        self.set_state_text(file, Some(MISSING)).map(|_| ())
    }

    /// Discards the snapshot of a file.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn set_unread(&self, file: &str) -> Result<(), LedgerError> {
        self.set_state_text(file, None).map(|_| ())
    }

    fn set_state_text(&self, file: &str, state: Option<&str>) -> Result<bool, LedgerError> {
        self.writing(|connection| {
            let mut update =
                connection.prepare_cached("UPDATE file SET state = ?2 WHERE id = ?1")?;
            update.execute(params![file, state]).map(|rows| rows > 0)
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
            let mut select = connection
                .prepare_cached("SELECT coalesce(expected, state) FROM file WHERE id = ?1")?;
            let expected =
                select.query_row([file], |row| match row.get_ref(0)?.as_str_or_null()? {
                    None | Some(UNKNOWN) => Ok(None),
                    Some(json) => from_json(json).map(Some),
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
        let expected = match (fields, read) {
            (Some(fields), Some(Snapshot::Fields(read))) if fields.is_like(&read) => None,
            (Some(fields), _) => Some(to_json(fields)),
            (None, _) => Some(UNKNOWN.to_owned()),
        };
        self.writing(|connection| {
            let mut update =
                connection.prepare_cached("UPDATE file SET expected = ?2 WHERE id = ?1")?;
            update.execute(params![file, expected]).map(|_| ())
        })
    }

    /// Stores that requests for these fields of these files are about to be sent: from now on the
    /// fields may differ from their snapshot because of this run.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn mark_started<'f>(
        &self,
        files: impl IntoIterator<Item = &'f FileId>,
        fields: FieldSet,
    ) -> Result<(), LedgerError> {
        self.transaction(|| {
            self.writing(|connection| {
                let mut update = connection.prepare_cached(
                    "UPDATE file SET sent_fields = sent_fields | ?2 WHERE id = ?1",
                )?;
                files.into_iter().try_for_each(|file| {
                    update.execute(params![file.as_str(), fields.bits()]).map(|_| ())
                })
            })
        })
    }

    /// Marks files on which requests of earlier runs may still take effect: their state is not
    /// trusted, and the files that this run changes are read back at the end.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn set_unsettled(&self, files: &[FileId]) -> Result<(), LedgerError> {
        self.transaction(|| {
            self.writing(|connection| {
                let mut update =
                    connection.prepare_cached("UPDATE file SET unsettled = 1 WHERE id = ?1")?;
                let mut mark_lost = connection.prepare_cached(MARK_LOST)?;
                files.iter().try_for_each(|file| {
                    update.execute([file.as_str()])?;
                    mark_lost.execute(params![file.as_str(), row_number(EARLIER_RUN)]).map(|_| ())
                })
            })
        })
    }

    /// The record of a file; `None` if the file does not belong to the run.
    ///
    /// # Errors
    /// The ledger cannot be read, or its data on the file is damaged.
    pub fn file_record(&self, file: &str) -> Result<Option<FileRecord>, LedgerError> {
        self.reading(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT last_row, state, sent_fields, unsettled FROM file WHERE id = ?1",
            )?;
            let record = select.query_row([file], |row| {
                let last_row = row.get::<_, i64>(0)?.unsigned_abs();
                let state = match row.get_ref(1)?.as_str_or_null()? {
                    None => Snapshot::Unread,
                    Some(MISSING) => Snapshot::Missing,
                    Some(json) => Snapshot::Fields(Box::new(from_json(json)?)),
                };
                let (sent_fields, unsettled) = (FieldSet::from_bits(row.get(2)?), row.get(3)?);
                Ok(FileRecord { last_row, state, sent_fields, unsettled })
            });
            record.optional()
        })
    }

    /// Up to `at_most` files that match the filter, in the order of their ids, starting after
    /// `after`.
    ///
    /// # Errors
    /// The ledger cannot be read, or its data is damaged.
    pub fn files_after(
        &self,
        after: Option<&FileId>,
        filter: FileFilter,
        at_most: usize,
    ) -> Result<Vec<FileId>, LedgerError> {
        let condition = match filter {
            FileFilter::Unread => "AND state IS NULL",
            FileFilter::There => "AND state <> ''",
            FileFilter::Unexpected => "AND expected IS NOT NULL",
            FileFilter::All => "",
        };
        self.reading(|connection| {
            let mut select = connection.prepare_cached(&format!(
                "SELECT id FROM file WHERE id > ?1 {condition} ORDER BY id LIMIT ?2"
            ))?;
            let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
            let after_id = after.map_or("", FileId::as_str);
            let files = select.query_map(params![after_id, at_most], |row| {
                FileId::new(row.get_ref(0)?.as_str()?).map_err(damaged)
            })?;
            files.collect()
        })
    }
}

fn to_json(fields: &FileFields) -> String {
    serde_json::to_string(fields).unwrap_or_default()
}

fn from_json(json: &str) -> rusqlite::Result<FileFields> {
    serde_json::from_str(json).map_err(damaged)
}

fn damaged(error: impl Into<Box<dyn Error + Send + Sync>>) -> rusqlite::Error {
    let kind = rusqlite::types::Type::Text;
    rusqlite::Error::FromSqlConversionFailure(0, kind, error.into())
}

/// Selects files by their snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFilter {
    /// Files without a snapshot.
    Unread,
    /// Files that exist, by their snapshot.
    There,
    /// Files whose snapshot contradicts the writes of other runs.
    Unexpected,
    /// All files.
    All,
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;
    use crate::ledger::testing;
    use crate::row::FileField;

    #[test]
    fn snapshot_is_expected_unless_replaced() {
        let (_directory, ledger) = testing::ledger();
        for file in ["a", "gone", "unread"] {
            ledger.upsert_file(file, 2).unwrap();
        }
        let with = |tag: &str| FileFields {
            file_id: "a".to_owned(),
            tags: vec![tag.to_owned()],
            ..FileFields::default()
        };
        ledger.set_state(&with("read")).unwrap();
        ledger.set_missing("gone").unwrap();
        let expected = |file| ledger.expected(file).unwrap();
        let unexpected = || ledger.files_after(None, FileFilter::Unexpected, 9).unwrap();
        assert_eq!(expected("a"), Some(with("read")));
        for file in ["gone", "unread", "elsewhere"] {
            assert_eq!(expected(file), None);
        }
        let a = FileId::new("a").unwrap();
        ledger.set_expected("a", Some(&with("other"))).unwrap();
        assert_eq!((expected("a"), unexpected()), (Some(with("other")), vec![a.clone()]));
        ledger.set_expected("a", Some(&with("read"))).unwrap();
        assert_eq!((expected("a"), unexpected()), (Some(with("read")), vec![]));
        ledger.set_expected("a", None).unwrap();
        assert_eq!((expected("a"), unexpected()), (None, vec![a]));
    }

    #[test]
    fn file_record_has_last_row_and_snapshot() {
        let (_directory, ledger) = testing::ledger();
        for (file, row) in [("b", 2), ("a", 3), ("b", 7), ("c", 8)] {
            ledger.upsert_file(file, row).unwrap();
        }
        assert_eq!(ledger.file_count().unwrap(), 3);
        let fields = |id: &str| FileFields {
            file_id: id.to_owned(),
            tags: vec!["x".to_owned()],
            ..FileFields::default()
        };
        assert!(ledger.set_state(&fields("b")).unwrap());
        assert!(!ledger.set_state(&fields("elsewhere")).unwrap());
        ledger.set_missing("c").unwrap();
        let state = |id: &str| ledger.file_record(id).unwrap();
        let record = |last_row, state| {
            Some(FileRecord { last_row, state, sent_fields: FieldSet::default(), unsettled: false })
        };
        assert_eq!(state("b"), record(7, Snapshot::Fields(Box::new(fields("b")))));
        assert_eq!(state("a"), record(3, Snapshot::Unread));
        assert_eq!(state("c"), record(8, Snapshot::Missing));
        assert_eq!(state("elsewhere"), None);
        let a = FileId::new("a").unwrap();
        let b = FileId::new("b").unwrap();
        assert_eq!(ledger.files_after(None, FileFilter::Unread, 9).unwrap(), slice::from_ref(&a));
        assert_eq!(ledger.files_after(None, FileFilter::There, 9).unwrap(), slice::from_ref(&b));
        assert_eq!(ledger.files_after(Some(&a), FileFilter::All, 1).unwrap(), [b]);
    }

    #[test]
    fn sent_fields_accumulate() {
        let (_directory, ledger) = testing::ledger();
        for file in ["a", "b"] {
            ledger.upsert_file(file, 2).unwrap();
        }
        let a = FileId::new("a").unwrap();
        for field in [FileField::Description, FileField::Tags, FileField::Tags] {
            ledger.mark_started([&a], FieldSet::from([(field, true)])).unwrap();
        }
        let sent_fields = |file| ledger.file_record(file).unwrap().unwrap().sent_fields;
        let both = FieldSet::from([
            (FileField::Tags, true),
            (FileField::Description, true),
            (FileField::Publication, false),
        ]);
        assert_eq!((sent_fields("a"), sent_fields("b")), (both, FieldSet::default()));
    }
}
