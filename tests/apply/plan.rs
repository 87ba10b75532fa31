//! `plan` and `apply --plan`: preview, saved plans, conflicts.

use std::time::Duration;

use ikbulk_sandbox::{Config, ExtensionOutcome, Faults, Library, Status};
use serde_json::{Value, json};

use crate::harness::{
    Cases, RunFiles, TestEnv, assert_text, files, ids, script, sheet, status, with_library,
};

/// A library in which every file has the tag `old`.
fn old(ids: &[String]) -> Library {
    let mut library = Library::new();
    for id in ids {
        library.insert(json!({"fileId": id, "filePath": format!("/{id}"), "tags": ["old"]}));
    }
    library
}

fn writes(env: &TestEnv) -> u64 {
    let calls = env.sandbox.stats().calls;
    calls.patch + calls.add_tags + calls.remove_tags + calls.remove_ai_tags
}

#[test]
fn plan_sends_nothing_and_counts_requests() {
    let ids = ids(60);
    let env = TestEnv::new(with_library(old(&ids)));
    let rows = ids.iter().enumerate().map(|(index, id)| {
        let tags = if index < 10 { "old" } else { "new" };
        format!("{id},{tags}")
    });
    env.write("sheet.csv", sheet("fileId,tags", rows));
    assert_text!(env.run("plan sheet.csv --detailed-exitcode").exits(10));
    assert_eq!(writes(&env), 0);
    assert_eq!(env.file(&ids[59])["tags"], json!(["old"]));
    // A plan does not block a run.
    env.run("apply sheet.csv --yes").exits(0);
    env.run("plan sheet.csv --detailed-exitcode").exits(0);
}

#[test]
fn plan_prints_json() {
    let env = TestEnv::new(with_library(old(&ids(2))));
    let extension = r#""[{""name"":""remove-bg""}]""#;
    let rows = format!(
        "fileId,tags,description,extensions\n{0},,New,{extension}\n{1},a,,\n",
        ids(2)[0],
        ids(2)[1]
    );
    env.write("sheet.csv", rows);
    let plan = env.run("plan sheet.csv --json").exits(0);
    let price: Value = serde_json::from_str(&plan.out).expect("it is JSON");
    assert_eq!(price["rows"]["to_change"], 2);
    assert_eq!(
        price["requests"],
        json!({"patch": 2, "publish": 0, "add_tags": 0, "remove_tags": 0, "remove_ai_tags": 0, "read": 1})
    );
    assert_eq!(price["billed"], json!([{"extension": "remove-bg", "runs": 1, "units": 130}]));
}

#[test]
fn plan_lists_missing_files_with_bad_rows() {
    let env = TestEnv::new(with_library(old(&ids(1))));
    let id = &ids(1)[0];
    let gone = (0..11).map(|number| format!("gone{number:02},new"));
    let rows = [format!("gone,new\n{id},50%\n{id},new")].into_iter().chain(gone);
    env.write("sheet.csv", sheet("fileId,tags", rows));
    assert_text!(env.run("plan sheet.csv").exits(1));
}

#[test]
fn plan_that_yes_would_refuse_is_not_recommended() {
    let ids = ids(4);
    let env = TestEnv::new(with_library(old(&ids)));
    let rows = ids.iter().map(|id| format!("{id},new")).chain(["x,50%".to_owned()]);
    env.write("sheet.csv", sheet("fileId,tags", rows));
    let plan = env.run("plan sheet.csv").exits(1);
    plan.output_contains("next       fix the invalid rows: above --max-bad");
    let run = env.only_run("sheet").name();
    env.run(&format!("apply --plan {run} --yes")).exits(2);
    let mut terminal = env.command(&["apply", "--plan", &run]).on_terminal();
    terminal.waits_for("1 of 5 rows is invalid, more than --max-bad allows. Send the rest?");
    terminal.types("y\n");
    terminal.ends().exits(1);
    assert_eq!(env.file(&ids[3])["tags"], json!(["new"]));
}

