//! Lookup of files by path and URL: number of reads, stale search results, reuse by `resume`.

use std::time::Duration;

use ikbulk_sandbox::{Config, Fault, Hook, Library, Phase};
use serde_json::{Value, json};

use crate::harness::{ChildHandle, TestEnv, assert_text, script, sheet, status, with_library};
use crate::targets::{library, requests};

/// Search results that do not depend on the library.
fn search_finds(places: &Value) -> Fault {
    let content_type = "application/json".to_owned();
    Fault::Status { code: 200, body: places.to_string(), content_type }
}

#[test]
fn stale_search_path_of_moved_file_is_rejected() {
    let stale = json!([{"fileId": "moved", "filePath": "/a.jpg", "url": "https://ik.imagekit.io/sandbox/a.jpg"}]);
    let config = library([("moved", "/b/a.jpg")]);
    let env = TestEnv::new(script(vec![(1, search_finds(&stale))], config));
    env.write("sheet.csv", "filePath,tags\n/a.jpg,new\n");
    env.apply("sheet.csv --max-bad 100%").exits(1);
    assert_text!(env.only_run("sheet").row(2)["message"]);
    assert_eq!(requests(&env), (1, 1, 0));
}

#[test]
fn stale_search_result_of_deleted_file_is_rejected() {
    let stale = json!([{"fileId": "gone", "filePath": "/a.jpg"}]);
    let env = TestEnv::new(script(vec![(1, search_finds(&stale))], library([])));
    env.write("sheet.csv", "filePath,tags\n/a.jpg,new\n");
    env.apply("sheet.csv --max-bad 100%").exits(1);
    assert_text!(env.only_run("sheet").row(2)["message"]);
    assert_eq!(requests(&env), (1, 1, 0));
}

#[test]
fn stale_search_finds_files_just_written() {
    let config = library([("shoe", "/shoe.jpg")]);
    let env = TestEnv::new(Config { search_lag: Duration::from_hours(1), ..config });
    for tag in ["first", "second"] {
        env.write(&format!("{tag}.csv"), format!("filePath,addTags\n/shoe.jpg,{tag}\n"));
        env.apply(&format!("{tag}.csv")).exits(0);
    }
    assert_eq!(env.file("shoe")["tags"], json!(["first", "second"]));
}

#[test]
fn resume_reuses_path_lookups() {
    let victim = ChildHandle::default();
    let struck = victim.clone();
    let mut config = library([("shoe", "/shoe.jpg"), ("hat", "/hat.jpg")]);
    config.hook = Some(Hook::new(move |event| {
        // The account, one list, two reads to confirm and two to plan, and then the first write.
        if event.phase == Phase::Arrived && event.n == 7 {
            struck.kill();
        }
    }));
    let env = TestEnv::new(config);
    env.write("sheet.csv", "filePath,tags\n/shoe.jpg,new\n/hat.jpg,new\n/missing.jpg,x\n");
    let apply = "apply sheet.csv --yes --rate unlimited --max-bad 100%";
    let killed = env.command(&apply.split(' ').collect::<Vec<_>>()).run_as(&victim);
    assert_eq!(killed.code, None, "{}", killed.err);
    let run = env.only_run("sheet");
    env.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(1);
    // The account is identified once more.
    assert_eq!(requests(&env).0, 1 + 1, "nothing is looked up again");
    // Two reads to confirm and two to plan.
    assert_eq!(requests(&env).1, 2 + 2);
    assert_eq!(run.statuses(), ["updated", "updated", "rejected"]);
    let ids: Vec<String> = run.report().into_iter().map(|line| line["fileId"].clone()).collect();
    assert_eq!(ids, ["shoe", "hat", ""]);
    let before = run.text("report.csv");
    env.run(&format!("report {}", run.name())).exits(1);
    assert_eq!(run.text("report.csv"), before);
}

#[test]
fn file_found_by_path_is_verified_after_lost_response() {
    // One list and one read resolve the path. The response to the first write is lost; a list probes,
    // the write is retried, the other row's write follows, and one read verifies.
    let config = library([("shoe", "/shoe.jpg")]);
    let env = TestEnv::new(script(vec![(3, Fault::ResetAfter)], config));
    env.write("sheet.csv", "fileId,filePath,description\n,/shoe.jpg,one\nshoe,,two\n");
    env.apply_direct("sheet.csv").exits(0);
    assert_eq!(requests(&env), (2, 2, 3));
}

