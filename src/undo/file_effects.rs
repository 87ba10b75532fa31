//! What a run did to one file.

use serde_json::{Map, Value};

use super::reversal::is_same;
use crate::imagekit::FileFields;
use crate::ledger::StepRecord;
use crate::outcome::{Code, Status};
use crate::request::StepKind;
use crate::row::{Change, ExtensionName, Extensions, Field, FileId, TagChange, as_slice_or_empty};
use crate::settings::Planning;

/// States that a file may have been left in are told apart up to this number. More of them than
/// that takes several rows of the file whose answers were lost.
const LEFT_MAX: usize = 64;

/// What a run did to one file.
#[derive(Debug, Clone)]
pub struct FileEffects {
    /// The file.
    pub file: FileId,
    /// What cannot be taken back.
    pub irreversible: Irreversible,
    /// What it was like before; `None` where nobody read it.
    pub(super) before: Option<FileFields>,
    /// The fields that were changed, or may have been.
    pub(super) touched: Vec<Field>,
    /// What it may have been left like: first as if nothing was done but what is known to have been.
    /// Empty where `before` is not known.
    pub(super) left: Vec<FileFields>,
    /// Whether its tags may be anything between those, because they were changed by several calls of
    /// which nobody knows how far they got.
    pub(super) has_tags_between: bool,
    written: SetFields,
}

/// What cannot be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Irreversible {
    /// Extensions that ran, by name. One that ran more than once on the file is there as often.
    pub extensions: Vec<&'static str>,
    /// Whether AI tags were removed.
    pub ai_tags: bool,
    /// Whether it was published or unpublished.
    pub publication: bool,
}

/// What was made of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Nothing: it is as it was.
    Nothing,
    /// It is like this.
    This(Box<FileFields>),
    /// Nobody knows what.
    NotKnown,
}

/// Fields that extensions of the run may have written, or write yet.
#[derive(Debug, Clone, Copy, Default)]
struct SetFields {
    tags: bool,
    description: bool,
    metadata: bool,
}

