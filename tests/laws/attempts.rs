//! What counts as an attempt.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use ikbulk::execute::EndReason;
use ikbulk::imagekit::RateLimitNote;
use ikbulk::ledger::Op;
use ikbulk::outcome::Status;
use ikbulk::request::{Endpoint, StepKind, StepRef};
use proptest::prelude::*;

use super::history::{Aim, History, Sheet, What};
use super::sim::play;
use super::world::{
    Details, FIRST_ROW, FarEnd, Reply, Spec, Weights, World, execution, limit, worlds,
};

/// Attempts as the ledger has them are those that were made: every shot counts but those that
/// certainly did nothing. Where a probe failed, some were nobody's fault and may be left out.
fn reported_as_made(world: &World, history: &History) {
    let sheet = Sheet::of(world);
    let limit = world.execution.attempts.get();
    let mut made: HashMap<(StepRef, bool), u32> = HashMap::new();
    let mut probe_failed = false;
    history.replay(|_, at, what| match what {
        What::Sent(shot) => {
            let shot = history.shots[*shot];
            if shot.aim != Aim::Probe {
                for (step, _) in sheet.aimed_at(shot) {
                    *made.entry((step, shot.aim == Aim::DetailsWithoutExtensions)).or_default() +=
                        1;
                }
            }
        }
        What::Replied(shot, reply) => {
            let shot = history.shots[*shot];
            let nothing_done = matches!(reply, Reply::Throttled(_) | Reply::NotSent);
            if shot.aim == Aim::Probe {
                probe_failed |= reply.is_lost() || *reply == Reply::NotSent;
                return;
            }
            // What is refused to several files at once is sent in parts, each with all attempts,
            // but for the file that a 404 names.
            let files: HashSet<_> = sheet.aimed_at(shot).map(|(_, file)| file).collect();
            let is_refused = shot.aim == Aim::Send && reply.is_refused();
            // So is what merged rows of one file were refused together.
            let is_merged = sheet.is_merged(shot);
            let is_split = is_refused && (files.len() > 1 || is_merged);
            let last = sheet.aimed_at(shot).last().map(|(_, file)| file);
            for (step, file) in sheet.aimed_at(shot) {
                let is_named = *reply == Reply::NotFound && Some(file) == last && !is_merged;
                let anew = shot.aim == Aim::Read && reply.is_accepted() || is_split && !is_named;
                let made = made.get_mut(&(step, shot.aim == Aim::DetailsWithoutExtensions));
                match made {
                    Some(made) if anew => *made = 0,
                    Some(made) if nothing_done => *made -= 1,
                    Some(_) => {}
                    None => assert_eq!(shot.aim, Aim::Read, "it was sent"),
                }
            }
        }
        What::Wrote(Op::Outcome { step, outcome, attempts, .. })
            if outcome.status == Status::NotAttempted =>
        {
            assert_eq!(*attempts, 0, "{step:?} was not sent");
        }
        What::Wrote(Op::Outcome { step, outcome, attempts, .. })
            if !sheet.rows[&step.row].is_empty() =>
        {
            let is_remainder = step.kind == StepKind::DetailsWithoutExtensions;
            let kind = if is_remainder { StepKind::Details } else { step.kind };
            let made = made[&(StepRef { kind, ..*step }, is_remainder)];
            assert!((1..=made).contains(attempts), "{step:?}: {attempts} of {made} at {at:?}");
            assert!(probe_failed || *attempts == made, "{step:?}: {attempts} of {made} at {at:?}");
            assert!(*attempts <= limit, "{step:?}: {attempts} attempts at {at:?}");
            if outcome.status == Status::Failed {
                assert_eq!(*attempts, limit, "{step:?} fails before its time at {at:?}");
            }
        }
        _ => {}
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(250) })]

    #[test]
    fn the_attempts_reported_are_the_attempts_made(world in worlds()) {
        reported_as_made(&world, &play(&world));
    }

    #[test]
    fn a_429_or_a_connection_that_does_not_come_about_uses_up_no_attempt(
        world in worlds(),
        throttled in 20_u64..200,
        not_sent in 0_u64..100,
    ) {
        let weights = Weights { throttled, not_sent, lost: 30, ..Weights::default() };
        let world = World { far_end: FarEnd { weights, down: None, ..world.far_end }, ..world };
        reported_as_made(&world, &play(&world));
    }
}

fn plain(file: u8) -> Spec {
    Spec::Update { file, details: Details::Plain, remove: false, add: false, publish: false }
}

