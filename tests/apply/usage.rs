//! Mistakes of first-time users, and the messages for them.

use std::net::TcpListener;

use crate::harness::{Cases, TestEnv, assert_text, files, ids, sheet, tagging};

fn env_with_sheet() -> TestEnv {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", tagging(&["a"]));
    env
}

/// An environment with a sheet of `count` bad rows and a good one.
fn env_with_bad_rows(count: usize) -> TestEnv {
    let env = env_with_sheet();
    let rows = ids(count).into_iter().map(|id| format!("{id},50%"));
    env.write("sheet.csv", sheet("fileId,tags", rows.chain(["a,x".to_owned()])));
    env
}

#[test]
fn check_groups_equal_problems() {
    assert_text!(env_with_bad_rows(1002).run("check sheet.csv").exits(1));
}

#[test]
fn check_lists_at_most_1000_different_problems() {
    let env = env_with_sheet();
    let rows = (0..1002).map(|number| format!("a,{number}%"));
    env.write("sheet.csv", sheet("fileId,tags", rows.chain(["a,x".to_owned()])));
    let check = env.run("check sheet.csv").exits(1);
    let named = |row: u64| check.out.contains(&format!("row {row}"));
    assert!((2..1002).all(named) && !named(1002) && !named(1003), "{}", check.out);
    assert!(check.out.contains("row 1001 \"999%\", …\n"), "{}", check.out);
}

#[test]
fn check_reports_when_max_bad_is_exceeded() {
    let env = env_with_bad_rows(1);
    let mut cases = Cases::default();
    cases.add("exceeded", env.run("check sheet.csv").exits(1));
    cases.add("--max-bad 50%", env.run("check sheet.csv --max-bad 50%").exits(1));
    assert_text!(cases);
}

#[test]
fn blank_clear_token_is_refused() {
    let env = env_with_sheet();
    let mut cases = Cases::default();
    for token in ["", " "] {
        let check = env.command(&["check", "sheet.csv", "--clear-token", token]);
        cases.add(&format!("--clear-token {token:?}"), check.run().exits(2));
    }
    env.write("ikbulk.toml", "[profile.default]\nclear-token = \"\"\n");
    cases.add("ikbulk.toml", env.run("check sheet.csv").exits(2));
    assert_text!(cases);
}

#[test]
fn quiet_requires_yes_and_prints_nothing() {
    let env = env_with_sheet();
    env.run("apply -q sheet.csv").exits(2).output_contains("--yes");
    env.run("apply -q sheet.csv --sandbox").exits(0);
    assert_eq!(env.sandbox.stats().requests, 0);
    let done = env.apply("-q sheet.csv").exits(0);
    assert_eq!((done.out.as_str(), done.err.as_str()), ("", ""));
}

#[test]
fn missing_or_wrong_key_names_its_sources() {
    let env = env_with_sheet();
    env.write("metadata.csv", "fileId,customMetadata.brand\na,Acme\n");
    let check = env.command(&["check", "metadata.csv"]).without("IMAGEKIT_PRIVATE_KEY");
    let sources = "IMAGEKIT_PRIVATE_KEY or --key-file";
    check.run().exits(0).output_contains(sources);
    for name in ["sheet.csv", "metadata.csv"] {
        let apply = env.command(&["apply", name, "--yes"]);
        let apply = apply.env("IMAGEKIT_PRIVATE_KEY", "private_wrong").run();
        apply.exits(3).output_contains(sources);
    }
}

#[test]
fn unusable_run_directory_suggests_run_dir() {
    let env = env_with_sheet();
    // A file where the directory should be.
    env.write("sheet.ikbulk", "");
    assert_text!(env.apply("sheet.csv").exits(2));
    env.apply("sheet.csv --run-dir elsewhere").exits(0);
}

#[test]
fn sandbox_run_resumes_on_a_new_sandbox() {
    let env = env_with_sheet();
    env.write("two.csv", "fileId,tags\na,x\nb,x\n");
    let mut cases = Cases::default();
    cases.run(&env, "apply two.csv --sandbox --limit 1");
    let run = env.only_run("two");
    cases.run(&env, &format!("resume --yes {}", run.name()));
    assert_text!(cases);
    assert_eq!(run.count("updated"), 2);
}

#[test]
fn sandbox_conflicts_with_endpoint() {
    let env = env_with_sheet();
    env.run("apply sheet.csv --sandbox --endpoint http://127.0.0.1:9").exits(2);
    env.run("apply sheet.csv --sandbox").exits(0);
    assert_eq!(env.sandbox.stats().requests, 0);
}

#[test]
fn taken_sandbox_port_is_reported() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let done = env_with_sheet().run(&format!("sandbox --port {port}")).exits(2);
    done.output_contains(&port.to_string()).output_contains("--port 0");
}

#[test]
fn invalid_flag_values_are_explained() {
    let env = env_with_sheet();
    let mut cases = Cases::default();
    for flags in ["--limit 0", "--timeout 0s", "--connect-timeout 0s", "--stop-at 25:00"] {
        cases.add(flags, env.apply(&format!("sheet.csv {flags}")).exits(2));
    }
    assert_text!(cases);
    assert_eq!(env.sandbox.stats().requests, 0);
}

#[test]
fn unusable_header_sends_nothing() {
    let env = env_with_sheet();
    for header in ["id,tags", "fileId,tag", "fileId,colour", "fileId,customMetadata.nope"] {
        env.write("sheet.csv", format!("{header}\na,x\n"));
        env.apply("sheet.csv").exits(2);
    }
    assert_eq!(env.sandbox.stats().calls.patch, 0);
    assert!(!env.path("sheet.ikbulk").exists());
}

#[test]
fn misspelled_metadata_column_gets_a_suggestion() {
    let env = env_with_sheet();
    let mut cases = Cases::default();
    for name in ["Brands", "brnad", "pric"] {
        env.write("sheet.csv", format!("fileId,customMetadata.{name}\na,x\n"));
        cases.add(name, env.run("check sheet.csv").exits(2));
    }
    env.write("sheet.jsonl", "{\"fileId\":\"a\",\"customMetadata\":null}\n");
    cases.add("no object", env.run("check sheet.jsonl").exits(1));
    assert_text!(cases);
}

#[test]
fn column_with_the_label_of_a_field_is_read() {
    let env = env_with_sheet();
    let mut cases = Cases::default();
    for header in [
        "fileId,customMetadata.brand,price,note",
        "fileId,customMetadata.brand,List price EUR,note",
        "fileId,tags,price,note",
        // The column with the full name is read.
        "fileId,customMetadata.brand,customMetadata.price,Price",
    ] {
        env.write("sheet.csv", format!("{header}\na,Acme,7,x\n"));
        cases.add(header, env.run("check sheet.csv").exits(0));
    }
    let line = r#"{"fileId":"a","customMetadata":{"brand":"Acme"},"Price":7,"note":"x"}"#;
    env.write("sheet.jsonl", format!("{line}\n"));
    cases.add(line, env.run("check sheet.jsonl").exits(0));
    assert_text!(cases);
}
