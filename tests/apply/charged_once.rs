//! No extension is charged twice on a file in one configuration: by the sandbox's own count, over
//! seeded nights of kills, faults, edited sheets, sheets that are fed back, a second process and a
//! second machine.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ikbulk_sandbox::{Config, ExtensionOutcome, ExtensionRuns, Fault, Faults, Hook, Phase, Status};
use serde_json::{Value, json};

use crate::harness::{ChildHandle, TestEnv, files, ids, status};

/// Files of a seeded case.
const FILES: usize = 5;
/// Requests that can have faults; later ones have none.
const FAULTY_REQUESTS: u64 = 120;
/// Commands of a case, before the last one, which nothing disturbs.
const COMMANDS: usize = 5;
/// Cases at once; they mostly wait.
const AT_ONCE: u64 = 8;
const FLAGS: [&str; 9] = [
    "--yes",
    "--rate",
    "unlimited",
    "--read-rate",
    "unlimited",
    "--wait-lock",
    "--max-unknown",
    "1000",
    "--max-same-rejection=off",
];

/// The extensions of which rows have some; the last is the saved one of the second.
fn extensions() -> [Value; 5] {
    [
        json!({"name": "remove-bg"}),
        json!({"name": "google-auto-tagging", "minConfidence": 80, "maxTags": 5}),
        json!({"name": "google-auto-tagging", "minConfidence": 20, "maxTags": 9}),
        json!({"name": "ai-auto-description"}),
        json!({"name": "saved-extension", "id": "ext_tagging"}),
    ]
}

/// Kills the program at a request, before or after it is processed.
#[derive(Clone, Default)]
struct Killer {
    victim: ChildHandle,
    at: Arc<AtomicU64>,
    before: Arc<AtomicBool>,
}

impl Killer {
    fn hook(&self) -> Hook {
        let Self { victim, at, before } = self.clone();
        Hook::new(move |event| {
            let phase =
                if before.load(Ordering::SeqCst) { Phase::Arrived } else { Phase::Processed };
            if event.n == at.load(Ordering::SeqCst) && event.phase == phase {
                victim.kill();
            }
        })
    }
}

