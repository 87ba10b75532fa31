//! What extensions wrote was paid: the same sheet, applied again, does not overwrite it.

use ikbulk_sandbox::{Config, ExtensionOutcome, Fault, Status};
use serde_json::{Value, json};

use crate::harness::{TestEnv, assert_text, files, script};

/// A row with values for what its extensions write.
fn row() -> Value {
    json!({
        "fileId": "a",
        "tags": ["mine"],
        "description": "mine",
        "customMetadata": {"color": "white", "brand": "Acme"},
        "extensions": [
            {"name": "ai-tasks", "tasks": [
                {"type": "select_tags", "instruction": "What?", "vocabulary": ["shirt"]},
                {"type": "select_metadata", "instruction": "Which?", "field": "color", "vocabulary": ["red"]},
            ]},
            {"name": "ai-auto-description"},
        ],
    })
}

fn env() -> TestEnv {
    TestEnv::new(Config { extensions: ExtensionOutcome::Always(Status::Success), ..files(["a"]) })
}

fn apply(env: &TestEnv, rows: &[&Value], flags: &str) {
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    env.write("sheet.jsonl", lines);
    env.apply(&format!("sheet.jsonl {flags}")).exits(0);
}

fn message(env: &TestEnv, row: u64) -> String {
    let line = env.runs("sheet").pop().expect("it ran").row(row);
    format!("{} {} {}", line["status"], line["code"], line["message"])
}

fn patches(env: &TestEnv) -> u64 {
    env.sandbox.stats().calls.patch
}

#[test]
fn results_stay_where_the_sheet_is_applied_again() {
    let env = env();
    apply(&env, &[&row()], "");
    let paid = env.file("a");
    assert_eq!(paid["tags"], json!(["mine", "shirt"]));
    assert_eq!(paid["customMetadata"], json!({"color": "red", "brand": "Acme"}));
    assert_ne!(paid["description"], "mine");

    apply(&env, &[&row()], "");
    assert_text!(message(&env, 1));
    assert_eq!((env.file("a")["tags"].clone(), patches(&env)), (paid["tags"].clone(), 1));

    // What no extension writes is still set, and so are other tags than those that it may add.
    let mut edited = row();
    edited["customMetadata"]["brand"] = json!("Nike");
    edited["tags"] = json!(["sale"]);
    apply(&env, &[&edited], "");
    assert_eq!(env.file("a")["tags"], json!(["sale", "shirt"]));
    assert_eq!(env.file("a")["customMetadata"], json!({"color": "red", "brand": "Nike"}));
    assert_eq!(env.file("a")["description"], paid["description"]);
    assert!(message(&env, 1).starts_with("updated"), "{}", message(&env, 1));

    let last = env.runs("sheet").pop().expect("it ran");
    env.run(&format!("undo {} --yes --rate unlimited", last.name())).exits(0);
    assert_eq!(env.file("a")["tags"], json!(["mine", "shirt"]));
    assert_eq!(env.file("a")["customMetadata"], json!({"color": "red", "brand": "Acme"}));

    // Without the extensions, and with a new run of them, the row sets its values.
    let mut bare = row();
    bare.as_object_mut().expect("an object").remove("extensions");
    apply(&env, &[&bare], "");
    assert_eq!(env.file("a")["description"], "mine");
    apply(&env, &[&row()], "--rerun-extensions");
    assert_eq!(env.file("a")["tags"], json!(["mine", "shirt"]));
}

/// Which tags an answer adds and removes is known; what a task without a vocabulary selects is not.
#[test]
fn tags_that_an_extension_may_have_written_stay() {
    let yes_no = json!({"type": "yes_no", "instruction": "Is it?",
        "on_yes": {"add_tags": ["yes"], "remove_tags": ["mine"]}});
    let free = json!({"type": "select_tags", "instruction": "What?"});
    for (task, tags, later) in
        [(&yes_no, json!(["yes"]), json!(["yes", "new"])), (&free, json!(null), json!(null))]
    {
        let env = env();
        let mut row = row();
        row["extensions"] = json!([{"name": "ai-tasks", "tasks": [task]}]);
        apply(&env, &[&row], "");
        let paid = env.file("a")["tags"].clone();
        assert!(tags.is_null() || paid == tags, "{paid}");
        apply(&env, &[&row], "");
        assert_eq!((&env.file("a")["tags"], patches(&env)), (&paid, 1), "{task}");
        row["tags"] = json!(["mine", "new"]);
        apply(&env, &[&row], "");
        let expected = if later.is_null() { &paid } else { &later };
        assert_eq!(&env.file("a")["tags"], expected, "{task}");
    }
}

#[test]
fn results_of_an_earlier_row_stay_as_well() {
    let env = env();
    let mut later = row();
    later["description"] = json!("later");
    apply(&env, &[&row(), &later], "");
    assert_eq!(env.file("a")["tags"], json!(["mine", "shirt"]));
    assert_ne!(env.file("a")["description"], "later");
    assert_text!(message(&env, 2));
}

/// It asks for the extension as well: only that can have been lost.
#[test]
fn repeat_unknown_runs_the_extension_again() {
    let env = TestEnv::new(script(
        vec![(3, Fault::ResetAfter)],
        Config { extensions: ExtensionOutcome::Always(Status::Success), ..files(["a"]) },
    ));
    let remove_bg = json!({"fileId": "a", "extensions": [{"name": "remove-bg"}]});
    env.write("sheet.jsonl", format!("{remove_bg}\n"));
    env.apply("sheet.jsonl").exits(6);
    let runs = || env.sandbox.stats().billed_runs_of("a", "remove-bg");
    assert_eq!(runs(), 1);
    let unknown = env.only_run("sheet").path().join("unknown.jsonl");
    let repeat = format!("{} --repeat-unknown", unknown.display());
    env.apply(&repeat).exits(0);
    assert_eq!(runs(), 2);
    // Now its status is known, and it is not lost any more.
    env.apply(&repeat).exits(0);
    assert_eq!(runs(), 2);
}

#[test]
fn row_is_not_superseded_by_one_that_kept_the_results() {
    let env = env();
    apply(&env, &[&row()], "");
    let first = json!({"fileId": "a", "description": "new", "customMetadata": {"brand": "Nike"}});
    let mut second = row();
    second["customMetadata"] = json!({"brand": "Puma"});
    apply(&env, &[&first, &second], "");
    assert_eq!(env.file("a")["description"], "new", "the second row keeps the description");
    assert_text!(message(&env, 1));
}
