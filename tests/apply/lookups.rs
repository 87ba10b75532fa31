//! Looking files up: in how few reads, past a search that is behind, and once a run.

use std::time::Duration;

use ikbulk::sandbox::{Config, Fault, Hook, Library, Phase};
use serde_json::{Value, json};

use crate::harness::{ChildHandle, TestEnv, script, sheet, status, with_library};
use crate::targets::{library, requests};

/// A search that finds this, whatever there is.
fn search_finds(places: &Value) -> Fault {
    let content_type = "application/json".to_owned();
    Fault::Status { code: 200, body: places.to_string(), content_type }
}

#[test]
fn a_file_that_search_shows_where_it_was_is_not_taken() {
    let stale = json!([{"fileId": "moved", "filePath": "/a.jpg", "url": "https://ik.imagekit.io/sandbox/a.jpg"}]);
    let config = library([("moved", "/b/a.jpg")]);
    let world = TestEnv::new(script(vec![(1, search_finds(&stale))], config));
    world.write("sheet.csv", "filePath,tags\n/a.jpg,new\n");
    world.apply_direct("sheet.csv --max-bad 100%").exits(1).output_contains(
        "was, as search has it, the file moved, which is not there any more, but /b/a.jpg",
    );
    assert_eq!(requests(&world), (1, 1, 0));
}

#[test]
fn a_file_that_search_still_shows_is_not_taken_once_it_is_gone() {
    let stale = json!([{"fileId": "gone", "filePath": "/a.jpg"}]);
    let world = TestEnv::new(script(vec![(1, search_finds(&stale))], library([])));
    world.write("sheet.csv", "filePath,tags\n/a.jpg,new\n");
    world
        .apply_direct("sheet.csv --max-bad 100%")
        .exits(1)
        .output_contains("not there any more, but gone");
    assert_eq!(requests(&world), (1, 1, 0));
}

#[test]
fn search_that_is_behind_finds_the_files_that_were_just_written() {
    let config = library([("shoe", "/shoe.jpg")]);
    let world = TestEnv::new(Config { search_lag: Duration::from_hours(1), ..config });
    for tag in ["first", "second"] {
        world.write(&format!("{tag}.csv"), format!("filePath,addTags\n/shoe.jpg,{tag}\n"));
        world.apply_direct(&format!("{tag}.csv")).exits(0);
    }
    assert_eq!(world.file("shoe")["tags"], json!(["first", "second"]));
}

#[test]
fn a_resumed_run_goes_by_what_was_looked_up_when_it_began() {
    let victim = ChildHandle::default();
    let struck = victim.clone();
    let mut config = library([("shoe", "/shoe.jpg"), ("hat", "/hat.jpg")]);
    config.hook = Some(Hook::new(move |event| {
        // The account, one list, two reads, and then the first write.
        if event.phase == Phase::Arrived && event.n == 5 {
            struck.kill();
        }
    }));
    let world = TestEnv::new(config);
    world.write("sheet.csv", "filePath,tags\n/shoe.jpg,new\n/hat.jpg,new\n/missing.jpg,x\n");
    let apply = "apply --direct --no-snapshot sheet.csv --yes --rate unlimited --max-bad 100%";
    let killed = world.command(&apply.split(' ').collect::<Vec<_>>()).run_as(&victim);
    assert_eq!(killed.code, None, "{}", killed.err);
    let run = world.only_run("sheet");
    world.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(1);
    // Whose account it is is asked once more.
    assert_eq!(requests(&world).0, 1 + 1, "nothing is looked up again");
    assert_eq!(requests(&world).1, 2);
    assert_eq!(run.statuses(), ["updated", "updated", "rejected"]);
    let ids: Vec<String> = run.report().into_iter().map(|line| line["fileId"].clone()).collect();
    assert_eq!(ids, ["shoe", "hat", ""]);
    let before = run.text("report.csv");
    world.run(&format!("report {}", run.name())).exits(1);
    assert_eq!(run.text("report.csv"), before);
}

#[test]
fn a_file_named_by_path_is_read_back_where_an_answer_was_lost() {
    // One list and one read look it up. The answer to the first write is lost; a list probes, the
    // write is repeated, the other row's follows, and one read looks back.
    let config = library([("shoe", "/shoe.jpg")]);
    let world = TestEnv::new(script(vec![(3, Fault::ResetAfter)], config));
    world.write("sheet.csv", "fileId,filePath,description\n,/shoe.jpg,one\nshoe,,two\n");
    world
        .apply_direct("sheet.csv")
        .exits(0)
        .output_contains("reading back 1 file on which an answer was lost");
    assert_eq!(requests(&world), (2, 2, 3));
}

