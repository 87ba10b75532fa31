//! What a response means for the steps of its request. Pure; only the dispatcher acts on a verdict.

use std::time::Duration;

use crate::extension_results::ExtensionResults;
use crate::imagekit::{Accepted, BulkAnswer, Echo, Failure, RateLimitHeaders, SendResult};
use crate::ledger::EARLIER_RUN;
use crate::outcome::{Code, ExtensionStatus, Outcome, Status};
use crate::request::{Call, Idempotent, LostResponse, ReadBackReason, Request, Sendable, StepRef};
use crate::row::FileId;

/// The result of sending a request.
#[derive(Debug)]
pub enum Verdict {
    /// Every step of the request has its final outcome.
    Final(Vec<(StepRef, Outcome)>),
    /// The request was rejected as a whole and had no effect. Some of its steps are done by that;
    /// the rest is sent again in parts, those of one file in this order.
    Split {
        /// Steps whose files ImageKit named as the reason.
        done: Vec<(StepRef, Outcome)>,
        /// Requests for the other steps.
        rest: Vec<Idempotent>,
    },
    /// The response to an idempotent request was lost: retry after a backoff.
    Retry {
        /// The request to send again.
        request: Idempotent,
        /// Its outcome if no attempts are left.
        cause: Outcome,
        /// `Retry-After` of the response.
        retry_after: Option<Duration>,
    },
    /// The file could not be read before the request, which was therefore not sent: retry the read.
    ReadFailed {
        /// The request, unsent.
        request: Request,
        /// Its outcome if no attempts are left.
        cause: Outcome,
        /// `Retry-After` of the response.
        retry_after: Option<Duration>,
    },
    /// The connection failed; nothing was sent, and no attempt is used up.
    NotSent {
        /// The request, unsent.
        request: Request,
        /// The connection error.
        message: Box<str>,
    },
    /// A 429: the endpoint cools down. The request had no effect, and no attempt is used up.
    Throttled {
        /// The request to send again.
        request: Request,
        /// Wait and limit that the response stated.
        note: RateLimitHeaders,
    },
    /// The response to an at-most-once request was lost.
    ResponseLost {
        /// Its steps and files, and the idempotent remainder that is still to be sent.
        lost: LostResponse,
        /// The outcome of its steps: unknown.
        cause: Outcome,
        /// `Retry-After` of the response; delays the remainder.
        retry_after: Option<Duration>,
    },
    /// The error concerns the account, so no request can succeed.
    AccountError {
        /// ImageKit's error message.
        message: Box<str>,
        /// The request, which had no effect.
        request: Request,
    },
}

/// The verdict on an idempotent request.
#[must_use]
pub fn from_idempotent(request: Idempotent, result: Result<Accepted, Failure>) -> Verdict {
    let result = result.and_then(|accepted| outcomes(&request, &accepted));
    match result {
        Ok(outcomes) => Verdict::Final(outcomes),
        Err(Failure::Lost { code, message, http_status, request_id, retry_after }) => {
            let cause = failed(Status::Failed, code, message, http_status, request_id);
            let cause = keep_read_back_success(request.call(), cause);
            Verdict::Retry { request, cause, retry_after }
        }
        Err(Failure::Rejected { code, message, http_status, request_id, missing }) => {
            let outcome = failed(Status::Rejected, code, message, Some(http_status), request_id);
            let outcome = keep_read_back_success(request.call(), outcome);
            if request.has_fallback() {
                return Verdict::Split { done: Vec::new(), rest: request.into_fallback() };
            }
            from_rejected(&request, &missing, outcome)
        }
        Err(other) => from_no_effect(Request::Idempotent(request), other),
    }
}

/// The verdict on a rejected bulk request. Files that the response names as missing get the
/// outcome; the other files are sent again. If the response names none of the files, both halves
/// are sent again, down to single files.
fn from_rejected(request: &Idempotent, missing: &[String], outcome: Outcome) -> Verdict {
    let is_missing = |file: &FileId| missing.iter().any(|missing| missing == file.as_str());
    let done = request.part(|file, _| is_missing(file));
    let rest = match (&done, request.halves()) {
        (_, None) => Vec::new(),
        (None, Some(halves)) => halves.into(),
        (Some(_), Some(_)) => request.part(|file, _| !is_missing(file)).into_iter().collect(),
    };
    if rest.is_empty() {
        return Verdict::Final(same_for_all(request.steps(), outcome));
    }
    let done = done.map_or(Vec::new(), |done| same_for_all(done.steps(), outcome));
    Verdict::Split { done, rest }
}

