//! The AI tags that simulated tagging finds.

use crate::extensions::outcome::hash_of;

const OBJECTS: [&str; 8] =
    ["Shoe", "Footwear", "Shirt", "Sleeve", "Bag", "Leather", "Person", "Outdoors"];
/// Number of tags that are found if none are configured.
const FOUND: u8 = 3;

/// Tags that a tagging extension finds, instead of those of [`found_tags`].
#[derive(Debug, Clone, PartialEq)]
pub struct FoundTags {
    /// Id of the file; `None` for all files.
    pub file_id: Option<String>,
    /// The extension: `google-auto-tagging` or `aws-auto-tagging`.
    pub source: String,
    /// Name and confidence (0 to 100) of each tag, highest confidence first.
    pub tags: Vec<(String, f64)>,
}

/// The tags that a tagging extension finds in a file if nothing else is configured: three of
/// decreasing confidence, which depend on both. A request's `minConfidence` and `maxTags` limit which
/// of them are written.
#[must_use]
pub fn found_tags(file_id: &str, source: &str) -> Vec<(String, f64)> {
    let first = object(hash_of(file_id, source), 8);
    let tag = |place: u8| {
        let name = OBJECTS[(first + usize::from(place)) % OBJECTS.len()];
        (name.to_owned(), 99.5 - 7.25 * f64::from(place))
    };
    (0..FOUND).map(tag).collect()
}

/// The object that auto-description finds in a file, in lower case.
pub(crate) fn main_object(file_id: &str) -> String {
    OBJECTS[object(hash_of(file_id, "description"), 0)].to_lowercase()
}

/// Index of an object, by 3 bits of a hash.
fn object(hash: u64, shift: u32) -> usize {
    usize::try_from((hash >> shift) & 7).expect("3 bits fit")
}

/// The tags that a tagging extension finds in a file, by the first entry that concerns it.
pub(crate) fn tags_of(configured: &[FoundTags], file_id: &str, source: &str) -> Vec<(String, f64)> {
    let concerns = |found: &&FoundTags| {
        found.source == source && found.file_id.as_deref().is_none_or(|id| id == file_id)
    };
    let found = configured.iter().find(concerns);
    found.map_or_else(|| found_tags(file_id, source), |found| found.tags.clone())
}
