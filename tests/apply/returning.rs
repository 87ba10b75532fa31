//! `resume`, `--continue` and feeding back: another key, a changed sheet, fixed rows.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

use ikbulk_sandbox::{Config, Hook, Phase};
use serde_json::{Value, json};

use crate::harness::{
    Cases, ChildHandle, TestEnv, assert_text, files, ids, lines, sheet, tagged, tagging,
};

/// A sheet that sets other tags than [`tagging`].
fn other_tags(count: usize) -> String {
    sheet("fileId,tags", ids(count).into_iter().map(|id| format!("{id},other")))
}

fn env_with_rows(rows: usize) -> TestEnv {
    tagged(rows, |config| config)
}

#[test]
fn limit_counts_rows_of_each_session() {
    let env = env_with_rows(9);
    for (command, done) in [("apply sheet.csv --yes", 2), ("resume --yes", 4), ("resume --yes", 6)]
    {
        let run = env.runs("sheet").first().map(crate::harness::RunFiles::name);
        let run = run.filter(|_| command == "resume --yes").unwrap_or_default();
        env.run(&format!("{command} {run} --limit 2 --rate unlimited")).exits(5);
        assert_eq!(env.only_run("sheet").count("updated"), done);
    }
    env.apply("sheet.csv --continue").exits(0);
    assert_eq!(env.only_run("sheet").count("updated"), 9);
}

#[test]
fn edited_failed_csv_is_backed_up() {
    let env = TestEnv::new(files(["a", "b"]));
    env.write("sheet.csv", "fileId,tags\na,50%\nb,new\n");
    env.apply("sheet.csv --max-bad 100%").exits(1);
    let run = env.only_run("sheet");
    let edited = run.text("failed.csv").replace("50%", "fifty");
    std::fs::write(run.path().join("failed.csv"), &edited).unwrap();
    assert_text!(env.run(&format!("report {}", run.name())).exits(1));
    assert_eq!(run.text("failed.edited-1.csv"), edited);
    assert!(run.text("failed.csv").contains("50%"));
    // An unedited sheet needs no backup.
    env.run(&format!("report {}", run.name())).exits(1);
    assert!(!run.path().join("failed.edited-2.csv").exists());
}

#[test]
fn rejected_key_creates_no_run() {
    let env = env_with_rows(3);
    let apply = ["apply", "sheet.csv", "--yes", "--rate", "unlimited"];
    env.command(&apply).env("IMAGEKIT_PRIVATE_KEY", "private_wrong").run().exits(3);
    env.command(&apply).run().exits(0);
    assert_eq!(env.only_run("sheet").count("updated"), 3);
}

#[test]
fn resume_of_finished_run_sends_nothing() {
    let env = env_with_rows(2);
    env.apply("sheet.csv").exits(0);
    let run = env.only_run("sheet").name();
    assert_text!(env.run(&format!("resume --yes {run}")).exits(0));
    assert_eq!(env.sandbox.stats().calls.patch, 2);
}

#[test]
fn resume_with_invalid_key_sends_nothing() {
    let env = env_with_rows(3);
    env.apply("sheet.csv --limit 1").exits(5);
    let run = env.only_run("sheet").name();
    let resume = env.command(&["resume", "--yes", &run]);
    let resume = resume.env("IMAGEKIT_PRIVATE_KEY", "private_other");
    // The key is checked against the account first, and the sandbox accepts only one.
    resume.run().exits(3);
    assert_eq!(env.sandbox.stats().calls.patch, 1);
}

#[test]
fn resume_refuses_another_endpoint() {
    let env = env_with_rows(3);
    env.apply("sheet.csv --limit 1").exits(5);
    let run = env.only_run("sheet").name();
    let elsewhere = env.run(&format!("resume --yes {run} --endpoint http://127.0.0.1:9"));
    assert_text!(elsewhere.exits(2));
}

#[test]
fn endpoint_without_api_is_refused() {
    let env = env_with_rows(1);
    let path = format!("{}/behind/a/proxy", env.sandbox.base_url());
    assert_text!(env.apply(&format!("sheet.csv --endpoint {path}")).exits(2));
    assert_eq!(env.sandbox.stats().calls.patch, 0);
    assert!(!env.path("sheet.ikbulk").exists());
}

