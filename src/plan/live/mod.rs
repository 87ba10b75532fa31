//! The live planner: knows what every file is like before it writes, leaves out what is already
//! so, and carries the rest by the fewest requests.
//!
//! Its requests are a function of the input, of what was read of the files, and of what earlier
//! sessions settled; so a plan that is saved or resumed is not kept, but made again.
//!
//! Rows of one file become one change (`work`, `merge`), where one request can do it. What the
//! file lacks (`diff`) is sent (`requests`): fields by one PATCH, tags with those of other files that
//! need the same (`bulk`).

mod call_sets;
mod diff;
mod eliminate_calls;
mod merge;
mod patch_or_bulk;
mod preview;
mod requests;
mod simulated_file;
mod tag_batcher;
mod work;

use std::collections::HashMap;
use std::sync::Arc;

use diff::TagDiff;
use merge::PendingRow;
pub use preview::FileDifference;
pub(super) use preview::difference_of_row;
use preview::{count_columns, differences, lost_tags};
use requests::{FileRequests, TagJob, planned, settled};
use simulated_file::SimulatedFile;
pub use tag_batcher::{CallFile, Superset, TagBatcher, TagCall, TagEdit};
use work::{MergedWork, WorkItem};

use super::coalesce::Coalescer;
use super::direct::{direct, fingerprint, steps};
use super::{Batch, PlannedRow, RowProgress};
use crate::ledger::{FileRecord, LedgerError, LedgerFile, Snapshot};
use crate::outcome::{Code, Outcome, Status};
use crate::request::{BULK_FILES_MAX, Request, StepKind};
use crate::row::{Change, Content, Extension, FileId, Row, TagChange, Update};
use crate::settings::LiveOptions;

/// Tag changes in memory at once, waiting for others that need the same.
const TAG_CHANGES_MAX: usize = 20_000;
/// Steps of requests in memory at once, waiting for others to share their calls.
const STEPS_HELD_MAX: usize = 20_000;

/// Says by which run an extension was paid for on a file; `None` if by none.
pub type PriorRunLookup = Box<dyn Fn(&FileId, &Extension) -> Option<String> + Send>;

/// The live planner.
pub struct DiffPlanner {
    /// Knows what the files were like.
    ledger: LedgerFile,
    options: LiveOptions,
    bought: PriorRunLookup,
    /// How many more differences are collected for a preview; `None` where nothing is previewed.
    preview: Option<usize>,
    /// Tag changes of files whose requests need no order.
    bulk: TagBatcher<Arc<TagJob>>,
    /// Requests on their way out, so that those of all files share calls.
    groups: Coalescer,
    /// Rows of files that later rows name as well.
    waiting: HashMap<FileId, Vec<PendingRow>>,
    /// Whether requests may be under way from an earlier session, so that they can take effect
    /// behind those that follow on their files.
    may_follow_lost_requests: bool,
}

impl DiffPlanner {
    /// A planner for a run whose ledger knows its files.
    #[must_use]
    pub fn new(ledger: LedgerFile, options: LiveOptions, bought: PriorRunLookup) -> Self {
        let bulk = TagBatcher::new(BULK_FILES_MAX, TAG_CHANGES_MAX);
        let (groups, waiting) = (Coalescer::default(), HashMap::new());
        Self {
            ledger,
            options,
            bought,
            preview: None,
            bulk,
            groups,
            waiting,
            may_follow_lost_requests: false,
        }
    }

    /// An earlier session ended with requests under way. Nobody knows which; so every file that has
    /// requests in an order is to be read back.
    pub fn distrust_earlier_requests(&mut self) {
        self.may_follow_lost_requests = true;
    }

    /// Collects what a preview shows: the changed files, the tags that they lose, and the
    /// differences of the first `files`.
    pub fn preview(&mut self, files: usize) {
        self.preview = Some(files);
    }

