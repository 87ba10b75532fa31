//! The table, and the laws over it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ikbulk::sandbox::{Fault, MissingIds};

use crate::harness::status;
use crate::model::{Position, Tags, Target, Told, Trouble, effect};
use crate::play::{Case, TIMEOUT};

/// Most of a case is waiting: for a backoff, for an answer that does not come.
const THREADS: usize = 32;

/// What a proxy says.
fn page(code: u16) -> Fault {
    let body = "<html><h1>Sorry</h1></html>".to_owned();
    Fault::Status { code, body, content_type: "text/html".to_owned() }
}

fn after_the_work(code: u16, body: &str) -> Fault {
    Fault::StatusAfter { code, body: body.to_owned(), content_type: "application/json".to_owned() }
}

fn missing(file: &str) -> Fault {
    let body = format!(r#"{{"message":"No such files.","help":"","missingFileIds":["{file}"]}}"#);
    Fault::Status { code: 404, body, content_type: "application/json".to_owned() }
}

fn throttle(reset_ms: Option<u64>, limit: Option<(u64, u64)>) -> Fault {
    Fault::Throttle { reset_ms, limit }
}

fn faults() -> Vec<Fault> {
    vec![
        // What takes longest goes first.
        Fault::HangBefore(TIMEOUT + Duration::from_millis(500)),
        Fault::HangAfter(10 * TIMEOUT),
        throttle(None, None),
        Fault::ThrottleRaw { reset: "-5".to_owned() },
        Fault::ThrottleRaw { reset: "in a while".to_owned() },
        status(400, "Not like this."),
        status(401, "Your request does not contain private API key."),
        status(403, "Publishing is not part of this plan."),
        status(403, "Your account is disabled."),
        status(404, "The requested file does not exist."),
        status(408, "Too slow."),
        status(409, "Somebody else is at it."),
        status(500, "Something went wrong."),
        page(502),
        page(200),
        page(403),
        after_the_work(504, r#"{"message":"The server got lost.","help":""}"#),
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

/// What only a bulk call can meet.
fn bulk_faults() -> Vec<Fault> {
    vec![
        Fault::BulkInPart,
        missing("a"),
        // No call is about that file alone.
        after_the_work(200, r#"{"successfullyUpdatedFileIds":["c"]}"#),
    ]
}

type Places = [(Target, &'static [Position])];

fn cases() -> Vec<Case> {
    use Position::{AllOfOneFile, First, Last, Middle};
    let rows: &Places = &[
        (Target::Idempotent, &[First, Middle, Last, AllOfOneFile]),
        (Target::Paid, &[First, Middle, Last, AllOfOneFile]),
        // These two differ from the one that pays by one rule each, wherever they stand.
        (Target::Publish, &[Last, AllOfOneFile]),
        (Target::Read, &[Middle, AllOfOneFile]),
    ];
    let calls: &Places = &[
        (Target::Bulk(Tags::Same), &[First, AllOfOneFile]),
        (Target::Bulk(Tags::Two), &[First, Last]),
        (Target::Bulk(Tags::Swapped), &[First, Last]),
        (Target::Bulk(Tags::Own), &[AllOfOneFile]),
    ];
    let files: &Places = &[
        (Target::Bulk(Tags::Same), &[First, Middle, Last, AllOfOneFile]),
        (Target::Bulk(Tags::Two), &[First, Middle]),
        (Target::Bulk(Tags::Swapped), &[First, Last]),
        (Target::Bulk(Tags::Own), &[AllOfOneFile]),
    ];
    let faults = faults().into_iter().map(Trouble::Fault);
    let troubles: Vec<_> = std::iter::once(Trouble::Nothing).chain(faults).collect();
    let of_calls: Vec<_> = bulk_faults().into_iter().map(Trouble::Fault).collect();
    let of_files = [MissingIds::Named, MissingIds::Silent].map(Trouble::NoFile);
    let mut cases = table(&troubles, &[rows, calls].concat());
    cases.extend(table(&of_calls, calls));
    cases.extend(table(&of_files, files));
    cases
}

fn table(troubles: &[Trouble], places: &Places) -> Vec<Case> {
    let mut cases = Vec::new();
    for trouble in troubles {
        for (target, positions) in places {
            let case = |position: &Position| Case {
                trouble: trouble.clone(),
                target: *target,
                position: *position,
            };
            cases.extend(positions.iter().map(case));
        }
    }
    cases
}

/// A case that was played: the statuses of its rows, and what is not as the model has it.
type Played = (Case, Vec<String>, Vec<String>);

fn play_all() -> Vec<Played> {
    let (cases, next, played) = (cases(), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (statuses, wrong) = case.play();
                    let mut played = played.lock().unwrap_or_else(PoisonError::into_inner);
                    played.push((case.clone(), statuses, wrong));
                }
            });
        }
    });
    assert_eq!(next.into_inner(), cases.len() + THREADS, "every case was played");
    played.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn count(statuses: &[String], status: &str) -> usize {
    statuses.iter().filter(|is| *is == status).count()
}

/// What must hold whatever the model says.
fn broken_law(case: &Case, statuses: &[String]) -> Option<&'static str> {
    let hit = if case.position == Position::AllOfOneFile { statuses.len() } else { 1 };
    let updated = count(statuses, "updated");
    let (holds, law) = match &case.trouble {
        Trouble::Nothing => (updated == statuses.len(), "without a fault, all is done"),
        Trouble::NoFile(_) => (
            updated == statuses.len() - hit && count(statuses, "rejected") == hit,
            "a file that does not exist is the end of its rows, and of no others",
        ),
        Trouble::Fault(fault) => return broken_law_of_faults(fault, case.target, hit, statuses),
    };
    (!holds).then_some(law)
}

fn broken_law_of_faults(
    fault: &Fault,
    target: Target,
    hit: usize,
    statuses: &[String],
) -> Option<&'static str> {
    let all_updated = count(statuses, "updated") == statuses.len();
    let is_once = matches!(target, Target::Paid | Target::Publish);
    let (_, told) = effect(fault, target);
    let may_lose = if is_once && told == Told::Nothing { hit } else { 0 };
    if count(statuses, "unknown") > may_lose {
        return Some("unknown is never more than the answers lost to what must not be repeated");
    }
    let may_reject = match told {
        Told::Refused => hit,
        Told::InPart => statuses.len(),
        _ => 0,
    };
    if count(statuses, "rejected") > may_reject {
        return Some("a refusal rejects no row that it is not about");
    }
    if told == Told::Nothing && !is_once && !all_updated {
        return Some("a lost answer costs nothing that may be repeated");
    }
    (told == Told::Later && !all_updated).then_some("a 429 costs nothing at all")
}

#[test]
fn every_fault_at_every_place_ends_as_the_rules_say() {
    let mut complaints = String::new();
    for (case, statuses, wrong) in play_all() {
        let wrong = wrong.iter().map(String::as_str).chain(broken_law(&case, &statuses));
        wrong.for_each(|wrong| complaints += &format!("{case:?}\n    {wrong}\n"));
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}