#[test]
fn unfinished_run_of_older_sheet_is_reported() {
    let env = env_with_rows(3);
    env.apply("sheet.csv --limit 1").exits(5);
    env.write("sheet.csv", tagging(&ids(2)));
    assert_text!(env.apply("sheet.csv").exits(0).err);
    assert_eq!(env.runs("sheet").len(), 2);
}

#[test]
fn resume_refuses_after_a_later_run() {
    let env = env_with_rows(3);
    env.apply("sheet.csv --limit 1").exits(5);
    let first = env.only_run("sheet");
    let before = std::fs::read(env.path("sheet.csv")).expect("the sheet is there");
    env.write("sheet.csv", other_tags(2));
    env.apply("sheet.csv").exits(0);
    let writes = env.sandbox.stats().calls.patch;
    let resume = format!("resume --yes {}", first.name());
    env.run(&resume).exits(2).output_contains("--over-later-runs");
    assert_eq!(env.sandbox.stats().calls.patch, writes);
    // The original sheet starts a new run.
    std::fs::write(env.path("sheet.csv"), before).expect("it can be written");
    env.apply("sheet.csv --continue").exits(0);
    assert_eq!(env.runs("sheet").len(), 3);
    assert_eq!(env.runs("sheet")[2].count("updated"), 3);
    env.run(&format!("{resume} --over-later-runs")).exits(0);
    assert_eq!(first.count("not_attempted"), 0);
}

#[test]
fn resume_refuses_after_a_killed_later_run() {
    let victim = ChildHandle::default();
    let (hand, first) = (victim.clone(), ids(1));
    let hook = Hook::new(move |event| {
        // The first run is not started with this handle.
        if event.method == "PATCH"
            && event.phase == Phase::Processed
            && event.path.contains(&first[0])
        {
            hand.kill();
        }
    });
    let env = tagged(3, |config| Config { hook: Some(hook), ..config });
    env.apply("sheet.csv --limit 1").exits(5);
    let run = env.only_run("sheet");
    env.write("sheet.csv", other_tags(2));
    let words = ["apply", "sheet.csv", "--yes", "--concurrency", "1"];
    assert_eq!(env.command(&words).run_as(&victim).code, None);
    env.run(&format!("resume --yes {}", run.name())).exits(2).output_contains("--over-later-runs");
}

#[test]
fn resume_refuses_an_undone_run() {
    let env = env_with_rows(3);
    env.run("apply sheet.csv --yes --limit 2").exits(5);
    let run = env.only_run("sheet");
    env.run(&format!("undo {} --yes", run.name())).exits(0);
    env.run(&format!("resume --yes {}", run.name())).exits(2).output_contains("was undone by");
}

#[test]
fn undone_run_is_recognized_after_both_were_moved() {
    let env = env_with_rows(3);
    env.run("apply sheet.csv --yes --limit 2").exits(5);
    let run = env.only_run("sheet").name();
    env.run(&format!("undo {run} --yes")).exits(0);
    std::fs::rename(env.path("sheet.ikbulk"), env.path("moved.ikbulk")).expect("it can be moved");
    let moved = run.replace("sheet.ikbulk", "moved.ikbulk");
    env.run(&format!("resume --yes {moved}")).exits(2).output_contains("was undone by");
}

#[test]
fn apply_during_a_run_exits_75() {
    is_blocked_by_running_run(
        &["apply", "sheet.csv", "--yes"],
        crate::harness::KEY,
        "apply_during_a_run",
    );
}

#[test]
fn resume_of_running_run_exits_75() {
    is_blocked_by_running_run(
        &["resume", "--yes", "the-run", "--key-changed"],
        "private_other",
        "resume_of_running_run",
    );
}

