//! Runs one case with the real binary and compares it with the model.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use ikbulk_sandbox::{
    Config, ExtensionOutcome, Fault, Faults, Hook, Library, Phase, Quirks, Status,
};
use serde_json::{Value, json};

use crate::bulk_model;
use crate::harness::{TestEnv, files, sheet, with_library};
use crate::model::{Expected, FILES, Failure, GET, Position, ROWS, Target, expect};

const EXTENSION: &str = "aws-auto-tagging";
/// Request timeout in cases where a response hangs.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

/// One case of the table.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) failure: Failure,
    pub(crate) target: Target,
    pub(crate) position: Position,
}

/// Counts the requests that the sandbox has completed.
#[derive(Clone, Default)]
struct CompletedRequests(Arc<(Mutex<u64>, Condvar)>);

impl CompletedRequests {
    fn hook(&self) -> Hook {
        let completed = self.clone();
        Hook::new(move |event| {
            if event.phase == Phase::Processed {
                let (count, changed) = &*completed.0;
                *count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                changed.notify_all();
            }
        })
    }

    /// Waits until at least `least` requests are completed: timed-out requests still take effect.
    fn wait_for(&self, least: u64) {
        let (count, changed) = &*self.0;
        let count = count.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(count, 10 * TIMEOUT, |count| *count < least);
        let waited = waited.unwrap_or_else(PoisonError::into_inner).1;
        assert!(!waited.timed_out(), "the sandbox did not complete all requests");
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
                Target::Billed | Target::Read => format!("{file},row-{row},{extension},"),
                Target::Publish => format!("{file},,,false"),
                Target::Bulk(tags) => format!("{file},{}", bulk_model::cells(tags, row)),
            }
        };
        let header = match self.target {
            Target::Bulk(_) => "fileId,addTags,removeTags",
            _ => "fileId,tags,extensions,isPublished",
        };
        sheet(header, (0..ROWS).map(row))
    }

    /// The sandbox's configuration without faults.
    fn config(&self) -> Config {
        let Target::Bulk(_) = self.target else {
            return files(FILES);
        };
        let mut library = Library::new();
        for id in FILES.into_iter().filter(|id| self.has(id)) {
            library.insert(json!({"fileId": id, "tags": [bulk_model::OLD], "isPublished": true}));
        }
        let quirks = match self.failure {
            Failure::MissingFile(missing_ids) => Quirks { missing_ids, ..Quirks::default() },
            _ => Quirks::default(),
        };
        Config { quirks, ..with_library(library) }
    }

    fn has(&self, id: &str) -> bool {
        let is_hit = |row| self.position.hits(row, ROWS) && self.position.file(row) == id;
        !(matches!(self.failure, Failure::MissingFile(_)) && (0..ROWS).any(is_hit))
    }

    fn hangs(&self) -> bool {
        matches!(self.failure, Failure::Fault(Fault::HangBefore(_) | Fault::HangAfter(_)))
    }

    /// Whether a request may take effect after later requests for the same file.
    fn may_apply_late(&self) -> bool {
        let is_delayed = matches!(self.failure, Failure::Fault(Fault::HangBefore(_)));
        is_delayed && self.position == Position::AllRowsOfOneFile
    }

    fn faults(&self, hits: &[u64]) -> Faults {
        let script = match &self.failure {
            // The first request of every run identifies the account.
            Failure::Fault(fault) => hits.iter().map(|n| (*n + 1, fault.clone())).collect(),
            Failure::None | Failure::MissingFile(_) => Vec::new(),
        };
        Faults { script, ..Faults::default() }
    }

    /// Runs the case; returns the rows' statuses and the deviations from the model.
    pub(crate) fn run(&self) -> (Vec<String>, Vec<String>) {
        let expected = expect(&self.failure, self.target, self.position);
        let completed = CompletedRequests::default();
        let faults = self.faults(&expected.hits);
        let extensions = ExtensionOutcome::Always(Status::Success);
        let hook = Some(completed.hook());
        let env = TestEnv::new(Config { faults, extensions, hook, ..self.config() });
        let existing = FILES.into_iter().filter(|id| self.has(id));
        let before: Vec<Value> = existing.map(|id| env.file(id)).collect();
        env.write("sheet.csv", self.sheet());
        let timeout = if self.hangs() { TIMEOUT } else { 10 * TIMEOUT };
        let timeout = timeout.as_secs();
        let result = env.apply_direct(&format!("sheet.csv --concurrency 1 --timeout {timeout}s"));
        if self.hangs() {
            completed.wait_for(env.sandbox.stats().requests);
        }
        let mut deviations = Deviations::default();
        deviations.compare("exit code", &result.code, &Some(expected.exit_code()));
        let run = env.only_run("sheet");
        let statuses = run.statuses();
        deviations.compare("statuses", &statuses, &expected.statuses);
        compare_requests(&env, &run.summary()["requests"], &expected, &mut deviations);
        for before in before {
            self.compare_file(&env, &before, &expected, &mut deviations);
        }
        (statuses, deviations.0)
    }

    fn compare_file(
        &self,
        env: &TestEnv,
        before: &Value,
        expected: &Expected,
        deviations: &mut Deviations,
    ) {
        let id = before["fileId"].as_str().expect("a file has an id");
        let file = env.file(id);
        let count_for_file =
            |files: &[&str]| files.iter().filter(|file| **file == id).count() as u64;
        let (mut tags, before_tags) = (tags_of(&file), tags_of(before));
        let mut expected_tags = expected.tags.get(id).cloned().unwrap_or(before_tags);
        if self.may_apply_late() {
            tags.sort_unstable();
            expected_tags.sort_unstable();
        }
        // A timed-out request may take effect after later ones. The order only matters where tags are
        // replaced, not where they are added.
        if !self.may_apply_late() || matches!(self.target, Target::Bulk(_)) {
            deviations.compare(&format!("tags of {id}"), &tags, &expected_tags);
        }
        let is_published =
            before["isPublished"] == true && count_for_file(&expected.unpublished) == 0;
        deviations.compare(&format!("publication of {id}"), &file["isPublished"], &is_published);
        let billed = env.sandbox.stats().billed_runs_of(id, EXTENSION);
        deviations.compare(
            &format!("billed runs of {id}"),
            &billed,
            &count_for_file(&expected.billed),
        );
    }
}

