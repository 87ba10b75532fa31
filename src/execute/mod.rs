//! From requests to outcomes.
//!
//! The [`Dispatcher`] decides and does nothing: it is told what happened and when, and says what
//! to do next. [`drive`] does what it says and decides nothing. Between the two, [`Verdict`] says
//! what an answer means. So every promise about order, rate, repetition and loss is one about the
//! dispatcher alone, and is tested there, without a network and without a clock.

mod abort_policy;
mod backoff;
mod budget;
mod circuit_breaker;
mod dispatcher;
mod drive;
mod event;
mod file_queues;
mod reads;
mod ready_queues;
mod throttle;
mod verdict;
mod window;

pub use backoff::Backoff;
pub use budget::Budget;
pub use dispatcher::{Dispatcher, Limits, WriteProgress};
pub use drive::{Engine, GRACE, PlannerMessage, Transport, drive};
pub use event::{Action, EndReason, Event, Halt, NotSent, Stop, Ticket};
pub use reads::Reads;
pub use verdict::{Verdict, from_at_most_once, from_idempotent};
pub use window::ROWS_MAX;

use std::time::Duration;

/// A moment, as the time since the execution began. Passed in everywhere, read nowhere.
pub type Time = Duration;
