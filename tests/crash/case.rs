//! One case: a run that is killed once or more, resumed, and compared with an uninterrupted run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use ikbulk_sandbox::{Config, Hook, HookEvent, Phase};
use rusqlite::Connection;
use serde_json::Value;

use crate::harness::{ChildHandle, CmdResult, Line, RunFiles, TestEnv, with_library};
use crate::sheet::{self, Row};

/// Report columns that must equal the baseline; attempts, request ids and times may differ.
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

/// The request during which the program is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KillPoint {
    /// At the n-th request, before the sandbox applies the change.
    BeforeChange(u64),
    /// At the n-th request, after the change and before the first byte of the response.
    AfterChange(u64),
}

impl KillPoint {
    fn is_kill_point(self, event: &HookEvent) -> bool {
        match self {
            Self::BeforeChange(n) => event.phase == Phase::Arrived && event.n == n,
            Self::AfterChange(n) => event.phase == Phase::Processed && event.n == n,
        }
    }
}

/// The process to kill and its working directory.
#[derive(Clone, Default)]
pub(crate) struct CrashSite {
    pub(crate) process: ChildHandle,
    directory: Arc<OnceLock<PathBuf>>,
    /// The thread that kills the program, and then undoes what it did for that.
    killer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl CrashSite {
    /// Kills the program in a thread of its own; [`Case::run`] waits for its end.
    pub(crate) fn kill_with(&self, kill: impl FnOnce() + Send + 'static) {
        let killer = std::thread::spawn(kill);
        *self.killer.lock().unwrap_or_else(PoisonError::into_inner) = Some(killer);
    }

    /// The only run directory.
    pub(crate) fn run(&self) -> PathBuf {
        let home = self.directory.get().expect("the directory should be set").join("sheet.ikbulk");
        let mut runs = fs::read_dir(home).expect("a run should have started");
        runs.next()
            .expect("a run should have started")
            .expect("the directory should be readable")
            .path()
    }
}

/// Called for every request event until it returns true, which means that it has killed the program
/// or prepared the kill.
pub(crate) type KillTrigger = Box<dyn Fn(&HookEvent, &CrashSite) -> bool + Send + Sync>;

/// Kills the program at the first event that matches.
pub(crate) fn kill_when(
    is_kill_point: impl Fn(&HookEvent) -> bool + Send + Sync + 'static,
) -> KillTrigger {
    Box::new(move |event, site| {
        let is_hit = is_kill_point(event);
        if is_hit {
            site.process.kill();
        }
        is_hit
    })
}

/// Waits until the process's thread of this name sleeps in one of these kernel functions, or the
/// process has exited.
pub(crate) fn wait_until_thread_sleeps(process: &ChildHandle, thread: &str, functions: &[&str]) {
    let threads = format!("/proc/{}/task", process.id());
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

/// A test environment whose sandbox kills the program, once per trigger.
pub(crate) struct Case {
    pub(crate) env: TestEnv,
    pub(crate) rows: Vec<Row>,
    site: CrashSite,
    concurrency: &'static str,
    /// The ledger's content at each kill.
    pub(crate) ledgers: Vec<LedgerSteps>,
}

impl Case {
    /// Arms the triggers in this order, each after the one before it has fired.
    pub(crate) fn new(triggers: Vec<KillTrigger>) -> Self {
        let rows = sheet::rows();
        let site = CrashSite::default();
        let armed: Vec<(KillTrigger, AtomicBool)> =
            triggers.into_iter().map(|trigger| (trigger, AtomicBool::new(false))).collect();
        let hook_site = site.clone();
        let hook = Hook::new(move |event| {
            let next = armed.iter().find(|(_, fired)| !fired.load(Ordering::SeqCst));
            if let Some((trigger, fired)) = next
                && trigger(event, &hook_site)
            {
                fired.store(true, Ordering::SeqCst);
            }
        });
        let env = TestEnv::new(Config { hook: Some(hook), ..with_library(sheet::library(&rows)) });
        env.write("sheet.csv", sheet::csv(&rows));
        site.directory.set(env.path("")).expect("the directory should be set once");
        Self { env, rows, site, concurrency: CONCURRENCY, ledgers: Vec::new() }
    }

    /// Sends one request at a time: when one arrives, the response to the previous one was received.
    pub(crate) fn sequential(self) -> Self {
        Self { concurrency: "1", ..self }
    }

    /// Kills the program at each of these points in turn.
    pub(crate) fn killed_at(kills: &[KillPoint]) -> Self {
        let triggers =
            kills.iter().copied().map(|kill| kill_when(move |event| kill.is_kill_point(event)));
        Self::new(triggers.collect())
    }

    pub(crate) fn apply_direct(&self) -> CmdResult {
        self.run(&["apply", "--direct", "--no-snapshot", "sheet.csv", "--yes", "--max-bad", "100%"])
    }

    pub(crate) fn resume(&self) -> CmdResult {
        self.run(&["resume", "--yes", &self.files().name()])
    }

    fn run(&self, arguments: &[&str]) -> CmdResult {
        let rates = ["--rate", "unlimited", "--read-rate", "unlimited", "--concurrency"];
        let arguments: Vec<&str> = arguments.iter().chain(&rates).copied().collect();
        let arguments = [arguments.as_slice(), &[self.concurrency]].concat();
        let result = self.env.command(&arguments).run_as(&self.site.process);
        let killer = self.site.killer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(killer) = killer {
            killer.join().expect("the thread should kill the program");
        }
        result
    }

    pub(crate) fn files(&self) -> RunFiles {
        self.env.only_run("sheet")
    }

    /// Applies, then resumes until no kill is left.
    pub(crate) fn run_to_end(self) -> Self {
        let result = self.apply_direct();
        self.resume_until_done(result)
    }

    /// Resumes until no kill is left.
    pub(crate) fn resume_until_done(mut self, mut result: CmdResult) -> Self {
        while result.code.is_none() {
            assert!(self.ledgers.len() < 3, "more kills than expected");
            self.ledgers.push(LedgerSteps::of(self.files().path()));
            result = self.resume();
        }
        let expected = if self.unknown().is_empty() { 1 } else { 6 };
        result.exits(expected);
        self
    }

    /// Rows with the status `unknown`.
    pub(crate) fn unknown(&self) -> BTreeSet<u64> {
        let unknown = self.files().report().into_iter().filter(|line| line["status"] == "unknown");
        unknown.map(|line| row_number(&line)).collect()
    }

    /// Maximum number of requests in flight.
    pub(crate) fn concurrency(&self) -> usize {
        self.concurrency.parse().expect("concurrency should be a number")
    }

    /// The number of the file's first row.
    pub(crate) fn row_of(&self, file: &str) -> u64 {
        let index = self.rows.iter().position(|row| row.file == file);
        index.expect("the file has a row") as u64 + 2
    }

    pub(crate) fn row(&self, number: u64) -> &Row {
        let index = usize::try_from(number - 2).expect("a row's number is small");
        &self.rows[index]
    }

    /// Checks what must hold after any number of kills at any points.
    #[track_caller]
    pub(crate) fn check_invariants(&self) {
        let baseline = baseline();
        let report = self.files().report();
        let unknown = self.unknown();
        let intents: BTreeSet<u64> = self.ledgers.iter().flat_map(LedgerSteps::intents).collect();
        assert_eq!(unknown, intents, "exactly the rows with an open intent are unknown");
        self.compare_statuses(&report, &unknown, baseline);
        self.compare_library(&unknown, baseline);
        self.check_updated(&report);
        let stats = self.env.sandbox.stats();
        assert!(
            stats.max_billed_runs_per_pair <= 1,
            "billed twice: {:?}",
            stats.billed_runs_by_file
        );
        assert!(!stats.overlapped, "two concurrent requests for one file");
        let summary = self.files().summary();
        assert_eq!(summary["rows"]["unknown"], unknown.len());
        assert_eq!(summary["rows"]["not_attempted"], 0);
        assert_eq!(summary["rows"]["failed"], 0);
        if unknown.is_empty() {
            assert_eq!(summary["rows"], baseline.summary["rows"]);
            assert_eq!(summary["extensions"], baseline.summary["extensions"]);
        }
    }

    fn compare_statuses(&self, report: &[Line], unknown: &BTreeSet<u64>, baseline: &Baseline) {
        // An unknown row does not supersede earlier rows: code and message of its file may differ.
        let files_with_unknown: BTreeSet<&str> =
            unknown.iter().map(|row| self.row(*row).file.as_str()).collect();
        assert_eq!(report.len(), baseline.report.len());
        for (line, expected) in report.iter().zip(&baseline.report) {
            if unknown.contains(&row_number(line)) {
                continue;
            }
            for column in COMPARED {
                let is_code_or_message = matches!(column, "code" | "message");
                if is_code_or_message && files_with_unknown.contains(line["fileId"].as_str()) {
                    continue;
                }
                let cells = (line.get(column), expected.get(column));
                let cells =
                    (cells.0.map_or("", String::as_str), cells.1.map_or("", String::as_str));
                assert_eq!(cells.0, cells.1, "{column} of row {}", line["row"]);
            }
        }
    }

    fn compare_library(&self, unknown: &BTreeSet<u64>, baseline: &Baseline) {
        let library = library(&self.env);
        assert_eq!(library.len(), baseline.library.len());
        for (id, file) in &library {
            let rows = unknown.iter().map(|row| self.row(*row)).filter(|row| row.file == *id);
            let exempt: BTreeSet<&str> =
                rows.flat_map(|row| row.undetermined_if_lost).copied().collect();
            let without = |file: &BTreeMap<String, Value>| {
                let mut file = file.clone();
                file.retain(|field, _| !exempt.contains(field.as_str()));
                file
            };
            assert_eq!(without(file), without(&baseline.library[id]), "{id}, except {exempt:?}");
        }
    }

    /// Every row reported as updated was carried out, with its extension run exactly once.
    fn check_updated(&self, report: &[Line]) {
        let stats = self.env.sandbox.stats();
        for line in report.iter().filter(|line| line["status"] == "updated") {
            let row = self.row(row_number(line));
            let history = self.env.sandbox.history(&row.file);
            for (call, body) in &row.expected_calls {
                let carried_out =
                    history.iter().any(|change| change["call"] == *call && has_body(change, body));
                assert!(
                    carried_out,
                    "row {} is updated, but {call} {body} was not carried out",
                    line["row"]
                );
            }
            if let Some(extension) = row.billed_extension {
                assert_eq!(stats.billed_runs_of(&row.file, extension), 1, "row {}", line["row"]);
            }
        }
    }
}

/// Whether a change in the file's history has this body, disregarding other files of a bulk call.
fn has_body(change: &Value, expected: &Value) -> bool {
    let without_files = |body: &Value| {
        let mut body = body.clone();
        body.as_object_mut().map(|body| body.remove("fileIds"));
        body
    };
    without_files(&change["body"]) == without_files(expected)
}

pub(crate) fn row_number(line: &Line) -> u64 {
    line["row"].parse().expect("a row should have a number")
}

/// The library without fields that depend on the time.
pub(crate) fn library(env: &TestEnv) -> BTreeMap<String, BTreeMap<String, Value>> {
    let files = env.sandbox.library().into_iter().map(|file| {
        let id = file["fileId"].as_str().expect("a file should have an id").to_owned();
        let mut file: BTreeMap<String, Value> =
            serde_json::from_value(file).expect("a file should be an object");
        file.retain(|field, _| !matches!(field.as_str(), "updatedAt" | "url" | "thumbnail"));
        (id, file)
    });
    files.collect()
}

/// The same input applied to an equal sandbox without interruption.
struct Baseline {
    report: Vec<Line>,
    library: BTreeMap<String, BTreeMap<String, Value>>,
    summary: Value,
    requests: u64,
}

fn baseline() -> &'static Baseline {
    static BASELINE: OnceLock<Baseline> = OnceLock::new();
    BASELINE.get_or_init(|| {
        let case = Case::new(Vec::new());
        case.apply_direct().exits(1);
        let files = case.files();
        Baseline {
            report: files.report(),
            library: library(&case.env),
            summary: files.summary(),
            requests: case.env.sandbox.stats().requests,
        }
    })
}

/// Number of requests of the uninterrupted run.
pub(crate) fn baseline_requests() -> u64 {
    baseline().requests
}

/// Row, step kind and status of every step in a ledger. Read from a copy, because SQLite recovers the
/// file as soon as it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LedgerSteps(pub(crate) Vec<(u64, u64, String)>);

impl LedgerSteps {
    pub(crate) fn of(run: &Path) -> Self {
        let copy = tempfile::tempdir().expect("a temporary directory should be creatable");
        for name in ["ledger.db", "ledger.db-wal"] {
            if run.join(name).exists() {
                fs::copy(run.join(name), copy.path().join(name))
                    .expect("the ledger should be copyable");
            }
        }
        let ledger =
            Connection::open(copy.path().join("ledger.db")).expect("the ledger should open");
        let mut query = ledger
            .prepare("SELECT id >> 8, id & 255, status FROM step ORDER BY id")
            .expect("the ledger should have steps");
        let steps = query.query_map([], |row| {
            let number = |index| row.get(index).map(i64::unsigned_abs);
            Ok((number(0)?, number(1)?, row.get(2)?))
        });
        Self(steps.and_then(Iterator::collect).expect("the steps should be readable"))
    }

    /// Rows with an at-most-once request that may be in flight.
    pub(crate) fn intents(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().filter(|(_, _, status)| status == "intent").map(|(row, _, _)| *row)
    }

    /// Number of the row's settled steps.
    pub(crate) fn settled_steps(&self, row: u64) -> usize {
        self.0.iter().filter(|(step_row, _, status)| *step_row == row && status != "intent").count()
    }
}

/// Runs the cases on more threads than cores: a case mostly waits for the disk or a process.
pub(crate) fn run_parallel<T: Send + Sync + Copy>(cases: &[T], run: impl Fn(T) + Sync) {
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
