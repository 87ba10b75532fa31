//! Callbacks: `--listen`, `--public-url` and `settle --from`.

#![expect(clippy::disallowed_methods, reason = "waits for threads and sockets on real time")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use ikbulk_sandbox::{Callbacks, Config, ExtensionOutcome, Fault, FinalStatus, Settlement, Status};
use serde_json::{Value, json};

use crate::harness::{
    Cases, ChildHandle, Line, RunFiles, TestEnv, assert_text, files, ids, script, status,
    with_library,
};

const HOUR: Duration = Duration::from_hours(1);
const SECRET: &str = "whsec_dGhlIHdob2xlIHN0cmluZyBpcyB0aGUga2V5";
/// Reading cannot tell what it did, so that a callback must settle it.
const TASKS: &str = r#"{"name":"ai-tasks","tasks":[{"type":"select_tags","instruction":"What?","vocabulary":["shirt"]}]}"#;
const REMOVE_BG: &str = r#"{"name":"remove-bg"}"#;

/// Every extension is pending and settles after this time, some as failed.
fn pending(after: Duration, callbacks: Callbacks, config: Config) -> Config {
    Config {
        extensions: ExtensionOutcome::Always(Status::Pending),
        settlement: Some(Settlement { after, status: FinalStatus::Realistic }),
        callbacks,
        ..config
    }
}

fn sheet<I: IntoIterator<Item = S>, S: AsRef<str>>(files: I) -> String {
    let row = |file: S| format!("{{\"fileId\":\"{}\",\"extensions\":[{TASKS}]}}\n", file.as_ref());
    files.into_iter().map(row).collect()
}

/// An environment whose sheet runs an extension on each file, and an address to listen on.
fn env(count: usize, after: Duration, callbacks: Callbacks) -> (TestEnv, String) {
    let ids = ids(count);
    let env = TestEnv::new(pending(after, callbacks, files(&ids)));
    env.write("sheet.jsonl", sheet(&ids));
    (env, free_address())
}

fn free_address() -> String {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port should be free");
    socket.local_addr().expect("it is bound").to_string()
}

fn public_url(address: &str) -> String {
    format!("--public-url http://{address}/hooks")
}

/// Waits until something happens, advancing the sandbox to its next retries.
fn until(env: &TestEnv, what: &str, mut has_happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !has_happened() {
        assert!(start.elapsed() < Duration::from_mins(10), "{what}: {:?}", env.sandbox.stats());
        env.sandbox.advance(Duration::from_mins(1));
        std::thread::yield_now();
    }
}

/// Asserts that each row has the status that the sandbox gave its extension.
fn assert_settled_right(env: &TestEnv, run: &RunFiles) {
    for row in run.report() {
        let file = &row["fileId"];
        let history = env.sandbox.history(file);
        let end = history.iter().find(|change| change["call"] == "extension");
        let expected = match end.expect("it has settled")["body"]["status"].as_str() {
            Some("SUCCESS") => "success",
            _ => "failed",
        };
        assert_eq!(row["extensionStatus.ai-tasks"], expected, "{file}");
    }
}

/// The `webhookUrl` of the last request on a file.
fn webhook_url(env: &TestEnv, file: &str) -> String {
    let history = env.sandbox.history(file);
    let body = &history.last().expect("there was a request")["body"];
    body["webhookUrl"].as_str().expect("it names a URL").to_owned()
}

