//! Which files are in several rows, where the ledger does not tell.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::input::{Context, Input, InputError};

/// Bits per row, of which each file sets [`BITS_PER_FILE`]: with these, one of ten million other files
/// is taken for a repeated one.
const BITS_PER_ROW: u64 = 64;
const BITS_PER_FILE: u64 = 8;
/// Maximum bits of each set: 8 MiB.
const BITS_MAX: u64 = 1 << 26;

/// The files that are in several rows, as a Bloom filter: memory is bounded, and in sheets with many
/// millions of rows it can contain other files as well.
pub(super) struct RepeatedFiles {
    /// A power of two.
    bits: Vec<u64>,
    is_empty: bool,
}

impl RepeatedFiles {
    /// Reads a sheet with this number of rows.
    pub(super) fn find(input: &Input, context: &Context, rows: u64) -> Result<Self, InputError> {
        let mut all = Self::with_room_for(rows);
        let mut repeated = Self::with_room_for(rows);
        let mut records = input.records(context)?;
        while records.advance()?.is_some() {
            let file = records.file_id();
            if !file.is_empty() && !all.insert(&file) {
                repeated.insert(&file);
            }
        }
        Ok(repeated)
    }

    fn with_room_for(rows: u64) -> Self {
        let bits = rows.saturating_mul(BITS_PER_ROW).clamp(1, BITS_MAX).next_power_of_two();
        let words = usize::try_from(bits.div_ceil(u64::BITS.into())).unwrap_or(1);
        Self { bits: vec![0; words], is_empty: true }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.is_empty
    }

    pub(super) fn contains(&self, file: &str) -> bool {
        self.places(file).all(|(word, bit)| self.bits.get(word).is_some_and(|it| it & bit != 0))
    }

    /// Returns whether the file is new.
    fn insert(&mut self, file: &str) -> bool {
        let mut is_new = false;
        for (word, bit) in self.places(file) {
            if let Some(word) = self.bits.get_mut(word) {
                is_new |= *word & bit == 0;
                *word |= bit;
            }
        }
        self.is_empty = false;
        is_new
    }

    /// The bits of a file, each as the index of its word and the bit in it.
    fn places(&self, file: &str) -> impl Iterator<Item = (usize, u64)> + use<> {
        let first = xxh3_64(file.as_bytes());
        let step = xxh3_64_with_seed(file.as_bytes(), first);
        let last = self.bits.len().saturating_sub(1) as u64;
        (0..BITS_PER_FILE).map(move |index| {
            let place = first.wrapping_add(index.wrapping_mul(step));
            (usize::try_from((place >> 6) & last).unwrap_or(0), 1 << (place & 63))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_files_are_found_and_no_others() {
        let rows = 20_000;
        let (mut all, mut repeated) =
            (RepeatedFiles::with_room_for(rows), RepeatedFiles::with_room_for(rows));
        let files: Vec<String> = (0..rows / 2).map(|number| format!("{number:024x}")).collect();
        let again = files.iter().step_by(10);
        for file in files.iter().chain(again.clone()) {
            if !all.insert(file) {
                repeated.insert(file);
            }
        }
        assert!(again.clone().all(|file| repeated.contains(file)));
        let found = files.iter().filter(|file| repeated.contains(file)).count();
        assert_eq!(found, 1000);
    }

    #[test]
    fn memory_is_bounded() {
        assert_eq!(RepeatedFiles::with_room_for(u64::MAX).bits.len(), 1 << 20);
        assert_eq!(RepeatedFiles::with_room_for(0).bits.len(), 1);
        assert!(RepeatedFiles::with_room_for(9).is_empty());
    }
}
