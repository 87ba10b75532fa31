//! Plans: what they say, what they send, and what becomes of what has moved meanwhile.

use std::time::Duration;

use ikbulk::sandbox::{Config, ExtensionOutcome, Faults, Library, Status};
use serde_json::{Value, json};

use crate::harness::{RunFiles, TestEnv, files, ids, script, sheet, status, with_library};

/// A library in which every file has the tag `old`.
fn old(ids: &[String]) -> Library {
    let mut library = Library::new();
    for id in ids {
        library.insert(json!({"fileId": id, "filePath": format!("/{id}"), "tags": ["old"]}));
    }
    library
}

fn writes(world: &TestEnv) -> u64 {
    let calls = world.sandbox.stats().calls;
    calls.patch + calls.add_tags + calls.remove_tags + calls.remove_ai_tags
}

#[test]
fn a_plan_sends_nothing_and_says_what_it_would() {
    let ids = ids(60);
    let world = TestEnv::new(with_library(old(&ids)));
    let rows = ids.iter().enumerate().map(|(index, id)| {
        let tags = if index < 10 { "old" } else { "new" };
        format!("{id},{tags}")
    });
    world.write("sheet.csv", sheet("fileId,tags", rows));
    let said = world
        .run("plan sheet.csv --detailed-exitcode")
        .exits(10)
        .output_contains("60, 10 are so already")
        .output_contains("2 writes (1 addTags, 1 removeTags)")
        .output_contains(
            "60 files a hundred at once and 50 of them once more by themselves, in 51 requests",
        );
    assert!(said.out.contains("next       ikbulk apply --plan sheet.ikbulk/"), "{}", said.out);
    assert_eq!(writes(&world), 0);
    assert_eq!(world.file(&ids[59])["tags"], json!(["old"]));
    // It is in nobody's way.
    world.run("apply sheet.csv --yes").exits(0);
    world
        .run("plan sheet.csv --detailed-exitcode")
        .exits(0)
        .output_contains("60, 60 are so already");
}

#[test]
fn a_plan_can_be_read_by_programs() {
    let world = TestEnv::new(with_library(old(&ids(2))));
    let extension = r#""[{""name"":""remove-bg""}]""#;
    let rows = format!(
        "fileId,tags,description,extensions\n{0},,New,{extension}\n{1},a,,\n",
        ids(2)[0],
        ids(2)[1]
    );
    world.write("sheet.csv", rows);
    let said = world.run("plan sheet.csv --json").exits(0);
    let price: Value = serde_json::from_str(&said.out).expect("it is JSON");
    assert_eq!(price["rows"]["to_change"], 2);
    assert_eq!(
        price["requests"],
        json!({"patch": 2, "publish": 0, "add_tags": 0, "remove_tags": 0, "read": 1})
    );
    assert_eq!(price["paid"], json!([{"extension": "remove-bg", "runs": 1, "units": 130}]));
}

#[test]
fn rows_of_files_that_are_not_there_are_listed_with_the_bad_ones() {
    let world = TestEnv::new(with_library(old(&ids(1))));
    let id = &ids(1)[0];
    let gone = (0..11).map(|number| format!("gone{number:02},new"));
    let rows = [format!("gone,new\n{id},50%\n{id},new")].into_iter().chain(gone);
    world.write("sheet.csv", sheet("fileId,tags", rows));
    world
        .run("plan sheet.csv")
        .exits(1)
        .output_contains("14, 1 bad (7.1 %), 12 of files that ImageKit does not have")
        .output_contains("bad row    2: ImageKit has no such file\nbad row    3: tags: \"50%\" has a %")
        .output_contains("bad row    12: ImageKit has no such file\n           and 3 more bad rows; `ikbulk check")
        .output_contains("lists all whose cells are wrong\n");
}

