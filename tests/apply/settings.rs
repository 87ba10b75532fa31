//! Precedence of settings, and custom metadata by the schema of the account.

use serde_json::json;

use crate::harness::{Call, Cases, CmdResult, KEY, TestEnv, assert_text, files, tagging};

/// An endpoint at which no server listens.
const NOWHERE: &str = "http://127.0.0.1:9";

fn env_with_sheet() -> TestEnv {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", tagging(&["a"]));
    env
}

fn profile(env: &TestEnv, name: &str, lines: &str) {
    env.write("ikbulk.toml", format!("[profile.{name}]\n{lines}\n"));
}

fn reached(done: &CmdResult) -> bool {
    match done.code {
        Some(0) => true,
        Some(3) => false,
        _ => panic!("{done:?}"),
    }
}

#[test]
fn precedence_is_flag_environment_profile() {
    let env = env_with_sheet();
    let words = ["apply", "sheet.csv", "--yes", "--down-max", "1s"];
    let url = env.sandbox.base_url();
    profile(&env, "default", &format!("endpoint = \"{url}\""));
    let run = |words: &[&str], variable: Option<&str>| {
        let call = env.command(words);
        let call = match variable {
            Some(endpoint) => call.env("IMAGE_KIT_BASE_URL", endpoint),
            None => call.without("IMAGE_KIT_BASE_URL"),
        };
        reached(&call.run())
    };
    assert!(run(&words, None), "the profile applies");
    assert!(!run(&words, Some(NOWHERE)), "the environment overrides the profile");
    let with_flag = [words.as_slice(), &["--endpoint", &url]].concat();
    assert!(run(&with_flag, Some(NOWHERE)), "the flag overrides both");
}

#[test]
fn environment_key_overrides_profile_key_file() {
    let env = env_with_sheet();
    profile(&env, "default", "key-file = \"key\"");
    env.write_private("key", "private_other");
    let plan = |key: Option<&str>| {
        let plan = env.command(&["plan", "sheet.csv"]);
        match key {
            Some(key) => plan.env("IMAGEKIT_PRIVATE_KEY", key),
            None => plan.without("IMAGEKIT_PRIVATE_KEY"),
        }
        .run()
    };
    plan(Some(KEY)).exits(0);
    for no_key in [None, Some("")] {
        plan(no_key).exits(3);
    }
}

#[test]
fn profile_sets_what_flags_set() {
    let env = env_with_sheet();
    let settings = "rate = \"unlimited\"\nleave = \"0%\"\nclear-token = \"-\"\ntimeout = \"5s\"\n\
                    attempts = 2\nmax-same-rejection = \"off\"\nmax-bad = 0.5\nburst = 3";
    profile(&env, "shop", settings);
    env.write("sheet.csv", "fileId,tags\na,-\n");
    env.run("apply sheet.csv --yes --profile shop").exits(0);
    assert_eq!(env.file("a")["tags"], json!(null));
    env.write("sheet.csv", "fileId,description\na,new\n");
    env.run("apply sheet.csv --yes --profile shop --rate 5")
        .exits(0)
        .output_contains("5.0 writes/s");
}

/// Writes a profile to the user's settings file.
fn own_profile(env: &TestEnv, name: &str, lines: &str) {
    std::fs::create_dir_all(env.path("config/ikbulk")).expect("a directory can be made");
    env.write("config/ikbulk/config.toml", format!("[profile.{name}]\n{lines}\n"));
}

/// A command that finds the user's settings file.
fn command(env: &TestEnv, words: &str) -> Call {
    let call = env.command(&words.split_whitespace().collect::<Vec<_>>());
    call.env("XDG_CONFIG_HOME", env.path("config"))
}

#[test]
fn user_settings_fill_keys_missing_in_directory() {
    let env = env_with_sheet();
    let plan = |words: &str| command(&env, &format!("plan sheet.csv {words}")).run();
    own_profile(&env, "default", "rate = 100\nclear-token = \"tag-a\"");
    let mut cases = Cases::default();
    cases.add("user settings", plan("").exits(0));
    profile(&env, "default", "rate = 50");
    cases.add("directory settings", plan("").exits(0));
    cases.add("--rate 10", plan("--rate 10").exits(0));
    env.write("other.toml", "[profile.default]\nrate = 30\n");
    cases.add("--settings other.toml", plan("--settings other.toml").exits(0));
    assert_text!(cases);
}

