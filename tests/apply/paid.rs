//! What a run buys is known to the account afterwards, however the run ends.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ikbulk::account::{Service, StateDir};
use ikbulk::charges::{Certainty, Charges};
use ikbulk::row::{Builder, Cell, Content, Extension, Field, FileId, Rules};
use ikbulk::sandbox::{Config, ExtensionOutcome, Fault, Hook, Phase, Status};
use rusqlite::Connection;

use crate::harness::{ChildHandle, RunFiles, TestEnv, files, script};

/// Removes backgrounds: the extension that costs most.
const REMOVE_BG: &str = r#"[{"name":"remove-bg"}]"#;

fn remove_bg() -> Extension {
    let rules = Rules::default();
    let mut builder = Builder::new(&rules);
    builder.set("fileId", &Field::FileId, Cell::Text("a"));
    builder.set("extensions", &Field::Extensions, Cell::Text(REMOVE_BG));
    let Content::Update(update) = builder.finish() else { panic!("{REMOVE_BG} is allowed") };
    update.change.extensions.expect("it is asked for").as_slice()[0].clone()
}

/// A sheet that removes the backgrounds of these files.
fn buying(ids: &[&str]) -> String {
    ids.iter().map(|id| format!("{{\"fileId\":\"{id}\",\"extensions\":{REMOVE_BG}}}\n")).collect()
}

/// A sandbox on which every extension ends so.
fn always(status: Status, config: Config) -> Config {
    Config { extensions: ExtensionOutcome::Always(status), ..config }
}

/// A world with a sheet that removes the backgrounds of `a` and `b`.
fn world(config: impl FnOnce(Config) -> Config) -> TestEnv {
    let world = TestEnv::new(config(always(Status::Success, files(["a", "b", "c"]))));
    world.write("sheet.jsonl", buying(&["a", "b"]));
    world
}

fn state(world: &TestEnv) -> PathBuf {
    world.path("state/ikbulk")
}

/// The memory of charges for the sandbox.
fn memory(world: &TestEnv) -> Charges {
    let state = StateDir::open(&state(world)).expect("it can be opened");
    let endpoint = world.sandbox.base_url().parse().expect("it is a URL");
    Charges::open(&state, &Service::at(&endpoint)).expect("the memory can be opened")
}

/// What is known of a file: by which run, and whether for certain.
fn known(charges: &Charges, id: &str) -> Option<(PathBuf, Certainty)> {
    let file = FileId::new(id).expect("it is an id");
    let charge = charges.find(&file, &remove_bg()).expect("the memory can be read");
    charge.map(|charge| (charge.run, charge.certainty))
}

/// Charged by that run for certain.
fn by(run: &RunFiles) -> (PathBuf, Certainty) {
    (run.path().to_owned(), Certainty::Accepted)
}

/// Charged by that run, or not.
fn perhaps_by(run: &RunFiles) -> (PathBuf, Certainty) {
    (run.path().to_owned(), Certainty::ResponseLost)
}

#[test]
fn what_a_run_bought_is_known_and_what_it_did_not_buy_is_not() {
    let world = TestEnv::new(always(Status::Pending, files(["a", "b"])));
    let others = "{\"fileId\":\"b\",\"tags\":[\"x\"]}\n";
    world.write("sheet.jsonl", buying(&["a", "missing"]) + others);
    world.apply_direct("sheet.jsonl").exits(1);
    let run = world.only_run("sheet");
    let paid = memory(&world);
    assert_eq!(known(&paid, "a"), Some(by(&run)));
    assert_eq!((known(&paid, "b"), known(&paid, "missing")), (None, None));
    // Sent as it is, the row buys again, and the later run is the one to be named.
    world.write("again.jsonl", buying(&["a"]));
    world.apply_direct("again.jsonl").exits(0);
    assert_eq!(known(&paid, "a"), Some(by(&world.only_run("again"))));
}

