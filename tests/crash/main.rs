//! Kills the program with SIGKILL at chosen points, resumes, and compares with an uninterrupted run.
//!
//! The sandbox runs in the test's process and kills the program from a hook. The request being
//! handled is blocked meanwhile, so the kill point is exact.

mod case;
mod commands;
#[cfg(target_os = "linux")]
mod fsync_order;
#[path = "../apply/harness.rs"]
#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the harness of tests/apply is used in part"
)]
mod harness;
mod kill_at_requests;
mod ledger_states;
#[cfg(target_os = "linux")]
mod random_kills;
mod sheet;
