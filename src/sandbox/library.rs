//! The media library: which files there are, and what has been changed about them.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::file::{Base, Details, File, FileObject};
use super::given;
use super::lag::Lag;
use super::synthetic::{self, Seedling};

/// The files a sandbox starts with. Three kinds live side by side: synthetic ones (a seed and a
/// count), ones made of an id alone, and ones that were given.
#[derive(Debug, Clone, Default)]
pub struct Library {
    synthetic: Option<Synthetic>,
    inserted: Vec<Inserted>,
    by_id: HashMap<Box<str>, usize>,
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
        let file = Box::new(given::file(&id, object));
        self.put(&id, Some(file));
    }

    fn put(&mut self, id: &str, file: Option<Box<File>>) {
        if let Some(&place) = self.by_id.get(id) {
            self.inserted[place].file = file;
            return;
        }
        self.by_id.insert(id.into(), self.inserted.len());
        self.inserted.push(Inserted { id: id.into(), file });
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
    fn base(&self, key: Key) -> Base {
        match self.given(key) {
            Ok(file) => file.base.clone(),
            Err(seedling) => seedling.base(),
        }
    }

    /// A file's details before anybody changed them.
    fn details(&self, key: Key) -> Details {
        match self.given(key) {
            Ok(file) => file.details.clone(),
            Err(seedling) => seedling.details(),
        }
    }

    /// The file, if it was given, or else what it is made up from.
    fn given(&self, key: Key) -> Result<&File, Seedling> {
        let place = match key {
            Key::Synthetic(index) => return Err(Seedling::of_index(self.seed(), index)),
            Key::Inserted(place) => place,
        };
        let Inserted { id, file } = &self.inserted[place];
        file.as_deref().ok_or_else(|| Seedling::of_id(id))
    }

    fn seed(&self) -> u64 {
        self.synthetic.map_or(0, |synthetic| synthetic.seed)
    }

    fn count(&self) -> u64 {
        self.synthetic.map_or(0, |synthetic| synthetic.count)
    }
}

/// A library and the changes made to it.
#[derive(Debug)]
pub(crate) struct Stock {
    library: Library,
    changed: HashMap<Key, Box<Details>>,
    /// The inserted files in the order of their upload.
    by_upload: Vec<usize>,
    /// The place of each inserted file in that order.
    upload_rank: Vec<u64>,
    /// The synthetic files in whose place one was inserted.
    replaced: HashSet<u64>,
    lag: Lag,
}

/// The files as search shows them.
pub(crate) struct Index<'a> {
    stock: &'a Stock,
    behind: HashMap<Key, &'a Details>,
}

impl Stock {
    pub(crate) fn new(library: Library, lag: Lag) -> Self {
        let created = |place: &usize| library.base(Key::Inserted(*place)).created_ms;
        let mut by_upload: Vec<usize> = (0..library.inserted.len()).collect();
        by_upload.sort_by_cached_key(|place| (created(place), library.inserted[*place].id.clone()));
        let mut upload_rank = vec![0; by_upload.len()];
        for (rank, &place) in (0..).zip(&by_upload) {
            upload_rank[place] = rank;
        }
        let index = |file: &Inserted| synthetic::index_of(library.seed(), &file.id);
        let replaced = library.inserted.iter().filter_map(index).collect();
        Self { library, changed: HashMap::new(), by_upload, upload_rank, replaced, lag }
    }

    /// Takes all changes back.
    pub(crate) fn reset(&mut self) {
        self.changed = HashMap::new();
        self.lag.reset();
    }

    pub(crate) fn find(&self, id: &str) -> Option<Key> {
        self.library.find(id)
    }

    /// What never changes about the file.
    pub(crate) fn base(&self, key: Key) -> Base {
        self.library.base(key)
    }

    /// The file as it is now.
    pub(crate) fn file(&self, key: Key) -> File {
        let changed = self.changed.get(&key).map(|details| (**details).clone());
        File {
            base: self.library.base(key),
            details: changed.unwrap_or_else(|| self.library.details(key)),
        }
    }

    /// What of the file can be changed, and what cannot. It counts as changed from here on.
    pub(crate) fn edit(&mut self, key: Key) -> (Base, &mut Details) {
        let base = self.library.base(key);
        let unchanged = || Box::new(self.library.details(key));
        let details = self.changed.entry(key).or_insert_with(unchanged);
        self.lag.note(key, details);
        (base, details)
    }

