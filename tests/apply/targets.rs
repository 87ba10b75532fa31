//! Files named by path or URL: found, or rejected with the reason, and never guessed.

use std::time::Duration;

use ikbulk::sandbox::{Config, Fault, Library, Phase, Tap};
use serde_json::{Value, json};

use crate::harness::{Victim, World, files, script, sheet, status, with_library};

/// A sandbox with these files, by id and path.
fn library<'f>(files: impl IntoIterator<Item = (&'f str, &'f str)>) -> Config {
    let mut library = Library::new();
    for (id, path) in files {
        library.insert(json!({"fileId": id, "filePath": path, "tags": null}));
    }
    with_library(library)
}

fn shoe() -> World {
    World::new(library([("shoe", "/products/shoe.jpg"), ("hat", "/products/hat.jpg")]))
}

/// Lists, reads of one file, and writes so far.
fn requests(world: &World) -> (u64, u64, u64) {
    let calls = world.sandbox.stats().calls;
    (calls.list, calls.get, calls.patch + calls.publish + calls.add_tags + calls.remove_tags)
}

/// A search that finds this, whatever there is.
fn search_finds(places: &Value) -> Fault {
    let content_type = "application/json".to_owned();
    Fault::Status { code: 200, body: places.to_string(), content_type }
}

#[test]
fn a_file_is_found_by_its_path_and_the_report_says_its_id() {
    let world = shoe();
    world.write("sheet.csv", "filePath,tags\n/products/shoe.jpg,new\n");
    world.apply("sheet.csv").exits(0).says("1 path or URL in 2 reads; 1 found");
    assert_eq!(world.file("shoe")["tags"], json!(["new"]));
    assert_eq!(world.only_run("sheet").row(2)["fileId"], "shoe");
    assert_eq!(requests(&world), (1, 1, 1));
}

#[test]
fn a_file_is_found_by_its_url_whatever_asks_for_a_form_of_it() {
    for url in [
        "https://ik.imagekit.io/sandbox/products/shoe.jpg",
        "http://ik.imagekit.io/sandbox/tr:w-100,h-200/products/shoe.jpg?updatedAt=1",
        "https://ik.imagekit.io/sandbox/products/shoe.jpg?tr=w-100",
    ] {
        let world = shoe();
        world.write("sheet.csv", sheet("url,tags", [format!("\"{url}\",new")].into_iter()));
        world.apply("sheet.csv").exits(0);
        assert_eq!(world.file("shoe")["tags"], json!(["new"]));
    }
}

#[test]
fn the_url_of_another_account_or_domain_is_not_taken_for_the_files_own() {
    let world = shoe();
    let rows = [
        "https://ik.imagekit.io/other/products/shoe.jpg,x",
        "https://a.example/products/shoe.jpg,x",
    ];
    world.write("sheet.csv", sheet("url,tags", rows.map(str::to_owned).into_iter()));
    world.apply("sheet.csv --max-bad 100%").exits(1).says(
        "is not the URL of the file at that path, shoe, which has https://ik.imagekit.io/sandbox/",
    );
    assert_eq!(requests(&world), (1, 1, 0));
}

#[test]
fn a_file_on_a_domain_of_its_own_is_found_by_that_url() {
    let mut library = Library::new();
    let url = "https://img.example.com/products/shoe.jpg";
    library.insert(json!({"fileId": "shoe", "filePath": "/products/shoe.jpg", "url": url}));
    let world = World::new(with_library(library));
    world.write("sheet.csv", format!("url,tags\n{url}?tr=w-1,new\n"));
    world.apply("sheet.csv").exits(0);
    assert_eq!(world.file("shoe")["tags"], json!(["new"]));
}

#[test]
fn lines_of_json_name_files_in_the_same_ways() {
    let world = shoe();
    let lines = "{\"filePath\":\"/products/shoe.jpg\",\"tags\":[\"a\"]}\n\
                 {\"url\":\"https://ik.imagekit.io/sandbox/products/hat.jpg\",\"tags\":[\"b\"]}\n";
    world.write("sheet.jsonl", lines);
    world.apply("sheet.jsonl").exits(0);
    let tags = ["shoe", "hat"].map(|id| world.file(id)["tags"].clone());
    assert_eq!(tags, [json!(["a"]), json!(["b"])]);
    let report = world.only_run("sheet").report();
    assert_eq!((report[0]["fileId"].as_str(), report[1]["fileId"].as_str()), ("shoe", "hat"));
}

