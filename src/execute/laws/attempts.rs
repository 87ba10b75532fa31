//! Counting of attempts.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::execute::EndReason;
use crate::imagekit::RateLimitHeaders;
use crate::ledger::Op;
use crate::outcome::Status;
use crate::request::{Endpoint, StepKind, StepRef};
use proptest::prelude::*;

use super::history::{History, Observed, Purpose, SentRequest, Sheet};
use super::scenario::{
    Details, FIRST_ROW, FakeApi, Response, RowSpec, Scenario, Weights, execution, limit, scenarios,
};
use super::simulation::simulate;

/// The recorded attempts are the attempts made: every sent request counts unless it certainly had no
/// effect. After a failed probe, attempts during the outage may be left out.
fn attempts_match(scenario: &Scenario, history: &History) {
    let sheet = Sheet::of(scenario);
    let limit = scenario.execution.attempts.get();
    let mut made: HashMap<(StepRef, bool), u32> = HashMap::new();
    let mut probe_failed = false;
    history.replay(|_, at, observed| match observed {
        Observed::Sent(sent) => {
            let sent = history.requests[*sent];
            if sent.purpose != Purpose::Probe {
                for (step, _) in sheet.steps_of(sent) {
                    *made
                        .entry((step, sent.purpose == Purpose::DetailsWithoutExtensions))
                        .or_default() += 1;
                }
            }
        }
        Observed::Responded(sent, response) => {
            let sent = history.requests[*sent];
            if sent.purpose == Purpose::Probe {
                probe_failed |= response.is_lost() || *response == Response::NotSent;
                return;
            }
            count_response(&mut made, &sheet, sent, response);
        }
        Observed::Recorded(Op::Outcome { step, outcome, attempts, .. })
            if outcome.status == Status::NotAttempted =>
        {
            assert_eq!(*attempts, 0, "{step:?} was not sent");
        }
        Observed::Recorded(Op::Outcome { step, outcome, attempts, .. })
            if !sheet.rows[&step.row].is_empty() =>
        {
            let is_idempotent_part = step.kind == StepKind::DetailsWithoutExtensions;
            let kind = if is_idempotent_part { StepKind::Details } else { step.kind };
            let made = made[&(StepRef { kind, ..*step }, is_idempotent_part)];
            assert!((1..=made).contains(attempts), "{step:?}: {attempts} of {made} at {at:?}");
            assert!(probe_failed || *attempts == made, "{step:?}: {attempts} of {made} at {at:?}");
            assert!(*attempts <= limit, "{step:?}: {attempts} attempts at {at:?}");
            if outcome.status == Status::Failed {
                assert_eq!(*attempts, limit, "{step:?} fails too early at {at:?}");
            }
        }
        _ => {}
    });
}

/// Corrects the attempts of a request's steps by its response.
fn count_response(
    made: &mut HashMap<(StepRef, bool), u32>,
    sheet: &Sheet,
    sent: SentRequest,
    response: &Response,
) {
    let nothing_done = matches!(response, Response::Throttled(_) | Response::NotSent);
    // A rejected call with several files is split, and each part has all attempts, except the
    // file that a 404 lists.
    let files: HashSet<_> = sheet.steps_of(sent).map(|(_, file)| file).collect();
    let is_rejected = sent.purpose == Purpose::Send && response.is_rejected();
    // Rejected merged rows of one file are split as well.
    let is_merged = sheet.is_merged(sent);
    let is_split = is_rejected && (files.len() > 1 || is_merged);
    let last = sheet.steps_of(sent).last().map(|(_, file)| file);
    for (step, file) in sheet.steps_of(sent) {
        let is_listed_missing = *response == Response::NotFound && Some(file) == last && !is_merged;
        let restarts_count = sent.purpose == Purpose::Read && response.is_accepted()
            || is_split && !is_listed_missing;
        let made = made.get_mut(&(step, sent.purpose == Purpose::DetailsWithoutExtensions));
        match made {
            Some(made) if restarts_count => *made = 0,
            Some(made) if nothing_done => *made -= 1,
            Some(_) => {}
            None => {
                assert_eq!(sent.purpose, Purpose::Read, "the step should have been sent");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(250) })]

    #[test]
    fn recorded_attempts_equal_attempts_made(scenario in scenarios()) {
        attempts_match(&scenario, &simulate(&scenario));
    }

    #[test]
    fn throttling_and_failed_connects_cost_no_attempt(
        scenario in scenarios(),
        throttled in 20_u64..200,
        not_sent in 0_u64..100,
    ) {
        let weights = Weights { throttled, not_sent, lost: 30, ..Weights::default() };
        let scenario = Scenario { api: FakeApi { weights, outage: None, ..scenario.api }, ..scenario };
        attempts_match(&scenario, &simulate(&scenario));
    }
}

fn plain(file: u8) -> RowSpec {
    RowSpec::Update { file, details: Details::Plain, remove: false, add: false, publish: false }
}