/// The verdict on an at-most-once request.
#[must_use]
pub fn from_at_most_once(fate: SendResult) -> Verdict {
    match fate {
        SendResult::Accepted(request, accepted) => match outcomes(&request, &accepted) {
            Ok(outcomes) => Verdict::Final(outcomes),
            Err(failure) => from_lost(request.lost(), failure),
        },
        SendResult::NotDone(request, failure) => {
            from_no_effect(Request::AtMostOnce(request), failure)
        }
        SendResult::Lost(lost, failure) => from_lost(lost, failure),
    }
}

fn from_lost(lost: LostResponse, failure: Failure) -> Verdict {
    let (cause, retry_after) = match failure {
        Failure::Lost { code, message, http_status, request_id, retry_after } => {
            (failed(Status::Unknown, code, message, http_status, request_id), retry_after)
        }
        other => {
            let message = format!("{other:?}").into();
            (failed(Status::Unknown, Code::Unreadable, message, None, None), None)
        }
    };
    Verdict::ResponseLost { lost, cause, retry_after }
}

/// The verdict on a failure after which the request certainly had no effect.
fn from_no_effect(request: Request, failure: Failure) -> Verdict {
    match failure {
        Failure::NotSent { message } => Verdict::NotSent { request, message },
        Failure::Throttled(note) => Verdict::Throttled { request, note },
        Failure::Account { message } => Verdict::AccountError { message, request },
        Failure::Rejected { code, message, http_status, request_id, .. } => {
            let outcome = failed(Status::Rejected, code, message, Some(http_status), request_id);
            Verdict::Final(same_for_all(request.steps(), outcome))
        }
        Failure::Lost { .. } => match request {
            Request::Idempotent(request) => from_idempotent(request, Err(failure)),
            Request::AtMostOnce(request) => from_lost(request.lost(), failure),
        },
    }
}

/// A failed read-back does not undo the success of the rows: the outcome becomes `updated`,
/// `unverified`.
fn keep_read_back_success(call: &Call, failed: Outcome) -> Outcome {
    let Call::ReadBack(expected) = call else {
        return failed;
    };
    let error = failed.message.unwrap_or_default();
    let doubt = match expected.reason {
        ReadBackReason::LostResponse(row) => format!(
            "the response to {} was lost, so that request may have taken effect later",
            lost_request(row)
        ),
        ReadBackReason::Confirmation => {
            "ImageKit accepted the change, but a first read did not show it".to_owned()
        }
        // Nothing is known against the file.
        ReadBackReason::Sample => {
            return Outcome { status: Status::Updated, code: None, message: None, ..failed };
        }
    };
    let message = format!("{doubt}; the file could not be read back: {error}");
    let (code, message) = (Some(Code::Unverified), Some(message.into()));
    Outcome { status: Status::Updated, code, message, ..failed }
}

/// The message for a file that differs from what is expected in these fields.
fn unlike_expected(reason: ReadBackReason, names: &str) -> String {
    match reason {
        ReadBackReason::LostResponse(row) => format!(
            "read back at the end of the run, the file differs from its rows in: {names}; {}, whose \
             response was lost, probably took effect later; apply the rows again",
            lost_request(row)
        ),
        ReadBackReason::Sample => format!(
            "ImageKit accepted the change, but the file, read back as a sample, differs from its rows \
             in: {names}; the run ended before it was read again; resume it"
        ),
        ReadBackReason::Confirmation => format!(
            "ImageKit accepted the change, but the file, read back twice, differs from its rows in: \
             {names}; apply the rows again"
        ),
    }
}

/// Names the request whose response was lost.
fn lost_request(row: u64) -> String {
    match row {
        EARLIER_RUN => "a request of an earlier, interrupted run on the same file".to_owned(),
        row => format!("the request of row {row} on the same file"),
    }
}

/// The same outcome for every step; a single step, the usual case, needs no clone.
fn same_for_all(steps: &[StepRef], outcome: Outcome) -> Vec<(StepRef, Outcome)> {
    let Some((last, others)) = steps.split_last() else {
        return Vec::new();
    };
    let mut all = Vec::with_capacity(steps.len());
    all.extend(others.iter().map(|step| (*step, outcome.clone())));
    all.push((*last, outcome));
    all
}

fn failed(
    status: Status,
    code: Code,
    message: Box<str>,
    http_status: Option<u16>,
    request_id: Option<Box<str>>,
) -> Outcome {
    let local = Outcome::local(status, code, Some(message));
    Outcome { http_status, request_id, ..local }
}

