//! Which fields of a file requests of a run have been sent for.

/// A field of a file, as far as fields are looked at apart: all of its custom metadata is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Its tags.
    Tags = 1,
    /// Its AI tags.
    AiTags = 1 << 1,
    /// Its important area.
    Coordinates = 1 << 2,
    /// Its description.
    Description = 1 << 3,
    /// Its custom metadata.
    Metadata = 1 << 4,
    /// Whether it is published.
    Publication = 1 << 5,
}

/// A set of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fields(u8);

impl Fields {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// These and those.
    #[must_use]
    pub fn and(self, those: Self) -> Self {
        Self(self.0 | those.0)
    }

    /// What is among these and those.
    #[must_use]
    pub fn common(self, those: Self) -> Self {
        Self(self.0 & those.0)
    }

    /// These without those.
    #[must_use]
    pub fn without(self, those: Self) -> Self {
        Self(self.0 & !those.0)
    }

    /// How the ledger holds them.
    pub(super) fn bits(self) -> u8 {
        self.0
    }

    /// Those that the ledger holds so.
    pub(super) fn of_bits(bits: u8) -> Self {
        Self(bits)
    }
}

/// Those of which it is said that they are among them.
impl<const N: usize> From<[(Field, bool); N]> for Fields {
    fn from(fields: [(Field, bool); N]) -> Self {
        let among = fields.into_iter().filter(|(_, is_among)| *is_among);
        Self(among.fold(0, |bits, (field, _)| bits | field as u8))
    }
}
