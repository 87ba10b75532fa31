//! Tag changes of many rows in few calls, and what becomes of each row.

use ikbulk::sandbox::{Config, Fault, Library, MissingIds, Quirks};
use serde_json::json;

use crate::harness::{TestEnv, files, ids, script, sheet};

fn is_on_sale(world: &TestEnv, id: &str) -> bool {
    world.file(id)["tags"].as_array().is_some_and(|tags| tags.contains(&json!("sale")))
}

/// `addTags` for every file.
fn sale(ids: &[String]) -> String {
    sheet("fileId,addTags", ids.iter().map(|id| format!("{id},sale")))
}

fn with(missing: MissingIds, config: Config) -> Config {
    Config { quirks: Quirks { missing_ids: missing, ..config.quirks }, ..config }
}

#[test]
fn a_thousand_rows_that_add_the_same_tag_take_twenty_calls() {
    let ids = ids(1000);
    let world = TestEnv::new(files(&ids));
    world.write("sheet.csv", sale(&ids));
    world.apply_direct("sheet.csv").exits(0);
    assert_eq!(world.sandbox.stats().calls.add_tags, 20);
    assert_eq!(world.only_run("sheet").count("updated"), 1000);
    assert!(ids.iter().all(|id| is_on_sale(&world, id)));
}

#[test]
fn removing_before_adding_keeps_its_order_and_shares_calls_too() {
    let ids = ids(100);
    let mut library = Library::new();
    for id in &ids {
        library.insert(json!({"fileId": id, "filePath": format!("/{id}"), "tags": ["old"]}));
    }
    let world = TestEnv::new(crate::harness::with_library(library));
    let rows = ids.iter().map(|id| format!("{id},old,new"));
    world.write("sheet.csv", sheet("fileId,removeTags,addTags", rows));
    world.apply_direct("sheet.csv").exits(0);
    let calls = world.sandbox.stats().calls;
    assert_eq!((calls.remove_tags, calls.add_tags), (2, 2));
    assert!(ids.iter().all(|id| world.file(id)["tags"] == json!(["new"])));
    assert!(!world.sandbox.stats().overlapped);
}

/// Three files of a hundred do not exist: their rows are rejected, the others done.
fn missing_files(missing: MissingIds) -> u64 {
    let ids = ids(100);
    let there = ids.iter().filter(|id| !is_missing(id));
    let world = TestEnv::new(with(missing, files(there.clone())));
    world.write("sheet.csv", sale(&ids));
    world.apply_direct("sheet.csv --max-rejected 100%").exits(1);
    for (id, line) in ids.iter().zip(world.only_run("sheet").report()) {
        let wanted = if is_missing(id) { "rejected" } else { "updated" };
        assert_eq!(line["status"], wanted, "{id}");
    }
    assert!(there.clone().all(|id| is_on_sale(&world, id)));
    world.sandbox.stats().calls.add_tags
}

fn is_missing(id: &str) -> bool {
    ["file007", "file030", "file099"].contains(&id)
}

#[test]
fn missing_files_that_are_named_cost_one_call_more() {
    // Two calls refused, and the rest of each.
    assert_eq!(missing_files(MissingIds::Named), 4);
}

#[test]
fn missing_files_that_are_not_named_are_found_by_halving() {
    let calls = missing_files(MissingIds::Silent);
    // To find one of fifty takes six halvings, with the good half of each sent beside it.
    assert!(calls <= 2 + 3 * 12, "{calls} calls");
}

#[test]
fn a_removal_that_failed_for_a_part_of_its_files_rejects_their_rows_and_no_others() {
    let ids = ids(4);
    let mut library = Library::new();
    for id in &ids {
        library.insert(json!({"fileId": id, "tags": ["sale"]}));
    }
    let in_part = script(vec![(1, Fault::BulkInPart)], crate::harness::with_library(library));
    let world = TestEnv::new(in_part);
    let rows = ids.iter().map(|id| format!("{id},sale"));
    world.write("sheet.csv", sheet("fileId,removeTags", rows));
    world.apply_direct("sheet.csv").exits(1);
    let run = world.only_run("sheet");
    assert_eq!(run.statuses(), ["rejected", "updated", "rejected", "updated"]);
    assert_eq!(run.row(2)["httpStatus"], "207");
    assert_eq!(
        ids.iter().map(|id| is_on_sale(&world, id)).collect::<Vec<_>>(),
        [true, false, true, false]
    );
    assert_eq!(world.sandbox.stats().calls.remove_tags, 1);
}

#[test]
fn a_row_that_was_rejected_before_its_tags_takes_no_part_in_the_call() {
    let ids = ids(10);
    // The details of the third row are refused, so that its tags are not to be added.
    let refused = vec![(3, crate::harness::status(400, "No."))];
    let world = TestEnv::new(script(refused, files(&ids)));
    let rows = ids.iter().map(|id| format!("{id},text,sale"));
    world.write("sheet.csv", sheet("fileId,description,addTags", rows));
    world.apply_direct("sheet.csv --concurrency 1").exits(1);
    assert_eq!(world.only_run("sheet").row(4)["status"], "rejected");
    for (index, id) in ids.iter().enumerate() {
        assert_eq!(is_on_sale(&world, id), index != 2, "{id}");
    }
    assert_eq!(world.sandbox.stats().calls.add_tags, 1);
}

#[test]
fn a_call_whose_answer_is_lost_is_sent_again_for_all_of_its_rows() {
    let ids = ids(50);
    let world = TestEnv::new(script(vec![(1, Fault::ResetAfter)], files(&ids)));
    world.write("sheet.csv", sale(&ids));
    world.apply_direct("sheet.csv").exits(0);
    assert_eq!(world.only_run("sheet").count("updated"), 50);
    assert_eq!(world.sandbox.stats().calls.add_tags, 2);
}

#[test]
fn after_a_lost_call_only_a_file_with_a_later_row_is_read_back() {
    let ids = ids(50);
    let world = TestEnv::new(script(vec![(1, Fault::ResetAfter)], files(&ids)));
    world.write("sheet.csv", sale(&ids) + "file010,new\n");
    world.apply_direct("sheet.csv").exits(0);
    let calls = world.sandbox.stats().calls;
    assert_eq!((calls.add_tags, calls.get), (3, 1));
}

#[test]
fn a_lost_call_for_two_rows_of_a_file_is_not_followed_by_either() {
    let ids = ["a", "a", "b"].map(str::to_owned);
    let world = TestEnv::new(script(vec![(1, Fault::ResetAfter)], files(["a", "b"])));
    world.write("sheet.csv", sale(&ids));
    world.apply_direct("sheet.csv").exits(0);
    let calls = world.sandbox.stats().calls;
    assert_eq!((calls.add_tags, calls.get), (2, 0));
}
