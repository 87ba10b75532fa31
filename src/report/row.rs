//! The result of a row, from its steps.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::history::{ExtensionReport, extensions_with};
use crate::ledger::StepRecord;
use crate::outcome::{Code, ExtensionStatus, Status};
use crate::request::StepKind;
use crate::settled::FinalStatus;

/// The result of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowResult<'s> {
    /// The worst status of its steps.
    pub status: Status,
    /// The reason for programs.
    pub code: Option<Code>,
    /// The reason for people; empty if there is none.
    pub message: Cow<'s, str>,
    /// Attempts, summed over all steps.
    pub attempts: u32,
    /// The HTTP status of the decisive response.
    pub http_status: Option<u16>,
    /// The id of the decisive request.
    pub request_id: Option<&'s str>,
    /// The last update of the file, as returned by ImageKit.
    pub updated_at: Option<&'s str>,
    /// The statuses of its extensions as returned by ImageKit, as JSON.
    pub extension_status: Option<&'s str>,
    /// The statuses of its extensions by name; unclear where ImageKit returned none.
    pub extensions: BTreeMap<String, ExtensionStatus>,
    /// Whether one of its extensions failed.
    pub has_failed_extension: bool,
    /// Whether one step has an unknown outcome and others are still to be sent.
    pub has_unsent_steps: bool,
}

impl<'s> RowResult<'s> {
    /// The result from all steps of the row in the ledger, in order.
    #[must_use]
    pub(crate) fn of(steps: &'s [StepRecord]) -> Self {
        let mut result = match steps {
            [own @ .., last] if last.step.kind == StepKind::ReadBack => {
                let mut result = Self::from_own_steps(own);
                result.add_read_back(last);
                result
            }
            own => Self::from_own_steps(own),
        };
        result.extensions = result.extension_status.map(ExtensionStatus::read).unwrap_or_default();
        for extension in steps.iter().flat_map(|it| extensions_with(it, ExtensionReport::Nothing)) {
            result.extensions.insert(extension.name.as_str().to_owned(), ExtensionStatus::Unclear);
        }
        result.add_extensions(steps);
        result
    }

    /// The result from the steps of the row without its read-back.
    fn from_own_steps(steps: &'s [StepRecord]) -> Self {
        // Among equally bad steps, the first is the cause.
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
            extensions: BTreeMap::new(),
            has_failed_extension: steps
                .iter()
                .any(|it| extensions_with(it, ExtensionReport::Failed).next().is_some()),
            has_unsent_steps: false,
        };
        let is_single = steps.len() == 1;
        if !is_single || !worst.row_done && worst.outcome.status.is_success() {
            result.combine_steps(steps, worst);
        }
        if result.status == Status::Unknown {
            result.add_other_steps(steps, worst);
        }
        result
    }

    /// Whether the row can be retried as it is: it failed, or one of its extensions did.
    #[must_use]
    pub(crate) fn can_retry(&self) -> bool {
        match self.status {
            Status::Failed => true,
            Status::Updated => self.has_failed_extension,
            _ => false,
        }
    }

    /// The result of a row without settled steps.
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
            extensions: BTreeMap::new(),
            has_failed_extension: false,
            has_unsent_steps: false,
        }
    }

    /// Combines the results of several steps, or of a step that is not the last.
    fn combine_steps(&mut self, steps: &[StepRecord], worst: &StepRecord) {
        let is_done =
            |kind| steps.iter().any(|r| r.step.kind == kind && r.outcome.status.is_success());
        let done = StepKind::ALL.into_iter().filter(|kind| is_done(*kind));
        let done = done.filter(|kind| !kind.part_of().is_some_and(is_done));
        let done: Vec<&str> = done.map(StepKind::as_str).collect();
        let done = done.join(", ");
        if !self.status.is_success() {
            // After a lost response, the idempotent part of the request is re-sent without its
            // extensions. Such a step alone does not make the row partial.
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
        } else if let Some(mismatch) = steps.iter().find(|r| r.outcome.code == Some(Code::Mismatch))
        {
            self.code = Some(Code::Mismatch);
            let message = mismatch.outcome.message.as_deref().unwrap_or_default();
            self.message = Cow::Owned(message.to_owned());
        } else if self.code.is_none()
            && let Some(inferred) = steps.iter().find(|r| r.outcome.code == Some(Code::Inferred))
        {
            self.code = Some(Code::Inferred);
            let message = inferred.outcome.message.as_deref().unwrap_or_default();
            self.message = Cow::Owned(message.to_owned());
        }
    }

    /// Adds the results of the other steps to the message of a row with unknown outcome.
    fn add_other_steps(&mut self, steps: &[StepRecord], worst: &StepRecord) {
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
        // An interrupted request may have been the whole row.
        let is_open = !steps.iter().any(|record| record.row_done);
        if is_open && worst.outcome.code != Some(Code::Interrupted) {
            self.has_unsent_steps = true;
            message.push_str("; the run stopped before the rest of the row");
        }
        self.message = Cow::Owned(message);
    }

    /// Adds the result of reading the file back at the end.
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

    /// Reports extensions that failed or are unclear, if the row has no other problem.
    fn add_extensions(&mut self, steps: &[StepRecord]) {
        if self.status != Status::Updated || self.code.is_some_and(Code::needs_attention) {
            return;
        }
        let names = |wanted: ExtensionStatus| {
            let matching = self.extensions.iter().filter(|(_, status)| **status == wanted);
            matching.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let (failed, unclear) = (names(ExtensionStatus::Failed), names(ExtensionStatus::Unclear));
        let mut messages = Vec::new();
        if !unclear.is_empty() {
            self.code = Some(Code::ExtensionUnclear);
            messages.push(format!(
                "ImageKit states neither success, pending nor failed for {unclear}; check the \
                 file first: applying the row again can be charged again"
            ));
        }
        if !failed.is_empty() {
            self.code = Some(Code::ExtensionFailed);
            let reasons = failure_reasons(steps);
            messages.push(format!("{failed} failed; {reasons}. Retrying it is charged again"));
        }
        if !messages.is_empty() {
            if !self.message.is_empty() {
                messages.push(self.message.to_string());
            }
            self.message = Cow::Owned(messages.join("; "));
        }
    }
}

/// The reasons that callbacks gave for failed extensions.
fn failure_reasons(steps: &[StepRecord]) -> String {
    let settled = steps.iter().flat_map(|record| &record.settled);
    let reasons: Vec<&str> = settled
        .filter(|settled| settled.status == FinalStatus::Failed && !settled.evidence.is_empty())
        .map(|settled| settled.evidence.trim_end_matches('.'))
        .collect();
    if reasons.is_empty() { "ImageKit gives no reason".to_owned() } else { reasons.join("; ") }
}
