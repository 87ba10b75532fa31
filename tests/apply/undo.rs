//! `undo`: what it restores, what it skips, and what it reports first.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use ikbulk_sandbox::{Config, ExtensionOutcome, Fault, Hook, Library, Phase, Status};
use serde_json::{Map, Value, json};

use crate::harness::{
    Cases, ChildHandle, CmdResult, RunFiles, TestEnv, assert_text, files, ids, lines, script,
    sheet, status, with_library,
};

const FAST: &str = "--yes --rate unlimited --read-rate unlimited";

/// Files with a value in every field, and files without any.
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

/// Changes to all of the library: some in several rows, some that clear fields.
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

/// The library as far as undo restores it: tags are a set, and "" counts as unset.
fn state(env: &TestEnv) -> Vec<Value> {
    let files = env.sandbox.library().into_iter();
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

fn writes(env: &TestEnv) -> u64 {
    let calls = env.sandbox.stats().calls;
    calls.patch + calls.publish + calls.add_tags + calls.remove_tags + calls.remove_ai_tags
}

fn undo(env: &TestEnv, run: &RunFiles) -> CmdResult {
    env.run(&format!("undo {FAST} {}", run.name()))
}

/// The newest run of the sheet, which undid another.
fn undoing(env: &TestEnv) -> RunFiles {
    env.runs("sheet").pop().expect("there is a run")
}

/// Undoes a run with these options, which changed `files` files, twice; then undoes the undo.
fn check_undo_of_everything(options: &str, files: u64) {
    let env = TestEnv::new(with_library(library()));
    let before = state(&env);
    env.write("sheet.csv", EVERYTHING);
    env.apply(&format!("sheet.csv {options} --max-rejected 100%")).exits(1);
    let run = env.only_run("sheet");
    let after = state(&env);
    assert_ne!(after, before);
    undo(&env, &run).exits(0);
    assert_eq!(state(&env), before);
    assert_eq!(undoing(&env).count("updated"), files);
    assert_eq!(undoing(&env).summary()["input"], format!("undo of {}", run.name()));
    // A second undo has nothing left to restore.
    let sent = writes(&env);
    undo(&env, &run).exits(0);
    assert_eq!((writes(&env), state(&env)), (sent, before));
    // An undo is a run and can be undone.
    let first = env.runs("sheet").remove(1);
    undo(&env, &first).exits(0);
    assert_eq!(state(&env), after);
}

#[test]
fn undo_restores_every_field() {
    check_undo_of_everything("", 5);
}

#[test]
fn undo_of_direct_run_restores_every_field() {
    check_undo_of_everything("--direct", 5);
}

#[test]
fn undo_works_without_schema() {
    // ImageKit rejects the numbers, which are sent as text.
    check_undo_of_everything("--no-schema", 3);
}

#[test]
fn direct_run_proceeds_without_snapshots() {
    let refused = || status(400, "no such query");
    let env = TestEnv::new(script(vec![(1, refused()), (2, refused())], files(["a", "b"])));
    env.write("sheet.csv", "fileId,tags\na,x\nb,x\n");
    let mut cases = Cases::default();
    cases.add("apply --direct", env.apply("sheet.csv --direct").exits(0));
    assert_eq!(env.only_run("sheet").count("updated"), 2);
    cases.add("undo", undo(&env, &env.only_run("sheet")).exits(1));
    assert_text!(cases);
    assert_eq!(env.file("a")["tags"], json!(["x"]));
}

#[test]
fn direct_run_counts_or_skips_snapshots() {
    let env = TestEnv::new(files(["a", "b"]));
    env.write("sheet.csv", "fileId,tags\na,x\nb,x\nmissing,x\n");
    assert_text!(env.apply("sheet.csv --direct --max-rejected 100%").exits(1));
    env.write("other.csv", "fileId,tags\na,y\n");
    let reads = env.sandbox.stats().requests - writes(&env);
    env.apply("other.csv --direct --no-snapshot").exits(0);
    // Only the account.
    assert_eq!(env.sandbox.stats().requests - writes(&env), reads + 1);
    undo(&env, &env.only_run("other")).exits(2);
    assert_eq!(env.runs("other").len(), 1, "a refused undo creates no run");
    env.apply("other.csv --no-snapshot").exits(2);
}

#[test]
fn undo_skips_and_lists_files_changed_since() {
    let env = TestEnv::new(with_library(library()));
    let before = state(&env);
    env.write("sheet.csv", EVERYTHING);
    env.apply("sheet.csv --max-rejected 100%").exits(1);
    // One field that the run changed, and one that it did not.
    env.write("others.csv", "fileId,description,tags\na,Mine,\ne,Mine,\n");
    env.apply("others.csv").exits(0);
    undo(&env, &env.runs("sheet").remove(0)).exits(1);
    let now = state(&env);
    assert_eq!(now[1..4], before[1..4]);
    assert_eq!(env.file("a")["description"], "Mine");
    assert_eq!(env.file("a")["customMetadata"]["brand"], "Other");
    assert_eq!(env.file("e")["description"], "Mine");
    assert_eq!(essence(&env.file("e")).get("tags"), None);
    let list = lines(&undoing(&env).text("not_undone.csv"));
    let cells = |line: &std::collections::BTreeMap<String, String>| {
        ["fileId", "reason", "before", "after", "now"].map(|column| line[column].clone())
    };
    let described = list.iter().find(|line| line["field"] == "description").expect("it is listed");
    assert_eq!(cells(described), ["a", "changed since the run", "<clear> a", "Described", "Mine"]);
    assert!(list.iter().all(|line| line["fileId"] == "a"), "{list:?}");
    assert!(
        list.iter().any(|line| line["reason"] == "another field was changed since the run"),
        "{list:?}"
    );
}

#[test]
fn undo_ignores_fields_already_up_to_date() {
    for options in ["", "--direct"] {
        let env = TestEnv::new(with_library(library()));
        let row = r#"a,"only a,old",New,"1,2,30,40""#;
        let header = "fileId,tags,description,customCoordinates";
        env.write("sheet.csv", sheet(header, [row.to_owned()].into_iter()));
        env.apply(&format!("sheet.csv {options}")).exits(0);
        env.write("others.csv", "fileId,addTags\na,theirs\n");
        env.apply("others.csv").exits(0);
        undo(&env, &env.only_run("sheet")).exits(0);
        assert_eq!(env.file("a")["description"], "<clear> a");
        assert_eq!(env.file("a")["tags"].as_array().map(Vec::len), Some(3));
    }
}

#[test]
fn undo_reverts_the_net_effect_of_merged_rows() {
    let env = TestEnv::new(with_library(library()));
    let before = state(&env);
    let rows = ["a,x,", "a,y,x", "b,old,", "b,z,\"old,only b\"", "c,x,", "c,,x", "d,x,", "d,y,"];
    let rows = rows.map(str::to_owned).into_iter();
    env.write("sheet.csv", sheet("fileId,addTags,removeTags", rows));
    env.apply("sheet.csv").exits(0);
    assert_eq!(essence(&env.file("a"))["tags"], json!(["old", "only a", "y"]));
    undo(&env, &env.only_run("sheet")).exits(0);
    assert_eq!(state(&env), before);
}

#[test]
fn undo_reports_irreversible_effects() {
    let mut library = library();
    library.insert(json!({"fileId": "f", "filePath": "/f.jpg", "isPublished": true,
        "AITags": [{"name": "sky", "source": "aws-auto-tagging", "confidence": 90}]}));
    let env = TestEnv::new(Config {
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
    env.write("sheet.jsonl", rows.map(|row| format!("{row}\n")).concat());
    env.apply("sheet.jsonl").exits(0);
    let run = env.only_run("sheet");
    assert_text!(undo(&env, &run).exits(1));
    assert_eq!(env.file("f")["isPublished"], false);
    for id in ["a", "b"] {
        assert_eq!(essence(&env.file(id))["tags"], json!(["old", format!("only {id}")]));
    }
    assert_ne!(env.file("a")["description"], "<clear> a");
    assert_eq!(env.sandbox.stats().billed_runs.values().sum::<u64>(), 2, "no extension ran again");
}

#[test]
fn undo_of_partial_run_reverts_only_done_rows() {
    // Three snapshots, then the write of the first file and the failed write of the second.
    let config = script(vec![(5, status(500, "try later"))], with_library(library()));
    let env = TestEnv::new(config);
    let before = state(&env);
    env.write("sheet.csv", "fileId,description\na,New\nb,New\nc,New\n");
    env.apply("sheet.csv --direct --concurrency 1 --attempts 1 --limit 2").exits(5);
    let run = env.only_run("sheet");
    assert_eq!(run.statuses(), ["updated", "failed", "not_attempted"]);
    assert_eq!(state(&env)[1..], before[1..]);
    let sent = writes(&env);
    assert_text!(undo(&env, &run).exits(0));
    // A failed write may still have taken effect, so that its old value is sent as well.
    assert_eq!((writes(&env) - sent, state(&env)), (2, before));
}

/// Two hundred files with new tags, set in bulk.
fn retagged() -> (TestEnv, Vec<Value>) {
    let ids = ids(200);
    let mut library = Library::new();
    for id in &ids {
        library.insert(json!({"fileId": id, "filePath": format!("/{id}"), "tags": ["old"]}));
    }
    let env = TestEnv::new(with_library(library));
    let before = state(&env);
    env.write("sheet.csv", sheet("fileId,tags", ids.iter().map(|id| format!("{id},new"))));
    env.apply("sheet.csv").exits(0);
    assert_eq!(writes(&env), 8);
    (env, before)
}

#[test]
fn undo_restores_tags_in_bulk() {
    let (env, before) = retagged();
    // Two lists, and a spot check of fifty files.
    assert_text!(undo(&env, &env.only_run("sheet")).exits(0));
    assert_eq!((writes(&env), state(&env)), (16, before));
}

/// An environment that kills the program after the server has processed the n-th write and before its
/// response; n is the shared counter.
fn env_killed_at_write(config: Config) -> (TestEnv, ChildHandle, Arc<AtomicU64>) {
    let (victim, countdown) = (ChildHandle::default(), Arc::<AtomicU64>::default());
    let (hand, left) = (victim.clone(), Arc::clone(&countdown));
    let hook = Hook::new(move |event| {
        if event.method != "GET" && event.phase == Phase::Processed {
            let counted = left.try_update(SeqCst, SeqCst, |left| left.checked_sub(1));
            if counted == Ok(1) {
                hand.kill();
            }
        }
    });
    let env = TestEnv::new(Config { hook: Some(hook), ..config });
    env.write("sheet.csv", EVERYTHING.replace("missing,x,,,,,,\n", ""));
    (env, victim, countdown)
}

/// Runs a command that is killed at the n-th write.
fn kill_at(
    write: u64,
    words: &str,
    (env, victim, countdown): &(TestEnv, ChildHandle, Arc<AtomicU64>),
) {
    countdown.store(write, SeqCst);
    let line = format!("{words} --yes --rate unlimited --concurrency 1");
    let call = env.command(&line.split(' ').collect::<Vec<_>>());
    assert_eq!(call.run_as(victim).code, None);
}

#[test]
fn killed_undo_can_be_resumed() {
    for write in 1..=5 {
        let deadly = env_killed_at_write(with_library(library()));
        let env = &deadly.0;
        let before = state(env);
        env.apply("sheet.csv").exits(0);
        let run = env.only_run("sheet");
        kill_at(write, &format!("undo {}", run.name()), &deadly);
        env.run(&format!("resume --yes {} --rate unlimited", undoing(env).name())).exits(0);
        assert_eq!(state(env), before, "killed at {write}");
    }
}

#[test]
fn resumed_undo_skips_what_others_have_edited_since_it_was_stopped() {
    let env = TestEnv::new(with_library(library()));
    env.write("sheet.csv", "fileId,description,addTags\na,A,x\nb,B,x\nc,C,x\n");
    env.apply("sheet.csv").exits(0);
    let run = env.only_run("sheet");
    env.run(&format!("undo {FAST} --limit 1 {}", run.name())).exits(5);
    env.write("human.csv", "fileId,description,tags\nc,Edited by a person,human\n");
    let elsewhere = env.path("another-machine");
    let human = ["apply", "human.csv", "--yes", "--rate", "unlimited"];
    env.command(&human).env("XDG_STATE_HOME", &elsewhere).run().exits(0);
    env.run(&format!("resume {FAST} {}", undoing(&env).name())).exits(1);
    assert_eq!(undoing(&env).report().iter().filter(|row| row["code"] == "conflict").count(), 1);
    assert_eq!(env.file("c")["description"], "Edited by a person");
    assert_eq!(env.file("c")["tags"], json!(["human"]));
    for file in ["a", "b"] {
        assert_eq!(env.file(file)["description"], format!("<clear> {file}"));
    }
}

/// Kills a run of `sheet.csv` at each of its first `writes` writes, and undoes it.
fn check_undo_of_killed_runs(options: &str, writes: u64, set: impl Fn(&TestEnv)) {
    for write in 1..=writes {
        let deadly = env_killed_at_write(with_library(library()));
        let env = &deadly.0;
        set(env);
        let before = state(env);
        kill_at(write, &format!("apply {options}sheet.csv"), &deadly);
        assert_ne!(state(env), before);
        undo(env, &env.only_run("sheet")).exits(0);
        assert_eq!(state(env), before, "{options}killed at {write}");
    }
}

#[test]
fn undo_reverts_unacknowledged_writes_of_killed_run() {
    check_undo_of_killed_runs("", 6, |_| {});
    check_undo_of_killed_runs("--direct ", 8, |_| {});
}

#[test]
fn undo_reverts_partly_sent_tags_of_killed_run() {
    let pairs = ["s,t", "s,u", "s,v", "t,u", "t,v"];
    let rows = || ["a", "b", "c", "d", "e"].iter().zip(pairs);
    let rows = || rows().map(|(id, tags)| format!("{id},\"{tags}\",\"old,only {id}\""));
    // Three removals, and one write for each of the four tags.
    check_undo_of_killed_runs("", 7, |env| {
        env.write("sheet.csv", sheet("fileId,addTags,removeTags", rows()));
    });
}

#[test]
fn stale_list_gives_direct_run_no_stale_snapshot() {
    let ids = ids(120);
    let config = Config { search_lag: Duration::from_hours(1), ..files(&ids) };
    let env = TestEnv::new(config);
    let adding = |tag: &str| sheet("fileId,addTags", ids.iter().map(|id| format!("{id},{tag}")));
    env.write("first.csv", adding("first"));
    env.apply("first.csv --direct").exits(0);
    let before = state(&env);
    env.write("sheet.csv", adding("second"));
    env.apply("sheet.csv --direct").exits(0);
    undo(&env, &env.only_run("sheet")).exits(0);
    assert_eq!(state(&env), before);
}

#[test]
fn stale_list_does_not_mislead_undo() {
    let ids = ids(120);
    let config = Config { search_lag: Duration::from_hours(1), ..files(&ids) };
    let env = TestEnv::new(config);
    let before = state(&env);
    env.write("sheet.csv", sheet("fileId,addTags", ids.iter().map(|id| format!("{id},new"))));
    env.apply("sheet.csv").exits(0);
    assert_ne!(state(&env), before);
    undo(&env, &env.only_run("sheet")).exits(0);
    assert_eq!(state(&env), before);
}

#[test]
fn undo_skips_values_no_longer_allowed() {
    let mut library = Library::new();
    library.insert(json!({"fileId": "a", "filePath": "/a", "tags": ["100%"], "description": "A"}));
    let env = TestEnv::new(with_library(library));
    env.write("sheet.csv", "fileId,tags,description\na,new,B\n");
    env.apply("sheet.csv").exits(0);
    assert_text!(undo(&env, &env.only_run("sheet")).exits(1));
    assert_eq!(env.file("a")["description"], "A");
    assert_eq!(env.file("a")["tags"], json!(["new"]));
}

#[test]
fn undo_refuses_runs_without_effects_or_access() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,tags\na,x\n");
    env.command(&["apply", "sheet.csv", "--sandbox"]).without("IMAGE_KIT_BASE_URL").run().exits(0);
    undo(&env, &env.only_run("sheet")).exits(2);
    env.write("planned.csv", "fileId,tags\na,x\n");
    env.run("plan planned.csv").exits(0);
    undo(&env, &env.only_run("planned")).exits(2);
    env.write("done.csv", "fileId,tags\na,x\n");
    env.apply("done.csv").exits(0);
    let run = env.only_run("done");
    env.run(&format!("undo {}", run.name())).exits(2);
    let other = env.command(&["undo", "--yes", &run.name()]);
    other.env("IMAGEKIT_PRIVATE_KEY", "private_other").run().exits(3);
    env.run("undo --yes nowhere").exits(2);
    assert_eq!(env.runs("done").len(), 1);
    assert_eq!(env.file("a")["tags"], json!(["x"]));
}

#[test]
fn unavailable_snapshots_stop_a_direct_run() {
    let unavailable = || status(503, "Try again.");
    let faults = (1..=40).map(|n| (n, unavailable())).collect();
    let env = TestEnv::new(script(faults, files(["a", "b"])));
    env.write("sheet.csv", "fileId,tags\na,x\nb,y\n");
    assert_text!(env.apply("sheet.csv --direct --down-max 100ms").exits(3));
    assert_eq!(writes(&env), 0);
}

#[test]
fn unfinished_run_can_be_undone_and_reapplied() {
    let env = TestEnv::new(files(["a", "b"]));
    env.write("sheet.csv", "fileId,tags\na,new\nb,new\n");
    let before = ["a", "b"].map(|id| env.file(id)["tags"].clone());
    env.run("apply sheet.csv --yes --limit 1").exits(5);
    let run = env.only_run("sheet").name();
    env.run("apply sheet.csv --yes").exits(2);
    env.run(&format!("undo {run} --yes")).exits(0);
    assert_eq!(["a", "b"].map(|id| env.file(id)["tags"].clone()), before);
    env.run("apply sheet.csv --yes").exits(0);
    let again = env.runs("sheet").pop().expect("it is the last");
    assert_eq!(again.count("updated"), 2);
}

#[test]
fn undo_restores_a_write_without_a_response_at_ctrl_c() {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        if event.method == "PATCH" && event.phase == Phase::Processed {
            hand.signal("INT");
        }
    });
    let never = Fault::HangAfter(Duration::from_mins(10));
    let config = Config { hook: Some(hook), ..files(["a"]) };
    let env = TestEnv::new(script(vec![(2, never)], config));
    env.write("sheet.csv", "fileId,description\na,New\n");
    env.command(&["apply", "sheet.csv", "--yes"]).run_as(&victim).exits(130);
    assert_eq!(env.file("a")["description"], json!("New"));
    undo(&env, &env.only_run("sheet")).exits(0);
    assert!(!essence(&env.file("a")).contains_key("description"));
}

#[test]
fn undo_reverts_a_row_before_one_that_was_rejected_for_a_word() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,description,tags\na,New,\na,,NULL\n");
    env.apply("sheet.csv --max-bad 100%").exits(1);
    assert_eq!(env.file("a")["description"], "New");
    undo(&env, &env.only_run("sheet")).exits(0);
    assert_ne!(env.file("a")["description"], "New");
}
