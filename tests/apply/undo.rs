//! Taking a run back: what is put back, what is left alone, and what is said before.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use ikbulk::sandbox::{Config, ExtensionOutcome, Hook, Library, Phase, Status};
use serde_json::{Map, Value, json};

use crate::harness::{
    ChildHandle, CmdResult, RunFiles, TestEnv, files, ids, lines, script, sheet, status,
    with_library,
};

const FAST: &str = "--yes --rate unlimited --read-rate unlimited";

/// Files with something in every field, and with nothing in any.
fn library() -> Library {
    let mut library = Library::new();
    for id in ["a", "b", "c"] {
        library.insert(json!({
            "fileId": id, "filePath": format!("/{id}.jpg"), "tags": ["old", format!("only {id}")],
            "description": format!("<clear> {id}"), "customCoordinates": "1,2,30,40",
            "customMetadata": {"brand": "Acme", "price": 12.5},
        }));
    }
    for id in ["d", "e"] {
        library.insert(json!({"fileId": id, "filePath": format!("/{id}.jpg")}));
    }
    library
}

/// All of it changed, some of it in several rows, and some of it cleared.
const EVERYTHING: &str = "\
fileId,tags,addTags,removeTags,description,customCoordinates,customMetadata.brand,customMetadata.price
a,\"new,old\",,,Described,\"5,6,7,8\",Other,13
b,,sale,old,,,<clear>,
b,,\"old,more\",,First,,,1
b,,,,Second,<clear>,,
c,<clear>,,,<clear>,<clear>,<clear>,<clear>
d,,sale,,New,\"5,6,7,8\",Other,
e,x,,,,,,7
missing,x,,,,,,
";

/// A library in the sense in which it is restored: tags are a set, and "" is nothing.
fn state(world: &TestEnv) -> Vec<Value> {
    let files = world.sandbox.library().into_iter();
    files.map(|file| json!(essence(&file))).collect()
}

fn essence(file: &Value) -> Map<String, Value> {
    let mut kept = Map::new();
    for field in ["fileId", "tags", "customCoordinates", "description", "customMetadata"] {
        let mut value = file[field].clone();
        if let Some(tags) = value.as_array_mut() {
            tags.sort_by_key(ToString::to_string);
        }
        if !matches!(&value, Value::Null) && ![json!(""), json!([]), json!({})].contains(&value) {
            kept.insert(field.to_owned(), value);
        }
    }
    kept
}

fn writes(world: &TestEnv) -> u64 {
    let calls = world.sandbox.stats().calls;
    calls.patch + calls.publish + calls.add_tags + calls.remove_tags + calls.remove_ai_tags
}

fn undo(world: &TestEnv, run: &RunFiles) -> CmdResult {
    world.run(&format!("undo {FAST} {}", run.name()))
}

/// The run that undid the only other run of a sheet.
fn undoing(world: &TestEnv) -> RunFiles {
    world.runs("sheet").pop().expect("there is a run")
}

/// Undoes a run that was begun with these options and changed so many files, twice, and the undoing.
fn everything_is_put_back(options: &str, files: u64) {
    let world = TestEnv::new(with_library(library()));
    let before = state(&world);
    world.write("sheet.csv", EVERYTHING);
    world.apply(&format!("sheet.csv {options} --max-rejected 100%")).exits(1);
    let run = world.only_run("sheet");
    let after = state(&world);
    assert_ne!(after, before);
    undo(&world, &run).exits(0).output_contains(&format!("input      undo of {}", run.name()));
    assert_eq!(state(&world), before);
    assert_eq!(undoing(&world).count("updated"), files);
    assert_eq!(undoing(&world).summary()["input"], format!("undo of {}", run.name()));
    // A second time there is nothing left to put back.
    let sent = writes(&world);
    undo(&world, &run).exits(0).output_contains("requests   0 writes");
    assert_eq!((writes(&world), state(&world)), (sent, before));
    // It is a run like any other.
    let first = world.runs("sheet").remove(1);
    undo(&world, &first).exits(0);
    assert_eq!(state(&world), after);
}

#[test]
fn a_run_is_undone_in_every_field() {
    everything_is_put_back("", 5);
}

#[test]
fn a_direct_run_is_undone_in_every_field() {
    everything_is_put_back("--direct", 5);
}

