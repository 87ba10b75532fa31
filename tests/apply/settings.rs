//! Where settings come from, and what the account says of custom metadata.

use serde_json::json;

use crate::harness::{Call, CmdResult, KEY, TestEnv, files, tagging};

/// Nobody listens there, so that a run that goes there is out of reach.
const NOWHERE: &str = "http://127.0.0.1:9";

fn world() -> TestEnv {
    let world = TestEnv::new(files(["a"]));
    world.write("sheet.csv", tagging(&["a"]));
    world
}

fn profile(world: &TestEnv, name: &str, lines: &str) {
    world.write("ikbulk.toml", format!("[profile.{name}]\n{lines}\n"));
}

fn reached(done: &CmdResult) -> bool {
    match done.code {
        Some(0) => true,
        Some(3) => false,
        _ => panic!("{done:?}"),
    }
}

#[test]
fn a_flag_goes_before_the_environment_and_that_before_a_profile() {
    let world = world();
    let words = ["apply", "--direct", "--no-snapshot", "sheet.csv", "--yes", "--down-max", "1s"];
    let url = world.sandbox.base_url();
    profile(&world, "default", &format!("endpoint = \"{url}\""));
    let run = |words: &[&str], variable: Option<&str>| {
        let call = world.command(words);
        let call = match variable {
            Some(endpoint) => call.env("IMAGE_KIT_BASE_URL", endpoint),
            None => call.without("IMAGE_KIT_BASE_URL"),
        };
        reached(&call.run())
    };
    assert!(run(&words, None), "the profile counts");
    assert!(!run(&words, Some(NOWHERE)), "the environment goes before the profile");
    let with_flag = [words.as_slice(), &["--endpoint", &url]].concat();
    assert!(run(&with_flag, Some(NOWHERE)), "the flag goes before both");
}

#[test]
fn a_key_in_the_environment_goes_before_the_key_file_of_a_profile() {
    let world = world();
    profile(&world, "default", "key-file = \"key\"");
    world.write("key", "private_other");
    let plan = |key: Option<&str>| {
        let plan = world.command(&["plan", "sheet.csv"]);
        match key {
            Some(key) => plan.env("IMAGEKIT_PRIVATE_KEY", key),
            None => plan.without("IMAGEKIT_PRIVATE_KEY"),
        }
        .run()
    };
    plan(Some(KEY)).exits(0);
    for no_key in [None, Some("")] {
        let refused = plan(no_key).exits(3).output_contains("the account was not accepted");
        refused.output_contains(
            "; check the key in IMAGEKIT_PRIVATE_KEY or --key-file; nothing was sent",
        );
    }
}

#[test]
fn a_profile_is_chosen_by_name_and_says_everything_that_a_flag_can() {
    let world = world();
    let settings = "rate = \"unlimited\"\nleave = \"0%\"\nclear-token = \"-\"\ntimeout = \"5s\"\n\
                    attempts = 2\nmax-same-rejection = \"off\"\nmax-bad = 0.5\nburst = 3";
    profile(&world, "shop", settings);
    world.write("sheet.csv", "fileId,tags\na,-\n");
    world
        .run("apply --direct --no-snapshot sheet.csv --yes --profile shop")
        .exits(0)
        .output_contains("clears     tags 1");
    assert_eq!(world.file("a")["tags"], json!(null));
    world
        .run("apply --direct --no-snapshot sheet.csv --yes --profile shop --rate 5")
        .exits(0)
        .output_contains("at 5.0 writes/s");
}

/// Writes a profile of the user's own settings file.
fn own_profile(world: &TestEnv, name: &str, lines: &str) {
    std::fs::create_dir_all(world.path("config/ikbulk")).expect("a directory can be made");
    world.write("config/ikbulk/config.toml", format!("[profile.{name}]\n{lines}\n"));
}

/// A command of somebody who has settings of their own.
fn command(world: &TestEnv, words: &str) -> Call {
    let call = world.command(&words.split_whitespace().collect::<Vec<_>>());
    call.env("XDG_CONFIG_HOME", world.path("config"))
}

#[test]
fn the_users_settings_fill_key_by_key_what_the_directorys_leave_out() {
    let world = world();
    let plan = |words: &str| command(&world, &format!("plan sheet.csv {words}")).run();
    own_profile(&world, "default", "rate = 100\nclear-token = \"tag-a\"");
    plan("").exits(0).output_contains("at 90.0 writes/s").output_contains("removeTags 1");
    profile(&world, "default", "rate = 50");
    plan("").exits(0).output_contains("at 45.0 writes/s").output_contains("removeTags 1");
    plan("--rate 10").exits(0).output_contains("at 9.0 writes/s");
    world.write("other.toml", "[profile.default]\nrate = 30\n");
    plan("--settings other.toml")
        .exits(0)
        .output_contains("at 27.0 writes/s")
        .output_contains("removeTags 1");
}

