//! Runs a sheet against an in-process sandbox with either planner, in one or several sessions.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::execute::{EndReason, Reads, Stop};
use crate::imagekit::{Api, ApiSettings};
use crate::input::{Context, Format, Input};
use crate::ledger::{LedgerFile, RunMeta};
use crate::outcome::Status;
use crate::plan::{Planner, PriorRuns};
use crate::run::{ReadProgress, Session, SnapshotReader};
use crate::settings::{Execution, Planning, Rate};
use crate::spending::Allowance;
use ikbulk_sandbox::{Config, Hook, Phase, Running, start};
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::sheet::{FILES, Row, csv, id};
use crate::execute::laws::scenario::{execution, limit};
use crate::run::laws::real_loop::{meta, statuses};

/// The result of a run.
#[derive(Debug)]
pub(crate) struct RunOutcome {
    pub(crate) library: BTreeMap<String, Value>,
    pub(crate) statuses: BTreeMap<u64, Status>,
    pub(crate) writes: u64,
    /// Number of PATCH requests per file.
    pub(crate) patches: BTreeMap<String, usize>,
    /// The directory of the run.
    pub(crate) directory: PathBuf,
}

/// Counts the files that are read.
#[derive(Default)]
struct Count(Cell<u64>);

impl ReadProgress for Count {
    fn begin(&self, _what: &'static str, _count: Option<u64>) {
        self.0.set(0);
    }

    fn add(&self, count: u64) {
        self.0.set(self.0.get() + count);
    }
}

/// A sandbox and the directory of its runs.
pub(crate) struct TestRun {
    pub(crate) sandbox: Running,
    directory: TempDir,
    /// Attempts of each request.
    pub(crate) attempts: NonZeroU32,
    /// Notified at each write that arrives.
    write_arrived: Arc<Notify>,
}

/// When a session ends early.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StopAfter {
    /// After this many rows.
    pub(crate) rows: Option<u64>,
    /// When this many writes have arrived.
    pub(crate) writes: Option<u64>,
}

impl TestRun {
    pub(crate) fn new(config: Config) -> Self {
        let write_arrived = Arc::new(Notify::new());
        let notify = Arc::clone(&write_arrived);
        let hook = Hook::new(move |event| {
            if event.phase == Phase::Arrived && event.method != "GET" {
                notify.notify_one();
            }
        });
        let (writes, reads) = (Vec::new(), Vec::new());
        let sandbox = start(Config { writes, reads, hook: Some(hook), ..config }).unwrap();
        let directory = TempDir::new().unwrap();
        // Enough that random faults never exhaust them.
        Self { sandbox, directory, attempts: NonZeroU32::MAX, write_arrived }
    }

    /// Runs the sheet: `sessions` that end early, then one to the end.
    pub(crate) fn run(
        &self,
        rows: &[Row],
        planning: Planning,
        sessions: &[StopAfter],
    ) -> RunOutcome {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let before = self.writes();
        let run = tempfile::tempdir_in(self.directory.path()).unwrap().keep();
        let input = Input::new(run.join("input.csv"), Format::Csv);
        std::fs::write(&input.path, csv(rows)).unwrap();
        let ledger = LedgerFile::create(&run, &RunMeta { planning, ..meta() }, None).unwrap();
        let statuses = runtime.block_on(async {
            if planning != Planning::Direct {
                self.read(&ledger, &input).await;
            }
            drop(ledger);
            for stop_after in sessions {
                let ledger = LedgerFile::open(&run).unwrap();
                drop(self.session(ledger, &input, planning, *stop_after).await);
            }
            let ledger = LedgerFile::open(&run).unwrap();
            let ended = self.session(ledger, &input, planning, StopAfter::default()).await;
            assert_eq!(ended.0, EndReason::Done);
            statuses(&ended.1)
        });
        RunOutcome {
            library: (0..FILES).map(|number| (id(number), self.file(number))).collect(),
            statuses,
            writes: self.writes() - before,
            patches: (0..FILES).map(|number| (id(number), self.patches(number))).collect(),
            directory: run,
        }
    }

    fn api(&self) -> Api {
        let endpoint = self.sandbox.base_url().parse().unwrap();
        let key = self.sandbox.key().to_owned().into();
        let timeout = Duration::from_mins(1);
        Api::new(&ApiSettings { endpoint, key, connect_timeout: timeout, timeout }).unwrap()
    }

    /// Reads the snapshots as `apply` does.
    async fn read(&self, ledger: &LedgerFile, input: &Input) {
        let (api, reads) = (self.api(), Reads::new(&settings()));
        let counter = Count::default();
        let reader = SnapshotReader { ledger, api: &api, reads: &reads, progress: &counter };
        reader.record_files(input, &Context::default()).unwrap();
        let mut reading = reader.read().await.unwrap();
        assert_eq!(counter.0.get(), reading.files, "each file is counted once");
        reader.verify_sample(&mut reading).await.unwrap();
    }

    async fn session(
        &self,
        ledger: LedgerFile,
        input: &Input,
        planning: Planning,
        stop_after: StopAfter,
    ) -> (EndReason, LedgerFile) {
        let stop = async {
            let Some(writes) = stop_after.writes else { return pending().await };
            let last = self.writes() + writes;
            while self.writes() < last {
                self.write_arrived.notified().await;
            }
            EndReason::Stopped(Stop::Interrupt)
        };
        let session = Session {
            allowance: Allowance::default(),
            callback_url: None,
            input: input.clone(),
            context: Context::default(),
            execution: Execution { attempts: self.attempts, ..settings() },
            rates: None,
            rows_max: stop_after.rows,
        };
        let planner = planner(planning, &ledger);
        session.execute(planner, ledger, &self.api(), stop, |_, _| {}).await.unwrap()
    }

    fn writes(&self) -> u64 {
        let calls = self.sandbox.stats().calls;
        calls.patch + calls.publish + calls.add_tags + calls.remove_tags + calls.remove_ai_tags
    }

    fn patches(&self, number: usize) -> usize {
        let history = self.sandbox.history(&id(number));
        history.iter().filter(|change| change["call"] == "patch").count()
    }

    /// The fields of a file that rows can change; tags as sets, empty fields normalised.
    fn file(&self, number: usize) -> Value {
        let file = self.sandbox.file(&id(number)).unwrap();
        let set = |list: &Value, key: fn(&Value) -> &Value| -> BTreeSet<String> {
            list.as_array().into_iter().flatten().map(|tag| key(tag).to_string()).collect()
        };
        let metadata = file["customMetadata"].as_object().cloned().unwrap_or_default();
        let metadata: Map<String, Value> =
            metadata.into_iter().filter(|(_, value)| !value.is_null()).collect();
        serde_json::json!({
            "tags": set(&file["tags"], |tag| tag),
            "AITags": set(&file["AITags"], |tag| &tag["name"]),
            "description": file["description"].as_str().unwrap_or_default(),
            "customCoordinates": file["customCoordinates"].as_str().unwrap_or_default(),
            "customMetadata": metadata,
            "isPublished": file["isPublished"],
        })
    }
}

fn planner(planning: Planning, ledger: &LedgerFile) -> Planner {
    let meta = RunMeta { planning, ..ledger.meta().unwrap() };
    Planner::of(&meta, ledger, PriorRuns::none()).unwrap()
}

/// No rate limit, and enough attempts to read.
fn settings() -> Execution {
    let mut settings = execution(limit(1.0, 1, 0.0), 8, 1);
    (settings.writes.rate, settings.reads.rate) = (Rate::Unlimited, Rate::Unlimited);
    Execution { attempts: NonZeroU32::MAX, ..settings }
}
