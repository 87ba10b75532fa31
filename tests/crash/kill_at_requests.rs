//! Kills at chosen requests, once and twice.

use crate::case::{Case, KillPoint, baseline_requests, run_parallel};

/// Twenty request numbers spread over the run. Starts at the third request: the first two read the
/// account and its fields, before there is a run to resume.
fn request_numbers() -> Vec<u64> {
    let last = baseline_requests();
    (0..20).map(|index| 3 + index * (last - 3) / 19).collect()
}

fn kill_and_check(kill: KillPoint) {
    let case = Case::killed_at(&[kill]).run_to_end();
    assert_eq!(case.ledgers.len(), 1, "{kill:?} was not reached");
    case.check_invariants();
}

#[test]
fn killed_before_the_change_then_resumed_equals_baseline() {
    run_parallel(
        &request_numbers().into_iter().map(KillPoint::BeforeChange).collect::<Vec<_>>(),
        kill_and_check,
    );
}

#[test]
fn killed_before_the_response_then_resumed_equals_baseline() {
    run_parallel(
        &request_numbers().into_iter().map(KillPoint::AfterChange).collect::<Vec<_>>(),
        kill_and_check,
    );
}

#[test]
fn killed_twice_then_resumed_equals_baseline() {
    let last = baseline_requests();
    // The second kill is far enough from the first not to hit a request of the killed process, and far
    // enough from the end because the resumed run sends fewer requests.
    let pairs = [
        [KillPoint::BeforeChange(3), KillPoint::AfterChange(11)],
        [KillPoint::AfterChange(last / 4), KillPoint::BeforeChange(last / 2)],
        [KillPoint::BeforeChange(last / 3), KillPoint::AfterChange(last / 3 + 10)],
        [KillPoint::AfterChange(last / 2), KillPoint::AfterChange(last - 10)],
    ];
    run_parallel(&pairs, |pair| {
        let case = Case::killed_at(&pair).run_to_end();
        assert_eq!(case.ledgers.len(), 2, "{pair:?} was not reached");
        case.check_invariants();
    });
}
