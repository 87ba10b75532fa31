//! One writing run an account and machine: two together would send at twice the rate.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::{AccountId, StateDir, StateDirError};

const DIRECTORY: &str = "locks";

/// The lock of an account, held until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct AccountLock {
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run holds it.
    #[error("another run is writing to this account: {holder}")]
    Held {
        /// The run's directory and process.
        holder: String,
    },
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateDirError),
    /// The lock file cannot be used.
    #[error("cannot use the lock file {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl AccountLock {
    /// Takes the lock of an account for a run.
    ///
    /// # Errors
    /// Another run holds it, or the lock file cannot be used.
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