#[test]
fn profile_must_exist_in_a_settings_file() {
    let env = env_with_sheet();
    let plan = |words: &str| command(&env, &format!("plan sheet.csv {words}")).run();
    own_profile(&env, "mine", "rate = 100");
    profile(&env, "shop", "rate = 50");
    plan("--profile mine").exits(0).output_contains("90.0 writes/s");
    plan("--profile shop").exits(0).output_contains("45.0 writes/s");
    let mut cases = Cases::default();
    cases.add("unknown profile", plan("--profile other").exits(2));
    own_profile(&env, "mine", "speed = 100");
    cases.add("unknown field", plan("").exits(2));
    assert_text!(cases);
}

#[test]
fn key_file_is_relative_to_its_settings_file() {
    let env = env_with_sheet();
    own_profile(&env, "default", "key-file = \"key\"");
    env.write_private("config/ikbulk/key", KEY);
    let plan = || command(&env, "plan sheet.csv").without("IMAGEKIT_PRIVATE_KEY");
    plan().run().exits(0);
    plan().without("XDG_CONFIG_HOME").run().exits(2);
    plan().without("XDG_CONFIG_HOME").env("HOME", env.path("")).run().exits(2);
    std::fs::rename(env.path("config"), env.path(".config")).expect("it can be renamed");
    plan().without("XDG_CONFIG_HOME").env("HOME", env.path("")).run().exits(0);
}

#[test]
fn missing_or_unknown_settings_are_refused() {
    let env = env_with_sheet();
    let mut cases = Cases::default();
    let mut refuse = |case: &str, words: &str| cases.add(case, env.apply(words).exits(2));
    refuse("no settings file", "sheet.csv --profile shop");
    profile(&env, "shop", "rate = 5");
    refuse("unknown profile", "sheet.csv --profile other");
    refuse("missing file", "sheet.csv --settings nowhere.toml");
    profile(&env, "default", "speed = 5");
    refuse("unknown field", "sheet.csv");
    profile(&env, "default", "rate = 0");
    refuse("invalid value", "sheet.csv");
    assert_text!(cases);
    assert_eq!(env.sandbox.stats().requests, 0);
}

#[test]
fn custom_metadata_uses_labels_and_types_of_account() {
    let env = env_with_sheet();
    env.write(
        "sheet.csv",
        "fileId,customMetadata.List price (EUR),customMetadata.Approved by legal?,customMetadata.size,customMetadata.channels,customMetadata.Rights end on\n\
         a,12.50,yes,30,\"web,2024\",2030-01-31\n",
    );
    env.apply("sheet.csv").exits(0);
    let metadata = env.file("a")["customMetadata"].clone();
    let expected = json!({"price": 12.5, "approved": true, "size": 30, "channels": ["web", 2024]});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(metadata[name], *value, "{name}");
    }
    assert_eq!(env.sandbox.stats().calls.fields, 1);
}

#[test]
fn metadata_outside_the_schema_is_not_sent() {
    let env = env_with_sheet();
    env.write("sheet.csv", "fileId,customMetadata.size\na,gigantic\n");
    let mut cases = Cases::default();
    cases.add("value", env.apply("sheet.csv --max-bad 100%").exits(1));
    assert_eq!(env.sandbox.stats().calls.patch, 0);
    env.write("sheet.csv", "fileId,customMetadata.colour of it\na,red\n");
    cases.add("column, apply", env.apply("sheet.csv").exits(2));
    cases.add("column, check", env.run("check sheet.csv").exits(2));
    assert_text!(cases);
}

#[test]
fn no_schema_sends_text_verbatim() {
    let env = env_with_sheet();
    env.write("sheet.csv", "fileId,customMetadata.size,customMetadata.brand\na,gigantic,Acme\n");
    env.apply("sheet.csv --no-schema").exits(1);
    assert_eq!(env.sandbox.stats().calls.fields, 0);
    assert_eq!(env.only_run("sheet").row(2)["httpStatus"], "400");
    let check = env.command(&["check", "sheet.csv"]).without("IMAGEKIT_PRIVATE_KEY");
    check.run().exits(0).output_contains("IMAGEKIT_PRIVATE_KEY");
}

#[test]
fn unreadable_schema_creates_no_run() {
    let env = env_with_sheet();
    env.write("sheet.csv", "fileId,customMetadata.brand\na,Acme\n");
    let call = env.command(&["apply", "sheet.csv", "--yes"]);
    let done = call.env("IMAGEKIT_PRIVATE_KEY", "private_wrong").run();
    done.exits(3);
    assert!(!env.path("sheet.ikbulk").exists());
}
