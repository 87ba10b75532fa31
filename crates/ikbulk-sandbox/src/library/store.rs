//! The current state of all files: the library and the changes to it.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::sync::Arc;

use serde_json::Value;

use crate::library::file::{Base, Details, File, FileObject};
use crate::library::initial::{Key, Library};
use crate::library::lag::Lag;
use crate::library::policy::Policy;
use crate::library::synthetic;

/// A library and the changes to it.
#[derive(Debug)]
pub(crate) struct Store {
    library: Library,
    changed: HashMap<Key, Box<Details>>,
    /// Indexes of the inserted files in the order of upload.
    by_upload: Vec<usize>,
    /// Upload of each inserted file, by its index.
    uploads: Vec<Upload>,
    /// Indexes of the synthetic files replaced by inserted ones.
    replaced: HashSet<u64>,
    /// Of the deepest folders first.
    policies: Vec<Arc<Policy>>,
    lag: Lag,
}

/// Sort key of the order of upload, which is the order of [`Store::keys`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Upload {
    created_ms: i64,
    inserted: bool,
    rank: u64,
}

/// The search index: files as list and search return them, which may be stale.
pub(crate) struct Index<'a> {
    store: &'a Store,
    stale: HashMap<Key, &'a Details>,
}

impl Store {
    pub(crate) fn new(library: Library, mut policies: Vec<Policy>, lag: Lag) -> Self {
        policies.sort_by_key(|policy| Reverse(policy.depth()));
        let policies = policies.into_iter().map(Arc::new).collect();
        let created = |place: usize| library.base(Key::Inserted(place)).created_ms;
        let mut by_upload: Vec<usize> = library.inserted_places().collect();
        by_upload
            .sort_by_cached_key(|&place| (created(place), library.inserted_id(place).to_owned()));
        let mut uploads: Vec<Upload> = library
            .inserted_places()
            .map(|place| Upload { created_ms: created(place), inserted: true, rank: 0 })
            .collect();
        for (rank, &place) in (0..).zip(&by_upload) {
            uploads[place].rank = rank;
        }
        let replaced = library.replaced().collect();
        Self { library, changed: HashMap::new(), by_upload, uploads, replaced, policies, lag }
    }

    /// Discards all changes.
    pub(crate) fn reset(&mut self) {
        self.changed = HashMap::new();
        self.lag.reset();
    }

    pub(crate) fn find(&self, id: &str) -> Option<Key> {
        self.library.find(id)
    }

    pub(crate) fn folders(&self) -> impl Iterator<Item = &str> {
        self.library.folders()
    }

    /// The immutable properties of a file.
    pub(crate) fn base(&self, key: Key) -> Base {
        let mut base = self.library.base(key);
        if base.policy.is_none() {
            base.policy = self.policy(&base.folder).map(Arc::clone);
        }
        base
    }

    /// The path policy of a folder, which has a leading and a trailing slash.
    pub(crate) fn policy(&self, folder: &str) -> Option<&Arc<Policy>> {
        self.policies.iter().find(|policy| policy.applies_to(folder))
    }

    /// The current state of a file.
    pub(crate) fn file(&self, key: Key) -> File {
        let changed = self.changed.get(&key).map(|details| (**details).clone());
        File { base: self.base(key), details: changed.unwrap_or_else(|| self.library.details(key)) }
    }

    /// A file's immutable properties, and its details for editing. The file counts as changed
    /// afterwards.
    pub(crate) fn edit(&mut self, key: Key) -> (Base, &mut Details) {
        let base = self.base(key);
        let unchanged = || Box::new(self.library.details(key));
        let details = self.changed.entry(key).or_insert_with(unchanged);
        self.lag.record(key, details);
        (base, details)
    }

