//! What a sandbox counts and records.

pub(crate) mod history;
pub(crate) mod peaks;
pub(crate) mod recorder;
pub(crate) mod runs;
pub(crate) mod stats;
