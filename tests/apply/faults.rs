//! An ImageKit that does not behave.

use std::time::Duration;

use ikbulk::sandbox::{
    Config, EmptyDescription, Fault, Hook, Library, MissingIds, Phase, Quirks, RequiredFields,
};
use serde_json::{Value, json};

use crate::harness::{
    ChildHandle, TestEnv, assert_text, chance, files, ids, script, sheet, status, tagged, tagging,
    with_library,
};

/// Every row is updated, and every file has what was asked.
#[track_caller]
fn all_is_done(world: &TestEnv, count: usize) {
    assert_eq!(world.only_run("sheet").count("updated"), count as u64);
    for id in ids(count) {
        assert_eq!(world.file(&id)["tags"], json!([format!("tag-{id}")]), "{id}");
    }
}

fn page() -> Fault {
    let (body, content_type) = ("<h1>Bad Gateway</h1>".to_owned(), "text/html".to_owned());
    Fault::Status { code: 502, body, content_type }
}

#[test]
fn a_storm_of_429s_costs_no_attempt_and_no_row() {
    let throttle = Fault::Throttle { reset_ms: Some(20), limit: None };
    let world = tagged(100, |config| chance(vec![(throttle, 0.3)], config));
    world.apply_direct("sheet.csv --attempts 1").exits(0);
    all_is_done(&world, 100);
    let run = world.only_run("sheet");
    assert!(run.report().iter().all(|line| line["attempts"] == "1"));
    assert_eq!(run.summary()["requests"]["throttled"], world.sandbox.stats().throttled);
    assert!(world.sandbox.stats().throttled > 10);
}

#[test]
fn a_real_limit_is_kept_to() {
    let limit = ikbulk::sandbox::Limit::Bucket { rate: 100.0, burst: 10 };
    let world = tagged(100, |config| Config { writes: vec![limit], ..config });
    world.run("apply --direct --no-snapshot sheet.csv --yes --rate 100 --burst 10").exits(0);
    all_is_done(&world, 100);
    assert_eq!(world.sandbox.stats().throttled, 0);
}

#[test]
fn bursts_of_5xx_and_broken_connections_are_ridden_out() {
    let faults = vec![
        (page(), 0.04),
        (status(503, "Try again."), 0.03),
        (Fault::ResetBefore, 0.03),
        (Fault::ResetAfter, 0.03),
        (Fault::Garbage, 0.03),
        (Fault::CutBody, 0.03),
    ];
    let world = tagged(60, |config| chance(faults, config));
    world.apply_direct("sheet.csv --attempts 20").exits(0);
    all_is_done(&world, 60);
    assert!(!world.sandbox.stats().overlapped);
    assert!(world.only_run("sheet").summary()["requests"]["retried"].as_u64() > Some(5));
}

#[test]
fn connections_that_are_reset_as_they_are_accepted_cost_no_row() {
    let faults = (1..=3).map(|n| (n, Fault::ResetAtAccept)).collect();
    let world = tagged(10, |config| script(faults, config));
    world.apply_direct("sheet.csv --concurrency 2").exits(0);
    all_is_done(&world, 10);
    assert_eq!(world.sandbox.stats().reset_at_accept, 3);
}

#[test]
fn a_row_whose_attempts_are_used_up_has_failed_and_can_be_fed_back() {
    // Between the two attempts a probe finds the service alive.
    let world = tagged(1, |config| script(vec![(1, page()), (3, page())], config));
    world.apply_direct("sheet.csv --attempts 2").exits(5);
    let run = world.only_run("sheet");
    let row = run.row(2);
    assert_eq!((row["status"].as_str(), row["code"].as_str()), ("failed", "server"));
    assert_eq!((row["attempts"].as_str(), row["httpStatus"].as_str()), ("2", "502"));
    world.write("again.csv", run.text("failed.csv"));
    world.apply_direct("again.csv").exits(0);
    assert_eq!(world.file("file000")["tags"], json!(["tag-file000"]));
}

#[test]
fn a_field_that_is_silently_ignored_is_noticed() {
    let drop = vec![(1, Fault::DropField("tags".to_owned()))];
    let world = tagged(1, |config| script(drop, config));
    world.apply_direct("sheet.csv").exits(1);
    let row = world.only_run("sheet").row(2);
    assert_eq!((row["status"].as_str(), row["code"].as_str()), ("updated", "mismatch"));
}

