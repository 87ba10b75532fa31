//! The program attacked from outside: the real binary, killed at random in every mode, against an
//! ImageKit that shares no code with the client or the built-in sandbox.
//!
//! [`server`] is that ImageKit ([`imagekit`] its account, [`http`] its wire); [`program`] runs the
//! binary; [`kill`] chooses the moments; [`sheet`] makes up rows and knows what they ask for; [`case`]
//! drives one attack to its end, and [`invariants`] says what must hold then.

#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, reason = "processes and sockets have no clock to be paused")]

mod battery;
mod case;
mod file;
mod http;
mod imagekit;
mod invariants;
mod kill;
mod program;
mod query;
mod run;
mod scenarios;
mod server;
mod sheet;
