//! `ikbulk retry`: failed rows and failed extensions are sent again, each once.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};

use ikbulk_sandbox::{Config, ExtensionOutcome, Fault, Hook, Phase, Status};

use crate::harness::{
    Cases, ChildHandle, TestEnv, assert_text, files, lines, script, status, tagging,
};

/// The first run of each extension on each file fails.
fn failing_first(config: Config) -> Config {
    Config { extensions: ExtensionOutcome::FailFirst { runs: 1 }, ..config }
}

/// Every extension succeeds at once.
fn succeeding(config: Config) -> Config {
    Config { extensions: ExtensionOutcome::Always(Status::Success), ..config }
}

/// A cell that requests remove-bg.
const REMOVE_BG: &str = r#""[{""name"":""remove-bg""}]""#;

/// Two rows with an extension and other changes, and one without.
const SHEET: &str = concat!(
    "fileId,description,addTags,extensions\n",
    "a,Text of a,x,\"[{\"\"name\"\":\"\"remove-bg\"\"}]\"\n",
    "b,Text of b,,\n",
    "c,,,\"[{\"\"name\"\":\"\"remove-bg\"\"}]\"\n",
);

fn env_with_failed_extensions() -> TestEnv {
    let env = TestEnv::new(failing_first(files(["a", "b", "c"])));
    env.write("sheet.csv", SHEET);
    env.apply("sheet.csv").exits(1);
    env
}

/// An environment after a run whose extensions failed, as they will again.
fn env_where_extensions_fail() -> TestEnv {
    let extensions = ExtensionOutcome::Always(Status::Failed);
    let env = TestEnv::new(Config { extensions, ..files(["a", "b", "c"]) });
    env.write("sheet.csv", SHEET);
    env.apply("sheet.csv").exits(1);
    env
}

/// An environment in which a request fails for once, and every extension succeeds.
fn env_where_request_fails(request: u64) -> TestEnv {
    let unavailable = status(503, "The service is unavailable.");
    TestEnv::new(script(vec![(request, unavailable)], succeeding(files(["a"]))))
}

fn retry(env: &TestEnv, rest: &str) -> crate::harness::CmdResult {
    env.run(&format!("retry --yes --rate unlimited --read-rate unlimited {rest}"))
}

/// Forgets the runs of extensions, so that the next ones fail again.
fn reset(env: &TestEnv) {
    let url = env.sandbox.base_url();
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut server = TcpStream::connect(address).expect("the sandbox listens");
    let head = "POST /__sandbox/reset HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\n\r\n";
    server.write_all(head.as_bytes()).expect("it takes a request");
    let mut response = String::new();
    server.read_to_string(&mut response).expect("it responds");
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
}

fn billed(env: &TestEnv, id: &str) -> u64 {
    env.sandbox.stats().billed_runs_of(id, "remove-bg")
}

#[test]
fn only_the_failed_extension_runs_again() {
    let env = env_with_failed_extensions();
    let run = env.only_run("sheet");
    let failed = lines(&run.text("failed.csv"));
    let shown: Vec<_> = failed.iter().map(|row| (&*row["fileId"], &*row["ikbulk.code"])).collect();
    assert_eq!(shown, [("a", "extension_failed"), ("c", "extension_failed")]);
    // Another client changes what the row had set.
    env.write("edit.csv", "fileId,description,removeTags\na,Edited,x\n");
    env.apply("edit.csv").exits(0);
    let before = env.sandbox.stats().calls;
    let mut cases = Cases::default();
    cases.add("ikbulk retry", retry(&env, &run.name()).exits(0));
    assert_text!(cases);
    let after = env.sandbox.stats().calls;
    assert_eq!((after.patch - before.patch, after.add_tags - before.add_tags), (2, 0));
    assert_eq!((billed(&env, "a"), billed(&env, "c")), (2, 2));
    assert_eq!(env.file("a")["description"], "Edited");
    assert!(!env.file("a")["tags"].to_string().contains("\"x\""));
    let retried = env.runs("sheet").pop().expect("there are two");
    assert_eq!(retried.statuses(), ["updated", "updated"]);
    assert!(!retried.path().join("failed.csv").exists());
}