#[test]
fn exit_code_of_plan_reflects_bad_rows_and_changes() {
    let env = TestEnv::new(with_library(old(&ids(1))));
    let id = &ids(1)[0];
    for (rows, plain, detailed) in [
        (format!("{id},old"), 0, 0),
        (format!("{id},50%\n{id},old"), 1, 1),
        (format!("gone,new\n{id},old"), 1, 1),
        (format!("gone,new\n{id},new"), 1, 10),
        (format!("{id},new"), 0, 10),
    ] {
        env.write("sheet.csv", sheet("fileId,tags", [rows].into_iter()));
        env.run("plan sheet.csv").exits(plain);
        env.run("plan sheet.csv --json").exits(plain);
        env.run("plan sheet.csv --detailed-exitcode").exits(detailed);
    }
}

#[test]
fn diff_of_unreadable_file_shows_unknown_values() {
    let refused = status(400, "Your request contains invalid fileId parameter.");
    let faults = Faults { script: vec![(2, refused)], ..Faults::default() };
    let env = TestEnv::new(Config { faults, ..with_library(old(&ids(1))) });
    let id = &ids(1)[0];
    let row = format!("{id},new,old,,all,\"1,2,3,4\"");
    let header = "fileId,addTags,removeTags,description,removeAITags,customCoordinates";
    env.write("sheet.csv", sheet(header, [row].into_iter()));
    assert_text!(env.run("plan sheet.csv --diff --no-schema").exits(0));
}

#[test]
fn conflicting_files_are_skipped_and_can_be_reapplied() {
    let ids = ids(30);
    let env = TestEnv::new(with_library(old(&ids)));
    let rows = ids.iter().map(|id| format!("{id},new"));
    env.write("sheet.csv", sheet("fileId,tags", rows));
    env.run("plan sheet.csv").exits(0);
    let run = env.only_run("sheet");
    // Someone else changes three of the files.
    let theirs = ids[..3].iter().map(|id| format!("{id},theirs"));
    env.write("theirs.csv", sheet("fileId,addTags", theirs));
    env.apply("theirs.csv").exits(0);
    let apply = format!("apply --plan {} --yes --rate unlimited", run.name());
    env.run(&apply).exits(1);
    let mut conflicts = run.report();
    conflicts.retain(|line| line["code"] == "conflict");
    assert_eq!((run.count("updated"), conflicts.len()), (27, 3));
    assert_eq!(env.file(&ids[0])["tags"], json!(["old", "theirs"]));
    assert_eq!(env.file(&ids[29])["tags"], json!(["new"]));
    env.run(&apply).exits(2);
    // Planning the rows again is enough.
    env.run(&format!("apply {}/failed.csv --yes", run.name())).exits(0);
    assert!(ids.iter().all(|id| env.file(id)["tags"] == json!(["new"])));
}

#[test]
fn saved_plan_requires_apply_and_confirmation() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,tags\na,x\n");
    env.run("plan sheet.csv").exits(0);
    let run = env.only_run("sheet").name();
    env.run(&format!("resume --yes {run}")).exits(2);
    env.run(&format!("apply --plan {run}")).exits(2);
    assert_eq!(writes(&env), 0);
    env.run(&format!("apply --plan {run} --yes")).exits(0);
    assert_eq!(env.file("a")["tags"], json!(["x"]));
}

#[test]
fn pilot_of_saved_plan_can_be_resumed() {
    let ids = ids(20);
    let env = TestEnv::new(with_library(old(&ids)));
    env.write("sheet.csv", sheet("fileId,tags", ids.iter().map(|id| format!("{id},new"))));
    env.run("plan sheet.csv").exits(0);
    let run = env.only_run("sheet");
    env.run(&format!("apply --plan {} --yes --limit 5", run.name())).exits(5);
    assert_eq!((run.count("updated"), run.count("not_attempted")), (5, 15));
    env.run(&format!("resume --yes {}", run.name())).exits(0);
    assert_eq!(run.count("updated"), 20);
    assert!(ids.iter().all(|id| env.file(id)["tags"] == json!(["new"])));
}