#[test]
fn a_plan_tells_what_was_paid_for_before_from_what_is_so_already() {
    let world = world(|config| config);
    world.apply_direct("sheet.jsonl").exits(0);
    let mut sheet = buying(&["a", "b"]);
    sheet
        .push_str("{\"fileId\":\"c\",\"tags\":[\"x\"]}\n{\"fileId\":\"c\",\"description\":null}\n");
    world.write("again.jsonl", sheet);
    world
        .run("plan again.jsonl")
        .exits(0)
        .output_contains("4, 1 is so already, 2 paid for before (--rerun-extensions pays again)\n")
        .output_contains("1 write\n");
    let said = world.run("plan again.jsonl --json").exits(0);
    let price: serde_json::Value = serde_json::from_str(&said.out).expect("it is JSON");
    let count = |what: &str| price["rows"][what].as_u64();
    let counts = ["to_change", "up_to_date", "already_ran"].map(count);
    assert_eq!(counts, [Some(1), Some(1), Some(2)]);
}

#[test]
fn an_extension_that_failed_is_not_taken_for_bought() {
    let world = world(|config| always(Status::Failed, config));
    world.apply_direct("sheet.jsonl").exits(1);
    let paid = memory(&world);
    assert_eq!((known(&paid, "a"), known(&paid, "b")), (None, None));
}

#[test]
fn a_run_that_ends_before_its_input_does_is_known_piece_by_piece() {
    let world = world(|config| config);
    world.apply_direct("sheet.jsonl --limit 1").exits(5);
    let run = world.only_run("sheet");
    let paid = memory(&world);
    assert_eq!((known(&paid, "a"), known(&paid, "b")), (Some(by(&run)), None));
    world.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(0);
    assert_eq!((known(&paid, "a"), known(&paid, "b")), (Some(by(&run)), Some(by(&run))));
}

#[test]
fn a_run_that_halts_for_a_lost_answer_may_have_bought() {
    // The state before, the paid request.
    let world = world(|config| script(vec![(2, Fault::ResetAfter)], config));
    world.apply_direct("sheet.jsonl --concurrency 1 --max-unknown 1").exits(3);
    let run = world.only_run("sheet");
    let paid = memory(&world);
    assert_eq!((known(&paid, "a"), known(&paid, "b")), (Some(perhaps_by(&run)), None));
}

/// Applies the sheet by a command, and kills the program once such a request has been carried out
/// and before it is told.
fn killed_at(command: &str, method: &'static str, path: &'static str, sheet: &str) -> TestEnv {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        let is_it = event.method == method && event.path.contains(path);
        if is_it && event.phase == Phase::Worked {
            hand.kill();
        }
    });
    // Long enough that what was answered before is on disk.
    let late = vec![(4, Fault::HangBefore(Duration::from_secs(1)))];
    let world = world(|config| script(late, Config { hook: Some(hook), ..config }));
    world.write("sheet.jsonl", sheet);
    let words = ["sheet.jsonl", "--yes", "--rate", "unlimited", "--concurrency", "1"];
    let words: Vec<&str> = command.split(' ').chain(words).collect();
    assert_eq!(world.command(&words).run_as(&victim).code, None);
    world
}

/// Killed once `b` has been paid for.
fn killed() -> TestEnv {
    let world = killed_at("apply --direct --no-snapshot", "PATCH", "/b/", &buying(&["a", "b"]));
    assert_eq!(world.sandbox.stats().paid_runs_of("b", "remove-bg"), 1);
    world
}

#[test]
fn killed_before_any_row_is_done_it_pays_for_nothing_twice() {
    let resumed = |world: &TestEnv| {
        let run = world.only_run("sheet");
        world.run(&format!("resume --yes {} --rate unlimited", run.name()))
    };
    // Paid, and not told.
    let lost = killed_at("apply", "PATCH", "/a/", &buying(&["a"]));
    resumed(&lost).exits(6);
    assert_eq!(lost.sandbox.stats().paid_runs_of("a", "remove-bg"), 1);
    // Paid and told, and the tags are still to come.
    let tagged = format!("{{\"fileId\":\"a\",\"extensions\":{REMOVE_BG},\"addTags\":[\"x\"]}}\n");
    for command in ["apply", "apply --rerun-extensions"] {
        let begun = killed_at(command, "POST", "addTags", &tagged);
        resumed(&begun).exits(0);
        assert_eq!(begun.sandbox.stats().paid_runs_of("a", "remove-bg"), 1, "{command}");
        let tags = begun.file("a")["tags"].to_string();
        assert!(tags.contains("\"x\""), "{tags}");
    }
    let published =
        killed_at("apply", "PATCH", "/a/", "{\"fileId\":\"a\",\"isPublished\":false}\n");
    resumed(&published).exits(6);
    assert_eq!(published.sandbox.stats().calls.publish, 1);
}

