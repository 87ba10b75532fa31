//! The library as a sheet, and the sheet as the library.

use std::collections::BTreeSet;
use std::time::Duration;

use ikbulk_sandbox::{Config, Fault, Hook, Library, Phase};
use serde_json::{Value, json};

use crate::harness::{
    Cases, ChildHandle, TestEnv, assert_text, files, ids, lines, script, status, with_library,
};

const FIELDS: [&str; 4] = ["tags", "customCoordinates", "description", "customMetadata"];

/// Files whose values a sheet could misread, and that every format can represent.
fn awkward() -> Vec<(&'static str, Value)> {
    let file = |tags: Value, description: Value, metadata: Value| json!({"tags": tags, "description": description, "customMetadata": metadata});
    let metadata = |metadata: Value| json!({"customMetadata": metadata});
    let none = || json!({});
    vec![
        ("plain", file(json!(["red", "on sale"]), json!("A shoe"), json!({"brand": "Acme"}))),
        ("nothing", file(Value::Null, Value::Null, none())),
        ("empty", json!({"tags": [], "description": "", "customCoordinates": ""})),
        ("empty-metadata", metadata(json!({"brand": "", "sku": "", "size": "", "channels": []}))),
        ("commas", file(json!(["a, b", "c"]), json!("a, b"), json!({"brand": "A, B & \"C\""}))),
        ("clear", file(json!(["<clear>"]), json!("<clear>"), json!({"brand": "<clear>"}))),
        ("damage", file(json!(["#N/A"]), json!("#N/A"), json!({"brand": "#REF!"}))),
        ("escape", file(json!(["\\<clear>"]), json!("\\#N/A"), json!({"brand": "\\"}))),
        ("lines", file(json!(["[x]"]), json!("two\nlines\r\nand \"quotes\""), none())),
        ("formula", file(json!(["=1+1"]), json!("=1+1"), json!({"brand": "@x"}))),
        ("unicode", file(json!(["größe"]), json!("🦀 ünïcode"), json!({"brand": "日本"}))),
        ("spaces", file(json!([" x ", "x"]), json!(" x "), json!({"brand": " x "}))),
        ("json", file(json!(["[\"x\"]"]), json!("[\"x\"]"), json!({"brand": "\"x\""}))),
        ("zeros", metadata(json!({"sku": "00123", "brand": "1e5", "caption": "true"}))),
        (
            "options",
            metadata(json!({"size": 30, "either": "30", "channels": ["web", 2024, false]})),
        ),
        ("true", metadata(json!({"size": true, "approved": false}))),
        ("small", metadata(json!({"any": 1.7e-9, "price": 0.1}))),
        ("digits", metadata(json!({"any": 5.508_831_816_499_05e-9}))),
        ("great", metadata(json!({"any": 1.2345e20, "price": 12.0}))),
        ("date", metadata(json!({"rights_until": "2026-11-24"}))),
        ("time", metadata(json!({"rights_until": "2026-11-24T10:30:00.000Z"}))),
    ]
}

/// (file, column, content): values that neither a cell nor JSON can represent.
fn unrepresentable() -> Vec<(&'static str, &'static str, Value)> {
    let metadata = |name: &str, value: Value| json!({"customMetadata": {name: value}});
    vec![
        ("percent", "tags", json!({"tags": ["50% off", "x"]})),
        ("long", "tags", json!({"tags": ["x".repeat(300), "y".repeat(300)]})),
        ("twice", "tags", json!({"tags": ["x", "x"]})),
        ("blank-tag", "tags", json!({"tags": [" "]})),
        ("nul", "description", json!({"description": "a\0b"})),
        ("area", "customCoordinates", json!({"customCoordinates": "1.5,2,3,4"})),
        ("spelt-number", "customMetadata.size", metadata("size", json!("30"))),
        ("spelt-boolean", "customMetadata.size", metadata("size", json!("true"))),
        ("no-option", "customMetadata.size", metadata("size", json!("gigantic"))),
        ("below", "customMetadata.price", metadata("price", json!(-5))),
        ("early", "customMetadata.rights_until", metadata("rights_until", json!("1999-01-01"))),
        ("too-long", "customMetadata.brand", metadata("brand", json!("B".repeat(80)))),
        ("no-list", "customMetadata.channels", metadata("channels", json!("web"))),
    ]
}

