//! Model of the design's rules for three rows, some of whose requests are hit by a fault.

use std::collections::BTreeMap;

use ikbulk_sandbox::{Fault, MissingIds};

use crate::bulk_model;

pub(crate) const ROWS: usize = 3;
pub(crate) const FILES: [&str; ROWS] = ["a", "b", "c"];

/// What goes wrong in a case.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    None,
    /// The fault hits the requests at the case's position.
    Fault(Fault),
    /// The file at the case's position does not exist; bulk calls with it are rejected.
    MissingFile(MissingIds),
}

/// The kind of request that the fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// Idempotent: sets tags.
    Idempotent,
    /// At-most-once: runs an extension and sets tags.
    Billed,
    /// At-most-once: unpublishes.
    Publish,
    /// Reads the file before a billed request.
    Read,
    /// Adds or removes tags of several files, or of several rows of one file.
    Bulk(Tags),
}

/// The tag changes of the rows of a bulk target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tags {
    /// All rows add the same tag: one call.
    Same,
    /// The middle row adds another tag than the others: two calls.
    MiddleDiffers,
    /// All rows remove one tag and add another: two calls in sequence.
    Swapped,
    /// Each row adds its own tag: three calls.
    AllDiffer,
}

/// Which rows are hit. For bulk targets, a fault hits the call at this position, and a missing file
/// is the file of the row at this position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    First,
    Middle,
    Last,
    /// All rows, on their first attempt; all rows change one file.
    AllRowsOfOneFile,
}

impl Position {
    /// Whether the position includes `index` out of `count`.
    pub(crate) fn hits(self, index: usize, count: usize) -> bool {
        match self {
            Self::First => index == 0,
            Self::Middle => index == 1,
            Self::Last => index + 1 == count,
            Self::AllRowsOfOneFile => true,
        }
    }

    /// The file that a row changes.
    pub(crate) fn file(self, row: usize) -> &'static str {
        match self {
            Self::AllRowsOfOneFile => "a",
            _ => FILES[row],
        }
    }
}

/// What the first response tells the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Response {
    /// The change was made.
    Success,
    /// A change was made, with other values than requested.
    Mismatch,
    /// Every other file, starting with the first, failed; the rest were changed.
    PartialFailure,
    /// A permanent error.
    Rejected,
    /// 429.
    Throttled,
    /// The key or the account is not accepted.
    AccountRejected,
    /// No usable response: whether the change was made is unknown.
    Inconclusive,
}

/// Whether the change is made, and what the response tells. Matches every fault by name, so that a
/// new fault does not compile without a rule here.
pub(crate) fn effect(fault: &Fault, target: Target) -> (bool, Response) {
    match fault {
        Fault::Status { code, body, .. } => (false, response_to(*code, body)),
        Fault::StatusAfter { code, body, .. } => (true, response_to(*code, body)),
        Fault::Throttle { .. } | Fault::ThrottleRaw { .. } => (false, Response::Throttled),
        Fault::ResetBefore | Fault::ResetAtAccept => (false, Response::Inconclusive),
        Fault::PartialBulk if matches!(target, Target::Bulk(_)) => (true, Response::PartialFailure),
        // That every other file is left out of a bulk call shows only when it is read back.
        Fault::Trickle { .. } | Fault::PartialBulk | Fault::FalseBulkSuccess => {
            (true, Response::Success)
        }
        Fault::ResetAfter
        | Fault::ResetInHead
        | Fault::ResetInBody
        | Fault::HugeBody { .. }
        | Fault::HangBefore(_)
        | Fault::HangAfter(_)
        | Fault::CutBody
        | Fault::Garbage => (true, Response::Inconclusive),
        Fault::DropField(_) => match target {
            Target::Idempotent | Target::Billed => (true, Response::Mismatch),
            // The dropped field is tags, which these do not send.
            Target::Publish | Target::Read => (true, Response::Success),
            // The response lists files, not tags.
            Target::Bulk(_) => (false, Response::Success),
        },
        Fault::Expire => (false, Response::AccountRejected),
    }
}

fn response_to(code: u16, body: &str) -> Response {
    match code {
        // A response that is not ImageKit's JSON tells nothing about the request.
        _ if !body.starts_with('{') => Response::Inconclusive,
        401 => Response::AccountRejected,
        403 if body.contains("disabled") => Response::AccountRejected,
        // The 200s of the table do not match the request.
        200 | 408 | 409 | 500.. => Response::Inconclusive,
        _ => Response::Rejected,
    }
}

/// Whether the response is not ImageKit's JSON.
pub(crate) fn is_unreadable(fault: &Fault) -> bool {
    match fault {
        Fault::Garbage | Fault::HugeBody { .. } => true,
        Fault::Status { code, body, .. } | Fault::StatusAfter { code, body, .. } => {
            *code < 500
                && response_to(*code, body) == Response::Inconclusive
                && !matches!(code, 408 | 409)
        }
        _ => false,
    }
}

/// The outcome that the model predicts.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Expected {
    /// Numbers of the requests that the fault hits.
    pub(crate) hits: Vec<u64>,
    pub(crate) statuses: Vec<&'static str>,
    /// Number of requests per kind: PATCH, publish, GET, probe, addTags, removeTags.
    pub(crate) requests: [u64; 6],
    /// How many of the GETs may be missing.
    pub(crate) optional_gets: u64,
    /// The final tags of each changed file.
    pub(crate) tags: BTreeMap<&'static str, Vec<String>>,
    /// Unpublished files.
    pub(crate) unpublished: Vec<&'static str>,
    /// The file of each billed extension run.
    pub(crate) billed: Vec<&'static str>,
    /// Whether a response showed other values than requested.
    has_mismatch: bool,
    pub(crate) aborted: bool,
    pub(crate) sent: u64,
    /// Whether a probe precedes the next request: after a lost response to an at-most-once request or
    /// to the only request that can be sent, and after a response that is not ImageKit's.
    pub(crate) probe_due: bool,
}

