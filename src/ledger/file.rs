//! The ledger file: its tables, and the values that concern the whole run.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::writer::{COUNTERS, LOW_WATER, SPENT};
use super::{
    Counters, Ended, RunMeta, callbacks, files, kept_results, path_policies, settlements, targets,
};
use crate::input::Context;
use crate::row::{Resolved, RowPos, Schema};
use crate::spending::Spent;
use crate::sqlite::{self, to_json};

/// Format number of the tables; raised with every incompatible change.
const FORMAT: i64 = 13;
/// Earlier versions can lose a write-ahead log that is reset during a read.
const SQLITE_MIN: i32 = 3_051_003;

/// Why the ledger cannot be used. Nothing more may be sent after any of these.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// An SQLite error.
    #[error("the ledger {path} cannot be {doing}")]
    Sqlite {
        /// Path of the ledger.
        path: PathBuf,
        /// `written`, `read` or `opened`.
        doing: &'static str,
        /// SQLite's error.
        #[source]
        source: rusqlite::Error,
    },
    /// The ledger has the format of another version.
    #[error(
        "the ledger {path} has format {found}, and this version of ikbulk reads {FORMAT}; use the version that started the run"
    )]
    Format {
        /// Path of the ledger.
        path: PathBuf,
        /// Format of the ledger.
        found: i64,
    },
    /// The program ended while it created the ledger; nothing was sent.
    #[error(
        "the run of {path} was interrupted before it started (nothing was sent); apply the sheet again"
    )]
    NeverBegun {
        /// Path of the ledger.
        path: PathBuf,
    },
    /// The run metadata is damaged.
    #[error("{path} is not a valid ledger: run metadata is missing or corrupt")]
    RunMeta {
        /// Path of the ledger.
        path: PathBuf,
    },
    /// The stored custom metadata schema is damaged.
    #[error("the ledger {path} is corrupt: the custom metadata schema cannot be read")]
    Fields {
        /// Path of the ledger.
        path: PathBuf,
        /// The JSON error.
        #[source]
        source: serde_json::Error,
    },
    /// The linked SQLite is too old.
    #[error("SQLite {found} can lose data; 3.51.3 or later is required")]
    Version {
        /// Version of the linked SQLite.
        found: &'static str,
    },
    /// The writer thread panicked or ended early.
    #[error("the ledger writer stopped unexpectedly")]
    Gone,
}

/// An open ledger.
#[derive(Debug)]
pub struct LedgerFile {
    pub(super) connection: Connection,
    path: PathBuf,
}

impl LedgerFile {
    /// File name in the run directory.
    pub const NAME: &'static str = "ledger.db";

    /// Creates a ledger. The run metadata is written last, so a ledger with metadata also has the
    /// resolved files, if any.
    ///
    /// # Errors
    /// The file cannot be created or written.
    pub fn create(
        directory: &Path,
        meta: &RunMeta,
        files: Option<&Resolved>,
    ) -> Result<Self, LedgerError> {
        let ledger = Self::connect(directory.join(Self::NAME), sqlite::create)?;
        ledger.writing(|connection| {
            // One transaction: a ledger interrupted before its end has format 0.
            connection.execute_batch(&format!(
                "BEGIN IMMEDIATE;
                 PRAGMA user_version = {FORMAT};
                 CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
                 CREATE TABLE step (
                     id INTEGER PRIMARY KEY,
                     status TEXT NOT NULL,
                     code TEXT,
                     message TEXT,
                     attempts INTEGER NOT NULL,
                     http_status INTEGER,
                     request_id TEXT,
                     updated_at TEXT,
                     extension_status TEXT,
                     results TEXT,
                     row_done INTEGER NOT NULL,
                     sent_fields INTEGER NOT NULL,
                     sent_extensions TEXT,
                     snapshot TEXT
                 );
                 CREATE TABLE lost_response (file TEXT PRIMARY KEY, row INTEGER NOT NULL) WITHOUT ROWID;
                 {files}
                 {path_policies}
                 {targets}
                 {callbacks}
                 {settled}
                 {kept}
                 COMMIT;",
                files = files::TABLES,
                path_policies = path_policies::TABLE,
                targets = targets::TABLE,
                callbacks = callbacks::TABLE,
                settled = settlements::TABLE,
                kept = kept_results::TABLE,
            ))
        })?;
        if let Some(files) = files {
            ledger.set_files(files)?;
        }
        ledger.set_meta(meta)?;
        Ok(ledger)
    }

    /// Opens a ledger to write to it.
    ///
    /// # Errors
    /// The file cannot be opened, its creation was interrupted, or it has another format.
    pub fn open(directory: &Path) -> Result<Self, LedgerError> {
        Self::connect(directory.join(Self::NAME), sqlite::open)?.of_this_format()
    }

