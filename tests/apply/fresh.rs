//! Lists that are behind what was written: nothing is left out for that.

use std::time::Duration;

use ikbulk::sandbox::{Config, Fault, Hook, Library, Phase};
use serde_json::json;

use crate::harness::{ChildHandle, TestEnv, assert_text, files, ids, script, sheet, with_library};

/// Reads so far. Each command begins with a list that names the account.
fn reads(world: &TestEnv) -> u64 {
    let sandbox = world.sandbox.stats();
    sandbox.calls.get + sandbox.calls.list
}

/// A file that is in no sample of 250.
const STALE: usize = 77;

#[test]
fn what_was_written_just_now_is_looked_at_by_itself() {
    let ids = ids(250);
    let mut library = Library::new();
    for id in &ids {
        library.insert(json!({"fileId": id, "filePath": format!("/{id}"), "tags": ["old"]}));
    }
    let lag = Duration::from_hours(1);
    let world = TestEnv::new(Config { search_lag: lag, ..with_library(library) });
    let written = &ids[100..105];
    world.write("new.csv", sheet("fileId,tags", written.iter().map(|id| format!("{id},new"))));
    world.run("apply new.csv --yes --rate unlimited").exits(0);
    assert_eq!(world.file(&written[0])["tags"], json!(["new"]));
    // Searches still say that they are as they are to be again.
    world.write("old.csv", sheet("fileId,tags", ids.iter().map(|id| format!("{id},old"))));
    assert_text!(world.run("apply old.csv --yes --rate unlimited").exits(0));
    assert!(ids.iter().all(|id| world.file(id)["tags"] == json!(["old"])));
    let run = world.only_run("old");
    assert_eq!((run.count("updated"), run.count("unchanged")), (5, 245));
}

#[test]
fn one_file_of_many_that_were_written_just_now_is_enough() {
    let ids = ids(250);
    let (stale, files) = (&ids[STALE], ids.iter());
    let mut library = Library::new();
    for id in &ids {
        let tag = if id == stale { "old" } else { "new" };
        library.insert(json!({"fileId": id, "filePath": format!("/{id}"), "tags": [tag]}));
    }
    let lag = Duration::from_hours(1);
    let world = TestEnv::new(Config { search_lag: lag, ..with_library(library) });
    world.write("new.csv", sheet("fileId,tags", files.clone().map(|id| format!("{id},new"))));
    world.run("apply new.csv --direct --yes --rate unlimited").exits(0);
    // Lists still show all of them as they were, which is as they were written, but for one.
    world.write("old.csv", sheet("fileId,tags", files.map(|id| format!("{id},old"))));
    world.run("apply old.csv --yes --rate unlimited").exits(0);
    assert_eq!(world.file(stale)["tags"], json!(["old"]));
}

#[test]
fn what_lists_show_as_it_was_written_is_not_looked_at_again() {
    let ids = ids(150);
    let world = TestEnv::new(files(&ids));
    let sheet =
        sheet("fileId,tags,description", ids.iter().map(|id| format!("{id},\"new,red\",A")));
    world.write("new.csv", sheet);
    let apply = || {
        let before = reads(&world);
        world.run("apply new.csv --yes --rate unlimited").exits(0);
        // Two lists of 100 files at most, and 50 of the files once more.
        assert_eq!(reads(&world) - before, 1 + 2 + 50);
    };
    apply();
    let run = world.only_run("new");
    world.run(&format!("undo {} --yes --rate unlimited", run.name())).exits(0);
    apply();
}

#[test]
fn what_nobody_knows_to_be_written_is_looked_at_by_itself() {
    let ids = ids(150);
    let world = TestEnv::new(script(vec![(1, Fault::ResetBefore)], files(&ids)));
    let (lost, all) = (&ids[STALE], ids.iter());
    world.write("one.csv", format!("fileId,description\n{lost},A\n"));
    world.run("apply one.csv --yes --direct --no-snapshot --attempts 1").exits(5);
    world.write("all.csv", sheet("fileId,description", all.map(|id| format!("{id},A"))));
    let before = reads(&world);
    world.run("plan all.csv").exits(0);
    // Two lists, 50 of the files once more, and the lost one.
    assert_eq!(reads(&world) - before, 1 + 2 + 50 + 1);
}

/// Files with one tag, in a library whose lists do not show what happens to them.
fn unseen(ids: &[String]) -> Config {
    let mut library = Library::new();
    for id in ids {
        library.insert(json!({"fileId": id, "filePath": format!("/{id}"), "tags": ["old"]}));
    }
    Config { search_lag: Duration::from_hours(1), ..with_library(library) }
}

/// All files are to have that tag only.
fn all(ids: &[String], tag: &str) -> String {
    sheet("fileId,tags", ids.iter().map(|id| format!("{id},{tag}")))
}

#[test]
fn what_a_killed_run_may_have_written_is_not_believed_to_lists() {
    let ids = ids(250);
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        if event.method == "PATCH" && event.phase == Phase::Worked {
            hand.kill();
        }
    });
    let world = TestEnv::new(Config { hook: Some(hook), ..unseen(&ids) });
    world.write("one.csv", all(&ids[STALE..=STALE], "new"));
    assert_eq!(world.command(&["apply", "one.csv", "--yes"]).run_as(&victim).code, None);
    assert_eq!(world.file(&ids[STALE])["tags"], json!(["new"]));
    world.write("all.csv", all(&ids, "old"));
    world.run("apply all.csv --yes --rate unlimited").exits(0);
    let run = world.only_run("all");
    assert_eq!((run.count("updated"), run.count("unchanged")), (1, 249));
    assert_eq!(world.file(&ids[STALE])["tags"], json!(["old"]));
}

#[test]
fn of_runs_that_were_under_way_by_turns_nobody_knows_which_wrote_last() {
    let ids = ids(250);
    let world = TestEnv::new(unseen(&ids));
    world.write("two.csv", all(&[ids[STALE].clone(), ids[0].clone()], "old"));
    world.run("apply two.csv --direct --yes --limit 1").exits(5);
    world.write("one.csv", all(&ids[STALE..=STALE], "new"));
    world.run("apply one.csv --yes").exits(0);
    world.run(&format!("resume --yes {}", world.only_run("two").name())).exits(0);
    // Lists show the one as the run that ended last wrote it, before the other did.
    world.write("all.csv", all(&ids, "old"));
    world.run("apply all.csv --yes --rate unlimited").exits(0);
    assert_eq!(world.file(&ids[STALE])["tags"], json!(["old"]));
}

#[test]
fn the_order_in_which_runs_have_changed_tags_is_nothing_to_look_for() {
    let ids = ids(150);
    let world = TestEnv::new(files(&ids));
    let apply = |name: &str, columns: &str, cells: &str| {
        world.write(name, sheet(columns, ids.iter().map(|id| format!("{id},{cells}"))));
        world.run(&format!("apply {name} --yes --rate unlimited")).exits(0)
    };
    apply("set.csv", "fileId,tags", "\"y,x\"");
    apply("add.csv", "fileId,addTags", "\"n,m\"");
    apply("remove.csv", "fileId,removeTags", "x");
    let before = reads(&world);
    apply("again.csv", "fileId,addTags", "x");
    assert_eq!(reads(&world) - before, 1 + 2 + 50);
}
