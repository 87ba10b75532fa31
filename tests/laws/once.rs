//! What must not be repeated.

use std::collections::HashMap;
use std::num::NonZeroU32;

use ikbulk::execute::{EndReason, Halt};
use ikbulk::ledger::Op;
use ikbulk::outcome::Status;
use ikbulk::request::{StepKind, StepRef};
use proptest::prelude::*;

use super::history::{Aim, History, Sheet, Shot, What, is_lost};
use super::sim::play;
use super::world::{
    Details, FarEnd, Reply, Spec, Weights, World, direct_specs, execution, limit, worlds, worlds_of,
};

/// Sent again only after an answer that says that nothing was done.
fn at_most_once(sheet: &Sheet, history: &History) {
    let mut sent: HashMap<usize, Option<Reply>> = HashMap::new();
    history.replay(|ledger, at, what| match what {
        What::Sent(id) => {
            let shot = history.shots[*id];
            if shot.aim == Aim::Send && sheet.requests[shot.request].once {
                let before = sent.insert(shot.request, None);
                let undone = before.is_none_or(|reply| {
                    matches!(reply, Some(Reply::Throttled(_) | Reply::NotSent | Reply::Account))
                });
                assert!(undone, "request {} again after {before:?} at {at:?}", shot.request);
                for step in &sheet.requests[shot.request].steps {
                    assert!(ledger.has_intent(*step), "{step:?} is not recorded at {at:?}");
                }
            }
        }
        What::Replied(id, reply) => {
            let shot = history.shots[*id];
            if shot.aim == Aim::Send {
                sent.insert(shot.request, Some(*reply));
            }
        }
        _ => {}
    });
}

