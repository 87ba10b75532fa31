//! What cells mean: text that a program printed instead of a value.

use std::fs;

use ikbulk_sandbox::Library;
use serde_json::json;

use crate::harness::{Cases, TestEnv, assert_text, files, with_library};
use crate::sheets::{case_ids, copy_sheet};

#[test]
fn cells_that_programs_print_for_no_value_are_rejected() {
    let env = TestEnv::new(files(case_ids()));
    // Nothing of the bad rows is sent, and the good row is.
    env.apply(&format!("{} --max-bad 100%", copy_sheet(&env, "01-null-words-sql"))).exits(1);
    assert_eq!(env.only_run("sheet").statuses(), ["rejected", "rejected", "rejected", "updated"]);
    assert_eq!(env.sandbox.stats().calls.patch, 1);
}

#[test]
fn artefacts_are_refused_in_every_field_and_list() {
    let env = TestEnv::new(files(["a"]));
    for artefact in [
        "#N/A",
        "#¡REF!",
        "(null)",
        "<NA>",
        "System.Object[]",
        "[object Object]",
        "Err:502",
        "####",
        "Loading...",
        "caf\u{fffd}",
        "\\N",
        "('a',)",
        "['a']",
        "{'a': 1}",
    ] {
        for column in ["tags", "addTags", "description", "customMetadata.brand", "removeAITags"] {
            env.write("sheet.csv", format!("fileId,{column}\na,\"{artefact}\"\n"));
            env.run("check sheet.csv").exits(1);
            let line = json!({"fileId": "a", column: artefact}).to_string();
            env.write("sheet.jsonl", line + "\n");
            env.run("check sheet.jsonl").exits(1);
        }
        if !artefact.contains('\'') {
            env.write("sheet.csv", format!("fileId,tags\na,\"red,{artefact}\"\n"));
            env.run("check sheet.csv").exits(1);
        }
    }
}

#[test]
fn words_are_values_where_a_person_says_so() {
    let env = TestEnv::new(files(["a"]));
    let tags = |text: &str, flags: &str, exit: i32| {
        env.write("sheet.csv", text);
        env.apply(&format!("sheet.csv --max-bad 100% {flags}")).exits(exit);
        env.file("a")["tags"].clone()
    };
    let before = env.file("a")["tags"].clone();
    assert_eq!(tags("fileId,tags\na,\"NA,red\"\n", "", 1), before);
    assert_eq!(tags("fileId,tags\na,\"\\NA,red\"\n", "", 0), json!(["NA", "red"]));
    assert_eq!(tags("fileId,tags\na,\"na,Null\"\n", "", 0), json!(["na", "Null"]));
    assert_eq!(
        tags("fileId,tags\na,\"NA,nil\"\n", "--literal NA --literal nil", 0),
        json!(["NA", "nil"])
    );
    env.write("ikbulk.toml", "[profile.default]\nliteral = [\"NULL\"]\n");
    assert_eq!(tags("fileId,tags\na,NULL\n", "", 0), json!(["NULL"]));
    // The flag replaces the setting.
    tags("fileId,tags\na,None\n", "--literal NA", 1);
    env.write("sheet.csv", "fileId,tags\na,NULL\n");
    assert_text!(env.run("check sheet.csv --literal NA"));
}

#[test]
fn words_are_values_where_they_are_options_of_the_field() {
    let mut config = files(["a"]);
    let schema = json!({"type": "MultiSelect", "selectOptions": ["NA", "EU"]});
    config.fields.push(json!({"id": "1", "name": "region", "label": "Region", "schema": schema}));
    let env = TestEnv::new(config);
    env.write("sheet.csv", "fileId,customMetadata.region\na,\"EU,NA\"\n");
    env.apply("sheet.csv").exits(0);
    assert_eq!(env.file("a")["customMetadata"]["region"], json!(["EU", "NA"]));
}

#[test]
fn resumed_runs_read_words_as_before() {
    let env = TestEnv::new(files(["a", "b"]));
    env.write("sheet.csv", "fileId,tags\na,NA\nb,NA\n");
    env.apply("sheet.csv --literal NA --direct --limit 1").exits(5);
    let run = env.only_run("sheet");
    env.run(&format!("resume --yes {}", run.name())).exits(0);
    assert_eq!(run.statuses(), ["updated"; 2]);
    assert_eq!(env.file("b")["tags"], json!(["NA"]));
}

