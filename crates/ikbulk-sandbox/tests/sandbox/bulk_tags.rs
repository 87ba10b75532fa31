//! The bulk tag calls.

use ikbulk_sandbox::{Config, Fault, Faults, MissingIds, Quirks};
use serde_json::{Value, json};

use crate::client::{config, post, start_sandbox};

const ADD: &str = "/v1/files/addTags";
const REMOVE: &str = "/v1/files/removeTags";
const REMOVE_AI: &str = "/v1/files/removeAITags";

#[test]
fn added_tags_are_appended_without_duplicates() {
    let running = start_sandbox(config());
    let response =
        post(&running, ADD, &json!({"fileIds": ["f1", "f2", "f1"], "tags": ["sale", "new"]}));
    assert_eq!(response.status, 200);
    assert_eq!(response.json(), json!({"successfullyUpdatedFileIds": ["f1", "f2"]}));
    assert_eq!(running.file("f1").unwrap()["tags"], json!(["old", "sale", "new"]));
    assert_eq!(running.file("f2").unwrap()["tags"], json!(["sale", "new"]));
}

#[test]
fn removing_the_last_tag_leaves_null() {
    let running = start_sandbox(config());
    let response =
        post(&running, REMOVE, &json!({"fileIds": ["f1", "f2"], "tags": ["old", "sale", "none"]}));
    assert_eq!(response.json(), json!({"successfullyUpdatedFileIds": ["f1", "f2"]}));
    assert_eq!(running.file("f1").unwrap()["tags"], Value::Null);
}

#[test]
fn ai_tags_are_removed_by_name() {
    let running = start_sandbox(config());
    let response =
        post(&running, REMOVE_AI, &json!({"fileIds": ["f1"], "AITags": ["Shoe", "Bag"]}));
    assert_eq!(response.status, 200);
    assert_eq!(running.file("f1").unwrap()["AITags"], Value::Null);
}

#[test]
fn one_missing_file_rejects_the_whole_call() {
    for (missing_ids, missing) in
        [(MissingIds::Named, json!(["gone1", "gone2"])), (MissingIds::Silent, Value::Null)]
    {
        let quirks = Quirks { missing_ids, ..Quirks::default() };
        let running = start_sandbox(Config { quirks, ..config() });
        let before = running.file("f1");
        for path in [ADD, REMOVE, REMOVE_AI] {
            let response = post(&running, path, &body_for_files(&["f1", "gone1", "gone2"]));
            assert_eq!(response.status, 404, "{path}");
            assert_eq!(response.message(), "The requested file(s) does not exist.");
            assert_eq!(response.json()["missingFileIds"], missing);
        }
        assert_eq!(running.file("f1"), before);
    }
}

/// A body that all three bulk calls accept and that changes `f1` in each.
fn body_for_files(ids: &[&str]) -> Value {
    json!({"fileIds": ids, "tags": ["new", "old"], "AITags": ["Shoe", "Bag"]})
}

#[test]
fn each_bulk_call_can_partially_fail() {
    for path in [ADD, REMOVE, REMOVE_AI] {
        let faults = Faults { script: vec![(1, Fault::PartialBulk)], ..Faults::default() };
        let running = start_sandbox(Config { faults, ..config() });
        let before = running.file("f1");
        let response = post(&running, path, &body_for_files(&["f1", "f2"]));
        assert_eq!(response.status, 207, "{path}");
        let body = response.json();
        assert_eq!(body["successfullyUpdatedFileIds"], json!(["f2"]));
        assert_eq!(body["errors"].as_array().unwrap().len(), 1);
        assert_eq!(body["errors"][0]["fileId"], "f1");
        assert!(body["errors"][0]["error"].is_string());
        assert_eq!(running.file("f1"), before);
        assert_eq!(running.history("f2").len(), 1);
        assert_eq!(post(&running, path, &body_for_files(&["f1", "f2"])).status, 200);
        assert_ne!(running.file("f1"), before);
    }
}

#[test]
fn missing_file_takes_precedence_over_partial_failure() {
    let faults = Faults { script: vec![(1, Fault::PartialBulk)], ..Faults::default() };
    let running = start_sandbox(Config { faults, ..config() });
    assert_eq!(post(&running, REMOVE, &body_for_files(&["f1", "f2", "gone"])).status, 404);
    assert_eq!(running.stats().changes, 0);
}

#[test]
fn tags_over_500_characters_give_207() {
    let running = start_sandbox(config());
    let response =
        post(&running, ADD, &json!({"fileIds": ["f1", "f2"], "tags": ["x".repeat(500)]}));
    assert_eq!(response.status, 207);
    let body = response.json();
    assert_eq!(body["successfullyUpdatedFileIds"], json!(["f2"]));
    assert_eq!(body["errors"][0]["fileId"], "f1");
    assert!(body["errors"][0]["error"].is_string());
    assert_eq!(running.file("f1").unwrap()["tags"], json!(["old", "sale"]));
    assert_eq!(running.stats().changes, 1);
}

#[test]
fn call_accepts_at_most_50_files() {
    let running = start_sandbox(config());
    let ids = |count: u32| (0..count).map(|n| format!("gone{n}")).collect::<Vec<_>>();
    let call = |count| post(&running, REMOVE, &json!({"fileIds": ids(count), "tags": ["x"]}));
    assert_eq!(call(50).status, 404);
    assert_eq!(call(51).status, 400);
    assert_eq!(call(51).message(), "A maximum of 50 files can be edited at a time.");
}

#[test]
fn invalid_bodies_get_imagekits_error_messages() {
    let running = start_sandbox(config());
    let too_long = json!(["x".repeat(501)]);
    let cases = [
        (ADD, json!({"tags": ["x"]}), "fileIds parameter is missing."),
        (ADD, json!({"fileIds": [], "tags": ["x"]}), "fileIds is empty."),
        (ADD, json!({"fileIds": "f1", "tags": ["x"]}), "fileIds should be an Array."),
        (REMOVE, json!({"fileIds": ["f1"]}), "tags parameter is missing."),
        (REMOVE, json!({"fileIds": ["f1"], "tags": []}), "tags array cannot be empty."),
        (
            ADD,
            json!({"fileIds": ["f1"], "tags": too_long}),
            "Your request contains invalid value for tags parameter. Combined length of all tags should be less than or equal to 500.",
        ),
        (REMOVE_AI, json!({"fileIds": ["f1"], "tags": ["x"]}), "AITags parameter is missing."),
        (REMOVE_AI, json!({"fileIds": ["f1"], "AITags": []}), "AITags array cannot be empty."),
        (
            REMOVE_AI,
            json!({"fileIds": ["f1"], "AITags": "all"}),
            "Your request contains invalid value for AITags. Please provide an array of strings. Example - ['t-shirt','summer-sale'].",
        ),
    ];
    for (path, body, message) in cases {
        let response = post(&running, path, &body);
        assert_eq!((response.status, response.message().as_str()), (400, message), "{path} {body}");
    }
    assert_eq!(running.stats().changes, 0);
}
