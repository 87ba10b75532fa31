//! The corpus in `fixtures/sheets`: sheets as people and programs write them, each in a directory with
//! the options that it is read with (`options`, if any) and what becomes of it (`expected.txt`).
//!
//! After a change of wording or behaviour, `UPDATE_SHEETS=1 cargo test --test apply sheets` rewrites
//! the expectations; review the diff.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{TestEnv, files};

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

/// What `check` says about the sheet, and what `apply` makes of each row.
fn outcome(directory: &Path) -> String {
    let name = sheet_in(directory);
    let options = fs::read_to_string(directory.join("options")).unwrap_or_default();
    let env = TestEnv::new(files(library()));
    fs::copy(directory.join(&name), env.path(&name)).expect("the sheet can be copied");
    let checked = env.run(&format!("check {name} {}", options.trim()));
    let mut text = format!("# check\n{checked}");
    if checked.code == Some(2) {
        assert_eq!(env.sandbox.stats().calls.patch, 0, "{name}");
        return text;
    }
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
    let is_updating = std::env::var_os("UPDATE_SHEETS").is_some();
    let mut different = String::new();
    let mut directories: Vec<PathBuf> = fs::read_dir(corpus())
        .expect("the corpus can be read")
        .map(|entry| entry.expect("the corpus can be read").path())
        .filter(|path| path.is_dir())
        .collect();
    directories.sort();
    for directory in directories {
        let outcome = outcome(&directory);
        let expected = directory.join("expected.txt");
        if is_updating {
            fs::write(&expected, &outcome).expect("the corpus can be written");
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        if outcome != expected {
            different += &format!("\n{}\n{outcome}instead of\n{expected}", directory.display());
        }
    }
    assert!(different.is_empty(), "{different}");
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
    env.apply("sheet.csv --map Title=description").exits(2).output_contains("appears twice");
    env.write("ikbulk.toml", "[columns]\nAsset = \"file\"\n");
    env.apply("sheet.csv").exits(2).output_contains("no known column");
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