/// Whether something was done.
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
            left: before.iter().cloned().collect(),
            before,
            has_tags_between: false,
            touched: Vec::new(),
            written: SetFields::default(),
        }
    }

    /// Takes the file's next row.
    pub(super) fn row(
        &mut self,
        change: &Change,
        records: &[StepRecord],
        planning: Planning,
        is_cut_short: bool,
    ) {
        let row = Row { records, planning, is_cut_short };
        let details = row.details();
        if let Some(extensions) = &change.extensions {
            self.extensions(extensions, records);
        }
        let had_ai_tags = self.before.as_ref().is_none_or(|before| !before.ai_tags.is_empty());
        self.irreversible.ai_tags |=
            change.ai_tags.is_some() && had_ai_tags && details != Certainty::NotDone;
        self.irreversible.publication |= row.of(StepKind::Publish) != Certainty::NotDone;
        self.fields(change, details);
        if let Some(tags) = &change.tags {
            self.tags(tags, &row);
        }
    }

    /// Ends the file's rows; gives nothing back if the run did nothing to it, whatever it asked for.
    pub(super) fn ended(mut self) -> Option<Self> {
        if let Some(before) = &self.before {
            let differs =
                |field: &Field| self.left.iter().any(|left| !is_same(field, before, left));
            self.touched.retain(differs);
        }
        (!self.touched.is_empty() || self.irreversible != Irreversible::default()).then_some(self)
    }

    /// Ends the file's rows; says what they made of it.
    pub(super) fn made(self) -> Effect {
        match self.ended() {
            None => Effect::Nothing,
            Some(Self { irreversible, mut left, .. }) => match left.pop() {
                Some(fields) if left.is_empty() && irreversible == Irreversible::default() => {
                    Effect::This(Box::new(fields))
                }
                _ => Effect::NotKnown,
            },
        }
    }

    /// Whether an extension of the run may have written this field, or may write it yet.
    pub(super) fn is_written(&self, field: &Field) -> bool {
        match field {
            Field::Tags => self.written.tags,
            Field::Description => self.written.description,
            Field::CustomMetadata(_) => self.written.metadata,
            _ => false,
        }
    }

    fn fields(&mut self, change: &Change, fate: Certainty) {
        let Change { coordinates, description, metadata, .. } = change;
        let named = metadata.iter().map(|(field, _)| Field::CustomMetadata(field.clone()));
        let fields = [
            coordinates.as_ref().map(|_| Field::CustomCoordinates),
            description.as_ref().map(|_| Field::Description),
        ];
        self.apply(fate, fields.into_iter().flatten().chain(named), |file| file.set(change));
    }

    fn tags(&mut self, change: &TagChange, row: &Row<'_>) {
        let is_gone = |tag: &String| match change {
            TagChange::Edit { remove, .. } => as_slice_or_empty(remove.as_ref()).contains(tag),
            TagChange::Replace(tags) => !tags.as_slice().contains(tag),
            TagChange::Clear => true,
        };
        let added = match change {
            TagChange::Edit { add, .. } => as_slice_or_empty(add.as_ref()),
            TagChange::Replace(tags) => tags.as_slice(),
            TagChange::Clear => &[],
        };
        let remove = |file: &mut FileFields| file.tags.retain(|tag| !is_gone(tag));
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
            let may_be_between = matches!(row.planning, Planning::Live(_));
            self.has_tags_between |=
                may_be_between && [removed, added].contains(&Certainty::Possible);
            self.apply(removed, [Field::Tags], remove);
            self.apply(added, [Field::Tags], add);
        }
    }

    /// The file was changed so in these fields, or may have been.
    fn apply(
        &mut self,
        fate: Certainty,
        fields: impl IntoIterator<Item = Field>,
        change: impl Fn(&mut FileFields),
    ) {
        let mut changed = self.left.clone();
        changed.iter_mut().for_each(change);
        match fate {
            Certainty::NotDone => return,
            Certainty::Done => self.left.clear(),
            Certainty::Possible => {}
        }
        for left in changed {
            if self.left.len() < LEFT_MAX && !self.left.contains(&left) {
                self.left.push(left);
            }
        }
        for field in fields {
            if !self.touched.contains(&field) {
                self.touched.push(field);
            }
        }
    }

    /// Takes down which extensions ran, or may have.
    fn extensions(&mut self, asked: &Extensions, records: &[StepRecord]) {
        let Some(details) = records.iter().find(|record| record.step.kind == StepKind::Details)
        else {
            return;
        };
        let said = details.outcome.extension_status.as_deref().unwrap_or_default();
        let said: Map<String, Value> = serde_json::from_str(said).unwrap_or_default();
        let ran = match details.outcome.status {
            Status::Unknown => Some(asked.clone()),
            // One that was paid for before was not asked for again, and nothing is said of it. What
            // nothing is said of at all may have run.
            Status::Updated if said.is_empty() => Some(asked.clone()),
            Status::Updated => asked.only(|extension| {
                said.contains_key(extension.name().as_str())
                    || extension.name() == ExtensionName::SavedExtension
            }),
            _ => None,
        };
        if let Some(ran) = ran {
            self.written.tags |= ran.may_write_tags();
            self.written.description |= ran.may_write_description();
            self.written.metadata |= ran.may_write_metadata();
            let names = ran.as_slice().iter().map(|extension| extension.name().as_str());
            self.irreversible.extensions.extend(names);
        }
    }
}

/// What the ledger knows of a row.
struct Row<'r> {
    records: &'r [StepRecord],
    planning: Planning,
    is_cut_short: bool,
}

