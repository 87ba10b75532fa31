//! Inputs with one line, nesting or id of excessive size.

use std::fs;
use std::io::Write as _;

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

/// Files of less than a mebibyte that decompress to more than 256 MiB.
fn bombs() -> [(&'static str, Vec<u8>); 2] {
    let text = vec![b'\n'; 16 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&text).expect("memory takes it");
    let gzip = gzip.finish().expect("memory takes it");
    let zstd = zstd::encode_all(&text[..], 1).expect("memory takes it");
    // Compressed files one after the other are one text.
    [("sheet.csv.gz", gzip.repeat(20)), ("sheet.jsonl.zst", zstd.repeat(80))]
}

#[test]
fn decompression_bomb_is_refused_with_the_limit_within_256_mib() {
    let mut cases = Cases::default();
    for (name, bytes) in bombs() {
        assert!(bytes.len() < 1 << 20, "{name}: {}", bytes.len());
        let env = TestEnv::new(files(["a"]));
        env.write(name, &bytes);
        let words = ["check", "--no-schema", name];
        cases.add(name, env.command_after(MEMORY, &words).run().exits(2));
        let words = ["apply", "--yes", "--no-schema", "-"];
        let call = env.command_after(MEMORY, &words).input(bytes);
        cases.add(&format!("{name} on standard input"), call.run().exits(2));
        assert!(!env.path("state/ikbulk/stdin.ikbulk").exists(), "nothing is left of it");
    }
    assert_text!(cases);
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
