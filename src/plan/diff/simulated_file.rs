//! The state of a file between the planned requests of its rows.

use std::borrow::Cow;

use crate::file_fields::{AiTag, FileFields};
use crate::row::{
    AiTagRemoval, Change, Extensions, Field, FieldSet, FileField, MetadataValue, Publish, Set,
    TagChange,
};

/// The state of a file; some fields may be unknown.
#[derive(Debug, Clone, Default)]
pub(super) struct SimulatedFile {
    fields: FileFields,
    /// The fields whose value is unknown.
    unknown: FieldSet,
}

impl SimulatedFile {
    /// The state from a snapshot.
    pub(super) fn from_snapshot(fields: FileFields) -> Self {
        Self { fields, unknown: FieldSet::default() }
    }

    /// A file with every field unknown.
    pub(super) fn unknown() -> Self {
        Self { fields: FileFields::default(), unknown: FieldSet::ALL }
    }

    fn is_known(&self, field: FileField) -> bool {
        !self.unknown.contains(field)
    }

    /// Its tags; `None` if unknown.
    pub(super) fn tags(&self) -> Option<&[String]> {
        self.is_known(FileField::Tags).then_some(&self.fields.tags)
    }

    /// Folder and name; `None` if unknown.
    pub(super) fn path(&self) -> Option<&str> {
        self.fields.file_path.as_deref()
    }

    /// Names of its AI tags; `None` if unknown.
    pub(super) fn ai_tags(&self) -> Option<Vec<&str>> {
        let names = self.fields.ai_tags.iter().map(|tag| tag.name.as_str());
        self.is_known(FileField::AiTags).then(|| names.collect())
    }

    /// The value of a detail, null if it has none; `None` if unknown.
    pub(super) fn detail(&self, field: &Field) -> Option<Cow<'_, MetadataValue>> {
        let is_known = field.file_field().is_some_and(|field| self.is_known(field));
        is_known.then(|| self.fields.detail(field).to_value())
    }

    /// Whether it is published; `None` if unknown.
    pub(super) fn publication(&self) -> Option<bool> {
        self.fields.is_published.filter(|_| self.is_known(FileField::Publication))
    }

    /// The AI tags from this source (an extension) that it had, and that no row removes. Other extensions
    /// may have added more.
    pub(super) fn ai_tags_of(&self, source: &str) -> impl Iterator<Item = &AiTag> {
        self.fields.ai_tags.iter().filter(move |tag| tag.source.as_deref() == Some(source))
    }

    /// The AI tags to remove that it has or may have.
    pub(super) fn remaining_removal(&self, requested: &AiTagRemoval) -> Option<AiTagRemoval> {
        let has = |name: &str| self.fields.ai_tags.iter().any(|tag| tag.name == name);
        match requested {
            _ if !self.is_known(FileField::AiTags) => Some(requested.clone()),
            AiTagRemoval::All => (!self.fields.ai_tags.is_empty()).then_some(AiTagRemoval::All),
            AiTagRemoval::Named(names) => {
                let existing: Box<[String]> =
                    names.iter().filter(|name| has(name)).cloned().collect();
                (!existing.is_empty()).then_some(AiTagRemoval::Named(existing))
            }
        }
    }

    /// Whether a detail is up to date.
    pub(super) fn has_detail(&self, field: &Field, requested: &Set<MetadataValue>) -> bool {
        field.file_field().is_some_and(|field| self.is_known(field))
            && self.fields.has_detail(field, requested)
    }

    /// Whether the publication status is up to date.
    pub(super) fn has_publication(&self, requested: Publish) -> bool {
        self.is_known(FileField::Publication) && self.fields.has_publication(requested)
    }

    /// Applies a change, without its extensions.
    pub(super) fn apply(&mut self, change: &Change) {
        if let Some(tags) = &change.tags {
            self.apply_tags(tags);
        }
        if let Some(removal) = &change.ai_tags {
            self.fields.ai_tags.retain(|tag| !removal.removes(&tag.name));
            if *removal == AiTagRemoval::All {
                self.unknown.remove(FileField::AiTags);
            }
        }
        self.fields.set(&change.details);
        // A key of custom metadata leaves the others unknown.
        let mut known = change.details.fields();
        known.remove(FileField::Metadata);
        self.unknown.remove(known);
        if let Some(publish) = change.publish {
            self.fields.is_published = Some(publish.is_published);
            self.unknown.remove(FileField::Publication);
        }
    }

    /// Applies a change of tags.
    pub(super) fn apply_tags(&mut self, change: &TagChange) {
        match change.after(self.tags()) {
            Some(tags) => {
                self.fields.tags = tags;
                self.unknown.remove(FileField::Tags);
            }
            None => self.unknown.add(FileField::Tags),
        }
    }

    /// Marks the fields that extensions of a request may write as unknown.
    pub(super) fn run(&mut self, extensions: &Extensions) {
        self.unknown.add(extensions.writes());
    }

    /// Marks fields as unknown, because a request that sets them may be rejected.
    pub(super) fn invalidate(&mut self, fields: FieldSet) {
        self.unknown.add(fields);
    }
}
