//! Reads files back at the end of a run, and compares them with their expected state.
//!
//! A request whose response was lost can still take effect after later requests on the same file;
//! no client can prevent that. So if a later row of such a file was accepted, the file is read
//! back.
//!
//! A bulk call answers with ids, not with files, and comparable services have claimed success for
//! files that they had not changed. So a sample of the files of accepted bulk calls is read back too.
//! Reads can lag behind writes: only a second read that does not show the change either counts.

use std::collections::{BTreeSet, HashMap};

use super::{Batch, PlanError, PlannedRow};
use crate::history::{Certainty, RowEffects, RunRecord};
use crate::input::InputError;
use crate::ledger::{Completeness, Op, StepRecord};
use crate::outcome::{Code, Outcome, Status};
use crate::request::{Call, Expected, ReadBackReason, Request, StepKind, StepRef};
use crate::row::{AiTagRemoval, Change, Content, FieldSet, FileField, FileId, RowPos, TagChange};
use crate::sent::Sent;
use crate::settings::Planning;

/// The read-backs that are due because responses were lost, and the operations to record before:
/// until a file is read back, its last row is [`Code::Unverified`].
///
/// # Errors
/// The input or the ledger cannot be read.
pub(crate) fn read_back(run: RunRecord<'_>) -> Result<(Batch, Vec<Op>), PlanError> {
    let requests = requests(lost_files(run.ledger.lost_rows()?), run)?;
    let ops = requests.iter().flat_map(|(_, request)| request.steps());
    let ops = ops.map(|step| unverified(*step)).collect();
    Ok((batch(requests), ops))
}

/// The read-backs of the files of these rows, as far as they are not read back.
///
/// # Errors
/// The input or the ledger cannot be read.
pub(crate) fn read_back_sample(
    run: RunRecord<'_>,
    rows: &BTreeSet<u64>,
    reason: ReadBackReason,
) -> Result<Batch, PlanError> {
    let lost = run.ledger.lost_rows()?;
    let mut files = HashMap::new();
    let mut records = run.input.records(run.context)?;
    while let Some(pos) = records.advance()? {
        if rows.contains(&pos.number)
            && let Ok(file) = FileId::new(&records.file_id())
            && !lost.contains_key(&file)
        {
            files.insert(file, ReadFile::new(reason));
        }
    }
    Ok(batch(requests(files, run)?))
}

/// The requests for these files, with the rows that report them, in row order.
fn requests(
    mut files: HashMap<FileId, ReadFile>,
    run: RunRecord<'_>,
) -> Result<Vec<(RowPos, Request)>, PlanError> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    for pos in rows_of(&mut files, run)? {
        if let Content::Update(update) = run.planned_row::<PlanError>(pos)?
            && let Some(file) = files.get_mut(&update.file)
        {
            let steps = run.ledger.steps_of_row(pos.number)?;
            file.row(pos, &update.change, &steps, run.meta.planning);
        }
    }
    let requests = files.into_iter().filter_map(|(id, file)| file.into_request(id));
    let mut requests: Vec<_> = requests.collect();
    requests.sort_unstable_by_key(|(pos, _)| *pos);
    Ok(requests)
}

fn batch(requests: Vec<(RowPos, Request)>) -> Batch {
    let mut batch = Batch::default();
    for (pos, request) in requests {
        batch.requests.push(request);
        batch.rows.push(PlannedRow { open: 1, ..PlannedRow::without_steps(pos, Status::Updated) });
    }
    batch
}

fn lost_files(lost_rows: HashMap<FileId, u64>) -> HashMap<FileId, ReadFile> {
    let lost_file = |(file, row)| (file, ReadFile::new(ReadBackReason::LostResponse(row)));
    lost_rows.into_iter().map(lost_file).collect()
}

/// The rows of these files. Removes the files without a row that counts.
fn rows_of(
    files: &mut HashMap<FileId, ReadFile>,
    run: RunRecord<'_>,
) -> Result<Vec<RowPos>, InputError> {
    let mut records = run.input.records(run.context)?;
    let mut rows = Vec::new();
    while let Some(pos) = records.advance()? {
        if let Ok(id) = FileId::new(&records.file_id())
            && let Some(file) = files.get_mut(&id)
        {
            file.has_row |= file.counts(pos);
            rows.push((pos, id));
        }
    }
    files.retain(|_, file| file.has_row);
    rows.retain(|(_, id)| files.contains_key(id));
    Ok(rows.into_iter().map(|(pos, _)| pos).collect())
}

fn unverified(step: StepRef) -> Op {
    let message = "the response to an earlier request on the same file was lost, so that request may \
                   have taken effect later; the run ended before the file was read back; resume it";
    let outcome = Outcome::local(Status::Updated, Code::Unverified, Some(message.into()));
    Op::Outcome { step, outcome, attempts: 0, row_done: false, sent: Sent::default() }
}

/// A file to read back.
#[derive(Debug)]
struct ReadFile {
    expected: Expected,
    /// Whether a row that counts names the file.
    has_row: bool,
    /// The last row that counts and changed the file.
    last_row: Option<RowPos>,
    /// Whether that row was already read back.
    is_read_back: bool,
    /// Fields that extensions of the file's rows may write at any time.
    extension_fields: FieldSet,
}

