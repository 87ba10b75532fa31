//! Decides from outcomes when a run must abort: after too many identical rejections in a row, too
//! large a share of rejections, or too many unknown outcomes.

use super::event::AbortReason;
use crate::outcome::{Code, Outcome, Status};
use crate::request::StepRef;
use crate::row::RowPos;
use crate::settings::AbortLimits;

/// Maximum rows of a streak named in the message.
const ROWS_NAMED: usize = 5;

/// The counters that the limits apply to.
#[derive(Debug)]
pub(super) struct AbortPolicy {
    abort_limits: AbortLimits,
    responses: u64,
    rejected: u64,
    unknown: u32,
    /// Consecutive rejections with the same signature.
    streak_length: u32,
    /// The rejections of the streak. An abort reopens them.
    streak: Vec<Rejected>,
    /// The signature of the streak.
    signature: Option<Signature>,
}

/// A step that was rejected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rejected {
    pub(super) step: StepRef,
    pub(super) pos: RowPos,
    /// Whether an earlier step of its row has an unknown outcome.
    pub(super) row_is_unknown: bool,
}

/// HTTP status and message: rejections are the same if these are.
type Signature = (Option<u16>, Option<Box<str>>);

impl AbortPolicy {
    pub(super) fn new(abort_limits: AbortLimits) -> Self {
        Self {
            abort_limits,
            responses: 0,
            rejected: 0,
            unknown: 0,
            streak_length: 0,
            streak: Vec::new(),
            signature: None,
        }
    }

    /// Counts the outcome of a step that ImageKit responded to; returns whether to abort.
    /// `rejected` describes the step in case the outcome is a rejection.
    pub(super) fn count_response(
        &mut self,
        rejected: Rejected,
        outcome: &Outcome,
    ) -> Option<AbortReason> {
        if outcome.code == Some(Code::Conflict) {
            // Not sent, and a conflict of one file says nothing about others.
            return None;
        }
        self.responses += 1;
        if outcome.status != Status::Rejected {
            self.break_streak(None);
            return None;
        }
        self.rejected += 1;
        let signature = (outcome.http_status, outcome.message.clone());
        if self.signature.as_ref() != Some(&signature) {
            self.break_streak(Some(signature));
        }
        let limit = self.abort_limits.same_rejection_max.map(std::num::NonZeroU32::get);
        if let Some(limit) = limit {
            self.streak_length += 1;
            self.streak.push(rejected);
            // Rejections of requests that were in flight at the limit belong to the streak as well.
            if self.streak_length >= limit {
                let message = outcome.message.clone().unwrap_or_default();
                let rows = self.streak.iter().map(|it| it.step.row).take(ROWS_NAMED).collect();
                return Some(AbortReason::SameRejection { message, times: limit, rows });
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
        let share = self.rejected as f64 / self.responses as f64;
        (self.responses >= AbortLimits::REJECTED_SHARE_FROM
            && share > self.abort_limits.rejected_share_max)
            .then_some(AbortReason::ManyRejected {
                rejected: self.rejected,
                responses: self.responses,
            })
    }

    fn break_streak(&mut self, signature: Option<Signature>) {
        self.streak_length = 0;
        self.streak.clear();
        self.signature = signature;
    }

    /// Counts an unknown outcome; returns whether to abort.
    pub(super) fn unknown(&mut self) -> Option<AbortReason> {
        self.unknown += 1;
        let limit = self.abort_limits.unknown_max.get();
        (self.unknown >= limit).then_some(AbortReason::ManyUnknown { unknown: self.unknown })
    }

    /// Removes the streak, to reopen its steps after an abort.
    pub(super) fn take_streak(&mut self) -> Vec<Rejected> {
        std::mem::take(&mut self.streak)
    }
}
