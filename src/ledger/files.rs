//! The files of a run and their snapshots: the base of its plan, of conflict checks and of undo.
//!
//! The key of a file is the last row that names it. So the planner, which reads the rows in order,
//! reads the snapshots in order as well; files are found by their ids only while they are read from
//! ImageKit. The order of a listing is often that of the sheet, and then all tables are written in
//! order, too.

use rusqlite::{ErrorCode, OptionalExtension, Row, params};

use super::snapshots::{MISSING, Snapshot, fields_from_json, key_of};
use super::writer::{MARK_LOST, row_number};
use super::{EARLIER_RUN, LedgerError, LedgerFile, PolicyId};
use crate::row::{Content, FieldSet, FileId, Update};
use crate::sqlite::damaged;

/// `row` is the last row that names the file, or negative while that is unknown. `snapshot` is a
/// table of its own, so that listed states are appended.
pub(super) const TABLES: &str = "
    CREATE TABLE file (
        row INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        expected TEXT,
        sent_fields INTEGER NOT NULL DEFAULT 0,
        unsettled INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE snapshot (row INTEGER PRIMARY KEY, state TEXT NOT NULL, policy INTEGER);";

/// What the ledger holds about a file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileRecord {
    /// Number of the last row that names the file.
    pub last_row: u64,
    /// State of the file when the run read it.
    pub state: Snapshot,
    /// The path policy of its folder, if any.
    pub policy: Option<PolicyId>,
    /// Fields that requests of this run may have changed.
    pub sent_fields: FieldSet,
    /// Whether a request of an earlier run may still take effect, so that the snapshot may not
    /// last.
    pub unsettled: bool,
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

    /// Records that a row names a file. Call in the order of rows, then [`Self::index_files`].
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn add_file(&self, file: &FileId, row: u64) -> Result<(), LedgerError> {
        self.writing(|connection| {
            let mut insert =
                connection.prepare_cached("INSERT INTO file (row, id) VALUES (?1, ?2)")?;
            insert.execute(params![row_number(row), file.as_str()]).map(drop)
        })
    }

    /// Records a file that will get a row later, by [`Self::set_last_row`]. Call once per file,
    /// then [`Self::index_files`].
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn add_file_without_row(&self, file: &FileId) -> Result<(), LedgerError> {
        self.writing(|connection| {
            let mut insert = connection.prepare_cached(
                "INSERT INTO file (row, id) SELECT min(0, coalesce(min(row), 0)) - 1, ?1 FROM file",
            )?;
            insert.execute([file.as_str()]).map(drop)
        })
    }

    /// Makes the added files findable by their ids, each with the last row that names it. An index
    /// that is built at once is sorted, which is cheaper than inserting ids in random order.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn index_files(&self) -> Result<(), LedgerError> {
        const CREATE: &str = "CREATE UNIQUE INDEX file_id ON file (id)";
        self.writing(|connection| {
            let has_duplicates = match connection.execute_batch(CREATE) {
                Err(error) if error.sqlite_error_code() != Some(ErrorCode::ConstraintViolation) => {
                    return Err(error);
                }
                created => created.is_err(),
            };
            if has_duplicates {
                let delete = "DELETE FROM file
                              WHERE row NOT IN (SELECT max(row) FROM file GROUP BY id)";
                connection.execute_batch(&format!("{delete}; {CREATE}"))?;
            }
            Ok(())
        })
    }

    /// Sets the last row that names a file.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn set_last_row(&self, file: &FileId, row: u64) -> Result<(), LedgerError> {
        self.writing(|connection| {
            let Some(key) = key_of(connection, file.as_str())? else { return Ok(()) };
            for table in ["file", "snapshot"] {
                let sql = format!("UPDATE {table} SET row = ?2 WHERE row = ?1");
                connection.prepare_cached(&sql)?.execute(params![key, row_number(row)])?;
            }
            Ok(())
        })
    }

    /// Removes all files and their snapshots.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn forget_files(&self) -> Result<(), LedgerError> {
        self.writing(|connection| {
            connection.execute_batch(
                "DROP INDEX IF EXISTS file_id;
                 DELETE FROM path_policy; DELETE FROM snapshot; DELETE FROM file;",
            )
        })
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
            let mut select =
                connection.prepare_cached(&format!("{SELECT_RECORD} WHERE id = ?1"))?;
            select.query_row([file], read_record).optional()
        })
    }

    /// The content of a row, which is valid if it is rejected only for words that its file holds.
    ///
    /// # Errors
    /// The ledger cannot be read, or its data on the file is damaged.
    pub fn admit(&self, content: Content) -> Result<Content, LedgerError> {
        let Content::Rejected(rejection) = &content else { return Ok(content) };
        let Some(held) = rejection.unless_held() else { return Ok(content) };
        let Some(file) = &held.file else { return Ok(content) };
        let record = self.file_record(file.as_str())?;
        let Some(Snapshot::Fields(fields)) = record.map(|record| record.state) else {
            return Ok(content);
        };
        if !held.words.iter().all(|word| fields.holds(word)) {
            return Ok(content);
        }
        let (file, change) = (file.clone(), held.change.clone());
        Ok(Content::Update(Update { file, change }))
    }

    /// Up to `at_most` files in the order of their last rows, from the row `from` on.
    ///
    /// # Errors
    /// The ledger cannot be read, or its data is damaged.
    pub fn records_from(&self, from: u64, at_most: usize) -> Result<Vec<FileRecord>, LedgerError> {
        self.reading(|connection| {
            let sql = format!("{SELECT_RECORD} WHERE row >= ?1 ORDER BY row LIMIT ?2");
            let mut select = connection.prepare_cached(&sql)?;
            let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
            select.query_map([row_number(from), at_most], read_record)?.collect()
        })
    }

    /// Up to `at_most` files that match the filter, in the order of their keys, starting after
    /// `after`.
    ///
    /// # Errors
    /// The ledger cannot be read, or its data is damaged.
    pub fn files_after(
        &self,
        after: Option<FileKey>,
        filter: FileFilter,
        at_most: usize,
    ) -> Result<Vec<(FileKey, FileId)>, LedgerError> {
        let (join, condition) = match filter {
            FileFilter::Unread => ("LEFT JOIN snapshot USING (row)", "AND state IS NULL"),
            FileFilter::There => ("JOIN snapshot USING (row)", "AND state <> ''"),
            FileFilter::Unexpected => ("", "AND expected IS NOT NULL"),
            FileFilter::All => ("", ""),
        };
        self.reading(|connection| {
            let mut select = connection.prepare_cached(&format!(
                "SELECT file.row, id FROM file {join} WHERE file.row > ?1 {condition}
                 ORDER BY file.row LIMIT ?2"
            ))?;
            let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
            let after = after.map_or(i64::MIN, |FileKey(row)| row);
            let files = select.query_map([after, at_most], |row| {
                let id = FileId::new(row.get_ref(1)?.as_str()?).map_err(damaged)?;
                Ok((FileKey(row.get(0)?), id))
            })?;
            files.collect()
        })
    }
}