#[test]
fn a_profile_can_be_in_either_settings_file_and_must_be_in_one() {
    let world = world();
    let plan = |words: &str| command(&world, &format!("plan sheet.csv {words}")).run();
    own_profile(&world, "mine", "rate = 100");
    profile(&world, "shop", "rate = 50");
    plan("--profile mine").exits(0).output_contains("at 90.0 writes/s");
    plan("--profile shop").exits(0).output_contains("at 45.0 writes/s");
    let refused = plan("--profile other").exits(2).output_contains("there is no profile other");
    refused.output_contains("ikbulk.toml or ").output_contains("config/ikbulk/config.toml");
    own_profile(&world, "mine", "speed = 100");
    plan("").exits(2).output_contains("config/ikbulk/config.toml").output_contains("unknown field");
}

#[test]
fn a_key_file_is_found_from_where_its_settings_file_is() {
    let world = world();
    own_profile(&world, "default", "key-file = \"key\"");
    world.write("config/ikbulk/key", KEY);
    let plan = || command(&world, "plan sheet.csv").without("IMAGEKIT_PRIVATE_KEY");
    plan().run().exits(0);
    plan().without("XDG_CONFIG_HOME").run().exits(2).output_contains("there is no private key");
    plan().without("XDG_CONFIG_HOME").env("HOME", world.path("")).run().exits(2);
    std::fs::rename(world.path("config"), world.path(".config")).expect("it can be renamed");
    plan().without("XDG_CONFIG_HOME").env("HOME", world.path("")).run().exits(0);
}

#[test]
fn settings_that_are_not_there_or_not_known_are_refused() {
    let world = world();
    let refused = world.apply_direct("sheet.csv --profile shop").exits(2);
    refused.output_contains("there is no profile shop: there is no ikbulk.toml");
    profile(&world, "shop", "rate = 5");
    let refused = world.apply_direct("sheet.csv --profile other").exits(2);
    refused.output_contains("there is no profile other: it is not in ikbulk.toml");
    world
        .apply_direct("sheet.csv --settings nowhere.toml")
        .exits(2)
        .output_contains("nowhere.toml");
    profile(&world, "default", "speed = 5");
    world.apply_direct("sheet.csv").exits(2).output_contains("unknown field");
    profile(&world, "default", "rate = 0");
    world.apply_direct("sheet.csv").exits(2).output_contains("not a rate");
    assert_eq!(world.sandbox.stats().requests, 0);
}

#[test]
fn custom_metadata_goes_by_name_or_label_and_in_the_types_of_the_account() {
    let world = world();
    world.write(
        "sheet.csv",
        "fileId,customMetadata.List price (EUR),customMetadata.Approved by legal?,customMetadata.size,customMetadata.channels,customMetadata.Rights end on\n\
         a,12.50,yes,30,\"web,2024\",2030-01-31\n",
    );
    world.apply_direct("sheet.csv").exits(0);
    let metadata = world.file("a")["customMetadata"].clone();
    let expected = json!({"price": 12.5, "approved": true, "size": 30, "channels": ["web", 2024]});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(metadata[name], *value, "{name}");
    }
    assert_eq!(world.sandbox.stats().calls.fields, 1);
}

#[test]
fn a_value_that_the_account_does_not_allow_never_gets_there() {
    let world = world();
    world.write("sheet.csv", "fileId,customMetadata.size\na,gigantic\n");
    world
        .apply_direct("sheet.csv --max-bad 100%")
        .exits(1)
        .output_contains("customMetadata.size: \"gigantic\"");
    assert_eq!(world.sandbox.stats().calls.patch, 0);
    world.write("sheet.csv", "fileId,customMetadata.colour of it\na,red\n");
    world.apply_direct("sheet.csv").exits(2).output_contains("customMetadata.colour of it");
    world.run("check sheet.csv").exits(2);
}

#[test]
fn without_a_schema_text_goes_as_it_stands_and_nobody_is_asked() {
    let world = world();
    world.write("sheet.csv", "fileId,customMetadata.size,customMetadata.brand\na,gigantic,Acme\n");
    world.apply_direct("sheet.csv --no-schema").exits(1);
    assert_eq!(world.sandbox.stats().calls.fields, 0);
    assert_eq!(world.only_run("sheet").row(2)["httpStatus"], "400");
    let check = world.command(&["check", "sheet.csv"]).without("IMAGEKIT_PRIVATE_KEY");
    check.run().exits(0).output_contains("for want of a key");
}

#[test]
fn fields_that_cannot_be_read_stop_a_run_before_it_begins() {
    let world = world();
    world.write("sheet.csv", "fileId,customMetadata.brand\na,Acme\n");
    let call = world.command(&["apply", "--direct", "--no-snapshot", "sheet.csv", "--yes"]);
    let done = call.env("IMAGEKIT_PRIVATE_KEY", "private_wrong").run();
    done.exits(3).output_contains("the account was not accepted");
    assert!(!world.path("sheet.ikbulk").exists());
}
