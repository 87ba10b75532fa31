//! What the requests of one row carried, and how certain it is that they took effect.

use crate::ledger::{Completeness, StepRecord};
use crate::outcome::Status;
use crate::request::StepKind;
use crate::row::FileField;
use crate::sent::SentExtension;
use crate::settings::Planning;

/// Whether a change took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Certainty {
    /// It was not sent, or had no effect.
    NotDone,
    /// It was sent or may have been, and its outcome is unknown.
    Possible,
    /// It was accepted.
    Done,
}

impl Certainty {
    fn of(record: &StepRecord) -> Self {
        match record.outcome.status {
            _ if record.sent.is_empty() => Self::NotDone,
            Status::Updated => Self::Done,
            Status::Failed | Status::Unknown => Self::Possible,
            Status::Unchanged | Status::NotAttempted | Status::Rejected => Self::NotDone,
        }
    }
}

/// How the tags of a row were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TagEffects {
    /// As a complete list, in a PATCH.
    Whole(Certainty),
    /// In calls that remove and add.
    Calls {
        /// Whether tags were removed.
        removed: Certainty,
        /// Whether tags were added.
        added: Certainty,
        /// Whether several calls may have changed only some of the tags.
        may_mix: bool,
    },
}

impl TagEffects {
    /// Whether tags were removed.
    #[must_use]
    pub(crate) fn removed(self) -> Certainty {
        let (Self::Whole(removed) | Self::Calls { removed, .. }) = self;
        removed
    }

    /// Whether tags were added.
    #[must_use]
    pub(crate) fn added(self) -> Certainty {
        let (Self::Whole(added) | Self::Calls { added, .. }) = self;
        added
    }
}

/// The effects of a row, from its recorded steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowEffects<'r> {
    records: &'r [StepRecord],
    planning: Planning,
    completeness: Completeness,
}

impl<'r> RowEffects<'r> {
    /// The effects of a row of a run that was planned in this way. If its ledger may miss requests,
    /// a row that is not done may have had one.
    #[must_use]
    pub(crate) fn new(
        records: &'r [StepRecord],
        planning: Planning,
        completeness: Completeness,
    ) -> Self {
        Self { records, planning, completeness }
    }

    /// Whether a field was set. Tags are in [`Self::tags`].
    #[must_use]
    pub(crate) fn field(&self, field: FileField) -> Certainty {
        let carriers = self.records.iter().filter(|record| record.sent.fields.contains(field));
        let recorded = carriers.map(Certainty::of).max().unwrap_or(Certainty::NotDone);
        // At-most-once requests are recorded before they are sent, idempotent ones after.
        let may_be_unrecorded = field != FileField::Publication
            && self.is_unfinished()
            // AI tags can have a call of their own.
            && (field == FileField::AiTags || self.record(StepKind::Details).is_none());
        if may_be_unrecorded { recorded.max(Certainty::Possible) } else { recorded }
    }

    /// Whether the file has the requested value of a field: it was set, or was up to date when the
    /// other fields were set.
    #[must_use]
    pub(crate) fn has(&self, field: FileField) -> bool {
        let was_sent = self.records.iter().any(|record| record.sent.fields.contains(field));
        self.field(field) == Certainty::Done || !was_sent && self.has_details()
    }

    /// Whether the requested tags were set, or were up to date when the fields were set. `part` is
    /// the part of the change that is asked about.
    #[must_use]
    pub(crate) fn has_tags(&self, is_edit: bool, part: impl Fn(TagEffects) -> Certainty) -> bool {
        // The calls of an unfinished row may still be ahead.
        let was_up_to_date = !self.sent_tags() && self.has_details() && self.is_over();
        part(self.tags(is_edit)) == Certainty::Done || was_up_to_date
    }

    /// Whether ImageKit accepted any request of the row.
    #[must_use]
    pub(crate) fn was_accepted(&self) -> bool {
        self.records.iter().any(|record| Certainty::of(record) == Certainty::Done)
    }

    /// Whether a step was accepted.
    #[must_use]
    pub(crate) fn has_done(&self, kind: StepKind) -> bool {
        self.record(kind).is_some_and(|record| record.outcome.status == Status::Updated)
    }

    /// Whether a PATCH of fields was accepted.
    fn has_details(&self) -> bool {
        self.has_done(StepKind::Details) || self.has_done(StepKind::DetailsWithoutExtensions)
    }