impl Row<'_> {
    /// What became of one of its steps.
    fn of(&self, kind: StepKind) -> Certainty {
        let is_begun = kind.part().is_some_and(|part| self.has(part));
        let outcome = self.records.iter().find(|record| record.step.kind == kind);
        let Some(outcome) = outcome.map(|record| &record.outcome) else {
            // What must not be repeated is in the ledger before it is sent.
            let is_open = self.is_cut_short && !self.is_over();
            let is_safe = kind != StepKind::Publish && kind != StepKind::DetailsWithoutExtensions;
            return if is_begun || is_open && is_safe {
                Certainty::Possible
            } else {
                Certainty::NotDone
            };
        };
        match outcome.status {
            Status::Updated => Certainty::Done,
            Status::Failed | Status::Unknown => Certainty::Possible,
            _ if is_begun => Certainty::Possible,
            Status::Unchanged | Status::NotAttempted | Status::Rejected => Certainty::NotDone,
        }
    }

    /// What became of the fields.
    fn details(&self) -> Certainty {
        // What it leaves out are fields that an extension may have written.
        match (self.of(StepKind::Details), self.of(StepKind::DetailsWithoutExtensions)) {
            (Certainty::Possible, Certainty::Done) => Certainty::Done,
            (details, _) => details,
        }
    }

    /// What became of the calls for its tags: those that remove some, and those that add some.
    fn tag_calls(&self) -> (Certainty, Certainty) {
        let fates = [StepKind::RemoveTags, StepKind::AddTags].map(|kind| self.of(kind));
        let has = [StepKind::RemoveTags, StepKind::AddTags].map(|kind| self.has(kind));
        let is_over = self.is_over();
        // Rows of one file are merged: what needs no call for itself is in what they come to.
        let merged =
            |other: Certainty| if is_over { other } else { other.min(Certainty::Possible) };
        match (self.planning, has, fates) {
            (Planning::Live(_), [true, false], [removed, _]) => (removed, merged(removed)),
            (Planning::Live(_), [false, true], [_, added]) => (merged(added), added),
            // A call for rows that were merged carries out even those whose other fields were
            // refused.
            (Planning::Live(_), [false, false], _) if self.is_refused() => {
                (Certainty::Possible, Certainty::Possible)
            }
            (_, _, [removed, added]) => (removed, added),
        }
    }

    /// Whether nothing of it follows.
    fn is_over(&self) -> bool {
        self.records.iter().any(|record| record.row_done)
    }

    /// Whether its fields were sent, and not accepted.
    fn is_refused(&self) -> bool {
        self.records.iter().any(|StepRecord { step, outcome, .. }| {
            let is_refused = match outcome.status {
                Status::Failed | Status::Unknown => true,
                Status::Rejected => outcome.code == Some(Code::RejectedByApi),
                Status::Unchanged | Status::Updated | Status::NotAttempted => false,
            };
            step.kind == StepKind::Details && is_refused
        })
    }

    fn has(&self, kind: StepKind) -> bool {
        self.records.iter().any(|record| record.step.kind == kind)
    }

    /// Whether tags went with the other fields rather than by calls of their own.
    fn has_tags_in_details(&self, tags: &TagChange) -> bool {
        let is_edit = matches!(tags, TagChange::Edit { .. });
        match self.planning {
            Planning::Direct => !is_edit,
            // Merged with a row that replaces them, even an edit can go that way. Otherwise its calls
            // are still to come where the row is not over.
            Planning::Live(_) => {
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
    use crate::settings::LiveOptions;

    fn record(kind: StepKind, status: Status) -> StepRecord {
        let outcome = Outcome { status, ..Outcome::local(status, Code::RejectedByApi, None) };
        StepRecord {
            step: StepRef { row: 1, kind },
            outcome,
            attempts: 1,
            row_done: true,
            extensions: Vec::new(),
        }
    }

    fn tags(all: &[&str]) -> Vec<String> {
        all.iter().map(|tag| (*tag).to_owned()).collect()
    }

    /// The tags that a file with the tags `old` and `kept` may be left with.
    fn left(change: &TagChange, records: &[StepRecord], planning: Planning) -> Vec<Vec<String>> {
        let before = FileFields { tags: tags(&["old", "kept"]), ..FileFields::default() };
        let mut file_effects = FileEffects::new(FileId::new("a").expect("an id"), Some(before));
        let change = Change { tags: Some(change.clone()), ..Change::default() };
        file_effects.row(&change, records, planning, false);
        file_effects.left.into_iter().map(|left| left.tags).collect()
    }

    fn replace() -> TagChange {
        TagChange::Replace(Tags::new(tags(&["kept", "new"])).expect("tags"))
    }

    #[test]
    fn a_replacement_may_be_left_between_what_goes_and_what_comes() {
        let live = Planning::Live(LiveOptions::default());
        let removed = record(StepKind::RemoveTags, Status::Updated);
        let refused = record(StepKind::AddTags, Status::Rejected);
        assert_eq!(left(&replace(), &[removed.clone(), refused], live), [tags(&["kept"])]);
        let lost = record(StepKind::AddTags, Status::Failed);
        let both = [tags(&["kept"]), tags(&["kept", "new"])];
        assert_eq!(left(&replace(), &[removed, lost], live), both);
        let patched = record(StepKind::Details, Status::Updated);
        assert_eq!(left(&replace(), &[patched], Planning::Direct), [tags(&["kept", "new"])]);
    }

    #[test]
    fn what_was_not_accepted_leaves_a_file_as_it_was() {
        let nothing = [record(StepKind::Details, Status::Rejected)];
        assert_eq!(left(&replace(), &nothing, Planning::Direct), [tags(&["old", "kept"])]);
        assert_eq!(left(&replace(), &[], Planning::Direct), [tags(&["old", "kept"])]);
    }

    #[test]
    fn states_that_a_file_may_have_been_left_in_do_not_grow_without_end() {
        let mut file_effects =
            FileEffects::new(FileId::new("a").expect("an id"), Some(FileFields::default()));
        let lost = [record(StepKind::AddTags, Status::Failed)];
        for number in 0..20 {
            let add = Tags::new(vec![number.to_string()]).ok();
            let change =
                Change { tags: Some(TagChange::Edit { add, remove: None }), ..Change::default() };
            file_effects.row(&change, &lost, Planning::Direct, false);
        }
        assert_eq!(file_effects.left.len(), LEFT_MAX);
    }
}
