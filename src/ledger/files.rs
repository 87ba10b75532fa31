//! The files that a run is about, and what they were like when it read them: what its plan stands
//! on, and what undoing it goes back to.

use std::error::Error;

use rusqlite::{OptionalExtension, params};

use super::writer::{MARK_LOST, row_number};
use super::{EARLIER_RUN, Fields, LedgerError, LedgerFile};
use crate::imagekit::FileFields;
use crate::row::FileId;

pub(super) const TABLE: &str = "
    CREATE TABLE file (
        id TEXT PRIMARY KEY,
        last_row INTEGER NOT NULL,
        state TEXT,
        expected TEXT,
        begun INTEGER NOT NULL DEFAULT 0,
        unsettled INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;";

/// What a file without a state in the ledger has there instead.
const MISSING: &str = "";
/// What stands for a state that nobody knows.
const NOT_KNOWN: &str = "";

/// A file as the run knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct FileRecord {
    /// The last row that names it.
    pub last_row: u64,
    /// What it was like.
    pub state: Snapshot,
    /// The fields of which it was written down that requests for them are about to be sent.
    pub begun: Fields,
    /// Whether a request of an earlier run may yet take effect on it, so that what was read of it
    /// may not last.
    pub unsettled: bool,
}

/// What a file was like when the run read it.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Snapshot {
    /// It has not been read.
    #[default]
    Unread,
    /// ImageKit has no such file.
    Missing,
    /// Like this.
    Fields(Box<FileFields>),
}

impl LedgerFile {
    /// Does several things as one: all of them are on disk afterwards, or none.
    ///
    /// # Errors
    /// One of them fails, or the ledger cannot be written.
    pub fn transaction<T, E: From<LedgerError>>(
        &self,
        act: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let failed = |source| E::from(self.failed("written", source));
        let transaction = self.connection.unchecked_transaction().map_err(failed)?;
        let done = act()?;
        transaction.commit().map_err(failed)?;
        Ok(done)
    }

    /// A row names a file.
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

    /// Forgets every file, to begin anew.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn forget_files(&self) -> Result<(), LedgerError> {
        self.writing(|connection| connection.execute("DELETE FROM file", []).map(|_| ()))
    }

    /// How many files the run is about.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn file_count(&self) -> Result<u64, LedgerError> {
        self.reading(|connection| {
            let count: i64 = connection.query_row("SELECT count(*) FROM file", [], |r| r.get(0))?;
            Ok(count.unsigned_abs())
        })
    }

    /// Writes down what a file is like, if the run is about it; says whether it is.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn set_state(&self, fields: &FileFields) -> Result<bool, LedgerError> {
        self.set_state_text(&fields.file_id, Some(&json_of(fields)))
    }

    /// Writes down that there is no such file.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn set_missing(&self, file: &str) -> Result<(), LedgerError> {
        self.set_state_text(file, Some(MISSING)).map(|_| ())
    }

    /// Forgets the state of a file, so that it counts as not read.
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

    /// What a file must be like by what other runs have done to it: as it was read, unless
    /// [`Self::expect`] has said something else. `None` where nobody knows, and for one that is not
    /// there.
    ///
    /// # Errors
    /// The ledger cannot be read, or what it holds of the file is damaged.
    pub fn expected(&self, file: &str) -> Result<Option<FileFields>, LedgerError> {
        self.reading(|connection| {
            let mut select = connection
                .prepare_cached("SELECT coalesce(expected, state) FROM file WHERE id = ?1")?;
            let expected =
                select.query_row([file], |row| match row.get_ref(0)?.as_str_or_null()? {
                    None | Some(NOT_KNOWN) => Ok(None),
                    Some(json) => fields_of(json).map(Some),
                });
            Ok(expected.optional()?.flatten())
        })
    }

    /// Writes down what a file must be like by what another run has done to it, whatever the order
    /// of its tags; `None` where nobody knows.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub fn set_expected(&self, file: &str, fields: Option<&FileFields>) -> Result<(), LedgerError> {
        let read = self.file_record(file)?.map(|known| known.state);
        let expected = match (fields, read) {
            (Some(fields), Some(Snapshot::Fields(read))) if fields.is_like(&read) => None,
            (Some(fields), _) => Some(json_of(fields)),
            (None, _) => Some(NOT_KNOWN.to_owned()),
        };
        self.writing(|connection| {
            let mut update =
                connection.prepare_cached("UPDATE file SET expected = ?2 WHERE id = ?1")?;
            update.execute(params![file, expected]).map(|_| ())
        })
    }

    /// Writes down that requests for these fields of these files are about to be sent, so that they
    /// are no longer what they were by our own doing.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn mark_started<'f>(
        &self,
        files: impl IntoIterator<Item = &'f FileId>,
        fields: Fields,
    ) -> Result<(), LedgerError> {
        self.transaction(|| {
            self.writing(|connection| {
                let mut update = connection
                    .prepare_cached("UPDATE file SET begun = begun | ?2 WHERE id = ?1")?;
                files.into_iter().try_for_each(|file| {
                    update.execute(params![file.as_str(), fields.bits()]).map(|_| ())
                })
            })
        })
    }

    /// Requests of earlier runs may yet take effect on these files: they are read back at the end of
    /// this run wherever it changes them, and until then their state is not relied on.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn set_unsettled(&self, files: &[FileId]) -> Result<(), LedgerError> {
        self.transaction(|| {
            self.writing(|connection| {
                let mut update =
                    connection.prepare_cached("UPDATE file SET unsettled = 1 WHERE id = ?1")?;
                let mut doubt = connection.prepare_cached(MARK_LOST)?;
                files.iter().try_for_each(|file| {
                    update.execute([file.as_str()])?;
                    doubt.execute(params![file.as_str(), row_number(EARLIER_RUN)]).map(|_| ())
                })
            })
        })
    }

    /// A file as the run knows it; `None` for one that it is not about.
    ///
    /// # Errors
    /// The ledger cannot be read, or what it holds of the file is damaged.
    pub fn file_record(&self, file: &str) -> Result<Option<FileRecord>, LedgerError> {
        self.reading(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT last_row, state, begun, unsettled FROM file WHERE id = ?1",
            )?;
            let known = select.query_row([file], |row| {
                let last_row = row.get::<_, i64>(0)?.unsigned_abs();
                let state = match row.get_ref(1)?.as_str_or_null()? {
                    None => Snapshot::Unread,
                    Some(MISSING) => Snapshot::Missing,
                    Some(json) => Snapshot::Fields(Box::new(fields_of(json)?)),
                };
                let (begun, unsettled) = (Fields::of_bits(row.get(2)?), row.get(3)?);
                Ok(FileRecord { last_row, state, begun, unsettled })
            });
            known.optional()
        })
    }

    /// The first files of a kind in the order of their ids, or the next behind one.
    ///
    /// # Errors
    /// The ledger cannot be read, or what it holds of them is damaged.
    pub fn files_with_later_rows(
        &self,
        file: Option<&FileId>,
        which: FileFilter,
        at_most: usize,
    ) -> Result<Vec<FileId>, LedgerError> {
        let only = match which {
            FileFilter::Unread => "AND state IS NULL",
            FileFilter::There => "AND state <> ''",
            FileFilter::Unexpected => "AND expected IS NOT NULL",
            FileFilter::All => "",
        };
        self.reading(|connection| {
            let mut select = connection.prepare_cached(&format!(
                "SELECT id FROM file WHERE id > ?1 {only} ORDER BY id LIMIT ?2"
            ))?;
            let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
            let behind = file.map_or("", FileId::as_str);
            let files = select.query_map(params![behind, at_most], |row| {
                FileId::new(row.get_ref(0)?.as_str()?).map_err(damaged)
            })?;
            files.collect()
        })
    }
}

