//! Merges rows of one file into one change, so that one request can make it.

use std::mem;

use super::simulated_file::SimulatedFile;
use super::skipped::{DecidedExtension, Decision};
use crate::outcome::{Code, Outcome, Status};
use crate::plan::RowProgress;
use crate::row::{
    AiTagRemoval, Change, Extension, KeptResults, Rejection, RowPos, TAGS_LENGTH_MAX, TagChange,
};

/// A row that is not planned yet.
#[derive(Debug, Clone)]
pub(super) struct PendingRow {
    pub(super) pos: RowPos,
    pub(super) change: Box<Change>,
    pub(super) progress: RowProgress,
    /// Its extensions, once it is decided which of them run.
    pub(super) extensions: Vec<DecidedExtension>,
    /// What was dropped from the change to keep the results of its extensions.
    pub(super) kept: Kept,
    /// Its problems, if it is invalid: its change is empty or is not sent.
    pub(super) rejection: Option<Box<Rejection>>,
}

impl PendingRow {
    pub(super) fn new(pos: RowPos, change: Box<Change>, progress: RowProgress) -> Self {
        let (extensions, kept, rejection) = (Vec::new(), Kept::default(), None);
        Self { pos, change, progress, extensions, kept, rejection }
    }

    /// A row with invalid cells.
    pub(super) fn invalid(pos: RowPos, rejection: Box<Rejection>, progress: RowProgress) -> Self {
        Self { rejection: Some(rejection), ..Self::new(pos, Box::default(), progress) }
    }

    pub(super) fn is_valid(&self) -> bool {
        self.rejection.is_none()
    }

    /// Whether an extension of the row runs.
    pub(super) fn runs(&self, extension: &Extension) -> bool {
        let decided = self.extensions.iter().find(|decided| decided.extension == *extension);
        decided.is_some_and(|decided| decided.decision == Decision::Run)
    }
}

/// What a row does not set, and why.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    pub(super) results: KeptResults,
    /// For the message of the row.
    pub(super) reasons: Vec<String>,
}

/// Whether a change has a step that must be sent at most once, so that its row is merged with no other.
pub(super) fn has_at_most_once(change: &Change) -> bool {
    change.extensions.is_some() || change.publish.is_some()
}

/// Consecutive rows of a file, and their combined change.
#[derive(Debug)]
pub(super) struct MergedRows {
    pub(super) pending_rows: Vec<PendingRow>,
    /// The combined change, without tags.
    pub(super) fields: Change,
    /// The changes of tags, in order.
    pub(super) tags: Vec<TagStage>,
}

/// A combined change of tags. Rows whose changes cannot be combined form stages of their own.
#[derive(Debug)]
pub(super) struct TagStage {
    pub(super) change: TagChange,
    /// Numbers of the rows.
    rows: Vec<u64>,
    /// Whether its rows change nothing but tags. A row with other changes can be rejected, and then
    /// its tags must not be part of a later row's.
    only_tags: bool,
}

impl MergedRows {
    pub(super) fn of(pending: PendingRow) -> Self {
        let fields = Change { tags: None, ..(*pending.change).clone() };
        let tags = TagStage::of(&pending).into_iter().collect();
        Self { pending_rows: vec![pending], fields, tags }
    }

    /// Whether an extension of the rows runs.
    pub(super) fn runs(&self, extension: &Extension) -> bool {
        self.pending_rows.iter().any(|pending| pending.runs(extension))
    }

    /// Whether a row can be merged. At-most-once steps are never merged: if the response is lost,
    /// it must be clear what was sent.
    pub(super) fn can_merge(&self, pending: &PendingRow, tags_known: bool) -> bool {
        let tags_fit = TagStage::of(pending).is_none_or(|stage| {
            self.tags.is_empty() || !stage.sets_all() || self.overrides(&stage, tags_known)
        });
        !has_at_most_once(&self.fields) && !has_at_most_once(&pending.change) && tags_fit
    }

    /// Merges a row for which [`Self::can_merge`] holds.
    pub(super) fn merge(&mut self, pending: PendingRow, tags_known: bool) {
        self.fields = merge_fields(&self.fields, &pending.change);
        if let Some(stage) = TagStage::of(&pending) {
            if self.overrides(&stage, tags_known) {
                let earlier = mem::take(&mut self.tags);
                let rows = earlier.iter().flat_map(|stage| &stage.rows).chain(&stage.rows);
                let (rows, only_tags) = (rows.copied().collect(), stage.only_tags);
                let only_tags = only_tags && earlier.iter().all(|stage| stage.only_tags);
                self.tags.push(TagStage { rows, only_tags, ..stage });
            } else if let Some(stage) = match self.tags.last_mut() {
                Some(last) => last.try_join(stage),
                None => Some(stage),
            } {
                self.tags.push(stage);
            }
        }
        self.pending_rows.push(pending);
    }

