//! The table of cases, and the invariants that hold for all of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ikbulk_sandbox::{Fault, MissingIds};

use crate::harness::status;
use crate::model::{Failure, Position, Response, Tags, Target, effect};
use crate::run_case::{Case, TIMEOUT};

/// More threads than cores: cases mostly wait for backoffs and timeouts.
const THREADS: usize = 32;

/// The HTML error page of a proxy.
fn html_page(code: u16) -> Fault {
    let body = "<html><h1>Sorry</h1></html>".to_owned();
    Fault::Status { code, body, content_type: "text/html".to_owned() }
}

fn status_after_change(code: u16, body: &str) -> Fault {
    Fault::StatusAfter { code, body: body.to_owned(), content_type: "application/json".to_owned() }
}

fn not_found(file: &str) -> Fault {
    let body = format!(r#"{{"message":"No such files.","help":"","missingFileIds":["{file}"]}}"#);
    Fault::Status { code: 404, body, content_type: "application/json".to_owned() }
}

fn throttle(reset_ms: Option<u64>, limit: Option<(u64, u64)>) -> Fault {
    Fault::Throttle { reset_ms, limit }
}

fn faults() -> Vec<Fault> {
    vec![
        // The slowest first.
        Fault::HangBefore(TIMEOUT + Duration::from_millis(500)),
        Fault::HangAfter(10 * TIMEOUT),
        throttle(None, None),
        Fault::ThrottleRaw { reset: "-5".to_owned() },
        Fault::ThrottleRaw { reset: "soon".to_owned() },
        status(400, "Invalid request."),
        status(401, "Your request does not contain private API key."),
        status(403, "Publishing is not part of this plan."),
        status(403, "Your account is disabled."),
        status(404, "The requested file does not exist."),
        status(408, "Request timeout."),
        status(409, "Conflict."),
        status(500, "Internal server error."),
        html_page(502),
        html_page(200),
        html_page(403),
        status_after_change(504, r#"{"message":"Gateway timeout.","help":""}"#),
        throttle(Some(20), None),
        throttle(Some(20), Some((100, 1000))),
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::ResetInHead,
        Fault::ResetInBody,
        Fault::HugeBody { bytes: 100 << 20 },
        Fault::Trickle { bytes: 64, every: Duration::from_millis(2) },
        Fault::CutBody,
        Fault::Garbage,
        Fault::DropField("tags".to_owned()),
        Fault::Expire,
    ]
}

/// Faults that only concern bulk calls.
fn bulk_faults() -> Vec<Fault> {
    vec![
        Fault::PartialBulk,
        not_found("a"),
        // No call changes that file alone.
        status_after_change(200, r#"{"successfullyUpdatedFileIds":["c"]}"#),
    ]
}

type TargetPositions = [(Target, &'static [Position])];

fn cases() -> Vec<Case> {
    use Position::{AllRowsOfOneFile, First, Last, Middle};
    let rows: &TargetPositions = &[
        (Target::Idempotent, &[First, Middle, Last, AllRowsOfOneFile]),
        (Target::Billed, &[First, Middle, Last, AllRowsOfOneFile]),
        // These differ from `Billed` in one rule each, which does not depend on the position.
        (Target::Publish, &[Last, AllRowsOfOneFile]),
        (Target::Read, &[Middle, AllRowsOfOneFile]),
    ];
    let calls: &TargetPositions = &[
        (Target::Bulk(Tags::Same), &[First, AllRowsOfOneFile]),
        (Target::Bulk(Tags::MiddleDiffers), &[First, Last]),
        (Target::Bulk(Tags::Swapped), &[First, Last]),
        (Target::Bulk(Tags::AllDiffer), &[AllRowsOfOneFile]),
    ];
    let files: &TargetPositions = &[
        (Target::Bulk(Tags::Same), &[First, Middle, Last, AllRowsOfOneFile]),
        (Target::Bulk(Tags::MiddleDiffers), &[First, Middle]),
        (Target::Bulk(Tags::Swapped), &[First, Last]),
        (Target::Bulk(Tags::AllDiffer), &[AllRowsOfOneFile]),
    ];
    let faults = faults().into_iter().map(Failure::Fault);
    let failures: Vec<_> = std::iter::once(Failure::None).chain(faults).collect();
    let bulk_failures: Vec<_> = bulk_faults().into_iter().map(Failure::Fault).collect();
    let missing_files = [MissingIds::Named, MissingIds::Silent].map(Failure::MissingFile);
    let mut cases = table(&failures, &[rows, calls].concat());
    // What a bulk call claims to have done is only found out by samples; see `tests/apply/bulk.rs`.
    let is_claimed = |case: &Case| {
        matches!(case.failure, Failure::Fault(Fault::DropField(_)))
            && matches!(case.target, Target::Bulk(_))
    };
    cases.retain(|case| !is_claimed(case));
    cases.extend(table(&bulk_failures, calls));
    cases.extend(table(&missing_files, files));
    cases
}

fn table(failures: &[Failure], positions_by_target: &TargetPositions) -> Vec<Case> {
    let mut cases = Vec::new();
    for failure in failures {
        for (target, positions) in positions_by_target {
            let case = |position: &Position| Case {
                failure: failure.clone(),
                target: *target,
                position: *position,
            };
            cases.extend(positions.iter().map(case));
        }
    }
    cases
}

/// A case, the statuses of its rows, and the deviations from the model.
type CaseResult = (Case, Vec<String>, Vec<String>);

fn run_all() -> Vec<CaseResult> {
    let (cases, next, results) = (cases(), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (statuses, deviations) = case.run();
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results.push((case.clone(), statuses, deviations));
                }
            });
        }
    });
    assert_eq!(next.into_inner(), cases.len() + THREADS, "every case was run");
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn count(statuses: &[String], status: &str) -> usize {
    statuses.iter().filter(|actual| *actual == status).count()
}

/// The invariant that the case violates, independent of the model.
fn violated_invariant(case: &Case, statuses: &[String]) -> Option<&'static str> {
    let hit = if case.position == Position::AllRowsOfOneFile { statuses.len() } else { 1 };
    let updated = count(statuses, "updated");
    let (holds, invariant) = match &case.failure {
        Failure::None => (updated == statuses.len(), "without a fault, every row is updated"),
        Failure::MissingFile(_) => (
            updated == statuses.len() - hit && count(statuses, "rejected") == hit,
            "a missing file rejects its rows and no others",
        ),
        Failure::Fault(fault) => {
            return violated_fault_invariant(fault, case.target, hit, statuses);
        }
    };
    (!holds).then_some(invariant)
}

