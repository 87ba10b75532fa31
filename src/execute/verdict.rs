//! What an answer means: pure, and a value. The dispatcher alone acts on it.

use std::time::Duration;

use crate::imagekit::{Accepted, BulkAnswer, Echo, Failure, Fate, RateLimitNote};
use crate::ledger::EARLIER_RUN;
use crate::outcome::{Code, Outcome, Status};
use crate::request::{Call, Idempotent, LostResponse, Request, Sendable, StepRef};
use crate::row::FileId;

/// What became of a request that was sent.
#[derive(Debug)]
pub enum Verdict {
    /// Every step of it is settled.
    Final(Vec<(StepRef, Outcome)>),
    /// As a whole it was refused, and nothing of it done: some of its steps are settled by that,
    /// the rest is to be sent in parts, those of one file in this order.
    Split {
        /// Steps of files that ImageKit named as the reason.
        settled: Vec<(StepRef, Outcome)>,
        /// The others.
        rest: Vec<Idempotent>,
    },
    /// It may be sent again after a wait; `cause` is its outcome if the attempts are used up.
    Again {
        /// The request.
        request: Idempotent,
        /// Why it came to nothing.
        cause: Outcome,
        /// How long to wait at least, if the answer said so.
        retry_after: Option<Duration>,
    },
    /// It was not sent, because the state of its file could not be read; reading may be tried
    /// again, and `cause` is the outcome if the attempts are used up.
    Unread {
        /// The request.
        request: Request,
        /// Why not.
        cause: Outcome,
        /// How long to wait at least, if the answer said so.
        retry_after: Option<Duration>,
    },
    /// No connection came about: it is as if it had never been taken out.
    NotSent {
        /// The request.
        request: Request,
        /// Why not.
        message: Box<str>,
    },
    /// Everyone on its endpoint holds; nothing was done, and no attempt used up.
    Hold {
        /// The request.
        request: Request,
        /// What the answer said of the limit.
        note: RateLimitNote,
    },
    /// It must not be repeated, and nobody knows what became of it.
    Lost {
        /// What is left of it.
        lost: LostResponse,
        /// The outcome of its steps.
        cause: Outcome,
        /// How long what is left is to wait at least, if the answer said so.
        retry_after: Option<Duration>,
    },
    /// The answer concerns the account: no request can succeed.
    Halt {
        /// What ImageKit said.
        message: Box<str>,
        /// The request, on which nothing was done.
        request: Request,
    },
}

/// What became of a request that may be repeated.
#[must_use]
pub fn from_idempotent(request: Idempotent, answer: Result<Accepted, Failure>) -> Verdict {
    let answer = answer.and_then(|accepted| outcomes(&request, &accepted));
    match answer {
        Ok(outcomes) => Verdict::Final(outcomes),
        Err(Failure::Lost { code, message, http_status, request_id, retry_after }) => {
            let cause = failed(Status::Failed, code, message, http_status, request_id);
            let cause = unless_read_back(request.call(), cause);
            Verdict::Again { request, cause, retry_after }
        }
        Err(Failure::Refused { code, message, http_status, request_id, missing }) => {
            let outcome = failed(Status::Rejected, code, message, Some(http_status), request_id);
            let outcome = unless_read_back(request.call(), outcome);
            if request.has_fallback() {
                return Verdict::Split { settled: Vec::new(), rest: request.into_fallback() };
            }
            refused(&request, &missing, outcome)
        }
        Err(other) => not_done(Request::Idempotent(request), other),
    }
}