#[test]
fn exported_words_are_escaped_and_applied_unchanged() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,tags,description\na,\"\\NULL,red\",\\#N/A\n");
    env.apply("sheet.csv").exits(0);
    for name in ["export.csv", "export.jsonl"] {
        env.run(&format!("export -o {name} --columns tags,description")).exits(0);
        env.apply(name).exits(0);
        assert_eq!(env.only_run("export").statuses(), ["unchanged"], "{name}");
        fs::remove_dir_all(env.path("export.ikbulk")).expect("it is there");
    }
    assert_eq!(env.file("a")["description"], "#N/A");
}

#[test]
fn undo_restores_values_that_look_like_artefacts() {
    let env = TestEnv::new(files(["a"]));
    env.write("first.csv", "fileId,tags,description\na,\\NULL,\\#N/A\n");
    env.apply("first.csv").exits(0);
    env.write("second.csv", "fileId,tags,description\na,red,ok\n");
    env.apply("second.csv").exits(0);
    let run = env.only_run("second");
    env.run(&format!("undo --yes {}", run.name())).exits(0);
    assert_eq!(env.file("a")["tags"], json!(["NULL"]));
    assert_eq!(env.file("a")["description"], "#N/A");
}

const NULL_IN_SOME_ROWS: &str = r#"{"fileId":"a","tags":["x"],"customMetadata":{"brand":null}}
{"fileId":"b","tags":null,"customMetadata":{"brand":"Acme"}}
"#;

#[test]
fn nulls_of_a_program_that_writes_every_key_need_a_decision() {
    let env = TestEnv::new(files(["a", "b"]));
    env.write("sheet.jsonl", NULL_IN_SOME_ROWS);
    let mut cases = Cases::default();
    cases.run(&env, "check sheet.jsonl");
    cases.run(&env, "apply --yes sheet.jsonl");
    assert_text!(cases);
    assert_eq!(env.sandbox.stats().calls.patch, 0);
    let before = env.file("b")["tags"].clone();
    env.apply("sheet.jsonl --null-means leave").exits(0);
    assert_eq!(env.file("b")["tags"], before);
    env.apply("sheet.jsonl --null-means clear").exits(0);
    assert_eq!(env.file("b")["tags"], json!(null));
}

#[test]
fn undo_clears_what_a_run_that_leaves_nulls_has_set() {
    let mut library = Library::new();
    library.insert(json!({"fileId": "a", "tags": null}));
    library.insert(json!({"fileId": "b", "tags": ["old"]}));
    let env = TestEnv::new(with_library(library));
    env.write("sheet.jsonl", NULL_IN_SOME_ROWS);
    env.apply("sheet.jsonl --null-means leave").exits(0);
    assert_eq!(env.file("a")["tags"], json!(["x"]));
    env.run(&format!("undo --yes {}", env.only_run("sheet").name())).exits(0);
    assert_eq!(env.file("a")["tags"], json!(null));
    assert_eq!(env.file("b")["tags"], json!(["old"]));
}

#[test]
fn nulls_in_every_row_or_of_a_key_that_some_rows_lack_clear() {
    for (text, cleared) in [
        ("{\"fileId\":\"a\",\"tags\":null}\n{\"fileId\":\"b\",\"tags\":null}\n", "b"),
        ("{\"fileId\":\"a\",\"tags\":null}\n{\"fileId\":\"b\",\"description\":\"x\"}\n", "a"),
    ] {
        let env = TestEnv::new(files(["a", "b"]));
        env.write("sheet.jsonl", text);
        env.apply("sheet.jsonl").exits(0);
        assert_eq!(env.file(cleared)["tags"], json!(null), "{text}");
    }
}

