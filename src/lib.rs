//! `ikbulk` applies a spreadsheet of changes to an ImageKit media library: at the account's rate
//! limit, without losing a row or paying for an extension twice, and with a report of every row's
//! outcome.
//!
//! # The journey of a row
//!
//! ```text
//! input ──► row ──► plan ──► request ──► execute ──► ledger ──► history ──► report
//!                     ▲                     │
//!                  snapshot ◄── imagekit ◄──┘
//! ```
//!
//! The sheet is copied into the run directory and read as a stream. Each record becomes a
//! [`row::Row`]: checked and typed, or rejected with the invalid cells. [`run::SnapshotReader`]
//! reads the current state of the files in the fewest requests. [`plan::DiffPlanner`] skips what is
//! up to date and turns the rest into [`request::Request`]s, each completing *steps* of rows.
//! Requests pass through a bounded channel to the executor: [`execute::Dispatcher`], a pure state
//! machine, decides what to send when, and one loop sends it. Every outcome is written to the
//! ledger, with what the request carried; [`history`] folds these steps for reports and undo.
//!
//! # Guarantees, and where they are enforced
//!
//! - Every row has exactly one status, and the counts add up to the rows read: [`report`].
//! - Never more than burst + rate × t requests in any t seconds: [`execute::Budget`].
//! - One request at a time per file, in input order: [`execute::Dispatcher`].
//! - An at-most-once request is recorded before its first byte is sent, and cannot be sent twice:
//!   sending consumes it. [`request::AtMostOnce`], [`ledger::Recorded`].
//! - Only changes that are not up to date are sent, in the fewest requests: [`plan::DiffPlanner`].
//! - No extension is billed twice for the same file and configuration, across runs:
//!   [`charges::Charges`].
//! - All processes on a machine share an account's rate limits, and only one of them writes at a
//!   time: [`account::RateFile`], [`account::AccountLock`].
//! - Only one process executes a run, wherever its state is kept: [`run::RunLock`].
//! - The next run knows what a killed run may have had in flight: [`run::InFlight`].
//! - A run that was killed at any point resumes as if it had run through: [`ledger`],
//!   [`run::Session`].
//! - If a lost request takes effect after a later request on the same file, it is detected:
//!   [`plan::read_back`].
//! - A path or URL is never guessed to be a file: [`resolve`] verifies it by file id, and no request
//!   is made without a file id ([`row::Unresolved`]).
//! - The key never appears in a log, report, error or argument: [`imagekit::Api`].
//!
//! # Modules
//!
//! A program uses [`engine`] and [`exit_codes`]; the other modules are private. The page
//! `docs/design/architecture.md` lists them, in the order in which they may use each other.
//!
//! [`ikbulk_sandbox`], a crate of its own, is a local ImageKit. It shares no code with [`imagekit`].

mod account;
mod atomic_file;
mod bit_set;
mod callback;
mod causes;
mod charges;
pub mod engine;
mod error;
mod execute;
pub mod exit_codes;
mod export;
mod extension_results;
mod file_fields;
mod findings;
mod history;
mod imagekit;
mod input;
#[doc(hidden)]
pub mod internals;
mod ledger;
mod outcome;
mod plan;
mod plural;
mod report;
mod request;
mod resolve;
mod row;
mod run;
mod sanitize;
mod sent;
mod settings;
mod settle;
mod settled;
mod shell;
mod spending;
mod sqlite;
mod system;
mod undo;
mod usage;
mod workbook_file;
