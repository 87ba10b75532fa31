//! Who may touch a file next: a line of requests for each file, in the order of the input.
//!
//! A request is at its turn when it is at the head of the line of every file that it touches.
//! Requests join all of their lines at once and in one order, so that no two can wait for each
//! other.

use std::collections::VecDeque;

use foldhash::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::event::Ticket;
use crate::row::FileId;

/// A file as lines know it: a hash of its id. Should two ids share one, they also share a line,
/// and lose nothing but a little time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileKey(u64);

impl FileKey {
    /// The keys of a request's files, each once: a request that names a file twice, or two files
    /// of one key, stands in that line once and leaves it once.
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

/// All lines that are not empty.
#[derive(Debug, Default)]
pub(super) struct FileQueues {
    lines: HashMap<FileKey, Line>,
}

#[derive(Debug)]
struct Line {
    head: Ticket,
    rest: VecDeque<Ticket>,
}

impl FileQueues {
    /// Joins the line of a file, once; says whether it is at the head of it.
    pub(super) fn join(&mut self, file: FileKey, ticket: Ticket) -> bool {
        if let Some(line) = self.lines.get_mut(&file) {
            line.rest.push_back(ticket);
            return false;
        }
        self.lines.insert(file, Line { head: ticket, rest: VecDeque::new() });
        true
    }

    /// Puts a part of the request at the head of a line into its place: the first part at the
    /// head, the others behind it and before whoever waits there.
    pub(super) fn take_place(&mut self, file: FileKey, part: Ticket, place: usize) {
        let Some(line) = self.lines.get_mut(&file) else {
            return;
        };
        match place.checked_sub(1) {
            None => line.head = part,
            Some(behind_head) => line.rest.insert(behind_head, part),
        }
    }

    /// Leaves the head of a line; says who is there now.
    pub(super) fn leave(&mut self, file: FileKey) -> Option<Ticket> {
        let line = self.lines.get_mut(&file)?;
        if let Some(next) = line.rest.pop_front() {
            line.head = next;
            return Some(next);
        }
        self.lines.remove(&file);
        None
    }
}
