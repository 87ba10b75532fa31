//! PATCH details, rule by rule.

use ikbulk::sandbox::{Config, EmptyDescription, EmptyTags, Quirks, RequiredFields, TagLength};
use serde_json::{Value, json};

use crate::client::{ask, config, patch, started};

/// The file object after a PATCH of `f1` that has to be accepted.
fn patched(body: &Value) -> Value {
    let running = started(config());
    let reply = patch(&running, "f1", body);
    assert_eq!(reply.status, 200, "{body}: {}", reply.text);
    assert_eq!(Some(reply.json()), running.file("f1"));
    reply.json()
}

/// The message of a PATCH of `f1` that has to be refused, and has to change nothing.
fn refused(body: &Value) -> String {
    let running = started(config());
    let before = running.file("f1");
    let reply = patch(&running, "f1", body);
    assert_eq!(reply.status, 400, "{body}: {}", reply.text);
    assert_eq!(running.file("f1"), before, "{body}");
    reply.message()
}

#[test]
fn the_whole_file_object_comes_back() {
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
fn tags_are_replaced_and_null_unsets_them() {
    assert_eq!(patched(&json!({"tags": ["new"]}))["tags"], json!(["new"]));
    assert_eq!(patched(&json!({"tags": null}))["tags"], Value::Null);
    assert_eq!(patched(&json!({"description": "x"}))["tags"], json!(["old", "sale"]));
}

#[test]
fn an_empty_list_of_tags_plays_any_of_three_answers() {
    for (empty_tags, status, tags) in [
        (EmptyTags::Clear, 200, Value::Null),
        (EmptyTags::Ignore, 200, json!(["old", "sale"])),
        (EmptyTags::Refuse, 400, json!(["old", "sale"])),
    ] {
        let quirks = Quirks { empty_tags, ..Quirks::default() };
        let running = started(Config { quirks, ..config() });
        assert_eq!(patch(&running, "f1", &json!({"tags": []})).status, status);
        assert_eq!(running.file("f1").unwrap()["tags"], tags);
    }
}

#[test]
fn all_tags_together_have_500_characters() {
    let tags = |length: usize| json!({"tags": ["ä".repeat(250), "b".repeat(length - 250)]});
    patched(&tags(500));
    assert_eq!(
        refused(&tags(501)),
        "Your request contains invalid value for tags parameter. \
         Combined length of all tags should be less than or equal to 500."
    );
    let quirks = Quirks { tag_length: TagLength::Bytes, ..Quirks::default() };
    let running = started(Config { quirks, ..config() });
    assert_eq!(patch(&running, "f1", &tags(500)).status, 400);
}

#[test]
fn tags_are_strings_without_percent_signs() {
    for tags in [json!(["50%"]), json!("a"), json!([1]), json!([null]), json!({"a": 1})] {
        refused(&json!({"tags": tags}));
    }
}

#[test]
fn coordinates_are_four_whole_numbers_or_null() {
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
        refused(&coordinates(bad));
    }
}

#[test]
fn metadata_merges_and_null_unsets_one_key() {
    let metadata =
        |value: Value| patched(&json!({"customMetadata": value}))["customMetadata"].clone();
    assert_eq!(metadata(json!({"price": 5})), json!({"brand": "Acme", "color": "red", "price": 5}));
    assert_eq!(metadata(json!({"brand": null})), json!({"color": "red"}));
    assert_eq!(metadata(json!({"approved": null})), json!({"brand": "Acme", "color": "red"}));
    assert_eq!(metadata(json!({})), json!({"brand": "Acme", "color": "red"}));
}

#[test]
fn wrong_metadata_is_refused_whole_and_key_by_key() {
    let running = started(config());
    let body =
        json!({"customMetadata": {"brand": "Nike", "price": "5", "unheard": 1}, "tags": ["x"]});
    let reply = patch(&running, "f1", &body);
    assert_eq!((reply.status, reply.message().as_str()), (400, "Invalid custom metadata."));
    let errors = reply.json()["errors"].as_object().unwrap().clone();
    assert_eq!(errors.keys().collect::<Vec<_>>(), ["price", "unheard"]);
    assert_eq!(running.file("f1").unwrap()["tags"], json!(["old", "sale"]));
    refused(&json!({"customMetadata": null}));
    refused(&json!({"customMetadata": ["brand"]}));
}

#[test]
fn a_description_is_stored_as_it_is_and_cannot_be_null() {
    assert_eq!(patched(&json!({"description": "neu\n\"ß\""}))["description"], "neu\n\"ß\"");
    assert_eq!(patched(&json!({"description": ""}))["description"], "");
    refused(&json!({"description": null}));
    refused(&json!({"description": 5}));
}

