//! Runs the real binary, kills it at random in every command, and attacks it with hostile scenarios,
//! against an ImageKit server that shares no code with the client or the built-in sandbox.
//!
//! [`server`] is that ImageKit ([`imagekit`]: the account, [`http`]: the protocol); [`program`] runs the
//! binary; [`kill_point`] chooses when to kill it; [`sheet`] generates rows and their expected effects;
//! [`case`] runs one attack to its end; [`invariants`] checks the result.

#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, reason = "processes and sockets run on real time")]

mod case;
mod file;
mod http;
mod imagekit;
mod invariants;
mod kill_point;
mod program;
mod query;
mod random_kills;
mod run_directory;
mod scenarios;
mod server;
mod sheet;