#[test]
fn rows_to_be_mended_make_the_exit_code_unless_changes_are_asked_for() {
    let world = TestEnv::new(with_library(old(&ids(1))));
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
    let faults = Faults { script: vec![(2, refused)], ..Faults::default() };
    let world = TestEnv::new(Config { faults, ..with_library(old(&ids(1))) });
    let id = &ids(1)[0];
    let row = format!("{id},new,old,,all,\"1,2,3,4\"");
    let header = "fileId,addTags,removeTags,description,removeAITags,customCoordinates";
    world.write("sheet.csv", sheet(header, [row].into_iter()));
    world.run("plan sheet.csv --diff --no-schema").exits(0).output_contains(&format!(
        "{id}  row 2\n  \
           tags: (not known) → the same - \"old\" + \"new\"\n  \
           AITags: (not known) → (none)\n  \
           customCoordinates: (not known) → \"1,2,3,4\"\n"
    ));
}

#[test]
fn what_has_moved_since_it_was_planned_is_left_out() {
    let ids = ids(30);
    let world = TestEnv::new(with_library(old(&ids)));
    let rows = ids.iter().map(|id| format!("{id},new"));
    world.write("sheet.csv", sheet("fileId,tags", rows));
    world.run("plan sheet.csv").exits(0);
    let run = world.only_run("sheet");
    // Somebody else changes three of them meanwhile.
    let theirs = ids[..3].iter().map(|id| format!("{id},theirs"));
    world.write("theirs.csv", sheet("fileId,addTags", theirs));
    world.apply_direct("theirs.csv").exits(0);
    let apply = format!("apply --plan {} --yes --rate unlimited", run.name());
    world.run(&apply).exits(1).output_contains("3 × rejected moved");
    assert_eq!((run.count("updated"), run.count("rejected")), (27, 3));
    assert_eq!(world.file(&ids[0])["tags"], json!(["old", "theirs"]));
    assert_eq!(world.file(&ids[29])["tags"], json!(["new"]));
    world.run(&apply).exits(2).output_contains("is a plan that is finished; `ikbulk report");
    // Mended by doing nothing but planning it again.
    world.run(&format!("apply {}/failed.csv --yes", run.name())).exits(0);
    assert!(ids.iter().all(|id| world.file(id)["tags"] == json!(["new"])));
}

#[test]
fn a_saved_plan_is_not_resumed_and_not_carried_out_without_being_asked_for() {
    let world = TestEnv::new(files(["a"]));
    world.write("sheet.csv", "fileId,tags\na,x\n");
    world.run("plan sheet.csv").exits(0);
    let run = world.only_run("sheet").name();
    world.run(&format!("resume --yes {run}")).exits(2).output_contains("this is a saved plan");
    world
        .run(&format!("apply --plan {run}"))
        .exits(2)
        .output_contains("--yes sends without asking");
    assert_eq!(writes(&world), 0);
    world.run(&format!("apply --plan {run} --yes")).exits(0);
    assert_eq!(world.file("a")["tags"], json!(["x"]));
}

#[test]
fn a_pilot_of_a_plan_goes_on_with_what_is_left() {
    let ids = ids(20);
    let world = TestEnv::new(with_library(old(&ids)));
    world.write("sheet.csv", sheet("fileId,tags", ids.iter().map(|id| format!("{id},new"))));
    world.run("plan sheet.csv").exits(0);
    let run = world.only_run("sheet");
    world.run(&format!("apply --plan {} --yes --limit 5", run.name())).exits(5);
    assert_eq!((run.count("updated"), run.count("not_attempted")), (5, 15));
    world.run(&format!("resume --yes {}", run.name())).exits(0);
    assert_eq!(run.count("updated"), 20);
    assert!(ids.iter().all(|id| world.file(id)["tags"] == json!(["new"])));
}

/// Carries out a saved plan.
fn apply_plan(run: &RunFiles) -> String {
    format!("apply --plan {} --yes --rate unlimited --read-rate unlimited", run.name())
}

/// What a run says that it has sent, by kind.
fn said_requests(run: &RunFiles) -> Value {
    run.summary()["requests"].clone()
}