fn compare_requests(
    env: &TestEnv,
    summary: &Value,
    expected: &Expected,
    deviations: &mut Deviations,
) {
    let calls = env.sandbox.stats().calls;
    let writes = [calls.patch, calls.publish, calls.add_tags, calls.remove_tags];
    let [patch, publish, add, remove] = writes;
    // One list request identifies the account and is not counted by the run.
    let lists = calls.list - 1;
    let requests = [patch, publish, calls.get, lists, add, remove];
    let mut expected_requests = expected.requests;
    let gets = expected_requests[GET];
    expected_requests[GET] = calls.get.clamp(gets - expected.optional_gets, gets);
    deviations.compare("requests", &requests, &expected_requests);
    let reported = ["patch", "publish", "add_tags", "remove_tags"].map(|kind| &summary[kind]);
    deviations.compare("writes in the summary", &json!(reported), &json!(writes));
    let reads = json!(calls.get + lists);
    deviations.compare("reads in the summary", &summary["read"], &reads);
}

/// The tags of a file; empty for null, the API's form of no tags.
fn tags_of(file: &Value) -> Vec<String> {
    let tags = file["tags"].as_array().into_iter().flatten();
    tags.map(|tag| tag.as_str().expect("a tag is text").to_owned()).collect()
}

/// Differences between the actual and the expected outcome.
#[derive(Default)]
struct Deviations(Vec<String>);

impl Deviations {
    fn compare<A: PartialEq<B> + std::fmt::Debug, B: std::fmt::Debug>(
        &mut self,
        name: &str,
        actual: &A,
        expected: &B,
    ) {
        if actual != expected {
            self.0.push(format!("{name}: is {actual:?}, should be {expected:?}"));
        }
    }
}