#[test]
fn a_run_without_a_schema_is_undone_too() {
    // Numbers are refused then, being text.
    everything_is_put_back("--no-schema", 3);
}

#[test]
fn a_direct_run_reads_its_files_before_and_needs_none_of_them() {
    let refused = || status(400, "no such query");
    let world = TestEnv::new(script(vec![(1, refused()), (2, refused())], files(["a", "b"])));
    world.write("sheet.csv", "fileId,tags\na,x\nb,x\n");
    world
        .apply("sheet.csv --direct")
        .exits(0)
        .output_contains("cannot read what file a is like: refused with 400: no such query");
    assert_eq!(world.only_run("sheet").count("updated"), 2);
    undo(&world, &world.only_run("sheet"))
        .exits(1)
        .output_contains("values of 2 files: not known what it was");
    assert_eq!(world.file("a")["tags"], json!(["x"]));
}

#[test]
fn what_a_direct_run_reads_before_is_shown_and_can_be_left_out() {
    let world = TestEnv::new(files(["a", "b"]));
    world.write("sheet.csv", "fileId,tags\na,x\nb,x\nmissing,x\n");
    world
        .apply("sheet.csv --direct --max-rejected 100%")
        .exits(1)
        .output_contains("read       3 files one by one, in 3 requests");
    world.write("other.csv", "fileId,tags\na,y\n");
    let reads = world.sandbox.stats().requests - writes(&world);
    world.apply("other.csv --direct --no-snapshot").exits(0);
    // The account alone.
    assert_eq!(world.sandbox.stats().requests - writes(&world), reads + 1);
    undo(&world, &world.only_run("other")).exits(2).output_contains("(--no-snapshot)");
    assert_eq!(world.runs("other").len(), 1, "what was refused leaves nothing behind");
    world.apply("other.csv --no-snapshot").exits(2);
}

#[test]
fn what_others_changed_since_is_left_alone_and_listed() {
    let world = TestEnv::new(with_library(library()));
    let before = state(&world);
    world.write("sheet.csv", EVERYTHING);
    world.apply("sheet.csv --max-rejected 100%").exits(1);
    // A field of one file, a field of another that the run did not touch.
    world.write("others.csv", "fileId,description,tags\na,Mine,\ne,Mine,\n");
    world.apply_direct("others.csv").exits(0);
    undo(&world, &world.runs("sheet").remove(0))
        .exits(1)
        .output_contains("left alone values of 1 file: changed since")
        .output_contains("  description of a: changed since");
    let now = state(&world);
    assert_eq!(now[1..4], before[1..4]);
    assert_eq!(world.file("a")["description"], "Mine");
    assert_eq!(world.file("a")["customMetadata"]["brand"], "Other");
    assert_eq!(world.file("e")["description"], "Mine");
    assert_eq!(essence(&world.file("e")).get("tags"), None);
    let list = lines(&undoing(&world).text("left_alone.csv"));
    let cells = |line: &std::collections::BTreeMap<String, String>| {
        ["fileId", "why", "before", "run left", "now"].map(|column| line[column].clone())
    };
    let described = list.iter().find(|line| line["field"] == "description").expect("it is listed");
    assert_eq!(cells(described), ["a", "changed since", "<clear> a", "Described", "Mine"]);
    assert!(list.iter().all(|line| line["fileId"] == "a"), "{list:?}");
    assert!(list.iter().any(|line| line["why"] == "another field changed since"), "{list:?}");
}

#[test]
fn what_a_row_asks_for_and_the_file_has_already_is_nothing_that_the_run_did() {
    for options in ["", "--direct"] {
        let world = TestEnv::new(with_library(library()));
        let row = r#"a,"only a,old",New,"1,2,30,40""#;
        let header = "fileId,tags,description,customCoordinates";
        world.write("sheet.csv", sheet(header, [row.to_owned()].into_iter()));
        world.apply(&format!("sheet.csv {options}")).exits(0);
        world.write("others.csv", "fileId,addTags\na,theirs\n");
        world.apply_direct("others.csv").exits(0);
        undo(&world, &world.only_run("sheet")).exits(0);
        assert_eq!(world.file("a")["description"], "<clear> a");
        assert_eq!(world.file("a")["tags"].as_array().map(Vec::len), Some(3));
    }
}