#[test]
fn what_a_killed_run_bought_is_known_to_the_next_run_that_buys() {
    let world = killed();
    let run = world.only_run("sheet");
    let paid = memory(&world);
    assert_eq!((known(&paid, "a"), known(&paid, "b")), (None, None));
    world.write("other.jsonl", buying(&["c"]));
    world.apply_direct("other.jsonl").exits(0);
    assert_eq!((known(&paid, "a"), known(&paid, "b")), (Some(by(&run)), Some(perhaps_by(&run))));
    // Going on with it makes nothing more certain.
    world.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(6);
    assert_eq!((known(&paid, "a"), known(&paid, "b")), (Some(by(&run)), Some(perhaps_by(&run))));
}

#[test]
fn a_killed_run_that_is_gone_is_warned_of_once() {
    let world = killed();
    let run = world.only_run("sheet");
    fs::remove_dir_all(world.path("sheet.ikbulk")).expect("it can be removed");
    world.write("other.jsonl", buying(&["c"]));
    let done = world.apply_direct("other.jsonl").exits(0);
    done.output_contains(&format!(
        "the run {} was interrupted and has been moved or removed",
        run.name()
    ));
    world.write("third.jsonl", buying(&["c"]));
    let done = world.apply_direct("third.jsonl").exits(0);
    assert!(!done.err.contains("was interrupted"), "{}", done.err);
}

#[test]
fn a_run_that_buys_nothing_or_from_a_sandbox_of_its_own_needs_no_memory() {
    let world = world(|config| config);
    world.write("plain.jsonl", "{\"fileId\":\"a\",\"tags\":[\"x\"]}\n");
    world.apply_direct("plain.jsonl").exits(0);
    let call = world.command(&[
        "apply",
        "--direct",
        "--no-snapshot",
        "sheet.jsonl",
        "--sandbox",
        "--limit",
        "1",
    ]);
    call.without("IMAGE_KIT_BASE_URL").run().exits(5);
    let run = world.only_run("sheet").name();
    let call = world.command(&["resume", "--yes", run.as_str()]);
    call.without("IMAGE_KIT_BASE_URL").run();
    assert_eq!(world.only_run("sheet").count("updated"), 2);
    assert!(memory(&world).is_empty().expect("it can be read"));
}

#[test]
fn without_a_state_database_nothing_is_sent() {
    let world = world(|config| config);
    fs::create_dir_all(state(&world).join("state.db")).expect("it can be made");
    world.apply_direct("sheet.jsonl").exits(4).output_contains("cannot open the state database");
    assert_eq!(world.sandbox.stats().requests, 0);
    assert!(!world.path("sheet.ikbulk").exists());
}

#[test]
fn a_memory_that_fails_under_way_is_exit_4_and_catches_up_later() {
    let held: Arc<Mutex<Option<Connection>>> = Arc::default();
    let home: Arc<OnceLock<PathBuf>> = Arc::default();
    let (holder, place) = (Arc::clone(&held), Arc::clone(&home));
    let hook = Hook::new(move |event| {
        if event.phase == Phase::Arrived && event.n == 2 {
            let path = place.get().expect("the world stands").join("state.db");
            let memory = Connection::open(path).expect("the state is there");
            memory.execute_batch("BEGIN IMMEDIATE").unwrap();
            *holder.lock().unwrap_or_else(PoisonError::into_inner) = Some(memory);
        }
    });
    let world = world(|config| Config { hook: Some(hook), ..config });
    home.set(state(&world)).expect("this is the only world of the place");
    let done = world.apply_direct("sheet.jsonl").exits(4);
    done.output_contains("the charges of this run are not remembered yet").output_contains("keep ");
    let run = world.only_run("sheet");
    assert_eq!(run.count("updated"), 2, "the reports are there all the same");
    drop(held.lock().unwrap_or_else(PoisonError::into_inner).take());
    world.write("other.jsonl", buying(&["c"]));
    world.apply_direct("other.jsonl").exits(0);
    assert_eq!(known(&memory(&world), "a"), Some(by(&run)));
}

