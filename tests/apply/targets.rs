//! Files named by path or URL: found, or rejected with the reason, and never guessed.

use ikbulk::sandbox::{Config, Library};
use serde_json::{Value, json};

use crate::harness::{TestEnv, files, sheet, with_library};

/// A sandbox with these files, by id and path.
pub(crate) fn library<'f>(files: impl IntoIterator<Item = (&'f str, &'f str)>) -> Config {
    let mut library = Library::new();
    for (id, path) in files {
        library.insert(json!({"fileId": id, "filePath": path, "tags": null}));
    }
    with_library(library)
}

fn shoe() -> TestEnv {
    TestEnv::new(library([("shoe", "/products/shoe.jpg"), ("hat", "/products/hat.jpg")]))
}

/// Lists, reads of one file, and writes so far.
pub(crate) fn requests(world: &TestEnv) -> (u64, u64, u64) {
    let calls = world.sandbox.stats().calls;
    // One list asks whose account it is.
    let lists = calls.list - 1;
    (lists, calls.get, calls.patch + calls.publish + calls.add_tags + calls.remove_tags)
}

#[test]
fn a_file_is_found_by_its_path_and_the_report_says_its_id() {
    let world = shoe();
    world.write("sheet.csv", "filePath,tags\n/products/shoe.jpg,new\n");
    world.apply_direct("sheet.csv").exits(0).output_contains("1 path or URL in 2 reads; 1 found");
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
        world.apply_direct("sheet.csv").exits(0);
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
    world.apply_direct("sheet.csv --max-bad 100%").exits(1).output_contains(
        "is not the URL of the file at that path, shoe, which has https://ik.imagekit.io/sandbox/",
    );
    assert_eq!(requests(&world), (1, 1, 0));
}

#[test]
fn a_file_on_a_domain_of_its_own_is_found_by_that_url() {
    let mut library = Library::new();
    let url = "https://img.example.com/products/shoe.jpg";
    library.insert(json!({"fileId": "shoe", "filePath": "/products/shoe.jpg", "url": url}));
    let world = TestEnv::new(with_library(library));
    world.write("sheet.csv", format!("url,tags\n{url}?tr=w-1,new\n"));
    world.apply_direct("sheet.csv").exits(0);
    assert_eq!(world.file("shoe")["tags"], json!(["new"]));
}

#[test]
fn lines_of_json_name_files_in_the_same_ways() {
    let world = shoe();
    let lines = "{\"filePath\":\"/products/shoe.jpg\",\"tags\":[\"a\"]}\n\
                 {\"url\":\"https://ik.imagekit.io/sandbox/products/hat.jpg\",\"tags\":[\"b\"]}\n";
    world.write("sheet.jsonl", lines);
    world.apply_direct("sheet.jsonl").exits(0);
    let tags = ["shoe", "hat"].map(|id| world.file(id)["tags"].clone());
    assert_eq!(tags, [json!(["a"]), json!(["b"])]);
    let report = world.only_run("sheet").report();
    assert_eq!((report[0]["fileId"].as_str(), report[1]["fileId"].as_str()), ("shoe", "hat"));
}

#[test]
fn a_path_that_nothing_is_found_at_is_rejected_and_can_be_mended() {
    let world = shoe();
    world.write("sheet.csv", "filePath,tags\n/products/shoes.jpg,new\n/products/hat.jpg,x\n");
    let said = world.apply_direct("sheet.csv --max-bad 100%").exits(1);
    said.output_contains("filePath: \"/products/shoes.jpg\" is no file that search finds")
        .output_contains("may not be found yet");
    let run = world.only_run("sheet");
    assert_eq!(
        (run.statuses(), run.row(2)["code"].as_str()),
        (vec!["rejected".into(), "updated".into()], "invalid")
    );
    assert_eq!(run.row(2)["fileId"], "");
    world.write("again.csv", run.text("failed.csv").replace("/shoes.jpg", "/shoe.jpg"));
    world.apply_direct("again.csv").exits(0);
    assert_eq!(world.file("shoe")["tags"], json!(["new"]));
}

