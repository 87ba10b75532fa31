//! Path policies of folders: rules for custom metadata, beside those of the account.

use ikbulk_sandbox::{Config, Library, PathPolicy};
use serde_json::{Value, json};

use crate::harness::{Cases, Line, TestEnv, assert_text, with_library};
use crate::workbooks::{row, write_workbook};

/// Files `a` to `e` in `/shoes/`, of which `a` and `b` have the brand Nike, and `x` elsewhere.
fn env(fields: &Value) -> TestEnv {
    env_with(fields, |config| config)
}

fn env_with(fields: &Value, change: impl FnOnce(Config) -> Config) -> TestEnv {
    let mut library = Library::new();
    for id in ["a", "b", "c", "d", "e"] {
        let path = format!("/shoes/{id}.jpg");
        let metadata = if id < "c" { json!({"brand": "Nike"}) } else { json!({}) };
        library.insert(json!({"fileId": id, "filePath": path, "customMetadata": metadata}));
    }
    library.insert(json!({"fileId": "x", "filePath": "/x.jpg"}));
    let policy = PathPolicy {
        name: "Shoes".to_owned(),
        folder: "/shoes".to_owned(),
        fields: fields.as_object().expect("an object").clone(),
    };
    TestEnv::new(change(Config { path_policies: vec![policy], ..with_library(library) }))
}

/// The status and the message of each row of the last run.
fn results(env: &TestEnv) -> Vec<String> {
    let run = env.runs("sheet").pop().expect("a run");
    let line = |row: &Line| {
        format!("{}: {} {} {}", row["fileId"], row["status"], row["code"], row["message"])
    };
    run.report().iter().map(line).collect()
}

fn refusals(env: &TestEnv) -> u64 {
    env.sandbox.stats().statuses.get(&400).copied().unwrap_or(0)
}

#[test]
fn values_that_the_folder_does_not_allow_are_rejected_before_sending() {
    let env = env(&json!({
        "brand": {"type": "Text", "readOnly": true, "maxLength": 4},
        "color": {"type": "SingleSelect", "selectOptions": ["red", "blue"]},
        "sku": {"type": "Text", "isValueRequired": true},
    }));
    env.write(
        "sheet.csv",
        "fileId,brand,color,sku,description\n\
         a,Acme,green,,two problems\n\
         b,Nike,blue,,has the brand already\n\
         c,Acme,,,sets the brand\n\
         d,Adidas,,,too long\n\
         e,,,<clear>,has no sku to clear\n\
         x,Adidas,green,<clear>,another folder\n",
    );
    let mut cases = Cases::default();
    cases.run(&env, "plan sheet.csv");
    cases.add("apply", env.apply("sheet.csv --max-bad 100%").exits(1));
    cases.add("report", results(&env).join("\n"));
    let run = env.runs("sheet").pop().expect("a run");
    cases.add("failed.csv", run.text("failed.csv"));
    assert_text!(cases);
    assert_eq!(refusals(&env), 0);
    assert_eq!(env.file("b")["customMetadata"], json!({"brand": "Nike", "color": "blue"}));
    assert_eq!(env.file("c")["customMetadata"]["brand"], "Acme");
    assert_eq!(env.file("x")["customMetadata"], json!({"brand": "Adidas", "color": "green"}));
}

#[test]
fn value_that_is_needed_cannot_be_cleared() {
    let env = env(&json!({"brand": {"type": "Text", "isValueRequired": true}}));
    env.write("sheet.csv", "fileId,brand\na,<clear>\n");
    env.apply("sheet.csv --max-bad 100%").exits(1);
    assert_text!(results(&env).join("\n"));
    assert_eq!(env.sandbox.stats().calls.patch, 0);
}

#[test]
fn options_that_file_objects_do_not_show_are_read_once_for_the_folder() {
    let options = |to| (0..to).map(|number| number.to_string()).collect::<Vec<_>>();
    let size = |to| json!({"type": "SingleSelect", "selectOptions": options(to)});
    let env = env_with(&json!({"size": size(150)}), |mut config| {
        let field = config.fields.iter_mut().find(|field| field["name"] == "size");
        field.expect("a field")["schema"] = size(200);
        config
    });
    env.write("sheet.csv", "fileId,size\na,149\nb,150\nx,199\n");
    env.apply("sheet.csv --max-bad 100%").exits(1);
    assert_text!(results(&env).join("\n"));
    assert_eq!((refusals(&env), env.sandbox.stats().calls.fields), (0, 2));
}

#[test]
fn without_a_snapshot_the_refusal_of_the_api_is_reported() {
    let env = env(&json!({"brand": {"type": "Text", "readOnly": true}}));
    env.write("sheet.csv", "fileId,brand\na,Acme\nc,Acme\n");
    env.apply_direct("sheet.csv").exits(1);
    assert_text!(results(&env).join("\n"));
}

#[test]
fn unchecked_values_are_left_to_the_api() {
    let env = env(&json!({"brand": {"type": "Text", "readOnly": true}}));
    env.write("sheet.csv", "fileId,customMetadata.brand\na,Acme\n");
    env.apply("sheet.csv --no-schema").exits(1);
    assert_text!(results(&env).join("\n"));
}

#[test]
fn rows_that_the_folder_does_not_allow_count_for_max_bad() {
    let env = env(&json!({"brand": {"type": "Text", "readOnly": true}}));
    env.write("sheet.csv", "fileId,brand\na,Acme\nb,Acme\nc,Acme\n");
    env.apply("sheet.csv").exits(2).output_contains("2 invalid (66.7%)");
    assert_eq!(env.sandbox.stats().calls.patch, 0);
}

