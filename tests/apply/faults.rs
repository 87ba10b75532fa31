//! ImageKit with faults.

use std::time::Duration;

use ikbulk_sandbox::{
    Config, EmptyDescription, Fault, Hook, Library, MissingIds, Phase, Quirks, RequiredFields,
};
use serde_json::{Value, json};

use crate::harness::{
    ChildHandle, TestEnv, assert_text, chance, files, ids, script, sheet, status, tagged, tagging,
    with_library,
};

/// Every row is updated, and every file has the requested tags.
#[track_caller]
fn all_is_done(env: &TestEnv, count: usize) {
    assert_eq!(env.only_run("sheet").count("updated"), count as u64);
    for id in ids(count) {
        assert_eq!(env.file(&id)["tags"], json!([format!("tag-{id}")]), "{id}");
    }
}

fn page() -> Fault {
    let (body, content_type) = ("<h1>Bad Gateway</h1>".to_owned(), "text/html".to_owned());
    Fault::Status { code: 502, body, content_type }
}

#[test]
fn throttling_costs_no_attempt() {
    let throttle = Fault::Throttle { reset_ms: Some(20), limit: None };
    let env = tagged(100, |config| chance(vec![(throttle, 0.3)], config));
    env.apply_direct("sheet.csv --attempts 1").exits(0);
    all_is_done(&env, 100);
    let run = env.only_run("sheet");
    assert!(run.report().iter().all(|line| line["attempts"] == "1"));
    assert_eq!(run.summary()["requests"]["throttled"], env.sandbox.stats().throttled);
    assert!(env.sandbox.stats().throttled > 10);
}

#[test]
fn real_rate_limit_is_never_exceeded() {
    let limit = ikbulk_sandbox::Limit::Bucket { rate: 100.0, burst: 10 };
    let env = tagged(100, |config| Config { writes: vec![limit], ..config });
    env.run("apply --direct --no-snapshot sheet.csv --yes --rate 100 --burst 10").exits(0);
    all_is_done(&env, 100);
    assert_eq!(env.sandbox.stats().throttled, 0);
}

#[test]
fn server_and_connection_errors_are_retried() {
    let faults = vec![
        (page(), 0.04),
        (status(503, "Try again."), 0.03),
        (Fault::ResetBefore, 0.03),
        (Fault::ResetAfter, 0.03),
        (Fault::Garbage, 0.03),
        (Fault::CutBody, 0.03),
    ];
    let env = tagged(60, |config| chance(faults, config));
    env.apply_direct("sheet.csv --attempts 20").exits(0);
    all_is_done(&env, 60);
    assert!(!env.sandbox.stats().overlapped);
    assert!(env.only_run("sheet").summary()["requests"]["retried"].as_u64() > Some(5));
}

#[test]
fn connections_reset_on_accept_are_retried() {
    let faults = (1..=3).map(|n| (n, Fault::ResetAtAccept)).collect();
    let env = tagged(10, |config| script(faults, config));
    env.apply_direct("sheet.csv --concurrency 2").exits(0);
    all_is_done(&env, 10);
    assert_eq!(env.sandbox.stats().reset_at_accept, 3);
}

#[test]
fn row_fails_after_its_last_attempt() {
    // Between the two attempts a probe finds the service alive.
    let env = tagged(1, |config| script(vec![(1, page()), (3, page())], config));
    env.apply_direct("sheet.csv --attempts 2").exits(5);
    let run = env.only_run("sheet");
    let row = run.row(2);
    assert_eq!((row["status"].as_str(), row["code"].as_str()), ("failed", "server"));
    assert_eq!((row["attempts"].as_str(), row["httpStatus"].as_str()), ("2", "502"));
    env.write("again.csv", run.text("failed.csv"));
    env.apply_direct("again.csv").exits(0);
    assert_eq!(env.file("file000")["tags"], json!(["tag-file000"]));
}

#[test]
fn silently_ignored_field_is_a_mismatch() {
    let drop = vec![(1, Fault::DropField("tags".to_owned()))];
    let env = tagged(1, |config| script(drop, config));
    env.apply_direct("sheet.csv").exits(1);
    let row = env.only_run("sheet").row(2);
    assert_eq!((row["status"].as_str(), row["code"].as_str()), ("updated", "mismatch"));
}

