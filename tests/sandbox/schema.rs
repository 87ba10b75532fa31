//! Every answer is one that the API's own description allows, call by call and status by status.

use std::collections::BTreeSet;

use ikbulk::sandbox::{
    Config, ExtensionOutcome, Fault, Faults, Library, Limit, MissingIds, Quirks, Status,
};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::client::{Reply, ask, ask_with, config, patch, started};

const UPDATE: &str = "update-file-details";
const GET: &str = "get-file-details";
const LIST: &str = "list-and-search-assets";
const ADD: &str = "add-tags-bulk";
const REMOVE: &str = "remove-tags-bulk";
const REMOVE_AI: &str = "remove-ai-tags-bulk";
const FIELDS: &str = "list-all-fields";
const SAVED: &str = "list-extensions";

/// An operation of the description, and a request for it: its head and its body.
type Asked = (&'static str, &'static str, Value);

fn schema() -> Value {
    serde_json::from_str(include_str!("schema.json")).expect("the schema is JSON")
}

/// What the schema says at this place.
pub(crate) fn described(place: &str) -> Validator {
    let mut schema = schema();
    schema["$ref"] = json!(format!("#/{place}"));
    jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap_or_else(|error| panic!("{place} should be described: {error}"))
}

/// What it says about one answer.
fn validator(operation: &str, status: u16) -> Validator {
    described(&format!("answers/{operation}/{status}"))
}

/// The answers that have been checked so far.
#[derive(Default)]
struct Checked(BTreeSet<(String, String)>);

impl Checked {
    fn check(&mut self, operation: &str, status: u16, reply: &Reply) {
        assert_eq!(reply.status, status, "{operation}: {}", reply.text);
        if let Err(error) = validator(operation, status).validate(&reply.json()) {
            panic!("{operation} {status} at {}: {error}", error.instance_path());
        }
        self.0.insert((operation.to_owned(), status.to_string()));
    }
}

/// One request for each operation, all of which are accepted.
fn one_each() -> [Asked; 8] {
    let tags = json!({"fileIds": ["f1", "f2"], "tags": ["new"]});
    let ai_tags = json!({"fileIds": ["f1"], "AITags": ["Shoe"]});
    [
        (GET, "GET /v1/files/f1/details", Value::Null),
        (LIST, "GET /v1/files", Value::Null),
        (FIELDS, "GET /v1/customMetadataFields", Value::Null),
        (SAVED, "GET /v1/saved-extensions", Value::Null),
        (UPDATE, "PATCH /v1/files/f1/details", json!({"tags": ["a"], "description": "after"})),
        (ADD, "POST /v1/files/addTags", tags.clone()),
        (REMOVE, "POST /v1/files/removeTags", tags),
        (REMOVE_AI, "POST /v1/files/removeAITags", ai_tags),
    ]
}

/// More of what is accepted: everything unset, and everything empty.
fn accepted() -> Vec<Asked> {
    let update = |body| (UPDATE, "PATCH /v1/files/f1/details", body);
    let mut all = one_each().to_vec();
    all.extend([
        update(json!({"customMetadata": {"price": 5, "brand": null, "channels": ["web"]}})),
        update(json!({"tags": null, "customCoordinates": null, "removeAITags": "all"})),
        update(json!({"publish": {"isPublished": false, "includeFileVersions": true}})),
        (GET, "GET /v1/files/f1/details", Value::Null),
        (GET, "GET /v1/files/f2/details", Value::Null),
        (LIST, "GET /v1/files?skip=5", Value::Null),
    ]);
    all
}

/// What is refused with 400, 404 or 207.
fn refused() -> Vec<(u16, Asked)> {
    let gone = json!({"fileIds": ["f1", "gone"], "tags": ["x"], "AITags": ["x"]});
    let long = json!({"fileIds": ["f1", "f2"], "tags": ["x".repeat(495)]});
    let update = |body| (UPDATE, "PATCH /v1/files/f1/details", body);
    let mut all = vec![
        (400, update(json!({"customMetadata": {"price": "5", "unheard": 1}}))),
        (400, update(json!({"tags": ["50%"]}))),
        (400, update(json!({"extensions": [{"name": "unheard"}]}))),
        (400, update(json!({"description": null}))),
        (400, (GET, "GET /v1/files/a%2Fb/details", Value::Null)),
        (400, (LIST, "GET /v1/files?limit=0", Value::Null)),
        (404, (UPDATE, "PATCH /v1/files/gone/details", json!({"tags": ["x"]}))),
        (404, (GET, "GET /v1/files/gone/details", Value::Null)),
        (207, (ADD, "POST /v1/files/addTags", long)),
    ];
    for (operation, head) in [
        (ADD, "POST /v1/files/addTags"),
        (REMOVE, "POST /v1/files/removeTags"),
        (REMOVE_AI, "POST /v1/files/removeAITags"),
    ] {
        all.push((404, (operation, head, gone.clone())));
        all.push((400, (operation, head, json!({"fileIds": []}))));
        all.push((400, (operation, head, json!({"fileIds": ["f1"]}))));
    }
    all
}