#[test]
fn rows_that_were_merged_are_undone_as_what_they_came_to() {
    let world = TestEnv::new(with_library(library()));
    let before = state(&world);
    let rows = ["a,x,", "a,y,x", "b,old,", "b,z,\"old,only b\"", "c,x,", "c,,x", "d,x,", "d,y,"];
    let rows = rows.map(str::to_owned).into_iter();
    world.write("sheet.csv", sheet("fileId,addTags,removeTags", rows));
    world.apply("sheet.csv").exits(0);
    assert_eq!(essence(&world.file("a"))["tags"], json!(["old", "only a", "y"]));
    undo(&world, &world.only_run("sheet")).exits(0);
    assert_eq!(state(&world), before);
}

#[test]
fn what_cannot_be_undone_is_said_before() {
    let mut library = library();
    library.insert(json!({"fileId": "f", "filePath": "/f.jpg", "isPublished": true,
        "AITags": [{"name": "sky", "source": "aws-auto-tagging", "confidence": 90}]}));
    let world = TestEnv::new(Config {
        extensions: ExtensionOutcome::Always(Status::Success),
        ..with_library(library)
    });
    let rows = [
        json!({"fileId": "a", "description": "Mine", "addTags": ["x"],
            "extensions": [{"name": "ai-auto-description"}]}),
        json!({"fileId": "b", "addTags": ["x"], "extensions": [{"name": "remove-bg"}]}),
        json!({"fileId": "f", "removeAITags": "all", "isPublished": false}),
        json!({"fileId": "d", "removeAITags": "all"}),
    ];
    world.write("sheet.jsonl", rows.map(|row| format!("{row}\n")).concat());
    world.apply("sheet.jsonl").exits(0);
    let run = world.only_run("sheet");
    undo(&world, &run)
        .exits(1)
        .output_contains("not undone runs of extensions (ai-auto-description 1, remove-bg 1)")
        .output_contains("not undone AI tags that were removed from 1 file")
        .output_contains("not undone the publication of 1 file")
        .output_contains("description of a: an extension may have written it");
    assert_eq!(world.file("f")["isPublished"], false);
    for id in ["a", "b"] {
        assert_eq!(essence(&world.file(id))["tags"], json!(["old", format!("only {id}")]));
    }
    assert_ne!(world.file("a")["description"], "<clear> a");
    assert_eq!(world.sandbox.stats().paid_runs.values().sum::<u64>(), 2, "nothing ran again");
}

#[test]
fn of_a_run_that_failed_in_part_only_what_was_done_is_undone() {
    // The three files are read, the first is changed, the second is not.
    let config = script(vec![(5, status(500, "try later"))], with_library(library()));
    let world = TestEnv::new(config);
    let before = state(&world);
    world.write("sheet.csv", "fileId,description\na,New\nb,New\nc,New\n");
    world.apply("sheet.csv --direct --concurrency 1 --attempts 1 --limit 2").exits(5);
    let run = world.only_run("sheet");
    assert_eq!(run.statuses(), ["updated", "failed", "not_attempted"]);
    assert_eq!(state(&world)[1..], before[1..]);
    let sent = writes(&world);
    undo(&world, &run).exits(0).output_contains("is unfinished; what it did so far is undone");
    // What was refused may still take effect, so that its value is sent as well.
    assert_eq!((writes(&world) - sent, state(&world)), (2, before));
}

/// Two hundred files, tagged anew in bulk.
fn retagged() -> (TestEnv, Vec<Value>) {
    let ids = ids(200);
    let mut library = Library::new();
    for id in &ids {
        library.insert(json!({"fileId": id, "filePath": format!("/{id}"), "tags": ["old"]}));
    }
    let world = TestEnv::new(with_library(library));
    let before = state(&world);
    world.write("sheet.csv", sheet("fileId,tags", ids.iter().map(|id| format!("{id},new"))));
    world.apply("sheet.csv").exits(0);
    assert_eq!(writes(&world), 8);
    (world, before)
}