/// So many paths of one folder, and a sheet that tags the first of them.
fn crowded(in_folder: usize, elsewhere: u64, wanted: usize) -> TestEnv {
    let mut library = Library::synthetic(elsewhere, 1);
    for n in 0..in_folder {
        library
            .insert(json!({"fileId": format!("file{n}"), "filePath": format!("/crowd/{n}.jpg")}));
    }
    let world = TestEnv::new(with_library(library));
    let rows = (0..wanted).map(|n| format!("/crowd/{n}.jpg,sale"));
    world.write("sheet.csv", sheet("filePath,addTags", rows));
    world
}

#[test]
fn a_thousand_paths_are_found_by_listing_what_is_not_much_more() {
    // One look at how many files there are, two pages, and each file once by its id.
    let world = crowded(1000, 0, 1000);
    world
        .apply_direct("sheet.csv")
        .exits(0)
        .output_contains("1000 paths and URLs in 1003 reads; 1000 found");
    assert_eq!(requests(&world), (3, 1000, 20));
    // The library has more than is worth listing, the folder has not.
    let world = crowded(1000, 20_000, 1000);
    world.apply_direct("sheet.csv").exits(0).output_contains("1000 paths and URLs in 1004 reads");
    assert_eq!(requests(&world), (4, 1000, 20));
}

#[test]
fn a_few_paths_of_a_large_folder_are_found_by_one_query() {
    let world = crowded(5000, 0, 5);
    world.apply_direct("sheet.csv").exits(0).output_contains("5 paths and URLs in 6 reads");
    assert_eq!(requests(&world), (1, 5, 1));
}

#[test]
fn five_hundred_paths_of_a_large_folder_are_found_by_name() {
    // Two looks that find both library and folder too large, and a hundred names a query.
    let world = crowded(5000, 0, 500);
    world.apply_direct("sheet.csv").exits(0).output_contains("500 paths and URLs in 507 reads");
    assert_eq!(requests(&world), (7, 500, 10));
}

#[test]
fn looking_up_waits_out_a_429_and_gives_up_on_what_does_not_pass() {
    let throttle = Fault::Throttle { reset_ms: Some(10), limit: None };
    let world = TestEnv::new(script(vec![(1, throttle)], library([("shoe", "/shoe.jpg")])));
    world.write("sheet.csv", "filePath,tags\n/shoe.jpg,new\n");
    world.apply_direct("sheet.csv").exits(0).output_contains("in 3 reads");
    let refused = vec![(1, status(400, "Your request contains invalid value."))];
    let world = TestEnv::new(script(refused, library([("shoe", "/shoe.jpg")])));
    world.write("sheet.csv", "filePath,tags\n/shoe.jpg,new\n");
    let said = world.apply_direct("sheet.csv").exits(2).output_contains("cannot look up the files");
    said.output_contains(
        "nothing was sent: refused with 400: Your request contains invalid value.",
    );
    assert!(!world.path("sheet.ikbulk").exists());
}

#[test]
fn pages_that_come_again_and_again_end_the_look_up() {
    let page = |from: u64| {
        let files = (from..from + 1000).map(|n| json!({"fileId": format!("file{n}")}));
        search_finds(&files.collect())
    };
    // How many files there are behind so many, and then pages that go round in circles.
    let pages = (2..60).map(|n| (n, page(if n % 2 == 0 { 0 } else { 1000 })));
    let empty = (1, search_finds(&json!([])));
    let world = TestEnv::new(script(std::iter::once(empty).chain(pages).collect(), library([])));
    let paths = (0..500).map(|n| format!("/a/{n}.jpg,new"));
    world.write("sheet.csv", sheet("filePath,tags", paths));
    let done = world.apply_direct("sheet.csv --max-bad 100%").exits(3);
    done.output_contains("ImageKit lists the same files again after 2000 files");
    assert!(world.sandbox.stats().requests < 10);
}

#[test]
fn a_folder_at_the_path_of_a_file_is_not_taken_for_it() {
    let places = json!([
        {"type": "folder", "folderId": "x", "name": "shoe", "folderPath": "/shoe"},
        {"type": "file", "fileId": "shoe", "filePath": "/shoe"},
    ]);
    let config = library([("shoe", "/shoe")]);
    let world = TestEnv::new(script(vec![(1, search_finds(&places))], config));
    world.write("sheet.csv", "filePath,tags\n/shoe,new\n");
    world.apply_direct("sheet.csv").exits(0);
    assert_eq!(world.file("shoe")["tags"], json!(["new"]));
    // The account, the list, the file itself, and the change.
    assert_eq!(world.sandbox.stats().requests, 4);
}
