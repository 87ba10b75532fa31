//! One case: a run that is killed once or more, resumed, and compared with one that was not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use ikbulk::sandbox::{Config, Hook, HookEvent, Phase};
use rusqlite::Connection;
use serde_json::Value;

use crate::harness::{ChildHandle, CmdResult, Line, RunFiles, TestEnv, with_library};
use crate::sheet::{self, Row};

/// Attempts, request ids and times may differ; all else of a row must not.
const COMPARED: [&str; 9] = [
    "row",
    "fileId",
    "status",
    "code",
    "message",
    "httpStatus",
    "extensionStatus.google-auto-tagging",
    "extensionStatus.ai-auto-description",
    "extensionStatus.remove-bg",
];
const CONCURRENCY: &str = "3";

/// When the program is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kill {
    /// At the n-th request, before ImageKit does its work.
    Before(u64),
    /// At the n-th request, when its work is done and no byte of the answer is out.
    After(u64),
}

impl Kill {
    fn is_now(self, event: &HookEvent) -> bool {
        match self {
            Self::Before(n) => event.phase == Phase::Arrived && event.n == n,
            Self::After(n) => event.phase == Phase::Worked && event.n == n,
        }
    }
}

/// Who a strike can get at: the program, and the directory that its sheet is in.
#[derive(Clone, Default)]
pub(crate) struct Scene {
    pub(crate) victim: ChildHandle,
    directory: Arc<OnceLock<PathBuf>>,
}

impl Scene {
    /// The directory of the only run.
    pub(crate) fn run(&self) -> PathBuf {
        let home = self.directory.get().expect("the world stands").join("sheet.ikbulk");
        let mut runs = fs::read_dir(home).expect("a run has begun");
        runs.next().expect("a run has begun").expect("the directory can be read").path()
    }
}

/// Looks at a request; if this is its moment, it does what it does and says so. It is asked no more
/// after that.
pub(crate) type Strike = Box<dyn Fn(&HookEvent, &Scene) -> bool + Send + Sync>;

/// Kills the program at that moment.
pub(crate) fn kill_when(is_now: impl Fn(&HookEvent) -> bool + Send + Sync + 'static) -> Strike {
    Box::new(move |event, scene| {
        let now = is_now(event);
        if now {
            scene.victim.kill();
        }
        now
    })
}

/// Waits until the program's thread of that name sleeps in one of these functions of the kernel, or
/// the program has come to its end.
pub(crate) fn wait_until_it_sleeps(victim: &ChildHandle, thread: &str, functions: &[&str]) {
    let threads = format!("/proc/{}/task", victim.id());
    let sleeps = || {
        fs::read_dir(&threads).into_iter().flatten().flatten().any(|found| {
            let text = |name| fs::read_to_string(found.path().join(name)).unwrap_or_default();
            let place = text("wchan");
            text("comm").trim_end() == thread && functions.iter().any(|name| place.contains(name))
        })
    };
    while !sleeps() && Path::new(&threads).exists() {
        std::thread::yield_now();
    }
}

/// A world whose sandbox strikes, one strike after the other.
pub(crate) struct Case {
    pub(crate) world: TestEnv,
    pub(crate) rows: Vec<Row>,
    scene: Scene,
    concurrency: &'static str,
    /// What the ledger held at each kill.
    pub(crate) ledgers: Vec<Ledger>,
}

impl Case {
    /// Strikes in the order given: each waits for the one before it.
    pub(crate) fn new(strikes: Vec<Strike>) -> Self {
        let rows = sheet::rows();
        let scene = Scene::default();
        let struck: Vec<(Strike, AtomicBool)> =
            strikes.into_iter().map(|strike| (strike, AtomicBool::new(false))).collect();
        let seen = scene.clone();
        let hook = Hook::new(move |event| {
            let next = struck.iter().find(|(_, done)| !done.load(Ordering::SeqCst));
            if let Some((strike, done)) = next
                && strike(event, &seen)
            {
                done.store(true, Ordering::SeqCst);
            }
        });
        let world =
            TestEnv::new(Config { hook: Some(hook), ..with_library(sheet::library(&rows)) });
        world.write("sheet.csv", sheet::csv(&rows));
        scene.directory.set(world.path("")).expect("this is the only world of the scene");
        Self { world, rows, scene, concurrency: CONCURRENCY, ledgers: Vec::new() }
    }

    /// One request at a time, so that one that arrives shows that the one before it is answered.
    pub(crate) fn one_at_a_time(self) -> Self {
        Self { concurrency: "1", ..self }
    }

    /// Kills the program at each of these moments in turn.
    pub(crate) fn killed_at(kills: &[Kill]) -> Self {
        let strikes = kills.iter().copied().map(|kill| kill_when(move |event| kill.is_now(event)));
        Self::new(strikes.collect())
    }

