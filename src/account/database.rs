//! The database of the state directory: accounts and their names, the runs on them, and the charges
//! that they caused. Every change is one durable commit, so that no crash leaves half of it.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::{AccountName, Identity, StateDir, StateDirError};
use crate::sqlite;

/// Raised with every change of the tables that an older version could not read.
const FORMAT: i64 = 1;
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

/// The number of an account on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AccountId(pub(super) i64);

impl AccountId {
    /// The number.
    pub(crate) fn number(self) -> i64 {
        self.0
    }
}

/// Why the database cannot be used. Nothing may be sent without it.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateDirError),
    /// SQLite refused.
    #[error("cannot {doing} the state database {path}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Open, read or write.
        doing: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// It is of another version.
    #[error(
        "the state database {path} has format {found}, which this version of ikbulk cannot read"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// The current directory is gone, so that a relative path means nothing.
    #[error("cannot tell where the run directory {run} is")]
    Path {
        /// The directory, as it was given.
        run: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// What is kept of a run.
#[derive(Debug, Clone, Copy)]
pub struct RunEntry<'r> {
    /// Its id, which its ledger holds as well.
    pub id: &'r str,
    /// Its directory.
    pub path: &'r Path,
    /// Where its requests go.
    pub endpoint: &'r str,
    /// When it began, in UTC.
    pub begun: &'r str,
    /// Its place in the order of runs: see [`AccountDb::next_position`].
    pub position: u64,
}

/// A run that wrote to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// Its id, which its ledger holds as well.
    pub id: String,
    /// Its directory.
    pub path: PathBuf,
    /// When it last noted that it wrote.
    pub wrote_at: Option<Timestamp>,
    /// The number of its first note…
    pub first_write: u64,
    /// …and of its last one, among the notes of all runs.
    pub last_write: u64,
}

/// The open database.
#[derive(Debug)]
pub struct AccountDb {
    connection: Connection,
    path: PathBuf,
}

impl AccountDb {
    /// Opens the database of a state directory, or makes it.
    ///
    /// # Errors
    /// It cannot be opened or made, or is of another version.
    pub fn open(state: &StateDir) -> Result<Self, AccountError> {
        let path = state.database(NAME)?;
        match sqlite::create(&path).and_then(|connection| Ok((begin(&connection)?, connection))) {
            Ok((FORMAT, connection)) => Ok(Self { connection, path }),
            Ok((found, _)) => Err(AccountError::Format { path, found }),
            Err(source) => Err(AccountError::Sqlite { path, doing: "open", source }),
        }
    }

    /// The account of that service that has one of these names. Names that turn out to be of one
    /// account are joined for good.
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
                let learn = "INSERT OR IGNORE INTO alias VALUES (?1, ?2, ?3)";
                transaction.execute(learn, params![service, alias, account])?;
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

