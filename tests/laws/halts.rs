//! When a run halts by itself, and what it leaves.

use std::num::NonZeroU32;
use std::time::Duration;

use ikbulk::execute::{EndReason, Halt};
use ikbulk::imagekit::RateLimitNote;
use ikbulk::ledger::Op;
use ikbulk::outcome::{Code, Status};
use ikbulk::request::{BudgetKind, Endpoint, StepKind, StepRef};
use proptest::prelude::*;

use super::history::{Aim, History, Ledger, Sheet, What, is_lost};
use super::sim::play;
use super::world::{
    Details, FIRST_ROW, FarEnd, Reply, Spec, Weights, World, direct_specs, execution, limit,
    worlds, worlds_of,
};

/// Everything below the mark is settled, whenever it moves and whenever something is taken back.
pub(crate) fn mark_is_true(sheet: &Sheet, history: &History) -> u64 {
    let mut low_water = 0;
    let mut taken_back = false;
    let look = |ledger: &Ledger, water: u64, at: Duration| {
        for row in sheet.rows.keys().take_while(|row| **row < water) {
            assert!(sheet.is_settled(*row, ledger), "row {row} below {water} at {at:?} is not");
        }
    };
    history.replay(|ledger, at, what| {
        // The mark is written with what was written before it.
        match what {
            What::LowWater(row) => {
                low_water = *row;
                look(ledger, low_water, at);
                taken_back = false;
            }
            What::Wrote(Op::Reopen(_)) => taken_back = true,
            What::Wrote(_) | What::Replied(..) => {}
            _ if taken_back => {
                look(ledger, low_water, at);
                taken_back = false;
            }
            _ => {}
        }
    });
    low_water
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn the_rows_of_a_streak_of_one_rejection_are_not_attempted_after_the_halt(
        world in worlds(),
        times in 2_u32..8,
        same_refusal in 30_u64..400,
    ) {
        let weights = Weights { same_refusal, ..world.far_end.weights };
        let mut world = World { far_end: FarEnd { weights, ..world.far_end }, ..world };
        world.execution.halts.same_rejection_max = NonZeroU32::new(times);
        let sheet = Sheet::of(&world);
        let history = play(&world);
        mark_is_true(&sheet, &history);
        let ledger = history.ledger();
        if let Some(EndReason::Halted(Halt::SameRejection { message, times: said, .. })) = history.ending() {
            prop_assert_eq!(*said, times);
            prop_assert!(!message.is_empty());
        }
        let still = |row: &u64| ledger.row_status(*row) == Status::Rejected;
        // The last streak, and nothing else, is taken back.
        let mut streak: Vec<(u64, Option<Box<str>>)> = Vec::new();
        history.replay(|_, _, what| if let What::Wrote(Op::Outcome { step, outcome, .. }) = what {
            if sheet.rows[&step.row].is_empty() || matches!(
                outcome.status,
                Status::Failed | Status::Unknown | Status::NotAttempted
            ) {
                return;
            }
            let same = streak.last().is_some_and(|(_, said)| *said == outcome.message);
            if outcome.status != Status::Rejected || !same {
                if streak.len() < times as usize {
                    assert!(streak.iter().all(|(row, _)| ledger.row_status(*row) != Status::NotAttempted));
                }
                streak.clear();
            }
            if outcome.status == Status::Rejected {
                streak.push((step.row, outcome.message.clone()));
            }
        });
        if streak.len() >= times as usize {
            prop_assert!(!streak.iter().any(|(row, _)| still(row)), "{:?}", streak);
        }
        // And the dispatcher counts them neither as rejected nor twice.
        for status in [Status::Rejected, Status::Updated, Status::Unknown, Status::Failed] {
            let found = sheet.rows.keys().filter(|row| sheet.is_settled(**row, &ledger)
                && ledger.row_status(**row) == status).count() as u64;
            let remainders = sheet.rows.keys().filter(|row| !sheet.is_settled(**row, &ledger)
                && ledger.row_status(**row) == status).count() as u64;
            let counted = history.settled[status as usize];
            prop_assert!((found..=found + remainders).contains(&counted), "{}: {} of {}", status, counted, found);
        }
    }

    #[test]
    fn an_answer_about_the_account_halts_and_its_row_is_not_attempted(
        world in worlds_of(direct_specs(), 60),
        account in 1_u64..40,
    ) {
        let weights = Weights { account, ..world.far_end.weights };
        let world = World { far_end: FarEnd { weights, ..world.far_end }, ..world };
        let sheet = Sheet::of(&world);
        let history = play(&world);
        mark_is_true(&sheet, &history);
        let ledger = history.ledger();
        let mut halted = false;
        for (_, what) in &history.events {
            match what {
                What::Replied(id, Reply::Account) => {
                    halted = true;
                    let shot = history.shots[*id];
                    if shot.aim != Aim::DetailsWithoutExtensions {
                        for (step, _) in sheet.aimed_at(shot) {
                            prop_assert_eq!(ledger.status(step), None);
                            let details = StepRef { kind: StepKind::Details, ..step };
                            let expected = if is_lost(details, &ledger) {
                                Status::Unknown
                            } else {
                                Status::NotAttempted
                            };
                            prop_assert_eq!(ledger.row_status(step.row), expected);
                        }
                    }
                }
                What::Sent(id) => prop_assert!(!halted, "{:?} after the halt", history.shots[*id]),
                _ => {}
            }
        }
        let ended = matches!(history.ending(), Some(EndReason::Halted(Halt::Account { .. })));
        prop_assert_eq!(ended, halted);
    }

    #[test]
    fn a_service_that_stays_down_halts_after_the_time_given(
        world in worlds(),
        connects in any::<bool>(),
        down_max_s in 60_u64..1200,
    ) {
        let from = Duration::from_millis(100);
        let down = Some((from, Duration::from_hours(90), connects));
        let mut world = World { far_end: FarEnd { down, ..world.far_end }, ..world };
        world.execution.halts.down_max = Duration::from_secs(down_max_s);
        let sheet = Sheet::of(&world);
        let history = play(&world);
        mark_is_true(&sheet, &history);
        if let Some(EndReason::Halted(halt)) = history.ending() {
            let Halt::Down { after, .. } = halt else { panic!("{halt:?}") };
            prop_assert!(*after >= world.execution.halts.down_max);
            // Late by what was under way, no more.
            let last = history.events.last().unwrap().0;
            prop_assert!(*after <= world.execution.halts.down_max + Duration::from_secs(31), "{:?}", after);
            prop_assert!(last >= world.execution.halts.down_max);
        }
    }
}

