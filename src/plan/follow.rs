//! Which steps of a row may follow those that are settled.

use crate::outcome::Status;
use crate::request::StepKind;

/// What of a row may still be sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Follow {
    /// Every step.
    #[default]
    Everything,
    /// Only idempotent steps, because the outcome of its details is unknown. A person who has
    /// looked at the file decides about the rest.
    Idempotent,
    /// Nothing, because a step did not succeed.
    Nothing,
}

impl Follow {
    /// After a step with this outcome.
    #[must_use]
    pub fn after(self, kind: StepKind, status: Status) -> Self {
        match status {
            // One that was not attempted was not sent because of steps before it.
            Status::Unchanged | Status::Updated | Status::NotAttempted => self,
            Status::Unknown if kind == StepKind::Details => self.max(Self::Idempotent),
            Status::Unknown | Status::Failed | Status::Rejected => Self::Nothing,
        }
    }

    /// Whether this step may follow. The remainder of a lost request may in any case.
    #[must_use]
    pub fn allows(self, kind: StepKind) -> bool {
        let is_at_most_once = matches!(kind, StepKind::Details | StepKind::Publish);
        match self {
            Self::Everything => true,
            _ if kind == StepKind::DetailsWithoutExtensions => true,
            Self::Idempotent => !is_at_most_once,
            Self::Nothing => false,
        }
    }
}
