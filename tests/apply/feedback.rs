//! Applying the `failed` and `unknown` files of a run.

use ikbulk_sandbox::Fault;
use serde_json::{Value, json};

use crate::harness::{TestEnv, assert_text, files, lines, script, status};

const OWN: [&str; 4] = ["ikbulk.code", "ikbulk.done", "ikbulk.message", "ikbulk.status"];

#[test]
fn failed_publish_is_fed_back_alone() {
    let no = || status(403, "Publishing is not part of this plan.");
    // Details, the state before, publishing; then twice the state before and publishing.
    let env = TestEnv::new(script(vec![(3, no()), (6, no())], files(["a"])));
    env.write(
        "sheet.csv",
        "fileId,my note,description,isPublished\na,\" keep \"\"me\"\"\",text,false\n",
    );
    env.apply_direct("sheet.csv --no-schema").exits(1);
    let first = env.only_run("sheet").text("failed.csv");
    let line = &lines(&first)[0];
    assert_eq!(line["my note"], " keep \"me\"");
    assert_eq!(
        (line["ikbulk.status"].as_str(), line["ikbulk.code"].as_str()),
        ("rejected", "partial")
    );
    env.write("again.csv", &first);
    env.apply_direct("again.csv --no-schema").exits(1);
    let second = env.only_run("again").text("failed.csv");
    assert_eq!(second.lines().next(), first.lines().next(), "columns were added twice");
    assert_eq!(lines(&second)[0]["ikbulk.done"], line["ikbulk.done"]);
    env.write("third.csv", &second);
    env.apply_direct("third.csv --no-schema").exits(0);
    let calls = env.sandbox.stats().calls;
    assert_eq!((calls.patch, calls.publish, calls.get), (1, 3, 3));
    assert_eq!(env.file("a")["isPublished"], false);
}

/// A row whose description is set and whose publication is rejected, and its `failed.csv`.
fn rejected_publish() -> (TestEnv, String) {
    let no = status(403, "Publishing is not part of this plan.");
    let env = TestEnv::new(script(vec![(3, no)], files(["a"])));
    env.write("sheet.csv", "fileId,description,isPublished\na,text,false\n");
    env.apply_direct("sheet.csv").exits(1);
    let failed = env.only_run("sheet").text("failed.csv");
    (env, failed)
}

#[test]
fn fixed_cell_is_sent_despite_a_done_step() {
    let (env, failed) = rejected_publish();
    env.write("fixed.csv", failed.replacen("text", "better", 1));
    env.apply_direct("fixed.csv").exits(0);
    assert_eq!(env.file("a")["description"], "better");
    assert_eq!(env.sandbox.stats().calls.patch, 2);
}

#[test]
fn failed_rows_keep_their_bytes() {
    let env = TestEnv::new(files(["a"]));
    let text = "fileId,description,my column\n\
                =missing,\"=HYPERLINK(\"\"x\"\")\",\"+1\r\n2\"\n\
                @missing,  spaced  ,\"a,b\"\n";
    env.write("sheet.csv", text);
    env.apply_direct("sheet.csv").exits(1);
    let run = env.only_run("sheet");
    let failed = lines(&run.text("failed.csv"));
    let own = |line: usize| {
        let cell = |column: &str| failed[line][column].clone();
        [cell("fileId"), cell("description"), cell("my column")]
    };
    assert_eq!(own(0), ["=missing", "=HYPERLINK(\"x\")", "+1\r\n2"]);
    assert_eq!(own(1), ["@missing", "  spaced  ", "a,b"]);
    let ids: Vec<String> = run.report().iter().map(|line| line["fileId"].clone()).collect();
    assert_eq!(ids, ["'=missing", "'@missing"]);
}

#[test]
fn row_with_a_wrong_cell_count_stays_rejected() {
    // A comma without quotes is one cell too many; a missing cell at the end is an empty one.
    let text = "fileId,tags,description\na,red,blue,text\nb,red\nc,red,text\n";
    let env = TestEnv::new(files(["a", "b", "c"]));
    env.write("sheet.csv", text);
    env.apply_direct("sheet.csv --max-bad 100%").exits(1);
    let run = env.only_run("sheet");
    assert_eq!(run.statuses(), ["rejected", "updated", "updated"]);
    let failed = run.text("failed.csv");
    assert!(failed.contains("a,red,blue,text,"), "a cell got lost: {failed}");
    env.write("again.csv", &failed);
    let again = env.apply_direct("again.csv --max-bad 100%");
    assert_ne!(again.code, Some(0), "{failed}");
    assert_eq!(env.sandbox.stats().calls.patch, 2, "rows with bad cells were sent: {failed}");
}

