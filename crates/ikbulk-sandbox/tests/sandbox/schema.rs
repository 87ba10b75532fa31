//! Every response matches the schema derived from ImageKit's API description, per call and status.

use std::collections::BTreeSet;

use ikbulk_sandbox::{
    Config, ExtensionOutcome, Fault, Faults, Library, Limit, MissingIds, Quirks, Status,
};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::client::{config, patch, post, request, request_with_headers, start_sandbox};
use crate::wire::Response;

const UPDATE: &str = "update-file-details";
const GET: &str = "get-file-details";
const LIST: &str = "list-and-search-assets";
const ADD: &str = "add-tags-bulk";
const REMOVE: &str = "remove-tags-bulk";
const REMOVE_AI: &str = "remove-ai-tags-bulk";
const FIELDS: &str = "list-all-fields";
const SAVED: &str = "list-extensions";
const USAGE: &str = "get-usage";
const ANALYTICS: &str = "get-usage-analytics";
const WEBHOOKS: &str = "list-webhooks";
const CREATE_WEBHOOK: &str = "create-webhook";
const GET_WEBHOOK: &str = "get-webhook";
const UPDATE_WEBHOOK: &str = "update-webhook";
const DELETE_WEBHOOK: &str = "delete-webhook";
const CREATE_SAVED: &str = "create-extension";
const GET_SAVED: &str = "get-extension";
const UPDATE_SAVED: &str = "update-extension";
const DELETE_SAVED: &str = "delete-extension";

/// An `operationId`, and the head and body of a request for this operation.
type OperationRequest = (&'static str, &'static str, Value);

fn schema() -> Value {
    serde_json::from_str(include_str!("schema.json")).expect("the schema is JSON")
}

/// Validator for the part of the schema at this JSON pointer.
pub(crate) fn schema_at(place: &str) -> Validator {
    let mut schema = schema();
    schema["$ref"] = json!(format!("#/{place}"));
    jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap_or_else(|error| panic!("{place} should be in the schema: {error}"))
}

fn validator(operation: &str, status: u16) -> Validator {
    schema_at(&format!("responses/{operation}/{status}"))
}

/// Operation and status of every response checked so far.
#[derive(Default)]
struct CheckedResponses(BTreeSet<(String, String)>);

impl CheckedResponses {
    fn check(&mut self, operation: &str, status: u16, response: &Response) {
        assert_eq!(response.status, status, "{operation}: {}", response.text);
        let body = if response.text.is_empty() { Value::Null } else { response.json() };
        if let Err(error) = validator(operation, status).validate(&body) {
            panic!("{operation} {status} at {}: {error}", error.instance_path());
        }
        self.0.insert((operation.to_owned(), status.to_string()));
    }
}

/// The status of an accepted request.
fn accepted_status(operation: &str) -> u16 {
    match operation {
        CREATE_SAVED | CREATE_WEBHOOK => 201,
        DELETE_SAVED | DELETE_WEBHOOK => 204,
        _ => 200,
    }
}

/// One accepted request for each operation.
fn accepted_by_operation() -> Vec<OperationRequest> {
    let tags = json!({"fileIds": ["f1", "f2"], "tags": ["new"]});
    let ai_tags = json!({"fileIds": ["f1"], "AITags": ["Shoe"]});
    let described = json!({"name": "Describe", "description": "",
        "config": {"name": "ai-auto-description"}});
    let webhook = json!({"endpoint": "https://example.com/", "events": ["file.updated"]});
    vec![
        (GET, "GET /v1/files/f1/details", Value::Null),
        (LIST, "GET /v1/files", Value::Null),
        (FIELDS, "GET /v1/customMetadataFields", Value::Null),
        (SAVED, "GET /v1/saved-extensions", Value::Null),
        (UPDATE, "PATCH /v1/files/f1/details", json!({"tags": ["a"], "description": "after"})),
        (ADD, "POST /v1/files/addTags", tags.clone()),
        (REMOVE, "POST /v1/files/removeTags", tags),
        (REMOVE_AI, "POST /v1/files/removeAITags", ai_tags),
        (USAGE, "GET /v1/accounts/usage?startDate=2026-01-01&endDate=2026-02-01", Value::Null),
        (
            ANALYTICS,
            "GET /v1/accounts/usage-analytics?startDate=2026-01-01&endDate=2026-02-01",
            Value::Null,
        ),
        (CREATE_WEBHOOK, "POST /v1/accounts/webhooks", webhook.clone()),
        (WEBHOOKS, "GET /v1/accounts/webhooks", Value::Null),
        (GET_WEBHOOK, "GET /v1/accounts/webhooks/bdc94bce2eda264dbc08dc21", Value::Null),
        (UPDATE_WEBHOOK, "PATCH /v1/accounts/webhooks/bdc94bce2eda264dbc08dc21", webhook),
        (DELETE_WEBHOOK, "DELETE /v1/accounts/webhooks/bdc94bce2eda264dbc08dc21", Value::Null),
        (CREATE_SAVED, "POST /v1/saved-extensions", described.clone()),
        (GET_SAVED, "GET /v1/saved-extensions/ext_colour", Value::Null),
        (UPDATE_SAVED, "PATCH /v1/saved-extensions/ext_colour", described),
        (DELETE_SAVED, "DELETE /v1/saved-extensions/ext_tagging", Value::Null),
    ]
}

