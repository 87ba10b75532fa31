//! The dispatcher's input ([`Event`]) and output ([`Action`]).

use std::time::Duration;

use super::Time;
use super::verdict::Verdict;
use crate::imagekit::Failure;
use crate::plan::Batch;
use crate::request::Request;
use crate::row::FileId;

/// Identifies a request in the dispatcher until all of its steps are done. Reused afterwards.
pub(crate) type Ticket = usize;

/// The next thing for the run loop to do.
#[derive(Debug)]
pub(crate) enum Action {
    /// Send this request. The snapshot of its file, as JSON, comes with an at-most-once request,
    /// whose intent must be durable before it is sent.
    Send(Ticket, Request, Option<String>),
    /// Read a snapshot of this file, for the at-most-once request of that ticket.
    Read(Ticket, FileId),
    /// Probe whether the service responds.
    Probe,
    /// Wait until this time or the next event.
    WaitUntil(Time),
    /// Wait for the next event.
    WaitEvent,
    /// Nothing is left to do, or the run has stopped and nothing is in flight.
    Finished,
}

/// What the dispatcher is told.
#[derive(Debug)]
pub(crate) enum Event {
    /// The planner delivered rows and requests.
    Admit(Batch),
    /// The planner has no more rows.
    InputEnded,
    /// A request that was sent got a response, failed or timed out.
    Completed(Ticket, Verdict),
    /// A request was withheld just before it would have been sent.
    NotSent(Ticket, Request, NotSent),
    /// Result of [`Action::Read`]: the snapshot as JSON, or the failure.
    Read(Ticket, Result<String, Failure>),
    /// Result of [`Action::Probe`].
    Probed(Result<(), Failure>),
    /// Send nothing more; requests in flight may finish.
    Stop(EndReason),
}

/// Why a request was withheld.
#[derive(Debug)]
pub(crate) enum NotSent {
    /// These of its files have changed since the request was planned.
    Conflict(Vec<FileId>),
    /// The current state of its files could not be read.
    CheckFailed(Failure),
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// Every row that was read is done.
    Done,
    /// Stopped from outside; the run can be resumed.
    Stopped(Stop),
    /// Aborted by the abort policy, the circuit breaker or the throttle.
    Aborted(AbortReason),
    /// The ledger cannot be written.
    Ledger,
    /// The responses cannot be saved.
    Responses,
    /// The input cannot be read any further; contains the reason.
    Input(String),
}

/// What stopped a run from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Ctrl-C (SIGINT).
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// The terminal or connection was closed (SIGHUP).
    Hangup,
    /// The deadline was reached.
    Deadline,
}

impl Stop {
    /// The exit code: 128 plus the signal number, as in shells; 0 for a deadline, where the outcome
    /// of the rows decides.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Hangup => 129,
            Self::Interrupt => 130,
            Self::Terminate => 143,
            Self::Deadline => 0,
        }
    }
}

/// Why a run aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AbortReason {
    /// ImageKit does not accept the key or the account.
    Account {
        /// ImageKit's error message.
        message: Box<str>,
    },
    /// ImageKit rejected too many requests in a row with the same message.
    SameRejection {
        /// ImageKit's error message.
        message: Box<str>,
        /// Length of the streak, in requests.
        times: u32,
        /// The first rows of the streak. All of its rows are open again.
        rows: Box<[u64]>,
    },
    /// Too large a share of the responses were rejections.
    ManyRejected {
        /// Rejections.
        rejected: u64,
        /// All responses, rejections included.
        responses: u64,
    },
    /// Too many steps have an unknown outcome.
    ManyUnknown {
        /// Steps with an unknown outcome.
        unknown: u32,
    },
    /// Only 429s for too long, counted from the end of the first wait that a 429 stated.
    Throttled {
        /// How long.
        after: Duration,
    },
    /// The service was unreachable for too long.
    Down {
        /// How long.
        after: Duration,
        /// The last failure.
        message: Box<str>,
    },
}
