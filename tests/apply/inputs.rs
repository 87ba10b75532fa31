//! Sheets in every shape, whole and damaged.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Cases, RunFiles, TestEnv, assert_text, files, ids, sheet, tagging};

pub(crate) const EVERY_COLUMN: &str = r#"fileId,tags,addTags,removeTags,removeAITags,customCoordinates,description,customMetadata.brand,customMetadata.price,extensions,webhookUrl,isPublished,includeFileVersions
a,"x, y,x",,,all,"1,2,3,4",text,Acme,12.5,,,,
b,,new,old,,,,,,,,,
c,"[""p, q""]",,,Shoe,,,<clear>,,"[{""name"":""remove-bg""}]",https://example.com/hook,false,true
d,<clear>,,,,<clear>,<clear>,,,,,TRUE,
"#;

const THE_SAME_AS_JSONL: &str = r#"{"fileId":"a","tags":["x","y","x"],"removeAITags":"all","customCoordinates":"1,2,3,4","description":"text","customMetadata":{"brand":"Acme","price":12.5}}
{"fileId":"b","addTags":["new"],"removeTags":["old"]}
{"fileId":"c","tags":["p, q"],"removeAITags":["Shoe"],"customMetadata":{"brand":null},"extensions":[{"name":"remove-bg"}],"webhookUrl":"https://example.com/hook","publish":{"isPublished":false,"includeFileVersions":true}}
{"fileId":"d","tags":null,"customCoordinates":null,"description":null,"isPublished":true}
"#;

/// The calls that changed each file, with their bodies.
fn changes(env: &TestEnv) -> Vec<(Value, Value)> {
    let histories = ["a", "b", "c", "d"].iter().flat_map(|id| env.sandbox.history(id));
    histories.map(|change| (change["call"].clone(), change["body"].clone())).collect()
}

#[test]
fn every_column_means_the_same_in_jsonl() {
    let outcome = |name: &str, text: &str| {
        let env = TestEnv::new(files(["a", "b", "c", "d"]));
        env.write(name, text);
        env.apply_direct(name).exits(0);
        assert_eq!(env.only_run("sheet").statuses(), ["updated"; 4]);
        changes(&env)
    };
    let csv = outcome("sheet.csv", EVERY_COLUMN);
    let expected = [
        (
            "patch",
            json!({"tags": ["x", "y"], "removeAITags": "all", "customCoordinates": "1,2,3,4",
            "description": "text", "customMetadata": {"brand": "Acme", "price": 12.5}}),
        ),
        ("removeTags", json!({"fileIds": ["b"], "tags": ["old"]})),
        ("addTags", json!({"fileIds": ["b"], "tags": ["new"]})),
        (
            "patch",
            json!({"tags": ["p, q"], "removeAITags": ["Shoe"], "customMetadata": {"brand": null},
            "extensions": [{"name": "remove-bg"}], "webhookUrl": "https://example.com/hook"}),
        ),
        ("publish", json!({"publish": {"isPublished": false, "includeFileVersions": true}})),
        ("patch", json!({"tags": null, "customCoordinates": null, "description": ""})),
        ("publish", json!({"publish": {"isPublished": true}})),
    ];
    assert_eq!(csv, expected.map(|(call, body)| (json!(call), body)));
    assert_eq!(outcome("sheet.jsonl", THE_SAME_AS_JSONL), csv);
}

#[test]
fn standard_input_is_a_sheet_like_any_other() {
    for text in ["fileId,tags\na,x\n", "{\"fileId\":\"a\",\"tags\":[\"x\"]}\n"] {
        let env = TestEnv::new(files(["a"]));
        env.command(&["apply", "--direct", "--no-snapshot", "-", "--yes"])
            .input(text)
            .run()
            .exits(0);
        assert_eq!(env.file("a")["tags"], json!(["x"]));
        let runs = fs::read_dir(env.path("state/ikbulk/stdin.ikbulk")).unwrap();
        let run = RunFiles(runs.last().unwrap().unwrap().path());
        assert_eq!(run.statuses(), ["updated"]);
        env.command(&["check", "-"]).input(text).run().exits(0);
    }
}

