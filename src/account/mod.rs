//! Local state of an account, shared by all its runs: its keys, the order of the runs that wrote to
//! it, their charges, the current use of its rate limits, and a lock that lets one run write at a
//! time.
//!
//! The state belongs to one state directory on one machine. Processes on other machines or of other
//! users do not see it; against those, each run directory has its own lock.

mod database;
mod identity;
mod lock;
mod rate_file;
mod service;
mod state_dir;

pub use database::{AccountDb, AccountError};
pub(crate) use database::{AccountId, RunEntry, Writer};
pub use identity::{AccountName, Identity, KeyFingerprint};
pub use lock::{AccountLock, LockError};
pub(crate) use rate_file::RateFile;
pub use service::Service;
pub(crate) use service::is_loopback;
pub use state_dir::{StateDir, StateDirError};

pub(crate) use database::path_of;
