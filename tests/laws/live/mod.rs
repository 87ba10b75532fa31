//! The live planner comes to the same as the direct one, in no more requests: both play the same
//! sheet on equal sandboxes.

mod play;
mod sheet;

use std::time::Duration;

use ikbulk::outcome::Status;
use ikbulk::sandbox::{Config, Fault, Faults};
use ikbulk::settings::{LiveOptions, Planning};
use proptest::prelude::*;
use serde_json::Value;

use self::play::{Played, Scene, Until};
use self::sheet::{Allowed, Row, libraries, library, sheets, with_tags_set_first};

const LIVE: Planning =
    Planning::Live(LiveOptions { exact: false, rerun_extensions: false, skip_tagged: false });
const EXACT: Planning =
    Planning::Live(LiveOptions { exact: true, rerun_extensions: false, skip_tagged: false });
const ALL: Allowed = Allowed { publish: true, refused: true };
const REPEATABLE: Allowed = Allowed { publish: false, refused: true };

fn with(files: &[Value]) -> Config {
    Config { library: library(files), ..Config::default() }
}

fn directly(library: &[Value], rows: &[Row]) -> Played {
    Scene::new(with(library)).play(rows, Planning::Direct, &[])
}

/// The library is the same, and every row has a status that fits.
fn is_equal(live: &Played, direct: &Played) {
    assert_eq!(live.library, direct.library);
    assert_eq!(live.statuses.len(), direct.statuses.len());
    for (row, status) in &live.statuses {
        let fits = match direct.statuses[row] {
            Status::Updated => matches!(status, Status::Updated | Status::Unchanged),
            other => *status == other,
        };
        assert!(fits, "row {row} is {status:?} and directly {:?}", direct.statuses[row]);
    }
}

/// Requests that came to nothing, or to something else, before they were done.
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

fn cases(number: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 40,
        ..ProptestConfig::with_cases(number)
    }
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn live_comes_to_the_same_as_direct(library in libraries(), rows in sheets(ALL)) {
        let live = Scene::new(with(&library)).play(&rows, LIVE, &[]);
        is_equal(&live, &directly(&library, &rows));
    }

    #[test]
    fn live_sends_no_more_writes_than_direct(
        library in libraries(),
        rows in sheets(Allowed { publish: true, refused: false }),
    ) {
        let live = Scene::new(with(&library)).play(&rows, LIVE, &[]);
        let direct = directly(&library, &rows);
        assert!(live.writes <= direct.writes, "{} and not {}", live.writes, direct.writes);
    }

    #[test]
    fn exact_comes_to_the_same_as_direct(library in libraries(), rows in sheets(ALL)) {
        let exact = Scene::new(with(&library)).play(&rows, EXACT, &[]);
        is_equal(&exact, &directly(&library, &rows));
    }

    #[test]
    fn where_search_lags_behind_it_comes_to_the_same(
        library in libraries(),
        earlier in sheets(ALL),
        rows in sheets(ALL),
    ) {
        let lagging = Config { search_lag: Duration::from_hours(1), ..with(&library) };
        let [live, direct] = [Scene::new(lagging), Scene::new(with(&library))];
        for scene in [&live, &direct] {
            scene.play(&earlier, Planning::Direct, &[]);
        }
        let live = live.play(&rows, LIVE, &[]);
        is_equal(&live, &direct.play(&rows, Planning::Direct, &[]));
    }

    #[test]
    fn stopped_and_resumed_it_comes_to_the_same(
        library in libraries(),
        rows in sheets(REPEATABLE),
        stops in proptest::collection::vec((any::<bool>(), 1_u64..8), 1..3),
    ) {
        let until = |(by_rows, count): &(bool, u64)| Until {
            rows: by_rows.then_some(*count),
            writes: (!by_rows).then_some(*count),
        };
        let sessions: Vec<Until> = stops.iter().map(until).collect();
        let live = Scene::new(with(&library)).play(&rows, LIVE, &sessions);
        is_equal(&live, &directly(&library, &rows));
    }
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn with_faults_and_a_stop_it_comes_to_the_same(
        library in libraries(),
        rows in sheets(REPEATABLE),
        seed in any::<u64>(),
        rows_first in proptest::option::of(1_u64..20),
    ) {
        let faulty = Config { faults: faults(seed), ..with(&library) };
        let sessions = rows_first.map(|count| Until { rows: Some(count), writes: None });
        let live = Scene::new(faulty).play(&rows, LIVE, sessions.as_slice());
        is_equal(&live, &directly(&library, &rows));
    }
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn a_file_takes_one_patch_at_most(
        library in libraries(),
        rows in sheets(Allowed::default()).prop_map(with_tags_set_first),
    ) {
        let live = Scene::new(with(&library)).play(&rows, LIVE, &[]);
        for (file, patches) in &live.patches {
            assert!(*patches <= 1, "{patches} PATCHes for {file}");
        }
    }
}
