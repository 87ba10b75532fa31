//! The set of fields of a file that requests of a run have set.

/// A field of a file. All custom metadata counts as one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileField {
    /// `tags`.
    Tags = 1,
    /// `AITags`.
    AiTags = 1 << 1,
    /// `customCoordinates`.
    Coordinates = 1 << 2,
    /// `description`.
    Description = 1 << 3,
    /// `customMetadata`.
    Metadata = 1 << 4,
    /// `isPublished`.
    Publication = 1 << 5,
}

/// A set of fields, as a bit mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FieldSet(u8);

impl FieldSet {
    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The union.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The intersection.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The difference.
    #[must_use]
    pub fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The bit mask to store.
    pub(super) fn bits(self) -> u8 {
        self.0
    }

    /// The set of a stored bit mask.
    pub(super) fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
}

/// The fields paired with `true`.
impl<const N: usize> From<[(FileField, bool); N]> for FieldSet {
    fn from(fields: [(FileField, bool); N]) -> Self {
        let contained = fields.into_iter().filter(|(_, is_contained)| *is_contained);
        Self(contained.fold(0, |bits, (field, _)| bits | field as u8))
    }
}
