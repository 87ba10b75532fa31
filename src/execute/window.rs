//! The rows in memory: their open steps, and the low-water mark below which all rows are done.

use std::collections::VecDeque;

use foldhash::HashMap;

use super::abort_policy::Rejected;
use crate::outcome::Status;
use crate::plan::{AllowedSteps, PlannedRow};
use crate::request::{StepKind, StepRef};
use crate::row::RowPos;

/// Maximum rows in memory when rows come in order. Enough that a row in its longest backoff does
/// not block others at ImageKit's rates.
pub(crate) const ROWS_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Window {
    /// Rows with open steps, by row number.
    rows: HashMap<u64, OpenRow>,
    /// Admitted rows in input order, starting with the first open one.
    order: VecDeque<RowPos>,
    /// Whether rows come in any order, so that there is no low-water mark.
    is_out_of_order: bool,
    /// The last row removed from `order`.
    last_removed: Option<RowPos>,
    /// The first row that is open again after an abort.
    reopened: Option<RowPos>,
    done_by_status: [u64; Status::ALL.len()],
}

#[derive(Debug)]
struct OpenRow {
    pos: RowPos,
    /// Steps that are not done.
    open: usize,
    /// Whether one of them is the remainder of a step whose response was lost.
    has_remainder: bool,
    /// The worst status of the finished steps; [`Status::NotAttempted`] if reopened.
    worst: Status,
    /// Which steps may follow the finished ones.
    allowed: AllowedSteps,
    /// Whether a step was reopened, which leaves the later steps to the next session.
    is_reopened: bool,
    /// What the row requests and its requests do not, for the messages of its steps.
    left_out: Option<Box<str>>,
}

impl Window {
    /// Accepts rows in any order.
    pub(super) fn allow_out_of_order(&mut self) {
        self.is_out_of_order = true;
    }

    pub(super) fn has_room(&self) -> bool {
        self.order.len() < ROWS_MAX
    }

    /// Adds a row. In ordered mode, rows come in ascending order.
    pub(super) fn admit(&mut self, row: &PlannedRow) {
        let PlannedRow { pos, open, worst, ref outcome, ref left_out, .. } = *row;
        if !self.is_out_of_order {
            self.order.push_back(pos);
        }
        if open > 0 || outcome.is_some() {
            let allowed = AllowedSteps::default().after(StepKind::Details, worst);
            let (has_remainder, is_reopened, left_out) = (false, false, left_out.clone());
            let row = OpenRow { pos, open, has_remainder, worst, allowed, is_reopened, left_out };
            self.rows.insert(pos.number, row);
        }
    }

    /// Drops finished rows from the front.
    pub(super) fn remove_done(&mut self) {
        let rows = &self.rows;
        while let Some(pos) = self.order.pop_front_if(|pos| !rows.contains_key(&pos.number)) {
            self.last_removed = self.last_removed.max(Some(pos));
        }
    }

    /// The low-water mark: all rows before this one are done.
    pub(super) fn low_water(&self) -> Option<RowPos> {
        // Read-backs at the end belong to earlier rows, which are done already.
        let front = self.order.front().copied().max(self.last_removed)?;
        Some(self.reopened.map_or(front, |open| open.min(front)))
    }

    /// Number of finished rows by status, in the order of [`Status::ALL`].
    pub(super) fn done_by_status(&self) -> [u64; Status::ALL.len()] {
        self.done_by_status
    }

    /// The position of a row in the window.
    pub(super) fn pos(&self, number: u64) -> Option<RowPos> {
        self.rows.get(&number).map(|row| row.pos)
    }

    /// Whether a step may still be sent: a remainder always, another step only if the finished
    /// steps of its row allow it.
    pub(super) fn may_send(&self, step: StepRef) -> bool {
        let row = self.rows.get(&step.row);
        step.kind == StepKind::DetailsWithoutExtensions
            || row.is_some_and(|row| row.allowed.allows(step.kind))
    }