#[derive(Clone, Copy)]
struct Row {
    index: usize,
    file: &'static str,
    /// Whether a lost response leads to a probe before the next request.
    probes_if_lost: bool,
}

const PATCH: usize = 0;
const PUBLISH: usize = 1;
pub(crate) const GET: usize = 2;
const PROBE: usize = 3;
pub(crate) const ADD: usize = 4;
pub(crate) const REMOVE: usize = 5;

pub(crate) fn expect(failure: &Failure, target: Target, position: Position) -> Expected {
    match (target, failure) {
        (Target::Bulk(tags), _) => bulk_model::expect(failure, tags, position),
        (_, Failure::Fault(fault)) => expect_rows(Some(fault), target, position),
        (_, Failure::None) => expect_rows(None, target, position),
        (_, Failure::MissingFile(_)) => {
            unreachable!("only bulk cases have missing files")
        }
    }
}

/// Simulates the rows, one request at a time.
fn expect_rows(fault: Option<&Fault>, target: Target, position: Position) -> Expected {
    let mut expected = Expected::default();
    for index in 0..ROWS {
        // No other request can be sent during the row's backoff.
        let is_only_sendable = matches!(position, Position::Last | Position::AllRowsOfOneFile);
        let probes_if_lost = is_only_sendable || fault.is_some_and(is_unreadable);
        let row = Row { index, file: position.file(index), probes_if_lost };
        let hit = fault.filter(|_| position.hits(index, ROWS)).map(|fault| effect(fault, target));
        let aborted = expected.aborted;
        let status = if aborted { "not_attempted" } else { expected.row(row, target, hit) };
        expected.statuses.push(status);
    }
    // A request whose response was lost may take effect late: files with later rows are read back.
    let lost = fault.is_some_and(|fault| effect(fault, target).1 == Response::Inconclusive);
    if lost && position == Position::AllRowsOfOneFile && target.is_read_back() {
        expected.send(GET);
    }
    expected
}

impl Target {
    /// Whether later rows determine the file's final values, so that the file is read back.
    fn is_read_back(self) -> bool {
        matches!(self, Self::Idempotent | Self::Billed)
    }
}

impl Expected {
    pub(crate) fn send(&mut self, kind: usize) {
        if std::mem::take(&mut self.probe_due) {
            self.send(PROBE);
        }
        self.sent += 1;
        self.requests[kind] += 1;
    }

    /// Simulates the requests of one row; returns its status.
    fn row(&mut self, row: Row, target: Target, hit: Option<(bool, Response)>) -> &'static str {
        if target != Target::Idempotent {
            self.send(GET);
        }
        let (mut applied, mut response) = (true, Response::Success);
        if let (Target::Read, Some((_, response))) = (target, hit) {
            self.hits.push(self.sent);
            match response {
                Response::Success | Response::Mismatch | Response::PartialFailure => {}
                Response::Rejected => return "rejected",
                Response::AccountRejected => return self.abort(),
                // Reads are idempotent.
                Response::Throttled => self.send(GET),
                Response::Inconclusive => {
                    self.probe_due = row.probes_if_lost;
                    self.send(GET);
                }
            }
            self.write(target);
        } else {
            self.write(target);
            if let Some(effect) = hit {
                self.hits.push(self.sent);
                (applied, response) = effect;
            }
        }
        if applied {
            self.apply(row, target, response == Response::Mismatch);
        }
        self.handle_response(row, target, response)
    }

    /// Handles the first response to the row's write; returns the row's status.
    fn handle_response(&mut self, row: Row, target: Target, response: Response) -> &'static str {
        match (response, target) {
            (Response::Success | Response::PartialFailure, _) => return "updated",
            (Response::Mismatch, _) => {
                self.has_mismatch = true;
                return "updated";
            }
            (Response::Rejected, _) => return "rejected",
            (Response::AccountRejected, _) => return self.abort(),
            (Response::Inconclusive, Target::Billed) => {
                self.probe_due = true;
                self.send(PATCH);
                self.set_tags(row);
                return "unknown";
            }
            (Response::Inconclusive, Target::Publish) => {
                self.probe_due = true;
                return "unknown";
            }
            (Response::Inconclusive, _) => self.probe_due = row.probes_if_lost,
            (Response::Throttled, Target::Idempotent) => {}
            // The snapshot is stale after the wait: read again.
            (Response::Throttled, _) => self.send(GET),
        }
        self.write(target);
        self.apply(row, target, false);
        "updated"
    }

    fn write(&mut self, target: Target) {
        self.send(if target == Target::Publish { PUBLISH } else { PATCH });
    }

    fn abort(&mut self) -> &'static str {
        self.aborted = true;
        "not_attempted"
    }

    fn apply(&mut self, row: Row, target: Target, drops_tags: bool) {
        if target == Target::Publish {
            self.unpublished.push(row.file);
            return;
        }
        if !drops_tags {
            self.set_tags(row);
        }
        if target != Target::Idempotent {
            self.billed.push(row.file);
        }
    }

    fn set_tags(&mut self, row: Row) {
        self.tags.insert(row.file, vec![format!("row-{}", row.index)]);
    }

    pub(crate) fn exit_code(&self) -> i32 {
        let has = |status| self.statuses.contains(&status);
        match () {
            () if self.aborted => 3,
            () if has("unknown") => 6,
            () if has("rejected") || self.has_mismatch => 1,
            () => 0,
        }
    }
}