/// (file, column, content): values that JSON can represent and a cell cannot.
fn json_only() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("blank", "description", json!({"description": " \n"})),
        ("number", "customMetadata.either", json!({"customMetadata": {"either": 30}})),
        ("exact", "customMetadata.any", json!({"customMetadata": {"any": u64::MAX}})),
    ]
}

/// An environment with these files, and with metadata fields for any number and for `"30"` or `30`.
fn env(files: impl IntoIterator<Item = (&'static str, Value)>) -> TestEnv {
    let mut library = Library::new();
    for (id, mut file) in files {
        file["fileId"] = json!(id);
        file["filePath"] = json!(format!("/a folder/{id}.jpg"));
        if file["customCoordinates"].is_null() {
            file["customCoordinates"] = json!("1,2,30,40");
        }
        library.insert(file);
    }
    let mut config = with_library(library);
    config.fields.extend([
        json!({"id": "1", "name": "any", "label": "Any number", "schema": {"type": "Number"}}),
        json!({"id": "2", "name": "either", "label": "Either", "schema": {"type": "SingleSelect", "selectOptions": ["30", 30]}}),
    ]);
    TestEnv::new(config)
}

/// An environment with the awkward files.
pub(crate) fn awkward_env() -> TestEnv {
    env(awkward())
}

/// Everything that can be changed of these files.
fn state<'f>(env: &TestEnv, files: impl IntoIterator<Item = &'f str>) -> Vec<Value> {
    let of = |id: &str| {
        let file = env.file(id);
        json!(FIELDS.map(|field| file[field].clone()))
    };
    files.into_iter().map(of).collect()
}

fn awkward_state(env: &TestEnv) -> Vec<Value> {
    state(env, awkward().iter().map(|(id, _)| *id))
}

/// Applied unedited with either planner, the sheet has no bad row and changes nothing.
fn changes_nothing(env: &TestEnv, name: &str, ids: &[&str]) {
    let before = state(env, ids.iter().copied());
    is_up_to_date(env, name, ids);
    env.apply_direct(name).exits(0);
    assert_eq!(state(env, ids.iter().copied()), before);
}

/// Applied unedited, the sheet has no bad row, and all of its rows are up to date.
fn is_up_to_date(env: &TestEnv, name: &str, ids: &[&str]) {
    env.run(&format!("check {name}")).exits(0);
    env.run(&format!("apply --yes --rate unlimited --read-rate unlimited {name}")).exits(0);
    let (stem, _) = name.split_once('.').expect("a sheet has an ending");
    let run = env.only_run(stem);
    let changed = run.report().into_iter().filter(|line| line["status"] != "unchanged");
    let changed: Vec<_> = changed.map(|line| env.file(&line["fileId"])).collect();
    assert_eq!(run.statuses(), vec!["unchanged"; ids.len()], "{changed:#?}");
    env.run(&format!("plan {name} --detailed-exitcode")).exits(0);
}

fn comes_back_unchanged(name: &str) {
    let env = awkward_env();
    env.run(&format!("export -o {name}")).exits(0);
    changes_nothing(&env, name, &awkward_ids());
}

fn awkward_ids() -> Vec<&'static str> {
    awkward().iter().map(|(id, _)| *id).collect()
}

/// Applied unedited, all rows of the awkward files are up to date.
pub(crate) fn awkward_is_up_to_date(env: &TestEnv, name: &str) {
    let before = awkward_state(env);
    is_up_to_date(env, name, &awkward_ids());
    assert_eq!(awkward_state(env), before);
}

/// Each of these values is named and left out, and the sheet has the rest.
fn leaves_out(name: &str, files: &[(&'static str, &'static str, Value)]) {
    for (id, column, file) in files {
        let env = env([(*id, file.clone())]);
        let done = env.run(&format!("export -o {name}")).exits(1);
        done.output_contains(column).output_contains(id);
        changes_nothing(&env, name, &[*id]);
    }
}

