//! Tag changes of many rows in few calls, and what becomes of each row.

use ikbulk_sandbox::{Config, Fault, Library, MissingIds, Quirks};
use serde_json::json;

use crate::harness::{TestEnv, assert_text, files, ids, script, sheet};

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

/// Files with the AI tags `car` and `dog`.
fn with_ai_tags(ids: &[String]) -> Config {
    let mut library = Library::new();
    let ai_tag = |name| json!({"name": name, "source": "google-auto-tagging", "confidence": 90});
    for id in ids {
        let ai_tags = [ai_tag("car"), ai_tag("dog")];
        library.insert(json!({"fileId": id, "filePath": format!("/{id}"), "AITags": ai_tags}));
    }
    crate::harness::with_library(library)
}

fn ai_tags(env: &TestEnv, id: &str) -> Vec<String> {
    let file = env.file(id);
    let names = file["AITags"].as_array().into_iter().flatten().map(|tag| &tag["name"]);
    names.map(|name| name.as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn one_ai_tag_of_1000_files_takes_20_calls() {
    let ids = ids(1000);
    for direct in [true, false] {
        let env = TestEnv::new(with_ai_tags(&ids));
        env.write(
            "sheet.csv",
            sheet("fileId,removeAITags", ids.iter().map(|id| format!("{id},car"))),
        );
        if direct { env.apply_direct("sheet.csv") } else { env.apply("sheet.csv") }.exits(0);
        let calls = env.sandbox.stats().calls;
        assert_eq!((calls.remove_ai_tags, calls.patch), (20, 0));
        assert_eq!(env.only_run("sheet").count("updated"), 1000);
        assert!(ids.iter().all(|id| ai_tags(&env, id) == ["dog"]));
    }
}

#[test]
fn ai_tags_are_removed_in_a_patch_that_is_needed_anyway() {
    let ids = ids(4);
    let extension = r#""[{""name"":""google-auto-tagging"",""minConfidence"":80,""maxTags"":5}]""#;
    for direct in [true, false] {
        let env = TestEnv::new(with_ai_tags(&ids));
        let rows = [
            format!("{},all,,,", ids[0]),
            format!("{},car,,a text,", ids[1]),
            format!("{},car,,,{extension}", ids[2]),
            format!("{},car,sale,,", ids[3]),
        ];
        env.write(
            "sheet.csv",
            sheet("fileId,removeAITags,addTags,description,extensions", rows.into_iter()),
        );
        if direct { env.apply_direct("sheet.csv") } else { env.apply("sheet.csv") }.exits(0);
        let calls = env.sandbox.stats().calls;
        assert_eq!((calls.patch, calls.remove_ai_tags, calls.add_tags), (3, 1, 1));
        assert_eq!(ai_tags(&env, &ids[0]), Vec::<String>::new());
        assert!([1, 3].iter().all(|index| ai_tags(&env, &ids[*index]) == ["dog"]));
        assert_eq!(env.only_run("sheet").count("updated"), 4);
    }
}

#[test]
fn ai_tags_of_missing_files_are_rejected_alone() {
    let ids = ids(100);
    let there: Vec<String> = ids.iter().filter(|id| !is_missing(id)).cloned().collect();
    for missing in [MissingIds::Named, MissingIds::Silent] {
        let env = TestEnv::new(with(missing, with_ai_tags(&there)));
        env.write(
            "sheet.csv",
            sheet("fileId,removeAITags", ids.iter().map(|id| format!("{id},car"))),
        );
        env.apply_direct("sheet.csv --max-rejected 100%").exits(1);
        let run = env.only_run("sheet");
        assert_eq!((run.count("updated"), run.count("rejected")), (97, 3));
        assert!(there.iter().all(|id| ai_tags(&env, id) == ["dog"]));
    }
}

#[test]
fn merged_rows_share_a_call_that_removes_ai_tags() {
    let ids = ids(100);
    let env = TestEnv::new(with_ai_tags(&ids));
    let rows = ids.iter().flat_map(|id| [format!("{id},car"), format!("{id},\"dog,bird\"")]);
    env.write("sheet.csv", sheet("fileId,removeAITags", rows));
    env.apply("sheet.csv").exits(0);
    assert_eq!(env.sandbox.stats().calls.remove_ai_tags, 2);
    assert_eq!(env.only_run("sheet").count("updated"), 200);
    assert!(ids.iter().all(|id| ai_tags(&env, id).is_empty()));
    // Up to date now.
    std::fs::rename(env.path("sheet.csv"), env.path("again.csv")).expect("it is there");
    env.apply("again.csv").exits(0);
    assert_eq!(env.only_run("again").count("unchanged"), 200);
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
fn bulk_call_that_claims_success_is_found_out() {
    let claims = vec![(1, Fault::FalseBulkSuccess)];
    let env = TestEnv::new(script(claims, files(["a"])));
    env.write("sheet.csv", "fileId,addTags\na,new\n");
    assert_text!(env.apply_direct("sheet.csv").exits(1));
    let row = env.only_run("sheet").row(2);
    assert_eq!((&*row["status"], &*row["code"]), ("updated", "mismatch"));
    assert_eq!(env.sandbox.stats().calls.get, 2, "the second read confirms it");
    env.apply("sheet.csv").exits(0);
    let tags = env.file("a")["tags"].clone();
    assert!(tags.as_array().is_some_and(|tags| tags.contains(&json!("new"))), "{tags}");
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