#[test]
fn json_on_standard_input_is_not_read_as_csv() {
    let env = TestEnv::new(files(["a"]));
    let line = "{\"fileId\":\"a\",\"tags\":[\"x\"]}";
    for text in [format!("{line}\n"), format!("[\n{line}\n]\n")] {
        env.command(&["check", "-"]).input(text.clone()).run().exits(0);
        let refused = env.command(&["check", "-", "--format", "csv"]).input(text).run().exits(2);
        refused.output_contains("looks like");
    }
}

#[test]
fn bom_and_crlf_are_not_part_of_values() {
    let env = TestEnv::new(files(["a", "b"]));
    let text = "\u{feff}fileId,description\r\na,\"one\r\ntwo\"\r\nb,three\r\n";
    env.write("sheet.csv", text);
    env.apply_direct("sheet.csv --limit 1").exits(5);
    // The second row is found by its offset in the file, after the mark.
    let run = env.only_run("sheet");
    env.run(&format!("resume --yes {}", run.name())).exits(0);
    assert_eq!(env.file("a")["description"], "one\r\ntwo");
    assert_eq!(env.file("b")["description"], "three");
    let mut line = json!({"fileId": "a", "description": "jsonl"}).to_string();
    line.insert(0, '\u{feff}');
    env.write("lines.jsonl", line + "\r\n");
    env.apply_direct("lines.jsonl").exits(0);
    assert_eq!(env.file("a")["description"], "jsonl");
}

/// Nothing was sent, and nothing is left of the attempt.
#[track_caller]
fn refused(name: &str, text: &str) {
    let env = TestEnv::new(files(["a", "b"]));
    env.write(name, text);
    env.apply_direct(name).exits(2);
    assert_eq!(env.sandbox.stats().requests, 0);
    assert!(!env.path("sheet.ikbulk").exists());
}

#[test]
fn empty_sheet_is_refused_unless_allowed() {
    refused("sheet.csv", "fileId,tags\n");
    refused("sheet.jsonl", "");
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,tags\n");
    env.apply_direct("sheet.csv --allow-empty").exits(0);
    assert_eq!(env.only_run("sheet").count("total"), 0);
}

#[test]
fn over_one_percent_bad_rows_refuse_the_sheet() {
    let text = "fileId,tags\na,50%\nb,y\n";
    refused("sheet.csv", text);
    let env = TestEnv::new(files(["a", "b"]));
    env.write("sheet.csv", text);
    env.apply_direct("sheet.csv --max-bad 50%").exits(1);
    assert_eq!(env.only_run("sheet").statuses(), ["rejected", "updated"]);
    // One in a hundred and one is few enough.
    let mut ids = ids(100);
    ids.push("bad%tag".to_owned());
    let env = TestEnv::new(files(&ids));
    env.write("sheet.csv", tagging(&ids));
    env.apply_direct("sheet.csv").exits(1);
    assert_eq!(env.only_run("sheet").count("updated"), 100);
}

#[test]
fn duplicate_keys_are_rejected() {
    let env = TestEnv::new(files(["a"]));
    let lines = r#"{"fileId":"a","customMetadata":{"brand":"x","Brand":"y"}}
{"fileId":"a","publish":{"isPublished":true},"isPublished":false}
{"fileId":"a","tags":["x"],"tags":["y"]}
[]
"#;
    env.write("sheet.jsonl", lines);
    let done = env.apply_direct("sheet.jsonl --max-bad 100%").exits(1);
    let report = env.only_run("sheet").report();
    let calls = env.sandbox.stats().calls;
    assert_eq!((calls.patch, calls.publish), (0, 0));
    assert_text!(done);
    for line in report {
        assert_eq!(line["status"], "rejected");
        assert!(!line["message"].contains(" | "), "{}", line["message"]);
    }
}

