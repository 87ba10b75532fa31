//! The ledger's file: its tables, and what holds for the whole run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};

use super::{Counters, files, targets};
use crate::account::Identity;
use crate::input::{Context, Format};
use crate::row::{Resolved, RowPos, Rules, Schema};
use crate::settings::Planning;
use crate::sqlite;

/// Raised with every change of the tables that an older version could not read.
const FORMAT: i64 = 3;
/// What stands before the name of a run that is undone.
const UNDO_OF: &str = "undo of ";
/// Earlier versions can lose a write-ahead log that is reset while it is read.
const SQLITE_MIN: i32 = 3_051_003;

/// Why the ledger cannot be used. Whatever the cause, nothing more may be sent.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// SQLite refused.
    #[error("the ledger {path} cannot be {doing}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Written, read or opened.
        doing: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// It is of another version.
    #[error(
        "the ledger {path} has format {found}, and this ikbulk knows {FORMAT}; use the version that began the run"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// It was left while it was being made, so that nothing was sent.
    #[error("the run of {path} was left before it began; nothing was sent. Apply the sheet again")]
    NeverBegun {
        /// The file.
        path: PathBuf,
    },
    /// What the run is cannot be read.
    #[error("the ledger {path} is damaged: it does not say which run it is of")]
    RunMeta {
        /// The file.
        path: PathBuf,
    },
    /// The account's custom metadata fields in it are damaged.
    #[error("the custom metadata fields in the ledger {path} are damaged")]
    Fields {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The linked SQLite is too old.
    #[error("SQLite {found} can lose data; 3.51.3 or later is needed")]
    Version {
        /// The version.
        found: &'static str,
    },
    /// The thread that writes it is gone.
    #[error("the ledger stopped writing")]
    Gone,
}

/// What a run is: fixed when it begins, except what is said to change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunMeta {
    /// The run's id, unguessable and never used again.
    pub id: String,
    /// Its place in the order in which runs began, whatever the clocks said.
    pub position: u64,
    /// The input's name, as it was given.
    pub input_name: String,
    /// Where the sheet is, as an absolute path; `None` for standard input and for undoing a run.
    pub input_path: Option<OsString>,
    /// How the input is written.
    pub input_format: Format,
    /// Its fingerprint.
    pub input_fingerprint: String,
    /// Rows in it.
    pub rows: u64,
    /// Writes that it was planned to take; 0 as long as that is not known.
    pub writes: u64,
    /// The endpoint.
    pub endpoint: String,
    /// The account.
    pub account: Identity,
    /// Whether it runs against the built-in sandbox.
    pub sandbox: bool,
    /// Whether a row of it asks for an extension, so that what the run bought is remembered.
    #[serde(default)]
    pub pays: bool,
    /// The clear token.
    pub clear_token: String,
    /// The account's custom metadata fields as they were read; empty where they were not.
    pub fields: String,
    /// When it began, in UTC.
    pub begun: String,
    /// Whether it is a saved plan, so that each file is looked at again before it is changed.
    pub guarded: bool,
    /// How its rows become requests.
    pub planning: Planning,
    /// How far it has come.
    pub stage: Stage,
}

impl RunMeta {
    /// The name of an input that undoes a run.
    #[must_use]
    pub fn name_of_undoing(run: &Path) -> String {
        format!("{UNDO_OF}{}", run.display())
    }

    /// Whether it is a run on that sheet, whatever version of it. A folder may have been moved with
    /// its sheet and the runs beside it; so of those, the name is enough.
    #[must_use]
    pub fn is_of_sheet(&self, sheet: &Path, is_beside: bool) -> bool {
        let Some(path) = self.input_path.as_ref().map(Path::new) else {
            return false;
        };
        path == sheet || is_beside && path.file_name() == sheet.file_name()
    }

    /// Whether it undoes the run in that directory, whose path is absolute.
    #[must_use]
    pub fn undoes(&self, run: &Path) -> bool {
        let undone = self.input_name.strip_prefix(UNDO_OF).map(Path::new);
        undone.and_then(|undone| undone.canonicalize().ok()).is_some_and(|undone| undone == run)
    }
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The live state is being read; nothing has been sent.
    Planning,
    /// It is a saved plan; nothing has been sent.
    Planned,
    /// Requests may have been sent.
    Running,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The program's exit code.
    pub exit_code: u8,
    /// Rows that were not attempted, or not as a whole, for which the run can be resumed.
    pub not_attempted: u64,
}

/// An open ledger.
#[derive(Debug)]
pub struct LedgerFile {
    pub(super) connection: Connection,
    path: PathBuf,
}

impl LedgerFile {
    /// The file's name in a run directory.
    pub const NAME: &'static str = "ledger.db";

