//! What a run's ledger says of the extensions that its requests carried.

use serde_json::{Map, Value};

use super::ChargesError;
use crate::input::Input;
use crate::ledger::{LedgerFile, RunMeta, StepRecord};
use crate::outcome::{ExtensionStatus, Outcome, Status};
use crate::request::StepKind;
use crate::row::{Content, Extension, Extensions, FileId};

/// How it is known that an extension was run on a file, or may have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// ImageKit reported a status other than failed.
    Reported,
    /// The request was accepted, and the response states no status of the extension.
    Accepted,
    /// The request was sent, and its response was lost.
    ResponseLost,
}

/// The charges of a run, row by row, into a function. Goes through input and ledger side by side.
pub(super) fn evidence(
    input: &Input,
    meta: &RunMeta,
    ledger: &LedgerFile,
    mut take: impl FnMut(&FileId, &Extension, Evidence) -> Result<(), ChargesError>,
) -> Result<(), ChargesError> {
    let context = ledger.context(meta)?;
    let mut rows = input.rows(&context, None)?;
    let mut records: Vec<StepRecord> = Vec::new();
    ledger.steps(0, |mut steps| {
        while let Some((row, _)) = rows.next_row()? {
            let Content::Update(update) = row.content else {
                continue;
            };
            let Some(extensions) = update.change.extensions else {
                continue;
            };
            steps.of_row(row.pos.number, &mut records)?;
            let details = records.iter().find(|record| record.step.kind == StepKind::Details);
            let Some(details) = details else {
                continue;
            };
            // A row can ask for more than its request carried.
            let Some(sent) = extensions.only(|e| details.extensions.contains(&e.fingerprint()))
            else {
                continue;
            };
            for (extension, evidence) in of(&details.outcome, &sent) {
                take(&update.file, extension, evidence)?;
            }
        }
        Ok(())
    })
}

/// What the outcome of a details step says of each extension that its request carried.
fn of<'e>(outcome: &Outcome, extensions: &'e Extensions) -> Vec<(&'e Extension, Evidence)> {
    let all = extensions.as_slice().iter();
    match outcome.status {
        Status::Unknown => all.map(|extension| (extension, Evidence::ResponseLost)).collect(),
        Status::Updated => {
            let said = outcome.extension_status.as_deref().unwrap_or_default();
            let said = serde_json::from_str(said).unwrap_or_default();
            all.filter_map(|extension| Some((extension, said_of(extension, extensions, &said)?)))
                .collect()
        }
        // Nothing of it was done: its request was not sent, or was refused.
        Status::Unchanged | Status::NotAttempted | Status::Failed | Status::Rejected => Vec::new(),
    }
}

/// What an `extensionStatus` says of one extension; `None` if that it failed. ImageKit does not say
/// whether a failed run is billed, so the next one may try again.
fn said_of(
    extension: &Extension,
    asked: &Extensions,
    said: &Map<String, Value>,
) -> Option<Evidence> {
    let mut statuses: Vec<&Value> = said.get(extension.name().as_str()).into_iter().collect();
    if statuses.is_empty() {
        // Nobody states the name under which that of a saved extension comes: it may be any that is
        // no other extension's.
        let is_others = |name: &str| asked.as_slice().iter().any(|e| e.name().as_str() == name);
        let unclaimed = said.iter().filter(|(name, _)| !is_others(name));
        statuses.extend(unclaimed.map(|(_, status)| status));
    }
    if statuses.is_empty() {
        Some(Evidence::Accepted)
    } else {
        let may_have_run = |status: &&Value| ExtensionStatus::of(status) != ExtensionStatus::Failed;
        statuses.iter().any(may_have_run).then_some(Evidence::Reported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charges::tests::extensions;
    use crate::outcome::Code;

    const TAGGING: &str = r#"{"name":"google-auto-tagging","minConfidence":80,"maxTags":3}"#;
    const DESCRIPTION: &str = r#"{"name":"ai-auto-description"}"#;
    const SAVED: &str = r#"{"name":"saved-extension","id":"ext_1"}"#;

    fn answered(said: Option<&str>) -> Outcome {
        let local = Outcome::local(Status::Updated, Code::Mismatch, None);
        Outcome { extension_status: said.map(Into::into), ..local }
    }

    /// What an answer says of each of these extensions.
    fn said(configs: &[&str], said: Option<&str>) -> Vec<Option<Evidence>> {
        let asked = extensions(configs);
        let found = of(&answered(said), &asked);
        let of_one = |extension| found.iter().find(|(e, _)| *e == extension).map(|(_, e)| *e);
        asked.as_slice().iter().map(of_one).collect()
    }

    #[test]
    fn what_failed_was_not_bought_and_everything_else_was() {
        let (bought, accepted) = (Some(Evidence::Reported), Some(Evidence::Accepted));
        for (status, evidence) in [
            (r#""success""#, bought),
            (r#""pending""#, bought),
            (r#""queued""#, bought),
            (r#"["failed"]"#, bought),
            (r#""failed""#, None),
            (r#""FAILED""#, None),
        ] {
            let status = format!(r#"{{"google-auto-tagging":{status}}}"#);
            let both = said(&[TAGGING, DESCRIPTION], Some(&status));
            assert_eq!(both, [evidence, accepted], "{status}");
        }
        assert_eq!(said(&[TAGGING], None), [accepted]);
    }

    #[test]
    fn the_status_of_a_saved_extension_may_come_under_any_name_that_is_no_others() {
        let (bought, accepted) = (Some(Evidence::Reported), Some(Evidence::Accepted));
        let alone = said(&[SAVED], Some(r#"{"google-auto-tagging":"failed"}"#));
        assert_eq!(alone, [None]);
        let alone = said(&[SAVED], Some(r#"{"google-auto-tagging":"success"}"#));
        assert_eq!(alone, [bought]);
        let under_its_name = said(&[SAVED], Some(r#"{"saved-extension":"failed","x":"success"}"#));
        assert_eq!(under_its_name, [None]);
        let beside = said(&[TAGGING, SAVED], Some(r#"{"google-auto-tagging":"failed"}"#));
        assert_eq!(beside, [None, accepted]);
    }

    #[test]
    fn a_request_that_did_nothing_bought_nothing_and_a_lost_one_may_have() {
        let asked = extensions(&[TAGGING]);
        for status in Status::ALL {
            let outcome = Outcome { status, ..answered(None) };
            let found: Vec<_> = of(&outcome, &asked).into_iter().map(|(_, e)| e).collect();
            let expected = match status {
                Status::Updated => vec![Evidence::Accepted],
                Status::Unknown => vec![Evidence::ResponseLost],
                _ => vec![],
            };
            assert_eq!(found, expected, "{status}");
        }
    }
}
