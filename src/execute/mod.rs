//! Sends requests and turns responses into outcomes.
//!
//! Three parts, so that order, rate, retries and loss can be tested without a network or a clock:
//!
//! - [`Dispatcher`] decides: a pure state machine that takes an [`Event`] and the time, and returns
//!   the next [`Action`].
//! - [`drive()`] acts: the only loop. It performs each [`Action`], feeds the result back as an
//!   [`Event`], and writes the ledger.
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

pub use backoff::Backoff;
pub use budget::Budget;
pub use dispatcher::{Dispatcher, WriteProgress};
pub use drive::{Executor, GRACE, PlannerMessage, Transport, drive};
pub use event::{AbortReason, Action, EndReason, Event, NotSent, Stop, Ticket};
pub use reads::Reads;
pub use verdict::{Verdict, from_at_most_once, from_idempotent};
pub use window::ROWS_MAX;

use std::time::Duration;

/// Time since the execution started. Always passed in, never read from a clock.
pub type Time = Duration;