#[test]
fn a_path_that_nothing_is_found_at_is_rejected_and_can_be_mended() {
    let world = shoe();
    world.write("sheet.csv", "filePath,tags\n/products/shoes.jpg,new\n/products/hat.jpg,x\n");
    let said = world.apply("sheet.csv --max-bad 100%").exits(1);
    said.says("filePath: \"/products/shoes.jpg\" is no file that search finds")
        .says("may not be found yet");
    let run = world.only_run("sheet");
    assert_eq!(
        (run.statuses(), run.row(2)["code"].as_str()),
        (vec!["rejected".into(), "updated".into()], "invalid")
    );
    assert_eq!(run.row(2)["fileId"], "");
    world.write("again.csv", run.text("failed.csv").replace("/shoes.jpg", "/shoe.jpg"));
    world.apply("again.csv").exits(0);
    assert_eq!(world.file("shoe")["tags"], json!(["new"]));
}

#[test]
fn several_files_at_one_path_are_named_and_none_is_taken() {
    let world = World::new(library([("one", "/a/b.jpg"), ("two", "/a/b.jpg")]));
    world.write("sheet.csv", "filePath,tags\n/a/b.jpg,new\n");
    world
        .apply("sheet.csv --max-bad 100%")
        .exits(1)
        .says("is 2 files: one, two; write the fileId of the one that is meant");
    assert_eq!(requests(&world), (1, 0, 0));
}

#[test]
fn every_letters_case_counts() {
    let world = World::new(library([("small", "/a/shoe.jpg"), ("large", "/a/Shoe.jpg")]));
    world.write(
        "sheet.csv",
        "filePath,tags\n/a/shoe.jpg,s\n/a/Shoe.jpg,l\n/a/SHOE.jpg,x\n/A/shoe.jpg,x\n",
    );
    world.apply("sheet.csv --max-bad 100%").exits(1);
    let tags = ["small", "large"].map(|id| world.file(id)["tags"].clone());
    assert_eq!(tags, [json!(["s"]), json!(["l"])]);
    assert_eq!(world.only_run("sheet").statuses(), ["updated", "updated", "rejected", "rejected"]);
}

#[test]
fn a_name_may_hold_any_character() {
    const NAMES: [(&str, &str); 6] = [
        ("quotes", "/a \"b\"/c's \"d\".jpg"),
        ("unicode", "/größe/日本 🦀.jpg"),
        ("percent", "/a/100%25 off.jpg"),
        ("slash", "/a/b\\c.jpg"),
        ("query", "/a/b?c=d&e#f.jpg"),
        ("words", "/a/x\" OR name = \"y.jpg"),
    ];
    let world = World::new(library(NAMES));
    let lines =
        NAMES.map(|(id, path)| json!({"filePath": path, "addTags": [format!("path-{id}")]}));
    let urls = NAMES
        .map(|(id, _)| json!({"url": world.file(id)["url"], "addTags": [format!("url-{id}")]}));
    let lines: Vec<String> = lines.iter().chain(&urls).map(Value::to_string).collect();
    world.write("sheet.jsonl", lines.join("\n") + "\n");
    world.apply("sheet.jsonl").exits(0);
    for (id, _) in NAMES {
        let tags = json!([format!("path-{id}"), format!("url-{id}")]);
        assert_eq!(world.file(id)["tags"], tags);
    }
}

#[test]
fn a_file_that_search_shows_where_it_was_is_not_taken() {
    let stale = json!([{"fileId": "moved", "filePath": "/a.jpg", "url": "https://ik.imagekit.io/sandbox/a.jpg"}]);
    let config = library([("moved", "/b/a.jpg")]);
    let world = World::new(script(vec![(1, search_finds(&stale))], config));
    world.write("sheet.csv", "filePath,tags\n/a.jpg,new\n");
    world
        .apply("sheet.csv --max-bad 100%")
        .exits(1)
        .says("was, as search has it, the file moved, which is not there any more, but /b/a.jpg");
    assert_eq!(requests(&world), (1, 1, 0));
}

#[test]
fn a_file_that_search_still_shows_is_not_taken_once_it_is_gone() {
    let stale = json!([{"fileId": "gone", "filePath": "/a.jpg"}]);
    let world = World::new(script(vec![(1, search_finds(&stale))], library([])));
    world.write("sheet.csv", "filePath,tags\n/a.jpg,new\n");
    world.apply("sheet.csv --max-bad 100%").exits(1).says("not there any more, but gone");
    assert_eq!(requests(&world), (1, 1, 0));
}

