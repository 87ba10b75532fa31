//! The executor's side of the ledger: collects operations, hands them over in groups, and turns a
//! request that must not be repeated into one that is recorded.

use std::thread::JoinHandle;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::writer::{self, Checkpoint, GROUP_AGE_MAX, GROUP_SIZE, Group, Op};
use super::{LedgerError, LedgerFile};
use crate::request::{AtMostOnce, Sendable};

/// Groups on their way to the writer. More would only hide that the disk is slower than the run.
const GROUPS_MAX: usize = 4;
/// Operations waiting for a place among those groups, beyond which nothing new may be sent.
const BEHIND_MAX: usize = 4 * GROUP_SIZE;
/// Operations that may not be on disk yet: of the group that grows, of those on their way, and of
/// the one that is being written.
pub const UNWRITTEN_MAX: usize = (GROUPS_MAX + 2) * BEHIND_MAX;

/// Writes the ledger of a run.
#[derive(Debug)]
pub struct Journal {
    ops: Vec<Op>,
    waiting: Vec<oneshot::Sender<()>>,
    /// When the oldest operation of the group came.
    since: Option<Instant>,
    groups: mpsc::Sender<Group>,
    alive: watch::Receiver<()>,
    writer: JoinHandle<Result<LedgerFile, LedgerError>>,
}

/// A request that must not be repeated, whose intent is on disk. The only thing that
/// [`crate::imagekit::Api::send_at_most_once`] takes, and it is used up by being sent.
#[derive(Debug)]
pub struct Recorded(AtMostOnce);

impl Recorded {
    /// What is to be sent.
    #[must_use]
    pub fn once(&self) -> &AtMostOnce {
        &self.0
    }

    /// The request, to be sent now by whoever stands at the wire.
    #[must_use]
    pub fn into_request(self) -> AtMostOnce {
        self.0
    }
}

/// A request on its way to being recorded.
#[derive(Debug)]
pub struct Recording {
    once: AtMostOnce,
    durable: oneshot::Receiver<()>,
}

impl Recording {
    /// Waits until the intent is on disk.
    ///
    /// # Errors
    /// The ledger cannot be written; the request comes back, unsent.
    pub async fn durable(self) -> Result<Recorded, AtMostOnce> {
        match self.durable.await {
            Ok(()) => Ok(Recorded(self.once)),
            Err(_) => Err(self.once),
        }
    }
}

impl Journal {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(file: LedgerFile) -> std::io::Result<Self> {
        let (groups, receiver) = mpsc::channel(GROUPS_MAX);
        let (alive_sender, alive) = watch::channel(());
        let writer = std::thread::Builder::new().name("ledger".to_owned()).spawn(move || {
            let written = writer::write_all(file, receiver);
            drop(alive_sender);
            written
        })?;
        Ok(Self { ops: Vec::new(), waiting: Vec::new(), since: None, groups, alive, writer })
    }

    /// Takes operations into the group.
    pub fn append(&mut self, ops: &mut Vec<Op>) {
        if !ops.is_empty() {
            self.since.get_or_insert_with(Instant::now);
            self.ops.append(ops);
        }
    }

    /// Takes the intent to send a request that must not be repeated.
    pub fn record(&mut self, once: AtMostOnce, before: &str) -> Recording {
        let (waiting, durable) = oneshot::channel();
        let intents = once.steps().iter().map(|step| Op::Intent {
            step: *step,
            before: before.to_owned(),
            extensions: once.extensions(),
        });
        let mut intents = intents.collect();
        self.append(&mut intents);
        self.waiting.push(waiting);
        Recording { once, durable }
    }

    /// When the group must be handed over; `None` while there is none.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let since = self.since?;
        let at_once = !self.waiting.is_empty() || self.ops.len() >= GROUP_SIZE;
        Some(if at_once { since } else { since + GROUP_AGE_MAX })
    }

    /// Hands the group over if the writer has room for it; otherwise it goes on growing. Says
    /// which.
    pub fn flush(&mut self, checkpoint: Checkpoint) -> bool {
        let place = match self.groups.try_reserve() {
            Ok(place) => place,
            Err(TrySendError::Full(())) => return false,
            // The writer is gone. Whoever waits for what it will never write is let go, or would
            // be under way for ever and the run never end.
            Err(TrySendError::Closed(())) => {
                self.waiting.clear();
                self.since = None;
                return true;
            }
        };
        let ops = std::mem::replace(&mut self.ops, Vec::with_capacity(GROUP_SIZE));
        place.send(Group { ops, checkpoint, waiting: std::mem::take(&mut self.waiting) });
        self.since = None;
        true
    }

    /// Waits until the writer has room for a group.
    pub async fn room(&self) {
        // An error means that the writer is gone, which `failed` reports.
        drop(self.groups.reserve().await);
    }

    /// Whether so much waits to be written that nothing new may be sent.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.ops.len() >= BEHIND_MAX
    }

    /// Comes back when the ledger cannot be written any more, and never otherwise.
    pub fn failed(&self) -> impl Future<Output = ()> + use<> {
        let mut alive = self.alive.clone();
        async move { while alive.changed().await.is_ok() {} }
    }

    /// Writes the rest and gives the file back.
    ///
    /// # Errors
    /// The ledger could not be written, now or before.
    pub async fn close(mut self, checkpoint: Checkpoint) -> Result<LedgerFile, LedgerError> {
        let ops = std::mem::take(&mut self.ops);
        let waiting = std::mem::take(&mut self.waiting);
        // An error means that the writer is gone; it says why below.
        drop(self.groups.send(Group { ops, checkpoint, waiting }).await);
        drop(self.groups);
        self.writer.join().map_err(|_| LedgerError::Gone)?
    }
}
