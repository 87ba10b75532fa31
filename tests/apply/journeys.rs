//! Runs that do not go through at once: pilots, deadlines, signals, locks.

use std::time::Duration;

use ikbulk::sandbox::{Config, Fault, Hook, Phase};
use serde_json::json;

use crate::harness::{ChildHandle, TestEnv, files, script, tagged, tagging};

/// A world with a sheet of so many rows.
fn rows(count: usize) -> TestEnv {
    tagged(count, |config| config)
}

/// Every row was sent once, over all sessions, and none twice.
#[track_caller]
fn each_was_sent_once(world: &TestEnv, rows: u64) {
    assert_eq!(world.only_run("sheet").count("updated"), rows);
    assert_eq!(world.sandbox.stats().calls.patch, rows);
}

#[test]
fn a_pilot_sends_the_first_rows_and_resume_the_rest() {
    let world = rows(10);
    let pilot = world
        .apply_direct("sheet.csv --limit 3")
        .exits(5)
        .output_contains("only the first 3 rows now");
    let run = world.only_run("sheet");
    assert_eq!((run.count("updated"), run.count("not_attempted")), (3, 7));
    pilot.output_contains(&format!(
        "ikbulk resume sheet.ikbulk/{}",
        run.path().file_name().unwrap().display()
    ));
    world.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(0);
    each_was_sent_once(&world, 10);
}

#[test]
fn an_unfinished_run_is_named_and_is_continued_only_on_demand() {
    let world = rows(6);
    world.apply_direct("sheet.csv --continue --limit 2").exits(5);
    let run = world.only_run("sheet");
    let name = run.path().file_name().unwrap().display();
    world
        .apply_direct("sheet.csv")
        .exits(2)
        .output_contains(&format!("ikbulk resume sheet.ikbulk/{name}"));
    assert_eq!(world.sandbox.stats().calls.patch, 2);
    world.apply_direct("sheet.csv --continue").exits(0);
    each_was_sent_once(&world, 6);
    // A finished run of the same input is finished, where sending it again could charge again.
    world
        .apply_direct("sheet.csv --continue")
        .exits(0)
        .output_contains("finished before; nothing was sent");
    each_was_sent_once(&world, 6);
    world
        .run("apply sheet.csv --yes --continue --rate unlimited")
        .exits(0)
        .output_contains("6 unchanged");
    assert_eq!(world.runs("sheet").len(), 2);
}

#[test]
fn an_unfinished_run_of_another_sheet_is_in_nobodys_way() {
    let world = rows(6);
    world.apply_direct("sheet.csv --limit 2").exits(5);
    world.write("sheet.csv", tagging(&["file005"]));
    world.apply_direct("sheet.csv").exits(0);
    assert_eq!(world.runs("sheet").len(), 2);
}

#[test]
fn a_run_whose_time_is_over_ends_in_good_order() {
    let world = rows(40);
    let done = world
        .run("apply --direct --no-snapshot sheet.csv --yes --rate 10 --burst 1 --max-duration 3s");
    done.exits(5).output_contains("the time given is over");
    let run = world.only_run("sheet");
    assert!((1..40).contains(&run.count("updated")));
    world.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(0);
    each_was_sent_once(&world, 40);
}

#[test]
fn a_run_stops_at_the_time_of_day_that_it_was_given() {
    let world = rows(60);
    let soon = jiff::Timestamp::now() + Duration::from_secs(2);
    let at = soon.strftime("%H:%M:%S");
    let done = world.run(&format!(
        "apply --direct --no-snapshot sheet.csv --yes --rate 10 --burst 1 --leave 0 --stop-at {at}"
    ));
    done.exits(5).output_contains("the time given is over");
    assert!((1..60).contains(&world.only_run("sheet").count("updated")));
}

/// Sends a signal at the third request, while others are under way.
fn signalled(name: &'static str) -> (TestEnv, ChildHandle) {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        if event.n == 4 && event.phase == Phase::Arrived {
            hand.signal(name);
        }
    });
    let latency = Duration::from_millis(50);
    (tagged(100, |config| Config { hook: Some(hook), latency, ..config }), victim)
}