#[test]
fn an_expired_key_halts_the_run_and_the_rest_is_resumed_with_a_good_one() {
    let expired = status(403, "Your request contains expired private API key.");
    let world = tagged(30, |config| script(vec![(10, expired)], config));
    world.apply_direct("sheet.csv --concurrency 1").exits(3);
    let run = world.only_run("sheet");
    assert_eq!((run.count("updated"), run.count("not_attempted")), (9, 21));
    world.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(0);
    all_is_done(&world, 30);
}

#[test]
fn a_key_that_stays_expired_burns_no_row() {
    let world = tagged(30, |config| script(vec![(10, Fault::Expire)], config));
    world.apply_direct("sheet.csv").exits(3);
    let run = world.only_run("sheet");
    world.run(&format!("resume --yes {}", run.name())).exits(3);
    assert_eq!(run.count("updated") + run.count("not_attempted"), 30);
    assert_eq!(run.count("rejected"), 0);
}

#[test]
fn a_wrong_key_halts_at_its_first_answer() {
    let world = tagged(30, |config| config);
    let call = world.command(&[
        "apply",
        "--direct",
        "--no-snapshot",
        "sheet.csv",
        "--yes",
        "--concurrency",
        "1",
    ]);
    call.env("IMAGEKIT_PRIVATE_KEY", "private_wrong").run().exits(3);
    assert_eq!(world.sandbox.stats().requests, 1);
    assert!(!world.path("sheet.ikbulk").exists());
}

#[test]
fn the_same_rejection_twenty_times_in_a_row_halts_and_its_rows_are_open_again() {
    let missing: Vec<String> = (0..40).map(|index| format!("missing{index}")).collect();
    let world = TestEnv::new(files(["a"]));
    world.write("sheet.csv", tagging(&missing));
    world.apply_direct("sheet.csv --concurrency 1").exits(3);
    let run = world.only_run("sheet");
    assert_eq!(run.count("not_attempted"), 40);
    let on = world
        .run(&format!("resume --yes {} --rate unlimited --max-same-rejection off", run.name()));
    on.exits(1);
    assert_eq!(run.count("rejected"), 40);
}

#[test]
fn too_large_a_share_of_rejections_halts() {
    let ids: Vec<String> = ids(150)
        .iter()
        .enumerate()
        .map(|(i, id)| if i % 3 == 0 { format!("missing{i}") } else { id.clone() })
        .collect();
    let world = TestEnv::new(files(&ids));
    world.write("sheet.csv", tagging(&ids));
    world.apply_direct("sheet.csv --concurrency 1").exits(3);
    assert!(world.only_run("sheet").count("not_attempted") > 0);
}

#[test]
fn a_service_out_of_reach_halts_and_burns_no_row() {
    let world = tagged(10, |config| config);
    world.apply_direct("sheet.csv --endpoint http://127.0.0.1:9 --down-max 1s").exits(3);
    assert!(!world.path("sheet.ikbulk").exists());
}

#[test]
fn a_row_that_a_later_one_overtook_is_not_to_be_sent_again() {
    let world = TestEnv::new(script(vec![(1, status(400, "Not today."))], files(["a"])));
    world.write("sheet.csv", "fileId,tags\na,first\na,second\n");
    world.apply_direct("sheet.csv").exits(0);
    let run = world.only_run("sheet");
    assert_eq!(run.row(2)["code"], "superseded");
    assert_text!(run.row(2)["message"]);
    assert_eq!(run.text("failed.csv").lines().count(), 1);
    assert_eq!(world.file("a")["tags"], json!(["second"]));
}

#[test]
fn tags_that_could_not_be_added_are_not_overtaken_by_others_that_were() {
    let world = TestEnv::new(script(vec![(1, status(400, "Not today."))], files(["a"])));
    world.write("sheet.csv", "fileId,addTags\na,first\na,second\n");
    world.apply_direct("sheet.csv").exits(1);
    let run = world.only_run("sheet");
    assert_eq!(run.row(2)["code"], "rejected_by_api");
    world.apply_direct(&run.path().join("failed.csv").display().to_string()).exits(0);
    let tags = world.file("a")["tags"].clone();
    assert!(
        ["first", "second"]
            .iter()
            .all(|tag| tags.as_array().is_some_and(|all| all.contains(&json!(tag))))
    );
}

