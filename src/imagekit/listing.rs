//! Files of the library, page by page: `GET /v1/files`.

use std::collections::{HashMap, HashSet};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::fields::FileFields;
use crate::row::FileId;

/// The most files that a page holds. ImageKit's API description states it.
pub const PAGE_FILES_MAX: usize = 1000;
/// Files asked for by their ids at once. How long an address may be nobody states; this keeps it
/// well below 8 KB.
pub const IDS_MAX: usize = 100;

/// Which files are listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// Those of this folder, and of no folder in it.
    pub folder: Option<String>,
    /// Those that this query finds, in ImageKit's own language of queries. ImageKit then ignores
    /// the parameter `type`, so that the query must say `type = "file"` itself where that matters.
    pub search: Option<String>,
}

impl Listing {
    /// The files with these ids, at most [`IDS_MAX`].
    #[must_use]
    pub fn of_ids(files: &[FileId]) -> Self {
        let ids: Value = files.iter().map(FileId::as_str).collect();
        Self { folder: None, search: Some(format!("type = \"file\" AND id IN {ids}")) }
    }

    /// The files of a folder that have one of these names. ImageKit's documentation states the
    /// form, and that names are told apart by the case of their letters.
    #[must_use]
    pub fn named(folder: &str, names: &[&str]) -> Self {
        let (folder, names) = (Value::from(folder), Value::from(names));
        let search = format!("type = \"file\" AND path = {folder} AND name IN {names}");
        Self { folder: None, search: Some(search) }
    }

    /// Path and query of so many files. The order of creation is stable while files are updated;
    /// nobody states how far one may skip.
    pub(super) fn page(&self, skip: usize, limit: usize) -> String {
        let mut page = format!("/v1/files?limit={limit}&skip={skip}&sort=ASC_CREATED&type=file");
        for (name, value) in [("path", &self.folder), ("searchQuery", &self.search)] {
            if let Some(value) = value {
                page.push_str(&format!("&{name}="));
                page.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
            }
        }
        page
    }
}

/// Of what a list by ids shows: each file that was asked for, once. A file of which two entries say
/// different things is left out, because neither can be believed.
pub(super) fn believable(listed: Vec<FileFields>, asked: &[FileId]) -> Vec<FileFields> {
    let asked: HashSet<&str> = asked.iter().map(FileId::as_str).collect();
    let mut kept: Vec<FileFields> = Vec::with_capacity(asked.len());
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut doubted: HashSet<String> = HashSet::new();
    for fields in listed
        .into_iter()
        .filter(|fields| fields.is_file() && asked.contains(fields.file_id.as_str()))
    {
        match places.get(&fields.file_id) {
            Some(place) if kept[*place].is_like(&fields) => {}
            Some(_) => drop(doubted.insert(fields.file_id)),
            None => {
                places.insert(fields.file_id.clone(), kept.len());
                kept.push(fields);
            }
        }
    }
    kept.retain(|fields| !doubted.contains(&fields.file_id));
    kept
}

/// What an entry of a list is. A list shows folders, which have no id of a file, and old versions
/// of files, which have that of the file, where a query does not say that it wants files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A file as it is now; also where nothing is said.
    #[default]
    File,
    /// Anything else.
    #[serde(other)]
    Other,
}

/// An entry of a list as sheets need it, read leniently: what is not written into sheets is not
/// looked at.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedFile {
    /// What it is.
    #[serde(default, rename = "type")]
    pub kind: Kind,
    /// Its id; empty where it is no file.
    #[serde(default)]
    pub file_id: String,
    /// Its folder and name.
    #[serde(default)]
    pub file_path: Option<String>,
    /// Its tags; null where there are none.
    #[serde(default)]
    pub tags: Value,
    /// Its important area, as `x,y,width,height`.
    #[serde(default)]
    pub custom_coordinates: Value,
    /// Its description.
    #[serde(default)]
    pub description: Value,
    /// Its custom metadata, by name.
    #[serde(default)]
    pub custom_metadata: Option<Map<String, Value>>,
    /// Whether it is published.
    #[serde(default)]
    pub is_published: Value,
}

impl ListedFile {
    /// Whether it is a file as it is now.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.kind == Kind::File && !self.file_id.is_empty()
    }
}

/// Where a file is, as lists and its own details show it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PlaceEntry")]
pub struct Place {
    /// Its id.
    pub file_id: FileId,
    /// Its folder and name.
    pub file_path: Option<String>,
    /// Its URL, at one of the account's endpoints.
    pub url: Option<String>,
}

/// An entry of a list by where it is; `None` where it is no file as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PlaceEntry")]
pub struct ListedPlace(pub Option<Place>);

/// Both as they come.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlaceEntry {
    #[serde(default, rename = "type")]
    kind: Kind,
    #[serde(default)]
    file_id: String,
    #[serde(default)]
    file_path: Option<String>,
    #[serde(default)]
    url: Option<String>,
}

impl TryFrom<PlaceEntry> for Place {
    type Error = String;

    fn try_from(entry: PlaceEntry) -> Result<Self, String> {
        let PlaceEntry { file_id, file_path, url, .. } = entry;
        let file_id = FileId::new(&file_id).map_err(|wrong| format!("a fileId {wrong}"))?;
        Ok(Self { file_id, file_path, url })
    }
}

impl TryFrom<PlaceEntry> for ListedPlace {
    type Error = String;

    fn try_from(entry: PlaceEntry) -> Result<Self, String> {
        let is_file = entry.kind == Kind::File && !entry.file_id.is_empty();
        is_file.then(|| entry.try_into()).transpose().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::FileFields;
    use super::*;

    #[test]
    fn a_folder_or_query_cannot_leave_its_parameter() {
        let listing = Listing {
            folder: Some("/a b&limit=1".to_owned()),
            search: Some("id IN [\"x\"] # y".to_owned()),
        };
        assert_eq!(
            listing.page(2000, 1000),
            "/v1/files?limit=1000&skip=2000&sort=ASC_CREATED&type=file\
             &path=%2Fa%20b%26limit%3D1&searchQuery=id%20IN%20%5B%22x%22%5D%20%23%20y"
        );
    }

    #[test]
    fn what_is_no_file_is_told_from_files() {
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
    fn a_name_cannot_leave_its_quotes() {
        let listing = Listing::named("/a/", &["b \"c\".jpg", r"d\e.jpg"]);
        let query = r#"type = "file" AND path = "/a/" AND name IN ["b \"c\".jpg","d\\e.jpg"]"#;
        assert_eq!(listing.search.as_deref(), Some(query));
    }

    #[test]
    fn of_a_list_by_ids_only_what_was_asked_for_and_is_not_contradicted_is_believed() {
        let fields = |id: &str, tags: [&str; 2]| FileFields {
            file_id: id.to_owned(),
            tags: tags.map(str::to_owned).into(),
            ..FileFields::default()
        };
        let asked = ["a", "b", "c"].map(|id| FileId::new(id).unwrap());
        let listed = vec![
            fields("elsewhere", ["x", "y"]),
            fields("a", ["x", "y"]),
            fields("b", ["x", "y"]),
            fields("a", ["y", "x"]),
            fields("b", ["x", "z"]),
            fields("b", ["x", "y"]),
        ];
        assert_eq!(believable(listed, &asked), [fields("a", ["x", "y"])]);
    }
}
