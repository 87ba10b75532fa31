//! Several rows of one file.

use serde_json::json;

use crate::harness::{Cases, TestEnv, assert_text, files};
use crate::sheets::{case_ids, copy_sheet};

#[test]
fn rows_that_disagree_are_counted_in_every_preview() {
    let env = TestEnv::new(files(case_ids()));
    let sheet = copy_sheet(&env, "45-rows-that-disagree");
    for command in ["check", "plan", "apply --yes"] {
        env.run(&format!("{command} {sheet}")).exits(0).output_contains("duplicates");
    }
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

/// Row, status, code and message of each row of the only run of `sheet`.
fn outcomes(env: &TestEnv) -> Vec<String> {
    let report = env.runs("sheet").pop().expect("it ran").report();
    let cells = |row: &crate::harness::Line| {
        ["row", "status", "code", "message"].map(|column| row[column].clone()).join(" ")
    };
    report.iter().map(|row| cells(row).trim_end().to_owned()).collect()
}

#[test]
fn rows_without_an_effect_are_unchanged_and_name_the_winner() {
    let env = TestEnv::new(files(["a", "b"]));
    let rows = "a,red,first\na,blue,second\nb,x,\na,green,\na,green,\n";
    env.write("sheet.csv", format!("fileId,tags,description\n{rows}"));
    env.apply("sheet.csv").exits(0);
    assert_eq!(
        outcomes(&env),
        [
            "2 unchanged superseded superseded by row 3 in description and by row 6 in tags",
            "3 updated superseded superseded by row 6 in tags",
            "4 updated",
            "5 updated",
            "6 updated",
        ]
    );
    // The report is the same however often it is written, and does not depend on the order of ids.
    let run = env.only_run("sheet");
    let report = run.text("report.csv");
    env.run(&format!("report {}", run.name())).exits(0);
    assert_eq!(run.text("report.csv"), report);
}

#[test]
fn row_that_was_sent_by_itself_stays_updated() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,description\na,first\na,second\n");
    for flags in ["--direct", "--direct --no-snapshot"] {
        env.apply(&format!("sheet.csv {flags}")).exits(0);
        let superseded = "2 updated superseded superseded by row 3 in description";
        assert_eq!(outcomes(&env), [superseded, "3 updated"], "{flags}");
    }
}

#[test]
fn invalid_row_whose_fields_later_rows_set_is_unchanged() {
    let env = TestEnv::new(files(["a", "b"]));
    env.write("sheet.csv", "fileId,tags,description\na,50%,\nb,x,y\na,new,\nb,50%,z\n");
    env.apply("sheet.csv --max-bad 100%").exits(1);
    let outcomes = outcomes(&env);
    assert!(
        outcomes[0].starts_with("2 unchanged superseded superseded by row 4 in tags; own error")
    );
    assert_eq!(outcomes[1..3], ["3 updated", "4 updated"]);
    assert!(outcomes[3].starts_with("5 rejected invalid"), "{outcomes:?}");
    let failed = env.only_run("sheet").text("failed.csv");
    assert_eq!(failed.lines().count(), 2, "{failed}");
}

#[test]
fn rejected_later_row_supersedes_nothing() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,tags,addTags\na,new,\na,,50%\n");
    env.apply("sheet.csv --max-bad 100%").exits(1);
    assert_eq!(outcomes(&env)[0], "2 updated");
}

/// The report of a sheet in which every file is in two rows far apart needs no memory for them.
#[test]
fn rows_that_are_far_apart_are_superseded() {
    let ids: Vec<String> = (0..3000).map(|n| format!("f{n}")).collect();
    let env = TestEnv::new(files(&ids));
    let rows = |text: &'static str| ids.iter().map(move |id| format!("{id},{text}"));
    let rows: Vec<String> = rows("first").chain(rows("second")).collect();
    env.write("sheet.csv", crate::harness::sheet("fileId,description", rows.into_iter()));
    env.apply("sheet.csv").exits(0);
    let run = env.only_run("sheet");
    assert_eq!((run.count("unchanged"), run.count("updated")), (3000, 3000));
    assert_eq!(run.row(2)["message"], "superseded by row 3002 in description");
}

