//! Findings: what is wrong in a column as a whole, said before anything is sent.

use ikbulk_sandbox::Library;
use serde_json::{Value, json};

use crate::harness::{TestEnv, files, ids, sheet, with_library};
use crate::sheets::{case_ids, copy_sheet};

/// An environment in which each file of the sheets has these fields.
fn env_with(fields: &Value) -> TestEnv {
    let mut library = Library::new();
    for id in case_ids() {
        let mut file = fields.clone();
        file["fileId"] = json!(id);
        library.insert(file);
    }
    let mut config = with_library(library);
    let sku = json!({"id": "1", "name": "sku", "label": "SKU", "schema": {"type": "Text"}});
    config.fields.push(sku);
    TestEnv::new(config)
}

#[test]
fn lists_with_another_separator_are_held_until_it_is_named() {
    let env = TestEnv::new(files(case_ids()));
    copy_sheet(&env, "05-semicolon-tags");
    env.run("apply --yes sheet.csv").exits(2);
    assert_eq!(env.sandbox.stats().calls.patch, 0);
    env.apply("sheet.csv --list-separator ;").exits(0);
    assert_eq!(env.file(&case_ids()[0])["tags"], json!(["red", "blue", "green"]));
    let accepted = env.apply("sheet.csv --accept other-separator").exits(0);
    assert!(accepted.line("note").contains("separator") && !accepted.out.contains("--accept"));
    assert_eq!(env.file(&case_ids()[0])["tags"], json!(["red;blue;green"]));
}

#[test]
fn values_that_lost_their_zeros_are_held() {
    let env = env_with(&json!({"customMetadata": {"sku": "00123"}, "tags": ["old", "keep"]}));
    copy_sheet(&env, "12-leading-zeros-lost");
    env.apply("sheet.csv --max-bad 100%").exits(1);
    let run = env.runs("sheet").pop().expect("it ran");
    assert_eq!(run.statuses(), ["rejected"; 3]);
    assert_eq!(run.row(2)["code"], "suspect");
    assert_eq!(env.file(&case_ids()[0])["customMetadata"]["sku"], "00123");
    let accepted = env.apply("sheet.csv --accept lost-zeros").exits(0);
    assert!(accepted.out.contains("only in zeros") && !accepted.out.contains("--accept"));
    assert_eq!(env.file(&case_ids()[2])["customMetadata"]["sku"], "123");
}

/// As the person's program shows it, not as the API names it.
#[test]
fn finding_against_the_library_names_the_column_of_the_header() {
    let env = env_with(&json!({"customMetadata": {"sku": "00123"}, "tags": ["Red"]}));
    let rows = case_ids().into_iter().map(|id| format!("{id},123,red"));
    env.write("sheet.csv", sheet("File ID,SKU,Add tags", rows));
    let run = env.apply("sheet.csv --max-bad 100%").exits(1);
    assert!(run.line("held").starts_with("held       SKU: in 6 of 6 cells"), "{}", run.out);
    assert!(run.line("note").starts_with("note       Add tags: in 6 of 6 cells"), "{}", run.out);
    let run = env.only_run("sheet");
    let message = &run.row(2)["message"];
    assert!(message.starts_with("SKU: \"123 (library: 00123)\""), "{message}");
    // What is held is still recognized where the row comes back alone.
    let one_row = run.text("failed.csv").lines().take(2).collect::<Vec<_>>().join("\n");
    env.write("again.csv", &one_row);
    env.apply("again.csv --max-bad 100%").exits(1);
    env.run(&format!("report {}", run.name())).exits(1);
}

#[test]
fn single_row_that_was_held_stays_held_until_it_is_fixed() {
    let env = env_with(&json!({"customMetadata": {"sku": "00123"}}));
    // The cell of the first row that shows the finding, and that cell fixed.
    for (case, cell, fixed) in [
        ("05-semicolon-tags", "red;blue;green", "\"red,blue,green\""),
        ("12-leading-zeros-lost", ",123.0,", ",00124,"),
        ("decimal-or-thousands", ";1.234;", ";1234;"),
    ] {
        copy_sheet(&env, case);
        env.apply("sheet.csv --max-bad 100%").exits(1);
        let failed = env.runs("sheet").pop().expect("it ran").text("failed.csv");
        let one_row = failed.lines().take(2).collect::<Vec<_>>().join("\n");
        assert!(one_row.contains(cell), "{case}: {one_row}");
        env.write("again.csv", &one_row);
        env.apply("again.csv --max-bad 100%").exits(1);
        assert_eq!(env.runs("again").pop().expect("it ran").row(2)["code"], "suspect", "{case}");
        env.write("again.csv", one_row.replacen(cell, fixed, 1));
        env.apply("again.csv").exits(0);
        assert_eq!(env.runs("again").pop().expect("it ran").statuses(), ["updated"], "{case}");
    }
}

