//! One execution on one input for one account: its directory, the lock on its account, what was
//! bought on it before, and the session that carries it out from where it stands.

mod directory;
mod guard;
mod live;
mod lock;
mod paid;
mod recent;
mod run_lock;
mod sample;
mod session;
mod under_way;

pub use directory::{Place, RunDir, RunDirError, unfinished_runs};
pub use guard::Guarded;
pub use live::{LiveReader, ReadError, Reading, Way};
pub use lock::{AccountLock, LockError, account_fingerprint};
pub use paid::{Bought, Certainty, PaidWork, PaidWorkError, Unrecorded};
pub use recent::{RecentRun, expect_written, note_writing, recent_runs};
pub use run_lock::{RunLock, RunLockError};
pub(crate) use sample::Sample;
pub use session::{Session, SessionError};
