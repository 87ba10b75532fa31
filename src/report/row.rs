//! A row's line, from its steps.

use std::borrow::Cow;

use crate::ledger::StepRecord;
use crate::outcome::{Code, ExtensionStatus, Status};
use crate::request::StepKind;

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowResult<'s> {
    /// Its status: the worst of its steps'.
    pub status: Status,
    /// The reason, as one word.
    pub code: Option<Code>,
    /// The reason, for people.
    pub message: Cow<'s, str>,
    /// Attempts over all steps.
    pub attempts: u32,
    /// The HTTP status behind the status.
    pub http_status: Option<u16>,
    /// The request id behind the status.
    pub request_id: Option<&'s str>,
    /// When ImageKit last updated the file.
    pub updated_at: Option<&'s str>,
    /// What ImageKit said of its extensions, as JSON.
    pub extension_status: Option<&'s str>,
    /// Whether a step of it is of unknown outcome and others are still to be sent.
    pub is_owed: bool,
}

impl<'s> RowResult<'s> {
    /// From the steps that the ledger holds of the row, in order.
    #[must_use]
    pub fn of(steps: &'s [StepRecord]) -> Self {
        let mut result = match steps {
            [own @ .., last] if last.step.kind == StepKind::ReadBack => {
                let mut result = Self::of_own(own);
                result.add_read_back(last);
                result
            }
            own => Self::of_own(own),
        };
        result.add_extensions();
        result
    }

    /// From the steps that the row asked for.
    fn of_own(steps: &'s [StepRecord]) -> Self {
        // Of equally bad steps the first one is the cause.
        let worst = steps.iter().rev().max_by_key(|record| record.outcome.status);
        let Some(worst) = worst else {
            return Self::not_attempted(Cow::Borrowed(""));
        };
        let last = |of: fn(&StepRecord) -> Option<&str>| steps.iter().rev().find_map(of);
        let mut result = Self {
            status: worst.outcome.status,
            code: worst.outcome.code,
            message: Cow::Borrowed(worst.outcome.message.as_deref().unwrap_or_default()),
            attempts: steps.iter().map(|record| record.attempts).sum(),
            http_status: worst.outcome.http_status,
            request_id: worst.outcome.request_id.as_deref(),
            updated_at: last(|record| record.outcome.updated_at.as_deref()),
            extension_status: last(|record| record.outcome.extension_status.as_deref()),
            is_owed: false,
        };
        let is_alone = steps.len() == 1;
        if !is_alone || !worst.row_done && worst.outcome.status.is_success() {
            result.fit_together(steps, worst);
        }
        if result.status == Status::Unknown {
            result.add_what_else_was_not_done(steps, worst);
        }
        result
    }

    /// No step of the row is settled, or not the last one.
    fn not_attempted(message: Cow<'s, str>) -> Self {
        Self {
            status: Status::NotAttempted,
            code: None,
            message,
            attempts: 0,
            http_status: None,
            request_id: None,
            updated_at: None,
            extension_status: None,
            is_owed: false,
        }
    }

    /// What several steps, or one that is not the last, mean together.
    fn fit_together(&mut self, steps: &[StepRecord], worst: &StepRecord) {
        let is_done =
            |kind| steps.iter().any(|r| r.step.kind == kind && r.outcome.status.is_success());
        let done = StepKind::ALL.into_iter().filter(|kind| is_done(*kind));
        let done = done.filter(|kind| !kind.part_of().is_some_and(is_done));
        let done: Vec<&str> = done.map(StepKind::as_str).collect();
        let done = done.join(", ");
        if !self.status.is_success() {
            // The repeatable rest of a lost request was meant to be done; it is not half a row.
            let remainder_only = steps.iter().all(|record| {
                !record.outcome.status.is_success()
                    || record.step.kind == StepKind::DetailsWithoutExtensions
            });
            if !done.is_empty() {
                let failed = worst.step.kind.as_str();
                self.message = Cow::Owned(format!("{done} done; {failed}: {}", self.message));
                if !remainder_only {
                    self.code = Some(Code::Partial);
                }
            }
        } else if !steps.iter().any(|record| record.row_done) {
            self.status = Status::NotAttempted;
            self.code = Some(Code::Partial);
            self.message = Cow::Owned(format!("{done} done; the run stopped before the rest"));
        } else if let Some(differs) = steps.iter().find(|r| r.outcome.code == Some(Code::Mismatch))
        {
            self.code = Some(Code::Mismatch);
            let message = differs.outcome.message.as_deref().unwrap_or_default();
            self.message = Cow::Owned(message.to_owned());
        }
    }

    /// Says what became of the other steps of a row with one of unknown outcome.
    fn add_what_else_was_not_done(&mut self, steps: &[StepRecord], worst: &StepRecord) {
        let mut message = self.message.to_string();
        let others = steps.iter().filter(|record| record.step != worst.step);
        for StepRecord { step, outcome, .. } in others.clone() {
            if matches!(outcome.status, Status::Failed | Status::Rejected | Status::Unknown) {
                let why = outcome.message.as_deref().unwrap_or_default();
                message.push_str(&format!("; {}: {why}", step.kind.as_str()));
            }
        }
        let not_sent = others.filter(|record| record.outcome.status == Status::NotAttempted);
        let not_sent: Vec<&str> = not_sent.map(|record| record.step.kind.as_str()).collect();
        if !not_sent.is_empty() {
            message.push_str(&format!("; not sent: {}", not_sent.join(", ")));
        }
        // What was in flight at the end of the program may have been all of the row.
        let is_open = !steps.iter().any(|record| record.row_done);
        if is_open && worst.outcome.code != Some(Code::Interrupted) {
            self.is_owed = true;
            message.push_str("; the run stopped before the rest of the row");
        }
        self.message = Cow::Owned(message);
    }

    /// What was found when the file was looked at once more at the end.
    fn add_read_back(&mut self, read: &'s StepRecord) {
        let Some(found) = read.outcome.message.as_deref() else {
            return;
        };
        if self.message.is_empty() {
            self.message = Cow::Borrowed(found);
        } else {
            self.message = Cow::Owned(format!("{}; {found}", self.message));
        }
        if self.status.is_success() && self.code != Some(Code::Mismatch) {
            self.code = read.outcome.code;
        }
    }

    /// Says which of its extensions failed or may have, if nothing else is the matter with it.
    fn add_extensions(&mut self) {
        let Some(json) = self.extension_status else {
            return;
        };
        if self.status != Status::Updated || self.code.is_some_and(Code::needs_attention) {
            return;
        }
        let statuses = ExtensionStatus::read(json);
        let names = |wanted: ExtensionStatus| {
            let of_it = statuses.iter().filter(|(_, status)| **status == wanted);
            of_it.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let (failed, unclear) = (names(ExtensionStatus::Failed), names(ExtensionStatus::Unclear));
        let mut said = Vec::new();
        if !unclear.is_empty() {
            self.code = Some(Code::ExtensionUnclear);
            said.push(format!(
                "ImageKit states neither success, pending nor failed for {unclear}; look at the \
                 file first: the row sent again can be charged again"
            ));
        }
        if !failed.is_empty() {
            self.code = Some(Code::ExtensionFailed);
            said.push(format!(
                "{failed} failed, and ImageKit gives no reason; the row sent again pays for \
                 another try"
            ));
        }
        if !said.is_empty() {
            self.message = Cow::Owned(said.join("; "));
        }
    }
}
