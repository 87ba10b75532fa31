//! The state database: accounts and their aliases, the runs on them, and their charges. Every change
//! is one durable transaction.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::{AccountName, Identity, StateDir, StateDirError};
use crate::sqlite;

/// Format of the database, incremented with every incompatible change.
const FORMAT: u32 = 5;
/// What makes each format of the one before; the first creates the database.
const MIGRATIONS: [&str; FORMAT as usize] =
    [TABLES, SPENT_TABLE, CHARGE_NAME, IMPORTED_RUN, CERTAINTY];
const NAME: &str = "state.db";
const TABLES: &str = "
    CREATE TABLE account (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT);
    CREATE TABLE alias (
        service TEXT NOT NULL,
        name TEXT NOT NULL,
        account INTEGER NOT NULL,
        PRIMARY KEY (service, name)
    ) WITHOUT ROWID;
    CREATE TABLE run (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        account INTEGER NOT NULL,
        endpoint TEXT NOT NULL,
        path BLOB NOT NULL,
        begun TEXT NOT NULL,
        position INTEGER NOT NULL,
        wrote_at TEXT,
        first_write INTEGER,
        last_write INTEGER,
        charges_open INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE charge (
        service TEXT NOT NULL,
        file TEXT NOT NULL,
        extension INTEGER NOT NULL,
        run INTEGER NOT NULL,
        response_lost INTEGER NOT NULL,
        PRIMARY KEY (service, file, extension)
    ) WITHOUT ROWID;";
/// The runs of billed extensions, by run and UTC day.
const SPENT_TABLE: &str = "
    CREATE TABLE spent (
        run INTEGER NOT NULL,
        day TEXT NOT NULL,
        extension TEXT NOT NULL,
        runs INTEGER NOT NULL,
        PRIMARY KEY (run, day, extension)
    ) WITHOUT ROWID;";

/// The name of the extension; null for charges that were recorded before.
const CHARGE_NAME: &str = "ALTER TABLE charge ADD COLUMN name TEXT;";

/// Whether a run was executed elsewhere: its charges were imported, and its directory is not here.
const IMPORTED_RUN: &str = "ALTER TABLE run ADD COLUMN imported INTEGER NOT NULL DEFAULT 0;";

/// How certain it is that an extension ran; see `Certainty` in the module `charges`.
const CERTAINTY: &str = "ALTER TABLE charge RENAME COLUMN response_lost TO certainty;";

/// Id of an account in the state database; another one on another machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AccountId(pub(super) i64);

impl AccountId {
    pub(crate) fn number(self) -> i64 {
        self.0
    }
}

/// Reason why the state database cannot be used. Then nothing may be sent.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateDirError),
    /// An SQLite operation failed.
    #[error("cannot {doing} the state database {path}")]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// The operation: `open`, `read` or `write`.
        doing: &'static str,
        /// SQLite's error.
        #[source]
        source: rusqlite::Error,
    },
    /// Another version of ikbulk created the database.
    #[error(
        "the state database {path} has format {found}, which this version of ikbulk cannot read; \
         install a newer version, or choose another state directory with --state-dir DIR"
    )]
    Format {
        /// The database file.
        path: PathBuf,
        /// Format of the database.
        found: u32,
    },
    /// A relative path cannot be resolved, because the current directory no longer exists.
    #[error("cannot resolve the path of the run directory {run}")]
    Path {
        /// The run directory, as given.
        run: PathBuf,
        /// The file system error.
        #[source]
        source: std::io::Error,
    },
}

/// A run to be registered in the state database.
#[derive(Debug, Clone, Copy)]
pub struct RunEntry<'r> {
    /// Unique id of the run, as in its ledger.
    pub id: &'r str,
    /// Run directory.
    pub path: &'r Path,
    /// URL of the API.
    pub endpoint: &'r str,
    /// Start time in UTC.
    pub begun: &'r str,
    /// Position in the order of runs: see [`AccountDb::next_position`].
    pub position: u64,
}

/// A run that wrote to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// Unique id of the run, as in its ledger.
    pub id: String,
    /// Run directory.
    pub path: PathBuf,
    /// Time of the run's last [note of writing](AccountDb::note_writing).
    pub wrote_at: Timestamp,
    /// Sequence number of the run's first note, counted across all runs.
    pub first_write: u64,
    /// Sequence number of the run's last note.
    pub last_write: u64,
}

/// An open connection to the state database.
#[derive(Debug)]
pub struct AccountDb {
    connection: Connection,
    path: PathBuf,
}

