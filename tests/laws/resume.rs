//! Interrupted anywhere, resumed: as if it had run through.

use std::collections::{BTreeMap, HashMap};

use ikbulk::execute::EndReason;
use ikbulk::outcome::Status;
use proptest::prelude::*;

use super::halts::mark_is_true;
use super::history::{Aim, History, Sheet, What};
use super::sim::{Bounds, Left, play, play_with};
use super::world::{FarEnd, Weights, World, direct_specs, worlds, worlds_of};

/// What is on disk of a session that died: its groups up to some moment after the last intent of
/// a request that went out, each with the mark that stood beside it.
fn on_disk(before: &Left, history: &History, chance: &mut fastrand::Rng) -> Left {
    // After each of these events a group may have been handed over: all that had been written by
    // then is in it, and the mark is the one of then.
    let mut moments = vec![before.clone()];
    let mut at = before.clone();
    let mut least = 0;
    for (_, what) in &history.events {
        match what {
            What::Wrote(op) => {
                at.ledger.apply(op);
                continue;
            }
            What::LowWater(row) => at.from = Some(*row),
            // The next intent may be in the group that the last outcome is in, never before it.
            What::Sent(_) => least = moments.len(),
            _ => {}
        }
        moments.push(at.clone());
    }
    moments.push(at);
    let least = least.min(moments.len() - 1);
    let Left { ledger, from } = moments.swap_remove(chance.usize(least..moments.len()));
    Left { ledger: ledger.left_behind(), from }
}

/// How often each request may have been carried out.
fn may_have_effect(history: &History) -> HashMap<usize, u32> {
    let mut count: HashMap<usize, u32> = HashMap::new();
    let mut open: BTreeMap<usize, usize> = BTreeMap::new();
    for (_, what) in &history.events {
        match what {
            What::Sent(id) if history.shots[*id].aim == Aim::Send => {
                open.insert(*id, history.shots[*id].request);
            }
            What::Replied(id, reply) => {
                if let Some(request) = open.remove(id).filter(|_| reply.may_have_effect()) {
                    *count.entry(request).or_default() += 1;
                }
            }
            _ => {}
        }
    }
    // Those under way when the program died may have been carried out too.
    for request in open.into_values() {
        *count.entry(request).or_default() += 1;
    }
    count
}

/// Nothing is sent again that the ledger holds an end of, or that may be under way.
fn builds_nothing_again(sheet: &Sheet, left: &Left, history: &History) {
    for (at, shot) in history.sent() {
        if !matches!(shot.aim, Aim::Send | Aim::Read) {
            continue;
        }
        for (step, _) in sheet.aimed_at(shot) {
            let known = left.ledger.status(step);
            assert!(known.is_none(), "{step:?} is {known:?} and is sent again at {at:?}");
        }
    }
}

fn resumed_to_the_end(world: &World, crashes: &[u64], seed: u64) {
    let sheet = Sheet::of(world);
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut left = Left::default();
    let mut effects: HashMap<usize, u32> = HashMap::new();
    for session in 0..=crashes.len() {
        // Every session meets other answers.
        let far_end = FarEnd { seed: world.far_end.seed ^ session as u64, ..world.far_end.clone() };
        let world = World { far_end, ..world.clone() };
        let crash_after = crashes.get(session).copied();
        let history = play_with(&world, Bounds { crash_after, ..Bounds::default() }, &left);
        builds_nothing_again(&sheet, &left, &history);
        for (request, times) in may_have_effect(&history) {
            *effects.entry(request).or_default() += times;
        }
        let died = history.ending().is_none();
        left = if died {
            on_disk(&left, &history, &mut chance)
        } else {
            let mut ledger = left.ledger.clone();
            history.replay(|_, _, what| {
                if let What::Wrote(op) = what {
                    ledger.apply(op);
                }
            });
            Left { ledger, from: left.from }
        };
        for row in sheet.rows.keys().filter(|row| left.from.is_some_and(|from| **row < from)) {
            assert!(sheet.is_settled(*row, &left.ledger), "row {row} is lost");
        }
        if !died {
            assert_eq!(history.ending(), Some(&EndReason::Done));
            break;
        }
    }
    for (index, request) in sheet.requests.iter().enumerate() {
        let times = effects.get(&index).copied().unwrap_or(0);
        assert!(!request.once || times <= 1, "request {index} may have been done {times} times");
    }
    for row in sheet.rows.keys() {
        let status = left.ledger.row_status(*row);
        assert_ne!(status, Status::NotAttempted, "row {row}");
        assert!(sheet.is_settled(*row, &left.ledger), "row {row} is {status} and not settled");
        if status == Status::Updated {
            for step in &sheet.rows[row] {
                assert!(effects.contains_key(&sheet.of_step[step]), "{step:?} never went out");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn everything_below_the_low_water_mark_is_settled_at_every_step(world in worlds()) {
        let sheet = Sheet::of(&world);
        let history = play(&world);
        let low_water = mark_is_true(&sheet, &history);
        prop_assert_eq!(low_water, *sheet.rows.keys().last().unwrap());
    }

    #[test]
    fn a_run_killed_at_any_step_and_resumed_settles_every_row_and_repeats_nothing(
        world in worlds_of(direct_specs(), 50),
        crashes in proptest::collection::vec(1_u64..400, 1..4),
        seed in any::<u64>(),
    ) {
        resumed_to_the_end(&world, &crashes, seed);
    }

    #[test]
    fn a_run_without_trouble_killed_and_resumed_ends_as_if_it_had_run_through(
        world in worlds_of(direct_specs(), 50),
        crashes in proptest::collection::vec(1_u64..400, 1..4),
        seed in any::<u64>(),
    ) {
        // Nothing goes wrong but the kill, so only what was under way then may be unknown.
        let weights = Weights { throttled: 10, not_sent: 5, ..Weights::default() };
        let far_end = FarEnd { weights, down: None, ..world.far_end };
        let world = World { far_end, ..world };
        resumed_to_the_end(&world, &crashes, seed);
    }
}