#[test]
fn row_that_a_row_beyond_the_limit_replaces_is_not_sent() {
    for (rule, statuses, description) in [
        ("last", ["unchanged", "updated", "updated"], json!("right")),
        ("reject", ["rejected", "updated", "rejected"], json!(null)),
    ] {
        let env = TestEnv::new(files(["a", "b"]));
        let before = env.file("a")["description"].clone();
        let description = if description.is_null() { before.clone() } else { description };
        env.write("sheet.csv", "fileId,description\na,wrong\nb,text\na,right\n");
        env.apply(&format!("sheet.csv --duplicates {rule} --limit 2")).exits(5);
        let run = env.only_run("sheet");
        assert_eq!(run.statuses(), ["not_attempted", "updated", "not_attempted"], "{rule}");
        assert_eq!(env.file("a")["description"], before, "{rule}");
        env.run(&format!("resume --yes {}", run.name()));
        assert_eq!(run.statuses(), statuses, "{rule}");
        assert_eq!(env.file("a")["description"], description, "{rule}");
    }
}

/// A sheet with two rows of one file, of which the last has a bad cell, and one of another file.
const LAST_IS_INVALID: &str = "fileId,description,tags\na,first,\nb,text,\na,last,50%\n";

/// Applies the failed rows of the only run of `sheet` with the cell fixed.
fn fix_and_apply(env: &TestEnv, flags: &str) {
    let failed = env.only_run("sheet").path().join("failed.csv");
    let text = std::fs::read_to_string(&failed).expect("it is there").replace("50%", "fixed");
    std::fs::write(&failed, text).expect("it can be fixed");
    env.apply(&format!("{} {flags}", failed.display())).exits(0);
}

#[test]
fn invalid_last_row_holds_back_the_rows_before_it() {
    let env = TestEnv::new(files(["a", "b"]));
    let before = env.file("a")["description"].clone();
    env.write("sheet.csv", LAST_IS_INVALID);
    let applied = env.apply("sheet.csv --duplicates last --max-bad 100%").exits(1);
    assert_text!(applied.line("rows"));
    let rows = outcomes(&env);
    let superseded = "2 unchanged superseded row 4 is the last of the same file, and is invalid";
    assert_eq!(rows[..2], [superseded, "3 updated"]);
    assert!(rows[2].starts_with("4 rejected invalid"), "{rows:?}");
    assert_eq!(env.file("a")["description"], before);
    fix_and_apply(&env, "--duplicates last");
    assert_eq!(env.file("a")["description"], "last");
    // The other file is the only one to undo.
    env.run(&format!("undo --yes {}", env.only_run("sheet").name())).exits(0);
    assert_ne!(env.file("b")["description"], "text");
}

#[test]
fn invalid_row_before_the_last_does_not_come_back() {
    let env = TestEnv::new(files(["a", "b"]));
    env.write("sheet.csv", "fileId,description,tags\na,first,50%\nb,x,50%\na,last,\n");
    env.apply("sheet.csv --duplicates last --max-bad 100%").exits(1);
    assert_eq!(env.only_run("sheet").statuses(), ["unchanged", "rejected", "updated"]);
    fix_and_apply(&env, "");
    assert_eq!(env.file("a")["description"], "last");
    assert_ne!(env.file("a")["tags"], json!(["fixed"]));
    assert_eq!(env.file("b")["tags"], json!(["fixed"]));
}

#[test]
fn row_is_rejected_with_an_invalid_one_of_its_file() {
    let env = TestEnv::new(files(["a", "b"]));
    let before = env.file("a")["description"].clone();
    env.write("sheet.csv", LAST_IS_INVALID);
    env.apply("sheet.csv --duplicates reject --max-bad 100%").exits(1);
    let rows = outcomes(&env);
    let message = "rows 2, 4 of the same file are not all valid; keep one of them";
    assert_eq!(rows[..2], [format!("2 rejected invalid {message}"), "3 updated".to_owned()]);
    assert!(rows[2].starts_with("4 rejected invalid tags"), "{rows:?}");
    assert_eq!(env.file("a")["description"], before);
}

#[test]
fn invalid_row_named_by_its_path_counts_as_one_of_its_file() {
    let env = TestEnv::new(files(["a"]));
    let path = env.file("a")["filePath"].as_str().expect("it has one").to_owned();
    let before = env.file("a")["description"].clone();
    env.write("sheet.csv", format!("filePath,description,tags\n{path},first,\n{path},last,50%\n"));
    env.apply("sheet.csv --duplicates last --max-bad 100%").exits(1);
    assert_eq!(env.only_run("sheet").statuses(), ["unchanged", "rejected"]);
    assert_eq!(env.file("a")["description"], before);
}
