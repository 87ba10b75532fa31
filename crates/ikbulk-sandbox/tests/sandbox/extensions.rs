//! Extensions: status, changes to the file, and the counts of billed runs.

use ikbulk_sandbox::{Config, ExtensionOutcome, FoundTags, Quirks, Running, Status, found_tags};
use serde_json::{Value, json};

use crate::client::{config, patch, start_sandbox};

fn with_extension_status(status: Status) -> Running {
    start_sandbox(Config { extensions: ExtensionOutcome::Always(status), ..config() })
}

fn tagging(name: &str) -> Value {
    json!({"name": name, "minConfidence": 80, "maxTags": 2})
}

#[test]
fn successful_tagging_reports_status_and_writes_tags() {
    let running = with_extension_status(Status::Success);
    let file =
        patch(&running, "f2", &json!({"extensions": [tagging("google-auto-tagging")]})).json();
    assert_eq!(file["extensionStatus"], json!({"google-auto-tagging": "success"}));
    let tags = file["AITags"].as_array().unwrap();
    assert_eq!(tags.len(), 2);
    assert!(
        tags.iter().all(|tag| tag["source"] == "google-auto-tagging"
            && tag["confidence"].as_f64() >= Some(80.0))
    );
    assert_eq!(running.file("f2").unwrap()["AITags"], file["AITags"]);
    assert_eq!(running.file("f2").unwrap().get("extensionStatus"), None);
}

#[test]
fn found_tags_can_be_foreseen_for_each_source() {
    let running = with_extension_status(Status::Success);
    for source in ["google-auto-tagging", "aws-auto-tagging"] {
        let extension = json!({"name": source, "minConfidence": 90, "maxTags": 30});
        let file = patch(&running, "f2", &json!({"extensions": [extension]})).json();
        let found = found_tags("f2", source).into_iter().take(2);
        let expected: Vec<Value> = found
            .map(|(name, confidence)| json!({"name": name, "confidence": confidence, "source": source}))
            .collect();
        let tags = file["AITags"].as_array().unwrap().clone();
        assert_eq!(tags[tags.len() - 2..], expected);
    }
    let file = running.file("f2").unwrap();
    assert_eq!(file["AITags"].as_array().unwrap().len(), 4);
}

#[test]
fn found_tags_can_be_configured_by_file_and_source() {
    let found = |file_id: Option<&str>, source: &str, tags: &[(&str, f64)]| FoundTags {
        file_id: file_id.map(str::to_owned),
        source: source.to_owned(),
        tags: tags.iter().map(|&(name, confidence)| (name.to_owned(), confidence)).collect(),
    };
    let google = "google-auto-tagging";
    let found_tags = vec![
        found(Some("f2"), google, &[]),
        found(None, google, &[("Shirt", 98.0), ("T-shirt", 95.0), ("Sleeve", 94.9), ("Hat", 12.5)]),
    ];
    let extensions = ExtensionOutcome::Always(Status::Success);
    let running = start_sandbox(Config { found_tags, extensions, ..config() });
    let tagged = |id: &str, extension: Value| {
        let file = patch(&running, id, &json!({"removeAITags": "all", "extensions": [extension]}));
        file.json()["AITags"].clone()
    };
    let at_least_95 = json!({"name": google, "minConfidence": 95, "maxTags": 5});
    let expected = json!([
        {"name": "Shirt", "confidence": 98.0, "source": google},
        {"name": "T-shirt", "confidence": 95.0, "source": google},
    ]);
    assert_eq!(tagged("f1", at_least_95.clone()), expected);
    let any = json!({"name": google, "minConfidence": 0, "maxTags": 3});
    assert_eq!(tagged("f1", any)[2]["name"], "Sleeve");
    assert_eq!(tagged("f2", at_least_95), Value::Null);
    assert_eq!(tagged("f2", tagging("aws-auto-tagging")).as_array().unwrap().len(), 2);
}

#[test]
fn failed_and_pending_extensions_are_billed_without_writing() {
    for (status, word) in [(Status::Failed, "failed"), (Status::Pending, "pending")] {
        let running = with_extension_status(status);
        let body =
            json!({"extensions": [tagging("aws-auto-tagging"), {"name": "ai-auto-description"}]});
        let file = patch(&running, "f2", &body).json();
        assert_eq!(
            file["extensionStatus"],
            json!({"aws-auto-tagging": word, "ai-auto-description": word})
        );
        assert_eq!((&file["AITags"], file.get("description")), (&Value::Null, None));
        assert_eq!(running.stats().billed_runs_of("f2", "aws-auto-tagging"), 1);
    }
}

#[test]
fn first_runs_fail_by_file_and_extension_if_configured() {
    let extensions = ExtensionOutcome::FailFirst { runs: 2 };
    let running = start_sandbox(Config { extensions, ..config() });
    let status = |id: &str, name: &str| {
        let file = patch(&running, id, &json!({"extensions": [tagging(name)]})).json();
        file["extensionStatus"][name].as_str().expect("a status").to_owned()
    };
    let google = || status("f1", "google-auto-tagging");
    assert_eq!(
        [google(), google(), google(), google()],
        ["failed", "failed", "success", "success"]
    );
    assert_eq!(status("f1", "aws-auto-tagging"), "failed");
    assert_eq!(status("f2", "google-auto-tagging"), "failed");
    assert_eq!(running.stats().billed_units, 8 + 1 + 2);
}