    /// Whether a stage makes all earlier stages irrelevant, even if some rows are rejected and the
    /// others sent one by one. Not so if tags are added to, or removed from, the tags of a row that
    /// may be rejected.
    fn overrides(&self, stage: &TagStage, tags_known: bool) -> bool {
        let may_be_rejected = self.tags.iter().position(|stage| !stage.only_tags);
        let later = may_be_rejected.map_or(&[][..], |first| &self.tags[first + 1..]);
        let is_certain = tags_known && later.iter().all(TagStage::sets_all);
        stage.sets_all() && (is_certain || stage.only_tags && may_be_rejected.is_none())
    }

    /// The stage that a row belongs to.
    pub(super) fn stage_of(&self, row: u64) -> Option<usize> {
        self.tags.iter().position(|stage| stage.rows.contains(&row))
    }

    /// The rows of a stage.
    pub(super) fn rows_of_stage(&self, stage: usize) -> impl Iterator<Item = &PendingRow> {
        let rows = self.tags.get(stage).map_or(&[][..], |stage| &stage.rows);
        self.pending_rows.iter().filter(|pending| rows.contains(&pending.pos.number))
    }
}

impl TagStage {
    fn of(pending: &PendingRow) -> Option<Self> {
        let change = pending.change.tags.clone()?;
        Some(Self {
            change,
            rows: vec![pending.pos.number],
            only_tags: has_tags_alone(&pending.change),
        })
    }

    /// Whether the result does not depend on the previous tags.
    fn sets_all(&self) -> bool {
        matches!(self.change, TagChange::Replace(_) | TagChange::Clear)
    }

    /// Whether some of its rows can be rejected without the others.
    pub(super) fn can_split(&self) -> bool {
        !self.only_tags && self.rows.len() > 1
    }

    /// Adds a later stage; returns it if the two cannot be combined.
    fn try_join(&mut self, later: Self) -> Option<Self> {
        let combined = self.change.then(&later.change);
        match combined.filter(|_| self.only_tags && later.only_tags) {
            Some(change) => {
                self.change = change;
                self.rows.extend(later.rows);
                None
            }
            None => Some(later),
        }
    }
}

/// Whether a row changes nothing but tags.
pub(super) fn has_tags_alone(change: &Change) -> bool {
    change.tags.is_some() && *change == Change { tags: change.tags.clone(), ..Change::default() }
}

/// Combines two changes, without tags.
fn merge_fields(first: &Change, second: &Change) -> Change {
    let mut details = first.details.clone();
    details.extend(&second.details);
    Change {
        tags: None,
        ai_tags: match (&first.ai_tags, &second.ai_tags) {
            (Some(AiTagRemoval::Named(first)), Some(AiTagRemoval::Named(second))) => {
                let new = second.iter().filter(|tag| !first.contains(tag));
                Some(AiTagRemoval::Named(first.iter().chain(new).cloned().collect()))
            }
            (Some(AiTagRemoval::All), _) | (_, Some(AiTagRemoval::All)) => Some(AiTagRemoval::All),
            (one, None) | (None, one) => one.clone(),
        },
        details,
        extensions: None,
        webhook_url: None,
        publish: None,
    }
}

/// The rejection of a row that would give the file too many characters of tags.
pub(super) fn too_many_tags(simulated_file: &SimulatedFile, change: &Change) -> Option<Outcome> {
    let Some(tags @ TagChange::Edit { add: Some(_), .. }) = &change.tags else {
        return None;
    };
    let has = simulated_file.tags()?;
    let after = tags.after(Some(has))?;
    if after.iter().all(|tag| has.contains(tag)) {
        return None;
    }
    let length: usize = after.iter().map(|tag| tag.chars().count()).sum();
    let message = format!(
        "addTags would give the file {length} characters of tags, and ImageKit allows \
         {TAGS_LENGTH_MAX}; remove tags in the same row, or add fewer"
    );
    let rejected = Outcome::local(Status::Rejected, Code::Invalid, Some(message.into()));
    (length > TAGS_LENGTH_MAX).then_some(rejected)
}