#[test]
fn several_files_at_one_path_are_named_and_none_is_taken() {
    let world = TestEnv::new(library([("one", "/a/b.jpg"), ("two", "/a/b.jpg")]));
    world.write("sheet.csv", "filePath,tags\n/a/b.jpg,new\n");
    world
        .apply_direct("sheet.csv --max-bad 100%")
        .exits(1)
        .output_contains("is 2 files: one, two; write the fileId of the one that is meant");
    assert_eq!(requests(&world), (1, 0, 0));
}

#[test]
fn every_letters_case_counts() {
    let world = TestEnv::new(library([("small", "/a/shoe.jpg"), ("large", "/a/Shoe.jpg")]));
    world.write(
        "sheet.csv",
        "filePath,tags\n/a/shoe.jpg,s\n/a/Shoe.jpg,l\n/a/SHOE.jpg,x\n/A/shoe.jpg,x\n",
    );
    world.apply_direct("sheet.csv --max-bad 100%").exits(1);
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
    let world = TestEnv::new(library(NAMES));
    let lines =
        NAMES.map(|(id, path)| json!({"filePath": path, "addTags": [format!("path-{id}")]}));
    let urls = NAMES
        .map(|(id, _)| json!({"url": world.file(id)["url"], "addTags": [format!("url-{id}")]}));
    let lines: Vec<String> = lines.iter().chain(&urls).map(Value::to_string).collect();
    world.write("sheet.jsonl", lines.join("\n") + "\n");
    world.apply_direct("sheet.jsonl").exits(0);
    for (id, _) in NAMES {
        let tags = json!([format!("path-{id}"), format!("url-{id}")]);
        assert_eq!(world.file(id)["tags"], tags);
    }
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
    world.apply_direct("sheet.csv").exits(0).output_contains("2 paths and URLs in 2 reads");
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
        world.apply_direct("sheet.csv --max-bad 100%").exits(0);
        assert_eq!(world.only_run("sheet").row(2)["code"], "superseded");
    }
}

#[test]
fn where_the_id_is_filled_nothing_else_names_the_file() {
    let world = shoe();
    let rows = ["hat,/products/shoe.jpg,https://a.example/,a", "hat,#N/A,no url,b"];
    let rows = rows.map(str::to_owned).into_iter();
    world.write("sheet.csv", sheet("fileId,filePath,url,description", rows));
    world.apply_direct("sheet.csv").exits(0);
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
        world.run("check sheet.csv").exits(1).output_contains(wrong);
    }
    assert_eq!(world.sandbox.stats().requests, 0);
}

#[test]
fn check_counts_what_is_to_be_looked_up_and_asks_nobody() {
    let world = shoe();
    world.write("sheet.csv", "fileId,filePath,tags\nhat,,x\n,/a.jpg,y\n,/a.jpg,z\n");
    let said = world.run("check sheet.csv").exits(0);
    said.output_contains("2 rows name their file by path or URL; `ikbulk apply` looks them up")
        .output_contains("requests   up to 3 writes");
    assert_eq!(world.sandbox.stats().requests, 0);
}

#[test]
fn a_trial_has_the_files_that_the_sheet_names_but_for_missing_ones() {
    let world = TestEnv::new(files(["unused"]));
    let rows = [
        "id,,,new",
        ",/products/shoe.jpg,,new",
        ",,https://ik.imagekit.io/mine/tr:w-1/a%20b.jpg?x,new",
        ",,https://img.example.com/c.jpg,new",
        ",/missing.jpg,,new",
    ];
    let rows = rows.map(str::to_owned).into_iter();
    world.write("sheet.csv", sheet("fileId,filePath,url,tags", rows));
    let trial = ["apply", "--direct", "--no-snapshot", "sheet.csv", "--sandbox"];
    world.command(&trial).without("IMAGE_KIT_BASE_URL").run().exits(1);
    let run = world.only_run("sheet");
    assert_eq!(run.statuses(), ["updated", "updated", "updated", "updated", "rejected"]);
}
