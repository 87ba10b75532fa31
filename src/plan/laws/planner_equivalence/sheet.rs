//! Generated libraries of six files, and sheets with several rows per file.

use std::collections::HashSet;

use ikbulk_sandbox::Library;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

pub(crate) const FILES: usize = 6;
/// The id of a file that does not exist.
const MISSING: &str = "missing";
const COLUMNS: [&str; 11] = [
    "fileId",
    "tags",
    "addTags",
    "removeTags",
    "description",
    "customCoordinates",
    "customMetadata.brand",
    "customMetadata.color",
    "customMetadata.size",
    "removeAITags",
    "isPublished",
];
const TAGS: [&str; 4] = ["old", "sale", "red", "new in"];

/// The cells of a row, in the order of `COLUMNS`.
pub(crate) type Row = [String; COLUMNS.len()];

/// Kinds of changes in generated rows besides valid idempotent ones.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Allowed {
    /// Publishing, which is at-most-once.
    pub(crate) publish: bool,
    /// A value that ImageKit rejects.
    pub(crate) invalid: bool,
}

pub(crate) fn id(number: usize) -> String {
    if number < FILES { format!("file{number}") } else { MISSING.to_owned() }
}

/// Usually empty, otherwise one of these values.
fn cell(choices: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![2 => Just(""), 1 => select(choices)].prop_map(str::to_owned)
}

fn tags() -> impl Strategy<Value = String> {
    subsequence(&TAGS, 1..=2).prop_map(|tags| tags.join(","))
}

/// The cells `tags`, `addTags` and `removeTags`.
fn tag_cells() -> impl Strategy<Value = [String; 3]> {
    let none = String::new;
    // The first `add` tags are added, the next `remove` tags removed.
    let edit =
        (Just(TAGS).prop_shuffle(), 0_usize..3, 0_usize..3).prop_map(|(tags, add, remove)| {
            let add = add.max(usize::from(remove == 0));
            [String::new(), tags[..add].join(","), tags[add..add + remove].join(",")]
        });
    prop_oneof![
        2 => Just([none(), none(), none()]),
        2 => tags().prop_map(move |tags| [tags, none(), none()]),
        1 => Just(["<clear>".to_owned(), none(), none()]),
        3 => edit,
    ]
}

fn row(allowed: Allowed) -> impl Strategy<Value = Row> {
    let one_in_ten = |is_allowed: bool, cell: &'static [&'static str]| {
        let none = if is_allowed { 9 } else { u32::MAX };
        prop_oneof![none => Just(""), 1 => select(cell)]
            .prop_map(move |cell| if is_allowed { cell } else { "" }.to_owned())
    };
    let fields = (
        cell(&["one", "two", "<clear>"]),
        cell(&["1,2,30,40", "5,6,7,8", "<clear>"]),
        cell(&["Acme", "Nike", "<clear>"]),
        cell(&["red", "blue", "<clear>"]),
        cell(&["all", "shoe", "shoe,hat"]),
    );
    let special = (
        one_in_ten(allowed.invalid, &["gigantic"]),
        one_in_ten(allowed.publish, &["true", "false"]),
    );
    (0..=FILES, tag_cells(), proptest::bool::ANY, fields, special).prop_map(
        |(file, [tags, add, remove], tags_alone, fields, (size, publish))| {
            let (description, area, brand, color, ai_tags) =
                if tags_alone { Default::default() } else { fields };
            [id(file), tags, add, remove, description, area, brand, color, size, ai_tags, publish]
        },
    )
}

pub(crate) fn sheets(allowed: Allowed) -> impl Strategy<Value = Vec<Row>> {
    proptest::collection::vec(row(allowed), 1..25)
}

/// Removes `tags` cells after rows of the same file that add or remove tags: such rows are not always
/// merged, because their combined effect may be unknown.
pub(crate) fn with_tags_set_first(mut rows: Vec<Row>) -> Vec<Row> {
    let mut edited = HashSet::new();
    for [file, tags, add, remove, ..] in &mut rows {
        if !add.is_empty() || !remove.is_empty() {
            edited.insert(file.clone());
        } else if edited.contains(file) {
            tags.clear();
        }
    }
    rows
}

fn file(number: usize) -> impl Strategy<Value = Value> {
    let text = |choices: &'static [&'static str]| proptest::option::of(select(choices));
    (
        subsequence(&TAGS, 0..=TAGS.len()),
        subsequence(&["shoe", "hat"], 0..=2),
        text(&["", "one", "before"]),
        text(&["1,2,30,40"]),
        text(&["Acme", "Before"]),
        proptest::bool::ANY,
    )
        .prop_map(move |(tags, ai_tags, description, area, brand, is_published)| {
            let source = "google-auto-tagging";
            let ai_tags: Vec<Value> = ai_tags
                .iter()
                .map(|name| json!({"name": name, "confidence": 90.0, "source": source}))
                .collect();
            let metadata = brand.map_or(json!({"color": "red"}), |brand| json!({"brand": brand}));
            json!({
                "fileId": id(number), "filePath": format!("/{number}.jpg"), "tags": tags,
                "AITags": ai_tags, "description": description, "customCoordinates": area,
                "customMetadata": metadata, "isPublished": is_published,
            })
        })
}

pub(crate) fn libraries() -> impl Strategy<Value = Vec<Value>> {
    (0..FILES).map(file).collect::<Vec<_>>()
}

pub(crate) fn library(files: &[Value]) -> Library {
    let mut library = Library::new();
    files.iter().cloned().for_each(|file| library.insert(file));
    library
}

pub(crate) fn csv(rows: &[Row]) -> Vec<u8> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(COLUMNS).unwrap();
    for row in rows {
        csv.write_record(row).unwrap();
    }
    csv.into_inner().unwrap()
}
