//! Spot check: chooses the listed files to re-read individually, to detect a stale listing.

use std::collections::BinaryHeap;

use xxhash_rust::xxh3::xxh3_64;

use crate::row::FileId;

/// Minimum sample size, in files.
const FILES_MIN: usize = 50;
/// Maximum sample size: finds a listing of which 2.5 % is stale with 95 % probability.
const FILES_MAX: usize = 120;

/// Deterministic sample of 1 % of the files.
#[derive(Debug, Default)]
pub(crate) struct SpotCheck {
    seen: usize,
    /// The files with the smallest hashes.
    files: BinaryHeap<(u64, FileId)>,
}

impl SpotCheck {
    /// Adds a file to choose from.
    pub(crate) fn add(&mut self, file: &FileId) {
        self.seen += 1;
        self.files.push((xxh3_64(file.as_str().as_bytes()), file.clone()));
        if self.files.len() > FILES_MAX {
            self.files.pop();
        }
    }

    /// The sampled files.
    #[must_use]
    pub(crate) fn files(&self) -> Vec<FileId> {
        let mut files: Vec<_> = self.files.iter().collect();
        files.sort_unstable();
        files.truncate((self.seen / 100).clamp(FILES_MIN, FILES_MAX));
        files.into_iter().map(|(_, file)| file.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_is_one_percent_within_bounds_in_any_order() {
        let files = |count| (0..count).map(|n| FileId::new(&format!("file{n}")).expect("an id"));
        let sample = |files: &mut dyn Iterator<Item = FileId>| {
            let mut sample = SpotCheck::default();
            files.for_each(|file| sample.add(&file));
            sample.files()
        };
        let sizes = [20, 4_000, 8_000, 40_000].map(|count| sample(&mut files(count)).len());
        assert_eq!(sizes, [20, 50, 80, 120]);
        assert_eq!(sample(&mut files(9_000)), sample(&mut files(9_000).rev()));
    }
}
