//! One writing run an account and machine: two would together overstep the account's limit.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::directory::state_dir;

/// The account, as a fingerprint of its key: enough to tell accounts apart, useless to get at the
/// key.
#[must_use]
pub fn account_fingerprint(endpoint: &str, key: &SecretString) -> String {
    let mut hash = blake3::Hasher::new_derive_key("ikbulk 2026-11 account fingerprint");
    hash.update(endpoint.trim_end_matches('/').as_bytes());
    hash.update(&[0]);
    hash.update(key.expose_secret().as_bytes());
    let hex = hash.finalize().to_hex();
    hex.chars().take(16).collect()
}

/// The lock, held until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct AccountLock {
    _file: File,
}

/// Why the lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run holds it.
    #[error("another run is writing to this account: {holder}")]
    Held {
        /// Which, as it said itself.
        holder: String,
    },
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
    pub fn take(account: &str, run: &Path) -> Result<Self, LockError> {
        let directory = state_dir().join("locks");
        let path = directory.join(format!("{account}.lock"));
        let failed = |source| LockError::File { path: path.clone(), source };
        fs::create_dir_all(&directory).map_err(failed)?;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed)?;
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
