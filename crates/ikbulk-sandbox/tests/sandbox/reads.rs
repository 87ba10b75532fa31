//! GET details, list, search, metadata fields and saved extensions.

use std::time::Duration;

use ikbulk_sandbox::{Config, Library, Quirks, Running, synthetic_id};
use serde_json::{Value, json};

use crate::client::{config, get, library, patch, start_sandbox};

fn ids(running: &Running, query: &str) -> Vec<String> {
    let response = get(running, &format!("/v1/files?{query}"));
    assert_eq!(response.status, 200, "{query}: {}", response.text);
    let list = response.json();
    let id = |file: &Value| file["fileId"].as_str().map(str::to_owned);
    list.as_array().expect("a bare array").iter().filter_map(id).collect()
}

#[test]
fn details_return_the_current_file() {
    let running = start_sandbox(config());
    patch(&running, "f1", &json!({"description": "after"}));
    let response = get(&running, "/v1/files/f1/details");
    assert_eq!(response.status, 200);
    assert_eq!(Some(response.json()), running.file("f1"));
    let missing = get(&running, "/v1/files/gone/details");
    assert_eq!(
        (missing.status, missing.message().as_str()),
        (404, "The requested file does not exist.")
    );
    assert_eq!(get(&running, "/v1/files/a%2Fb/details").status, 400);
}

#[test]
fn list_keeps_upload_order_after_a_change() {
    let running = start_sandbox(config());
    assert_eq!(ids(&running, ""), ["f2", "f1"]);
    patch(&running, "f2", &json!({"tags": ["x"]}));
    assert_eq!(ids(&running, "sort=ASC_CREATED"), ["f2", "f1"]);
    assert_eq!(ids(&running, "sort=DESC_CREATED"), ["f1", "f2"]);
}

#[test]
fn every_sort_order_is_supported() {
    let mut library = Library::new();
    for (id, name, size, width, height, created, updated) in [
        ("a", "2.jpg", 30, 2, 1, 3, 5),
        ("b", "1.jpg", 20, 1, 3, 2, 6),
        ("c", "3.jpg", 10, 3, 2, 1, 4),
    ] {
        library.insert(json!({
            "fileId": id, "filePath": format!("/{name}"), "size": size, "width": width,
            "height": height, "createdAt": format!("2022-01-0{created}T00:00:00.000Z"),
            "updatedAt": format!("2022-01-0{updated}T00:00:00.000Z"),
        }));
    }
    let running = start_sandbox(Config { library, ..config() });
    let orders = [
        ("CREATED", "cba"),
        ("RELEVANCE", "cba"),
        ("NAME", "bac"),
        ("UPDATED", "cab"),
        ("HEIGHT", "acb"),
        ("WIDTH", "bac"),
        ("SIZE", "cba"),
    ];
    for (order, ascending) in orders {
        let descending: String = ascending.chars().rev().collect();
        assert_eq!(ids(&running, &format!("sort=ASC_{order}")).concat(), ascending, "{order}");
        assert_eq!(ids(&running, &format!("sort=DESC_{order}")).concat(), descending, "{order}");
    }
    assert_eq!(ids(&running, "sort=DESC_NAME&skip=1&limit=1"), ["a"]);
}

#[test]
fn search_can_be_stale_details_never() {
    let hour = Duration::from_hours(1);
    let running = start_sandbox(Config { search_lag: hour, ..config() });
    let description_in = |query: &str| {
        let list = get(&running, &format!("/v1/files?{query}")).json();
        let file = list.as_array().unwrap().iter().find(|file| file["fileId"] == "f1").cloned();
        file.unwrap()["description"].clone()
    };
    let descriptions =
        || [description_in("limit=10"), description_in("searchQuery=id+IN+[%22f1%22]")];
    assert_eq!(descriptions(), ["before"; 2]);
    patch(&running, "f1", &json!({"description": "after"}));
    assert_eq!(descriptions(), ["before"; 2]);
    assert_eq!(get(&running, "/v1/files/f1/details").json()["description"], "after");
    running.advance(hour);
    assert_eq!(descriptions(), ["after"; 2]);
}