#[test]
fn failed_extensions_run_again_only_where_a_person_asks() {
    let env = env_with_failed_extensions();
    // Other nights, with the same sheet.
    for _ in 0..2 {
        env.apply("sheet.csv --continue").exits(0);
        assert_eq!((billed(&env, "a"), billed(&env, "c")), (1, 1));
    }
    let night = env.runs("sheet").pop().expect("there is one");
    assert_eq!(night.row(4)["code"], "already_ran");
    assert_text!(night.row(4)["message"].replace(&env.runs("sheet")[0].name(), "RUN"));
    env.run("charges list").exits(0).output_contains("remove-bg  0 accepted, 2 failed");
    retry(&env, &env.runs("sheet")[0].name()).exits(0);
    assert_eq!((billed(&env, "a"), billed(&env, "c")), (2, 2));
    env.run("charges list").exits(0).output_contains("remove-bg  2 accepted");
}

#[test]
fn failed_csv_repeats_only_the_failed_extension() {
    let env = env_with_failed_extensions();
    env.write("again.csv", env.only_run("sheet").text("failed.csv"));
    let before = env.sandbox.stats().calls;
    for command in ["again.csv", "again.csv"] {
        env.apply(command).exits(0);
    }
    let after = env.sandbox.stats().calls;
    assert_eq!((after.patch - before.patch, after.add_tags - before.add_tags), (2, 0));
    assert_eq!((billed(&env, "a"), billed(&env, "c")), (2, 2));
    let env = env_with_failed_extensions();
    env.write("again.csv", env.only_run("sheet").text("failed.csv"));
    env.apply_direct("again.csv").exits(0);
    let statistics = env.sandbox.stats();
    assert_eq!((statistics.calls.patch, statistics.calls.add_tags), (5, 1));
}

#[test]
fn what_failed_again_in_a_retry_is_left_by_the_failed_csv_of_the_first_run() {
    let env = env_where_extensions_fail();
    let run = env.only_run("sheet").name();
    retry(&env, &run).exits(1);
    assert_eq!((billed(&env, "a"), billed(&env, "c")), (2, 2));
    env.apply(&format!("{run}/failed.csv")).exits(0);
    assert_eq!((billed(&env, "a"), billed(&env, "c")), (2, 2));
    env.write(
        "copy.csv",
        std::fs::read(env.path(&format!("{run}/failed.csv"))).expect("it is there"),
    );
    env.apply("copy.csv").exits(0);
    assert_eq!(
        (billed(&env, "a"), billed(&env, "c")),
        (2, 2),
        "the retry has run what it asks for"
    );
    // That of the retry asks for it again, once.
    let second = env.runs("sheet").pop().expect("there are two").name();
    for exit_code in [1, 0] {
        env.apply(&format!("{second}/failed.csv")).exits(exit_code);
        assert_eq!((billed(&env, "a"), billed(&env, "c")), (3, 3));
    }
}

#[test]
fn copy_of_failed_csv_asks_once() {
    let env = env_where_extensions_fail();
    let failed = env.only_run("sheet").text("failed.csv");
    env.write("one.csv", &failed);
    env.write("two.csv", &failed);
    // Saved again by another program.
    env.write("three.csv", failed.replace('\n', "\r\n"));
    for (sheet, exit_code) in [("one.csv", 1), ("one.csv", 0), ("two.csv", 0), ("three.csv", 0)] {
        env.apply(sheet).exits(exit_code);
        assert_eq!((billed(&env, "a"), billed(&env, "c")), (2, 2), "{sheet}");
    }
}

