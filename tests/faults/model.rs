//! What should come of three rows of which some are hit by a fault: the rules of the design, over
//! again and by hand.

use std::collections::BTreeMap;

use ikbulk::sandbox::{Fault, MissingIds};

use crate::bulk;

pub(crate) const ROWS: usize = 3;
pub(crate) const FILES: [&str; ROWS] = ["a", "b", "c"];

/// What goes wrong.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    Nothing,
    /// The n-th request fails; which one that is, the position says.
    Fault(Fault),
    /// A file does not exist: every call that names it is refused, and says so or not.
    NoFile(MissingIds),
}

/// What a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// A request that may be repeated: tags.
    Idempotent,
    /// A request that pays for an extension and sets tags.
    Paid,
    /// A request that unpublishes.
    Publish,
    /// The reading of a file before a request that pays.
    Read,
    /// A call for several files, or for several rows of one: tags added and removed.
    Bulk(Tags),
}

/// What the rows of a bulk target ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tags {
    /// All the same: one call.
    Same,
    /// The one in the middle another tag than the others: two calls.
    Two,
    /// All take the same tag away before they add the same one: two calls, one after the other.
    Swapped,
    /// Each its own tag: three calls.
    Own,
}

/// Which of the rows are hit, and whether they are about one file. Of a bulk target a fault hits
/// calls instead, and a file that does not exist is still that of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    First,
    Middle,
    Last,
    /// Each of them, the first time; all are about one file.
    AllOfOneFile,
}

impl Position {
    /// Whether it means this one of so many.
    pub(crate) fn hits(self, index: usize, count: usize) -> bool {
        match self {
            Self::First => index == 0,
            Self::Middle => index == 1,
            Self::Last => index + 1 == count,
            Self::AllOfOneFile => true,
        }
    }

    /// The file that a row is about.
    pub(crate) fn file(self, row: usize) -> &'static str {
        match self {
            Self::AllOfOneFile => "a",
            _ => FILES[row],
        }
    }
}

/// What the program is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// That it was done.
    Done,
    /// That it was done, and something else than was asked.
    Differs,
    /// That every other file, from the first on, could not be changed, and the rest was.
    InPart,
    /// That it will not be done.
    Refused,
    /// To come back later.
    Later,
    /// That the account is not accepted.
    Halt,
    /// Nothing that helps.
    Nothing,
}

/// Whether the work is done, and what the program is told of it. Names every fault there is, so
/// that none can be added without a place here.
pub(crate) fn effect(fault: &Fault, target: Target) -> (bool, Told) {
    match fault {
        Fault::Status { code, body, .. } => (false, told(*code, body)),
        Fault::StatusAfter { code, body, .. } => (true, told(*code, body)),
        Fault::Throttle { .. } | Fault::ThrottleRaw { .. } => (false, Told::Later),
        Fault::ResetBefore | Fault::ResetAtAccept => (false, Told::Nothing),
        Fault::BulkInPart if matches!(target, Target::Bulk(_)) => (true, Told::InPart),
        Fault::Trickle { .. } | Fault::BulkInPart => (true, Told::Done),
        Fault::ResetAfter
        | Fault::ResetInHead
        | Fault::ResetInBody
        | Fault::HugeBody { .. }
        | Fault::HangBefore(_)
        | Fault::HangAfter(_)
        | Fault::CutBody
        | Fault::Garbage => (true, Told::Nothing),
        Fault::DropField(_) => match target {
            Target::Idempotent | Target::Paid => (true, Told::Differs),
            // What is dropped is the tags, which these do not send.
            Target::Publish | Target::Read => (true, Told::Done),
            // The answer names files and shows no tags.
            Target::Bulk(_) => (false, Told::Done),
        },
        Fault::Expire => (false, Told::Halt),
    }
}

fn told(code: u16, body: &str) -> Told {
    match code {
        // What is not ImageKit's says nothing about the request.
        _ if !body.starts_with('{') => Told::Nothing,
        401 => Told::Halt,
        403 if body.contains("disabled") => Told::Halt,
        // A 200 of the table says yes, but not to what was asked.
        200 | 408 | 409 | 500.. => Told::Nothing,
        _ => Told::Refused,
    }
}

/// Whether an answer comes that is not ImageKit's.
pub(crate) fn is_unreadable(fault: &Fault) -> bool {
    match fault {
        Fault::Garbage | Fault::HugeBody { .. } => true,
        Fault::Status { code, body, .. } | Fault::StatusAfter { code, body, .. } => {
            *code < 500 && told(*code, body) == Told::Nothing && !matches!(code, 408 | 409)
        }
        _ => false,
    }
}

/// What should be.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Expected {
    /// The requests that the fault is to hit, by their number.
    pub(crate) hits: Vec<u64>,
    pub(crate) statuses: Vec<&'static str>,
    /// Requests: details, publishing, reads of a file, questions whether the service answers, tags
    /// added, tags removed.
    pub(crate) requests: [u64; 6],
    /// The tags that each file has in the end; those from before where it has no entry.
    pub(crate) tags: BTreeMap<&'static str, Vec<String>>,
    /// Files that were unpublished.
    pub(crate) unpublished: Vec<&'static str>,
    /// Runs of the extension, on each file.
    pub(crate) paid: Vec<&'static str>,
    /// Whether a row was told that something else was done.
    differs: bool,
    pub(crate) halted: bool,
    pub(crate) sent: u64,
    /// After a lost answer to what must not be repeated, or to the only request that there is, and
    /// after an answer that is not ImageKit's, the service is asked whether it answers, before
    /// anything else goes out.
    pub(crate) owes_a_probe: bool,
}

