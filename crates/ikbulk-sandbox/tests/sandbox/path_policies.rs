//! Path policies: the fields selected for a folder, and their rules there.

use ikbulk_sandbox::{Config, PathPolicy, Quirks, ReadOnlyFields, RequiredFields, Running};
use serde_json::{Map, Value, json};

use crate::client::{config, get, library, patch, start_sandbox};
use crate::schema::schema_at;

fn policy(name: &str, folder: &str, fields: &Value) -> PathPolicy {
    let fields: Map<String, Value> = fields.as_object().expect("an object").clone();
    PathPolicy { name: name.to_owned(), folder: folder.to_owned(), fields }
}

/// `f1` is in `/a/`, `f2` in `/a/b/`.
fn with_policies(path_policies: Vec<PathPolicy>, quirks: Quirks) -> Running {
    start_sandbox(Config { path_policies, quirks, ..config() })
}

fn of_a(fields: &Value) -> Running {
    with_policies(vec![policy("Shoes", "/a", fields)], Quirks::default())
}

fn set(running: &Running, id: &str, metadata: &Value) -> (u16, Value) {
    let response = patch(running, id, &json!({"customMetadata": metadata, "tags": ["new"]}));
    (response.status, response.json())
}

#[test]
fn file_shows_the_schema_of_the_deepest_policy() {
    let outer = json!({"color": {"type": "SingleSelect", "selectOptions": ["red", "blue"]}});
    let inner = json!({"brand": {"type": "Text", "readOnly": true, "isValueRequired": true}});
    let policies = vec![policy("Outer", "a", &outer), policy("Inner", "/a/b/", &inner)];
    let running = with_policies(policies, Quirks::default());
    let schema = |id: &str| {
        let file = get(&running, &format!("/v1/files/{id}/details")).json();
        schema_at("responses/get-file-details/200").validate(&file).unwrap();
        file["selectedFieldsSchema"].clone()
    };
    assert_eq!((schema("f1"), schema("f2")), (outer.clone(), inner));
    let listed = get(&running, "/v1/files?sort=DESC_CREATED&limit=1").json();
    assert_eq!(listed[0]["selectedFieldsSchema"], outer);
    assert_eq!(patch(&running, "f1", &json!({})).json()["selectedFieldsSchema"], outer);
    let other = with_policies(vec![policy("Other", "/ab", &outer)], Quirks::default());
    assert_eq!(other.file("f1").unwrap().get("selectedFieldsSchema"), None);
}

#[test]
fn options_of_the_policy_limit_those_of_the_account() {
    let running = of_a(&json!({"color": {"type": "SingleSelect", "selectOptions": ["blue"]}}));
    let before = running.file("f1");
    let (status, body) = set(&running, "f1", &json!({"color": "green"}));
    let message = "Validate function for path policy - 'Shoes' failed with message: \
                   color: The value should be one of [\"blue\"].";
    assert_eq!((status, body["message"].as_str()), (400, Some(message)));
    assert_eq!(running.file("f1"), before);
    assert_eq!(set(&running, "f1", &json!({"color": "blue"})).0, 200);
    // The account's own rules remain, and fields without a rule of the policy are free.
    assert_eq!(
        set(&running, "f1", &json!({"price": "5"})).1["message"],
        "Invalid custom metadata."
    );
    assert_eq!(set(&running, "f1", &json!({"price": 5})).0, 200);
}

#[test]
fn read_only_field_can_be_set_once() {
    for (read_only_fields, status_of_same) in
        [(ReadOnlyFields::AcceptSame, 200), (ReadOnlyFields::RefuseAny, 400)]
    {
        let fields = json!({"brand": {"type": "Text", "readOnly": true}});
        let quirks = Quirks { read_only_fields, ..Quirks::default() };
        let running = with_policies(vec![policy("Brand", "/", &fields)], quirks);
        assert_eq!(set(&running, "f2", &json!({"brand": "Nike"})).0, 200);
        assert_eq!(set(&running, "f2", &json!({"brand": "Nike"})).0, status_of_same);
        for other in [json!("Acme"), Value::Null] {
            let (status, body) = set(&running, "f2", &json!({"brand": other}));
            assert_eq!(status, 400);
            assert!(body["message"].as_str().unwrap().ends_with("brand is read-only."), "{body}");
        }
        assert_eq!(running.file("f2").unwrap()["customMetadata"]["brand"], "Nike");
        assert_eq!(set(&running, "f1", &json!({"color": "blue"})).0, 200);
    }
}