    /// Whether and how the tags were changed; `is_edit` if the row adds or removes tags instead of
    /// setting all.
    #[must_use]
    pub(crate) fn tags(&self, is_edit: bool) -> TagEffects {
        let calls = [StepKind::RemoveTags, StepKind::AddTags].map(|kind| self.call(kind));
        let unrecorded =
            if self.is_unfinished() { Certainty::Possible } else { Certainty::NotDone };
        if self.planning == Planning::Direct {
            if !is_edit {
                return TagEffects::Whole(self.field(FileField::Tags));
            }
            let [removed, added] = calls.map(|call| call.unwrap_or(unrecorded));
            return TagEffects::Calls { removed, added, may_mix: false };
        }
        let is_over = self.is_over();
        // The planner merges the rows of a file: without a call of its own, a change is part of the
        // merged result, and as certain as the other call.
        let merged =
            |other: Certainty| if is_over { other } else { other.min(Certainty::Possible) };
        let (removed, added) = match calls {
            [None, None] if self.sent_tags() => {
                let whole = self.field(FileField::Tags);
                if !is_edit || is_over {
                    return TagEffects::Whole(whole);
                }
                // The PATCH may hold the tags of other rows only, and the calls be still ahead.
                (merged(whole), merged(whole))
            }
            [None, None] => (unrecorded, unrecorded),
            [Some(removed), None] => (removed, merged(removed)),
            [None, Some(added)] => (merged(added), added),
            [Some(removed), Some(added)] => (removed, added),
        };
        let may_mix = [removed, added].contains(&Certainty::Possible);
        TagEffects::Calls { removed, added, may_mix }
    }

    /// The extensions that ran, or may have run.
    #[must_use]
    pub(crate) fn extensions(&self) -> &'r [SentExtension] {
        let details = self.record(StepKind::Details);
        let sent = details.filter(|record| Certainty::of(record) != Certainty::NotDone);
        sent.map_or(&[], |record| &record.sent.extensions)
    }

    /// The certainty of the row's calls of this kind; `None` if none is recorded.
    fn call(&self, kind: StepKind) -> Option<Certainty> {
        let part = kind.part().and_then(|part| self.record(part));
        let part = part.map(|_| Certainty::Possible);
        self.record(kind).map(Certainty::of).max(part)
    }

    /// Whether a request carried tags, or was withheld.
    fn sent_tags(&self) -> bool {
        let mut records = self.records.iter();
        records.any(|it| it.step.kind.is_tags() || it.sent.fields.contains(FileField::Tags))
    }

    fn record(&self, kind: StepKind) -> Option<&'r StepRecord> {
        self.records.iter().find(|record| record.step.kind == kind)
    }

    /// Whether no step of the row is left to do.
    fn is_over(&self) -> bool {
        self.records.iter().any(|record| record.row_done)
    }

    /// Whether requests of the row may have been sent and not recorded.
    fn is_unfinished(&self) -> bool {
        self.completeness == Completeness::MayMissRequests && !self.is_over()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Code, Outcome};
    use crate::request::StepRef;
    use crate::row::FieldSet;
    use crate::sent::Sent;
    use crate::settings::DiffOptions;

    fn record(kind: StepKind, status: Status, fields: &[FileField]) -> StepRecord {
        let fields = fields.iter().fold(FieldSet::default(), |all, it| all.union((*it).into()));
        StepRecord {
            step: StepRef { row: 2, kind },
            outcome: Outcome::local(status, Code::Server, None),
            attempts: 1,
            row_done: true,
            sent: Sent::new(fields, None),
            settled: Box::default(),
        }
    }

    fn diff(records: &[StepRecord]) -> RowEffects<'_> {
        RowEffects::new(records, Planning::Diff(DiffOptions::default()), Completeness::Complete)
    }

    #[test]
    fn field_left_out_of_a_remainder_is_only_possible() {
        let (description, area) = (FileField::Description, FileField::Coordinates);
        let records = [
            record(StepKind::Details, Status::Unknown, &[description, area]),
            record(StepKind::DetailsWithoutExtensions, Status::Updated, &[area]),
        ];
        let row = diff(&records);
        assert_eq!(row.field(area), Certainty::Done);
        assert_eq!(row.field(description), Certainty::Possible);
        assert!(row.has(area) && !row.has(description));
        assert_eq!(row.field(FileField::Metadata), Certainty::NotDone);
        assert!(row.has(FileField::Metadata), "it was up to date");
    }

    #[test]
    fn request_that_was_not_sent_has_no_effect() {
        let records = [record(StepKind::Publish, Status::Failed, &[])];
        assert_eq!(diff(&records).field(FileField::Publication), Certainty::NotDone);
    }

    #[test]
    fn tags_are_where_the_ledger_says() {
        let tags = FileField::Tags;
        let in_patch = [record(StepKind::Details, Status::Updated, &[tags])];
        assert_eq!(diff(&in_patch).tags(true), TagEffects::Whole(Certainty::Done));
        let rejected = [record(StepKind::Details, Status::Rejected, &[FileField::Description])];
        assert_eq!(diff(&rejected).tags(true).added(), Certainty::NotDone);
        let removed = [record(StepKind::RemoveTags, Status::Updated, &[tags])];
        assert_eq!(diff(&removed).tags(true).added(), Certainty::Done, "merged with other rows");
        let ahead = [StepRecord { row_done: false, ..in_patch[0].clone() }];
        assert_eq!(diff(&ahead).tags(true).added(), Certainty::Possible);
        let details = record(StepKind::Details, Status::Updated, &[FileField::Description]);
        let ahead = [StepRecord { row_done: false, ..details.clone() }];
        assert!(diff(&[details]).has_tags(true, TagEffects::added), "they were up to date");
        assert!(!diff(&ahead).has_tags(true, TagEffects::added));
    }
}