/// Asserts that this command exits with 75 during a run and leaves that run undisturbed.
fn is_blocked_by_running_run(words: &'static [&str], key: &'static str, snapshot: &str) {
    let ids = ids(2);
    let second = Arc::new(Mutex::new(None));
    let mut config = files(&ids);
    let directory = Arc::new(OnceLock::<(PathBuf, String)>::new());
    let (place, at) = (second.clone(), directory.clone());
    config.hook = Some(Hook::new(move |event| {
        // The account, two reads, and then the first write.
        if event.phase == Phase::Arrived && event.n == 4 {
            let (directory, endpoint) = at.get().expect("it is set before");
            let other = Command::new(env!("CARGO_BIN_EXE_ikbulk"))
                .args(words)
                .env_clear()
                .env("XDG_STATE_HOME", directory.join("state"))
                .env("IMAGEKIT_PRIVATE_KEY", key)
                .env("IMAGE_KIT_BASE_URL", endpoint)
                .current_dir(directory)
                .output()
                .expect("it starts");
            *place.lock().expect("no other thread panics") = Some(other);
        }
    }));
    let env = TestEnv::new(config);
    env.write("sheet.csv", tagging(&ids));
    let set = directory.set((env.path("."), env.sandbox.base_url()));
    set.expect("nothing else sets it");
    env.apply("sheet.csv --run-dir the-run --limit 1").exits(5);
    let other = second.lock().expect("no other thread panics").take().expect("it ran");
    let stderr = String::from_utf8_lossy(&other.stderr);
    assert_eq!(other.status.code(), Some(75), "{stderr}");
    assert_text!(snapshot, stderr);
    // The run still belongs to its own key.
    env.run("resume --yes the-run --rate unlimited").exits(0);
    assert_eq!(env.sandbox.stats().calls.patch, 2);
}

/// Applies rows of which the first sets two fields, one of them invalid and superseded by the second row.
fn partly_superseded(name: &str, text: &str) -> (TestEnv, crate::harness::RunFiles) {
    let env = TestEnv::new(files(["a"]));
    env.write(name, text);
    env.apply(&format!("{name} --max-bad 100%")).exits(1);
    let run = env.only_run("sheet");
    let snapshot = format!("partly_superseded_{}", name.replace('.', "_"));
    assert_text!(snapshot, run.report()[0]["message"]);
    (env, run)
}

#[test]
fn rest_of_partly_superseded_csv_row_feeds_back() {
    let (env, run) = partly_superseded("sheet.csv", "fileId,description,tags\na,hi,#N/A\na,,new\n");
    let failed = lines(&run.text("failed.csv"));
    assert_eq!((failed[0]["description"].as_str(), failed[0]["tags"].as_str()), ("hi", ""));
    env.write("again.csv", run.text("failed.csv"));
    env.apply("again.csv").exits(0);
    let file = env.file("a");
    assert_eq!((&file["description"], &file["tags"]), (&json!("hi"), &json!(["new"])));
}

#[test]
fn rest_of_partly_superseded_jsonl_row_feeds_back() {
    let text = "{\"fileId\":\"a\",\"description\":\"hi\",\"tags\":[\"50%\"]}\n\
                {\"fileId\":\"a\",\"tags\":[\"new\"]}\n";
    let (env, run) = partly_superseded("sheet.jsonl", text);
    env.write("again.jsonl", run.text("failed.jsonl"));
    env.apply("again.jsonl").exits(0);
    let file = env.file("a");
    assert_eq!((&file["description"], &file["tags"]), (&json!("hi"), &json!(["new"])));
}

/// Applies a sheet with bad rows, fixes what is returned, and applies that: all files are tagged.
fn fixed_rows_feed_back(
    name: &str,
    text: impl AsRef<[u8]>,
    returned: &str,
    options: &str,
) -> Vec<u8> {
    let env = TestEnv::new(files(["a", "b", "c"]));
    env.write(name, text);
    env.apply(&format!("{name} --max-bad 100% {options}")).exits(1);
    let first = env.only_run("sheet").path().join(returned);
    let failed = std::fs::read(&first).expect("rows failed");
    // Unfixed, the rows stay bad, and are returned with one reason each.
    env.write(&format!("again.{returned}"), &failed);
    env.apply(&format!("again.{returned} --max-bad 100% {options}")).exits(1);
    let again = env.only_run("again.failed").path().join(returned);
    let again = std::fs::read(again).expect("rows failed");
    assert_eq!(again.escape_ascii().to_string(), failed.escape_ascii().to_string());
    let fixed: Vec<u8> =
        failed.iter().map(|byte| if *byte == b'%' { b'x' } else { *byte }).collect();
    env.write(&format!("fixed.{returned}"), fixed);
    env.apply(&format!("fixed.{returned} {options}")).exits(0);
    assert_eq!(env.file("b")["tags"], json!(["50x"]), "{}", failed.escape_ascii());
    failed
}