#[test]
fn fields_required_by_a_policy_follow_the_quirk() {
    for (required_fields, status_if_absent, status_if_cleared) in [
        (RequiredFields::NotEnforced, 200, 200),
        (RequiredFields::NotUnset, 200, 400),
        (RequiredFields::Given, 400, 400),
    ] {
        let fields = json!({"sku": {"type": "Text", "isValueRequired": true}});
        let quirks = Quirks { required_fields, ..Quirks::default() };
        let running = with_policies(vec![policy("Sku", "/a", &fields)], quirks);
        let status = |metadata: Value| set(&running, "f1", &metadata).0;
        assert_eq!(status(json!({"brand": "Nike"})), status_if_absent);
        assert_eq!(status(json!({"sku": null})), status_if_cleared);
        assert_eq!(status(json!({"sku": "abc", "brand": "Nike"})), 200);
        assert_eq!(patch(&running, "f1", &json!({"tags": ["x"]})).status, 200);
    }
}

#[test]
fn schema_of_an_inserted_file_is_enforced() {
    let mut library = library();
    let schema = json!({"color": {"type": "SingleSelect", "selectOptions": ["blue"]}});
    library.insert(json!({"fileId": "f3", "selectedFieldsSchema": schema}));
    let running = start_sandbox(Config { library, ..config() });
    assert_eq!(running.file("f3").unwrap()["selectedFieldsSchema"], schema);
    assert_eq!(set(&running, "f3", &json!({"color": "red"})).0, 400);
    assert_eq!(set(&running, "f1", &json!({"color": "red"})).0, 200);
}

#[test]
fn more_than_100_options_are_shown_truncated() {
    let options: Vec<String> = (0..101).map(|number| number.to_string()).collect();
    let fields = json!({"size": {"type": "SingleSelect", "selectOptions": options}});
    let mut account = Config::default().fields;
    let size = account.iter_mut().find(|field| field["name"] == "size").expect("a field");
    size["schema"]["selectOptions"] = json!(options);
    let path_policies = vec![policy("Sizes", "/a", &fields)];
    let running = start_sandbox(Config { path_policies, fields: account, ..config() });
    let shown = running.file("f1").unwrap()["selectedFieldsSchema"]["size"].clone();
    assert_eq!(shown["selectOptions"], json!(options[..100]));
    assert_eq!(shown["selectOptionsTruncated"], true);
    let listed = get(&running, "/v1/customMetadataFields?folderPath=/a").json();
    assert_eq!(listed[0]["schema"], fields["size"], "the list for the folder has all of them");
    assert_eq!(set(&running, "f1", &json!({"size": "100"})).0, 200);
    assert_eq!(set(&running, "f1", &json!({"size": "101"})).0, 400);
}

#[test]
fn fields_are_listed_for_a_folder() {
    let rule = json!({"type": "Text", "readOnly": true, "isValueRequired": true, "maxLength": 9});
    let running = of_a(&json!({"brand": rule}));
    let listed = |query: &str| {
        let fields = get(&running, &format!("/v1/customMetadataFields{query}")).json();
        schema_at("responses/list-all-fields/200").validate(&fields).unwrap();
        fields.as_array().unwrap().clone()
    };
    for below in ["?folderPath=/a", "?folderPath=%2Fa%2Fb&includeDeleted=false"] {
        let fields = listed(below);
        assert_eq!((fields.len(), &fields[0]["name"]), (1, &json!("brand")));
        let schema = json!({"type": "Text", "isValueRequired": true, "maxLength": 9});
        assert_eq!(fields[0]["schema"], schema);
    }
    assert_eq!(listed("").len(), 9);
    assert_eq!(listed("?folderPath=/").len(), 9);
    assert_eq!(get(&running, "/v1/customMetadataFields?includeDeleted=no").status, 400);
}

#[test]
fn invalid_policy_is_rejected_at_start() {
    let bad = policy("Bad", "/", &json!({"brand": {"type": "Colour"}}));
    assert!(ikbulk_sandbox::start(Config { path_policies: vec![bad], ..config() }).is_err());
}
