//! Final statuses that became known after the response to a request: of pending extensions, and of
//! requests whose response was lost.
//!
//! The ledger records them as facts of their own, so that what was known before them stays.
//! [`apply`] is the one place that combines both: whatever looks back at a step sees its outcome
//! with these facts applied.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::extension_results::ExtensionResults;
use crate::outcome::{Code, Outcome, Status};
use crate::row::ExtensionName;
use crate::sent::Sent;

/// In place of the name of an extension: the step itself published the file, or unpublished it.
pub(crate) const PUBLICATION: &str = "publish";

/// A final status that became known after the response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The extension, as in `extensionStatus`; [`PUBLICATION`] for a publication.
    pub name: Box<str>,
    /// Its final status.
    pub status: FinalStatus,
    /// How it is known.
    pub known_by: KnownBy,
    /// What proves it, for people: what the file has, or ImageKit's error. May be empty.
    pub evidence: Box<str>,
    /// What the extension wrote; `None` if unknown.
    pub found: Option<Box<ExtensionResults>>,
}

/// A final status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinalStatus {
    /// It ran.
    Success,
    /// It failed.
    Failed,
}

/// How a final status is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownBy {
    /// Inferred from the current state of the file. Proves only successes.
    Read,
    /// ImageKit reported it. Overrides what was inferred.
    Callback,
}

impl FinalStatus {
    /// The name in `extensionStatus`, and in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
        }
    }

    /// The inverse of [`Self::as_str`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Success, Self::Failed].into_iter().find(|status| status.as_str() == word)
    }
}

impl KnownBy {
    /// The name in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Callback => "callback",
        }
    }

    /// The inverse of [`Self::as_str`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Read, Self::Callback].into_iter().find(|known_by| known_by.as_str() == word)
    }
}

/// Applies settled statuses to the outcome of a step that sent this.
///
/// One settled status of a lost request proves that the request was processed: the step becomes
/// [`Status::Updated`], and its other extensions are pending.
pub(crate) fn apply(outcome: &mut Outcome, sent: &Sent, settled: &[Settled]) {
    if settled.is_empty() {
        return;
    }
    let mut statuses = statuses_before(outcome, sent, settled);
    for settled in settled.iter().filter(|settled| *settled.name != *PUBLICATION) {
        statuses.insert(settled.name.to_string(), settled.status.as_str().into());
    }
    outcome.extension_status =
        (!statuses.is_empty()).then(|| Value::Object(statuses).to_string().into());
    for found in settled.iter().filter_map(|settled| settled.found.as_deref()) {
        outcome.results.get_or_insert_default().add(found.clone());
    }
    if outcome.status == Status::Unknown {
        (outcome.status, outcome.code, outcome.message) = (Status::Updated, None, None);
    }
    if outcome.code.is_some() {
        return;
    }
    if settled.iter().any(|settled| settled.known_by == KnownBy::Read) {
        outcome.code = Some(Code::Inferred);
    }
    // Why extensions failed is part of the message of the row.
    let evidence =
        settled.iter().filter(|it| it.status == FinalStatus::Success && !it.evidence.is_empty());
    let evidence = evidence.map(|settled| format!("{}: {}", settled.name, settled.evidence));
    let message: Vec<String> =
        outcome.message.take().map(String::from).into_iter().chain(evidence).collect();
    outcome.message = (!message.is_empty()).then(|| message.join("; ").into());
}