#[test]
fn an_empty_description_plays_any_of_four_answers() {
    for (empty_description, status, stored) in [
        (EmptyDescription::Store, 200, Some("")),
        (EmptyDescription::Clear, 200, None),
        (EmptyDescription::Ignore, 200, Some("before")),
        (EmptyDescription::Refuse, 400, Some("before")),
    ] {
        let quirks = Quirks { empty_description, ..Quirks::default() };
        let running = started(Config { quirks, ..config() });
        assert_eq!(patch(&running, "f1", &json!({"description": ""})).status, status);
        let file = running.file("f1").unwrap();
        assert_eq!(file.get("description").map(|text| text.as_str().unwrap()), stored);
        assert_eq!(patch(&running, "f1", &json!({"description": "after"})).status, 200);
        assert_eq!(running.file("f1").unwrap()["description"], "after");
    }
}

#[test]
fn ai_tags_are_removed_by_name_or_all_at_once() {
    let left = |value: Value| patched(&json!({"removeAITags": value}))["AITags"].clone();
    assert_eq!(left(json!("all")), Value::Null);
    assert_eq!(left(json!(["Shoe", "none"]))[0]["name"], "Bag");
    assert_eq!(left(json!([])).as_array().unwrap().len(), 2);
    for bad in [json!(null), json!("Shoe"), json!([1])] {
        refused(&json!({"removeAITags": bad}));
    }
}

#[test]
fn publishing_stands_alone() {
    assert_eq!(patched(&json!({"publish": {"isPublished": false}}))["isPublished"], false);
    let both = json!({"publish": {"isPublished": true, "includeFileVersions": true}});
    assert_eq!(patched(&both)["isPublished"], true);
    refused(&json!({"publish": {"isPublished": false}, "tags": ["x"]}));
    refused(&json!({"publish": {}}));
    refused(&json!({"publish": true}));
    refused(&json!({"publish": {"isPublished": "false"}}));
    refused(&json!({"publish": {"isPublished": false, "includeFileVersions": 1}}));
}

#[test]
fn unknown_parameters_and_unreadable_bodies_are_refused() {
    refused(&json!({"tag": ["x"]}));
    refused(&json!(["tags"]));
    refused(&json!({"webhookUrl": "ftp://x"}));
    patched(&json!({"webhookUrl": "https://example.com/hook"}));
    let running = started(config());
    for body in ["", "{", "{\"tags\": [\"x\"]} tail"] {
        assert_eq!(ask(&running, "PATCH /v1/files/f1/details", body).status, 400, "{body}");
    }
}

#[test]
fn every_accepted_write_moves_updated_at() {
    let running = started(config());
    let mut stamps = vec![running.file("f1").unwrap()["updatedAt"].to_string()];
    for _ in 0..5 {
        stamps.push(patch(&running, "f1", &json!({})).json()["updatedAt"].to_string());
    }
    assert!(stamps.is_sorted_by(|a, b| a < b), "{stamps:?}");
}

#[test]
fn a_file_that_does_not_exist_is_404_and_an_impossible_id_400() {
    let running = started(config());
    let status = |id: &str| patch(&running, id, &json!({"tags": ["x"]}));
    assert_eq!(status("f3").status, 404);
    assert_eq!(status("f3").message(), "The requested file does not exist.");
    assert_eq!(status("..%2Ff1").status, 400);
    assert_eq!(status("..%2Ff1").message(), "Your request contains invalid fileId parameter.");
    assert_eq!(status("%66%31").status, 200);
}

#[test]
fn a_required_field_is_enforced_or_not() {
    let must = json!({"id": "1", "name": "must", "label": "Must",
        "schema": {"type": "Text", "isValueRequired": true}});
    let fields: Vec<Value> = Config::default().fields.into_iter().chain([must]).collect();
    for (required_fields, left_out, unset) in [
        (RequiredFields::NotEnforced, 200, 200),
        (RequiredFields::NotUnset, 200, 400),
        (RequiredFields::Given, 400, 400),
    ] {
        let quirks = Quirks { required_fields, ..Quirks::default() };
        let running = started(Config { quirks, fields: fields.clone(), ..config() });
        let status = |metadata: Value| patch(&running, "f1", &json!({"customMetadata": metadata}));
        assert_eq!(status(json!({"brand": "Nike"})).status, left_out);
        assert_eq!(status(json!({"must": null})).status, unset);
        assert_eq!(status(json!({"must": "x", "brand": "Nike"})).status, 200);
        assert_eq!(patch(&running, "f1", &json!({"tags": ["x"]})).status, 200);
        if unset == 400 {
            let errors = &status(json!({"must": null})).json()["errors"];
            assert_eq!(errors["must"], "The value is required.");
        }
    }
}
