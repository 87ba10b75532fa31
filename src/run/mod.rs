//! One execution on one input for one account: its directory and lock, and the session that carries
//! it out from where it stands.

mod conflict_check;
mod directory;
pub mod in_flight;
mod lost_requests;
mod of_sheet;
mod recent_writes;
mod run_lock;
mod session;
mod snapshot_reader;
mod spot_check;
mod unsettled;

pub use conflict_check::ConflictCheck;
pub use directory::{RunDir, RunDirError, unfinished_runs};
pub use in_flight::InFlight;
pub use of_sheet::{RunState, RunsOfSheet};
pub use recent_writes::{RecentRun, expect_written, recent_runs};
pub use run_lock::{ReportLock, RunLock, RunLockError};
pub use session::{Session, SessionError};
pub use snapshot_reader::{ReadError, ReadStats, ReadStrategy, SnapshotReader};
pub(crate) use spot_check::SpotCheck;
pub use unsettled::unsettled_files;