#[test]
fn expired_key_aborts_and_the_run_resumes() {
    let expired = status(403, "Your request contains expired private API key.");
    let env = tagged(30, |config| script(vec![(10, expired)], config));
    env.apply_direct("sheet.csv --concurrency 1").exits(3);
    let run = env.only_run("sheet");
    assert_eq!((run.count("updated"), run.count("not_attempted")), (9, 21));
    env.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(0);
    all_is_done(&env, 30);
}

#[test]
fn expired_key_rejects_no_row() {
    let env = tagged(30, |config| script(vec![(10, Fault::Expire)], config));
    env.apply_direct("sheet.csv").exits(3);
    let run = env.only_run("sheet");
    env.run(&format!("resume --yes {}", run.name())).exits(3);
    assert_eq!(run.count("updated") + run.count("not_attempted"), 30);
    assert_eq!(run.count("rejected"), 0);
}

#[test]
fn wrong_key_aborts_at_the_first_response() {
    let env = tagged(30, |config| config);
    let call = env.command(&[
        "apply",
        "--direct",
        "--no-snapshot",
        "sheet.csv",
        "--yes",
        "--concurrency",
        "1",
    ]);
    call.env("IMAGEKIT_PRIVATE_KEY", "private_wrong").run().exits(3);
    assert_eq!(env.sandbox.stats().requests, 1);
    assert!(!env.path("sheet.ikbulk").exists());
}

#[test]
fn twenty_equal_rejections_abort_with_their_rows_open() {
    let missing: Vec<String> = (0..40).map(|index| format!("missing{index}")).collect();
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", tagging(&missing));
    env.apply_direct("sheet.csv --concurrency 1").exits(3);
    let run = env.only_run("sheet");
    assert_eq!(run.count("not_attempted"), 40);
    let on =
        env.run(&format!("resume --yes {} --rate unlimited --max-same-rejection off", run.name()));
    on.exits(1);
    assert_eq!(run.count("rejected"), 40);
}

#[test]
fn large_share_of_rejections_aborts() {
    let ids: Vec<String> = ids(150)
        .iter()
        .enumerate()
        .map(|(i, id)| if i % 3 == 0 { format!("missing{i}") } else { id.clone() })
        .collect();
    let env = TestEnv::new(files(&ids));
    env.write("sheet.csv", tagging(&ids));
    env.apply_direct("sheet.csv --concurrency 1").exits(3);
    assert!(env.only_run("sheet").count("not_attempted") > 0);
}

#[test]
fn unreachable_service_aborts_without_a_run() {
    let env = tagged(10, |config| config);
    env.apply_direct("sheet.csv --endpoint http://127.0.0.1:9 --down-max 1s").exits(3);
    assert!(!env.path("sheet.ikbulk").exists());
}

#[test]
fn superseded_row_is_not_fed_back() {
    let env = TestEnv::new(script(vec![(1, status(400, "Not today."))], files(["a"])));
    env.write("sheet.csv", "fileId,tags\na,first\na,second\n");
    env.apply_direct("sheet.csv").exits(0);
    let run = env.only_run("sheet");
    assert_eq!(run.row(2)["code"], "superseded");
    assert_text!(run.row(2)["message"]);
    assert!(!run.path().join("failed.csv").exists());
    assert_eq!(env.file("a")["tags"], json!(["second"]));
}

#[test]
fn failed_tag_additions_are_not_superseded_by_others() {
    let env = TestEnv::new(script(vec![(1, status(400, "Not today."))], files(["a"])));
    env.write("sheet.csv", "fileId,addTags\na,first\na,second\n");
    env.apply_direct("sheet.csv").exits(1);
    let run = env.only_run("sheet");
    assert_eq!(run.row(2)["code"], "rejected_by_api");
    env.apply_direct(&run.path().join("failed.csv").display().to_string()).exits(0);
    let tags = env.file("a")["tags"].clone();
    assert!(
        ["first", "second"]
            .iter()
            .all(|tag| tags.as_array().is_some_and(|all| all.contains(&json!(tag))))
    );
}

