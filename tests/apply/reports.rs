//! What becomes of rows, and what people get to read of it.

use ikbulk::sandbox::{Fault, Faults};
use serde_json::json;

use crate::harness::{World, files, lines};

fn faulty(ids: &[&str], script: Vec<(u64, Fault)>) -> World {
    let faults = Faults { script, ..Faults::default() };
    World::new(ikbulk::sandbox::Config { faults, ..files(ids.iter().copied()) })
}

#[test]
fn a_failed_row_comes_back_byte_for_byte_and_can_be_mended_and_fed_back() {
    let world = World::new(files(["a", "b"]));
    world.write(
        "sheet.csv",
        "fileId,tags,Remark\nmissing,\"=1+1, x\",\"- \"\"mine\"\"\n two\"\na,red,\n",
    );
    world.apply("sheet.csv").exits(1);
    let run = world.only_run("sheet");
    assert_eq!(run.row(2)["message"], "The requested file does not exist.");
    let failed = run.text("failed.csv");
    assert_eq!(
        failed,
        "fileId,tags,Remark,ikbulk.status,ikbulk.code,ikbulk.message,ikbulk.done\n\
         missing,\"=1+1, x\",\"- \"\"mine\"\"\n two\",rejected,not_found,The requested file does not exist.,\n"
    );
    world.write("again.csv", failed.replace("missing,", "still-missing,"));
    world.apply("again.csv").exits(1);
    let again = world.only_run("again").text("failed.csv");
    assert_eq!(again, failed.replace("missing,", "still-missing,"), "no column is doubled");
    world.write("mended.csv", failed.replace("missing,", "b,"));
    world.apply("mended.csv").exits(0);
    assert_eq!(world.file("b")["tags"], json!(["=1+1", "x"]));
}

#[test]
fn a_step_that_is_done_is_not_repeated_when_its_row_is_fed_back() {
    // The requests: details of a, the state before publishing it, the refused publishing.
    let refusal = Fault::Status {
        code: 400,
        body: r#"{"message":"Not on your plan."}"#.to_owned(),
        content_type: "application/json".to_owned(),
    };
    let world = faulty(&["a"], vec![(3, refusal)]);
    world.write("sheet.csv", "fileId,tags,isPublished\na,red,false\n");
    world.apply("sheet.csv").exits(1);
    let run = world.only_run("sheet");
    let row = run.row(2);
    assert_eq!((row["status"].as_str(), row["code"].as_str()), ("rejected", "partial"));
    assert_eq!(row["message"], "details done; publish: Not on your plan.");
    world.write("again.csv", run.text("failed.csv"));
    world.apply("again.csv").exits(0);
    let calls = world.sandbox.stats().calls;
    assert_eq!((calls.patch, calls.publish), (1, 2), "only the publishing goes out again");
    assert_eq!(world.file("a")["isPublished"], json!(false));
}

#[test]
fn a_row_with_too_many_or_too_few_cells_comes_back_with_all_of_them() {
    let world = World::new(files(["a"]));
    world.write("sheet.csv", "fileId,tags,Remark\na,red,x,y,z\nb,red\na,blue,\n");
    world.apply("--max-bad 90% sheet.csv").exits(1);
    let failed = world.only_run("sheet").text("failed.csv");
    assert!(failed.contains("\na,red,x,y,z,rejected,"), "{failed}");
    assert!(failed.contains("\nb,red,rejected,"), "{failed}");
}

#[test]
fn one_field_said_in_two_ways_is_refused() {
    let world = World::new(files(["a"]));
    let twice = r#"{"fileId":"a","customMetadata":{"brand":"x","Brand":"y"}}"#;
    world.write("sheet.jsonl", twice);
    world.apply("--max-bad 100% sheet.jsonl").exits(1).says("sets already");
}

#[test]
fn formulas_are_defused_in_the_report() {
    let world = World::new(files(["-a"]));
    world.write("sheet.csv", "fileId,tags\n=cmd(),red\n-a,red\n");
    world.apply("sheet.csv").exits(1);
    let run = world.only_run("sheet");
    assert_eq!(run.row(2)["fileId"], "'=cmd()");
    assert!(run.text("failed.csv").contains("\n=cmd(),red,"));
}

