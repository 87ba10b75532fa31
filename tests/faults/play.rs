//! Plays one case with the real program and compares it with the model.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use ikbulk::sandbox::{
    Config, ExtensionOutcome, Fault, Faults, Hook, Library, Phase, Quirks, Status,
};
use serde_json::{Value, json};

use crate::bulk;
use crate::harness::{TestEnv, files, sheet, with_library};
use crate::model::{Expected, FILES, Position, ROWS, Target, Trouble, expect};

const EXTENSION: &str = "aws-auto-tagging";
/// How long the program waits for an answer where the fault is that none comes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

/// One case of the table.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) trouble: Trouble,
    pub(crate) target: Target,
    pub(crate) position: Position,
}

/// Counts the requests whose work is done.
#[derive(Clone, Default)]
struct Worked(Arc<(Mutex<u64>, Condvar)>);

impl Worked {
    fn hook(&self) -> Hook {
        let worked = self.clone();
        Hook::new(move |event| {
            if event.phase == Phase::Worked {
                let (count, changed) = &*worked.0;
                *count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                changed.notify_all();
            }
        })
    }

    /// Waits until so many are: a request that timed out is carried out all the same.
    fn wait_for(&self, least: u64) {
        let (count, changed) = &*self.0;
        let count = count.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(count, 10 * TIMEOUT, |count| *count < least);
        let waited = waited.unwrap_or_else(PoisonError::into_inner).1;
        assert!(!waited.timed_out(), "the sandbox never came to its end");
    }
}

impl Case {
    fn sheet(&self) -> String {
        let extension = format!(
            "\"[{{\"\"name\"\":\"\"{EXTENSION}\"\",\"\"minConfidence\"\":80,\"\"maxTags\"\":3}}]\""
        );
        let row = |row: usize| {
            let file = self.position.file(row);
            match self.target {
                Target::Idempotent => format!("{file},row-{row},,"),
                Target::Paid | Target::Read => format!("{file},row-{row},{extension},"),
                Target::Publish => format!("{file},,,false"),
                Target::Bulk(tags) => format!("{file},{}", bulk::cells(tags, row)),
            }
        };
        let header = match self.target {
            Target::Bulk(_) => "fileId,addTags,removeTags",
            _ => "fileId,tags,extensions,isPublished",
        };
        sheet(header, (0..ROWS).map(row))
    }

    /// The sandbox, without what goes wrong by itself.
    fn config(&self) -> Config {
        let Target::Bulk(_) = self.target else {
            return files(FILES);
        };
        let mut library = Library::new();
        for id in FILES.into_iter().filter(|id| self.has(id)) {
            library.insert(json!({"fileId": id, "tags": [bulk::OLD], "isPublished": true}));
        }
        let quirks = match self.trouble {
            Trouble::NoFile(missing_ids) => Quirks { missing_ids, ..Quirks::default() },
            _ => Quirks::default(),
        };
        Config { quirks, ..with_library(library) }
    }

    fn has(&self, id: &str) -> bool {
        let is_hit = |row| self.position.hits(row, ROWS) && self.position.file(row) == id;
        !(matches!(self.trouble, Trouble::NoFile(_)) && (0..ROWS).any(is_hit))
    }

    fn hangs(&self) -> bool {
        matches!(self.trouble, Trouble::Fault(Fault::HangBefore(_) | Fault::HangAfter(_)))
    }

    /// Whether a request may take effect after others of its file that were sent later.
    fn may_be_late(&self) -> bool {
        let is_late = matches!(self.trouble, Trouble::Fault(Fault::HangBefore(_)));
        is_late && self.position == Position::AllOfOneFile
    }

    fn faults(&self, hits: &[u64]) -> Faults {
        let script = match &self.trouble {
            // The first request of all asks whose account it is.
            Trouble::Fault(fault) => hits.iter().map(|n| (*n + 1, fault.clone())).collect(),
            Trouble::Nothing | Trouble::NoFile(_) => Vec::new(),
        };
        Faults { script, ..Faults::default() }
    }

