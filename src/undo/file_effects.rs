//! The effects of a run on one file, worked out from its rows and their recorded outcomes.

use serde_json::{Map, Value};

use super::reversal::is_same;
use crate::file_fields::FileFields;
use crate::ledger::StepRecord;
use crate::outcome::{Code, Status};
use crate::request::StepKind;
use crate::row::{
    Change, ExtensionName, Extensions, Field, FieldSet, FileField, FileId, TagChange,
    as_slice_or_empty,
};
use crate::settings::Planning;

/// Maximum number of possible states tracked per file. Each row whose response was lost can double
/// them.
const STATES_MAX: usize = 64;

/// The effects of a run on one file.
#[derive(Debug, Clone)]
pub struct FileEffects {
    /// Id of the file.
    pub file: FileId,
    /// The effects that undo cannot revert.
    pub irreversible: Irreversible,
    /// The file's state before the run; `None` if there is no snapshot.
    pub(super) before: Option<FileFields>,
    /// The fields that were changed, or may have been.
    pub(super) touched: Vec<Field>,
    /// The states that the run may have left the file in. The first one contains only the changes
    /// that were certainly made. Empty if `before` is `None`.
    pub(super) after: Vec<FileFields>,
    /// Whether the tags may be any mixture of these states, because several tag calls changed them
    /// and not all of their outcomes are known.
    pub(super) may_mix_tags: bool,
    /// Fields that extensions of the run wrote or may still write.
    written_by_extensions: FieldSet,
}

/// Effects that undo cannot revert.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Irreversible {
    /// Names of the extensions that ran, or may have run; one entry per run.
    pub extensions: Vec<&'static str>,
    /// Whether AI tags were removed.
    pub ai_tags: bool,
    /// Whether the file was published or unpublished.
    pub publication: bool,
}

/// The effect of a row on a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The row did not change the file.
    Unchanged,
    /// The row changed the file, which is in this state now.
    Changed(Box<FileFields>),
    /// The row changed the file or may have, and its state is unknown.
    Unknown,
}

/// Whether a step took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Certainty {
    NotDone,
    Possible,
    Done,
}

impl FileEffects {
    pub(super) fn new(file: FileId, before: Option<FileFields>) -> Self {
        Self {
            file,
            irreversible: Irreversible::default(),
            after: before.iter().cloned().collect(),
            before,
            may_mix_tags: false,
            touched: Vec::new(),
            written_by_extensions: FieldSet::default(),
        }
    }

    /// Adds the effects of the file's next row.
    pub(super) fn apply_row(
        &mut self,
        change: &Change,
        records: &[StepRecord],
        planning: Planning,
        was_interrupted: bool,
    ) {
        let row = Row { records, planning, was_interrupted };
        let details = row.details();
        if let Some(extensions) = &change.extensions {
            self.add_extensions(extensions, records);
        }
        let had_ai_tags = self.before.as_ref().is_none_or(|before| !before.ai_tags.is_empty());
        self.irreversible.ai_tags |=
            change.ai_tags.is_some() && had_ai_tags && details != Certainty::NotDone;
        self.irreversible.publication |= row.step(StepKind::Publish) != Certainty::NotDone;
        self.apply_fields(change, details);
        if let Some(tags) = &change.tags {
            self.apply_tags(tags, &row);
        }
    }

    /// The effects after the file's last row; `None` if the run did not change the file.
    pub(super) fn finish(mut self) -> Option<Self> {
        if let Some(before) = &self.before {
            let differs =
                |field: &Field| self.after.iter().any(|after| !is_same(field, before, after));
            self.touched.retain(differs);
        }
        (!self.touched.is_empty() || self.irreversible != Irreversible::default()).then_some(self)
    }

    /// The combined effect of the rows.
    pub(super) fn into_effect(self) -> Effect {
        match self.finish() {
            None => Effect::Unchanged,
            Some(Self { irreversible, mut after, .. }) => match after.pop() {
                Some(fields) if after.is_empty() && irreversible == Irreversible::default() => {
                    Effect::Changed(Box::new(fields))
                }
                _ => Effect::Unknown,
            },
        }
    }

    /// Whether an extension of the run may have written this field, or may still write it.
    pub(super) fn may_be_written_by_extension(&self, field: &Field) -> bool {
        match field {
            Field::Tags => self.written_by_extensions.contains(FileField::Tags),
            Field::Description => self.written_by_extensions.contains(FileField::Description),
            Field::CustomMetadata(_) => self.written_by_extensions.contains(FileField::Metadata),
            _ => false,
        }
    }

    fn apply_fields(&mut self, change: &Change, certainty: Certainty) {
        let Change { coordinates, description, metadata, .. } = change;
        let named = metadata.iter().map(|(field, _)| Field::CustomMetadata(field.clone()));
        let fields = [
            coordinates.as_ref().map(|_| Field::CustomCoordinates),
            description.as_ref().map(|_| Field::Description),
        ];
        let fields = fields.into_iter().flatten().chain(named);
        self.apply(certainty, fields, |file| file.set(change));
    }