/// Callbacks twice, shuffled, signed, and along with forged ones; the listener is killed in between.
fn settle_with_a_restart(count: usize) {
    let callbacks = Callbacks {
        secret: Some(SECRET.to_owned()),
        copies: 2,
        max_delay: Duration::from_secs(30),
        forged: true,
        ..Callbacks::default()
    };
    let (env, address) = env(count, HOUR, callbacks);
    let limit = format!("--max-extension-runs ai-tasks={count}");
    env.apply_direct(&format!("sheet.jsonl {limit} {}", public_url(&address))).exits(0);
    let run = env.only_run("sheet");
    let settle = || {
        let settle = ["settle", &run.name(), "--listen", &address, "--rate", "unlimited"];
        env.command(&settle).env("IMAGEKIT_WEBHOOK_SECRET", SECRET)
    };
    env.sandbox.advance(HOUR);
    let delivered = || env.sandbox.stats().callbacks.delivered;
    let victim = ChildHandle::default();
    std::thread::scope(|scope| {
        let killed = scope.spawn(|| settle().run_as(&victim));
        until(&env, "callbacks arrive", || delivered() > count as u64 / 3);
        victim.kill();
        assert_eq!(killed.join().expect("it was killed").code, None);
    });
    assert!(delivered() < 2 * count as u64, "the listener was killed in between");
    std::thread::scope(|scope| {
        let settled = scope.spawn(|| settle().run());
        until(&env, "the rest arrives", || settled.is_finished());
        settled.join().expect("it settles").exits(1);
    });
    assert_settled_right(&env, &run);
    let stats = env.sandbox.stats();
    assert_eq!((stats.callbacks.due, stats.settled_runs), (count as u64, count as u64));
    assert!(stats.forged_callbacks.sent > 0);
    assert_eq!(stats.forged_callbacks.delivered, 0, "a forged callback was accepted");
}

#[test]
fn saved_callbacks_that_cannot_be_read_are_refused() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,extensions\na,\"[{\"\"name\"\":\"\"remove-bg\"\"}]\"\n");
    env.apply("sheet.csv").exits(0);
    let run = env.only_run("sheet").name();
    env.run(&format!("settle {run} --from nowhere.json")).exits(2).output_contains("cannot read");
}

#[test]
fn repeated_shuffled_and_forged_callbacks_settle_each_extension_once() {
    settle_with_a_restart(100);
}

/// Takes a minute: `cargo test --release --test apply -- --ignored ten_thousand`.
#[test]
#[ignore = "takes a minute"]
fn ten_thousand_pending_extensions_are_settled_by_callbacks() {
    settle_with_a_restart(10_000);
}

#[test]
fn callback_before_the_end_of_the_run_counts() {
    let (env, address) = env(20, Duration::ZERO, Callbacks::default());
    let flags = format!("--settle=50s --listen {address} {}", public_url(&address));
    let applied = env.apply(&format!("sheet.jsonl {flags}")).exits(1);
    applied.output_contains("callbacks: 20 settled an extension");
    let run = env.only_run("sheet");
    assert_settled_right(&env, &run);
    // Settling again receives nothing more.
    env.run(&format!("settle {} --listen {address}", run.name())).exits(1);
}

#[test]
fn retry_receives_callbacks_of_its_own() {
    let (env, address) = env(20, Duration::ZERO, Callbacks::default());
    let flags = format!("--settle=50s --listen {address} {}", public_url(&address));
    env.apply(&format!("sheet.jsonl {flags}")).exits(1);
    let first = env.only_run("sheet");
    let shown = |row: &Line| row["extensionStatus.ai-tasks"].clone();
    let failed = first.report().iter().filter(|row| shown(row) == "failed").count();
    assert!(failed > 0);
    let retried = env.run(&format!("retry {} --yes --rate unlimited {flags}", first.name()));
    retried.output_contains(&format!("callbacks: {failed} settled an extension"));
    let retry = env.runs("sheet").pop().expect("it ran");
    assert!(retry.report().iter().all(|row| shown(row) != "pending"));
}

#[test]
fn retry_with_a_url_of_its_own_repeats_no_extension() {
    let env = TestEnv::new(script(
        vec![(3, status(503, "down"))],
        pending(HOUR, Callbacks::default(), files(["a"])),
    ));
    let row = format!(
        "{{\"fileId\":\"a\",\"description\":\"x\",\"addTags\":\"y\",\"extensions\":[{REMOVE_BG}]}}\n"
    );
    env.write("sheet.jsonl", row);
    env.apply_direct("sheet.jsonl --concurrency 1 --attempts 1").exits(5);
    let run = env.only_run("sheet");
    let billed = || env.sandbox.stats().billed_runs_of("a", "remove-bg");
    assert_eq!((billed(), env.sandbox.stats().calls.add_tags), (1, 1));
    let url = public_url(&free_address());
    env.run(&format!("retry {} --yes --rate unlimited {url}", run.name())).exits(0);
    assert_eq!((billed(), env.sandbox.stats().calls.add_tags), (1, 2));
    assert!(env.file("a")["tags"].to_string().contains("\"y\""));
}