#[test]
fn pages_cover_the_library_exactly_once() {
    let running = start_sandbox(Config { library: Library::synthetic(25, 9), ..config() });
    let all: Vec<String> = (0..25).map(|index| synthetic_id(9, index)).collect();
    let pages = (0..4).flat_map(|page| ids(&running, &format!("limit=10&skip={}", page * 10)));
    assert_eq!(pages.collect::<Vec<_>>(), all);
}

#[test]
fn page_of_one_and_page_beyond_the_end() {
    let running = start_sandbox(Config { library: Library::synthetic(25, 9), ..config() });
    for skip in [0, 7, 24] {
        assert_eq!(ids(&running, &format!("limit=1&skip={skip}")), [synthetic_id(9, skip)]);
    }
    for query in ["skip=25", "limit=1&skip=25", "limit=10&skip=1000000000000"] {
        assert_eq!(get(&running, &format!("/v1/files?{query}")).text, "[]", "{query}");
    }
    let past_end = "path=/products/shoes&limit=1&skip=25";
    assert_eq!(get(&running, &format!("/v1/files?{past_end}")).text, "[]");
}

#[test]
fn skip_above_the_cap_is_rejected() {
    let quirks = Quirks { skip_max: Some(20), ..Quirks::default() };
    let running = start_sandbox(Config { quirks, library: Library::synthetic(25, 9), ..config() });
    assert_eq!(ids(&running, "limit=1&skip=20"), [synthetic_id(9, 20)]);
    let refused = get(&running, "/v1/files?limit=1&skip=21");
    assert_eq!(refused.status, 400);
    assert_eq!(refused.message(), "Your request contains invalid value for skip parameter.");
}

#[test]
fn listed_file_equals_its_details() {
    let mut library = Library::synthetic(50, 9);
    library.insert(json!({"fileId": "bare"}));
    let running = start_sandbox(Config { library, ..config() });
    let changed = synthetic_id(9, 30);
    let extensions = json!([{"name": "google-auto-tagging", "minConfidence": 0, "maxTags": 3}]);
    patch(&running, &changed, &json!({"tags": ["x"], "extensions": extensions}));
    let list = get(&running, "/v1/files").json();
    assert_eq!(list.as_array().unwrap().len(), 51);
    for listed in list.as_array().unwrap() {
        let id = listed["fileId"].as_str().unwrap();
        assert_eq!(*listed, get(&running, &format!("/v1/files/{id}/details")).json());
        let found = get(&running, &format!("/v1/files?searchQuery=id+IN+[%22{id}%22]")).json();
        assert_eq!(found, json!([listed]));
    }
}

#[test]
fn folder_path_matches_with_or_without_slashes() {
    let running = start_sandbox(config());
    for path in ["/a/b/", "a%2Fb", "/a/b"] {
        assert_eq!(ids(&running, &format!("path={path}")), ["f2"]);
    }
    assert_eq!(ids(&running, "path=/a"), ["f1"]);
    let running = start_sandbox(Config { library: Library::synthetic(60, 9), ..config() });
    let found = ids(&running, "path=/products/shoes");
    assert!(!found.is_empty() && found.len() < 60);
    for id in found {
        let path = running.file(&id).unwrap()["filePath"].to_string();
        assert!(path.contains("/products/shoes/"), "{path}");
    }
}

#[test]
fn search_by_ids_returns_existing_files() {
    let running = start_sandbox(config());
    let query = "searchQuery=id%20IN%20%5B%22f1%22%2C%22gone%22%2C%22f2%22%5D";
    assert_eq!(ids(&running, query), ["f2", "f1"]);
    assert_eq!(ids(&running, "searchQuery=id+IN+[%22f1%22]+AND+type+=+%22file%22"), ["f1"]);
    assert_eq!(ids(&running, "searchQuery=name=%22one.jpg%22+AND+path=%22/a/%22"), ["f1"]);
    assert_eq!(ids(&running, "searchQuery=name=%22One.jpg%22"), [""; 0]);
    let unsupported = get(&running, "/v1/files?searchQuery=createdAt+%3E+%227d%22");
    assert_eq!(unsupported.status, 400);
    assert!(unsupported.message().contains("createdAt"));
}

