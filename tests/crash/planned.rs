//! A hundred kills of what the live planner plans, spread over all that it sends and reads: an
//! `apply`, a saved plan, an `undo`. Whoever does what the program says next ends as if there had
//! been none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ikbulk::sandbox::{Config, Hook, Phase};
use serde_json::Value;

use crate::case::{Ledger, each, library, number};
use crate::harness::{ChildHandle, CmdResult, Line, RunFiles, TestEnv, with_library};
use crate::sheet::{self, Row};

const FAST: &str = "--rate unlimited --read-rate unlimited --concurrency 3";
/// What of a row must not differ.
const COMPARED: [&str; 7] = [
    "row",
    "fileId",
    "status",
    "code",
    "extensionStatus.google-auto-tagging",
    "extensionStatus.ai-auto-description",
    "extensionStatus.remove-bg",
];

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// `apply`.
    Apply,
    /// `plan`, while it reads.
    Plan,
    /// `apply --plan`.
    Saved,
    /// `undo`.
    Undo,
}

/// How often each is killed: a hundred times in all.
const KILLS: [(Deed, u64); 4] =
    [(Deed::Apply, 40), (Deed::Plan, 5), (Deed::Saved, 30), (Deed::Undo, 25)];

/// A world in which the program is killed at one request of those to come.
struct Scene {
    world: TestEnv,
    rows: Vec<Row>,
    victim: ChildHandle,
    moment: Arc<Mutex<Option<(u64, Phase)>>>,
}

impl Scene {
    fn new() -> Self {
        let rows = sheet::rows();
        let (victim, moment) =
            (ChildHandle::default(), Arc::<Mutex<Option<(u64, Phase)>>>::default());
        let (hand, set) = (victim.clone(), Arc::clone(&moment));
        let hook = Hook::new(move |event| {
            let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
            if set.take_if(|set| *set == (event.n, event.phase)).is_some() {
                hand.kill();
            }
        });
        let world =
            TestEnv::new(Config { hook: Some(hook), ..with_library(sheet::library(&rows)) });
        world.write("sheet.csv", sheet::csv(&rows));
        Self { world, rows, victim, moment }
    }

    fn requests(&self) -> u64 {
        self.world.sandbox.stats().requests
    }

    fn run(&self, line: &str) -> CmdResult {
        let words: Vec<&str> = line.split(' ').collect();
        self.world.command(&words).run_as(&self.victim)
    }

    /// Runs a command, which is killed at that request of its own.
    fn killed(&self, line: &str, n: u64, phase: Phase) {
        let at = self.requests() + n;
        *self.moment.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, phase));
        let done = self.run(line);
        assert_eq!(done.code, None, "it was not killed: {}", done.err);
    }

    fn last_run(&self) -> RunFiles {
        self.world.runs("sheet").pop().expect("a run has begun")
    }

    fn line(&self, deed: Deed) -> String {
        match deed {
            Deed::Apply => format!("apply sheet.csv --yes --max-bad 100% {FAST}"),
            Deed::Plan => "plan sheet.csv --read-rate unlimited".to_owned(),
            Deed::Saved => format!("apply --yes --plan {} {FAST}", self.last_run().name()),
            Deed::Undo => format!("undo --yes {} {FAST}", self.last_run().name()),
        }
    }

    /// Does all that has to be done before that.
    fn prepare(&self, deed: Deed) {
        let before = match deed {
            Deed::Apply | Deed::Plan => return,
            Deed::Saved => Deed::Plan,
            Deed::Undo => Deed::Apply,
        };
        let done = self.run(&self.line(before));
        assert!(matches!(done.code, Some(0 | 1)), "{}", done.err);
    }

    /// Does what a person does then: goes on with the run, or, where the program says that nothing
    /// was sent, does the same again.
    fn go_on(&self, line: &str, deed: Deed) {
        if deed != Deed::Plan {
            let resumed = self.run(&format!("resume --yes {} {}", self.last_run().name(), FAST));
            if resumed.code != Some(2) {
                return;
            }
        }
        let done = self.run(line);
        assert!(done.code.is_some_and(|code| code != 2), "{}", done.err);
        if deed == Deed::Plan {
            self.run(&self.line(Deed::Saved));
        }
    }
}

impl Scene {
    /// Rows of which a request that must not be repeated was under way at the kill.
    fn in_flight(&self) -> BTreeSet<u64> {
        let run = self.last_run();
        if run.path().join("ledger.db").exists() {
            Ledger::of(run.path()).intents().collect()
        } else {
            // Nothing is sent before.
            BTreeSet::new()
        }
    }