#[test]
fn row_with_a_word_that_the_library_holds_gets_a_url() {
    let mut library = ikbulk_sandbox::Library::default();
    library.insert(json!({"fileId": "a", "tags": ["NULL"]}));
    let env = TestEnv::new(pending(HOUR, Callbacks::default(), with_library(library)));
    let row = format!("{{\"fileId\":\"a\",\"tags\":\"NULL,new\",\"extensions\":[{TASKS}]}}\n");
    env.write("sheet.jsonl", row);
    let address = free_address();
    env.apply(&format!("sheet.jsonl {}", public_url(&address))).exits(0);
    assert!(webhook_url(&env, "a").starts_with(&format!("http://{address}/hooks/")));
}

#[test]
fn callback_settles_a_request_whose_response_was_lost() {
    let config = script(vec![(1, Fault::ResetAfter)], files(["a"]));
    let env = TestEnv::new(pending(Duration::ZERO, Callbacks::default(), config));
    env.write("sheet.jsonl", sheet(["a"]));
    let address = free_address();
    let flags = format!("--settle=50s --listen {address} {}", public_url(&address));
    let applied = env.apply_direct(&format!("sheet.jsonl {flags}"));
    let run = env.only_run("sheet");
    assert_settled_right(&env, &run);
    assert_ne!(run.row(1)["status"], "unknown", "{applied}");
}