#[test]
fn after_many_429s_a_request_still_gets_all_of_its_attempts() {
    let note = RateLimitNote { reset: Some(Duration::from_millis(20)), rate: None };
    let far_end = FarEnd {
        always_fails: Some(FIRST_ROW),
        throttle_once: vec![(Duration::ZERO, Endpoint::Patch, note); 25],
        ..FarEnd::default()
    };
    let world = World {
        execution: execution(limit(100.0, 100, 0.0), 4, 3),
        sheet: vec![plain(1)],
        batches: vec![(1, 0)],
        far_end,
    };
    let history = play(&world);
    let count = |wanted: fn(Reply) -> bool| history.replies().filter(|(.., r)| wanted(*r)).count();
    assert_eq!(count(|reply| matches!(reply, Reply::Throttled(_))), 25);
    assert_eq!(count(|reply| reply == Reply::Server), 3);
    assert_eq!(history.ledger().row_status(FIRST_ROW), Status::Failed);
}

#[test]
fn while_the_service_is_down_nothing_but_probes_go_out_and_no_attempt_is_burnt() {
    // Down for ten minutes in the middle, with so few attempts that burning them would fail a row.
    let down = (Duration::from_secs(2), Duration::from_mins(10));
    for (connects, attempts) in [(false, 3), (true, 3), (false, 1), (true, 1)] {
        let world = World {
            execution: execution(limit(20.0, 20, 0.0), 8, attempts),
            sheet: (0..200).map(|n| plain(n % 100)).collect(),
            batches: vec![(200, 0)],
            far_end: FarEnd { down: Some((down.0, down.1, connects)), ..FarEnd::default() },
        };
        let history = play(&world);
        assert_eq!(history.ending(), Some(&EndReason::Done));
        let ledger = history.ledger();
        for row in FIRST_ROW..FIRST_ROW + 200 {
            assert_eq!(ledger.row_status(row), Status::Updated, "row {row}");
        }
        let within = |from: Duration, to: Duration| {
            history.sent().filter(move |(at, _)| (from..to).contains(at))
        };
        // By then the first answers are missing and the first probe too.
        let known = down.0 + Duration::from_mins(2);
        assert!(within(known, down.1).count() > 5, "somebody asks now and then");
        assert!(within(known, down.1).all(|(_, shot)| shot.aim == Aim::Probe));
        let back = within(down.1, down.1 + Duration::from_secs(70));
        assert!(back.count() > 50, "work goes on when the service is back");
    }
}

#[test]
fn a_row_fails_only_after_the_service_has_answered_a_probe() {
    let far_end = FarEnd { always_fails: Some(FIRST_ROW), ..FarEnd::default() };
    let world = World {
        execution: execution(limit(100.0, 100, 0.0), 4, 2),
        sheet: vec![plain(1), plain(2), plain(3)],
        batches: vec![(3, 0)],
        far_end,
    };
    let history = play(&world);
    let statuses = [0, 1, 2].map(|row| history.ledger().row_status(FIRST_ROW + row));
    assert_eq!(statuses, [Status::Failed, Status::Updated, Status::Updated]);
    let mut events = history.events.iter().rev().map(|(_, what)| what);
    let failed = |what: &&What| matches!(what, What::Wrote(Op::Outcome { outcome, .. }) if outcome.status == Status::Failed);
    events.by_ref().find(failed).unwrap();
    let replied = events.find_map(|what| match what {
        What::Replied(shot, reply) => Some((history.shots[*shot].aim, *reply)),
        _ => None,
    });
    assert_eq!(replied, Some((Aim::Probe, Reply::Accepted)));
}

#[test]
fn an_answer_that_is_not_imagekits_asks_at_once_whether_the_service_answers() {
    let world = World {
        execution: execution(limit(5.0, 5, 0.0), 1, 3),
        sheet: (0..20).map(plain).collect(),
        batches: vec![(20, 0)],
        far_end: FarEnd { script: vec![Reply::Unreadable], ..FarEnd::default() },
    };
    let history = play(&world);
    let aims: Vec<Aim> = history.sent().map(|(_, shot)| shot.aim).take(3).collect();
    assert_eq!(aims, [Aim::Send, Aim::Probe, Aim::Send]);
}

#[test]
fn an_outage_that_hits_the_last_rows_burns_none_of_their_attempts() {
    // Fewer requests are left than losses that mean an outage among many.
    for last in 1..10 {
        let world = World {
            execution: execution(limit(20.0, 20, 0.0), 8, 3),
            sheet: (0..last).map(plain).collect(),
            batches: vec![(usize::from(last), 0)],
            far_end: FarEnd {
                down: Some((Duration::ZERO, Duration::from_mins(3), true)),
                ..FarEnd::default()
            },
        };
        let history = play(&world);
        for row in 0..u64::from(last) {
            assert_eq!(history.ledger().row_status(FIRST_ROW + row), Status::Updated, "{last}");
        }
    }
}