/// The command that applies a saved plan.
fn apply_plan(run: &RunFiles) -> String {
    format!("apply --plan {} --yes --rate unlimited --read-rate unlimited", run.name())
}

/// The requests of a run by kind, as its summary reports them.
fn reported_requests(run: &RunFiles) -> Value {
    run.summary()["requests"].clone()
}

#[test]
fn conflict_check_precedes_the_request_of_each_field() {
    let mut library = Library::new();
    library.insert(json!({
        "fileId": "f", "filePath": "/f", "tags": ["a"], "description": "old", "isPublished": true,
    }));
    let env = TestEnv::new(with_library(library));
    env.write("sheet.csv", "fileId,addTags,description\nf,\"a,b\",new\n");
    env.run("plan sheet.csv").exits(0);
    // Without `a`, the planned request for `b` no longer gives the tags that the row requests.
    env.write("theirs.csv", "fileId,removeTags\nf,a\n");
    env.apply("theirs.csv").exits(0);
    let run = env.only_run("sheet");
    env.run(&apply_plan(&run)).exits(1);
    assert_text!(run.row(2)["message"]);
    assert_eq!(
        (run.row(2)["status"].as_str(), run.row(2)["code"].as_str()),
        ("rejected", "partial")
    );
    assert_eq!(env.file("f")["description"], "new");
    assert_eq!(env.file("f")["tags"], Value::Null);
    env.run(&format!("apply {}/failed.csv --yes", run.name())).exits(0);
    assert_eq!(env.file("f")["tags"], json!(["a", "b"]));
}

#[test]
fn own_changes_of_a_plan_are_no_conflict() {
    let config = with_library(old(&["f".to_owned()]));
    let extensions = ExtensionOutcome::Always(Status::Success);
    let env = TestEnv::new(Config { extensions, ..config });
    let extension = r#""[{""name"":""ai-auto-description""}]""#;
    let sheet = format!(
        "fileId,tags,addTags,description,customCoordinates,extensions\n\
         f,x,,,,\nf,,,,,{extension}\nf,,y,mine,\"1,2,3,4\",\n"
    );
    env.write("sheet.csv", sheet);
    env.run("plan sheet.csv --exact").exits(0);
    let run = env.only_run("sheet");
    env.run(&apply_plan(&run)).exits(0);
    assert_eq!(run.statuses(), ["updated"; 3]);
    assert_eq!(env.file("f")["description"], "mine");
    assert_eq!(env.file("f")["customCoordinates"], "1,2,3,4");
    assert_eq!(env.file("f")["tags"], json!(["x", "y"]));
}

#[test]
fn stale_list_causes_no_conflict() {
    let ids = ids(30);
    let lag = Duration::from_hours(1);
    let env = TestEnv::new(Config { search_lag: lag, ..with_library(old(&ids)) });
    env.write("first.csv", sheet("fileId,tags", ids.iter().map(|id| format!("{id},first"))));
    env.apply("first.csv").exits(0);
    env.write("sheet.csv", sheet("fileId,addTags", ids.iter().map(|id| format!("{id},new"))));
    env.run("plan sheet.csv").exits(0);
    // Someone else changes one of them, which lists do not show either.
    env.write("theirs.csv", format!("fileId,addTags\n{},theirs\n", ids[7]));
    env.apply("theirs.csv").exits(0);
    let run = env.only_run("sheet");
    env.run(&apply_plan(&run)).exits(1);
    assert_eq!((run.count("updated"), run.count("rejected")), (29, 1));
    assert_eq!(run.row(9)["code"], "conflict");
    assert_eq!(env.file(&ids[0])["tags"], json!(["first", "new"]));
    assert_eq!(env.file(&ids[7])["tags"], json!(["first", "theirs"]));
}

