//! Which status of a response belongs to which extension of the request.

use serde_json::{Map, Value};

use crate::ledger::StepRecord;
use crate::outcome::{ExtensionStatus, Status};
use crate::sent::SentExtension;

/// The statuses that ImageKit reported for one of the extensions of a request; empty if none.
#[must_use]
pub(crate) fn statuses_of<'v>(
    extension: &SentExtension,
    sent: &[SentExtension],
    statuses_by_name: &'v Map<String, Value>,
) -> Vec<&'v Value> {
    if let Some(status) = statuses_by_name.get(extension.name.as_str()) {
        return vec![status];
    }
    // ImageKit does not document the name under which it reports a saved extension: it may be any
    // name that belongs to no other extension of the request.
    let is_other = |name: &str| sent.iter().any(|other| other.name.as_str() == name);
    let unassigned = statuses_by_name.iter().filter(|(name, _)| !is_other(name));
    unassigned.map(|(_, status)| status).collect()
}

/// The extensions of an accepted step for which ImageKit reported no status at all. They may have run.
#[must_use]
pub(crate) fn unreported_extensions(record: &StepRecord) -> Vec<&SentExtension> {
    let sent = &record.sent.extensions;
    if record.outcome.status != Status::Updated || sent.is_empty() {
        return Vec::new();
    }
    let json = record.outcome.extension_status.as_deref().unwrap_or_default();
    let statuses_by_name = serde_json::from_str(json).unwrap_or_default();
    sent.iter().filter(|it| statuses_of(it, sent, &statuses_by_name).is_empty()).collect()
}

/// The extensions of a step that ran and failed: ImageKit accepted the request, and reports no other
/// status for them. They may run again.
#[must_use]
pub(crate) fn failed_extensions(record: &StepRecord) -> Vec<&SentExtension> {
    let sent = &record.sent.extensions;
    let (Status::Updated, Some(json), false) =
        (record.outcome.status, &record.outcome.extension_status, sent.is_empty())
    else {
        return Vec::new();
    };
    let statuses_by_name = serde_json::from_str(json).unwrap_or_default();
    let has_failed = |extension: &&SentExtension| {
        let statuses = statuses_of(extension, sent, &statuses_by_name);
        let is_failed = |status: &&Value| ExtensionStatus::of(status) == ExtensionStatus::Failed;
        !statuses.is_empty() && statuses.iter().all(is_failed)
    };
    sent.iter().filter(has_failed).collect()
}
