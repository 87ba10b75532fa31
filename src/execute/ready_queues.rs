//! Queues of requests that may be sent as soon as a concurrency slot and the rate budget allow it:
//! those that are first in all of their file queues.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::event::Ticket;
use crate::request::{Endpoint, Request};

/// One queue for each set of requests that are blocked together, by the cooldown of their endpoint
/// or by the circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadyQueue {
    Patch,
    /// At-most-once requests whose snapshot has been read.
    PatchAtMostOnce,
    AddTags,
    RemoveTags,
    RemoveAiTags,
    /// At-most-once requests whose snapshot must be read first.
    ReadSnapshot,
    /// Files to read back at the end.
    ReadBack,
}

impl ReadyQueue {
    pub(super) const ALL: [Self; 7] = [
        Self::Patch,
        Self::PatchAtMostOnce,
        Self::AddTags,
        Self::RemoveTags,
        Self::RemoveAiTags,
        Self::ReadSnapshot,
        Self::ReadBack,
    ];

    /// The queue of a request.
    pub(super) fn of(request: &Request, has_snapshot: bool) -> Self {
        match (request, request.endpoint()) {
            (Request::AtMostOnce(_), _) if !has_snapshot => Self::ReadSnapshot,
            (Request::AtMostOnce(_), _) => Self::PatchAtMostOnce,
            (_, Endpoint::AddTags) => Self::AddTags,
            (_, Endpoint::RemoveTags) => Self::RemoveTags,
            (_, Endpoint::RemoveAiTags) => Self::RemoveAiTags,
            (_, Endpoint::Patch) => Self::Patch,
            (_, _) => Self::ReadBack,
        }
    }

    pub(super) fn endpoint(self) -> Endpoint {
        match self {
            Self::Patch | Self::PatchAtMostOnce => Endpoint::Patch,
            Self::AddTags => Endpoint::AddTags,
            Self::RemoveTags => Endpoint::RemoveTags,
            Self::RemoveAiTags => Endpoint::RemoveAiTags,
            Self::ReadSnapshot | Self::ReadBack => Endpoint::GetDetails,
        }
    }
}

/// All ready queues, each in admission order, so that a requeued request keeps its position.
#[derive(Debug, Default)]
pub(super) struct ReadyQueues([BinaryHeap<Reverse<(u64, Ticket)>>; ReadyQueue::ALL.len()]);

impl ReadyQueues {
    /// Queues a request by its position in admission order.
    pub(super) fn push(&mut self, queue: ReadyQueue, sequence: u64, ticket: Ticket) {
        self.0[queue as usize].push(Reverse((sequence, ticket)));
    }

    /// The admission position of the first request in a queue.
    pub(super) fn first(&self, queue: ReadyQueue) -> Option<u64> {
        self.0[queue as usize].peek().map(|Reverse((sequence, _))| *sequence)
    }

    /// The first request in a queue.
    pub(super) fn first_ticket(&self, queue: ReadyQueue) -> Option<Ticket> {
        self.0[queue as usize].peek().map(|Reverse((_, ticket))| *ticket)
    }

    pub(super) fn pop(&mut self, queue: ReadyQueue) -> Option<Ticket> {
        self.0[queue as usize].pop().map(|Reverse((_, ticket))| ticket)
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(BinaryHeap::len).sum()
    }
}
