//! What the program, the fuzz targets and the tests of this package use of the parts behind
//! [`engine`](crate::engine). No part of the API: it changes without notice.

pub use crate::account::{AccountDb, AccountLock, Identity, KeyFingerprint, Service, StateDir};
pub use crate::atomic_file::AtomicFile;
pub use crate::causes::Causes;
pub use crate::charges::{ChargeCertainty, Charges};
pub use crate::error::chain;
pub use crate::execute::{Verdict, from_at_most_once, from_idempotent};
pub use crate::imagekit::{Accepted, Api, ApiSettings, FileState, SendResult};
pub use crate::input::{Context, Input, read_flags, stage_unnamed_input};
pub use crate::ledger::RunMeta;
pub use crate::plan::RowSteps;
pub use crate::plural::{plural, thousands};
pub use crate::request::{Request, StepRef};
pub use crate::row::{Builder, Cell, Content, Extension, Field, FileId, Rules, Schema};
pub use crate::run::{ReadStrategy, ReportLock, RunDir, RunLock, unfinished_runs};
pub use crate::sanitize::{sanitize, sanitize_json};
pub use crate::shell::path_argument;

/// Operating system calls that the standard library lacks.
pub mod system {
    pub use crate::system::{
        disable_core_dumps, discard_pending_input, ignores_hangup, is_ours_or_roots,
        is_written_by_us_only, on_thread,
    };
}
