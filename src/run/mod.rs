//! A run: one execution of one sheet on one account. Its directory and lock, the snapshots of its
//! files, and the session that executes or resumes it.

mod conflict_check;
mod directory;
pub mod in_flight;
#[cfg(test)]
pub(crate) mod laws;
mod lost_requests;
mod recent_writes;
mod run_lock;
mod runs_of_sheet;
mod saved_responses;
mod session;
mod snapshot_reader;
mod spot_check;
mod unsettled;

pub use conflict_check::ConflictCheck;
pub use directory::{RunDir, RunDirError, unfinished_runs};
pub use in_flight::InFlight;
pub use recent_writes::{RecentRun, expect_written, recent_runs};
pub use run_lock::{ReportLock, RunLock, RunLockError};
pub use runs_of_sheet::{RunState, RunsOfSheet};
pub use saved_responses::SavedResponses;
pub use session::{Session, SessionError};
pub use snapshot_reader::{ReadError, ReadProgress, ReadStats, ReadStrategy, SnapshotReader};
pub use spot_check::SpotCheck;
pub use unsettled::unsettled_files;