/// `in_folder` files in one folder, and a sheet that tags the first `wanted` of them by path.
fn env_with_paths(in_folder: usize, elsewhere: u64, wanted: usize) -> TestEnv {
    let mut library = Library::synthetic(elsewhere, 1);
    for n in 0..in_folder {
        library
            .insert(json!({"fileId": format!("file{n}"), "filePath": format!("/crowd/{n}.jpg")}));
    }
    let env = TestEnv::new(with_library(library));
    let rows = (0..wanted).map(|n| format!("/crowd/{n}.jpg,sale"));
    env.write("sheet.csv", sheet("filePath,addTags", rows));
    env
}

#[test]
fn thousand_paths_are_resolved_by_listing() {
    // One count of the files, two pages, and each file once by its id; 16 are read back.
    let env = env_with_paths(1000, 0, 1000);
    env.apply_direct("sheet.csv").exits(0);
    assert_eq!(requests(&env), (3, 1016, 20));
    // The library is too large to list, the folder is not.
    let env = env_with_paths(1000, 20_000, 1000);
    env.apply_direct("sheet.csv").exits(0);
    assert_eq!(requests(&env), (4, 1016, 20));
}

#[test]
fn few_paths_in_large_folder_take_one_query() {
    let env = env_with_paths(5000, 0, 5);
    env.apply_direct("sheet.csv").exits(0);
    assert_eq!(requests(&env), (1, 6, 1));
}

#[test]
fn five_hundred_paths_are_queried_by_name() {
    // Two counts that find both library and folder too large, and a hundred names a query. Of each
    // bulk call, one file is read back.
    let env = env_with_paths(5000, 0, 500);
    env.apply_direct("sheet.csv").exits(0);
    assert_eq!(requests(&env), (7, 510, 10));
}

#[test]
fn lookup_retries_429_and_stops_at_400() {
    let throttle = Fault::Throttle { reset_ms: Some(10), limit: None };
    let env = TestEnv::new(script(vec![(1, throttle)], library([("shoe", "/shoe.jpg")])));
    env.write("sheet.csv", "filePath,tags\n/shoe.jpg,new\n");
    env.apply("sheet.csv").exits(0);
    // The throttled list, its retry, and three reads: to confirm, to plan and back.
    assert_eq!(requests(&env), (2, 3, 1));
    let refused = vec![(1, status(400, "Your request contains invalid value."))];
    let env = TestEnv::new(script(refused, library([("shoe", "/shoe.jpg")])));
    env.write("sheet.csv", "filePath,tags\n/shoe.jpg,new\n");
    assert_text!(env.apply("sheet.csv").exits(2));
    assert!(!env.path("sheet.ikbulk").exists());
}

#[test]
fn repeated_list_pages_abort_the_lookup() {
    let page = |from: u64| {
        let files = (from..from + 1000).map(|n| json!({"fileId": format!("file{n}")}));
        search_finds(&files.collect())
    };
    // The count of the files, and then the same two pages again and again.
    let pages = (2..60).map(|n| (n, page(if n % 2 == 0 { 0 } else { 1000 })));
    let empty = (1, search_finds(&json!([])));
    let env = TestEnv::new(script(std::iter::once(empty).chain(pages).collect(), library([])));
    let paths = (0..500).map(|n| format!("/a/{n}.jpg,new"));
    env.write("sheet.csv", sheet("filePath,tags", paths));
    assert_text!(env.apply("sheet.csv --max-bad 100%").exits(3));
    assert!(env.sandbox.stats().requests < 10);
}

#[test]
fn folder_with_the_path_of_a_file_is_ignored() {
    let places = json!([
        {"type": "folder", "folderId": "x", "name": "shoe", "folderPath": "/shoe"},
        {"type": "file", "fileId": "shoe", "filePath": "/shoe"},
    ]);
    let config = library([("shoe", "/shoe")]);
    let env = TestEnv::new(script(vec![(1, search_finds(&places))], config));
    env.write("sheet.csv", "filePath,tags\n/shoe,new\n");
    env.apply("sheet.csv").exits(0);
    assert_eq!(env.file("shoe")["tags"], json!(["new"]));
    // The account, the list, the file itself to confirm and again to plan, the change, and the file
    // read back.
    assert_eq!(env.sandbox.stats().requests, 6);
}
