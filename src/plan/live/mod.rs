//! The live planner: knows what every file is like before it writes, leaves out what is already
//! so, and carries the rest by the fewest requests.
//!
//! Its requests are a function of the input, of what was read of the files, and of what earlier
//! sessions settled; so a plan that is saved or resumed is not kept, but made again.
//!
//! Rows of one file become one change (`needed`, `merge`), where one request can do it. What the
//! file lacks (`need`) is sent (`carry`): fields by one PATCH, tags with those of other files that
//! need the same (`bulk`).

mod bulk;
mod carry;
mod diff;
mod known;
mod merge;
mod need;
mod needed;
mod trees;

use std::collections::HashMap;
use std::sync::Arc;

pub use bulk::{Bulk, Carried, TagEdit};
use carry::{Parts, TagItem, planned, settled};
pub use diff::{Difference, differences};
use known::Known;
use merge::Ask;
use need::Need;
use needed::Needed;

use super::direct::{direct, fingerprint, steps};
use super::{Batch, Behind};
use crate::ledger::{LedgerError, LedgerFile, LiveState};
use crate::outcome::{Code, Outcome, Status};
use crate::request::{BULK_FILES_MAX, StepKind};
use crate::row::{Change, Content, Extension, FileId, Row, TagChange, Update};
use crate::settings::LiveOptions;

/// Tag changes in memory at once, waiting for others that need the same.
const TAG_CHANGES_MAX: usize = 20_000;

/// Says by which run an extension was paid for on a file; `None` if by none.
pub type Bought = Box<dyn Fn(&FileId, &Extension) -> Option<String> + Send>;

/// The live planner.
pub struct Live {
    /// Knows what the files were like.
    ledger: LedgerFile,
    options: LiveOptions,
    bought: Bought,
    groups: Bulk<Arc<TagItem>>,
    /// Rows of files that later rows name as well.
    waiting: HashMap<FileId, Vec<Ask>>,
}

impl Live {
    /// A planner for a run whose ledger knows its files.
    #[must_use]
    pub fn new(ledger: LedgerFile, options: LiveOptions, bought: Bought) -> Self {
        let groups = Bulk::new(BULK_FILES_MAX, TAG_CHANGES_MAX);
        Self { ledger, options, bought, groups, waiting: HashMap::new() }
    }

    /// Plans the next row. It and its requests may come in a later batch.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn row(&mut self, row: Row, behind: &Behind, batch: &mut Batch) -> Result<(), LedgerError> {
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
        let ask = Ask { pos, change, behind: behind.clone() };
        let known = self.ledger.known_file(file.as_str())?;
        let last_row = known.as_ref().map_or(pos.number, |known| known.last_row);
        if last_row > pos.number {
            self.waiting.entry(file).or_default().push(ask);
            return Ok(());
        }
        let mut asks = self.waiting.remove(&file).unwrap_or_default();
        asks.push(ask);
        self.file(&file, asks, known.map(|known| known.state).unwrap_or_default(), batch);
        Ok(())
    }

    /// There are no more rows: what is still to come goes into the batch.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn end(&mut self, batch: &mut Batch) -> Result<(), LedgerError> {
        let mut files: Vec<_> = std::mem::take(&mut self.waiting).into_iter().collect();
        files.sort_unstable_by_key(|(_, asks)| asks.first().map(|ask| ask.pos));
        for (file, asks) in files {
            let known = self.ledger.known_file(file.as_str())?;
            self.file(&file, asks, known.map(|known| known.state).unwrap_or_default(), batch);
        }
        let mut out = Vec::new();
        self.groups.end(&mut out);
        for carried in out {
            carry::tags(carried, batch);
        }
        Ok(())
    }

    /// Plans all rows of a file.
    fn file(&mut self, file: &FileId, asks: Vec<Ask>, state: LiveState, batch: &mut Batch) {
        let known = match state {
            LiveState::Is(fields) => Known::read(*fields),
            LiveState::Unread => Known::nothing(),
            LiveState::Missing => {
                let rows = asks.iter().map(|ask| settled(ask.pos, &ask.behind, missing()));
                batch.rows.extend(rows);
                return;
            }
        };
        let needed = self.needed(file, asks, known, batch);
        let is_in_order =
            needed.len() > 1 || needed.iter().any(|needed| needed.need.publish.is_some());
        for needed in needed {
            self.carry(file, needed, is_in_order, batch);
        }
    }

    /// Makes the requests for what is needed.
    fn carry(&mut self, file: &FileId, needed: Needed, is_in_order: bool, batch: &mut Batch) {
        let Needed { merged, need, before } = needed;
        let has_whole = need.tags.as_ref().is_some_and(|tags| tags.whole.is_some());
        let whole_only = need.tags.as_ref().is_some_and(need::TagNeed::is_whole_only);
        // Other requests of the row go with it or wait behind it, so that it shares no calls.
        let has_more = !need.patch.is_empty() || need.publish.is_some();
        let takes_tags = has_whole && (has_more || whole_only || self.options.exact);
        let parts = Parts::of(&merged, &need, takes_tags);
        let waits = need.tags.is_some() && !takes_tags;
        // How many steps it comes to for rows that ask for nothing but tags is known only when
        // their calls are.
        let is_open = waits && parts.patch.is_empty() && !parts.publish;
        for ask in &merged.asks {
            if is_open && ask.change.tags.is_some() {
                continue;
            }
            let open = parts.of_row(ask).filter(|kind| ask.behind.wants(*kind)).count();
            let remainder = has_remainder(ask, &parts);
            batch.rows.push(match parts.of_row(ask).next() {
                Some(_) => planned(ask.pos, open + usize::from(remainder), &ask.behind),
                None => self.unneeded(file, ask, &merged, &before),
            });
        }
        carry::details(file, &merged, &parts, &before, batch);
        if waits {
            self.carry_tags(
                TagItem::new(file, &merged, &need, !is_open),
                &need,
                is_in_order,
                batch,
            );
        }
        carry::publish(file, &merged, &need, batch);
    }

    fn carry_tags(&mut self, item: TagItem, need: &Need, is_in_order: bool, batch: &mut Batch) {
        let Some(tags) = &need.tags else {
            return;
        };
        let edit = TagEdit {
            item: Arc::new(item),
            remove: tags.remove.clone(),
            add: tags.add.clone(),
            patchable: tags.whole.is_some(),
        };
        let mut out: Vec<Carried<Arc<TagItem>>> = Vec::new();
        if is_in_order {
            // Other requests on the file wait behind it, so that it can wait for no others.
            let mut alone = Bulk::new(BULK_FILES_MAX, 1);
            alone.take(edit, &mut out);
            alone.end(&mut out);
        } else {
            self.groups.take(edit, &mut out);
        }
        for carried in out {
            carry::tags(carried, batch);
        }
    }
}

/// Whether the repeatable rest of a lost request is still to be sent.
fn has_remainder(ask: &Ask, parts: &Parts) -> bool {
    let is_part = || parts.of_row(ask).any(|kind| kind == StepKind::Details);
    ask.behind.remainder_due && is_part() && parts.patch.has_remainder()
}

fn missing() -> Outcome {
    let message = "ImageKit has no such file; nothing was sent";
    Outcome::local(Status::Rejected, Code::NotFound, Some(message.into()))
}

/// Leaves out what an earlier run did for the row, as long as it asks for the same.
fn leave_out_done(file: &FileId, change: &mut Change, behind: &Behind) {
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
