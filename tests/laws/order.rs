//! One request at a time for a file, in the order of the input.

use std::collections::HashMap;
use std::time::Duration;

use ikbulk::row::FileId;
use proptest::prelude::*;

use super::history::{Aim, History, Sheet, Shot, What};
use super::sim::{Bounds, Left, play, play_with};
use super::world::{
    Details, FarEnd, Reply, Spec, World, execution, far_ends, limit, weights, worlds, worlds_of,
};

/// Never two requests under way for one file.
fn one_at_a_time(sheet: &Sheet, history: &History) {
    let mut busy: HashMap<&FileId, usize> = HashMap::new();
    for (at, what) in &history.events {
        let (shot, starts) = match what {
            What::Sent(shot) => (*shot, true),
            What::Replied(shot, _) => (*shot, false),
            _ => continue,
        };
        if history.shots[shot].aim == Aim::Probe {
            continue;
        }
        for (_, file) in sheet.aimed_at(history.shots[shot]) {
            if starts {
                let other = busy.insert(file, shot);
                assert!(other.is_none_or(|other| other == shot), "two on {file} at {at:?}");
            } else {
                busy.remove(file);
            }
        }
    }
}

/// First sends follow the input, and each only when all before it on its files is written down.
fn in_input_order(sheet: &Sheet, history: &History) {
    let mut last: HashMap<&FileId, usize> = HashMap::new();
    history.replay(|ledger, at, what| {
        let What::Sent(shot) = what else { return };
        let shot = history.shots[*shot];
        if shot.aim == Aim::Probe {
            return;
        }
        for (_, file) in sheet.aimed_at(shot) {
            let before = last.insert(file, shot.request).unwrap_or(0);
            assert!(before <= shot.request, "{file} goes back from {before} at {at:?}");
            for earlier in before..shot.request {
                if sheet.requests[earlier].files.contains(file) {
                    let over = sheet.is_over_on(file, earlier, ledger);
                    assert!(over, "{} overtakes {earlier} on {file} at {at:?}", shot.request);
                }
            }
        }
    });
}

