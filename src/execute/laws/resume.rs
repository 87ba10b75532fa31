//! A run interrupted anywhere and resumed ends like an uninterrupted one.

use std::collections::{BTreeMap, HashMap};

use crate::execute::EndReason;
use crate::outcome::Status;
use proptest::prelude::*;

use super::aborts::checkpoint_is_valid;
use super::history::{History, Observed, Purpose, Sheet};
use super::scenario::{FakeApi, Scenario, Weights, direct_specs, scenarios, scenarios_of};
use super::simulation::{PriorState, SessionOptions, simulate, simulate_with};

/// The state on disk after a crash: any prefix of the commit groups that contains the intents of all sent
/// requests, each group with its checkpoint.
fn on_disk(before: &PriorState, history: &History, rng: &mut fastrand::Rng) -> PriorState {
    // A group may be committed after each of these events, with everything recorded so far and the
    // checkpoint at that time.
    let mut states = vec![before.clone()];
    let mut state = before.clone();
    let mut earliest = 0;
    for (_, observed) in &history.events {
        match observed {
            Observed::Recorded(op) => {
                state.ledger.apply(op);
                continue;
            }
            Observed::Checkpoint(row) => state.from = Some(*row),
            // A request is sent only after its intent is committed.
            Observed::Sent(_) => earliest = states.len(),
            _ => {}
        }
        states.push(state.clone());
    }
    states.push(state);
    let earliest = earliest.min(states.len() - 1);
    let PriorState { ledger, from } = states.swap_remove(rng.usize(earliest..states.len()));
    PriorState { ledger: ledger.reopened(), from }
}

/// How often each request may have taken effect.
fn may_have_effect(history: &History) -> HashMap<usize, u32> {
    let mut count: HashMap<usize, u32> = HashMap::new();
    let mut open: BTreeMap<usize, usize> = BTreeMap::new();
    for (_, observed) in &history.events {
        match observed {
            Observed::Sent(id) if history.requests[*id].purpose == Purpose::Send => {
                open.insert(*id, history.requests[*id].request);
            }
            Observed::Responded(id, response) => {
                if let Some(request) = open.remove(id).filter(|_| response.may_have_effect()) {
                    *count.entry(request).or_default() += 1;
                }
            }
            _ => {}
        }
    }
    // Requests in flight at the crash may have taken effect too.
    for request in open.into_values() {
        *count.entry(request).or_default() += 1;
    }
    count
}

/// No step is sent that has a status in the ledger.
fn repeats_no_settled_step(sheet: &Sheet, prior: &PriorState, history: &History) {
    for (at, sent) in history.sent() {
        if !matches!(sent.purpose, Purpose::Send | Purpose::Read) {
            continue;
        }
        for (step, _) in sheet.steps_of(sent) {
            let known = prior.ledger.status(step);
            assert!(known.is_none(), "{step:?} is {known:?} but is sent again at {at:?}");
        }
    }
}

fn resumed_to_the_end(scenario: &Scenario, crashes: &[u64], seed: u64) {
    let sheet = Sheet::of(scenario);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut prior = PriorState::default();
    let mut effects: HashMap<usize, u32> = HashMap::new();
    for session in 0..=crashes.len() {
        // Every session gets different responses.
        let api = FakeApi { seed: scenario.api.seed ^ session as u64, ..scenario.api.clone() };
        let scenario = Scenario { api, ..scenario.clone() };
        let crash_after = crashes.get(session).copied();
        let history = simulate_with(
            &scenario,
            SessionOptions { crash_after, ..SessionOptions::default() },
            &prior,
        );
        repeats_no_settled_step(&sheet, &prior, &history);
        for (request, times) in may_have_effect(&history) {
            *effects.entry(request).or_default() += times;
        }
        let ended_early = history.end_reason().is_none();
        prior = if ended_early {
            on_disk(&prior, &history, &mut rng)
        } else {
            let mut ledger = prior.ledger.clone();
            history.replay(|_, _, observed| {
                if let Observed::Recorded(op) = observed {
                    ledger.apply(op);
                }
            });
            PriorState { ledger, from: prior.from }
        };
        for row in sheet.rows.keys().filter(|row| prior.from.is_some_and(|from| **row < from)) {
            assert!(
                sheet.is_settled(*row, &prior.ledger),
                "row {row} is below the checkpoint but open"
            );
        }
        if !ended_early {
            assert_eq!(history.end_reason(), Some(&EndReason::Done));
            break;
        }
    }
    assert_settled(&sheet, &effects, &prior);
}

/// Every row is settled, every step of an updated row may have taken effect, and no at-most-once
/// request may have done so twice.
fn assert_settled(sheet: &Sheet, effects: &HashMap<usize, u32>, prior: &PriorState) {
    for (index, request) in sheet.requests.iter().enumerate() {
        let times = effects.get(&index).copied().unwrap_or(0);
        assert!(
            !request.at_most_once || times <= 1,
            "request {index} may have taken effect {times} times"
        );
    }
    for row in sheet.rows.keys() {
        let status = prior.ledger.row_status(*row);
        assert_ne!(status, Status::NotAttempted, "row {row}");
        assert!(sheet.is_settled(*row, &prior.ledger), "row {row} is {status} but not settled");
        if status == Status::Updated {
            for step in &sheet.rows[row] {
                assert!(
                    effects.contains_key(&sheet.request_by_step[step]),
                    "{step:?} was never sent"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn all_rows_below_the_checkpoint_are_settled(scenario in scenarios()) {
        let sheet = Sheet::of(&scenario);
        let history = simulate(&scenario);
        let checkpoint = checkpoint_is_valid(&sheet, &history);
        prop_assert_eq!(checkpoint, *sheet.rows.keys().last().unwrap());
    }

    #[test]
    fn killed_and_resumed_run_settles_every_row_once(
        scenario in scenarios_of(direct_specs(), 50),
        crashes in proptest::collection::vec(1_u64..400, 1..4),
        seed in any::<u64>(),
    ) {
        resumed_to_the_end(&scenario, &crashes, seed);
    }

    #[test]
    fn killed_and_resumed_run_without_faults_completes(
        scenario in scenarios_of(direct_specs(), 50),
        crashes in proptest::collection::vec(1_u64..400, 1..4),
        seed in any::<u64>(),
    ) {
        // Nothing fails except by the crash, so that only requests in flight may be unknown.
        let weights = Weights { throttled: 10, not_sent: 5, ..Weights::default() };
        let api = FakeApi { weights, outage: None, ..scenario.api };
        let scenario = Scenario { api, ..scenario };
        resumed_to_the_end(&scenario, &crashes, seed);
    }
}