fn plain(file: u8) -> Spec {
    Spec::Update { file, details: Details::Plain, remove: false, add: false, publish: false }
}

/// A sheet of rows of a file each, whose writes get nothing but 429s that state to wait so long.
fn throttled_for_ever(wait: Duration) -> World {
    let note = RateLimitNote { reset: Some(wait), rate: None };
    let mut execution = execution(limit(5.0, 5, 0.0), 4, 3);
    execution.halts.down_max = Duration::from_mins(15);
    World {
        execution,
        sheet: (0..40).map(plain).collect(),
        batches: vec![(40, 0)],
        far_end: FarEnd {
            throttle_once: vec![(Duration::ZERO, Endpoint::Patch, note); 5000],
            ..FarEnd::default()
        },
    }
}

#[test]
fn nothing_but_429s_halt_by_down_max_counted_from_the_end_of_the_first_stated_wait() {
    let down_max = Duration::from_mins(15);
    for wait in [1, 60, 1200, 3600].map(Duration::from_secs) {
        let world = throttled_for_ever(wait);
        let history = play(&world);
        let Some(EndReason::Halted(Halt::Throttled { after })) = history.ending() else {
            panic!("{:?}", history.ending())
        };
        assert!(*after >= down_max && *after <= down_max + wait, "{wait:?}: {after:?}");
        let end = history.events.last().unwrap().0;
        assert!(end >= wait + down_max && end <= 2 * wait + down_max, "{wait:?}: {end:?}");
        assert_eq!(history.settled, [0; 6], "all rows stay open");
        assert_eq!(mark_is_true(&Sheet::of(&world), &history), FIRST_ROW);
    }
}

#[test]
fn a_long_wait_that_ends_well_halts_nothing() {
    let mut world = throttled_for_ever(Duration::from_hours(23));
    world.far_end.throttle_once.truncate(4);
    let history = play(&world);
    assert_eq!(history.ending(), Some(&EndReason::Done));
    assert_eq!(history.settled[Status::Updated as usize], 40);
}

#[test]
fn requests_under_way_when_the_same_rejection_halts_belong_to_the_streak() {
    // Eight at once, all refused alike, and one more for each of the first two answers; the run
    // halts at the third, and seven more come in after it.
    let mut execution = execution(limit(1000.0, 1000, 0.0), 8, 3);
    execution.halts.same_rejection_max = NonZeroU32::new(3);
    let publish = |file| Spec::Update {
        file,
        details: Details::Plain,
        remove: false,
        add: false,
        publish: file % 2 == 0,
    };
    let weights = Weights { same_refusal: 1_000_000_000, ..Weights::default() };
    let world = World {
        execution,
        sheet: (0..20).map(publish).collect(),
        batches: vec![(20, 0)],
        far_end: FarEnd { weights, ..FarEnd::default() },
    };
    let history = play(&world);
    let ledger = history.ledger();
    let Some(EndReason::Halted(Halt::SameRejection { message, times, rows })) = history.ending()
    else {
        panic!("{:?}", history.ending())
    };
    assert_eq!((&**message, *times, rows.len()), ("the same for all", 3, 3));
    assert_eq!(history.times(BudgetKind::Writes).len(), 10);
    assert_eq!(ledger.steps().count(), 0, "nothing is left of any of them");
    assert_eq!(history.settled, [0; 6]);
    assert_eq!(mark_is_true(&Sheet::of(&world), &history), FIRST_ROW);
}

#[test]
fn too_many_rejections_halt_after_a_hundred_answers() {
    let mut execution = execution(limit(1000.0, 1000, 0.0), 4, 3);
    execution.halts.rejected_share_max = 0.2;
    let weights = Weights { refused: 25, ..Weights::default() };
    let world = World {
        execution,
        sheet: (0..=255).map(plain).collect(),
        batches: vec![(300, 0)],
        far_end: FarEnd { weights, ..FarEnd::default() },
    };
    let history = play(&world);
    let Some(EndReason::Halted(Halt::ManyRejected { rejected, answers })) = history.ending() else {
        panic!("{:?}", history.ending())
    };
    assert!(*answers >= 100 && *rejected * 5 > *answers, "{rejected} of {answers}");
    let ledger = history.ledger();
    let code = |code| ledger.steps().filter(|s| s.outcome.code == Some(code)).count() as u64;
    assert!(
        code(Code::NotFound) + code(Code::RejectedByApi) >= *rejected,
        "these rows stay rejected"
    );
}
