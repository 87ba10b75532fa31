//! The tag change of a file while it waits for equal changes of other files, and the requests that
//! make it.

use std::sync::Arc;

use super::tag_call::{CallFile, Superset, TagCall};
use crate::plan::{Batch, PlannedRow, RowProgress};
use crate::request::{Call, Patch, Request, StepKind, StepRef};
use crate::row::{FileId, RowPos, Set, Tags};

/// The tag change of a file. At least one of the two lists is present.
#[derive(Debug)]
pub(in crate::plan) struct TagJob {
    pub(in crate::plan) file: FileId,
    /// The rows, with their recorded progress.
    pub(in crate::plan) rows: Vec<(RowPos, RowProgress)>,
    /// Tags to remove.
    pub(in crate::plan) remove: Option<Tags>,
    /// Tags to add.
    pub(in crate::plan) add: Option<Tags>,
    /// Longer lists with the same effect.
    pub(in crate::plan) superset: Superset,
    /// All tags after the change, if a PATCH of them is an alternative to the calls.
    pub(in crate::plan) complete: Option<Set<Tags>>,
    /// Whether its rows have been added to a batch.
    pub(in crate::plan) rows_added: bool,
    /// What else its row requests and its requests do not; see [`PlannedRow::left_out`].
    pub(in crate::plan) left_out: Option<Box<str>>,
}

impl TagJob {
    /// Kinds of steps of its bulk calls, in order.
    fn kinds(&self) -> impl Iterator<Item = StepKind> {
        let remove = self.remove.as_ref().map(|_| StepKind::RemoveTags);
        remove.into_iter().chain(self.add.as_ref().map(|_| StepKind::AddTags))
    }

    fn add_rows(&self, kinds: &[StepKind], batch: &mut Batch) {
        if self.rows_added {
            return;
        }
        batch.rows.extend(self.rows.iter().map(|(pos, progress)| {
            let open = kinds.iter().filter(|kind| progress.needs(**kind)).count();
            PlannedRow {
                left_out: self.left_out.clone(),
                ..PlannedRow::with_open_steps(*pos, open, progress)
            }
        }));
    }

    fn steps(&self, kind: StepKind) -> impl Iterator<Item = StepRef> {
        let open = self.rows.iter().filter(move |(_, progress)| progress.needs(kind));
        open.map(move |(pos, _)| StepRef { row: pos.number, kind })
    }
}

/// The request for a call of the tag batcher. Rows that are in no batch yet are added to this one.
pub(super) fn request_of(call: TagCall<Arc<TagJob>>, batch: &mut Batch) -> Option<Request> {
    match call {
        TagCall::Patch(job) => {
            job.add_rows(&[StepKind::Details], batch);
            let patch = Patch { tags: job.complete.clone(), ..Patch::default() };
            let steps: Vec<_> = job.steps(StepKind::Details).collect();
            Request::of_file(Call::Details(Box::new(patch)), &job.file, steps)
        }
        TagCall::Remove(tags, files) => {
            bulk_request(Call::RemoveTags(tags), StepKind::RemoveTags, &files, batch)
        }
        TagCall::Add(tags, files) => {
            bulk_request(Call::AddTags(tags), StepKind::AddTags, &files, batch)
        }
    }
}

fn bulk_request(
    call: Call,
    kind: StepKind,
    call_files: &[CallFile<Arc<TagJob>>],
    batch: &mut Batch,
) -> Option<Request> {
    let (mut files, mut steps) = (Vec::new(), Vec::new());
    for CallFile { item: job, is_last } in call_files {
        if *is_last && job.kinds().next() == Some(kind) {
            job.add_rows(&job.kinds().collect::<Vec<_>>(), batch);
        }
        let part = kind.part().filter(|_| !is_last);
        for step in job.steps(kind) {
            files.push(job.file.clone());
            steps.push(StepRef { kind: part.unwrap_or(kind), ..step });
        }
    }
    (!steps.is_empty()).then(|| Request::new(call, files.into(), steps.into()))
}