/// What a refusal means: for the files that it names as missing, their outcome; for the others that
/// they are to be sent again. Where it names none of ours, one half of the files is sent again, and
/// the other, as long as there are two.
fn refused(request: &Idempotent, missing: &[String], outcome: Outcome) -> Verdict {
    let is_missing = |file: &FileId| missing.iter().any(|missing| missing == file.as_str());
    let settled = request.part(|file, _| is_missing(file));
    let rest = match (&settled, request.halves()) {
        (_, None) => Vec::new(),
        (None, Some(halves)) => halves.into(),
        (Some(_), Some(_)) => request.part(|file, _| !is_missing(file)).into_iter().collect(),
    };
    if rest.is_empty() {
        return Verdict::Final(for_all(request.steps(), outcome));
    }
    let settled = settled.map_or(Vec::new(), |settled| for_all(settled.steps(), outcome));
    Verdict::Split { settled, rest }
}

/// What became of a request that must not be repeated.
#[must_use]
pub fn from_at_most_once(fate: Fate) -> Verdict {
    match fate {
        Fate::Accepted(once, accepted) => match outcomes(&once, &accepted) {
            Ok(outcomes) => Verdict::Final(outcomes),
            Err(failure) => lost(once.lost(), failure),
        },
        Fate::NotDone(once, failure) => not_done(Request::AtMostOnce(once), failure),
        Fate::Lost(what, failure) => lost(what, failure),
    }
}

fn lost(lost: LostResponse, failure: Failure) -> Verdict {
    let (cause, retry_after) = match failure {
        Failure::Lost { code, message, http_status, request_id, retry_after } => {
            (failed(Status::Unknown, code, message, http_status, request_id), retry_after)
        }
        other => {
            let message = format!("{other:?}").into();
            (failed(Status::Unknown, Code::Unreadable, message, None, None), None)
        }
    };
    Verdict::Lost { lost, cause, retry_after }
}

/// A failure after which it is certain that nothing was done.
fn not_done(request: Request, failure: Failure) -> Verdict {
    match failure {
        Failure::NotSent { message } => Verdict::NotSent { request, message },
        Failure::Throttled(note) => Verdict::Hold { request, note },
        Failure::Account { message } => Verdict::Halt { message, request },
        Failure::Refused { code, message, http_status, request_id, .. } => {
            let outcome = failed(Status::Rejected, code, message, Some(http_status), request_id);
            Verdict::Final(for_all(request.steps(), outcome))
        }
        Failure::Lost { .. } => match request {
            Request::Idempotent(safe) => from_idempotent(safe, Err(failure)),
            Request::AtMostOnce(once) => lost(once.lost(), failure),
        },
    }
}

/// That a file cannot be read back takes nothing away from what was accepted.
fn unless_read_back(call: &Call, failed: Outcome) -> Outcome {
    let Call::ReadBack(expected) = call else {
        return failed;
    };
    let why = failed.message.unwrap_or_default();
    let message = format!(
        "{} got no answer and may have taken effect later; the file could not be read back: {why}",
        doubted(expected.doubt)
    );
    let (code, message) = (Some(Code::Unverified), Some(message.into()));
    Outcome { status: Status::Updated, code, message, ..failed }
}

/// The request that may have taken effect late.
fn doubted(row: u64) -> String {
    match row {
        EARLIER_RUN => "a request of an earlier, interrupted run on the same file".to_owned(),
        row => format!("the request of row {row} on the same file"),
    }
}

