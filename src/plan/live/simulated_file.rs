//! What is known of a file while its rows are planned one after the other.

use super::diff::FileDiff;
use super::merge::{MergedRows, PendingRow};
use crate::imagekit::FileFields;
use crate::row::{
    AiTagRemoval, Change, Coordinates, Extensions, MetadataField, MetadataValue, Publish, Set,
    TagChange,
};

/// What a file is like, as far as that is known.
#[derive(Debug, Clone, Default)]
pub(super) struct SimulatedFile {
    fields: FileFields,
    unknown: UnknownFields,
}

/// Fields of which nobody knows what they are like.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each field")]
struct UnknownFields {
    tags: bool,
    ai_tags: bool,
    coordinates: bool,
    description: bool,
    metadata: bool,
    publication: bool,
}

impl SimulatedFile {
    /// A file that was read.
    pub(super) fn read(fields: FileFields) -> Self {
        Self { fields, unknown: UnknownFields::default() }
    }

    /// A file of which nothing is known.
    pub(super) fn nothing() -> Self {
        let unknown = UnknownFields {
            tags: true,
            ai_tags: true,
            coordinates: true,
            description: true,
            metadata: true,
            publication: true,
        };
        Self { fields: FileFields::default(), unknown }
    }

    /// Its tags.
    pub(super) fn tags(&self) -> Option<&[String]> {
        (!self.unknown.tags).then_some(&self.fields.tags)
    }

    /// Its folder and name.
    pub(super) fn path(&self) -> Option<&str> {
        self.fields.file_path.as_deref()
    }

    /// The names of its AI tags.
    pub(super) fn ai_tags(&self) -> Option<Vec<&str>> {
        let names = self.fields.ai_tags.iter().map(|tag| tag.name.as_str());
        (!self.unknown.ai_tags).then(|| names.collect())
    }

    /// Its area, empty for none.
    pub(super) fn coordinates(&self) -> Option<&str> {
        let area = self.fields.custom_coordinates.as_deref();
        (!self.unknown.coordinates).then(|| area.unwrap_or_default())
    }

    /// Its description, empty for none.
    pub(super) fn description(&self) -> Option<&str> {
        let text = self.fields.description.as_deref();
        (!self.unknown.description).then(|| text.unwrap_or_default())
    }

    /// Its value in a custom metadata field, null for none.
    pub(super) fn metadata(&self, field: &MetadataField) -> Option<&MetadataValue> {
        let value = self.fields.custom_metadata.get(field.name.as_ref());
        (!self.unknown.metadata).then(|| value.unwrap_or(&MetadataValue::Null))
    }

    /// Whether it is published.
    pub(super) fn publication(&self) -> Option<bool> {
        self.fields.is_published.filter(|_| !self.unknown.publication)
    }

    /// The sources of its AI tags, as far as there are any.
    pub(super) fn has_ai_tags_of(&self, source: &str) -> bool {
        let mut tags = self.fields.ai_tags.iter();
        !self.unknown.ai_tags && tags.any(|tag| tag.source.as_deref() == Some(source))
    }

    /// Those of the AI tags to be removed that it has.
    pub(super) fn still_to_remove(&self, asked: &AiTagRemoval) -> Option<AiTagRemoval> {
        let has = |name: &str| self.fields.ai_tags.iter().any(|tag| tag.name == name);
        match asked {
            _ if self.unknown.ai_tags => Some(asked.clone()),
            AiTagRemoval::All => (!self.fields.ai_tags.is_empty()).then_some(AiTagRemoval::All),
            AiTagRemoval::Named(names) => {
                let there: Box<[String]> = names.iter().filter(|name| has(name)).cloned().collect();
                (!there.is_empty()).then_some(AiTagRemoval::Named(there))
            }
        }
    }

    /// Whether a change of that field would change nothing.
    pub(super) fn has_coordinates(&self, asked: &Set<Coordinates>) -> bool {
        !self.unknown.coordinates && self.fields.has_coordinates(asked)
    }

