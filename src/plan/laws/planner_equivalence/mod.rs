//! The default planner ends in the same state as the direct one with no more requests: both run the same
//! sheet on equal sandboxes.

mod runner;
mod sheet;

use std::num::NonZeroU32;
use std::time::Duration;

use crate::history::RunRecord;
use crate::input::{Context, Format, Input};
use crate::ledger::{Ended, LedgerFile, RunMeta};
use crate::outcome::Status;
use crate::settings::{DiffOptions, Planning, SkipTagged};
use crate::undo::{FileEffects, SkipReason, file_effects_of};
use ikbulk_sandbox::{Config, Fault, Faults};
use proptest::prelude::*;
use serde_json::Value;

use self::runner::{RunOutcome, StopAfter, TestRun};
use self::sheet::{Allowed, Row, libraries, library, sheets, with_tags_set_first};

const DEFAULT: Planning = Planning::Diff(DiffOptions {
    exact: false,
    rerun_extensions: false,
    skip_tagged: SkipTagged::Never,
});
const EXACT: Planning = Planning::Diff(DiffOptions {
    exact: true,
    rerun_extensions: false,
    skip_tagged: SkipTagged::Never,
});
const ALL: Allowed = Allowed { publish: true, invalid: true };
const IDEMPOTENT: Allowed = Allowed { publish: false, invalid: true };

fn config(files: &[Value]) -> Config {
    Config { library: library(files), ..Config::default() }
}

fn run_direct(library: &[Value], rows: &[Row]) -> RunOutcome {
    TestRun::new(config(library)).run(rows, Planning::Direct, &[])
}

/// Checks that the libraries are equal and the statuses correspond.
fn assert_equivalent(default: &RunOutcome, direct: &RunOutcome) {
    assert_eq!(default.library, direct.library);
    assert_eq!(default.statuses.len(), direct.statuses.len());
    for (row, status) in &default.statuses {
        let fits = match direct.statuses[row] {
            Status::Updated => matches!(status, Status::Updated | Status::Unchanged),
            other => *status == other,
        };
        assert!(fits, "row {row} is {status:?}, direct {:?}", direct.statuses[row]);
    }
}

/// Random faults before and after the change.
fn faults(seed: u64) -> Faults {
    let error = |code| (code, "{}".to_owned(), "application/json".to_owned());
    let (code, body, content_type) = error(500);
    let before = Fault::Status { code, body, content_type };
    let (code, body, content_type) = error(502);
    let after = Fault::StatusAfter { code, body, content_type };
    let random =
        vec![(before, 0.05), (after, 0.05), (Fault::ResetBefore, 0.05), (Fault::ResetAfter, 0.05)];
    Faults { random, seed, ..Faults::default() }
}

/// `LAW_CASES` in the environment is the number of cases in place of the usual one.
fn config_with_cases(usual: u32) -> ProptestConfig {
    let cases = std::env::var("LAW_CASES").ok();
    let cases = cases.map(|number| number.parse().expect("LAW_CASES is a number"));
    ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 40,
        ..ProptestConfig::with_cases(cases.unwrap_or(usual))
    }
}

proptest! {
    #![proptest_config(config_with_cases(40))]

    #[test]
    fn default_planner_equals_direct(library in libraries(), rows in sheets(ALL)) {
        let default = TestRun::new(config(&library)).run(&rows, DEFAULT, &[]);
        assert_equivalent(&default, &run_direct(&library, &rows));
    }

    #[test]
    fn default_planner_sends_no_more_writes(
        library in libraries(),
        rows in sheets(Allowed { publish: true, invalid: false }),
    ) {
        let default = TestRun::new(config(&library)).run(&rows, DEFAULT, &[]);
        let direct = run_direct(&library, &rows);
        assert!(default.writes <= direct.writes, "{} writes, direct {}", default.writes, direct.writes);
    }

    #[test]
    fn exact_planner_equals_direct(library in libraries(), rows in sheets(ALL)) {
        let exact = TestRun::new(config(&library)).run(&rows, EXACT, &[]);
        assert_equivalent(&exact, &run_direct(&library, &rows));
    }

    #[test]
    fn equals_direct_with_stale_search(
        library in libraries(),
        earlier in sheets(ALL),
        rows in sheets(ALL),
    ) {
        let lagging = Config { search_lag: Duration::from_hours(1), ..config(&library) };
        let [default, direct] = [TestRun::new(lagging), TestRun::new(config(&library))];
        for test_run in [&default, &direct] {
            test_run.run(&earlier, Planning::Direct, &[]);
        }
        let default = default.run(&rows, DEFAULT, &[]);
        assert_equivalent(&default, &direct.run(&rows, Planning::Direct, &[]));
    }

    #[test]
    fn equals_direct_after_stop_and_resume(
        library in libraries(),
        rows in sheets(IDEMPOTENT),
        stops in proptest::collection::vec((any::<bool>(), 1_u64..8), 1..3),
    ) {
        let stop_after = |(by_rows, count): &(bool, u64)| StopAfter {
            rows: by_rows.then_some(*count),
            writes: (!by_rows).then_some(*count),
        };
        let sessions: Vec<StopAfter> = stops.iter().map(stop_after).collect();
        let default = TestRun::new(config(&library)).run(&rows, DEFAULT, &sessions);
        assert_equivalent(&default, &run_direct(&library, &rows));
    }
}

