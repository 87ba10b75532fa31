//! A few of the laws through the real loop: tokio on a paused clock, a CSV on disk, the reader and
//! the ledger in their threads, and at the far end of the wire a library in memory.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt::Write as _;
use std::future::{Future, pending};
use std::path::Path;
use std::time::Duration;

use ikbulk::execute::{EndReason, Stop, Transport};
use ikbulk::imagekit::{Accepted, Failure, Fate, FileState, RateLimitNote};
use ikbulk::input::{Context, Format, Input};
use ikbulk::ledger::{LedgerError, LedgerFile, Recorded, RunMeta, Stage, StepRecord};
use ikbulk::outcome::{Code, Status};
use ikbulk::plan::Planner;
use ikbulk::report::{PriorProgress, RowResult};
use ikbulk::request::{Call, Idempotent, Sendable, StepKind};
use ikbulk::row::{FileId, Set};
use ikbulk::run::Session;
use ikbulk::settings::{Execution, Planning, Rate};
use tempfile::TempDir;
use tokio::time::Instant;

use super::rate::at_most;
use super::world::{execution, limit};

const ROWS: u64 = 300;
const FILES: u64 = 40;

/// A file as the library knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct File {
    description: String,
    tags: BTreeSet<String>,
    is_published: bool,
    paid_runs: u32,
}

/// What the wire saw of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    at: Duration,
    file: String,
    /// The call, with what makes it that row's.
    what: String,
    was_done: bool,
}

/// How the far end behaves: every so many-th request of its kind; 0 for never.
#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    throttled: u32,
    not_sent: u32,
    lost: u32,
    /// After how long those are carried out that were lost and not done at once.
    late: Option<Duration>,
}

struct Library {
    began: Instant,
    latency: Duration,
    faults: Faults,
    files: RefCell<BTreeMap<String, File>>,
    busy: RefCell<BTreeSet<String>>,
    seen: RefCell<Vec<Seen>>,
    reads: Cell<u64>,
    asked: Cell<u32>,
    /// What is yet to be carried out.
    late: RefCell<VecDeque<(Instant, String, Call)>>,
    /// The files as they would be if nothing had been carried out but what was answered.
    as_answered: RefCell<BTreeMap<String, File>>,
    /// The files that were read back, and whether each was as it would be.
    read_back: RefCell<BTreeMap<String, bool>>,
}

impl Library {
    fn new(latency_ms: u64, faults: Faults) -> Self {
        Self {
            began: Instant::now(),
            latency: Duration::from_millis(latency_ms),
            faults,
            files: RefCell::default(),
            busy: RefCell::default(),
            seen: RefCell::default(),
            reads: Cell::new(0),
            asked: Cell::new(0),
            late: RefCell::default(),
            as_answered: RefCell::default(),
            read_back: RefCell::default(),
        }
    }

    /// The fault of this request, and whether it is carried out all the same.
    fn fault(&self) -> Option<(Failure, bool)> {
        let asked = self.asked.get() + 1;
        self.asked.set(asked);
        let hit = |every: u32| every > 0 && asked.is_multiple_of(every);
        if hit(self.faults.throttled) {
            let reset = Some(Duration::from_millis(300));
            Some((Failure::Throttled(RateLimitNote { reset, rate: None }), false))
        } else if hit(self.faults.not_sent) {
            Some((Failure::NotSent { message: "refused".into() }, false))
        } else if hit(self.faults.lost) {
            let (code, message) = (Code::Timeout, "no answer in time".into());
            let (http_status, request_id, retry_after) = (None, None, None);
            let lost = Failure::Lost { code, message, http_status, request_id, retry_after };
            Some((lost, asked.is_multiple_of(2)))
        } else {
            None
        }
    }