/// After a step without success nothing of its row is sent but the remainder of that step.
fn nothing_after_a_step_without_success(sheet: &Sheet, history: &History) {
    history.replay(|ledger, at, what| {
        let What::Sent(shot) = what else { return };
        let shot = history.shots[*shot];
        if matches!(shot.aim, Aim::Send | Aim::Read) {
            let over = sheet.are_over(sheet.aimed_at(shot).map(|(step, _)| step), ledger);
            assert!(!over, "request {} is over at {at:?}", shot.request);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn never_two_requests_are_under_way_for_one_file(world in worlds()) {
        one_at_a_time(&Sheet::of(&world), &play(&world));
    }

    #[test]
    fn the_requests_of_a_file_go_out_in_input_order_each_when_the_last_is_written_down(
        world in worlds(),
    ) {
        let history = play_with(&world, Bounds { late: true, ..Bounds::default() }, &Left::default());
        in_input_order(&Sheet::of(&world), &history);
    }

    #[test]
    fn nothing_of_a_row_follows_a_step_without_success(world in worlds()) {
        nothing_after_a_step_without_success(&Sheet::of(&world), &play(&world));
    }

    #[test]
    fn bulk_calls_on_many_files_never_wait_for_each_other(
        world in worlds_of(
            any::<[u8; 2]>().prop_map(|files| Spec::Pair { files: files.map(|file| file % 3) }),
            60,
        ),
    ) {
        let sheet = Sheet::of(&world);
        let history = play(&world);
        one_at_a_time(&sheet, &history);
        in_input_order(&sheet, &history);
    }

    #[test]
    fn the_same_seed_and_events_give_the_same_actions(world in worlds(), far_end in far_ends(), weights in weights()) {
        let world = World { far_end: FarEnd { weights, ..far_end }, ..world };
        let seen = |history: &History| format!("{:?} {:?}", history.events, history.shots);
        assert_eq!(seen(&play(&world)), seen(&play(&world)));
    }
}

fn sheet_of(specs: Vec<Spec>, far_end: FarEnd, attempts: u32) -> World {
    let execution = execution(limit(100.0, 100, 0.0), 64, attempts);
    World { execution, sheet: specs, batches: vec![(200, 0)], far_end }
}

fn plain(file: u8) -> Spec {
    Spec::Update { file, details: Details::Plain, remove: false, add: false, publish: false }
}

#[test]
fn a_request_that_names_a_file_twice_waits_its_turn_and_frees_it_once() {
    let specs = vec![plain(1), Spec::Pair { files: [1, 1] }, plain(1), plain(1), plain(1)];
    let world = sheet_of(specs, FarEnd::default(), 3);
    let sheet = Sheet::of(&world);
    let history = play(&world);
    assert_eq!(history.sent().count(), 5);
    one_at_a_time(&sheet, &history);
    in_input_order(&sheet, &history);
}

#[test]
fn a_row_in_backoff_blocks_no_other_file() {
    // File 0 is the one that always fails: only what it takes of the budget may be felt.
    const ATTEMPTS: u32 = 6;
    let good: Vec<Spec> = (0..600).map(|n| plain(u8::try_from(n % 200 + 1).unwrap())).collect();
    let finish = |world: &World, skip: usize| {
        let history = play(world);
        let last = history.replies().filter(|(_, shot, _)| shot.request >= skip);
        let failing = |shot: &Shot| shot.request < skip && shot.aim == Aim::Send;
        let failing = history.replies().filter(|(_, shot, _)| failing(shot)).count();
        (last.map(|(at, ..)| at).max().unwrap(), failing)
    };
    let mut far_end = FarEnd { latency_max_ms: 5, ..FarEnd::default() };
    let (undisturbed, _) = finish(&sheet_of(good.clone(), far_end.clone(), ATTEMPTS), 0);
    // A seed under which nobody but the first row fails comes from giving only it bad answers.
    far_end.always_fails = Some(super::world::FIRST_ROW);
    let with_bad = [vec![plain(0)], good].concat();
    let (disturbed, failing) = finish(&sheet_of(with_bad, far_end, ATTEMPTS), 1);
    assert_eq!(failing, ATTEMPTS as usize, "all of its attempts are made");
    let own_cost = Duration::from_secs_f64(f64::from(ATTEMPTS) / 100.0);
    let latency = Duration::from_millis(6);
    assert!(disturbed <= undisturbed + own_cost + latency, "{disturbed:?} {undisturbed:?}");
}

#[test]
fn a_file_in_backoff_is_not_overtaken_by_its_own_later_rows() {
    let far_end = FarEnd { always_fails: Some(super::world::FIRST_ROW), ..FarEnd::default() };
    let world = sheet_of(vec![plain(0), plain(0), plain(1)], far_end, 4);
    let history = play(&world);
    let sent = history.sent().filter(|(_, shot)| shot.aim == Aim::Send);
    let order: Vec<usize> = sent.map(|(_, shot)| shot.request).collect();
    assert_eq!(order, [0, 2, 0, 0, 0, 1]);
    let lost = history.replies().filter(|(.., reply)| *reply == Reply::Server).count();
    assert_eq!(lost, 4);
}

#[test]
fn merged_rows_that_are_refused_together_go_out_in_their_order_before_what_waits_behind() {
    let script = vec![Reply::Refused, Reply::Server, Reply::Accepted, Reply::Refused];
    let far_end = FarEnd { script, ..FarEnd::default() };
    let publish =
        Spec::Update { file: 0, details: Details::None, remove: false, add: false, publish: true };
    let world = sheet_of(vec![Spec::Merged { file: 0, paid: false }, publish], far_end, 3);
    let sheet = Sheet::of(&world);
    let history = play(&world);
    one_at_a_time(&sheet, &history);
    in_input_order(&sheet, &history);
    let sent = history.sent().filter(|(_, shot)| shot.aim == Aim::Send);
    let parts: Vec<(usize, u8)> = sent.map(|(_, shot)| (shot.request, shot.part)).collect();
    assert_eq!(parts, [(0, 0b11), (0, 0b01), (0, 0b01), (0, 0b10), (1, 0b1)]);
}
