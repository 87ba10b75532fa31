//! Killed at chosen requests, once and twice.

use crate::case::{Case, Kill, each, requests};

/// Twenty places, from the first request of the run itself to its last: the first two of all ask
/// whose account it is and read its fields, when there is no run to resume yet.
fn places() -> Vec<u64> {
    let last = requests();
    (0..20).map(|place| 3 + place * (last - 3) / 19).collect()
}

fn survives(kill: Kill) {
    let case = Case::killed_at(&[kill]).through();
    assert_eq!(case.ledgers.len(), 1, "{kill:?} did not hit");
    case.holds();
}

#[test]
fn a_run_killed_before_a_request_is_worked_on_ends_as_if_it_had_run_through() {
    each(&places().into_iter().map(Kill::Before).collect::<Vec<_>>(), survives);
}

#[test]
fn a_run_killed_before_a_request_is_answered_ends_as_if_it_had_run_through() {
    each(&places().into_iter().map(Kill::After).collect::<Vec<_>>(), survives);
}

#[test]
fn a_run_killed_twice_ends_as_if_it_had_run_through() {
    let last = requests();
    // The second is far enough from the first for no request of the dead program to be taken for
    // it, and far enough from the end for what is not sent any more.
    let pairs = [
        [Kill::Before(3), Kill::After(11)],
        [Kill::After(last / 4), Kill::Before(last / 2)],
        [Kill::Before(last / 3), Kill::After(last / 3 + 10)],
        [Kill::After(last / 2), Kill::After(last - 10)],
    ];
    each(&pairs, |pair| {
        let case = Case::killed_at(&pair).through();
        assert_eq!(case.ledgers.len(), 2, "{pair:?} did not hit");
        case.holds();
    });
}