#[test]
fn the_same_sheet_the_next_night_buys_nothing_and_writes_nothing() {
    let ids = crate::harness::ids(20);
    let world = TestEnv::new(always(Status::Success, files(&ids)));
    let rows = ids.iter().map(|id| format!(r#"{id},"[{{""name"":""remove-bg""}}]",Text of {id}"#));
    world.write("night.csv", crate::harness::sheet("fileId,extensions,description", rows));
    let night = "apply night.csv --yes --rate unlimited --read-rate unlimited";
    world.run(night).exits(0).output_contains("20 updated");
    let bought = world.sandbox.stats().paid_runs.values().sum::<u64>();
    let patches = world.sandbox.stats().calls.patch;
    assert_eq!((bought, patches), (20, 20));
    world.run(night).exits(0).output_contains("20 unchanged");
    assert_eq!(world.sandbox.stats().calls.patch, patches);
    let second = world.runs("night").pop().expect("there are two");
    assert!(second.report().iter().all(|row| row["code"] == "already_ran"));
    // It can be wanted all the same, and then it is priced and paid.
    world
        .run(&format!("{night} --rerun-extensions"))
        .exits(0)
        .output_contains("remove-bg 20 (2600 units)");
    assert_eq!(world.sandbox.stats().paid_runs.values().sum::<u64>(), 40);
}

/// Removes the background of `a` in three rows, one of which describes it as well.
fn thrice() -> String {
    let described =
        format!("{{\"fileId\":\"a\",\"description\":\"A\",\"extensions\":{REMOVE_BG}}}\n");
    buying(&["a"]) + &described + &buying(&["a"])
}

#[test]
fn what_several_rows_ask_for_on_a_file_is_paid_for_once() {
    let world = world(|config| config);
    world.write("sheet.jsonl", thrice());
    let said = world.run("apply sheet.jsonl --yes --rate unlimited").exits(0);
    said.output_contains("paid runs  remove-bg 1 (130 units)")
        .output_contains("rows       3: 2 updated, 1 unchanged");
    let run = world.only_run("sheet");
    let row = run.row(3);
    let words = (row["code"].as_str(), row["message"].as_str());
    assert_eq!(words, ("already_ran", "remove-bg: row 1 asks for the same on the same file"));
    assert_eq!(world.file("a")["description"], "A");
    assert_eq!(world.sandbox.stats().paid_runs_of("a", "remove-bg"), 1);
    assert_eq!(known(&memory(&world), "a"), Some(by(&run)));
}

#[test]
fn what_a_row_before_does_not_buy_is_bought_by_the_next() {
    let world = world(|config| config);
    let long = format!("{},{}", "x".repeat(250), "y".repeat(250));
    let tags = format!("{{\"fileId\":\"a\",\"addTags\":\"{long}\",\"extensions\":{REMOVE_BG}}}\n");
    let sheet = tags + &buying(&["a"]);
    world.write("sheet.jsonl", &sheet);
    world.run("apply sheet.jsonl --yes --rate unlimited --max-bad 100%").exits(1);
    let run = world.only_run("sheet");
    assert_eq!((run.count("rejected"), run.count("updated")), (1, 1));
    assert_eq!(world.sandbox.stats().paid_runs_of("a", "remove-bg"), 1);
    // Also if the run is gone on with when the first of them is over.
    let world = TestEnv::new(always(Status::Success, files(["a", "b", "c"])));
    world.write("sheet.jsonl", &sheet);
    world.run("apply sheet.jsonl --yes --rate unlimited --max-bad 100% --limit 1").exits(5);
    let run = world.only_run("sheet");
    assert_eq!((run.count("rejected"), run.count("not_attempted")), (1, 1));
    world.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(1);
    assert_eq!(world.sandbox.stats().paid_runs_of("a", "remove-bg"), 1);
    assert_eq!(known(&memory(&world), "a"), Some(by(&run)));
}

#[test]
fn what_a_refused_row_did_not_buy_is_bought_when_it_is_fed_back() {
    let refused = crate::harness::status(400, "No.");
    // The state of the file, once for the plan and once before it is paid for.
    let world = world(|config| script(vec![(3, refused)], config));
    world.write("sheet.jsonl", thrice());
    world.run("apply sheet.jsonl --yes --rate unlimited").exits(1);
    let run = world.only_run("sheet");
    assert_eq!((run.count("rejected"), run.count("updated")), (1, 1));
    assert_eq!(known(&memory(&world), "a"), None);
    let failed = run.path().join("failed.jsonl");
    world.run(&format!("apply {} --yes --rate unlimited", failed.display())).exits(0);
    assert_eq!(world.sandbox.stats().paid_runs_of("a", "remove-bg"), 1);
}