/// Checks what a sandbox that is set like this answers to requests that would be accepted.
fn check_all(checked: &mut Checked, status: u16, config: Config) {
    let running = started(config);
    for (operation, head, body) in one_each() {
        checked.check(operation, status, &ask(&running, head, &body.to_string()));
    }
}

#[test]
fn every_answer_to_every_call_is_as_described_and_no_other_is_described() {
    let mut checked = Checked::default();
    let running = started(config());
    for (operation, head, body) in accepted() {
        checked.check(operation, 200, &ask(&running, head, &body.to_string()));
    }
    let untouched = started(config());
    for (status, (operation, head, body)) in refused() {
        checked.check(operation, status, &ask(&untouched, head, &body.to_string()));
    }
    for (operation, head, _) in one_each() {
        checked.check(operation, 401, &ask_with(&running, head, ""));
    }
    let in_part = Faults { random: vec![(Fault::BulkInPart, 1.0)], ..Faults::default() };
    let partly = started(Config { faults: in_part, ..config() });
    for (operation, head, body) in
        one_each().into_iter().filter(|(.., body)| body["fileIds"].is_array())
    {
        checked.check(operation, 207, &ask(&partly, head, &body.to_string()));
    }
    let expired = Faults { script: vec![(1, Fault::Expire)], ..Faults::default() };
    check_all(&mut checked, 403, Config { faults: expired, ..config() });

    let limit = vec![Limit::Bucket { rate: 0.0001, burst: 1 }];
    let throttled = started(Config { reads: limit.clone(), writes: limit, ..config() });
    ask(&throttled, "GET /v1/files", "");
    patch(&throttled, "f1", &json!({}));
    for (operation, head, body) in one_each() {
        checked.check(operation, 429, &ask(&throttled, head, &body.to_string()));
    }

    let described: BTreeSet<(String, String)> = schema()["answers"]
        .as_object()
        .expect("operations by name")
        .iter()
        .flat_map(|(operation, answers)| {
            let statuses = answers.as_object().expect("answers by status").keys();
            statuses.map(|status| (operation.clone(), status.clone()))
        })
        .collect();
    assert_eq!(checked.0, described);
}

#[test]
fn a_404_without_the_missing_files_is_as_described() {
    let quirks = Quirks { missing_ids: MissingIds::Silent, ..Quirks::default() };
    let running = started(Config { quirks, ..config() });
    let body = json!({"fileIds": ["gone"], "tags": ["x"]});
    let reply = ask(&running, "POST /v1/files/addTags", &body.to_string());
    Checked::default().check(ADD, 404, &reply);
}

#[test]
fn extensions_of_every_kind_and_status_are_as_described() {
    let extensions = json!({"extensions": [
        {"name": "remove-bg"},
        {"name": "google-auto-tagging", "minConfidence": 0, "maxTags": 30},
        {"name": "aws-auto-tagging", "minConfidence": 100, "maxTags": 0},
        {"name": "ai-auto-description"},
        {"name": "saved-extension", "id": "ext_colour"},
    ]});
    for status in [Status::Success, Status::Pending, Status::Failed] {
        let extension_play = ExtensionOutcome::Always(status);
        let running = started(Config { extensions: extension_play, ..config() });
        Checked::default().check(UPDATE, 200, &patch(&running, "f1", &extensions));
        let reply = ask(&running, "GET /v1/files/f1/details", "");
        Checked::default().check(GET, 200, &reply);
    }
}

#[test]
fn made_up_files_are_as_described() {
    let running = started(Config { library: Library::synthetic(1000, 3), ..config() });
    Checked::default().check(LIST, 200, &ask(&running, "GET /v1/files", ""));
}

#[test]
fn the_schema_refuses_a_file_with_anything_wrong_about_it() {
    let running = started(config());
    let good = ask(&running, "GET /v1/files/f1/details", "").json();
    let file = validator(GET, 200);
    assert!(file.is_valid(&good));
    for (key, wrong) in [
        ("tags", json!("old")),
        ("AITags", json!([{"name": "Shoe"}])),
        ("customCoordinates", json!("1,2,3")),
        ("url", json!("one.jpg")),
        ("createdAt", json!("yesterday")),
        ("description", Value::Null),
        ("extensionStatus", json!({})),
        ("unheard", json!(1)),
    ] {
        let mut bad = good.clone();
        bad[key] = wrong;
        assert!(!file.is_valid(&bad), "{key}");
    }
    for key in ["fileId", "tags", "AITags", "updatedAt"] {
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().remove(key);
        assert!(!file.is_valid(&bad), "{key}");
    }
}
