//! One execution on one input for one account: its directory and lock, and the session that carries
//! it out from where it stands.

mod directory;
mod guard;
pub mod in_flight;
mod live;
mod of_sheet;
mod recent;
mod run_lock;
mod sample;
mod session;
mod under_way;
mod unsettled;

pub use directory::{RunDir, RunDirError, unfinished_runs};
pub use guard::Guarded;
pub use in_flight::InFlight;
pub use live::{LiveReader, ReadError, Reading, Way};
pub use of_sheet::{RunState, RunsOfSheet};
pub use recent::{RecentRun, expect_written, recent_runs};
pub use run_lock::{ReportLock, RunLock, RunLockError};
pub(crate) use sample::Sample;
pub use session::{Session, SessionError};
pub use unsettled::unsettled_files;