impl AccountDb {
    /// Opens or creates the database of a state directory.
    ///
    /// # Errors
    /// The database cannot be opened or created, or has another format.
    pub fn open(state: &StateDir) -> Result<Self, AccountError> {
        let path = state.database(NAME)?;
        match sqlite::create(&path)
            .and_then(|connection| Ok((create_tables(&connection)?, connection)))
        {
            Ok((FORMAT, connection)) => Ok(Self { connection, path }),
            Ok((found, _)) => Err(AccountError::Format { path, found }),
            Err(source) => Err(AccountError::Sqlite { path, doing: "open", source }),
        }
    }

    /// The account with this identity, created if there is none. If key and name belong to different
    /// accounts, these are joined permanently.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub fn account_of(&self, identity: &Identity) -> Result<AccountId, AccountError> {
        self.change(|transaction| {
            let service = identity.service.as_str();
            let mut find = transaction
                .prepare_cached("SELECT account FROM alias WHERE service = ?1 AND name = ?2")?;
            let mut found: Vec<i64> = Vec::new();
            for alias in identity.aliases() {
                let account = find.query_row([service, &alias], |row| row.get::<_, i64>(0));
                found.extend(account.optional()?);
            }
            let account = if let Some(account) = found.iter().min() {
                *account
            } else {
                transaction.execute("INSERT INTO account (name) VALUES (NULL)", [])?;
                transaction.last_insert_rowid()
            };
            for other in found {
                join(transaction, account, other)?;
            }
            for alias in identity.aliases() {
                let insert = "INSERT OR IGNORE INTO alias VALUES (?1, ?2, ?3)";
                transaction.execute(insert, params![service, alias, account])?;
            }
            if let Some(name) = &identity.name {
                let name = name.as_str();
                transaction.execute(
                    "UPDATE account SET name = ?1 WHERE id = ?2",
                    params![name, account],
                )?;
            }
            Ok(AccountId(account))
        })
    }

    /// Joins two accounts into `account`, after the user confirmed that one key replaced the other.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn join(&self, account: AccountId, other: AccountId) -> Result<(), AccountError> {
        self.change(|transaction| join(transaction, account.0, other.0))
    }

    /// Name of an account; `None` if no file of the account was ever seen.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn name_of(&self, account: AccountId) -> Result<Option<AccountName>, AccountError> {
        let sql = "SELECT name FROM account WHERE id = ?1";
        let name = self.read(|connection| {
            connection.query_row(sql, [account.0], |row| row.get::<_, Option<String>>(0)).optional()
        })?;
        Ok(name.flatten().map(|name| AccountName::recorded(&name)))
    }

    /// Registers a run on an account, or updates the path and position of a registered one.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn register(&self, account: AccountId, run: &RunEntry<'_>) -> Result<(), AccountError> {
        let path = absolute(run.path)?;
        self.change(|transaction| {
            let sql = "INSERT INTO run (id, account, endpoint, path, begun, position)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                       ON CONFLICT (id) DO UPDATE SET
                           endpoint = CASE WHEN imported THEN excluded.endpoint ELSE endpoint END,
                           account = CASE WHEN imported THEN excluded.account ELSE account END,
                           path = excluded.path, position = excluded.position, imported = 0";
            transaction.execute(
                sql,
                params![
                    run.id,
                    account.0,
                    run.endpoint,
                    path.as_os_str().as_bytes(),
                    run.begun,
                    stored(run.position),
                ],
            )?;
            Ok(())
        })
    }

    /// Whether a run was started with this state directory and endpoint. A ledger copied from
    /// elsewhere cannot forge this.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn began(&self, id: &str, endpoint: &str) -> Result<bool, AccountError> {
        let sql = "SELECT EXISTS (
                       SELECT 1 FROM run WHERE id = ?1 AND endpoint = ?2 AND NOT imported)";
        self.read(|connection| connection.query_row(sql, [id, endpoint], |row| row.get(0)))
    }

    /// Position of the next run in the order of all registered runs. Independent of the clock.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn next_position(&self) -> Result<u64, AccountError> {
        let sql = "SELECT coalesce(max(position), 0) FROM run";
        let last: i64 = self.read(|connection| connection.query_row(sql, [], |row| row.get(0)))?;
        Ok(last.unsigned_abs() + 1)
    }

    /// Whether any run other than `except` (a run id) has written to the account.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn has_history(&self, account: AccountId, except: &str) -> Result<bool, AccountError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM run
                       WHERE account = ?1 AND id <> ?2 AND last_write IS NOT NULL)";
        self.read(|connection| {
            connection.query_row(sql, params![account.0, except], |row| row.get(0))
        })
    }

    /// Notes that a run has been writing until now, or is about to. Notes have sequence numbers, so
    /// their order is independent of the clock.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn note_writing(&self, id: &str, now: Timestamp) -> Result<(), AccountError> {
        self.change(|transaction| {
            let sql = "SELECT coalesce(max(last_write), 0) + 1 FROM run";
            let number: i64 = transaction.query_row(sql, [], |row| row.get(0))?;
            let sql = "UPDATE run SET wrote_at = ?2, last_write = ?3,
                           first_write = coalesce(first_write, ?3)
                       WHERE id = ?1";
            transaction.execute(sql, params![id, now.to_string(), number]).map(drop)
        })
    }

    /// The runs that wrote to an account, by the sequence number of their last note.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn writers(&self, account: AccountId) -> Result<Vec<Writer>, AccountError> {
        self.read(|connection| {
            let sql = "SELECT id, path, wrote_at, first_write, last_write FROM run
                       WHERE account = ?1 AND last_write IS NOT NULL ORDER BY last_write";
            let mut query = connection.prepare(sql)?;
            let runs = query.query_map([account.0], |row| {
                let wrote_at = row.get_ref(2)?.as_str()?.parse().map_err(sqlite::damaged)?;
                Ok(Writer {
                    id: row.get(0)?,
                    path: path_of(row, 1)?,
                    wrote_at,
                    first_write: row.get::<_, i64>(3)?.unsigned_abs(),
                    last_write: row.get::<_, i64>(4)?.unsigned_abs(),
                })
            })?;
            runs.collect()
        })
    }

    /// The directories of all runs on an account that were executed here, in order of registration.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn run_paths(&self, account: AccountId) -> Result<Vec<PathBuf>, AccountError> {
        self.read(|connection| {
            let sql = "SELECT path FROM run WHERE account = ?1 AND NOT imported ORDER BY number";
            let mut query = connection.prepare(sql)?;
            let paths = query.query_map([account.0], |row| path_of(row, 0))?;
            paths.collect()
        })
    }

    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, AccountError> {
        read(&self.connection).map_err(|source| self.failed("read", source))
    }

    /// Runs `change` in a transaction and commits it durably.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, AccountError> {
        let transaction = self.transaction()?;
        let changed = change(&transaction).map_err(|source| self.failed("write", source))?;
        transaction.commit().map_err(|source| self.failed("write", source))?;
        Ok(changed)
    }

    /// Starts a write transaction, which blocks those of other processes.
    pub(crate) fn transaction(&self) -> Result<Transaction<'_>, AccountError> {
        Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
            .map_err(|source| self.failed("write", source))
    }

    pub(crate) fn failed(&self, doing: &'static str, source: rusqlite::Error) -> AccountError {
        AccountError::Sqlite { path: self.path.clone(), doing, source }
    }
}

