//! The corpus in `fixtures/sheets`: sheets as people and programs write them, each in a directory with
//! what becomes of it (`expected.snap`), and where needed with the options that it is read with
//! (`options`), the state of its files and further fields (`library.json`), and commands besides
//! `check` and `apply` (`commands`, with `SHEET` for its name).

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use ikbulk_sandbox::Library;
use serde_json::Value;

use crate::harness::{Cases, TestEnv, files, with_library};

/// The files of the library that the sheets name: those of ImageKit's shape, and short ones.
fn library() -> Vec<String> {
    let long = (0..8).map(|n| format!("65a1f0c29b41d45b037cc00{n}"));
    long.chain(["a", "b", "c"].map(str::to_owned)).collect()
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sheets")
}

/// The name of the sheet in a directory of the corpus.
fn sheet_in(directory: &Path) -> String {
    let entries = fs::read_dir(directory).expect("the directory can be read").flatten();
    let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.find(|name| name.starts_with("sheet.")).expect("there is a sheet")
}

/// The ids of the files that most sheets name.
pub(crate) fn case_ids() -> Vec<String> {
    library().into_iter().take(6).collect()
}

/// Copies the sheet of a case into the environment; returns its name.
pub(crate) fn copy_sheet(env: &TestEnv, case: &str) -> String {
    let directory = corpus().join(case);
    let name = sheet_in(&directory);
    fs::copy(directory.join(&name), env.path(&name)).expect("the sheet can be copied");
    name
}

/// A library with the files, in the state that the directory says.
fn env_of(directory: &Path) -> TestEnv {
    let Ok(state) = fs::read(directory.join("library.json")) else {
        return TestEnv::new(files(library()));
    };
    let state: Value = serde_json::from_slice(&state).expect("it is JSON");
    let mut files = Library::new();
    for id in library() {
        let mut file = state["file"].clone();
        file["fileId"] = id.into();
        files.insert(file);
    }
    let mut config = with_library(files);
    config.fields.extend(state["fields"].as_array().into_iter().flatten().cloned());
    TestEnv::new(config)
}

/// What the commands of a directory say about its sheet.
fn commands_text(directory: &Path, name: &str) -> String {
    let commands = fs::read_to_string(directory.join("commands")).unwrap_or_default();
    let mut cases = Cases::default();
    let env = env_of(directory);
    fs::copy(directory.join(name), env.path(name)).expect("the sheet can be copied");
    for command in commands.lines() {
        cases.run(&env, &command.replace("SHEET", name));
    }
    cases.to_string()
}

/// What `check` and the further commands say about the sheet, and what `apply` makes of each row.
fn outcome(directory: &Path) -> String {
    let name = sheet_in(directory);
    let options = fs::read_to_string(directory.join("options")).unwrap_or_default();
    let env = env_of(directory);
    fs::copy(directory.join(&name), env.path(&name)).expect("the sheet can be copied");
    let checked = env.run(&format!("check {name} {}", options.trim()));
    let mut text = format!("# check\n{checked}");
    if checked.code == Some(2) {
        assert_eq!(env.sandbox.stats().calls.patch, 0, "{name}");
        return text;
    }
    text += &format!("\n{}", commands_text(directory, &name));
    let applied = env.apply_direct(&format!("--max-bad 100% {name} {}", options.trim()));
    text += &format!("\n# apply: exit code {:?}\n", applied.code);
    for run in env.runs(stem(&name)) {
        for row in run.report() {
            text += &format!(
                "row {} {} {} {}\n",
                row["row"], row["fileId"], row["status"], row["message"]
            );
        }
    }
    assert_failed_rows_stay_failed(&env, &name, options.trim());
    for id in library() {
        for change in env.sandbox.history(&id) {
            text += &format!("{id} {} {}\n", change["call"], change["body"]);
        }
    }
    text
}

