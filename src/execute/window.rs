//! The rows in memory: how much of each is open, and how far everything is settled.

use std::collections::VecDeque;

use foldhash::HashMap;

use super::abort_policy::Rejected;
use crate::outcome::Status;
use crate::plan::{Follow, PlannedRow};
use crate::request::{StepKind, StepRef};
use crate::row::RowPos;

/// Rows in memory at once where they come in order. Enough that a row in its longest backoff holds
/// up nothing else at the rates that ImageKit allows.
pub const ROWS_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Window {
    /// Those of which a step is open, by number.
    rows: HashMap<u64, OpenRow>,
    /// Those that were admitted, in order, from the first open one on.
    order: VecDeque<RowPos>,
    /// Whether rows come in any order, so that none is known below which everything is settled.
    is_unordered: bool,
    /// The last row that left the order.
    behind: Option<RowPos>,
    /// The first row that left it and is open again after a halt.
    reopened: Option<RowPos>,
    settled: [u64; Status::ALL.len()],
}

#[derive(Debug)]
struct OpenRow {
    pos: RowPos,
    /// Steps that are not settled.
    open: usize,
    /// Whether one of them is the remainder of a step whose answer was lost.
    remainder: bool,
    /// The worst status of those that are; [`Status::NotAttempted`] where it was taken back.
    worst: Status,
    /// Which steps may follow those.
    follow: Follow,
    /// Whether a step was taken back, so that those behind it are left to the next session.
    is_reopened: bool,
}

impl Window {
    /// Rows will come in any order.
    pub(super) fn allow_out_of_order(&mut self) {
        self.is_unordered = true;
    }

    pub(super) fn has_room(&self) -> bool {
        self.order.len() < ROWS_MAX
    }

    /// Takes in a row; where they come in order, one that comes behind all those that are there.
    pub(super) fn admit(&mut self, row: &PlannedRow) {
        let PlannedRow { pos, open, so_far, ref settled, .. } = *row;
        if !self.is_unordered {
            self.order.push_back(pos);
        }
        if open > 0 || settled.is_some() {
            let follow = Follow::default().after(StepKind::Details, so_far);
            let (remainder, is_reopened) = (false, false);
            let row = OpenRow { pos, open, remainder, worst: so_far, follow, is_reopened };
            self.rows.insert(pos.number, row);
        }
    }

    /// Lets go of the rows at the front that are settled.
    pub(super) fn leave(&mut self) {
        let rows = &self.rows;
        while let Some(pos) = self.order.pop_front_if(|pos| !rows.contains_key(&pos.number)) {
            self.behind = self.behind.max(Some(pos));
        }
    }

    /// The row below which everything is settled.
    pub(super) fn low_water(&self) -> Option<RowPos> {
        // Rows of files that are read back at the end are settled already.
        let front = self.order.front().copied().max(self.behind)?;
        Some(self.reopened.map_or(front, |open| open.min(front)))
    }

    /// How many rows have been settled so, in the order of [`Status::ALL`].
    pub(super) fn settled(&self) -> [u64; Status::ALL.len()] {
        self.settled
    }

    /// Where a row that is in the window stands.
    pub(super) fn pos(&self, number: u64) -> Option<RowPos> {
        self.rows.get(&number).map(|row| row.pos)
    }

    /// Whether a step may still be sent: the remainder of a lost one in any case, another one only
    /// where it may follow what became of the row so far.
    pub(super) fn may_send(&self, step: StepRef) -> bool {
        let row = self.rows.get(&step.row);
        step.kind == StepKind::DetailsWithoutExtensions
            || row.is_some_and(|row| row.follow.allows(step.kind))
    }

    /// Whether a row has a step of unknown outcome.
    pub(super) fn is_unknown(&self, number: u64) -> bool {
        self.rows.get(&number).is_some_and(|row| row.worst == Status::Unknown)
    }

    /// A remainder of the row joins its open steps.
    pub(super) fn open_remainder(&mut self, number: u64) {
        if let Some(row) = self.rows.get_mut(&number) {
            row.open += 1;
            row.remainder = true;
        }
    }

    /// A step is settled; says whether nothing of its row follows, and nothing at all for a row
    /// that is not here.
    pub(super) fn settle(&mut self, step: StepRef, status: Status) -> Option<bool> {
        let row = self.rows.get_mut(&step.row)?;
        row.worst = row.worst.max(status);
        row.follow = row.follow.after(step.kind, status);
        if step.kind.part_of().is_some() {
            return Some(false);
        }
        row.open = row.open.saturating_sub(1);
        row.remainder &= step.kind != StepKind::DetailsWithoutExtensions;
        let OpenRow { open, worst, remainder, .. } = *row;
        if open == 0 {
            self.rows.remove(&step.row);
        }
        if step.kind == StepKind::ReadBack {
            // The row was settled and counted before.
            return Some(false);
        }
        // What is left of a row after a step without success is not sent, and says nothing more,
        // except where a step is of unknown outcome: then each says that it was not sent.
        let is_stopped = !worst.is_success() && worst != Status::Unknown;
        let row_done = open == 0 || is_stopped && !remainder;
        if open == 0 {
            self.settled[worst as usize] += 1;
        }
        Some(row_done)
    }

    /// A step will not be sent, because of an earlier one of its row. Where the row has a step of
    /// unknown outcome, that is to be recorded; then it says whether nothing of the row follows.
    pub(super) fn drop_step(&mut self, step: StepRef) -> Option<bool> {
        let number = step.row;
        let row = self.rows.get_mut(&number).filter(|_| step.kind.part_of().is_none())?;
        row.open = row.open.saturating_sub(1);
        let OpenRow { open, worst, is_reopened, .. } = *row;
        if open == 0 {
            self.rows.remove(&number);
            if worst != Status::NotAttempted {
                self.settled[worst as usize] += 1;
            }
        }
        (worst == Status::Unknown && !is_reopened).then_some(open == 0)
    }

    /// A rejection is taken back: its row is not settled any more. One with a step of unknown
    /// outcome stays unknown.
    pub(super) fn reopen(&mut self, rejected: &Rejected) {
        let Rejected { step, pos, row_is_unknown } = *rejected;
        self.reopened = Some(self.reopened.map_or(pos, |open| open.min(pos)));
        match self.rows.get_mut(&step.row) {
            Some(row) if row_is_unknown => row.is_reopened = true,
            // Its later steps are still to be dropped, and the row is counted only then.
            Some(row) => row.worst = Status::NotAttempted,
            None if row_is_unknown => {}
            None => self.settled[Status::Rejected as usize] -= 1,
        }
    }
}
