//! PATCH details: validation and effect of each field.

use ikbulk_sandbox::{Config, EmptyDescription, EmptyTags, Quirks, RequiredFields, TagLength};
use serde_json::{Value, json};

use crate::client::{config, patch, request, start_sandbox};

/// The file object after an accepted PATCH of `f1`.
fn patched(body: &Value) -> Value {
    let running = start_sandbox(config());
    let response = patch(&running, "f1", body);
    assert_eq!(response.status, 200, "{body}: {}", response.text);
    assert_eq!(Some(response.json()), running.file("f1"));
    response.json()
}

/// The error message of a PATCH of `f1` that is rejected and changes nothing.
fn rejected(body: &Value) -> String {
    let running = start_sandbox(config());
    let before = running.file("f1");
    let response = patch(&running, "f1", body);
    assert_eq!(response.status, 400, "{body}: {}", response.text);
    assert_eq!(running.file("f1"), before, "{body}");
    response.message()
}

#[test]
fn response_is_the_whole_file_object() {
    let file = patched(&json!({"description": "after"}));
    let keys = [
        "fileId",
        "type",
        "name",
        "filePath",
        "tags",
        "AITags",
        "versionInfo",
        "isPrivateFile",
        "isPublished",
        "customCoordinates",
        "url",
        "thumbnail",
        "fileType",
        "mime",
        "width",
        "height",
        "size",
        "hasAlpha",
        "customMetadata",
        "description",
        "createdAt",
        "updatedAt",
    ];
    for key in keys {
        assert!(file.get(key).is_some(), "{key}");
    }
    assert_eq!(file.get("extensionStatus"), None);
    assert_eq!(file["filePath"], "/a/one.jpg");
    assert_eq!(file["versionInfo"], json!({"id": "f1", "name": "Version 1"}));
}

#[test]
fn tags_are_replaced_and_null_clears_them() {
    assert_eq!(patched(&json!({"tags": ["new"]}))["tags"], json!(["new"]));
    assert_eq!(patched(&json!({"tags": null}))["tags"], Value::Null);
    assert_eq!(patched(&json!({"description": "x"}))["tags"], json!(["old", "sale"]));
}

#[test]
fn empty_tags_follow_the_quirk() {
    for (empty_tags, status, tags) in [
        (EmptyTags::Clear, 200, Value::Null),
        (EmptyTags::Ignore, 200, json!(["old", "sale"])),
        (EmptyTags::Refuse, 400, json!(["old", "sale"])),
    ] {
        let quirks = Quirks { empty_tags, ..Quirks::default() };
        let running = start_sandbox(Config { quirks, ..config() });
        assert_eq!(patch(&running, "f1", &json!({"tags": []})).status, status);
        assert_eq!(running.file("f1").unwrap()["tags"], tags);
    }
}

#[test]
fn tags_are_limited_to_500_characters_combined() {
    let tags = |length: usize| json!({"tags": ["ä".repeat(250), "b".repeat(length - 250)]});
    patched(&tags(500));
    assert_eq!(
        rejected(&tags(501)),
        "Your request contains invalid value for tags parameter. \
         Combined length of all tags should be less than or equal to 500."
    );
    let quirks = Quirks { tag_length: TagLength::Bytes, ..Quirks::default() };
    let running = start_sandbox(Config { quirks, ..config() });
    assert_eq!(patch(&running, "f1", &tags(500)).status, 400);
}

#[test]
fn tags_must_be_strings_without_percent_signs() {
    for tags in [json!(["50%"]), json!("a"), json!([1]), json!([null]), json!({"a": 1})] {
        rejected(&json!({"tags": tags}));
    }
}

