//! The fields that a column or key can set.

use std::borrow::Cow;
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;

use super::{FieldType, FileField, MetadataRule};
use crate::findings::CellKind;

/// The meaning of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    /// `fileId`: identifies the file.
    FileId,
    /// `filePath`: identifies the file if there is no `fileId`.
    FilePath,
    /// `url`: identifies the file if there is no `fileId`.
    Url,
    /// `tags`: replaces all tags.
    Tags,
    /// `addTags`: adds tags.
    AddTags,
    /// `removeTags`: removes tags.
    RemoveTags,
    /// `removeAITags`: removes the named AI tags, or `all`.
    RemoveAiTags,
    /// `customCoordinates`: the important area of an image.
    CustomCoordinates,
    /// `description`.
    Description,
    /// `customMetadata.<name>`.
    CustomMetadata(MetadataField),
    /// `extensions`: a JSON array of extensions to run after the update is saved; each run is
    /// billed.
    Extensions,
    /// `webhookUrl`: receives the final status of pending extensions.
    WebhookUrl,
    /// `isPublished`.
    IsPublished,
    /// `includeFileVersions`: whether `isPublished` applies to all versions.
    IncludeFileVersions,
}

/// One custom metadata field.
#[derive(Debug, Clone, PartialEq)]
pub struct MetadataField {
    /// The name in the API, not the label.
    pub name: Arc<str>,
    /// The account's rule for values; `None` with `--no-schema`: text is sent as is.
    pub rule: Option<Arc<MetadataRule>>,
}

/// The key of custom metadata in the API; the column of a field is `customMetadata.<name>`.
pub(crate) const METADATA: &str = "customMetadata";

impl Field {
    /// All fields with a fixed column name.
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

    /// The field of the file that it changes; `None` if it changes none itself.
    #[must_use]
    pub(crate) fn file_field(&self) -> Option<FileField> {
        match self {
            Self::Tags | Self::AddTags | Self::RemoveTags => Some(FileField::Tags),
            Self::RemoveAiTags => Some(FileField::AiTags),
            Self::CustomCoordinates => Some(FileField::Coordinates),
            Self::Description => Some(FileField::Description),
            Self::CustomMetadata(_) => Some(FileField::Metadata),
            Self::IsPublished | Self::IncludeFileVersions => Some(FileField::Publication),
            Self::FileId | Self::FilePath | Self::Url | Self::Extensions | Self::WebhookUrl => None,
        }
    }

    /// What tells the field from the others, whatever is known about it.
    pub(crate) fn key(&self) -> (Discriminant<Self>, &str) {
        let name = match self {
            Self::CustomMetadata(field) => &*field.name,
            _ => "",
        };
        (discriminant(self), name)
    }

    /// Whether both have the same [`Self::key`]. Empty names are not compared, which some processors do
    /// slowly.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::CustomMetadata(one), Self::CustomMetadata(other)) => one.name == other.name,
            _ => discriminant(self) == discriminant(other),
        }
    }

    /// Whether the field identifies the file rather than changing it.
    #[must_use]
    pub fn names_file(&self) -> bool {
        matches!(self, Self::FileId | Self::FilePath | Self::Url)
    }

    /// Whether the field takes JSON values of a type rather than text: it has that type, or its type is
    /// not known.
    pub(crate) fn takes(&self, kind: FieldType) -> bool {
        let Self::CustomMetadata(field) = self else { return false };
        field.rule.as_ref().is_none_or(|rule| rule.kind == kind || rule.kind == FieldType::Other)
    }

    /// Whether the field can hold any text.
    pub(crate) fn takes_text(&self) -> bool {
        *self == Self::Description
            || [FieldType::Text, FieldType::Textarea].into_iter().any(|kind| self.takes(kind))
    }

    /// Whether the field changes the tags.
    #[must_use]
    pub fn changes_tags(&self) -> bool {
        matches!(self, Self::Tags | Self::AddTags | Self::RemoveTags)
    }

    /// Whether its values are lists of words.
    #[must_use]
    pub fn is_list(&self) -> bool {
        match self {
            Self::Tags | Self::AddTags | Self::RemoveTags | Self::RemoveAiTags => true,
            Self::CustomMetadata(field) => {
                field.rule.as_ref().is_some_and(|rule| rule.kind == FieldType::MultiSelect)
            }
            _ => false,
        }
    }

    /// What its cells hold, as far as findings differ by it, where this character is between the words
    /// of a list; `None` for values that are no text.
    #[must_use]
    pub fn cell_kind(&self, separator: char) -> Option<CellKind> {
        match self {
            Self::FileId => Some(CellKind::Id),
            Self::Description => Some(CellKind::Prose),
            Self::CustomMetadata(field) => match field.rule.as_ref().map(|rule| rule.kind) {
                None | Some(FieldType::Text | FieldType::SingleSelect | FieldType::Other) => {
                    Some(CellKind::Text)
                }
                Some(FieldType::Textarea) => Some(CellKind::Prose),
                Some(FieldType::MultiSelect) => Some(CellKind::List { separator }),
                Some(FieldType::Number) => Some(CellKind::Number),
                Some(FieldType::Date | FieldType::Boolean) => None,
            },
            list => list.is_list().then_some(CellKind::List { separator }),
        }
    }

    /// Whether the word is an option of the field.
    #[must_use]
    pub fn has_option(&self, word: &str) -> bool {
        let Self::CustomMetadata(MetadataField { rule: Some(rule), .. }) = self else {
            return false;
        };
        rule.select_options.iter().any(|option| option.as_str() == Some(word))
    }

    /// The name of the field's column.
    pub(crate) fn column(&self) -> Cow<'static, str> {
        match self {
            Self::CustomMetadata(field) => MetadataField::column_of(&field.name).into(),
            fixed => {
                let known = Self::FIXED.iter().find(|(_, field)| field == fixed);
                known.map(|(name, _)| *name).unwrap_or_default().into()
            }
        }
    }

    /// The field with this fixed column name.
    #[must_use]
    pub fn fixed(name: &str) -> Option<Self> {
        Self::FIXED.iter().find(|(fixed, _)| *fixed == name).map(|(_, field)| field.clone())
    }
}