#[derive(Clone, Copy)]
struct Row {
    index: usize,
    file: &'static str,
    /// Where its answer is lost, the service is asked before anything else goes out.
    asks: bool,
}

const PATCH: usize = 0;
const PUBLISH: usize = 1;
pub(crate) const GET: usize = 2;
const PROBE: usize = 3;
pub(crate) const ADD: usize = 4;
pub(crate) const REMOVE: usize = 5;

pub(crate) fn expect(trouble: &Trouble, target: Target, position: Position) -> Expected {
    match (target, trouble) {
        (Target::Bulk(tags), _) => bulk::expect(trouble, tags, position),
        (_, Trouble::Fault(fault)) => expect_rows(Some(fault), target, position),
        (_, Trouble::Nothing) => expect_rows(None, target, position),
        (_, Trouble::NoFile(_)) => {
            unreachable!("only bulk calls are about files that may be missing")
        }
    }
}

/// Works through the rows, one request at a time.
fn expect_rows(fault: Option<&Fault>, target: Target, position: Position) -> Expected {
    let mut expected = Expected::default();
    for index in 0..ROWS {
        // Nothing else may go out while the row waits to be sent again, or it is unknown who answered.
        let is_alone = matches!(position, Position::Last | Position::AllOfOneFile);
        let asks = is_alone || fault.is_some_and(is_unreadable);
        let row = Row { index, file: position.file(index), asks };
        let hit = fault.filter(|_| position.hits(index, ROWS)).map(|fault| effect(fault, target));
        let halted = expected.halted;
        let status = if halted { "not_attempted" } else { expected.row(row, target, hit) };
        expected.statuses.push(status);
    }
    // A change that was lost may take effect after those of later rows of its file.
    let lost = fault.is_some_and(|fault| effect(fault, target).1 == Told::Nothing);
    if lost && position == Position::AllOfOneFile && target.is_seen_in_the_file() {
        expected.send(GET);
    }
    expected
}

impl Target {
    /// Whether later rows say what the file must be like in the end.
    fn is_seen_in_the_file(self) -> bool {
        matches!(self, Self::Idempotent | Self::Paid)
    }
}

impl Expected {
    pub(crate) fn send(&mut self, kind: usize) {
        if std::mem::take(&mut self.owes_a_probe) {
            self.send(PROBE);
        }
        self.sent += 1;
        self.requests[kind] += 1;
    }

    /// The requests of one row, and its status.
    fn row(&mut self, row: Row, target: Target, hit: Option<(bool, Told)>) -> &'static str {
        if target != Target::Idempotent {
            self.send(GET);
        }
        let (mut works, mut told) = (true, Told::Done);
        if let (Target::Read, Some((_, told))) = (target, hit) {
            self.hits.push(self.sent);
            match told {
                Told::Done | Told::Differs | Told::InPart => {}
                Told::Refused => return "rejected",
                Told::Halt => return self.halt(),
                // Reading may be repeated.
                Told::Later => self.send(GET),
                Told::Nothing => {
                    self.owes_a_probe = row.asks;
                    self.send(GET);
                }
            }
            self.write(target);
        } else {
            self.write(target);
            if let Some(effect) = hit {
                self.hits.push(self.sent);
                (works, told) = effect;
            }
        }
        if works {
            self.work(row, target, told == Told::Differs);
        }
        self.answered(row, target, told)
    }

    /// What follows the first answer to the row's write.
    fn answered(&mut self, row: Row, target: Target, told: Told) -> &'static str {
        match (told, target) {
            (Told::Done | Told::InPart, _) => return "updated",
            (Told::Differs, _) => {
                self.differs = true;
                return "updated";
            }
            (Told::Refused, _) => return "rejected",
            (Told::Halt, _) => return self.halt(),
            (Told::Nothing, Target::Paid) => {
                self.owes_a_probe = true;
                self.send(PATCH);
                self.tag(row);
                return "unknown";
            }
            (Told::Nothing, Target::Publish) => {
                self.owes_a_probe = true;
                return "unknown";
            }
            (Told::Nothing, _) => self.owes_a_probe = row.asks,
            (Told::Later, Target::Idempotent) => {}
            // Time has passed: the state before is read again.
            (Told::Later, _) => self.send(GET),
        }
        self.write(target);
        self.work(row, target, false);
        "updated"
    }

    fn write(&mut self, target: Target) {
        self.send(if target == Target::Publish { PUBLISH } else { PATCH });
    }

    fn halt(&mut self) -> &'static str {
        self.halted = true;
        "not_attempted"
    }

    fn work(&mut self, row: Row, target: Target, drops_tags: bool) {
        if target == Target::Publish {
            self.unpublished.push(row.file);
            return;
        }
        if !drops_tags {
            self.tag(row);
        }
        if target != Target::Idempotent {
            self.paid.push(row.file);
        }
    }

    fn tag(&mut self, row: Row) {
        self.tags.insert(row.file, vec![format!("row-{}", row.index)]);
    }

    pub(crate) fn exit_code(&self) -> i32 {
        let has = |status| self.statuses.contains(&status);
        match () {
            () if self.halted => 3,
            () if has("unknown") => 6,
            () if has("rejected") || self.differs => 1,
            () => 0,
        }
    }
}