#[test]
fn coordinates_must_be_four_integers_or_null() {
    let coordinates = |value: Value| json!({"customCoordinates": value});
    assert_eq!(patched(&coordinates(json!("10,10,100,100")))["customCoordinates"], "10,10,100,100");
    assert_eq!(patched(&coordinates(Value::Null))["customCoordinates"], Value::Null);
    for bad in [
        json!("1,2,3"),
        json!("1,2,3,4,5"),
        json!("1,2,3,-4"),
        json!("1,2,3,+4"),
        json!("1,2, 3,4"),
        json!(""),
        json!([1, 2, 3, 4]),
    ] {
        rejected(&coordinates(bad));
    }
}

#[test]
fn metadata_merges_and_null_clears_one_key() {
    let metadata =
        |value: Value| patched(&json!({"customMetadata": value}))["customMetadata"].clone();
    assert_eq!(metadata(json!({"price": 5})), json!({"brand": "Acme", "color": "red", "price": 5}));
    assert_eq!(metadata(json!({"brand": null})), json!({"color": "red"}));
    assert_eq!(metadata(json!({"approved": null})), json!({"brand": "Acme", "color": "red"}));
    assert_eq!(metadata(json!({})), json!({"brand": "Acme", "color": "red"}));
}

#[test]
fn invalid_metadata_rejects_request_with_error_per_key() {
    let running = start_sandbox(config());
    let body =
        json!({"customMetadata": {"brand": "Nike", "price": "5", "unknown": 1}, "tags": ["x"]});
    let response = patch(&running, "f1", &body);
    assert_eq!((response.status, response.message().as_str()), (400, "Invalid custom metadata."));
    let errors = response.json()["errors"].as_object().unwrap().clone();
    assert_eq!(errors.keys().collect::<Vec<_>>(), ["price", "unknown"]);
    assert_eq!(running.file("f1").unwrap()["tags"], json!(["old", "sale"]));
    rejected(&json!({"customMetadata": null}));
    rejected(&json!({"customMetadata": ["brand"]}));
}

#[test]
fn description_is_stored_verbatim_and_not_nullable() {
    assert_eq!(patched(&json!({"description": "neu\n\"ß\""}))["description"], "neu\n\"ß\"");
    assert_eq!(patched(&json!({"description": ""}))["description"], "");
    rejected(&json!({"description": null}));
    rejected(&json!({"description": 5}));
}

#[test]
fn empty_description_follows_the_quirk() {
    for (empty_description, status, stored) in [
        (EmptyDescription::Store, 200, Some("")),
        (EmptyDescription::Clear, 200, None),
        (EmptyDescription::Ignore, 200, Some("before")),
        (EmptyDescription::Refuse, 400, Some("before")),
    ] {
        let quirks = Quirks { empty_description, ..Quirks::default() };
        let running = start_sandbox(Config { quirks, ..config() });
        assert_eq!(patch(&running, "f1", &json!({"description": ""})).status, status);
        let file = running.file("f1").unwrap();
        assert_eq!(file.get("description").map(|text| text.as_str().unwrap()), stored);
        assert_eq!(patch(&running, "f1", &json!({"description": "after"})).status, 200);
        assert_eq!(running.file("f1").unwrap()["description"], "after");
    }
}

#[test]
fn ai_tags_are_removed_by_name_or_all() {
    let left = |value: Value| patched(&json!({"removeAITags": value}))["AITags"].clone();
    assert_eq!(left(json!("all")), Value::Null);
    assert_eq!(left(json!(["Shoe", "none"]))[0]["name"], "Bag");
    assert_eq!(left(json!([])).as_array().unwrap().len(), 2);
    for bad in [json!(null), json!("Shoe"), json!([1])] {
        rejected(&json!({"removeAITags": bad}));
    }
}

#[test]
fn publish_cannot_be_combined_with_other_fields() {
    assert_eq!(patched(&json!({"publish": {"isPublished": false}}))["isPublished"], false);
    let both = json!({"publish": {"isPublished": true, "includeFileVersions": true}});
    assert_eq!(patched(&both)["isPublished"], true);
    rejected(&json!({"publish": {"isPublished": false}, "tags": ["x"]}));
    rejected(&json!({"publish": {}}));
    rejected(&json!({"publish": true}));
    rejected(&json!({"publish": {"isPublished": "false"}}));
    rejected(&json!({"publish": {"isPublished": false, "includeFileVersions": 1}}));
}