    /// The files as search shows them now.
    pub(crate) fn index(&self) -> Index<'_> {
        Index { stock: self, behind: self.lag.view() }
    }

    /// All files in the order of their upload, the synthetic ones first. In a library that mixes
    /// both kinds this order is the one of two libraries, one after the other.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        let inserted = self.by_upload.iter().map(|&place| Key::Inserted(place));
        let synthetic = (0..self.library.count()).filter(|index| !self.replaced.contains(index));
        synthetic.map(Key::Synthetic).chain(inserted)
    }

    /// Sorts like [`Self::keys`].
    pub(crate) fn upload_order(&self, key: Key) -> (bool, u64) {
        match key {
            Key::Synthetic(index) => (false, index),
            Key::Inserted(place) => (true, self.upload_rank[place]),
        }
    }

    /// The part of [`Self::keys`] in one folder, found without making up the files of others.
    pub(crate) fn keys_in(&self, folder: String) -> impl Iterator<Item = Key> {
        self.keys().filter(move |key| match *key {
            Key::Synthetic(index) => synthetic::folder(self.library.seed(), index) == folder,
            key @ Key::Inserted(_) => self.library.base(key).folder == folder,
        })
    }

    /// The file object as it is now.
    pub(crate) fn object(&self, key: Key) -> Value {
        let File { base, details } = self.file(key);
        FileObject { base: &base, details: &details, extension_status: &[] }.to_value()
    }

    /// The inserted files and the changed ones, sorted by id.
    pub(crate) fn objects(&self) -> Vec<Value> {
        let inserted = (0..self.library.inserted.len()).map(Key::Inserted);
        let synthetic = |key: &Key| matches!(key, Key::Synthetic(_));
        let changed = self.changed.keys().copied().filter(synthetic);
        let mut objects: Vec<Value> = inserted.chain(changed).map(|key| self.object(key)).collect();
        objects.sort_by(|a, b| a["fileId"].as_str().cmp(&b["fileId"].as_str()));
        objects
    }
}

impl Index<'_> {
    /// What never changes about the file.
    pub(crate) fn base(&self, key: Key) -> Base {
        self.stock.base(key)
    }

    /// The file as search shows it.
    pub(crate) fn file(&self, key: Key) -> File {
        match self.behind.get(&key) {
            Some(&details) => File { base: self.stock.base(key), details: details.clone() },
            None => self.stock.file(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::sandbox::clock::Clock;
    use crate::sandbox::synthetic_id;

    fn stock(library: Library) -> Stock {
        Stock::new(library, Lag::new(Duration::ZERO, Clock::started_now()))
    }

    #[test]
    fn ids_that_start_with_missing_have_no_file() {
        let library = Library::from_ids(["a", "missing1", "b", "a"].map(String::from));
        assert!(library.find("a").is_some());
        assert!(library.find("missing1").is_none());
        assert_eq!(stock(library).objects().len(), 2);
    }

    #[test]
    fn a_synthetic_library_ends_where_its_count_ends() {
        let library = Library::synthetic(10, 3);
        assert_eq!(library.find(&synthetic_id(3, 9)), Some(Key::Synthetic(9)));
        assert_eq!(library.find(&synthetic_id(3, 10)), None);
        assert_eq!(library.find(&synthetic_id(4, 9)), None);
    }

    #[test]
    fn a_given_file_goes_over_a_synthetic_one() {
        let mut library = Library::synthetic(10, 3);
        let id = synthetic_id(3, 1);
        library.insert(json!({"fileId": id, "name": "mine.jpg"}));
        let stock = stock(library);
        assert_eq!(stock.object(stock.find(&id).unwrap())["name"], "mine.jpg");
        assert_eq!(stock.keys().count(), 10);
    }

    #[test]
    fn only_changes_are_kept_and_a_reset_takes_them_back() {
        let mut stock = stock(Library::synthetic(1_000_000, 3));
        let key = Key::Synthetic(999_999);
        let before = stock.object(key);
        stock.edit(key).1.description = Some("new".to_owned());
        assert_eq!(stock.objects(), vec![stock.object(key)]);
        assert_eq!(stock.object(key)["description"], "new");
        stock.reset();
        assert_eq!(stock.object(key), before);
        assert!(stock.objects().is_empty());
    }
}