#[test]
fn each_field_is_looked_at_before_the_first_request_for_it() {
    let mut library = Library::new();
    library.insert(json!({
        "fileId": "f", "filePath": "/f", "tags": ["a"], "description": "old", "isPublished": true,
    }));
    let world = TestEnv::new(with_library(library));
    world.write("sheet.csv", "fileId,addTags,description\nf,\"a,b\",new\n");
    world.run("plan sheet.csv").exits(0);
    // Without `a` the plan's request for `b` does not make of the file what its row asks.
    world.write("theirs.csv", "fileId,removeTags\nf,a\n");
    world.apply_direct("theirs.csv").exits(0);
    let run = world.only_run("sheet");
    world
        .run(&apply_plan(&run))
        .exits(1)
        .output_contains("details done; add tags: the file was changed");
    assert_eq!(
        (run.row(2)["status"].as_str(), run.row(2)["code"].as_str()),
        ("rejected", "partial")
    );
    assert_eq!(world.file("f")["description"], "new");
    assert_eq!(world.file("f")["tags"], Value::Null);
    world.run(&format!("apply {}/failed.csv --yes", run.name())).exits(0);
    assert_eq!(world.file("f")["tags"], json!(["a", "b"]));
}

#[test]
fn what_a_plan_changes_itself_has_not_moved() {
    let config = with_library(old(&["f".to_owned()]));
    let extensions = ExtensionOutcome::Always(Status::Success);
    let world = TestEnv::new(Config { extensions, ..config });
    let extension = r#""[{""name"":""ai-auto-description""}]""#;
    let sheet = format!(
        "fileId,tags,addTags,description,customCoordinates,extensions\n\
         f,x,,,,\nf,,,,,{extension}\nf,,y,mine,\"1,2,3,4\",\n"
    );
    world.write("sheet.csv", sheet);
    world.run("plan sheet.csv --exact").exits(0);
    let run = world.only_run("sheet");
    world.run(&apply_plan(&run)).exits(0);
    assert_eq!(run.statuses(), ["updated"; 3]);
    assert_eq!(world.file("f")["description"], "mine");
    assert_eq!(world.file("f")["customCoordinates"], "1,2,3,4");
    assert_eq!(world.file("f")["tags"], json!(["x", "y"]));
}

#[test]
fn a_list_that_is_behind_makes_nothing_move() {
    let ids = ids(30);
    let lag = Duration::from_hours(1);
    let world = TestEnv::new(Config { search_lag: lag, ..with_library(old(&ids)) });
    world.write("first.csv", sheet("fileId,tags", ids.iter().map(|id| format!("{id},first"))));
    world.apply_direct("first.csv").exits(0);
    world.write("sheet.csv", sheet("fileId,addTags", ids.iter().map(|id| format!("{id},new"))));
    world.run("plan sheet.csv").exits(0);
    // Somebody else changes one of them, which no list shows either.
    world.write("theirs.csv", format!("fileId,addTags\n{},theirs\n", ids[7]));
    world.apply_direct("theirs.csv").exits(0);
    let run = world.only_run("sheet");
    world.run(&apply_plan(&run)).exits(1).output_contains("1 × rejected moved");
    assert_eq!((run.count("updated"), run.count("rejected")), (29, 1));
    assert_eq!(world.file(&ids[0])["tags"], json!(["first", "new"]));
    assert_eq!(world.file(&ids[7])["tags"], json!(["first", "theirs"]));
}

#[test]
fn what_was_not_sent_is_not_counted_and_each_look_is() {
    let ids = ids(10);
    let world = TestEnv::new(with_library(old(&ids)));
    let rows = ids.iter().enumerate().map(|(index, id)| format!("{id},text {index}"));
    world.write("sheet.csv", sheet("fileId,description", rows));
    world.run("plan sheet.csv").exits(0);
    let theirs = ids[..5].iter().map(|id| format!("{id},theirs"));
    world.write("theirs.csv", sheet("fileId,description", theirs));
    world.apply_direct("theirs.csv").exits(0);
    let (run, before) = (world.only_run("sheet"), world.sandbox.stats().calls);
    world
        .run(&apply_plan(&run))
        .exits(1)
        .output_contains(
            "looks      at each file again before it is changed, in at most about 10 reads",
        )
        .output_contains("requests   5 writes, 10 reads in");
    let after = world.sandbox.stats().calls;
    assert_eq!((after.patch - before.patch, after.get - before.get), (5, 10));
    assert_eq!(
        (&said_requests(&run)["patch"], &said_requests(&run)["read"]),
        (&json!(5), &json!(10))
    );
    for line in run.report() {
        let attempts = if line["code"] == "conflict" { "0" } else { "1" };
        assert_eq!(line["attempts"], attempts, "{line:?}");
    }
}