/// The `searchQuery` parameter with everything but letters and digits percent-encoded.
fn query_for(search: &str) -> String {
    let encoded = percent_encoding::utf8_percent_encode(search, percent_encoding::NON_ALPHANUMERIC);
    format!("searchQuery={encoded}")
}

#[test]
fn search_by_name_and_path_combines_conditions() {
    let mut library = Library::new();
    for (id, path) in [
        ("top", "/same.jpg"),
        ("a", "/a/same.jpg"),
        ("b", "/a/b/same.jpg"),
        ("other", "/a/b/other.jpg"),
        ("odd", "/a/b \"c\" AND d/50% ü+1.jpg"),
    ] {
        library.insert(json!({"fileId": id, "filePath": path}));
    }
    let running = start_sandbox(Config { library, ..config() });
    let found = |search: &str| {
        let mut found = ids(&running, &query_for(search));
        found.sort_unstable();
        found
    };
    assert_eq!(found(r#"name = "same.jpg" AND path = "/a/b/""#), ["b"]);
    assert_eq!(found(r#"name = "same.jpg" AND path = "/a/b""#), ["b"]);
    assert_eq!(found(r#"path = "/" AND name = "same.jpg""#), ["top"]);
    assert_eq!(found(r#"name = "same.jpg""#), ["a", "b", "top"]);
    assert_eq!(found(r#"path = "/a/b/""#), ["b", "other"]);
    assert_eq!(found(r#"name = "Same.jpg" AND path = "/a/b/""#), [""; 0]);
    assert_eq!(found(r#"name = "other.jpg" AND path = "/a/""#), [""; 0]);
    let odd = r#"type = "file" AND name = "50% ü+1.jpg" AND path = "/a/b \"c\" AND d/""#;
    assert_eq!(found(odd), ["odd"]);
    assert_eq!(
        ids(&running, &format!("{}&limit=1&skip=1", query_for(r#"name = "same.jpg""#))).len(),
        1
    );
}

#[test]
fn search_for_100_ids_respects_url_cap() {
    let library = Library::synthetic(300, 9);
    let running = start_sandbox(Config { library: library.clone(), ..config() });
    let wanted: Vec<String> = (0..300).step_by(3).map(|index| synthetic_id(9, index)).collect();
    let query = query_for(&format!("id IN {}", json!(wanted)));
    assert_eq!(ids(&running, &query), wanted);
    assert_eq!(ids(&running, &format!("{query}&limit=7&skip=90")), wanted[90..97]);

    let target = format!("/v1/files?{query}");
    for (url_max, status) in [(target.len(), 200), (target.len() - 1, 414)] {
        let quirks = Quirks { url_max: Some(url_max), ..Quirks::default() };
        let running = start_sandbox(Config { quirks, library: library.clone(), ..config() });
        let response = get(&running, &target);
        assert_eq!(response.status, status);
        assert_eq!(running.stats().reads_per_second.accepted, u64::from(status == 200));
    }
    // Without a cap, only the HTTP library limits the URL's length.
    let many: Vec<String> = (0..1500).map(|index| synthetic_id(9, index)).collect();
    assert_eq!(ids(&running, &query_for(&format!("id IN {}", json!(many)))).len(), 300);
}

#[test]
fn files_are_sorted_by_duration_and_original_creation_date() {
    let mut library = library();
    library.insert(json!({"fileId": "f3", "duration": 9, "createdAt": "2023-01-01T00:00:00.000Z"}));
    library
        .insert(json!({"fileId": "f4", "duration": 10, "createdAt": "2020-01-01T00:00:00.000Z"}));
    let fields = vec![ikbulk_sandbox::original_creation_date_field()];
    let running = start_sandbox(Config { library, fields, saved: Vec::new(), ..config() });
    assert_eq!(ids(&running, "sort=DESC_DURATION&limit=2"), ["f4", "f3"]);
    assert_eq!(ids(&running, "sort=ASC_DURATION"), ["f2", "f1", "f3", "f4"]);
    let by_date = || ids(&running, "sort=ASC_ORIGINAL_CREATION_DATE");
    assert_eq!(by_date(), ["f4", "f2", "f1", "f3"]);
    let metadata = json!({"_internal_original_created_datetime": "2019-12-31T00:00:00.000Z"});
    assert_eq!(patch(&running, "f3", &json!({"customMetadata": metadata})).status, 200);
    assert_eq!(by_date(), ["f3", "f4", "f2", "f1"]);
    assert_eq!(ids(&running, "sort=DESC_ORIGINAL_CREATION_DATE&limit=1"), ["f1"]);
}

#[test]
fn reserved_field_exists_only_when_configured() {
    let running = start_sandbox(config());
    let metadata = json!({"_internal_original_created_datetime": "2019-12-31"});
    assert_eq!(patch(&running, "f1", &json!({"customMetadata": metadata})).status, 400);
}

#[test]
fn search_returns_folders_whatever_the_type() {
    let mut library = library();
    library.add_folder("/a/b");
    let running = start_sandbox(Config { library, ..config() });
    let found = |query: &str| {
        let list = get(&running, &format!("/v1/files?{query}")).json();
        let is_folder = |asset: &Value| asset["type"] == "folder";
        list.as_array().unwrap().iter().filter(|asset| is_folder(asset)).count()
    };
    assert_eq!(found("type=file&searchQuery=path+%3D+%22%2Fa%22"), 1);
    assert_eq!(found("type=file"), 0);
    let query = "searchQuery=path+%3D+%22%2Fa%22+AND+type+%3D+%22file%22";
    assert_eq!(found(query), 0);
    let folder = get(&running, "/v1/files?type=folder").json()[0].clone();
    assert_eq!((folder.get("fileId"), &folder["folderPath"]), (None, &json!("/a/b")));
}

#[test]
fn invalid_parameters_are_rejected() {
    let running = start_sandbox(config());
    for query in
        ["limit=0", "limit=1001", "limit=x", "skip=-1", "sort=UP", "type=picture", "tags=x"]
    {
        assert_eq!(get(&running, &format!("/v1/files?{query}")).status, 400, "{query}");
    }
    assert_eq!(ids(&running, "type=folder"), [""; 0]);
    assert_eq!(ids(&running, "fileType=non-image"), [""; 0]);
    assert_eq!(ids(&running, "fileType=image&type=all").len(), 2);
}

#[test]
fn fields_and_saved_extensions_follow_configuration() {
    let running = start_sandbox(config());
    let fields = get(&running, "/v1/customMetadataFields").json();
    assert_eq!(fields, json!(Config::default().fields));
    let types: Vec<&str> = fields
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["schema"]["type"].as_str().unwrap())
        .collect();
    for kind in ["Text", "Textarea", "Number", "Date", "Boolean", "SingleSelect", "MultiSelect"] {
        assert!(types.contains(&kind), "{kind}");
    }
    let saved = get(&running, "/v1/saved-extensions").json();
    assert_eq!(saved.as_array().unwrap().len(), 2);
}

#[test]
fn million_file_library_starts_instantly() {
    let start = std::time::Instant::now();
    let running = start_sandbox(Config { library: Library::synthetic(1_000_000, 9), ..config() });
    let last = synthetic_id(9, 999_999);
    assert_eq!(get(&running, &format!("/v1/files/{last}/details")).status, 200);
    assert_eq!(ids(&running, "limit=1&skip=999999"), [last]);
    assert!(running.library().is_empty());
    assert!(start.elapsed().as_secs() < 3);
}
