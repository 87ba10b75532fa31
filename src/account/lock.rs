//! The account lock: only one run at a time writes to an account from this machine.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::{AccountId, StateDir, StateDirError};

const DIRECTORY: &str = "locks";

/// The lock of an account, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct AccountLock {
    _file: File,
}

/// Reason why the lock could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run holds the lock.
    #[error("another run is writing to this account: {holder}")]
    Held {
        /// The run's directory and process.
        holder: String,
    },
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateDirError),
    /// The lock file cannot be opened, locked or written.
    #[error("cannot use the lock file {path}")]
    File {
        /// The lock file.
        path: PathBuf,
        /// The file system error.
        #[source]
        source: io::Error,
    },
}

impl AccountLock {
    /// Takes the lock of an account for a run. Does not wait.
    ///
    /// # Errors
    /// Another run holds the lock, or the lock file cannot be used.
    pub fn take(state: &StateDir, account: AccountId, run: &Path) -> Result<Self, LockError> {
        let directory = state.subdir(DIRECTORY)?;
        let name = format!("{}.lock", account.0);
        let mut file = directory.open_file(&name)?;
        let failed = |source| LockError::File { path: directory.path().join(&name), source };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).map_err(failed)?;
                return Err(LockError::Held { holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let holder = format!("{} (process {})\n", run.display(), std::process::id());
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        file.write_all(holder.as_bytes()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}
