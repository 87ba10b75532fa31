//! The live planner through the real binary: how many requests it takes, counted by the sandbox.

use std::collections::BTreeSet;

use ikbulk::sandbox::{Config, Fault, Faults, Library};
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

fn writes(world: &TestEnv) -> u64 {
    let calls = world.sandbox.stats().calls;
    calls.patch + calls.publish + calls.add_tags + calls.remove_tags
}

fn reads(world: &TestEnv) -> u64 {
    let calls = world.sandbox.stats().calls;
    // One list asks whose account it is.
    calls.get + calls.list - 1
}

/// A sheet of all files, of which the first have changed: half of those their description, the
/// others one tag in ten ways.
fn nightly(files: usize) {
    let way = |number: usize| number % 10;
    let library = library(files, |number| json!(["kept", format!("old{}", way(number))]));
    let world = TestEnv::new(with_library(library));
    let rows = (0..files).map(|number| {
        let describes = if number < CHANGED / 2 { "after" } else { "before" };
        let is_retagged = (CHANGED / 2..CHANGED).contains(&number);
        let tag = if is_retagged { "new" } else { "old" };
        format!("{},\"kept,{tag}{}\",{describes}", id(number), way(number))
    });
    world.write("sheet.csv", sheet("fileId,tags,description", rows));
    world.apply("sheet.csv").exits(0);
    assert!(writes(&world) <= 1_060, "{} writes", writes(&world));
    assert!(reads(&world) <= 300, "{} reads", reads(&world));
    assert_eq!(world.file(&id(CHANGED - 1))["tags"], json!(["kept", "new9"]));
    let before = writes(&world);
    std::fs::rename(world.path("sheet.csv"), world.path("again.csv")).expect("it is there");
    world.apply("again.csv").exits(0);
    assert_eq!(writes(&world), before, "the second night");
    assert_eq!(world.only_run("again").count("unchanged"), files as u64);
}

fn sale(files: usize) {
    let world = TestEnv::new(with_library(library(files, |_| json!(["old"]))));
    world
        .write("sheet.csv", sheet("fileId,addTags", (0..files).map(|n| format!("{},sale", id(n)))));
    world.apply("sheet.csv").exits(0);
    assert!(writes(&world) <= files.div_ceil(50) as u64, "{} writes", writes(&world));
    assert_eq!(world.only_run("sheet").count("updated"), files as u64);
}

#[test]
fn a_nightly_sheet_takes_what_has_changed_and_the_next_night_nothing() {
    nightly(10_000);
}

#[test]
fn one_tag_for_all_takes_a_call_for_fifty_files() {
    sale(10_000);
}

#[test]
#[ignore = "it takes minutes without --release; `just slow` runs it"]
fn jobs_of_a_hundred_thousand_files_take_no_more_than_they_may() {
    nightly(100_000);
    sale(100_000);
    assert!(replaced(100_000) <= 4_300);
}

#[test]
fn replaced_tags_go_by_their_differences_and_come_to_the_same_as_directly() {
    const FILES: usize = 2_000;
    // Of each way a call for every fifty files and one for the rest, twice; none for what is missing.
    assert!(replaced(FILES) <= 2 * (FILES / 50 + 40) as u64);
}

