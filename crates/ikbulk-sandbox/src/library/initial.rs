//! The media library: the files of a sandbox in their initial state.

use std::collections::HashMap;

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use crate::library::file::{Base, Details, File};
use crate::library::overlay;
use crate::library::synthetic::{self, SyntheticFile};

/// The initial files of a sandbox: synthetic files (from a seed and a count), files generated from an
/// id, and inserted file objects.
#[derive(Debug, Clone, Default)]
pub struct Library {
    synthetic: Option<Synthetic>,
    inserted: Vec<Inserted>,
    by_id: HashMap<Box<str>, usize>,
    folders: Vec<Box<str>>,
}

#[derive(Debug, Clone, Copy)]
struct Synthetic {
    count: u64,
    seed: u64,
}

#[derive(Debug, Clone)]
struct Inserted {
    id: Box<str>,
    /// `None` for a file generated from its id.
    file: Option<Box<File>>,
}

/// Index of a file, which saves storing its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Synthetic(u64),
    Inserted(usize),
}

impl Library {
    /// A library without files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `count` generated files with the ids [`synthetic_id(seed, 0..count)`](crate::synthetic_id).
    /// They take no memory until they are changed.
    #[must_use]
    pub fn synthetic(count: u64, seed: u64) -> Self {
        Self { synthetic: Some(Synthetic { count, seed }), ..Self::default() }
    }

    /// One generated file per id. Ids that start with `missing` have no file, for demonstrations of
    /// missing files.
    #[must_use]
    pub fn from_ids<I: IntoIterator<Item = String>>(ids: I) -> Self {
        let mut library = Self::default();
        for id in ids {
            if !id.starts_with("missing") {
                library.put(&id, None);
            }
        }
        library
    }

    /// Adds a file object, or replaces the file with its `fileId`. Omitted members are generated. Does
    /// nothing without a `fileId`.
    pub fn insert(&mut self, file: Value) {
        let Value::Object(object) = file else { return };
        let Some(id) = object.get("fileId").and_then(Value::as_str).map(str::to_owned) else {
            return;
        };
        let file = Box::new(overlay::file(&id, object));
        self.put(&id, Some(file));
    }

    /// Adds a generated file with this path and URL; the URL is ignored unless it ends with the path.
    /// Does nothing if the file name starts with `missing`.
    pub fn add_at(&mut self, path: &str, url: Option<&str>) {
        if path.rsplit('/').next().is_some_and(|name| name.starts_with("missing")) {
            return;
        }
        let id = format!("{:024x}", xxh3_128(path.as_bytes()) >> 32);
        self.insert(json!({"fileId": id, "filePath": path, "url": url}));
    }

    /// Adds a folder, such as `/products/shoes`, to be returned by list and search.
    pub fn add_folder(&mut self, path: &str) {
        self.folders.push(path.trim_end_matches('/').into());
    }

    pub(crate) fn folders(&self) -> impl Iterator<Item = &str> {
        self.folders.iter().map(AsRef::as_ref)
    }

    fn put(&mut self, id: &str, file: Option<Box<File>>) {
        if let Some(&place) = self.by_id.get(id) {
            self.inserted[place].file = file;
            return;
        }
        self.by_id.insert(id.into(), self.inserted.len());
        self.inserted.push(Inserted { id: id.into(), file });
    }

    /// Whether a file with this id was inserted. Synthetic files do not count.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    pub(crate) fn find(&self, id: &str) -> Option<Key> {
        if let Some(&place) = self.by_id.get(id) {
            return Some(Key::Inserted(place));
        }
        let Synthetic { count, seed } = self.synthetic?;
        let index = synthetic::index_of(seed, id)?;
        (index < count).then_some(Key::Synthetic(index))
    }

    /// The immutable properties of a file.
    pub(crate) fn base(&self, key: Key) -> Base {
        match self.inserted(key) {
            Ok(file) => file.base.clone(),
            Err(synthetic) => synthetic.base(),
        }
    }

    /// The initial details of a file.
    pub(crate) fn details(&self, key: Key) -> Details {
        match self.inserted(key) {
            Ok(file) => file.details.clone(),
            Err(synthetic) => synthetic.details(),
        }
    }

    /// The initial `updatedAt` of a file.
    pub(crate) fn updated_ms(&self, key: Key) -> i64 {
        match key {
            Key::Synthetic(index) => synthetic::created_ms(index),
            Key::Inserted(_) => self.details(key).updated_ms,
        }
    }

    /// The inserted file object, or else the generator of the file.
    fn inserted(&self, key: Key) -> Result<&File, SyntheticFile> {
        let place = match key {
            Key::Synthetic(index) => return Err(SyntheticFile::of_index(self.seed(), index)),
            Key::Inserted(place) => place,
        };
        let Inserted { id, file } = &self.inserted[place];
        file.as_deref().ok_or_else(|| SyntheticFile::of_id(id))
    }

    pub(crate) fn seed(&self) -> u64 {
        self.synthetic.map_or(0, |synthetic| synthetic.seed)
    }

    /// Number of synthetic files.
    pub(crate) fn count(&self) -> u64 {
        self.synthetic.map_or(0, |synthetic| synthetic.count)
    }

    /// Indexes of all files that are not synthetic.
    pub(crate) fn inserted_places(&self) -> std::ops::Range<usize> {
        0..self.inserted.len()
    }

    pub(crate) fn inserted_id(&self, place: usize) -> &str {
        &self.inserted[place].id
    }

    /// Indexes of the synthetic files that were replaced by inserted ones.
    pub(crate) fn replaced(&self) -> impl Iterator<Item = u64> {
        self.inserted.iter().filter_map(|file| synthetic::index_of(self.seed(), &file.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::synthetic::synthetic_id;

    #[test]
    fn synthetic_library_has_count_files() {
        let library = Library::synthetic(10, 3);
        assert_eq!(library.find(&synthetic_id(3, 9)), Some(Key::Synthetic(9)));
        assert_eq!(library.find(&synthetic_id(3, 10)), None);
        assert_eq!(library.find(&synthetic_id(4, 9)), None);
    }
}