    /// Plays it; gives what came of the rows, and what of it is not as it should be.
    pub(crate) fn play(&self) -> (Vec<String>, Vec<String>) {
        let expected = expect(&self.trouble, self.target, self.position);
        let worked = Worked::default();
        let faults = self.faults(&expected.hits);
        let extensions = ExtensionOutcome::Always(Status::Success);
        let hook = Some(worked.hook());
        let world = TestEnv::new(Config { faults, extensions, hook, ..self.config() });
        let there = FILES.into_iter().filter(|id| self.has(id));
        let before: Vec<Value> = there.map(|id| world.file(id)).collect();
        world.write("sheet.csv", self.sheet());
        let timeout = if self.hangs() { TIMEOUT } else { 10 * TIMEOUT };
        let timeout = timeout.as_secs();
        let done = world.apply_direct(&format!("sheet.csv --concurrency 1 --timeout {timeout}s"));
        if self.hangs() {
            worked.wait_for(world.sandbox.stats().requests);
        }
        let mut wrong = Wrong::default();
        wrong.compare("exit code", &done.code, &Some(expected.exit_code()));
        let run = world.only_run("sheet");
        let statuses = run.statuses();
        wrong.compare("statuses", &statuses, &expected.statuses);
        compare_requests(&world, &run.summary()["requests"], &expected, &mut wrong);
        for before in before {
            self.compare_file(&world, &before, &expected, &mut wrong);
        }
        (statuses, wrong.0)
    }

    fn compare_file(
        &self,
        world: &TestEnv,
        before: &Value,
        expected: &Expected,
        wrong: &mut Wrong,
    ) {
        let id = before["fileId"].as_str().expect("a file has an id");
        let file = world.file(id);
        let of_file = |files: &[&str]| files.iter().filter(|file| **file == id).count() as u64;
        let (mut tags, before_tags) = (tags_of(&file), tags_of(before));
        let mut wanted = expected.tags.get(id).cloned().unwrap_or(before_tags);
        if self.may_be_late() {
            tags.sort_unstable();
            wanted.sort_unstable();
        }
        // What timed out takes effect when it likes, also after what was sent later. Where tags are
        // added, that comes to the same.
        if !self.may_be_late() || matches!(self.target, Target::Bulk(_)) {
            wrong.compare(&format!("tags of {id}"), &tags, &wanted);
        }
        let is_published = before["isPublished"] == true && of_file(&expected.unpublished) == 0;
        wrong.compare(&format!("publication of {id}"), &file["isPublished"], &is_published);
        let paid = world.sandbox.stats().paid_runs_of(id, EXTENSION);
        wrong.compare(&format!("paid runs of {id}"), &paid, &of_file(&expected.paid));
    }
}

fn compare_requests(world: &TestEnv, summary: &Value, expected: &Expected, wrong: &mut Wrong) {
    let calls = world.sandbox.stats().calls;
    let writes = [calls.patch, calls.publish, calls.add_tags, calls.remove_tags];
    let [patch, publish, add, remove] = writes;
    // One list asks whose account it is, and is none of the run's.
    let lists = calls.list - 1;
    let requests = [patch, publish, calls.get, lists, add, remove];
    wrong.compare("requests", &requests, &expected.requests);
    let says = ["patch", "publish", "add_tags", "remove_tags"].map(|kind| &summary[kind]);
    wrong.compare("writes of the summary", &json!(says), &json!(writes));
    let reads = json!(calls.get + lists);
    wrong.compare("reads of the summary", &summary["read"], &reads);
}

/// The tags of a file; null, which is how the API writes none, too.
fn tags_of(file: &Value) -> Vec<String> {
    let tags = file["tags"].as_array().into_iter().flatten();
    tags.map(|tag| tag.as_str().expect("a tag is text").to_owned()).collect()
}

/// What is not as it should be.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn compare<A: PartialEq<B> + std::fmt::Debug, B: std::fmt::Debug>(
        &mut self,
        what: &str,
        is: &A,
        should: &B,
    ) {
        if is != should {
            self.0.push(format!("{what}: is {is:?}, should be {should:?}"));
        }
    }
}
