//! `ikbulk charges`: the recorded charges are inspected, and carried to another machine.

use ikbulk_sandbox::{Config, ExtensionOutcome, Status};
use serde_json::{Value, json};

use crate::charges::killed;
use crate::harness::{Cases, CmdResult, TestEnv, assert_text, files};

const OTHER_MACHINE: &str = "--state-dir other";

/// Files `a` to `c`, of which `a` and `b` had their background removed.
fn env() -> TestEnv {
    let env = TestEnv::new(Config {
        extensions: ExtensionOutcome::Always(Status::Success),
        ..files(["a", "b", "c"])
    });
    env.write("sheet.jsonl", sheet(&["a", "b"]));
    env.apply("sheet.jsonl").exits(0);
    env
}

fn sheet(ids: &[&str]) -> String {
    let rows = ids.iter().map(|id| json!({"fileId": id, "extensions": [{"name": "remove-bg"}]}));
    rows.map(|row| format!("{row}\n")).collect()
}

fn export(env: &TestEnv, flags: &str) -> String {
    env.run(&format!("charges export -o charges.jsonl --overwrite {flags}")).exits(0);
    std::fs::read_to_string(env.path("charges.jsonl")).expect("it was written")
}

fn import(env: &TestEnv, flags: &str) -> CmdResult {
    env.run(&format!("charges import charges.jsonl {flags}"))
}

fn list(env: &TestEnv, flags: &str) -> Value {
    let listed = env.run(&format!("charges list --json {flags}")).exits(0);
    serde_json::from_str(&listed.out).expect("it is JSON")
}

#[test]
fn charges_are_listed_with_spending_and_files() {
    let env = env();
    let mut cases = Cases::default();
    cases.run(&env, "charges list --state-dir other");
    assert_text!(cases);
    let listed = env.run("charges list --file a").exits(0);
    listed
        .output_contains("2 charges on 2 files")
        .output_contains("remove-bg  2 accepted")
        .output_contains("2 remove-bg (260 units)")
        .output_contains("already ran in");
    let listed = list(&env, "--file c");
    assert_eq!(
        listed["charges"],
        json!([{"extension": "remove-bg", "accepted": 2, "response_lost": 0, "failed": 0}])
    );
    assert_eq!((&listed["files"], &listed["of_file"]), (&json!(2), &json!([])));
    assert_eq!(listed["spent"][0]["runs"], 2);
}

#[test]
fn other_machine_with_the_imported_charges_charges_nothing() {
    let env = env();
    export(&env, "");
    import(&env, OTHER_MACHINE).exits(0).output_contains("2 charges; 0 more");
    import(&env, OTHER_MACHINE).exits(0).output_contains("0 charges; 2 more");
    env.write("again.jsonl", sheet(&["a", "b"]));
    env.apply(&format!("again.jsonl {OTHER_MACHINE}")).exits(0).output_contains("2 unchanged");
    // What was spent counts against the limits of the day.
    env.write("more.jsonl", sheet(&["c"]));
    env.apply(&format!("more.jsonl {OTHER_MACHINE} --max-units-per-day 300")).exits(5);
    assert_eq!(env.sandbox.stats().billed_runs.values().sum::<u64>(), 2);
    env.write("last.jsonl", sheet(&["c"]));
    env.apply(&format!("last.jsonl {OTHER_MACHINE} --max-units-per-day 390")).exits(0);
    // And back: nothing is forgotten here.
    export(&env, OTHER_MACHINE);
    import(&env, "").exits(0).output_contains("1 charge; 2 more");
    assert_eq!(list(&env, "")["charges"], list(&env, OTHER_MACHINE)["charges"]);
    assert_eq!(list(&env, "")["spent"], list(&env, OTHER_MACHINE)["spent"]);
}