    /// The fields of files for which nobody can vouch because of these rows.
    fn at_stake(&self, rows: &BTreeSet<u64>) -> BTreeSet<(&str, &str)> {
        let rows =
            rows.iter().map(|row| &self.rows[usize::try_from(row - 2).expect("it is small")]);
        rows.flat_map(|row| row.at_stake.iter().map(|field| (row.file.as_str(), *field))).collect()
    }
}

/// How it ends.
struct End {
    report: Vec<Line>,
    library: BTreeMap<String, BTreeMap<String, Value>>,
    /// Requests of the deed alone.
    requests: u64,
}

impl End {
    fn of(scene: &Scene, before: u64) -> Self {
        let mut library = library(&scene.world);
        for tags in library.values_mut().filter_map(|file| file.get_mut("tags")) {
            if let Some(tags) = tags.as_array_mut() {
                tags.sort_by_key(ToString::to_string);
            }
        }
        let requests = scene.requests() - before;
        Self { report: scene.last_run().report(), library, requests }
    }
}

/// The same, left in peace.
fn undisturbed(deed: Deed) -> &'static End {
    static ENDS: [OnceLock<End>; KILLS.len()] = [const { OnceLock::new() }; KILLS.len()];
    ENDS[deed as usize].get_or_init(|| {
        let scene = Scene::new();
        scene.prepare(deed);
        let before = scene.requests();
        let done = scene.run(&scene.line(deed));
        assert!(matches!(done.code, Some(0 | 1)), "{}", done.err);
        if deed == Deed::Plan {
            let requests = scene.requests() - before;
            scene.run(&scene.line(Deed::Saved));
            return End { requests, ..End::of(&scene, before) };
        }
        End::of(&scene, before)
    })
}

/// One kill, and what must hold after it.
fn killed_and_gone_on(deed: Deed, n: u64, phase: Phase) {
    let scene = Scene::new();
    scene.prepare(deed);
    let line = scene.line(deed);
    scene.killed(&line, n, phase);
    let in_flight = scene.in_flight();
    scene.go_on(&line, deed);
    let (end, expected) = (End::of(&scene, 0), undisturbed(deed));
    compare_rows(&end, expected, &in_flight);
    compare_library(&end, expected, &scene.at_stake(&in_flight));
    let stats = scene.world.sandbox.stats();
    assert!(stats.max_paid_runs_per_pair <= 1, "paid twice: {:?}", stats.paid_runs_by_file);
    assert!(!stats.overlapped, "two requests for one file at once");
}

/// Rows of which something that must not be repeated was under way are unknown, all others as ever.
fn compare_rows(end: &End, expected: &End, in_flight: &BTreeSet<u64>) {
    assert_eq!(end.report.len(), expected.report.len());
    for (line, expected) in end.report.iter().zip(&expected.report) {
        let row = number(line);
        if in_flight.contains(&row) {
            assert_eq!(line["status"], "unknown", "row {row}");
            continue;
        }
        for column in COMPARED {
            assert_eq!(line.get(column), expected.get(column), "{column} of row {row}: {line:?}");
        }
    }
}

fn compare_library(end: &End, expected: &End, at_stake: &BTreeSet<(&str, &str)>) {
    assert_eq!(end.library.len(), expected.library.len());
    for (id, file) in &end.library {
        let expected = &expected.library[id];
        for (field, value) in file {
            let is_exempt = at_stake.contains(&(id.as_str(), field.as_str()));
            assert!(is_exempt || Some(value) == expected.get(field), "{field} of {id}: {value}");
        }
    }
}

/// Says which case it was, if it fails.
struct Context(Deed, u64, Phase);

impl Drop for Context {
    #[expect(clippy::print_stderr, reason = "it is for whoever looks into the failure")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("killed at request {1} of {0:?}, {2:?}", self.0, self.1, self.2);
        }
    }
}

#[test]
fn killed_at_a_hundred_moments_what_is_planned_ends_as_if_there_had_been_none() {
    let mut moments = Vec::new();
    for (deed, kills) in KILLS {
        let requests = undisturbed(deed).requests;
        for kill in 0..kills {
            let event = kill * 2 * requests / kills;
            let phase = if event.is_multiple_of(2) { Phase::Arrived } else { Phase::Worked };
            moments.push((deed, event / 2 + 1, phase));
        }
    }
    assert_eq!(moments.len(), 100);
    each(&moments, |(deed, n, phase)| {
        let _context = Context(deed, n, phase);
        killed_and_gone_on(deed, n, phase);
    });
}