#[test]
fn request_keeps_all_attempts_after_many_429s() {
    let note = RateLimitHeaders { reset: Some(Duration::from_millis(20)), rate: None };
    let api = FakeApi {
        always_fails: Some(FIRST_ROW),
        throttle_once: vec![(Duration::ZERO, Endpoint::Patch, note); 25],
        ..FakeApi::default()
    };
    let scenario = Scenario {
        execution: execution(limit(100.0, 100, 0.0), 4, 3),
        sheet: vec![plain(1)],
        batches: vec![(1, 0)],
        api,
    };
    let history = simulate(&scenario);
    let count =
        |matches: fn(Response) -> bool| history.responses().filter(|(.., r)| matches(*r)).count();
    assert_eq!(count(|response| matches!(response, Response::Throttled(_))), 25);
    assert_eq!(count(|response| response == Response::ServerError), 3);
    assert_eq!(history.ledger().row_status(FIRST_ROW), Status::Failed);
}

#[test]
fn outage_sends_only_probes_and_costs_no_attempt() {
    // An outage of ten minutes; counting its attempts would fail rows.
    let outage = (Duration::from_secs(2), Duration::from_mins(10));
    for (connects, attempts) in [(false, 3), (true, 3), (false, 1), (true, 1)] {
        let scenario = Scenario {
            execution: execution(limit(20.0, 20, 0.0), 8, attempts),
            sheet: (0..200).map(|n| plain(n % 100)).collect(),
            batches: vec![(200, 0)],
            api: FakeApi { outage: Some((outage.0, outage.1, connects)), ..FakeApi::default() },
        };
        let history = simulate(&scenario);
        assert_eq!(history.end_reason(), Some(&EndReason::Done));
        let ledger = history.ledger();
        for row in FIRST_ROW..FIRST_ROW + 200 {
            assert_eq!(ledger.row_status(row), Status::Updated, "row {row}");
        }
        let sent_between = |from: Duration, to: Duration| {
            history.sent().filter(move |(at, _)| (from..to).contains(at))
        };
        // By then the first requests and the first probe have timed out.
        let detected = outage.0 + Duration::from_mins(2);
        assert!(sent_between(detected, outage.1).count() > 5, "probes should continue");
        assert!(sent_between(detected, outage.1).all(|(_, sent)| sent.purpose == Purpose::Probe));
        let after_outage = sent_between(outage.1, outage.1 + Duration::from_secs(70));
        assert!(after_outage.count() > 50, "requests should continue after the outage");
    }
}

#[test]
fn row_fails_only_after_a_successful_probe() {
    let api = FakeApi { always_fails: Some(FIRST_ROW), ..FakeApi::default() };
    let scenario = Scenario {
        execution: execution(limit(100.0, 100, 0.0), 4, 2),
        sheet: vec![plain(1), plain(2), plain(3)],
        batches: vec![(3, 0)],
        api,
    };
    let history = simulate(&scenario);
    let statuses = [0, 1, 2].map(|row| history.ledger().row_status(FIRST_ROW + row));
    assert_eq!(statuses, [Status::Failed, Status::Updated, Status::Updated]);
    let mut events = history.events.iter().rev().map(|(_, observed)| observed);
    let failed = |observed: &&Observed| matches!(observed, Observed::Recorded(Op::Outcome { outcome, .. }) if outcome.status == Status::Failed);
    events.by_ref().find(failed).unwrap();
    let responded = events.find_map(|observed| match observed {
        Observed::Responded(sent, response) => Some((history.requests[*sent].purpose, *response)),
        _ => None,
    });
    assert_eq!(responded, Some((Purpose::Probe, Response::Accepted)));
}

#[test]
fn unreadable_response_triggers_a_probe() {
    let scenario = Scenario {
        execution: execution(limit(5.0, 5, 0.0), 1, 3),
        sheet: (0..20).map(plain).collect(),
        batches: vec![(20, 0)],
        api: FakeApi { script: vec![Response::Unreadable], ..FakeApi::default() },
    };
    let history = simulate(&scenario);
    let purposes: Vec<Purpose> = history.sent().map(|(_, sent)| sent.purpose).take(3).collect();
    assert_eq!(purposes, [Purpose::Send, Purpose::Probe, Purpose::Send]);
}

#[test]
fn outage_at_the_last_rows_costs_no_attempt() {
    // Fewer requests remain than the lost responses that indicate an outage.
    for last in 1..10 {
        let scenario = Scenario {
            execution: execution(limit(20.0, 20, 0.0), 8, 3),
            sheet: (0..last).map(plain).collect(),
            batches: vec![(usize::from(last), 0)],
            api: FakeApi {
                outage: Some((Duration::ZERO, Duration::from_mins(3), true)),
                ..FakeApi::default()
            },
        };
        let history = simulate(&scenario);
        for row in 0..u64::from(last) {
            assert_eq!(history.ledger().row_status(FIRST_ROW + row), Status::Updated, "{last}");
        }
    }
}