#[test]
fn looks_at_several_files_are_counted_as_they_are_sent() {
    let ids = ids(60);
    let world = TestEnv::new(with_library(old(&ids)));
    world.write("sheet.csv", sheet("fileId,addTags", ids.iter().map(|id| format!("{id},new"))));
    world.run("plan sheet.csv").exits(0);
    world.write("theirs.csv", format!("fileId,addTags\n{},theirs\n", ids[3]));
    world.apply_direct("theirs.csv").exits(0);
    let (run, before) = (world.only_run("sheet"), world.sandbox.stats().calls);
    world.run(&apply_plan(&run)).exits(1);
    let after = world.sandbox.stats().calls;
    assert_eq!((run.count("updated"), run.count("rejected")), (59, 1));
    assert_eq!(said_requests(&run)["add_tags"], after.add_tags - before.add_tags);
    // One list asks whose account it is, and is none of the run's.
    let reads = after.get - before.get + after.list - before.list - 1;
    assert_eq!(said_requests(&run)["read"], reads);
}

#[test]
fn what_must_not_be_repeated_and_has_moved_is_not_sent() {
    let mut library = Library::new();
    library.insert(json!({"fileId": "f", "filePath": "/f", "isPublished": true}));
    let world = TestEnv::new(with_library(library));
    world.write("sheet.csv", "fileId,isPublished\nf,false\n");
    world.run("plan sheet.csv").exits(0);
    world.write("theirs.csv", "fileId,isPublished\nf,false\n");
    world.apply_direct("theirs.csv").exits(0);
    let (run, before) = (world.only_run("sheet"), world.sandbox.stats().calls);
    world.run(&apply_plan(&run)).exits(1).output_contains("1 × rejected moved");
    let after = world.sandbox.stats().calls;
    assert_eq!((after.publish - before.publish, after.get - before.get), (0, 2));
    let said = said_requests(&run);
    assert_eq!((&said["publish"], &said["read"]), (&json!(0), &json!(2)));
    assert_eq!(run.row(2)["attempts"], "0");
}

#[test]
fn a_file_that_cannot_be_looked_at_fails_and_nothing_is_sent() {
    let ids = ids(1);
    let world =
        TestEnv::new(script(vec![(3, status(500, "Out of order."))], with_library(old(&ids))));
    world.write("sheet.csv", format!("fileId,description\n{},new\n", ids[0]));
    world.run("plan sheet.csv").exits(0);
    let run = world.only_run("sheet");
    let said = world.run(&format!("{} --attempts 1", apply_plan(&run))).exits(5);
    said.output_contains("could not read the file before it: Out of order.");
    assert_eq!(run.count("failed"), 1);
    // The probe that found the service alive is a read too.
    assert_eq!(
        (&said_requests(&run)["patch"], &said_requests(&run)["read"]),
        (&json!(0), &json!(2))
    );
    assert_eq!(writes(&world), 0);
}