#[test]
fn file_has_at_most_1000_metadata_values() {
    let many: Vec<u32> = (0..1001).collect();
    let many_field = json!({"id": "1", "name": "many", "label": "Many",
        "schema": {"type": "MultiSelect", "selectOptions": many}});
    let fields = Config::default().fields.into_iter().chain([many_field]).collect();
    let running = start_sandbox(Config { fields, ..config() });
    let status = |metadata: Value| patch(&running, "f1", &json!({"customMetadata": metadata}));
    // The file has two values.
    assert_eq!(status(json!({"many": many[..999]})).status, 400);
    assert_eq!(status(json!({"many": many[..998]})).status, 200);
    let response = status(json!({"price": 5}));
    assert_eq!(response.status, 400);
    assert!(response.message().contains("1000"));
    assert_eq!(status(json!({"price": 5, "brand": null})).status, 200);
    assert_eq!(patch(&running, "f1", &json!({"tags": ["x"]})).status, 200);
}

#[test]
fn unknown_parameters_and_invalid_json_are_rejected() {
    rejected(&json!({"tag": ["x"]}));
    rejected(&json!(["tags"]));
    rejected(&json!({"webhookUrl": "ftp://x"}));
    patched(&json!({"webhookUrl": "https://example.com/hook"}));
    let running = start_sandbox(config());
    for body in ["", "{", "{\"tags\": [\"x\"]} tail"] {
        assert_eq!(request(&running, "PATCH /v1/files/f1/details", body).status, 400, "{body}");
    }
}

#[test]
fn every_accepted_write_advances_updated_at() {
    let running = start_sandbox(config());
    let mut stamps = vec![running.file("f1").unwrap()["updatedAt"].to_string()];
    for _ in 0..5 {
        stamps.push(patch(&running, "f1", &json!({})).json()["updatedAt"].to_string());
    }
    assert!(stamps.is_sorted_by(|a, b| a < b), "{stamps:?}");
}

#[test]
fn missing_file_gives_404_invalid_id_400() {
    let running = start_sandbox(config());
    let status = |id: &str| patch(&running, id, &json!({"tags": ["x"]}));
    assert_eq!(status("f3").status, 404);
    assert_eq!(status("f3").message(), "The requested file does not exist.");
    assert_eq!(status("..%2Ff1").status, 400);
    assert_eq!(status("..%2Ff1").message(), "Your request contains invalid fileId parameter.");
    assert_eq!(status("%66%31").status, 200);
}

#[test]
fn required_fields_follow_the_quirk() {
    let required = json!({"id": "1", "name": "must", "label": "Must",
        "schema": {"type": "Text", "isValueRequired": true}});
    let fields: Vec<Value> = Config::default().fields.into_iter().chain([required]).collect();
    for (required_fields, status_if_absent, status_if_cleared) in [
        (RequiredFields::NotEnforced, 200, 200),
        (RequiredFields::NotUnset, 200, 400),
        (RequiredFields::Given, 400, 400),
    ] {
        let quirks = Quirks { required_fields, ..Quirks::default() };
        let running = start_sandbox(Config { quirks, fields: fields.clone(), ..config() });
        let status = |metadata: Value| patch(&running, "f1", &json!({"customMetadata": metadata}));
        assert_eq!(status(json!({"brand": "Nike"})).status, status_if_absent);
        assert_eq!(status(json!({"must": null})).status, status_if_cleared);
        assert_eq!(status(json!({"must": "x", "brand": "Nike"})).status, 200);
        assert_eq!(patch(&running, "f1", &json!({"tags": ["x"]})).status, 200);
        if status_if_cleared == 400 {
            let errors = &status(json!({"must": null})).json()["errors"];
            assert_eq!(errors["must"], "The value is required.");
        }
    }
}