    /// Makes two accounts one: a person confirmed that one key replaced another.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn join(&self, account: AccountId, other: AccountId) -> Result<(), AccountError> {
        self.change(|transaction| join(transaction, account.0, other.0))
    }

    /// The name of an account, if any file of it was ever seen.
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

    /// Takes up a run on an account; of one that is known, where it is now and its position.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn register(&self, account: AccountId, run: &RunEntry<'_>) -> Result<(), AccountError> {
        let path = absolute(run.path)?;
        self.change(|transaction| {
            let sql = "INSERT INTO run (id, account, endpoint, path, begun, position)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                       ON CONFLICT (id) DO UPDATE SET
                           path = excluded.path, position = excluded.position";
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

    /// Whether a run was begun from this state directory at that endpoint. The ledger of a run from
    /// elsewhere cannot claim that.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn began(&self, id: &str, endpoint: &str) -> Result<bool, AccountError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM run WHERE id = ?1 AND endpoint = ?2)";
        self.read(|connection| connection.query_row(sql, [id, endpoint], |row| row.get(0)))
    }

    /// The position of the run that begins next, in the order of all runs that this state directory
    /// knows; it does not depend on any clock.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn next_position(&self) -> Result<u64, AccountError> {
        let sql = "SELECT coalesce(max(position), 0) FROM run";
        let last: i64 = self.read(|connection| connection.query_row(sql, [], |row| row.get(0)))?;
        Ok(last.unsigned_abs() + 1)
    }

    /// Whether any run but this one is known to have written to the account.
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

    /// A run on its account has written until now, or is about to. These notes are numbered, so
    /// that their order does not depend on the clock.
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

    /// The runs on an account that ever wrote, in the order in which they last noted it.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn writers(&self, account: AccountId) -> Result<Vec<Writer>, AccountError> {
        self.read(|connection| {
            let sql = "SELECT id, path, wrote_at, first_write, last_write FROM run
                       WHERE account = ?1 AND last_write IS NOT NULL ORDER BY last_write";
            let mut query = connection.prepare(sql)?;
            let runs = query.query_map([account.0], |row| {
                let wrote_at: String = row.get(2)?;
                Ok(Writer {
                    id: row.get(0)?,
                    path: path_of(row, 1)?,
                    wrote_at: wrote_at.parse().ok(),
                    first_write: row.get::<_, i64>(3)?.unsigned_abs(),
                    last_write: row.get::<_, i64>(4)?.unsigned_abs(),
                })
            })?;
            runs.collect()
        })
    }

    /// The directories of all runs on an account, in the order in which they were registered.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn run_paths(&self, account: AccountId) -> Result<Vec<PathBuf>, AccountError> {
        self.read(|connection| {
            let sql = "SELECT path FROM run WHERE account = ?1 ORDER BY number";
            let mut query = connection.prepare(sql)?;
            let paths = query.query_map([account.0], |row| path_of(row, 0))?;
            paths.collect()
        })
    }

    /// Reads.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, AccountError> {
        read(&self.connection).map_err(|source| self.failed("read", source))
    }

    /// Changes something: all of it is on disk afterwards, or nothing.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, AccountError> {
        let transaction = self.transaction()?;
        let changed = change(&transaction).map_err(|source| self.failed("write", source))?;
        transaction.commit().map_err(|source| self.failed("write", source))?;
        Ok(changed)
    }

    /// Begins a change that other processes wait for.
    pub(crate) fn transaction(&self) -> Result<Transaction<'_>, AccountError> {
        Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
            .map_err(|source| self.failed("write", source))
    }

    pub(crate) fn failed(&self, doing: &'static str, source: rusqlite::Error) -> AccountError {
        AccountError::Sqlite { path: self.path.clone(), doing, source }
    }
}

/// Makes the tables where there are none. Gives their format.
fn begin(connection: &Connection) -> rusqlite::Result<i64> {
    let format =
        |connection: &Connection| connection.query_row("PRAGMA user_version", [], |row| row.get(0));
    let found = format(connection)?;
    if found != 0 {
        return Ok(found);
    }
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    if format(&transaction)? == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
    }
    let found = format(&transaction)?;
    transaction.commit()?;
    Ok(found)
}

/// Names and runs of another account become this one's.
fn join(connection: &Connection, account: i64, other: i64) -> rusqlite::Result<()> {
    for table in ["alias", "run"] {
        let sql = format!("UPDATE {table} SET account = ?1 WHERE account = ?2");
        connection.execute(&sql, [account, other])?;
    }
    Ok(())
}

/// A run's directory, wherever the program is started the next time.
fn absolute(run: &Path) -> Result<PathBuf, AccountError> {
    std::path::absolute(run).map_err(|source| AccountError::Path { run: run.to_owned(), source })
}

pub(crate) fn path_of(row: &Row<'_>, column: usize) -> rusqlite::Result<PathBuf> {
    row.get(column).map(OsString::from_vec).map(PathBuf::from)
}

/// SQLite's integers have a sign.
fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