#[test]
fn ai_tags_are_removed_before_extensions_run() {
    let running = with_extension_status(Status::Success);
    let body = json!({"removeAITags": "all", "extensions": [tagging("aws-auto-tagging")]});
    let file = patch(&running, "f1", &body).json();
    assert_eq!(file["AITags"].as_array().unwrap().len(), 2);
    assert!(
        file["AITags"].as_array().unwrap().iter().all(|tag| tag["source"] == "aws-auto-tagging")
    );
}

#[test]
fn ai_tasks_change_tags_and_metadata() {
    let running = with_extension_status(Status::Success);
    let tasks = json!([
        {"type": "select_tags", "instruction": "?", "vocabulary": ["shirt", "dress"]},
        {"type": "select_metadata", "instruction": "?", "field": "color", "vocabulary": ["blue", "red"]},
        {"type": "yes_no", "instruction": "?", "on_yes": {
            "add_tags": ["luxury"], "remove_tags": ["old"],
            "set_metadata": [{"field": "price", "value": 9}], "unset_metadata": [{"field": "brand"}]},
            "on_no": {"add_tags": ["cheap"]}},
    ]);
    let file =
        patch(&running, "f1", &json!({"extensions": [{"name": "ai-tasks", "tasks": tasks}]}))
            .json();
    assert_eq!(file["tags"], json!(["sale", "shirt", "luxury"]));
    assert_eq!(file["customMetadata"], json!({"color": "blue", "price": 9}));
}

#[test]
fn remove_bg_adds_version_and_description_is_written() {
    let running = with_extension_status(Status::Success);
    let body = json!({"extensions": [{"name": "remove-bg"}, {"name": "ai-auto-description"}]});
    let file = patch(&running, "f1", &body).json();
    assert_eq!(file["versionInfo"], json!({"id": "f1v2", "name": "Version 2"}));
    assert_ne!(file["description"], "before");
}

#[test]
fn saved_extension_reports_its_configured_service() {
    let running = with_extension_status(Status::Success);
    let body = json!({"extensions": [{"name": "saved-extension", "id": "ext_tagging"}]});
    let file = patch(&running, "f2", &body).json();
    assert_eq!(file["extensionStatus"], json!({"google-auto-tagging": "success"}));
    let unknown = json!({"extensions": [{"name": "saved-extension", "id": "ext_none"}]});
    assert_eq!(patch(&running, "f2", &unknown).status, 400);
    assert_eq!(running.stats().billed_runs_of("f2", "google-auto-tagging"), 1);
}

#[test]
fn extensions_of_one_name_run_each_and_share_a_status() {
    let running = with_extension_status(Status::Success);
    let saved = json!({"name": "saved-extension", "id": "ext_tagging"});
    let body = json!({"extensions": [tagging("google-auto-tagging"), saved]});
    let response = patch(&running, "f2", &body);
    assert_eq!(response.text.matches(r#""google-auto-tagging":"success""#).count(), 1);
    assert_eq!(running.stats().billed_runs_of("f2", "google-auto-tagging"), 2);
}

#[test]
fn runs_beyond_the_limit_of_a_file_are_rejected_and_cost_nothing() {
    let quirks = Quirks { extension_limit: Some(2), ..Quirks::default() };
    let running = start_sandbox(Config { quirks, ..config() });
    let status = |id: &str, count: usize| {
        let extensions = vec![tagging("aws-auto-tagging"); count];
        patch(&running, id, &json!({"extensions": extensions, "tags": ["x"]}))
    };
    assert_eq!(status("f1", 3).status, 400);
    assert_eq!((status("f1", 1).status, status("f1", 1).status), (200, 200));
    let before = running.file("f1");
    assert_eq!(status("f1", 1).message(), "Extension limit exceeded for this file.");
    assert_eq!((running.file("f1"), running.stats().billed_units), (before, 2));
    assert_eq!((status("f1", 0).status, status("f2", 2).status), (200, 200));
}

#[test]
fn repeated_saved_extension_is_rejected() {
    let running = with_extension_status(Status::Success);
    let saved = json!({"name": "saved-extension", "id": "ext_tagging"});
    let response = patch(&running, "f2", &json!({"extensions": [saved, saved]}));
    assert_eq!((response.status, running.stats().billed_units), (400, 0));
    let other = json!({"name": "saved-extension", "id": "ext_colour"});
    assert_eq!(patch(&running, "f2", &json!({"extensions": [saved, other]})).status, 200);
}

#[test]
fn extension_runs_are_counted_by_file_and_service() {
    let running = with_extension_status(Status::Success);
    let body = json!({"extensions": [tagging("google-auto-tagging"), {"name": "remove-bg"}]});
    patch(&running, "f1", &body);
    patch(&running, "f1", &body);
    patch(&running, "f2", &body);
    patch(&running, "gone", &body);
    let stats = running.stats();
    assert_eq!(stats.billed_runs["remove-bg"], 3);
    assert_eq!(stats.billed_runs_of("f1", "google-auto-tagging"), 2);
    assert_eq!(stats.billed_runs_of("gone", "remove-bg"), 0);
    assert_eq!(stats.max_billed_runs_per_pair, 2);
}