#[test]
fn row_that_was_held_is_not_held_for_another_reason() {
    let (broken, whole) = ("Gr\u{c3}\u{b6}\u{c3}\u{178}e", "Gr\u{f6}\u{df}e");
    let (ids, tags) = (case_ids(), ["x;y", "red", "blue"]);
    let env = TestEnv::new(files(&ids));
    let rows = ids.iter().zip(tags).map(|(id, tags)| format!("{id},{tags},{broken}"));
    env.write("sheet.csv", sheet("fileId,tags,description", rows));
    env.apply("sheet.csv --max-bad 100%").exits(1);
    let failed = env.only_run("sheet").text("failed.csv");
    let one_row = failed.lines().take(2).collect::<Vec<_>>().join("\n");
    env.write("again.csv", one_row.replacen(broken, whole, 1));
    env.apply("again.csv").exits(0);
    assert_eq!(env.file(&ids[0])["tags"], json!(["x;y"]));
}

#[test]
fn held_cell_beside_an_invalid_one_stays_held() {
    let env = TestEnv::new(files(case_ids()));
    let ids = case_ids();
    let rows = [
        format!("{};12,5;x", ids[0]),
        format!("{};1.234;50%", ids[1]),
        format!("{};0,5;y", ids[2]),
    ];
    env.write("sheet.csv", format!("fileId;price;tags\n{}\n", rows.join("\n")));
    env.apply("sheet.csv --max-bad 100%").exits(1);
    let failed = env.only_run("sheet").text("failed.csv");
    env.write("again.csv", failed.replacen("50%", "red", 1));
    env.apply("again.csv --max-bad 100%").exits(1);
    assert_eq!(env.only_run("again").row(2)["code"], "suspect");
}

#[test]
fn each_row_of_a_file_is_compared_and_held() {
    let env = env_with(&json!({"customMetadata": {"sku": "00123"}}));
    let id = &case_ids()[0];
    let lost = || ["123", "123.0", "123"].map(|sku| format!("{id},{sku},")).into_iter();
    env.write("sheet.csv", sheet("fileId,customMetadata.sku,description", lost()));
    env.run("plan sheet.csv").exits(1).output_contains("in 3 of 3 cells");
    let unrelated = std::iter::once(format!("{id},,text"));
    env.write("pilot.csv", sheet("fileId,customMetadata.sku,description", lost().chain(unrelated)));
    env.apply("pilot.csv --max-bad 100% --limit 2").exits(5);
    assert_eq!(env.file(id)["customMetadata"]["sku"], "00123");
    assert_eq!(env.only_run("pilot").statuses()[..2], ["rejected"; 2]);
}

#[test]
fn saved_plans_hold_the_same_rows() {
    let env = env_with(&json!({"customMetadata": {"sku": "00123"}}));
    let rows = case_ids().into_iter().map(|id| format!("{id},123"));
    env.write("zeros.csv", sheet("fileId,customMetadata.sku", rows));
    env.run("plan zeros.csv").exits(1);
    let plan = env.only_run("zeros");
    env.run(&format!("apply --yes --max-bad 100% --plan {}", plan.name())).exits(1);
    assert_eq!(plan.statuses(), ["rejected"; 6]);
}

#[test]
fn damaged_ids_are_held_one_by_one() {
    let env = TestEnv::new(files(case_ids()));
    let ids = case_ids();
    env.write("one.csv", format!("fileId,tags\n{},x\n1.23457E+23,y\n", ids[0]));
    env.apply("one.csv --max-bad 100%").exits(1);
    let run = env.only_run("one");
    assert_eq!(run.statuses(), ["updated", "rejected"]);
    assert_eq!(run.row(3)["fileId"], "1.23457E+23");
}

#[test]
fn tags_that_differ_only_in_case_are_named() {
    let env = env_with(&json!({"tags": ["old", "keep"]}));
    env.write("add.csv", format!("fileId,addTags\n{},Keep\n", case_ids()[0]));
    env.run("plan add.csv").exits(0).output_contains("the library has \"keep\"");
}

#[test]
fn held_rows_stay_held_when_the_run_is_resumed() {
    let ids = ids(12);
    let env = TestEnv::new(files(&ids));
    let held = (1..11).map(|n| format!("{},a;b,", ids[n]));
    let good = |n: usize| std::iter::once(format!("{},,text", ids[n]));
    env.write("sheet.csv", sheet("fileId,tags,description", good(0).chain(held).chain(good(11))));
    env.apply("sheet.csv --max-bad 100% --limit 1").exits(5);
    let run = env.only_run("sheet");
    env.run(&format!("resume --yes {}", run.name())).exits(1);
    assert_eq!(run.statuses()[0], "updated");
    assert_eq!(run.statuses()[1..11], ["rejected"; 10]);
    assert_eq!(run.statuses()[11], "updated");
    assert_eq!(env.sandbox.stats().calls.patch, 2);
}

