//! List and search: `GET /v1/files`.

use percent_encoding::percent_decode_str;
use serde::ser::{Serialize, SerializeSeq, Serializer};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_128;

use crate::api::response::ApiResponse;
use crate::calls::query::{self, Search};
use crate::calls::sorting::Sorting;
use crate::clock::Iso;
use crate::library::file::{File, FileObject};
use crate::library::initial::Key;
use crate::library::store::{Index, Store};
use crate::library::synthetic::FIRST_MS;
use crate::quirks::Quirks;

const LIMIT_MAX: usize = 1000;

/// Valid parameters of a list request.
#[derive(Debug)]
struct Listing {
    limit: usize,
    skip: usize,
    sorting: Sorting,
    file_type: Option<String>,
    search: Search,
}

/// Handles a list request.
pub(crate) fn list(store: &Store, query: &str, quirks: Quirks) -> ApiResponse {
    let index = store.index();
    match Listing::parse(query) {
        Ok(listing) if quirks.skip_max.is_some_and(|max| listing.skip > max) => {
            ApiResponse::bad_request(&invalid("skip"))
        }
        Ok(listing) => {
            let keys = listing.keys(store, &index);
            let folders = listing.folders(store, keys.len());
            ApiResponse::json(200, &Objects { index, keys, folders })
        }
        Err(message) => ApiResponse::bad_request(&message),
    }
}

impl Listing {
    fn parse(query: &str) -> Result<Self, String> {
        let mut listing = Self {
            limit: LIMIT_MAX,
            skip: 0,
            sorting: Sorting::default(),
            file_type: None,
            search: Search::default(),
        };
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let mut search_query = None;
        for (key, value) in pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
            let value = decoded(value);
            match decoded(key).as_str() {
                "searchQuery" => search_query = Some(value),
                key => listing.set_parameter(key, value)?,
            }
        }
        if let Some(text) = search_query {
            // With a query, `type` has no effect, but `path` does.
            let path = listing.search.path.take();
            listing.search = query::parse(&text)?;
            listing.search.kind.get_or_insert_with(|| "all".to_owned());
            listing.search.path = listing.search.path.or(path);
        }
        Ok(listing)
    }

    fn set_parameter(&mut self, key: &str, value: String) -> Result<(), String> {
        match (key, value.as_str()) {
            ("limit", text) => self.limit = integer(key, text, 1, LIMIT_MAX)?,
            ("skip", text) => self.skip = integer(key, text, 0, usize::MAX)?,
            ("sort", word) => {
                self.sorting = Sorting::parse(word).ok_or_else(|| invalid(key))?;
            }
            ("path", _) => self.search.path = Some(value),
            ("type", "file" | "file-version" | "folder" | "all") => self.search.kind = Some(value),
            ("fileType", "all") => self.file_type = None,
            ("fileType", "image" | "non-image") => self.file_type = Some(value),
            _ => return Err(format!("The sandbox does not support {key}={value}.")),
        }
        Ok(())
    }

    fn keys(&self, store: &Store, index: &Index<'_>) -> Vec<Key> {
        // The sandbox has no old versions of files.
        if matches!(self.search.kind.as_deref(), Some("folder" | "file-version")) {
            return Vec::new();
        }
        let found = self.matching(store);
        if self.sorting.is_natural() {
            return self.page(found);
        }
        let first = self.sorting.first(self.skip.saturating_add(self.limit), index, found);
        self.page(first.into_iter())
    }

    /// The folders of a page, after this number of files.
    fn folders<'s>(&self, store: &'s Store, files: usize) -> Vec<&'s str> {
        let Search { ids, names, path, kind } = &self.search;
        let has_folders = ids.is_none() && matches!(kind.as_deref(), Some("folder" | "all"));
        if !has_folders || files == self.limit {
            return Vec::new();
        }
        let found = store.folders().filter(|path_of_folder| {
            let (parent, name) = path_of_folder.rsplit_once('/').unwrap_or(("", path_of_folder));
            names.as_ref().is_none_or(|names| names.iter().any(|wanted| wanted == name))
                && path.as_ref().is_none_or(|path| folder(path) == folder(parent))
        });
        let skip = match kind.as_deref() {
            Some("all") if files == 0 => self.skip.saturating_sub(self.matching(store).count()),
            Some("all") => 0,
            _ => self.skip,
        };
        found.skip(skip).take(self.limit - files).collect()
    }

    fn page(&self, keys: impl Iterator<Item = Key>) -> Vec<Key> {
        keys.skip(self.skip).take(self.limit).collect()
    }

    /// The matching files, in the order of upload. Looks up ids and folders directly, to avoid
    /// generating a million files.
    fn matching<'a>(&'a self, store: &'a Store) -> Box<dyn Iterator<Item = Key> + 'a> {
        let matches = |key: &Key| self.matches(store, *key);
        match (&self.search.ids, &self.search.path) {
            (Some(ids), _) => {
                let mut found: Vec<Key> = ids.iter().filter_map(|id| store.find(id)).collect();
                found.sort_unstable_by_key(|key| store.upload(*key));
                found.dedup();
                Box::new(found.into_iter().filter(matches))
            }
            (None, Some(path)) => Box::new(store.keys_in(folder(path)).filter(matches)),
            (None, None) if self.search.names.is_none() && self.file_type.is_none() => {
                Box::new(store.keys())
            }
            (None, None) => Box::new(store.keys().filter(matches)),
        }
    }

    fn matches(&self, store: &Store, key: Key) -> bool {
        let base = store.base(key);
        let Search { names, path, .. } = &self.search;
        let has_name = names.as_ref().is_none_or(|names| names.contains(&base.name));
        let is_in_path = path.as_ref().is_none_or(|path| folder(path) == base.folder);
        has_name && is_in_path && self.file_type.as_ref().is_none_or(|kind| *kind == base.file_type)
    }
}

/// Normalizes the path of a folder to one leading and one trailing slash.
pub(crate) fn folder(path: &str) -> String {
    match path.trim_matches('/') {
        "" => "/".to_owned(),
        inner => format!("/{inner}/"),
    }
}

fn integer(key: &str, text: &str, min: usize, max: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| invalid(key))
}

fn invalid(parameter: &str) -> String {
    format!("Your request contains invalid value for {parameter} parameter.")
}

fn decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// The array of a response, serialized file by file. Folders follow the files.
struct Objects<'a> {
    index: Index<'a>,
    keys: Vec<Key>,
    folders: Vec<&'a str>,
}

impl Serialize for Objects<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.keys.len() + self.folders.len()))?;
        for &key in &self.keys {
            let File { base, details } = self.index.file(key);
            list.serialize_element(&FileObject {
                base: &base,
                details: &details,
                extension_status: &[],
            })?;
        }
        for path in &self.folders {
            let name = path.rsplit('/').next();
            list.serialize_element(&json!({
                "type": "folder",
                "folderId": format!("{:024x}", xxh3_128(path.as_bytes()) >> 32),
                "name": name,
                "folderPath": path,
                "customMetadata": {},
                "createdAt": Iso(FIRST_MS),
                "updatedAt": Iso(FIRST_MS),
            }))?;
        }
        list.end()
    }
}
