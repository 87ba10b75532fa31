//! 1,000 kills at request and ledger events, chosen by a seed: `just crash`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ikbulk_sandbox::{HookEvent, Phase};
use rusqlite::Connection;

use crate::case::{
    Case, KillTrigger, LedgerSteps, baseline_requests, kill_when, run_parallel,
    wait_until_thread_sleeps,
};
use crate::ledger_states::kill_while_writing_reports;

const KILLS: usize = 1000;
/// Minimum number of kills that must reach each state.
const MIN_KILLS_PER_STATE: usize = 30;
/// Snapshot reads before at-most-once requests in the uninterrupted run.
const SNAPSHOT_READS: u64 = 35;
const REPORTS: [&str; 2] = ["failed.csv", "unknown.csv"];

/// The state of a step at the kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Waiting,
    Reading,
    Recording,
    IdempotentInFlight,
    AtMostOnceInFlight,
    RespondedNotCommitted,
    WritingReports,
}

const STATES: [State; 7] = [
    State::Waiting,
    State::Reading,
    State::Recording,
    State::IdempotentInFlight,
    State::AtMostOnceInFlight,
    State::RespondedNotCommitted,
    State::WritingReports,
];

/// When the program is killed.
#[derive(Debug, Clone, Copy)]
enum KillMoment {
    /// In this phase of the n-th request.
    Request { n: u64, phase: Phase, is_sequential: bool },
    /// While the intent of the n-th at-most-once request is written.
    Recording { n: u64 },
    /// After writing the reports, before this one is renamed.
    Report { name: &'static str, prepared_at: u64 },
}

impl KillMoment {
    fn choose(rng: &mut fastrand::Rng) -> Self {
        let n = rng.u64(3..=baseline_requests());
        match rng.u8(0..10) {
            0 => Self::Report { name: REPORTS[rng.usize(0..REPORTS.len())], prepared_at: n },
            1 => Self::Recording { n: rng.u64(1..=SNAPSHOT_READS) },
            _ => {
                let phase = if rng.bool() { Phase::Arrived } else { Phase::Processed };
                Self::Request { n, phase, is_sequential: rng.bool() }
            }
        }
    }

    fn case(self, events: &Events) -> Case {
        match self {
            Self::Request { n, phase, is_sequential } => {
                let events = events.clone();
                let case = Case::new(vec![kill_when(move |event| {
                    events.push(event);
                    event.n == n && event.phase == phase
                })]);
                if is_sequential { case.sequential() } else { case }
            }
            Self::Recording { n } => Case::new(vec![kill_while_recording_intent(n)]).sequential(),
            Self::Report { name, prepared_at } => {
                Case::new(vec![kill_while_writing_reports(name, prepared_at)])
            }
        }
    }
}

/// The request events up to and including the kill.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<HookEvent>>>);

impl Events {
    fn push(&self, event: &HookEvent) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
    }