    /// The ledger, unless another version wrote it.
    fn of_this_format(self) -> Result<Self, LedgerError> {
        let found = self.reading(|connection| {
            connection.query_row("PRAGMA user_version", [], |row| row.get(0))
        })?;
        match found {
            FORMAT => Ok(self),
            0 => Err(LedgerError::NeverBegun { path: self.path }),
            _ => Err(LedgerError::Format { path: self.path, found }),
        }
    }

    /// Opens the ledger of a run that another process may be executing, read-only.
    ///
    /// # Errors
    /// The file cannot be opened, or its ledger was written by another version.
    pub fn observe(directory: &Path) -> Result<Self, LedgerError> {
        Self::connect(directory.join(Self::NAME), sqlite::open_read_only)?.of_this_format()
    }

    /// Opens a second connection, to read while another one writes.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn reconnect(&self) -> Result<Self, LedgerError> {
        Self::connect(self.path.clone(), sqlite::open)
    }

    fn connect(
        path: PathBuf,
        connect: impl FnOnce(&Path) -> rusqlite::Result<Connection>,
    ) -> Result<Self, LedgerError> {
        if rusqlite::version_number() < SQLITE_MIN {
            return Err(LedgerError::Version { found: rusqlite::version() });
        }
        match connect(&path) {
            Ok(connection) => Ok(Self { connection, path }),
            Err(source) => Err(LedgerError::Sqlite { path, doing: "opened", source }),
        }
    }

    /// The run metadata.
    ///
    /// # Errors
    /// The ledger cannot be read, its creation was interrupted, or the metadata is damaged.
    pub fn meta(&self) -> Result<RunMeta, LedgerError> {
        // The metadata is written last.
        let interrupted = || LedgerError::NeverBegun { path: self.path.clone() };
        let text = self.get("run")?.ok_or_else(interrupted)?;
        serde_json::from_str(&text).map_err(|_| self.damaged_meta())
    }

    /// Replaces the run metadata.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn set_meta(&self, meta: &RunMeta) -> Result<(), LedgerError> {
        let meta = serde_json::to_string(meta).map_err(|_| self.damaged_meta())?;
        self.set("run", &meta)
    }

    /// What is needed to parse the run's cells: rules, schema and resolved files.
    ///
    /// # Errors
    /// The ledger cannot be read, or its schema is damaged.
    pub fn context(&self, meta: &RunMeta) -> Result<Context, LedgerError> {
        let schema = match meta.fields.as_bytes() {
            [] => None,
            fields => Some(
                Schema::from_json(fields)
                    .map_err(|source| LedgerError::Fields { path: self.path.clone(), source })?,
            ),
        };
        Ok(Context { rules: meta.rules.clone(), schema, files: Some(self.files()?.into()) })
    }

    /// Fingerprint of the last version of a sheet (such as `failed.csv`) that this run wrote;
    /// `None` if it wrote none.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn written(&self, sheet: &str) -> Result<Option<String>, LedgerError> {
        self.get(&format!("written {sheet}"))
    }

    /// Stores the fingerprint of a sheet that was written.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn set_written(&self, sheet: &str, fingerprint: &str) -> Result<(), LedgerError> {
        self.set(&format!("written {sheet}"), fingerprint)
    }

    /// The low-water mark: all rows before this one are done. `None` before the first outcome.
    ///
    /// # Errors
    /// The ledger cannot be read, or the mark is damaged.
    pub fn low_water(&self) -> Result<Option<RowPos>, LedgerError> {
        self.fact(LOW_WATER)
    }

    /// Requests sent so far.
    ///
    /// # Errors
    /// The ledger cannot be read, or the counters are damaged.
    pub fn counters(&self) -> Result<Counters, LedgerError> {
        Ok(self.fact(COUNTERS)?.unwrap_or_default())
    }

    /// Adds the reads of a session that changes no file.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub fn add_reads(&self, reads: Counters) -> Result<(), LedgerError> {
        let counters = self.counters()?.and_reads(reads);
        self.set_fact(COUNTERS, &counters)
    }

    /// Extensions that the run has run so far, by day, requests in flight included.
    ///
    /// # Errors
    /// The ledger cannot be read, or the amounts are damaged.
    pub fn spent(&self) -> Result<Spent, LedgerError> {
        Ok(self.fact(SPENT)?.unwrap_or_default())
    }

    /// Execution time over all sessions, in seconds.
    ///
    /// # Errors
    /// The ledger cannot be read, or the time is damaged.
    pub fn seconds(&self) -> Result<f64, LedgerError> {
        Ok(self.fact("seconds")?.unwrap_or_default())
    }

    /// Stores the execution time over all sessions.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn set_seconds(&self, seconds: f64) -> Result<(), LedgerError> {
        self.set("seconds", &format!("{seconds:.3}"))
    }

    /// The number of sessions that have sent, or were about to.
    ///
    /// # Errors
    /// The ledger cannot be read, or the number is damaged.
    pub fn sessions(&self) -> Result<u64, LedgerError> {
        Ok(self.fact("sessions")?.unwrap_or_default())
    }

    /// Counts a session that is about to send.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub fn add_session(&self) -> Result<(), LedgerError> {
        self.set_fact("sessions", &(self.sessions()? + 1))
    }

    /// How the last session ended; `None` while it runs, and after a crash.
    ///
    /// # Errors
    /// The ledger cannot be read, or the record is damaged.
    pub fn ended(&self) -> Result<Option<Ended>, LedgerError> {
        Ok(self.fact("ended")?.flatten())
    }

    /// Stores how this session ended; `None` when it starts.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn set_ended(&self, ended: Option<Ended>) -> Result<(), LedgerError> {
        self.set_fact("ended", &ended)
    }

    /// Whether requests may have been in flight when an earlier session ended.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn had_requests_in_flight(&self) -> Result<bool, LedgerError> {
        Ok(self.get("in_flight")?.is_some_and(|text| !text.is_empty()))
    }

    /// Stores whether requests may be in flight: `true` when a session starts, `false` once it ends
    /// with every response received.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn set_requests_in_flight(&self, in_flight: bool) -> Result<(), LedgerError> {
        self.set("in_flight", if in_flight { "some" } else { "" })
    }

    /// Moves the write-ahead log into the file, so that one file remains.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn checkpoint(&self) -> Result<(), LedgerError> {
        self.writing(|connection| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        })
    }

    pub(super) fn get(&self, name: &str) -> Result<Option<String>, LedgerError> {
        self.reading(|connection| {
            let query = "SELECT value FROM fact WHERE name = ?1";
            connection.query_row(query, [name], |row| row.get(0)).optional()
        })
    }

    /// A fact that is kept as JSON.
    fn fact<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, LedgerError> {
        let Some(json) = self.get(name)? else { return Ok(None) };
        serde_json::from_str(&json).map(Some).map_err(|_| self.damaged_meta())
    }

    pub(super) fn set_fact(&self, name: &str, value: &impl Serialize) -> Result<(), LedgerError> {
        let json = to_json(value).map_err(|source| self.failed("written", source))?;
        self.set(name, &json)
    }

    pub(super) fn set(&self, name: &str, value: &str) -> Result<(), LedgerError> {
        self.writing(|connection| {
            connection.execute("INSERT OR REPLACE INTO fact VALUES (?1, ?2)", [name, value])?;
            Ok(())
        })
    }

    pub(super) fn reading<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        read(&self.connection).map_err(|source| self.failed("read", source))
    }

    pub(super) fn writing<T>(
        &self,
        write: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        write(&self.connection).map_err(|source| self.failed("written", source))
    }

    pub(super) fn failed(&self, doing: &'static str, source: rusqlite::Error) -> LedgerError {
        LedgerError::Sqlite { path: self.path.clone(), doing, source }
    }

    pub(super) fn damaged_meta(&self) -> LedgerError {
        LedgerError::RunMeta { path: self.path.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing;
    use crate::request::StepKind;

    type Read = fn(&LedgerFile) -> Result<(), LedgerError>;

    #[test]
    fn damaged_fact_is_an_error_and_not_its_default() {
        let (_directory, ledger) = testing::ledger();
        let facts: [(&str, Read); 6] = [
            (LOW_WATER, |ledger| ledger.low_water().map(drop)),
            (COUNTERS, |ledger| ledger.counters().map(drop)),
            (SPENT, |ledger| ledger.spent().map(drop)),
            ("seconds", |ledger| ledger.seconds().map(drop)),
            ("sessions", |ledger| ledger.sessions().map(drop)),
            ("ended", |ledger| ledger.ended().map(drop)),
        ];
        for (name, read) in facts {
            read(&ledger).unwrap();
            ledger.set(name, "{").unwrap();
            assert!(matches!(read(&ledger), Err(LedgerError::RunMeta { .. })), "{name}");
        }
    }

    #[test]
    fn damaged_record_is_an_error_and_not_a_missing_one() {
        let records: [(&str, Read); 4] = [
            ("UPDATE step SET code = '?'", |ledger| ledger.steps_of_row(2).map(drop)),
            ("UPDATE step SET status = '?'", |ledger| ledger.steps_of_row(2).map(drop)),
            ("INSERT INTO target VALUES ('/a', '', NULL, NULL)", |ledger| ledger.files().map(drop)),
            ("INSERT INTO lost_response VALUES ('', 2)", |ledger| ledger.lost_rows().map(drop)),
        ];
        for (damage, read) in records {
            let (_directory, ledger) = testing::ledger();
            testing::add_step(&ledger, 2, StepKind::Details, "updated", None);
            read(&ledger).unwrap();
            ledger.writing(|connection| connection.execute_batch(damage)).unwrap();
            assert!(matches!(read(&ledger), Err(LedgerError::Sqlite { .. })), "{damage}");
        }
    }
}
