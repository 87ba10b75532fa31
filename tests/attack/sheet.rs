//! Random sheets: rows, their changes, and the resulting values.

use std::collections::BTreeSet;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::file::File;

/// The fields that rows change, by column name.
pub(crate) const FIELDS: [&str; 6] = [
    "tags",
    "description",
    "customMetadata.brand",
    "customMetadata.price",
    "customCoordinates",
    "isPublished",
];
const COLUMNS: [&str; 10] = [
    "fileId",
    "tags",
    "addTags",
    "removeTags",
    "description",
    "customMetadata.brand",
    "customMetadata.price",
    "customCoordinates",
    "extensions",
    "isPublished",
];
const TAGGING: [&str; 2] = [
    r#"[{"maxTags":5,"minConfidence":70,"name":"google-auto-tagging"}]"#,
    r#"[{"maxTags":9,"minConfidence":90,"name":"google-auto-tagging"}]"#,
];
const REMOVE_BG: &str = r#"[{"name":"remove-bg"}]"#;
const DESCRIBE: &str = r#"[{"name":"ai-auto-description"}]"#;
/// Id prefix of files with AI descriptions, whose description is not predictable.
const DESCRIBED: &str = "described";
/// A file that bulk calls cannot change.
pub(crate) const LOCKED_FILE: &str = "locked";
const CLEAR: &str = "<clear>";
/// Minimum number of files for which the program reads lists.
const MIN_FILES_FOR_LISTS: usize = 51;

/// The change in one cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// An empty list clears, like `None` and empty text below.
    Tags(Vec<String>),
    RemoveTag(String),
    AddTag(String),
    Description(String),
    Brand(Option<String>),
    Price(Option<u64>),
    Area(String),
    Publish(bool),
    /// The cell of the column `extensions`.
    Extension(&'static str),
    /// A price that is not a number.
    BadPrice,
}

impl Change {
    fn column(&self) -> &'static str {
        match self {
            Self::Tags(_) => "tags",
            Self::RemoveTag(_) => "removeTags",
            Self::AddTag(_) => "addTags",
            Self::Description(_) => "description",
            Self::Brand(_) => "customMetadata.brand",
            Self::Price(_) | Self::BadPrice => "customMetadata.price",
            Self::Area(_) => "customCoordinates",
            Self::Publish(_) => "isPublished",
            Self::Extension(_) => "extensions",
        }
    }

    fn cell(&self) -> String {
        let or_clear = |text: String| if text.is_empty() { CLEAR.to_owned() } else { text };
        match self {
            Self::Tags(tags) => or_clear(tags.join(",")),
            Self::RemoveTag(tag) | Self::AddTag(tag) => tag.clone(),
            Self::Description(text) => or_clear(text.clone()),
            Self::Brand(brand) => or_clear(brand.clone().unwrap_or_default()),
            Self::Price(price) => {
                or_clear(price.map(|price| price.to_string()).unwrap_or_default())
            }
            Self::Area(area) => area.clone(),
            Self::Publish(is_published) => is_published.to_string(),
            Self::Extension(config) => (*config).to_owned(),
            Self::BadPrice => "expensive".to_owned(),
        }
    }

    /// The changed field; `None` for an extension.
    pub(crate) fn field(&self) -> Option<&'static str> {
        match self {
            Self::Extension(_) => None,
            Self::Tags(_) | Self::AddTag(_) | Self::RemoveTag(_) => Some("tags"),
            other => Some(other.column()),
        }
    }

    /// The possible values after the change; `None` means any value, before and after.
    pub(crate) fn apply_to_all(&self, before: Option<Vec<Value>>) -> Option<Vec<Value>> {
        match self {
            Self::AddTag(_) | Self::RemoveTag(_) => {
                Some(before?.iter().map(|before| self.apply_to(before)).collect())
            }
            _ => Some(vec![self.apply_to(&Value::Null)]),
        }
    }

    /// The value after the change.
    fn apply_to(&self, before: &Value) -> Value {
        let mut tags: BTreeSet<String> = serde_json::from_value(before.clone()).unwrap_or_default();
        match self {
            Self::Tags(tags) => json!(tags.iter().collect::<BTreeSet<_>>()),
            Self::AddTag(tag) => {
                tags.insert(tag.clone());
                json!(tags)
            }
            Self::RemoveTag(tag) => {
                tags.remove(tag);
                json!(tags)
            }
            Self::Description(text) | Self::Area(text) => json!(text),
            Self::Brand(brand) => json!(brand),
            Self::Price(price) => json!(price),
            Self::Publish(is_published) => json!(is_published),
            Self::Extension(_) | Self::BadPrice => before.clone(),
        }
    }
}

/// The value of a field; tags are sorted and unique.
pub(crate) fn value(file: &File, field: &str) -> Value {
    match field {
        "tags" => json!(file.tags.iter().collect::<BTreeSet<_>>()),
        "description" => json!(file.description),
        "customMetadata.brand" => file.metadata.get("brand").cloned().unwrap_or_default(),
        "customMetadata.price" => file.metadata.get("price").cloned().unwrap_or_default(),
        "customCoordinates" => json!(file.coordinates),
        "isPublished" => json!(file.is_published),
        other => panic!("{other} is not a field"),
    }
}

/// Whether the field's value follows from the rows.
pub(crate) fn is_predictable(file: &str, field: &str) -> bool {
    !(file.starts_with(DESCRIBED) && field == "description")
}

