//! One writing run an account and machine: two would together overstep the account's limit.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use crate::account::state_dir::{StateDir, StateDirError};

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
    #[error("cannot use the lock file of the account")]
    File(#[source] io::Error),
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateDirError),
}

impl AccountLock {
    /// Takes the lock of an account for a run.
    ///
    /// # Errors
    /// Another run holds it, or the lock file cannot be used.
    pub fn take(state: &StateDir, account: &str, run: &Path) -> Result<Self, LockError> {
        let mut file = state.subdir("locks")?.open_file(&format!("{account}.lock"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).map_err(LockError::File)?;
                return Err(LockError::Held { holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(LockError::File(source)),
        }
        let holder = format!("{} (process {})\n", run.display(), std::process::id());
        file.set_len(0).map_err(LockError::File)?;
        file.rewind().map_err(LockError::File)?;
        file.write_all(holder.as_bytes()).map_err(LockError::File)?;
        Ok(Self { _file: file })
    }
}