fn violated_fault_invariant(
    fault: &Fault,
    target: Target,
    hit: usize,
    statuses: &[String],
) -> Option<&'static str> {
    let all_updated = count(statuses, "updated") == statuses.len();
    let is_at_most_once = matches!(target, Target::Billed | Target::Publish);
    let (_, response) = effect(fault, target);
    let max_unknown = if is_at_most_once && response == Response::Inconclusive { hit } else { 0 };
    if count(statuses, "unknown") > max_unknown {
        return Some("only at-most-once requests with a lost response are unknown");
    }
    let max_rejected = match response {
        Response::Rejected => hit,
        Response::PartialFailure => statuses.len(),
        _ => 0,
    };
    if count(statuses, "rejected") > max_rejected {
        return Some("a rejection rejects only the rows that it concerns");
    }
    if response == Response::Inconclusive && !is_at_most_once && !all_updated {
        return Some("idempotent requests survive a lost response");
    }
    (response == Response::Throttled && !all_updated).then_some("every row survives a 429")
}

#[test]
fn every_fault_at_every_position_matches_the_model() {
    let mut errors = String::new();
    for (case, statuses, deviations) in run_all() {
        let deviations =
            deviations.iter().map(String::as_str).chain(violated_invariant(&case, &statuses));
        deviations.for_each(|deviation| errors += &format!("{case:?}\n    {deviation}\n"));
    }
    assert!(errors.is_empty(), "\n{errors}");
}