#[test]
fn apply_without_a_terminal_needs_yes() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", tagging(&["a"]));
    env.run("apply --direct --no-snapshot sheet.csv").exits(2);
    assert_eq!(env.sandbox.stats().requests, 0);
    assert!(!env.path("sheet.ikbulk").exists());
    env.run("apply --direct --no-snapshot sheet.csv --sandbox").exits(0);
    assert_eq!(env.sandbox.stats().requests, 0);
}

#[test]
fn check_sends_nothing_and_sets_its_exit_code() {
    let env = TestEnv::new(files(["a"]));
    let check = |text: &str| {
        env.write("sheet.csv", text);
        env.run("check sheet.csv")
    };
    check("fileId,tags\na,x\n").exits(0);
    check("fileId,tags,customCoordinates\na,x,\nb,y,\"1,2,0,4\"\n").exits(1);
    check("fileId\na\n").exits(2);
    env.run("check nowhere.csv").exits(2);
    assert_eq!(env.sandbox.stats().requests, 0);
    assert!(!env.path("sheet.ikbulk").exists());
}

#[test]
fn invalid_flags_exit_2() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", tagging(&["a"]));
    for wrong in
        ["--rate 0", "--leave 100%", "--attempts none", "--max-duration soon", "--nonsense"]
    {
        env.apply_direct(&format!("sheet.csv {wrong}").replace("--rate 0", "--burst 0")).exits(2);
    }
    assert_eq!(env.sandbox.stats().requests, 0);
}

#[test]
fn misspelled_clear_token_is_refused() {
    let env = TestEnv::new(files(["a"]));
    for word in ["<CLEAR>", "<Clear>", " < clear >"] {
        env.write("sheet.csv", format!("fileId,description\na,{word}\n"));
        env.apply_direct("sheet.csv").exits(2);
    }
    env.write("sheet.csv", "fileId,description\na,\\<CLEAR>\n");
    env.apply_direct("sheet.csv").exits(0);
    assert_eq!(env.file("a")["description"], "<CLEAR>");
}

#[test]
fn check_lists_all_bad_rows_and_apply_ten() {
    let env = TestEnv::new(files(["a"]));
    let rows = (0..30).map(|n| format!("a,{n}%"));
    env.write("sheet.csv", sheet("fileId,tags", rows));
    let mut cases = Cases::default();
    cases.run(&env, "check sheet.csv");
    cases.run(&env, "apply sheet.csv --yes");
    assert_text!(cases);
}

/// Comparing each with each would take minutes, and no command here may.
#[test]
fn metadata_columns_take_linear_time() {
    const COLUMNS: usize = 40_000;
    let env = TestEnv::new(files(["a"]));
    let names: Vec<String> = (0..COLUMNS).map(|n| format!("customMetadata.f{n}")).collect();
    let row = |value: &str| format!("a{}\n", format!(",{value}").repeat(COLUMNS));
    let header = format!("fileId,{}\n", names.join(","));
    env.write("sheet.csv", header + &row("x") + &row("y"));
    env.run("check sheet.csv --no-schema").exits(0);
    env.run("plan sheet.csv --no-schema --detailed-exitcode").exits(10);
    let keys: Vec<String> = names.iter().map(|name| format!("\"{name}\":1")).collect();
    env.write("sheet.jsonl", format!("{{\"fileId\":\"a\",{}}}\n", keys.join(",")));
    env.run("check sheet.jsonl --no-schema").exits(0);
}

/// A pipe that gives this text once, as `<(…)` does in a shell.
fn pipe(env: &TestEnv, text: &'static str) -> std::thread::JoinHandle<()> {
    let path = env.path("pipe");
    if !path.exists() {
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo {}", path.display());
    }
    std::thread::spawn(move || fs::write(path, text).expect("the command reads it"))
}

