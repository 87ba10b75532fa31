//! Coming back to a run: with another key, another sheet, mended rows, piece by piece.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

use ikbulk::sandbox::{Config, Hook, Phase};
use serde_json::json;

use crate::harness::{ChildHandle, TestEnv, files, ids, lines, sheet, tagged, tagging};

fn world(rows: usize) -> TestEnv {
    tagged(rows, |config| config)
}

#[test]
fn a_limit_counts_the_rows_that_a_session_takes_up_itself() {
    let world = world(9);
    for (command, done) in [
        ("apply --direct --no-snapshot sheet.csv --yes", 2),
        ("resume --yes", 4),
        ("resume --yes", 6),
    ] {
        let run = world.runs("sheet").first().map(crate::harness::RunFiles::name);
        let run = run.filter(|_| command == "resume --yes").unwrap_or_default();
        world.run(&format!("{command} {run} --limit 2 --rate unlimited")).exits(5);
        assert_eq!(world.only_run("sheet").count("updated"), done);
    }
    world.apply_direct("sheet.csv --continue").exits(0);
    assert_eq!(world.only_run("sheet").count("updated"), 9);
}

#[test]
fn a_sheet_that_somebody_has_begun_to_mend_is_set_aside_and_not_written_over() {
    let world = TestEnv::new(files(["a", "b"]));
    world.write("sheet.csv", "fileId,tags\na,50%\nb,new\n");
    world.apply_direct("sheet.csv --max-bad 100%").exits(1);
    let run = world.only_run("sheet");
    let mended = run.text("failed.csv").replace("50%", "fifty");
    std::fs::write(run.path().join("failed.csv"), &mended).unwrap();
    let said = world.run(&format!("report {}", run.name())).exits(1);
    said.output_contains("failed.edited-1.csv is what you had changed");
    assert_eq!(run.text("failed.edited-1.csv"), mended);
    assert!(run.text("failed.csv").contains("50%"));
    // As it was written it needs no keeping.
    world.run(&format!("report {}", run.name())).exits(1);
    assert!(!run.path().join("failed.edited-2.csv").exists());
}

#[test]
fn key_that_never_worked_leaves_no_run_behind() {
    let world = world(3);
    let apply = ["apply", "--direct", "--no-snapshot", "sheet.csv", "--yes", "--rate", "unlimited"];
    world.command(&apply).env("IMAGEKIT_PRIVATE_KEY", "private_wrong").run().exits(3);
    world.command(&apply).run().exits(0);
    assert_eq!(world.only_run("sheet").count("updated"), 3);
}

#[test]
fn a_run_that_is_done_is_left_alone() {
    let world = world(2);
    world.apply_direct("sheet.csv").exits(0);
    let run = world.only_run("sheet").name();
    world.run(&format!("resume --yes {run}")).exits(0).output_contains("nothing is left to do");
    assert_eq!(world.sandbox.stats().calls.patch, 2);
}

#[test]
fn another_key_than_the_one_that_wrote_is_accepted_on_demand_only() {
    let world = world(3);
    world.apply_direct("sheet.csv --limit 1").exits(5);
    let run = world.only_run("sheet").name();
    let resume = |more: &str| {
        let line = format!("resume --yes {run} --rate unlimited {more}");
        let words: Vec<&str> = line.split_whitespace().collect();
        world.command(&words).env("IMAGEKIT_PRIVATE_KEY", "private_other").run()
    };
    // Whether it is a key of the account is asked first, and here only one is.
    resume("").exits(3).output_contains("the account was not accepted");
    assert_eq!(world.sandbox.stats().calls.patch, 1);
}

#[test]
fn a_run_does_not_move_to_another_endpoint() {
    let world = world(3);
    world.apply_direct("sheet.csv --limit 1").exits(5);
    let run = world.only_run("sheet").name();
    let elsewhere = world.run(&format!("resume --yes {run} --endpoint http://127.0.0.1:9"));
    elsewhere.exits(2).output_contains("and goes on there, not at http://127.0.0.1:9");
}

#[test]
fn endpoint_that_is_no_api_is_refused_before_any_row() {
    let world = world(1);
    let path = format!("{}/behind/a/proxy", world.sandbox.base_url());
    world
        .apply_direct(&format!("sheet.csv --endpoint {path}"))
        .exits(2)
        .output_contains("answers 404 to GET /v1/files");
    assert_eq!(world.sandbox.stats().calls.patch, 0);
    assert!(!world.path("sheet.ikbulk").exists());
}