    /// Plans the next row. It and its requests may come in a later batch.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn row(
        &mut self,
        row: Row,
        behind: &RowProgress,
        batch: &mut Batch,
    ) -> Result<(), LedgerError> {
        let Row { pos, content } = row;
        let update = match content {
            Content::Update(update) if !update.change.is_empty() => *update,
            content => {
                direct(Row { pos, content }, behind, batch);
                return Ok(());
            }
        };
        let Update { file, mut change } = update;
        leave_out_done(&file, &mut change, behind);
        let pending = PendingRow { pos, change, behind: behind.clone() };
        let simulated_file = self.ledger.file_record(file.as_str())?;
        let last_row =
            simulated_file.as_ref().map_or(pos.number, |simulated_file| simulated_file.last_row);
        if last_row > pos.number {
            self.waiting.entry(file).or_default().push(pending);
            return Ok(());
        }
        let mut pending_rows = self.waiting.remove(&file).unwrap_or_default();
        pending_rows.push(pending);
        self.file(
            &file,
            pending_rows,
            simulated_file.map(reliable_state).unwrap_or_default(),
            batch,
        )
    }

    /// There are no more rows: what is still to come goes into the batch.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn end(&mut self, batch: &mut Batch) -> Result<(), LedgerError> {
        let mut files: Vec<_> = std::mem::take(&mut self.waiting).into_iter().collect();
        files.sort_unstable_by_key(|(_, pending_rows)| {
            pending_rows.first().map(|pending| pending.pos)
        });
        for (file, pending_rows) in files {
            let simulated_file = self.ledger.file_record(file.as_str())?;
            self.file(
                &file,
                pending_rows,
                simulated_file.map(reliable_state).unwrap_or_default(),
                batch,
            )?;
        }
        let mut out = Vec::new();
        self.bulk.end(&mut out);
        self.emit(out, batch);
        self.groups.end(&mut batch.requests);
        Ok(())
    }

    /// Plans all rows of a file.
    fn file(
        &mut self,
        file: &FileId,
        pending_rows: Vec<PendingRow>,
        state: Snapshot,
        batch: &mut Batch,
    ) -> Result<(), LedgerError> {
        let simulated_file = match state {
            Snapshot::Fields(fields) => SimulatedFile::read(*fields),
            Snapshot::Unread => SimulatedFile::nothing(),
            Snapshot::Missing => {
                let rows = pending_rows
                    .iter()
                    .map(|pending| settled(pending.pos, &pending.behind, missing()));
                batch.rows.extend(rows);
                return Ok(());
            }
        };
        let first_open = pending_rows
            .iter()
            .find(|pending| !pending.behind.is_over())
            .map(|pending| pending.pos.number);
        let work = self.work(file, pending_rows, simulated_file, batch);
        if let Some(left) = self.preview {
            batch.changed_files += u64::from(!work.is_empty());
            batch.lost_tags.extend(lost_tags(&work));
            count_columns(&work, &mut batch.columns);
            if left > 0 {
                let mut differences = differences(file, &work);
                self.preview = Some(left - usize::from(!differences.is_empty()));
                batch.differences.append(&mut differences);
            }
        }
        let is_in_order = work.len() > 1 || work.iter().any(WorkItem::is_in_order);
        if self.may_follow_lost_requests && is_in_order {
            let doubt = first_open.map(|row| (file.clone(), row));
            self.ledger.mark_lost(doubt.as_slice())?;
        }
        for work in work {
            match work {
                WorkItem::Merged(together) => self.requests(file, &together, is_in_order, batch),
                WorkItem::Leftover(pending) => self.carry_rest(file, *pending, batch),
            }
        }
        Ok(())
    }

    /// Makes the requests for the rest of a row.
    fn carry_rest(&mut self, file: &FileId, pending: PendingRow, batch: &mut Batch) {
        let PendingRow { pos, change, behind } = pending;
        let update = Box::new(Update { file: file.clone(), change });
        let mut rest = Batch::default();
        direct(Row { pos, content: Content::Update(update) }, &behind, &mut rest);
        batch.rows.append(&mut rest.rows);
        self.send(rest.requests, batch);
    }

    /// Makes the requests for what is needed. Tags wait for those of other files that need the
    /// same; where the requests on the file go out in an order, all of them do.
    fn requests(&mut self, file: &FileId, work: &MergedWork, is_in_order: bool, batch: &mut Batch) {
        let MergedWork { merged, diff, before } = work;
        let parts = FileRequests::of(merged, diff, self.options.exact, is_in_order);
        let shared = parts.tags_by_call().next().filter(|_| !is_in_order);
        // How many steps it comes to for rows that ask for nothing but tags is known only when
        // their calls are.
        let open = shared.map(|(part, _)| part).filter(|_| !parts.has_patch());
        for pending in &merged.pending_rows {
            if open.is_some() && merged.tags_of(pending.pos.number) == open {
                continue;
            }
            let steps = parts.of_row(pending).filter(|kind| pending.behind.wants(*kind)).count();
            batch.rows.push(match parts.of_row(pending).next() {
                Some(_) => {
                    let not_sent = parts.not_sent(pending);
                    let rest = [parts.has_idempotent_part(pending), not_sent.is_some()];
                    let steps = steps + rest.into_iter().filter(|is_open| *is_open).count();
                    PlannedRow { not_sent, ..planned(pending.pos, steps, &pending.behind) }
                }
                None => self.unneeded(file, pending, merged, before, &[]),
            });
        }
        let mut requests = parts.details(file, before);
        if let Some((part, tags)) = shared {
            let item = TagJob::new(file, merged, part, tags, open.is_none());
            self.share(item, tags, batch);
        } else {
            requests.extend(parts.calls(file));
        }
        requests.extend(parts.publish(file));
        self.send(requests, batch);
    }

    /// Tags of a file wait for those of others.
    fn share(&mut self, item: TagJob, tags: &TagDiff, batch: &mut Batch) {
        let edit = TagEdit {
            item: Arc::new(item),
            remove: tags.remove.clone(),
            add: tags.add.clone(),
            asked: tags.asked.clone(),
            patchable: tags.whole.is_some(),
        };
        let mut out = Vec::new();
        self.bulk.take(edit, &mut out);
        self.emit(out, batch);
    }

    fn emit(&mut self, carried: Vec<TagCall<Arc<TagJob>>>, batch: &mut Batch) {
        let requests = carried.into_iter().filter_map(|carried| requests::tags(carried, batch));
        self.send(requests.collect(), batch);
    }

    /// Requests go out by way of the groups, which hold no more than they may.
    fn send(&mut self, requests: Vec<Request>, batch: &mut Batch) {
        for request in requests {
            self.groups.take(request, &mut batch.requests);
        }
        self.groups.flush_to(STEPS_HELD_MAX, &mut batch.requests);
    }
}

