//! Snapshots of what the commands print.

use ikbulk_sandbox::{Config, ExtensionOutcome, Library, Status};
use serde_json::json;

use crate::harness::{Cases, TestEnv, assert_text, files, ids, sheet, tagging, with_library};
use crate::inputs::EVERY_COLUMN;

#[test]
fn check_names_every_bad_cell() {
    let world = TestEnv::new(files(["a"]));
    world.write(
        "sheet.csv",
        "fileId,tags,addTags,customCoordinates,extensions,isPublished,note\n\
         a,x,,,,,fine\n\
         b,50%,,,,,\n\
         ,x,,,,,\n\
         c,x,y,\"1,2\",,,\n\
         d,#N/A,,,,,\n\
         e,,,,\"[{\"\"name\"\":\"\"magic\"\"}]\",maybe,\n\
         f,,<clear>,,,,\n\
         ,,,,,,\n\
         g,x,y\n\
         h,x,,,,,\n",
    );
    let done = world.run("check sheet.csv").exits(1);
    assert_text!(done);
}

#[test]
fn the_trial_run_of_the_readme() {
    let world = TestEnv::new(files(["a"]));
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/retag.csv");
    std::fs::copy(fixture, world.path("retag.csv")).unwrap();
    let done = world.run("apply retag.csv --sandbox").exits(1);
    assert!(!done.err.contains('\u{1b}'), "colours are for terminals");
    assert_text!(done);
}

#[test]
fn every_change_of_a_plan() {
    let mut library = Library::new();
    for file in [
        json!({"fileId": "a", "filePath": "/shoes/a.jpg", "tags": ["shoe", "winter"],
            "AITags": [{"name": "boot", "source": "google-auto-tagging", "confidence": 90}]}),
        json!({"fileId": "b", "filePath": "/b.jpg", "tags": ["winter"], "description": "A shoe ",
            "customMetadata": {"brand": "Acme", "price": 12.5}, "isPublished": true}),
        json!({"fileId": "c", "filePath": "/c.jpg", "tags": ["so", "already"]}),
        json!({"fileId": "d", "filePath": "/d \"1\".jpg", "description": "Old"}),
    ] {
        library.insert(file);
    }
    let world = TestEnv::new(with_library(library));
    world.write(
        "sheet.jsonl",
        r#"{"fileId": "a", "tags": ["shoe", "winter 26"], "removeAITags": ["boot"]}
{"fileId": "b", "addTags": ["sale"], "removeTags": ["winter"], "description": "A shoe"}
{"fileId": "c", "tags": ["already", "so"]}
{"fileId": "d", "extensions": [{"name": "ai-auto-description"}], "webhookUrl": "https://x.example/"}
{"fileId": "d", "description": "New"}
{"fileId": "b", "customMetadata": {"brand": null, "price": 13, "size": "30"}, "description": null}
{"fileId": "b", "publish": {"isPublished": false, "includeFileVersions": true}}
{"fileId": "a", "customCoordinates": "1,2,3,4"}
"#,
    );
    let done = world.run("plan sheet.jsonl --diff").exits(0);
    assert_text!(done);
}

/// Every column that is a change, and one that is not read.
#[test]
fn preview_of_every_column() {
    let env = TestEnv::new(files(["a", "b", "c", "d"]));
    env.write("sheet.csv", EVERY_COLUMN);
    let mut cases = Cases::default();
    cases.run(&env, "check sheet.csv");
    cases.run(&env, "plan sheet.csv");
    cases.run(&env, "apply sheet.csv --direct --yes --rate unlimited");
    assert_text!(cases);
}

/// Three hundred files, some of them up to date, some with bad or missing rows.
fn large() -> TestEnv {
    let ids = ids(300);
    let mut library = Library::new();
    for id in &ids {
        library.insert(json!({"fileId": id, "filePath": format!("/shop/{id}.jpg"),
            "tags": ["winter", "sale"], "description": "A shoe"}));
    }
    let env = TestEnv::new(with_library(library));
    let row = |(n, id): (usize, &String)| match n {
        0..20 => format!("{id},\"winter,sale\",A shoe,"),
        20..25 => format!("{id},50% off,A boot,"),
        25..28 => format!("missing{n},summer,A boot,"),
        28 => format!("{id},<clear>,<clear>,kept"),
        _ => format!("{id},summer,A boot {},", n % 3),
    };
    let rows = ids.iter().enumerate().map(row);
    env.write("sheet.csv", sheet("fileId,tags,description,my note", rows));
    env
}

#[test]
fn preview_of_a_large_sheet() {
    let env = large();
    let mut cases = Cases::default();
    // Without a limit of reads, so that as many pages are listed ahead on every machine.
    cases.run(&env, "check sheet.csv");
    cases.run(&env, "plan sheet.csv --read-rate unlimited");
    cases.run(&env, "apply sheet.csv --yes --rate unlimited --read-rate unlimited");
    cases.run(
        &env,
        "apply sheet.csv --yes --rate unlimited --read-rate unlimited --max-bad 5% --limit 50",
    );
    assert_text!(cases);
}

#[test]
fn plan_as_json() {
    let env = large();
    let mut cases = Cases::default();
    cases.run(&env, "plan sheet.csv --json --max-bad 5%");
    cases.run(&env, "plan sheet.csv --detailed-exitcode -q");
    assert_text!(cases);
}

