//! The live planner through the real binary: how many requests it takes, counted by the sandbox.

use std::collections::BTreeSet;

use ikbulk_sandbox::{Config, Fault, Faults, Library};
use serde_json::{Value, json};

use crate::harness::{
    Cases, CmdResult, TestEnv, assert_text, files, ids, script, sheet, status, with_library,
};

const CHANGED: usize = 2_000;
const FAST: &str = "--yes --rate unlimited --read-rate unlimited";

fn id(number: usize) -> String {
    format!("file{number:06}")
}

fn library(files: usize, tags: impl Fn(usize) -> Value) -> Library {
    let mut library = Library::new();
    for number in 0..files {
        library.insert(json!({
            "fileId": id(number), "filePath": format!("/{number}.jpg"), "tags": tags(number),
            "description": "before",
        }));
    }
    library
}

fn writes(env: &TestEnv) -> u64 {
    let calls = env.sandbox.stats().calls;
    calls.patch + calls.publish + calls.add_tags + calls.remove_tags + calls.remove_ai_tags
}

fn reads(env: &TestEnv) -> u64 {
    let calls = env.sandbox.stats().calls;
    // One list names the account.
    calls.get + calls.list - 1
}

/// A sheet of all files, of which the first have changed: half of those their description, the
/// others one tag in ten ways.
fn nightly(files: usize) {
    let way = |number: usize| number % 10;
    let library = library(files, |number| json!(["kept", format!("old{}", way(number))]));
    let env = TestEnv::new(with_library(library));
    let rows = (0..files).map(|number| {
        let describes = if number < CHANGED / 2 { "after" } else { "before" };
        let is_retagged = (CHANGED / 2..CHANGED).contains(&number);
        let tag = if is_retagged { "new" } else { "old" };
        format!("{},\"kept,{tag}{}\",{describes}", id(number), way(number))
    });
    env.write("sheet.csv", sheet("fileId,tags,description", rows));
    env.apply("sheet.csv").exits(0);
    assert!(writes(&env) <= 1_060, "{} writes", writes(&env));
    assert!(reads(&env) <= 300, "{} reads", reads(&env));
    assert_eq!(env.file(&id(CHANGED - 1))["tags"], json!(["kept", "new9"]));
    let before = writes(&env);
    std::fs::rename(env.path("sheet.csv"), env.path("again.csv")).expect("it is there");
    env.apply("again.csv").exits(0);
    assert_eq!(writes(&env), before, "the second night");
    assert_eq!(env.only_run("again").count("unchanged"), files as u64);
}

fn sale(files: usize) {
    let env = TestEnv::new(with_library(library(files, |_| json!(["old"]))));
    env.write("sheet.csv", sheet("fileId,addTags", (0..files).map(|n| format!("{},sale", id(n)))));
    env.apply("sheet.csv").exits(0);
    assert!(writes(&env) <= files.div_ceil(50) as u64, "{} writes", writes(&env));
    assert_eq!(env.only_run("sheet").count("updated"), files as u64);
}

#[test]
fn nightly_sheet_sends_only_changes() {
    nightly(10_000);
}

#[test]
fn one_tag_takes_one_call_per_50_files() {
    sale(10_000);
}

#[test]
#[ignore = "it takes minutes without --release; `just slow` runs it"]
fn jobs_of_100000_files_stay_within_their_requests() {
    nightly(100_000);
    sale(100_000);
    assert!(replaced(100_000) <= 4_300);
}

#[test]
fn replaced_tags_sent_as_differences_match_direct_mode() {
    const FILES: usize = 2_000;
    // Of each way a call for every fifty files and one for the rest, twice; none for what is missing.
    assert!(replaced(FILES) <= 2 * (FILES / 50 + 40) as u64);
}