    /// Makes a new ledger and writes down what the run is, last of all: a ledger that says it has
    /// the files that were looked up, too; `None` where none were.
    ///
    /// # Errors
    /// The file cannot be made or written.
    pub fn create(
        directory: &Path,
        meta: &RunMeta,
        files: Option<&Resolved>,
    ) -> Result<Self, LedgerError> {
        let ledger = Self::connect(directory.join(Self::NAME), sqlite::create)?;
        ledger.writing(|connection| {
            // All of it at once: a ledger that was left before this has no format.
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
                     row_done INTEGER NOT NULL,
                     before TEXT,
                     extensions TEXT
                 );
                 CREATE TABLE doubt (file TEXT PRIMARY KEY, row INTEGER NOT NULL) WITHOUT ROWID;
                 {files}
                 {targets}
                 COMMIT;",
                files = files::TABLE,
                targets = targets::TABLE,
            ))
        })?;
        if let Some(files) = files {
            ledger.set_files(files)?;
        }
        ledger.set_meta(meta)?;
        Ok(ledger)
    }

    /// Opens a ledger to go on writing it.
    ///
    /// # Errors
    /// It cannot be opened, or is of another version.
    pub fn open(directory: &Path) -> Result<Self, LedgerError> {
        let ledger = Self::connect(directory.join(Self::NAME), sqlite::open)?;
        let found = ledger.reading(|connection| {
            connection.query_row("PRAGMA user_version", [], |row| row.get(0))
        })?;
        match found {
            FORMAT => Ok(ledger),
            0 => Err(LedgerError::NeverBegun { path: ledger.path }),
            _ => Err(LedgerError::Format { path: ledger.path, found }),
        }
    }

    /// Opens the ledger of a run that another process executes, to read it and nothing else.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn observe(directory: &Path) -> Result<Self, LedgerError> {
        Self::connect(directory.join(Self::NAME), sqlite::open_read_only)
    }

    /// Opens it once more, for somebody who reads beside whoever writes.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn reopen(&self) -> Result<Self, LedgerError> {
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

    /// What the run is.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn meta(&self) -> Result<RunMeta, LedgerError> {
        // It is written last when a ledger is made.
        let never_begun = || LedgerError::NeverBegun { path: self.path.clone() };
        let text = self.get("run")?.ok_or_else(never_begun)?;
        serde_json::from_str(&text).map_err(|_| self.no_meta())
    }

    /// Writes down anew what the run is.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn set_meta(&self, meta: &RunMeta) -> Result<(), LedgerError> {
        let meta = serde_json::to_string(meta).map_err(|_| self.no_meta())?;
        self.set("run", &meta)
    }

    /// What the run's cells are read with.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn context(&self, meta: &RunMeta) -> Result<Context, LedgerError> {
        let schema = match meta.fields.as_bytes() {
            [] => None,
            fields => Some(
                Schema::from_json(fields)
                    .map_err(|source| LedgerError::Fields { path: self.path.clone(), source })?,
            ),
        };
        let rules = Rules { clear_token: meta.clear_token.clone() };
        Ok(Context { rules, schema, files: Some(self.files()?.into()) })
    }

    /// The fingerprint of a sheet as it was last written; `None` where it never was.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn written(&self, sheet: &str) -> Result<Option<String>, LedgerError> {
        self.get(&format!("written {sheet}"))
    }

    /// Writes down the fingerprint of a sheet.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn set_written(&self, sheet: &str, fingerprint: &str) -> Result<(), LedgerError> {
        self.set(&format!("written {sheet}"), fingerprint)
    }

    /// The row below which everything is settled; `None` before the first outcome.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn low_water(&self) -> Result<Option<RowPos>, LedgerError> {
        let text = self.get("low_water")?;
        let pos = text.as_deref().and_then(|text| text.split_once(' '));
        Ok(pos.and_then(|(number, offset)| {
            Some(RowPos { number: number.parse().ok()?, offset: offset.parse().ok()? })
        }))
    }

    /// Requests sent so far.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn counters(&self) -> Result<Counters, LedgerError> {
        let text = self.get("counters")?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// For how long the run has been executed, in seconds, over all of its sessions.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn seconds(&self) -> Result<f64, LedgerError> {
        Ok(self.get("seconds")?.and_then(|text| text.parse().ok()).unwrap_or(0.0))
    }

    /// Writes down for how long the run has been executed.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn set_seconds(&self, seconds: f64) -> Result<(), LedgerError> {
        self.set("seconds", &format!("{seconds:.3}"))
    }

    /// How the last session ended; `None` while it runs, and after a crash.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn ended(&self) -> Result<Option<Ended>, LedgerError> {
        Ok(self.get("ended")?.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Writes down how this session ended; `None` when it begins.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn set_ended(&self, ended: Option<Ended>) -> Result<(), LedgerError> {
        let text = ended.and_then(|ended| serde_json::to_string(&ended).ok());
        self.set("ended", &text.unwrap_or_default())
    }

    /// Whether requests of an earlier session may have been under way when it ended.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn had_requests_in_flight(&self) -> Result<bool, LedgerError> {
        Ok(self.get("under_way")?.is_some_and(|text| !text.is_empty()))
    }

    /// Writes down whether requests may be under way: so when a session begins, and not any more
    /// once all of them have been answered.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn set_requests_in_flight(&self, may_be: bool) -> Result<(), LedgerError> {
        self.set("under_way", if may_be { "some" } else { "" })
    }

    /// Folds the write-ahead log into the file, so that one file is all there is.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn checkpoint(&self) -> Result<(), LedgerError> {
        self.writing(|connection| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        })
    }

    fn get(&self, name: &str) -> Result<Option<String>, LedgerError> {
        self.reading(|connection| {
            let query = "SELECT value FROM fact WHERE name = ?1";
            connection.query_row(query, [name], |row| row.get(0)).optional()
        })
    }

    fn set(&self, name: &str, value: &str) -> Result<(), LedgerError> {
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

    fn no_meta(&self) -> LedgerError {
        LedgerError::RunMeta { path: self.path.clone() }
    }
}
