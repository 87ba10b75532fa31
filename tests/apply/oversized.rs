//! Inputs of which one thing is larger than anything that a person wrote.

use std::fs;

use serde_json::json;

use crate::harness::{TestEnv, files};

/// The beginning of a sheet whose line never ends, for a gibibyte: NULs, of which the disk keeps
/// none.
fn endless(world: &TestEnv, name: &str) -> fs::File {
    let beginning = if name.ends_with("csv") { "fileId,tags\na,\"" } else { "{\"fileId\":\"" };
    world.write(name, beginning);
    let file = fs::OpenOptions::new().write(true).read(true).open(world.path(name));
    let file = file.expect("it was just written");
    file.set_len(1 << 30).expect("it can grow");
    file
}

/// A quarter of such a line, threads and libraries included: the system gives the program no more.
const MEMORY: &str = "ulimit -v 262144";

#[test]
fn a_line_of_a_gibibyte_is_refused_within_a_quarter_of_that_memory() {
    for (name, says) in [("sheet.csv", "row 2, which begins at byte 12"), ("sheet.jsonl", "row 1,")]
    {
        let world = TestEnv::new(files(["a"]));
        endless(&world, name);
        let words = ["check", "--no-schema", name];
        let done = world.command_after(MEMORY, &words).run().exits(2);
        done.output_contains(says).output_contains("is over 16 MiB long; most likely");
    }
}

#[test]
#[ignore = "it copies two gibibytes, which takes a while; `just slow` runs it"]
fn a_line_of_a_gibibyte_on_standard_input_is_refused_and_nothing_of_it_is_left() {
    for name in ["sheet.csv", "sheet.jsonl"] {
        let world = TestEnv::new(files(["a"]));
        let words = ["apply", "--direct", "--no-snapshot", "--yes", "--no-schema", "-"];
        let call = world.command_after(MEMORY, &words).input_file(endless(&world, name));
        call.run().exits(2).output_contains("is over 16 MiB long; most likely");
        assert_eq!(world.sandbox.stats().requests, 0);
        assert!(!world.path("state/ikbulk/stdin.ikbulk").exists());
    }
}

#[test]
fn json_that_is_nested_too_deep_and_an_id_that_is_too_long_are_bad_rows() {
    let world = TestEnv::new(files(["a"]));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    world.write("deep.jsonl", format!("{{\"fileId\":\"a\",\"tags\":{deep}}}\n"));
    let says = "[…\" is not a JSON object (recursion limit exceeded at byte";
    world
        .run("check deep.jsonl")
        .exits(1)
        .output_contains("bad row    1: line: ")
        .output_contains(says);
    world.write("long.jsonl", json!({"fileId": "x".repeat(257), "tags": ["y"]}).to_string());
    let says = "xxx…\" is longer than 256 bytes; write the id as ImageKit shows it";
    world
        .run("check long.jsonl")
        .exits(1)
        .output_contains("bad row    1: fileId: ")
        .output_contains(says);
}
