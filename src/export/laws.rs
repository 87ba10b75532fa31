//! Law: the values of a file, written as a sheet of any format, are read back as the same values.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Columns, SheetWriter};
use crate::imagekit::ListedFile;
use crate::input::{Context, Format, ReadOptions, stage_input};
use crate::row::{Content, FileField, Rules, Schema, TagChange, Update};

/// Words and characters that a sheet, or the program that opens it, could take for something else.
fn word() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        "NULL",
        "nan",
        "None",
        "NA",
        "#N/A",
        "\\N",
        "(null)",
        "[object Object]",
        "<clear>",
        "<CLEAR>",
        "{a,b}",
        "['a']",
        "true",
        "WAHR",
        "1e5",
        "00123",
        "1,234",
        "24.11.2026",
        "=1+1",
        "=\"x\"",
        "_x0041_",
    ]);
    prop_oneof![
        special.clone().prop_map(str::to_owned),
        ("[=+@'\\\\\\-]{1,2}", special).prop_map(|(sign, word)| format!("{sign}{word}")),
        "[=+\\-@'\\\\]{1,2}[a-z0-9\"]{0,4}",
        "[a-zäß大🦀,;|\t\"\r\n\\[\\]{}]{1,8}",
    ]
}

/// A tag that ImageKit accepts: not blank, and without control characters.
fn tag() -> impl Strategy<Value = String> {
    let is_tag = |word: &String| !word.contains(char::is_control) && !word.trim().is_empty();
    word().prop_filter("no tag", is_tag)
}

fn text() -> impl Strategy<Value = String> {
    let words = proptest::collection::vec(word(), 1..3).prop_map(|words| words.join(" "));
    // No cell can represent blank text.
    words.prop_filter("blank", |text| !text.trim().is_empty())
}

/// A file with these values.
fn file(id: usize, tags: &[String], description: &str, brand: &str) -> Value {
    let metadata = json!({"brand": brand});
    json!({"type": "file", "fileId": format!("65a1f0c29b41d45b037cc{id:03}"), "filePath": "/a.jpg",
        "tags": tags, "description": description, "customMetadata": metadata})
}

fn context() -> Context {
    let fields = json!([{"name": "brand", "label": "Brand", "schema": {"type": "Text"}}]);
    let schema = Schema::from_json(fields.to_string().as_bytes()).expect("a schema");
    Context { schema: Some(schema), ..Context::default() }
}

/// The values that the exported files are read back with.
fn exported_and_read(files: &[Value], format: Format) -> Vec<Value> {
    let directory = TempDir::new().expect("a directory can be made");
    let path = directory.path().join(format!("library.{}", format.extension()));
    let context = context();
    let columns = Columns::usual(context.schema.as_ref().expect("there is one"));
    let mut sheet = SheetWriter::create(&path, format, columns, Rules::default()).expect("a sheet");
    for file in files {
        let file: ListedFile = serde_json::from_value(file.clone()).expect("it is a file");
        sheet.write(&file).expect("the directory takes files");
    }
    assert_eq!(sheet.finish().expect("the directory takes files").unwritten, 0);
    let bytes = std::fs::File::open(&path).expect("it was written");
    let staged = stage_input(bytes, &path, None, ReadOptions::default(), directory.path());
    let input = staged.expect("it can be copied").input;
    let mut rows = input.rows(&context, None).expect("the header is good");
    let mut read = Vec::new();
    while let Some((row, _)) = rows.next_row().expect("the sheet is whole") {
        let Content::Update(update) = row.content else { panic!("{:?}", row.content) };
        read.push(values(&update));
    }
    read
}

/// The values that a row sets, as a file has them.
fn values(update: &Update) -> Value {
    let change = &update.change;
    let Some(TagChange::Replace(tags)) = &change.tags else { panic!("{change:?}") };
    let tags: Vec<&str> = tags.as_slice().iter().map(AsRef::as_ref).collect();
    let value_of = |wanted: FileField| {
        let mut details = change.details.iter();
        let found = details.find(|(field, _)| field.file_field() == Some(wanted));
        found.and_then(|(_, set)| set.value()).expect("the row sets it")
    };
    let (description, brand) = (value_of(FileField::Description), value_of(FileField::Metadata));
    json!({"type": "file", "fileId": update.file.as_str(), "filePath": "/a.jpg", "tags": tags,
        "description": description, "customMetadata": {"brand": brand}})
}

proptest! {
    #[test]
    fn exported_values_are_read_back(
        files in proptest::collection::vec(
            (proptest::collection::btree_set(tag(), 1..4), text(), text()), 1..5,
        ),
        format in prop::sample::select(vec![Format::Csv, Format::Jsonl, Format::Xlsx]),
    ) {
        let file = |(id, (tags, description, brand)): (usize, &(BTreeSet<String>, String, String))| {
            let tags: Vec<String> = tags.iter().cloned().collect();
            file(id, &tags, description, brand)
        };
        let files: Vec<Value> = files.iter().enumerate().map(file).collect();
        prop_assert_eq!(exported_and_read(&files, format), files);
    }
}