#[test]
fn pipe_is_copied_like_standard_input() {
    const SHEET: &str = "fileId,tags,customMetadata.brand\na,new,Acme\n";
    let env = TestEnv::new(files(["a"]));
    for line in
        ["check pipe", "plan pipe", "apply --direct --no-snapshot pipe --yes --rate unlimited"]
    {
        let writer = pipe(&env, SHEET);
        env.run(line).exits(0);
        writer.join().expect("it was read");
    }
    assert_eq!(env.file("a")["tags"], json!(["new"]));
    // Another pipe of the same name is another input.
    assert!(!env.path("pipe.ikbulk").exists());
    assert_eq!(env.runs("state/ikbulk/stdin").len(), 2);
    let writer = pipe(&env, SHEET);
    env.run("apply --direct --no-snapshot pipe --yes --limit 1").exits(0);
    writer.join().expect("it was read");
}

#[test]
fn file_name_that_is_not_utf_8() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;
    let env = TestEnv::new(files(["a"]));
    let name = OsString::from_vec(b"sh\xe9et.csv".to_vec());
    fs::write(env.path(".").join(&name), tagging(&["a"])).expect("the directory takes it");
    for words in [&["check"][..], &["apply", "--yes"]] {
        let words = words.iter().map(OsString::from).chain([name.clone()]);
        env.command(&words.collect::<Vec<_>>()).run().exits(0);
    }
    assert_eq!(env.file("a")["tags"], json!(["tag-a"]));
    let home = env.path(".").join(OsString::from_vec(b"sh\xe9et.ikbulk".to_vec()));
    assert!(home.is_dir());
}

#[test]
fn interrupted_check_leaves_no_temporary_file() {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let env = TestEnv::new(files(["a"]));
    let temporary = env.path("tmp");
    for signal in ["INT", "KILL"] {
        fs::create_dir_all(&temporary).expect("the directory takes it");
        let mut check = Command::new(env!("CARGO_BIN_EXE_ikbulk"))
            .args(["check", "-"])
            .env_clear()
            .env("TMPDIR", &temporary)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut stdin = check.stdin.take().expect("it is piped");
        // More than fits into a pipe: what is taken of it is being copied.
        let lines = "a,new\n".repeat(50_000);
        stdin.write_all(format!("fileId,tags\n{lines}").as_bytes()).expect("it is read");
        crate::harness::signal(check.id(), signal);
        assert!(!check.wait().expect("it ends").success());
        let left = fs::read_dir(&temporary).expect("the directory can be read").flatten();
        assert_eq!(left.map(|entry| entry.file_name()).collect::<Vec<_>>(), [""; 0], "{signal}");
    }
}

#[test]
fn read_only_key_of_one_object_hides_no_field_of_a_later_one() {
    let env = TestEnv::new(files(["a", "b"]));
    let listed = json!({"type": "file", "createdAt": "2026-01-01", "fileId": "a", "size": 1000});
    env.write("sheet.jsonl", format!("{listed}\n{}\n", json!({"fileId": "b", "size": "small"})));
    env.apply("sheet.jsonl").exits(0);
    assert_eq!(env.file("b")["customMetadata"]["size"], "small");
    assert_eq!(env.file("a")["customMetadata"]["size"], json!(null));
}

#[test]
fn empty_json_array_has_no_rows() {
    refused("sheet.json", "[]\n");
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.json", "[\n]\n");
    env.run("check sheet.json").exits(2).output_contains("no rows");
    env.apply_direct("sheet.json --allow-empty").exits(0);
    assert_eq!(env.only_run("sheet").count("total"), 0);
}

#[test]
fn separator_of_lists_is_named_like_a_delimiter() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,tags\na,x\ty\n");
    let checked = env.run("check sheet.csv --list-separator tab").exits(0);
    checked.output_contains("--list-separator tab");
    env.apply("sheet.csv --list-separator tab").exits(0);
    assert_eq!(env.file("a")["tags"], json!(["x", "y"]));
    env.run("check sheet.csv --list-separator ab").exits(2);
}
