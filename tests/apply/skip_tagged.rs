//! AI tags on a file as evidence that a tagging extension ran, beside the recorded charges.

use ikbulk_sandbox::{Config, ExtensionOutcome, Fault, Library, Status};
use serde_json::{Value, json};

use crate::harness::{Cases, RunFiles, TestEnv, assert_text, script, with_library};

const LOOSE: &str = r#"[{"name":"google-auto-tagging","minConfidence":50,"maxTags":3}]"#;
const STRICT: &str = r#"[{"name":"google-auto-tagging","minConfidence":95,"maxTags":3}]"#;

/// Files `a` and `b`, of which `a` has an AI tag of google-auto-tagging and one of another source.
fn env() -> TestEnv {
    env_with(|config| config)
}

fn env_with(change: impl FnOnce(Config) -> Config) -> TestEnv {
    let mut library = Library::new();
    let ai_tags = json!([
        {"name": "car", "confidence": 99.0, "source": "google-auto-tagging"},
        {"name": "road", "confidence": 90.0, "source": "aws-auto-tagging"},
    ]);
    library.insert(json!({"fileId": "a", "filePath": "/a.jpg", "AITags": ai_tags}));
    library.insert(json!({"fileId": "b", "filePath": "/b.jpg"}));
    TestEnv::new(change(Config {
        extensions: ExtensionOutcome::Always(Status::Success),
        ..with_library(library)
    }))
}

/// Applies one row; returns its line of the report, and the runs of google-auto-tagging so far.
fn apply(env: &TestEnv, row: &Value, flags: &str) -> (String, u64) {
    env.write("sheet.jsonl", format!("{row}\n"));
    env.apply(&format!("sheet.jsonl {flags}")).exits(0);
    let run = env.runs("sheet").pop().expect("there is one");
    (code(&run), env.sandbox.stats().billed_runs_of("a", "google-auto-tagging"))
}

fn code(run: &RunFiles) -> String {
    run.row(1)["code"].clone()
}

fn tag_a(extensions: &str) -> Value {
    let extensions: Value = serde_json::from_str(extensions).expect("it is JSON");
    json!({"fileId": "a", "extensions": extensions})
}

#[test]
fn file_that_another_machine_tagged_is_skipped() {
    let env = env();
    assert_eq!(apply(&env, &tag_a(LOOSE), ""), ("already_ran".to_owned(), 0));
    assert_text!(env.runs("sheet")[0].row(1)["message"]);
    assert_eq!(apply(&env, &tag_a(LOOSE), "--skip-tagged=never"), (String::new(), 1));
    // Its charge is recorded now, so only that counts.
    assert_eq!(apply(&env, &tag_a(LOOSE), "--skip-tagged=never"), ("already_ran".to_owned(), 1));
}

#[test]
fn other_configuration_than_the_remembered_one_runs() {
    let env = env();
    apply(&env, &tag_a(LOOSE), "--skip-tagged=never");
    assert_eq!(apply(&env, &tag_a(STRICT), "--skip-tagged"), ("already_ran".to_owned(), 1));
    assert_eq!(apply(&env, &tag_a(STRICT), ""), (String::new(), 2));
    assert_eq!(apply(&env, &tag_a(STRICT), ""), ("already_ran".to_owned(), 2));
}

#[test]
fn charge_of_another_extension_does_not_explain_the_tags() {
    let env = env();
    let remove_bg = json!({"fileId": "a", "extensions": [{"name": "remove-bg"}]});
    assert_eq!(apply(&env, &remove_bg, "").0, "");
    assert_eq!(apply(&env, &tag_a(LOOSE), ""), ("already_ran".to_owned(), 0));
}

#[test]
fn row_that_removes_ai_tags_of_the_extension_runs_it() {
    for (removal, runs) in [
        (json!("all"), 1),
        (json!(["car"]), 1),
        // The other source's tag, and one that the file does not have.
        (json!(["road"]), 0),
        (json!(["lorry"]), 0),
    ] {
        let env = env();
        let mut row = tag_a(LOOSE);
        row["removeAITags"] = removal.clone();
        assert_eq!(apply(&env, &row, "").1, runs, "{removal}");
    }
}

#[test]
fn failed_extension_of_a_tagged_file_is_retried() {
    let failed = json!({"fileId": "a", "type": "file", "extensionStatus": {"google-auto-tagging": "failed"}});
    let failed = Fault::Status {
        code: 200,
        body: failed.to_string(),
        content_type: "application/json".to_owned(),
    };
    // The PATCH of the second run.
    let env = env_with(|config| script(vec![(7, failed)], config));
    apply(&env, &tag_a(LOOSE), "--skip-tagged=never");
    env.write("sheet.jsonl", format!("{}\n", tag_a(STRICT)));
    env.apply("sheet.jsonl").exits(1);
    let run = env.runs("sheet").pop().expect("there is one").name();
    env.run(&format!("retry {run} --yes --rate unlimited")).exits(0);
    assert_eq!(env.sandbox.stats().billed_runs_of("a", "google-auto-tagging"), 2);
}