#[test]
fn line_ends_of_a_spreadsheet_program_are_no_change_of_a_read_only_field() {
    let text = json!({"id": "9", "name": "text", "label": "Text", "schema": {"type": "Textarea"}});
    let env = env_with(&json!({"text": {"type": "Textarea", "readOnly": true}}), |mut config| {
        config.fields.push(text);
        config.library.insert(json!({
            "fileId": "m", "filePath": "/shoes/m.jpg", "customMetadata": {"text": "one\r\ntwo"},
        }));
        config
    });
    env.write("sheet.csv", "fileId,text,description\nm,\"one\ntwo\",new\n");
    env.apply("sheet.csv").exits(0);
    assert_eq!(env.file("m")["customMetadata"]["text"], "one\r\ntwo");
}

#[test]
fn value_that_a_later_row_replaces_is_not_compared() {
    let env = env(&json!({"brand": {"type": "Text", "isValueRequired": true, "maxLength": 4}}));
    env.write("sheet.csv", "fileId,brand\na,<clear>\nb,Adidas\na,Acme\nb,Reebok\n");
    env.apply("sheet.csv --max-bad 100%").exits(1);
    assert_text!(results(&env).join("\n"));
    assert_eq!(env.file("a")["customMetadata"]["brand"], "Acme");
    assert_eq!(env.file("b")["customMetadata"]["brand"], "Nike");
}

/// The run would be charged, and its result refused or, worse, written.
#[test]
fn extension_that_may_write_what_the_folder_does_not_allow_is_rejected_before_sending() {
    let env = env(&json!({
        "brand": {"type": "Text", "readOnly": true},
        "color": {"type": "SingleSelect", "selectOptions": ["red", "blue"]},
        "sku": {"type": "Text", "isValueRequired": true},
    }));
    let yes_no =
        |action: Value| json!({"type": "yes_no", "instruction": "Is it?", "on_yes": action});
    let set = |field: &str, value: &str| {
        yes_no(json!({"set_metadata": [{"field": field, "value": value}]}))
    };
    let select = |words: &[&str]| json!({"type": "select_metadata", "instruction": "Which?", "field": "color", "vocabulary": words});
    let line = |(file, task): &(&str, Value)| {
        format!(
            "{}\n",
            json!({"fileId": file, "extensions": [{"name": "ai-tasks", "tasks": [task]}]})
        )
    };
    let rows = [
        ("a", set("brand", "Acme")),
        ("b", set("brand", "Nike")),
        ("c", set("brand", "Acme")),
        ("d", select(&["red", "green"])),
        ("e", yes_no(json!({"unset_metadata": [{"field": "sku"}]}))),
        ("x", select(&["red", "green"])),
    ];
    env.write("sheet.jsonl", rows.iter().map(line).collect::<String>());
    env.apply("sheet.jsonl --max-bad 100%").exits(1);
    assert_text!(results(&env).join("\n"));
    // What is not checked is sent, and charged although it fails.
    env.write("unchecked.jsonl", line(&rows[0]));
    env.apply("unchecked.jsonl --no-schema").exits(1);
    assert_eq!(env.sandbox.stats().billed_runs_of("a", "ai-tasks"), 1);
    // An extension that ran is not sent, and so not refused.
    env.write("sheet.jsonl", line(&rows[0]));
    env.apply("sheet.jsonl").exits(0);
    assert_eq!(env.runs("sheet").pop().expect("a run").row(1)["code"], "already_ran");
}

#[test]
fn undo_restores_what_the_folder_allows() {
    let env = env(&json!({"brand": {"type": "Text", "readOnly": true}}));
    env.write("sheet.csv", "fileId,brand,description\nc,Acme,new\n");
    env.apply("sheet.csv").exits(0);
    let run = env.only_run("sheet");
    let before = env.file("c")["description"].clone();
    assert_eq!(before, "new");
    let undone = env.run(&format!("undo {} --yes --rate unlimited", run.name()));
    undone.output_contains("the previous value is no longer allowed");
    assert_eq!(env.file("c")["customMetadata"]["brand"], "Acme");
    assert_ne!(env.file("c")["description"], "new");
    assert_eq!(refusals(&env), 0);
}

#[test]
fn cell_that_the_folder_does_not_allow_is_marked_in_a_workbook() {
    let env = env(&json!({"brand": {"type": "Text", "readOnly": true}}));
    let rows = [row(&["fileId", "brand", "description"]), row(&["a", "Acme", "new"])];
    write_workbook(&env.path("sheet.xlsx"), &rows);
    env.apply("sheet.xlsx --max-bad 100%").exits(1);
    let failed = env.only_run("sheet").path().join("failed.xlsx");
    let file = std::fs::File::open(failed).expect("a row failed");
    let mut archive = zip::ZipArchive::new(file).expect("it is a workbook");
    let mut part = archive.by_name("xl/worksheets/sheet1.xml").expect("it has a worksheet");
    let text = std::io::read_to_string(&mut part).expect("it is text");
    let style = |cell: &str| {
        let (_, rest) = text.split_once(&format!("r=\"{cell}\"")).expect("the cell is there");
        let (attributes, _) = rest.split_once('>').expect("it ends");
        attributes.split_once(" s=\"").map(|(_, rest)| rest.split('"').next().map(str::to_owned))
    };
    assert_eq!(style("A2"), style("C2"));
    assert_ne!(style("B2"), style("C2"));
}
