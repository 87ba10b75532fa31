//! The exit codes of the program.
//!
//! | code | meaning | what to do |
//! |---|---|---|
//! | 0 | all rows are done | |
//! | 1 | some rows need fixing or a decision | see `failed.csv` and the report |
//! | 2 | invalid usage or input; nothing was sent | fix what the message names |
//! | 3 | aborted: key rejected, API unreachable, or too many failures | resume later |
//! | 4 | the ledger, a report or another file cannot be read or written | fix that, then resume |
//! | 5 | some rows failed or were not attempted | resume, or apply `failed.csv` |
//! | 6 | some rows have an unknown outcome | check their files |
//! | 10 | `plan --detailed-exitcode`: the sheet changes something | |
//! | 75 | another run holds the lock of the account or of the run | try again later |
//! | 129, 130, 143 | stopped by a hangup, interrupt or termination signal | resume |
//!
//! If several apply, [`crate::report::exit_code`] decides. The codes of signals are those of
//! [`crate::execute::Stop::exit_code`].

/// All rows are done.
pub const DONE: u8 = 0;
/// Some rows need fixing or a decision by a person.
pub const NEEDS_FIXING: u8 = 1;
/// Invalid usage or input; nothing was sent.
pub const REFUSED: u8 = 2;
/// The key was rejected, the API was unreachable, or too many requests failed.
pub const ABORTED: u8 = 3;
/// The ledger, a report or another file cannot be read or written.
pub const NOT_WRITTEN: u8 = 4;
/// Some rows failed or were not attempted.
pub const INCOMPLETE: u8 = 5;
/// Some rows have an unknown outcome.
pub const UNKNOWN: u8 = 6;
/// `plan --detailed-exitcode`: the sheet changes something.
pub const PLAN_HAS_CHANGES: u8 = 10;
/// Another run holds the lock of the account or of the run; `EX_TEMPFAIL` of `sysexits.h`.
pub const LOCKED: u8 = 75;