impl ReadFile {
    fn new(reason: ReadBackReason) -> Self {
        Self {
            expected: Expected::new(reason),
            has_row: false,
            last_row: None,
            is_read_back: false,
            extension_fields: FieldSet::default(),
        }
    }

    /// Whether a row counts: after a lost response only those after its row do.
    fn counts(&self, pos: RowPos) -> bool {
        match self.expected.reason {
            ReadBackReason::LostResponse(row) => pos.number > row,
            ReadBackReason::Sample | ReadBackReason::Confirmation => true,
        }
    }

    /// Adds the next row of the file.
    fn row(&mut self, pos: RowPos, change: &Change, records: &[StepRecord], planning: Planning) {
        let row = RowEffects::new(records, planning, Completeness::Complete);
        for extension in row.extensions() {
            self.extension_fields.add(extension.writes);
        }
        if !self.counts(pos) {
            return;
        }
        if row.was_accepted() {
            self.last_row = Some(pos);
        }
        let expected = &mut self.expected;
        let is_possible = |field| row.field(field) == Certainty::Possible;
        expected.details.extend(&change.details.only(|field| row.has(field)));
        // They may or may not have been set.
        expected.details.remove(&change.details.only(is_possible));
        if let Some(tags) = &change.tags {
            apply_tags(expected, tags, row);
        }
        if let Some(AiTagRemoval::Named(names)) = &change.ai_tags
            && row.field(FileField::AiTags) == Certainty::Done
        {
            expected.ai_tags_removed.extend_from_slice(names);
        }
        match row.field(FileField::Publication) {
            Certainty::Done => expected.publish = change.publish,
            Certainty::Possible => expected.publish = None,
            Certainty::NotDone => {}
        }
        if self.last_row == Some(pos) {
            let read = records.iter().find(|record| record.step.kind == StepKind::ReadBack);
            self.is_read_back =
                read.is_some_and(|read| read.outcome.code != Some(Code::Unverified));
        }
    }

    /// The read-back request, at the row that reports its outcome; `None` if nothing is known or it
    /// was already read back.
    fn into_request(self, file: FileId) -> Option<(RowPos, Request)> {
        let Self { mut expected, last_row, is_read_back, extension_fields, .. } = self;
        if extension_fields.contains(FileField::Tags) {
            expected.invalidate_tags();
        }
        if extension_fields.contains(FileField::AiTags) {
            expected.ai_tags_removed.clear();
        }
        expected.details = expected.details.only(|field| !extension_fields.contains(field));
        let pos = last_row.filter(|_| !is_read_back && !expected.is_empty())?;
        let steps = [StepRef { row: pos.number, kind: StepKind::ReadBack }];
        let call = Call::ReadBack(Box::new(expected));
        Some((pos, Request::new(call, [file].into(), steps.into())))
    }
}

/// Applies the tags of a row as far as they were accepted.
fn apply_tags(expected: &mut Expected, change: &TagChange, row: RowEffects<'_>) {
    let is_edit = matches!(change, TagChange::Edit { .. });
    let tags = row.tags(is_edit);
    let parts = [tags.removed(), tags.added()];
    let has_all = row.has_tags(is_edit, |tags| tags.removed().min(tags.added()));
    match change {
        _ if parts.contains(&Certainty::Possible) => expected.invalidate_tags(),
        TagChange::Edit { add, remove } => {
            let is_done = |part| part == Certainty::Done || has_all;
            if let Some(remove) = remove.as_ref().filter(|_| is_done(tags.removed())) {
                expected.edit_tags(remove, false);
            }
            if let Some(add) = add.as_ref().filter(|_| is_done(tags.added())) {
                expected.edit_tags(add, true);
            }
        }
        TagChange::Replace(all) if has_all => expected.set_tags(all.as_slice()),
        TagChange::Clear if has_all => expected.set_tags(&[]),
        // Of the removal and the addition, only one was accepted.
        _ if parts.contains(&Certainty::Done) => expected.invalidate_tags(),
        TagChange::Replace(_) | TagChange::Clear => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Tags;
    use crate::settings::DiffOptions;

    #[test]
    fn replaced_tags_are_expected_however_they_were_sent() {
        let tags = |tag: &str| Tags::new(vec![tag.to_owned()]).expect("a tag");
        let step = |row, kind| StepRecord {
            step: StepRef { row, kind },
            outcome: Outcome::local(Status::Updated, Code::UpToDate, None),
            attempts: 1,
            row_done: true,
            sent: Sent::new(FileField::Tags.into(), None),
            settled: Box::default(),
        };
        let replace = |tag| {
            let tags = Some(TagChange::Replace(tags(tag)));
            Change { tags, ..Change::default() }
        };
        let mut file = ReadFile::new(ReadBackReason::Sample);
        let planning = Planning::Diff(DiffOptions::default());
        let pos = |number| RowPos { number, offset: 0, line: number };
        file.row(pos(2), &replace("a"), &[step(2, StepKind::Details)], planning);
        assert_eq!(file.expected.tags, Some(vec!["a".to_owned()]));
        file.row(pos(3), &replace("b"), &[step(3, StepKind::AddTags)], planning);
        assert_eq!(file.expected.tags, Some(vec!["b".to_owned()]));
        assert_eq!(file.last_row, Some(pos(3)));
    }
}
