//! `ikbulk` applies a spreadsheet of changes to an ImageKit media library: exactly at the
//! account's rate limit, without losing a row, without paying for anything twice, and with a report
//! that says what became of every row.
//!
//! # The journey of a row
//!
//! ```text
//! input ──► row ──► plan ──► request ──► execute ──► ledger ──► report
//!                                           │
//!                                           └──► imagekit ──► (sandbox)
//! ```
//!
//! A person's sheet is copied into the run's directory and read in a stream. Each record becomes a
//! [`row::Row`]: checked, typed, or rejected with the cell that is wrong. [`run::SnapshotReader`] reads
//! what the files are like, in the fewest requests. The planner leaves out what is so and turns rows
//! into [`request::Request`]s, each settling *steps* of rows. They pass through a bounded channel
//! to the executor, where a pure [`execute::Dispatcher`] decides what is sent when, and one loop
//! does it. Every outcome is written to the ledger, and the reports are views of that.
//!
//! # Promises, and where they are kept
//!
//! - Every row has exactly one status, and they add up to the rows read: [`report`].
//! - Never more than burst + rate × t requests in any t seconds: [`execute::Budget`].
//! - One request at a time for a file, in the order of the input: [`execute::Dispatcher`].
//! - What must not be repeated is recorded before its first byte, and cannot be sent twice, because
//!   it is given away by being sent: [`request::AtMostOnce`], [`ledger::Recorded`].
//! - What is so already is not sent, and the rest by the fewest requests: [`plan::Live`].
//! - What an earlier run was charged for on a file is known: [`charges::Charges`].
//! - All processes of a machine share an account's limits, and one of them writes at a time:
//!   [`account::RateFile`], [`account::AccountLock`].
//! - A run is executed by one process at a time, wherever its state is kept: [`run::RunLock`].
//! - What a killed run may have had in flight is known to the next one: [`run::InFlight`].
//! - A run that is killed anywhere goes on as if it had run through: [`ledger`], [`run::Session`].
//! - A lost request that takes effect after a later one on its file is found: [`plan::read_back`].
//! - No file is ever guessed from its path or URL: [`resolve`]; no request is made for one that is
//!   not known by its id: [`row::Unresolved`].
//! - The key is never in a log, report, error or argument: [`imagekit::Api`].
//!
//! # Layout
//!
//! In reading order; dependencies point down this list only where they must, and never up:
//!
//! - [`row`]: the language of changes, without any I/O
//! - [`input`]: from a sheet to rows
//! - [`request`], [`outcome`]: what is sent, and what becomes of it
//! - [`plan`]: from rows to requests
//! - [`imagekit`]: the wire
//! - [`ledger`]: the durable truth of a run
//! - [`execute`]: from requests to outcomes
//! - [`resolve`]: from paths and URLs to files
//! - [`report`]: what became of every row
//! - [`undo`]: what a run did to its files, and what puts it back
//! - [`export`]: the library as a sheet
//! - [`account`]: what this machine knows of accounts: locks, limits, the order of runs
//! - [`charges`]: which extensions earlier runs were charged for, file by file
//! - [`run`]: one execution, its directory and its lock
//! - [`settings`]: validated values
//! - [`cli`]: what was typed
//! - [`system`]: what the operating system is asked for beyond the standard library
//! - [`sandbox`]: a local ImageKit, which shares no code with [`imagekit`]

pub mod account;
mod atomic_file;
pub mod causes;
pub mod charges;
pub mod cli;
pub mod error;
pub mod execute;
pub mod exit_codes;
pub mod export;
pub mod imagekit;
pub mod input;
pub mod ledger;
pub mod outcome;
pub mod plan;
mod plural;
pub mod report;
pub mod request;
pub mod resolve;
pub mod row;
pub mod run;
pub mod sandbox;
pub mod settings;
mod shell;
mod sqlite;
pub mod system;
pub mod undo;