#[test]
fn token_is_the_same_after_resume_and_shown_nowhere() {
    let (env, address) = env(4, HOUR, Callbacks::default());
    let apply = format!("-vv sheet.jsonl --limit 2 {}", public_url(&address));
    let applied = env.apply_direct(&apply).exits(5);
    let run = env.only_run("sheet");
    let ids = ids(4);
    let first = webhook_url(&env, &ids[0]);
    let resumed = env.run(&format!("resume -vv --yes --rate unlimited {}", run.name())).exits(0);
    let (base, row) = first.rsplit_once('/').expect("it ends with the row");
    assert_eq!(row, "1");
    assert_eq!(webhook_url(&env, &ids[3]), format!("{base}/4"));
    let token = base.rsplit_once('/').expect("the token precedes the row").1;
    assert_eq!(token.len(), 64);
    for text in [&applied.out, &applied.err, &resumed.out, &resumed.err] {
        assert!(!text.contains(token), "{text}");
    }
    for entry in fs::read_dir(&run.0).expect("the run has a directory") {
        let path = entry.expect("it can be read").path();
        let bytes = fs::read(&path).expect("the file can be read");
        let has_token = contains(&bytes, token.as_bytes());
        let is_ledger = path.to_string_lossy().contains("ledger.db");
        assert!(is_ledger || !has_token, "{}", path.display());
        let mode = fs::metadata(&path).expect("it has a mode").permissions().mode();
        assert!(!is_ledger || mode.trailing_zeros() >= 6, "{}: {mode:o}", path.display());
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn webhook_url_of_a_row_wins() {
    let env = TestEnv::new(pending(HOUR, Callbacks::default(), files(["a", "b"])));
    let own = "https://example.com/own";
    let row = format!(
        "{{\"fileId\":\"a\",\"extensions\":[{TASKS}],\"webhookUrl\":\"{own}\"}}\n{}",
        sheet(["b"])
    );
    env.write("sheet.jsonl", row);
    let address = free_address();
    env.apply(&format!("sheet.jsonl {}", public_url(&address))).exits(0);
    assert_eq!(webhook_url(&env, "a"), own);
    assert!(webhook_url(&env, "b").starts_with(&format!("http://{address}/hooks/")));
}

#[test]
fn saved_callbacks_settle_the_extensions_that_they_name() {
    let env = TestEnv::new(pending(HOUR, Callbacks::default(), files(["a", "b", "c", "d"])));
    let two = format!("{{\"fileId\":\"d\",\"extensions\":[{REMOVE_BG}]}}\n");
    let other = two.replace(REMOVE_BG, r#"{"name":"remove-bg","options":{"bg_color":"white"}}"#);
    env.write("sheet.jsonl", sheet(["a", "b", "c"]) + &two + &other);
    env.apply("sheet.jsonl").exits(0);
    let run = env.only_run("sheet");
    let success = |service: &str, file: &str| json!({"service": service, "status": "SUCCESS", "fileObject": {"fileId": file}});
    let failure = json!({"service": "ai-tasks", "status": "FAILURE", "fileId": "b",
        "error": {"message": "no\u{1b}[2J image"}});
    let bodies: Vec<Value> = vec![
        success("ai-tasks", "a"),
        failure.clone(),
        failure,
        success("ai-tasks", "elsewhere"),
        success("upscale", "a"),
        success("remove-bg", "d"),
        json!({"service": "ai-tasks"}),
    ];
    let text: String = bodies.iter().map(|body| format!("{body}\n")).collect();
    env.write("callbacks.jsonl", text + "{\"service\": \"ai-");
    let mut cases = Cases::default();
    let reads = env.sandbox.stats().requests;
    let settle = format!("settle {} --from callbacks.jsonl", run.name());
    cases.add("first", env.run(&settle).exits(1));
    cases.add("again", env.run(&settle).exits(1));
    assert_text!(cases);
    assert_eq!(env.sandbox.stats().requests, reads, "nothing is sent");
    let statuses: Vec<String> = run
        .report()
        .iter()
        .map(|row| {
            format!("{}{}", row["extensionStatus.ai-tasks"], row["extensionStatus.remove-bg"])
        })
        .collect();
    assert_eq!(statuses, ["success", "failed", "pending", "pending", "pending"]);
    assert!(run.row(2)["message"].contains(r"no\u{1b}[2J image"), "{}", run.row(2)["message"]);
}

fn success(file: &str, version: &str) -> String {
    let object = json!({"fileId": file, "versionInfo": {"id": version}});
    json!({"service": "remove-bg", "status": "SUCCESS", "fileObject": object}).to_string() + "\n"
}

fn failure(file: &str, error: &str) -> String {
    json!({"service": "remove-bg", "status": "FAILURE", "fileId": file, "error": error}).to_string()
        + "\n"
}

/// A row that removes the background.
fn remove_bg(file: &str, color: &str) -> String {
    let options = json!({"name": "remove-bg", "options": {"bg_color": color}});
    json!({"fileId": file, "extensions": [options]}).to_string() + "\n"
}

#[test]
fn saved_callback_of_the_run_before_does_not_settle_its_retry() {
    let env = TestEnv::new(pending(HOUR, Callbacks::default(), files(["a", "b", "c"])));
    env.write("sheet.jsonl", ["a", "b", "c"].map(|file| remove_bg(file, "white")).concat());
    env.apply("sheet.jsonl").exits(0);
    let first = env.only_run("sheet");
    let old = ["a", "b", "c"].map(|file| failure(file, "no image")).concat();
    env.write("callbacks.jsonl", &old);
    env.run(&format!("settle {} --from callbacks.jsonl", first.name())).exits(1);
    env.run(&format!("retry {} --yes --rate unlimited", first.name())).exits(0);
    let retry = env.runs("sheet").pop().expect("it ran");
    let settle = format!("settle {} --from callbacks.jsonl", retry.name());
    let statuses = |run: &RunFiles| -> Vec<String> {
        run.report().iter().map(|row| row["extensionStatus.remove-bg"].clone()).collect()
    };
    let mut cases = Cases::default();
    cases.add("bodies of the first run", env.run(&settle).exits(0));
    assert_eq!(statuses(&retry), ["pending"; 3]);
    // The same receiver has saved those of the retry, too.
    let new = [success("a", "v2"), failure("b", "too dark"), failure("c", "no image")];
    env.write("callbacks.jsonl", old + &new.concat());
    cases.add("bodies of both", env.run(&settle).exits(1));
    assert_eq!(statuses(&retry), ["success", "failed", "pending"]);
    cases.add(
        "first run again",
        env.run(&format!("settle {} --from callbacks.jsonl", first.name())).exits(1),
    );
    assert_eq!(statuses(&first), ["failed"; 3]);
    assert_text!(cases);
}

#[test]
fn extension_that_failed_by_callback_runs_again_only_from_failed_jsonl() {
    let env = TestEnv::new(pending(HOUR, Callbacks::default(), files(["a"])));
    env.write("sheet.jsonl", remove_bg("a", "white"));
    env.apply("sheet.jsonl").exits(0);
    let run = env.only_run("sheet").name();
    env.write("callbacks.jsonl", failure("a", "no image"));
    env.run(&format!("settle {run} --from callbacks.jsonl")).exits(1);
    let billed = || env.sandbox.stats().billed_runs_of("a", "remove-bg");
    env.apply("sheet.jsonl").exits(0);
    assert_eq!(billed(), 1);
    env.apply(&format!("{run}/failed.jsonl")).exits(0);
    assert_eq!(billed(), 2);
    // It is pending, which counts as charged.
    env.apply(&format!("{run}/failed.jsonl")).exits(0);
    assert_eq!(billed(), 2);
}

#[test]
fn saved_callback_that_several_runs_wait_for_settles_none() {
    let env = TestEnv::new(pending(HOUR, Callbacks::default(), files(["a"])));
    env.write("white.jsonl", remove_bg("a", "white"));
    env.write("black.jsonl", remove_bg("a", "black"));
    env.apply("white.jsonl").exits(0);
    env.apply("black.jsonl").exits(0);
    let (white, black) = (env.only_run("white"), env.only_run("black"));
    env.write("callbacks.jsonl", failure("a", "no image"));
    let left_alone = "1 could be about another run of the extension on the file";
    for run in [&white, &black] {
        let settled = env.run(&format!("settle {} --from callbacks.jsonl", run.name())).exits(0);
        settled.output_contains(left_alone);
    }
    // Nor if the other one can no longer be read.
    fs::remove_dir_all(white.path()).expect("it can be removed");
    let settled = env.run(&format!("settle {} --from callbacks.jsonl", black.name())).exits(0);
    settled.output_contains(left_alone).output_contains("cannot tell which files the run");
    assert_eq!(black.row(1)["extensionStatus.remove-bg"], "pending");
}

#[test]
fn saved_callback_of_one_row_does_not_settle_the_next_row_of_the_file() {
    let env = TestEnv::new(pending(HOUR, Callbacks::default(), files(["a"])));
    env.write("sheet.jsonl", remove_bg("a", "white") + &remove_bg("a", "black"));
    env.apply("sheet.jsonl --limit 1").exits(5);
    let run = env.only_run("sheet");
    env.write("callbacks.jsonl", failure("a", "no image"));
    let settle = format!("settle {} --from callbacks.jsonl", run.name());
    env.run(&settle).exits(5);
    env.run(&format!("resume {} --yes --rate unlimited", run.name())).exits(1);
    env.run(&settle).exits(1).output_contains("1 repeated what was known");
    assert_eq!(run.row(2)["extensionStatus.remove-bg"], "pending");
}

#[test]
fn what_cannot_be_received_is_refused_before_anything_is_sent() {
    let (env, address) = env(1, HOUR, Callbacks::default());
    let occupied = TcpListener::bind(&address).expect("the port is free");
    let mut cases = Cases::default();
    let listen = format!("--settle --listen {address}");
    let apply = |flags: &str| env.apply(&format!("sheet.jsonl {flags}"));
    let url = public_url(&address);
    for (name, flags) in [
        ("address in use", format!("{listen} {url}")),
        ("no URL", listen.clone()),
        ("no settling", format!("--listen {address} {url}")),
        ("no address", "--settle --listen example.com:80".to_owned()),
        ("plain URL", "--public-url http://example.com/".to_owned()),
        ("no secret", format!("{listen} {url} --webhook-secret-file none")),
    ] {
        let result = apply(&flags);
        let text = result.to_string().replace(&address, "ADDRESS");
        cases.add(name, text);
    }
    drop(occupied);
    let command = ["apply", "--yes", "sheet.jsonl", "--settle", "--listen", &address];
    let malformed = env.command(&command).env("IMAGEKIT_WEBHOOK_SECRET", "secret").run().exits(2);
    cases.add("malformed secret", malformed.to_string());
    assert_eq!(env.sandbox.stats().calls.patch, 0);
    env.apply("sheet.jsonl").exits(0);
    let run = env.runs("sheet").pop().expect("there is a run");
    let settle = |flags: &str| env.run(&format!("settle {} {flags}", run.name())).exits(2);
    cases.add("no request names a URL", settle(&format!("--listen {address}")).to_string());
    assert_text!(cases);
}