/// Replaces tags in forty ways, and compares with what comes of it directly. Gives the writes.
fn replaced(files: usize) -> u64 {
    // The n-th of forty ways is taken by a share of 1/n.
    let ways: Vec<usize> = (1..=40).flat_map(|n| std::iter::repeat_n(n, 240 / n)).collect();
    let way = |number: usize| ways[number * 7 % ways.len()];
    let env = || {
        let library = library(files, |number| json!(["kept", format!("old{}", way(number))]));
        let env = TestEnv::new(with_library(library));
        let rows = (0..files).map(|number| {
            let id = if number % 100 == 50 { format!("missing{number}") } else { id(number) };
            format!("{id},\"kept,new{}\"", way(number))
        });
        env.write("sheet.csv", sheet("fileId,tags", rows));
        env
    };
    let (by_differences, directly) = (env(), env());
    by_differences.apply("sheet.csv").exits(1);
    directly.apply_direct("sheet.csv --max-rejected 100% --max-same-rejection off").exits(1);
    assert_eq!(writes(&directly), files as u64);
    for number in 0..files {
        let tags = |env: &TestEnv| {
            let mut tags: Vec<String> =
                serde_json::from_value(env.file(&id(number))["tags"].clone()).expect("tags");
            tags.sort();
            tags
        };
        assert_eq!(tags(&by_differences), tags(&directly), "{}", id(number));
    }
    let statuses = by_differences.only_run("sheet").statuses();
    assert_eq!(statuses, directly.only_run("sheet").statuses());
    writes(&by_differences)
}

/// Each file gets up to three of ten tags, by the digits of its number.
fn mixed(files: usize, faults: Faults) -> TestEnv {
    let library = library(files, |_| json!(["old"]));
    let env = TestEnv::new(Config { faults, ..with_library(library) });
    let tags = |number| Vec::from_iter(digits(number)).join(",");
    let rows = (0..files).map(|number| format!("{},\"{}\"", id(number), tags(number)));
    env.write("sheet.csv", sheet("fileId,addTags", rows));
    env
}

fn digits(number: usize) -> BTreeSet<String> {
    [number % 10, number / 10 % 10, number / 100].map(|digit| format!("tag{digit}")).into()
}

/// The tags that a file got besides the one that it had.
fn new_tags(env: &TestEnv, number: usize) -> BTreeSet<String> {
    let tags = env.file(&id(number))["tags"].clone();
    let mut tags: BTreeSet<String> = serde_json::from_value(tags).expect("tags");
    assert!(tags.remove("old"));
    tags
}

#[test]
fn tags_shared_by_few_files_go_tag_by_tag() {
    let env = mixed(1_000, Faults::default());
    env.apply("sheet.csv").exits(0);
    // Each digit is in 271 of a thousand numbers.
    assert_eq!(writes(&env), 10 * 271_u64.div_ceil(50));
    assert_eq!(env.only_run("sheet").count("updated"), 1_000);
    assert!((0..1_000).all(|number| new_tags(&env, number) == digits(number)));
}

/// A run on a hundred files that ends at its sixth write, when half of the tags have been added.
fn half_tagged() -> (TestEnv, CmdResult) {
    // After the reads.
    let script = vec![(52 + 6, status(401, "Your account cannot be authenticated."))];
    let env = mixed(100, Faults { script, ..Faults::default() });
    let done = env.apply("sheet.csv --concurrency 1").exits(3);
    (env, done)
}

#[test]
fn partly_tagged_row_is_resumed() {
    let (env, done) = half_tagged();
    let run = env.only_run("sheet");
    // Two calls for the first tag, and one for each of three more.
    assert_eq!((writes(&env), run.count("updated"), run.count("not_attempted")), (6, 16, 84));
    let row = run.row(2 + 47);
    assert_eq!((&*row["status"], &*row["code"]), ("not_attempted", "partial"));
    let mut cases = Cases::default();
    cases.add("output", done);
    cases.add("message of a row", &row["message"]);
    assert_text!(cases);
    assert_eq!(new_tags(&env, 47), ["tag0".to_owned()].into());
    env.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(0);
    assert_eq!(run.count("updated"), 100);
    assert!((0..100).all(|number| new_tags(&env, number) == digits(number)));
}

