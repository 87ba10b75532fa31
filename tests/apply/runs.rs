//! Runs that are not finished in one go: bounded, interrupted, in each other's way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ikbulk::sandbox::{Config, Phase, Tap};

use crate::harness::{KEY, Victim, World, files};

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("file{index:03}")).collect()
}

fn sheet(ids: &[String]) -> String {
    let rows: String = ids.iter().map(|id| format!("{id},red\n")).collect();
    format!("fileId,tags\n{rows}")
}

#[test]
fn a_pilot_is_followed_by_the_rest() {
    let ids = ids(10);
    let world = World::new(files(ids.clone()));
    world.write("sheet.csv", sheet(&ids));
    world.apply("sheet.csv --limit 3").exits(5).says("ikbulk resume");
    let run = world.only_run("sheet");
    assert_eq!((run.count("updated"), run.count("not_attempted")), (3, 7));
    world
        .apply("sheet.csv")
        .exits(2)
        .says("unfinished run")
        .says(&run.path().file_name().unwrap().to_string_lossy());
    world.apply("sheet.csv --continue").exits(0);
    assert_eq!(world.only_run("sheet").count("updated"), 10);
    assert_eq!(world.sandbox.stats().calls.patch, 10, "every row was sent once");
    world.apply("sheet.csv --continue").exits(0);
    assert_eq!(world.runs("sheet").len(), 2, "a finished run is followed by a new one");
}

#[test]
fn a_run_that_has_no_more_time_ends_in_good_order() {
    let ids = ids(30);
    let world = World::new(files(ids.clone()));
    world.write("sheet.csv", sheet(&ids));
    world
        .run("apply --yes --rate 5 --burst 2 --max-duration 1s sheet.csv")
        .exits(5)
        .says("time given is over");
    let run = world.only_run("sheet");
    assert!(run.count("updated") > 0 && run.count("not_attempted") > 0);
    assert_eq!(run.count("updated") + run.count("not_attempted"), 30);
}

/// A world that sends the program a signal while its third request is under way.
fn signalled(name: &'static str, victim: &Victim) -> World {
    let ids = ids(20);
    let struck = Arc::new(AtomicBool::new(false));
    let target = victim.clone();
    let tap = Tap::new(move |event| {
        let now = event.phase == Phase::Arrived && event.n == 3;
        if now && !struck.swap(true, Ordering::SeqCst) {
            target.signal(name);
        }
    });
    let world = World::new(Config { tap: Some(tap), ..files(ids.clone()) });
    world.write("sheet.csv", sheet(&ids));
    world
}

#[test]
fn the_first_signal_lets_what_is_under_way_finish_and_says_how_to_go_on() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let victim = Victim::default();
        let world = signalled(name, &victim);
        let arguments =
            ["apply", "--yes", "--rate", "5", "--burst", "3", "--concurrency", "1", "sheet.csv"];
        world.command(&arguments).run_as(&victim).exits(code).says("ikbulk resume");
        let run = world.only_run("sheet");
        assert_eq!(
            run.count("updated"),
            world.sandbox.stats().calls.patch,
            "what was sent is told"
        );
        assert_eq!(run.count("updated") + run.count("not_attempted"), 20);
        world.run(&format!("resume --rate unlimited {}", run.name())).exits(0);
        assert_eq!(world.sandbox.stats().calls.patch, 20, "nothing was sent twice");
    }
}

#[test]
fn a_second_run_on_the_account_is_told_to_wait() {
    let ids = ids(20);
    let inner = Arc::new(std::sync::Mutex::new(None::<std::process::Output>));
    let seen = Arc::clone(&inner);
    let place = Arc::new(std::sync::OnceLock::<(std::path::PathBuf, String)>::new());
    let known = Arc::clone(&place);
    let tap = Tap::new(move |event| {
        if event.phase == Phase::Arrived && event.n == 1 {
            let (directory, url) = known.get().expect("the world stands");
            let second = std::process::Command::new(env!("CARGO_BIN_EXE_ikbulk"))
                .args(["apply", "--yes", "other.csv"])
                .env("XDG_STATE_HOME", directory.join("state"))
                .env("IMAGEKIT_PRIVATE_KEY", KEY)
                .env("IMAGE_KIT_BASE_URL", url)
                .current_dir(directory)
                .output();
            *seen.lock().unwrap() = Some(second.expect("the program should start"));
        }
    });
    let world = World::new(Config { tap: Some(tap), ..files(ids.clone()) });
    place.set((world.path(""), world.sandbox.base_url())).expect("set once");
    world.write("sheet.csv", sheet(&ids));
    world.write("other.csv", "fileId,tags\nfile000,blue\n");
    world.apply("sheet.csv").exits(0);
    let second = inner.lock().unwrap().take().expect("the second one ran");
    assert_eq!(second.status.code(), Some(75));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        said.contains("another run is writing to this account") && said.contains("sheet.ikbulk"),
        "{said}"
    );
    assert!(world.runs("other").is_empty());
}

#[test]
fn a_run_is_resumed_only_with_the_key_of_its_account() {
    let ids = ids(5);
    let world = World::new(files(ids.clone()));
    world.write("sheet.csv", sheet(&ids));
    world.apply("sheet.csv --limit 1").exits(5);
    let run = world.only_run("sheet");
    let call = world.command(&["resume", &run.name()]).env("IMAGEKIT_PRIVATE_KEY", "private_other");
    call.run().exits(2).says("nothing was sent");
}

#[test]
fn settings_come_from_flag_environment_profile_and_default_in_this_order() {
    let world = World::new(files(["a"]));
    world.write("sheet.csv", "fileId,tags\na,red\n");
    world.write("ikbulk.toml", "[profile.default]\nendpoint = \"http://127.0.0.1:1\"\nrate = 5\n[profile.slow]\nrate = \"2\"\n");
    world.run("apply --yes sheet.csv").exits(0).says("4.5 writes/s");
    world.run("apply --yes --profile slow sheet.csv").exits(0).says("1.8 writes/s");
    world.run("apply --yes --profile slow --rate 3 sheet.csv").exits(0).says("2.7 writes/s");
    world.run("apply --yes --profile other sheet.csv").exits(2).says("no profile other");
    let call = world.command(&["apply", "--yes", "--down-max", "1s", "sheet.csv"]);
    call.without("IMAGE_KIT_BASE_URL").run().exits(3).says("http://127.0.0.1:1/");
    world.write("ikbulk.toml", "[profile.default]\nrat = 5\n");
    world.run("apply --yes sheet.csv").exits(2).says("unknown field `rat`");
}
