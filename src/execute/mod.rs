//! From requests to outcomes.
//!
//! The [`Dispatcher`] decides and does nothing: it is told what happened and when, and says what
//! to do next. [`drive`] does what it says and decides nothing. Between the two, [`Verdict`] says
//! what an answer means. So every promise about order, rate, repetition and loss is one about the
//! dispatcher alone, and is tested there, without a network and without a clock.

mod backoff;
mod budget;
mod dispatcher;
mod drive;
mod event;
mod holds;
mod lanes;
mod lines;
mod reads;
mod trouble;
mod verdict;
mod watch;
mod window;

pub use backoff::Backoff;
pub use budget::Budget;
pub use dispatcher::{Dispatcher, Limits, WritesOver};
pub use drive::{Engine, Feed, GRACE, Wire, drive};
pub use event::{Action, Ending, Event, Halt, Stop, Ticket, Withheld};
pub use reads::Reads;
pub use verdict::{Verdict, of_once, of_safe};
pub use window::ROWS_MAX;

use std::time::Duration;

/// A moment, as the time since the execution began. Passed in everywhere, read nowhere.
pub type Time = Duration;