#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) file: String,
    pub(crate) changes: Vec<Change>,
    pub(crate) must_be_rejected: bool,
}

#[derive(Debug)]
pub(crate) struct Sheet {
    /// In input order; the first is row 2.
    pub(crate) rows: Vec<Row>,
}

impl Sheet {
    /// A random sheet. With `repeats`, several rows may request one extension for one file.
    pub(crate) fn random(rng: &mut Rng, repeats: bool) -> Self {
        if rng.u8(0..12) == 0 {
            return Self::with_many_files(rng);
        }
        let count = rng.usize(6..=20);
        let mut charged = BTreeSet::new();
        let mut rows = Vec::new();
        while rows.len() < count {
            let row = Row::random(rows.len(), rng);
            let is_new = row.extension().is_none_or(|config| {
                charged.insert((row.file.clone(), config)) || repeats && rng.bool()
            });
            let is_published = |other: &&Row| other.file == row.file && other.publishes();
            let publishes_again = row.publishes() && rows.iter().any(|other| is_published(&other));
            if is_new && !publishes_again {
                rows.push(row);
            }
        }
        Self { rows }
    }

    /// A sheet with enough files to be read by lists and to share bulk calls.
    fn with_many_files(rng: &mut Rng) -> Self {
        let count = rng.usize(MIN_FILES_FOR_LISTS..=2 * MIN_FILES_FOR_LISTS);
        let rows = (0..count).map(|n| {
            let tag = ["sale", "summer"][rng.usize(0..2)].to_owned();
            let change = if rng.bool() {
                Change::AddTag(tag)
            } else {
                Change::Description(format!("text {n}"))
            };
            Row::valid(format!("wide{n:03}"), vec![change])
        });
        Self { rows: rows.collect() }
    }

    /// The initial state of the existing files that the rows change.
    pub(crate) fn files(&self) -> Vec<File> {
        let ids: BTreeSet<&str> = self.rows.iter().map(|row| row.file.as_str()).collect();
        let existing = ids.into_iter().filter(|id| !id.is_empty() && !id.starts_with("missing"));
        existing.map(File::new).collect()
    }

    pub(crate) fn csv(&self) -> Vec<u8> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(COLUMNS).expect("writing to memory should succeed");
        for row in &self.rows {
            let cells = COLUMNS.iter().map(|column| match *column {
                "fileId" => row.file.clone(),
                column => {
                    let change = row.changes.iter().find(|change| change.column() == column);
                    change.map(Change::cell).unwrap_or_default()
                }
            });
            csv.write_record(cells).expect("writing to memory should succeed");
        }
        csv.into_inner().expect("writing to memory should succeed")
    }
}

impl Row {
    fn valid(file: impl Into<String>, changes: Vec<Change>) -> Self {
        Self { file: file.into(), changes, must_be_rejected: false }
    }

    fn invalid(file: impl Into<String>, changes: Vec<Change>) -> Self {
        Self { file: file.into(), changes, must_be_rejected: true }
    }

    /// A random row; `n` makes its values distinguishable from those of other rows.
    fn random(n: usize, rng: &mut Rng) -> Self {
        let file = format!("file{}", rng.u8(0..5));
        let tags = Change::Tags(vec![format!("tag{n}"), "kept".to_owned()]);
        let description = Change::Description(format!("text {n}"));
        let add = Change::AddTag(["sale".to_owned(), format!("added{n}")][rng.usize(0..2)].clone());
        let remove = Change::RemoveTag("old".to_owned());
        let brand = Change::Brand(rng.bool().then(|| format!("brand {n}")));
        let tagging = Change::Extension(TAGGING[rng.usize(0..2)]);
        match rng.u8(0..17) {
            0 => Self::valid(file, vec![tags]),
            1 => Self::valid(file, vec![add]),
            2 => Self::valid(file, vec![remove, add]),
            3 => Self::valid(file, vec![description]),
            4 => Self::valid(file, vec![brand, Change::Price(Some(n as u64 + 10))]),
            5 => Self::valid(file, vec![Change::Area(format!("1,2,{},40", n + 30)), description]),
            6 => Self::valid(file, vec![Change::Tags(Vec::new()), Change::Price(None)]),
            7 | 8 => Self::valid(file, vec![tagging]),
            9 => Self::valid(file, vec![tags, description, tagging]),
            10 => Self::valid(file, vec![Change::Extension(REMOVE_BG), add]),
            11 => Self::valid(
                format!("{DESCRIBED}{}", rng.u8(0..3)),
                vec![tags, Change::Extension(DESCRIBE)],
            ),
            12 => Self::valid(file, vec![brand, Change::Publish(false)]),
            13 => Self::valid(file, vec![description, remove, add, Change::Publish(false)]),
            14 => Self::invalid(format!("missing{}", rng.u8(0..2)), vec![tags]),
            15 if rng.bool() => Self::invalid(LOCKED_FILE, vec![add]),
            15 => Self::invalid(file, vec![description, Change::BadPrice]),
            _ => Self::valid(if rng.bool() { file } else { String::new() }, Vec::new()),
        }
    }

    /// The row's extension configuration, as in the account's charges.
    pub(crate) fn extension(&self) -> Option<String> {
        self.changes.iter().find_map(|change| match change {
            Change::Extension(list) => {
                Some(list.trim_start_matches('[').trim_end_matches(']').to_owned())
            }
            _ => None,
        })
    }

    pub(crate) fn publishes(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::Publish(_)))
    }
}
