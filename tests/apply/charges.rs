//! Charges are recorded for the account, however a run ends.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ikbulk::internals::{
    Builder, Cell, ChargeCertainty, Charges, Content, Extension, Field, FileId, Rules, Service,
    StateDir,
};
use ikbulk_sandbox::{Config, ExtensionOutcome, Fault, Hook, Phase, Status};
use rusqlite::Connection;

use crate::harness::{Cases, ChildHandle, RunFiles, TestEnv, assert_text, files, script};

/// The extension with the highest price.
const REMOVE_BG: &str = r#"[{"name":"remove-bg"}]"#;

fn remove_bg() -> Extension {
    let rules = Rules::default();
    let mut builder = Builder::new(&rules);
    builder.set("fileId", &Field::FileId, Cell::Text("a"));
    builder.set("extensions", &Field::Extensions, Cell::Text(REMOVE_BG));
    let Content::Update(update) = builder.finish() else { panic!("{REMOVE_BG} is allowed") };
    update.change.extensions.expect("the row has it").as_slice()[0].clone()
}

/// A sheet that runs remove-bg on these files.
fn removing_backgrounds(ids: &[&str]) -> String {
    ids.iter().map(|id| format!("{{\"fileId\":\"{id}\",\"extensions\":{REMOVE_BG}}}\n")).collect()
}

/// A sandbox on which every extension ends with this status.
fn always(status: Status, config: Config) -> Config {
    Config { extensions: ExtensionOutcome::Always(status), ..config }
}

/// An environment with a sheet that runs remove-bg on `a` and `b`.
fn env_with_sheet(config: impl FnOnce(Config) -> Config) -> TestEnv {
    let env = TestEnv::new(config(always(Status::Success, files(["a", "b", "c"]))));
    env.write("sheet.jsonl", removing_backgrounds(&["a", "b"]));
    env
}

fn state(env: &TestEnv) -> PathBuf {
    env.path("state/ikbulk")
}

/// The recorded charges of the sandbox's account.
fn charges_of(env: &TestEnv) -> Charges {
    let state = StateDir::open(&state(env)).expect("it can be opened");
    let endpoint = env.sandbox.base_url().parse().expect("it is a URL");
    Charges::open(&state, &Service::at(&endpoint)).expect("the memory can be opened")
}

/// The run that was charged for remove-bg on this file, and how certain that is.
fn recorded(charges: &Charges, id: &str) -> Option<(PathBuf, ChargeCertainty)> {
    let file = FileId::new(id).expect("it is an id");
    let charge = charges.find(&file, &remove_bg()).expect("the memory can be read");
    charge.map(|charge| (charge.run, charge.certainty))
}

/// A charge of this run that ImageKit has accepted.
fn charged_by(run: &RunFiles) -> (PathBuf, ChargeCertainty) {
    (run.path().to_owned(), ChargeCertainty::Accepted)
}

/// A charge of this run whose response was lost.
fn possibly_charged_by(run: &RunFiles) -> (PathBuf, ChargeCertainty) {
    (run.path().to_owned(), ChargeCertainty::ResponseLost)
}

#[test]
fn charges_are_recorded_only_for_billed_rows() {
    let env = TestEnv::new(always(Status::Pending, files(["a", "b"])));
    let others = "{\"fileId\":\"b\",\"tags\":[\"x\"]}\n";
    env.write("sheet.jsonl", removing_backgrounds(&["a", "missing"]) + others);
    env.apply("sheet.jsonl").exits(1);
    let run = env.only_run("sheet");
    let charges = charges_of(&env);
    assert_eq!(recorded(&charges, "a"), Some(charged_by(&run)));
    assert_eq!((recorded(&charges, "b"), recorded(&charges, "missing")), (None, None));
    // With `--direct` the extension runs again, and the later run replaces the earlier.
    env.write("again.jsonl", removing_backgrounds(&["a"]));
    env.apply_direct("again.jsonl").exits(0);
    assert_eq!(recorded(&charges, "a"), Some(charged_by(&env.only_run("again"))));
}