    async fn call(&self, request: &impl Sendable) -> Result<Accepted, Failure> {
        let call = request.call();
        let ids: BTreeSet<&str> = request.files().iter().map(FileId::as_str).collect();
        let first = *ids.first().unwrap();
        for id in &ids {
            let is_free = self.busy.borrow_mut().insert((*id).to_owned());
            assert!(is_free, "two requests under way for {id}");
        }
        let at = self.began.elapsed();
        tokio::time::sleep(self.latency).await;
        self.busy.borrow_mut().retain(|busy| !ids.contains(busy.as_str()));
        self.carry_out_what_is_late();
        if let Call::ReadBack(_) = call {
            return Ok(self.look_at(first));
        }
        let fault = self.fault();
        let was_done = fault.as_ref().is_none_or(|(_, was_done)| *was_done);
        let (file, what) = (first.to_owned(), describe(call));
        self.seen.borrow_mut().push(Seen { at, file, what, was_done });
        if was_done {
            apply_to_all(call, &ids, &mut self.files.borrow_mut());
        }
        match (fault, self.faults.late) {
            (None, _) => {
                apply_to_all(call, &ids, &mut self.as_answered.borrow_mut());
                Ok(answer(call, &ids, &self.files.borrow()[first]))
            }
            (Some((failure @ Failure::Lost { .. }, false)), Some(late)) => {
                let at = Instant::now() + late;
                let mut late = self.late.borrow_mut();
                late.extend(ids.iter().map(|id| (at, (*id).to_owned(), call.clone())));
                Err(failure)
            }
            (Some((failure, _)), _) => Err(failure),
        }
    }

    fn carry_out_what_is_late(&self) {
        let mut late = self.late.borrow_mut();
        while let Some((_, id, call)) = late.pop_front_if(|(at, ..)| *at <= Instant::now()) {
            apply(&call, self.files.borrow_mut().entry(id).or_default());
        }
    }

    fn look_at(&self, id: &str) -> Accepted {
        self.reads.set(self.reads.get() + 1);
        let file = self.files.borrow()[id].clone();
        let is_as_answered = file == self.as_answered.borrow()[id];
        let before = self.read_back.borrow_mut().insert(id.to_owned(), is_as_answered);
        assert_eq!(before, None, "{id} is read back twice");
        let File { description, tags, is_published, .. } = file;
        let body = serde_json::json!({
            "fileId": id, "description": description, "tags": tags, "isPublished": is_published,
        });
        Accepted { http_status: 200, request_id: None, body: body.to_string().into() }
    }
}

impl Transport for Library {
    fn send(&self, request: &Idempotent) -> impl Future<Output = Result<Accepted, Failure>> {
        self.call(request)
    }

    async fn send_at_most_once(&self, recorded: Recorded) -> Fate {
        let once = recorded.into_request();
        match self.call(&once).await {
            Ok(accepted) => Fate::Accepted(once, accepted),
            Err(failure @ Failure::Lost { .. }) => Fate::Lost(once.lost(), failure),
            Err(failure) => Fate::NotDone(once, failure),
        }
    }

    async fn file_state(&self, file: &FileId) -> Result<FileState, Failure> {
        self.reads.set(self.reads.get() + 1);
        assert!(!self.busy.borrow().contains(file.as_str()), "{file} is read while it is written");
        tokio::time::sleep(self.latency).await;
        Ok(FileState::default())
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.reads.set(self.reads.get() + 1);
        tokio::time::sleep(self.latency).await;
        Ok(())
    }
}

fn describe(call: &Call) -> String {
    match call {
        Call::Details(patch) => match &patch.description {
            Some(Set::Value(text)) => format!("details {text}"),
            _ => "details".to_owned(),
        },
        Call::Publish(publish) => format!("publish {}", publish.is_published),
        Call::AddTags(tags) => format!("add {}", tags.as_slice().join(" ")),
        Call::RemoveTags(tags) => format!("remove {}", tags.as_slice().join(" ")),
        Call::ReadBack(_) => "read back".to_owned(),
    }
}

fn apply(call: &Call, file: &mut File) {
    match call {
        Call::Details(patch) => {
            if let Some(Set::Value(text)) = &patch.description {
                file.description = text.to_string();
            }
            file.paid_runs += u32::from(patch.extensions.is_some());
        }
        Call::Publish(publish) => file.is_published = publish.is_published,
        Call::AddTags(tags) => file.tags.extend(tags.as_slice().iter().cloned()),
        Call::RemoveTags(tags) => file.tags.retain(|tag| !tags.as_slice().contains(tag)),
        Call::ReadBack(_) => {}
    }
}

