//! The input of every case: each kind of row and step several times, several rows for one file, and
//! the API calls expected for each row, written by hand.

use ikbulk_sandbox::Library;
use serde_json::{Value, json};

const BLOCKS: usize = 5;
const COLUMNS: [&str; 11] = [
    "fileId",
    "tags",
    "addTags",
    "removeTags",
    "description",
    "customMetadata.brand",
    "customMetadata.List price (EUR)",
    "customMetadata.size",
    "customCoordinates",
    "extensions",
    "isPublished",
];
const GOOGLE: &str = r#"[{"name":"google-auto-tagging","minConfidence":80,"maxTags":10}]"#;
const DESCRIBE: &str = r#"[{"name":"ai-auto-description"}]"#;
const REMOVE_BG: &str = r#"[{"name":"remove-bg"}]"#;

pub(crate) struct Row {
    pub(crate) file: String,
    cells: Vec<(&'static str, String)>,
    /// The calls in order: name as in the sandbox's history, and body.
    pub(crate) expected_calls: Vec<(&'static str, Value)>,
    /// The extension that the row runs.
    pub(crate) billed_extension: Option<&'static str>,
    /// Fields of the file whose values are undetermined if the row's at-most-once request is lost:
    /// those that this request or the following steps write.
    pub(crate) undetermined_if_lost: &'static [&'static str],
}

impl Row {
    fn for_file(file: impl Into<String>) -> Self {
        let file = file.into();
        Self {
            file,
            cells: Vec::new(),
            expected_calls: Vec::new(),
            billed_extension: None,
            undetermined_if_lost: &[],
        }
    }

    fn cell(mut self, column: &'static str, cell: impl Into<String>) -> Self {
        self.cells.push((column, cell.into()));
        self
    }

    fn expect_call(mut self, call: &'static str, body: Value) -> Self {
        self.expected_calls.push((call, body));
        self
    }

    fn add_tag(self, tag: &str) -> Self {
        let body = json!({"fileIds": [self.file], "tags": [tag]});
        self.cell("addTags", tag).expect_call("addTags", body)
    }

    fn remove_tag(self, tag: &str) -> Self {
        let body = json!({"fileIds": [self.file], "tags": [tag]});
        self.cell("removeTags", tag).expect_call("removeTags", body)
    }

    fn set_description(self, text: &str) -> Self {
        let body = json!({"description": text});
        self.cell("description", text).expect_call("patch", body)
    }

    fn unpublish(self) -> Self {
        self.cell("isPublished", "false")
            .expect_call("publish", json!({"publish": {"isPublished": false}}))
    }

    fn run_extension(self, extension: &'static str, config: &str, body: Value) -> Self {
        let mut body = body;
        body["extensions"] = serde_json::from_str(config).expect("the config should be JSON");
        Self {
            billed_extension: Some(extension),
            ..self.cell("extensions", config).expect_call("patch", body)
        }
    }

    fn undetermined_if_lost(self, fields: &'static [&'static str]) -> Self {
        Self { undetermined_if_lost: fields, ..self }
    }
}

/// All rows; the first is row 2 of the sheet.
pub(crate) fn rows() -> Vec<Row> {
    (0..BLOCKS).flat_map(block).collect()
}

#[expect(clippy::too_many_lines, reason = "a table of rows")]
fn block(b: usize) -> Vec<Row> {
    let (many, name_of) = (format!("many{b}"), |name: &str| format!("{name}{b}"));
    let (text, price) = (|name: &str| format!("{name}-{b}"), 10 + b);
    let missing = Row::for_file(name_of("missing"));
    vec![
        Row::for_file(&many)
            .cell("tags", format!("first,{b}"))
            .cell("description", text("described"))
            .expect_call(
                "patch",
                json!({"tags": ["first", b.to_string()], "description": text("described")}),
            ),
        Row::for_file(&many).remove_tag("first").add_tag("added"),
        Row::for_file(&many)
            .cell("customMetadata.brand", "Acme")
            .cell("customMetadata.List price (EUR)", price.to_string())
            .expect_call("patch", json!({"customMetadata": {"brand": "Acme", "price": price}})),
        Row::for_file(name_of("published"))
            .set_description(&text("to be unpublished"))
            .unpublish()
            .undetermined_if_lost(&["isPublished"]),
        Row::for_file(&many)
            .cell("tags", text("tagged"))
            .run_extension("google-auto-tagging", GOOGLE, json!({"tags": [text("tagged")]}))
            .undetermined_if_lost(&["AITags"]),
        Row::for_file(name_of("cut-out")).run_extension("remove-bg", REMOVE_BG, json!({})),
        Row::for_file(name_of("described"))
            .cell("customCoordinates", "1,2,30,40")
            .cell("description", text("mine"))
            .run_extension(
                "ai-auto-description",
                DESCRIBE,
                json!({"customCoordinates": "1,2,30,40", "description": text("mine")}),
            )
            .undetermined_if_lost(&["description"]),
        Row::for_file(name_of("both"))
            .cell("customMetadata.brand", "Nike")
            .run_extension(
                "google-auto-tagging",
                GOOGLE,
                json!({"customMetadata": {"brand": "Nike"}}),
            )
            .unpublish()
            .undetermined_if_lost(&["AITags", "isPublished"]),
        Row::for_file(&many).cell("customMetadata.size", "gigantic"),
        if b.is_multiple_of(2) {
            missing.cell("tags", "none")
        } else {
            missing.cell("isPublished", "false")
        },
        Row::for_file(""),
        Row::for_file(name_of("cleared"))
            .cell("tags", "<clear>")
            .cell("customMetadata.brand", "<clear>")
            .expect_call("patch", json!({"tags": null, "customMetadata": {"brand": null}})),
        Row::for_file(&many)
            .cell("customMetadata.size", "medium")
            .expect_call("patch", json!({"customMetadata": {"size": "medium"}})),
        Row::for_file(name_of("three"))
            .set_description(&text("three steps"))
            .remove_tag("old")
            .add_tag("new")
            .unpublish()
            .undetermined_if_lost(&["isPublished"]),
    ]
}

/// The rows as a sheet.
pub(crate) fn csv(rows: &[Row]) -> Vec<u8> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(COLUMNS).expect("writing to memory should succeed");
    for row in rows {
        let value_of = |column: &str| {
            let value = row.cells.iter().find(|(name, _)| *name == column);
            value.map_or("", |(_, cell)| cell.as_str()).to_owned()
        };
        let cells = COLUMNS.iter().map(|column| match *column {
            "fileId" => row.file.clone(),
            column => value_of(column),
        });
        csv.write_record(cells).expect("writing to memory should succeed");
    }
    csv.into_inner().expect("writing to memory should succeed")
}

/// The library with the files of these rows, except the missing ones.
pub(crate) fn library(rows: &[Row]) -> Library {
    let mut library = Library::new();
    for row in rows.iter().filter(|row| !row.file.is_empty() && !row.file.starts_with("missing")) {
        library.insert(json!({
            "fileId": row.file, "tags": ["old", "kept"], "description": "before",
            "customMetadata": {"brand": "Before", "color": "red"}, "isPublished": true,
            "createdAt": "2024-01-01T00:00:00.000Z", "updatedAt": "2024-01-01T00:00:00.000Z",
        }));
    }
    library
}
