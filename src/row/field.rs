//! The columns that an input can have.

use std::sync::Arc;

use super::MetadataRule;

/// One column that ikbulk understands.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    /// `fileId`: which file.
    FileId,
    /// `filePath`: which file, where `fileId` does not say it.
    FilePath,
    /// `url`: which file, where `fileId` does not say it.
    Url,
    /// `tags`: replaces the whole list.
    Tags,
    /// `addTags`: adds to the list.
    AddTags,
    /// `removeTags`: takes from the list.
    RemoveTags,
    /// `removeAITags`: takes AI tags away, or `all` of them.
    RemoveAiTags,
    /// `customCoordinates`: the important area of an image.
    CustomCoordinates,
    /// `description`.
    Description,
    /// `customMetadata.<name>`.
    CustomMetadata(MetadataField),
    /// `extensions`: a JSON array, run once the update has been saved; costs money.
    Extensions,
    /// `webhookUrl`: where the final status of pending extensions is sent.
    WebhookUrl,
    /// `isPublished`.
    IsPublished,
    /// `includeFileVersions`: whether `isPublished` is meant for all versions.
    IncludeFileVersions,
}

/// One custom metadata field, by the name that the API wants.
#[derive(Debug, Clone, PartialEq)]
pub struct MetadataField {
    /// The API name.
    pub name: Arc<str>,
    /// The account's rule for its values; absent with `--no-schema`: text as it stands.
    pub rule: Option<Arc<MetadataRule>>,
}

/// What custom metadata is called as a whole; a field of it is `customMetadata.<name>`.
pub(crate) const METADATA: &str = "customMetadata";

impl Field {
    /// The fields with a fixed name, for finding a column and for suggesting one.
    pub const FIXED: [(&'static str, Self); 13] = [
        ("fileId", Self::FileId),
        ("filePath", Self::FilePath),
        ("url", Self::Url),
        ("tags", Self::Tags),
        ("addTags", Self::AddTags),
        ("removeTags", Self::RemoveTags),
        ("removeAITags", Self::RemoveAiTags),
        ("customCoordinates", Self::CustomCoordinates),
        ("description", Self::Description),
        ("extensions", Self::Extensions),
        ("webhookUrl", Self::WebhookUrl),
        ("isPublished", Self::IsPublished),
        ("includeFileVersions", Self::IncludeFileVersions),
    ];

    /// Whether it says which file is meant, and nothing of what is to become of it.
    #[must_use]
    pub fn names_file(&self) -> bool {
        matches!(self, Self::FileId | Self::FilePath | Self::Url)
    }

    /// Whether it changes the tags.
    #[must_use]
    pub fn changes_tags(&self) -> bool {
        matches!(self, Self::Tags | Self::AddTags | Self::RemoveTags)
    }

    /// The field with that fixed name.
    #[must_use]
    pub fn fixed(name: &str) -> Option<Self> {
        Self::FIXED.iter().find(|(fixed, _)| *fixed == name).map(|(_, field)| field.clone())
    }
}