#[test]
fn json_array_comes_back_as_an_array() {
    let rows = [
        "{\"fileId\":\"a\",\"tags\":[\"red\"]}",
        "{\"fileId\":\"b\",\"tags\":[\"50%\"]}",
        "{\"fileId\":\"c\",\"tags\":[\"9%\"]}",
    ];
    let array = format!("[{}]", rows.join(","));
    let failed = fixed_rows_feed_back("sheet.json", &array, "failed.json", "");
    let objects: Value = serde_json::from_slice(&failed).expect("it is one array");
    assert_eq!(objects[0]["fileId"], "b");
    assert_eq!(objects[1]["ikbulk"]["status"], "rejected");
    // As another program formats it, in another encoding.
    let pretty =
        serde_json::to_string_pretty(&objects).expect("it is plain data").replace("50", "\u{e9}");
    let utf_16 =
        format!("\u{feff}{array}").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let failed = fixed_rows_feed_back("sheet.json", utf_16, "failed.json", "");
    assert!(failed.starts_with(b"\xFF\xFE[\0\n\0{\0"), "{}", failed.escape_ascii());
    let env = TestEnv::new(files(["b", "c"]));
    env.write("sheet.json", pretty);
    env.apply("sheet.json --max-bad 100%").exits(1);
    let again: Value =
        serde_json::from_str(&env.only_run("sheet").text("failed.json")).expect("an array");
    assert_eq!(again[0]["tags"], json!(["\u{e9}%"]));
    assert_eq!(again.as_array().map(Vec::len), Some(2));
}

#[test]
fn array_with_values_that_are_no_objects_comes_back_whole() {
    let env = TestEnv::new(files(["a", "b"]));
    env.write("sheet.json", "[1,\"x, ]\", null ,{\"fileId\":\"a\",\"tags\":[\"red\"]},[2,3]]");
    let done = env.apply("sheet.json --max-bad 100%").exits(1);
    let run = env.only_run("sheet");
    assert_eq!((run.count("updated"), run.count("rejected")), (1, 5));
    done.output_contains("failed.json");
    assert_text!(run.text("failed.json"));
    // Arrays one after the other are one sheet, as when the pages of a list are joined.
    env.write(
        "pages.json",
        "[{\"fileId\":\"a\",\"tags\":[\"x\"]}]\n[\n{\"fileId\":\"b\",\"tags\":[\"y\"]}\n]\n",
    );
    env.apply("pages.json").exits(0);
    assert_eq!(env.file("b")["tags"], json!(["y"]));
    // A bracket too many has no value.
    env.write("closed.json", "[{\"fileId\":\"a\",\"tags\":[\"x\"]}]]\n");
    env.apply("closed.json").exits(0);
    env.write(
        "cut.json",
        "[{\"fileId\":\"a\",\"tags\":[\"x\"]}]\n[{\"fileId\":\"b\",\"tags\":[\"y\"]}\n",
    );
    env.apply("cut.json").exits(2);
}

#[test]
fn json_objects_come_back_as_lines_that_can_be_read() {
    let rows = "{\n  \"fileId\": \"a\",\n  \"tags\": [\"red\"]\n}\n{\n  \"fileId\": \"b\",\n  \"tags\": [\"50%\"]\n}\n";
    let failed = fixed_rows_feed_back("sheet.json", rows, "failed.jsonl", "");
    assert!(failed.starts_with(b"{\n  \"fileId\": \"b\""), "{}", failed.escape_ascii());
    let rows = "{\"fileId\":\"a\",\"tags\":[\"red\"]}{\"fileId\":\"b\",\"tags\":[\"50%\"]}{\"fileId\":\"c\",\"tags\":[\"9%\"]}";
    fixed_rows_feed_back("sheet.json", rows, "failed.jsonl", "");
}