/// Creates the tables, or brings those of an earlier version up to date. Returns the format.
fn create_tables(connection: &Connection) -> rusqlite::Result<u32> {
    let format =
        |connection: &Connection| connection.query_row("PRAGMA user_version", [], |row| row.get(0));
    let found: u32 = format(connection)?;
    if found >= FORMAT {
        return Ok(found);
    }
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    // Another process may have created them meanwhile.
    let found: u32 = format(&transaction)?;
    for migration in MIGRATIONS.iter().skip(found as usize) {
        transaction.execute_batch(migration)?;
    }
    let reached = found.max(FORMAT);
    transaction.pragma_update(None, "user_version", reached)?;
    transaction.commit()?;
    Ok(reached)
}

/// Moves the aliases and runs of `other` to `account`.
fn join(connection: &Connection, account: i64, other: i64) -> rusqlite::Result<()> {
    for table in ["alias", "run"] {
        let sql = format!("UPDATE {table} SET account = ?1 WHERE account = ?2");
        connection.execute(&sql, [account, other])?;
    }
    Ok(())
}

/// The path of a run directory, independent of the current directory.
fn absolute(run: &Path) -> Result<PathBuf, AccountError> {
    std::path::absolute(run).map_err(|source| AccountError::Path { run: run.to_owned(), source })
}

pub(crate) fn path_of(row: &Row<'_>, column: usize) -> rusqlite::Result<PathBuf> {
    row.get(column).map(OsString::from_vec).map(PathBuf::from)
}

/// Converts to SQLite's signed integers.
fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
