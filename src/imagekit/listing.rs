//! Lists files of the library in pages: `GET /v1/files`.

use std::collections::{HashMap, HashSet};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::file_fields::{EntryKind, FileFields};
use crate::row::FileId;

/// Maximum files per page, from ImageKit's API description.
pub(crate) const PAGE_FILES_MAX: usize = 1000;
/// Maximum file ids per query. ImageKit documents no limit for URLs; this keeps them well below 8
/// KB.
pub(crate) const IDS_MAX: usize = 100;

/// Selects the files to list; the default is the whole library.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// Only files directly in this folder.
    pub folder: Option<String>,
    /// Only files that match this query, in ImageKit's search language. ImageKit then ignores the
    /// parameter `type`, so the query itself must contain `type = "file"` where that matters.
    pub search: Option<String>,
    /// The order of the files.
    pub order: Order,
}

/// The order of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The oldest upload first: stays stable while files are updated.
    #[default]
    Created,
    /// The latest update first.
    RecentlyUpdated,
}

impl Order {
    /// The value of `sort`.
    fn as_str(self) -> &'static str {
        match self {
            Self::Created => "ASC_CREATED",
            Self::RecentlyUpdated => "DESC_UPDATED",
        }
    }
}

impl Listing {
    /// Selects the files with these ids, at most [`IDS_MAX`].
    #[must_use]
    pub fn by_ids(files: &[FileId]) -> Self {
        let ids: Value = files.iter().map(FileId::as_str).collect();
        Self { search: Some(format!("type = \"file\" AND id IN {ids}")), ..Self::default() }
    }

    /// Selects the files of a folder with these names. Query syntax and case sensitivity are from
    /// ImageKit's documentation.
    #[must_use]
    pub fn named(folder: &str, names: &[&str]) -> Self {
        let (folder, names) = (Value::from(folder), Value::from(names));
        let search = format!("type = \"file\" AND path = {folder} AND name IN {names}");
        Self { search: Some(search), ..Self::default() }
    }

    /// Path and query of one page. ImageKit documents no maximum for `skip`.
    pub(super) fn page(&self, skip: usize, limit: usize) -> String {
        let sort = self.order.as_str();
        let mut page = format!("/v1/files?limit={limit}&skip={skip}&sort={sort}&type=file");
        for (name, value) in [("path", &self.folder), ("searchQuery", &self.search)] {
            if let Some(value) = value {
                page.push_str(&format!("&{name}="));
                page.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
            }
        }
        page
    }
}

/// The requested files of a listing by ids, each once. Omits files with contradictory entries,
/// because either could be stale.
pub(super) fn consistent_entries(listed: Vec<FileFields>, requested: &[FileId]) -> Vec<FileFields> {
    let requested: HashSet<&str> = requested.iter().map(FileId::as_str).collect();
    let mut entries: Vec<FileFields> = Vec::with_capacity(requested.len());
    let mut indexes: HashMap<String, usize> = HashMap::new();
    let mut contradictory: HashSet<String> = HashSet::new();
    for fields in listed
        .into_iter()
        .filter(|fields| fields.is_file() && requested.contains(fields.file_id.as_str()))
    {
        match indexes.get(&fields.file_id) {
            Some(index) if entries[*index].is_like(&fields) => {}
            Some(_) => drop(contradictory.insert(fields.file_id)),
            None => {
                indexes.insert(fields.file_id.clone(), entries.len());
                entries.push(fields);
            }
        }
    }
    entries.retain(|fields| !contradictory.contains(&fields.file_id));
    entries
}

/// A list entry, for an export.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListedFile {
    /// File or other entry.
    #[serde(default, rename = "type")]
    pub kind: EntryKind,
    /// The file's id; empty for other entries.
    #[serde(default)]
    pub file_id: String,
    /// All other values by their key.
    #[serde(flatten)]
    values: Map<String, Value>,
}

impl ListedFile {
    /// The value of a key of the file object; `None` if it is absent or null.
    #[must_use]
    pub(crate) fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// Whether the entry is the current version of a file.
    #[must_use]
    pub(crate) fn is_file(&self) -> bool {
        self.kind == EntryKind::File && !self.file_id.is_empty()
    }
}

