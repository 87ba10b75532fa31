//! The state of a file between the planned requests of its rows.

use crate::file_fields::FileFields;
use crate::request::Patch;
use crate::row::{
    AiTagRemoval, Change, Coordinates, Extensions, MetadataField, MetadataValue, Publish, Set,
    TagChange,
};

/// The state of a file; some fields may be unknown.
#[derive(Debug, Clone, Default)]
pub(super) struct SimulatedFile {
    fields: FileFields,
    unknown: UnknownFields,
}

/// The fields whose value is unknown.
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
    /// The state from a snapshot.
    pub(super) fn from_snapshot(fields: FileFields) -> Self {
        Self { fields, unknown: UnknownFields::default() }
    }

    /// A file with every field unknown.
    pub(super) fn unknown() -> Self {
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

    /// Its tags; `None` if unknown.
    pub(super) fn tags(&self) -> Option<&[String]> {
        (!self.unknown.tags).then_some(&self.fields.tags)
    }

    /// Folder and name; `None` if unknown.
    pub(super) fn path(&self) -> Option<&str> {
        self.fields.file_path.as_deref()
    }

    /// Names of its AI tags; `None` if unknown.
    pub(super) fn ai_tags(&self) -> Option<Vec<&str>> {
        let names = self.fields.ai_tags.iter().map(|tag| tag.name.as_str());
        (!self.unknown.ai_tags).then(|| names.collect())
    }

    /// Custom coordinates, empty if it has none; `None` if unknown.
    pub(super) fn coordinates(&self) -> Option<&str> {
        let area = self.fields.custom_coordinates.as_deref();
        (!self.unknown.coordinates).then(|| area.unwrap_or_default())
    }

    /// Description, empty if it has none; `None` if unknown.
    pub(super) fn description(&self) -> Option<&str> {
        let text = self.fields.description.as_deref();
        (!self.unknown.description).then(|| text.unwrap_or_default())
    }

    /// Value of a custom metadata field, null if it has none; `None` if unknown.
    pub(super) fn metadata(&self, field: &MetadataField) -> Option<&MetadataValue> {
        let value = self.fields.custom_metadata.get(field.name.as_ref());
        (!self.unknown.metadata).then(|| value.unwrap_or(&MetadataValue::Null))
    }

    /// Whether it is published; `None` if unknown.
    pub(super) fn publication(&self) -> Option<bool> {
        self.fields.is_published.filter(|_| !self.unknown.publication)
    }

    /// Whether it is known to have AI tags from this source (an extension).
    pub(super) fn has_ai_tags_of(&self, source: &str) -> bool {
        let mut tags = self.fields.ai_tags.iter();
        !self.unknown.ai_tags && tags.any(|tag| tag.source.as_deref() == Some(source))
    }

    /// The AI tags to remove that it has or may have.
    pub(super) fn remaining_removal(&self, requested: &AiTagRemoval) -> Option<AiTagRemoval> {
        let has = |name: &str| self.fields.ai_tags.iter().any(|tag| tag.name == name);
        match requested {
            _ if self.unknown.ai_tags => Some(requested.clone()),
            AiTagRemoval::All => (!self.fields.ai_tags.is_empty()).then_some(AiTagRemoval::All),
            AiTagRemoval::Named(names) => {
                let existing: Box<[String]> =
                    names.iter().filter(|name| has(name)).cloned().collect();
                (!existing.is_empty()).then_some(AiTagRemoval::Named(existing))
            }
        }
    }

    /// Whether the coordinates are up to date.
    pub(super) fn has_coordinates(&self, requested: &Set<Coordinates>) -> bool {
        !self.unknown.coordinates && self.fields.has_coordinates(requested)
    }

    /// Whether the description is up to date.
    pub(super) fn has_description(&self, requested: &Set<Box<str>>) -> bool {
        !self.unknown.description && self.fields.has_description(requested)
    }

    /// Whether the custom metadata field is up to date.
    pub(super) fn has_metadata(
        &self,
        field: &MetadataField,
        requested: &Set<MetadataValue>,
    ) -> bool {
        !self.unknown.metadata && self.fields.has_metadata(field, requested)
    }

    /// Whether the publication status is up to date.
    pub(super) fn has_publication(&self, requested: Publish) -> bool {
        !self.unknown.publication && self.fields.has_publication(requested)
    }

    /// Applies a change.
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

    /// Applies a change of tags.
    pub(super) fn apply_tags(&mut self, change: &TagChange) {
        match change.after(self.tags()) {
            Some(tags) => {
                self.fields.tags = tags;
                self.unknown.tags = false;
            }
            None => self.unknown.tags = true,
        }
    }

    /// Marks the fields of a PATCH as unknown, because it may be rejected, and tags and publication
    /// where other requests change them.
    pub(super) fn invalidate_sent(&mut self, patch: &Patch, tags: bool, publication: bool) {
        let unknown = &mut self.unknown;
        unknown.tags |= tags;
        unknown.ai_tags |= patch.remove_ai_tags.is_some();
        unknown.coordinates |= patch.coordinates.is_some();
        unknown.description |= patch.description.is_some();
        unknown.metadata |= !patch.metadata.is_empty();
        unknown.publication |= publication;
    }

    /// Marks the fields of a change as unknown: it may or may not have been applied.
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