#[test]
fn tags_are_put_back_in_bulk() {
    let (world, before) = retagged();
    // Two lists, and fifty files looked at again.
    let said = undo(&world, &world.only_run("sheet")).exits(0);
    said.output_contains("8 writes (4 addTags, 4 removeTags)").output_contains("in 52 requests");
    assert_eq!((writes(&world), state(&world)), (16, before));
}

/// A world in which a program can be killed when the work of a write is done and not told. Which
/// one it is, is a number that is counted down.
fn deadly(config: Config) -> (TestEnv, ChildHandle, Arc<AtomicU64>) {
    let (victim, countdown) = (ChildHandle::default(), Arc::<AtomicU64>::default());
    let (hand, left) = (victim.clone(), Arc::clone(&countdown));
    let hook = Hook::new(move |event| {
        if event.method != "GET" && event.phase == Phase::Worked {
            let counted = left.try_update(SeqCst, SeqCst, |left| left.checked_sub(1));
            if counted == Ok(1) {
                hand.kill();
            }
        }
    });
    let world = TestEnv::new(Config { hook: Some(hook), ..config });
    world.write("sheet.csv", EVERYTHING.replace("missing,x,,,,,,\n", ""));
    (world, victim, countdown)
}

/// Runs a command until it is killed at that write.
fn kill_at(
    write: u64,
    words: &str,
    (world, victim, countdown): &(TestEnv, ChildHandle, Arc<AtomicU64>),
) {
    countdown.store(write, SeqCst);
    let line = format!("{words} --yes --rate unlimited --concurrency 1");
    let call = world.command(&line.split(' ').collect::<Vec<_>>());
    assert_eq!(call.run_as(victim).code, None);
}

#[test]
fn an_undo_that_was_killed_goes_on_and_ends_right() {
    for write in 1..=5 {
        let deadly = deadly(with_library(library()));
        let world = &deadly.0;
        let before = state(world);
        world.apply("sheet.csv").exits(0);
        let run = world.only_run("sheet");
        kill_at(write, &format!("undo {}", run.name()), &deadly);
        world.run(&format!("resume --yes {} --rate unlimited", undoing(world).name())).exits(0);
        assert_eq!(state(world), before, "killed at {write}");
    }
}

/// Kills a run on `sheet.csv` at each of so many writes, and undoes it.
fn killed_runs_are_undone(options: &str, writes: u64, set: impl Fn(&TestEnv)) {
    for write in 1..=writes {
        let deadly = deadly(with_library(library()));
        let world = &deadly.0;
        set(world);
        let before = state(world);
        kill_at(write, &format!("apply {options}sheet.csv"), &deadly);
        assert_ne!(state(world), before);
        undo(world, &world.only_run("sheet")).exits(0).output_contains("is unfinished");
        assert_eq!(state(world), before, "{options}killed at {write}");
    }
}

#[test]
fn of_a_run_that_was_killed_even_what_it_never_heard_of_is_undone() {
    killed_runs_are_undone("", 6, |_| {});
    killed_runs_are_undone("--direct ", 8, |_| {});
}

#[test]
fn of_a_run_that_was_killed_between_the_tags_of_a_file_all_are_undone() {
    let pairs = ["s,t", "s,u", "s,v", "t,u", "t,v"];
    let rows = || ["a", "b", "c", "d", "e"].iter().zip(pairs);
    let rows = || rows().map(|(id, tags)| format!("{id},\"{tags}\",\"old,only {id}\""));
    // Three to remove, and one for each of the four tags.
    killed_runs_are_undone("", 7, |world| {
        world.write("sheet.csv", sheet("fileId,addTags,removeTags", rows()));
    });
}

#[test]
fn lists_that_are_behind_are_not_believed_for_what_a_direct_run_finds_either() {
    let ids = ids(120);
    let config = Config { search_lag: std::time::Duration::from_hours(1), ..files(&ids) };
    let world = TestEnv::new(config);
    let adding = |tag: &str| sheet("fileId,addTags", ids.iter().map(|id| format!("{id},{tag}")));
    world.write("first.csv", adding("first"));
    world.apply("first.csv --direct").exits(0);
    let before = state(&world);
    world.write("sheet.csv", adding("second"));
    world.apply("sheet.csv --direct").exits(0);
    undo(&world, &world.only_run("sheet")).exits(0);
    assert_eq!(state(&world), before);
}