#[test]
fn undo_of_partly_tagged_rows() {
    let (env, _) = half_tagged();
    env.run(&format!("undo {FAST} {}", env.only_run("sheet").name())).exits(0);
    assert!((0..100).all(|number| new_tags(&env, number).is_empty()));
}

#[test]
fn stale_listing_is_read_file_by_file() {
    const FILES: usize = 300;
    let search_lag = std::time::Duration::from_hours(1);
    let library = library(FILES, |_| json!(["old"]));
    let env = TestEnv::new(Config { search_lag, ..with_library(library) });
    env.write("first.csv", sheet("fileId,tags", (0..FILES).map(|n| format!("{},new", id(n)))));
    env.apply("first.csv").exits(0);
    let (before, gets) = (writes(&env), env.sandbox.stats().calls.get);
    // By the list, every file is up to date.
    env.write("second.csv", sheet("fileId,tags", (0..FILES).map(|n| format!("{},old", id(n)))));
    env.apply("second.csv").exits(0);
    assert!(env.sandbox.stats().calls.get - gets >= FILES as u64, "every file is read");
    assert!(writes(&env) > before);
    assert!((0..FILES).all(|number| env.file(&id(number))["tags"] == json!(["old"])));
}

#[test]
fn rejected_merged_rows_are_sent_one_by_one() {
    let env = TestEnv::new(with_library(library(1, |_| json!(["old"]))));
    let rows = ["after,,", ",gigantic,", ",,false"].map(|cells| format!("{},{cells}", id(0)));
    let header = "fileId,description,customMetadata.size,isPublished";
    env.write("sheet.csv", sheet(header, rows.into_iter()));
    env.apply("sheet.csv --no-schema").exits(1);
    assert_eq!(env.only_run("sheet").statuses(), ["updated", "rejected", "updated"]);
    let file = env.file(&id(0));
    assert_eq!((&file["description"], &file["isPublished"]), (&json!("after"), &json!(false)));
    // The state is read once before an at-most-once request, after all earlier rows.
    let calls = env.sandbox.history(&id(0));
    let calls: Vec<&Value> = calls.iter().map(|change| &change["call"]).collect();
    assert_eq!(calls, ["patch", "publish"]);
    // Together, one by one.
    assert_eq!(env.sandbox.stats().calls.patch, 3);
}

#[test]
fn file_that_cannot_be_read_is_written() {
    let refused = status(400, "Your request contains invalid fileId parameter.");
    // The account, the first file, and this one.
    let script = vec![(3, refused)];
    let faults = Faults { script, ..Faults::default() };
    let library = library(3, |_| json!(["old"]));
    let env = TestEnv::new(Config { faults, ..with_library(library) });
    let rows = (0..3).map(|number| format!("{},old,before", id(number)));
    env.write("sheet.csv", sheet("fileId,tags,description", rows));
    let done = env.apply("sheet.csv");
    done.exits(0);
    let run = env.only_run("sheet");
    // The others are known to be up to date.
    assert_eq!((run.count("unchanged"), run.count("updated")), (2, 1));
    assert_eq!((reads(&env), writes(&env)), (3, 1));
}

#[test]
fn library_with_endless_pages_is_read_by_id() {
    let ids = ids(250);
    let other: Vec<Value> = (0..1000).map(|n| json!({"fileId": format!("other{n}")})).collect();
    let body = Value::from(other).to_string();
    let content_type = "application/json".to_owned();
    let page = Fault::Status { code: 200, body, content_type };
    // The first list says that three pages show all there is.
    let pages = (2..5).map(|n| (n, page.clone())).collect();
    let env = TestEnv::new(script(pages, files(&ids)));
    env.write("sheet.csv", sheet("fileId,tags", ids.iter().map(|id| format!("{id},new"))));
    let done = env.run("apply sheet.csv --yes --rate unlimited --read-rate unlimited").exits(0);
    assert_text!(done);
    let reads = env.sandbox.stats().calls.list + env.sandbox.stats().calls.get;
    // One more list names the account, and one of 20 files is read back.
    assert_eq!(reads, 1 + 1 + 3 + 3 + 50 + 12);
}
