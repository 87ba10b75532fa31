//! Rows whose at-most-once request lost its response: what of them is still sent, what is not, and
//! what is said of that.

use ikbulk::sandbox::{Config, ExtensionOutcome, Fault, Hook, Phase, Status};
use serde_json::{Value, json};

use crate::harness::{ChildHandle, RunFiles, TestEnv, files, script};

/// A row with all steps that a row can have: an extension, tags to remove and to add, publication.
const ROW: &str = "{\"fileId\":\"a\",\"extensions\":[{\"name\":\"remove-bg\"}],\
                   \"removeTags\":[\"sale\"],\"addTags\":[\"new\"],\"isPublished\":false}\n";

fn world(config: impl FnOnce(Config) -> Config) -> TestEnv {
    let extensions = ExtensionOutcome::Always(Status::Success);
    let world = TestEnv::new(config(Config { extensions, ..files(["a"]) }));
    world.write("sheet.jsonl", ROW);
    world
}

/// One whose response to the billed PATCH is lost once, after its work.
fn losing(n: u64) -> TestEnv {
    world(|config| script(vec![(n, Fault::ResetAfter)], config))
}

/// The number of the billed PATCH: the file is read before it, and once more to be planned live.
fn billed(command: &str) -> u64 {
    if command == "apply" { 3 } else { 2 }
}

/// The tags were changed, the file was not published or unpublished, nothing was billed twice, and
/// the reports say so.
fn tags_are_sent_and_publication_is_not(world: &TestEnv, run: &RunFiles) {
    let tags = world.file("a")["tags"].to_string();
    assert!(tags.contains("new") && !tags.contains("sale"), "{tags}");
    let stats = world.sandbox.stats();
    assert_eq!((stats.paid_runs_of("a", "remove-bg"), stats.calls.publish), (1, 0));
    let row = run.row(1);
    assert_eq!(row["status"], "unknown");
    let message = &row["message"];
    assert!(message.contains("remove tags, add tags done"), "{message}");
    assert!(message.ends_with("; not sent: publish"), "{message}");
    let unknown: Value =
        serde_json::from_str(&run.text("unknown.jsonl")).expect("it is one object");
    assert_eq!(unknown["ikbulk"]["message"], message.as_str());
}

#[test]
fn tags_of_a_row_with_a_lost_response_are_sent_and_publication_is_named() {
    for command in ["apply --direct --no-snapshot", "apply"] {
        let world = losing(billed(command));
        world.run(&format!("{command} sheet.jsonl --yes --rate unlimited")).exits(6);
        tags_are_sent_and_publication_is_not(&world, &world.only_run("sheet"));
    }
}

#[test]
fn tags_of_a_row_that_was_in_flight_at_a_kill_are_sent_by_resume() {
    for command in ["apply --direct --no-snapshot", "apply"] {
        let victim = ChildHandle::default();
        let hand = victim.clone();
        let hook = Hook::new(move |event| {
            if event.method == "PATCH" && event.phase == Phase::Worked {
                hand.kill();
            }
        });
        let world = world(|config| Config { hook: Some(hook), ..config });
        let words = format!("{command} sheet.jsonl --yes --rate unlimited");
        let words: Vec<_> = words.split(' ').collect();
        assert_eq!(world.command(&words).run_as(&victim).code, None);
        let run = world.only_run("sheet");
        world.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(6);
        tags_are_sent_and_publication_is_not(&world, &run);
        // Now it is finished.
        let done = world.run(&format!("resume --yes {}", run.name())).exits(6);
        done.output_contains("nothing is left to do");
    }
}

#[test]
fn tags_that_a_stopped_run_still_owes_are_sent_by_resume() {
    for command in ["apply --direct --no-snapshot", "apply"] {
        let world = losing(billed(command));
        let run = format!("{command} sheet.jsonl --yes --rate unlimited --max-unknown 1");
        world.run(&run).exits(3).output_contains("next       ikbulk resume ");
        let run = world.only_run("sheet");
        let message = &run.row(1)["message"];
        assert!(message.ends_with("; the run stopped before the rest of the row"), "{message}");
        assert_eq!(world.sandbox.stats().calls.add_tags, 0);
        world.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(6);
        tags_are_sent_and_publication_is_not(&world, &run);
    }
}

#[test]
fn an_unknown_row_is_accepted_once_its_at_most_once_work_is_removed() {
    let world = losing(2);
    world.apply_direct("sheet.jsonl").exits(6);
    let unknown = world.only_run("sheet").text("unknown.jsonl");
    let again = |change: fn(&mut serde_json::Map<String, Value>)| {
        let mut row: Value = serde_json::from_str(&unknown).unwrap();
        change(row.as_object_mut().unwrap());
        world.write("again.jsonl", row.to_string() + "\n");
        world.apply_direct("again.jsonl")
    };
    let refused =
        again(|_| {}).exits(2).output_contains("row 1 ").output_contains("--repeat-unknown");
    assert!(refused.err.contains("extensions (remove-bg) and isPublished"), "{}", refused.err);
    let refused = again(|row| drop(row.remove("extensions"))).exits(2);
    assert!(refused.err.contains("so that isPublished may have been done"), "{}", refused.err);
    assert_eq!(world.sandbox.stats().calls.add_tags, 1, "nothing was sent again");
    again(|row| {
        row.remove("extensions");
        row.remove("isPublished");
        row.insert("description".to_owned(), json!("text"));
    })
    .exits(0);
    assert_eq!(world.file("a")["description"], "text");
    let stats = world.sandbox.stats();
    assert_eq!((stats.calls.add_tags, stats.paid_runs_of("a", "remove-bg")), (1, 1));
}

#[test]
fn tags_are_not_sent_after_the_rest_of_the_fields_was_refused() {
    let refused = crate::harness::status(400, "No.");
    let faults = vec![(2, Fault::ResetAfter), (3, refused)];
    let world = world(|config| script(faults, config));
    let row = ROW.replace("\"isPublished\":false", "\"description\":\"text\"");
    world.write("sheet.jsonl", row);
    world.apply_direct("sheet.jsonl").exits(6);
    let run = world.only_run("sheet");
    let message = &run.row(1)["message"];
    assert!(message.contains("details without extensions: "), "{message}");
    assert!(message.ends_with("; not sent: remove tags, add tags"), "{message}");
    assert_eq!(world.sandbox.stats().calls.add_tags, 0);
}
