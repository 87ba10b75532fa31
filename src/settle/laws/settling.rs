//! Settling by reading, on a paused clock: an in-memory library whose extensions finish over time, and
//! whose lists may lag.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use crate::history::RunRecord;
use crate::imagekit::{Failure, FileState, ListedState};
use crate::input::{Context, Format, Input};
use crate::ledger::{Checkpoint, Journal, LedgerFile, Op, RunMeta};
use crate::outcome::{Code, Outcome, Status};
use crate::request::{StepKind, StepRef};
use crate::row::testing::extensions_in;
use crate::row::{FieldSet, FileId, Rules};
use crate::sent::Sent;
use crate::settle::states::States;
use crate::settle::{OpenSteps, OtherRuns, SettleError, SettleStop, Settler};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::run::laws::real_loop;

const TAGGING: &str = "google-auto-tagging";
const CONFIG: &str = r#"[{"name":"google-auto-tagging","minConfidence":0,"maxTags":5}]"#;

/// A run with a pending extension on each of `files`, numbered from 0, in row order.
struct Run {
    directory: TempDir,
    meta: RunMeta,
}

impl Run {
    async fn new(files: usize) -> Self {
        let directory = TempDir::new().unwrap();
        let rows: String = (0..files)
            .map(|n| format!("file{n:05},\"{}\"\n", CONFIG.replace('"', "\"\"")))
            .collect();
        std::fs::write(directory.path().join("input.csv"), format!("fileId,extensions\n{rows}"))
            .unwrap();
        let meta = RunMeta { rows: files as u64, ..real_loop::meta() };
        let ledger = LedgerFile::create(directory.path(), &meta, None).unwrap();
        let mut journal = Journal::start(ledger).unwrap();
        let sent = Sent::new(FieldSet::default(), Some(&extensions_in(CONFIG)));
        for n in 0..files {
            let step = StepRef { row: n as u64 + 2, kind: StepKind::Details };
            let snapshot = json!({"AITags": null, "updatedAt": at(0)}).to_string();
            let outcome = Outcome {
                code: None,
                extension_status: Some(json!({TAGGING: "pending"}).to_string().into()),
                updated_at: Some(at(1).into()),
                ..Outcome::local(Status::Updated, Code::Server, None)
            };
            let intent = Op::Intent { step, snapshot, sent: sent.clone() };
            let done =
                Op::Outcome { step, outcome, attempts: 1, row_done: true, sent: sent.clone() };
            journal.append(&mut vec![intent]);
            journal.append(&mut vec![done]);
            if n % 1000 == 0 {
                journal.room().await;
                journal.flush(Checkpoint::default());
            }
        }
        journal.close(Checkpoint::default()).await.unwrap();
        Self { directory, meta }
    }

    fn ledger(&self) -> LedgerFile {
        LedgerFile::open(self.directory.path()).unwrap()
    }

    fn steps(&self) -> OpenSteps {
        let input = Input::new(self.directory.path().join("input.csv"), Format::Csv);
        let context = Context { rules: Rules::default(), schema: None, files: None };
        let (meta, ledger) = (&self.meta, &self.ledger());
        OpenSteps::of(RunRecord { input: &input, context: &context, meta, ledger }).unwrap()
    }

    /// The number of rows by the status of their extension, and by their code.
    fn statuses(&self) -> BTreeMap<(String, Option<Code>), u64> {
        let mut counts = BTreeMap::new();
        let read = self.ledger().steps(0, |mut steps| {
            while let Some(step) = steps.next_step()? {
                let status: Value =
                    serde_json::from_str(step.outcome.extension_status.as_deref().unwrap())
                        .unwrap();
                let status = status[TAGGING].as_str().unwrap().to_owned();
                *counts.entry((status, step.outcome.code)).or_default() += 1;
            }
            Ok::<_, crate::ledger::LedgerError>(())
        });
        read.unwrap();
        counts
    }
}

/// A time of ImageKit.
fn at(seconds: u64) -> String {
    let at = jiff::Timestamp::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + seconds);
    at.to_string()
}

