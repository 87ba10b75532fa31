//! What requests may have changed on a file: a difference proves a request only if no other one can
//! have caused it.

use crate::history::{Certainty, RowEffects};
use crate::ledger::{Completeness, StepRecord};
use crate::outcome::{ExtensionStatus, Status};
use crate::request::{StepKind, StepRef};
use crate::row::{Change, ExtensionName, FileField};
use crate::settings::Planning;
use crate::settled::PUBLICATION;

/// What a request leaves on a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trace {
    /// AI tags of this extension.
    AiTags(Box<str>),
    /// A description.
    Description,
    /// A new version.
    Version,
    /// A publication status.
    Publication(bool),
    /// Any of these but the publication: a saved extension can stand for each extension.
    Any,
}

/// A request that may have left a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Its step; `None` if it belongs to another run.
    pub(super) step: Option<StepRef>,
    /// The extension, or [`PUBLICATION`]; empty if the request set a field itself.
    pub(super) name: Box<str>,
    pub(super) trace: Trace,
    /// Whether the trace was there with the response, so that later requests found it.
    pub(super) is_immediate: bool,
}

impl Trace {
    /// What the extension of that name leaves; `None` if that cannot be told from other changes:
    /// `ai-tasks` writes ordinary tags and custom metadata.
    #[must_use]
    pub(crate) fn of(name: &str) -> Option<Self> {
        match ExtensionName::parse(name)? {
            ExtensionName::GoogleAutoTagging | ExtensionName::AwsAutoTagging => {
                Some(Self::AiTags(name.into()))
            }
            ExtensionName::AiAutoDescription => Some(Self::Description),
            ExtensionName::RemoveBg => Some(Self::Version),
            ExtensionName::SavedExtension => Some(Self::Any),
            ExtensionName::AiTasks => None,
        }
    }

    /// Whether a request with this trace can have caused what looks like the other one.
    pub(super) fn resembles(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Publication(_), Self::Publication(_)) => true,
            (Self::Publication(_), _) | (_, Self::Publication(_)) => false,
            (Self::Any, _) => true,
            _ => self == other,
        }
    }
}

impl Claim {
    /// The claims of a row.
    pub(super) fn of_row(
        change: &Change,
        records: &[StepRecord],
        planning: Planning,
        completeness: Completeness,
    ) -> Vec<Self> {
        let sent = records.iter().filter(|record| may_have_run(record));
        let mut claims: Vec<Self> = sent.flat_map(Self::of_step).collect();
        let effects = RowEffects::new(records, planning, completeness);
        let has_claim = claims.iter().any(|claim| claim.name.is_empty());
        if change.fields().contains(FileField::Description)
            && !has_claim
            && effects.field(FileField::Description) != Certainty::NotDone
        {
            claims.push(Self::of_description(None, false));
        }
        claims
    }

    fn of_step(record: &StepRecord) -> Vec<Self> {
        let step = Some(record.step);
        let is_first_attempt = record.outcome.status == Status::Updated && record.attempts <= 1;
        let mut claims = Vec::new();
        if record.sent.fields.contains(FileField::Description) {
            claims.push(Self::of_description(step, is_first_attempt));
        }
        if record.step.kind == StepKind::Publish {
            // Which status it set does not matter.
            let trace = Trace::Publication(true);
            claims.push(Self {
                step,
                name: PUBLICATION.into(),
                trace,
                is_immediate: is_first_attempt,
            });
        }
        claims.extend(Self::of_extensions(record));
        claims
    }

    fn of_description(step: Option<StepRef>, is_immediate: bool) -> Self {
        Self { step, name: "".into(), trace: Trace::Description, is_immediate }
    }

    /// The extensions of a step, except failed ones, which write nothing.
    fn of_extensions(record: &StepRecord) -> Vec<Self> {
        let statuses = record.outcome.statuses_by_name();
        let is_sent = |name: &str| record.sent.extensions.iter().any(|it| it.name.as_str() == name);
        let sent = record.sent.extensions.iter().map(|it| it.name.as_str());
        // A saved extension is reported under the name of the extension that it stands for.
        let reported = statuses.keys().map(String::as_str).filter(|name| !is_sent(name));
        let has_reported = reported.clone().next().is_some();
        let is_open_saved = |name: &str| name == ExtensionName::SavedExtension.as_str();
        let names = sent.filter(|name| !(has_reported && is_open_saved(name))).chain(reported);
        let claim = |name: &str| {
            let status = statuses.get(name).map(ExtensionStatus::of);
            if status == Some(ExtensionStatus::Failed) {
                return None;
            }
            let was_settled = record.settled.iter().any(|settled| *settled.name == *name);
            let is_immediate = status == Some(ExtensionStatus::Success) && !was_settled;
            let trace = Trace::of(name)?;
            Some(Self { step: Some(record.step), name: name.into(), trace, is_immediate })
        };
        names.filter_map(claim).collect()
    }

    /// The claims of another run of which nothing is known: it may have left every trace.
    pub(super) fn of_unknown_run() -> [Self; 2] {
        [Trace::Any, Trace::Publication(true)].map(|trace| Self {
            step: None,
            name: "".into(),
            trace,
            is_immediate: false,
        })
    }

    /// The claim as that of another run. `is_earlier` if that run had ended when this one began.
    pub(super) fn of_other_run(self, is_earlier: bool) -> Option<Self> {
        let is_past = is_earlier && self.is_immediate;
        (!is_past).then_some(Self { step: None, ..self })
    }

    /// Whether the request can have caused what looks like the trace of another one.
    pub(super) fn rivals(&self, step: StepRef, name: &str, trace: &Trace) -> bool {
        let is_it = self.step == Some(step) && *self.name == *name;
        let is_past = self.is_immediate && self.step.is_some_and(|own| own < step);
        // What the request itself set is known, and was there before its extensions ran.
        let is_set_before = self.name.is_empty() && self.step == Some(step);
        !is_it && !is_past && !is_set_before && self.trace.resembles(trace)
    }
}

/// Whether the request of a step was sent, or may have been, and was not rejected.
fn may_have_run(record: &StepRecord) -> bool {
    record.was_sent()
        && matches!(record.outcome.status, Status::Updated | Status::Failed | Status::Unknown)
}