/// The rows that a run returns are not accepted before a person has fixed them.
fn assert_failed_rows_stay_failed(env: &TestEnv, name: &str, options: &str) {
    let failed = env.only_run(stem(name)).path().join(format!("failed.{}", extension(name)));
    if !failed.exists() {
        return;
    }
    let again = format!("again.{}", extension(name));
    fs::copy(&failed, env.path(&again)).expect("the sheet can be copied");
    env.apply_direct(&format!("--max-bad 100% {again} {options}")).exits(1);
    let statuses = env.only_run("again").statuses();
    assert!(statuses.iter().all(|status| status == "rejected"), "{name}: {statuses:?}");
}

/// The name without its last ending, which names the directory of runs.
fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

fn extension(name: &str) -> &str {
    if name.contains("json") {
        "jsonl"
    } else if [".xlsx", ".ods", ".xls"].iter().any(|ending| name.contains(ending)) {
        "xlsx"
    } else {
        "csv"
    }
}

#[test]
fn every_sheet_of_the_corpus_is_read_as_expected() {
    let entries = fs::read_dir(corpus()).expect("the corpus can be read");
    let paths = entries.map(|entry| entry.expect("the corpus can be read").path());
    let mut directories: Vec<PathBuf> = paths.filter(|path| path.is_dir()).collect();
    directories.sort();
    // One sheet that is read otherwise does not hide others.
    let is_different = |directory: &PathBuf| catch_unwind(|| assert_expected(directory)).is_err();
    let different: Vec<PathBuf> = directories.into_iter().filter(is_different).collect();
    assert!(different.is_empty(), "{different:#?}");
}

/// Compares what becomes of the sheet in a directory with `expected.snap` there.
fn assert_expected(directory: &Path) {
    let outcome = outcome(directory);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(directory);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_filters(crate::harness::FILTERS.to_vec());
    settings.bind(|| insta::assert_snapshot!("expected", outcome));
}

#[test]
fn delimiter_of_a_run_is_kept_for_resume_and_report() {
    let env = TestEnv::new(files(["a", "b", "c"]));
    // Without the option, the semicolon would be detected.
    let text = "fileId;x|tags|description\na|red|one;two\nb|50%|\nc|blue|three\n";
    env.write("sheet.csv", text.replace("fileId;x", "fileId"));
    env.apply_direct("sheet.csv --delimiter | --max-bad 50% --limit 1").exits(5);
    let run = env.only_run("sheet");
    env.run(&format!("resume --yes {}", run.name())).exits(1);
    assert_eq!(run.statuses(), ["updated", "rejected", "updated"]);
    assert_eq!(env.file("a")["description"], "one;two");
    let failed = run.text("failed.csv");
    assert!(failed.starts_with("fileId|tags|description|ikbulk.status|"), "{failed}");
    env.run(&format!("report {}", run.name())).exits(1);
    assert_eq!(run.text("failed.csv"), failed);
    env.run("check sheet.csv --delimiter ;").exits(2);
}

#[test]
fn nearly_known_column_is_asked_about_on_a_terminal() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,desc,zags\na,a shoe,z\n");
    let words = ["apply", "sheet.csv", "--rate", "unlimited", "--read-rate", "unlimited"];
    let mut terminal = env.command(&words).on_terminal();
    terminal.waits_for("Read the column \"desc\" as description?");
    terminal.types("y\n");
    terminal.waits_for("Read the column \"zags\" as tags?");
    terminal.types("n\n");
    terminal.waits_for("Send this?");
    terminal.types("y\n");
    terminal.ends().exits(0);
    assert_eq!(env.file("a")["description"], "a shoe");
    // The answers belong to the run.
    env.run(&format!("report {}", env.only_run("sheet").name())).exits(0);
}

#[test]
fn settings_file_says_what_columns_mean() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "Asset,Alt text,Title\na,a shoe,x\n");
    env.write("ikbulk.toml", "[columns]\nAsset = \"fileId\"\n\"Alt text\" = \"description\"\n");
    env.apply("sheet.csv").exits(0);
    assert_eq!(env.file("a")["description"], "a shoe");
    env.apply("sheet.csv --map Title=description").exits(2).output_contains("both read as");
    env.write("ikbulk.toml", "[columns]\nAsset = \"file\"\n");
    env.apply("sheet.csv").exits(2).output_contains("no known column");
}