/// Applies a sheet to a file with the tag `b`, where the first request is rejected, and then its
/// `failed.csv`, if there is one. Returns both exit codes and the tags.
fn fed_back(columns: &str, rows: &str) -> (Option<i32>, Option<i32>, Value) {
    let mut library = Library::new();
    library.insert(json!({"fileId": "f", "filePath": "/f", "tags": ["b"], "description": "old"}));
    let env = TestEnv::new(script(vec![(1, status(400, "Not today."))], with_library(library)));
    env.write("sheet.csv", format!("{columns}\n{rows}"));
    let first = env.apply_direct("sheet.csv").code;
    let failed = env.only_run("sheet").path().join("failed.csv");
    let second = failed.exists().then(|| env.apply_direct(&failed.display().to_string()).code);
    let second = second.flatten();
    (first, second, env.file("f")["tags"].clone())
}

#[test]
fn failed_tag_edit_feeds_back_only_unsuperseded_tags() {
    let edits = |rows: &str| fed_back("fileId,addTags,removeTags", rows);
    assert_eq!(edits("f,\"a,q\",\nf,,\"q,b\"\n"), (Some(1), Some(0), json!(["a"])));
    assert_eq!(edits("f,a,\nf,,b\n"), (Some(1), Some(0), json!(["a"])));
    assert_eq!(edits("f,,b\nf,b,\n"), (Some(0), None, json!(["b"])));
    let lists = |rows: &str| fed_back("fileId,tags,addTags", rows);
    assert_eq!(lists("f,\"x,a\",\nf,,c\n"), (Some(1), Some(0), json!(["x", "a", "c"])));
    assert_eq!(lists("f,x,\nf,c,\n"), (Some(0), None, json!(["c"])));
}

#[test]
fn up_to_date_and_partial_rows_supersede() {
    let mut library = Library::new();
    library.insert(json!({"fileId": "f", "filePath": "/f", "description": "so"}));
    let env = TestEnv::new(with_library(library));
    let apply = |name: &str| env.run(&format!("apply {name} --yes --max-bad 100%"));
    env.write("sheet.csv", "fileId,description,tags\nf,other,50%\nf,so,\n");
    apply("sheet.csv").exits(1);
    let failed = env.only_run("sheet").text("failed.csv").replace("50%", "half");
    env.write("fixed.csv", failed);
    apply("fixed.csv").exits(0);
    assert_eq!(env.file("f")["description"], "so");
    assert_eq!(env.file("f")["tags"], json!(["half"]));
    // The details of a row are done, its tags are not.
    let env = TestEnv::new(script(vec![(2, status(400, "Not today."))], files(["a"])));
    env.write("sheet.csv", "fileId,description,tags,addTags\na,first,50%,\na,second,,x\n");
    env.apply_direct("sheet.csv --max-bad 100%").exits(1);
    let failed = env.only_run("sheet").text("failed.csv").replace("50%", "half");
    env.write("fixed.csv", failed);
    env.apply_direct("fixed.csv").exits(0);
    assert_eq!(env.file("a")["description"], "second");
}

#[test]
fn requests_in_flight_at_a_kill_are_read_back() {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        if event.method == "PATCH" && event.phase == Phase::Arrived {
            hand.kill();
        }
    });
    let env = TestEnv::new(Config { hook: Some(hook), ..files(["a", "b"]) });
    // What is published is merged with nothing, so that the file takes several requests.
    let rows = "a,one,\na,,false\na,two,\nb,one,\n";
    env.write("sheet.csv", format!("fileId,description,isPublished\n{rows}"));
    let words = ["apply", "sheet.csv", "--yes", "--rate", "unlimited"];
    assert_eq!(env.command(&words).run_as(&victim).code, None);
    let run = env.only_run("sheet");
    let resumed = env.run(&format!("resume --yes {} --rate unlimited", run.name()));
    resumed.exits(0);
    assert_eq!(env.file("a")["description"], "two");
}