/// The outcome of every step of an accepted request.
fn outcomes(
    request: &impl Sendable,
    accepted: &Accepted,
) -> Result<Vec<(StepRef, Outcome)>, Failure> {
    match (request.call(), request.files()) {
        (call @ (Call::Details(_) | Call::Publish(_) | Call::ReadBack(_)), [file, ..]) => {
            let outcome = patch_outcome(call, file, accepted)
                .map_err(|reason| accepted.unreadable(&reason))?;
            Ok(same_for_all(request.steps(), outcome))
        }
        (_, files) => {
            let response: BulkAnswer = serde_json::from_slice(&accepted.body)
                .map_err(|error| accepted.unreadable(&error.to_string()))?;
            let outcomes = files.iter().zip(request.steps()).map(|(file, step)| {
                let outcome = bulk_outcome(&response, file, accepted);
                outcome.map(|outcome| (*step, outcome))
            });
            outcomes.collect::<Option<_>>().ok_or_else(|| {
                accepted.unreadable("the response names the file neither as updated nor as failed")
            })
        }
    }
}

/// The outcome of a PATCH or of a read-back, from the file object in the response.
fn patch_outcome(call: &Call, file: &FileId, accepted: &Accepted) -> Result<Outcome, String> {
    let echo = Echo::read(&accepted.body, file)?;
    let differences = match call {
        Call::Details(patch) => echo.differences(patch),
        Call::ReadBack(expected) => echo.unlike(expected),
        Call::Publish(publish) if echo.is_published_as(*publish) => Vec::new(),
        _ => vec!["isPublished".to_owned()],
    };
    let message = (!differences.is_empty()).then(|| {
        let names = differences.join(", ");
        match call {
            Call::ReadBack(expected) => unlike_expected(expected.reason, &names),
            _ => format!(
                "ImageKit accepted the request, but returned other values for: {names}; check the file"
            ),
        }
        .into()
    });
    let code = match call {
        Call::ReadBack(expected) if expected.reason == ReadBackReason::Sample => Code::Unverified,
        _ => Code::Mismatch,
    };
    Ok(Outcome {
        status: Status::Updated,
        code: message.is_some().then_some(code),
        message,
        http_status: Some(accepted.http_status),
        request_id: accepted.request_id.clone(),
        updated_at: echo.updated_at.as_deref().map(Into::into),
        extension_status: echo.extension_status.map(|raw| raw.get().into()),
        results: extension_results(&echo, accepted).map(Box::new),
    })
}

/// What the extensions that have succeeded wrote. Without extensions, the response is not parsed a
/// second time.
fn extension_results(echo: &Echo<'_>, accepted: &Accepted) -> Option<ExtensionResults> {
    let statuses = ExtensionStatus::read(echo.extension_status?.get());
    let has_succeeded = |name: &str| statuses.get(name) == Some(&ExtensionStatus::Success);
    let file = serde_json::from_slice(&accepted.body).ok()?;
    ExtensionResults::in_file(&file, has_succeeded)
}

/// The outcome of one file of a bulk call; `None` if the response does not name it. A file named
/// both as updated and as failed counts as failed.
fn bulk_outcome(response: &BulkAnswer, file: &FileId, accepted: &Accepted) -> Option<Outcome> {
    let (http_status, request_id) = (Some(accepted.http_status), accepted.request_id.clone());
    if let Some(error) = response.errors.iter().find(|error| error.file_id == file.as_str()) {
        let message = error.error.as_str().into();
        return Some(failed(
            Status::Rejected,
            Code::RejectedByApi,
            message,
            http_status,
            request_id,
        ));
    }
    let is_updated = response.successfully_updated_file_ids.iter().any(|id| id == file.as_str());
    is_updated.then_some(Outcome {
        status: Status::Updated,
        code: None,
        message: None,
        http_status,
        request_id,
        updated_at: None,
        extension_status: None,
        results: None,
    })
}

/// The verdict on a request that was not sent because the state of its file could not be read.
pub(super) fn from_failed_check(request: Request, failure: Failure) -> Verdict {
    match failure {
        Failure::Lost { code, message, http_status, request_id, retry_after } => {
            let message =
                format!("the file could not be read before the request: {message}").into();
            let cause = failed(Status::Failed, code, message, http_status, request_id);
            Verdict::ReadFailed { request, cause, retry_after }
        }
        other => from_no_effect(request, other),
    }
}

/// Splits a request of which `files` have a conflict: the outcomes of their steps, and a request
/// for the other files.
pub(super) fn from_conflict(
    request: &Request,
    files: &[FileId],
) -> (Vec<(StepRef, Outcome)>, Option<Idempotent>) {
    let message = "the file has changed since it was planned, so nothing was sent; plan the sheet (or \
         undo the run) again";
    let outcome = Outcome::local(Status::Rejected, Code::Conflict, Some(message.into()));
    let Request::Idempotent(request) = request else {
        return (same_for_all(request.steps(), outcome), None);
    };
    let done = request.part(|file, _| files.contains(file));
    let done = done.map_or(Vec::new(), |done| same_for_all(done.steps(), outcome));
    (done, request.part(|file, _| !files.contains(file)))
}
