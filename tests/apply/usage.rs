//! Mistakes of first-time users, and the messages for them.

use std::net::TcpListener;

use crate::harness::{TestEnv, files, ids, sheet, tagging};

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

fn count(text: &str, word: &str) -> usize {
    text.matches(word).count()
}

#[test]
fn check_lists_at_most_1000_bad_rows() {
    let check = env_with_bad_rows(1002).run("check sheet.csv").exits(1);
    assert_eq!(count(&check.out, "bad row "), 1000);
    check.output_contains("           and 2 more bad rows\n");
}

#[test]
fn check_reports_when_max_bad_is_exceeded() {
    let env = env_with_bad_rows(1);
    let refuses = "with so many bad rows (--max-bad) `ikbulk apply` sends nothing without asking";
    env.run("check sheet.csv").exits(1).output_contains(refuses);
    let allowed = env.run("check sheet.csv --max-bad 50%").exits(1);
    assert!(!allowed.out.contains("--max-bad"), "{}", allowed.out);
}

#[test]
fn blank_clear_token_is_refused() {
    let env = env_with_sheet();
    for token in ["", " "] {
        let check = env.command(&["check", "sheet.csv", "--clear-token", token]);
        check.run().exits(2).output_contains("an empty cell leaves its field alone");
    }
    env.write("ikbulk.toml", "[profile.default]\nclear-token = \"\"\n");
    env.run("check sheet.csv").exits(2).output_contains("an empty cell leaves its field alone");
}

#[test]
fn quiet_requires_yes_and_prints_nothing() {
    let env = env_with_sheet();
    let done = env.run("apply -q sheet.csv").exits(2);
    done.output_contains("with -q nothing can be shown and confirmed: add --yes");
    env.run("apply -q sheet.csv --sandbox").exits(0);
    assert_eq!(env.sandbox.stats().requests, 0);
    let done = env.apply("-q sheet.csv").exits(0);
    assert_eq!((done.out.as_str(), done.err.as_str()), ("", ""));
}

#[test]
fn empty_key_is_reported() {
    let env = env_with_sheet();
    let apply = |words: &[&str], key: &str| {
        let words = [&["apply", "sheet.csv", "--yes"], words].concat();
        env.command(&words).env("IMAGEKIT_PRIVATE_KEY", key).run().exits(2)
    };
    apply(&[], " ").output_contains("the private key in IMAGEKIT_PRIVATE_KEY is empty");
    env.write("key", "\n");
    apply(&["--key-file", "key"], "").output_contains("the key file key is empty");
}

#[test]
fn missing_or_wrong_key_names_its_sources() {
    let env = env_with_sheet();
    env.write("metadata.csv", "fileId,customMetadata.brand\na,Acme\n");
    let check = env.command(&["check", "metadata.csv"]).without("IMAGEKIT_PRIVATE_KEY");
    check.run().exits(0).output_contains("for want of a key in IMAGEKIT_PRIVATE_KEY or --key-file");
    let check_it = "IMAGEKIT_PRIVATE_KEY or --key-file";
    for name in ["sheet.csv", "metadata.csv"] {
        let apply = env.command(&["apply", name, "--yes"]);
        let apply = apply.env("IMAGEKIT_PRIVATE_KEY", "private_wrong").run();
        apply.exits(3).output_contains(check_it);
    }
}

#[test]
fn unusable_run_directory_suggests_run_dir() {
    let env = env_with_sheet();
    // A file where the directory should be.
    env.write("sheet.ikbulk", "");
    let done = env.apply("sheet.csv").exits(2).output_contains("cannot make the run directory");
    done.output_contains("; --run-dir puts it elsewhere");
    env.apply("sheet.csv --run-dir elsewhere").exits(0);
}

