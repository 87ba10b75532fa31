//! What ImageKit reported of the extensions of a request.

use serde_json::{Map, Value};

use crate::ledger::StepRecord;
use crate::outcome::{ExtensionStatus, Outcome, Status};
use crate::sent::SentExtension;

/// What is known of an extension that was sent, and may have run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExtensionReport {
    /// ImageKit reported a status other than failed.
    Status,
    /// ImageKit accepted the request, and reported no status of the extension. It may have run.
    Nothing,
    /// ImageKit reported that it failed. It may run again; whether it is billed is not documented.
    Failed,
    /// The response was lost.
    ResponseLost,
}

/// The reports of the extensions of a request with this outcome; none if it was not sent, or rejected.
#[must_use]
pub(crate) fn reports_of<'s>(
    outcome: &Outcome,
    sent: &'s [SentExtension],
) -> Vec<(&'s SentExtension, ExtensionReport)> {
    match outcome.status {
        _ if sent.is_empty() => Vec::new(),
        Status::Unknown => sent.iter().map(|it| (it, ExtensionReport::ResponseLost)).collect(),
        Status::Updated => {
            let statuses = outcome.statuses_by_name();
            sent.iter().map(|it| (it, report_of(it, sent, &statuses))).collect()
        }
        Status::Unchanged | Status::NotAttempted | Status::Failed | Status::Rejected => Vec::new(),
    }
}

/// The extensions of a step with this report.
pub(crate) fn extensions_with(
    record: &StepRecord,
    report: ExtensionReport,
) -> impl Iterator<Item = &SentExtension> {
    let reports = reports_of(&record.outcome, &record.sent.extensions).into_iter();
    reports.filter(move |(_, other)| *other == report).map(|(extension, _)| extension)
}

fn report_of(
    extension: &SentExtension,
    sent: &[SentExtension],
    statuses_by_name: &Map<String, Value>,
) -> ExtensionReport {
    let statuses = statuses_of(extension, sent, statuses_by_name);
    let has_failed = |status: &&Value| ExtensionStatus::of(status) == ExtensionStatus::Failed;
    if statuses.is_empty() {
        ExtensionReport::Nothing
    } else if statuses.iter().all(has_failed) {
        ExtensionReport::Failed
    } else {
        ExtensionReport::Status
    }
}

/// The statuses that ImageKit reported for one of the extensions of a request; empty if none.
fn statuses_of<'v>(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Code;
    use crate::row::FieldSet;
    use crate::row::testing::extensions;
    use crate::sent::Sent;

    const TAGGING: &str = r#"{"name":"google-auto-tagging","minConfidence":80,"maxTags":3}"#;
    const DESCRIPTION: &str = r#"{"name":"ai-auto-description"}"#;
    const SAVED: &str = r#"{"name":"saved-extension","id":"ext_1"}"#;

    fn updated(extension_status: Option<&str>) -> Outcome {
        let local = Outcome::local(Status::Updated, Code::Mismatch, None);
        Outcome { extension_status: extension_status.map(Into::into), ..local }
    }

    /// The report of each of these extensions.
    fn reports(configs: &[&str], extension_status: Option<&str>) -> Vec<Option<ExtensionReport>> {
        let sent = sent(configs);
        let found = reports_of(&updated(extension_status), &sent);
        let find =
            |extension| found.iter().find(|(it, _)| *it == extension).map(|(_, report)| *report);
        sent.iter().map(find).collect()
    }

    fn sent(configs: &[&str]) -> Box<[SentExtension]> {
        Sent::new(FieldSet::default(), Some(&extensions(configs))).extensions
    }

    #[test]
    fn every_status_is_a_report() {
        let (reported, accepted) = (Some(ExtensionReport::Status), Some(ExtensionReport::Nothing));
        let failed = Some(ExtensionReport::Failed);
        for (status, report) in [
            (r#""success""#, reported),
            (r#""pending""#, reported),
            (r#""queued""#, reported),
            (r#"["failed"]"#, reported),
            (r#""failed""#, failed),
            (r#""FAILED""#, failed),
        ] {
            let status = format!(r#"{{"google-auto-tagging":{status}}}"#);
            let both = reports(&[TAGGING, DESCRIPTION], Some(&status));
            assert_eq!(both, [report, accepted], "{status}");
        }
        assert_eq!(reports(&[TAGGING], None), [accepted]);
    }

    #[test]
    fn saved_extension_is_matched_with_any_unassigned_status() {
        let (reported, accepted) = (Some(ExtensionReport::Status), Some(ExtensionReport::Nothing));
        let failed = Some(ExtensionReport::Failed);
        let alone = reports(&[SAVED], Some(r#"{"google-auto-tagging":"failed"}"#));
        assert_eq!(alone, [failed]);
        let alone = reports(&[SAVED], Some(r#"{"google-auto-tagging":"success"}"#));
        assert_eq!(alone, [reported]);
        let by_name = reports(&[SAVED], Some(r#"{"saved-extension":"failed","x":"success"}"#));
        assert_eq!(by_name, [failed]);
        let both = reports(&[TAGGING, SAVED], Some(r#"{"google-auto-tagging":"failed"}"#));
        assert_eq!(both, [failed, accepted]);
    }

    #[test]
    fn only_accepted_and_lost_requests_have_reports() {
        let sent = sent(&[TAGGING]);
        for status in Status::ALL {
            let outcome = Outcome { status, ..updated(None) };
            let found: Vec<_> =
                reports_of(&outcome, &sent).into_iter().map(|(_, report)| report).collect();
            let expected = match status {
                Status::Updated => vec![ExtensionReport::Nothing],
                Status::Unknown => vec![ExtensionReport::ResponseLost],
                _ => vec![],
            };
            assert_eq!(found, expected, "{status}");
        }
    }
}
