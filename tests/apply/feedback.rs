//! What comes out of one run and goes into the next: failed rows, mended, and unknown ones.

use ikbulk::sandbox::Fault;
use serde_json::{Value, json};

use crate::harness::{TestEnv, assert_text, files, lines, script, status};

const OWN: [&str; 4] = ["ikbulk.code", "ikbulk.done", "ikbulk.message", "ikbulk.status"];

#[test]
fn a_row_whose_publishing_failed_is_fed_back_and_only_publishes() {
    let no = || status(403, "Publishing is not part of this plan.");
    // Details, the state before, publishing; then twice the state before and publishing.
    let world = TestEnv::new(script(vec![(3, no()), (6, no())], files(["a"])));
    world.write(
        "sheet.csv",
        "fileId,my note,description,isPublished\na,\" keep \"\"me\"\"\",text,false\n",
    );
    world.apply_direct("sheet.csv").exits(1);
    let first = world.only_run("sheet").text("failed.csv");
    let line = &lines(&first)[0];
    assert_eq!(line["my note"], " keep \"me\"");
    assert_eq!(
        (line["ikbulk.status"].as_str(), line["ikbulk.code"].as_str()),
        ("rejected", "partial")
    );
    world.write("again.csv", &first);
    world.apply_direct("again.csv").exits(1);
    let second = world.only_run("again").text("failed.csv");
    assert_eq!(second.lines().next(), first.lines().next(), "columns were added twice");
    assert_eq!(lines(&second)[0]["ikbulk.done"], line["ikbulk.done"]);
    world.write("third.csv", &second);
    world.apply_direct("third.csv").exits(0);
    let calls = world.sandbox.stats().calls;
    assert_eq!((calls.patch, calls.publish, calls.get), (1, 3, 3));
    assert_eq!(world.file("a")["isPublished"], false);
}

#[test]
fn a_mended_cell_is_sent_although_its_step_was_done_before() {
    let no = status(403, "Publishing is not part of this plan.");
    let world = TestEnv::new(script(vec![(3, no)], files(["a"])));
    world.write("sheet.csv", "fileId,description,isPublished\na,text,false\n");
    world.apply_direct("sheet.csv").exits(1);
    let failed = world.only_run("sheet").text("failed.csv");
    world.write("mended.csv", failed.replacen("text", "better", 1));
    world.apply_direct("mended.csv").exits(0);
    assert_eq!(world.file("a")["description"], "better");
    assert_eq!(world.sandbox.stats().calls.patch, 2);
}

#[test]
fn a_persons_own_cells_come_back_byte_for_byte_and_formulas_are_defused_in_the_report_only() {
    let world = TestEnv::new(files(["a"]));
    let text = "fileId,description,my column\n\
                =missing,\"=HYPERLINK(\"\"x\"\")\",\"+1\r\n2\"\n\
                @missing,  spaced  ,\"a,b\"\n";
    world.write("sheet.csv", text);
    world.apply_direct("sheet.csv").exits(1);
    let run = world.only_run("sheet");
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
fn a_row_with_the_wrong_number_of_cells_stays_wrong_until_it_is_mended() {
    // Commas without quotes: one cell too many, and one too few.
    let text = "fileId,tags,description\na,red,blue,text\nb,red\nc,red,text\n";
    let world = TestEnv::new(files(["a", "b", "c"]));
    world.write("sheet.csv", text);
    world.apply_direct("sheet.csv --max-bad 100%").exits(1);
    let run = world.only_run("sheet");
    assert_eq!(run.statuses(), ["rejected", "rejected", "updated"]);
    let failed = run.text("failed.csv");
    assert!(failed.contains("a,red,blue,text,"), "a cell got lost: {failed}");
    world.write("again.csv", &failed);
    let again = world.apply_direct("again.csv --max-bad 100%");
    assert_ne!(again.code, Some(0), "{failed}");
    assert_eq!(world.sandbox.stats().calls.patch, 1, "unmended rows were sent: {failed}");
}

#[test]
fn failed_lines_come_back_as_they_were_with_one_key_more() {
    let no = || status(403, "Publishing is not part of this plan.");
    let world = TestEnv::new(script(vec![(3, no()), (6, no())], files(["a"])));
    let line = r#"{"fileId": "a",  "description":"text","isPublished":false"#;
    world.write("sheet.jsonl", format!("{line}}}\n"));
    world.apply_direct("sheet.jsonl").exits(1);
    let first = world.only_run("sheet").text("failed.jsonl");
    assert!(first.starts_with(line), "{first}");
    let own = serde_json::from_str::<Value>(&first).unwrap()["ikbulk"].clone();
    assert_eq!((&own["status"], &own["code"]), (&json!("rejected"), &json!("partial")));
    world.write("again.jsonl", &first);
    world.apply_direct("again.jsonl").exits(1);
    assert_eq!(world.only_run("again").text("failed.jsonl").matches("ikbulk").count(), 1);
    world.write("third.jsonl", world.only_run("again").text("failed.jsonl"));
    world.apply_direct("third.jsonl").exits(0);
    assert_eq!(world.sandbox.stats().calls.patch, 1);
}

#[test]
fn unknown_rows_are_not_fed_back_by_mistake() {
    let extension = r#"[{"name":"remove-bg"}]"#;
    // The state before, the paid request.
    let world = TestEnv::new(script(vec![(2, Fault::ResetAfter)], files(["a"])));
    world.write("sheet.jsonl", format!("{{\"fileId\":\"a\",\"extensions\":{extension}}}\n"));
    world.apply_direct("sheet.jsonl").exits(6);
    let unknown = world.only_run("sheet").text("unknown.jsonl");
    world.write("unknown.jsonl", &unknown);
    world.apply_direct("unknown.jsonl").exits(2);
    assert_eq!(world.sandbox.stats().paid_runs_of("a", "remove-bg"), 1);
    world.apply_direct("unknown.jsonl --repeat-unknown").exits(0);
    assert_eq!(world.sandbox.stats().paid_runs_of("a", "remove-bg"), 2);
}

#[test]
fn unknown_rows_of_a_sheet_are_refused_too() {
    let world = TestEnv::new(script(vec![(2, Fault::ResetAfter)], files(["a", "b"])));
    world.write("sheet.csv", "fileId,isPublished\na,false\n");
    world.apply_direct("sheet.csv").exits(6);
    world.write("unknown.csv", world.only_run("sheet").text("unknown.csv"));
    world.apply_direct("unknown.csv").exits(2);
    assert_eq!(world.sandbox.stats().calls.publish, 1);
}

#[test]
fn the_own_columns_are_written_in_one_order() {
    let world = TestEnv::new(files(["a"]));
    world.write("sheet.csv", "fileId,tags\nmissing1,x\n");
    world.apply_direct("sheet.csv").exits(1);
    let failed = world.only_run("sheet").text("failed.csv");
    assert!(
        failed.starts_with("fileId,tags,ikbulk.status,ikbulk.code,ikbulk.message,ikbulk.done\n")
    );
    let own: Vec<String> =
        lines(&failed)[0].keys().filter(|key| key.contains('.')).cloned().collect();
    assert_eq!(own, OWN);
}

#[test]
fn of_a_cause_that_several_rows_share_it_is_said_whose_message_it_is() {
    let world = TestEnv::new(files(["a", "b", "c"]));
    world.write("sheet.csv", "fileId,tags\na,50%\nb,60%\ngone1,x\ngone2,y\nc,x\n");
    assert_text!(world.apply_direct("sheet.csv --max-bad 100%").exits(1));
}
