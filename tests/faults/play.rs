//! Plays one case with the real program and compares it with the model.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use ikbulk::sandbox::{Config, ExtensionPlay, Fault, Faults, Phase, Status, Tap};
use serde_json::{Value, json};

use crate::harness::{World, files, sheet};
use crate::model::{Expected, Position, ROWS, Target, expect};

const EXTENSION: &str = "aws-auto-tagging";
/// How long the program waits for an answer where the fault is that none comes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

/// One case of the table.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) fault: Option<Fault>,
    pub(crate) target: Target,
    pub(crate) position: Position,
}

/// Counts the requests whose work is done.
#[derive(Clone, Default)]
struct Worked(Arc<(Mutex<u64>, Condvar)>);

impl Worked {
    fn tap(&self) -> Tap {
        let worked = self.clone();
        Tap::new(move |event| {
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
                Target::Safe => format!("{file},row-{row},,"),
                Target::Paid | Target::Read => format!("{file},row-{row},{extension},"),
                Target::Publish => format!("{file},,,false"),
            }
        };
        sheet("fileId,tags,extensions,isPublished", (0..ROWS).map(row))
    }

    fn hangs(&self) -> bool {
        matches!(self.fault, Some(Fault::HangBefore(_) | Fault::HangAfter(_)))
    }

    /// Plays it; gives what came of the rows, and what of it is not as it should be.
    pub(crate) fn play(&self) -> (Vec<String>, Vec<String>) {
        let expected = expect(self.fault.as_ref(), self.target, self.position);
        let worked = Worked::default();
        let script = expected.hits.iter().filter_map(|n| Some((*n, self.fault.clone()?))).collect();
        let faults = Faults { script, ..Faults::default() };
        let extensions = ExtensionPlay::Always(Status::Success);
        let tap = Some(worked.tap());
        let world = World::new(Config { faults, extensions, tap, ..files(["a", "b", "c"]) });
        let before = ["a", "b", "c"].map(|id| world.file(id));
        world.write("sheet.csv", self.sheet());
        let timeout = if self.hangs() { TIMEOUT } else { 10 * TIMEOUT };
        let timeout = timeout.as_secs();
        let done = world.apply(&format!("sheet.csv --concurrency 1 --timeout {timeout}s"));
        if self.hangs() {
            worked.wait_for(world.sandbox.stats().requests);
        }
        let mut wrong = Wrong::default();
        wrong.compare("exit code", &done.code, &Some(expected.exit_code()));
        let run = world.only_run("sheet");
        let statuses = run.statuses();
        wrong.compare("statuses", &statuses, &expected.statuses);
        let calls = world.sandbox.stats().calls;
        let requests = [calls.patch, calls.publish, calls.get, calls.list];
        wrong.compare("requests", &requests, &expected.requests);
        let summary = &run.summary()["requests"];
        let reads = calls.get + calls.list;
        let counted = json!([calls.patch, calls.publish, reads]);
        let says = json!([summary["patch"], summary["publish"], summary["read"]]);
        wrong.compare("requests of the summary", &says, &counted);
        for before in before {
            self.compare_file(&world, &before, &expected, &mut wrong);
        }
        (statuses, wrong.0)
    }

    fn compare_file(&self, world: &World, before: &Value, expected: &Expected, wrong: &mut Wrong) {
        let id = before["fileId"].as_str().expect("a file has an id");
        let file = world.file(id);
        let of_file = |files: &[&str]| files.iter().filter(|file| **file == id).count() as u64;
        let last = expected.tags.iter().rfind(|(file, _)| *file == id);
        let tags = last.map_or(before["tags"].clone(), |(_, row)| json!([format!("row-{row}")]));
        // What timed out takes effect when it likes, also after what was sent later.
        let is_late = matches!(self.fault, Some(Fault::HangBefore(_)));
        if !(is_late && self.position == Position::AllOfOneFile) {
            wrong.compare(&format!("tags of {id}"), &file["tags"], &tags);
        }
        let is_published = before["isPublished"] == true && of_file(&expected.unpublished) == 0;
        wrong.compare(&format!("publication of {id}"), &file["isPublished"], &is_published);
        let paid = world.sandbox.stats().paid_runs_of(id, EXTENSION);
        wrong.compare(&format!("paid runs of {id}"), &paid, &of_file(&expected.paid));
    }
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