#[test]
fn search_that_is_behind_finds_the_files_that_were_just_written() {
    let config = library([("shoe", "/shoe.jpg")]);
    let world = World::new(Config { search_lag: Duration::from_hours(1), ..config });
    for tag in ["first", "second"] {
        world.write(&format!("{tag}.csv"), format!("filePath,addTags\n/shoe.jpg,{tag}\n"));
        world.apply(&format!("{tag}.csv")).exits(0);
    }
    assert_eq!(world.file("shoe")["tags"], json!(["first", "second"]));
}

#[test]
fn one_file_named_in_three_ways_is_changed_in_the_order_of_the_rows() {
    let world = shoe();
    let rows = [
        ",/products/shoe.jpg,,one",
        "shoe,,,two",
        ",,https://ik.imagekit.io/sandbox/products/shoe.jpg,three",
    ];
    let rows = rows.map(str::to_owned).into_iter();
    world.write("sheet.csv", sheet("fileId,filePath,url,description", rows));
    world.apply("sheet.csv").exits(0).says("2 paths and URLs in 2 reads");
    let history = world.sandbox.history("shoe");
    let history: Vec<&Value> =
        history.iter().map(|change| &change["body"]["description"]).collect();
    assert_eq!(history, ["one", "two", "three"]);
    assert!(!world.sandbox.stats().overlapped);
}

#[test]
fn a_row_by_path_and_a_row_by_id_overtake_each_other() {
    for rows in ["shoe,,50%\n,/products/shoe.jpg,new\n", ",/products/shoe.jpg,50%\nshoe,,new\n"] {
        let world = shoe();
        world.write("sheet.csv", format!("fileId,filePath,tags\n{rows}"));
        world.apply("sheet.csv --max-bad 100%").exits(0);
        assert_eq!(world.only_run("sheet").row(2)["code"], "superseded");
    }
}

#[test]
fn where_the_id_is_filled_nothing_else_names_the_file() {
    let world = shoe();
    let rows = ["hat,/products/shoe.jpg,https://a.example/,a", "hat,#N/A,no url,b"];
    let rows = rows.map(str::to_owned).into_iter();
    world.write("sheet.csv", sheet("fileId,filePath,url,description", rows));
    world.apply("sheet.csv").exits(0);
    assert_eq!((requests(&world), &world.file("hat")["description"]), ((0, 0, 2), &json!("b")));
}

#[test]
fn a_row_that_names_no_file_or_names_it_twice_is_rejected() {
    let world = shoe();
    for (row, wrong) in [
        (",,,x", "fileId: is empty; write the file's id, or its filePath, or its url"),
        (",/a.jpg,https://a.example/a.jpg,x", "url: stands beside filePath; keep one of the two"),
        (",a.jpg,,x", "filePath: \"a.jpg\" has no / before it"),
        (",/a/,,x", "filePath: \"/a/\" is not the path of a file"),
        (",,a.example/a.jpg,x", "url: \"a.example/a.jpg\" is not the URL of a file"),
        (",#REF!,,x", "filePath: \"#REF!\" is what a failed formula prints"),
        (",<clear>,,x", "filePath: \"<clear>\" cannot be cleared"),
    ] {
        world.write("sheet.csv", format!("fileId,filePath,url,tags\n{row}\n"));
        world.run("check sheet.csv").exits(1).says(wrong);
    }
    assert_eq!(world.sandbox.stats().requests, 0);
}

#[test]
fn check_counts_what_is_to_be_looked_up_and_asks_nobody() {
    let world = shoe();
    world.write("sheet.csv", "fileId,filePath,tags\nhat,,x\n,/a.jpg,y\n,/a.jpg,z\n");
    let said = world.run("check sheet.csv").exits(0);
    said.says("2 rows name their file by path or URL; `ikbulk apply` looks them up")
        .says("requests   up to 3 writes");
    assert_eq!(world.sandbox.stats().requests, 0);
}

