//! A thousand kills at events of wire and ledger, chosen by a seed: `just crash`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ikbulk::sandbox::{HookEvent, Phase};
use rusqlite::Connection;

use crate::case::{Case, Ledger, Strike, each, kill_when, requests, wait_until_it_sleeps};
use crate::states::kill_while_it_reports;

const KILLS: usize = 1000;
/// So many of them meet each state.
const LEAST_PER_STATE: usize = 30;
/// Requests of the undisturbed run that read the state before one that must not be repeated.
const RECORDINGS: u64 = 35;
const REPORTS: [&str; 2] = ["failed.csv", "unknown.csv"];

/// Where a step can be when the program dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Waiting,
    Reading,
    Recording,
    SafeUnderWay,
    OnceUnderWay,
    AnsweredNotCommitted,
    ReportsBeingWritten,
}

const STATES: [State; 7] = [
    State::Waiting,
    State::Reading,
    State::Recording,
    State::SafeUnderWay,
    State::OnceUnderWay,
    State::AnsweredNotCommitted,
    State::ReportsBeingWritten,
];

/// When one case is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// At the n-th request, in this phase of it.
    Wire { n: u64, phase: Phase, one_at_a_time: bool },
    /// While the intent to send the n-th request that must not be repeated is written.
    Recording { n: u64 },
    /// While the reports are written, when this one is about to get its name.
    Report { name: &'static str, prepared_at: u64 },
}

impl Moment {
    fn choose(chance: &mut fastrand::Rng) -> Self {
        let n = chance.u64(3..=requests());
        match chance.u8(0..10) {
            0 => Self::Report { name: REPORTS[chance.usize(0..REPORTS.len())], prepared_at: n },
            1 => Self::Recording { n: chance.u64(1..=RECORDINGS) },
            _ => {
                let phase = if chance.bool() { Phase::Arrived } else { Phase::Worked };
                Self::Wire { n, phase, one_at_a_time: chance.bool() }
            }
        }
    }

    fn case(self, seen: &Seen) -> Case {
        match self {
            Self::Wire { n, phase, one_at_a_time } => {
                let seen = seen.clone();
                let case = Case::new(vec![kill_when(move |event| {
                    seen.push(event);
                    event.n == n && event.phase == phase
                })]);
                if one_at_a_time { case.one_at_a_time() } else { case }
            }
            Self::Recording { n } => Case::new(vec![kill_while_it_records(n)]).one_at_a_time(),
            Self::Report { name, prepared_at } => {
                Case::new(vec![kill_while_it_reports(name, prepared_at)])
            }
        }
    }
}

/// The events up to the kill, the fatal one included.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<HookEvent>>>);

impl Seen {
    fn push(&self, event: &HookEvent) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
    }

    fn events(&self) -> Vec<HookEvent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The file of a request for its details.
fn file_of(event: &HookEvent) -> Option<&str> {
    event.path.strip_prefix("/v1/files/")?.strip_suffix("/details")
}

fn writes(event: &HookEvent) -> bool {
    event.method != "GET" && !file_of(event).is_some_and(|file| file.starts_with("missing"))
}

/// Keeps the ledger from being written as soon as the n-th state before has been read, and kills
/// the program when its ledger waits for that.
fn kill_while_it_records(n: u64) -> Strike {
    let reads = Mutex::new(0);
    Box::new(move |event, scene| {
        let of_file = file_of(event).is_some_and(|file| !file.starts_with("missing"));
        if event.method != "GET" || event.phase != Phase::Worked || !of_file {
            return false;
        }
        let mut reads = reads.lock().unwrap_or_else(PoisonError::into_inner);
        *reads += 1;
        if *reads != n {
            return false;
        }
        let ledger = Connection::open(scene.run().join("ledger.db")).expect("it can be opened");
        ledger.execute_batch("BEGIN IMMEDIATE").expect("the program's own writing is short");
        let victim = scene.victim.clone();
        std::thread::spawn(move || {
            wait_until_it_sleeps(&victim, "ledger", &["nanosleep"]);
            victim.kill();
            drop(ledger);
        });
        true
    })
}

/// The states in which the kill met some step.
fn states(moment: Moment, case: &Case, ledger: &Ledger, seen: &[HookEvent]) -> Vec<State> {
    match moment {
        Moment::Report { .. } => return vec![State::ReportsBeingWritten],
        Moment::Recording { .. } => return vec![State::Recording],
        Moment::Wire { .. } => {}
    }
    let fatal = seen.last().expect("it was killed at an event");
    let mut states = Vec::new();
    let untouched = case.rows.iter().enumerate().filter(|(index, row)| {
        let number = *index as u64 + 2;
        let known = ledger.0.iter().any(|(row, ..)| *row == number);
        !row.asks.is_empty() && !known && case.world.sandbox.history(&row.file).is_empty()
    });
    if untouched.count() > case.concurrency() {
        states.push(State::Waiting);
    }
    let intent_on = |file: &str| ledger.intents().any(|row| case.row(row).file == file);
    match file_of(fatal) {
        Some(_) if fatal.method == "GET" => states.push(State::Reading),
        // One file has paid rows and others, so that its intent may be an earlier one's.
        Some(file) if file.starts_with("many") && intent_on(file) => {}
        Some(file) if intent_on(file) => states.push(State::OnceUnderWay),
        _ if writes(fatal) => states.push(State::SafeUnderWay),
        _ => {}
    }
    // One at a time: when a request arrives, all before it are answered.
    let answered = seen
        .iter()
        .filter(|event| event.phase == Phase::Worked && event.n < fatal.n && writes(event));
    let committed = ledger.0.iter().filter(|(.., status)| status == "updated");
    if case.concurrency() == 1 && committed.count() < answered.count() {
        states.push(State::AnsweredNotCommitted);
    }
    states
}

/// Says which case it was, if it fails.
struct Context(usize, Moment);

impl Drop for Context {
    #[expect(clippy::print_stderr, reason = "it is for whoever looks into the failure")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kill {} failed: {:?}", self.0, self.1);
        }
    }
}

fn seed() -> u64 {
    let seed = std::env::var("CRASH_SEED").map(|seed| seed.parse().expect("a seed is a number"));
    seed.unwrap_or(1)
}

#[test]
#[ignore = "it takes minutes; `just crash` runs it"]
fn a_thousand_kills_in_every_state_end_as_if_there_had_been_none() {
    let mut chance = fastrand::Rng::with_seed(seed());
    let moments: Vec<_> = (0..KILLS).map(|kill| (kill, Moment::choose(&mut chance))).collect();
    let met = Mutex::new(BTreeMap::<State, usize>::new());
    each(&moments, |(kill, moment)| {
        let _context = Context(kill, moment);
        let seen = Seen::default();
        let case = moment.case(&seen);
        let done = case.apply_direct();
        assert_eq!(done.code, None, "it was not killed: {}", done.err);
        let ledger = Ledger::of(case.files().path());
        for state in states(moment, &case, &ledger, &seen.events()) {
            *met.lock().unwrap_or_else(PoisonError::into_inner).entry(state).or_default() += 1;
        }
        case.goes_on(done).holds();
    });
    let met = met.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{KILLS} kills with the seed {}; met {met:?}", seed());
    for state in STATES {
        assert!(met.get(&state).is_some_and(|met| *met >= LEAST_PER_STATE), "{state:?}: {met:?}");
    }
}
