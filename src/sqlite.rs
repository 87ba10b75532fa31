//! SQLite as it is used here: a file of its owner's alone, in which what is committed is on disk.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// For how long another process that writes is waited for.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// Opens a file that another process writes, to read it.
pub(crate) fn open_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_MAX)?;
    Ok(connection)
}

/// Opens a file, or makes it where there is none.
pub(crate) fn create(path: &Path) -> rusqlite::Result<Connection> {
    // What cannot be made here cannot be opened below either, which says why.
    drop(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path));
    open(path)
}

/// Opens a file that is there.
pub(crate) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_MAX)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}
