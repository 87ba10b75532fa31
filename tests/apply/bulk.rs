//! Tag changes of many rows in few calls, and what becomes of each row.

use ikbulk_sandbox::{Config, Fault, Library, MissingIds, Quirks};
use serde_json::json;

use crate::harness::{TestEnv, files, ids, script, sheet};

fn is_on_sale(env: &TestEnv, id: &str) -> bool {
    env.file(id)["tags"].as_array().is_some_and(|tags| tags.contains(&json!("sale")))
}

/// `addTags` for every file.
fn sale(ids: &[String]) -> String {
    sheet("fileId,addTags", ids.iter().map(|id| format!("{id},sale")))
}

fn with(missing: MissingIds, config: Config) -> Config {
    Config { quirks: Quirks { missing_ids: missing, ..config.quirks }, ..config }
}

#[test]
fn one_tag_for_1000_files_takes_20_calls() {
    let ids = ids(1000);
    let env = TestEnv::new(files(&ids));
    env.write("sheet.csv", sale(&ids));
    env.apply_direct("sheet.csv").exits(0);
    assert_eq!(env.sandbox.stats().calls.add_tags, 20);
    assert_eq!(env.only_run("sheet").count("updated"), 1000);
    assert!(ids.iter().all(|id| is_on_sale(&env, id)));
}

#[test]
fn removals_precede_additions_in_shared_calls() {
    let ids = ids(100);
    let mut library = Library::new();
    for id in &ids {
        library.insert(json!({"fileId": id, "filePath": format!("/{id}"), "tags": ["old"]}));
    }
    let env = TestEnv::new(crate::harness::with_library(library));
    let rows = ids.iter().map(|id| format!("{id},old,new"));
    env.write("sheet.csv", sheet("fileId,removeTags,addTags", rows));
    env.apply_direct("sheet.csv").exits(0);
    let calls = env.sandbox.stats().calls;
    assert_eq!((calls.remove_tags, calls.add_tags), (2, 2));
    assert!(ids.iter().all(|id| env.file(id)["tags"] == json!(["new"])));
    assert!(!env.sandbox.stats().overlapped);
}

/// Three files of a hundred do not exist: their rows are rejected, the others done.
fn missing_files(missing: MissingIds) -> u64 {
    let ids = ids(100);
    let there = ids.iter().filter(|id| !is_missing(id));
    let env = TestEnv::new(with(missing, files(there.clone())));
    env.write("sheet.csv", sale(&ids));
    env.apply_direct("sheet.csv --max-rejected 100%").exits(1);
    for (id, line) in ids.iter().zip(env.only_run("sheet").report()) {
        let wanted = if is_missing(id) { "rejected" } else { "updated" };
        assert_eq!(line["status"], wanted, "{id}");
    }
    assert!(there.clone().all(|id| is_on_sale(&env, id)));
    env.sandbox.stats().calls.add_tags
}

fn is_missing(id: &str) -> bool {
    ["file007", "file030", "file099"].contains(&id)
}

#[test]
fn named_missing_files_cost_one_more_call() {
    // Two calls refused, and the rest of each.
    assert_eq!(missing_files(MissingIds::Named), 4);
}

#[test]
fn unnamed_missing_files_are_found_by_bisection() {
    let calls = missing_files(MissingIds::Silent);
    // To find one of fifty takes six halvings, with the good half of each sent beside it.
    assert!(calls <= 2 + 3 * 12, "{calls} calls");
}

#[test]
fn partly_failed_removal_rejects_only_its_rows() {
    let ids = ids(4);
    let mut library = Library::new();
    for id in &ids {
        library.insert(json!({"fileId": id, "tags": ["sale"]}));
    }
    let in_part = script(vec![(1, Fault::PartialBulk)], crate::harness::with_library(library));
    let env = TestEnv::new(in_part);
    let rows = ids.iter().map(|id| format!("{id},sale"));
    env.write("sheet.csv", sheet("fileId,removeTags", rows));
    env.apply_direct("sheet.csv").exits(1);
    let run = env.only_run("sheet");
    assert_eq!(run.statuses(), ["rejected", "updated", "rejected", "updated"]);
    assert_eq!(run.row(2)["httpStatus"], "207");
    assert_eq!(
        ids.iter().map(|id| is_on_sale(&env, id)).collect::<Vec<_>>(),
        [true, false, true, false]
    );
    assert_eq!(env.sandbox.stats().calls.remove_tags, 1);
}

#[test]
fn rejected_row_is_left_out_of_the_bulk_call() {
    let ids = ids(10);
    // The details of the third row are refused, so that its tags are not to be added.
    let refused = vec![(3, crate::harness::status(400, "No."))];
    let env = TestEnv::new(script(refused, files(&ids)));
    let rows = ids.iter().map(|id| format!("{id},text,sale"));
    env.write("sheet.csv", sheet("fileId,description,addTags", rows));
    env.apply_direct("sheet.csv --concurrency 1").exits(1);
    assert_eq!(env.only_run("sheet").row(4)["status"], "rejected");
    for (index, id) in ids.iter().enumerate() {
        assert_eq!(is_on_sale(&env, id), index != 2, "{id}");
    }
    assert_eq!(env.sandbox.stats().calls.add_tags, 1);
}

#[test]
fn bulk_call_with_a_lost_response_is_retried() {
    let ids = ids(50);
    let env = TestEnv::new(script(vec![(1, Fault::ResetAfter)], files(&ids)));
    env.write("sheet.csv", sale(&ids));
    env.apply_direct("sheet.csv").exits(0);
    assert_eq!(env.only_run("sheet").count("updated"), 50);
    assert_eq!(env.sandbox.stats().calls.add_tags, 2);
}

#[test]
fn lost_bulk_call_with_a_later_row_is_read_back() {
    let ids = ids(50);
    let env = TestEnv::new(script(vec![(1, Fault::ResetAfter)], files(&ids)));
    env.write("sheet.csv", sale(&ids) + "file010,new\n");
    env.apply_direct("sheet.csv").exits(0);
    let calls = env.sandbox.stats().calls;
    assert_eq!((calls.add_tags, calls.get), (3, 1));
}

#[test]
fn lost_bulk_call_without_later_rows_is_not_read_back() {
    let ids = ["a", "a", "b"].map(str::to_owned);
    let env = TestEnv::new(script(vec![(1, Fault::ResetAfter)], files(["a", "b"])));
    env.write("sheet.csv", sale(&ids));
    env.apply_direct("sheet.csv").exits(0);
    let calls = env.sandbox.stats().calls;
    assert_eq!((calls.add_tags, calls.get), (2, 0));
}
