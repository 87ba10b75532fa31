//! Tests of `ikbulk sandbox`: the sandbox as a process, configured by flags.

#![expect(clippy::disallowed_methods, reason = "the sandbox is a real server on real time")]

mod cli;
#[path = "../../crates/ikbulk-sandbox/tests/sandbox/wire.rs"]
mod wire;
