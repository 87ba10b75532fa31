//! Inputs with one line, nesting or id of excessive size.

use std::fs;

use serde_json::json;

use crate::harness::{Cases, TestEnv, assert_text, files};

/// A sheet with an unclosed line of a gibibyte: a sparse file of NULs.
fn endless(env: &TestEnv, name: &str) -> fs::File {
    let beginning = if name.ends_with("csv") { "fileId,tags\na,\"" } else { "{\"fileId\":\"" };
    env.write(name, beginning);
    let file = fs::OpenOptions::new().write(true).read(true).open(env.path(name));
    let file = file.expect("it was just written");
    file.set_len(1 << 30).expect("it can grow");
    file
}

/// Limits the address space of the program to a quarter of such a line.
const MEMORY: &str = "ulimit -v 262144";

#[test]
fn gibibyte_line_is_refused_within_256_mib() {
    let mut cases = Cases::default();
    for name in ["sheet.csv", "sheet.jsonl"] {
        let env = TestEnv::new(files(["a"]));
        endless(&env, name);
        let words = ["check", "--no-schema", name];
        cases.add(name, env.command_after(MEMORY, &words).run().exits(2));
    }
    assert_text!(cases);
}

#[test]
#[ignore = "slow: copies two gibibytes; run by `just slow`"]
fn gibibyte_line_on_stdin_is_refused_and_removed() {
    for name in ["sheet.csv", "sheet.jsonl"] {
        let env = TestEnv::new(files(["a"]));
        let words = ["apply", "--yes", "--no-schema", "-"];
        let call = env.command_after(MEMORY, &words).input_file(endless(&env, name));
        call.run().exits(2).output_contains("16 MiB");
        assert_eq!(env.sandbox.stats().requests, 0);
        assert!(!env.path("state/ikbulk/stdin.ikbulk").exists());
    }
}

#[test]
fn deep_json_and_long_ids_are_bad_rows() {
    let env = TestEnv::new(files(["a"]));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    env.write("deep.jsonl", format!("{{\"fileId\":\"a\",\"tags\":{deep}}}\n"));
    let mut cases = Cases::default();
    cases.run(&env, "check deep.jsonl");
    env.write("long.jsonl", json!({"fileId": "x".repeat(257), "tags": ["y"]}).to_string());
    cases.run(&env, "check long.jsonl");
    assert_text!(cases);
}
