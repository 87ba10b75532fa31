//! Inputs with one line, nesting or id of excessive size.

use std::fs;

use serde_json::json;

use crate::harness::{TestEnv, files};

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
    for (name, says) in [("sheet.csv", "row 2, which begins at byte 12"), ("sheet.jsonl", "row 1,")]
    {
        let env = TestEnv::new(files(["a"]));
        endless(&env, name);
        let words = ["check", "--no-schema", name];
        let done = env.command_after(MEMORY, &words).run().exits(2);
        done.output_contains(says).output_contains("is over 16 MiB long; most likely");
    }
}

#[test]
#[ignore = "slow: copies two gibibytes; run by `just slow`"]
fn gibibyte_line_on_stdin_is_refused_and_removed() {
    for name in ["sheet.csv", "sheet.jsonl"] {
        let env = TestEnv::new(files(["a"]));
        let words = ["apply", "--yes", "--no-schema", "-"];
        let call = env.command_after(MEMORY, &words).input_file(endless(&env, name));
        call.run().exits(2).output_contains("is over 16 MiB long; most likely");
        assert_eq!(env.sandbox.stats().requests, 0);
        assert!(!env.path("state/ikbulk/stdin.ikbulk").exists());
    }
}

#[test]
fn deep_json_and_long_ids_are_bad_rows() {
    let env = TestEnv::new(files(["a"]));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    env.write("deep.jsonl", format!("{{\"fileId\":\"a\",\"tags\":{deep}}}\n"));
    let says = "[…\" is not a JSON object (recursion limit exceeded at byte";
    env.run("check deep.jsonl")
        .exits(1)
        .output_contains("bad row    1: line: ")
        .output_contains(says);
    env.write("long.jsonl", json!({"fileId": "x".repeat(257), "tags": ["y"]}).to_string());
    let says = "xxx…\" is longer than 256 bytes; write the id as ImageKit shows it";
    env.run("check long.jsonl")
        .exits(1)
        .output_contains("bad row    1: fileId: ")
        .output_contains(says);
}