#[test]
fn charges_of_an_interrupted_run_are_exported() {
    let env = killed();
    let open = list(&env, "")["open_runs"].as_array().map(Vec::len);
    assert_eq!(open, Some(1));
    let exported = export(&env, "");
    assert!(exported.contains(r#""file":"b","extension":"remove-bg""#), "{exported}");
    assert!(exported.contains(r#""certainty":"response_lost""#), "{exported}");
    import(&env, OTHER_MACHINE).exits(0);
    env.write("again.jsonl", sheet(&["a", "b"]));
    env.apply(&format!("again.jsonl {OTHER_MACHINE}")).exits(0).output_contains("2 unchanged");
    // The run, resumed here, is still one of this machine.
    let run = env.only_run("sheet").name();
    env.run(&format!("resume --yes {run} --rate unlimited")).exits(6);
}

#[test]
fn export_waits_for_the_account_and_overwrites_nothing() {
    let env = env();
    let lock = env.lock_account();
    env.run("charges export -o charges.jsonl").exits(75);
    env.write("charges.jsonl", "kept");
    import(&env, "").exits(75);
    drop(lock);
    env.run("charges export -o charges.jsonl").exits(2);
    assert_eq!(std::fs::read_to_string(env.path("charges.jsonl")).expect("it is there"), "kept");
}

/// Ways to damage a file of charges, by name: lines 1 to 6 are the header, the run, two charges, what
/// was spent, and the end.
fn damaged(text: &str) -> Vec<(&'static str, String)> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let [header, run, first, second, spent, end] = lines[..] else { panic!("{text}") };
    let joined = |lines: &[&str]| lines.concat();
    let with = |from: &str, to: &str| text.replacen(from, to, 1);
    vec![
        ("no lines", String::new()),
        ("not JSON", joined(&[header, run, "nonsense\n", second, spent, end])),
        ("another key", with(r#""certainty""#, r#""certain""#)),
        ("cut in a line", text[..text.len() - 10].to_owned()),
        ("cut after a line", joined(&[header, run, first, second, spent])),
        ("a line less", joined(&[header, run, first, spent, end])),
        ("a line more", joined(&[header, run, first, first, second, spent, end])),
        ("lines after the end", joined(&[header, run, first, second, spent, end, first])),
        ("two files", joined(&[header, header, run, first, second, spent, end])),
        ("no header", joined(&[run, first, second, spent, end])),
        ("no run", joined(&[header, first, second, spent, end])),
        ("another format", with(r#""format":2"#, r#""format":3"#)),
        ("another service", with(r#""service":""#, r#""service":"other."#)),
        ("another account", with(r#""account":""#, r#""account":"other."#)),
        ("an unknown extension", with(r#""extension":"remove-bg""#, r#""extension":"unknown""#)),
        ("not a file id", with(r#""file":"a""#, r#""file":"""#)),
        ("not a configuration", with(r#""configuration":""#, r#""configuration":"x"#)),
        ("no runs", with(r#""runs":2"#, r#""runs":0"#)),
        ("a long line", joined(&[header, &"x".repeat(100_000), "\n", run, end])),
    ]
}

#[test]
fn damaged_file_is_refused_with_the_line() {
    let env = env();
    let text = export(&env, "");
    let mut cases = Cases::default();
    for (name, damaged) in damaged(&text) {
        assert_ne!(damaged, text, "{name}");
        env.write("charges.jsonl", damaged);
        let refused = import(&env, OTHER_MACHINE);
        assert_eq!(refused.code, Some(2), "{name}: {refused}");
        cases.add(name, refused.err);
    }
    env.run("charges import missing.jsonl").exits(2);
    assert_eq!(list(&env, OTHER_MACHINE)["files"], 0, "nothing was imported");
    let header: Value = serde_json::from_str(text.lines().nth(1).expect("a run")).expect("JSON");
    let run = header["run"]["id"].as_str().expect("it has an id");
    let cases = cases.to_string().replace(run, "[run]");
    let service = env.sandbox.base_url().replace("http://127.0.0.1", "localhost");
    assert_text!(cases.replace(&service, "[service]"));
}