/// What a file was like, unless an earlier run may yet change that.
fn reliable_state(simulated_file: FileRecord) -> Snapshot {
    match simulated_file.state {
        Snapshot::Fields(_) if simulated_file.unsettled => Snapshot::Unread,
        state => state,
    }
}

fn missing() -> Outcome {
    let message = "ImageKit has no such file; nothing was sent";
    Outcome::local(Status::Rejected, Code::NotFound, Some(message.into()))
}

/// Leaves out what an earlier run did for the row, as long as it asks for the same.
fn leave_out_done(file: &FileId, change: &mut Change, behind: &RowProgress) {
    if behind.fingerprints.is_empty() {
        return;
    }
    for (kind, call) in steps(change.clone()).into_iter().flatten() {
        if behind.fingerprints.contains(&fingerprint(file, &call)) {
            leave_out(change, kind);
        }
    }
}

fn leave_out(change: &mut Change, kind: StepKind) {
    match (kind, &mut change.tags) {
        (StepKind::Details, _) => {
            let tags = change.tags.take().filter(|tags| matches!(tags, TagChange::Edit { .. }));
            *change = Change { tags, publish: change.publish, ..Change::default() };
        }
        (StepKind::RemoveTags, Some(TagChange::Edit { remove, .. })) => *remove = None,
        (StepKind::AddTags, Some(TagChange::Edit { add, .. })) => *add = None,
        (StepKind::Publish, _) => change.publish = None,
        _ => {}
    }
    change.tags.take_if(|tags| *tags == TagChange::Edit { add: None, remove: None });
}
