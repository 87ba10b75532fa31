//! Derives the charges of a run from its ledger.

use serde_json::{Map, Value};

use super::{Certainty, ChargesError};
use crate::history::{each_record, statuses_of};
use crate::input::Input;
use crate::ledger::{LedgerFile, RunMeta};
use crate::outcome::{ExtensionStatus, Outcome, Status};
use crate::row::FileId;
use crate::sent::SentExtension;

/// Evidence that an extension ran on a file, or may have run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// ImageKit reported a status other than failed.
    Reported,
    /// ImageKit accepted the request, and its response has no status for the extension.
    Accepted,
    /// The request was sent, and its response was lost.
    ResponseLost,
    /// ImageKit reported that it failed. Whether it is billed then is not documented.
    Failed,
}

impl Evidence {
    /// How certain it makes that the extension ran.
    pub(super) fn certainty(self) -> Certainty {
        match self {
            Self::Reported | Self::Accepted => Certainty::Accepted,
            Self::ResponseLost => Certainty::ResponseLost,
            Self::Failed => Certainty::Failed,
        }
    }
}

/// Calls `visit` for each extension that a run sent.
pub(super) fn evidence(
    input: &Input,
    meta: &RunMeta,
    ledger: &LedgerFile,
    mut visit: impl FnMut(&FileId, &SentExtension, Evidence) -> Result<(), ChargesError>,
) -> Result<(), ChargesError> {
    let context = ledger.context(meta)?;
    each_record(input, &context, ledger, |pos, records, steps| {
        let sent = steps.iter().filter(|record| !record.sent.extensions.is_empty());
        for record in sent {
            let file = FileId::new(&records.file_id())
                .map_err(|_| ChargesError::FileOfRow { row: pos.number })?;
            for (extension, evidence) in evidence_in(&record.outcome, &record.sent.extensions) {
                visit(&file, extension, evidence)?;
            }
        }
        Ok(())
    })
}

/// The evidence in the outcome of a step, for each extension that was sent.
fn evidence_in<'e>(
    outcome: &Outcome,
    sent: &'e [SentExtension],
) -> Vec<(&'e SentExtension, Evidence)> {
    match outcome.status {
        Status::Unknown => sent.iter().map(|it| (it, Evidence::ResponseLost)).collect(),
        Status::Updated => {
            let statuses = outcome.extension_status.as_deref().unwrap_or_default();
            let statuses = serde_json::from_str(statuses).unwrap_or_default();
            sent.iter().map(|it| (it, evidence_in_status(it, sent, &statuses))).collect()
        }
        // The request was not sent, or was rejected.
        Status::Unchanged | Status::NotAttempted | Status::Failed | Status::Rejected => Vec::new(),
    }
}

/// The evidence in an `extensionStatus`.
fn evidence_in_status(
    extension: &SentExtension,
    sent: &[SentExtension],
    statuses_by_name: &Map<String, Value>,
) -> Evidence {
    let statuses = statuses_of(extension, sent, statuses_by_name);
    let has_failed = |status: &&Value| ExtensionStatus::of(status) == ExtensionStatus::Failed;
    if statuses.is_empty() {
        Evidence::Accepted
    } else if statuses.iter().all(has_failed) {
        Evidence::Failed
    } else {
        Evidence::Reported
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charges::tests::extensions;
    use crate::outcome::Code;
    use crate::row::FieldSet;
    use crate::sent::Sent;

    const TAGGING: &str = r#"{"name":"google-auto-tagging","minConfidence":80,"maxTags":3}"#;
    const DESCRIPTION: &str = r#"{"name":"ai-auto-description"}"#;
    const SAVED: &str = r#"{"name":"saved-extension","id":"ext_1"}"#;

    fn updated(extension_status: Option<&str>) -> Outcome {
        let local = Outcome::local(Status::Updated, Code::Mismatch, None);
        Outcome { extension_status: extension_status.map(Into::into), ..local }
    }

    /// The evidence for each of these extensions.
    fn evidences(configs: &[&str], extension_status: Option<&str>) -> Vec<Option<Evidence>> {
        let sent = sent(configs);
        let found = evidence_in(&updated(extension_status), &sent);
        let find = |extension| found.iter().find(|(e, _)| *e == extension).map(|(_, e)| *e);
        sent.iter().map(find).collect()
    }

    fn sent(configs: &[&str]) -> Box<[SentExtension]> {
        Sent::new(FieldSet::default(), Some(&extensions(configs))).extensions
    }

    #[test]
    fn every_status_is_evidence() {
        let (reported, accepted) = (Some(Evidence::Reported), Some(Evidence::Accepted));
        let failed = Some(Evidence::Failed);
        for (status, evidence) in [
            (r#""success""#, reported),
            (r#""pending""#, reported),
            (r#""queued""#, reported),
            (r#"["failed"]"#, reported),
            (r#""failed""#, failed),
            (r#""FAILED""#, failed),
        ] {
            let status = format!(r#"{{"google-auto-tagging":{status}}}"#);
            let both = evidences(&[TAGGING, DESCRIPTION], Some(&status));
            assert_eq!(both, [evidence, accepted], "{status}");
        }
        assert_eq!(evidences(&[TAGGING], None), [accepted]);
    }

    #[test]
    fn saved_extension_is_matched_with_any_unassigned_status() {
        let (reported, accepted) = (Some(Evidence::Reported), Some(Evidence::Accepted));
        let failed = Some(Evidence::Failed);
        let alone = evidences(&[SAVED], Some(r#"{"google-auto-tagging":"failed"}"#));
        assert_eq!(alone, [failed]);
        let alone = evidences(&[SAVED], Some(r#"{"google-auto-tagging":"success"}"#));
        assert_eq!(alone, [reported]);
        let by_name = evidences(&[SAVED], Some(r#"{"saved-extension":"failed","x":"success"}"#));
        assert_eq!(by_name, [failed]);
        let both = evidences(&[TAGGING, SAVED], Some(r#"{"google-auto-tagging":"failed"}"#));
        assert_eq!(both, [failed, accepted]);
    }

    #[test]
    fn only_accepted_and_lost_requests_are_evidence() {
        let sent = sent(&[TAGGING]);
        for status in Status::ALL {
            let outcome = Outcome { status, ..updated(None) };
            let found: Vec<_> = evidence_in(&outcome, &sent).into_iter().map(|(_, e)| e).collect();
            let expected = match status {
                Status::Updated => vec![Evidence::Accepted],
                Status::Unknown => vec![Evidence::ResponseLost],
                _ => vec![],
            };
            assert_eq!(found, expected, "{status}");
        }
    }
}
