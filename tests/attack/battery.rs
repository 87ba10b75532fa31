//! Kills at random, in every mode: a few in `cargo test`, thousands by `just attack`.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::case::{Case, Damage, Mode};
use crate::server::locked;

const KILLS: usize = 2000;
const KILLS_OF_SHORT_SET: usize = 40;
/// Attacks that it takes for a kill, at most: a session can end before its moment comes.
const ATTACKS_A_KILL_MAX: u64 = 4;
/// Most of the time a case waits for a disk or a process.
const THREADS: usize = 6;

/// What the attacks have come to so far.
#[derive(Default)]
struct Tally {
    kills: BTreeMap<Mode, usize>,
    outcomes: BTreeMap<String, usize>,
    failures: Vec<String>,
}

impl Tally {
    fn kills(&self) -> usize {
        self.kills.values().sum()
    }
}

/// Attacks until this many kills are made; sums them up, or fails with every broken invariant.
fn attack(seed: u64, kills: usize) -> String {
    let tally = Mutex::new(Tally::default());
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while locked(&tally).kills() < kills {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    assert!(index < ATTACKS_A_KILL_MAX * kills as u64, "hardly anything is killed");
                    attack_once(seed, index, &tally);
                }
            });
        }
    });
    let Tally { kills, outcomes, failures } = tally.into_inner().expect("no thread holds it");
    let cases = next.into_inner();
    let total: usize = kills.values().sum();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    format!("{total} kills in {cases} attacks with the seed {seed}: {kills:?}; rows: {outcomes:?}")
}

fn attack_once(seed: u64, index: u64, tally: &Mutex<Tally>) {
    let case = Case::random(seed, index);
    let mode = case.mode();
    let damage = catch_unwind(AssertUnwindSafe(|| case.drive()));
    let mut tally = locked(tally);
    match damage {
        Ok(Damage { kills, outcomes }) => {
            *tally.kills.entry(mode).or_default() += kills;
            for outcome in outcomes {
                *tally.outcomes.entry(outcome).or_default() += 1;
            }
        }
        Err(panic) => {
            // It counts as one, or a battery in which everything fails has no end.
            *tally.kills.entry(mode).or_default() += 1;
            tally.failures.push(format!("attack {index} ({mode:?}): {}", message(&*panic)));
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words")
}

/// A number that the environment sets.
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("it is a number"))
}

fn seed() -> u64 {
    number("ATTACK_SEED").unwrap_or(1)
}

#[test]
fn forty_random_kills() {
    println!("{}", attack(seed(), KILLS_OF_SHORT_SET));
}

#[test]
#[ignore = "it takes minutes; `just attack` runs it"]
fn two_thousand_random_kills() {
    println!("{}", attack(seed(), KILLS));
}

/// To look into a failure: `ATTACK_SEED=… ATTACK_CASE=… cargo test --test attack -- --ignored one_attack`.
#[test]
#[ignore = "it is for whoever looks into a failure"]
fn one_attack() {
    let case = number("ATTACK_CASE").expect("ATTACK_CASE says which");
    let damage = Case::random(seed(), case).drive();
    println!("{damage:?}");
}