#[test]
fn a_row_that_a_later_one_overtook_is_superseded_and_not_offered_again() {
    let refusal = Fault::Status {
        code: 400,
        body: r#"{"message":"Bad day."}"#.to_owned(),
        content_type: "application/json".to_owned(),
    };
    let world = faulty(&["a"], vec![(1, refusal)]);
    world.write("sheet.csv", "fileId,tags\na,old\na,new\n");
    world.apply("sheet.csv").exits(0);
    let run = world.only_run("sheet");
    let row = run.row(2);
    assert_eq!((row["status"].as_str(), row["code"].as_str()), ("rejected", "superseded"));
    assert!(lines(&run.text("failed.csv")).is_empty());
    assert_eq!(world.file("a")["tags"], json!(["new"]));
}

#[test]
fn a_field_that_was_silently_dropped_is_told() {
    let world = faulty(&["a"], vec![(1, Fault::DropField("description".to_owned()))]);
    world.write("sheet.csv", "fileId,tags,description\na,red,text\n");
    world.apply("sheet.csv").exits(1).says("description");
    let row = world.only_run("sheet").row(2);
    assert_eq!((row["status"].as_str(), row["code"].as_str()), ("updated", "differs"));
}

#[test]
fn report_writes_the_same_reports_again() {
    let world = World::new(files(["a"]));
    world.write("sheet.csv", "fileId,tags\na,red\nmissing,red\n");
    world.apply("sheet.csv").exits(1);
    let run = world.only_run("sheet");
    let names = ["report.csv", "failed.csv", "unknown.csv", "summary.json"];
    let before = names.map(|name| run.text(name));
    for name in names {
        std::fs::remove_file(run.path().join(name)).unwrap();
    }
    let relative = run.path().strip_prefix(world.path("")).unwrap();
    world.run(&format!("report {}", relative.display())).exits(1);
    assert_eq!(names.map(|name| run.text(name)), before);
}

#[test]
fn the_failed_rows_of_jsonl_are_jsonl_with_one_key_more() {
    let world = World::new(files(["a"]));
    world.write("sheet.jsonl", "{\"fileId\" : \"missing\",\"tags\":[\"x\"] }\n");
    world.apply("sheet.jsonl").exits(1);
    let failed = world.only_run("sheet").text("failed.jsonl");
    assert!(
        failed.starts_with("{\"fileId\" : \"missing\",\"tags\":[\"x\"] ,\"ikbulk\":{"),
        "{failed}"
    );
    world.write("again.jsonl", failed.replace("missing", "a"));
    world.apply("again.jsonl").exits(0);
}

#[test]
fn the_demo_of_the_readme_shows_what_it_should() {
    let world = World::new(files(["unused"]));
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/retag.csv");
    std::fs::copy(fixture, world.path("retag.csv")).unwrap();
    let done = world.run("apply --sandbox --rate unlimited --concurrency 1 retag.csv");
    let run = world.only_run("retag");
    let port = |line: &str| line.starts_with("endpoint") || line.starts_with("requests  ");
    let shown: Vec<&str> = done.out.lines().filter(|line| !port(line)).collect();
    let name = run.path().file_name().unwrap().to_string_lossy().into_owned();
    insta::assert_snapshot!(shown.join("\n").replace(&name, "TIME"));
    assert_eq!(done.code, Some(1));
}

#[test]
fn a_halt_says_why_and_what_to_do() {
    let world = faulty(&["a"], vec![(1, Fault::Expire)]);
    world.write("sheet.csv", "fileId,tags\na,red\n");
    let done = world.apply("sheet.csv").exits(3);
    let closing = &done.out[done.out.find("run  ").expect("there is a closing")..];
    let name = world.only_run("sheet").path().file_name().unwrap().to_string_lossy().into_owned();
    let lines = closing.lines().filter(|line| !line.starts_with("requests"));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n").replace(&name, "TIME"));
}
