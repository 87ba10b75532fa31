//! `--save-responses` keeps the file objects that ImageKit returned.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};

use ikbulk_sandbox::{Config, ExtensionOutcome, Hook, Phase, Status};
use serde_json::Value;

use crate::harness::{ChildHandle, KEY, RunFiles, TestEnv, assert_text, files, ids, sheet};

fn saved(run: &RunFiles) -> Vec<Value> {
    let text = run.text("responses.jsonl");
    assert!(text.ends_with('\n') && !text.contains(KEY));
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

fn describing(ids: &[String]) -> String {
    sheet("fileId,description", ids.iter().map(|id| format!("{id},Text of {id}")))
}

fn request_ids(lines: &[Value]) -> Vec<&str> {
    let mut ids: Vec<_> = lines.iter().filter_map(|line| line["requestId"].as_str()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn file_objects_are_saved_with_row_and_step() {
    let env = TestEnv::new(Config {
        extensions: ExtensionOutcome::Always(Status::Success),
        ..files(["a", "b"])
    });
    env.write(
        "sheet.csv",
        "fileId,description,addTags,extensions,isPublished\n\
         a,Text,x,\"[{\"\"name\"\":\"\"remove-bg\"\"}]\",false\n\
         b,,x,,\n",
    );
    env.apply("sheet.csv --save-responses").exits(0);
    let run = env.only_run("sheet");
    let lines = saved(&run);
    let steps: Vec<_> = lines.iter().map(|line| (&line["rows"][0], &line["step"])).collect();
    // The tags were added by a bulk call, and one of its files is read back.
    let expected = serde_json::json!([[2, "details"], [2, "publish"], [2, "read back"]]);
    assert_eq!(serde_json::json!(steps), expected);
    assert_eq!(lines[0]["file"]["extensionStatus"]["remove-bg"], "success");
    assert_eq!(lines[1]["file"], env.file("a"));
    assert_eq!(lines[0]["requestId"], run.row(2)["requestId"]);
    let metadata = fs::metadata(run.path().join("responses.jsonl")).expect("it is there");
    assert_eq!(metadata.mode() & 0o777, 0o600);
    env.write("other.csv", "fileId,description\nb,Text\n");
    env.apply("other.csv").exits(0);
    assert!(!env.only_run("other").path().join("responses.jsonl").exists());
}

#[test]
fn resumed_run_continues_after_its_last_whole_line() {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        let is_it = event.method == "PATCH" && event.path.contains("file017");
        if is_it && event.phase == Phase::Processed {
            hand.kill();
        }
    });
    let ids = ids(20);
    let env = TestEnv::new(Config { hook: Some(hook), ..files(&ids) });
    env.write("sheet.csv", describing(&ids));
    env.apply("sheet.csv --save-responses --limit 10").exits(5);
    let run = env.only_run("sheet");
    let words = ["resume", "--yes", "--rate", "unlimited", &run.name()];
    assert_eq!(env.command(&words).run_as(&victim).code, None);
    let before = saved(&run);
    assert!(before.len() >= 10, "those of the first session are kept");
    // As a full disk leaves it.
    let path = run.path().join("responses.jsonl");
    let mut file = fs::OpenOptions::new().append(true).open(&path).expect("it is there");
    file.write_all(b"{\"rows\":[9],\"st").expect("it can be written");
    env.run(&format!("resume --yes --rate unlimited {}", run.name())).exits(0);
    let after = saved(&run);
    assert_eq!(after[..before.len()], before);
    let mut unique = request_ids(&after);
    unique.dedup();
    assert_eq!(unique.len(), after.len(), "no response is there twice");
    let files: std::collections::BTreeSet<_> =
        after.iter().map(|line| line["file"]["fileId"].as_str().expect("an id")).collect();
    assert_eq!(files.len(), 20);
}

#[cfg(target_os = "linux")]
#[test]
fn full_disk_stops_the_run() {
    let ids = ids(20);
    let env = TestEnv::new(files(&ids));
    env.write("sheet.csv", describing(&ids));
    env.apply("sheet.csv --save-responses --limit 1").exits(5);
    let run = env.only_run("sheet");
    fs::remove_file(run.path().join("responses.jsonl")).expect("it is there");
    symlink("/dev/full", run.path().join("responses.jsonl")).expect("it can be made");
    let resumed = format!("resume --yes --rate unlimited --concurrency 1 {}", run.name());
    assert_text!(env.run(&resumed).exits(4));
    assert!(run.count("not_attempted") > 0);
    fs::remove_file(run.path().join("responses.jsonl")).expect("it is there");
    env.run(&resumed).exits(0);
}
