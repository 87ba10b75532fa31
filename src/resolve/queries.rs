//! Groups wanted paths by folder, in batches that fit into one query.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::row::Target;

/// Maximum names per query.
const NAMES_MAX: usize = 100;
/// Maximum percent-encoded length of the names in a query, in bytes. ImageKit documents no limit
/// for URLs; servers commonly accept 8 KiB.
const NAMES_BYTES_MAX: usize = 4000;
/// Percent-encoded length of the quotes and the comma around a name, in bytes.
const DELIMITER_BYTES: usize = "%22%22%2C".len();

/// The distinct wanted paths.
pub(super) struct PathIndex<'t>(BTreeSet<&'t str>);

/// The wanted files of one folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Folder<'t> {
    /// Path with a leading and a trailing slash.
    pub(super) path: &'t str,
    /// File names, in one batch per query.
    pub(super) batches: Vec<Vec<&'t str>>,
}

impl<'t> PathIndex<'t> {
    pub(super) fn new(targets: &'t BTreeSet<Target>) -> Self {
        Self(targets.iter().map(Target::file_path).collect())
    }

    /// The same path if it is wanted; case-sensitive.
    pub(super) fn path(&self, path: &str) -> Option<&'t str> {
        self.0.get(path).copied()
    }

    pub(super) fn folders(&self) -> Vec<Folder<'t>> {
        let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for path in &self.0 {
            let name_at = path.rfind('/').map_or(0, |slash| slash + 1);
            let (folder, name) = path.split_at(name_at);
            folders.entry(folder).or_default().push(name);
        }
        let folders = folders.into_iter();
        folders.map(|(path, names)| Folder { path, batches: batches(names) }).collect()
    }
}

fn batches(names: Vec<&str>) -> Vec<Vec<&str>> {
    let mut batches: Vec<Vec<&str>> = Vec::new();
    let mut bytes = 0;
    for name in names {
        let encoded = utf8_percent_encode(name, NON_ALPHANUMERIC).map(str::len).sum::<usize>();
        let more = encoded + DELIMITER_BYTES;
        match batches.last_mut() {
            Some(batch) if batch.len() < NAMES_MAX && bytes + more <= NAMES_BYTES_MAX => {
                batch.push(name);
                bytes += more;
            }
            _ => {
                batches.push(vec![name]);
                bytes = more;
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(paths: &[&str]) -> BTreeSet<Target> {
        paths.iter().map(|path| Target::kept(path)).collect()
    }

    #[test]
    fn paths_are_grouped_by_folder() {
        let targets = targets(&["/a/b.jpg", "/a/b/c.jpg", "/a/c.jpg", "/d.jpg", "//host/d.jpg"]);
        let wanted = PathIndex::new(&targets);
        let folder = |path, names: &[&'static str]| Folder { path, batches: vec![names.to_vec()] };
        let folders = [
            folder("/", &["d.jpg"]),
            folder("/a/", &["b.jpg", "c.jpg"]),
            folder("/a/b/", &["c.jpg"]),
        ];
        assert_eq!(wanted.folders(), folders);
        assert_eq!(wanted.path("/a/c.jpg"), Some("/a/c.jpg"));
        assert_eq!((wanted.path("/A/c.jpg"), wanted.path("c.jpg")), (None, None));
    }

    #[test]
    fn queries_are_limited_by_names_and_bytes() {
        let sizes = |names: &[String]| {
            let batches = batches(names.iter().map(String::as_str).collect());
            batches.iter().map(Vec::len).collect::<Vec<_>>()
        };
        let short: Vec<String> = (0..250).map(|n| format!("{n:03}.jpg")).collect();
        assert_eq!(sizes(&short), [100, 100, 50]);
        let long: Vec<String> = (0..5).map(|n| format!("{n}{}", "ö".repeat(300))).collect();
        assert_eq!(sizes(&long), [2, 2, 1]);
        let longest = ["ö".repeat(3000), "a".to_owned()];
        assert_eq!(sizes(&longest), [1, 1]);
    }
}