#[test]
fn undo_restores_values_that_show_a_finding() {
    let env = env_with(&json!({"description": "GrÃ¶ÃŸe"}));
    let ids = case_ids();
    let good = std::iter::once(format!("{},Größe", ids[0]));
    let held = (0..12).map(|_| format!("{},cafÃ©", ids[1]));
    env.write("sheet.csv", sheet("fileId,description", good.chain(held)));
    env.apply("sheet.csv --max-bad 100%").exits(1);
    assert_eq!(env.file(&ids[0])["description"], "Größe");
    let undo = env.run(&format!("undo --yes {}", env.only_run("sheet").name())).exits(0);
    assert!(!undo.out.contains("another encoding"), "{}", undo.out);
    assert_eq!(env.file(&ids[0])["description"], "GrÃ¶ÃŸe");
}

#[test]
fn settings_accept_findings() {
    let env = TestEnv::new(files(case_ids()));
    let rows = case_ids().into_iter().map(|id| format!("{id},a;b"));
    env.write("sheet.csv", sheet("fileId,tags", rows));
    env.write("ikbulk.toml", "[profile.default]\naccept = [\"other-separator\"]\n");
    env.apply("sheet.csv").exits(0);
    env.write("ikbulk.toml", "[profile.default]\nlist-separator = \";\"\n");
    env.apply("sheet.csv").exits(0);
    assert_eq!(env.file(&case_ids()[0])["tags"], json!(["a", "b"]));
}

#[test]
fn tags_that_differ_only_in_composed_accents_are_named() {
    let env = env_with(&json!({"tags": ["Caf\u{e9}", "keep"]}));
    let id = &case_ids()[0];
    let finding = |column: &str, tag: &str| {
        env.write("sheet.csv", format!("fileId,{column}\n{id},{tag}\n"));
        let plan: Value =
            serde_json::from_str(&env.run("plan sheet.csv --json").exits(0).out).expect("JSON");
        let findings = plan["findings"].as_array().into_iter().flatten();
        let names = findings.filter_map(|found| found["finding"].as_str());
        names.map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    let decomposed = "Cafe\u{301}";
    assert_eq!(finding("addTags", decomposed), "decomposed-letters tag-accents");
    assert_eq!(finding("removeTags", decomposed), "decomposed-letters tag-accents");
    assert_eq!(finding("addTags", "caf\u{e9}"), "tag-case");
    assert_eq!(finding("removeTags", "cafe\u{301}"), "decomposed-letters removed-tag-spelling");
    assert_eq!(finding("addTags", "Caf\u{e9}"), "");
}

/// A library in which each file has these fields.
fn library_with(fields: &Value) -> TestEnv {
    let mut library = Library::new();
    for id in case_ids() {
        let mut file = fields.clone();
        file["fileId"] = json!(id);
        library.insert(file);
    }
    TestEnv::new(with_library(library))
}

#[test]
fn unedited_export_is_up_to_date_whatever_its_values_show() {
    let broken = "caf\u{c3}\u{a9}";
    for fields in [
        json!({"tags": ["a;b"]}),
        json!({"tags": [broken], "description": broken, "customMetadata": {"brand": broken}}),
    ] {
        let env = library_with(&fields);
        for name in ["export.csv", "export.jsonl"] {
            env.run(&format!("export -o {name}")).exits(0);
            let applied = env.apply(name).exits(0);
            assert!(!applied.out.contains("held ") && !applied.out.contains("--accept"), "{name}");
            let statuses = env.runs("export").pop().expect("it ran").statuses();
            assert_eq!(statuses, ["unchanged"; 6], "{name} {fields}");
        }
        // The same value is held where the file has another.
        let rows = case_ids().into_iter().map(|id| format!("{id},c;d,{broken}"));
        env.write("sheet.csv", sheet("fileId,tags,description", rows));
        env.apply("sheet.csv --max-bad 100%").exits(1);
        assert_eq!(env.only_run("sheet").statuses(), ["rejected"; 6]);
    }
}

#[test]
fn separator_in_force_does_not_hide_another_one() {
    let env = library_with(&json!({"tags": ["old", "keep"]}));
    let rows = case_ids().into_iter().map(|id| format!("{id},a;b,\"old,keep\""));
    env.write("sheet.csv", sheet("fileId,addTags,removeTags", rows));
    let refused = env.apply("sheet.csv --list-separator ;").exits(2);
    refused.output_contains("separate the words with ; as in the other columns");
    assert_eq!(env.file(&case_ids()[0])["tags"], json!(["old", "keep"]));
}