#[test]
fn charge_of_row_with_path_is_recorded_for_its_file() {
    let env = TestEnv::new(always(Status::Success, files(["a"])));
    let path = env.file("a")["filePath"].clone();
    env.write("sheet.jsonl", format!("{{\"filePath\":{path},\"extensions\":{REMOVE_BG}}}\n"));
    env.apply("sheet.jsonl").exits(0);
    let run = env.only_run("sheet");
    assert_eq!(recorded(&charges_of(&env), "a"), Some(charged_by(&run)));
}

#[test]
fn plan_counts_already_ran_apart_from_up_to_date() {
    let env = env_with_sheet(|config| config);
    env.apply("sheet.jsonl").exits(0);
    let mut sheet = removing_backgrounds(&["a", "b"]);
    sheet
        .push_str("{\"fileId\":\"c\",\"tags\":[\"x\"]}\n{\"fileId\":\"c\",\"description\":null}\n");
    env.write("again.jsonl", sheet);
    assert_text!(env.run("plan again.jsonl").exits(0));
    let plan = env.run("plan again.jsonl --json").exits(0);
    let price: serde_json::Value = serde_json::from_str(&plan.out).expect("it is JSON");
    let count = |what: &str| price["rows"][what].as_u64();
    let counts = ["to_change", "up_to_date", "already_ran"].map(count);
    assert_eq!(counts, [Some(1), Some(1), Some(2)]);
}

#[test]
fn failed_extension_is_recorded_as_failed() {
    let env = env_with_sheet(|config| always(Status::Failed, config));
    env.apply("sheet.jsonl").exits(1);
    let charges = charges_of(&env);
    let failed = Some((env.only_run("sheet").path().to_owned(), ChargeCertainty::Failed));
    assert_eq!((recorded(&charges, "a"), recorded(&charges, "b")), (failed.clone(), failed));
}

#[test]
fn pilot_and_resume_record_charges_incrementally() {
    let env = env_with_sheet(|config| config);
    env.apply("sheet.jsonl --limit 1").exits(5);
    let run = env.only_run("sheet");
    let charges = charges_of(&env);
    assert_eq!((recorded(&charges, "a"), recorded(&charges, "b")), (Some(charged_by(&run)), None));
    env.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(0);
    assert_eq!(
        (recorded(&charges, "a"), recorded(&charges, "b")),
        (Some(charged_by(&run)), Some(charged_by(&run)))
    );
}

#[test]
fn lost_response_is_recorded_as_possible_charge() {
    // Two reads to plan, the snapshot, and then the billed request.
    let env = env_with_sheet(|config| script(vec![(4, Fault::ResetAfter)], config));
    env.apply("sheet.jsonl --concurrency 1 --max-unknown 1").exits(3);
    let run = env.only_run("sheet");
    let charges = charges_of(&env);
    assert_eq!(
        (recorded(&charges, "a"), recorded(&charges, "b")),
        (Some(possibly_charged_by(&run)), None)
    );
}

/// Applies a sheet, and kills the program after the server has processed a request with this method
/// and path and before the response.
fn killed_at(command: &str, method: &'static str, path: &'static str, sheet: &str) -> TestEnv {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        let is_it = event.method == method && event.path.contains(path);
        if is_it && event.phase == Phase::Processed {
            hand.kill();
        }
    });
    // Long enough for earlier responses to be on disk.
    let late = vec![(4, Fault::HangBefore(Duration::from_secs(1)))];
    let env = env_with_sheet(|config| script(late, Config { hook: Some(hook), ..config }));
    env.write("sheet.jsonl", sheet);
    let words = ["sheet.jsonl", "--yes", "--rate", "unlimited", "--concurrency", "1"];
    let words: Vec<&str> = command.split(' ').chain(words).collect();
    assert_eq!(env.command(&words).run_as(&victim).code, None);
    env
}

