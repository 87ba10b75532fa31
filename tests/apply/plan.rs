//! Plans: what they say, what they send, and what becomes of what has moved meanwhile.

use ikbulk::sandbox::{Config, Faults, Library};
use serde_json::json;

use crate::harness::{World, files, ids, sheet, status, with_library};

/// A library in which every file has the tag `old`.
fn old(ids: &[String]) -> Library {
    let mut library = Library::new();
    for id in ids {
        library.insert(json!({"fileId": id, "filePath": format!("/{id}"), "tags": ["old"]}));
    }
    library
}

fn writes(world: &World) -> u64 {
    let calls = world.sandbox.stats().calls;
    calls.patch + calls.add_tags + calls.remove_tags + calls.remove_ai_tags
}

#[test]
fn a_plan_sends_nothing_and_says_what_it_would() {
    let ids = ids(60);
    let world = World::new(with_library(old(&ids)));
    let rows = ids.iter().enumerate().map(|(index, id)| {
        let tags = if index < 10 { "old" } else { "new" };
        format!("{id},{tags}")
    });
    world.write("sheet.csv", sheet("fileId,tags", rows));
    let said = world
        .run("plan sheet.csv --detailed-exitcode")
        .exits(10)
        .says("60, 10 are so already")
        .says("2 writes (1 addTags, 1 removeTags)")
        .says("60 files a hundred at once and 50 of them once more by themselves, in 51 requests");
    assert!(said.out.contains("next       ikbulk apply --plan sheet.ikbulk/"), "{}", said.out);
    assert_eq!(writes(&world), 0);
    assert_eq!(world.file(&ids[59])["tags"], json!(["old"]));
    // It is in nobody's way.
    world.run("live sheet.csv --yes").exits(0);
    world.run("plan sheet.csv --detailed-exitcode").exits(0).says("60, 60 are so already");
}

#[test]
fn a_plan_can_be_read_by_programs() {
    let world = World::new(with_library(old(&ids(2))));
    let extension = r#""[{""name"":""remove-bg""}]""#;
    let rows = format!(
        "fileId,tags,description,extensions\n{0},,New,{extension}\n{1},a,,\n",
        ids(2)[0],
        ids(2)[1]
    );
    world.write("sheet.csv", rows);
    let said = world.run("plan sheet.csv --json").exits(0);
    let price: serde_json::Value = serde_json::from_str(&said.out).expect("it is JSON");
    assert_eq!(price["rows"]["to_change"], 2);
    assert_eq!(
        price["requests"],
        json!({"patch": 2, "publish": 0, "add_tags": 0, "remove_tags": 0, "read": 1})
    );
    assert_eq!(price["paid"], json!([{"extension": "remove-bg", "runs": 1, "units": 130}]));
}

#[test]
fn rows_of_files_that_are_not_there_are_listed_with_the_bad_ones() {
    let world = World::new(with_library(old(&ids(1))));
    let id = &ids(1)[0];
    let gone = (0..11).map(|number| format!("gone{number:02},new"));
    let rows = [format!("gone,new\n{id},50%\n{id},new")].into_iter().chain(gone);
    world.write("sheet.csv", sheet("fileId,tags", rows));
    world
        .run("plan sheet.csv")
        .exits(1)
        .says("14, 1 bad (7.1 %), 12 of files that ImageKit does not have")
        .says("bad row    2: ImageKit has no such file\nbad row    3: tags: \"50%\" has a %")
        .says("bad row    12: ImageKit has no such file\n           and 3 more bad rows; `ikbulk check")
        .says("lists all whose cells are wrong\n");
}

#[test]
fn rows_to_be_mended_make_the_exit_code_unless_changes_are_asked_for() {
    let world = World::new(with_library(old(&ids(1))));
    let id = &ids(1)[0];
    for (rows, plain, detailed) in [
        (format!("{id},old"), 0, 0),
        (format!("{id},50%\n{id},old"), 1, 1),
        (format!("gone,new\n{id},old"), 1, 1),
        (format!("gone,new\n{id},new"), 1, 10),
        (format!("{id},new"), 0, 10),
    ] {
        world.write("sheet.csv", sheet("fileId,tags", [rows].into_iter()));
        world.run("plan sheet.csv").exits(plain);
        world.run("plan sheet.csv --json").exits(plain);
        world.run("plan sheet.csv --detailed-exitcode").exits(detailed);
    }
}