#[test]
fn an_unfinished_run_of_an_earlier_state_of_the_sheet_is_named() {
    let world = world(3);
    world.apply_direct("sheet.csv --limit 1").exits(5);
    world.write("sheet.csv", tagging(&ids(2)));
    let done = world.apply_direct("sheet.csv").exits(0);
    done.output_contains("there is an unfinished run of an earlier version of this sheet");
    assert_eq!(world.runs("sheet").len(), 2);
}

#[test]
fn a_run_that_a_later_one_has_overtaken_is_not_resumed() {
    let world = world(3);
    world.apply_direct("sheet.csv --limit 1").exits(5);
    let first = world.only_run("sheet");
    let before = std::fs::read(world.path("sheet.csv")).expect("the sheet is there");
    world.write("sheet.csv", tagging(&ids(2)));
    world.apply_direct("sheet.csv").exits(0);
    let writes = world.sandbox.stats().calls.patch;
    let resume = format!("resume --yes {}", first.name());
    let refused = world.run(&resume).exits(2);
    refused
        .output_contains("began later and has changed files since")
        .output_contains("--over-later-runs");
    assert_eq!(world.sandbox.stats().calls.patch, writes);
    // The sheet as it was is begun anew.
    std::fs::write(world.path("sheet.csv"), before).expect("it can be written");
    world.apply_direct("sheet.csv --continue").exits(0).output_contains("3 updated");
    assert_eq!(world.runs("sheet").len(), 3);
    world.run(&format!("{resume} --over-later-runs")).exits(0).output_contains("3 updated");
}

#[test]
fn a_later_run_that_was_killed_may_have_overtaken_it_too() {
    let victim = ChildHandle::default();
    let (hand, first) = (victim.clone(), ids(1));
    let hook = Hook::new(move |event| {
        // The second time that the first file is changed.
        if event.n > 1 && event.phase == Phase::Worked && event.path.contains(&first[0]) {
            hand.kill();
        }
    });
    let world = tagged(3, |config| Config { hook: Some(hook), ..config });
    world.apply_direct("sheet.csv --limit 1").exits(5);
    let run = world.only_run("sheet");
    world.write("sheet.csv", tagging(&ids(2)));
    let words = ["apply", "--direct", "--no-snapshot", "sheet.csv", "--yes", "--concurrency", "1"];
    assert_eq!(world.command(&words).run_as(&victim).code, None);
    world.run(&format!("resume --yes {}", run.name())).exits(2).output_contains("began later");
}

#[test]
fn a_run_that_was_undone_as_far_as_it_came_is_not_resumed() {
    let world = world(3);
    world.run("apply sheet.csv --yes --limit 2").exits(5);
    let run = world.only_run("sheet");
    world.run(&format!("undo {} --yes", run.name())).exits(0);
    world.run(&format!("resume --yes {}", run.name())).exits(2).output_contains("began later");
}

#[test]
fn a_run_under_way_is_not_taken_for_an_unfinished_one() {
    let said = "another run is writing to this account";
    is_in_the_way(
        &["apply", "--direct", "--no-snapshot", "sheet.csv", "--yes"],
        crate::harness::KEY,
        said,
    );
}

#[test]
fn a_run_under_way_is_not_given_another_key() {
    let said = "this run is being executed by process";
    is_in_the_way(&["resume", "--yes", "the-run", "--key-changed"], "private_other", said);
}

