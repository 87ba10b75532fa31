//! Model of the design's rules for three rows that add and remove tags and share bulk calls.

use ikbulk_sandbox::{Fault, MissingIds};
use serde_json::Value;

use crate::model::{
    ADD, Expected, FILES, Failure, GET, Position, REMOVE, ROWS, Response, Tags, Target, effect,
    is_unreadable,
};

/// The tag that every file has at the start.
pub(crate) const OLD: &str = "old";

/// The row's cells in the columns `addTags` and `removeTags`.
pub(crate) fn cells(tags: Tags, row: usize) -> String {
    match tags {
        Tags::MiddleDiffers if row == 1 => "new,".to_owned(),
        Tags::Same | Tags::MiddleDiffers => "sale,".to_owned(),
        Tags::Swapped => format!("new,{OLD}"),
        Tags::AllDiffer => format!("row-{row},"),
    }
}

/// A bulk call: adds a tag to the files of some rows, or removes it.
struct Call {
    kind: usize,
    tag: String,
    rows: Vec<usize>,
}

/// The bulk calls for the rows, in sending order.
fn calls(tags: Tags) -> Vec<Call> {
    let call = |kind, tag: &str, rows: &[usize]| Call { kind, tag: tag.into(), rows: rows.into() };
    match tags {
        Tags::Same => vec![call(ADD, "sale", &[0, 1, 2])],
        Tags::MiddleDiffers => vec![call(ADD, "sale", &[0, 2]), call(ADD, "new", &[1])],
        Tags::Swapped => vec![call(REMOVE, OLD, &[0, 1, 2]), call(ADD, "new", &[0, 1, 2])],
        Tags::AllDiffer => (0..ROWS).map(|row| call(ADD, &format!("row-{row}"), &[row])).collect(),
    }
}

/// Simulates the calls, one at a time.
pub(crate) fn expect(failure: &Failure, tags: Tags, position: Position) -> Expected {
    let mut expected = Expected::default();
    expected.statuses = vec!["not_attempted"; ROWS];
    let mut model = Model { expected, failure, tags, position, lost_rows: Vec::new() };
    let calls = calls(tags);
    for (index, call) in calls.iter().enumerate() {
        let is_hit = position.hits(index, calls.len());
        // During a backoff, only calls for other files may be sent.
        let mut others = calls[index + 1..].iter().flat_map(|later| &later.rows);
        let files = model.files(call);
        let is_only_sendable = others.all(|row| files.contains(&position.file(*row)));
        model.process(call, is_hit, is_only_sendable);
    }
    model.read_back();
    model.read_sample();
    model.expected
}

struct Model<'a> {
    expected: Expected,
    failure: &'a Failure,
    tags: Tags,
    position: Position,
    /// The rows of the first call whose response was lost.
    lost_rows: Vec<usize>,
}