#[test]
fn of_a_file_that_cannot_be_read_what_is_not_known_is_said() {
    let refused = status(400, "Your request contains invalid fileId parameter.");
    let faults = Faults { script: vec![(1, refused)], ..Faults::default() };
    let world = World::new(Config { faults, ..with_library(old(&ids(1))) });
    let id = &ids(1)[0];
    let row = format!("{id},new,old,,all,\"1,2,3,4\"");
    let header = "fileId,addTags,removeTags,description,removeAITags,customCoordinates";
    world.write("sheet.csv", sheet(header, [row].into_iter()));
    world.run("plan sheet.csv --diff --no-schema").exits(0).says(&format!(
        "{id}  row 2\n  \
           tags: (not known) → the same - \"old\" + \"new\"\n  \
           AITags: (not known) → (none)\n  \
           customCoordinates: (not known) → \"1,2,3,4\"\n"
    ));
}

#[test]
fn what_has_moved_since_it_was_planned_is_left_out() {
    let ids = ids(30);
    let world = World::new(with_library(old(&ids)));
    let rows = ids.iter().map(|id| format!("{id},new"));
    world.write("sheet.csv", sheet("fileId,tags", rows));
    world.run("plan sheet.csv").exits(0);
    let run = world.only_run("sheet");
    // Somebody else changes three of them meanwhile.
    let theirs = ids[..3].iter().map(|id| format!("{id},theirs"));
    world.write("theirs.csv", sheet("fileId,addTags", theirs));
    world.apply("theirs.csv").exits(0);
    let apply = format!("live --plan {} --yes --rate unlimited", run.name());
    world.run(&apply).exits(1).says("3 × rejected moved");
    assert_eq!((run.count("updated"), run.count("rejected")), (27, 3));
    assert_eq!(world.file(&ids[0])["tags"], json!(["old", "theirs"]));
    assert_eq!(world.file(&ids[29])["tags"], json!(["new"]));
    world.run(&apply).exits(2).says("is no saved plan, or was begun already");
    // Mended by doing nothing but planning it again.
    world.run(&format!("live {}/failed.csv --yes", run.name())).exits(0);
    assert!(ids.iter().all(|id| world.file(id)["tags"] == json!(["new"])));
}

#[test]
fn a_saved_plan_is_not_resumed_and_not_carried_out_without_being_asked_for() {
    let world = World::new(files(["a"]));
    world.write("sheet.csv", "fileId,tags\na,x\n");
    world.run("plan sheet.csv").exits(0);
    let run = world.only_run("sheet").name();
    world.run(&format!("resume {run}")).exits(2).says("this is a saved plan");
    world.run(&format!("live --plan {run}")).exits(2).says("there is nobody to ask");
    assert_eq!(writes(&world), 0);
    world.run(&format!("live --plan {run} --yes")).exits(0);
    assert_eq!(world.file("a")["tags"], json!(["x"]));
}

#[test]
fn a_pilot_of_a_plan_goes_on_with_what_is_left() {
    let ids = ids(20);
    let world = World::new(with_library(old(&ids)));
    world.write("sheet.csv", sheet("fileId,tags", ids.iter().map(|id| format!("{id},new"))));
    world.run("plan sheet.csv").exits(0);
    let run = world.only_run("sheet");
    world.run(&format!("live --plan {} --yes --limit 5", run.name())).exits(5);
    assert_eq!((run.count("updated"), run.count("not_attempted")), (5, 15));
    world.run(&format!("resume {}", run.name())).exits(0);
    assert_eq!(run.count("updated"), 20);
    assert!(ids.iter().all(|id| world.file(id)["tags"] == json!(["new"])));
}