#[test]
fn failed_json_lines_gain_one_key() {
    let no = || status(403, "Publishing is not part of this plan.");
    let env = TestEnv::new(script(vec![(3, no()), (6, no())], files(["a"])));
    let line = r#"{"fileId": "a",  "description":"text","isPublished":false"#;
    env.write("sheet.jsonl", format!("{line}}}\n"));
    env.apply_direct("sheet.jsonl").exits(1);
    let first = env.only_run("sheet").text("failed.jsonl");
    assert!(first.starts_with(line), "{first}");
    let own = serde_json::from_str::<Value>(&first).unwrap()["ikbulk"].clone();
    assert_eq!((&own["status"], &own["code"]), (&json!("rejected"), &json!("partial")));
    env.write("again.jsonl", &first);
    env.apply_direct("again.jsonl").exits(1);
    assert_eq!(env.only_run("again").text("failed.jsonl").matches("ikbulk").count(), 1);
    env.write("third.jsonl", env.only_run("again").text("failed.jsonl"));
    env.apply_direct("third.jsonl").exits(0);
    assert_eq!(env.sandbox.stats().calls.patch, 1);
}

#[test]
fn unknown_json_lines_need_a_flag() {
    let extension = r#"[{"name":"remove-bg"}]"#;
    // The state before, the billed request.
    let env = TestEnv::new(script(vec![(2, Fault::ResetAfter)], files(["a"])));
    env.write("sheet.jsonl", format!("{{\"fileId\":\"a\",\"extensions\":{extension}}}\n"));
    env.apply_direct("sheet.jsonl").exits(6);
    let unknown = env.only_run("sheet").text("unknown.jsonl");
    env.write("unknown.jsonl", &unknown);
    env.apply_direct("unknown.jsonl").exits(2);
    assert_eq!(env.sandbox.stats().billed_runs_of("a", "remove-bg"), 1);
    env.apply_direct("unknown.jsonl --repeat-unknown").exits(0);
    assert_eq!(env.sandbox.stats().billed_runs_of("a", "remove-bg"), 2);
}

#[test]
fn unknown_csv_rows_need_a_flag() {
    let env = TestEnv::new(script(vec![(2, Fault::ResetAfter)], files(["a", "b"])));
    env.write("sheet.csv", "fileId,isPublished\na,false\n");
    env.apply_direct("sheet.csv").exits(6);
    env.write("unknown.csv", env.only_run("sheet").text("unknown.csv"));
    env.apply_direct("unknown.csv").exits(2);
    assert_eq!(env.sandbox.stats().calls.publish, 1);
}

#[test]
fn ikbulk_columns_have_a_fixed_order() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,tags\nmissing1,x\n");
    env.apply_direct("sheet.csv").exits(1);
    let failed = env.only_run("sheet").text("failed.csv");
    assert!(
        failed.starts_with("fileId,tags,ikbulk.status,ikbulk.code,ikbulk.message,ikbulk.done\n")
    );
    let own: Vec<String> =
        lines(&failed)[0].keys().filter(|key| key.contains('.')).cloned().collect();
    assert_eq!(own, OWN);
}

#[test]
fn problems_are_grouped_by_cause() {
    let env = TestEnv::new(files(["a", "b", "c"]));
    env.write("sheet.csv", "fileId,tags\na,50%\nb,60%\ngone1,x\ngone2,y\nc,x\n");
    assert_text!(env.apply_direct("sheet.csv --max-bad 100%").exits(1));
}

#[test]
fn next_command_takes_a_sheet_whose_name_begins_with_a_hyphen() {
    let env = TestEnv::new(files(["a"]));
    env.write("-x.csv", "fileId,tags\na,x\na,50%\n");
    let words = ["apply", "--yes", "--max-bad", "100%", "--", "-x.csv"];
    let done = env.command(&words).run().exits(1);
    let next = done.out.split("then: ikbulk apply ").nth(1).and_then(|rest| rest.lines().next());
    let next = next.unwrap_or_else(|| panic!("no command to apply the fixed rows: {}", done.out));
    env.run(&format!("check {next}")).exits(1).output_contains("50%");
}

#[test]
fn row_whose_done_steps_cannot_be_read_is_rejected() {
    let (env, failed) = rejected_publish();
    let done = lines(&failed)[0]["ikbulk.done"].clone();
    env.write("damaged.csv", failed.replacen(done.as_str(), "1.23457E+15", 1));
    env.apply_direct("--max-bad 100% damaged.csv").exits(1);
    let calls = env.sandbox.stats().calls;
    assert_eq!((calls.patch, calls.publish), (1, 1), "nothing is sent again");
    let [row] = &env.only_run("damaged").report()[..] else { panic!("it has one row") };
    assert_eq!(
        row["message"],
        "ikbulk.done: \"1.23457E+15\" is not what ikbulk wrote; copy the cell again from the sheet that \
         ikbulk wrote"
    );
}
