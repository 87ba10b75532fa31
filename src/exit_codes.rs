//! The exit codes of the program.
//!
//! If several apply, the first in the order of [`MEANINGS`] counts. The codes of signals are those of
//! [`Stop::exit_code`](crate::engine::Stop::exit_code).

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

/// Every exit code with its meaning and the next step; of those that can apply together, the first
/// that applies is returned. [`INCOMPLETE`] is there twice.
pub const MEANINGS: [(u8, &str); 13] = [
    (
        NOT_WRITTEN,
        "The ledger or a report could not be written. Fix the cause, then `ikbulk resume`.",
    ),
    (
        ABORTED,
        "Aborted: the key is not accepted; the same rejection 20 times in a row \
         (`--max-same-rejection`); more than 20 % of the requests rejected (`--max-rejected`); 20 \
         unknown outcomes (`--max-unknown`); or the API unreachable, or returning only 429s, for 15 \
         minutes (`--down-max`). An unaccepted key or an outage while reading, before anything is \
         sent, also ends with 3.",
    ),
    (129, "Stopped by SIGHUP."),
    (130, "Stopped by Ctrl-C (SIGINT)."),
    (143, "Stopped by SIGTERM."),
    (UNKNOWN, "Some rows have an unknown outcome (`ikbulk settle RUN`)."),
    (INCOMPLETE, "Incomplete: rows were not attempted (`ikbulk resume`)."),
    (
        NEEDS_FIXING,
        "Action required: rows rejected, `mismatch`, `unverified`, `extension_failed`, \
         `extension_unclear`, pending extensions with `--fail-on-pending`, or values that `undo` \
         skipped. `check` and `plan`: rows would be rejected. `export`: values that a sheet cannot represent were left out.",
    ),
    (INCOMPLETE, "Incomplete: rows failed (`ikbulk retry RUN`)."),
    (DONE, "Success, pending extensions included (without `--fail-on-pending`)."),
    (REFUSED, "Wrong usage or refused input; nothing was sent."),
    (LOCKED, "Another run is writing to this account, or another process executes this run."),
    (PLAN_HAS_CHANGES, "`plan --detailed-exitcode` only: there are changes."),
];