#[test]
fn returned_rows_have_only_nulls_that_clear() {
    let env = TestEnv::new(files(["a"]));
    let bad = r#"{"fileId":"a","tags":["50%"],"description":null}"#;
    env.write(
        "sheet.jsonl",
        format!("{bad}\n{}", r#"{"fileId":"a","tags":null,"description":"x"}"#),
    );
    env.apply("sheet.jsonl --null-means leave --max-bad 100%").exits(1);
    let failed = env.only_run("sheet").text("failed.jsonl");
    assert!(failed.contains("50%") && !failed.contains("null"), "{failed}");
}

#[test]
fn numbers_dates_and_booleans_are_read_as_people_write_them() {
    let mut config = files(["a"]);
    for (name, kind) in [("weight", "Number"), ("shot", "Date"), ("cleared", "Boolean")] {
        let field = json!({"id": name, "name": name, "label": name, "schema": {"type": kind}});
        config.fields.push(field);
    }
    let env = TestEnv::new(config);
    let header = "fileId,customMetadata.weight,customMetadata.shot,customMetadata.cleared";
    env.write("sheet.csv", format!("{header}\na,\"12,5\",24.11.2026,WAHR\n"));
    env.apply("sheet.csv").exits(0);
    let expected = json!({"weight": 12.5, "shot": "2026-11-24", "cleared": true});
    let metadata = env.file("a")["customMetadata"].clone();
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(metadata[name], *value, "{name}");
    }
    env.write("sheet.csv", format!("{header}\na,\"1,234\",03/04/2026,vrai\n"));
    assert_text!(env.run("check sheet.csv").exits(1));
    env.apply("sheet.csv --locale fr").exits(0);
    assert_eq!(env.file("a")["customMetadata"]["weight"], json!(1.234));
    assert_eq!(env.file("a")["customMetadata"]["shot"], "2026-04-03");
}

#[test]
fn word_that_the_file_holds_in_that_field_is_a_value() {
    let mut library = Library::new();
    let metadata = json!({"brand": "NA", "color": "red"});
    library.insert(json!({"fileId": "a", "tags": ["NULL", "x"], "customMetadata": metadata}));
    library.insert(json!({"fileId": "b", "filePath": "/b.jpg", "description": "None"}));
    let env = TestEnv::new(with_library(library));
    let statuses = |sheet: &str, exit: i32| {
        env.write("sheet.csv", sheet);
        env.apply("sheet.csv").exits(exit);
        env.runs("sheet").pop().expect("it ran").statuses().join(" ")
    };
    // Refused as too many invalid rows otherwise, by the first reading already.
    assert_eq!(statuses("fileId,customMetadata.brand\na,NA\n", 0), "unchanged");
    let rows = "a,NA,\"NULL,new\",text\n";
    assert_eq!(
        statuses(&format!("fileId,customMetadata.brand,tags,description\n{rows}"), 0),
        "updated"
    );
    assert_eq!(env.file("a")["tags"], json!(["NULL", "new"]));
    assert_eq!(env.file("a")["description"], "text");
    assert_eq!(statuses("fileId,removeTags\na,NULL\n", 0), "updated");
    assert_eq!(env.file("a")["tags"], json!(["new"]));
    assert_eq!(statuses("filePath,description\n/b.jpg,None\n", 0), "unchanged");
    // Another file, another field, and a word that is not there any more.
    env.write("sheet.csv", "fileId,customMetadata.brand,tags\nb,NA,\na,,NULL\na,,NA\n");
    env.apply("sheet.csv --max-bad 100%").exits(1);
    let run = env.runs("sheet").pop().expect("it ran");
    assert_eq!(run.statuses(), ["rejected"; 3]);
    env.write("sheet.csv", "fileId,customMetadata.brand\nb,NA\n");
    env.apply("sheet.csv").exits(2).output_contains("1 of 1 row is invalid");
}

#[test]
fn saved_plan_of_a_word_that_the_file_holds_is_applied() {
    let mut library = Library::new();
    library.insert(json!({"fileId": "a", "customMetadata": {"brand": "NA"}}));
    let env = TestEnv::new(with_library(library));
    env.write("sheet.csv", "fileId,customMetadata.brand,description\na,NA,text\n");
    env.run("plan sheet.csv").exits(0);
    let run = env.only_run("sheet");
    env.run(&format!("apply --yes --plan {}", run.name())).exits(0);
    assert_eq!(
        (run.statuses(), env.file("a")["description"].clone()),
        (vec!["updated".into()], json!("text"))
    );
    env.run(&format!("undo --yes {}", run.name())).exits(0);
    assert!(env.file("a")["description"].as_str().unwrap_or_default().is_empty());
}