/// Killed after remove-bg was charged for `b`.
pub(crate) fn killed() -> TestEnv {
    let env = killed_at("apply", "PATCH", "/b/", &removing_backgrounds(&["a", "b"]));
    assert_eq!(env.sandbox.stats().billed_runs_of("b", "remove-bg"), 1);
    env
}

#[test]
fn resume_after_kill_never_charges_twice() {
    let resumed = |env: &TestEnv| {
        let run = env.only_run("sheet");
        env.run(&format!("resume --yes {} --rate unlimited", run.name()))
    };
    // Charged, response lost.
    let lost = killed_at("apply", "PATCH", "/a/", &removing_backgrounds(&["a"]));
    resumed(&lost).exits(6);
    // The charge is remembered after the session that closed the row.
    lost.write("next.jsonl", removing_backgrounds(&["a"]));
    lost.apply("next.jsonl").exits(0);
    assert_eq!(lost.sandbox.stats().billed_runs_of("a", "remove-bg"), 1);
    // Charged and recorded; the tags are not sent yet.
    let tagged = format!("{{\"fileId\":\"a\",\"extensions\":{REMOVE_BG},\"addTags\":[\"x\"]}}\n");
    for command in ["apply", "apply --rerun-extensions"] {
        let begun = killed_at(command, "POST", "addTags", &tagged);
        resumed(&begun).exits(0);
        assert_eq!(begun.sandbox.stats().billed_runs_of("a", "remove-bg"), 1, "{command}");
        let tags = begun.file("a")["tags"].to_string();
        assert!(tags.contains("\"x\""), "{tags}");
    }
    let published =
        killed_at("apply", "PATCH", "/a/", "{\"fileId\":\"a\",\"isPublished\":false}\n");
    resumed(&published).exits(6);
    assert_eq!(published.sandbox.stats().calls.publish, 1);
}

#[test]
fn next_run_records_charges_of_killed_run() {
    let env = killed();
    let run = env.only_run("sheet");
    let charges = charges_of(&env);
    assert_eq!((recorded(&charges, "a"), recorded(&charges, "b")), (None, None));
    env.write("other.jsonl", removing_backgrounds(&["c"]));
    env.apply("other.jsonl").exits(0);
    assert_eq!(
        (recorded(&charges, "a"), recorded(&charges, "b")),
        (Some(charged_by(&run)), Some(possibly_charged_by(&run)))
    );
    // Resuming it adds no certainty.
    env.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(6);
    assert_eq!(
        (recorded(&charges, "a"), recorded(&charges, "b")),
        (Some(charged_by(&run)), Some(possibly_charged_by(&run)))
    );
}

#[test]
fn missing_killed_run_is_warned_about_once() {
    let env = killed();
    let mut cases = Cases::default();
    fs::remove_dir_all(env.path("sheet.ikbulk")).expect("it can be removed");
    env.write("other.jsonl", removing_backgrounds(&["c"]));
    cases.add("next run", env.apply("other.jsonl").exits(0).err);
    env.write("third.jsonl", removing_backgrounds(&["c"]));
    cases.add("run after that", env.apply("third.jsonl").exits(0).err);
    assert_text!(cases);
}

#[test]
fn unbilled_and_sandbox_runs_record_no_charges() {
    let env = env_with_sheet(|config| config);
    env.write("plain.jsonl", "{\"fileId\":\"a\",\"tags\":[\"x\"]}\n");
    env.apply("plain.jsonl").exits(0);
    let call = env.command(&["apply", "sheet.jsonl", "--sandbox", "--limit", "1"]);
    call.without("IMAGE_KIT_BASE_URL").run().exits(5);
    let run = env.only_run("sheet").name();
    let call = env.command(&["resume", "--yes", run.as_str()]);
    call.without("IMAGE_KIT_BASE_URL").run();
    assert_eq!(env.only_run("sheet").count("updated"), 2);
    assert!(charges_of(&env).is_empty().expect("it can be read"));
}