/// Replaces tags in forty ways, and compares with what comes of it directly. Gives the writes.
fn replaced(files: usize) -> u64 {
    // The n-th of forty ways is taken by a share of 1/n.
    let ways: Vec<usize> = (1..=40).flat_map(|n| std::iter::repeat_n(n, 240 / n)).collect();
    let way = |number: usize| ways[number * 7 % ways.len()];
    let world = || {
        let library = library(files, |number| json!(["kept", format!("old{}", way(number))]));
        let world = TestEnv::new(with_library(library));
        let rows = (0..files).map(|number| {
            let id = if number % 100 == 50 { format!("missing{number}") } else { id(number) };
            format!("{id},\"kept,new{}\"", way(number))
        });
        world.write("sheet.csv", sheet("fileId,tags", rows));
        world
    };
    let (by_differences, directly) = (world(), world());
    by_differences.apply("sheet.csv").exits(1);
    directly.apply_direct("sheet.csv --max-rejected 100% --max-same-rejection off").exits(1);
    assert_eq!(writes(&directly), files as u64);
    for number in 0..files {
        let tags = |world: &TestEnv| {
            let mut tags: Vec<String> =
                serde_json::from_value(world.file(&id(number))["tags"].clone()).expect("tags");
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
    let world = TestEnv::new(Config { faults, ..with_library(library) });
    let tags = |number| Vec::from_iter(digits(number)).join(",");
    let rows = (0..files).map(|number| format!("{},\"{}\"", id(number), tags(number)));
    world.write("sheet.csv", sheet("fileId,addTags", rows));
    world
}

fn digits(number: usize) -> BTreeSet<String> {
    [number % 10, number / 10 % 10, number / 100].map(|digit| format!("tag{digit}")).into()
}

/// The tags that a file got besides the one that it had.
fn new_tags(world: &TestEnv, number: usize) -> BTreeSet<String> {
    let tags = world.file(&id(number))["tags"].clone();
    let mut tags: BTreeSet<String> = serde_json::from_value(tags).expect("tags");
    assert!(tags.remove("old"));
    tags
}

#[test]
fn tags_that_few_files_share_go_tag_by_tag() {
    let world = mixed(1_000, Faults::default());
    world.apply("sheet.csv").exits(0);
    // Each digit is in 271 of a thousand numbers.
    assert_eq!(writes(&world), 10 * 271_u64.div_ceil(50));
    assert_eq!(world.only_run("sheet").count("updated"), 1_000);
    assert!((0..1_000).all(|number| new_tags(&world, number) == digits(number)));
}

/// A run on a hundred files that ends at its sixth write, when half of the tags have been added.
fn half_tagged() -> (TestEnv, CmdResult) {
    // Behind the reads.
    let script = vec![(52 + 6, status(401, "Your account cannot be authenticated."))];
    let world = mixed(100, Faults { script, ..Faults::default() });
    let done = world.apply("sheet.csv --concurrency 1").exits(3);
    (world, done)
}

#[test]
fn a_row_of_whose_tags_some_are_added_is_not_done_until_all_are() {
    let (world, done) = half_tagged();
    let run = world.only_run("sheet");
    // Two calls for the first tag, and one for each of three more.
    assert_eq!((writes(&world), run.count("updated"), run.count("not_attempted")), (6, 16, 84));
    let row = run.row(2 + 47);
    assert_eq!((&*row["status"], &*row["code"]), ("not_attempted", "partial"));
    let mut cases = Cases::default();
    cases.add("output", done);
    cases.add("message of a row", &row["message"]);
    assert_text!(cases);
    assert_eq!(new_tags(&world, 47), ["tag0".to_owned()].into());
    world.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(0);
    assert_eq!(run.count("updated"), 100);
    assert!((0..100).all(|number| new_tags(&world, number) == digits(number)));
}

#[test]
fn tags_that_were_added_by_some_of_several_calls_are_undone() {
    let (world, _) = half_tagged();
    world.run(&format!("undo {FAST} {}", world.only_run("sheet").name())).exits(0);
    assert!((0..100).all(|number| new_tags(&world, number).is_empty()));
}

#[test]
fn a_library_that_is_listed_as_it_was_is_read_file_by_file() {
    const FILES: usize = 300;
    let search_lag = std::time::Duration::from_hours(1);
    let library = library(FILES, |_| json!(["old"]));
    let world = TestEnv::new(Config { search_lag, ..with_library(library) });
    world.write("first.csv", sheet("fileId,tags", (0..FILES).map(|n| format!("{},new", id(n)))));
    world.apply("first.csv").exits(0);
    let (before, gets) = (writes(&world), world.sandbox.stats().calls.get);
    // By the list it is so already.
    world.write("second.csv", sheet("fileId,tags", (0..FILES).map(|n| format!("{},old", id(n)))));
    world.apply("second.csv").exits(0);
    assert!(world.sandbox.stats().calls.get - gets >= FILES as u64, "every file is read");
    assert!(writes(&world) > before);
    assert!((0..FILES).all(|number| world.file(&id(number))["tags"] == json!(["old"])));
}

#[test]
fn of_merged_rows_that_are_refused_the_good_one_is_done_and_what_waits_behind_too() {
    let world = TestEnv::new(with_library(library(1, |_| json!(["old"]))));
    let rows = ["after,,", ",gigantic,", ",,false"].map(|cells| format!("{},{cells}", id(0)));
    let header = "fileId,description,customMetadata.size,isPublished";
    world.write("sheet.csv", sheet(header, rows.into_iter()));
    world.apply("sheet.csv --no-schema").exits(1);
    assert_eq!(world.only_run("sheet").statuses(), ["updated", "rejected", "updated"]);
    let file = world.file(&id(0));
    assert_eq!((&file["description"], &file["isPublished"]), (&json!("after"), &json!(false)));
    // The state before what must not be repeated is read once all before it is done.
    let calls = world.sandbox.history(&id(0));
    let calls: Vec<&Value> = calls.iter().map(|change| &change["call"]).collect();
    assert_eq!(calls, ["patch", "publish"]);
    // Together, one by one.
    assert_eq!(world.sandbox.stats().calls.patch, 3);
}

#[test]
fn a_file_whose_details_are_refused_is_written_without_being_known() {
    let refused = status(400, "Your request contains invalid fileId parameter.");
    // The account, the first file, and this one.
    let script = vec![(3, refused)];
    let faults = Faults { script, ..Faults::default() };
    let library = library(3, |_| json!(["old"]));
    let world = TestEnv::new(Config { faults, ..with_library(library) });
    let rows = (0..3).map(|number| format!("{},old,before", id(number)));
    world.write("sheet.csv", sheet("fileId,tags,description", rows));
    let done = world.apply("sheet.csv");
    done.exits(0);
    let run = world.only_run("sheet");
    // Of the others it is known that they are so already.
    assert_eq!((run.count("unchanged"), run.count("updated")), (2, 1));
    assert_eq!((reads(&world), writes(&world)), (3, 1));
}

#[test]
fn a_library_whose_pages_never_end_is_read_by_ids() {
    let ids = ids(250);
    let other: Vec<Value> = (0..1000).map(|n| json!({"fileId": format!("other{n}")})).collect();
    let body = Value::from(other).to_string();
    let content_type = "application/json".to_owned();
    let page = Fault::Status { code: 200, body, content_type };
    // The first list says that three pages show all there is.
    let pages = (2..5).map(|n| (n, page.clone())).collect();
    let world = TestEnv::new(script(pages, files(&ids)));
    world.write("sheet.csv", sheet("fileId,tags", ids.iter().map(|id| format!("{id},new"))));
    let done = world.run("apply sheet.csv --yes --rate unlimited --read-rate unlimited").exits(0);
    assert_text!(done);
    let reads = world.sandbox.stats().calls.list + world.sandbox.stats().calls.get;
    // One more list asks whose account it is.
    assert_eq!(reads, 1 + 1 + 3 + 3 + 50);
}