#[test]
fn conflict_checks_are_counted_as_reads() {
    let ids = ids(10);
    let env = TestEnv::new(with_library(old(&ids)));
    let rows = ids.iter().enumerate().map(|(index, id)| format!("{id},text {index}"));
    env.write("sheet.csv", sheet("fileId,description", rows));
    env.run("plan sheet.csv").exits(0);
    let theirs = ids[..5].iter().map(|id| format!("{id},theirs"));
    env.write("theirs.csv", sheet("fileId,description", theirs));
    env.apply("theirs.csv").exits(0);
    let (run, before) = (env.only_run("sheet"), env.sandbox.stats().calls);
    env.run(&apply_plan(&run)).exits(1);
    let after = env.sandbox.stats().calls;
    assert_eq!((after.patch - before.patch, after.get - before.get), (5, 10));
    assert_eq!(
        (&reported_requests(&run)["patch"], &reported_requests(&run)["read"]),
        (&json!(5), &json!(10))
    );
    for line in run.report() {
        let attempts = if line["code"] == "conflict" { "0" } else { "1" };
        assert_eq!(line["attempts"], attempts, "{line:?}");
    }
}

#[test]
fn batched_conflict_checks_are_counted_as_sent() {
    let ids = ids(60);
    let env = TestEnv::new(with_library(old(&ids)));
    env.write("sheet.csv", sheet("fileId,addTags", ids.iter().map(|id| format!("{id},new"))));
    env.run("plan sheet.csv").exits(0);
    env.write("theirs.csv", format!("fileId,addTags\n{},theirs\n", ids[3]));
    env.apply("theirs.csv").exits(0);
    let (run, before) = (env.only_run("sheet"), env.sandbox.stats().calls);
    env.run(&apply_plan(&run)).exits(1);
    let after = env.sandbox.stats().calls;
    assert_eq!((run.count("updated"), run.count("rejected")), (59, 1));
    assert_eq!(reported_requests(&run)["add_tags"], after.add_tags - before.add_tags);
    // One list identifies the account and does not count.
    let reads = after.get - before.get + after.list - before.list - 1;
    assert_eq!(reported_requests(&run)["read"], reads);
}

#[test]
fn at_most_once_request_in_conflict_is_not_sent() {
    let mut library = Library::new();
    library.insert(json!({"fileId": "f", "filePath": "/f", "isPublished": true}));
    let env = TestEnv::new(with_library(library));
    env.write("sheet.csv", "fileId,isPublished\nf,false\n");
    env.run("plan sheet.csv").exits(0);
    env.write("theirs.csv", "fileId,isPublished\nf,false\n");
    env.apply("theirs.csv").exits(0);
    let (run, before) = (env.only_run("sheet"), env.sandbox.stats().calls);
    env.run(&apply_plan(&run)).exits(1);
    let after = env.sandbox.stats().calls;
    assert_eq!((after.publish - before.publish, after.get - before.get), (0, 2));
    let requests = reported_requests(&run);
    assert_eq!((&requests["publish"], &requests["read"]), (&json!(0), &json!(2)));
    assert_eq!(run.row(2)["code"], "conflict");
    assert_eq!(run.row(2)["attempts"], "0");
}

#[test]
fn failed_conflict_check_fails_the_row() {
    let ids = ids(1);
    let env =
        TestEnv::new(script(vec![(3, status(500, "Out of order."))], with_library(old(&ids))));
    env.write("sheet.csv", format!("fileId,description\n{},new\n", ids[0]));
    env.run("plan sheet.csv").exits(0);
    let run = env.only_run("sheet");
    env.run(&format!("{} --attempts 1", apply_plan(&run))).exits(5);
    assert_text!(run.row(2)["message"]);
    assert_eq!(run.count("failed"), 1);
    // The probe is a read too.
    assert_eq!(
        (&reported_requests(&run)["patch"], &reported_requests(&run)["read"]),
        (&json!(0), &json!(2))
    );
    assert_eq!(writes(&env), 0);
}