#[test]
fn copy_of_failed_csv_asks_for_nothing_that_a_retry_ran() {
    let env = env_where_extensions_fail();
    let run = env.only_run("sheet");
    env.write("copy.csv", run.text("failed.csv").replace('\n', "\r\n"));
    retry(&env, &run.name()).exits(1);
    env.apply("copy.csv").exits(0);
    assert_eq!((billed(&env, "a"), billed(&env, "c")), (2, 2));
    // What the retry returned is newer, and asks once more.
    let newest = env.runs("sheet").pop().expect("the retry").path().join("failed.csv");
    env.apply(&newest.display().to_string()).exits(1);
    assert_eq!((billed(&env, "a"), billed(&env, "c")), (3, 3));
}

/// Its sheets have no column for what a flag ran on all rows.
#[test]
fn failed_csv_needs_the_extensions_of_all_rows_again() {
    let extensions = ExtensionOutcome::Always(Status::Failed);
    let env = TestEnv::new(Config { extensions, ..files(["a", "b"]) });
    env.write("ikbulk.toml", "[extensions.cut]\nname = \"remove-bg\"\n");
    env.write("sheet.csv", "fileId,description\na,x\nb,y\n");
    let cut = ["--extensions", "cut"];
    let apply = |sheet: &str, flags: &[&str]| {
        let words = ["apply", sheet, "--yes", "--rate", "unlimited"];
        env.command(&[&words[..], flags].concat()).run()
    };
    apply("sheet.csv", &cut).exits(1);
    let failed = env.only_run("sheet").path().join("failed.csv").display().to_string();
    apply(&failed, &[]).exits(2).output_contains("pass --extensions cut");
    assert_eq!(billed(&env, "a"), 1);
    apply(&failed, &cut).exits(1);
    assert_eq!(billed(&env, "a"), 2);
}

#[test]
fn run_without_failed_rows_needs_no_consent_to_retry_nothing() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,tags\na,x\n");
    env.apply("sheet.csv").exits(0);
    let run = env.only_run("sheet").name();
    env.run(&format!("retry {run}")).exits(0).output_contains("no failed row is left to retry");
    assert_eq!(env.runs("sheet").len(), 1);
}

#[test]
fn retry_without_consent_leaves_no_run() {
    let env = env_with_failed_extensions();
    let run = env.only_run("sheet").name();
    env.run(&format!("retry {run}")).exits(2).output_contains("--yes");
    assert_eq!(env.only_run("sheet").name(), run);
}

#[test]
fn run_is_retried_once_and_never_twice() {
    let env = env_with_failed_extensions();
    let run = env.only_run("sheet").name();
    retry(&env, &run).exits(0);
    let requests = env.sandbox.stats().requests;
    let mut cases = Cases::default();
    cases.add("a second retry", retry(&env, &run).exits(2).err);
    let second = env.runs("sheet").pop().expect("there are two");
    cases.add("a retry of the retry", retry(&env, &second.name()).exits(0));
    assert_text!(cases);
    // The listing that names the account comes before the refusal.
    assert!(env.sandbox.stats().requests <= requests + 1);
    // The rows of the first run that were sent by hand meanwhile are not charged again.
    env.write("again.csv", env.runs("sheet")[0].text("failed.csv"));
    env.apply("again.csv").exits(0);
    assert_eq!((billed(&env, "a"), billed(&env, "c")), (2, 2));
}

#[test]
fn extensions_that_ran_since_the_run_are_not_retried() {
    let env = env_with_failed_extensions();
    env.write("again.csv", env.only_run("sheet").text("failed.csv"));
    env.apply("again.csv").exits(0);
    retry(&env, &env.only_run("sheet").name()).exits(0);
    let retried = env.runs("sheet").pop().expect("there are two");
    assert!(retried.report().iter().all(|row| row["code"] == "already_ran"));
    assert_eq!((billed(&env, "a"), billed(&env, "c")), (2, 2));
}

