//! The effects of a run on one file, worked out from its rows and their recorded outcomes.

use super::reversal::is_same;
use crate::file_fields::FileFields;
use crate::history::{Certainty, RowEffects, TagEffects};
use crate::row::{Change, Field, FieldSet, FileField, FileId, TagChange, as_slice_or_empty};

/// Maximum number of possible states tracked per file. Each row whose response was lost can double
/// them.
const STATES_MAX: usize = 64;

/// The effects of a run on one file.
#[derive(Debug, Clone)]
pub(crate) struct FileEffects {
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
pub(crate) struct Irreversible {
    /// Names of the extensions that ran, or may have run; one entry per run.
    pub extensions: Vec<&'static str>,
    /// Whether AI tags were removed.
    pub ai_tags: bool,
    /// Whether the file was published or unpublished.
    pub publication: bool,
}

/// The effect of a row on a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// The row did not change the file.
    Unchanged,
    /// The row changed the file, which is in this state now.
    Changed(Box<FileFields>),
    /// The row changed the file or may have, and its state is unknown.
    Unknown,
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
    pub(super) fn apply_row(&mut self, change: &Change, row: RowEffects<'_>) {
        for extension in row.extensions() {
            self.written_by_extensions.add(extension.writes);
            self.irreversible.extensions.push(extension.name.as_str());
        }
        let had_ai_tags = self.before.as_ref().is_none_or(|before| !before.ai_tags.is_empty());
        self.irreversible.ai_tags |= change.ai_tags.is_some()
            && had_ai_tags
            && row.field(FileField::AiTags) != Certainty::NotDone;
        self.irreversible.publication |=
            change.publish.is_some() && row.field(FileField::Publication) != Certainty::NotDone;
        for certainty in [Certainty::Done, Certainty::Possible] {
            self.apply_fields(change, certainty, row);
        }
        if let Some(tags) = &change.tags {
            self.apply_tags(tags, row);
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
        field.file_field().is_some_and(|field| self.written_by_extensions.contains(field))
    }

    /// Applies the fields that were set with this certainty.
    fn apply_fields(&mut self, change: &Change, certainty: Certainty, row: RowEffects<'_>) {
        let set = change.details.only(|field| row.field(field) == certainty);
        if !set.is_empty() {
            let fields = set.iter().map(|(field, _)| field.clone());
            self.apply(certainty, fields, |file| file.set(&set));
        }
    }

    fn apply_tags(&mut self, change: &TagChange, row: RowEffects<'_>) {
        let is_edit = matches!(change, TagChange::Edit { .. });
        let (removed, added) = match row.tags(is_edit) {
            TagEffects::Whole(certainty) => {
                return self.apply(certainty, [Field::Tags], |file| {
                    file.tags = change.after(Some(&file.tags)).unwrap_or_default();
                });
            }
            TagEffects::Calls { removed, added, may_mix } => {
                self.may_mix_tags |= may_mix;
                (removed, added)
            }
        };
        let is_removed = |tag: &String| match change {
            TagChange::Edit { remove, .. } => as_slice_or_empty(remove.as_ref()).contains(tag),
            TagChange::Replace(tags) => !tags.as_slice().contains(tag),
            TagChange::Clear => true,
        };
        let to_add = match change {
            TagChange::Edit { add, .. } => as_slice_or_empty(add.as_ref()),
            TagChange::Replace(tags) => tags.as_slice(),
            TagChange::Clear => &[],
        };
        self.apply(removed, [Field::Tags], |file| file.tags.retain(|tag| !is_removed(tag)));
        self.apply(added, [Field::Tags], |file| {
            let new = to_add.iter().filter(|tag| !file.tags.contains(tag)).cloned();
            let new: Vec<String> = new.collect();
            file.tags.extend(new);
        });
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Completeness, StepRecord};
    use crate::outcome::{Code, Outcome, Status};
    use crate::request::{StepKind, StepRef};
    use crate::row::Tags;
    use crate::sent::Sent;
    use crate::settings::{DiffOptions, Planning};

    fn record(kind: StepKind, status: Status) -> StepRecord {
        let outcome = Outcome { status, ..Outcome::local(status, Code::RejectedByApi, None) };
        StepRecord {
            step: StepRef { row: 1, kind },
            outcome,
            attempts: 1,
            row_done: true,
            sent: Sent::new(FileField::Tags.into(), None),
            settled: Box::default(),
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
        effects.apply_row(&change, RowEffects::new(records, planning, Completeness::Complete));
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
            effects.apply_row(
                &change,
                RowEffects::new(&lost, Planning::Direct, Completeness::Complete),
            );
        }
        assert_eq!(effects.after.len(), STATES_MAX);
    }
}