#[test]
fn a_list_that_is_behind_is_not_believed() {
    let ids = ids(120);
    let config = Config { search_lag: std::time::Duration::from_hours(1), ..files(&ids) };
    let world = TestEnv::new(config);
    let before = state(&world);
    world.write("sheet.csv", sheet("fileId,addTags", ids.iter().map(|id| format!("{id},new"))));
    world.apply("sheet.csv").exits(0);
    assert_ne!(state(&world), before);
    undo(&world, &world.only_run("sheet")).exits(0);
    assert_eq!(state(&world), before);
}

#[test]
fn a_file_that_is_gone_and_a_value_that_is_not_allowed_any_more_are_left_alone() {
    let mut library = Library::new();
    library.insert(json!({"fileId": "a", "filePath": "/a", "tags": ["100%"], "description": "A"}));
    let world = TestEnv::new(with_library(library));
    world.write("sheet.csv", "fileId,tags,description\na,new,B\n");
    world.apply("sheet.csv").exits(0);
    undo(&world, &world.only_run("sheet"))
        .exits(1)
        .output_contains("  tags of a: its value from before is not allowed");
    assert_eq!(world.file("a")["description"], "A");
    assert_eq!(world.file("a")["tags"], json!(["new"]));
}

#[test]
fn what_cannot_be_undone_at_all_is_refused() {
    let world = TestEnv::new(files(["a"]));
    world.write("sheet.csv", "fileId,tags\na,x\n");
    world
        .command(&["apply", "sheet.csv", "--sandbox"])
        .without("IMAGE_KIT_BASE_URL")
        .run()
        .exits(0);
    undo(&world, &world.only_run("sheet")).exits(2).output_contains("was on a sandbox of its own");
    world.write("planned.csv", "fileId,tags\na,x\n");
    world.run("plan planned.csv").exits(0);
    undo(&world, &world.only_run("planned")).exits(2).output_contains("was never begun");
    world.write("done.csv", "fileId,tags\na,x\n");
    world.apply("done.csv").exits(0);
    let run = world.only_run("done");
    world
        .run(&format!("undo {}", run.name()))
        .exits(2)
        .output_contains("--yes sends without asking");
    let other = world.command(&["undo", "--yes", &run.name()]);
    other
        .env("IMAGEKIT_PRIVATE_KEY", "private_other")
        .run()
        .exits(3)
        .output_contains("the account was not accepted");
    world.run("undo --yes nowhere").exits(2).output_contains("there is no run in nowhere");
    assert_eq!(world.runs("done").len(), 1);
    assert_eq!(world.file("a")["tags"], json!(["x"]));
}

#[test]
fn a_direct_run_that_cannot_read_its_files_before_sends_nothing_unless_told_to() {
    let unavailable = || status(503, "Try again.");
    let faults = (1..=40).map(|n| (n, unavailable())).collect();
    let world = TestEnv::new(script(faults, files(["a", "b"])));
    world.write("sheet.csv", "fileId,tags\na,x\nb,y\n");
    let said = world.apply("sheet.csv --direct --down-max 100ms").exits(3);
    said.output_contains("--no-snapshot goes without reading them")
        .output_contains("nothing was sent");
    assert_eq!(writes(&world), 0);
}

#[test]
fn an_unfinished_run_can_be_taken_back_to_begin_anew() {
    let world = TestEnv::new(files(["a", "b"]));
    world.write("sheet.csv", "fileId,tags\na,new\nb,new\n");
    let before = ["a", "b"].map(|id| world.file(id)["tags"].clone());
    world.run("apply sheet.csv --yes --limit 1").exits(5);
    let run = world.only_run("sheet").name();
    let refused = world.run("apply sheet.csv --yes").exits(2);
    let refused = refused
        .output_contains("ikbulk resume sheet.ikbulk/")
        .output_contains("ikbulk undo sheet.ikbulk/");
    // Without its directory nothing could be restored.
    assert!(!refused.err.contains("remove"), "{}", refused.err);
    world.run(&format!("undo {run} --yes")).exits(0);
    assert_eq!(["a", "b"].map(|id| world.file(id)["tags"].clone()), before);
    world.run("apply sheet.csv --yes").exits(0).output_contains("2 updated");
}