/// A case: an environment, and what a person, a clock and an operating system do to it.
struct Case {
    seed: u64,
    rng: fastrand::Rng,
    env: TestEnv,
    killer: Killer,
    /// Whether faults and kills disturb it.
    is_disturbed: bool,
    /// Whether the extensions fail.
    fails: bool,
    sheets: usize,
    /// The commands so far with their exit codes, for messages.
    commands: Vec<String>,
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        // One in eight shows that everything is done where nothing happens.
        let is_disturbed = !seed.is_multiple_of(8);
        let killer = Killer::default();
        let outcomes = [Status::Success, Status::Pending, Status::Failed];
        let outcome = *rng.choice(&outcomes).expect("there are three");
        let faults = Faults { script: faults(&mut rng, is_disturbed), ..Faults::default() };
        let config = Config {
            hook: Some(killer.hook()),
            faults,
            extensions: ExtensionOutcome::Always(outcome),
            search_lag: if rng.bool() { Duration::ZERO } else { Duration::from_hours(1) },
            ..files(ids(FILES))
        };
        Self {
            seed,
            rng,
            env: TestEnv::new(config),
            killer,
            is_disturbed,
            fails: outcome == Status::Failed,
            sheets: 0,
            commands: Vec::new(),
        }
    }

    /// Rows with one or two extensions, some with other changes, some for the same file.
    fn rows(&mut self) -> Vec<Value> {
        let all = extensions();
        let rows = (0..self.rng.usize(FILES..FILES * 2)).map(|_| {
            let id = self.rng.choice(ids(FILES)).expect("there are files");
            let first = self.rng.choice(&all).expect("there are extensions").clone();
            let second = self.rng.choice(&all).expect("there are extensions").clone();
            // ImageKit refuses two extensions of one name.
            let name = |it: &Value| {
                if it["id"] == "ext_tagging" {
                    json!("google-auto-tagging")
                } else {
                    it["name"].clone()
                }
            };
            let has_both = self.rng.bool() && name(&first) != name(&second);
            let extensions = if has_both { vec![first, second] } else { vec![first] };
            let mut row = json!({"fileId": id, "extensions": extensions});
            if self.rng.bool() {
                row["addTags"] = json!([format!("tag{}", self.rng.u8(0..4))]);
            }
            if self.rng.u8(0..4) == 0 {
                row["description"] = json!(format!("Text {}", self.rng.u8(..)));
            }
            row
        });
        rows.collect()
    }

    fn write(&self, name: &str, rows: &[Value]) {
        let mut text = String::new();
        for row in rows {
            writeln!(text, "{row}").expect("strings take text");
        }
        self.env.write(name, text);
    }

    /// May kill the next command at one of its requests.
    fn killed_at_random(&mut self) {
        let is_killed = self.is_disturbed && self.rng.u8(0..3) > 0;
        let next = self.env.sandbox.stats().requests + self.rng.u64(1..40);
        self.killer.before.store(self.rng.bool(), Ordering::SeqCst);
        self.killer.at.store(if is_killed { next } else { 0 }, Ordering::SeqCst);
    }

    /// Runs a command; it may be killed at one of its next requests.
    fn run(&mut self, words: &[&str]) {
        self.killed_at_random();
        let words = [words, &FLAGS].concat();
        let is_beside = self.rng.u8(0..3) == 0;
        thread::scope(|scope| {
            // Another process applies another sheet with the same rows meanwhile.
            if is_beside && self.sheets > 0 {
                let other = format!("beside{}.jsonl", self.sheets);
                let rows = std::fs::read(self.env.path("sheet0.jsonl")).expect("it is there");
                self.env.write(&other, rows);
                let env = &self.env;
                scope.spawn(move || {
                    let words = [&["apply", &*other, "--continue"][..], &FLAGS].concat();
                    env.command(&words).run();
                });
            }
            let done = self.env.command(&words).run_as(&self.killer.victim);
            self.commands.push(format!("{words:?} beside: {is_beside}: {:?}", done.code));
        });
        self.killer.at.store(0, Ordering::SeqCst);
        self.check();
    }

    /// The billed runs of the sandbox: never two of one file and configuration.
    fn check(&self) -> Vec<ExtensionRuns> {
        let runs = self.env.sandbox.extension_runs();
        for run in &runs {
            assert_eq!(run.runs, 1, "seed {}: {run:?} after {:#?}", self.seed, self.commands);
        }
        runs
    }

    /// The latest run of any sheet, if there is one.
    fn latest_run(&mut self) -> Option<String> {
        let stem = format!("sheet{}", self.rng.usize(0..self.sheets));
        self.env.runs(&stem).pop().map(|run| run.name())
    }

    /// What a person or a clock does next.
    fn next(&mut self, rows: &[Value]) {
        match (self.rng.u8(0..8), self.latest_run()) {
            // A night with the same sheet, or with one that was edited.
            (0..=2, _) | (_, None) => {
                let sheet = format!("sheet{}.jsonl", self.rng.usize(0..self.sheets));
                let new = [&["apply", &*sheet][..], &["apply", &sheet, "--continue"]];
                let words = *self.rng.choice(&new).expect("there are two");
                self.run(words);
            }
            (3, _) => {
                let mut edited = rows.to_vec();
                self.rng.shuffle(&mut edited);
                edited[0]["description"] = json!("edited");
                edited.push(edited[1].clone());
                let sheet = format!("sheet{}.jsonl", self.sheets);
                self.write(&sheet, &edited);
                self.sheets += 1;
                self.run(&["apply", &sheet]);
            }
            (4, Some(run)) => self.run(&["resume", &run]),
            // Where extensions fail, these ask for them again.
            (5..=6, Some(_)) if self.fails => self.run(&["apply", "sheet0.jsonl"]),
            (5, Some(run)) => self.run(&["retry", &run]),
            (6, Some(run)) => {
                let part = self.rng.choice(["failed.jsonl", "unknown.jsonl"]).expect("two");
                self.run(&["apply", &format!("{run}/{part}")]);
            }
            (_, Some(_)) => self.other_machine(),
        }
    }

    /// Another machine applies the sheet with the charges of this one, and tells this one of its own.
    fn other_machine(&mut self) {
        self.until_done("charges export -o there.jsonl --overwrite");
        self.until_done("charges import there.jsonl --state-dir other");
        self.killed_at_random();
        let words = ["apply", "sheet0.jsonl", "--state-dir", "other", "--run-dir", "other.run"];
        let words = [&words, &FLAGS[..]].concat();
        let done = self.env.command(&words).run_as(&self.killer.victim);
        self.commands.push(format!("{words:?}: {:?}", done.code));
        self.killer.at.store(0, Ordering::SeqCst);
        self.until_done("charges export -o back.jsonl --overwrite --state-dir other");
        self.until_done("charges import back.jsonl");
        if self.env.path("other.run").exists() {
            std::fs::remove_dir_all(self.env.path("other.run")).expect("it can be removed");
        }
        self.check();
    }

    /// Repeats a command until no fault stops it.
    fn until_done(&self, words: &str) {
        let is_done = (0..20).any(|_| self.env.run(words).code == Some(0));
        assert!(is_done, "seed {}: {words}", self.seed);
    }

    /// Runs the case; returns the number of billed runs.
    fn finish(mut self) -> usize {
        let rows = self.rows();
        self.write("sheet0.jsonl", &rows);
        self.sheets = 1;
        self.run(&["apply", "sheet0.jsonl"]);
        if !self.is_disturbed {
            self.all_are_done(&rows, &BTreeSet::new());
        }
        for _ in 0..COMMANDS {
            self.next(&rows);
        }
        // Past the requests with faults, and killed no more.
        while self.env.sandbox.stats().requests < FAULTY_REQUESTS && self.is_disturbed {
            self.env.run("usage");
        }
        self.is_disturbed = false;
        self.run(&["apply", "sheet0.jsonl", "--continue"]);
        self.write("last.jsonl", &rows);
        self.run(&["apply", "last.jsonl"]);
        let lost = self.lost();
        self.all_are_done(&rows, &lost);
        self.check().len()
    }

    /// The files of which the response to a billed request was lost: such an extension counts as run.
    fn lost(&self) -> BTreeSet<String> {
        let files = ids(FILES).into_iter().filter(|id| {
            let listed = self.env.run(&format!("charges list --json --file {id}")).exits(0);
            let listed: Value = serde_json::from_str(&listed.out).expect("it is JSON");
            let charges = listed["of_file"].as_array().expect("a list");
            charges.iter().any(|charge| charge["certainty"] == "response_lost")
        });
        files.collect()
    }

    /// Every extension of the rows ran on its file, except where a response was lost.
    fn all_are_done(&self, rows: &[Value], lost: &BTreeSet<String>) {
        let runs = self.check();
        for row in rows {
            let id = row["fileId"].as_str().expect("it has an id");
            for extension in row["extensions"].as_array().expect("it has extensions") {
                let is_it = |run: &&ExtensionRuns| {
                    let is_saved = extension["id"] == "ext_tagging";
                    let saved = || run.extension == "google-auto-tagging";
                    run.file_id == id && (run.configuration == *extension || is_saved && saved())
                };
                let ran = runs.iter().any(|run| is_it(&run));
                assert!(ran || lost.contains(id), "seed {}: {row} {runs:?}", self.seed);
            }
        }
    }
}

