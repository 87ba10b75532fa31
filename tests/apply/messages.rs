//! What a person is told about each kind of fault of a sheet, cell by cell and as a whole. The messages
//! about sheets of real programs are in `fixtures/sheets`.

use std::io::Write as _;

use ikbulk_sandbox::Library;
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

use crate::harness::{Cases, TestEnv, assert_text, files, with_library};

/// A field of the account.
fn field(name: &str, schema: &Value) -> Value {
    json!({"id": name, "name": name, "label": name, "schema": schema})
}

/// Fields with every rule.
fn env_with_fields() -> TestEnv {
    let mut config = files(["a"]);
    config.fields.extend([
        field("code", &json!({"type": "Text", "minLength": 2, "maxLength": 4})),
        field("must", &json!({"type": "Text", "isValueRequired": true, "defaultValue": "x"})),
        field("cost", &json!({"type": "Number", "minValue": 1, "maxValue": 100})),
        field("ends", &json!({"type": "Date", "minValue": "2020-01-01", "maxValue": "2030-01-01"})),
        field("ok", &json!({"type": "Boolean"})),
        field("one", &json!({"type": "SingleSelect", "selectOptions": ["30", 30, "red"]})),
        field("some", &json!({"type": "MultiSelect", "selectOptions": ["web", 2024]})),
    ]);
    TestEnv::new(config)
}

/// Checks a sheet with one row for each cell of a column, and returns the messages alone.
fn messages_about(env: &TestEnv, column: &str, cells: &[&str]) -> String {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(["fileId", column]).expect("memory takes it");
    for cell in cells {
        csv.write_record(["a", cell]).expect("memory takes it");
    }
    env.write("sheet.csv", csv.into_inner().expect("memory takes it"));
    let checked = env.run("check sheet.csv").exits(1);
    let (_, messages) = checked.out.split_once("\n\n").expect("cells are invalid");
    let named = (2..).take(cells.len()).filter(|row| messages.contains(&format!("row {row}")));
    assert_eq!(named.count(), cells.len(), "each cell of {column} is invalid: {messages}");
    messages.to_owned()
}

#[test]
fn cells_of_custom_metadata() {
    let env = env_with_fields();
    let mut cases = Cases::default();
    for (name, cells) in [
        ("code", &["x", "xxxxx"][..]),
        ("must", &["<clear>"]),
        ("cost", &["12 EUR", "0.5", "101", "1,234", "NULL"]),
        ("ends", &["soon", "2019-12-31", "2031-01-01", "03/04/2026"]),
        ("ok", &["perhaps"]),
        ("one", &["30", "blue", "a,b"]),
        ("some", &["[\"web\"", "print", "{\"a\":1}"]),
        ("none", &["x"]),
    ] {
        let column = format!("customMetadata.{name}");
        if name == "none" {
            env.write("sheet.csv", format!("fileId,{column}\na,x\n"));
            cases.add(name, env.run("check sheet.csv").exits(2));
        } else {
            cases.add(name, messages_about(&env, &column, cells));
        }
    }
    assert_text!(cases);
}

#[test]
fn cells_of_other_columns() {
    let env = TestEnv::new(files(["a"]));
    let mut cases = Cases::default();
    let long = "x".repeat(501);
    for (column, cells) in [
        ("tags", &["50%", "[\"a\"", &long, "<CLEAR>"][..]),
        ("removeAITags", &["<clear>"]),
        ("customCoordinates", &["1,2,3", "1,2,0,4", "x", "NULL"]),
        ("webhookUrl", &["example.com", "ftp://x"]),
        ("isPublished", &["perhaps", "nan"]),
        ("includeFileVersions", &["true", "perhaps"]),
        ("description", &["Loading...", "####", "caf\u{fffd}", "{a,b}", "Chargement en cours..."]),
    ] {
        cases.add(column, messages_about(&env, column, cells));
    }
    env.write("both.csv", "fileId,tags,addTags,removeTags\na,x,y,\na,,x,x\n");
    cases.add("tags, addTags, removeTags", env.run("check both.csv").exits(1));
    env.write(
        "ids.csv",
        "fileId,tags\n1.23E+23,x\n123456789012345000000,x\na b c d,x\nphoto.jpg,x\n\
         https://ik.imagekit.io/x/a.jpg,x\n/a/b.jpg,x\n65a1f0c29b41d45b037cc000;red,x\nNULL,x\n#N/A,x\nn/a,x\n\\N,x\n",
    );
    cases.add("fileId", env.run("check ids.csv").exits(1));
    env.write("paths.csv", "filePath,tags\nNULL,x\n#N/A,x\n");
    cases.add("filePath", env.run("check paths.csv").exits(1));
    assert_text!(cases);
}