/// Applies a sheet on a file with the tag `b`, of which the first change of a row is refused, feeds
/// `failed.csv` back, and gives both exit codes and the tags.
fn fed_back(columns: &str, rows: &str) -> (Option<i32>, Option<i32>, Value) {
    let mut library = Library::new();
    library.insert(json!({"fileId": "f", "filePath": "/f", "tags": ["b"], "description": "old"}));
    let world = TestEnv::new(script(vec![(1, status(400, "Not today."))], with_library(library)));
    world.write("sheet.csv", format!("{columns}\n{rows}"));
    let first = world.apply_direct("sheet.csv").code;
    let failed = world.only_run("sheet").path().join("failed.csv").display().to_string();
    let second = world.apply_direct(&format!("{failed} --allow-empty")).code;
    (first, second, world.file("f")["tags"].clone())
}

#[test]
fn of_tags_that_could_not_be_changed_that_is_fed_back_which_does_not_undo_later_rows() {
    let edits = |rows: &str| fed_back("fileId,addTags,removeTags", rows);
    assert_eq!(edits("f,\"a,q\",\nf,,\"q,b\"\n"), (Some(1), Some(0), json!(["a"])));
    assert_eq!(edits("f,a,\nf,,b\n"), (Some(1), Some(0), json!(["a"])));
    assert_eq!(edits("f,,b\nf,b,\n"), (Some(0), Some(0), json!(["b"])));
    let lists = |rows: &str| fed_back("fileId,tags,addTags", rows);
    assert_eq!(lists("f,\"x,a\",\nf,,c\n"), (Some(1), Some(0), json!(["x", "a", "c"])));
    assert_eq!(lists("f,x,\nf,c,\n"), (Some(0), Some(0), json!(["c"])));
}

#[test]
fn a_row_is_overtaken_by_one_that_found_its_file_so_and_by_one_that_did_a_part() {
    let mut library = Library::new();
    library.insert(json!({"fileId": "f", "filePath": "/f", "description": "so"}));
    let world = TestEnv::new(with_library(library));
    let apply = |name: &str| world.run(&format!("apply {name} --yes --max-bad 100%"));
    world.write("sheet.csv", "fileId,description,tags\nf,other,50%\nf,so,\n");
    apply("sheet.csv").exits(1);
    let failed = world.only_run("sheet").text("failed.csv").replace("50%", "half");
    world.write("mended.csv", failed);
    apply("mended.csv").exits(0);
    assert_eq!(world.file("f")["description"], "so");
    assert_eq!(world.file("f")["tags"], json!(["half"]));
    // The details of a row are done, its tags are not.
    let world = TestEnv::new(script(vec![(2, status(400, "Not today."))], files(["a"])));
    world.write("sheet.csv", "fileId,description,tags,addTags\na,first,50%,\na,second,,x\n");
    world.apply_direct("sheet.csv --max-bad 100%").exits(1);
    let failed = world.only_run("sheet").text("failed.csv").replace("50%", "half");
    world.write("mended.csv", failed);
    world.apply_direct("mended.csv").exits(0);
    assert_eq!(world.file("a")["description"], "second");
}

#[test]
fn what_was_under_way_when_a_run_was_killed_is_looked_for_at_its_end() {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        if event.method == "PATCH" && event.phase == Phase::Arrived {
            hand.kill();
        }
    });
    let world = TestEnv::new(Config { hook: Some(hook), ..files(["a", "b"]) });
    // What is published is merged with nothing, so that the file takes several requests.
    let rows = "a,one,\na,,false\na,two,\nb,one,\n";
    world.write("sheet.csv", format!("fileId,description,isPublished\n{rows}"));
    let words = ["apply", "sheet.csv", "--yes", "--rate", "unlimited"];
    assert_eq!(world.command(&words).run_as(&victim).code, None);
    let run = world.only_run("sheet");
    let resumed = world.run(&format!("resume --yes {} --rate unlimited", run.name()));
    resumed.exits(0);
    assert_eq!(world.file("a")["description"], "two");
}

