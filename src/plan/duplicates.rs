//! Files that are in several rows which ask for different values.

use foldhash::{HashMap, HashSet};
use xxhash_rust::xxh3::xxh3_64;

use crate::row::{Change, Duplicates, FileId, Update};

/// Maximum files that are remembered where their rows are not read together.
const FILES_MAX: usize = 200_000;

/// A file in several rows that ask for different values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disagreement {
    /// The file.
    pub file: FileId,
    /// Its rows.
    pub rows: u64,
    /// The row that wins: the last that sets one of the fields.
    pub winner: u64,
    /// The rule for its rows.
    pub rule: Duplicates,
}

/// The values that the rows of one file ask for.
#[derive(Debug, Default)]
pub(super) struct FileValues {
    rows: u64,
    winner: u64,
    has_disagreement: bool,
    /// Hashes of the last value, by the hash of its field; a row can have any number of fields.
    values: HashMap<u64, u64>,
}

impl FileValues {
    /// Adds the next row of the file.
    pub(super) fn add(&mut self, row: u64, change: &Change) {
        self.rows += 1;
        for (field, value) in change.values() {
            if self.values.insert(field.hash(), value).is_some_and(|last| last != value) {
                self.has_disagreement = true;
                self.winner = row;
            }
        }
    }

    /// The disagreement of the rows so far.
    pub(super) fn disagreement(&self, file: &FileId, rule: Duplicates) -> Option<Disagreement> {
        let Self { rows, winner, .. } = *self;
        self.has_disagreement.then(|| Disagreement { file: file.clone(), rows, winner, rule })
    }
}

/// Finds the files that are in several rows. Memory is bounded: files after the first 200,000 are not
/// remembered.
#[derive(Debug, Default)]
pub(super) struct FilesOfSheet {
    /// Hashes of all files, and of those that are in several rows. Equal hashes of different files
    /// only cost the comparison of their values.
    all: HashSet<u64>,
    repeated: HashSet<u64>,
}

impl FilesOfSheet {
    pub(super) fn add(&mut self, file: &FileId) {
        let hash = hash_of(file);
        let is_new = if self.all.len() < FILES_MAX {
            self.all.insert(hash)
        } else {
            !self.all.contains(&hash)
        };
        if !is_new {
            self.repeated.insert(hash);
        }
    }

    /// Whether a file is in several rows.
    pub(super) fn has_repeated(&self) -> bool {
        !self.repeated.is_empty()
    }

    /// Whether files were added, and certainly each of them once.
    pub(super) fn are_all_single(&self) -> bool {
        !self.has_repeated() && (1..FILES_MAX).contains(&self.all.len())
    }

    fn is_repeated(&self, file: &FileId) -> bool {
        self.repeated.contains(&hash_of(file))
    }
}

fn hash_of(file: &FileId) -> u64 {
    xxh3_64(file.as_str().as_bytes())
}

/// The values that the rows of repeated files ask for, where the rows of a file are apart.
pub(super) struct SheetValues {
    files: FilesOfSheet,
    values: HashMap<FileId, FileValues>,
}

impl SheetValues {
    pub(super) fn of(files: FilesOfSheet) -> Self {
        Self { files, values: HashMap::default() }
    }

    pub(super) fn add(&mut self, row: u64, Update { file, change }: Update) {
        if self.files.is_repeated(&file) {
            self.values.entry(file).or_default().add(row, &change);
        }
    }

    /// The disagreements in the order of the rows that win.
    pub(super) fn disagreements(&self, rule: Duplicates) -> Vec<Disagreement> {
        let all = self.values.iter();
        let all = all.filter_map(|(file, values)| values.disagreement(file, rule));
        let mut all: Vec<Disagreement> = all.collect();
        all.sort_unstable_by_key(|found| found.winner);
        all
    }
}