/// Two rows are merged into one PATCH, after a publish whose response is lost.
#[test]
fn read_back_expects_a_merged_tag_list() {
    // Twice the state of the file, and publication.
    let env = TestEnv::new(script(vec![(3, Fault::ResetAfter)], files(["a"])));
    let rows = "a,false,,\na,,\"x,y\",\na,,,z\n";
    env.write("sheet.csv", format!("fileId,isPublished,tags,addTags\n{rows}"));
    env.run("apply sheet.csv --yes --rate unlimited").exits(6);
    assert_eq!(env.file("a")["tags"], json!(["x", "y", "z"]));
    let run = env.only_run("sheet");
    let codes: Vec<String> =
        run.report().into_iter().map(|mut row| row.remove("code").unwrap_or_default()).collect();
    assert_eq!(codes, ["connection", "", ""]);
}

#[test]
fn cell_of_spaces_supersedes_nothing() {
    let env = TestEnv::new(script(vec![(1, status(400, "Not today."))], files(["a"])));
    env.write("sheet.csv", "fileId,tags,description\na,first,\na,  ,text\n");
    env.apply_direct("sheet.csv").exits(1);
    let run = env.only_run("sheet");
    assert_eq!(run.row(2)["code"], "rejected_by_api");
    assert_eq!(run.text("failed.csv").lines().count(), 2);
}

#[test]
fn file_id_is_trimmed() {
    let env = TestEnv::new(script(vec![(1, status(400, "Not today."))], files(["a"])));
    let lines = r#"{"fileId":" a ","tags":["x"]}
{"fileId":"a","tags":["y"]}
"#;
    env.write("sheet.jsonl", lines);
    env.apply_direct("sheet.jsonl").exits(0);
    let first = env.only_run("sheet").row(1);
    assert_eq!((first["fileId"].as_str(), first["code"].as_str()), ("a", "superseded"));
}

#[test]
fn rows_of_one_file_keep_their_order_under_faults() {
    let faults = vec![(Fault::ResetAfter, 0.1), (page(), 0.1)];
    let env = TestEnv::new(chance(faults, files(["a"])));
    let rows = (0..30).map(|index| format!("a,t{index}"));
    env.write("sheet.csv", sheet("fileId,tags", rows));
    env.apply_direct("sheet.csv --attempts 20").exits(0);
    assert_eq!(env.file("a")["tags"], json!(["t29"]));
    assert!(!env.sandbox.stats().overlapped);
}

#[test]
fn bulk_call_failing_for_one_file_rejects_its_row() {
    let mut library = Library::new();
    library.insert(json!({"fileId": "full", "tags": ["x".repeat(495)]}));
    library.insert(json!({"fileId": "roomy", "tags": []}));
    let env = TestEnv::new(with_library(library));
    env.write("sheet.csv", "fileId,addTags\nfull,too long\nroomy,too long\n");
    env.apply_direct("sheet.csv").exits(1);
    let run = env.only_run("sheet");
    assert_eq!(run.statuses(), ["rejected", "updated"]);
    assert_eq!(run.row(2)["httpStatus"], "207");
    assert!(run.row(2)["message"].contains("less than or equal to 500"));
}

#[test]
fn missing_file_in_a_bulk_call_is_rejected() {
    for missing_ids in [MissingIds::Named, MissingIds::Silent] {
        let quirks = Quirks { missing_ids, ..Quirks::default() };
        let env = TestEnv::new(Config { quirks, ..files(["a"]) });
        env.write("sheet.csv", "fileId,addTags\na,x\nmissing1,x\n");
        env.apply_direct("sheet.csv").exits(1);
        assert_eq!(env.only_run("sheet").statuses(), ["updated", "rejected"]);
    }
}