/// The library of the files of a run, and of others, which were updated before it.
struct Library {
    start: Instant,
    files: usize,
    /// When the extension of a file succeeds, after the start; `None` if it finds nothing.
    finishes: fn(usize) -> Option<Duration>,
    /// How far lists lag behind.
    lag: Duration,
    /// Whether other files are always updated last.
    is_busy: bool,
    lists: Cell<u64>,
    details: Cell<u64>,
}

impl Library {
    fn new(files: usize, finishes: fn(usize) -> Option<Duration>) -> Self {
        let (lists, details) = (Cell::new(0), Cell::new(0));
        let (start, lag) = (Instant::now(), Duration::ZERO);
        let is_busy = false;
        Self { start, files, finishes, lag, is_busy, lists, details }
    }

    fn reads(&self) -> u64 {
        self.lists.get() + self.details.get()
    }

    /// The state of a file this long after the start; `None` before the run has updated it.
    fn state(&self, n: usize, elapsed: Duration) -> FileState {
        let finished = (self.finishes)(n).filter(|after| *after <= elapsed);
        let tags =
            finished.map(|_| json!([{"name": "Shoe", "source": TAGGING, "confidence": 99.5}]));
        let updated_at = at(1 + finished.map_or(0, |after| after.as_secs()));
        serde_json::from_value(json!({"AITags": tags, "updatedAt": updated_at})).unwrap()
    }

    fn listed(&self, n: usize) -> ListedState {
        let file_id = format!("file{n:05}");
        // The lag counts from the update by the run, at the start.
        let state = match self.start.elapsed().checked_sub(self.lag) {
            Some(elapsed) => self.state(n, elapsed),
            None => FileState { updated_at: Some(at(0)), ..FileState::default() },
        };
        ListedState { file_id, state, ..ListedState::default() }
    }
}

impl States for Library {
    async fn recently_updated(&self, skip: usize) -> Result<Vec<ListedState>, Failure> {
        self.lists.set(self.lists.get() + 1);
        sleep(Duration::from_millis(200)).await;
        let updated_at = Some(at(if self.is_busy { 10_000 } else { 0 }));
        let state = FileState { updated_at, ..FileState::default() };
        let other = |n| ListedState {
            file_id: format!("other{n}"),
            state: state.clone(),
            ..ListedState::default()
        };
        let page = skip..skip + 1000;
        if self.is_busy {
            return Ok(page.map(other).collect());
        }
        let shown = self.start.elapsed().saturating_sub(self.lag);
        let finished = |n: &usize| (self.finishes)(*n).filter(|after| *after <= shown);
        let mut files: Vec<usize> = (0..self.files).collect();
        files.sort_by_key(|n| std::cmp::Reverse(finished(n)));
        let files = files.into_iter().skip(skip).take(1000).map(|n| self.listed(n));
        let first_other = page.start.max(self.files);
        Ok(files.chain((first_other..page.end.min(self.files + 50_000)).map(other)).collect())
    }

    async fn by_ids(&self, files: &[FileId]) -> Result<Vec<ListedState>, Failure> {
        self.lists.set(self.lists.get() + 1);
        sleep(Duration::from_millis(200)).await;
        Ok(files.iter().map(|file| self.listed(number(file))).collect())
    }

    async fn details(&self, file: &FileId) -> Result<FileState, Failure> {
        self.details.set(self.details.get() + 1);
        sleep(Duration::from_millis(200)).await;
        Ok(self.state(number(file), self.start.elapsed()))
    }
}

fn number(file: &FileId) -> usize {
    file.as_str().trim_start_matches("file").parse().unwrap()
}

/// There is no other run.
struct Alone;

impl OtherRuns for Alone {
    fn take_into_account(&self, _steps: &mut OpenSteps) -> Result<(), SettleError> {
        Ok(())
    }
}

/// Settles a run for at most that long. Returns why it ended, and the reads of each pass.
async fn settle(run: &Run, library: &Library, patience: Duration) -> (SettleStop<()>, Vec<u64>) {
    let (ledger, steps) = (run.ledger(), RefCell::new(run.steps()));
    let settler = Settler {
        ledger: &ledger,
        states: library,
        others: &Alone,
        steps: &steps,
        changed: &Notify::new(),
        awaits_callbacks: false,
        concurrency: 8,
    };
    let (mut passes, mut before) = (Vec::new(), library.reads());
    let ended = settler.run(sleep(patience), |progress| {
        if progress.wait.is_some() {
            passes.push(library.reads() - before);
            before = library.reads();
        }
    });
    let ended = ended.await.unwrap();
    if library.reads() > before {
        passes.push(library.reads() - before);
    }
    (ended, passes)
}

