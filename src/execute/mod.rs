//! Sends requests and turns responses into outcomes.
//!
//! Three parts, so that order, rate, retries and loss can be tested without a network or a clock:
//!
//! - [`Dispatcher`] decides: a pure state machine that takes an [`Event`](event::Event) and the time, and returns
//!   the next [`Action`](event::Action).
//! - [`drive()`] acts: the only loop. It performs each action, feeds the result back as an
//!   event, and writes the ledger.
//! - [`Verdict`] interprets: what a response or failure means for the steps of its request.
//!
//! [`Reads`] applies the same limits to reads that the dispatcher does not schedule.

mod abort_policy;
mod backoff;
mod budget;
mod circuit_breaker;
mod dispatcher;
mod drive;
mod event;
mod file_queues;
#[cfg(test)]
pub(crate) mod laws;
mod reads;
mod ready_queues;
mod throttle;
mod verdict;
mod window;

pub(crate) use backoff::Backoff;
pub(crate) use budget::Budget;
pub(crate) use dispatcher::{Dispatcher, WriteProgress};
pub(crate) use drive::{Executor, PlannerMessage, Transport, drive};
pub(crate) use event::NotSent;
pub use event::{AbortReason, EndReason, Stop};
pub(crate) use reads::Reads;
pub use verdict::{Verdict, from_at_most_once, from_idempotent};
pub(crate) use window::ROWS_MAX;

use std::time::Duration;

/// Time since the execution started. Always passed in, never read from a clock.
pub(crate) type Time = Duration;
