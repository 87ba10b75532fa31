//! Rows read = sum of statuses.

use std::time::Duration;

use ikbulk::execute::EndReason;
use ikbulk::outcome::Status;
use ikbulk::request::{StepKind, StepRef};
use proptest::prelude::*;

use super::history::{History, Ledger, Sheet, What, is_lost};
use super::sim::{Bounds, Left, play, play_with};
use super::world::{World, worlds};

fn statuses(sheet: &Sheet, ledger: &Ledger) -> Vec<Status> {
    sheet.rows.keys().map(|row| ledger.row_status(*row)).collect()
}

/// Nothing is half recorded: a row is settled, or a reader of the ledger finds that something of
/// it was not attempted; an intent never stays behind a run that ended in good order.
fn whole(world: &World, history: &History) {
    let sheet = Sheet::of(world);
    let ledger = history.ledger();
    for (row, steps) in &sheet.rows {
        let settled = sheet.is_settled(*row, &ledger);
        let status = ledger.row_status(*row);
        // The remainder of a lost request may be outstanding; the row is unknown all the same.
        let remainder_due = status == Status::Unknown;
        assert_eq!(
            status == Status::NotAttempted,
            !settled && !remainder_due,
            "row {row}: {status}, settled {settled}, {:?}",
            ledger.row(*row)
        );
        assert!(!steps.iter().any(|step| ledger.has_intent(*step)), "row {row} is left an intent");
    }
    for record in ledger.steps() {
        assert!(sheet.rows.contains_key(&record.step.row), "{record:?} is of no row");
        // Only behind details of unknown outcome a step says that it was not sent.
        let details = StepRef { kind: StepKind::Details, ..record.step };
        let is_behind_lost = is_lost(details, &ledger) && record.step != details;
        assert!(record.outcome.status != Status::NotAttempted || is_behind_lost, "{record:?}");
    }
    // Exactly one step of a settled row says that nothing follows; none of another row does.
    for row in sheet.rows.keys() {
        let done = ledger.row(*row).iter().filter(|record| record.row_done).count();
        let settled = sheet.is_settled(*row, &ledger);
        assert_eq!(done, usize::from(settled), "row {row}: {:?}", ledger.row(*row));
    }
}

/// The dispatcher's own counts are those of the ledger.
fn counts(world: &World, history: &History) {
    let sheet = Sheet::of(world);
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
    fn every_row_of_a_run_that_is_done_has_exactly_one_status(world in worlds()) {
        let history = play(&world);
        assert_eq!(history.ending(), Some(&EndReason::Done));
        let sheet = Sheet::of(&world);
        let ledger = history.ledger();
        let statuses = statuses(&sheet, &ledger);
        assert_eq!(statuses.len() as u64, world.sheet.iter().map(|spec| spec.rows()).sum::<u64>());
        assert!(!statuses.contains(&Status::NotAttempted), "{statuses:?}");
        assert_eq!(history.settled.iter().sum::<u64>(), statuses.len() as u64);
        let writes = history.writes;
        assert_eq!(writes.over, sheet.requests.len() as u64 + writes.added);
        whole(&world, &history);
        counts(&world, &history);
    }

    #[test]
    fn a_run_that_is_stopped_leaves_every_row_settled_or_not_attempted(
        world in worlds(),
        stop_at_ms in 0_u64..60_000,
    ) {
        let stop_at = Some(Duration::from_millis(stop_at_ms));
        let history = play_with(&world, Bounds { stop_at, late: true, ..Bounds::default() }, &Left::default());
        whole(&world, &history);
        let stopped = history.events.iter().position(|(_, what)| matches!(what, What::Stop));
        if let Some(stopped) = stopped {
            let after = &history.events[stopped..];
            assert!(!after.iter().any(|(_, what)| matches!(what, What::Sent(_))), "sent after the stop");
        }
    }
}
