//! The executor's side of the ledger: collects operations into groups for the writer thread, and
//! turns an at-most-once request into a recorded one.

use std::thread::JoinHandle;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::writer::{self, Checkpoint, GROUP_AGE_MAX, GROUP_SIZE, Group, Op};
use super::{LedgerError, LedgerFile};
use crate::request::{AtMostOnce, Sendable};

/// Groups queued for the writer. More would only hide a disk that is slower than the run.
const GROUPS_MAX: usize = 4;
/// Operations in the current group above which nothing new may be sent.
const OPS_MAX: usize = 4 * GROUP_SIZE;
/// Upper bound of operations not on disk yet: in the current group, in the queue, and in the group
/// being written.
pub(crate) const UNWRITTEN_MAX: usize = (GROUPS_MAX + 2) * OPS_MAX;

/// Collects the operations of a run and sends them to the writer thread.
#[derive(Debug)]
pub(crate) struct Journal {
    ops: Vec<Op>,
    waiters: Vec<oneshot::Sender<()>>,
    /// When the first operation of the group was added.
    first_added: Option<Instant>,
    groups: mpsc::Sender<Group>,
    alive: watch::Receiver<()>,
    writer: JoinHandle<Result<LedgerFile, LedgerError>>,
}

/// An at-most-once request whose intent is on disk. The only argument that
/// [`crate::imagekit::Api::send_at_most_once`] accepts, which consumes it.
#[derive(Debug)]
pub struct Recorded(AtMostOnce);

impl Recorded {
    /// The request to send.
    #[must_use]
    pub fn request(&self) -> &AtMostOnce {
        &self.0
    }

    /// Unwraps the request, to send it or to report it as not sent.
    #[must_use]
    pub fn into_request(self) -> AtMostOnce {
        self.0
    }
}

/// An at-most-once request whose intent is not on disk yet.
#[derive(Debug)]
pub(crate) struct Recording {
    request: AtMostOnce,
    durable: oneshot::Receiver<()>,
}

impl Recording {
    /// Waits until the intent is on disk.
    ///
    /// # Errors
    /// The ledger cannot be written; returns the request, unsent.
    pub(crate) async fn durable(self) -> Result<Recorded, AtMostOnce> {
        match self.durable.await {
            Ok(()) => Ok(Recorded(self.request)),
            Err(_) => Err(self.request),
        }
    }
}

impl Journal {
    /// Starts the writer thread.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start(file: LedgerFile) -> std::io::Result<Self> {
        let (groups, receiver) = mpsc::channel(GROUPS_MAX);
        let (alive_sender, alive) = watch::channel(());
        let writer = std::thread::Builder::new().name("ledger".to_owned()).spawn(move || {
            let written = writer::write_all(file, receiver);
            drop(alive_sender);
            written
        })?;
        Ok(Self { ops: Vec::new(), waiters: Vec::new(), first_added: None, groups, alive, writer })
    }

    /// Adds operations to the group.
    pub(crate) fn append(&mut self, ops: &mut Vec<Op>) {
        if !ops.is_empty() {
            self.first_added.get_or_insert_with(Instant::now);
            self.ops.append(ops);
        }
    }

    /// Adds the intent to send an at-most-once request, with the snapshot of its file as JSON.
    pub(crate) fn record(&mut self, request: AtMostOnce, snapshot: &str) -> Recording {
        let (waiter, durable) = oneshot::channel();
        let intents = request.steps().iter().map(|step| Op::Intent {
            step: *step,
            snapshot: snapshot.to_owned(),
            sent: request.call().sent(),
        });
        let mut intents = intents.collect();
        self.append(&mut intents);
        self.waiters.push(waiter);
        Recording { request, durable }
    }

    /// When the group must be flushed; `None` if it is empty.
    #[must_use]
    pub(crate) fn due(&self) -> Option<Instant> {
        let first_added = self.first_added?;
        let flush_now = !self.waiters.is_empty() || self.ops.len() >= GROUP_SIZE;
        Some(if flush_now { first_added } else { first_added + GROUP_AGE_MAX })
    }

    /// Sends the group to the writer and returns `true`, or keeps it and returns `false` if the
    /// writer's queue is full.
    pub(crate) fn flush(&mut self, checkpoint: Checkpoint) -> bool {
        let permit = match self.groups.try_reserve() {
            Ok(permit) => permit,
            Err(TrySendError::Full(())) => return false,
            // The writer is gone. Release those who wait for it, or the run would never end.
            Err(TrySendError::Closed(())) => {
                self.waiters.clear();
                self.first_added = None;
                return true;
            }
        };
        let ops = std::mem::replace(&mut self.ops, Vec::with_capacity(GROUP_SIZE));
        permit.send(Group { ops, checkpoint, waiters: std::mem::take(&mut self.waiters) });
        self.first_added = None;
        true
    }

    /// Waits until the writer's queue has room.
    pub(crate) async fn room(&self) {
        // An error means that the writer is gone, which `failed` reports.
        drop(self.groups.reserve().await);
    }

    /// Whether the group is so large that nothing new may be sent.
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        self.ops.len() >= OPS_MAX
    }

    /// Resolves when the writer ends, which before [`Self::close`] means that the ledger cannot be
    /// written.
    pub(crate) fn failed(&self) -> impl Future<Output = ()> + use<> {
        let mut alive = self.alive.clone();
        async move { while alive.changed().await.is_ok() {} }
    }

    /// Writes the remaining operations and returns the file.
    ///
    /// # Errors
    /// The ledger could not be written, now or before.
    pub(crate) async fn close(mut self, checkpoint: Checkpoint) -> Result<LedgerFile, LedgerError> {
        let ops = std::mem::take(&mut self.ops);
        let waiters = std::mem::take(&mut self.waiters);
        // An error means that the writer is gone; `join` returns its error.
        drop(self.groups.send(Group { ops, checkpoint, waiters }).await);
        drop(self.groups);
        self.writer.join().map_err(|_| LedgerError::Gone)?
    }
}