#[test]
fn broken_state_database_sends_nothing() {
    let env = env_with_sheet(|config| config);
    fs::create_dir_all(state(&env).join("state.db")).expect("it can be made");
    assert_text!(env.apply("sheet.jsonl").exits(4));
    assert_eq!(env.sandbox.stats().requests, 0);
    assert!(!env.path("sheet.ikbulk").exists());
}

#[test]
fn locked_charge_database_exits_4_and_catches_up() {
    let held: Arc<Mutex<Option<Connection>>> = Arc::default();
    let home: Arc<OnceLock<PathBuf>> = Arc::default();
    let (holder, place) = (Arc::clone(&held), Arc::clone(&home));
    let hook = Hook::new(move |event| {
        if event.phase == Phase::Arrived && event.method == "PATCH" && event.path.contains("/a/") {
            let path = place.get().expect("it is set before").join("state.db");
            let memory = Connection::open(path).expect("the state is there");
            memory.execute_batch("BEGIN IMMEDIATE").unwrap();
            *holder.lock().unwrap_or_else(PoisonError::into_inner) = Some(memory);
        }
    });
    let env = env_with_sheet(|config| Config { hook: Some(hook), ..config });
    home.set(state(&env)).expect("nothing else sets it");
    assert_text!(env.apply("sheet.jsonl").exits(4).err);
    let run = env.only_run("sheet");
    assert_eq!(run.count("updated"), 2);
    drop(held.lock().unwrap_or_else(PoisonError::into_inner).take());
    env.write("other.jsonl", removing_backgrounds(&["c"]));
    env.apply("other.jsonl").exits(0);
    assert_eq!(recorded(&charges_of(&env), "a"), Some(charged_by(&run)));
}

