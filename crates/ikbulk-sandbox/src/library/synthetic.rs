//! Generated files: each is a pure function of a seed and an index, or of its id, so that a million
//! unchanged files take no memory.

use std::borrow::Cow;

use serde_json::Map;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::digits::{push_decimal, push_hex};
use crate::library::file::{Base, Details, ENDPOINT, File};
use crate::library::metadata::Metadata;

const FOLDERS: [&str; 6] = [
    "/products/shoes/",
    "/products/bags/",
    "/products/",
    "/campaigns/summer/",
    "/campaigns/winter/",
    "/",
];
const TAGS: [&str; 8] =
    ["sale", "new", "summer", "winter", "t-shirt", "round-neck", "outdoor", "gift"];
const BRANDS: [&str; 4] = ["Nike", "Acme", "Umbrella", "Initech"];
const COLORS: [&str; 5] = ["red", "blue", "green", "black", "white"];
const DESCRIPTION: &str = "A product on a plain background";

/// Time of the first upload: 2021-01-01T00:00:00Z.
pub(crate) const FIRST_MS: i64 = 1_609_459_200_000;
/// Interval between uploads, which are in the order of the index.
const BETWEEN_MS: i64 = 61_001;

/// Odd, so that multiplication by it has an inverse.
const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
const UNMIX: u64 = inverse(MIX);

/// The inverse of an odd number modulo 2⁶⁴, by Newton's method: each step doubles the number of
/// correct bits.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut step = 0;
    while step < 6 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
}

/// The id of the file with this index in [`Library::synthetic`](crate::Library::synthetic): 16
/// hexadecimal digits that encode the index, and 8 of a checksum.
#[must_use]
pub fn synthetic_id(seed: u64, index: u64) -> String {
    let mut id = String::with_capacity(24);
    push_hex(&mut id, encode(seed, index), 16);
    push_hex(&mut id, checksum(seed, index).into(), 8);
    id
}

/// The index of a synthetic id; `None` if the id is not of this seed.
pub(crate) fn index_of(seed: u64, id: &str) -> Option<u64> {
    let is_hex = id.len() == 24 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let (encoded, sum) = is_hex.then(|| id.split_at(16))?;
    let index = decode(seed, u64::from_str_radix(encoded, 16).ok()?);
    let is_valid = u64::from_str_radix(sum, 16).ok()? == u64::from(checksum(seed, index));
    is_valid.then_some(index)
}

fn encode(seed: u64, index: u64) -> u64 {
    let mixed = (index ^ xxh3_64(&seed.to_le_bytes())).wrapping_mul(MIX);
    (mixed ^ mixed >> 32).wrapping_mul(MIX)
}

fn decode(seed: u64, encoded: u64) -> u64 {
    let mixed = encoded.wrapping_mul(UNMIX);
    (mixed ^ mixed >> 32).wrapping_mul(UNMIX) ^ xxh3_64(&seed.to_le_bytes())
}

fn checksum(seed: u64, index: u64) -> u32 {
    let hash = xxh3_64_with_seed(&index.to_le_bytes(), seed);
    u32::try_from(hash & 0xFFFF_FFFF).expect("32 bits fit")
}

/// The folder of the file with this index. Does not generate the rest of the file.
pub(crate) fn folder(seed: u64, index: u64) -> &'static str {
    pick(&FOLDERS, traits_of(&synthetic_id(seed, index)), 0)
}

/// Upload time of the file with this index, in milliseconds since 1970.
pub(crate) fn created_ms(index: u64) -> i64 {
    let order = i64::try_from(index).unwrap_or(i64::MAX).min(i64::MAX / BETWEEN_MS / 2);
    FIRST_MS + order * BETWEEN_MS
}

/// Generator of a file.
#[derive(Debug)]
pub(crate) struct SyntheticFile {
    id: String,
    traits: u64,
    created_ms: i64,
}