/// After a loss no paid request goes out until a probe has succeeded.
fn waits_for_a_probe(sheet: &Sheet, history: &History) {
    let mut waits = false;
    for (at, what) in &history.events {
        match what {
            What::Sent(id) => {
                let shot = history.shots[*id];
                let once = shot.aim == Aim::Send && sheet.requests[shot.request].once;
                assert!(!(waits && once), "request {} goes out at {at:?}", shot.request);
            }
            What::Replied(id, reply) => {
                let shot = history.shots[*id];
                match shot.aim {
                    Aim::Probe => waits &= reply.is_lost() || *reply == Reply::NotSent,
                    Aim::Send => waits |= reply.is_lost() && sheet.requests[shot.request].once,
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

/// A lost one is unknown, and its repeatable part, if it has one, is sent as such and settled.
fn lost_is_unknown(sheet: &Sheet, history: &History) {
    let ledger = history.ledger();
    for (_, shot, reply) in history.replies() {
        let request = &sheet.requests[shot.request];
        if shot.aim == Aim::Send && request.once && reply.is_lost() {
            for step in &request.steps {
                assert_eq!(ledger.status(*step), Some(Status::Unknown), "{step:?}");
                let remainder = StepRef { kind: StepKind::DetailsWithoutExtensions, ..*step };
                assert_eq!(ledger.status(remainder).is_some(), request.remainder, "{step:?}");
            }
        }
    }
    let unknown = ledger.steps().filter(|record| record.outcome.status == Status::Unknown);
    for record in unknown {
        let request = sheet.request_of(record.step);
        assert!(sheet.requests[request].once, "{:?} could have been repeated", record.step);
    }
}

/// Of a row with a lost details step, what is idempotent is sent and settled; its publication, and
/// what would follow a step that did not succeed, is recorded as not sent.
fn what_follows_a_lost_one(sheet: &Sheet, history: &History) {
    let ledger = history.ledger();
    let sent = |step: &StepRef| {
        let is_it = |shot: Shot| sheet.aimed_at(shot).any(|(aimed, _)| aimed == *step);
        history.sent().any(|(_, shot)| shot.aim == Aim::Send && is_it(shot))
    };
    for steps in sheet.rows.values() {
        let Some((details, behind)) = steps.split_first() else { continue };
        if !is_lost(*details, &ledger) {
            continue;
        }
        let remainder = StepRef { kind: StepKind::DetailsWithoutExtensions, ..*details };
        let mut may_follow = ledger.status(remainder).is_none_or(Status::is_success);
        for step in behind {
            may_follow &= step.kind != StepKind::Publish;
            assert_eq!(sent(step), may_follow, "{step:?} behind {details:?}");
            let status = ledger.status(*step).expect("it is settled");
            assert_eq!(status == Status::NotAttempted, !may_follow, "{step:?} is {status}");
            may_follow &= status.is_success();
        }
    }
}

/// Rows of which most must not be repeated.
fn paid_worlds() -> impl Strategy<Value = World> {
    let paid = prop_oneof![Just(Details::Paid), Just(Details::PaidAlone)];
    let paid =
        (0_u8..6, paid, any::<[bool; 3]>()).prop_map(|(file, details, [remove, add, publish])| {
            Spec::Update { file, details, remove, add, publish }
        });
    worlds_of(prop_oneof![3 => paid, 1 => direct_specs()], 40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn nothing_that_must_not_be_repeated_is_sent_twice(world in worlds()) {
        let sheet = Sheet::of(&world);
        at_most_once(&sheet, &play(&world));
    }

    #[test]
    fn paid_requests_wait_after_a_loss_until_a_probe_succeeds(world in paid_worlds()) {
        let sheet = Sheet::of(&world);
        let history = play(&world);
        at_most_once(&sheet, &history);
        waits_for_a_probe(&sheet, &history);
    }

    #[test]
    fn a_lost_request_is_unknown_and_only_its_repeatable_part_is_sent_again(
        world in paid_worlds(),
        lost in 5_u64..80,
    ) {
        let weights = Weights { lost, ..world.far_end.weights };
        let world = World { far_end: FarEnd { weights, ..world.far_end }, ..world };
        let sheet = Sheet::of(&world);
        let history = play(&world);
        at_most_once(&sheet, &history);
        lost_is_unknown(&sheet, &history);
        what_follows_a_lost_one(&sheet, &history);
    }

    #[test]
    fn so_many_unknown_steps_halt_a_run(world in paid_worlds(), unknown_max in 1_u32..6, lost in 5_u64..80) {
        let weights = Weights { lost, ..world.far_end.weights };
        let mut world = World { far_end: FarEnd { weights, ..world.far_end }, ..world };
        world.execution.halts.unknown_max = NonZeroU32::new(unknown_max).unwrap();
        let sheet = Sheet::of(&world);
        let history = play(&world);
        at_most_once(&sheet, &history);
        let mut unknown = 0;
        history.replay(|_, at, what| match what {
            What::Wrote(Op::Outcome { outcome, .. }) => {
                unknown += u32::from(outcome.status == Status::Unknown);
            }
            What::Sent(_) => assert!(unknown < unknown_max, "sent at {at:?} after {unknown}"),
            _ => {}
        });
        let halted = matches!(history.ending(), Some(EndReason::Halted(Halt::ManyUnknown { .. })));
        prop_assert_eq!(halted, unknown >= unknown_max);
    }
}

#[test]
fn a_probe_that_fails_takes_no_attempt_from_the_remainder_of_a_lost_request() {
    let paid =
        Spec::Update { file: 0, details: Details::Paid, remove: false, add: false, publish: false };
    let world = World {
        execution: execution(limit(5.0, 5, 0.0), 4, 1),
        sheet: vec![paid],
        batches: vec![(1, 0)],
        far_end: FarEnd {
            // The PATCH gets a 503, the probe after it no connection, the remainder a late yes.
            script: vec![Reply::Accepted, Reply::Server, Reply::NotSent, Reply::Accepted],
            ..FarEnd::default()
        },
    };
    let history = play(&world);
    let aims: Vec<Aim> = history.sent().map(|(_, shot)| shot.aim).take(4).collect();
    assert_eq!(aims, [Aim::Read, Aim::Send, Aim::Probe, Aim::DetailsWithoutExtensions]);
    let attempts: Vec<u32> = history.ledger().steps().map(|record| record.attempts).collect();
    assert_eq!(attempts, [1, 1]);
}
