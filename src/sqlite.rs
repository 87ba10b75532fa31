//! Opens SQLite databases with this program's settings: mode 0600, WAL, and commits synced to disk.

use std::error::Error;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::types::Type;
use rusqlite::{Connection, OpenFlags};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How long to wait for another process's write lock.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// Opens a database read-only; another process may be writing it.
pub(crate) fn open_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_MAX)?;
    Ok(connection)
}

/// Opens a database; creates the file if it does not exist.
pub(crate) fn create(path: &Path) -> rusqlite::Result<Connection> {
    // An error is ignored here: `open` then fails, with a better message.
    drop(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path));
    open(path)
}

/// Opens an existing database for reading and writing.
pub(crate) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_MAX)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// A value as the JSON that a column holds.
pub(crate) fn to_json<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    let failed = |error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
    serde_json::to_string(value).map_err(failed)
}

/// The value of a JSON column.
pub(crate) fn from_json<T: DeserializeOwned>(json: &str) -> rusqlite::Result<T> {
    serde_json::from_str(json).map_err(damaged)
}

/// The error for a value that this program does not write.
pub(crate) fn damaged(error: impl Into<Box<dyn Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into())
}