    fn apply_tags(&mut self, change: &TagChange, row: &Row<'_>) {
        let is_removed = |tag: &String| match change {
            TagChange::Edit { remove, .. } => as_slice_or_empty(remove.as_ref()).contains(tag),
            TagChange::Replace(tags) => !tags.as_slice().contains(tag),
            TagChange::Clear => true,
        };
        let added = match change {
            TagChange::Edit { add, .. } => as_slice_or_empty(add.as_ref()),
            TagChange::Replace(tags) => tags.as_slice(),
            TagChange::Clear => &[],
        };
        let remove = |file: &mut FileFields| file.tags.retain(|tag| !is_removed(tag));
        let add = |file: &mut FileFields| {
            let new = added.iter().filter(|tag| !file.tags.contains(tag)).cloned();
            let new: Vec<String> = new.collect();
            file.tags.extend(new);
        };
        if row.has_tags_in_details(change) {
            self.apply(row.details(), [Field::Tags], |file| {
                file.tags = change.after(Some(&file.tags)).unwrap_or_default();
            });
        } else {
            let (removed, added) = row.tag_calls();
            self.may_mix_tags |= matches!(row.planning, Planning::Diff(_))
                && [removed, added].contains(&Certainty::Possible);
            self.apply(removed, [Field::Tags], remove);
            self.apply(added, [Field::Tags], add);
        }
    }

    /// Applies a change of these fields to every possible state. If it is not certain that the change
    /// was made, the states without it are kept too.
    fn apply(
        &mut self,
        certainty: Certainty,
        fields: impl IntoIterator<Item = Field>,
        change: impl Fn(&mut FileFields),
    ) {
        let mut changed = self.after.clone();
        changed.iter_mut().for_each(change);
        match certainty {
            Certainty::NotDone => return,
            Certainty::Done => self.after.clear(),
            Certainty::Possible => {}
        }
        for after in changed {
            if self.after.len() < STATES_MAX && !self.after.contains(&after) {
                self.after.push(after);
            }
        }
        for field in fields {
            if !self.touched.contains(&field) {
                self.touched.push(field);
            }
        }
    }

    /// Records the extensions that ran, or may have run.
    fn add_extensions(&mut self, requested: &Extensions, records: &[StepRecord]) {
        let Some(details) = records.iter().find(|record| record.step.kind == StepKind::Details)
        else {
            return;
        };
        let statuses = details.outcome.extension_status.as_deref().unwrap_or_default();
        let statuses: Map<String, Value> = serde_json::from_str(statuses).unwrap_or_default();
        let ran = match details.outcome.status {
            Status::Unknown => Some(requested.clone()),
            // Without any status, all of them may have run. Otherwise an extension without a status
            // was left out of the request, because an earlier run was billed for it.
            Status::Updated if statuses.is_empty() => Some(requested.clone()),
            Status::Updated => requested.only(|extension| {
                statuses.contains_key(extension.name().as_str())
                    || extension.name() == ExtensionName::SavedExtension
            }),
            _ => None,
        };
        if let Some(ran) = ran {
            self.written_by_extensions.add(ran.writes());
            let names = ran.as_slice().iter().map(|extension| extension.name().as_str());
            self.irreversible.extensions.extend(names);
        }
    }
}

/// The recorded steps of a row.
struct Row<'r> {
    records: &'r [StepRecord],
    planning: Planning,
    was_interrupted: bool,
}