    /// The current search index.
    pub(crate) fn index(&self) -> Index<'_> {
        Index { store: self, stale: self.lag.stale() }
    }

    /// All files in the order of upload.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        let mut inserted = self.by_upload.iter().map(|&place| Key::Inserted(place)).peekable();
        let synthetic = (0..self.library.count()).filter(|index| !self.replaced.contains(index));
        let mut synthetic = synthetic.map(Key::Synthetic).peekable();
        std::iter::from_fn(move || match (inserted.peek(), synthetic.peek()) {
            (Some(&one), Some(&other)) if self.upload(one) < self.upload(other) => inserted.next(),
            (Some(_), None) => inserted.next(),
            _ => synthetic.next(),
        })
    }

    /// The position of a file in the order of upload.
    pub(crate) fn upload(&self, key: Key) -> Upload {
        match key {
            Key::Synthetic(index) => {
                let created_ms = synthetic::created_ms(index);
                Upload { created_ms, inserted: false, rank: index }
            }
            Key::Inserted(place) => self.uploads[place],
        }
    }

    /// The files in a folder, in the order of upload. Does not generate files of other folders.
    pub(crate) fn keys_in(&self, folder: String) -> impl Iterator<Item = Key> {
        self.keys().filter(move |key| match *key {
            Key::Synthetic(index) => synthetic::folder(self.library.seed(), index) == folder,
            key @ Key::Inserted(_) => self.library.base(key).folder == folder,
        })
    }

    /// The current file object.
    pub(crate) fn object(&self, key: Key) -> Value {
        let File { base, details } = self.file(key);
        FileObject { base: &base, details: &details, extension_status: &[] }.to_value()
    }

    /// The file objects of all inserted or changed files, sorted by id.
    pub(crate) fn objects(&self) -> impl Iterator<Item = Value> {
        self.inserted_or_changed().into_iter().map(|key| self.object(key))
    }

    /// Writes [`Self::objects`] as JSONL.
    ///
    /// # Errors
    /// The writer failed.
    pub(crate) fn write_lines(&self, out: &mut impl Write) -> io::Result<()> {
        self.write(self.inserted_or_changed().into_iter(), out)
    }

    /// Writes the file objects of all files as JSONL, in the order of upload.
    ///
    /// # Errors
    /// The writer failed.
    pub(crate) fn write_all_lines(&self, out: &mut impl Write) -> io::Result<()> {
        self.write(self.keys(), out)
    }

    fn write(&self, keys: impl Iterator<Item = Key>, out: &mut impl Write) -> io::Result<()> {
        for key in keys {
            let File { base, details } = self.file(key);
            let object = FileObject { base: &base, details: &details, extension_status: &[] };
            serde_json::to_writer(&mut *out, &object)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn inserted_or_changed(&self) -> Vec<Key> {
        let inserted = self.library.inserted_places().map(Key::Inserted);
        let is_synthetic = |key: &Key| matches!(key, Key::Synthetic(_));
        let changed = self.changed.keys().copied().filter(is_synthetic);
        let mut keys: Vec<Key> = inserted.chain(changed).collect();
        keys.sort_by_cached_key(|&key| self.base(key).id);
        keys
    }
}

impl Index<'_> {
    /// The immutable properties of a file.
    pub(crate) fn base(&self, key: Key) -> Base {
        self.store.base(key)
    }

    /// The indexed state of a file.
    pub(crate) fn file(&self, key: Key) -> File {
        match self.stale.get(&key) {
            Some(&details) => File { base: self.store.base(key), details: details.clone() },
            None => self.store.file(key),
        }
    }

    /// The indexed `updatedAt` of a file. Does not generate the rest of the file.
    pub(crate) fn updated_ms(&self, key: Key) -> i64 {
        let changed = || self.store.changed.get(&key).map(|details| &**details);
        let details = self.stale.get(&key).copied().or_else(changed);
        details.map_or_else(|| self.store.library.updated_ms(key), |details| details.updated_ms)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::clock::Clock;
    use crate::library::synthetic::synthetic_id;

    fn store(library: Library) -> Store {
        Store::new(library, Vec::new(), Lag::new(Duration::ZERO, Clock::started_now()))
    }

    #[test]
    fn ids_starting_with_missing_have_no_file() {
        let library = Library::from_ids(["a", "missing1", "b", "a"].map(String::from));
        assert!(library.find("a").is_some());
        assert!(library.find("missing1").is_none());
        assert_eq!(store(library).objects().count(), 2);
    }

    #[test]
    fn inserted_file_replaces_synthetic_one() {
        let mut library = Library::synthetic(10, 3);
        let id = synthetic_id(3, 1);
        library.insert(json!({"fileId": id, "name": "mine.jpg"}));
        let store = store(library);
        assert_eq!(store.object(store.find(&id).unwrap())["name"], "mine.jpg");
        assert_eq!(store.keys().count(), 10);
    }

    #[test]
    fn reset_discards_changes() {
        let mut store = store(Library::synthetic(1_000_000, 3));
        let key = Key::Synthetic(999_999);
        let before = store.object(key);
        store.edit(key).1.description = Some("new".to_owned());
        assert_eq!(store.objects().collect::<Vec<_>>(), [store.object(key)]);
        assert_eq!(store.object(key)["description"], "new");
        store.reset();
        assert_eq!(store.object(key), before);
        assert_eq!(store.objects().count(), 0);
    }

    #[test]
    fn inserted_and_synthetic_files_share_upload_order() {
        let mut library = Library::synthetic(4, 3);
        let ids: Vec<String> = (0..4).map(|index| synthetic_id(3, index)).collect();
        let created = store(library.clone()).object(Key::Synthetic(2))["createdAt"].clone();
        // One replaces a synthetic file, one precedes and one follows all of them.
        library.insert(json!({"fileId": ids[2], "createdAt": created}));
        library.insert(json!({"fileId": "last", "createdAt": "2030-01-01T00:00:00.000Z"}));
        library.insert(json!({"fileId": "first", "createdAt": "2010-01-01T00:00:00.000Z"}));
        let store = store(library);
        let listed: Vec<String> = store.keys().map(|key| store.base(key).id).collect();
        assert_eq!(listed, ["first", &ids[0], &ids[1], &ids[2], &ids[3], "last"]);
        assert!(store.keys().is_sorted_by_key(|key| store.upload(key)));
    }
}
