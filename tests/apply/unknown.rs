//! Rows whose at-most-once request lost its response: which steps are still sent, and what the
//! reports show.

use ikbulk_sandbox::{Config, ExtensionOutcome, Fault, Hook, Phase, Status};
use serde_json::{Value, json};

use crate::harness::{Cases, ChildHandle, RunFiles, TestEnv, assert_text, files, script};

/// A row with every kind of step: an extension, tags to remove and to add, publication.
const ROW: &str = "{\"fileId\":\"a\",\"extensions\":[{\"name\":\"remove-bg\"}],\
                   \"removeTags\":[\"sale\"],\"addTags\":[\"new\"],\"isPublished\":false}\n";

fn env_with_row(config: impl FnOnce(Config) -> Config) -> TestEnv {
    let extensions = ExtensionOutcome::Always(Status::Success);
    let env = TestEnv::new(config(Config { extensions, ..files(["a"]) }));
    env.write("sheet.jsonl", ROW);
    env
}

/// An environment in which the response to the n-th request is lost.
fn losing(n: u64) -> TestEnv {
    env_with_row(|config| script(vec![(n, Fault::ResetAfter)], config))
}

/// The number of the billed PATCH: a snapshot precedes it, and by default a read to plan it.
fn billed(command: &str) -> u64 {
    if command == "apply" { 3 } else { 2 }
}

/// Asserts that the tags were changed, that publication was not sent, that nothing was billed twice,
/// and that the reports show this.
fn check_tags_sent_and_publication_not(env: &TestEnv, run: &RunFiles, snapshot: &str) {
    let tags = env.file("a")["tags"].to_string();
    assert!(tags.contains("new") && !tags.contains("sale"), "{tags}");
    let stats = env.sandbox.stats();
    assert_eq!((stats.billed_runs_of("a", "remove-bg"), stats.calls.publish), (1, 0));
    let row = run.row(1);
    assert_eq!(row["status"], "unknown");
    let message = &row["message"];
    assert_text!(snapshot, message);
    let unknown: Value =
        serde_json::from_str(&run.text("unknown.jsonl")).expect("it is one object");
    assert_eq!(unknown["ikbulk"]["message"], message.as_str());
}

#[test]
fn lost_response_sends_tags_but_not_publication() {
    for command in ["apply --direct --no-snapshot", "apply"] {
        let env = losing(billed(command));
        env.run(&format!("{command} sheet.jsonl --yes --rate unlimited")).exits(6);
        check_tags_sent_and_publication_not(&env, &env.only_run("sheet"), "lost_response_message");
    }
}

#[test]
fn resume_sends_tags_of_row_killed_in_flight() {
    for command in ["apply --direct --no-snapshot", "apply"] {
        let victim = ChildHandle::default();
        let hand = victim.clone();
        let hook = Hook::new(move |event| {
            if event.method == "PATCH" && event.phase == Phase::Processed {
                hand.kill();
            }
        });
        let env = env_with_row(|config| Config { hook: Some(hook), ..config });
        let words = format!("{command} sheet.jsonl --yes --rate unlimited");
        let words: Vec<_> = words.split(' ').collect();
        assert_eq!(env.command(&words).run_as(&victim).code, None);
        let run = env.only_run("sheet");
        env.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(6);
        check_tags_sent_and_publication_not(&env, &run, "killed_in_flight_message");
        // The run is finished now.
        let writes = env.sandbox.stats().requests;
        env.run(&format!("resume --yes {}", run.name())).exits(6);
        assert_eq!(env.sandbox.stats().requests, writes);
    }
}

#[test]
fn resume_sends_remaining_tags_of_stopped_run() {
    for command in ["apply --direct --no-snapshot", "apply"] {
        let env = losing(billed(command));
        let run = format!("{command} sheet.jsonl --yes --rate unlimited --max-unknown 1");
        env.run(&run).exits(3);
        let run = env.only_run("sheet");
        assert_text!("stopped_run_message", run.row(1)["message"]);
        assert_eq!(env.sandbox.stats().calls.add_tags, 0);
        env.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(6);
        check_tags_sent_and_publication_not(&env, &run, "lost_response_message");
    }
}

#[test]
fn unknown_row_without_at_most_once_work_is_accepted() {
    let env = losing(billed("apply"));
    env.apply("sheet.jsonl").exits(6);
    let unknown = env.only_run("sheet").text("unknown.jsonl");
    let again = |change: fn(&mut serde_json::Map<String, Value>)| {
        let mut row: Value = serde_json::from_str(&unknown).unwrap();
        change(row.as_object_mut().unwrap());
        env.write("again.jsonl", row.to_string() + "\n");
        env.apply("again.jsonl")
    };
    let mut cases = Cases::default();
    cases.add("unchanged", again(|_| {}).exits(2));
    cases.add("without extensions", again(|row| drop(row.remove("extensions"))).exits(2));
    assert_text!(cases);
    assert_eq!(env.sandbox.stats().calls.add_tags, 1, "no request was re-sent");
    again(|row| {
        row.remove("extensions");
        row.remove("isPublished");
        row.insert("description".to_owned(), json!("text"));
    })
    .exits(0);
    assert_eq!(env.file("a")["description"], "text");
    let stats = env.sandbox.stats();
    assert_eq!((stats.calls.add_tags, stats.billed_runs_of("a", "remove-bg")), (1, 1));
}

#[test]
fn rejected_details_stop_the_remaining_tags() {
    let refused = crate::harness::status(400, "No.");
    let faults = vec![(3, Fault::ResetAfter), (4, refused)];
    let env = env_with_row(|config| script(faults, config));
    let row = ROW.replace("\"isPublished\":false", "\"description\":\"text\"");
    env.write("sheet.jsonl", row);
    env.apply("sheet.jsonl").exits(6);
    let run = env.only_run("sheet");
    assert_text!(run.row(1)["message"]);
    assert_eq!(env.sandbox.stats().calls.add_tags, 0);
}