fn apply_to_all(call: &Call, ids: &BTreeSet<&str>, files: &mut BTreeMap<String, File>) {
    for id in ids {
        apply(call, files.entry((*id).to_owned()).or_default());
    }
}

fn answer(call: &Call, ids: &BTreeSet<&str>, file: &File) -> Accepted {
    let body = match call {
        Call::Details(_) | Call::Publish(_) | Call::ReadBack(_) => serde_json::json!({
            "fileId": ids.first(), "description": file.description,
            "isPublished": file.is_published,
        }),
        Call::AddTags(_) | Call::RemoveTags(_) => {
            serde_json::json!({ "successfullyUpdatedFileIds": ids })
        }
    };
    Accepted { http_status: 200, request_id: None, body: body.to_string().into() }
}

/// A sheet of every kind of row: each step says in its values which row it is of.
fn mixed_sheet() -> String {
    const PAID: &str = r#""[{""name"":""aws-auto-tagging"",""minConfidence"":80,""maxTags"":5}]""#;
    sheet_with(PAID, "true")
}

/// The same without what must not be repeated.
fn repeatable_sheet() -> String {
    sheet_with("", "")
}

fn sheet_with(extensions: &str, publish: &str) -> String {
    let mut sheet = "fileId,description,addTags,removeTags,extensions,isPublished\n".to_owned();
    for row in 2..ROWS + 2 {
        let file = row * 7 % FILES;
        match row % 10 {
            0 => sheet.push_str(",,,,,\n"),
            1 => writeln!(sheet, "file{file},#N/A,,,,").unwrap(),
            2 | 3 => writeln!(sheet, "file{file},row {row},,,{extensions},").unwrap(),
            4 => writeln!(sheet, "file{file},row {row},,,{extensions},{publish}").unwrap(),
            5 => {
                writeln!(sheet, "file{file},,new{row},new{},,", row.saturating_sub(FILES)).unwrap();
            }
            6 => writeln!(sheet, "file{file},row {row},new{row},,,").unwrap(),
            _ => writeln!(sheet, "file{file},row {row},,,,").unwrap(),
        }
    }
    sheet
}

fn plain_sheet(rows: u64) -> String {
    let mut sheet = "fileId,description\n".to_owned();
    for row in 2..rows + 2 {
        writeln!(sheet, "file{row},row {row}").unwrap();
    }
    sheet
}

/// A run directory with its input, as `apply` makes it.
struct Run {
    directory: TempDir,
}

impl Run {
    fn new(sheet: &str) -> Self {
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("input.csv"), sheet).unwrap();
        let run = Self { directory };
        drop(LedgerFile::create(run.path(), &meta(), None).unwrap());
        run
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    async fn session(
        &self,
        execution: &Execution,
        library: &Library,
        stop: impl Future<Output = EndReason>,
        mut watch: impl FnMut(),
    ) -> (EndReason, LedgerFile) {
        let input = Input { path: self.path().join("input.csv"), format: Format::Csv };
        let context = Context::default();
        let execution = execution.clone();
        let session = Session { input, context, execution, rates: None, rows_max: None };
        let ledger = LedgerFile::open(self.path()).unwrap();
        session.execute(Planner::direct(), ledger, library, stop, |_, _| watch()).await.unwrap()
    }
}