#[test]
fn refused_plan_can_be_applied_later() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,tags\na,x\n");
    env.run("plan sheet.csv").exits(0);
    let run = env.only_run("sheet");
    let line = apply_plan(&run);
    let words: Vec<&str> = line.split_whitespace().collect();
    let apply = || env.command(&words);
    let elsewhere = apply().arg("--endpoint").arg("http://127.0.0.1:9").run().exits(2);
    let other_key = apply().env("IMAGEKIT_PRIVATE_KEY", "private_other").run().exits(3);
    let no_key = apply().without("IMAGEKIT_PRIVATE_KEY").run().exits(2);
    for refused in [elsewhere, other_key, no_key] {
        assert_eq!(refused.out, "", "{}", refused.err);
    }
    env.run(&line).exits(0);
    assert_eq!(env.file("a")["tags"], json!(["x"]));
}

#[test]
fn plan_blocked_by_another_run_is_unchanged() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,tags\na,x\n");
    env.run("plan sheet.csv").exits(0);
    let lock = env.lock_account();
    let run = env.only_run("sheet");
    assert_eq!(env.run(&apply_plan(&run)).exits(75).out, "");
    drop(lock);
    env.run(&apply_plan(&run)).exits(0);
    assert_eq!(env.file("a")["tags"], json!(["x"]));
}

#[test]
fn apply_plan_explains_what_is_no_plan() {
    let env = TestEnv::new(files(["a", "b"]));
    env.write("sheet.csv", "fileId,tags\na,x\nb,y\n");
    let mut cases = Cases::default();
    cases.add("a sheet", env.run("apply --plan sheet.csv --yes").exits(2));
    env.run("apply sheet.csv --yes --limit 1").exits(5);
    let run = env.only_run("sheet");
    cases.add("an unfinished run", env.run(&apply_plan(&run)).exits(2));
    env.run(&format!("resume --yes {}", run.name())).exits(0);
    cases.add("a finished run", env.run(&apply_plan(&run)).exits(2));
    env.write("planned.csv", "fileId,tags\na,c\nb,d\n");
    env.run("plan planned.csv").exits(0);
    let plan = env.only_run("planned");
    env.run(&format!("{} --limit 1", apply_plan(&plan))).exits(5);
    cases.add("an unfinished plan", env.run(&apply_plan(&plan)).exits(2));
    assert_text!(cases);
}

#[test]
fn report_of_saved_plan_prints_apply_command() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,tags\na,x\n");
    env.run("plan sheet.csv").exits(0);
    let run = env.only_run("sheet");
    assert_text!(env.run(&format!("report {}", run.name())).exits(5));
    env.run(&apply_plan(&run)).exits(0);
}

#[test]
fn field_written_by_extension_is_checked_for_conflict() {
    let extensions = ExtensionOutcome::Always(Status::Success);
    let env = TestEnv::new(Config { extensions, ..files(["f"]) });
    let extension = r#""[{""name"":""ai-auto-description""}]""#;
    env.write("sheet.csv", format!("fileId,extensions\nf,{extension}\n"));
    env.run("plan sheet.csv").exits(0);
    let plan = env.only_run("sheet");
    env.write("other.csv", "fileId,description\nf,mine\n");
    env.apply("other.csv").exits(0);
    env.run(&apply_plan(&plan)).exits(1);
    assert_eq!(plan.row(2)["code"], "conflict");
    assert_eq!(env.file("f")["description"], "mine");
    assert_eq!(env.sandbox.stats().billed_runs_of("f", "ai-auto-description"), 0);
}

#[test]
fn apply_plan_unattended_obeys_max_bad() {
    let env = TestEnv::new(with_library(old(&ids(1))));
    env.write("sheet.csv", format!("fileId,tags\n{0},new\n{0},50%\n", ids(1)[0]));
    env.run("plan sheet.csv").exits(1);
    let plan = env.only_run("sheet").name();
    let apply = |flags: &str| env.run(&format!("apply --plan {plan} --yes {flags}"));
    apply("").exits(2).output_contains("more than the allowed 1%");
    assert_eq!(env.sandbox.stats().calls.patch, 0);
    apply("--max-bad 50%").exits(1);
    assert_eq!(env.file(&ids(1)[0])["tags"], serde_json::json!(["new"]));
}
