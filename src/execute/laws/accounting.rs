//! Every row has exactly one status.

use std::time::Duration;

use crate::execute::EndReason;
use crate::outcome::Status;
use crate::request::{StepKind, StepRef};
use proptest::prelude::*;

use super::history::{History, Ledger, Observed, Sheet, is_lost};
use super::scenario::{Scenario, scenarios};
use super::simulation::{PriorState, SessionOptions, simulate, simulate_with};

fn statuses(sheet: &Sheet, ledger: &Ledger) -> Vec<Status> {
    sheet.rows.keys().map(|row| ledger.row_status(*row)).collect()
}

/// Every row is either settled or not attempted for a reader of the ledger; a run that ended normally
/// leaves no intent.
fn every_row_settled_or_open(scenario: &Scenario, history: &History) {
    let sheet = Sheet::of(scenario);
    let ledger = history.ledger();
    for (row, steps) in &sheet.rows {
        let settled = sheet.is_settled(*row, &ledger);
        let status = ledger.row_status(*row);
        // The idempotent part of a lost request may be open; the row is unknown anyway.
        let idempotent_part_may_be_open = status == Status::Unknown;
        assert_eq!(
            status == Status::NotAttempted,
            !settled && !idempotent_part_may_be_open,
            "row {row}: {status}, settled {settled}, {:?}",
            ledger.row(*row)
        );
        assert!(!steps.iter().any(|step| ledger.has_intent(*step)), "row {row} has an intent left");
    }
    for record in ledger.steps() {
        assert!(sheet.rows.contains_key(&record.step.row), "{record:?} belongs to no row");
        // Only after a lost details step are steps recorded as not sent.
        let details = StepRef { kind: StepKind::Details, ..record.step };
        let follows_lost_details = is_lost(details, &ledger) && record.step != details;
        assert!(
            record.outcome.status != Status::NotAttempted || follows_lost_details,
            "{record:?}"
        );
    }
    // Exactly one step of a settled row is marked as the last; none of an open row is.
    for row in sheet.rows.keys() {
        let last_steps = ledger.row(*row).iter().filter(|record| record.row_done).count();
        let settled = sheet.is_settled(*row, &ledger);
        assert_eq!(last_steps, usize::from(settled), "row {row}: {:?}", ledger.row(*row));
    }
}

/// The dispatcher's counts equal those of the ledger.
fn counts_match_ledger(scenario: &Scenario, history: &History) {
    let sheet = Sheet::of(scenario);
    let statuses = statuses(&sheet, &history.ledger());
    for (status, count) in Status::ALL.iter().zip(history.settled) {
        if *status != Status::NotAttempted {
            let found = statuses.iter().filter(|found| *found == status).count();
            assert_eq!(count, found as u64, "{status}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn finished_run_has_one_status_per_row(scenario in scenarios()) {
        let history = simulate(&scenario);
        assert_eq!(history.end_reason(), Some(&EndReason::Done));
        let sheet = Sheet::of(&scenario);
        let ledger = history.ledger();
        let statuses = statuses(&sheet, &ledger);
        assert_eq!(statuses.len() as u64, scenario.sheet.iter().map(|spec| spec.rows()).sum::<u64>());
        assert!(!statuses.contains(&Status::NotAttempted), "{statuses:?}");
        assert_eq!(history.settled.iter().sum::<u64>(), statuses.len() as u64);
        let writes = history.writes;
        assert_eq!(writes.finished, sheet.requests.len() as u64 + writes.added);
        every_row_settled_or_open(&scenario, &history);
        counts_match_ledger(&scenario, &history);
    }

    #[test]
    fn stopped_run_leaves_rows_settled_or_not_attempted(
        scenario in scenarios(),
        stop_at_ms in 0_u64..60_000,
    ) {
        let stop_at = Some(Duration::from_millis(stop_at_ms));
        let history = simulate_with(&scenario, SessionOptions { stop_at, wakes_late: true, ..SessionOptions::default() }, &PriorState::default());
        every_row_settled_or_open(&scenario, &history);
        let stop_index = history.events.iter().position(|(_, observed)| matches!(observed, Observed::StopRequested));
        if let Some(stop_index) = stop_index {
            let after = &history.events[stop_index..];
            assert!(!after.iter().any(|(_, observed)| matches!(observed, Observed::Sent(_))), "requests sent after the stop");
        }
    }
}