#[test]
fn charge_of_an_earlier_run_does_not_block_a_retry() {
    let env = TestEnv::new(failing_first(files(["a"])));
    let tagging = |confidence: u8| {
        format!(
            "fileId,extensions\na,\"[{{\"\"name\"\":\"\"google-auto-tagging\"\",\"\"minConfidence\"\":{confidence},\
             \"\"maxTags\"\":3}}]\"\n"
        )
    };
    env.write("sheet.csv", tagging(80));
    // The sandbox decides by the extension, whatever its configuration.
    env.write("first.csv", tagging(70));
    env.apply("first.csv").exits(1);
    env.apply("sheet.csv").exits(0);
    reset(&env);
    env.apply("sheet.csv --rerun-extensions").exits(1);
    let rerun = env.runs("sheet").pop().expect("there are two");
    retry(&env, &rerun.name()).exits(0);
    assert_eq!(env.sandbox.stats().billed_runs_of("a", "google-auto-tagging"), 2);
}

#[test]
fn retry_of_other_changes_runs_no_extension_that_ran_before() {
    // The first run takes three requests; the third of the second one is its write.
    let env = env_where_request_fails(6);
    env.write("first.csv", format!("fileId,extensions\na,{REMOVE_BG}\n"));
    env.write("sheet.csv", format!("fileId,description,extensions\na,Text,{REMOVE_BG}\n"));
    env.apply("first.csv").exits(0);
    env.apply("sheet.csv --attempts 1").exits(5);
    retry(&env, &env.only_run("sheet").name()).exits(0);
    assert_eq!((env.file("a")["description"].as_str(), billed(&env, "a")), (Some("Text"), 1));
}

#[test]
fn retry_of_a_later_row_runs_no_extension_that_an_earlier_row_ran() {
    let env = env_where_request_fails(4);
    let rows = format!("a,First,{REMOVE_BG}\na,Second,{REMOVE_BG}\n");
    env.write("sheet.csv", format!("fileId,description,extensions\n{rows}"));
    env.apply("sheet.csv --attempts 1 --concurrency 1").exits(5);
    let run = env.only_run("sheet");
    assert_eq!(run.statuses(), ["updated", "failed"]);
    retry(&env, &run.name()).exits(0);
    assert_eq!((env.file("a")["description"].as_str(), billed(&env, "a")), (Some("Second"), 1));
}

#[test]
fn resumed_run_keeps_what_an_extension_wrote_for_another_run_meanwhile() {
    let tagging = |name: &str| {
        format!("\"[{{\"\"name\"\":\"\"{name}\"\",\"\"minConfidence\"\":80,\"\"maxTags\"\":3}}]\"")
    };
    let (aws, google) = (tagging("aws-auto-tagging"), tagging("google-auto-tagging"));
    let env = TestEnv::new(succeeding(files(["a", "b"])));
    env.write("before.csv", format!("fileId,extensions\nb,{aws}\n"));
    let rows = format!("a,x,,\nb,,all,{google}\n");
    env.write("sheet.csv", format!("fileId,description,removeAITags,extensions\n{rows}"));
    env.write("other.csv", format!("fileId,extensions\nb,{google}\n"));
    env.apply("before.csv").exits(0);
    env.apply("sheet.csv --limit 1").exits(5);
    env.apply("other.csv").exits(0);
    let tags = env.file("b")["AITags"].clone();
    env.run(&format!("resume --yes --rate unlimited {}", env.only_run("sheet").name())).exits(0);
    assert_eq!(env.file("b")["AITags"], tags);
    assert_eq!(env.sandbox.stats().billed_runs_of("b", "google-auto-tagging"), 1);
}

#[test]
fn failed_rows_are_sent_again() {
    let unavailable = status(503, "The service is unavailable.");
    let ids = ["a", "b", "c"];
    // Three reads to plan, and then three writes.
    let config = script(vec![(5, unavailable)], files(ids));
    let env = TestEnv::new(config);
    env.write("sheet.csv", tagging(&ids));
    let mut cases = Cases::default();
    let applied = env.apply("sheet.csv --concurrency 1 --attempts 1").exits(5);
    let run = env.only_run("sheet");
    assert_eq!((run.count("updated"), run.count("failed")), (2, 1));
    cases.add("the next command", applied.line("next"));
    retry(&env, &run.name()).exits(0);
    cases.add("nothing is left", retry(&env, &env.runs("sheet")[1].name()).exits(0));
    assert_text!(cases);
    for id in ids {
        assert_eq!(env.file(id)["tags"], serde_json::json!([format!("tag-{id}")]));
    }
}

