//! The input of every case: each kind of row and step, several times over, several rows on one
//! file, and for each row what it asks of ImageKit, written down by hand.

use ikbulk::sandbox::Library;
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

/// One row.
pub(crate) struct Row {
    pub(crate) file: String,
    cells: Vec<(&'static str, String)>,
    /// What it asks for, in order: the call as the sandbox's history names it, and its body.
    pub(crate) asks: Vec<(&'static str, Value)>,
    /// The extension that it pays for.
    pub(crate) paid: Option<&'static str>,
    /// The fields of the file that nobody can vouch for once a request of it that must not be
    /// repeated is lost: what that request alone would have written, and what was to follow it.
    pub(crate) at_stake: &'static [&'static str],
}

impl Row {
    fn on(file: impl Into<String>) -> Self {
        let file = file.into();
        Self { file, cells: Vec::new(), asks: Vec::new(), paid: None, at_stake: &[] }
    }

    fn with(mut self, column: &'static str, cell: impl Into<String>) -> Self {
        self.cells.push((column, cell.into()));
        self
    }

    fn asks(mut self, call: &'static str, body: Value) -> Self {
        self.asks.push((call, body));
        self
    }

    fn adds(self, tag: &str) -> Self {
        let body = json!({"fileIds": [self.file], "tags": [tag]});
        self.with("addTags", tag).asks("addTags", body)
    }

    fn removes(self, tag: &str) -> Self {
        let body = json!({"fileIds": [self.file], "tags": [tag]});
        self.with("removeTags", tag).asks("removeTags", body)
    }

    fn describes(self, text: &str) -> Self {
        let body = json!({"description": text});
        self.with("description", text).asks("patch", body)
    }

    fn unpublishes(self) -> Self {
        self.with("isPublished", "false")
            .asks("publish", json!({"publish": {"isPublished": false}}))
    }

    fn pays(self, extension: &'static str, config: &str, body: Value) -> Self {
        let mut body = body;
        body["extensions"] = serde_json::from_str(config).expect("the config is JSON");
        Self { paid: Some(extension), ..self.with("extensions", config).asks("patch", body) }
    }

    fn at_stake(self, fields: &'static [&'static str]) -> Self {
        Self { at_stake: fields, ..self }
    }
}

/// All rows, in order. The first is row 2 of the sheet.
pub(crate) fn rows() -> Vec<Row> {
    (0..BLOCKS).flat_map(block).collect()
}

fn block(b: usize) -> Vec<Row> {
    let (many, own) = (format!("many{b}"), |name: &str| format!("{name}{b}"));
    let (word, price) = (|name: &str| format!("{name}-{b}"), 10 + b);
    let missing = Row::on(own("missing"));
    vec![
        Row::on(&many)
            .with("tags", format!("first,{b}"))
            .with("description", word("described"))
            .asks(
                "patch",
                json!({"tags": ["first", b.to_string()], "description": word("described")}),
            ),
        Row::on(&many).removes("first").adds("added"),
        Row::on(&many)
            .with("customMetadata.brand", "Acme")
            .with("customMetadata.List price (EUR)", price.to_string())
            .asks("patch", json!({"customMetadata": {"brand": "Acme", "price": price}})),
        Row::on(own("published"))
            .describes(&word("to be unpublished"))
            .unpublishes()
            .at_stake(&["isPublished"]),
        Row::on(&many)
            .with("tags", word("tagged"))
            .pays("google-auto-tagging", GOOGLE, json!({"tags": [word("tagged")]}))
            .at_stake(&["AITags"]),
        Row::on(own("cut-out")).pays("remove-bg", REMOVE_BG, json!({})),
        Row::on(own("described"))
            .with("customCoordinates", "1,2,30,40")
            .with("description", word("mine"))
            .pays(
                "ai-auto-description",
                DESCRIBE,
                json!({"customCoordinates": "1,2,30,40", "description": word("mine")}),
            )
            .at_stake(&["description"]),
        Row::on(own("both"))
            .with("customMetadata.brand", "Nike")
            .pays("google-auto-tagging", GOOGLE, json!({"customMetadata": {"brand": "Nike"}}))
            .unpublishes()
            .at_stake(&["AITags", "isPublished"]),
        Row::on(&many).with("customMetadata.size", "gigantic"),
        if b.is_multiple_of(2) {
            missing.with("tags", "nobody")
        } else {
            missing.with("isPublished", "false")
        },
        Row::on(""),
        Row::on(own("cleared"))
            .with("tags", "<clear>")
            .with("customMetadata.brand", "<clear>")
            .asks("patch", json!({"tags": null, "customMetadata": {"brand": null}})),
        Row::on(&many)
            .with("customMetadata.size", "medium")
            .asks("patch", json!({"customMetadata": {"size": "medium"}})),
        Row::on(own("three"))
            .describes(&word("three steps"))
            .removes("old")
            .adds("new")
            .unpublishes()
            .at_stake(&["isPublished"]),
    ]
}

/// The rows as a sheet.
pub(crate) fn csv(rows: &[Row]) -> Vec<u8> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(COLUMNS).expect("memory takes everything");
    for row in rows {
        let cell = |column: &str| {
            let cell = row.cells.iter().find(|(name, _)| *name == column);
            cell.map_or("", |(_, cell)| cell.as_str()).to_owned()
        };
        let cells = COLUMNS.iter().map(|column| match *column {
            "fileId" => row.file.clone(),
            column => cell(column),
        });
        csv.write_record(cells).expect("memory takes everything");
    }
    csv.into_inner().expect("memory takes everything")
}

/// The files that the rows are about.
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