proptest! {
    #![proptest_config(config_with_cases(12))]

    #[test]
    fn equals_direct_with_faults_and_a_stop(
        library in libraries(),
        rows in sheets(IDEMPOTENT),
        seed in any::<u64>(),
        rows_first in proptest::option::of(1_u64..20),
    ) {
        let faulty = Config { faults: faults(seed), ..config(&library) };
        let sessions = rows_first.map(|count| StopAfter { rows: Some(count), writes: None });
        let default = TestRun::new(faulty).run(&rows, DEFAULT, sessions.as_slice());
        assert_equivalent(&default, &run_direct(&library, &rows));
    }
}

proptest! {
    #![proptest_config(config_with_cases(40))]

    #[test]
    fn file_takes_at_most_one_patch(
        library in libraries(),
        rows in sheets(Allowed::default()).prop_map(with_tags_set_first),
    ) {
        let default = TestRun::new(config(&library)).run(&rows, DEFAULT, &[]);
        for (file, patches) in &default.patches {
            assert!(*patches <= 1, "{patches} PATCHes for {file}");
        }
    }
}

/// The conflicts that an undo of the run finds, although nothing else has changed its files.
fn false_conflicts(test_run: &TestRun, outcome: &RunOutcome, planning: Planning) -> Vec<String> {
    let ledger = LedgerFile::open(&outcome.directory).unwrap();
    let path = outcome.directory.join("input.csv");
    let input = Input::new(path, Format::Csv);
    let context = Context::default();
    ledger.set_ended(Some(Ended { exit_code: 0, rows_left: 0 })).unwrap();
    let meta = &RunMeta { planning, ..ledger.meta().unwrap() };
    let run = RunRecord { input: &input, context: &context, meta, ledger: &ledger };
    let mut conflicts = Vec::new();
    let visit = |effects: FileEffects| {
        let file = effects.file.as_str();
        let current = test_run.sandbox.file(file);
        let current = current.map(|fields| serde_json::from_value(fields).unwrap());
        let skipped = effects.reversal(current.as_ref(), None).skipped.into_iter();
        let changed = skipped.filter(|skipped| skipped.reason == SkipReason::ChangedSince);
        conflicts.extend(changed.map(|skipped| format!("{file}: {skipped:?}")));
        Ok(())
    };
    file_effects_of(run, visit).unwrap();
    conflicts
}

proptest! {
    #![proptest_config(config_with_cases(12))]

    #[test]
    fn undo_knows_every_state_that_a_run_leaves(
        library in libraries(),
        rows in sheets(ALL),
        seed in any::<u64>(),
        planning in proptest::sample::select(&[Planning::Direct, DEFAULT, EXACT]),
        rows_first in proptest::option::of(1_u64..20),
    ) {
        let faulty = Config { faults: faults(seed), ..config(&library) };
        let mut test_run = TestRun::new(faulty);
        test_run.attempts = NonZeroU32::new(2).unwrap();
        let sessions = rows_first.map(|count| StopAfter { rows: Some(count), writes: None });
        let outcome = test_run.run(&rows, planning, sessions.as_slice());
        assert_eq!(false_conflicts(&test_run, &outcome, planning), Vec::<String>::new());
    }
}