#[test]
fn sandbox_run_resumes_on_a_new_sandbox() {
    let env = env_with_sheet();
    env.write("two.csv", "fileId,tags\na,x\nb,x\n");
    let done = env.run("apply two.csv --sandbox --limit 1").exits(5);
    done.output_contains("next       ikbulk resume two.ikbulk/")
        .output_contains("on a new sandbox");
    let run = env.only_run("two");
    env.run(&format!("resume --yes {}", run.name()))
        .exits(0)
        .output_contains("a new one takes its place");
    assert_eq!(run.count("updated"), 2);
}

#[test]
fn sandbox_conflicts_with_endpoint() {
    let env = env_with_sheet();
    let done = env.run("apply sheet.csv --sandbox --endpoint http://127.0.0.1:9").exits(2);
    done.output_contains("'--sandbox' cannot be used with '--endpoint");
    env.run("apply sheet.csv --sandbox").exits(0);
    assert_eq!(env.sandbox.stats().requests, 0);
}

#[test]
fn taken_sandbox_port_is_reported() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let done = env_with_sheet().run(&format!("sandbox --port {port}")).exits(2);
    done.output_contains(&format!("something listens on port {port} already"))
        .output_contains("--port 0");
}

#[test]
fn invalid_flag_values_are_explained() {
    let env = env_with_sheet();
    for (flags, says) in [
        ("--limit 0", "not a number of rows: write one above 0"),
        ("--timeout 0s", "not a duration above 0"),
        ("--connect-timeout 0s", "not a duration above 0"),
        ("--stop-at 25:00", "not a time of day: write it like 06:00 or 18:30"),
    ] {
        env.apply(&format!("sheet.csv {flags}")).exits(2).output_contains(says);
    }
    assert_eq!(env.sandbox.stats().requests, 0);
}

#[test]
fn unusable_header_sends_nothing() {
    let env = env_with_sheet();
    for header in ["id,tags", "fileId,tag", "fileId,colour", "fileId,customMetadata.nope"] {
        env.write("sheet.csv", format!("{header}\na,x\n"));
        env.apply("sheet.csv").exits(2).output_contains("nothing was sent");
    }
}

#[test]
fn misspelled_metadata_column_gets_a_suggestion() {
    let env = env_with_sheet();
    for (name, meant) in [
        ("Brands", "\"Brand\""),
        ("brnad", "\"brand\""),
        ("pric", "\"price\""),
        ("List price EUR", "\"List price (EUR)\""),
    ] {
        env.write("sheet.csv", format!("fileId,customMetadata.{name}\na,x\n"));
        env.run("check sheet.csv").exits(2).output_contains(&format!("did you mean {meant}?"));
    }
    env.write("sheet.jsonl", "{\"fileId\":\"a\",\"customMetadata\":null}\n");
    let done = env.run("check sheet.jsonl").exits(1);
    done.output_contains("customMetadata: \"null\" is not an object; write {\"name\":value}");
}

#[test]
fn column_without_metadata_prefix_is_reported_unread() {
    let env = env_with_sheet();
    let not_read = |header: &str, says: &str| {
        env.write("sheet.csv", format!("{header}\na,Acme,7,x\n"));
        env.apply("sheet.csv").exits(0).output_contains(&format!("not read   {says}\n"));
    };
    let price = "price (customMetadata.price would be)";
    not_read("fileId,customMetadata.brand,price,note", &format!("columns {price}, note"));
    not_read(
        "fileId,customMetadata.brand,List price EUR,colour",
        "columns List price EUR (customMetadata.price would be), colour (customMetadata.color would be)",
    );
    // Both columns together are no mistake.
    not_read("fileId,customMetadata.brand,customMetadata.price,Price", "column Price");
    // The schema is not read just for this hint.
    env.write("sheet.csv", "fileId,tags,price\na,x,7\n");
    env.run("check sheet.csv").exits(0).output_contains("not read   column price\n");
    let line = r#"{"fileId":"a","customMetadata":{"brand":"Acme"},"Price":7}"#;
    env.write("sheet.jsonl", format!("{line}\n"));
    env.run("check sheet.jsonl").exits(1).output_contains("did you mean customMetadata.price?");
}
