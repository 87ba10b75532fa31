//! The program, killed at every kind of moment, and what `resume` makes of it.
//!
//! The sandbox lives in the test's own process and kills the program from a tap: while it does,
//! everything stands still, so that the moment is exact.

mod case;
#[path = "../apply/harness.rs"]
#[expect(dead_code, unused_imports, unused_macros, reason = "this needs a part of the harness")]
mod harness;
mod moments;
mod planned;
mod sheet;
mod states;
#[cfg(target_os = "linux")]
mod synced;
#[cfg(target_os = "linux")]
mod thousand;