#[test]
fn configurations_of_extensions() {
    let env = TestEnv::new(files(["a"]));
    let tasks = |task: &str| format!(r#"[{{"name":"ai-tasks","tasks":[{task}]}}]"#);
    let task = |rest: &str| tasks(&format!(r#"{{"type":"select_tags","instruction":"?",{rest}}}"#));
    let answer = |rest: &str| tasks(&format!(r#"{{"type":"yes_no","instruction":"?",{rest}}}"#));
    let long = format!(r#"{{"type":"yes_no","instruction":"{}"}}"#, "?".repeat(2001));
    let words: Vec<String> = (0..3).map(|_| format!("\"{}\"", "w".repeat(200))).collect();
    let cells = [
        "[1]".to_owned(),
        "[{}]".to_owned(),
        r#"[{"name":"none"}]"#.to_owned(),
        r#"[{"name":"remove-bg","options":1}]"#.to_owned(),
        r#"[{"name":"remove-bg","options":{"add_shadow":1}}]"#.to_owned(),
        r#"[{"name":"remove-bg","options":{"bg_color":""}}]"#.to_owned(),
        r#"[{"name":"remove-bg","options":{"bg_color":"a","bg_image_url":"b"}}]"#.to_owned(),
        r#"[{"name":"remove-bg","options":{"bg_image_url":"wall.jpg"}}]"#.to_owned(),
        r#"[{"name":"google-auto-tagging","minConfidence":101,"maxTags":1}]"#.to_owned(),
        r#"[{"name":"ai-auto-description","x":1}]"#.to_owned(),
        r#"[{"name":"ai-tasks","tasks":[]}]"#.to_owned(),
        tasks("1"),
        tasks(&long),
        tasks(r#"{"type":"other","instruction":"?"}"#),
        answer(r#""on_unknown":{}"#),
        answer(r#""on_yes":{}"#),
        answer(r#""on_yes":1"#),
        answer(r#""on_yes":{"add_tags":1}"#),
        answer(r#""on_yes":{"add_tags":[1]}"#),
        answer(r#""on_yes":{"add_tags":["50% off"]}"#),
        answer(r#""on_yes":{"add_tags":[""]}"#),
        answer(r#""on_yes":{"set_metadata":[1]}"#),
        task(r#""vocabulary":[]"#),
        task(r#""vocabulary":["a"],"min_selections":2,"max_selections":1"#),
        task(r#""vocabulary":["a"],"min_selections":2"#),
        task(r#""vocabulary":[""]"#),
        task(r#""vocabulary":[1]"#),
        task(r#""vocabulary":["50%"]"#),
        task(&format!(r#""vocabulary":[{}]"#, words.join(","))),
    ];
    let mut cases = Cases::default();
    for cell in &cells {
        cases.add(
            &cell.chars().take(100).collect::<String>(),
            messages_about(&env, "extensions", &[cell]),
        );
    }
    assert_text!(cases);
}

#[test]
fn keys_and_words_of_json() {
    let env = TestEnv::new(files(["a"]));
    let lines = [
        r#"{"fileId":"a","desc":"x"}"#,
        r#"{"fileId":"a","publish":true}"#,
        r#"{"fileId":"a","customMetadata":[1]}"#,
        r#"{"fileId":"a","description":undefined}"#,
        r#"{"fileId":"a","isPublished":True}"#,
        r#"{"fileId":"a","isPublished":False}"#,
        r#"{"fileId":"a","tags":"x","tags":"y"}"#,
        r#"{"fileId":1}"#,
        r#"{fileId:"a",tags:["x"]}"#,
        "{“fileId”:“a”}",
    ];
    env.write("sheet.jsonl", lines.join("\n") + "\n");
    let mut cases = Cases::default();
    cases.add("as usual", env.run("check sheet.jsonl").exits(1));
    env.write("strict.jsonl", "{\"fileId\":\"a\",\"tags\":\"x\",\"note\":1}\n");
    cases.add("--strict-columns", env.run("check strict.jsonl --strict-columns").exits(1));
    assert_text!(cases);
}

#[test]
fn findings_of_columns() {
    let mut library = Library::new();
    for id in ["a", "b", "c"] {
        library.insert(json!({"fileId": id, "tags": ["Red", "Café"]}));
    }
    let env = TestEnv::new(with_library(library));
    let mut cases = Cases::default();
    for (name, column, cells) in [
        ("dates", "tags", ["1-Mar", "2-Apr", "3-May"]),
        ("invisible", "tags", ["re\u{200b}d", "blue\u{a0}", "\u{202a}green"]),
        ("decomposed", "tags", ["Cafe\u{301}", "u\u{308}ber", "e\u{301}te\u{301}"]),
        ("case", "addTags", ["red", "RED", "rEd"]),
        ("accents", "addTags", ["Cafe\u{301}", "Cafe\u{301}", "x"]),
        ("separator", "tags", ["a;b", "c;d", "e;f"]),
        ("broken", "description", ["GrÃ¶ÃŸe", "cafÃ©", "Ã¼ber"]),
    ] {
        let rows = ["a", "b", "c"].iter().zip(cells).map(|(id, cell)| format!("{id},{cell}\n"));
        env.write("sheet.csv", format!("fileId,{column}\n{}", rows.collect::<String>()));
        let planned = env.run("plan sheet.csv");
        let lines = planned.out.lines();
        let found: Vec<&str> =
            lines.filter(|it| it.starts_with("note") || it.starts_with("held")).collect();
        assert!(!found.is_empty(), "{name}: {planned}");
        cases.add(name, found.join("\n"));
    }
    cases.add("no finding", env.run("check sheet.csv --accept none").exits(2));
    assert_text!(cases);
}

#[test]
fn files_that_are_no_sheets() {
    let env = TestEnv::new(files(["a"]));
    let mut cases = Cases::default();
    let archive = |part: &str| {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        zip.start_file(part, SimpleFileOptions::default()).expect("memory takes it");
        zip.write_all(b"x").expect("memory takes it");
        zip.finish().expect("memory takes it").into_inner()
    };
    for (name, bytes, options) in [
        ("binary.xlsb", archive("xl/workbook.bin"), ""),
        ("mac.numbers", archive("Index/Document.iwa"), ""),
        ("text.docx", archive("word/document.xml"), ""),
        ("as-text.xlsx", archive("xl/workbook.xml"), "--format csv"),
        ("utf-16.csv", b"f\0i\0l\0e\0I\0d\0".to_vec(), ""),
        ("utf-32.csv", b"\xFF\xFE\0\0f\0\0\0".to_vec(), ""),
        ("nul.csv", b"\0\0\0\0".to_vec(), ""),
        ("page.csv", b"<!doctype html><p>fileId".to_vec(), ""),
        ("feed.csv", b"<?xml version='1.0'?>".to_vec(), ""),
        ("paper.csv", b"%PDF-1.7 fileId".to_vec(), ""),
        ("excel.csv", b"<html xmlns:x=\"urn:schemas-microsoft-com:office:excel\">".to_vec(), ""),
        ("paper.rtf", b"{\\rtf1\\ansi fileId,tags\\par}".to_vec(), ""),
        ("denied.csv", b"Access denied\n".to_vec(), ""),
        ("rows.sql", b"INSERT INTO files (fileId,tags) VALUES ('a','x');\n".to_vec(), ""),
        ("dump.sql", b"COPY files (fileid, tags) FROM stdin;\na\tx\n".to_vec(), ""),
        ("pointer.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n".to_vec(), ""),
        ("printed.csv", b"fileId      tags\na           x\n".to_vec(), ""),
        ("blanks.csv", b"fileId tags\na x\n".to_vec(), ""),
        ("hive.csv", b"fileId\x01tags\na\x01x\n".to_vec(), ""),
        ("dos.csv", b"fileId,tags\na,x\n".to_vec(), "--encoding cp850"),
        ("encoded.csv", b"fileId,tags\na,x\n".to_vec(), "--encoding klingon"),
        ("local.csv", b"fileId,tags\na,x\n".to_vec(), "--locale klingon"),
    ] {
        env.write(name, bytes);
        cases.add(name, env.run(&format!("check {name} {options}")).exits(2));
    }
    assert_text!(cases);
}

#[test]
fn columns_that_are_mapped_from_or_to_nothing() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,Alt text\na,x\n");
    let mut cases = Cases::default();
    let words = ["check", "sheet.csv", "--map", "Alt text=nothing"];
    cases.add("--map to no column", env.command(&words).run().exits(2));
    for name in ["Alt txt", "Beschreibung"] {
        let words = ["check", "sheet.csv", "--map", &format!("{name}=description")];
        cases.add("--map of no column", env.command(&words).run().exits(2));
    }
    env.write("escaped.csv", "fileId,description\na,\"say \\\"hi\\\" \"\n");
    cases.add("a backslash before a quote", env.run("check escaped.csv").exits(1));
    assert_text!(cases);
}