#[test]
fn lost_billed_request_applies_its_idempotent_part() {
    let lost = [
        Fault::ResetAfter,
        Fault::Garbage,
        Fault::CutBody,
        Fault::StatusAfter {
            code: 504,
            body: String::new(),
            content_type: "text/plain".to_owned(),
        },
    ];
    for fault in lost {
        // The account's fields, the state before, the billed request.
        let env = TestEnv::new(script(vec![(3, fault.clone())], files(["a", "b"])));
        let extension =
            r#""[{""name"":""google-auto-tagging"",""minConfidence"":80,""maxTags"":3}]""#;
        let rows = format!(
            "fileId,tags,customMetadata.brand,extensions\na,x,Acme,{extension}\nb,y,,{extension}\n"
        );
        env.write("sheet.csv", rows);
        env.apply_direct("sheet.csv --concurrency 1").exits(6);
        let run = env.only_run("sheet");
        assert_eq!(run.statuses(), ["unknown", "updated"], "{fault:?}");
        let file = env.file("a");
        assert_eq!(
            (&file["tags"], &file["customMetadata"]["brand"]),
            (&json!(["x"]), &json!("Acme"))
        );
        let runs = |id| env.sandbox.stats().billed_runs_of(id, "google-auto-tagging");
        assert_eq!((runs("a"), runs("b")), (1, 1), "{fault:?}");
        assert_eq!(run.text("unknown.csv").lines().count(), 2);
    }
}

#[test]
fn lost_publish_is_unknown_and_not_retried() {
    let env = TestEnv::new(script(vec![(2, Fault::ResetBefore)], files(["a"])));
    env.write("sheet.csv", "fileId,isPublished\na,false\n");
    env.apply_direct("sheet.csv").exits(6);
    assert_eq!(env.only_run("sheet").statuses(), ["unknown"]);
    assert_eq!(env.sandbox.stats().calls.publish, 1);
}

#[test]
fn idempotent_request_is_retried_after_a_timeout() {
    let hang = Fault::HangAfter(Duration::from_secs(20));
    let env = tagged(1, |config| script(vec![(1, hang)], config));
    env.apply_direct("sheet.csv --timeout 300ms").exits(0);
    assert_eq!(env.only_run("sheet").row(2)["attempts"], "2");
}

#[test]
fn too_many_unknown_steps_abort() {
    // Each row: the state before, the lost request, and a successful probe.
    let ids = ids(10);
    let lost = (0..10).map(|row| (3 * row + 2, Fault::ResetAfter)).collect();
    let env = TestEnv::new(script(lost, files(&ids)));
    let rows = ids.iter().map(|id| format!("{id},false"));
    env.write("sheet.csv", sheet("fileId,isPublished", rows));
    assert_text!(env.apply_direct("sheet.csv --concurrency 1 --max-unknown 2").exits(3));
    let run = env.only_run("sheet");
    assert_eq!((run.count("unknown"), run.count("not_attempted")), (2, 8));
}

#[test]
fn clearing_a_description_under_each_api_behaviour() {
    for (empty_description, status, code) in [
        (EmptyDescription::Store, "updated", ""),
        (EmptyDescription::Clear, "updated", ""),
        (EmptyDescription::Ignore, "updated", "mismatch"),
        (EmptyDescription::Refuse, "rejected", "rejected_by_api"),
    ] {
        let mut library = Library::new();
        library.insert(json!({"fileId": "a", "description": "before"}));
        let quirks = Quirks { empty_description, ..Quirks::default() };
        let env = TestEnv::new(Config { quirks, ..with_library(library) });
        env.write("sheet.csv", "fileId,description\na,<clear>\n");
        env.apply_direct("sheet.csv").exits(i32::from(!code.is_empty()));
        let row = env.only_run("sheet").row(2);
        assert_eq!((row["status"].as_str(), row["code"].as_str()), (status, code));
    }
}

#[test]
fn missing_required_field_rejects_the_row() {
    let mut fields = Config::default().fields;
    let brand = fields.iter_mut().find(|field| field["name"] == "brand").expect("it is there");
    brand["schema"]["isValueRequired"] = json!(true);
    let quirks = Quirks { required_fields: RequiredFields::Given, ..Quirks::default() };
    let env = TestEnv::new(Config { quirks, fields, ..files(["a", "b", "c"]) });
    let sheet = "fileId,customMetadata.brand,customMetadata.price\na,Acme,5\nb,,5\nc,<clear>,\n";
    env.write("sheet.csv", sheet);
    env.apply_direct("sheet.csv --max-bad 100% --max-rejected 100%").exits(1);
    let run = env.only_run("sheet");
    assert_eq!(run.statuses(), ["updated", "rejected", "rejected"]);
    for row in [3, 4] {
        assert!(run.row(row)["message"].contains("brand"), "{}", run.row(row)["message"]);
    }
}