/// These, and accepted requests that clear fields or return empty lists.
fn accepted() -> Vec<OperationRequest> {
    let update = |body| (UPDATE, "PATCH /v1/files/f1/details", body);
    let mut all = accepted_by_operation();
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

/// Requests that end with 400, 404 or 207.
fn rejected() -> Vec<(u16, OperationRequest)> {
    let missing_file = json!({"fileIds": ["f1", "gone"], "tags": ["x"], "AITags": ["x"]});
    let too_long = json!({"fileIds": ["f1", "f2"], "tags": ["x".repeat(495)]});
    let update = |body| (UPDATE, "PATCH /v1/files/f1/details", body);
    let mut all = vec![
        (400, update(json!({"customMetadata": {"price": "5", "unknown": 1}}))),
        (400, update(json!({"tags": ["50%"]}))),
        (400, update(json!({"extensions": [{"name": "unknown"}]}))),
        (400, update(json!({"description": null}))),
        (400, (GET, "GET /v1/files/a%2Fb/details", Value::Null)),
        (400, (LIST, "GET /v1/files?limit=0", Value::Null)),
        (404, (UPDATE, "PATCH /v1/files/gone/details", json!({"tags": ["x"]}))),
        (404, (GET, "GET /v1/files/gone/details", Value::Null)),
        (400, (USAGE, "GET /v1/accounts/usage?startDate=2026-01-01", Value::Null)),
        (400, (ANALYTICS, "GET /v1/accounts/usage-analytics", Value::Null)),
        (400, (CREATE_WEBHOOK, "POST /v1/accounts/webhooks", json!({}))),
        (
            400,
            (
                UPDATE_WEBHOOK,
                "PATCH /v1/accounts/webhooks/bdc94bce2eda264dbc08dc21",
                json!({"events": []}),
            ),
        ),
        (404, (GET_WEBHOOK, "GET /v1/accounts/webhooks/gone", Value::Null)),
        (404, (UPDATE_WEBHOOK, "PATCH /v1/accounts/webhooks/gone", json!({}))),
        (404, (DELETE_WEBHOOK, "DELETE /v1/accounts/webhooks/gone", Value::Null)),
        (400, (CREATE_SAVED, "POST /v1/saved-extensions", json!({"name": "x"}))),
        (400, (UPDATE_SAVED, "PATCH /v1/saved-extensions/ext_colour", json!({"name": ""}))),
        (404, (GET_SAVED, "GET /v1/saved-extensions/ext_gone", Value::Null)),
        (404, (UPDATE_SAVED, "PATCH /v1/saved-extensions/ext_gone", json!({"name": "x"}))),
        (404, (DELETE_SAVED, "DELETE /v1/saved-extensions/ext_gone", Value::Null)),
        (207, (ADD, "POST /v1/files/addTags", too_long)),
    ];
    for (operation, head) in [
        (ADD, "POST /v1/files/addTags"),
        (REMOVE, "POST /v1/files/removeTags"),
        (REMOVE_AI, "POST /v1/files/removeAITags"),
    ] {
        all.push((404, (operation, head, missing_file.clone())));
        all.push((400, (operation, head, json!({"fileIds": []}))));
        all.push((400, (operation, head, json!({"fileIds": ["f1"]}))));
    }
    all
}

/// Checks that every otherwise accepted request gets `status` under this configuration.
fn check_all(checked: &mut CheckedResponses, status: u16, config: Config) {
    let running = start_sandbox(config);
    for (operation, head, body) in accepted_by_operation() {
        checked.check(operation, status, &request(&running, head, &body.to_string()));
    }
}

#[test]
fn every_response_matches_schema_and_covers_it() {
    let mut checked = CheckedResponses::default();
    let running = start_sandbox(config());
    for (operation, head, body) in accepted() {
        let response = request(&running, head, &body.to_string());
        checked.check(operation, accepted_status(operation), &response);
    }
    let untouched = start_sandbox(config());
    let webhook = json!({"endpoint": "https://example.com/", "events": ["file.updated"]});
    post(&untouched, "/v1/accounts/webhooks", &webhook);
    for (status, (operation, head, body)) in rejected() {
        checked.check(operation, status, &request(&untouched, head, &body.to_string()));
    }
    for (operation, head, _) in accepted_by_operation() {
        checked.check(operation, 401, &request_with_headers(&running, head, ""));
    }
    let partial_failure = Faults { random: vec![(Fault::PartialBulk, 1.0)], ..Faults::default() };
    let partial = start_sandbox(Config { faults: partial_failure, ..config() });
    for (operation, head, body) in
        accepted_by_operation().into_iter().filter(|(.., body)| body["fileIds"].is_array())
    {
        checked.check(operation, 207, &request(&partial, head, &body.to_string()));
    }
    let expired = Faults { script: vec![(1, Fault::Expire)], ..Faults::default() };
    check_all(&mut checked, 403, Config { faults: expired, ..config() });

    let limit = vec![Limit::Bucket { rate: 0.0001, burst: 1 }];
    let throttled = start_sandbox(Config { reads: limit.clone(), writes: limit, ..config() });
    request(&throttled, "GET /v1/files", "");
    patch(&throttled, "f1", &json!({}));
    for (operation, head, body) in accepted_by_operation() {
        checked.check(operation, 429, &request(&throttled, head, &body.to_string()));
    }

    let in_schema: BTreeSet<(String, String)> = schema()["responses"]
        .as_object()
        .expect("operations by name")
        .iter()
        .flat_map(|(operation, responses)| {
            let statuses = responses.as_object().expect("responses by status").keys();
            statuses.map(|status| (operation.clone(), status.clone()))
        })
        .collect();
    assert_eq!(checked.0, in_schema);
}

#[test]
fn bulk_404_without_missing_ids_matches_schema() {
    let quirks = Quirks { missing_ids: MissingIds::Silent, ..Quirks::default() };
    let running = start_sandbox(Config { quirks, ..config() });
    let body = json!({"fileIds": ["gone"], "tags": ["x"]});
    let response = request(&running, "POST /v1/files/addTags", &body.to_string());
    CheckedResponses::default().check(ADD, 404, &response);
}

#[test]
fn every_extension_and_status_matches_schema() {
    let extensions = json!({"extensions": [
        {"name": "remove-bg"},
        {"name": "google-auto-tagging", "minConfidence": 0, "maxTags": 30},
        {"name": "aws-auto-tagging", "minConfidence": 100, "maxTags": 0},
        {"name": "ai-auto-description"},
        {"name": "saved-extension", "id": "ext_colour"},
    ]});
    for status in [Status::Success, Status::Pending, Status::Failed] {
        let extensions_outcome = ExtensionOutcome::Always(status);
        let running = start_sandbox(Config { extensions: extensions_outcome, ..config() });
        CheckedResponses::default().check(UPDATE, 200, &patch(&running, "f1", &extensions));
        let response = request(&running, "GET /v1/files/f1/details", "");
        CheckedResponses::default().check(GET, 200, &response);
    }
}

#[test]
fn synthetic_files_and_folders_match_schema() {
    let mut library = Library::synthetic(999, 3);
    library.add_folder("/products/shoes");
    let fields = vec![ikbulk_sandbox::original_creation_date_field()];
    let running = start_sandbox(Config { library, fields, saved: Vec::new(), ..config() });
    let response = request(&running, "GET /v1/customMetadataFields", "");
    CheckedResponses::default().check(FIELDS, 200, &response);
    let response = request(&running, "GET /v1/files?type=all", "");
    assert_eq!(response.json()[999]["type"], "folder");
    CheckedResponses::default().check(LIST, 200, &response);
    CheckedResponses::default().check(LIST, 200, &request(&running, "GET /v1/files", ""));
}

#[test]
fn schema_rejects_files_with_one_invalid_member() {
    let running = start_sandbox(config());
    let good = request(&running, "GET /v1/files/f1/details", "").json();
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
        ("unknown", json!(1)),
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
