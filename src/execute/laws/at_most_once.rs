//! At-most-once requests.

use std::collections::HashMap;
use std::num::NonZeroU32;

use crate::execute::{AbortReason, EndReason};
use crate::ledger::Op;
use crate::outcome::Status;
use crate::request::{StepKind, StepRef};
use proptest::prelude::*;

use super::history::{History, Observed, Purpose, SentRequest, Sheet, is_lost};
use super::scenario::{
    Details, FakeApi, Response, RowSpec, Scenario, Weights, direct_specs, execution, limit,
    scenarios, scenarios_of,
};
use super::simulation::simulate;

/// Sent again only after a response that proves that nothing was done; always recorded first.
fn at_most_once(sheet: &Sheet, history: &History) {
    let mut responses: HashMap<usize, Option<Response>> = HashMap::new();
    history.replay(|ledger, at, observed| match observed {
        Observed::Sent(id) => {
            let sent = history.requests[*id];
            if sent.purpose == Purpose::Send && sheet.requests[sent.request].at_most_once {
                let before = responses.insert(sent.request, None);
                let had_no_effect = before.is_none_or(|response| {
                    matches!(
                        response,
                        Some(
                            Response::Throttled(_) | Response::NotSent | Response::AccountRejected
                        )
                    )
                });
                assert!(had_no_effect, "request {} again after {before:?} at {at:?}", sent.request);
                for step in &sheet.requests[sent.request].steps {
                    assert!(ledger.has_intent(*step), "{step:?} has no intent at {at:?}");
                }
            }
        }
        Observed::Responded(id, response) => {
            let sent = history.requests[*id];
            if sent.purpose == Purpose::Send {
                responses.insert(sent.request, Some(*response));
            }
        }
        _ => {}
    });
}