const QUARTER: Duration = Duration::from_mins(15);

#[tokio::test(start_paused = true)]
async fn ten_thousand_extensions_are_settled_by_lists() {
    let run = Run::new(10_000).await;
    let within_two_minutes = |n| Some(Duration::from_secs((n as u64 * 7919) % 120));
    let library = Library::new(10_000, within_two_minutes);
    let (ended, passes) = settle(&run, &library, QUARTER).await;
    assert_eq!(ended, SettleStop::Settled);
    assert!(passes.iter().all(|reads| *reads <= 100), "{passes:?}");
    assert_eq!(
        run.statuses(),
        BTreeMap::from([(("success".to_owned(), Some(Code::Inferred)), 10_000)])
    );
    assert!(library.start.elapsed() < Duration::from_secs(120 + 70), "soon after the last one");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_old_extensions_are_settled_by_lists_of_ids() {
    let run = Run::new(10_000).await;
    let mut library = Library::new(10_000, |_| Some(Duration::ZERO));
    // Other clients update files all the time, so that those of the run are on no recent page.
    library.is_busy = true;
    let (ledger, steps) = (run.ledger(), RefCell::new(run.steps()));
    let settler = Settler {
        ledger: &ledger,
        states: &library,
        others: &Alone,
        steps: &steps,
        changed: &Notify::new(),
        awaits_callbacks: false,
        concurrency: 8,
    };
    let reads = RefCell::new(Vec::new());
    let ended = settler.run(pending::<()>(), |_| reads.borrow_mut().push(library.reads())).await;
    assert_eq!(ended.unwrap(), SettleStop::Settled);
    // Two passes: a pass reads at most 5,000 files by id, and checks a few of the others.
    assert!(library.reads() <= 200, "{}", library.reads());
    let reads = reads.into_inner();
    assert!(reads.windows(2).all(|reads| reads[1] - reads[0] <= 100), "{reads:?}");
}

#[tokio::test(start_paused = true)]
async fn lagging_lists_are_replaced_by_details() {
    // Before the lists show the update by the run, and afterwards.
    for (lag, before) in [(Duration::from_hours(1), 0), (Duration::from_mins(2), 130)] {
        let run = Run::new(500).await;
        let mut library = Library::new(500, |n| Some(Duration::from_secs(60 + n as u64 % 50)));
        library.lag = lag;
        sleep(Duration::from_secs(before)).await;
        let (ended, _) = settle(&run, &library, QUARTER).await;
        assert_eq!(ended, SettleStop::Settled, "{lag:?}");
        let success = BTreeMap::from([(("success".to_owned(), Some(Code::Inferred)), 500)]);
        assert_eq!(run.statuses(), success);
    }
}

#[tokio::test(start_paused = true)]
async fn tagging_that_finds_nothing_stays_pending_until_the_deadline() {
    let run = Run::new(60).await;
    let library = Library::new(60, |n| (n % 2 == 0).then_some(Duration::ZERO));
    let (ended, passes) = settle(&run, &library, QUARTER).await;
    assert_eq!(ended, SettleStop::Stopped(()));
    assert_eq!(library.start.elapsed(), QUARTER);
    let expected =
        [(("pending".to_owned(), None), 30), (("success".to_owned(), Some(Code::Inferred)), 30)];
    assert_eq!(run.statuses(), BTreeMap::from(expected));
    // 2, 4, 8, 16, 32 seconds, and then once a minute.
    assert!((18..=20).contains(&passes.len()), "{passes:?}");
    // Stopped and repeated: the same.
    let (ended, _) = settle(&run, &library, Duration::from_secs(1)).await;
    assert_eq!(ended, SettleStop::Stopped(()));
    assert_eq!(run.statuses().len(), 2);
}
