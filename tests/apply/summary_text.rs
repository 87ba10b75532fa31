//! Snapshots of what a run, a resumed run, an undo and a report print at their end.

use std::time::Duration;

use ikbulk_sandbox::{
    Config, EmptyDescription, ExtensionOutcome, Fault, Hook, Library, Phase, Quirks, Status,
};
use serde_json::json;

use crate::harness::{
    Cases, ChildHandle, CmdResult, TestEnv, assert_text, files, ids, script, sheet, status,
    tagging, with_library,
};

#[test]
fn account_rejected() {
    let expired = status(403, "Your request contains expired private API key.");
    let world = TestEnv::new(script(vec![(3, expired)], files(ids(5))));
    world.write("sheet.csv", tagging(&ids(5)));
    let done = world.apply_direct("sheet.csv --concurrency 1").exits(3);
    assert_text!(done);
}

#[test]
fn interrupted_run() {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        if event.n == 3 && event.phase == Phase::Processed {
            hand.signal("TERM");
        }
    });
    let latency = Duration::from_millis(100);
    let world = TestEnv::new(Config { hook: Some(hook), latency, ..files(ids(5)) });
    world.write("sheet.csv", tagging(&ids(5)));
    let words = [
        "apply",
        "--direct",
        "--no-snapshot",
        "sheet.csv",
        "--yes",
        "--rate",
        "unlimited",
        "--concurrency",
        "1",
    ];
    let done = world.command(&words).run_as(&victim).exits(143);
    assert_text!(done);
}

/// Rows of each status, and of most codes.
#[test]
fn row_of_each_status() {
    let mut library = Library::new();
    for id in ids(8) {
        library.insert(json!({"fileId": id, "filePath": format!("/{id}.jpg"), "tags": ["old"],
            "description": "before"}));
    }
    library.insert(json!({"fileId": "full", "filePath": "/full.jpg", "tags": ["x".repeat(495)]}));
    let quirks = Quirks { empty_description: EmptyDescription::Ignore, ..Quirks::default() };
    // The first write, after the files were read.
    let faults = vec![(10, status(500, "Out of order."))];
    let env = TestEnv::new(script(faults, Config { quirks, ..with_library(library) }));
    let rows = [
        "file000,fails,,,,,",
        "file001,,gigantic,,,,",
        "file002,updated,,,,,",
        "file003,old,,,,,",
        "file004,,,<clear>,,,",
        "full,,,text,,too long,",
        "file005,50%,,,,,",
        "gone,new,,,,,",
        "file006,superseded,,,,,",
        "file006,last,,,,,",
        "file007,,,,,,\"[{\"\"name\"\":\"\"remove-bg\"\"}]\"",
        "file002,left,,,,,",
    ];
    let header = "fileId,tags,customMetadata.size,description,isPublished,addTags,extensions";
    env.write("sheet.csv", sheet(header, rows.into_iter().map(str::to_owned)));
    let flags = "--yes --rate unlimited --max-bad 100% --max-rejected 100% --concurrency 1 --exact \
                 --no-schema --attempts 1 --limit 11";
    let mut cases = Cases::default();
    cases.run(&env, &format!("apply sheet.csv {flags}"));
    let run = env.only_run("sheet");
    cases.add("report.csv", run.text("report.csv"));
    cases.add("failed.csv", run.text("failed.csv"));
    assert_text!(cases);
}

/// At-most-once requests whose responses are lost.
#[test]
fn unknown_rows() {
    let faults = vec![(2, Fault::ResetAfter), (5, Fault::Garbage)];
    let env = TestEnv::new(script(faults, files(["a", "b"])));
    env.write("sheet.csv", "fileId,isPublished\na,false\nb,false\n");
    let mut cases = Cases::default();
    cases
        .run(&env, "apply sheet.csv --direct --no-snapshot --yes --rate unlimited --concurrency 1");
    let run = env.only_run("sheet");
    cases.add("unknown.csv", run.text("unknown.csv"));
    env.write("unknown.csv", run.text("unknown.csv"));
    cases.run(&env, "apply unknown.csv --yes");
    assert_text!(cases);
}

/// Runs that end by themselves before all rows were attempted.
#[test]
fn aborted_runs() {
    let mut cases = Cases::default();
    let mut abort = |rows: usize, faults: Vec<(u64, Fault)>, flags: &str| {
        let env = TestEnv::new(script(faults, files(ids(rows))));
        env.write("sheet.csv", tagging(&ids(rows)));
        let flags = format!("--direct --no-snapshot --concurrency 1 --yes {flags}");
        let done = env.run(&format!("apply sheet.csv {flags}"));
        cases.add(&format!("ikbulk apply sheet.csv {flags}"), without_counts(done));
    };
    let rejected = |message: &dyn Fn(u64) -> String| {
        (1..=100).map(|n| (n, status(400, &message(n)))).collect::<Vec<_>>()
    };
    abort(25, rejected(&|_| "Tags are locked.".to_owned()), "--rate unlimited");
    abort(105, rejected(&|n| format!("Tags are locked by job {n}.")), "--rate unlimited");
    let throttled = Fault::Throttle { reset_ms: Some(1500), limit: None };
    let all = |fault: &Fault| (1..=1000).map(|n| (n, fault.clone())).collect::<Vec<_>>();
    // The second one ends the run in the middle of its wait.
    abort(3, all(&throttled), "--rate unlimited --down-max 1s");
    abort(3, all(&page()), "--rate unlimited --down-max 1s");
    abort(3, Vec::new(), "--rate 0.1 --burst 1 --leave 0% --max-duration 3s");
    assert_text!(cases);
}

