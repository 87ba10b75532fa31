//! Saved extensions: created, read, changed, deleted, and applied to files.

use ikbulk_sandbox::{Config, ExtensionOutcome, Running, Status};
use serde_json::{Value, json};

use crate::client::{config, get, patch, post, request, start_sandbox};
use crate::wire::Response;

const PATH: &str = "/v1/saved-extensions";

fn sandbox() -> Running {
    let extensions = ExtensionOutcome::Always(Status::Success);
    start_sandbox(Config { extensions, ..config() })
}

fn tagging(name: &str) -> Value {
    json!({"name": "Tags", "description": "All tags",
        "config": {"name": name, "minConfidence": 0, "maxTags": 3}})
}

/// Creates a saved extension; returns its id.
fn create(running: &Running, body: &Value) -> String {
    let response = post(running, PATH, body);
    assert_eq!(response.status, 201, "{}", response.text);
    response.json()["id"].as_str().expect("it should have an id").to_owned()
}

fn change(running: &Running, id: &str, body: &Value) -> u16 {
    request(running, &format!("PATCH {PATH}/{id}"), &body.to_string()).status
}

fn apply(running: &Running, ids: &[&str]) -> Response {
    let saved = |id: &&str| json!({"name": "saved-extension", "id": id});
    patch(running, "f2", &json!({"extensions": ids.iter().map(saved).collect::<Vec<_>>()}))
}

fn ids(running: &Running) -> Vec<String> {
    let list = get(running, PATH).json();
    let list = list.as_array().expect("an array");
    list.iter().map(|saved| saved["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn created_extension_is_listed_read_and_applied() {
    let running = sandbox();
    let id = create(&running, &tagging("aws-auto-tagging"));
    assert!(id.starts_with("ext_"));
    assert_eq!(ids(&running), ["ext_tagging", "ext_colour", id.as_str()]);
    let saved = get(&running, &format!("{PATH}/{id}")).json();
    for (key, value) in tagging("aws-auto-tagging").as_object().unwrap() {
        assert_eq!(&saved[key], value);
    }
    assert_eq!(saved["createdAt"], saved["updatedAt"]);
    let file = apply(&running, &[&id]).json();
    assert_eq!(file["extensionStatus"], json!({"aws-auto-tagging": "success"}));
    let other = create(&running, &tagging("aws-auto-tagging"));
    assert_ne!(other, id);
}

#[test]
fn change_keeps_what_it_does_not_name() {
    let running = sandbox();
    let id = create(&running, &tagging("aws-auto-tagging"));
    let config = json!({"name": "google-auto-tagging", "minConfidence": 9, "maxTags": 1});
    assert_eq!(change(&running, &id, &json!({"config": config})), 200);
    let saved = get(&running, &format!("{PATH}/{id}")).json();
    assert_eq!((&saved["name"], &saved["config"]), (&json!("Tags"), &config));
    assert_eq!(apply(&running, &[&id]).json()["AITags"].as_array().unwrap().len(), 1);
    assert_eq!(change(&running, &id, &json!({"name": "New", "description": ""})), 200);
    let saved = get(&running, &format!("{PATH}/{id}")).json();
    assert_eq!((&saved["name"], &saved["config"]), (&json!("New"), &config));
}

#[test]
fn invalid_change_changes_nothing() {
    let running = sandbox();
    let before = get(&running, PATH).json();
    for bad in [
        json!([]),
        json!({"name": ""}),
        json!({"name": null}),
        json!({"description": 5}),
        json!({"name": "New", "config": {"name": "unknown"}}),
        json!({"config": {"name": "saved-extension", "id": "ext_tagging"}}),
        json!({"id": "ext_other"}),
    ] {
        assert_eq!(change(&running, "ext_tagging", &bad), 400, "{bad}");
    }
    for missing in ["name", "description", "config"] {
        let mut body = tagging("aws-auto-tagging");
        body.as_object_mut().unwrap().remove(missing);
        assert_eq!(post(&running, PATH, &body).status, 400, "{missing}");
    }
    assert_eq!(request(&running, &format!("POST {PATH}"), "{").status, 400);
    assert_eq!(get(&running, PATH).json(), before);
}

#[test]
fn deleted_extension_cannot_be_applied() {
    let running = sandbox();
    let delete = || request(&running, &format!("DELETE {PATH}/ext_tagging"), "");
    let response = delete();
    assert_eq!((response.status, response.text.as_str()), (204, ""));
    assert_eq!(delete().status, 404);
    assert_eq!(ids(&running), ["ext_colour"]);
    assert_eq!(apply(&running, &["ext_tagging"]).status, 400);
    assert_eq!(running.stats().billed_runs.len(), 0);
}

#[test]
fn account_has_at_most_100_saved_extensions() {
    let running = sandbox();
    for _ in 2..100 {
        create(&running, &tagging("aws-auto-tagging"));
    }
    let response = post(&running, PATH, &tagging("aws-auto-tagging"));
    assert_eq!((response.status, ids(&running).len()), (400, 100));
    assert!(response.message().contains("100"));
}

#[test]
fn reset_restores_saved_extensions() {
    let running = sandbox();
    let before = get(&running, PATH).json();
    create(&running, &tagging("aws-auto-tagging"));
    request(&running, &format!("DELETE {PATH}/ext_tagging"), "");
    request(&running, "POST /__sandbox/reset", "");
    assert_eq!(get(&running, PATH).json(), before);
}

#[test]
fn calls_of_saved_extensions_are_counted_and_limited() {
    let running = sandbox();
    let id = create(&running, &tagging("aws-auto-tagging"));
    ids(&running);
    get(&running, &format!("{PATH}/{id}"));
    let calls = running.stats().calls;
    assert_eq!((calls.saved, calls.saved_changes), (2, 1));
    assert_eq!(running.stats().writes_per_second.accepted, 1);
}
