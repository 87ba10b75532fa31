//! Stale listings: no change is skipped because of them.

use std::time::Duration;

use ikbulk_sandbox::{Config, Fault, Hook, Library, Phase};
use serde_json::json;

use crate::harness::{ChildHandle, TestEnv, assert_text, files, ids, script, sheet, with_library};

/// Reads so far. Each command begins with a list that names the account.
fn reads(env: &TestEnv) -> u64 {
    let sandbox = env.sandbox.stats();
    sandbox.calls.get + sandbox.calls.list
}

/// A file that is in no sample of 250.
const STALE: usize = 77;

#[test]
fn recently_written_files_are_read_one_by_one() {
    let ids = ids(250);
    let mut library = Library::new();
    for id in &ids {
        library.insert(json!({"fileId": id, "filePath": format!("/{id}"), "tags": ["old"]}));
    }
    let lag = Duration::from_hours(1);
    let env = TestEnv::new(Config { search_lag: lag, ..with_library(library) });
    let written = &ids[100..105];
    env.write("new.csv", sheet("fileId,tags", written.iter().map(|id| format!("{id},new"))));
    env.run("apply new.csv --yes --rate unlimited").exits(0);
    assert_eq!(env.file(&written[0])["tags"], json!(["new"]));
    // The listing is stale and shows them as the sheet wants them.
    env.write("old.csv", sheet("fileId,tags", ids.iter().map(|id| format!("{id},old"))));
    assert_text!(env.run("apply old.csv --yes --rate unlimited").exits(0));
    assert!(ids.iter().all(|id| env.file(id)["tags"] == json!(["old"])));
    let run = env.only_run("old");
    assert_eq!((run.count("updated"), run.count("unchanged")), (5, 245));
}

#[test]
fn one_stale_file_makes_the_listing_stale() {
    let ids = ids(250);
    let (stale, files) = (&ids[STALE], ids.iter());
    let mut library = Library::new();
    for id in &ids {
        let tag = if id == stale { "old" } else { "new" };
        library.insert(json!({"fileId": id, "filePath": format!("/{id}"), "tags": [tag]}));
    }
    let lag = Duration::from_hours(1);
    let env = TestEnv::new(Config { search_lag: lag, ..with_library(library) });
    env.write("new.csv", sheet("fileId,tags", files.clone().map(|id| format!("{id},new"))));
    env.run("apply new.csv --direct --yes --rate unlimited").exits(0);
    // Lists still show all of them as they were, which is as they were written, but for one.
    env.write("old.csv", sheet("fileId,tags", files.map(|id| format!("{id},old"))));
    env.run("apply old.csv --yes --rate unlimited").exits(0);
    assert_eq!(env.file(stale)["tags"], json!(["old"]));
}

#[test]
fn fresh_listing_is_spot_checked_only() {
    let ids = ids(150);
    let env = TestEnv::new(files(&ids));
    let sheet =
        sheet("fileId,tags,description", ids.iter().map(|id| format!("{id},\"new,red\",A")));
    env.write("new.csv", sheet);
    let apply = || {
        let before = reads(&env);
        env.run("apply new.csv --yes --rate unlimited").exits(0);
        // Two lists of 100 files at most, and 50 of the files once more.
        assert_eq!(reads(&env) - before, 1 + 2 + 50);
    };
    apply();
    let run = env.only_run("new");
    env.run(&format!("undo {} --yes --rate unlimited", run.name())).exits(0);
    apply();
}

#[test]
fn file_with_a_lost_response_is_read_alone() {
    let ids = ids(150);
    let env = TestEnv::new(script(vec![(1, Fault::ResetBefore)], files(&ids)));
    let (lost, all) = (&ids[STALE], ids.iter());
    env.write("one.csv", format!("fileId,description\n{lost},A\n"));
    env.run("apply one.csv --yes --direct --no-snapshot --attempts 1").exits(5);
    env.write("all.csv", sheet("fileId,description", all.map(|id| format!("{id},A"))));
    let before = reads(&env);
    env.run("plan all.csv").exits(0);
    // Two lists, 50 of the files once more, and the lost one.
    assert_eq!(reads(&env) - before, 1 + 2 + 50 + 1);
}

/// Files with one tag, in a library whose listings are stale.
fn unseen(ids: &[String]) -> Config {
    let mut library = Library::new();
    for id in ids {
        library.insert(json!({"fileId": id, "filePath": format!("/{id}"), "tags": ["old"]}));
    }
    Config { search_lag: Duration::from_hours(1), ..with_library(library) }
}

/// Sets the tags of all files to that one.
fn all(ids: &[String], tag: &str) -> String {
    sheet("fileId,tags", ids.iter().map(|id| format!("{id},{tag}")))
}

#[test]
fn writes_of_a_killed_run_are_read_alone() {
    let ids = ids(250);
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        if event.method == "PATCH" && event.phase == Phase::Processed {
            hand.kill();
        }
    });
    let env = TestEnv::new(Config { hook: Some(hook), ..unseen(&ids) });
    env.write("one.csv", all(&ids[STALE..=STALE], "new"));
    assert_eq!(env.command(&["apply", "one.csv", "--yes"]).run_as(&victim).code, None);
    assert_eq!(env.file(&ids[STALE])["tags"], json!(["new"]));
    env.write("all.csv", all(&ids, "old"));
    env.run("apply all.csv --yes --rate unlimited").exits(0);
    let run = env.only_run("all");
    assert_eq!((run.count("updated"), run.count("unchanged")), (1, 249));
    assert_eq!(env.file(&ids[STALE])["tags"], json!(["old"]));
}

#[test]
fn interleaved_runs_leave_the_last_write_unknown() {
    let ids = ids(250);
    let env = TestEnv::new(unseen(&ids));
    env.write("two.csv", all(&[ids[STALE].clone(), ids[0].clone()], "old"));
    env.run("apply two.csv --direct --yes --limit 1").exits(5);
    env.write("one.csv", all(&ids[STALE..=STALE], "new"));
    env.run("apply one.csv --yes").exits(0);
    env.run(&format!("resume --yes {}", env.only_run("two").name())).exits(0);
    // Lists show the one as the run that ended last wrote it, before the other did.
    env.write("all.csv", all(&ids, "old"));
    env.run("apply all.csv --yes --rate unlimited").exits(0);
    assert_eq!(env.file(&ids[STALE])["tags"], json!(["old"]));
}

#[test]
fn tag_order_is_no_difference() {
    let ids = ids(150);
    let env = TestEnv::new(files(&ids));
    let apply = |name: &str, columns: &str, cells: &str| {
        env.write(name, sheet(columns, ids.iter().map(|id| format!("{id},{cells}"))));
        env.run(&format!("apply {name} --yes --rate unlimited")).exits(0)
    };
    apply("set.csv", "fileId,tags", "\"y,x\"");
    apply("add.csv", "fileId,addTags", "\"n,m\"");
    apply("remove.csv", "fileId,removeTags", "x");
    let before = reads(&env);
    apply("again.csv", "fileId,addTags", "x");
    assert_eq!(reads(&env) - before, 1 + 2 + 50 + 3, "one file of each call is read back");
}