/// Without a join: SQLite prepares a join of two keys again for each value of a parameter.
const SELECT_RECORD: &str = "SELECT row, id,
     (SELECT state FROM snapshot WHERE snapshot.row = file.row), sent_fields, unsettled,
     (SELECT policy FROM snapshot WHERE snapshot.row = file.row) FROM file";

fn read_record(row: &Row<'_>) -> rusqlite::Result<FileRecord> {
    let last_row = row.get::<_, i64>(0)?.max(0).unsigned_abs();
    let state = match row.get_ref(2)?.as_str_or_null()? {
        None => Snapshot::Unread,
        Some(MISSING) => Snapshot::Missing,
        Some(json) => {
            Snapshot::Fields(Box::new(fields_from_json(json, row.get_ref(1)?.as_str()?)?))
        }
    };
    let (sent_fields, unsettled) = (FieldSet::from_bits(row.get(3)?), row.get(4)?);
    let policy = row.get::<_, Option<i64>>(5)?.map(PolicyId);
    Ok(FileRecord { last_row, state, policy, sent_fields, unsettled })
}

/// Key of a file, for [`LedgerFile::files_after`].
#[derive(Debug, Clone, Copy)]
pub struct FileKey(i64);

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
    use super::*;
    use crate::ledger::testing::{self, add_files, fields, files, id};
    use crate::row::FileField;

    #[test]
    fn file_record_has_last_row_and_snapshot() {
        let (_directory, ledger) = testing::ledger();
        add_files(&ledger, &["b", "a", "b", "b", "c"]);
        assert_eq!(ledger.file_count().unwrap(), 3);
        assert!(ledger.set_state(&fields("b", "x")).unwrap());
        assert!(!ledger.set_state(&fields("elsewhere", "x")).unwrap());
        ledger.set_missing("c").unwrap();
        let record = |last_row, state| {
            Some(FileRecord {
                last_row,
                state,
                policy: None,
                sent_fields: FieldSet::default(),
                unsettled: false,
            })
        };
        let b = record(5, Snapshot::Fields(Box::new(fields("b", "x"))));
        let records = ["a", "b", "c"].map(|file| ledger.file_record(file).unwrap());
        assert_eq!(records, [record(3, Snapshot::Unread), b.clone(), record(6, Snapshot::Missing)]);
        assert_eq!(ledger.file_record("elsewhere").unwrap(), None);
        let last_rows = |from, at_most| -> Vec<u64> {
            let records = ledger.records_from(from, at_most).unwrap();
            records.iter().map(|record| record.last_row).collect()
        };
        assert_eq!(last_rows(2, 9), [3, 5, 6]);
        assert_eq!(last_rows(4, 1), [5]);
        assert_eq!(ledger.records_from(5, 1).unwrap(), [b.unwrap()]);
        assert_eq!(files(&ledger, FileFilter::Unread), [id("a")]);
        assert_eq!(files(&ledger, FileFilter::There), [id("b")]);
        let first = ledger.files_after(None, FileFilter::All, 1).unwrap();
        let next = ledger.files_after(Some(first[0].0), FileFilter::All, 1).unwrap();
        assert_eq!((&first[0].1, &next[0].1), (&id("a"), &id("b")));
    }

    #[test]
    fn losses_of_this_run_are_told_from_those_of_earlier_ones() {
        let (_directory, ledger) = testing::ledger();
        let (earlier, own, both, first_own) = (id("a"), id("b"), id("c"), id("d"));
        let mark = |file: &FileId, row| ledger.mark_lost(&[(file.clone(), row)]).unwrap();
        for (file, row) in [
            (&earlier, EARLIER_RUN),
            (&earlier, EARLIER_RUN),
            (&own, 3),
            (&own, 5),
            (&both, EARLIER_RUN),
            (&both, 4),
            (&both, 6),
            (&first_own, 7),
            (&first_own, EARLIER_RUN),
        ] {
            mark(file, row);
        }
        let rows = ledger.lost_rows().unwrap();
        let rows = [&earlier, &own, &both, &first_own].map(|file| rows[file]);
        assert_eq!(rows, [EARLIER_RUN, 3, EARLIER_RUN, EARLIER_RUN]);
        assert_eq!(ledger.files_with_own_loss().unwrap(), [own, both, first_own]);
    }

    #[test]
    fn files_get_their_rows_after_their_snapshots() {
        let (_directory, ledger) = testing::ledger();
        for file in ["a", "b", "c"] {
            ledger.add_file_without_row(&id(file)).unwrap();
        }
        ledger.index_files().unwrap();
        ledger.set_state(&fields("b", "x")).unwrap();
        assert_eq!(ledger.file_record("b").unwrap().unwrap().last_row, 0);
        ledger.set_last_row(&id("b"), 1).unwrap();
        ledger.set_last_row(&id("a"), 2).unwrap();
        let records = ledger.records_from(0, 9).unwrap();
        assert_eq!(records.iter().map(|record| record.last_row).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(records[0].state, Snapshot::Fields(Box::new(fields("b", "x"))));
        assert_eq!(files(&ledger, FileFilter::All), [id("c"), id("b"), id("a")]);
    }

    #[test]
    fn sent_fields_accumulate() {
        let (_directory, ledger) = testing::ledger();
        add_files(&ledger, &["a", "b"]);
        for field in [FileField::Description, FileField::Tags, FileField::Tags] {
            ledger.mark_started([&id("a")], FieldSet::from([(field, true)])).unwrap();
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