    pub(crate) fn apply_direct(&self) -> CmdResult {
        self.run(&["apply", "--direct", "--no-snapshot", "sheet.csv", "--yes", "--max-bad", "100%"])
    }

    pub(crate) fn resume(&self) -> CmdResult {
        self.run(&["resume", "--yes", &self.files().name()])
    }

    fn run(&self, words: &[&str]) -> CmdResult {
        let rates = ["--rate", "unlimited", "--read-rate", "unlimited", "--concurrency"];
        let words: Vec<&str> = words.iter().chain(&rates).copied().collect();
        let words = [words.as_slice(), &[self.concurrency]].concat();
        self.world.command(&words).run_as(&self.scene.victim)
    }

    pub(crate) fn files(&self) -> RunFiles {
        self.world.only_run("sheet")
    }

    /// Applies and, for as long as it is killed, resumes.
    pub(crate) fn through(self) -> Self {
        let done = self.apply_direct();
        self.goes_on(done)
    }

    /// Resumes for as long as it is killed.
    pub(crate) fn goes_on(mut self, mut done: CmdResult) -> Self {
        while done.code.is_none() {
            assert!(self.ledgers.len() < 3, "more kills than were planned");
            self.ledgers.push(Ledger::of(self.files().path()));
            done = self.resume();
        }
        let expected = if self.unknown().is_empty() { 1 } else { 6 };
        done.exits(expected);
        self
    }

    /// Rows that ended as unknown.
    pub(crate) fn unknown(&self) -> BTreeSet<u64> {
        let unknown = self.files().report().into_iter().filter(|line| line["status"] == "unknown");
        unknown.map(|line| number(&line)).collect()
    }

    /// Requests under way at once, at most.
    pub(crate) fn concurrency(&self) -> usize {
        self.concurrency.parse().expect("it is a number")
    }

    /// The number of the first row about a file.
    pub(crate) fn row_of(&self, file: &str) -> u64 {
        let index = self.rows.iter().position(|row| row.file == file);
        index.expect("the file has a row") as u64 + 2
    }

    pub(crate) fn row(&self, number: u64) -> &Row {
        let index = usize::try_from(number - 2).expect("a row's number is small");
        &self.rows[index]
    }

    /// All that must hold however often and whenever it was killed.
    #[track_caller]
    pub(crate) fn holds(&self) {
        let undisturbed = undisturbed();
        let report = self.files().report();
        let unknown = self.unknown();
        let intents: BTreeSet<u64> = self.ledgers.iter().flat_map(Ledger::intents).collect();
        assert_eq!(unknown, intents, "unknown is what may have been under way, and nothing else");
        self.compare_statuses(&report, &unknown, undisturbed);
        self.compare_library(&unknown, undisturbed);
        self.check_updated(&report);
        let stats = self.world.sandbox.stats();
        assert!(stats.max_paid_runs_per_pair <= 1, "paid twice: {:?}", stats.paid_runs_by_file);
        assert!(!stats.overlapped, "two requests for one file at once");
        let summary = self.files().summary();
        assert_eq!(summary["rows"]["unknown"], unknown.len());
        assert_eq!(summary["rows"]["not_attempted"], 0);
        assert_eq!(summary["rows"]["failed"], 0);
        if unknown.is_empty() {
            assert_eq!(summary["rows"], undisturbed.summary["rows"]);
            assert_eq!(summary["extensions"], undisturbed.summary["extensions"]);
        }
    }

    fn compare_statuses(&self, report: &[Line], unknown: &BTreeSet<u64>, other: &Undisturbed) {
        // A later row that is unknown no longer overtakes an earlier one.
        let unsure: BTreeSet<&str> =
            unknown.iter().map(|row| self.row(*row).file.as_str()).collect();
        assert_eq!(report.len(), other.report.len());
        for (line, expected) in report.iter().zip(&other.report) {
            if unknown.contains(&number(line)) {
                continue;
            }
            for column in COMPARED {
                let said = matches!(column, "code" | "message");
                if said && unsure.contains(line["fileId"].as_str()) {
                    continue;
                }
                let cells = (line.get(column), expected.get(column));
                let cells =
                    (cells.0.map_or("", String::as_str), cells.1.map_or("", String::as_str));
                assert_eq!(cells.0, cells.1, "{column} of row {}", line["row"]);
            }
        }
    }

