//! What goes wrong at somebody's first steps, and what they are told.

use std::net::TcpListener;

use crate::harness::{TestEnv, files, ids, sheet, tagging};

fn world() -> TestEnv {
    let world = TestEnv::new(files(["a"]));
    world.write("sheet.csv", tagging(&["a"]));
    world
}

/// A world with a sheet of so many bad rows, and one good one.
fn bad_rows(count: usize) -> TestEnv {
    let world = world();
    let rows = ids(count).into_iter().map(|id| format!("{id},50%"));
    world.write("sheet.csv", sheet("fileId,tags", rows.chain(["a,x".to_owned()])));
    world
}

fn count(text: &str, word: &str) -> usize {
    text.matches(word).count()
}

#[test]
fn check_lists_a_thousand_bad_rows_and_counts_the_rest() {
    let check = bad_rows(1002).run("check sheet.csv").exits(1);
    assert_eq!(count(&check.out, "bad row "), 1000);
    check.output_contains("           and 2 more bad rows\n");
}

#[test]
fn check_says_whether_apply_would_take_so_many_bad_rows_unattended() {
    let world = bad_rows(1);
    let refuses = "with so many bad rows (--max-bad) `ikbulk apply` sends nothing without asking";
    world.run("check sheet.csv").exits(1).output_contains(refuses);
    let allowed = world.run("check sheet.csv --max-bad 50%").exits(1);
    assert!(!allowed.out.contains("--max-bad"), "{}", allowed.out);
}

#[test]
fn a_blank_clear_token_is_refused_wherever_it_is_written() {
    let world = world();
    for token in ["", " "] {
        let check = world.command(&["check", "sheet.csv", "--clear-token", token]);
        check.run().exits(2).output_contains("an empty cell leaves its field alone");
    }
    world.write("ikbulk.toml", "[profile.default]\nclear-token = \"\"\n");
    world.run("check sheet.csv").exits(2).output_contains("an empty cell leaves its field alone");
}

#[test]
fn nobody_is_asked_about_what_quiet_does_not_show() {
    let world = world();
    let done = world.run("apply --direct --no-snapshot -q sheet.csv").exits(2);
    done.output_contains("with -q nothing can be shown and confirmed: add --yes");
    world.run("apply --direct --no-snapshot -q sheet.csv --sandbox").exits(0);
    assert_eq!(world.sandbox.stats().requests, 0);
    let done = world.apply_direct("-q sheet.csv").exits(0);
    assert_eq!((done.out.as_str(), done.err.as_str()), ("", ""));
}

#[test]
fn a_key_that_is_empty_is_said_to_be_empty() {
    let world = world();
    let apply = |words: &[&str], key: &str| {
        let words = [&["apply", "--direct", "--no-snapshot", "sheet.csv", "--yes"], words].concat();
        world.command(&words).env("IMAGEKIT_PRIVATE_KEY", key).run().exits(2)
    };
    apply(&[], " ").output_contains("the private key in IMAGEKIT_PRIVATE_KEY is empty");
    world.write("key", "\n");
    apply(&["--key-file", "key"], "").output_contains("the key file key is empty");
}

#[test]
fn who_has_no_key_or_a_wrong_one_is_told_where_it_comes_from() {
    let world = world();
    world.write("metadata.csv", "fileId,customMetadata.brand\na,Acme\n");
    let check = world.command(&["check", "metadata.csv"]).without("IMAGEKIT_PRIVATE_KEY");
    check.run().exits(0).output_contains("for want of a key in IMAGEKIT_PRIVATE_KEY or --key-file");
    let check_it = "IMAGEKIT_PRIVATE_KEY or --key-file";
    for name in ["sheet.csv", "metadata.csv"] {
        let apply = world.command(&["apply", "--direct", "--no-snapshot", name, "--yes"]);
        let apply = apply.env("IMAGEKIT_PRIVATE_KEY", "private_wrong").run();
        apply.exits(3).output_contains(check_it);
    }
}

#[test]
fn where_no_run_can_live_another_place_is_named() {
    let world = world();
    // In the way of the directory.
    world.write("sheet.ikbulk", "");
    let done =
        world.apply_direct("sheet.csv").exits(2).output_contains("cannot make the run directory");
    done.output_contains("; --run-dir puts it elsewhere");
    world.apply_direct("sheet.csv --run-dir elsewhere").exits(0);
}