/// Rows that are sent as one PATCH, the first of them together with a publication of which the
/// answer is lost.
#[test]
fn tags_that_were_added_to_a_list_in_one_request_are_expected_with_it() {
    // Twice the state of the file, and publication.
    let world = TestEnv::new(script(vec![(3, Fault::ResetAfter)], files(["a"])));
    let rows = "a,false,,\na,,\"x,y\",\na,,,z\n";
    world.write("sheet.csv", format!("fileId,isPublished,tags,addTags\n{rows}"));
    world.run("apply sheet.csv --yes --rate unlimited").exits(6);
    assert_eq!(world.file("a")["tags"], json!(["x", "y", "z"]));
    let run = world.only_run("sheet");
    let codes: Vec<String> =
        run.report().into_iter().map(|mut row| row.remove("code").unwrap_or_default()).collect();
    assert_eq!(codes, ["connection", "", ""]);
}

#[test]
fn a_cell_of_spaces_overtakes_nothing() {
    let world = TestEnv::new(script(vec![(1, status(400, "Not today."))], files(["a"])));
    world.write("sheet.csv", "fileId,tags,description\na,first,\na,  ,text\n");
    world.apply_direct("sheet.csv").exits(1);
    let run = world.only_run("sheet");
    assert_eq!(run.row(2)["code"], "rejected_by_api");
    assert_eq!(run.text("failed.csv").lines().count(), 2);
}

#[test]
fn a_file_id_with_spaces_around_it_is_the_same_file() {
    let world = TestEnv::new(script(vec![(1, status(400, "Not today."))], files(["a"])));
    let lines = r#"{"fileId":" a ","tags":["x"]}
{"fileId":"a","tags":["y"]}
"#;
    world.write("sheet.jsonl", lines);
    world.apply_direct("sheet.jsonl").exits(0);
    let first = world.only_run("sheet").row(1);
    assert_eq!((first["fileId"].as_str(), first["code"].as_str()), ("a", "superseded"));
}

#[test]
fn rows_of_one_file_keep_their_order_under_faults() {
    let faults = vec![(Fault::ResetAfter, 0.1), (page(), 0.1)];
    let world = TestEnv::new(chance(faults, files(["a"])));
    let rows = (0..30).map(|index| format!("a,t{index}"));
    world.write("sheet.csv", sheet("fileId,tags", rows));
    world.apply_direct("sheet.csv --attempts 20").exits(0);
    assert_eq!(world.file("a")["tags"], json!(["t29"]));
    assert!(!world.sandbox.stats().overlapped);
}

#[test]
fn a_bulk_call_that_failed_for_one_file_rejects_its_row() {
    let mut library = Library::new();
    library.insert(json!({"fileId": "full", "tags": ["x".repeat(495)]}));
    library.insert(json!({"fileId": "roomy", "tags": []}));
    let world = TestEnv::new(with_library(library));
    world.write("sheet.csv", "fileId,addTags\nfull,too long\nroomy,too long\n");
    world.apply_direct("sheet.csv").exits(1);
    let run = world.only_run("sheet");
    assert_eq!(run.statuses(), ["rejected", "updated"]);
    assert_eq!(run.row(2)["httpStatus"], "207");
    assert!(run.row(2)["message"].contains("less than or equal to 500"));
}

#[test]
fn a_missing_file_of_a_bulk_call_is_named_or_not_and_rejected_either_way() {
    for missing_ids in [MissingIds::Named, MissingIds::Silent] {
        let quirks = Quirks { missing_ids, ..Quirks::default() };
        let world = TestEnv::new(Config { quirks, ..files(["a"]) });
        world.write("sheet.csv", "fileId,addTags\na,x\nmissing1,x\n");
        world.apply_direct("sheet.csv").exits(1);
        assert_eq!(world.only_run("sheet").statuses(), ["updated", "rejected"]);
    }
}

