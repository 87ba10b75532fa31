//! Reads files back at the end of a run, and compares them with their expected state.
//!
//! A request whose response was lost can still take effect after later requests on the same file;
//! no client can prevent that. So if a later row of such a file was accepted, the file is read
//! back.

use std::collections::HashMap;

use super::direct::steps;
use super::{Batch, PlanError, PlannedRow};
use crate::input::{Context, Input, InputError};
use crate::ledger::{LedgerFile, Op, StepRecord};
use crate::outcome::{Code, Outcome, Status};
use crate::request::{Call, Expected, Request, Sendable as _, StepKind, StepRef};
use crate::row::{Content, FieldSet, FileField, FileId, RowPos, Update};
use crate::sent::Sent;

/// The read-backs that are due, and the operations to record before: until a file is read back, its
/// last row is [`Code::Unverified`].
///
/// # Errors
/// The input or the ledger cannot be read.
pub fn read_back(
    input: &Input,
    context: &Context,
    ledger: &LedgerFile,
) -> Result<(Batch, Vec<Op>), PlanError> {
    let mut files = lost_files(ledger.lost_rows()?);
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
    let mut due: Vec<_> =
        files.into_iter().filter_map(|(id, file)| file.into_request(id)).collect();
    due.sort_unstable_by_key(|(pos, _)| *pos);
    let mut batch = Batch::default();
    let mut ops = Vec::new();
    for (pos, request) in due {
        ops.extend(request.steps().iter().map(|step| unverified(*step)));
        batch.requests.push(request);
        let (outcome, worst, not_sent) = (None, Status::Updated, None);
        batch.rows.push(PlannedRow { pos, open: 1, outcome, worst, not_sent });
    }
    Ok((batch, ops))
}

fn lost_files(lost_rows: HashMap<String, u64>) -> HashMap<FileId, LostFile> {
    let lost_file = |(id, lost_row): (String, u64)| {
        let expected = Expected { lost_row, ..Expected::default() };
        Some((FileId::new(&id).ok()?, LostFile { expected, ..LostFile::default() }))
    };
    lost_rows.into_iter().filter_map(lost_file).collect()
}

/// The rows of these files. Removes the files without a row after their lost request.
fn rows_of(
    files: &mut HashMap<FileId, LostFile>,
    input: &Input,
    context: &Context,
) -> Result<Vec<RowPos>, InputError> {
    let mut records = input.records(context.files.as_ref())?;
    let mut rows = Vec::new();
    while let Some(pos) = records.advance()? {
        if let Ok(id) = FileId::new(&records.file_id())
            && let Some(file) = files.get_mut(&id)
        {
            file.has_later_row |= pos.number > file.expected.lost_row;
            rows.push((pos, id));
        }
    }
    files.retain(|_, file| file.has_later_row);
    rows.retain(|(_, id)| files.contains_key(id));
    Ok(rows.into_iter().map(|(pos, _)| pos).collect())
}

fn unverified(step: StepRef) -> Op {
    let message = "the response to an earlier request on the same file was lost, so that request may \
                   have taken effect later; the run ended before the file was read back; resume it";
    let outcome = Outcome::local(Status::Updated, Code::Unverified, Some(message.into()));
    Op::Outcome { step, outcome, attempts: 0, row_done: false, sent: Sent::default() }
}

/// A file on which a response was lost.
#[derive(Debug, Default)]
struct LostFile {
    expected: Expected,
    /// Whether a row after the lost request names the file.
    has_later_row: bool,
    /// The last row after the lost request that changed the file.
    last_row: Option<RowPos>,
    /// Whether that row was already read back.
    is_read_back: bool,
    /// Fields that extensions of the file's rows may write at any time.
    extension_fields: FieldSet,
}

impl LostFile {
    /// Adds the next row of the file.
    fn row(&mut self, pos: RowPos, update: Update, records: &[StepRecord]) {
        if let Some(extensions) = &update.change.extensions {
            self.extension_fields.add(extensions.writes());
        }
        if pos.number <= self.expected.lost_row {
            return;
        }
        let outcome = |kind| {
            let record = records.iter().find(|record| record.step.kind == kind);
            record.map(|record| &record.outcome)
        };
        let status = |kind| outcome(kind).map(|outcome| outcome.status);
        let has_tag_calls = records.iter().any(|record| record.step.kind.is_tags());
        for (kind, call) in steps(update.change).into_iter().flatten() {
            // If the row was merged with rows that set all tags, its tags were sent with the
            // details.
            let sent_kind = if has_tag_calls || !kind.is_tags() { kind } else { StepKind::Details };
            match status(sent_kind) {
                Some(Status::Updated) => self.apply(pos, &call),
                Some(Status::Failed | Status::Unknown) => self.invalidate(&call),
                _ if kind.part().is_some_and(|part| status(part).is_some()) => {
                    self.invalidate(&call);
                }
                _ => {}
            }
            if kind == StepKind::Details
                && status(StepKind::DetailsWithoutExtensions) == Some(Status::Updated)
            {
                let request = Request::new(call, [update.file.clone()].into(), [].into());
                if let Some(remainder) = request.remainder() {
                    self.apply(pos, remainder.call());
                }
            }
        }
        if self.last_row == Some(pos) {
            let read = outcome(StepKind::ReadBack);
            self.is_read_back = read.is_some_and(|read| read.code != Some(Code::Unverified));
        }
    }

    /// Applies a call that was accepted.
    fn apply(&mut self, pos: RowPos, call: &Call) {
        self.last_row = Some(pos);
        let expected = &mut self.expected;
        match call {
            Call::Details(patch) => expected.apply_patch(patch),
            Call::AddTags(tags) => expected.edit_tags(tags, true),
            Call::RemoveTags(tags) => expected.edit_tags(tags, false),
            Call::Publish(publish) => expected.publish = Some(*publish),
            Call::ReadBack(_) => {}
        }
    }

    /// Marks the fields of a call with an unknown outcome as unknown.
    fn invalidate(&mut self, call: &Call) {
        let expected = &mut self.expected;
        match call {
            Call::Details(patch) => expected.invalidate(patch),
            Call::AddTags(_) | Call::RemoveTags(_) => expected.invalidate_tags(),
            Call::Publish(_) => expected.publish = None,
            Call::ReadBack(_) => {}
        }
    }

    /// The read-back request, at the row that reports its outcome; `None` if nothing is known or it
    /// was already read back.
    fn into_request(self, file: FileId) -> Option<(RowPos, Request)> {
        let Self { mut expected, last_row, is_read_back, extension_fields, .. } = self;
        if extension_fields.contains(FileField::Tags) {
            expected.invalidate_tags();
        }
        expected.fields.description.take_if(|_| extension_fields.contains(FileField::Description));
        if extension_fields.contains(FileField::Metadata) {
            expected.fields.metadata.clear();
        }
        let pos = last_row.filter(|_| !is_read_back && !expected.is_empty())?;
        let steps = [StepRef { row: pos.number, kind: StepKind::ReadBack }];
        let call = Call::ReadBack(Box::new(expected));
        Some((pos, Request::new(call, [file].into(), steps.into())))
    }
}