#[test]
fn retry_asks_and_respects_limits() {
    let env = env_with_failed_extensions();
    let run = env.only_run("sheet").name();
    let mut cases = Cases::default();
    cases.add("without a terminal", env.run(&format!("retry {run}")).exits(2).err);
    let limited = retry(&env, &format!("--yes-max-units 100 {run}")).exits(2);
    cases.add("too many units", limited.err);
    assert_eq!((billed(&env, "a"), billed(&env, "c")), (1, 1));
    assert_eq!(env.runs("sheet").len(), 1, "refused retries leave nothing");
    retry(&env, &format!("--max-units 130 {run}")).exits(5);
    assert_eq!(billed(&env, "a") + billed(&env, "c"), 3);
    assert_text!(cases);
}

#[test]
fn unfinished_runs_and_plans_are_not_retried() {
    let env = TestEnv::new(failing_first(files(["a", "b", "c"])));
    env.write("sheet.csv", SHEET);
    env.apply("sheet.csv --limit 1").exits(5);
    let mut cases = Cases::default();
    cases.add("unfinished", retry(&env, &env.only_run("sheet").name()).exits(2).err);
    env.write("planned.csv", "fileId,tags\nb,x\n");
    env.run("plan planned.csv").exits(0);
    cases.add("planned", retry(&env, &env.only_run("planned").name()).exits(2).err);
    assert_text!(cases);
}

#[test]
fn later_run_of_the_sheet_refuses_a_retry() {
    let unavailable = status(503, "The service is unavailable.");
    let env = TestEnv::new(script(vec![(2, unavailable)], files(["a", "b"])));
    env.write("sheet.csv", "fileId,description\na,old\n");
    env.apply("sheet.csv --attempts 1").exits(5);
    let run = env.only_run("sheet").name();
    env.write("sheet.csv", "fileId,description\na,new\n");
    env.apply("sheet.csv").exits(0);
    retry(&env, &run).exits(2).output_contains("a later run");
    assert_eq!(env.file("a")["description"], "new");
    retry(&env, &format!("--over-later-runs {run}")).exits(0);
    assert_eq!(env.file("a")["description"], "old");
}

#[test]
fn unknown_rows_are_never_retried() {
    // Two reads to plan, and a snapshot before each billed request.
    let faults = vec![(4, Fault::ResetAfter)];
    let env = TestEnv::new(script(faults, failing_first(files(["a", "c"]))));
    let sheet: String = SHEET
        .lines()
        .filter(|line| !line.starts_with("b,"))
        .fold(String::new(), |sheet, line| sheet + line + "\n");
    env.write("sheet.csv", sheet);
    env.apply("sheet.csv --concurrency 1").exits(6);
    let run = env.only_run("sheet");
    assert_eq!((run.count("unknown"), run.count("updated")), (1, 1));
    let retried = retry(&env, &run.name());
    assert_text!(retried);
    assert_eq!((billed(&env, "a"), billed(&env, "c")), (1, 2));
}