/// The text of an exported CSV, which begins with a BOM.
#[track_caller]
fn exported_text(env: &TestEnv, name: &str) -> String {
    let text = std::fs::read_to_string(env.path(name)).expect("it was exported");
    text.strip_prefix('\u{feff}').expect("Excel needs the mark").to_owned()
}

#[test]
fn unedited_csv_changes_nothing() {
    comes_back_unchanged("library.csv");
}

#[test]
fn unedited_jsonl_changes_nothing() {
    comes_back_unchanged("library.jsonl");
}

#[test]
fn unedited_workbook_changes_nothing() {
    comes_back_unchanged("library.xlsx");
}

#[test]
fn edited_cell_changes_only_its_file() {
    let env = awkward_env();
    let before = awkward_state(&env);
    env.run("export -o library.csv --columns description").exits(0);
    let sheet = exported_text(&env, "library.csv");
    assert_eq!(sheet.lines().next(), Some("fileId,description"));
    env.write("library.csv", sheet.replace("A shoe", "A red shoe"));
    env.apply_direct("library.csv").exits(0);
    let mut wanted = before;
    wanted[0][2] = json!("A red shoe");
    assert_eq!(awkward_state(&env), wanted);
}

#[test]
fn export_of_a_folder_a_search_and_columns() {
    let mut library = Library::new();
    for (id, path) in [("one", "/a/1.jpg"), ("two", "/b/2.jpg"), ("three", "/a/c/3.jpg")] {
        library.insert(json!({"fileId": id, "filePath": path}));
    }
    let env = TestEnv::new(with_library(library));
    let exported = |arguments: &[&str]| -> Vec<String> {
        let always = ["export", "-o", "sheet.csv", "--overwrite", "--columns", "filePath,tags"];
        env.command(&[&always[..], arguments].concat()).run().exits(0);
        let sheet = exported_text(&env, "sheet.csv");
        assert_eq!(sheet.lines().next(), Some("fileId,filePath,tags"));
        lines(&sheet).iter().map(|line| line["filePath"].clone()).collect()
    };
    assert_eq!(exported(&["--folder", "/a"]), ["/a/1.jpg"]);
    assert_eq!(exported(&["--search", "id IN [\"two\"]"]), ["/b/2.jpg"]);
    assert_eq!(exported(&[]).len(), 3);
}

#[test]
fn read_only_columns_are_exported_and_ignored_when_applied() {
    let ai_tags = json!([
        {"name": "shirt, red", "confidence": 97.5, "source": "google-auto-tagging"},
        {"name": "dress", "confidence": 95, "source": "aws-auto-tagging"},
    ]);
    let env =
        env([("a", json!({"tags": ["old"], "AITags": ai_tags})), ("b", json!({"tags": null}))]);
    env.run(
        "export -o sheet.csv --columns tags,aiTags,aiTags.aws-auto-tagging,aiTagConfidences,version",
    )
    .exits(0);
    let expected = "\u{feff}fileId,tags,aiTags,aiTags.aws-auto-tagging,aiTagConfidences,version\n\
        a,old,\"[\"\"shirt, red\"\",\"\"dress\"\"]\",dress,\"shirt, red (97.5 %), dress (95 %)\",a\nb,,,,,b\n";
    let sheet = std::fs::read_to_string(env.path("sheet.csv")).unwrap();
    assert_eq!(sheet, expected);
    let ignored = "columns aiTags, aiTags.aws-auto-tagging, aiTagConfidences, version";
    env.apply("sheet.csv").exits(0).output_contains(ignored);
    assert_eq!(env.only_run("sheet").statuses(), ["unchanged", "unchanged"]);
}