impl SyntheticFile {
    /// Generates the file with this index.
    pub(crate) fn of_index(seed: u64, index: u64) -> Self {
        Self::new(synthetic_id(seed, index), created_ms(index))
    }

    /// Generates a file with this id, whatever its form.
    pub(crate) fn of_id(id: &str) -> Self {
        let order = i64::from(checksum(0, traits_of(id)) >> 8);
        Self::new(id.to_owned(), FIRST_MS + order * 1000)
    }

    fn new(id: String, created_ms: i64) -> Self {
        let traits = traits_of(&id);
        Self { id, traits, created_ms }
    }

    pub(crate) fn file(self) -> File {
        let details = self.details();
        let base = self.base();
        File { base, details }
    }

    pub(crate) fn base(self) -> Base {
        let traits = self.traits;
        let mut name = String::with_capacity(16);
        name += "img-";
        push_decimal(&mut name, traits, 7);
        name += ".jpg";
        Base {
            id: self.id,
            name,
            folder: Cow::Borrowed(pick(&FOLDERS, traits, 0)),
            endpoint: Cow::Borrowed(ENDPOINT),
            is_private: false,
            file_type: Cow::Borrowed("image"),
            mime: Cow::Borrowed("image/jpeg"),
            width: 400 + (traits >> 8) % 3600,
            height: 300 + (traits >> 24) % 2700,
            size: 20_000 + (traits >> 16) % 3_000_000,
            has_alpha: false,
            created_ms: self.created_ms,
            policy: None,
            extra: Map::new(),
        }
    }

    pub(crate) fn details(&self) -> Details {
        let traits = self.traits;
        let [.., first, _] = traits.to_le_bytes();
        let tags: Vec<String> = (0..traits % 4)
            .zip(TAGS.iter().cycle().skip(usize::from(first)))
            .map(|(_, &tag)| tag.to_owned())
            .collect();
        let mut custom_metadata = Metadata::default();
        if !traits.is_multiple_of(3) {
            custom_metadata.set("brand", pick(&BRANDS, traits, 11).into());
            custom_metadata.set("color", pick(&COLORS, traits, 17).into());
        }
        Details {
            tags: (!tags.is_empty()).then_some(tags),
            ai_tags: Vec::new(),
            custom_coordinates: None,
            custom_metadata,
            description: traits.is_multiple_of(5).then(|| DESCRIPTION.to_owned()),
            is_published: true,
            version: 1,
            updated_ms: self.created_ms,
        }
    }
}

/// The pseudo-random bits that determine a file's properties.
fn traits_of(id: &str) -> u64 {
    xxh3_64(id.as_bytes())
}

/// Picks a choice by 16 bits of `traits`, starting at bit `shift`.
fn pick<'a>(choices: &[&'a str], traits: u64, shift: u32) -> &'a str {
    let choice = usize::try_from((traits >> shift) & 0xFFFF).expect("16 bits fit");
    choices[choice % choices.len()]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_decode_to_their_index() {
        let ids: HashSet<String> = (0..50_000).map(|index| synthetic_id(7, index)).collect();
        assert_eq!(ids.len(), 50_000);
        for index in [0, 1, 2, 999_999, u64::MAX] {
            assert_eq!(index_of(7, &synthetic_id(7, index)), Some(index));
        }
    }

    #[test]
    fn ids_of_another_seed_or_form_are_rejected() {
        assert_eq!(index_of(8, &synthetic_id(7, 3)), None);
        assert_eq!(index_of(7, &synthetic_id(7, 3).to_uppercase()), None);
        assert_eq!(index_of(7, "598821f949c0a938d57563bd"), None);
        assert_eq!(index_of(7, "äöü"), None);
    }

    #[test]
    fn generated_files_are_deterministic() {
        let file = |index| SyntheticFile::of_index(7, index).file();
        assert_eq!(file(42), file(42));
        assert_ne!(file(42), file(43));
        assert_eq!(file(42).base.folder, folder(7, 42));
        assert!(file(42).base.created_ms < file(43).base.created_ms);
    }
}
