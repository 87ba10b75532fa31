//! Sets of enum members, as a bit mask.

use std::marker::PhantomData;

/// An enum whose members can be in a [`BitSet`].
pub trait Member: Copy + 'static {
    /// Every member, by discriminant.
    const MEMBERS: &'static [Self];

    /// The discriminant: its number in [`Self::MEMBERS`].
    fn index(self) -> usize;
}

/// A set of enum members. Bit masks are stored, so discriminants must not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitSet<T>(u32, PhantomData<T>);

impl<T> Default for BitSet<T> {
    fn default() -> Self {
        Self(0, PhantomData)
    }
}

impl<T: Member> BitSet<T> {
    /// Every member.
    pub const ALL: Self = Self::of_bits(u32::MAX >> (u32::BITS as usize - T::MEMBERS.len()));

    const fn of_bits(bits: u32) -> Self {
        Self(bits, PhantomData)
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the set has this member.
    #[must_use]
    pub fn contains(self, member: T) -> bool {
        self.0 & 1 << member.index() != 0
    }

    /// The union.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self::of_bits(self.0 | other.0)
    }

    /// The intersection.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self::of_bits(self.0 & other.0)
    }

    /// The difference.
    #[must_use]
    pub fn difference(self, other: Self) -> Self {
        Self::of_bits(self.0 & !other.0)
    }

    /// Adds the members of another set.
    pub fn add(&mut self, other: impl Into<Self>) {
        self.0 |= other.into().0;
    }

    /// Removes the members of another set.
    pub fn remove(&mut self, other: impl Into<Self>) {
        self.0 &= !other.into().0;
    }

    /// The bit mask to store.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }

    /// The set of a stored bit mask.
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        Self::of_bits(bits)
    }
}

impl<T: Member> From<T> for BitSet<T> {
    fn from(member: T) -> Self {
        Self::of_bits(1 << member.index())
    }
}

/// The members paired with `true`.
impl<T: Member, const N: usize> From<[(T, bool); N]> for BitSet<T> {
    fn from(members: [(T, bool); N]) -> Self {
        let contained = members.into_iter().filter(|(_, is_contained)| *is_contained);
        Self::of_bits(contained.fold(0, |bits, (member, _)| bits | 1 << member.index()))
    }
}