#[test]
fn read_only_column_with_the_name_of_a_field_is_not_read_as_the_field() {
    let field = |name: &str, label: &str| json!({"id": name, "name": name, "label": label, "schema": {"type": "Text"}});
    let columns = "size,name,version,aiTags,tags";
    for name in ["library.csv", "library.jsonl", "library.xlsx"] {
        let mut library = Library::new();
        library.insert(json!({
            "fileId": "a", "size": 30, "customMetadata": {"size": "small", "title": "mine"},
        }));
        let mut config = with_library(library);
        config.fields.extend([field("title", "Name"), field("release", "Version")]);
        let env = TestEnv::new(config);
        env.run(&format!("export -o {name} --columns {columns}")).exits(0);
        changes_nothing(&env, name, &["a"]);
        if name == "library.csv" {
            let header = "fileId,ikbulk.file.size,ikbulk.file.name,ikbulk.file.version,aiTags,tags";
            assert_eq!(exported_text(&env, name).lines().next(), Some(header));
            // A person's own column means the field.
            env.write("own.csv", "fileId,size\na,30\n");
            env.apply("own.csv").exits(0);
            assert_eq!(env.file("a")["customMetadata"]["size"], 30);
        }
    }
}

#[test]
fn failed_page_is_read_again() {
    let page = script(vec![(3, status(503, "Try again."))], files(ids(2500)));
    let env = TestEnv::new(page);
    env.run("export -o all.csv").exits(0);
    let sheet = exported_text(&env, "all.csv");
    let exported: Vec<String> = lines(&sheet).iter().map(|line| line["fileId"].clone()).collect();
    assert_eq!(exported.len(), 2500);
    assert!(exported.into_iter().collect::<BTreeSet<_>>() == ids(2500).into_iter().collect());
    // The account, the fields, three pages, the empty page after them, and the failed one.
    assert_eq!(env.sandbox.stats().requests, 7);
}