/// A settings file is for many sheets: the command for the returned rows of one names only its columns.
#[test]
fn settings_file_may_name_columns_that_a_sheet_does_not_have() {
    let env = TestEnv::new(files(["a"]));
    env.write("ikbulk.toml", "[columns]\nAsset = \"fileId\"\nTitle = \"description\"\n");
    env.write("sheet.csv", "Asset,tags\na,50%\n");
    env.run("check sheet.csv").exits(1);
    let run = env.apply("sheet.csv --max-bad 100%").exits(1);
    run.output_contains("failed.csv --map 'Asset=fileId'\n");
    env.write("sheet.csv", "Asset,tags\na,x\n");
    let check = env.run("check sheet.csv").exits(0);
    check.output_contains("next       ikbulk plan sheet.csv\n");
}

#[test]
fn returned_rows_have_the_encoding_of_the_sheet() {
    let env = TestEnv::new(files(["a", "b"]));
    env.write("sheet.csv", b"fileId;tags;description\na;x;Gr\xF6\xDFe\nb;50%;caf\xE9 \x80\n");
    // The run reads its copy in UTF-8, also when it is resumed.
    env.apply_direct("sheet.csv --encoding windows-1252 --max-bad 50% --limit 1").exits(5);
    let run = env.only_run("sheet");
    env.run(&format!("resume --yes {}", run.name())).exits(1);
    assert_eq!(env.file("a")["description"], "Größe");
    let failed = fs::read(run.path().join("failed.csv")).expect("a row failed");
    let row = b"b;50%;caf\xE9 \x80;rejected;";
    assert!(failed.windows(row.len()).any(|part| part == row), "{}", failed.escape_ascii());
    let fixed: Vec<u8> =
        failed.iter().map(|byte| if *byte == b'%' { b'x' } else { *byte }).collect();
    env.write("fixed.csv", fixed);
    env.apply_direct("fixed.csv --encoding windows-1252").exits(0);
    assert_eq!(env.file("b")["description"], "café €");
}

#[test]
fn guessed_encoding_is_confirmed_on_a_terminal() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", b"fileId,description\na,sch\xF6ne Gr\xFC\xDFe\n");
    let words = ["apply", "sheet.csv", "--rate", "unlimited", "--read-rate", "unlimited"];
    let mut terminal = env.command(&words).on_terminal();
    terminal.waits_for("Read it as windows-1252: Grüße, schöne?");
    terminal.types("y\n");
    terminal.waits_for("Send this?");
    terminal.types("y\n");
    terminal.ends().exits(0);
    assert_eq!(env.file("a")["description"], "schöne Grüße");
    assert_eq!(env.sandbox.stats().calls.patch, 1);
}

#[test]
fn compressed_sheets_are_read_from_standard_input_too() {
    let env = TestEnv::new(files(["a"]));
    let zstd = zstd_sheet();
    let words = ["apply", "--direct", "--no-snapshot", "-", "--yes"];
    env.command(&words).input(zstd.clone()).run().exits(0);
    assert_eq!(env.file("a")["tags"], serde_json::json!(["new"]));
    env.command(&["check", "-"]).input(zstd).run().exits(0);
}

/// A sheet that `zstd` has compressed.
fn zstd_sheet() -> Vec<u8> {
    fs::read(corpus().join("zstd/sheet.csv.zst")).expect("it is in the corpus")
}

#[test]
fn row_that_was_marked_as_none_stays_so() {
    let env = TestEnv::new(files(case_ids()));
    let sheet = copy_sheet(&env, "line-end-outside-quotes");
    env.apply(&format!("{sheet} --max-bad 100%")).exits(1);
    let failed = env.only_run("sheet").text("failed.csv");
    env.write("again.csv", failed);
    let checked = env.run("check again.csv").exits(1);
    assert!(!checked.out.contains("the header has"), "{}", checked.out);
    checked.output_contains("as an earlier run has found");
}