#[test]
fn killed_retry_is_resumed_without_a_second_charge() {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let (runs, counted) = (std::sync::Arc::new(AtomicU64::new(0)), 3);
    let hook = Hook::new(move |event| {
        // Both of the first run, and the first of the retry.
        if event.method == "PATCH"
            && event.phase == Phase::Processed
            && runs.fetch_add(1, Ordering::Relaxed) + 1 == counted
        {
            hand.kill();
        }
    });
    let env = TestEnv::new(Config { hook: Some(hook), ..failing_first(files(["a", "c"])) });
    env.write("sheet.csv", SHEET.replace("b,Text of b,,\n", ""));
    env.apply("sheet.csv").exits(1);
    let run = env.only_run("sheet").name();
    let words = ["retry", "--yes", "--rate", "unlimited", "--concurrency", "1", &run];
    assert_eq!(env.command(&words).run_as(&victim).code, None);
    retry(&env, &run).exits(2).output_contains("was retried by");
    let second = env.runs("sheet").pop().expect("there are two").name();
    env.run(&format!("resume --yes --rate unlimited {second}")).exits(6);
    assert_eq!((billed(&env, "a"), billed(&env, "c")), (2, 2));
    let retried = env.runs("sheet").pop().expect("there are two");
    assert_eq!((retried.count("unknown"), retried.count("updated")), (1, 1));
}

#[test]
fn jsonl_and_semicolon_sheets_are_retried_in_their_own_form() {
    let env = TestEnv::new(failing_first(files(["a", "b"])));
    env.write(
        "sheet.jsonl",
        "{\"fileId\":\"a\",\"description\":null,\"extensions\":[{\"name\":\"remove-bg\"}]}\n",
    );
    env.write(
        "german.csv",
        b"fileId;description;extensions\nb;Sch\xf6n;\"[{\"\"name\"\":\"\"remove-bg\"\"}]\"\n",
    );
    env.apply("sheet.jsonl").exits(1);
    env.apply("german.csv --encoding windows-1252").exits(1);
    for (stem, id) in [("sheet", "a"), ("german", "b")] {
        retry(&env, &env.only_run(stem).name()).exits(0);
        assert_eq!(billed(&env, id), 2, "{stem}");
    }
    assert_eq!(env.file("b")["description"], "Schön");
}

#[test]
fn pending_extensions_fail_a_run_that_says_so() {
    let pending =
        |config| Config { extensions: ExtensionOutcome::Always(Status::Pending), ..config };
    let env = TestEnv::new(pending(files(["a", "b"])));
    env.write("sheet.csv", "fileId,extensions\na,\"[{\"\"name\"\":\"\"remove-bg\"\"}]\"\n");
    env.apply("sheet.csv --fail-on-pending").exits(1);
    let run = env.only_run("sheet");
    assert_eq!(run.summary()["exit_code"], 1);
    env.run(&format!("report {}", run.name())).exits(1);
    retry(&env, &run.name()).exits(1).output_contains("no failed row");
    env.write("other.csv", "fileId,extensions\nb,\"[{\"\"name\"\":\"\"remove-bg\"\"}]\"\n");
    env.apply("other.csv").exits(0);
    // Also where nothing is left to send, and where the rest is settled in vain.
    let other = env.only_run("other").name();
    env.run(&format!("resume {other} --yes")).exits(0);
    env.run(&format!("resume {other} --yes --fail-on-pending")).exits(1);
    env.run(&format!("resume {other} --yes --settle=1ms")).exits(1);
}

#[test]
fn retry_of_a_sandbox_run_has_a_new_sandbox() {
    let env = TestEnv::new(files(["unused"]));
    let ids: Vec<String> = (0..40).map(|index| format!("file{index}")).collect();
    let rows = ids.iter().map(|id| format!("{id},\"[{{\"\"name\"\":\"\"remove-bg\"\"}}]\""));
    env.write("sheet.csv", crate::harness::sheet("fileId,extensions", rows));
    let call = env.command(&["apply", "sheet.csv", "--sandbox"]);
    call.without("IMAGE_KIT_BASE_URL").run().exits(1);
    let run = env.only_run("sheet");
    let failed = run.report().iter().filter(|row| row["code"] == "extension_failed").count();
    assert!(failed > 0);
    let call = env.command(&["retry", "--yes", &run.name()]);
    // The sandbox is deterministic, so that they fail again.
    call.without("IMAGE_KIT_BASE_URL").run().exits(1);
    let retried = env.runs("sheet").pop().expect("there are two");
    assert_eq!(retried.report().len(), failed);
}
