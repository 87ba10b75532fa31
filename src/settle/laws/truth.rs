//! Whatever is settled is true: generated sheets, faults and lags, against what the sandbox did.

use std::cell::Cell;
use std::fmt::Write as _;
use std::future::pending;
use std::path::Path;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use ikbulk_sandbox::{
    Config, ExtensionOutcome, Fault, Faults, FinalStatus, Library, Running, Settlement,
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::engine::{
    Access, ApplyOptions, Consent, Engine, Event, Executed, Key, Question, Settings, SettleOptions,
    Sheet, Ui, Unattended,
};
use crate::execute::Stop;
use crate::settings::{DiffOptions, Planning, Rate, SkipTagged};

/// Generated sheets. Each runs in real time, several at once.
const SEEDS: u64 = 60;
const AT_ONCE: usize = 12;
const FILES: u64 = 8;
const ROWS: u64 = 14;

/// A generator of numbers (splitmix64).
struct Numbers(Cell<u64>);

impl Numbers {
    fn below(&self, limit: u64) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mixed = (self.0.get() ^ (self.0.get() >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// One row: its file, its extensions, and whether it publishes.
struct Row {
    file: String,
    extensions: Vec<Value>,
    json: Value,
}

/// A row with configurations that no other row has, so that its request can be told apart.
fn row(numbers: &Numbers, n: u64) -> Row {
    let file = format!("file{}", numbers.below(FILES));
    let mut extensions = Vec::new();
    let kinds = if numbers.one_in(5) { 2 } else { 1 };
    for kind in (0..5).map(|kind| kind + numbers.below(5)).take(kinds) {
        let extension = match kind % 5 {
            0 | 1 => json!({"name": "google-auto-tagging", "minConfidence": 0, "maxTags": n + 1}),
            2 => json!({"name": "remove-bg", "options": {"bg_color": format!("c{n}")}}),
            3 => json!({"name": "aws-auto-tagging", "minConfidence": n, "maxTags": 5}),
            _ => json!({"name": "ai-tasks", "tasks": [{"type": "select_tags",
                "instruction": format!("row {n}"), "vocabulary": ["shirt"]}]}),
        };
        if extensions.iter().all(|other: &Value| other["name"] != extension["name"]) {
            extensions.push(extension);
        }
    }
    let mut json = json!({"fileId": file, "extensions": extensions});
    if numbers.one_in(6) {
        json["removeAITags"] = "all".into();
    }
    if numbers.one_in(6) {
        json["description"] = format!("text of row {n}").into();
    }
    if numbers.one_in(5) {
        json["isPublished"] = numbers.one_in(2).into();
    }
    Row { file, extensions, json }
}

fn sandbox(numbers: &Numbers) -> Running {
    let mut library = Library::new();
    for n in 0..FILES {
        let mut file = json!({"fileId": format!("file{n}"), "filePath": format!("/file{n}.jpg")});
        if numbers.one_in(3) {
            file["AITags"] =
                json!([{"name": "Old", "confidence": 90.0, "source": "google-auto-tagging"}]);
        }
        library.insert(file);
    }
    let faults = Faults {
        random: vec![(Fault::ResetAfter, 0.1), (Fault::ResetBefore, 0.1)],
        seed: numbers.below(u64::MAX),
        ..Faults::default()
    };
    let is_realistic = numbers.one_in(2);
    let status = if is_realistic { FinalStatus::Realistic } else { FinalStatus::Success };
    let config = Config {
        library,
        faults,
        writes: Vec::new(),
        reads: Vec::new(),
        extensions: ExtensionOutcome::Realistic,
        settlement: Some(Settlement { after: Duration::from_hours(1), status }),
        search_lag: if numbers.one_in(2) { Duration::ZERO } else { Duration::from_hours(9) },
        ..Config::default()
    };
    ikbulk_sandbox::start(config).unwrap()
}

fn engine(sandbox: &Running, directory: &Path) -> Engine {
    let key = Key::Given(sandbox.key().to_owned().into());
    let mut settings = Settings::new(Access::with_key(key).at(sandbox.base_url()));
    settings.state_dir = Some(directory.join("state"));
    settings.unasked_units_max = u64::MAX;
    settings.execution.writes.rate = Rate::Unlimited;
    settings.execution.reads.rate = Rate::Unlimited;
    settings.execution.abort_limits.unknown_max = std::num::NonZeroU32::MAX;
    Engine::new(settings)
}

/// Ends the settling after its first pass.
struct OnePass(Notify);

impl Ui for OnePass {
    fn event(&self, event: Event<'_>) {
        if let Event::Settling(progress) = event
            && progress.wait.is_some()
        {
            self.0.notify_one();
        }
    }

    fn can_ask(&self) -> bool {
        false
    }

    async fn ask(&self, _question: Question<'_>) -> bool {
        false
    }
}

async fn settle(engine: &Engine, run: &Path) -> String {
    let ui = OnePass(Notify::new());
    let stop = async {
        ui.0.notified().await;
        Stop::Interrupt
    };
    engine.settle(run, SettleOptions::default(), &ui, stop).await.unwrap();
    std::fs::read_to_string(run.join("report.csv")).unwrap()
}

/// The final status of an extension that a request ran: `None` if no request did, or it is pending.
fn truth(sandbox: &Running, row: &Row, extension: &Value) -> Option<bool> {
    let history = sandbox.history(&row.file);
    let is_it = |change: &&Value| {
        let extensions = change["body"]["extensions"].as_array();
        extensions.is_some_and(|extensions| extensions.contains(extension))
    };
    let request = history.iter().find(is_it)?;
    let settled = history.iter().find(|change| {
        change["call"] == "extension"
            && change["n"] == request["n"]
            && change["body"]["service"] == extension["name"]
    });
    match settled {
        Some(settled) => Some(settled["body"]["status"] == "SUCCESS"),
        // Not pending: it wrote its result with the request, or failed.
        None => Some(wrote(sandbox, row, extension)),
    }
}

/// Whether an extension that is not asynchronous has written something.
fn wrote(sandbox: &Running, row: &Row, extension: &Value) -> bool {
    let file = sandbox.file(&row.file).unwrap();
    let tags = file["AITags"].as_array().cloned().unwrap_or_default();
    tags.iter().any(|tag| tag["source"] == extension["name"] && tag["name"] != "Old")
        || extension["name"] == "ai-tasks"
}

#[derive(Debug, Default)]
struct Counts {
    inferred: u64,
    unknown: u64,
    pending: u64,
}

/// Applies a generated sheet, settles it, and checks what was inferred.
async fn check(seed: u64) -> Counts {
    let numbers = Numbers(Cell::new(seed));
    let (sandbox, directory) = (sandbox(&numbers), tempfile::tempdir().unwrap());
    let rows: Vec<Row> = (0..ROWS).map(|n| row(&numbers, n)).collect();
    let mut text = String::new();
    for row in &rows {
        writeln!(text, "{}", row.json).unwrap();
    }
    let path = directory.path().join("sheet.jsonl");
    std::fs::write(&path, text).unwrap();
    let engine = engine(&sandbox, directory.path());
    // Files that were tagged before are tagged again.
    let planning =
        Planning::Diff(DiffOptions { skip_tagged: SkipTagged::Never, ..DiffOptions::default() });
    let options = ApplyOptions { planning, ..ApplyOptions::new(Consent::Given) };
    let applied = engine.apply(&Sheet::at(&path), options, &Unattended, pending()).await;
    let Executed::Ran(applied) = applied.unwrap() else { panic!("there is no earlier run") };
    sandbox.advance(Duration::from_hours(1));
    let run = applied.run.path();
    let report = settle(&engine, run).await;
    let mut counts = Counts::default();
    let mut lines = csv::Reader::from_reader(report.as_bytes());
    let lines = lines.deserialize().map(Result::unwrap);
    let lines: Vec<std::collections::BTreeMap<String, String>> = lines.collect();
    for (row, line) in rows.iter().zip(&lines) {
        counts.unknown += u64::from(line["status"] == "unknown");
        for extension in &row.extensions {
            let name = extension["name"].as_str().unwrap();
            let status = line.get(&format!("extensionStatus.{name}")).map_or("", String::as_str);
            counts.pending += u64::from(status == "pending");
            // Other extensions of the row succeeded with the response.
            if line["message"].contains(&format!("{name}: the file")) {
                assert_eq!((&*line["code"], status), ("inferred", "success"), "seed {seed}");
                counts.inferred += 1;
                let truth = truth(&sandbox, row, extension);
                assert_eq!(truth, Some(true), "seed {seed}: {name} of {line:?}");
            }
            assert!(line["code"] != "inferred" || status != "failed", "seed {seed}: {line:?}");
        }
    }
    // Reads may still have lagged: a second pass can settle more, and changes nothing else.
    let repeated = settle(&engine, run).await;
    assert_eq!(repeated.lines().count(), report.lines().count(), "seed {seed}: repeated");
    for (before, after) in report.lines().zip(repeated.lines()) {
        let was_open = before.contains("pending") || before.contains("unknown");
        assert!(before == after || was_open, "seed {seed}: {before:?} became {after:?}");
    }
    counts
}

#[tokio::test(flavor = "current_thread")]
async fn whatever_is_settled_by_reading_is_what_the_sandbox_did() {
    let all = stream::iter(1..=SEEDS).map(check).buffer_unordered(AT_ONCE);
    let total = all.fold(Counts::default(), async |total, counts| Counts {
        inferred: total.inferred + counts.inferred,
        unknown: total.unknown + counts.unknown,
        pending: total.pending + counts.pending,
    });
    let Counts { inferred, unknown, pending } = total.await;
    assert!(
        inferred > SEEDS && unknown > SEEDS / 4 && pending > SEEDS / 4,
        "{inferred} {unknown} {pending}"
    );
}
