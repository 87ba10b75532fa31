//! Which steps of a row may be sent after the ones that are done.

use crate::outcome::Status;
use crate::request::StepKind;

/// The steps of a row that may still be sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AllowedSteps {
    /// Every step.
    #[default]
    All,
    /// Only idempotent steps, because the outcome of the details step is unknown. The user decides
    /// about the rest after checking the file.
    Idempotent,
    /// No step, because an earlier one did not succeed.
    None,
}

impl AllowedSteps {
    /// The steps allowed after this outcome as well.
    #[must_use]
    pub(crate) fn after(self, kind: StepKind, status: Status) -> Self {
        match status {
            // A step was not attempted because of an earlier one, which already counts.
            Status::Unchanged | Status::Updated | Status::NotAttempted => self,
            Status::Unknown if kind == StepKind::Details => self.max(Self::Idempotent),
            Status::Unknown | Status::Failed | Status::Rejected => Self::None,
        }
    }

    /// Whether the step may be sent. The remainder of a lost request always may.
    #[must_use]
    pub(crate) fn allows(self, kind: StepKind) -> bool {
        let is_at_most_once = matches!(kind, StepKind::Details | StepKind::Publish);
        match self {
            Self::All => true,
            _ if kind == StepKind::DetailsWithoutExtensions => true,
            Self::Idempotent => !is_at_most_once,
            Self::None => false,
        }
    }
}
