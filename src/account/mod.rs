//! What this machine knows of an account, shared by all runs on it, in the state directory: which
//! keys are its keys, which runs wrote to it and in which order, what they were charged for, how far
//! its rate limits are used up, and that only one run at a time writes.
//!
//! It holds for one state directory on one machine. Another machine, or another user's state
//! directory, knows nothing of it; against those, a run directory has a lock of its own.

mod database;
mod identity;
mod lock;
mod rate_file;
mod service;
mod state_dir;

pub use database::{AccountDb, AccountError, AccountId, RunEntry, Writer};
pub use identity::{AccountName, Identity, KeyFingerprint};
pub use lock::{AccountLock, LockError};
pub use rate_file::RateFile;
pub use service::{Service, is_loopback};
pub use state_dir::{StateDir, StateDirError};

pub(crate) use database::path_of;
