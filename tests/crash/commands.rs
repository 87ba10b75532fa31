//! 100 kills of `apply`, `plan`, `apply --plan` and `undo` with the default planner, spread over all
//! requests. After the recovery that the program proposes, the result equals an uninterrupted run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ikbulk_sandbox::{Config, Hook, Phase};
use serde_json::Value;

use crate::case::{LedgerSteps, library, row_number, run_parallel};
use crate::harness::{ChildHandle, CmdResult, Line, RunFiles, TestEnv, with_library};
use crate::sheet::{self, Row};

const NO_LIMITS: &str = "--rate unlimited --read-rate unlimited --concurrency 3";
/// Report columns that must equal the baseline.
const COMPARED: [&str; 7] = [
    "row",
    "fileId",
    "status",
    "code",
    "extensionStatus.google-auto-tagging",
    "extensionStatus.ai-auto-description",
    "extensionStatus.remove-bg",
];

/// The command that is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KilledCommand {
    Apply,
    Plan,
    ApplyPlan,
    Undo,
}

/// Number of kills per command, 100 in total.
const KILLS: [(KilledCommand, u64); 4] = [
    (KilledCommand::Apply, 40),
    (KilledCommand::Plan, 5),
    (KilledCommand::ApplyPlan, 30),
    (KilledCommand::Undo, 25),
];

/// A test environment whose sandbox kills the program at one chosen request.
struct CrashSite {
    env: TestEnv,
    rows: Vec<Row>,
    process: ChildHandle,
    kill_at: Arc<Mutex<Option<(u64, Phase)>>>,
}

impl CrashSite {
    fn new() -> Self {
        let rows = sheet::rows();
        let (process, kill_at) =
            (ChildHandle::default(), Arc::<Mutex<Option<(u64, Phase)>>>::default());
        let (child, kill) = (process.clone(), Arc::clone(&kill_at));
        let hook = Hook::new(move |event| {
            let mut kill = kill.lock().unwrap_or_else(PoisonError::into_inner);
            if kill.take_if(|kill| *kill == (event.n, event.phase)).is_some() {
                child.kill();
            }
        });
        let env = TestEnv::new(Config { hook: Some(hook), ..with_library(sheet::library(&rows)) });
        env.write("sheet.csv", sheet::csv(&rows));
        Self { env, rows, process, kill_at }
    }

    fn requests(&self) -> u64 {
        self.env.sandbox.stats().requests
    }

    fn run(&self, line: &str) -> CmdResult {
        let words: Vec<&str> = line.split(' ').collect();
        self.env.command(&words).run_as(&self.process)
    }

    /// Runs a command and kills it at its n-th request.
    fn run_and_kill(&self, line: &str, n: u64, phase: Phase) {
        let at = self.requests() + n;
        *self.kill_at.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, phase));
        let result = self.run(line);
        assert_eq!(result.code, None, "the command was not killed: {}", result.err);
    }

    fn last_run(&self) -> RunFiles {
        self.env.runs("sheet").pop().expect("a run should have started")
    }

    fn command_line(&self, command: KilledCommand) -> String {
        match command {
            KilledCommand::Apply => format!("apply sheet.csv --yes --max-bad 100% {NO_LIMITS}"),
            KilledCommand::Plan => "plan sheet.csv --read-rate unlimited".to_owned(),
            KilledCommand::ApplyPlan => {
                format!("apply --yes --max-bad 100% --plan {} {NO_LIMITS}", self.last_run().name())
            }
            KilledCommand::Undo => format!("undo --yes {} {NO_LIMITS}", self.last_run().name()),
        }
    }

    /// Runs the command that must precede this one.
    fn prepare(&self, command: KilledCommand) {
        let before = match command {
            KilledCommand::Apply | KilledCommand::Plan => return,
            KilledCommand::ApplyPlan => KilledCommand::Plan,
            KilledCommand::Undo => KilledCommand::Apply,
        };
        let result = self.run(&self.command_line(before));
        assert!(matches!(result.code, Some(0 | 1)), "{}", result.err);
    }

    /// Recovers as a user would: resumes the run, or repeats the command if nothing was sent.
    fn recover(&self, line: &str, command: KilledCommand) {
        if command != KilledCommand::Plan {
            let resumed =
                self.run(&format!("resume --yes {} {}", self.last_run().name(), NO_LIMITS));
            if resumed.code != Some(2) {
                return;
            }
        }
        let result = self.run(line);
        assert!(result.code.is_some_and(|code| code != 2), "{}", result.err);
        if command == KilledCommand::Plan {
            self.run(&self.command_line(KilledCommand::ApplyPlan));
        }
    }
}

impl CrashSite {
    /// Rows with an at-most-once request in flight at the kill.
    fn in_flight(&self) -> BTreeSet<u64> {
        let run = self.last_run();
        if run.path().join("ledger.db").exists() {
            LedgerSteps::of(run.path()).intents().collect()
        } else {
            // Without a ledger, nothing was sent.
            BTreeSet::new()
        }
    }