#[test]
fn a_lost_paid_request_is_unknown_is_paid_once_and_its_repeatable_part_is_applied() {
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
        // The account's fields, the state before, the paid request.
        let world = TestEnv::new(script(vec![(3, fault.clone())], files(["a", "b"])));
        let extension =
            r#""[{""name"":""google-auto-tagging"",""minConfidence"":80,""maxTags"":3}]""#;
        let rows = format!(
            "fileId,tags,customMetadata.brand,extensions\na,x,Acme,{extension}\nb,y,,{extension}\n"
        );
        world.write("sheet.csv", rows);
        world.apply_direct("sheet.csv --concurrency 1").exits(6);
        let run = world.only_run("sheet");
        assert_eq!(run.statuses(), ["unknown", "updated"], "{fault:?}");
        let file = world.file("a");
        assert_eq!(
            (&file["tags"], &file["customMetadata"]["brand"]),
            (&json!(["x"]), &json!("Acme"))
        );
        let paid = |id| world.sandbox.stats().paid_runs_of(id, "google-auto-tagging");
        assert_eq!((paid("a"), paid("b")), (1, 1), "{fault:?}");
        assert_eq!(run.text("unknown.csv").lines().count(), 2);
    }
}

#[test]
fn a_lost_publishing_is_unknown_and_is_not_repeated() {
    let world = TestEnv::new(script(vec![(2, Fault::ResetBefore)], files(["a"])));
    world.write("sheet.csv", "fileId,isPublished\na,false\n");
    world.apply_direct("sheet.csv").exits(6);
    assert_eq!(world.only_run("sheet").statuses(), ["unknown"]);
    assert_eq!(world.sandbox.stats().calls.publish, 1);
}

#[test]
fn a_request_that_times_out_is_sent_again_if_it_may_be() {
    let hang = Fault::HangAfter(Duration::from_secs(20));
    let world = tagged(1, |config| script(vec![(1, hang)], config));
    world.apply_direct("sheet.csv --timeout 300ms").exits(0);
    assert_eq!(world.only_run("sheet").row(2)["attempts"], "2");
}

#[test]
fn too_many_unknown_steps_halt() {
    // Each row: the state before, and the request that is lost; then a question that is answered.
    let ids = ids(10);
    let lost = (0..10).map(|row| (3 * row + 2, Fault::ResetAfter)).collect();
    let world = TestEnv::new(script(lost, files(&ids)));
    let rows = ids.iter().map(|id| format!("{id},false"));
    world.write("sheet.csv", sheet("fileId,isPublished", rows));
    assert_text!(world.apply_direct("sheet.csv --concurrency 1 --max-unknown 2").exits(3));
    let run = world.only_run("sheet");
    assert_eq!((run.count("unknown"), run.count("not_attempted")), (2, 8));
}

#[test]
fn whatever_an_empty_description_does_the_row_says_whether_it_is_cleared() {
    for (empty_description, status, code) in [
        (EmptyDescription::Store, "updated", ""),
        (EmptyDescription::Clear, "updated", ""),
        (EmptyDescription::Ignore, "updated", "mismatch"),
        (EmptyDescription::Refuse, "rejected", "rejected_by_api"),
    ] {
        let mut library = Library::new();
        library.insert(json!({"fileId": "a", "description": "before"}));
        let quirks = Quirks { empty_description, ..Quirks::default() };
        let world = TestEnv::new(Config { quirks, ..with_library(library) });
        world.write("sheet.csv", "fileId,description\na,<clear>\n");
        world.apply_direct("sheet.csv").exits(i32::from(!code.is_empty()));
        let row = world.only_run("sheet").row(2);
        assert_eq!((row["status"].as_str(), row["code"].as_str()), (status, code));
    }
}

#[test]
fn a_required_field_that_is_left_out_or_unset_rejects_the_row_with_its_name() {
    let mut fields = Config::default().fields;
    let brand = fields.iter_mut().find(|field| field["name"] == "brand").expect("it is there");
    brand["schema"]["isValueRequired"] = json!(true);
    let quirks = Quirks { required_fields: RequiredFields::Given, ..Quirks::default() };
    let world = TestEnv::new(Config { quirks, fields, ..files(["a", "b", "c"]) });
    let sheet = "fileId,customMetadata.brand,customMetadata.price\na,Acme,5\nb,,5\nc,<clear>,\n";
    world.write("sheet.csv", sheet);
    world.apply_direct("sheet.csv --max-bad 100% --max-rejected 100%").exits(1);
    let run = world.only_run("sheet");
    assert_eq!(run.statuses(), ["updated", "rejected", "rejected"]);
    for row in [3, 4] {
        assert!(run.row(row)["message"].contains("brand"), "{}", run.row(row)["message"]);
    }
}