/// The statuses without the settled ones: as ImageKit returned them, or pending for every extension
/// of a lost request.
fn statuses_before(outcome: &Outcome, sent: &Sent, settled: &[Settled]) -> Map<String, Value> {
    if outcome.status != Status::Unknown {
        return outcome.statuses_by_name();
    }
    let names: BTreeSet<ExtensionName> = sent.extensions.iter().map(|it| it.name).collect();
    // A saved extension is reported under the name of the extension that it stands for.
    let is_saved = |settled: &Settled| !names.iter().any(|name| *name.as_str() == *settled.name);
    let is_reported = settled.iter().any(is_saved);
    let pending =
        names.iter().filter(|name| **name != ExtensionName::SavedExtension || !is_reported);
    pending.map(|name| (name.as_str().to_owned(), "pending".into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{ExtensionFingerprint, FieldSet};
    use crate::sent::SentExtension;

    fn settled(name: &str, known_by: KnownBy, status: FinalStatus) -> Settled {
        let evidence = "why".into();
        Settled { name: name.into(), status, known_by, evidence, found: None }
    }

    fn sent(names: &[ExtensionName]) -> Sent {
        let extension = |name: &ExtensionName| SentExtension {
            name: *name,
            fingerprint: ExtensionFingerprint(0),
            writes: FieldSet::default(),
        };
        Sent { fields: FieldSet::default(), extensions: names.iter().map(extension).collect() }
    }

    fn outcome(status: Status, code: Option<Code>, extension_status: &str) -> Outcome {
        let local = Outcome::local(status, Code::Timeout, Some("no response".into()));
        Outcome { code, extension_status: Some(extension_status.into()), ..local }
    }

    #[test]
    fn settled_status_replaces_the_pending_one_only() {
        let statuses = r#"{"remove-bg":"pending","ai-tasks":"pending"}"#;
        let mut outcome = outcome(Status::Updated, None, statuses);
        let results = ExtensionResults { version: Some("v2".into()), ..Default::default() };
        let read = settled("remove-bg", KnownBy::Read, FinalStatus::Success);
        let found = Some(Box::new(results.clone()));
        apply(&mut outcome, &Sent::default(), &[Settled { found, ..read }]);
        assert_eq!(outcome.results, Some(Box::new(results)));
        let statuses = r#"{"ai-tasks":"pending","remove-bg":"success"}"#;
        assert_eq!(outcome.extension_status.as_deref(), Some(statuses));
        assert_eq!((outcome.status, outcome.code), (Status::Updated, Some(Code::Inferred)));
        // What the step said before stays.
        assert_eq!(outcome.message.as_deref(), Some("no response; remove-bg: why"));
    }

    #[test]
    fn one_settled_extension_proves_that_a_lost_request_was_processed() {
        use ExtensionName::{AiTasks, RemoveBg};
        let mut outcome = outcome(Status::Unknown, Some(Code::Timeout), "null");
        let failed = settled("remove-bg", KnownBy::Callback, FinalStatus::Failed);
        apply(&mut outcome, &sent(&[RemoveBg, AiTasks]), &[failed]);
        let statuses = r#"{"ai-tasks":"pending","remove-bg":"failed"}"#;
        assert_eq!(outcome.extension_status.as_deref(), Some(statuses));
        assert_eq!((outcome.status, outcome.code), (Status::Updated, None));
    }

    #[test]
    fn saved_extension_is_settled_by_the_name_that_it_stands_for() {
        let sent = sent(&[ExtensionName::SavedExtension]);
        let mut outcome = outcome(Status::Unknown, Some(Code::Timeout), "null");
        let callback = settled("remove-bg", KnownBy::Callback, FinalStatus::Success);
        apply(&mut outcome, &sent, &[callback]);
        assert_eq!(outcome.extension_status.as_deref(), Some(r#"{"remove-bg":"success"}"#));
    }

    #[test]
    fn publication_has_no_extension_status() {
        let mut outcome = Outcome::local(Status::Unknown, Code::Timeout, None);
        let read = settled(PUBLICATION, KnownBy::Read, FinalStatus::Success);
        apply(&mut outcome, &Sent::default(), &[read]);
        assert_eq!((outcome.status, outcome.code), (Status::Updated, Some(Code::Inferred)));
        assert_eq!(outcome.extension_status, None);
    }

    #[test]
    fn other_codes_and_unsettled_steps_stay() {
        let before = outcome(Status::Updated, Some(Code::Mismatch), r#"{"remove-bg":"pending"}"#);
        let mut after = before.clone();
        apply(&mut after, &Sent::default(), &[]);
        assert_eq!(after, before);
        let read = settled("remove-bg", KnownBy::Read, FinalStatus::Success);
        apply(&mut after, &Sent::default(), &[read]);
        assert_eq!((after.code, after.message), (before.code, before.message));
    }
}