#[test]
fn returned_rows_that_do_not_fit_the_encoding_are_utf_8_with_a_bom() {
    let mut config = files(["a", "b"]);
    let schema = json!({"type": "SingleSelect", "selectOptions": ["大", "小"]});
    config.fields.push(json!({"id": "kind", "name": "kind", "label": "Kind", "schema": schema}));
    let env = TestEnv::new(config);
    let options = "--max-bad 100% --encoding windows-1252";
    env.write("sheet.csv", b"fileId,kind,description\na,gro\xDF,\xC9t\xE9\nb,,\xE0 50 \x80\n");
    env.apply(&format!("sheet.csv {options}")).exits(1);
    assert_eq!(env.file("b")["description"], "à 50 €");
    let failed = env.only_run("sheet").text("failed.csv");
    assert!(failed.starts_with("\u{feff}fileId,kind,description,"), "{failed}");
    assert!(failed.contains("\na,groß,Été,rejected,") && failed.contains('大'), "{failed}");
    // The BOM says more about the text than the option.
    env.write("fixed.csv", failed.replace("groß", "大"));
    env.apply(&format!("fixed.csv {options}")).exits(0);
    let file = env.file("a");
    assert_eq!(
        (&file["customMetadata"]["kind"], &file["description"]),
        (&json!("大"), &json!("Été"))
    );
}

#[test]
fn fully_superseded_row_needs_no_fix() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,tags\na,50%\na,new\n");
    assert_text!(env.apply("sheet.csv --max-bad 100%").exits(0));
}

#[test]
fn repeated_rejection_halts_and_names_rows() {
    let env = TestEnv::new(files(["other"]));
    let rows = (0..40).map(|n| format!("missing{n},text"));
    env.write("sheet.csv", sheet("fileId,description", rows));
    assert_text!(env.apply_direct("sheet.csv --concurrency 1 --max-rejected 100%").exits(3));
    let run = env.only_run("sheet");
    let off = "--max-same-rejection off --max-rejected 100% --rate unlimited";
    env.run(&format!("resume --yes {} {off}", run.name())).exits(1);
    assert_eq!(run.count("rejected"), 40);
}

/// A sheet of a German Excel: semicolons, Windows-1252, German headers, decimal commas.
#[test]
fn german_sheet_is_applied_fixed_and_applied_again_by_the_commands_shown() {
    let ids = ids(3);
    let env = TestEnv::new(files(&ids));
    let rows = [
        "Datei-ID;Schlagw\u{f6}rter;Beschreibung;price;rights_until;approved".to_owned(),
        format!("{};rot,gr\u{fc}n;Sch\u{f6}ne Gr\u{f6}\u{df}e;12,50;31.12.2026;WAHR", ids[0]),
        format!("{};blau;F\u{fc}r;1.234,50;01.02.2027;FALSCH", ids[1]),
        format!("{};gelb;T\u{fc}r;1.234;#NV;WAHR", ids[2]),
    ];
    // All of these characters have the same number in both.
    let bytes: Vec<u8> =
        rows.join("\r\n").chars().map(|c| u8::try_from(c).expect("Latin-1")).collect();
    env.write("Bilder.csv", bytes);
    let mut cases = Cases::default();
    cases.run(&env, "check Bilder.csv");
    cases.run(&env, "check Bilder.csv --encoding windows-1252");
    let maps = "--map Datei-ID=fileId --map Schlagw\u{f6}rter=tags --map Beschreibung=description";
    cases.run(&env, &format!("check Bilder.csv --encoding windows-1252 --locale de {maps}"));
    let options = format!("--encoding windows-1252 --locale de --max-bad 50% {maps}");
    let applied = env.apply(&format!("Bilder.csv {options}")).exits(1);
    cases.add("apply", &applied);
    assert_text!(cases);
    let file = env.file(&ids[1]);
    let metadata = &file["customMetadata"];
    assert_eq!(
        (&metadata["price"], &metadata["rights_until"]),
        (&json!(1234.5), &json!("2027-02-01"))
    );
    let run = env.only_run("Bilder");
    let failed = run.path().join("failed.csv");
    let mut bytes = std::fs::read(&failed).expect("a row failed");
    let at = bytes.windows(3).position(|part| part == b"#NV").expect("the bad cell");
    bytes.drain(at..at + 3);
    std::fs::write(&failed, bytes).expect("it can be written");
    let shown =
        applied.out.lines().find_map(|line| line.split_once("then: ikbulk ")).expect("a command").1;
    let command = shlex::split(shown).expect("a shell reads it");
    let command: Vec<String> = command.into_iter().chain(["--yes".to_owned()]).collect();
    env.command(&command).run().exits(0);
    let file = env.file(&ids[2]);
    assert_eq!(
        (&file["customMetadata"]["price"], &file["description"]),
        (&json!(1234), &json!("T\u{fc}r"))
    );
}