impl Row<'_> {
    /// Whether a step took effect.
    fn step(&self, kind: StepKind) -> Certainty {
        let is_partly_done = kind.part().is_some_and(|part| self.has(part));
        let outcome = self.records.iter().find(|record| record.step.kind == kind);
        let Some(outcome) = outcome.map(|record| &record.outcome) else {
            // The ledger records at-most-once requests before they are sent, idempotent ones after.
            let is_unfinished = self.was_interrupted && !self.is_over();
            let may_be_unrecorded =
                kind != StepKind::Publish && kind != StepKind::DetailsWithoutExtensions;
            return if is_partly_done || is_unfinished && may_be_unrecorded {
                Certainty::Possible
            } else {
                Certainty::NotDone
            };
        };
        match outcome.status {
            Status::Updated => Certainty::Done,
            Status::Failed | Status::Unknown => Certainty::Possible,
            _ if is_partly_done => Certainty::Possible,
            Status::Unchanged | Status::NotAttempted | Status::Rejected => Certainty::NotDone,
        }
    }

    /// Whether the row's fields were set.
    fn details(&self) -> Certainty {
        // The fallback omits only fields that an extension may have written.
        match (self.step(StepKind::Details), self.step(StepKind::DetailsWithoutExtensions)) {
            (Certainty::Possible, Certainty::Done) => Certainty::Done,
            (details, _) => details,
        }
    }

    /// Whether the row's removeTags and addTags calls took effect.
    fn tag_calls(&self) -> (Certainty, Certainty) {
        let steps = [StepKind::RemoveTags, StepKind::AddTags].map(|kind| self.step(kind));
        let has = [StepKind::RemoveTags, StepKind::AddTags].map(|kind| self.has(kind));
        let is_over = self.is_over();
        // The planner merges the rows of a file: without a call of its own, a change is part of the
        // merged result, and as certain as the other call.
        let merged =
            |other: Certainty| if is_over { other } else { other.min(Certainty::Possible) };
        match (self.planning, has, steps) {
            (Planning::Diff(_), [true, false], [removed, _]) => (removed, merged(removed)),
            (Planning::Diff(_), [false, true], [_, added]) => (merged(added), added),
            // A call for merged rows also contains the tags of rows whose details failed.
            (Planning::Diff(_), [false, false], _) if self.details_failed() => {
                (Certainty::Possible, Certainty::Possible)
            }
            (_, _, [removed, added]) => (removed, added),
        }
    }

    /// Whether no step of the row is left to do.
    fn is_over(&self) -> bool {
        self.records.iter().any(|record| record.row_done)
    }

    /// Whether the details were sent and not accepted.
    fn details_failed(&self) -> bool {
        self.records.iter().any(|StepRecord { step, outcome, .. }| {
            let has_failed = match outcome.status {
                Status::Failed | Status::Unknown => true,
                Status::Rejected => outcome.code == Some(Code::RejectedByApi),
                Status::Unchanged | Status::Updated | Status::NotAttempted => false,
            };
            step.kind == StepKind::Details && has_failed
        })
    }

    fn has(&self, kind: StepKind) -> bool {
        self.records.iter().any(|record| record.step.kind == kind)
    }

    /// Whether the tags were sent in the details request rather than in tag calls.
    fn has_tags_in_details(&self, tags: &TagChange) -> bool {
        let is_edit = matches!(tags, TagChange::Edit { .. });
        match self.planning {
            Planning::Direct => !is_edit,
            // Even a tag edit can be part of the details, if merged with a row that replaces the
            // tags. An edit of an unfinished row may still have its calls ahead.
            Planning::Diff(_) => {
                let has_calls = self.has(StepKind::RemoveTags) || self.has(StepKind::AddTags);
                !has_calls && (!is_edit || self.is_over()) && self.details() == Certainty::Done
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;
    use crate::request::StepRef;
    use crate::row::Tags;
    use crate::sent::Sent;
    use crate::settings::DiffOptions;

    fn record(kind: StepKind, status: Status) -> StepRecord {
        let outcome = Outcome { status, ..Outcome::local(status, Code::RejectedByApi, None) };
        StepRecord {
            step: StepRef { row: 1, kind },
            outcome,
            attempts: 1,
            row_done: true,
            sent: Sent::default(),
        }
    }

    fn tags(all: &[&str]) -> Vec<String> {
        all.iter().map(|tag| (*tag).to_owned()).collect()
    }

    /// The tags that a file with the tags `old` and `kept` may have after a row.
    fn tags_after(
        change: &TagChange,
        records: &[StepRecord],
        planning: Planning,
    ) -> Vec<Vec<String>> {
        let before = FileFields { tags: tags(&["old", "kept"]), ..FileFields::default() };
        let mut effects = FileEffects::new(FileId::new("a").expect("an id"), Some(before));
        let change = Change { tags: Some(change.clone()), ..Change::default() };
        effects.apply_row(&change, records, planning, false);
        effects.after.into_iter().map(|after| after.tags).collect()
    }

    fn replace() -> TagChange {
        TagChange::Replace(Tags::new(tags(&["kept", "new"])).expect("tags"))
    }

    #[test]
    fn tag_replacement_can_stop_between_removal_and_addition() {
        let live = Planning::Diff(DiffOptions::default());
        let removed = record(StepKind::RemoveTags, Status::Updated);
        let rejected = record(StepKind::AddTags, Status::Rejected);
        assert_eq!(tags_after(&replace(), &[removed.clone(), rejected], live), [tags(&["kept"])]);
        let lost = record(StepKind::AddTags, Status::Failed);
        let both = [tags(&["kept"]), tags(&["kept", "new"])];
        assert_eq!(tags_after(&replace(), &[removed, lost], live), both);
        let patched = record(StepKind::Details, Status::Updated);
        assert_eq!(tags_after(&replace(), &[patched], Planning::Direct), [tags(&["kept", "new"])]);
    }

    #[test]
    fn rejected_change_leaves_file_unchanged() {
        let rejected = [record(StepKind::Details, Status::Rejected)];
        assert_eq!(tags_after(&replace(), &rejected, Planning::Direct), [tags(&["old", "kept"])]);
        assert_eq!(tags_after(&replace(), &[], Planning::Direct), [tags(&["old", "kept"])]);
    }

    #[test]
    fn number_of_possible_states_is_limited() {
        let mut effects =
            FileEffects::new(FileId::new("a").expect("an id"), Some(FileFields::default()));
        let lost = [record(StepKind::AddTags, Status::Failed)];
        for number in 0..20 {
            let add = Tags::new(vec![number.to_string()]).ok();
            let change =
                Change { tags: Some(TagChange::Edit { add, remove: None }), ..Change::default() };
            effects.apply_row(&change, &lost, Planning::Direct, false);
        }
        assert_eq!(effects.after.len(), STATES_MAX);
    }
}