    fn all(&self) -> Vec<HookEvent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The file of a details request.
fn file_of(event: &HookEvent) -> Option<&str> {
    event.path.strip_prefix("/v1/files/")?.strip_suffix("/details")
}

fn is_write(event: &HookEvent) -> bool {
    event.method != "GET" && !file_of(event).is_some_and(|file| file.starts_with("missing"))
}

/// Locks the ledger after the n-th snapshot read, and kills the program while its ledger thread waits
/// for the lock.
fn kill_while_recording_intent(n: u64) -> KillTrigger {
    let reads = Mutex::new(0);
    Box::new(move |event, site| {
        let is_file_read = file_of(event).is_some_and(|file| !file.starts_with("missing"));
        if event.method != "GET" || event.phase != Phase::Processed || !is_file_read {
            return false;
        }
        let mut reads = reads.lock().unwrap_or_else(PoisonError::into_inner);
        *reads += 1;
        if *reads != n {
            return false;
        }
        let ledger =
            Connection::open(site.run().join("ledger.db")).expect("the ledger should open");
        ledger
            .execute_batch("BEGIN IMMEDIATE")
            .expect("the program should hold the lock only briefly");
        let process = site.process.clone();
        site.kill_with(move || {
            wait_until_thread_sleeps(&process, "ledger", &["nanosleep"]);
            process.kill();
            drop(ledger);
        });
        true
    })
}

/// The states in which at least one step was at the kill.
fn states(
    kill_moment: KillMoment,
    case: &Case,
    ledger: &LedgerSteps,
    events: &[HookEvent],
) -> Vec<State> {
    match kill_moment {
        KillMoment::Report { .. } => return vec![State::WritingReports],
        KillMoment::Recording { .. } => return vec![State::Recording],
        KillMoment::Request { .. } => {}
    }
    let last = events.last().expect("the kill should be at an event");
    let mut states = Vec::new();
    let waiting = case.rows.iter().enumerate().filter(|(index, row)| {
        let number = *index as u64 + 2;
        let has_steps = ledger.0.iter().any(|(row, ..)| *row == number);
        !row.expected_calls.is_empty()
            && !has_steps
            && case.env.sandbox.history(&row.file).is_empty()
    });
    if waiting.count() > case.concurrency() {
        states.push(State::Waiting);
    }
    let intent_on = |file: &str| ledger.intents().any(|row| case.row(row).file == file);
    match file_of(last) {
        Some(_) if last.method == "GET" => states.push(State::Reading),
        // This file has several rows, so that the intent may belong to an earlier row.
        Some(file) if file.starts_with("many") && intent_on(file) => {}
        Some(file) if intent_on(file) => states.push(State::AtMostOnceInFlight),
        _ if is_write(last) => states.push(State::IdempotentInFlight),
        _ => {}
    }
    // With one request at a time, all earlier responses have been received.
    let responded = events
        .iter()
        .filter(|event| event.phase == Phase::Processed && event.n < last.n && is_write(event));
    let committed = ledger.0.iter().filter(|(.., status)| status == "updated");
    if case.concurrency() == 1 && committed.count() < responded.count() {
        states.push(State::RespondedNotCommitted);
    }
    states
}

/// Prints the case if it fails.
struct Context(usize, KillMoment);

impl Drop for Context {
    #[expect(clippy::print_stderr, reason = "identifies the failed case")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kill {} failed: {:?}", self.0, self.1);
        }
    }
}

fn seed() -> u64 {
    let seed = std::env::var("CRASH_SEED")
        .map(|seed| seed.parse().expect("CRASH_SEED should be a number"));
    seed.unwrap_or(1)
}

#[test]
#[ignore = "takes minutes; run with `just crash`"]
fn thousand_random_kills_in_every_state_equal_baseline() {
    let mut rng = fastrand::Rng::with_seed(seed());
    let kills: Vec<_> = (0..KILLS).map(|kill| (kill, KillMoment::choose(&mut rng))).collect();
    let kills_by_state = Mutex::new(BTreeMap::<State, usize>::new());
    run_parallel(&kills, |(kill, kill_moment)| {
        let _context = Context(kill, kill_moment);
        let events = Events::default();
        let case = kill_moment.case(&events);
        let result = case.apply_direct();
        assert_eq!(result.code, None, "the program was not killed: {}", result.err);
        let ledger = LedgerSteps::of(case.files().path());
        for state in states(kill_moment, &case, &ledger, &events.all()) {
            *kills_by_state
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(state)
                .or_default() += 1;
        }
        case.resume_until_done(result).check_invariants();
    });
    let kills_by_state = kills_by_state.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{KILLS} kills with the seed {}; by state: {kills_by_state:?}", seed());
    for state in STATES {
        assert!(
            kills_by_state
                .get(&state)
                .is_some_and(|kills_by_state| *kills_by_state >= MIN_KILLS_PER_STATE),
            "{state:?}: {kills_by_state:?}"
        );
    }
}