    /// Whether a change of that field would change nothing.
    pub(super) fn has_description(&self, asked: &Set<Box<str>>) -> bool {
        !self.unknown.description && self.fields.has_description(asked)
    }

    /// Whether a change of that field would change nothing.
    pub(super) fn has_metadata(&self, field: &MetadataField, asked: &Set<MetadataValue>) -> bool {
        !self.unknown.metadata && self.fields.has_metadata(field, asked)
    }

    /// Whether a change of that field would change nothing.
    pub(super) fn has_publication(&self, asked: Publish) -> bool {
        !self.unknown.publication && self.fields.has_publication(asked)
    }

    /// It is changed so.
    pub(super) fn apply(&mut self, change: &Change) {
        if let Some(tags) = &change.tags {
            self.apply_tags(tags);
        }
        match &change.ai_tags {
            None => {}
            Some(AiTagRemoval::All) => {
                self.fields.ai_tags.clear();
                self.unknown.ai_tags = false;
            }
            Some(AiTagRemoval::Named(names)) => {
                self.fields.ai_tags.retain(|tag| !names.contains(&tag.name));
            }
        }
        self.fields.set(change);
        self.unknown.coordinates &= change.coordinates.is_none();
        self.unknown.description &= change.description.is_none();
        if let Some(extensions) = &change.extensions {
            self.unknown.tags |= extensions.may_write_tags();
            self.unknown.ai_tags |= extensions.may_write_ai_tags();
            self.unknown.description |= extensions.may_write_description();
            self.unknown.metadata |= extensions.may_write_metadata();
        }
        if let Some(publish) = change.publish {
            self.fields.is_published = Some(publish.is_published);
            self.unknown.publication = false;
        }
    }

    /// Its tags are changed so.
    pub(super) fn apply_tags(&mut self, change: &TagChange) {
        match change.after(self.tags()) {
            Some(tags) => {
                self.fields.tags = tags;
                self.unknown.tags = false;
            }
            None => self.unknown.tags = true,
        }
    }

    /// What is sent may be refused, so that nobody knows what rows behind it find.
    pub(super) fn invalidate_sent(&mut self, sent: &FileDiff) {
        let FileDiff { patch, tags, publish } = sent;
        let unknown = &mut self.unknown;
        unknown.tags |= tags.iter().any(Option::is_some);
        unknown.ai_tags |= patch.remove_ai_tags.is_some();
        unknown.coordinates |= patch.coordinates.is_some();
        unknown.description |= patch.description.is_some();
        unknown.metadata |= !patch.metadata.is_empty();
        unknown.publication |= publish.is_some();
    }

    /// An earlier session did what a row asks for, or tried to.
    pub(super) fn replay_row(&mut self, pending: &PendingRow) {
        if !pending.behind.is_recorded() {
            return;
        }
        if pending.behind.is_success() {
            // As it was planned then, so that rows behind it need the same steps again.
            let sent = FileDiff::of(&MergedRows::of(pending.clone()), self, |_| true);
            self.apply(&pending.change);
            self.invalidate_sent(&sent);
        } else {
            self.invalidate(&pending.change);
        }
    }

    /// It may have been changed so, or not.
    pub(super) fn invalidate(&mut self, change: &Change) {
        let extensions = change.extensions.as_ref();
        let writes = |may_write: fn(&Extensions) -> bool| extensions.is_some_and(may_write);
        let unknown = &mut self.unknown;
        unknown.tags |= change.tags.is_some() || writes(Extensions::may_write_tags);
        unknown.ai_tags |= change.ai_tags.is_some() || writes(Extensions::may_write_ai_tags);
        unknown.coordinates |= change.coordinates.is_some();
        unknown.description |=
            change.description.is_some() || writes(Extensions::may_write_description);
        unknown.metadata |= !change.metadata.is_empty() || writes(Extensions::may_write_metadata);
        unknown.publication |= change.publish.is_some();
    }
}