impl Model<'_> {
    fn process(&mut self, call: &Call, is_hit: bool, is_only_sendable: bool) {
        // After a step that did not succeed, the row's later steps are not sent.
        let is_open = |row: &usize| self.expected.statuses[*row] != "rejected";
        let call = call.part(call.rows.iter().copied().filter(is_open).collect());
        if self.expected.aborted {
            return self.set_status(&call.rows, "not_attempted");
        }
        if call.rows.is_empty() {
            return;
        }
        match self.failure {
            Failure::Fault(fault) if is_hit => self.hit(&call, fault, is_only_sendable),
            _ => self.send(&call),
        }
    }

    /// Sends the call; the fault hits it.
    fn hit(&mut self, call: &Call, fault: &Fault, is_only_sendable: bool) {
        self.expected.send(call.kind);
        self.expected.hits.push(self.expected.sent);
        let (applied, response) = effect(fault, Target::Bulk(self.tags));
        if applied && response != Response::PartialFailure {
            self.apply(call);
        }
        match response {
            Response::Success | Response::Mismatch => self.set_status(&call.rows, "updated"),
            Response::PartialFailure => self.partially_failed(call),
            Response::Rejected => self.rejected(call, &missing_ids(fault)),
            Response::AccountRejected => {
                self.expected.aborted = true;
                self.set_status(&call.rows, "not_attempted");
            }
            Response::Throttled => self.send(call),
            // Adding and removing tags is idempotent.
            Response::Inconclusive => {
                if self.lost_rows.is_empty() {
                    self.lost_rows.clone_from(&call.rows);
                }
                self.expected.probe_due = is_only_sendable || is_unreadable(fault);
                self.send(call);
            }
        }
    }

    /// Sends the call without a fault; one of its files may be missing.
    fn send(&mut self, call: &Call) {
        self.expected.send(call.kind);
        let missing = self.missing();
        let is_rejected = self.files(call).iter().any(|file| missing.contains(file));
        match self.failure {
            Failure::MissingFile(MissingIds::Named) if is_rejected => self.rejected(call, &missing),
            Failure::MissingFile(MissingIds::Silent) if is_rejected => self.rejected(call, &[]),
            _ => {
                self.apply(call);
                self.set_status(&call.rows, "updated");
            }
        }
    }

    /// The call was rejected as a whole. Retries it without the files that the response lists; if it
    /// lists none, halves the call.
    fn rejected(&mut self, call: &Call, missing: &[&str]) {
        let is_missing = |row: &usize| missing.contains(&self.position.file(*row));
        let (missing_rows, others): (Vec<_>, Vec<_>) =
            call.rows.iter().partition(|row| is_missing(row));
        if self.files(call).len() == 1 {
            self.set_status(&call.rows, "rejected");
        } else if missing_rows.is_empty() {
            let (one, other) = call.rows.split_at(call.rows.len() / 2);
            self.send(&call.part(one.into()));
            self.send(&call.part(other.into()));
        } else {
            self.set_status(&missing_rows, "rejected");
            self.send(&call.part(others));
        }
    }

    fn partially_failed(&mut self, call: &Call) {
        let files = self.files(call);
        for row in &call.rows {
            let index = files.iter().position(|file| *file == self.position.file(*row));
            if index.is_some_and(|index| index % 2 == 0) {
                self.set_status(&[*row], "rejected");
            } else {
                self.apply(&call.part(vec![*row]));
                self.set_status(&[*row], "updated");
            }
        }
    }

    fn apply(&mut self, call: &Call) {
        for file in self.files(call) {
            let tags = self.expected.tags.entry(file).or_insert_with(|| vec![OLD.to_owned()]);
            tags.retain(|tag| *tag != call.tag);
            if call.kind == ADD {
                tags.push(call.tag.clone());
            }
        }
    }

    fn set_status(&mut self, rows: &[usize], status: &'static str) {
        for row in rows {
            self.expected.statuses[*row] = status;
        }
    }

    /// A request whose response was lost may take effect late: files with later rows are read back.
    fn read_back(&mut self) {
        let file = |row| self.position.file(row);
        let is_later = |lost_row: usize, row| row > lost_row && file(row) == file(lost_row);
        let mut others = (0..ROWS).filter(|row| !self.lost_rows.contains(row));
        if others.any(|row| self.lost_rows.iter().any(|lost_row| is_later(*lost_row, row))) {
            self.expected.send(GET);
        }
    }

    /// One file of an accepted call is read back, unless its response was lost.
    fn read_sample(&mut self) {
        let lost: Vec<_> = self.lost_rows.iter().map(|row| self.position.file(*row)).collect();
        let is_updated = |row: &usize| self.expected.statuses[*row] == "updated";
        let mut files = (0..ROWS).filter(is_updated).map(|row| self.position.file(row));
        if !self.expected.aborted && files.any(|file| !lost.contains(&file)) {
            self.expected.send(GET);
            // The sample may have hit a file with a lost response.
            self.expected.optional_gets = u64::from(!lost.is_empty());
        }
    }

    /// The distinct files of a call.
    fn files(&self, call: &Call) -> Vec<&'static str> {
        let mut files: Vec<_> = call.rows.iter().map(|row| self.position.file(*row)).collect();
        files.dedup();
        files
    }

    /// The files that do not exist in `Failure::MissingFile`.
    fn missing(&self) -> Vec<&'static str> {
        let is_hit = |row: &usize| self.position.hits(*row, ROWS);
        (0..ROWS).filter(is_hit).map(|row| self.position.file(row)).collect()
    }
}

impl Call {
    fn part(&self, rows: Vec<usize>) -> Self {
        Self { kind: self.kind, tag: self.tag.clone(), rows }
    }
}

/// The files in the response's `missingFileIds`.
fn missing_ids(fault: &Fault) -> Vec<&'static str> {
    let Fault::Status { body, .. } = fault else { return Vec::new() };
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let is_listed = |file: &&str| {
        let mut missing = body["missingFileIds"].as_array().into_iter().flatten();
        missing.any(|id| id == file)
    };
    FILES.into_iter().filter(is_listed).collect()
}