#[test]
fn a_run_on_the_sandbox_can_be_gone_on_with_on_another_one_and_says_so() {
    let world = world();
    world.write("two.csv", "fileId,tags\na,x\nb,x\n");
    let done = world.run("apply --direct --no-snapshot two.csv --sandbox --limit 1").exits(5);
    done.output_contains("next       ikbulk resume two.ikbulk/")
        .output_contains("on a new sandbox");
    let run = world.only_run("two");
    world
        .run(&format!("resume --yes {}", run.name()))
        .exits(0)
        .output_contains("a new one takes its place");
    assert_eq!(run.count("updated"), 2);
}

#[test]
fn a_sandbox_has_its_own_endpoint() {
    let world = world();
    let done = world
        .run("apply --direct --no-snapshot sheet.csv --sandbox --endpoint http://127.0.0.1:9")
        .exits(2);
    done.output_contains("'--sandbox' cannot be used with '--endpoint");
    world.run("apply --direct --no-snapshot sheet.csv --sandbox").exits(0);
    assert_eq!(world.sandbox.stats().requests, 0);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let done = world().run(&format!("sandbox --port {port}")).exits(2);
    done.output_contains(&format!("something listens on port {port} already"))
        .output_contains("--port 0");
}

#[test]
fn a_value_that_makes_no_sense_is_answered_in_plain_words() {
    let world = world();
    for (flags, says) in [
        ("--limit 0", "not a number of rows: write one above 0"),
        ("--timeout 0s", "not a duration above 0"),
        ("--connect-timeout 0s", "not a duration above 0"),
        ("--stop-at 25:00", "not a time of day: write it like 06:00 or 18:30"),
    ] {
        world.apply_direct(&format!("sheet.csv {flags}")).exits(2).output_contains(says);
    }
    assert_eq!(world.sandbox.stats().requests, 0);
}

#[test]
fn a_header_that_is_not_usable_says_that_nothing_was_sent() {
    let world = world();
    for header in ["id,tags", "fileId,tag", "fileId,colour", "fileId,customMetadata.nope"] {
        world.write("sheet.csv", format!("{header}\na,x\n"));
        world.apply_direct("sheet.csv").exits(2).output_contains("nothing was sent");
    }
}

#[test]
fn custom_metadata_with_a_slip_in_its_name_is_guessed() {
    let world = world();
    for (name, meant) in [
        ("Brands", "\"Brand\""),
        ("brnad", "\"brand\""),
        ("pric", "\"price\""),
        ("List price EUR", "\"List price (EUR)\""),
    ] {
        world.write("sheet.csv", format!("fileId,customMetadata.{name}\na,x\n"));
        world.run("check sheet.csv").exits(2).output_contains(&format!("did you mean {meant}?"));
    }
    world.write("sheet.jsonl", "{\"fileId\":\"a\",\"customMetadata\":null}\n");
    let done = world.run("check sheet.jsonl").exits(1);
    done.output_contains("customMetadata: \"null\" is not an object; write {\"name\":value}");
}

#[test]
fn a_column_that_only_lacks_the_prefix_of_custom_metadata_is_not_read_and_told_so() {
    let world = world();
    let not_read = |header: &str, says: &str| {
        world.write("sheet.csv", format!("{header}\na,Acme,7,x\n"));
        world.apply_direct("sheet.csv").exits(0).output_contains(&format!("not read   {says}\n"));
    };
    let price = "price (customMetadata.price would be)";
    not_read("fileId,customMetadata.brand,price,note", &format!("columns {price}, note"));
    not_read(
        "fileId,customMetadata.brand,List price EUR,colour",
        "columns List price EUR (customMetadata.price would be), colour (customMetadata.color would be)",
    );
    // Who has both has not forgotten it.
    not_read("fileId,customMetadata.brand,customMetadata.price,Price", "column Price");
    // Nobody asks for the account's fields just to say so.
    world.write("sheet.csv", "fileId,tags,price\na,x,7\n");
    world.run("check sheet.csv").exits(0).output_contains("not read   column price\n");
    let line = r#"{"fileId":"a","customMetadata":{"brand":"Acme"},"Price":7}"#;
    world.write("sheet.jsonl", format!("{line}\n"));
    world.run("check sheet.jsonl").exits(1).output_contains("did you mean customMetadata.price?");
}
