//! Which fields of a file something concerns: a change, a request, an extension, a difference.

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
    /// Every field.
    pub const ALL: Self = Self((FileField::Publication as u8) * 2 - 1);

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the set has this field.
    #[must_use]
    pub fn contains(self, field: FileField) -> bool {
        self.0 & field as u8 != 0
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

    /// Adds the fields of another set.
    pub fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Removes the fields of another set.
    pub fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    /// The bit mask to store.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }

    /// The set of a stored bit mask.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
}

impl From<FileField> for FieldSet {
    fn from(field: FileField) -> Self {
        Self(field as u8)
    }
}

/// The fields paired with `true`.
impl<const N: usize> From<[(FileField, bool); N]> for FieldSet {
    fn from(fields: [(FileField, bool); N]) -> Self {
        let contained = fields.into_iter().filter(|(_, is_contained)| *is_contained);
        Self(contained.fold(0, |bits, (field, _)| bits | field as u8))
    }
}