fn json_of(fields: &FileFields) -> String {
    serde_json::to_string(fields).unwrap_or_default()
}

fn fields_of(json: &str) -> rusqlite::Result<FileFields> {
    serde_json::from_str(json).map_err(damaged)
}

fn damaged(error: impl Into<Box<dyn Error + Send + Sync>>) -> rusqlite::Error {
    let kind = rusqlite::types::Type::Text;
    rusqlite::Error::FromSqlConversionFailure(0, kind, error.into())
}

/// Which files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFilter {
    /// Those that have not been read.
    Unread,
    /// Those that have been read and are there.
    There,
    /// Those that have not been read as they must be by what other runs have done to them.
    Unexpected,
    /// All.
    All,
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;
    use crate::ledger::{Field, testing};

    #[test]
    fn a_file_is_expected_to_be_as_it_was_read_until_somebody_says_otherwise() {
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
        let unexpected = || ledger.files_with_later_rows(None, FileFilter::Unexpected, 9).unwrap();
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
    fn a_file_is_known_by_its_last_row_and_by_what_it_was_like() {
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
        let known = |last_row, state| {
            Some(FileRecord { last_row, state, begun: Fields::default(), unsettled: false })
        };
        assert_eq!(state("b"), known(7, Snapshot::Fields(Box::new(fields("b")))));
        assert_eq!(state("a"), known(3, Snapshot::Unread));
        assert_eq!(state("c"), known(8, Snapshot::Missing));
        assert_eq!(state("elsewhere"), None);
        let a = FileId::new("a").unwrap();
        let b = FileId::new("b").unwrap();
        assert_eq!(
            ledger.files_with_later_rows(None, FileFilter::Unread, 9).unwrap(),
            slice::from_ref(&a)
        );
        assert_eq!(
            ledger.files_with_later_rows(None, FileFilter::There, 9).unwrap(),
            slice::from_ref(&b)
        );
        assert_eq!(ledger.files_with_later_rows(Some(&a), FileFilter::All, 1).unwrap(), [b]);
    }

    #[test]
    fn what_was_begun_of_a_file_adds_up() {
        let (_directory, ledger) = testing::ledger();
        for file in ["a", "b"] {
            ledger.upsert_file(file, 2).unwrap();
        }
        let a = FileId::new("a").unwrap();
        for field in [Field::Description, Field::Tags, Field::Tags] {
            ledger.mark_started([&a], Fields::from([(field, true)])).unwrap();
        }
        let begun = |file| ledger.file_record(file).unwrap().unwrap().begun;
        let both = Fields::from([
            (Field::Tags, true),
            (Field::Description, true),
            (Field::Publication, false),
        ]);
        assert_eq!((begun("a"), begun("b")), (both, Fields::default()));
    }
}