#[test]
fn nightly_rerun_sends_and_charges_nothing() {
    let ids = crate::harness::ids(20);
    let env = TestEnv::new(always(Status::Success, files(&ids)));
    let rows = ids.iter().map(|id| format!(r#"{id},"[{{""name"":""remove-bg""}}]",Text of {id}"#));
    env.write("night.csv", crate::harness::sheet("fileId,extensions,description", rows));
    env.apply("night.csv --max-units 2600").exits(0);
    assert_eq!(env.only_run("night").count("updated"), 20);
    let runs = env.sandbox.stats().billed_runs.values().sum::<u64>();
    let patches = env.sandbox.stats().calls.patch;
    assert_eq!((runs, patches), (20, 20));
    env.apply("night.csv --max-units 2600").exits(0);
    assert_eq!(env.sandbox.stats().calls.patch, patches);
    let second = env.runs("night").pop().expect("there are two");
    assert_eq!(second.count("unchanged"), 20);
    assert!(second.report().iter().all(|row| row["code"] == "already_ran"));
    env.apply("night.csv --rerun-extensions --max-units 2600").exits(0);
    assert_eq!(env.sandbox.stats().billed_runs.values().sum::<u64>(), 40);
}

/// Runs remove-bg on `a` in three rows; the second also sets the description.
fn remove_bg_in_three_rows() -> String {
    let described =
        format!("{{\"fileId\":\"a\",\"description\":\"A\",\"extensions\":{REMOVE_BG}}}\n");
    removing_backgrounds(&["a"]) + &described + &removing_backgrounds(&["a"])
}

#[test]
fn same_configuration_in_other_words_is_charged_once() {
    let env = TestEnv::new(always(Status::Success, files(["a"])));
    let row = |options: &str| {
        format!("{{\"fileId\":\"a\",\"extensions\":[{{\"name\":\"remove-bg\"{options}}}]}}\n")
    };
    let defaults = r#","options":{"semitransparency":true,"add_shadow":false}"#;
    let spellings = ["", r#","options":{}"#, defaults].map(row);
    env.write("sheet.jsonl", spellings.concat());
    env.apply("sheet.jsonl").exits(0);
    for (number, spelling) in spellings.iter().enumerate() {
        let name = format!("next{number}.jsonl");
        env.write(&name, spelling);
        env.apply(&name).exits(0);
    }
    assert_eq!(env.sandbox.stats().billed_runs_of("a", "remove-bg"), 1);
    env.write("white.jsonl", row(r#","options":{"bg_color":"white"}"#));
    env.apply("white.jsonl").exits(0);
    assert_eq!(env.sandbox.stats().billed_runs_of("a", "remove-bg"), 2);
}

#[test]
fn same_extension_in_several_rows_runs_once() {
    let env = env_with_sheet(|config| config);
    env.write("sheet.jsonl", remove_bg_in_three_rows());
    assert_text!(env.apply("sheet.jsonl").exits(0));
    let run = env.only_run("sheet");
    assert_eq!(run.row(3)["code"], "already_ran");
    assert_text!(run.row(3)["message"]);
    assert_eq!(env.file("a")["description"], "A");
    assert_eq!(env.sandbox.stats().billed_runs_of("a", "remove-bg"), 1);
    assert_eq!(recorded(&charges_of(&env), "a"), Some(charged_by(&run)));
}

#[test]
fn extension_of_rejected_row_runs_in_next_row() {
    let env = env_with_sheet(|config| config);
    let long = format!("{},{}", "x".repeat(250), "y".repeat(250));
    let tags = format!("{{\"fileId\":\"a\",\"addTags\":\"{long}\",\"extensions\":{REMOVE_BG}}}\n");
    let sheet = tags + &removing_backgrounds(&["a"]);
    env.write("sheet.jsonl", &sheet);
    env.run("apply sheet.jsonl --yes --rate unlimited --max-bad 100%").exits(1);
    let run = env.only_run("sheet");
    assert_eq!((run.count("rejected"), run.count("updated")), (1, 1));
    assert_eq!(env.sandbox.stats().billed_runs_of("a", "remove-bg"), 1);
    // The same in a run that is resumed after the first row.
    let env = TestEnv::new(always(Status::Success, files(["a", "b", "c"])));
    env.write("sheet.jsonl", &sheet);
    env.run("apply sheet.jsonl --yes --rate unlimited --max-bad 100% --limit 1").exits(5);
    let run = env.only_run("sheet");
    assert_eq!((run.count("rejected"), run.count("not_attempted")), (1, 1));
    env.run(&format!("resume --yes {} --rate unlimited", run.name())).exits(1);
    assert_eq!(env.sandbox.stats().billed_runs_of("a", "remove-bg"), 1);
    assert_eq!(recorded(&charges_of(&env), "a"), Some(charged_by(&run)));
}

#[test]
fn rejected_extension_runs_when_fed_back() {
    let refused = crate::harness::status(400, "No.");
    // Two reads of the file: for the plan, and before the billed request.
    let env = env_with_sheet(|config| script(vec![(3, refused)], config));
    env.write("sheet.jsonl", remove_bg_in_three_rows());
    env.run("apply sheet.jsonl --yes --rate unlimited").exits(1);
    let run = env.only_run("sheet");
    assert_eq!((run.count("rejected"), run.count("updated")), (1, 1));
    assert_eq!(recorded(&charges_of(&env), "a"), None);
    let failed = run.path().join("failed.jsonl");
    env.run(&format!("apply {} --yes --rate unlimited", failed.display())).exits(0);
    assert_eq!(env.sandbox.stats().billed_runs_of("a", "remove-bg"), 1);
}

#[test]
fn nothing_is_planned_if_the_charges_of_earlier_runs_cannot_be_read() {
    let env = env_with_sheet(|config| config);
    env.apply("sheet.jsonl").exits(0);
    let db = Connection::open(state(&env).join("state.db")).expect("it can be opened");
    db.execute_batch("UPDATE charge SET certainty = 99").expect("it can be written");
    let row = format!("{{\"fileId\":\"a\",\"description\":\"new\",\"extensions\":{REMOVE_BG}}}\n");
    env.write("again.jsonl", row);
    let again = env.apply("again.jsonl").exits(4);
    assert!(again.err.contains("the charges of earlier runs cannot be read"), "{}", again.err);
    assert!(env.file("a")["description"].is_null(), "the row keeps its other values");
}
