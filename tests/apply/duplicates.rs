//! Several rows of one file.

use serde_json::json;

use crate::harness::{Cases, TestEnv, assert_text, files};
use crate::sheet_cases::{assert_case, case_ids, copy_sheet};

#[test]
fn rows_that_disagree_are_counted_in_every_preview() {
    let env = TestEnv::new(files(case_ids()));
    assert_case(&env, "45-rows-that-disagree", &["check SHEET", "plan SHEET", "apply --yes SHEET"]);
    assert_eq!(env.file(&case_ids()[0])["tags"], json!(["green"]));
    assert_eq!(env.file(&case_ids()[0])["description"], "second");
    // Rows that agree, or add tags one after the other, are no disagreement.
    env.write("agree.csv", "fileId,tags,addTags\na,,x\na,,y\nb,z,\nb,z,\n");
    let checked = env.run("check agree.csv").exits(0);
    assert!(!checked.out.contains("duplicates"), "{}", checked.out);
}

#[test]
fn last_row_alone_takes_effect() {
    let env = TestEnv::new(files(case_ids()));
    let before = env.file(&case_ids()[0])["description"].clone();
    copy_sheet(&env, "45-rows-that-disagree");
    env.apply("sheet.csv --duplicates last").exits(0);
    let run = env.only_run("sheet");
    assert_eq!(run.statuses(), ["unchanged", "updated", "unchanged", "updated"]);
    assert_eq!(run.row(2)["code"], "superseded");
    assert!(run.row(2)["message"].contains("row 5"), "{}", run.row(2)["message"]);
    assert_eq!(env.file(&case_ids()[0])["description"], before);
}

#[test]
fn rows_that_disagree_can_be_rejected() {
    let env = TestEnv::new(files(case_ids()));
    copy_sheet(&env, "45-rows-that-disagree");
    let mut cases = Cases::default();
    cases.run(&env, "plan sheet.csv --duplicates reject");
    cases.run(&env, "apply --yes sheet.csv --duplicates reject --direct");
    assert_text!(cases);
    env.write("ikbulk.toml", "[profile.default]\nduplicates = \"reject\"\n");
    env.apply("sheet.csv --max-bad 100%").exits(1);
    let run = env.runs("sheet").pop().expect("it ran");
    assert_eq!(run.statuses(), ["rejected", "updated", "rejected", "rejected"]);
}

#[test]
fn resumed_runs_keep_the_rule_for_duplicates() {
    let env = TestEnv::new(files(case_ids()));
    copy_sheet(&env, "45-rows-that-disagree");
    env.run("plan sheet.csv --duplicates last").exits(0);
    let run = env.only_run("sheet");
    env.run(&format!("apply --yes --plan {}", run.name())).exits(0);
    assert_eq!(run.statuses(), ["unchanged", "updated", "unchanged", "updated"]);
}