#[test]
fn existing_sheet_is_replaced_only_by_a_whole_one() {
    let env = TestEnv::new(script(vec![(5, Fault::Expire)], files(ids(3))));
    env.write("sheet.csv", "mine");
    env.run("export -o sheet.csv").exits(2);
    assert_eq!(env.sandbox.stats().requests, 0);
    env.run("export -o other.csv").exits(0);
    assert_text!(env.run("export -o sheet.csv --overwrite").exits(3));
    assert_eq!(std::fs::read_to_string(env.path("sheet.csv")).unwrap(), "mine");
    let left = std::fs::read_dir(env.path(".")).unwrap();
    let left = left.filter(|entry| {
        entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".writing")
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn signal_ends_an_export_without_a_partial_sheet() {
    let mut cases = Cases::default();
    for (name, code) in [("TERM", 143), ("INT", 130)] {
        let victim = ChildHandle::default();
        let hand = victim.clone();
        let hook = Hook::new(move |event| {
            if event.n == 4 && event.phase == Phase::Arrived {
                hand.signal(name);
            }
        });
        let latency = Duration::from_millis(50);
        let env = TestEnv::new(Config { hook: Some(hook), latency, ..files(ids(2500)) });
        let done = env.command(&["export", "-o", "sheet.csv"]).run_as(&victim).exits(code);
        cases.add(name, done);
        assert_eq!(env.sandbox.stats().requests, 4);
        let left = std::fs::read_dir(env.path(".")).unwrap();
        assert_eq!(left.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>(), ["state"]);
    }
    assert_text!(cases);
}

#[test]
fn values_without_a_csv_form_are_left_out() {
    leaves_out("sheet.csv", &[unrepresentable(), json_only()].concat());
}

#[test]
fn values_without_a_worksheet_form_are_left_out() {
    leaves_out("sheet.xlsx", &[unrepresentable(), json_only()].concat());
}

#[test]
fn values_without_a_json_form_are_left_out() {
    leaves_out("sheet.jsonl", &unrepresentable());
}

#[test]
fn json_only_values_are_exported_as_jsonl() {
    let env = env(json_only().into_iter().map(|(id, _, file)| (id, file)));
    env.run("export -o sheet.jsonl").exits(0);
    changes_nothing(
        &env,
        "sheet.jsonl",
        &json_only().iter().map(|(id, ..)| *id).collect::<Vec<_>>(),
    );
}

#[test]
fn first_ten_omitted_values_are_named() {
    let mut cases = Cases::default();
    for name in ["sheet.csv", "sheet.jsonl"] {
        let env = env(unrepresentable().into_iter().map(|(id, _, file)| (id, file)));
        cases.add(name, env.run(&format!("export -o {name}")).exits(1));
    }
    assert_text!(cases);
}

#[test]
fn file_with_an_unwritable_id_is_left_out() {
    let mut cases = Cases::default();
    for name in ["sheet.csv", "sheet.jsonl"] {
        let env = env([(" padded ", json!({})), ("one", json!({}))]);
        cases.add(name, env.run(&format!("export -o {name}")).exits(1));
        changes_nothing(&env, name, &["one"]);
    }
    assert_text!(cases);
}

#[test]
fn empty_exports() {
    let full = awkward_env();
    let mut cases = Cases::default();
    for what in [["--folder", "/nope"], ["--search", "id IN [\"nope\"]"]] {
        let done =
            full.command(&[&["export", "-o", "sheet.csv", "--overwrite"][..], &what].concat());
        cases.add(&what.join(" "), done.run().exits(0));
    }
    cases.add("empty library", env([]).run("export -o sheet.jsonl").exits(0));
    assert_text!(cases);
}

/// A response to a list call: these entries.
fn page(entries: &[Value]) -> Fault {
    let body = Value::from(entries).to_string();
    Fault::Status { code: 200, body, content_type: "application/json".to_owned() }
}

/// Files with these numbers, as a list shows them.
fn numbered(numbers: std::ops::Range<u64>) -> Vec<Value> {
    numbers.map(|n| json!({"type": "file", "fileId": format!("file{n}")})).collect()
}

/// An environment whose first list calls, after that for the account's fields, return these pages.
fn listing(pages: impl IntoIterator<Item = Vec<Value>>) -> TestEnv {
    let pages = (2..).zip(pages.into_iter().map(|entries| page(&entries)));
    TestEnv::new(script(pages.collect(), files([""; 0])))
}

#[test]
fn file_on_two_pages_is_written_once() {
    let env = listing([numbered(0..1000), numbered(997..1500)]);
    let done = env.run("export -o sheet.csv --columns tags").exits(0);
    assert_text!(done);
    let sheet = exported_text(&env, "sheet.csv");
    let written: BTreeSet<String> =
        lines(&sheet).iter().map(|line| line["fileId"].clone()).collect();
    assert_eq!((written.len(), sheet.lines().count()), (1500, 1501));
}

#[test]
fn repeated_pages_end_the_export() {
    let mut cases = Cases::default();
    for pages in 1..=3 {
        let again = (0..pages).cycle().take(40);
        let env = listing(again.map(|page| numbered(page * 1000..(page + 1) * 1000)));
        cases.add(&format!("{pages} pages"), env.run("export -o sheet.csv").exits(2));
        assert!(!env.path("sheet.csv").exists());
    }
    assert_text!(cases);
}

#[test]
fn folders_and_versions_are_left_out() {
    let mut library = Library::new();
    library.insert(json!({"fileId": "one", "filePath": "/a/shoes/1.jpg"}));
    library.insert(json!({"fileId": "shoes", "filePath": "/a/shoes"}));
    library.add_folder("/a/shoes");
    let env = TestEnv::new(with_library(library));
    let export = ["export", "-o", "sheet.csv", "--columns", "filePath", "--search"];
    let done = env.command(&[&export[..], &["path = \"/a/\" AND name = \"shoes\""]].concat());
    done.run().exits(0);
    let sheet = exported_text(&env, "sheet.csv");
    assert_eq!(sheet, "fileId,filePath\nshoes,/a/shoes\n");
    // An old version of a file has its id, and the values of then.
    let version = json!({"type": "file-version", "fileId": "file1", "tags": ["old"]});
    let env = listing([[vec![version], numbered(1..2)].concat()]);
    env.run("export -o sheet.csv --columns tags").exits(0);
    let sheet = exported_text(&env, "sheet.csv");
    assert_eq!(sheet, "fileId,tags\nfile1,\n");
}
