//! Per file, one request at a time and in input order.

use std::collections::HashMap;
use std::time::Duration;

use crate::row::FileId;
use proptest::prelude::*;

use super::history::{History, Observed, Purpose, SentRequest, Sheet};
use super::scenario::{
    Details, FakeApi, Response, RowSpec, Scenario, execution, fake_apis, limit, scenarios,
    scenarios_of, weights,
};
use super::simulation::{PriorState, SessionOptions, simulate, simulate_with};

/// Never two requests in flight for one file.
fn one_at_a_time(sheet: &Sheet, history: &History) {
    let mut in_flight: HashMap<&FileId, usize> = HashMap::new();
    for (at, observed) in &history.events {
        let (sent, is_sent) = match observed {
            Observed::Sent(sent) => (*sent, true),
            Observed::Responded(sent, _) => (*sent, false),
            _ => continue,
        };
        if history.requests[sent].purpose == Purpose::Probe {
            continue;
        }
        for (_, file) in sheet.steps_of(history.requests[sent]) {
            if is_sent {
                let other = in_flight.insert(file, sent);
                assert!(
                    other.is_none_or(|other| other == sent),
                    "two requests for {file} at {at:?}"
                );
            } else {
                in_flight.remove(file);
            }
        }
    }
}

/// First attempts follow the input order, each after all earlier requests of its files are recorded.
fn in_input_order(sheet: &Sheet, history: &History) {
    let mut last: HashMap<&FileId, usize> = HashMap::new();
    history.replay(|ledger, at, observed| {
        let Observed::Sent(sent) = observed else { return };
        let sent = history.requests[*sent];
        if sent.purpose == Purpose::Probe {
            return;
        }
        for (_, file) in sheet.steps_of(sent) {
            let before = last.insert(file, sent.request).unwrap_or(0);
            assert!(
                before <= sent.request,
                "{file} returns to an earlier request than {before} at {at:?}"
            );
            for earlier in before..sent.request {
                if sheet.requests[earlier].files.contains(file) {
                    let settled = sheet.is_settled_on(file, earlier, ledger);
                    assert!(
                        settled,
                        "{} is sent before {earlier} is settled for {file} at {at:?}",
                        sent.request
                    );
                }
            }
        }
    });
}