/// After a lost response no at-most-once request is sent until a probe succeeds.
fn at_most_once_waits_for_probe(sheet: &Sheet, history: &History) {
    let mut waits = false;
    for (at, observed) in &history.events {
        match observed {
            Observed::Sent(id) => {
                let sent = history.requests[*id];
                let at_most_once =
                    sent.purpose == Purpose::Send && sheet.requests[sent.request].at_most_once;
                assert!(!(waits && at_most_once), "request {} is sent at {at:?}", sent.request);
            }
            Observed::Responded(id, response) => {
                let sent = history.requests[*id];
                match sent.purpose {
                    Purpose::Probe => waits &= response.is_lost() || *response == Response::NotSent,
                    Purpose::Send => {
                        waits |= response.is_lost() && sheet.requests[sent.request].at_most_once;
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

/// A lost request is unknown; its idempotent part, if any, is sent and settled.
fn lost_is_unknown(sheet: &Sheet, history: &History) {
    let ledger = history.ledger();
    for (_, sent, response) in history.responses() {
        let request = &sheet.requests[sent.request];
        if sent.purpose == Purpose::Send && request.at_most_once && response.is_lost() {
            for step in &request.steps {
                assert_eq!(ledger.status(*step), Some(Status::Unknown), "{step:?}");
                let idempotent_part = StepRef { kind: StepKind::DetailsWithoutExtensions, ..*step };
                assert_eq!(
                    ledger.status(idempotent_part).is_some(),
                    request.has_idempotent_part,
                    "{step:?}"
                );
            }
        }
    }
    let unknown = ledger.steps().filter(|record| record.outcome.status == Status::Unknown);
    for record in unknown {
        let request = sheet.request_of(record.step);
        assert!(sheet.requests[request].at_most_once, "{:?} is idempotent", record.step);
    }
}

/// After a row's lost details step, its idempotent steps are sent and settled; its publication and steps
/// after an unsuccessful one are recorded as not sent.
fn check_steps_after_lost_details(sheet: &Sheet, history: &History) {
    let ledger = history.ledger();
    let sent = |step: &StepRef| {
        let contains_step =
            |sent: SentRequest| sheet.steps_of(sent).any(|(aimed, _)| aimed == *step);
        history.sent().any(|(_, sent)| sent.purpose == Purpose::Send && contains_step(sent))
    };
    for steps in sheet.rows.values() {
        let Some((details, later_steps)) = steps.split_first() else { continue };
        if !is_lost(*details, &ledger) {
            continue;
        }
        let idempotent_part = StepRef { kind: StepKind::DetailsWithoutExtensions, ..*details };
        let mut may_follow = ledger.status(idempotent_part).is_none_or(Status::is_success);
        for step in later_steps {
            may_follow &= step.kind != StepKind::Publish;
            assert_eq!(sent(step), may_follow, "{step:?} after {details:?}");
            let status = ledger.status(*step).expect("the step should be settled");
            assert_eq!(status == Status::NotAttempted, !may_follow, "{step:?} is {status}");
            may_follow &= status.is_success();
        }
    }
}

/// Scenarios of mostly at-most-once requests.
fn at_most_once_scenarios() -> impl Strategy<Value = Scenario> {
    let details = prop_oneof![Just(Details::Billed), Just(Details::BilledWithoutIdempotentPart)];
    let details = (0_u8..6, details, any::<[bool; 3]>()).prop_map(
        |(file, details, [remove, add, publish])| RowSpec::Update {
            file,
            details,
            remove,
            add,
            publish,
        },
    );
    scenarios_of(prop_oneof![3 => details, 1 => direct_specs()], 40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn at_most_once_requests_are_not_sent_twice(scenario in scenarios()) {
        let sheet = Sheet::of(&scenario);
        at_most_once(&sheet, &simulate(&scenario));
    }

    #[test]
    fn at_most_once_requests_wait_for_probe(scenario in at_most_once_scenarios()) {
        let sheet = Sheet::of(&scenario);
        let history = simulate(&scenario);
        at_most_once(&sheet, &history);
        at_most_once_waits_for_probe(&sheet, &history);
    }

    #[test]
    fn idempotent_part_of_a_lost_request_is_resent(
        scenario in at_most_once_scenarios(),
        lost in 5_u64..80,
    ) {
        let weights = Weights { lost, ..scenario.api.weights };
        let scenario = Scenario { api: FakeApi { weights, ..scenario.api }, ..scenario };
        let sheet = Sheet::of(&scenario);
        let history = simulate(&scenario);
        at_most_once(&sheet, &history);
        lost_is_unknown(&sheet, &history);
        check_steps_after_lost_details(&sheet, &history);
    }

    #[test]
    fn unknown_max_unknown_steps_abort_the_run(scenario in at_most_once_scenarios(), unknown_max in 1_u32..6, lost in 5_u64..80) {
        let weights = Weights { lost, ..scenario.api.weights };
        let mut scenario = Scenario { api: FakeApi { weights, ..scenario.api }, ..scenario };
        scenario.execution.abort_limits.unknown_max = NonZeroU32::new(unknown_max).unwrap();
        let sheet = Sheet::of(&scenario);
        let history = simulate(&scenario);
        at_most_once(&sheet, &history);
        let mut unknown = 0;
        history.replay(|_, at, observed| match observed {
            Observed::Recorded(Op::Outcome { outcome, .. }) => {
                unknown += u32::from(outcome.status == Status::Unknown);
            }
            Observed::Sent(_) => assert!(unknown < unknown_max, "sent at {at:?} after {unknown}"),
            _ => {}
        });
        let aborted = matches!(history.end_reason(), Some(EndReason::Aborted(AbortReason::ManyUnknown { .. })));
        prop_assert_eq!(aborted, unknown >= unknown_max);
    }
}

#[test]
fn failed_probe_costs_no_attempt() {
    let billed = RowSpec::Update {
        file: 0,
        details: Details::Billed,
        remove: false,
        add: false,
        publish: false,
    };
    let scenario = Scenario {
        execution: execution(limit(5.0, 5, 0.0), 4, 1),
        sheet: vec![billed],
        batches: vec![(1, 0)],
        api: FakeApi {
            // The PATCH gets a 503, the probe no connection, the details without extensions succeed later.
            script: vec![
                Response::Accepted,
                Response::ServerError,
                Response::NotSent,
                Response::Accepted,
            ],
            ..FakeApi::default()
        },
    };
    let history = simulate(&scenario);
    let purposes: Vec<Purpose> = history.sent().map(|(_, sent)| sent.purpose).take(4).collect();
    assert_eq!(
        purposes,
        [Purpose::Read, Purpose::Send, Purpose::Probe, Purpose::DetailsWithoutExtensions]
    );
    let attempts: Vec<u32> = history.ledger().steps().map(|record| record.attempts).collect();
    assert_eq!(attempts, [1, 1]);
}