/// The same outcome for every step; one step, the usual case, needs no copy.
fn for_all(steps: &[StepRef], outcome: Outcome) -> Vec<(StepRef, Outcome)> {
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

/// The outcome of every step of a request that was accepted.
fn outcomes(
    request: &impl Sendable,
    accepted: &Accepted,
) -> Result<Vec<(StepRef, Outcome)>, Failure> {
    match (request.call(), request.files()) {
        (call @ (Call::Details(_) | Call::Publish(_) | Call::ReadBack(_)), [file, ..]) => {
            let outcome = echoed(call, file, accepted).map_err(|why| accepted.unreadable(&why))?;
            Ok(for_all(request.steps(), outcome))
        }
        (_, files) => {
            let answer: BulkAnswer = serde_json::from_slice(&accepted.body)
                .map_err(|error| accepted.unreadable(&error.to_string()))?;
            let outcomes = files.iter().zip(request.steps()).map(|(file, step)| {
                let outcome = named(&answer, file, accepted);
                outcome.map(|outcome| (*step, outcome))
            });
            outcomes.collect::<Option<_>>().ok_or_else(|| {
                accepted.unreadable("the answer names the file neither as updated nor as failed")
            })
        }
    }
}

/// The outcome of a PATCH, or of reading back, by the object that came.
fn echoed(call: &Call, file: &FileId, accepted: &Accepted) -> Result<Outcome, String> {
    let echo = Echo::read(&accepted.body, file)?;
    let differences = match call {
        Call::Details(patch) => echo.differences(patch),
        Call::ReadBack(expected) => echo.unlike(expected),
        Call::Publish(publish) if echo.is_published_as(*publish) => Vec::new(),
        _ => vec!["isPublished".to_owned()],
    };
    let differs = (!differences.is_empty()).then(|| {
        let names = differences.join(", ");
        if let Call::ReadBack(expected) = call {
            format!(
                "read back at the end, the file is not what its rows asked in: {names}; {}, which \
                 got no answer, must have taken effect later than theirs",
                doubted(expected.doubt)
            )
        } else {
            format!("ImageKit accepted it, but what came back is not what was asked in: {names}")
        }
        .into()
    });
    Ok(Outcome {
        status: Status::Updated,
        code: differs.is_some().then_some(Code::Mismatch),
        message: differs,
        http_status: Some(accepted.http_status),
        request_id: accepted.request_id.clone(),
        updated_at: echo.updated_at.as_deref().map(Into::into),
        extension_status: echo.extension_status.map(|raw| raw.get().into()),
    })
}

/// The outcome of one file of a bulk call, by the ids that the answer names. One that it names as
/// updated and as failed has failed.
fn named(answer: &BulkAnswer, file: &FileId, accepted: &Accepted) -> Option<Outcome> {
    let (http_status, request_id) = (Some(accepted.http_status), accepted.request_id.clone());
    if let Some(error) = answer.errors.iter().find(|error| error.file_id == file.as_str()) {
        let message = error.error.as_str().into();
        return Some(failed(
            Status::Rejected,
            Code::RejectedByApi,
            message,
            http_status,
            request_id,
        ));
    }
    let is_updated = answer.successfully_updated_file_ids.iter().any(|id| id == file.as_str());
    is_updated.then_some(Outcome {
        status: Status::Updated,
        code: None,
        message: None,
        http_status,
        request_id,
        updated_at: None,
        extension_status: None,
    })
}

/// What a failure to read the state before a request means for that request, which has not been
/// sent.
pub(super) fn from_failed_check(request: Request, failure: Failure) -> Verdict {
    match failure {
        Failure::Lost { code, message, http_status, request_id, retry_after } => {
            let message = format!("could not read the file before it: {message}").into();
            let cause = failed(Status::Failed, code, message, http_status, request_id);
            Verdict::Unread { request, cause, retry_after }
        }
        other => not_done(request, other),
    }
}

/// What it means for a request that these of its files are not as they were planned: their steps
/// are settled, and the others are to be sent without them.
pub(super) fn from_conflict(
    request: &Request,
    files: &[FileId],
) -> (Vec<(StepRef, Outcome)>, Option<Idempotent>) {
    let message =
        "the file was changed after it was planned, so that this was not sent. Plan it again";
    let outcome = Outcome::local(Status::Rejected, Code::Conflict, Some(message.into()));
    let Request::Idempotent(safe) = request else {
        return (for_all(request.steps(), outcome), None);
    };
    let settled = safe.part(|file, _| files.contains(file));
    let settled = settled.map_or(Vec::new(), |settled| for_all(settled.steps(), outcome));
    (settled, safe.part(|file, _| !files.contains(file)))
}
