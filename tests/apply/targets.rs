//! Rows that name their file by path or URL: resolved, or rejected with the reason.

use ikbulk_sandbox::{Config, Library};
use serde_json::{Value, json};

use crate::harness::{Cases, TestEnv, assert_text, files, sheet, with_library};

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

/// The lists, reads of one file, and writes so far.
pub(crate) fn requests(env: &TestEnv) -> (u64, u64, u64) {
    let calls = env.sandbox.stats().calls;
    // One list identifies the account.
    let lists = calls.list - 1;
    (lists, calls.get, calls.patch + calls.publish + calls.add_tags + calls.remove_tags)
}

#[test]
fn path_is_resolved_to_the_reported_id() {
    let env = shoe();
    env.write("sheet.csv", "filePath,tags\n/products/shoe.jpg,new\n");
    assert_text!(env.apply("sheet.csv").exits(0));
    assert_eq!(env.file("shoe")["tags"], json!(["new"]));
    assert_eq!(env.only_run("sheet").row(2)["fileId"], "shoe");
    assert_eq!(requests(&env), (1, 3, 1));
}

#[test]
fn url_is_resolved_despite_transformations() {
    for url in [
        "https://ik.imagekit.io/sandbox/products/shoe.jpg",
        "http://ik.imagekit.io/sandbox/tr:w-100,h-200/products/shoe.jpg?updatedAt=1",
        "https://ik.imagekit.io/sandbox/products/shoe.jpg?tr=w-100",
    ] {
        let env = shoe();
        env.write("sheet.csv", sheet("url,tags", [format!("\"{url}\",new")].into_iter()));
        env.apply("sheet.csv").exits(0);
        assert_eq!(env.file("shoe")["tags"], json!(["new"]));
    }
}

#[test]
fn url_of_another_account_is_rejected() {
    let env = shoe();
    let rows = [
        "https://ik.imagekit.io/other/products/shoe.jpg,x",
        "https://a.example/products/shoe.jpg,x",
    ];
    env.write("sheet.csv", sheet("url,tags", rows.map(str::to_owned).into_iter()));
    env.apply("sheet.csv --max-bad 100%").exits(1);
    let report = env.only_run("sheet").report();
    let messages: Vec<&str> = report.iter().map(|line| line["message"].as_str()).collect();
    assert_text!(messages.join("\n"));
    assert_eq!(requests(&env), (1, 1, 0));
}

#[test]
fn url_on_custom_domain_is_resolved() {
    let mut library = Library::new();
    let url = "https://img.example.com/products/shoe.jpg";
    library.insert(json!({"fileId": "shoe", "filePath": "/products/shoe.jpg", "url": url}));
    let env = TestEnv::new(with_library(library));
    env.write("sheet.csv", format!("url,tags\n{url}?tr=w-1,new\n"));
    env.apply("sheet.csv").exits(0);
    assert_eq!(env.file("shoe")["tags"], json!(["new"]));
}

#[test]
fn jsonl_rows_accept_paths_and_urls() {
    let env = shoe();
    let lines = "{\"filePath\":\"/products/shoe.jpg\",\"tags\":[\"a\"]}\n\
                 {\"url\":\"https://ik.imagekit.io/sandbox/products/hat.jpg\",\"tags\":[\"b\"]}\n";
    env.write("sheet.jsonl", lines);
    env.apply("sheet.jsonl").exits(0);
    let tags = ["shoe", "hat"].map(|id| env.file(id)["tags"].clone());
    assert_eq!(tags, [json!(["a"]), json!(["b"])]);
    let report = env.only_run("sheet").report();
    assert_eq!((report[0]["fileId"].as_str(), report[1]["fileId"].as_str()), ("shoe", "hat"));
}

#[test]
fn unknown_path_is_rejected_and_can_be_fixed() {
    let env = shoe();
    env.write("sheet.csv", "filePath,tags\n/products/shoes.jpg,new\n/products/hat.jpg,x\n");
    env.apply("sheet.csv --max-bad 100%").exits(1);
    let run = env.only_run("sheet");
    assert_text!(run.row(2)["message"]);
    assert_eq!(
        (run.statuses(), run.row(2)["code"].as_str()),
        (vec!["rejected".into(), "updated".into()], "invalid")
    );
    assert_eq!(run.row(2)["fileId"], "");
    env.write("again.csv", run.text("failed.csv").replace("/shoes.jpg", "/shoe.jpg"));
    env.apply("again.csv").exits(0);
    assert_eq!(env.file("shoe")["tags"], json!(["new"]));
}

#[test]
fn ambiguous_path_is_rejected_with_all_ids() {
    let env = TestEnv::new(library([("one", "/a/b.jpg"), ("two", "/a/b.jpg")]));
    env.write("sheet.csv", "filePath,tags\n/a/b.jpg,new\n");
    env.apply("sheet.csv --max-bad 100%").exits(1);
    assert_text!(env.only_run("sheet").row(2)["message"]);
    assert_eq!(requests(&env), (1, 0, 0));
}

