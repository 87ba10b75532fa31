//! Sheets by chance: rows, what each asks for, and what a file's field is after it.

use std::collections::BTreeSet;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::file::File;

/// The fields of a file that rows change, by their columns.
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
/// The start of the id of a file that AI describes, so that no row foresees its description.
const DESCRIBED: &str = "described";
/// The file whose tags bulk calls cannot change.
pub(crate) const LOCKED: &str = "locked";
const CLEAR: &str = "<clear>";
/// The fewest files for which the program reads lists.
const LISTED: usize = 51;

/// What a row asks for in one cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// None clears, here and below.
    Tags(Vec<String>),
    RemoveTag(String),
    AddTag(String),
    Description(String),
    Brand(Option<String>),
    Price(Option<u64>),
    Area(String),
    Publish(bool),
    /// The extensions cell.
    Extension(&'static str),
    /// A price that is no number.
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
            Self::BadPrice => "dear".to_owned(),
        }
    }

    /// The field that it changes; `None` for an extension.
    pub(crate) fn field(&self) -> Option<&'static str> {
        match self {
            Self::Extension(_) => None,
            Self::Tags(_) | Self::AddTag(_) | Self::RemoveTag(_) => Some("tags"),
            other => Some(other.column()),
        }
    }

    /// What the field may be when the change is made, from what it may be before. `None` is anything.
    pub(crate) fn made_to_all(&self, before: Option<Vec<Value>>) -> Option<Vec<Value>> {
        match self {
            Self::AddTag(_) | Self::RemoveTag(_) => {
                Some(before?.iter().map(|before| self.made_to(before)).collect())
            }
            _ => Some(vec![self.made_to(&Value::Null)]),
        }
    }

    /// What the field is when the change is made.
    fn made_to(&self, before: &Value) -> Value {
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

/// What a field of a file is; tags are a set.
pub(crate) fn value(file: &File, field: &str) -> Value {
    match field {
        "tags" => json!(file.tags.iter().collect::<BTreeSet<_>>()),
        "description" => json!(file.description),
        "customMetadata.brand" => file.metadata.get("brand").cloned().unwrap_or_default(),
        "customMetadata.price" => file.metadata.get("price").cloned().unwrap_or_default(),
        "customCoordinates" => json!(file.coordinates),
        "isPublished" => json!(file.is_published),
        other => panic!("{other} is no field"),
    }
}

/// Whether it can be foreseen what a field of a file is.
pub(crate) fn can_be_foreseen(file: &str, field: &str) -> bool {
    !(file.starts_with(DESCRIBED) && field == "description")
}

/// A row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) file: String,
    pub(crate) changes: Vec<Change>,
    /// Whether it must be rejected.
    pub(crate) is_bad: bool,
}

/// The rows of a sheet, in order. The first is row 2.
#[derive(Debug)]
pub(crate) struct Sheet {
    pub(crate) rows: Vec<Row>,
}

impl Sheet {
    /// A sheet by chance. Only with `repeats` may several rows ask for one extension on one file.
    pub(crate) fn random(rng: &mut Rng, repeats: bool) -> Self {
        if rng.u8(0..12) == 0 {
            return Self::wide(rng);
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

    /// Enough files to be read by lists and to share bulk calls.
    fn wide(rng: &mut Rng) -> Self {
        let count = rng.usize(LISTED..=2 * LISTED);
        let rows = (0..count).map(|n| {
            let tag = ["sale", "summer"][rng.usize(0..2)].to_owned();
            let change = if rng.bool() {
                Change::AddTag(tag)
            } else {
                Change::Description(format!("of {n}"))
            };
            Row::on(format!("wide{n:03}"), vec![change])
        });
        Self { rows: rows.collect() }
    }

    /// The files that its rows are about, as they are before.
    pub(crate) fn files(&self) -> Vec<File> {
        let ids: BTreeSet<&str> = self.rows.iter().map(|row| row.file.as_str()).collect();
        let there = ids.into_iter().filter(|id| !id.is_empty() && !id.starts_with("missing"));
        there.map(File::new).collect()
    }

    pub(crate) fn csv(&self) -> Vec<u8> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(COLUMNS).expect("memory takes everything");
        for row in &self.rows {
            let cells = COLUMNS.iter().map(|column| match *column {
                "fileId" => row.file.clone(),
                column => {
                    let change = row.changes.iter().find(|change| change.column() == column);
                    change.map(Change::cell).unwrap_or_default()
                }
            });
            csv.write_record(cells).expect("memory takes everything");
        }
        csv.into_inner().expect("memory takes everything")
    }
}

impl Row {
    fn on(file: impl Into<String>, changes: Vec<Change>) -> Self {
        Self { file: file.into(), changes, is_bad: false }
    }

    fn bad(file: impl Into<String>, changes: Vec<Change>) -> Self {
        Self { file: file.into(), changes, is_bad: true }
    }

    /// A row by chance, whose values are told from other rows' by its number.
    fn random(n: usize, rng: &mut Rng) -> Self {
        let file = format!("file{}", rng.u8(0..5));
        let tags = Change::Tags(vec![format!("tag{n}"), "kept".to_owned()]);
        let description = Change::Description(format!("text {n}"));
        let add = Change::AddTag(["sale".to_owned(), format!("added{n}")][rng.usize(0..2)].clone());
        let remove = Change::RemoveTag("old".to_owned());
        let brand = Change::Brand(rng.bool().then(|| format!("brand {n}")));
        let tagging = Change::Extension(TAGGING[rng.usize(0..2)]);
        match rng.u8(0..17) {
            0 => Self::on(file, vec![tags]),
            1 => Self::on(file, vec![add]),
            2 => Self::on(file, vec![remove, add]),
            3 => Self::on(file, vec![description]),
            4 => Self::on(file, vec![brand, Change::Price(Some(n as u64 + 10))]),
            5 => Self::on(file, vec![Change::Area(format!("1,2,{},40", n + 30)), description]),
            6 => Self::on(file, vec![Change::Tags(Vec::new()), Change::Price(None)]),
            7 | 8 => Self::on(file, vec![tagging]),
            9 => Self::on(file, vec![tags, description, tagging]),
            10 => Self::on(file, vec![Change::Extension(REMOVE_BG), add]),
            11 => Self::on(
                format!("{DESCRIBED}{}", rng.u8(0..3)),
                vec![tags, Change::Extension(DESCRIBE)],
            ),
            12 => Self::on(file, vec![brand, Change::Publish(false)]),
            13 => Self::on(file, vec![description, remove, add, Change::Publish(false)]),
            14 => Self::bad(format!("missing{}", rng.u8(0..2)), vec![tags]),
            15 if rng.bool() => Self::bad(LOCKED, vec![add]),
            15 => Self::bad(file, vec![description, Change::BadPrice]),
            _ => Self::on(if rng.bool() { file } else { String::new() }, Vec::new()),
        }
    }

    /// The configuration of its extension, in the way in which the account counts charges.
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
