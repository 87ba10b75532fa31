//! The library as a sheet, and the sheet as the library.

use std::collections::BTreeSet;
use std::time::Duration;

use ikbulk::sandbox::{Config, Fault, Library, Phase, Tap};
use serde_json::{Value, json};

use crate::harness::{Victim, World, files, ids, lines, script, status, with_library};

const FIELDS: [&str; 4] = ["tags", "customCoordinates", "description", "customMetadata"];

/// Files with everything in them that a sheet could misunderstand.
fn awkward() -> Vec<(&'static str, Value)> {
    let file = |tags: Value, description: Value, metadata: Value| json!({"tags": tags, "description": description, "customMetadata": metadata});
    let none = || json!({});
    vec![
        ("plain", file(json!(["red", "on sale"]), json!("A shoe"), json!({"brand": "Acme"}))),
        ("nothing", file(Value::Null, Value::Null, none())),
        ("commas", file(json!(["a, b", "c"]), json!("a, b"), json!({"brand": "A, B & \"C\""}))),
        ("clear", file(json!(["<clear>"]), json!("<clear>"), json!({"brand": "<clear>"}))),
        ("damage", file(json!(["#N/A"]), json!("#N/A"), json!({"brand": "#REF!"}))),
        ("escape", file(json!(["\\<clear>"]), json!("\\#N/A"), json!({"brand": "\\"}))),
        ("lines", file(json!(["[x]"]), json!("two\nlines\r\nand \"quotes\""), none())),
        ("formula", file(json!(["=1+1"]), json!("=1+1"), json!({"brand": "@x"}))),
        ("unicode", file(json!(["größe"]), json!("🦀 ünïcode"), json!({"brand": "日本"}))),
    ]
}

fn world() -> World {
    let mut library = Library::new();
    for (id, mut file) in awkward() {
        file["fileId"] = json!(id);
        file["filePath"] = json!(format!("/a folder/{id}.jpg"));
        file["customCoordinates"] = json!("1,2,30,40");
        library.insert(file);
    }
    World::new(with_library(library))
}

fn state(world: &World) -> Vec<Value> {
    let of = |id: &str| {
        let file = world.file(id);
        json!(FIELDS.map(|field| file[field].clone()))
    };
    awkward().iter().map(|(id, _)| of(id)).collect()
}

fn comes_back_unchanged(name: &str) {
    let world = world();
    let before = state(&world);
    world.run(&format!("export -o {name}")).exits(0).says(&format!("{name}: 9 files"));
    world.run(&format!("check {name}")).exits(0);
    world.run(&format!("plan {name} --detailed-exitcode")).exits(0).says("0 writes");
    world.apply(name).exits(0);
    assert_eq!(state(&world), before);
}

#[test]
fn an_unedited_csv_changes_nothing() {
    comes_back_unchanged("library.csv");
}

#[test]
fn an_unedited_jsonl_changes_nothing() {
    comes_back_unchanged("library.jsonl");
}

#[test]
fn an_edited_cell_changes_its_file_and_no_other() {
    let world = world();
    let before = state(&world);
    world.run("export -o library.csv --columns description").exits(0);
    let sheet = std::fs::read_to_string(world.path("library.csv")).unwrap();
    assert_eq!(sheet.lines().next(), Some("fileId,description"));
    world.write("library.csv", sheet.replace("A shoe", "A red shoe"));
    world.apply("library.csv").exits(0);
    let mut wanted = before;
    wanted[0][2] = json!("A red shoe");
    assert_eq!(state(&world), wanted);
}

#[test]
fn a_folder_a_search_and_columns_are_as_asked_for() {
    let mut library = Library::new();
    for (id, path) in [("one", "/a/1.jpg"), ("two", "/b/2.jpg"), ("three", "/a/c/3.jpg")] {
        library.insert(json!({"fileId": id, "filePath": path}));
    }
    let world = World::new(with_library(library));
    let exported = |arguments: &[&str]| -> Vec<String> {
        let always = ["export", "-o", "sheet.csv", "--overwrite", "--columns", "filePath,tags"];
        world.command(&[&always[..], arguments].concat()).run().exits(0);
        let sheet = std::fs::read_to_string(world.path("sheet.csv")).unwrap();
        assert_eq!(sheet.lines().next(), Some("fileId,filePath,tags"));
        lines(&sheet).iter().map(|line| line["filePath"].clone()).collect()
    };
    assert_eq!(exported(&["--folder", "/a"]), ["/a/1.jpg"]);
    assert_eq!(exported(&["--search", "id IN [\"two\"]"]), ["/b/2.jpg"]);
    assert_eq!(exported(&[]).len(), 3);
}

#[test]
fn every_page_is_read_once_also_when_one_fails_at_first() {
    let page = script(vec![(3, status(503, "Try again."))], files(ids(2500)));
    let world = World::new(page);
    world.run("export -o all.csv").exits(0).says("all.csv: 2500 files");
    let sheet = std::fs::read_to_string(world.path("all.csv")).unwrap();
    let exported: Vec<String> = lines(&sheet).iter().map(|line| line["fileId"].clone()).collect();
    assert_eq!(exported.len(), 2500);
    assert!(exported.into_iter().collect::<BTreeSet<_>>() == ids(2500).into_iter().collect());
    // The fields, three pages, the empty one behind them, and the one that failed.
    assert_eq!(world.sandbox.stats().requests, 6);
}

#[test]
fn a_sheet_that_is_there_is_replaced_only_on_demand_and_only_by_a_whole_one() {
    let world = World::new(script(vec![(4, Fault::Expire)], files(ids(3))));
    world.write("sheet.csv", "mine");
    world.run("export -o sheet.csv").exits(2).says("sheet.csv is there already");
    assert_eq!(world.sandbox.stats().requests, 0);
    world.run("export -o other.csv").exits(0);
    let failed = world.run("export -o sheet.csv --overwrite").exits(2);
    failed.says("cannot read the library; no sheet was written");
    assert_eq!(std::fs::read_to_string(world.path("sheet.csv")).unwrap(), "mine");
    let left = std::fs::read_dir(world.path(".")).unwrap();
    let left = left.filter(|entry| {
        entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".writing")
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn a_signal_ends_an_export_at_once_and_leaves_no_part_of_a_sheet() {
    for (name, code) in [("TERM", 143), ("INT", 130)] {
        let victim = Victim::default();
        let hand = victim.clone();
        let tap = Tap::new(move |event| {
            if event.n == 3 && event.phase == Phase::Arrived {
                hand.signal(name);
            }
        });
        let latency = Duration::from_millis(50);
        let world = World::new(Config { tap: Some(tap), latency, ..files(ids(2500)) });
        let done = world.command(&["export", "-o", "sheet.csv"]).run_as(&victim).exits(code);
        done.says("stopped by a signal; no sheet was written");
        assert_eq!(world.sandbox.stats().requests, 3);
        let left = std::fs::read_dir(world.path(".")).unwrap();
        assert_eq!(left.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>(), [""; 0]);
    }
}

#[test]
fn a_value_that_no_cell_can_say_is_named_and_left_alone() {
    let mut library = Library::new();
    library.insert(json!({"fileId": "one", "filePath": "/1.jpg", "tags": ["100%", "a"]}));
    let world = World::new(with_library(library));
    world
        .run("export -o sheet.csv")
        .exits(1)
        .says("1 value cannot be written in a cell and was left empty")
        .says("tags of one");
    world.apply("sheet.csv").exits(0);
    assert_eq!(world.file("one")["tags"], json!(["100%", "a"]));
}
