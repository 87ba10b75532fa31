//! Final statuses that ImageKit reported: what they settle.

use jiff::Timestamp;

use super::open::{OpenSteps, Part};
use crate::extension_results::ExtensionResults;
use crate::ledger::{LedgerError, LedgerFile, Settlement};
use crate::request::StepKind;
use crate::row::{ExtensionName, FileId, RowPos};
use crate::settled::{FinalStatus, KnownBy, Settled};

/// A final status that ImageKit reported for a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reported<'r> {
    /// The file.
    pub file: &'r FileId,
    /// Number of the row that requested it; `None` if that is not known.
    pub row: Option<u64>,
    /// The extension, as in `extensionStatus`.
    pub name: &'r str,
    /// Its final status.
    pub status: FinalStatus,
    /// ImageKit's error for people; may be empty.
    pub error: &'r str,
    /// What it wrote.
    pub found: Option<&'r ExtensionResults>,
}

/// What a reported status changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReportEffect {
    /// It settled an extension, or confirmed or corrected what was only inferred.
    Settled,
    /// It was reported before.
    Repeated,
    /// The run has no such extension open on the file.
    Unrelated,
    /// Several rows of the file have the extension open. A report does not say which one it is about,
    /// and may be a repetition, so they stay open.
    Ambiguous,
    /// Another run has the extension open on the file, or was settled by the same report. So the
    /// extension of this run stays open.
    OfOtherRun,
}

/// The part of a step that a report is about.
struct Subject {
    pos: RowPos,
    kind: StepKind,
    /// Its name before the report.
    name: Box<str>,
}

impl OpenSteps {
    /// Records statuses that ImageKit reported, durably: all or none. Returns the effect of each.
    /// Reporting one again changes nothing.
    ///
    /// A report without a row can be about any request on the file, so other runs must have been taken
    /// into account ([`Self::beside`]).
    ///
    /// # Errors
    /// The ledger cannot be written. None has been recorded; they should be refused, so that ImageKit
    /// repeats them, and the steps must not be used any more.
    pub(crate) fn report(
        &mut self,
        ledger: &LedgerFile,
        reports: &[Reported<'_>],
    ) -> Result<Vec<ReportEffect>, LedgerError> {
        let (mut effects, mut settlements) = (Vec::new(), Vec::new());
        for reported in reports {
            let (effect, settlement) = self.take_report(*reported);
            effects.push(effect);
            settlements.extend(settlement);
        }
        if !settlements.is_empty() {
            ledger.settle(&settlements, Timestamp::now())?;
        }
        Ok(effects)
    }

    /// Decides what a report settles, and notes it.
    fn take_report(&mut self, reported: Reported<'_>) -> (ReportEffect, Option<Settlement>) {
        let subject = match self.subject(reported) {
            Ok(subject) => subject,
            Err(effect) => return (effect, None),
        };
        let settled = Settled {
            name: reported.name.into(),
            status: reported.status,
            known_by: KnownBy::Callback,
            evidence: reported.error.into(),
            found: reported.found.cloned().map(Box::new),
        };
        self.settle(reported.file, &subject, &settled);
        let Subject { pos, kind, .. } = subject;
        (ReportEffect::Settled, Some(Settlement { pos, kind, settled }))
    }

    /// What a report is about; or why that is none, or not known.
    fn subject(&self, reported: Reported<'_>) -> Result<Subject, ReportEffect> {
        let Reported { row, name, .. } = reported;
        let Some(file) = self.files.get(reported.file) else {
            return Err(ReportEffect::Unrelated);
        };
        let steps = file.steps.iter().filter(|step| row.is_none_or(|row| step.pos.number == row));
        let parts = steps.flat_map(|step| step.parts.iter().map(move |part| (step, part)));
        let named: Vec<_> = parts.clone().filter(|(_, part)| *part.name == *name).collect();
        let is_open = |part: &Part| part.known_by() != Some(KnownBy::Callback);
        let open: Vec<_> = if named.is_empty() {
            // A saved extension is reported under the name of the extension that it stands for.
            let saved = ExtensionName::SavedExtension.as_str();
            parts.filter(|(_, part)| *part.name == *saved).collect()
        } else {
            named.iter().copied().filter(|(_, part)| is_open(part)).collect()
        };
        let was_taken = named.iter().any(|(_, part)| reported.settled(part));
        let is_of_other =
            || row.is_none() && file.other_parts.iter().any(|part| reported.can_be_of(part));
        match open.as_slice() {
            [] if !named.is_empty() => Err(ReportEffect::Repeated),
            [] => Err(ReportEffect::Unrelated),
            _ if was_taken => Err(ReportEffect::Repeated),
            _ if is_of_other() => Err(ReportEffect::OfOtherRun),
            [(step, part)] => {
                Ok(Subject { pos: step.pos, kind: step.kind, name: part.name.clone() })
            }
            _ => Err(ReportEffect::Ambiguous),
        }
    }

    /// Notes the report of a part, under the name that it was reported with.
    fn settle(&mut self, file: &FileId, subject: &Subject, settled: &Settled) {
        let steps = self.files.get_mut(file).map(|file| &mut file.steps).into_iter().flatten();
        let steps = steps.filter(|step| step.pos == subject.pos && step.kind == subject.kind);
        let parts = steps.flat_map(|step| &mut step.parts);
        for part in parts.filter(|part| part.name == subject.name) {
            part.name = settled.name.clone();
            part.settled = Some(Box::new(settled.clone()));
        }
    }
}

impl Reported<'_> {
    /// Whether the part was settled by this report.
    fn settled(&self, part: &Part) -> bool {
        part.settled.as_deref().is_some_and(|settled| {
            settled.known_by == KnownBy::Callback
                && settled.status == self.status
                && *settled.evidence == *self.error
                && self.found.is_none_or(|found| settled.found.as_deref() == Some(found))
        })
    }

    /// Whether the report can be about this part of another run: it waits for one, was settled
    /// without one, or was settled by this one.
    fn can_be_of(&self, part: &Part) -> bool {
        let is_named =
            *part.name == *self.name || *part.name == *ExtensionName::SavedExtension.as_str();
        is_named && (part.known_by() != Some(KnownBy::Callback) || self.settled(part))
    }
}
