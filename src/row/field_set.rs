//! Which fields of a file something concerns: a change, a request, an extension, a difference.

use crate::bit_set::{BitSet, Member};

/// A field of a file. All custom metadata counts as one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileField {
    /// `tags`.
    Tags = 0,
    /// `AITags`.
    AiTags = 1,
    /// `customCoordinates`.
    Coordinates = 2,
    /// `description`.
    Description = 3,
    /// `customMetadata`.
    Metadata = 4,
    /// `isPublished`.
    Publication = 5,
}

impl Member for FileField {
    const MEMBERS: &'static [Self] = &[
        Self::Tags,
        Self::AiTags,
        Self::Coordinates,
        Self::Description,
        Self::Metadata,
        Self::Publication,
    ];

    fn index(self) -> usize {
        self as usize
    }
}

/// A set of fields.
pub(crate) type FieldSet = BitSet<FileField>;
