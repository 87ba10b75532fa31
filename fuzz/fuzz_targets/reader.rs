//! Invariants of the readers for any input.

use std::fs;
use std::sync::LazyLock;

use ikbulk::engine::Format;
use ikbulk::internals::{Content, Context, Input, Rules, Schema};
use tempfile::TempDir;

/// One custom metadata field of each type.
const FIELDS: &str = r#"[
    {"id": "1", "name": "text", "label": "Text", "schema": {"type": "Text", "maxLength": 5}},
    {"id": "2", "name": "price", "label": "Price", "schema": {"type": "Number", "minValue": 1}},
    {"id": "3", "name": "ends", "label": "Ends", "schema": {"type": "Date"}},
    {"id": "4", "name": "ok", "label": "OK", "schema": {"type": "Boolean"}},
    {"id": "5", "name": "size", "label": "Size", "schema":
        {"type": "SingleSelect", "selectOptions": ["s", "30", 30, true]}},
    {"id": "6", "name": "where", "label": "Where", "schema":
        {"type": "MultiSelect", "selectOptions": ["web", 2024]}}
]"#;

static DIRECTORY: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().expect("a directory"));
static CONTEXT: LazyLock<Context> = LazyLock::new(|| {
    let schema = Schema::from_json(FIELDS.as_bytes()).expect("the fields are an array");
    Context { rules: Rules::default(), schema: Some(schema), files: None }
});

/// Reads the bytes as a sheet without panicking. Records and rows have the same positions, and reading
/// from the position of a row returns the same row.
pub(crate) fn reads(bytes: &[u8], format: Format) {
    let path = DIRECTORY.path().join("input");
    fs::write(&path, bytes).expect("the directory takes files");
    reads_input(&Input::new(path, format));
}

/// As [`reads`], for an input that is a file already.
pub(crate) fn reads_input(input: &Input) {
    let Ok(mut rows) = input.rows(&CONTEXT, None) else { return };
    let mut read = Vec::new();
    let end = loop {
        match rows.next_row() {
            Ok(Some(row)) => read.push(row),
            Ok(None) => break None,
            Err(error) => break Some(error.to_string()),
        }
    };
    for (row, prior) in &read {
        let mut again = input.rows(&CONTEXT, Some(row.pos)).expect("it could be opened before");
        let again = again.next_row().expect("it could be read before");
        // Whether a row is the rest of the row before shows only in that row.
        if matches!(row.content, Content::Rejected(_)) {
            assert_eq!(again.map(|(row, _)| row.pos), Some(row.pos));
        } else {
            assert_eq!(again.as_ref(), Some(&(row.clone(), prior.clone())));
        }
    }
    let unchecked = Context::default();
    if input.rows(&unchecked, None).is_err() {
        return;
    }
    let mut records = input.records(&unchecked).expect("the header is good without a schema, too");
    for (row, _) in &read {
        assert_eq!(records.advance().expect("it could be read before"), Some(row.pos));
    }
    match (records.advance(), end) {
        (Ok(None), None) => {}
        (Err(error), Some(end)) => assert_eq!(error.to_string(), end),
        (after, end) => panic!("rows ended with {end:?}, records with {after:?}"),
    }
}
