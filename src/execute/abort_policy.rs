//! Watches what ImageKit answers for signs that going on would do harm or nothing.

use super::event::Halt;
use crate::outcome::{Code, Outcome, Status};
use crate::request::StepRef;
use crate::row::RowPos;
use crate::settings::Halts;

/// Rows of a streak that are named.
const ROWS_NAMED: usize = 5;

/// The counts behind the halts.
#[derive(Debug)]
pub(super) struct AbortPolicy {
    halts: Halts,
    answers: u64,
    rejected: u64,
    unknown: u32,
    /// Rejections in a row that say the same…
    same: u32,
    /// …and those of them that have not been taken back.
    streak: Vec<Rejected>,
    /// What the rejections of the streak have in common.
    said: Option<Said>,
}

/// A step that was rejected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rejected {
    pub(super) step: StepRef,
    /// Where its row stands.
    pub(super) pos: RowPos,
    /// Whether an earlier step of its row is of unknown outcome.
    pub(super) row_is_unknown: bool,
}

/// What a rejection says: the HTTP status and the message.
type Said = (Option<u16>, Option<Box<str>>);

impl AbortPolicy {
    pub(super) fn new(halts: Halts) -> Self {
        Self { halts, answers: 0, rejected: 0, unknown: 0, same: 0, streak: Vec::new(), said: None }
    }

    /// Takes the outcome of one step that ImageKit answered, as it is counted where it is a
    /// rejection; says whether to halt.
    pub(super) fn answered(&mut self, rejected: Rejected, outcome: &Outcome) -> Option<Halt> {
        if outcome.code == Some(Code::Conflict) {
            // It was not sent, and what moved says nothing of the others.
            return None;
        }
        self.answers += 1;
        if outcome.status != Status::Rejected {
            self.break_streak(None);
            return None;
        }
        self.rejected += 1;
        let said = (outcome.http_status, outcome.message.clone());
        if self.said.as_ref() != Some(&said) {
            self.break_streak(Some(said));
        }
        let limit = self.halts.same_rejection_max.map(std::num::NonZeroU32::get);
        if let Some(limit) = limit {
            self.same += 1;
            self.streak.push(rejected);
            // Those that were under way when it was enough belong to the streak as well.
            if self.same >= limit {
                let message = outcome.message.clone().unwrap_or_default();
                let rows = self.streak.iter().map(|it| it.step.row).take(ROWS_NAMED).collect();
                return Some(Halt::SameRejection { message, times: limit, rows });
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
        let share = self.rejected as f64 / self.answers as f64;
        (self.answers >= Halts::REJECTED_SHARE_FROM && share > self.halts.rejected_share_max)
            .then_some(Halt::ManyRejected { rejected: self.rejected, answers: self.answers })
    }

    fn break_streak(&mut self, said: Option<Said>) {
        self.same = 0;
        self.streak.clear();
        self.said = said;
    }

    /// A step became unknown; says whether to halt.
    pub(super) fn unknown(&mut self) -> Option<Halt> {
        self.unknown += 1;
        let limit = self.halts.unknown_max.get();
        (self.unknown >= limit).then_some(Halt::ManyUnknown { unknown: self.unknown })
    }

    /// The streak of one rejection, whose steps are open again after a halt for it.
    pub(super) fn take_streak(&mut self) -> Vec<Rejected> {
        std::mem::take(&mut self.streak)
    }
}