/// Faults before and after the sandbox processes a request, at random requests.
fn faults(rng: &mut fastrand::Rng, is_disturbed: bool) -> Vec<(u64, Fault)> {
    let after = |code, body: &str| Fault::StatusAfter {
        code,
        body: body.to_owned(),
        content_type: "text/html".to_owned(),
    };
    let all = [
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::ResetInHead,
        Fault::ResetInBody,
        Fault::CutBody,
        Fault::Garbage,
        Fault::HangAfter(Duration::from_millis(50)),
        Fault::Throttle { reset_ms: Some(20), limit: None },
        status(503, "Down."),
        after(502, "<html>Bad gateway</html>"),
        after(500, "Out of order."),
    ];
    let count = if is_disturbed { rng.u64(0..20) } else { 0 };
    // The first request lists a file; without it nothing begins.
    let faults = (0..count).map(|_| {
        let fault = rng.choice(&all).expect("there are faults").clone();
        (rng.u64(2..FAULTY_REQUESTS), fault)
    });
    faults.collect()
}

/// Runs the cases of these seeds, several at once.
fn seeds(count: u64) {
    let (next, billed) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= count {
                        break;
                    }
                    let runs = Case::new(seed).finish();
                    billed.fetch_add(runs as u64, Ordering::SeqCst);
                }
            });
        }
    });
    let billed = billed.into_inner();
    assert!(billed > count * 4, "only {billed} runs were billed in {count} cases");
}

#[test]
fn nothing_is_charged_twice_in_16_seeded_cases() {
    seeds(16);
}

#[test]
#[ignore = "it takes minutes; `just slow` runs it"]
fn nothing_is_charged_twice_in_1000_seeded_cases() {
    seeds(1000);
}