#[test]
fn preview_counts_both_kinds_of_evidence() {
    let env = env();
    env.write(
        "b.jsonl",
        format!("{}\n", json!({"fileId": "b", "extensions": [{"name": "remove-bg"}]})),
    );
    env.apply("b.jsonl").exits(0);
    let rows = [
        json!({"fileId": "b", "extensions": [{"name": "remove-bg"}], "tags": ["x"]}),
        tag_a(LOOSE),
        json!({"fileId": "b", "extensions": [{"name": "ai-auto-description"}]}),
    ];
    env.write("sheet.jsonl", rows.map(|row| format!("{row}\n")).concat());
    let mut cases = Cases::default();
    cases.run(&env, "plan sheet.jsonl");
    cases.run(&env, "apply sheet.jsonl --yes --rate unlimited");
    assert_text!(cases);
    let plan = env.run("plan sheet.jsonl --json").exits(0);
    let plan: Value = serde_json::from_str(&plan.out).expect("it is JSON");
    assert_eq!(plan["skipped_extensions"], json!({"remembered": 2, "tagged": 1}));
}

#[test]
fn every_row_of_a_tagged_file_is_skipped() {
    let env = env();
    let aws = r#"[{"name":"aws-auto-tagging","minConfidence":50,"maxTags":3}]"#;
    for (first, flags) in [(LOOSE, ""), (STRICT, "--skip-tagged"), (aws, "")] {
        let rows = [tag_a(first), tag_a(LOOSE)].map(|row| format!("{row}\n")).concat();
        env.write("sheet.jsonl", rows);
        env.apply(&format!("sheet.jsonl {flags}")).exits(0);
        let run = env.runs("sheet").pop().expect("there is one");
        assert_eq!(run.row(2)["code"], "already_ran", "{first}");
        assert_eq!(env.sandbox.stats().billed_runs_of("a", "google-auto-tagging"), 0, "{first}");
    }
}

/// Each of the ways in which the rest of a row is sent: as a PATCH, as a bulk call, in two steps, with
/// another extension.
#[test]
fn updated_row_says_which_of_its_extensions_did_not_run() {
    let env = env();
    apply(&env, &tag_a(LOOSE), "--skip-tagged=never");
    let rest = [
        json!({"description": "x"}),
        json!({"addTags": ["x"]}),
        json!({"description": "y", "addTags": ["y"], "isPublished": false}),
        json!({"description": "z", "removeAITags": "all"}),
    ];
    let mut messages: Vec<String> = Vec::new();
    for fields in rest {
        let mut row = tag_a(LOOSE);
        row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        assert_eq!(apply(&env, &row, ""), (String::new(), 1), "{row}");
        let line = env.runs("sheet").pop().expect("there is one").row(1).clone();
        assert_eq!(line["status"], "updated", "{row}");
        messages.push(line["message"].clone());
    }
    let two =
        r#"[{"name":"google-auto-tagging","minConfidence":50,"maxTags":3},{"name":"remove-bg"}]"#;
    assert_eq!(apply(&env, &tag_a(two), ""), (String::new(), 1));
    messages.push(env.runs("sheet").pop().expect("there is one").row(1)["message"].clone());
    assert_text!(messages.join("\n"));
}

#[test]
fn superseded_row_also_says_which_of_its_extensions_did_not_run() {
    let env = env();
    let mut row = tag_a(LOOSE);
    row["description"] = json!("x");
    row["addTags"] = json!(["x"]);
    let later = json!({"fileId": "a", "description": "y"});
    env.write("sheet.jsonl", format!("{row}\n{later}\n"));
    env.apply("sheet.jsonl").exits(0);
    assert_text!(env.only_run("sheet").row(1)["message"]);
}

#[test]
fn ai_tags_that_were_paid_stay_where_their_extension_does_not_run_again() {
    let env = env();
    let mut row = tag_a(LOOSE);
    row["removeAITags"] = json!("all");
    assert_eq!(apply(&env, &row, ""), (String::new(), 1));
    let tagged = env.file("a")["AITags"].clone();
    assert!(tagged.as_array().is_some_and(|tags| !tags.is_empty()));
    // The same row another night, and twice in one sheet.
    assert_eq!(apply(&env, &row, ""), ("already_ran".to_owned(), 1));
    assert_text!(env.runs("sheet")[1].row(1)["message"]);
    assert_eq!(env.file("a")["AITags"], tagged);
    env.write("twice.jsonl", format!("{row}\n{row}\n"));
    env.apply("twice.jsonl --rerun-extensions").exits(0);
    assert_eq!(env.only_run("twice").row(2)["code"], "already_ran");
    assert_eq!(env.file("a")["AITags"], tagged);
}