/// Leaves out how many attempts there were: that depends on the time that each takes.
fn without_counts(mut done: CmdResult) -> CmdResult {
    let is_counted = |line: &&str| !line.starts_with("requests   ");
    done.out = done.out.lines().filter(is_counted).map(|line| line.to_owned() + "\n").collect();
    let message = |line: &str| line.split_once("Z ").map(|(_, message)| message.to_owned());
    let mut lines: Vec<&str> = done.err.lines().collect();
    lines.dedup_by_key(|line| message(line));
    done.err = lines.join("\n");
    done
}

/// The answer of a proxy.
fn page() -> Fault {
    let body = "<html><body><h1>502 Bad Gateway</h1></body></html>".to_owned();
    Fault::Status { code: 502, body, content_type: "text/html".to_owned() }
}

#[test]
fn undo_of_everything() {
    let mut library = Library::new();
    for id in ["a", "b", "c", "d"] {
        library.insert(json!({
            "fileId": id, "filePath": format!("/{id}.jpg"), "tags": ["old"],
            "description": format!("before {id}"), "customMetadata": {"brand": "Acme"},
            "AITags": [{"name": "boot", "source": "google-auto-tagging", "confidence": 90}],
        }));
    }
    let extensions = ExtensionOutcome::Always(Status::Success);
    let env = TestEnv::new(Config { extensions, ..with_library(library) });
    env.write(
        "sheet.jsonl",
        r#"{"fileId":"a","tags":["new"],"description":"after","customMetadata":{"brand":null}}
{"fileId":"b","description":"after","extensions":[{"name":"remove-bg"}]}
{"fileId":"b","removeAITags":["boot"]}
{"fileId":"c","description":"after","isPublished":false}
{"fileId":"d","addTags":["sale"],"description":"after"}
"#,
    );
    env.apply("sheet.jsonl").exits(0);
    // Another user has changed one file since.
    env.write("other.csv", "fileId,description\nd,another\n");
    env.apply_direct("other.csv").exits(0);
    let run = env.only_run("sheet");
    let mut cases = Cases::default();
    cases.run(&env, &format!("undo {} --yes --rate unlimited", run.name()));
    let undo = env.runs("sheet").pop().expect("there is a run");
    let mut files: Vec<_> =
        std::fs::read_dir(undo.path()).expect("it can be read").flatten().collect();
    files.sort_by_key(std::fs::DirEntry::file_name);
    for file in files {
        let name = file.file_name().display().to_string();
        if name.contains("left") || name.contains("input") {
            cases.add(&name, undo.text(&name));
        }
    }
    // What is left to undo the second time.
    cases.run(&env, &format!("undo {} --yes --rate unlimited", run.name()));
    assert_text!(cases);
}

#[test]
fn undo_that_is_refused() {
    let env = TestEnv::new(files(ids(2)));
    env.write("sheet.csv", tagging(&ids(2)));
    let mut cases = Cases::default();
    let mut undo = |made_by: &str, flags: &str| {
        env.run(made_by);
        let run = env.runs("sheet").pop().expect("it has begun");
        cases.add(
            &format!("ikbulk undo RUN {flags}, after: ikbulk {made_by}"),
            env.run(&format!("undo {} {flags}", run.name())),
        );
        std::fs::remove_dir_all(env.path("sheet.ikbulk")).expect("it is there");
    };
    undo("apply sheet.csv --sandbox", "--yes");
    undo("plan sheet.csv", "--yes");
    undo("apply sheet.csv --direct --no-snapshot --yes", "--yes");
    undo("apply sheet.csv --yes", "");
    undo("apply sheet.csv --yes", "-q");
    cases.run(&env, "undo --yes nowhere");
    assert_text!(cases);
}

#[test]
fn resumed_run() {
    let env = TestEnv::new(files(ids(4)));
    env.write("sheet.csv", tagging(&ids(4)));
    env.apply("sheet.csv --limit 1").exits(5);
    let run = env.only_run("sheet").name();
    let mut cases = Cases::default();
    cases.run(&env, "apply sheet.csv --yes");
    cases.run(&env, "resume");
    cases.run(&env, &format!("resume {run}"));
    cases.run(&env, &format!("resume {run} -q"));
    cases.run(&env, &format!("resume {run} --yes --rate unlimited --limit 1"));
    env.write("sheet.csv", "fileId,tags\nfile000,newer\n");
    cases.run(&env, "apply sheet.csv --yes --continue");
    cases.run(&env, &format!("resume {run} --yes --rate unlimited"));
    cases.run(&env, &format!("resume {run} --yes --rate unlimited --over-later-runs"));
    cases.run(&env, &format!("resume {run} --yes"));
    cases.run(&env, &format!("report {run}"));
    cases.run(&env, "apply sheet.csv --yes --continue --direct --no-snapshot");
    assert_text!(cases);
}

/// A request that timed out is retried, and its file is read back at the end.
#[test]
fn read_back_after_a_lost_response() {
    let env = TestEnv::new(script(vec![(1, Fault::ResetAfter)], files(["a"])));
    env.write("sheet.csv", "fileId,tags,isPublished\na,x,\na,,false\na,y,\n");
    assert_text!(env.apply_direct("sheet.csv --concurrency 1").exits(0));
}

#[test]
fn sandbox_command() {
    let env = TestEnv::new(Config::default());
    let terminal = env.command(&["sandbox", "--port", "0", "--files", "3"]).on_terminal();
    terminal.waits_for("http://127.0.0.1:");
    terminal.signal("INT");
    assert_text!(terminal.ends().exits(0));
}