    /// What a row requests and its requests do not.
    pub(super) fn left_out(&self, number: u64) -> Option<&str> {
        self.rows.get(&number)?.left_out.as_deref()
    }

    /// Whether a row has a step with an unknown outcome.
    pub(super) fn is_unknown(&self, number: u64) -> bool {
        self.rows.get(&number).is_some_and(|row| row.worst == Status::Unknown)
    }

    /// Adds a remainder to the open steps of a row.
    pub(super) fn open_remainder(&mut self, number: u64) {
        if let Some(row) = self.rows.get_mut(&number) {
            row.open += 1;
            row.has_remainder = true;
        }
    }

    /// Marks a step as done. Returns whether the row is done, or `None` if the row is not in the
    /// window.
    pub(super) fn complete(&mut self, step: StepRef, status: Status) -> Option<bool> {
        let row = self.rows.get_mut(&step.row)?;
        row.worst = row.worst.max(status);
        row.allowed = row.allowed.after(step.kind, status);
        if step.kind.part_of().is_some() {
            return Some(false);
        }
        row.open = row.open.saturating_sub(1);
        row.has_remainder &= step.kind != StepKind::DetailsWithoutExtensions;
        let OpenRow { open, worst, has_remainder, .. } = *row;
        if open == 0 {
            self.rows.remove(&step.row);
        }
        if step.kind == StepKind::ReadBack {
            // The row itself was counted earlier.
            return Some(false);
        }
        // After a step without success the rest of the row is not sent, and nothing more is
        // recorded for it. Exception: after an unknown step, each later step is recorded as not
        // sent.
        let is_stopped = !worst.is_success() && worst != Status::Unknown;
        let row_done = open == 0 || is_stopped && !has_remainder;
        if open == 0 {
            self.done_by_status[worst as usize] += 1;
        }
        Some(row_done)
    }

    /// Marks a step as not sent because of an earlier step of its row. Returns `Some` if that must
    /// be recorded, which is the case after an unknown step: then, whether the row is done.
    pub(super) fn drop_step(&mut self, step: StepRef) -> Option<bool> {
        let number = step.row;
        let row = self.rows.get_mut(&number).filter(|_| step.kind.part_of().is_none())?;
        row.open = row.open.saturating_sub(1);
        let OpenRow { open, worst, is_reopened, .. } = *row;
        if open == 0 {
            self.rows.remove(&number);
            if worst != Status::NotAttempted {
                self.done_by_status[worst as usize] += 1;
            }
        }
        (worst == Status::Unknown && !is_reopened).then_some(open == 0)
    }

    /// Leaves a step, and the rest of its row, to a later session. Returns whether the row is in the
    /// window.
    pub(super) fn withhold(&mut self, step: StepRef) -> bool {
        let Some(row) = self.rows.get_mut(&step.row) else {
            return false;
        };
        row.worst = row.worst.max(Status::NotAttempted);
        row.allowed = AllowedSteps::None;
        row.open = row.open.saturating_sub(usize::from(step.kind.part_of().is_none()));
        let (open, pos, worst) = (row.open, row.pos, row.worst);
        self.reopened = Some(self.reopened.map_or(pos, |open| open.min(pos)));
        if open == 0 {
            self.rows.remove(&step.row);
            if worst != Status::NotAttempted {
                self.done_by_status[worst as usize] += 1;
            }
        }
        true
    }

    /// Reopens a rejected row. A row with an unknown step stays unknown.
    pub(super) fn reopen(&mut self, rejected: &Rejected) {
        let Rejected { step, pos, row_is_unknown } = *rejected;
        self.reopened = Some(self.reopened.map_or(pos, |open| open.min(pos)));
        match self.rows.get_mut(&step.row) {
            Some(row) if row_is_unknown => row.is_reopened = true,
            // Its later steps are still to be dropped; the row is counted when they are.
            Some(row) => row.worst = Status::NotAttempted,
            None if row_is_unknown => {}
            None => self.done_by_status[Status::Rejected as usize] -= 1,
        }
    }
}