pub(crate) fn meta() -> RunMeta {
    RunMeta {
        id: "run".to_owned(),
        position: 1,
        input_path: None,
        input_name: "input.csv".to_owned(),
        input_format: Format::Csv,
        input_fingerprint: String::new(),
        rows: ROWS,
        writes: 0,
        endpoint: String::new(),
        account: serde_json::from_str(r#"{"service":"localhost:80","key":"key","name":null}"#)
            .expect("it is an account"),
        sandbox: false,
        pays: false,
        clear_token: "<clear>".to_owned(),
        fields: String::new(),
        begun: String::new(),
        guarded: false,
        planning: Planning::Direct,
        stage: Stage::Running,
    }
}

fn steps(ledger: &LedgerFile) -> Vec<StepRecord> {
    let mut all = Vec::new();
    let read = ledger.steps(0, |mut steps| {
        while let Some(step) = steps.next_step()? {
            all.push(step);
        }
        Ok::<_, LedgerError>(())
    });
    read.unwrap();
    all
}

pub(crate) fn statuses(ledger: &LedgerFile) -> BTreeMap<u64, Status> {
    let mut rows: BTreeMap<u64, Vec<StepRecord>> = BTreeMap::new();
    for step in steps(ledger) {
        rows.entry(step.step.row).or_default().push(step);
    }
    rows.iter().map(|(row, steps)| (*row, RowResult::of(steps).status)).collect()
}

fn fast() -> Execution {
    execution(limit(50.0, 50, 0.0), 8, 6)
}

/// The row that a call says it is of, where it says one.
fn row_of(what: &str) -> Option<u64> {
    let number = what.strip_prefix("details row ").or_else(|| what.strip_prefix("add new"))?;
    number.parse().ok()
}

#[tokio::test(start_paused = true)]
async fn through_the_real_loop_every_row_is_settled_once_and_in_order() {
    let run = Run::new(&mixed_sheet());
    let library = Library::new(20, Faults { throttled: 17, not_sent: 23, lost: 29, late: None });
    let (ending, ledger) = run.session(&fast(), &library, pending(), || {}).await;
    assert_eq!(ending, EndReason::Done);
    let statuses = statuses(&ledger);
    assert_eq!(statuses.len() as u64, ROWS);
    for (row, status) in &statuses {
        match row % 10 {
            0 => assert_eq!(*status, Status::Unchanged, "row {row}"),
            1 => assert_eq!(*status, Status::Rejected, "row {row}"),
            2..=4 => assert!(matches!(status, Status::Updated | Status::Unknown), "row {row}"),
            _ => assert_eq!(*status, Status::Updated, "row {row}"),
        }
    }
    let unknown = statuses.values().filter(|status| **status == Status::Unknown).count();
    assert!(unknown > 0, "some answers are lost");
    let seen = library.seen.borrow();
    let mut last: HashMap<&str, u64> = HashMap::new();
    for Seen { file, what, .. } in seen.iter() {
        if let Some(row) = row_of(what) {
            let before = last.insert(file, row).unwrap_or(0);
            assert!(before <= row, "{file} goes back from row {before} to {row}");
        }
    }
    let paid_rows = (2..ROWS + 2).filter(|row| matches!(row % 10, 2..=4));
    let paid_runs: u32 = library.files.borrow().values().map(|file| file.paid_runs).sum();
    assert!(u64::from(paid_runs) <= paid_rows.count() as u64, "something is paid for twice");
}

#[tokio::test(start_paused = true)]
async fn the_ledger_holds_what_the_wire_saw() {
    let run = Run::new(&mixed_sheet());
    let library = Library::new(20, Faults { throttled: 17, not_sent: 23, lost: 29, late: None });
    let (_, ledger) = run.session(&fast(), &library, pending(), || {}).await;
    let seen = library.seen.borrow();
    let counters = ledger.counters().unwrap();
    let count = |word: &str| seen.iter().filter(|s| s.what.starts_with(word)).count() as u64;
    assert_eq!(counters.patch, count("details"));
    assert_eq!(counters.publish, count("publish"));
    assert_eq!(counters.add_tags, count("add"));
    assert_eq!(counters.remove_tags, count("remove"));
    assert_eq!(counters.read, library.reads.get());
    for record in steps(&ledger) {
        let row = record.step.row;
        let what = match record.step.kind {
            StepKind::Details | StepKind::DetailsWithoutExtensions => format!("details row {row}"),
            StepKind::AddTags => format!("add new{row}"),
            _ => continue,
        };
        let done = seen.iter().filter(|seen| seen.what == what && seen.was_done).count();
        match record.outcome.status {
            Status::Updated => assert!(done >= 1, "{record:?} was not done"),
            Status::Unknown => assert!(seen.iter().any(|seen| seen.what == what), "{record:?}"),
            _ => assert_eq!(done, 0, "{record:?} was done"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_real_loop_stands_at_the_limit_and_never_above() {
    const RATE: f64 = 50.0;
    let rows = 3000;
    let run = Run::new(&plain_sheet(rows));
    let library = Library::new(30, Faults::default());
    let (ending, ledger) = run.session(&fast(), &library, pending(), || {}).await;
    assert_eq!(ending, EndReason::Done);
    assert!(statuses(&ledger).values().all(|status| *status == Status::Updated));
    let mut times: Vec<Duration> = library.seen.borrow().iter().map(|seen| seen.at).collect();
    times.sort_unstable();
    at_most(&times, RATE, 50.0);
    let took = times.last().unwrap().as_secs_f64() - times[0].as_secs_f64();
    let ideal = f64::from(u32::try_from(rows).unwrap() - 50) / RATE;
    assert!(took <= ideal * 1.03, "{took} s instead of {ideal} s");
}

#[tokio::test(start_paused = true)]
async fn stopped_in_the_middle_and_resumed_the_library_is_as_after_an_undisturbed_run() {
    // Without lost answers there is one right end, whatever the order of the files. Nothing in it
    // that must not be repeated: while the disk works a paused clock runs on, past the grace of the
    // stop, so that such a request could be given up while it is being recorded.
    let faults = Faults { throttled: 19, not_sent: 31, lost: 0, late: None };
    let whole = Run::new(&repeatable_sheet());
    let undisturbed = Library::new(40, Faults::default());
    let (_, ledger) = whole.session(&fast(), &undisturbed, pending(), || {}).await;
    let writes = PriorProgress::of(&ledger).unwrap().writes;
    assert_eq!(writes, undisturbed.seen.borrow().len() as u64);
    let wanted = (undisturbed.files.into_inner(), statuses(&ledger));
    for stops_ms in [[200, 700], [1500, 900], [3000, 50]] {
        let run = Run::new(&repeatable_sheet());
        let library = Library::new(40, faults);
        for stop_ms in stops_ms {
            let stop = async move {
                tokio::time::sleep(Duration::from_millis(stop_ms)).await;
                EndReason::Stopped(Stop::Interrupt)
            };
            let (_, ledger) = run.session(&fast(), &library, stop, || {}).await;
            knows_what_was_before(&ledger);
        }
        let (ending, ledger) = run.session(&fast(), &library, pending(), || {}).await;
        assert_eq!(ending, EndReason::Done);
        assert_eq!((library.files.into_inner(), statuses(&ledger)), wanted, "{stops_ms:?}");
        // What was done once is never sent again.
        let mut done = BTreeSet::new();
        for seen in library.seen.into_inner() {
            if row_of(&seen.what).is_some() && seen.was_done {
                assert!(done.insert(seen.what.clone()), "{} is done twice", seen.what);
            }
        }
    }
}

/// What a session says of those before it is what the reports say.
fn knows_what_was_before(ledger: &LedgerFile) {
    let statuses = statuses(ledger);
    let counts = PriorProgress::of(ledger).unwrap().counts;
    for (status, count) in Status::ALL.iter().zip(counts) {
        let found = statuses.values().filter(|found| *found == status).count() as u64;
        let is_none = *status == Status::NotAttempted;
        assert_eq!(count, if is_none { 0 } else { found }, "{status}");
    }
}

/// Refuses a mark that is ahead of the outcomes beside it, where every row has one step.
const MARK_IS_TRUE: &str = "
    CREATE TRIGGER mark_is_true BEFORE INSERT ON fact WHEN NEW.name = 'low_water' BEGIN
        SELECT RAISE(ABORT, 'the mark is ahead of the outcomes')
        WHERE (SELECT count(*) FROM step WHERE id < 8 * CAST(NEW.value AS INTEGER))
            < CAST(NEW.value AS INTEGER) - 2;
    END";

#[tokio::test(start_paused = true)]
async fn with_a_disk_that_cannot_follow_the_mark_is_never_ahead_of_the_outcomes() {
    let run = Run::new(&plain_sheet(12_000));
    let other = rusqlite::Connection::open(run.path().join(LedgerFile::NAME)).unwrap();
    other.execute_batch(MARK_IS_TRUE).unwrap();
    let mut execution = fast();
    execution.writes.rate = Rate::Unlimited;
    let library = Library::new(5, Faults::default());
    // Somebody holds the file from early on until the run has come to a standstill.
    let (mut before, mut standing) = (0, 0);
    let (mut is_taken, mut is_given_back) = (false, false);
    let (ending, ledger) = run
        .session(&execution, &library, pending(), || {
            let seen = library.seen.borrow().len();
            standing = if seen == before { standing + 1 } else { 0 };
            before = seen;
            if !is_taken && seen > 0 {
                other.execute_batch("BEGIN IMMEDIATE").unwrap();
                is_taken = true;
            } else if is_taken && !is_given_back && standing > 3 {
                other.execute_batch("COMMIT").unwrap();
                is_given_back = true;
            }
        })
        .await;
    assert_eq!(ending, EndReason::Done);
    assert!(is_given_back, "the run came to a standstill while the disk did");
    assert_eq!(statuses(&ledger).len(), 12_000);
}

fn codes(ledger: &LedgerFile, code: Code) -> BTreeSet<u64> {
    let steps = steps(ledger).into_iter().filter(|step| step.outcome.code == Some(code));
    steps.map(|step| step.step.row).collect()
}

/// The last row of each file in the sheet that is not rejected.
fn last_rows() -> BTreeMap<String, u64> {
    let rows = (2..ROWS + 2).filter(|row| !matches!(row % 10, 0 | 1));
    rows.map(|row| (format!("file{}", row * 7 % FILES), row)).collect()
}

/// Every seventh answer is lost, and half of those requests take effect two seconds later.
fn late() -> Library {
    let faults = Faults { lost: 7, late: Some(Duration::from_secs(2)), ..Faults::default() };
    Library::new(20, faults)
}

/// The rows whose files were read back and found to be other than they would be.
fn found_unlike(library: &Library) -> BTreeSet<u64> {
    let last_rows = last_rows();
    let read_back = library.read_back.borrow();
    read_back.iter().filter(|(_, like)| !**like).map(|(file, _)| last_rows[file]).collect()
}

#[tokio::test(start_paused = true)]
async fn what_a_lost_request_undid_later_is_found_and_said_at_the_last_row_of_its_file() {
    let run = Run::new(&repeatable_sheet());
    let library = late();
    let (ending, ledger) = run.session(&fast(), &library, pending(), || {}).await;
    assert_eq!(ending, EndReason::Done);
    let unlike = found_unlike(&library);
    assert!(!unlike.is_empty(), "some late requests undo something");
    assert!(unlike.len() < library.read_back.borrow().len(), "and some do not");
    assert_eq!(codes(&ledger, Code::Mismatch), unlike);
    assert_eq!(codes(&ledger, Code::Unverified), BTreeSet::new());
    // Read back is what had a lost answer before its last row, and nothing else.
    let last_rows = last_rows();
    let doubts = ledger.lost_rows().unwrap();
    let due = doubts.iter().filter(|(file, row)| **row < last_rows[*file]).map(|(file, _)| file);
    let due: BTreeSet<&String> = due.collect();
    assert_eq!(library.read_back.borrow().keys().collect::<BTreeSet<_>>(), due);
    let settled = steps(&ledger).into_iter().filter(|step| step.row_done);
    assert_eq!(settled.count() as u64, ROWS);
}

#[tokio::test(start_paused = true)]
async fn stopped_while_it_reads_back_it_says_so_and_goes_on_with_it_later() {
    let run = Run::new(&repeatable_sheet());
    let library = late();
    let stop = async {
        while library.read_back.borrow().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        EndReason::Stopped(Stop::Interrupt)
    };
    // Two places, so that not all can be read before the stop.
    let execution = execution(limit(50.0, 50, 0.0), 2, 6);
    let (ending, ledger) = run.session(&execution, &library, stop, || {}).await;
    assert_eq!(ending, EndReason::Stopped(Stop::Interrupt));
    let unverified = codes(&ledger, Code::Unverified);
    assert!(!unverified.is_empty(), "not all could be read back");
    assert!(statuses(&ledger).values().all(|status| *status != Status::NotAttempted));
    drop(ledger);
    let (ending, ledger) = run.session(&fast(), &library, pending(), || {}).await;
    assert_eq!(ending, EndReason::Done);
    assert_eq!(codes(&ledger, Code::Unverified), BTreeSet::new());
    assert_eq!(codes(&ledger, Code::Mismatch), found_unlike(&library));
}