#[test]
fn preview_of_paths_and_urls() {
    let mut library = Library::new();
    for (id, path) in [("a", "/shoes/a.jpg"), ("b", "/b.jpg"), ("c", "/c.jpg")] {
        let url = format!("https://ik.imagekit.io/demo{path}");
        library.insert(json!({"fileId": id, "filePath": path, "url": url, "tags": ["old"]}));
    }
    let env = TestEnv::new(with_library(library));
    env.write(
        "sheet.csv",
        "filePath,url,tags\n/shoes/a.jpg,,new\n,https://ik.imagekit.io/demo/b.jpg,new\n\
         /none.jpg,,new\n,https://ik.imagekit.io/demo/none.jpg,new\n\
         ,https://ik.imagekit.io/demo/c.jpg?tr=w-100,old\n",
    );
    let mut cases = Cases::default();
    cases.run(&env, "check sheet.csv");
    cases.run(&env, "plan sheet.csv");
    cases.run(&env, "plan sheet.csv --diff");
    cases.run(&env, "apply sheet.csv --yes --rate unlimited --max-bad 100%");
    assert_text!(cases);
}

/// What an earlier run has changed and been charged for, and rows that share a file.
#[test]
fn preview_of_a_second_run() {
    let env = TestEnv::new(Config {
        extensions: ExtensionOutcome::Always(Status::Success),
        ..files(["a", "b", "c"])
    });
    let tagging = r#"[{"name":"google-auto-tagging","minConfidence":80,"maxTags":3}]"#;
    let extensions = r#"[{"name":"remove-bg"},{"name":"ai-auto-description"}]"#;
    env.write(
        "sheet.jsonl",
        format!(
            r#"{{"fileId": "a", "extensions": {tagging}}}
{{"fileId": "b", "tags": ["x"]}}
{{"fileId": "b", "description": "merged"}}
{{"fileId": "c", "tags": ["superseded"]}}
{{"fileId": "c", "tags": ["last"], "extensions": {extensions}}}
{{"fileId": "c"}}
"#
        ),
    );
    let mut cases = Cases::default();
    for flags in ["", "", "--rerun-extensions", "--skip-tagged"] {
        cases.run(&env, &format!("apply sheet.jsonl --yes --rate unlimited {flags}"));
    }
    cases.run(&env, "plan sheet.jsonl --diff");
    assert_text!(cases);
}

#[test]
fn saved_plan() {
    let mut library = Library::new();
    for id in ["a", "b", "c", "d"] {
        library.insert(json!({"fileId": id, "filePath": format!("/{id}.jpg"), "tags": ["old"]}));
    }
    let env = TestEnv::new(with_library(library));
    env.write("sheet.csv", "fileId,tags\na,new\nb,new\nc,new\nd,new\n");
    let mut cases = Cases::default();
    cases.run(&env, "plan sheet.csv");
    // Another user changes a file.
    env.write("other.csv", "fileId,tags\nb,other\n");
    env.run("apply other.csv --yes --rate unlimited").exits(0);
    let run = env.only_run("sheet").name();
    cases.run(&env, &format!("resume {run} --yes"));
    cases.run(&env, &format!("apply --plan {run} --yes --rate unlimited"));
    cases.run(&env, &format!("apply --plan {run} --yes --rate unlimited"));
    assert_text!(cases);
}

/// A person answers no.
#[test]
fn questions() {
    let env = TestEnv::new(files(["a", "b"]));
    env.write("tags.csv", tagging(&["a", "b"]));
    env.write("bad.csv", "fileId,tags\na,x\nb,50%\n");
    let charged = |extensions: &str| format!("{{\"fileId\":\"a\",\"extensions\":{extensions}}}\n");
    env.write("known.jsonl", charged(r#"[{"name":"remove-bg"}]"#));
    env.write("unknown.jsonl", charged(r#"[{"name":"ai-auto-description"}]"#));
    env.write("both.jsonl", charged(r#"[{"name":"remove-bg"},{"name":"ai-auto-description"}]"#));
    let mut cases = Cases::default();
    for sheet in ["tags.csv", "bad.csv", "known.jsonl", "unknown.jsonl", "both.jsonl"] {
        let arguments = ["apply", "--direct", "--no-snapshot", sheet];
        let mut terminal = env.command(&arguments).on_terminal();
        terminal.waits_for(if sheet.ends_with("csv") {
            "[y/N] "
        } else {
            "anything else to cancel: "
        });
        terminal.types("no\n");
        let done = terminal.ends().exits(2);
        cases.add(&format!("ikbulk {}", arguments.join(" ")), done);
    }
    assert_text!(cases);
}

#[test]
fn check_as_json_lists_every_problem() {
    let env = TestEnv::new(files(["a", "b"]));
    let mut cases = Cases::default();
    env.write("sheet.csv", "fileId,tags,note\na,\"50%,\n9%\",x\n,red,y\nb,NULL,z\n");
    cases.run(&env, "check sheet.csv --json");
    // Of a sheet that is refused, the reason is on standard error.
    let nulls =
        "{\"fileId\":\"a\",\"description\":null}\n{\"fileId\":\"b\",\"description\":\"x\"}\n";
    env.write("nulls.jsonl", nulls.to_owned() + "{\"fileId\":\"b\",\"description\":5}\n");
    cases.run(&env, "plan nulls.jsonl --json");
    env.write("good.csv", "fileId,tags\na,red\n");
    cases.run(&env, "check good.csv --json --quiet");
    env.write("empty.csv", "fileId,tags\n");
    cases.run(&env, "check empty.csv --json");
    assert_text!(cases);
}

#[test]
fn json_is_valid_whatever_the_sheet_has() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,tags,note\u{85}\na,red\u{202e};blue\u{7f}%,x\n");
    let checked = env.run("check sheet.csv --json").exits(1).out;
    assert!(!checked.contains(['\u{202e}', '\u{7f}', '\u{85}']), "{checked}");
    let checked: serde_json::Value = serde_json::from_str(&checked).expect("it is JSON");
    assert!(checked.to_string().contains("red\u{202e};blue\u{7f}%"), "{checked}");
}
