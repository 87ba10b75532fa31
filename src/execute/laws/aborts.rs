//! When a run aborts, and the state of its rows.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::execute::{AbortReason, EndReason};
use crate::imagekit::RateLimitHeaders;
use crate::ledger::Op;
use crate::outcome::{Code, Status};
use crate::request::{BudgetKind, Endpoint, StepKind, StepRef};
use proptest::prelude::*;

use super::history::{History, Ledger, Observed, Purpose, Sheet, is_lost};
use super::scenario::{
    Details, FIRST_ROW, FakeApi, Response, RowSpec, Scenario, Weights, direct_specs, execution,
    limit, scenarios, scenarios_of,
};
use super::simulation::simulate;

/// All rows below the checkpoint are settled, whenever it moves and after steps are reopened.
pub(crate) fn checkpoint_is_valid(sheet: &Sheet, history: &History) -> u64 {
    let mut checkpoint = 0;
    let mut has_reopened = false;
    let look = |ledger: &Ledger, checkpoint: u64, at: Duration| {
        for row in sheet.rows.keys().take_while(|row| **row < checkpoint) {
            assert!(
                sheet.is_settled(*row, ledger),
                "row {row} below checkpoint {checkpoint} is open at {at:?}"
            );
        }
    };
    history.replay(|ledger, at, observed| {
        // The checkpoint is committed with the operations before it.
        match observed {
            Observed::Checkpoint(row) => {
                checkpoint = *row;
                look(ledger, checkpoint, at);
                has_reopened = false;
            }
            Observed::Recorded(Op::Reopen(_)) => has_reopened = true,
            Observed::Recorded(_) | Observed::Responded(..) => {}
            _ if has_reopened => {
                look(ledger, checkpoint, at);
                has_reopened = false;
            }
            _ => {}
        }
    });
    checkpoint
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn rows_of_the_same_rejection_streak_are_reopened(
        scenario in scenarios(),
        times in 2_u32..8,
        same_rejection in 30_u64..400,
    ) {
        let weights = Weights { same_rejection, ..scenario.api.weights };
        let mut scenario = Scenario { api: FakeApi { weights, ..scenario.api }, ..scenario };
        scenario.execution.abort_limits.same_rejection_max = NonZeroU32::new(times);
        let sheet = Sheet::of(&scenario);
        let history = simulate(&scenario);
        checkpoint_is_valid(&sheet, &history);
        let ledger = history.ledger();
        if let Some(EndReason::Aborted(AbortReason::SameRejection { message, times: reported, .. })) = history.end_reason() {
            prop_assert_eq!(*reported, times);
            prop_assert!(!message.is_empty());
        }
        let is_rejected = |row: &u64| ledger.row_status(*row) == Status::Rejected;
        // Exactly the last streak is reopened.
        let mut streak: Vec<(u64, Option<Box<str>>)> = Vec::new();
        history.replay(|_, _, observed| if let Observed::Recorded(Op::Outcome { step, outcome, .. }) = observed {
            if sheet.rows[&step.row].is_empty() || matches!(
                outcome.status,
                Status::Failed | Status::Unknown | Status::NotAttempted
            ) {
                return;
            }
            let same = streak.last().is_some_and(|(_, message)| *message == outcome.message);
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
            prop_assert!(!streak.iter().any(|(row, _)| is_rejected(row)), "{:?}", streak);
        }
        // The dispatcher counts reopened rows neither as rejected nor twice.
        for status in [Status::Rejected, Status::Updated, Status::Unknown, Status::Failed] {
            let expected = sheet.rows.keys().filter(|row| sheet.is_settled(**row, &ledger)
                && ledger.row_status(**row) == status).count() as u64;
            let with_open_idempotent_part = sheet.rows.keys().filter(|row| !sheet.is_settled(**row, &ledger)
                && ledger.row_status(**row) == status).count() as u64;
            let counted = history.settled[status as usize];
            prop_assert!((expected..=expected + with_open_idempotent_part).contains(&counted), "{}: {} of {}", status, counted, expected);
        }
    }

    #[test]
    fn account_rejection_aborts_and_reopens_its_row(
        scenario in scenarios_of(direct_specs(), 60),
        account_rejected in 1_u64..40,
    ) {
        let weights = Weights { account_rejected, ..scenario.api.weights };
        let scenario = Scenario { api: FakeApi { weights, ..scenario.api }, ..scenario };
        let sheet = Sheet::of(&scenario);
        let history = simulate(&scenario);
        checkpoint_is_valid(&sheet, &history);
        let ledger = history.ledger();
        let mut aborted = false;
        for (_, observed) in &history.events {
            match observed {
                Observed::Responded(id, Response::AccountRejected) => {
                    aborted = true;
                    let sent = history.requests[*id];
                    if sent.purpose != Purpose::DetailsWithoutExtensions {
                        for (step, _) in sheet.steps_of(sent) {
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
                Observed::Sent(id) => prop_assert!(!aborted, "{:?} after the abort", history.requests[*id]),
                _ => {}
            }
        }
        let ended = matches!(history.end_reason(), Some(EndReason::Aborted(AbortReason::Account { .. })));
        prop_assert_eq!(ended, aborted);
    }

    #[test]
    fn outage_aborts_after_down_max(
        scenario in scenarios(),
        connects in any::<bool>(),
        down_max_s in 60_u64..1200,
    ) {
        let from = Duration::from_millis(100);
        let outage = Some((from, Duration::from_hours(90), connects));
        let mut scenario = Scenario { api: FakeApi { outage, ..scenario.api }, ..scenario };
        scenario.execution.abort_limits.down_max = Duration::from_secs(down_max_s);
        let sheet = Sheet::of(&scenario);
        let history = simulate(&scenario);
        checkpoint_is_valid(&sheet, &history);
        if let Some(EndReason::Aborted(halt)) = history.end_reason() {
            let AbortReason::Down { after, .. } = halt else { panic!("{halt:?}") };
            prop_assert!(*after >= scenario.execution.abort_limits.down_max);
            // Delayed at most by the requests in flight.
            let last = history.events.last().unwrap().0;
            prop_assert!(*after <= scenario.execution.abort_limits.down_max + Duration::from_secs(31), "{:?}", after);
            prop_assert!(last >= scenario.execution.abort_limits.down_max);
        }
    }
}

fn plain(file: u8) -> RowSpec {
    RowSpec::Update { file, details: Details::Plain, remove: false, add: false, publish: false }
}

/// A scenario in which every write gets a 429 with this reset.
fn always_throttled(wait: Duration) -> Scenario {
    let note = RateLimitHeaders { reset: Some(wait), rate: None };
    let mut execution = execution(limit(5.0, 5, 0.0), 4, 3);
    execution.abort_limits.down_max = Duration::from_mins(15);
    Scenario {
        execution,
        sheet: (0..40).map(plain).collect(),
        batches: vec![(40, 0)],
        api: FakeApi {
            throttle_once: vec![(Duration::ZERO, Endpoint::Patch, note); 5000],
            ..FakeApi::default()
        },
    }
}

#[test]
fn endless_429s_abort_after_down_max() {
    let down_max = Duration::from_mins(15);
    for wait in [1, 60, 1200, 3600].map(Duration::from_secs) {
        let scenario = always_throttled(wait);
        let history = simulate(&scenario);
        let Some(EndReason::Aborted(AbortReason::Throttled { after })) = history.end_reason()
        else {
            panic!("{:?}", history.end_reason())
        };
        assert!(*after >= down_max && *after <= down_max + wait, "{wait:?}: {after:?}");
        let end = history.events.last().unwrap().0;
        assert!(end >= wait + down_max && end <= 2 * wait + down_max, "{wait:?}: {end:?}");
        assert_eq!(history.settled, [0; 6], "all rows should stay open");
        assert_eq!(checkpoint_is_valid(&Sheet::of(&scenario), &history), FIRST_ROW);
    }
}

#[test]
fn long_throttling_that_ends_does_not_abort() {
    let mut scenario = always_throttled(Duration::from_hours(23));
    scenario.api.throttle_once.truncate(4);
    let history = simulate(&scenario);
    assert_eq!(history.end_reason(), Some(&EndReason::Done));
    assert_eq!(history.settled[Status::Updated as usize], 40);
}

#[test]
fn in_flight_rejections_join_the_streak() {
    // Eight requests in flight, all rejected alike, and one more sent after each of the first two
    // responses. The run aborts at the third; seven more responses arrive after it.
    let mut execution = execution(limit(1000.0, 1000, 0.0), 8, 3);
    execution.abort_limits.same_rejection_max = NonZeroU32::new(3);
    let publish = |file| RowSpec::Update {
        file,
        details: Details::Plain,
        remove: false,
        add: false,
        publish: file % 2 == 0,
    };
    let weights = Weights { same_rejection: 1_000_000_000, ..Weights::default() };
    let scenario = Scenario {
        execution,
        sheet: (0..20).map(publish).collect(),
        batches: vec![(20, 0)],
        api: FakeApi { weights, ..FakeApi::default() },
    };
    let history = simulate(&scenario);
    let ledger = history.ledger();
    let Some(EndReason::Aborted(AbortReason::SameRejection { message, times, rows })) =
        history.end_reason()
    else {
        panic!("{:?}", history.end_reason())
    };
    assert_eq!((&**message, *times, rows.len()), ("the same for all", 3, 3));
    assert_eq!(history.times(BudgetKind::Writes).len(), 10);
    assert_eq!(ledger.steps().count(), 0, "no step should stay recorded");
    assert_eq!(history.settled, [0; 6]);
    assert_eq!(checkpoint_is_valid(&Sheet::of(&scenario), &history), FIRST_ROW);
}

#[test]
fn too_many_rejections_abort_after_100_responses() {
    let mut execution = execution(limit(1000.0, 1000, 0.0), 4, 3);
    execution.abort_limits.rejected_share_max = 0.2;
    let weights = Weights { rejected: 25, ..Weights::default() };
    let scenario = Scenario {
        execution,
        sheet: (0..=255).map(plain).collect(),
        batches: vec![(300, 0)],
        api: FakeApi { weights, ..FakeApi::default() },
    };
    let history = simulate(&scenario);
    let Some(EndReason::Aborted(AbortReason::ManyRejected { rejected, responses })) =
        history.end_reason()
    else {
        panic!("{:?}", history.end_reason())
    };
    assert!(*responses >= 100 && *rejected * 5 > *responses, "{rejected} of {responses}");
    let ledger = history.ledger();
    let code = |code| ledger.steps().filter(|s| s.outcome.code == Some(code)).count() as u64;
    assert!(
        code(Code::NotFound) + code(Code::RejectedByApi) >= *rejected,
        "these rows should stay rejected"
    );
}