/// A run that is under way is undisturbed by this call, which finds it in its way.
fn is_in_the_way(words: &'static [&str], key: &'static str, said: &str) {
    let ids = ids(2);
    let second = Arc::new(Mutex::new(None));
    let mut config = files(&ids);
    let directory = Arc::new(OnceLock::<(PathBuf, String)>::new());
    let (place, at) = (second.clone(), directory.clone());
    config.hook = Some(Hook::new(move |event| {
        if event.phase == Phase::Arrived && event.n == 2 {
            let (directory, endpoint) = at.get().expect("it is set before");
            let other = Command::new(env!("CARGO_BIN_EXE_ikbulk"))
                .args(words)
                .env_clear()
                .env("XDG_STATE_HOME", directory.join("state"))
                .env("IMAGEKIT_PRIVATE_KEY", key)
                .env("IMAGE_KIT_BASE_URL", endpoint)
                .current_dir(directory)
                .output()
                .expect("it starts");
            *place.lock().expect("nobody fails with it") = Some(other);
        }
    }));
    let world = TestEnv::new(config);
    world.write("sheet.csv", tagging(&ids));
    let set = directory.set((world.path("."), world.sandbox.base_url()));
    set.expect("nobody else sets it");
    world.apply_direct("sheet.csv --run-dir the-run --limit 1").exits(5);
    let other = second.lock().expect("nobody fails with it").take().expect("it ran");
    let stderr = String::from_utf8_lossy(&other.stderr);
    assert_eq!(other.status.code(), Some(75), "{stderr}");
    assert!(stderr.contains(said), "{stderr}");
    // It is still the run of the key that it was begun with.
    world.run("resume --yes the-run --rate unlimited").exits(0);
    assert_eq!(world.sandbox.stats().calls.patch, 2);
}

/// Row 2 asks for two things of which one is wrong and comes right in row 3.
fn partly_overtaken(name: &str, text: &str) -> (TestEnv, crate::harness::RunFiles) {
    let world = TestEnv::new(files(["a"]));
    world.write(name, text);
    world
        .apply_direct(&format!("{name} --max-bad 100%"))
        .exits(1)
        .output_contains("not applied: description");
    let run = world.only_run("sheet");
    (world, run)
}

#[test]
fn what_is_left_of_a_partly_overtaken_row_can_be_fed_back_alone() {
    let (world, run) =
        partly_overtaken("sheet.csv", "fileId,description,tags\na,hi,#N/A\na,,new\n");
    let failed = lines(&run.text("failed.csv"));
    assert_eq!((failed[0]["description"].as_str(), failed[0]["tags"].as_str()), ("hi", ""));
    world.write("again.csv", run.text("failed.csv"));
    world.apply_direct("again.csv").exits(0);
    let file = world.file("a");
    assert_eq!((&file["description"], &file["tags"]), (&json!("hi"), &json!(["new"])));
}

#[test]
fn what_is_left_of_a_partly_overtaken_line_can_be_fed_back_alone() {
    let text = "{\"fileId\":\"a\",\"description\":\"hi\",\"tags\":[\"50%\"]}\n\
                {\"fileId\":\"a\",\"tags\":[\"new\"]}\n";
    let (world, run) = partly_overtaken("sheet.jsonl", text);
    world.write("again.jsonl", run.text("failed.jsonl"));
    world.apply_direct("again.jsonl").exits(0);
    let file = world.file("a");
    assert_eq!((&file["description"], &file["tags"]), (&json!("hi"), &json!(["new"])));
}

#[test]
fn a_row_that_is_overtaken_whole_asks_for_nothing_more() {
    let world = TestEnv::new(files(["a"]));
    world.write("sheet.csv", "fileId,tags\na,50%\na,new\n");
    let done = world.apply_direct("sheet.csv --max-bad 100%").exits(0);
    assert!(!done.out.contains("mend"), "{}", done.out);
}

#[test]
fn a_halt_for_the_same_rejection_names_rows_and_the_way_out() {
    let world = TestEnv::new(files(["other"]));
    let rows = (0..40).map(|n| format!("missing{n},text"));
    world.write("sheet.csv", sheet("fileId,description", rows));
    let done = world.apply_direct("sheet.csv --concurrency 1 --max-rejected 100%").exits(3);
    done.output_contains("(rows 2, 3, 4, 5, 6, …)").output_contains("--max-same-rejection off");
    let run = world.only_run("sheet");
    let off = "--max-same-rejection off --max-rejected 100% --rate unlimited";
    world.run(&format!("resume --yes {} {off}", run.name())).exits(1);
    assert_eq!(run.count("rejected"), 40);
}

#[test]
fn who_is_out_of_reach_says_why() {
    let world = world(1);
    let gone = "--endpoint http://127.0.0.1:1 --down-max 1s";
    world
        .apply_direct(&format!("sheet.csv {gone}"))
        .exits(3)
        .output_contains("Connection refused")
        .output_contains("nothing was sent");
}