/// After an unsuccessful step nothing else of its row is sent, except the step's idempotent part.
fn nothing_after_a_step_without_success(sheet: &Sheet, history: &History) {
    history.replay(|ledger, at, observed| {
        let Observed::Sent(sent) = observed else { return };
        let sent = history.requests[*sent];
        if matches!(sent.purpose, Purpose::Send | Purpose::Read) {
            let settled = sheet.are_settled(sheet.steps_of(sent).map(|(step, _)| step), ledger);
            assert!(!settled, "request {} is already settled at {at:?}", sent.request);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn one_request_in_flight_per_file(scenario in scenarios()) {
        one_at_a_time(&Sheet::of(&scenario), &simulate(&scenario));
    }

    #[test]
    fn requests_of_a_file_follow_input_order(
        scenario in scenarios(),
    ) {
        let history = simulate_with(&scenario, SessionOptions { wakes_late: true, ..SessionOptions::default() }, &PriorState::default());
        in_input_order(&Sheet::of(&scenario), &history);
    }

    #[test]
    fn no_step_follows_an_unsuccessful_step(scenario in scenarios()) {
        nothing_after_a_step_without_success(&Sheet::of(&scenario), &simulate(&scenario));
    }

    #[test]
    fn overlapping_bulk_calls_do_not_deadlock(
        scenario in scenarios_of(
            any::<[u8; 2]>().prop_map(|files| RowSpec::Pair { files: files.map(|file| file % 3) }),
            60,
        ),
    ) {
        let sheet = Sheet::of(&scenario);
        let history = simulate(&scenario);
        one_at_a_time(&sheet, &history);
        in_input_order(&sheet, &history);
    }

    #[test]
    fn dispatcher_is_deterministic(scenario in scenarios(), api in fake_apis(), weights in weights()) {
        let scenario = Scenario { api: FakeApi { weights, ..api }, ..scenario };
        let seen = |history: &History| format!("{:?} {:?}", history.events, history.requests);
        assert_eq!(seen(&simulate(&scenario)), seen(&simulate(&scenario)));
    }
}

fn sheet_of(specs: Vec<RowSpec>, api: FakeApi, attempts: u32) -> Scenario {
    let execution = execution(limit(100.0, 100, 0.0), 64, attempts);
    Scenario { execution, sheet: specs, batches: vec![(200, 0)], api }
}

fn plain(file: u8) -> RowSpec {
    RowSpec::Update { file, details: Details::Plain, remove: false, add: false, publish: false }
}

#[test]
fn request_with_one_file_twice_blocks_it_once() {
    let specs = vec![plain(1), RowSpec::Pair { files: [1, 1] }, plain(1), plain(1), plain(1)];
    let scenario = sheet_of(specs, FakeApi::default(), 3);
    let sheet = Sheet::of(&scenario);
    let history = simulate(&scenario);
    assert_eq!(history.sent().count(), 5);
    one_at_a_time(&sheet, &history);
    in_input_order(&sheet, &history);
}

#[test]
fn row_in_backoff_blocks_no_other_file() {
    // File 0 always fails: it may only cost its share of the rate limit.
    const ATTEMPTS: u32 = 6;
    let working: Vec<RowSpec> =
        (0..600).map(|n| plain(u8::try_from(n % 200 + 1).unwrap())).collect();
    let finish = |scenario: &Scenario, skip: usize| {
        let history = simulate(scenario);
        let last = history.responses().filter(|(_, sent, _)| sent.request >= skip);
        let failing = |sent: &SentRequest| sent.request < skip && sent.purpose == Purpose::Send;
        let failing = history.responses().filter(|(_, sent, _)| failing(sent)).count();
        (last.map(|(at, ..)| at).max().unwrap(), failing)
    };
    let mut api = FakeApi { latency_max_ms: 5, ..FakeApi::default() };
    let (baseline, _) = finish(&sheet_of(working.clone(), api.clone(), ATTEMPTS), 0);
    // Only the requests of the first row fail.
    api.always_fails = Some(super::scenario::FIRST_ROW);
    let with_failing = [vec![plain(0)], working].concat();
    let (with_failure, failing) = finish(&sheet_of(with_failing, api, ATTEMPTS), 1);
    assert_eq!(failing, ATTEMPTS as usize, "all attempts should be made");
    let failing_row_cost = Duration::from_secs_f64(f64::from(ATTEMPTS) / 100.0);
    let latency = Duration::from_millis(6);
    assert!(with_failure <= baseline + failing_row_cost + latency, "{with_failure:?} {baseline:?}");
}

#[test]
fn later_rows_wait_for_a_file_in_backoff() {
    let api = FakeApi { always_fails: Some(super::scenario::FIRST_ROW), ..FakeApi::default() };
    let scenario = sheet_of(vec![plain(0), plain(0), plain(1)], api, 4);
    let history = simulate(&scenario);
    let sent = history.sent().filter(|(_, sent)| sent.purpose == Purpose::Send);
    let order: Vec<usize> = sent.map(|(_, sent)| sent.request).collect();
    assert_eq!(order, [0, 2, 0, 0, 0, 1]);
    let lost =
        history.responses().filter(|(.., response)| *response == Response::ServerError).count();
    assert_eq!(lost, 4);
}

#[test]
fn rejected_merged_rows_are_resent_individually_in_order() {
    let script =
        vec![Response::Rejected, Response::ServerError, Response::Accepted, Response::Rejected];
    let api = FakeApi { script, ..FakeApi::default() };
    let publish = RowSpec::Update {
        file: 0,
        details: Details::None,
        remove: false,
        add: false,
        publish: true,
    };
    let scenario = sheet_of(vec![RowSpec::Merged { file: 0, billed: false }, publish], api, 3);
    let sheet = Sheet::of(&scenario);
    let history = simulate(&scenario);
    one_at_a_time(&sheet, &history);
    in_input_order(&sheet, &history);
    let sent = history.sent().filter(|(_, sent)| sent.purpose == Purpose::Send);
    let parts: Vec<(usize, u8)> = sent.map(|(_, sent)| (sent.request, sent.step_mask)).collect();
    assert_eq!(parts, [(0, 0b11), (0, 0b01), (0, 0b01), (0, 0b10), (1, 0b1)]);
}
