//! Random kills in every mode: 40 in `cargo test`, 2,000 with `just attack`.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::case::{AttackResult, Case, Mode};
use crate::server::lock_mutex;

const KILLS: usize = 2000;
const KILLS_IN_SHORT_TEST: usize = 40;
/// Maximum number of attacks per kill: a session can end before its kill point.
const MAX_ATTACKS_PER_KILL: u64 = 4;
/// More threads than cores: a case mostly waits for the disk or a process.
const THREADS: usize = 6;

#[derive(Default)]
struct Totals {
    kills: BTreeMap<Mode, usize>,
    outcomes: BTreeMap<String, usize>,
    failures: Vec<String>,
}

impl Totals {
    fn kills(&self) -> usize {
        self.kills.values().sum()
    }
}

/// Runs attacks until they have made this many kills; returns a summary, or fails with every violated
/// invariant.
fn attack(seed: u64, kills: usize) -> String {
    let totals = Mutex::new(Totals::default());
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while lock_mutex(&totals).kills() < kills {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    assert!(
                        index < MAX_ATTACKS_PER_KILL * kills as u64,
                        "too few attacks reach their kill point"
                    );
                    attack_once(seed, index, &totals);
                }
            });
        }
    });
    let Totals { kills, outcomes, failures } =
        totals.into_inner().expect("the mutex should not be poisoned");
    let cases = next.into_inner();
    let total: usize = kills.values().sum();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    format!("{total} kills in {cases} attacks with seed {seed}: {kills:?}; rows: {outcomes:?}")
}

fn attack_once(seed: u64, index: u64, totals: &Mutex<Totals>) {
    let case = Case::random(seed, index);
    let mode = case.mode();
    let result = catch_unwind(AssertUnwindSafe(|| case.run()));
    let mut totals = lock_mutex(totals);
    match result {
        Ok(AttackResult { kills, outcomes }) => {
            *totals.kills.entry(mode).or_default() += kills;
            for outcome in outcomes {
                *totals.outcomes.entry(outcome).or_default() += 1;
            }
        }
        Err(panic) => {
            // Counts as one kill, so that the run ends even if every attack fails.
            *totals.kills.entry(mode).or_default() += 1;
            totals.failures.push(format!("attack {index} ({mode:?}): {}", message(&*panic)));
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic without a message")
}

/// The value of an environment variable as a number.
fn env_number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("the variable should be a number"))
}

fn seed() -> u64 {
    env_number("ATTACK_SEED").unwrap_or(1)
}

#[test]
fn forty_random_kills() {
    println!("{}", attack(seed(), KILLS_IN_SHORT_TEST));
}

#[test]
#[ignore = "takes minutes; run with `just attack`"]
fn two_thousand_random_kills() {
    println!("{}", attack(seed(), KILLS));
}

/// Reproduces one attack: `ATTACK_SEED=… ATTACK_CASE=… cargo test --test attack -- --ignored one_attack`.
#[test]
#[ignore = "reproduces a failed attack"]
fn one_attack() {
    let case = env_number("ATTACK_CASE").expect("ATTACK_CASE should be set");
    let result = Case::random(seed(), case).run();
    println!("{result:?}");
}