/// Path and URL of a file, from a list or from its details.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawPlace")]
pub struct Place {
    /// The file's id.
    pub file_id: FileId,
    /// Folder and name, like `/products/shoe.jpg`.
    pub file_path: Option<String>,
    /// URL at one of the account's URL endpoints.
    pub url: Option<String>,
}

/// A list entry; `None` if it is not the current version of a file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawPlace")]
pub(crate) struct ListedPlace(pub Option<Place>);

/// The JSON of [`Place`] and [`ListedPlace`].
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPlace {
    #[serde(default, rename = "type")]
    kind: EntryKind,
    #[serde(default)]
    file_id: String,
    #[serde(default)]
    file_path: Option<String>,
    #[serde(default)]
    url: Option<String>,
}

impl TryFrom<RawPlace> for Place {
    type Error = String;

    fn try_from(entry: RawPlace) -> Result<Self, String> {
        let RawPlace { file_id, file_path, url, .. } = entry;
        let file_id = FileId::new(&file_id).map_err(|problem| format!("a fileId {problem}"))?;
        Ok(Self { file_id, file_path, url })
    }
}

impl TryFrom<RawPlace> for ListedPlace {
    type Error = String;

    fn try_from(entry: RawPlace) -> Result<Self, String> {
        let is_file = entry.kind == EntryKind::File && !entry.file_id.is_empty();
        is_file.then(|| entry.try_into()).transpose().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_and_query_are_percent_encoded() {
        let listing = Listing {
            folder: Some("/a b&limit=1".to_owned()),
            search: Some("id IN [\"x\"] # y".to_owned()),
            order: Order::Created,
        };
        assert_eq!(
            listing.page(2000, 1000),
            "/v1/files?limit=1000&skip=2000&sort=ASC_CREATED&type=file\
             &path=%2Fa%20b%26limit%3D1&searchQuery=id%20IN%20%5B%22x%22%5D%20%23%20y"
        );
    }

    #[test]
    fn folders_and_old_versions_are_not_files() {
        let list = r#"[{"type":"folder","folderId":"x","name":"a"},{"type":"file","fileId":"b"},
            {"type":"file-version","fileId":"c"},{"fileId":"d"},{"type":"file"}]"#;
        let files: Vec<ListedFile> = serde_json::from_str(list).unwrap();
        let is_file: Vec<bool> = files.iter().map(ListedFile::is_file).collect();
        assert_eq!(is_file, [false, true, false, true, false]);
        let places: Vec<ListedPlace> = serde_json::from_str(list).unwrap();
        let is_file: Vec<bool> = places.iter().map(|place| place.0.is_some()).collect();
        assert_eq!(is_file, [false, true, false, true, false]);
        let fields: Vec<FileFields> = serde_json::from_str(list).unwrap();
        let is_file: Vec<bool> = fields.iter().map(FileFields::is_file).collect();
        assert_eq!(is_file, [false, true, false, true, false]);
        assert!(serde_json::from_str::<ListedPlace>(r#"{"fileId":"a\u0000b"}"#).is_err());
    }

    #[test]
    fn names_are_quoted_in_queries() {
        let listing = Listing::named("/a/", &["b \"c\".jpg", r"d\e.jpg"]);
        let query = r#"type = "file" AND path = "/a/" AND name IN ["b \"c\".jpg","d\\e.jpg"]"#;
        assert_eq!(listing.search.as_deref(), Some(query));
    }

    #[test]
    fn unrequested_and_contradictory_entries_are_omitted() {
        let fields = |id: &str, tags: [&str; 2]| FileFields {
            file_id: id.to_owned(),
            tags: tags.map(str::to_owned).into(),
            ..FileFields::default()
        };
        let requested = ["a", "b", "c"].map(|id| FileId::new(id).unwrap());
        let listed = vec![
            fields("elsewhere", ["x", "y"]),
            fields("a", ["x", "y"]),
            fields("b", ["x", "y"]),
            fields("a", ["y", "x"]),
            fields("b", ["x", "z"]),
            fields("b", ["x", "y"]),
        ];
        assert_eq!(consistent_entries(listed, &requested), [fields("a", ["x", "y"])]);
    }
}
