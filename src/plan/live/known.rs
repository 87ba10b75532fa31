//! What is known of a file while its rows are planned one after the other.

use super::merge::{Ask, Merged};
use super::need::Need;
use crate::imagekit::FileFields;
use crate::row::{
    AiTagRemoval, Change, Coordinates, Extensions, MetadataField, MetadataValue, Publish, Set,
    TagChange,
};

/// What a file is like, as far as that is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    fields: FileFields,
    unsure: Unsure,
}

/// Fields of which nobody knows what they are like.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each field")]
struct Unsure {
    tags: bool,
    ai_tags: bool,
    coordinates: bool,
    description: bool,
    metadata: bool,
    publication: bool,
}

impl Known {
    /// A file that was read.
    pub(super) fn read(fields: FileFields) -> Self {
        Self { fields, unsure: Unsure::default() }
    }

    /// A file of which nothing is known.
    pub(super) fn nothing() -> Self {
        let unsure = Unsure {
            tags: true,
            ai_tags: true,
            coordinates: true,
            description: true,
            metadata: true,
            publication: true,
        };
        Self { fields: FileFields::default(), unsure }
    }

    /// Its tags.
    pub(super) fn tags(&self) -> Option<&[String]> {
        (!self.unsure.tags).then_some(&self.fields.tags)
    }

    /// Its folder and name.
    pub(super) fn path(&self) -> Option<&str> {
        self.fields.file_path.as_deref()
    }

    /// The names of its AI tags.
    pub(super) fn ai_tags(&self) -> Option<Vec<&str>> {
        let names = self.fields.ai_tags.iter().map(|tag| tag.name.as_str());
        (!self.unsure.ai_tags).then(|| names.collect())
    }

    /// Its area, empty for none.
    pub(super) fn coordinates(&self) -> Option<&str> {
        let area = self.fields.custom_coordinates.as_deref();
        (!self.unsure.coordinates).then(|| area.unwrap_or_default())
    }

    /// Its description, empty for none.
    pub(super) fn description(&self) -> Option<&str> {
        let text = self.fields.description.as_deref();
        (!self.unsure.description).then(|| text.unwrap_or_default())
    }

    /// Its value in a custom metadata field, null for none.
    pub(super) fn metadata(&self, field: &MetadataField) -> Option<&MetadataValue> {
        let value = self.fields.custom_metadata.get(field.name.as_ref());
        (!self.unsure.metadata).then(|| value.unwrap_or(&MetadataValue::Null))
    }

    /// Whether it is published.
    pub(super) fn publication(&self) -> Option<bool> {
        self.fields.is_published.filter(|_| !self.unsure.publication)
    }

    /// The sources of its AI tags, as far as there are any.
    pub(super) fn has_ai_tags_of(&self, source: &str) -> bool {
        let mut tags = self.fields.ai_tags.iter();
        !self.unsure.ai_tags && tags.any(|tag| tag.source.as_deref() == Some(source))
    }

    /// Those of the AI tags to be removed that it has.
    pub(super) fn still_to_remove(&self, asked: &AiTagRemoval) -> Option<AiTagRemoval> {
        let has = |name: &str| self.fields.ai_tags.iter().any(|tag| tag.name == name);
        match asked {
            _ if self.unsure.ai_tags => Some(asked.clone()),
            AiTagRemoval::All => (!self.fields.ai_tags.is_empty()).then_some(AiTagRemoval::All),
            AiTagRemoval::Named(names) => {
                let there: Box<[String]> = names.iter().filter(|name| has(name)).cloned().collect();
                (!there.is_empty()).then_some(AiTagRemoval::Named(there))
            }
        }
    }

    /// Whether a change of that field would change nothing.
    pub(super) fn has_coordinates(&self, asked: &Set<Coordinates>) -> bool {
        !self.unsure.coordinates && self.fields.has_coordinates(asked)
    }

    /// Whether a change of that field would change nothing.
    pub(super) fn has_description(&self, asked: &Set<Box<str>>) -> bool {
        !self.unsure.description && self.fields.has_description(asked)
    }

    /// Whether a change of that field would change nothing.
    pub(super) fn has_metadata(&self, field: &MetadataField, asked: &Set<MetadataValue>) -> bool {
        !self.unsure.metadata && self.fields.has_metadata(field, asked)
    }

    /// Whether a change of that field would change nothing.
    pub(super) fn has_publication(&self, asked: Publish) -> bool {
        !self.unsure.publication && self.fields.has_publication(asked)
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
                self.unsure.ai_tags = false;
            }
            Some(AiTagRemoval::Named(names)) => {
                self.fields.ai_tags.retain(|tag| !names.contains(&tag.name));
            }
        }
        self.fields.set(change);
        self.unsure.coordinates &= change.coordinates.is_none();
        self.unsure.description &= change.description.is_none();
        if let Some(extensions) = &change.extensions {
            self.unsure.tags |= extensions.may_write_tags();
            self.unsure.ai_tags |= extensions.may_write_ai_tags();
            self.unsure.description |= extensions.may_write_description();
            self.unsure.metadata |= extensions.may_write_metadata();
        }
        if let Some(publish) = change.publish {
            self.fields.is_published = Some(publish.is_published);
            self.unsure.publication = false;
        }
    }

    /// Its tags are changed so.
    pub(super) fn apply_tags(&mut self, change: &TagChange) {
        match change.after(self.tags()) {
            Some(tags) => {
                self.fields.tags = tags;
                self.unsure.tags = false;
            }
            None => self.unsure.tags = true,
        }
    }

    /// What is sent may be refused, so that nobody knows what rows behind it find.
    pub(super) fn doubt(&mut self, sent: &Need) {
        let Need { patch, tags, publish } = sent;
        let unsure = &mut self.unsure;
        unsure.tags |= tags.iter().any(Option::is_some);
        unsure.ai_tags |= patch.remove_ai_tags.is_some();
        unsure.coordinates |= patch.coordinates.is_some();
        unsure.description |= patch.description.is_some();
        unsure.metadata |= !patch.metadata.is_empty();
        unsure.publication |= publish.is_some();
    }

    /// An earlier session did what a row asks for, or tried to.
    pub(super) fn follow(&mut self, ask: &Ask) {
        if !ask.behind.is_recorded() {
            return;
        }
        if ask.behind.is_success() {
            // As it was planned then, so that rows behind it need the same steps again.
            let sent = Need::of(&Merged::of(ask.clone()), self, |_| true);
            self.apply(&ask.change);
            self.doubt(&sent);
        } else {
            self.forget(&ask.change);
        }
    }

    /// It may have been changed so, or not.
    pub(super) fn forget(&mut self, change: &Change) {
        let extensions = change.extensions.as_ref();
        let writes = |may_write: fn(&Extensions) -> bool| extensions.is_some_and(may_write);
        let unsure = &mut self.unsure;
        unsure.tags |= change.tags.is_some() || writes(Extensions::may_write_tags);
        unsure.ai_tags |= change.ai_tags.is_some() || writes(Extensions::may_write_ai_tags);
        unsure.coordinates |= change.coordinates.is_some();
        unsure.description |=
            change.description.is_some() || writes(Extensions::may_write_description);
        unsure.metadata |= !change.metadata.is_empty() || writes(Extensions::may_write_metadata);
        unsure.publication |= change.publish.is_some();
    }
}
