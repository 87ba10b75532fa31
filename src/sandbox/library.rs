//! The media library: which files there are before anybody changes them.

use std::collections::HashMap;

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use super::file::{Base, Details, File};
use super::overlay;
use super::synthetic::{self, SyntheticFile};

/// The files a sandbox starts with. Three kinds live side by side: synthetic ones (a seed and a
/// count), ones made of an id alone, and ones that were given.
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
    /// `None`: made up from the id.
    file: Option<Box<File>>,
}

/// Which file: the place where it stands, so that no id has to be kept twice.
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

    /// `count` made-up files, whose ids are [`synthetic_id(seed, 0..count)`](super::synthetic_id).
    /// They take no memory until they are changed.
    #[must_use]
    pub fn synthetic(count: u64, seed: u64) -> Self {
        Self { synthetic: Some(Synthetic { count, seed }), ..Self::default() }
    }

    /// One made-up file for each id, except for those that start with `missing`: so a
    /// demonstration has files that do not exist.
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

    /// Adds a file, or replaces the one with its `fileId`. `file` is a file object; what it leaves
    /// out is made up, and without a `fileId` nothing is added.
    pub fn insert(&mut self, file: Value) {
        let Value::Object(object) = file else { return };
        let Some(id) = object.get("fileId").and_then(Value::as_str).map(str::to_owned) else {
            return;
        };
        let file = Box::new(overlay::file(&id, object));
        self.put(&id, Some(file));
    }

    /// Adds a made-up file at this path, except for one whose name starts with `missing`. Its URL is
    /// this one, if that ends with the path.
    pub fn add_at(&mut self, path: &str, url: Option<&str>) {
        if path.rsplit('/').next().is_some_and(|name| name.starts_with("missing")) {
            return;
        }
        let id = format!("{:024x}", xxh3_128(path.as_bytes()) >> 32);
        self.insert(json!({"fileId": id, "filePath": path, "url": url}));
    }

    /// Adds a folder, like `/products/shoes`, for lists and searches that show folders.
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

    /// Whether a file with this id has been added, other than a synthetic one.
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

    /// What never changes about a file.
    pub(crate) fn base(&self, key: Key) -> Base {
        match self.given(key) {
            Ok(file) => file.base.clone(),
            Err(seedling) => seedling.base(),
        }
    }

    /// A file's details before anybody changed them.
    pub(crate) fn details(&self, key: Key) -> Details {
        match self.given(key) {
            Ok(file) => file.details.clone(),
            Err(seedling) => seedling.details(),
        }
    }

    /// When the file was changed last before anybody changed it here.
    pub(crate) fn updated_ms(&self, key: Key) -> i64 {
        match key {
            Key::Synthetic(index) => synthetic::created_ms(index),
            Key::Inserted(_) => self.details(key).updated_ms,
        }
    }

    /// The file, if it was given, or else what it is made up from.
    fn given(&self, key: Key) -> Result<&File, SyntheticFile> {
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

    /// How many synthetic files there are.
    pub(crate) fn count(&self) -> u64 {
        self.synthetic.map_or(0, |synthetic| synthetic.count)
    }

    /// The places of all files that are not synthetic.
    pub(crate) fn inserted_places(&self) -> std::ops::Range<usize> {
        0..self.inserted.len()
    }

    pub(crate) fn inserted_id(&self, place: usize) -> &str {
        &self.inserted[place].id
    }

    /// The synthetic files in whose place one was inserted.
    pub(crate) fn replaced(&self) -> impl Iterator<Item = u64> {
        self.inserted.iter().filter_map(|file| synthetic::index_of(self.seed(), &file.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::synthetic_id;

    #[test]
    fn a_synthetic_library_ends_where_its_count_ends() {
        let library = Library::synthetic(10, 3);
        assert_eq!(library.find(&synthetic_id(3, 9)), Some(Key::Synthetic(9)));
        assert_eq!(library.find(&synthetic_id(3, 10)), None);
        assert_eq!(library.find(&synthetic_id(4, 9)), None);
    }
}