#[test]
fn a_signal_lets_requests_under_way_finish_and_says_how_to_go_on() {
    for (name, code) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        let (world, victim) = signalled(name);
        let words = [
            "apply",
            "--direct",
            "--no-snapshot",
            "sheet.csv",
            "--yes",
            "--rate",
            "unlimited",
            "--concurrency",
            "4",
        ];
        let done = world.command(&words).run_as(&victim).exits(code);
        let run = world.only_run("sheet");
        done.output_contains("by a signal").output_contains("ikbulk resume sheet.ikbulk/");
        let (sent, updated) = (world.sandbox.stats().calls.patch, run.count("updated"));
        assert_eq!(sent, updated, "what was under way was not waited for");
        assert_eq!(run.count("not_attempted"), 100 - updated);
        assert_eq!(run.summary()["exit_code"], code);
        world.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(0);
        each_was_sent_once(&world, 100);
    }
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        if event.n == 2 && event.phase == Phase::Arrived {
            // Two of one kind could be taken for one.
            hand.signal("INT");
            hand.signal("TERM");
        }
    });
    let long = Fault::HangBefore(Duration::from_secs(30));
    let world = tagged(5, |config| script(vec![(1, long)], Config { hook: Some(hook), ..config }));
    let done = world
        .command(&["apply", "--direct", "--no-snapshot", "sheet.csv", "--yes"])
        .run_as(&victim);
    assert!(matches!(done.code, Some(130 | 143)), "{done:?}");
    let run = world.only_run("sheet");
    assert!(!run.path().join("summary.json").exists());
    world.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(0);
    assert_eq!(run.statuses(), ["updated"; 5]);
}

#[test]
fn a_second_run_on_the_account_is_turned_away() {
    let world = rows(1);
    let _lock = world.lock_account();
    world
        .apply_direct("sheet.csv")
        .exits(75)
        .output_contains("another run")
        .output_contains("--wait-lock");
    assert_eq!(world.sandbox.stats().requests, 0);
    assert!(!world.path("sheet.ikbulk").exists());
}

#[test]
fn a_second_run_on_the_account_waits_for_the_first_if_it_is_told_to() {
    let world = rows(1);
    let lock = world.lock_account();
    let call =
        world.command(&["apply", "--direct", "--no-snapshot", "sheet.csv", "--yes", "--wait-lock"]);
    let done = call.run_and_when_it_says("waiting for another run", || drop(lock)).exits(0);
    assert_eq!(done.err.matches("waiting for another run").count(), 1);
    assert_eq!(done.err.matches("the other run has ended").count(), 1);
    assert_eq!(world.file("file000")["tags"], json!(["tag-file000"]));
}

#[test]
fn reports_are_written_again_as_they_were() {
    let world = TestEnv::new(files(["a", "b"]));
    let rows = "fileId,tags,extensions\na,x,\nb,\"=50%\",\nmissing1,z,\na,,\"[{\"\"name\"\":\"\"remove-bg\"\"}]\"\n";
    world.write("sheet.csv", rows);
    world.apply_direct("sheet.csv --max-bad 100%").exits(1);
    let run = world.only_run("sheet");
    let names = ["report.csv", "failed.csv", "unknown.csv", "summary.json"];
    let before = names.map(|name| run.text(name));
    for name in names {
        std::fs::remove_file(run.path().join(name)).unwrap();
    }
    let name = run.path().file_name().unwrap().display();
    world.run(&format!("report sheet.ikbulk/{name}")).exits(1);
    assert_eq!(names.map(|name| run.text(name)), before);
}

#[test]
fn a_run_of_another_account_is_not_resumed() {
    let world = rows(4);
    world.apply_direct("sheet.csv --limit 1").exits(5);
    let run = world.only_run("sheet").name();
    let other =
        world.command(&["resume", "--yes", &run]).env("IMAGEKIT_PRIVATE_KEY", "private_other");
    other.run().exits(3).output_contains("nothing was sent");
    world.command(&["resume", "--yes", &run]).without("IMAGEKIT_PRIVATE_KEY").run().exits(2);
    world.run("resume nowhere").exits(2).output_contains("there is no run in nowhere");
    world.run("resume").exits(2).output_contains("say which run");
    assert_eq!(world.sandbox.stats().calls.patch, 1);
}

#[test]
fn a_killed_run_is_unfinished_and_its_account_is_free_again() {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        if event.n == 4 && event.phase == Phase::Worked {
            hand.kill();
        }
    });
    let world = tagged(10, |config| Config { hook: Some(hook), ..config });
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
    assert_eq!(world.command(&words).run_as(&victim).code, None);
    world
        .apply_direct("sheet.csv")
        .exits(2)
        .output_contains("there is an unfinished run of this input");
    world.apply_direct("sheet.csv --continue").exits(0);
    assert_eq!(world.only_run("sheet").statuses(), ["updated"; 10]);
}