#[test]
fn a_plan_that_is_refused_can_be_carried_out_afterwards() {
    let world = TestEnv::new(files(["a"]));
    world.write("sheet.csv", "fileId,tags\na,x\n");
    world.run("plan sheet.csv").exits(0);
    let run = world.only_run("sheet");
    let refused =
        world.run(&format!("{} --endpoint http://127.0.0.1:9", apply_plan(&run))).exits(2);
    assert!(!refused.out.contains("rows"), "{}", refused.out);
    refused.output_contains("the run was begun at http://127.0.0.1:");
    let line = apply_plan(&run);
    let words: Vec<&str> = line.split_whitespace().collect();
    let refused = world.command(&words).env("IMAGEKIT_PRIVATE_KEY", "private_other").run().exits(3);
    assert!(!refused.out.contains("rows"), "{}", refused.out);
    refused.output_contains("the account was not accepted");
    world
        .command(&words)
        .without("IMAGEKIT_PRIVATE_KEY")
        .run()
        .exits(2)
        .output_contains("no private key");
    world.run(&line).exits(0);
    assert_eq!(world.file("a")["tags"], json!(["x"]));
}

#[test]
fn a_plan_that_another_run_is_in_the_way_of_stays_as_it_is() {
    let world = TestEnv::new(files(["a"]));
    world.write("sheet.csv", "fileId,tags\na,x\n");
    world.run("plan sheet.csv").exits(0);
    let lock = world.lock_account();
    let run = world.only_run("sheet");
    let refused = world.run(&apply_plan(&run)).exits(75);
    assert!(!refused.out.contains("rows"), "{}", refused.out);
    drop(lock);
    world.run(&apply_plan(&run)).exits(0);
    assert_eq!(world.file("a")["tags"], json!(["x"]));
}

#[test]
fn what_is_no_saved_plan_is_called_what_it_is() {
    let world = TestEnv::new(files(["a", "b"]));
    world.write("sheet.csv", "fileId,tags\na,x\nb,y\n");
    world
        .run("apply --plan sheet.csv --yes")
        .exits(2)
        .output_contains("there is no run in sheet.csv");
    world.run("apply sheet.csv --yes --limit 1").exits(5);
    let run = world.only_run("sheet");
    let unfinished = world.run(&apply_plan(&run)).exits(2);
    unfinished.output_contains("is no saved plan, but a run that was begun and is unfinished");
    world.run(&format!("resume --yes {}", run.name())).exits(0);
    world
        .run(&apply_plan(&run))
        .exits(2)
        .output_contains("is no saved plan, but a run that is finished");
    world.write("planned.csv", "fileId,tags\na,c\nb,d\n");
    world.run("plan planned.csv").exits(0);
    let plan = world.only_run("planned");
    world.run(&format!("{} --limit 1", apply_plan(&plan))).exits(5);
    let unfinished = world.run(&apply_plan(&plan)).exits(2);
    unfinished.output_contains(&format!(
        "a plan that was begun and is unfinished; go on: ikbulk resume {}",
        plan.name()
    ));
}

#[test]
fn the_report_of_a_saved_plan_says_how_to_carry_it_out() {
    let world = TestEnv::new(files(["a"]));
    world.write("sheet.csv", "fileId,tags\na,x\n");
    world.run("plan sheet.csv").exits(0);
    let run = world.only_run("sheet");
    let said = world.run(&format!("report {}", run.name())).exits(5);
    assert!(!said.out.contains("ikbulk resume"), "{}", said.out);
    said.output_contains(&format!("next       ikbulk apply --plan {}", run.name()));
    world.run(&apply_plan(&run)).exits(0);
}

#[test]
fn what_an_extension_would_write_over_has_moved_too() {
    let extensions = ExtensionOutcome::Always(Status::Success);
    let world = TestEnv::new(Config { extensions, ..files(["f"]) });
    let extension = r#""[{""name"":""ai-auto-description""}]""#;
    world.write("sheet.csv", format!("fileId,extensions\nf,{extension}\n"));
    world.run("plan sheet.csv").exits(0);
    let plan = world.only_run("sheet");
    world.write("other.csv", "fileId,description\nf,mine\n");
    world.apply_direct("other.csv").exits(0);
    world.run(&apply_plan(&plan)).exits(1).output_contains("conflict");
    assert_eq!(world.file("f")["description"], "mine");
    assert_eq!(world.sandbox.stats().paid_runs_of("f", "ai-auto-description"), 0);
}