#[test]
fn sheet_is_the_same_by_a_link_to_it() {
    let env = TestEnv::new(files(["a", "b"]));
    env.write("sheet.csv", "fileId,description\na,old\nb,old\n");
    std::os::unix::fs::symlink(env.path("sheet.csv"), env.path("link.csv")).expect("a link");
    env.apply("link.csv --limit 1").exits(5);
    let run = env.only_run("link").name();
    env.run("apply --yes sheet.csv").exits(2).output_contains("unfinished run");
    env.write("sheet.csv", "fileId,description\na,new\nb,new\n");
    env.apply("sheet.csv").exits(0);
    env.run(&format!("resume --yes {run}")).exits(2).output_contains("--over-later-runs");
    assert_eq!(["a", "b"].map(|id| env.file(id)["description"].clone()), ["new", "new"]);
}

#[test]
fn edited_failed_csv_of_a_run_that_went_on_is_not_applied() {
    let env = TestEnv::new(files(["a", "b", "c"]));
    let rows = "a,50%,\nb,50%,\nc,,text\na,new,\n";
    env.write("sheet.csv", format!("fileId,tags,description\n{rows}"));
    env.apply("sheet.csv --max-bad 100% --limit 1").exits(5);
    let run = env.only_run("sheet");
    let failed = run.path().join("failed.csv");
    let edit = || {
        let text = run.text("failed.csv").replace("50%", "fixed");
        std::fs::write(&failed, text).expect("it can be edited");
    };
    // The reports are written again, with the same rows.
    edit();
    env.run(&format!("report {}", run.name())).exits(5);
    let edited = |number: u8| format!("{}/failed.edited-{number}.csv", run.name());
    env.run(&format!("plan {}", edited(1))).exits(0);
    edit();
    env.run(&format!("resume --yes {}", run.name())).exits(1);
    assert_text!(env.apply(&edited(1)).exits(2).err);
    env.apply(&edited(2)).exits(2);
    assert_eq!(env.file("a")["tags"], serde_json::json!(["new"]));
    edit();
    env.apply(&failed.display().to_string()).exits(0);
    assert_eq!(env.file("a")["tags"], serde_json::json!(["new"]));
    assert_eq!(env.file("b")["tags"], serde_json::json!(["fixed"]));
}

#[test]
fn sheet_of_any_name_has_runs() {
    for name in [format!("{}.csv", "x".repeat(251)), "sheet.ikbulk".to_owned()] {
        let env = TestEnv::new(files(["a"]));
        env.write(&name, "fileId,description\na,New\n");
        let applied = env.apply(&name).exits(0);
        let run = applied.line("report").trim_start_matches("report").trim();
        let run = run.trim_end_matches("/report.csv").to_owned();
        env.run(&format!("undo --yes {run}")).exits(0);
        assert_ne!(env.file("a")["description"], "New");
        env.run(&format!("report {name}")).exits(2).output_contains(&run);
    }
}
