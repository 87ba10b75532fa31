//! What goes into the dispatcher and what comes out of it.

use std::time::Duration;

use super::Time;
use super::verdict::Verdict;
use crate::imagekit::Failure;
use crate::plan::Batch;
use crate::request::Request;
use crate::row::FileId;

/// A request under the dispatcher's care.
pub type Ticket = usize;

/// What to do next.
#[derive(Debug)]
pub enum Action {
    /// Send this request; if it must not be repeated, record it first, with the state of its file.
    Send(Ticket, Request, Option<String>),
    /// Read the state of this file for the request of that ticket.
    Read(Ticket, FileId),
    /// Ask whether the service answers.
    Probe,
    /// Nothing until then, or until something happens.
    WaitUntil(Time),
    /// Nothing until something happens.
    WaitEvent,
    /// All is done that will be.
    Finished,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// Rows were read.
    Admit(Batch),
    /// There are no more.
    InputEnded,
    /// A request that was sent has come to its end.
    Answered(Ticket, Verdict),
    /// A request was not sent after all.
    NotSent(Ticket, Request, NotSent),
    /// The state of a file was read, as JSON, or not.
    Read(Ticket, Result<String, Failure>),
    /// The probe was answered or not.
    Probed(Result<(), Failure>),
    /// Nothing more is to be sent.
    Stop(EndReason),
}

/// Why a request was not sent after all.
#[derive(Debug)]
pub enum NotSent {
    /// These of its files are not what they were when it was planned.
    Conflict(Vec<FileId>),
    /// Whether they are could not be found out.
    CheckFailed(Failure),
}

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// Everything that was read is settled.
    Done,
    /// It was asked to, and can go on later.
    Stopped(Stop),
    /// It would have done harm or nothing to go on.
    Halted(Halt),
    /// The ledger cannot be written.
    Ledger,
    /// The input cannot be read any more.
    Input(String),
}

/// Who asked a run to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// A person, with Ctrl-C (SIGINT).
    Interrupt,
    /// The system, with SIGTERM.
    Terminate,
    /// The terminal or connection that has gone away, with SIGHUP.
    Hangup,
    /// The time that the run was given is over.
    Deadline,
}

impl Stop {
    /// The exit code that says so: of a signal, 128 and its number, as shells have it.
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

/// Why a run halted by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// ImageKit does not accept the key or the account.
    Account {
        /// What it said.
        message: Box<str>,
    },
    /// The same rejection, again and again.
    SameRejection {
        /// What ImageKit said.
        message: Box<str>,
        /// How often.
        times: u32,
        /// The first rows of the streak, which was taken back.
        rows: Box<[u64]>,
    },
    /// Too many rejections.
    ManyRejected {
        /// So many…
        rejected: u64,
        /// …of so many answers.
        answers: u64,
    },
    /// Too many steps of unknown outcome.
    ManyUnknown {
        /// How many.
        unknown: u32,
    },
    /// There were nothing but 429s for too long, behind the first wait that one of them stated.
    Throttled {
        /// For how long.
        after: Duration,
    },
    /// The service was out of reach for too long.
    Down {
        /// For how long.
        after: Duration,
        /// What happened last to somebody who tried.
        message: Box<str>,
    },
}