#[test]
fn lists_mean_the_same_in_cells_and_json_texts() {
    let env = TestEnv::new(files(["a"]));
    let tags_of_file = || {
        let mut tags: Vec<String> =
            serde_json::from_value(env.file("a")["tags"].clone()).expect("a list");
        tags.sort();
        tags
    };
    for (text, tags) in [
        (r#"["x, y","z"]"#, &["x, y", "z"][..]),
        (r#""Smith, John",Acme"#, &["Acme", "Smith, John"]),
        (r#""x""#, &["x"]),
    ] {
        env.write("sheet.jsonl", json!({"fileId": "a", "tags": text}).to_string() + "\n");
        env.apply("sheet.jsonl").exits(0);
        assert_eq!(tags_of_file(), tags, "{text}");
        env.write("clear.csv", "fileId,tags\na,<clear>\n");
        env.apply("clear.csv").exits(0);
        env.write("sheet.csv", format!("fileId,tags\na,\"{}\"\n", text.replace('"', "\"\"")));
        env.apply("sheet.csv").exits(0);
        assert_eq!(tags_of_file(), tags, "{text}");
    }
    for code in ["{red}", "{\"a\": 1}", "('a', 'b')"] {
        env.write("sheet.jsonl", json!({"fileId": "a", "tags": code}).to_string() + "\n");
        env.run("check sheet.jsonl").exits(1);
        // A text can be in braces.
        if code == "{red}" {
            env.write("sheet.jsonl", json!({"fileId": "a", "description": code}).to_string());
            env.run("check sheet.jsonl").exits(0);
        }
    }
}

#[test]
fn options_of_a_field_can_be_quoted_in_a_list() {
    let mut config = files(["a"]);
    let schema = json!({"type": "MultiSelect", "selectOptions": ["Paris, France", "Rome"]});
    config.fields.push(json!({"id": "1", "name": "city", "label": "City", "schema": schema}));
    let env = TestEnv::new(config);
    env.write("sheet.csv", "fileId,customMetadata.city\na,\"\"\"Paris, France\"\",Rome\"\n");
    env.apply("sheet.csv").exits(0);
    assert_eq!(env.file("a")["customMetadata"]["city"], json!(["Paris, France", "Rome"]));
}

#[test]
fn clear_token_clears_even_if_programs_print_it_for_no_value() {
    let env = TestEnv::new(files(["a"]));
    for token in ["NULL", "#N/A", "none"] {
        env.write("set.csv", "fileId,tags,description\na,x,text\n");
        env.apply("set.csv").exits(0);
        env.write("sheet.csv", format!("fileId,tags,description\na,{token},{token}\n"));
        env.apply(&format!("sheet.csv --clear-token {token}")).exits(0);
        assert_eq!(env.file("a")["tags"], json!(null), "{token}");
        assert!(env.file("a")["description"].as_str().unwrap_or_default().is_empty(), "{token}");
    }
}

#[test]
fn nulls_count_by_the_field_that_they_clear() {
    let env = TestEnv::new(files(["a", "b"]));
    let rows = |first: &str, second: &str| format!("{first}\n{second}\n");
    for (name, text) in [
        (
            "sheet.jsonl",
            rows(
                r#"{"fileId":"a","Description":null,"tags":["x"]}"#,
                r#"{"fileId":"b","description":"text","tags":["x"]}"#,
            ),
        ),
        (
            "sheet.jsonl",
            rows(
                r#"{"fileId":"a","Brand":null}"#,
                r#"{"fileId":"b","customMetadata":{"brand":"x"}}"#,
            ),
        ),
        (
            "sheet.csv",
            "fileId,customMetadata\na,\"{\"\"brand\"\":null}\"\nb,\"{\"\"brand\"\":\"\"x\"\"}\"\n"
                .to_owned(),
        ),
    ] {
        env.write(name, &text);
        env.apply(name).exits(2).output_contains("--null-means");
        env.apply(&format!("{name} --null-means leave")).exits(0);
    }
    // Rows without the field tell nothing about it.
    env.write(
        "sheet.jsonl",
        rows(r#"{"fileId":"a","Brand":null}"#, r#"{"fileId":"b","tags":["x"]}"#),
    );
    env.apply("sheet.jsonl").exits(0);
}