#[test]
fn a_resumed_run_goes_by_what_was_looked_up_when_it_began() {
    let victim = Victim::default();
    let struck = victim.clone();
    let mut config = library([("shoe", "/shoe.jpg"), ("hat", "/hat.jpg")]);
    config.tap = Some(Tap::new(move |event| {
        // One list, two reads, and then the first write.
        if event.phase == Phase::Arrived && event.n == 4 {
            struck.kill();
        }
    }));
    let world = World::new(config);
    world.write("sheet.csv", "filePath,tags\n/shoe.jpg,new\n/hat.jpg,new\n/missing.jpg,x\n");
    let apply = "apply sheet.csv --yes --rate unlimited --max-bad 100%";
    let killed = world.command(&apply.split(' ').collect::<Vec<_>>()).run_as(&victim);
    assert_eq!(killed.code, None, "{}", killed.err);
    let run = world.only_run("sheet");
    world.run(&format!("resume {} --rate unlimited", run.name())).exits(1);
    assert_eq!(requests(&world).0, 1, "nothing is looked up again");
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
    let world = World::new(script(vec![(3, Fault::ResetAfter)], config));
    world.write("sheet.csv", "fileId,filePath,description\n,/shoe.jpg,one\nshoe,,two\n");
    world.apply("sheet.csv").exits(0).says("reading back 1 files");
    assert_eq!(requests(&world), (2, 2, 3));
}

/// So many paths of one folder, and a sheet that tags the first of them.
fn crowded(in_folder: usize, elsewhere: u64, wanted: usize) -> World {
    let mut library = Library::synthetic(elsewhere, 1);
    for n in 0..in_folder {
        library
            .insert(json!({"fileId": format!("file{n}"), "filePath": format!("/crowd/{n}.jpg")}));
    }
    let world = World::new(with_library(library));
    let rows = (0..wanted).map(|n| format!("/crowd/{n}.jpg,sale"));
    world.write("sheet.csv", sheet("filePath,addTags", rows));
    world
}

#[test]
fn a_thousand_paths_are_found_by_listing_what_is_not_much_more() {
    // One look at how many files there are, two pages, and each file once by its id.
    let world = crowded(1000, 0, 1000);
    world.apply("sheet.csv").exits(0).says("1000 paths and URLs in 1003 reads; 1000 found");
    assert_eq!(requests(&world), (3, 1000, 20));
    // The library has more than is worth listing, the folder has not.
    let world = crowded(1000, 20_000, 1000);
    world.apply("sheet.csv").exits(0).says("1000 paths and URLs in 1004 reads");
    assert_eq!(requests(&world), (4, 1000, 20));
}

#[test]
fn a_few_paths_of_a_large_folder_are_found_by_one_query() {
    let world = crowded(5000, 0, 5);
    world.apply("sheet.csv").exits(0).says("5 paths and URLs in 6 reads");
    assert_eq!(requests(&world), (1, 5, 1));
}

#[test]
fn five_hundred_paths_of_a_large_folder_are_found_by_name() {
    // Two looks that find both library and folder too large, and a hundred names a query.
    let world = crowded(5000, 0, 500);
    world.apply("sheet.csv").exits(0).says("500 paths and URLs in 507 reads");
    assert_eq!(requests(&world), (7, 500, 10));
}

#[test]
fn looking_up_waits_out_a_429_and_gives_up_on_what_does_not_pass() {
    let throttle = Fault::Throttle { reset_ms: Some(10), limit: None };
    let world = World::new(script(vec![(1, throttle)], library([("shoe", "/shoe.jpg")])));
    world.write("sheet.csv", "filePath,tags\n/shoe.jpg,new\n");
    world.apply("sheet.csv").exits(0).says("in 3 reads");
    let refused = vec![(1, status(400, "Your request contains invalid value."))];
    let world = World::new(script(refused, library([("shoe", "/shoe.jpg")])));
    world.write("sheet.csv", "filePath,tags\n/shoe.jpg,new\n");
    let said = world.apply("sheet.csv").exits(2).says("cannot look up the files");
    said.says("nothing was sent: refused with 400: Your request contains invalid value.");
    assert!(!world.path("sheet.ikbulk").exists());
}

#[test]
fn a_trial_has_the_files_that_the_sheet_names_but_for_missing_ones() {
    let world = World::new(files(["unused"]));
    let rows = [
        "id,,,new",
        ",/products/shoe.jpg,,new",
        ",,https://ik.imagekit.io/mine/tr:w-1/a%20b.jpg?x,new",
        ",,https://img.example.com/c.jpg,new",
        ",/missing.jpg,,new",
    ];
    let rows = rows.map(str::to_owned).into_iter();
    world.write("sheet.csv", sheet("fileId,filePath,url,tags", rows));
    let trial = ["apply", "sheet.csv", "--sandbox"];
    world.command(&trial).without("IMAGE_KIT_BASE_URL").run().exits(1);
    let run = world.only_run("sheet");
    assert_eq!(run.statuses(), ["updated", "updated", "updated", "updated", "rejected"]);
}