#[test]
fn paths_are_case_sensitive() {
    let env = TestEnv::new(library([("small", "/a/shoe.jpg"), ("large", "/a/Shoe.jpg")]));
    env.write(
        "sheet.csv",
        "filePath,tags\n/a/shoe.jpg,s\n/a/Shoe.jpg,l\n/a/SHOE.jpg,x\n/A/shoe.jpg,x\n",
    );
    env.apply("sheet.csv --max-bad 100%").exits(1);
    let tags = ["small", "large"].map(|id| env.file(id)["tags"].clone());
    assert_eq!(tags, [json!(["s"]), json!(["l"])]);
    assert_eq!(env.only_run("sheet").statuses(), ["updated", "updated", "rejected", "rejected"]);
}

#[test]
fn file_names_may_contain_any_character() {
    const NAMES: [(&str, &str); 6] = [
        ("quotes", "/a \"b\"/c's \"d\".jpg"),
        ("unicode", "/größe/日本 🦀.jpg"),
        ("percent", "/a/100%25 off.jpg"),
        ("slash", "/a/b\\c.jpg"),
        ("query", "/a/b?c=d&e#f.jpg"),
        ("words", "/a/x\" OR name = \"y.jpg"),
    ];
    let env = TestEnv::new(library(NAMES));
    let lines =
        NAMES.map(|(id, path)| json!({"filePath": path, "addTags": [format!("path-{id}")]}));
    let urls =
        NAMES.map(|(id, _)| json!({"url": env.file(id)["url"], "addTags": [format!("url-{id}")]}));
    let lines: Vec<String> = lines.iter().chain(&urls).map(Value::to_string).collect();
    env.write("sheet.jsonl", lines.join("\n") + "\n");
    env.apply("sheet.jsonl").exits(0);
    for (id, _) in NAMES {
        let tags = json!([format!("path-{id}"), format!("url-{id}")]);
        assert_eq!(env.file(id)["tags"], tags);
    }
}

#[test]
fn id_path_and_url_keep_row_order() {
    let env = shoe();
    let rows = [
        ",/products/shoe.jpg,,one",
        "shoe,,,two",
        ",,https://ik.imagekit.io/sandbox/products/shoe.jpg,three",
    ];
    let rows = rows.map(str::to_owned).into_iter();
    env.write("sheet.csv", sheet("fileId,filePath,url,description", rows));
    env.apply_direct("sheet.csv").exits(0);
    // One list for both rows, and one read.
    assert_eq!(requests(&env), (1, 1, 3));
    let history = env.sandbox.history("shoe");
    let history: Vec<&Value> =
        history.iter().map(|change| &change["body"]["description"]).collect();
    assert_eq!(history, ["one", "two", "three"]);
    assert!(!env.sandbox.stats().overlapped);
}

#[test]
fn path_and_id_rows_supersede_each_other() {
    for rows in ["shoe,,50%\n,/products/shoe.jpg,new\n", ",/products/shoe.jpg,50%\nshoe,,new\n"] {
        let env = shoe();
        env.write("sheet.csv", format!("fileId,filePath,tags\n{rows}"));
        env.apply("sheet.csv --max-bad 100%").exits(0);
        assert_eq!(env.only_run("sheet").row(2)["code"], "superseded");
    }
}

#[test]
fn file_id_overrides_path_and_url() {
    let env = shoe();
    let rows = ["hat,/products/shoe.jpg,https://a.example/,a", "hat,#N/A,no url,b"];
    let rows = rows.map(str::to_owned).into_iter();
    env.write("sheet.csv", sheet("fileId,filePath,url,description", rows));
    env.apply("sheet.csv").exits(0);
    assert_eq!((requests(&env), &env.file("hat")["description"]), ((0, 1, 1), &json!("b")));
}

#[test]
fn row_without_one_target_is_rejected() {
    let env = shoe();
    let mut cases = Cases::default();
    for row in [
        ",,,x",
        ",/a.jpg,https://a.example/a.jpg,x",
        ",a.jpg,,x",
        ",/a/,,x",
        ",,a.example/a.jpg,x",
        ",#REF!,,x",
        ",<clear>,,x",
    ] {
        env.write("sheet.csv", format!("fileId,filePath,url,tags\n{row}\n"));
        cases.add(row, env.run("check sheet.csv").exits(1));
    }
    assert_text!(cases);
    assert_eq!(env.sandbox.stats().requests, 0);
}

#[test]
fn check_counts_lookups_without_requests() {
    let env = shoe();
    env.write("sheet.csv", "fileId,filePath,tags\nhat,,x\n,/a.jpg,y\n,/a.jpg,z\n");
    assert_text!(env.run("check sheet.csv").exits(0));
    assert_eq!(env.sandbox.stats().requests, 0);
}

#[test]
fn sandbox_contains_the_files_of_the_sheet() {
    let env = TestEnv::new(files(["unused"]));
    let rows = [
        "id,,,new",
        ",/products/shoe.jpg,,new",
        ",,https://ik.imagekit.io/mine/tr:w-1/a%20b.jpg?x,new",
        ",,https://img.example.com/c.jpg,new",
        ",/missing.jpg,,new",
    ];
    let rows = rows.map(str::to_owned).into_iter();
    env.write("sheet.csv", sheet("fileId,filePath,url,tags", rows));
    let trial = ["apply", "sheet.csv", "--sandbox"];
    env.command(&trial).without("IMAGE_KIT_BASE_URL").run().exits(1);
    let run = env.only_run("sheet");
    assert_eq!(run.statuses(), ["updated", "updated", "updated", "updated", "rejected"]);
}
