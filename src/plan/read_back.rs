//! Which files are looked at once more at the end of a run, and what they must be like then.
//!
//! A request that got no answer can still take effect, and later than those that follow on its
//! file; no client can prevent that. So where a later row of such a file was accepted, the file is
//! read back.

use std::collections::HashMap;

use super::direct::steps;
use super::{Batch, PlanError, PlannedRow};
use crate::input::{Context, Input, InputError};
use crate::ledger::{LedgerFile, Op, StepRecord};
use crate::outcome::{Code, Outcome, Status};
use crate::request::{Call, Expected, Request, Sendable as _, StepKind, StepRef};
use crate::row::{Content, Extensions, FileId, RowPos, Update};

/// The reads that are due, and what is to be written down before: until a file has been read
/// back, its last row is [`Code::Unverified`].
///
/// # Errors
/// Input or ledger cannot be read.
pub fn read_back(
    input: &Input,
    context: &Context,
    ledger: &LedgerFile,
) -> Result<(Batch, Vec<Op>), PlanError> {
    let mut files = files_in_doubt(ledger.lost_rows()?);
    if !files.is_empty() {
        for pos in rows_of(&mut files, input, context)? {
            let Some((row, _)) = input.rows(context, Some(pos))?.next_row()? else {
                continue;
            };
            if let Content::Update(update) = row.content
                && let Some(file) = files.get_mut(&update.file)
            {
                file.row(pos, *update, &ledger.steps_of_row(pos.number)?);
            }
        }
    }
    let mut due: Vec<_> = files.into_iter().filter_map(|(id, file)| file.due(id)).collect();
    due.sort_unstable_by_key(|(pos, _)| *pos);
    let mut batch = Batch::default();
    let mut ops = Vec::new();
    for (pos, request) in due {
        ops.extend(request.steps().iter().map(|step| unverified(*step)));
        batch.requests.push(request);
        let (settled, so_far, not_sent) = (None, Status::Updated, None);
        batch.rows.push(PlannedRow { pos, open: 1, settled, so_far, not_sent });
    }
    Ok((batch, ops))
}

fn files_in_doubt(lost_rows: HashMap<String, u64>) -> HashMap<FileId, InDoubt> {
    let in_doubt = |(id, doubt): (String, u64)| {
        let expected = Expected { doubt, ..Expected::default() };
        Some((FileId::new(&id).ok()?, InDoubt { expected, ..InDoubt::default() }))
    };
    lost_rows.into_iter().filter_map(in_doubt).collect()
}

/// The rows of these files, found by their ids alone. A file that has no row behind its doubt is
/// none of them any more.
fn rows_of(
    files: &mut HashMap<FileId, InDoubt>,
    input: &Input,
    context: &Context,
) -> Result<Vec<RowPos>, InputError> {
    let mut records = input.records(context.files.as_ref())?;
    let mut rows = Vec::new();
    while let Some(pos) = records.advance()? {
        if let Ok(id) = FileId::new(&records.file_id())
            && let Some(file) = files.get_mut(&id)
        {
            file.is_followed |= pos.number > file.expected.doubt;
            rows.push((pos, id));
        }
    }
    files.retain(|_, file| file.is_followed);
    rows.retain(|(_, id)| files.contains_key(id));
    Ok(rows.into_iter().map(|(pos, _)| pos).collect())
}

fn unverified(step: StepRef) -> Op {
    let message = "the answer to an earlier request on the same file was lost, so that it may have \
                   taken effect later; the run ended before the file could be read back";
    let outcome = Outcome::local(Status::Updated, Code::Unverified, Some(message.into()));
    Op::Outcome { step, outcome, attempts: 0, row_done: false }
}

/// A file on which the answer to a request was lost.
#[derive(Debug, Default)]
struct InDoubt {
    expected: Expected,
    /// Whether a row of it stands behind the doubt.
    is_followed: bool,
    /// The last row behind the doubt that changed the file.
    last: Option<RowPos>,
    /// Whether that row was read back already.
    is_read: bool,
    /// What extensions of the file's rows may write at any time.
    written: Written,
}

#[derive(Debug, Default)]
struct Written {
    tags: bool,
    description: bool,
    metadata: bool,
}

impl InDoubt {
    /// Takes the next row of the file.
    fn row(&mut self, pos: RowPos, update: Update, records: &[StepRecord]) {
        if let Some(extensions) = &update.change.extensions {
            self.written.by(extensions);
        }
        if pos.number <= self.expected.doubt {
            return;
        }
        let outcome = |kind| {
            let record = records.iter().find(|record| record.step.kind == kind);
            record.map(|record| &record.outcome)
        };
        let status = |kind| outcome(kind).map(|outcome| outcome.status);
        let has_tag_calls = records.iter().any(|record| record.step.kind.is_tags());
        for (kind, call) in steps(update.change).into_iter().flatten() {
            // Merged with rows that set all tags, those that are added or removed went with them.
            let carrier = if has_tag_calls || !kind.is_tags() { kind } else { StepKind::Details };
            match status(carrier) {
                Some(Status::Updated) => self.accept(pos, &call),
                Some(Status::Failed | Status::Unknown) => self.forget(&call),
                _ if kind.part().is_some_and(|part| status(part).is_some()) => self.forget(&call),
                _ => {}
            }
            if kind == StepKind::Details
                && status(StepKind::DetailsWithoutExtensions) == Some(Status::Updated)
            {
                let request = Request::new(call, [update.file.clone()].into(), [].into());
                if let Some(remainder) = request.remainder() {
                    self.accept(pos, remainder.call());
                }
            }
        }
        if self.last == Some(pos) {
            let read = outcome(StepKind::ReadBack);
            self.is_read = read.is_some_and(|read| read.code != Some(Code::Unverified));
        }
    }

    /// The file was changed so.
    fn accept(&mut self, pos: RowPos, call: &Call) {
        self.last = Some(pos);
        let expected = &mut self.expected;
        match call {
            Call::Details(patch) => expected.set(patch),
            Call::AddTags(tags) => expected.tag(tags, true),
            Call::RemoveTags(tags) => expected.tag(tags, false),
            Call::Publish(publish) => expected.publish = Some(*publish),
            Call::ReadBack(_) => {}
        }
    }

    /// Nobody knows whether the file was changed so: what it asks for may be or not.
    fn forget(&mut self, call: &Call) {
        let expected = &mut self.expected;
        match call {
            Call::Details(patch) => expected.forget(patch),
            Call::AddTags(_) | Call::RemoveTags(_) => expected.forget_tags(),
            Call::Publish(_) => expected.publish = None,
            Call::ReadBack(_) => {}
        }
    }

    /// The read of the file that is due, at the row that it falls to.
    fn due(self, file: FileId) -> Option<(RowPos, Request)> {
        let Self { mut expected, last, is_read, written, .. } = self;
        if written.tags {
            expected.forget_tags();
        }
        expected.fields.description.take_if(|_| written.description);
        if written.metadata {
            expected.fields.metadata.clear();
        }
        let pos = last.filter(|_| !is_read && !expected.is_empty())?;
        let steps = [StepRef { row: pos.number, kind: StepKind::ReadBack }];
        let call = Call::ReadBack(Box::new(expected));
        Some((pos, Request::new(call, [file].into(), steps.into())))
    }
}

impl Written {
    fn by(&mut self, extensions: &Extensions) {
        self.tags |= extensions.may_write_tags();
        self.description |= extensions.may_write_description();
        self.metadata |= extensions.may_write_metadata();
    }
}
