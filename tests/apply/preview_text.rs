//! Snapshots of what the commands print.

use ikbulk::sandbox::{Config, Hook, Library, Phase};
use serde_json::json;

use crate::harness::{
    ChildHandle, TestEnv, assert_text, files, ids, script, status, tagging, with_library,
};

#[test]
fn check_names_every_bad_cell() {
    let world = TestEnv::new(files(["a"]));
    world.write(
        "sheet.csv",
        "fileId,tags,addTags,customCoordinates,extensions,isPublished,note\n\
         a,x,,,,,fine\n\
         b,50%,,,,,\n\
         ,x,,,,,\n\
         c,x,y,\"1,2\",,,\n\
         d,#N/A,,,,,\n\
         e,,,,\"[{\"\"name\"\":\"\"magic\"\"}]\",maybe,\n\
         f,,<clear>,,,,\n\
         ,,,,,,\n\
         g,x,y\n\
         h,x,,,,,\n",
    );
    let done = world.run("check sheet.csv").exits(1);
    assert_text!(done);
}

#[test]
fn the_trial_run_of_the_readme() {
    let world = TestEnv::new(files(["a"]));
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/retag.csv");
    std::fs::copy(fixture, world.path("retag.csv")).unwrap();
    let done = world.run("apply retag.csv --sandbox").exits(1);
    assert!(!done.err.contains('\u{1b}'), "colours are for terminals");
    assert_text!(done);
}

#[test]
fn every_change_of_a_plan() {
    let mut library = Library::new();
    for file in [
        json!({"fileId": "a", "filePath": "/shoes/a.jpg", "tags": ["shoe", "winter"],
            "AITags": [{"name": "boot", "source": "google-auto-tagging", "confidence": 90}]}),
        json!({"fileId": "b", "filePath": "/b.jpg", "tags": ["winter"], "description": "A shoe ",
            "customMetadata": {"brand": "Acme", "price": 12.5}, "isPublished": true}),
        json!({"fileId": "c", "filePath": "/c.jpg", "tags": ["so", "already"]}),
        json!({"fileId": "d", "filePath": "/d \"1\".jpg", "description": "Old"}),
    ] {
        library.insert(file);
    }
    let world = TestEnv::new(with_library(library));
    world.write(
        "sheet.jsonl",
        r#"{"fileId": "a", "tags": ["shoe", "winter 26"], "removeAITags": ["boot"]}
{"fileId": "b", "addTags": ["sale"], "removeTags": ["winter"], "description": "A shoe"}
{"fileId": "c", "tags": ["already", "so"]}
{"fileId": "d", "extensions": [{"name": "ai-auto-description"}], "webhookUrl": "https://x.example/"}
{"fileId": "d", "description": "New"}
{"fileId": "b", "customMetadata": {"brand": null, "price": 13, "size": "30"}, "description": null}
{"fileId": "b", "publish": {"isPublished": false, "includeFileVersions": true}}
{"fileId": "a", "customCoordinates": "1,2,3,4"}
"#,
    );
    let done = world.run("plan sheet.jsonl --diff").exits(0);
    assert_text!(done);
}

#[test]
fn a_halt() {
    let expired = status(403, "Your request contains expired private API key.");
    let world = TestEnv::new(script(vec![(3, expired)], files(ids(5))));
    world.write("sheet.csv", tagging(&ids(5)));
    let done = world.apply_direct("sheet.csv --concurrency 1").exits(3);
    assert_text!(done);
}

#[test]
fn an_interrupted_run() {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        if event.n == 3 && event.phase == Phase::Worked {
            hand.signal("TERM");
        }
    });
    let latency = std::time::Duration::from_millis(100);
    let world = TestEnv::new(Config { hook: Some(hook), latency, ..files(ids(5)) });
    world.write("sheet.csv", tagging(&ids(5)));
    let words = [
        "apply",
        "--direct",
        "--no-snapshot",
        "sheet.csv",
        "--yes",
        "--rate",
        "unlimited",
        "--concurrency",
        "1",
    ];
    let done = world.command(&words).run_as(&victim).exits(143);
    assert_text!(done);
}
