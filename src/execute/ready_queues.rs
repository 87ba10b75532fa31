//! Where requests at their turn wait for a place and for the budget.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::event::Ticket;
use crate::request::{Endpoint, Request};

/// One lane for each thing that can hold requests up together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Patch,
    /// Those that must not be repeated, their file's state having been read.
    PatchOnce,
    AddTags,
    RemoveTags,
    /// Requests that must not be repeated, before their file's state has been read.
    ReadBefore,
    /// Files to be read back.
    ReadBack,
}

impl Lane {
    pub(super) const ALL: [Self; 6] = [
        Self::Patch,
        Self::PatchOnce,
        Self::AddTags,
        Self::RemoveTags,
        Self::ReadBefore,
        Self::ReadBack,
    ];

    /// The lane of a request; `state_is_known` says whether that of its file has been read.
    pub(super) fn of(request: &Request, state_is_known: bool) -> Self {
        match (request, request.endpoint()) {
            (Request::AtMostOnce(_), _) if !state_is_known => Self::ReadBefore,
            (Request::AtMostOnce(_), _) => Self::PatchOnce,
            (_, Endpoint::AddTags) => Self::AddTags,
            (_, Endpoint::RemoveTags) => Self::RemoveTags,
            (_, Endpoint::Patch) => Self::Patch,
            (_, _) => Self::ReadBack,
        }
    }

    pub(super) fn endpoint(self) -> Endpoint {
        match self {
            Self::Patch | Self::PatchOnce => Endpoint::Patch,
            Self::AddTags => Endpoint::AddTags,
            Self::RemoveTags => Endpoint::RemoveTags,
            Self::ReadBefore | Self::ReadBack => Endpoint::GetDetails,
        }
    }
}

/// All lanes, each in the order of admission, so that what was held up does not fall behind.
#[derive(Debug, Default)]
pub(super) struct ReadyQueues([BinaryHeap<Reverse<(u64, Ticket)>>; Lane::ALL.len()]);

impl ReadyQueues {
    /// Queues a request by its place in the order of admission.
    pub(super) fn push(&mut self, lane: Lane, sequence: u64, ticket: Ticket) {
        self.0[lane as usize].push(Reverse((sequence, ticket)));
    }

    /// The place in the order of admission of the first request in a lane.
    pub(super) fn first(&self, lane: Lane) -> Option<u64> {
        self.0[lane as usize].peek().map(|Reverse((sequence, _))| *sequence)
    }

    pub(super) fn pop(&mut self, lane: Lane) -> Option<Ticket> {
        self.0[lane as usize].pop().map(|Reverse((_, ticket))| ticket)
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(BinaryHeap::len).sum()
    }
}