    fn compare_library(&self, unknown: &BTreeSet<u64>, other: &Undisturbed) {
        let library = library(&self.world);
        assert_eq!(library.len(), other.library.len());
        for (id, file) in &library {
            let rows = unknown.iter().map(|row| self.row(*row)).filter(|row| row.file == *id);
            let exempt: BTreeSet<&str> = rows.flat_map(|row| row.at_stake).copied().collect();
            let without = |file: &BTreeMap<String, Value>| {
                let mut file = file.clone();
                file.retain(|field, _| !exempt.contains(field.as_str()));
                file
            };
            assert_eq!(without(file), without(&other.library[id]), "{id}, except {exempt:?}");
        }
    }

    /// What is said to be updated was asked and done, and what it pays for was run.
    fn check_updated(&self, report: &[Line]) {
        let stats = self.world.sandbox.stats();
        for line in report.iter().filter(|line| line["status"] == "updated") {
            let row = self.row(number(line));
            let history = self.world.sandbox.history(&row.file);
            for (call, body) in &row.asks {
                let done =
                    history.iter().any(|change| change["call"] == *call && says(change, body));
                assert!(done, "row {} is updated, and {call} {body} was not done", line["row"]);
            }
            if let Some(extension) = row.paid {
                assert_eq!(stats.paid_runs_of(&row.file, extension), 1, "row {}", line["row"]);
            }
        }
    }
}

/// Whether a change of a file is what was asked for it, alone or together with other files.
fn says(change: &Value, asked: &Value) -> bool {
    let without_files = |body: &Value| {
        let mut body = body.clone();
        body.as_object_mut().map(|body| body.remove("fileIds"));
        body
    };
    without_files(&change["body"]) == without_files(asked)
}

pub(crate) fn number(line: &Line) -> u64 {
    line["row"].parse().expect("a row has a number")
}

/// The library without what is a time or made of one.
pub(crate) fn library(world: &TestEnv) -> BTreeMap<String, BTreeMap<String, Value>> {
    let files = world.sandbox.library().into_iter().map(|file| {
        let id = file["fileId"].as_str().expect("a file has an id").to_owned();
        let mut file: BTreeMap<String, Value> =
            serde_json::from_value(file).expect("a file is an object");
        file.retain(|field, _| !matches!(field.as_str(), "updatedAt" | "url" | "thumbnail"));
        (id, file)
    });
    files.collect()
}

/// The same input on an equal sandbox, left in peace.
struct Undisturbed {
    report: Vec<Line>,
    library: BTreeMap<String, BTreeMap<String, Value>>,
    summary: Value,
    requests: u64,
}

fn undisturbed() -> &'static Undisturbed {
    static ONCE: OnceLock<Undisturbed> = OnceLock::new();
    ONCE.get_or_init(|| {
        let case = Case::new(Vec::new());
        case.apply_direct().exits(1);
        let files = case.files();
        Undisturbed {
            report: files.report(),
            library: library(&case.world),
            summary: files.summary(),
            requests: case.world.sandbox.stats().requests,
        }
    })
}

/// How many requests the undisturbed run takes.
pub(crate) fn requests() -> u64 {
    undisturbed().requests
}

/// What stands in a ledger: row, kind of step, and status. Looked at in a copy, because SQLite
/// tidies up behind a crash as soon as anybody opens the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ledger(pub(crate) Vec<(u64, u64, String)>);

impl Ledger {
    pub(crate) fn of(run: &Path) -> Self {
        let copy = tempfile::tempdir().expect("a directory can be made");
        for name in ["ledger.db", "ledger.db-wal"] {
            if run.join(name).exists() {
                fs::copy(run.join(name), copy.path().join(name)).expect("a file can be copied");
            }
        }
        let ledger = Connection::open(copy.path().join("ledger.db")).expect("it can be opened");
        let mut query = ledger
            .prepare("SELECT id >> 3, id & 7, status FROM step ORDER BY id")
            .expect("it is whole");
        let steps = query.query_map([], |row| {
            let number = |index| row.get(index).map(i64::unsigned_abs);
            Ok((number(0)?, number(1)?, row.get(2)?))
        });
        Self(steps.and_then(Iterator::collect).expect("it can be read"))
    }

    /// Rows of which a request that must not be repeated may be under way.
    pub(crate) fn intents(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().filter(|(_, _, status)| status == "intent").map(|(row, _, _)| *row)
    }

    /// Steps of a row that are settled.
    pub(crate) fn settled(&self, row: u64) -> usize {
        self.0.iter().filter(|(of, _, status)| *of == row && status != "intent").count()
    }
}

/// Shares cases out among a few threads: most of the time a case waits for a disk or a process.
pub(crate) fn each<T: Send + Sync + Copy>(cases: &[T], run: impl Fn(T) + Sync) {
    const THREADS: usize = 8;
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    run(*case);
                }
            });
        }
    });
}
