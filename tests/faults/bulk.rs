//! What should come of three rows that add and remove tags, and share calls: the rules of the
//! design, over again and by hand.

use ikbulk::sandbox::{Fault, MissingIds};
use serde_json::Value;

use crate::model::{
    ADD, Expected, FILES, GET, Position, REMOVE, ROWS, Tags, Target, Told, Trouble, effect,
    is_unreadable,
};

/// The tag that every file has before.
pub(crate) const OLD: &str = "old";

/// What a row asks for: the cells of `addTags` and `removeTags`.
pub(crate) fn cells(tags: Tags, row: usize) -> String {
    match tags {
        Tags::Two if row == 1 => "new,".to_owned(),
        Tags::Same | Tags::Two => "sale,".to_owned(),
        Tags::Swapped => format!("new,{OLD}"),
        Tags::Own => format!("row-{row},"),
    }
}

/// One tag that is added to the files of some rows, or taken away.
struct Call {
    kind: usize,
    tag: String,
    rows: Vec<usize>,
}

/// The calls of the rows, in their order.
fn calls(tags: Tags) -> Vec<Call> {
    let call = |kind, tag: &str, rows: &[usize]| Call { kind, tag: tag.into(), rows: rows.into() };
    match tags {
        Tags::Same => vec![call(ADD, "sale", &[0, 1, 2])],
        Tags::Two => vec![call(ADD, "sale", &[0, 2]), call(ADD, "new", &[1])],
        Tags::Swapped => vec![call(REMOVE, OLD, &[0, 1, 2]), call(ADD, "new", &[0, 1, 2])],
        Tags::Own => (0..ROWS).map(|row| call(ADD, &format!("row-{row}"), &[row])).collect(),
    }
}

/// Works through the calls, one at a time.
pub(crate) fn expect(trouble: &Trouble, tags: Tags, position: Position) -> Expected {
    let mut expected = Expected::default();
    expected.statuses = vec!["not_attempted"; ROWS];
    let mut model = Model { expected, trouble, tags, position, doubts: Vec::new() };
    let calls = calls(tags);
    for (index, call) in calls.iter().enumerate() {
        let is_hit = position.hits(index, calls.len());
        // Another call may go out in the meantime if it is not about the same files.
        let mut others = calls[index + 1..].iter().flat_map(|later| &later.rows);
        let files = model.files(call);
        let is_alone = others.all(|row| files.contains(&position.file(*row)));
        model.turn(call, is_hit, is_alone);
    }
    model.read_back();
    model.expected
}

struct Model<'a> {
    expected: Expected,
    trouble: &'a Trouble,
    tags: Tags,
    position: Position,
    /// The rows of the first call whose answer was lost.
    doubts: Vec<usize>,
}

impl Model<'_> {
    /// It is the turn of a call.
    fn turn(&mut self, call: &Call, is_hit: bool, is_alone: bool) {
        // After a step without success the row's later steps are not sent.
        let is_open = |row: &usize| self.expected.statuses[*row] != "rejected";
        let call = call.part(call.rows.iter().copied().filter(is_open).collect());
        if self.expected.halted {
            return self.settle(&call.rows, "not_attempted");
        }
        if call.rows.is_empty() {
            return;
        }
        match self.trouble {
            Trouble::Fault(fault) if is_hit => self.hit(&call, fault, is_alone),
            _ => self.send(&call),
        }
    }

    /// The call goes out, and the fault hits it.
    fn hit(&mut self, call: &Call, fault: &Fault, is_alone: bool) {
        self.expected.send(call.kind);
        self.expected.hits.push(self.expected.sent);
        let (works, told) = effect(fault, Target::Bulk(self.tags));
        if works && told != Told::InPart {
            self.work(call);
        }
        match told {
            Told::Done | Told::Differs => self.settle(&call.rows, "updated"),
            Told::InPart => self.in_part(call),
            Told::Refused => self.refused(call, &named(fault)),
            Told::Halt => {
                self.expected.halted = true;
                self.settle(&call.rows, "not_attempted");
            }
            Told::Later => self.send(call),
            // Tags can be added and removed as often as one likes.
            Told::Nothing => {
                if self.doubts.is_empty() {
                    self.doubts.clone_from(&call.rows);
                }
                self.expected.owes_a_probe = is_alone || is_unreadable(fault);
                self.send(call);
            }
        }
    }

    /// The call goes out, and nothing hits it; it may be about a file that does not exist.
    fn send(&mut self, call: &Call) {
        self.expected.send(call.kind);
        let missing = self.missing();
        let is_refused = self.files(call).iter().any(|file| missing.contains(file));
        match self.trouble {
            Trouble::NoFile(MissingIds::Named) if is_refused => self.refused(call, &missing),
            Trouble::NoFile(MissingIds::Silent) if is_refused => self.refused(call, &[]),
            _ => {
                self.work(call);
                self.settle(&call.rows, "updated");
            }
        }
    }

    /// Nothing of the call was done. Those of its files that the answer names are to blame; where
    /// it names none, that can be any of them.
    fn refused(&mut self, call: &Call, named: &[&str]) {
        let is_named = |row: &usize| named.contains(&self.position.file(*row));
        let (to_blame, others): (Vec<_>, Vec<_>) = call.rows.iter().partition(|row| is_named(row));
        if self.files(call).len() == 1 {
            self.settle(&call.rows, "rejected");
        } else if to_blame.is_empty() {
            let (one, other) = call.rows.split_at(call.rows.len() / 2);
            self.send(&call.part(one.into()));
            self.send(&call.part(other.into()));
        } else {
            self.settle(&to_blame, "rejected");
            self.send(&call.part(others));
        }
    }

    fn in_part(&mut self, call: &Call) {
        let files = self.files(call);
        for row in &call.rows {
            let place = files.iter().position(|file| *file == self.position.file(*row));
            if place.is_some_and(|place| place % 2 == 0) {
                self.settle(&[*row], "rejected");
            } else {
                self.work(&call.part(vec![*row]));
                self.settle(&[*row], "updated");
            }
        }
    }

    fn work(&mut self, call: &Call) {
        for file in self.files(call) {
            let tags = self.expected.tags.entry(file).or_insert_with(|| vec![OLD.to_owned()]);
            tags.retain(|tag| *tag != call.tag);
            if call.kind == ADD {
                tags.push(call.tag.clone());
            }
        }
    }

    fn settle(&mut self, rows: &[usize], status: &'static str) {
        for row in rows {
            self.expected.statuses[*row] = status;
        }
    }

    /// A change that was lost may take effect after those of later rows of its file.
    fn read_back(&mut self) {
        let file = |row| self.position.file(row);
        let is_behind = |doubt: usize, row| row > doubt && file(row) == file(doubt);
        let mut others = (0..ROWS).filter(|row| !self.doubts.contains(row));
        if others.any(|row| self.doubts.iter().any(|doubt| is_behind(*doubt, row))) {
            self.expected.send(GET);
        }
    }

    /// The files of a call, each once.
    fn files(&self, call: &Call) -> Vec<&'static str> {
        let mut files: Vec<_> = call.rows.iter().map(|row| self.position.file(*row)).collect();
        files.dedup();
        files
    }

    /// The files that do not exist, where one does not.
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

/// The files that an answer names as missing.
fn named(fault: &Fault) -> Vec<&'static str> {
    let Fault::Status { body, .. } = fault else { return Vec::new() };
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let is_named = |file: &&str| {
        let mut missing = body["missingFileIds"].as_array().into_iter().flatten();
        missing.any(|id| id == file)
    };
    FILES.into_iter().filter(is_named).collect()
}