    /// The fields, by file, whose values are undetermined because of these unknown rows.
    fn undetermined_if_lost(&self, rows: &BTreeSet<u64>) -> BTreeSet<(&str, &str)> {
        let rows = rows
            .iter()
            .map(|row| &self.rows[usize::try_from(row - 2).expect("a row number should be small")]);
        rows.flat_map(|row| {
            row.undetermined_if_lost.iter().map(|field| (row.file.as_str(), *field))
        })
        .collect()
    }
}

/// The final state of a case.
struct Outcome {
    report: Vec<Line>,
    library: BTreeMap<String, BTreeMap<String, Value>>,
    /// Number of requests of the command itself.
    requests: u64,
}

impl Outcome {
    fn of(site: &CrashSite, before: u64) -> Self {
        let mut library = library(&site.env);
        for tags in library.values_mut().filter_map(|file| file.get_mut("tags")) {
            if let Some(tags) = tags.as_array_mut() {
                tags.sort_by_key(ToString::to_string);
            }
        }
        let requests = site.requests() - before;
        Self { report: site.last_run().report(), library, requests }
    }
}

/// The outcome without a kill.
fn baseline(command: KilledCommand) -> &'static Outcome {
    static BASELINES: [OnceLock<Outcome>; KILLS.len()] = [const { OnceLock::new() }; KILLS.len()];
    BASELINES[command as usize].get_or_init(|| {
        let site = CrashSite::new();
        site.prepare(command);
        let before = site.requests();
        let result = site.run(&site.command_line(command));
        assert!(matches!(result.code, Some(0 | 1)), "{}", result.err);
        if command == KilledCommand::Plan {
            let requests = site.requests() - before;
            site.run(&site.command_line(KilledCommand::ApplyPlan));
            return Outcome { requests, ..Outcome::of(&site, before) };
        }
        Outcome::of(&site, before)
    })
}

/// Kills a command once, recovers, and checks the outcome.
fn kill_and_recover(command: KilledCommand, n: u64, phase: Phase) {
    let site = CrashSite::new();
    site.prepare(command);
    let line = site.command_line(command);
    site.run_and_kill(&line, n, phase);
    let in_flight = site.in_flight();
    site.recover(&line, command);
    let (outcome, expected) = (Outcome::of(&site, 0), baseline(command));
    compare_rows(&outcome, expected, &in_flight);
    compare_library(&outcome, expected, &site.undetermined_if_lost(&in_flight));
    let stats = site.env.sandbox.stats();
    assert!(stats.max_billed_runs_per_pair <= 1, "billed twice: {:?}", stats.billed_runs_by_file);
    assert!(!stats.overlapped, "two concurrent requests for one file");
}

/// Rows with an at-most-once request in flight are unknown; all others equal the baseline.
fn compare_rows(outcome: &Outcome, expected: &Outcome, in_flight: &BTreeSet<u64>) {
    assert_eq!(outcome.report.len(), expected.report.len());
    for (line, expected) in outcome.report.iter().zip(&expected.report) {
        let row = row_number(line);
        if in_flight.contains(&row) {
            assert_eq!(line["status"], "unknown", "row {row}");
            continue;
        }
        for column in COMPARED {
            assert_eq!(line.get(column), expected.get(column), "{column} of row {row}: {line:?}");
        }
    }
}

fn compare_library(
    outcome: &Outcome,
    expected: &Outcome,
    undetermined_if_lost: &BTreeSet<(&str, &str)>,
) {
    assert_eq!(outcome.library.len(), expected.library.len());
    for (id, file) in &outcome.library {
        let expected = &expected.library[id];
        for (field, value) in file {
            let is_exempt = undetermined_if_lost.contains(&(id.as_str(), field.as_str()));
            assert!(is_exempt || Some(value) == expected.get(field), "{field} of {id}: {value}");
        }
    }
}

/// Prints the case if it fails.
struct Context(KilledCommand, u64, Phase);

impl Drop for Context {
    #[expect(clippy::print_stderr, reason = "identifies the failed case")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("killed at request {1} of {0:?}, {2:?}", self.0, self.1, self.2);
        }
    }
}

#[test]
fn commands_killed_at_100_points_equal_baseline() {
    let mut kills = Vec::new();
    for (command, count) in KILLS {
        let requests = baseline(command).requests;
        for kill in 0..count {
            let event = kill * 2 * requests / count;
            let phase = if event.is_multiple_of(2) { Phase::Arrived } else { Phase::Processed };
            kills.push((command, event / 2 + 1, phase));
        }
    }
    assert_eq!(kills.len(), 100);
    run_parallel(&kills, |(command, n, phase)| {
        let _context = Context(command, n, phase);
        kill_and_recover(command, n, phase);
    });
}
