//! Orders the requests on each file: one queue per file, in input order.
//!
//! A request is ready when it is first in the queue of every file that it touches. Requests join
//! all of their queues at once and in admission order, which rules out deadlocks.

use std::collections::VecDeque;

use foldhash::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::event::Ticket;
use crate::row::FileId;

/// Hash of a file id. Two ids with the same hash share a queue, which only costs time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileKey(u64);

impl FileKey {
    /// The distinct keys of a request's files: a request stands once in each queue, even if it
    /// names a file twice or two of its files share a key.
    pub(super) fn of_all(files: &[FileId]) -> Box<[Self]> {
        let mut keys: Box<[Self]> = files.iter().map(Self::from).collect();
        if keys.len() < 2 {
            return keys;
        }
        keys.sort_unstable();
        let mut distinct = keys.into_vec();
        distinct.dedup();
        distinct.into()
    }
}

impl From<&FileId> for FileKey {
    fn from(file: &FileId) -> Self {
        Self(xxh3_64(file.as_str().as_bytes()))
    }
}

/// All queues that are not empty.
#[derive(Debug, Default)]
pub(super) struct FileQueues {
    queues: HashMap<FileKey, FileQueue>,
}

#[derive(Debug)]
struct FileQueue {
    head: Ticket,
    waiting: VecDeque<Ticket>,
}

impl FileQueues {
    /// Joins the queue of a file; returns whether the request is first.
    pub(super) fn join(&mut self, file: FileKey, ticket: Ticket) -> bool {
        if let Some(queue) = self.queues.get_mut(&file) {
            queue.waiting.push_back(ticket);
            return false;
        }
        self.queues.insert(file, FileQueue { head: ticket, waiting: VecDeque::new() });
        true
    }

    /// Inserts part number `index` of the request that is first in the queue: part 0 takes its
    /// place, the others follow before the requests that wait.
    pub(super) fn insert_part(&mut self, file: FileKey, part: Ticket, index: usize) {
        let Some(queue) = self.queues.get_mut(&file) else {
            return;
        };
        match index.checked_sub(1) {
            None => queue.head = part,
            Some(index_in_waiting) => queue.waiting.insert(index_in_waiting, part),
        }
    }

    /// Removes the first request from a queue; returns the new first one.
    pub(super) fn leave(&mut self, file: FileKey) -> Option<Ticket> {
        let queue = self.queues.get_mut(&file)?;
        if let Some(next) = queue.waiting.pop_front() {
            queue.head = next;
            return Some(next);
        }
        self.queues.remove(&file);
        None
    }
}
