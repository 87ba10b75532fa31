//! A run: one execution of one sheet on one account. Its directory and lock, the snapshots of its
//! files, and the session that executes or resumes it.

mod conflict_check;
mod directory;
pub(crate) mod in_flight;
#[cfg(test)]
pub(crate) mod laws;
mod loaded_run;
mod lost_requests;
mod recent_writes;
mod run_lock;
mod runs_of_sheet;
mod sample;
mod saved_responses;
mod session;
mod snapshot_reader;
mod spot_check;
mod unsettled;

pub(crate) use conflict_check::ConflictCheck;
pub use directory::RunDirError;
pub use directory::{RunDir, Successor, unfinished_runs};
pub(crate) use in_flight::InFlight;
pub(crate) use loaded_run::LoadedRun;
pub(crate) use recent_writes::{expect_written, recent_runs};
pub use run_lock::{ReportLock, RunLock, RunLockError};
pub(crate) use runs_of_sheet::{RunState, RunsOfSheet};
pub(crate) use saved_responses::SavedResponses;
pub(crate) use session::Session;
pub use session::SessionError;
pub use snapshot_reader::{ReadError, ReadStats, ReadStrategy};
pub(crate) use snapshot_reader::{ReadProgress, SnapshotReader};
pub(crate) use spot_check::SpotCheck;
pub(crate) use unsettled::unsettled_files;
