//! Snapshots of the errors that end a command before it has sent anything.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use ikbulk::internals::{Identity, KeyFingerprint, RunDir, RunMeta, Service};
use ikbulk_sandbox::{Config, Fault};
use serde_json::json;

use crate::harness::{Call, Cases, KEY, TestEnv, assert_text, files, ids, script, status, tagging};

/// A sheet, and another one with custom metadata.
fn env() -> TestEnv {
    env_with(files(["a", "b"]))
}

fn env_with(config: Config) -> TestEnv {
    let env = TestEnv::new(config);
    env.write("sheet.csv", tagging(&["a", "b"]));
    env.write("metadata.csv", "fileId,customMetadata.brand\na,Acme\n");
    env
}

fn call(env: &TestEnv, line: &str) -> Call {
    env.command(&line.split_whitespace().collect::<Vec<_>>())
}

#[test]
fn wrong_usage() {
    let env = env();
    let mut cases = Cases::default();
    for line in [
        "aply sheet.csv",
        "apply",
        "apply sheet.csv --dry-run",
        "apply sheet.csv --nonsense",
        "apply sheet.csv --yes --rate 0",
        "apply sheet.csv --yes --rate fast",
        "apply sheet.csv --yes --burst 0",
        "apply sheet.csv --yes --leave 100%",
        "apply sheet.csv --yes --leave some",
        "apply sheet.csv --yes --attempts none",
        "apply sheet.csv --yes --max-bad 101%",
        "apply sheet.csv --yes --max-same-rejection never",
        "apply sheet.csv --yes --max-duration soon",
        "apply sheet.csv --yes --stop-at noon",
        "apply sheet.csv --yes --limit 0",
        "apply sheet.csv --sandbox --endpoint https://api.imagekit.io",
        "apply sheet.csv",
        "apply sheet.csv -q",
        "plan sheet.csv --json --diff",
        "apply - --yes",
        "apply nowhere.csv --yes",
        "apply . --yes",
        "export",
        "export -o library.txt",
        "export -o sheet.csv",
        "export -o all.csv --columns tags,colour",
        "export -o all.csv --columns tags,tags",
        "export -o all.csv --columns customMetadata.brnd",
        "export -o nowhere/all.csv",
        "report nowhere",
        "resume nowhere",
        "undo nowhere --yes",
        "undo sheet.csv --yes",
        "apply --plan nowhere --yes",
        "sandbox --fault soon:reset-after",
        "sandbox --window much",
        "sandbox --library nowhere.jsonl",
        "sandbox --require nothing",
    ] {
        cases.run(&env, line);
    }
    assert_text!(cases);
}

#[test]
fn key_errors() {
    let env = env();
    let mut cases = Cases::default();
    cases.add("no key", call(&env, "plan sheet.csv").without("IMAGEKIT_PRIVATE_KEY").run());
    cases.add(
        "no key, check",
        call(&env, "check metadata.csv").without("IMAGEKIT_PRIVATE_KEY").run(),
    );
    for key in [
        " ",
        "\"private_x\"",
        "IMAGEKIT_PRIVATE_KEY=private_x",
        "KEY=private_x",
        "public_x",
        "private_x:",
        "private x",
        "private_other",
    ] {
        let done = call(&env, "plan sheet.csv").env("IMAGEKIT_PRIVATE_KEY", key).run();
        cases.add(&format!("IMAGEKIT_PRIVATE_KEY={key:?}"), done);
    }
    let with_file =
        || call(&env, "check metadata.csv --key-file key").without("IMAGEKIT_PRIVATE_KEY");
    cases.add("--key-file key, no such file", with_file().run());
    for (name, content) in [("blank", &b"\n"[..]), ("not UTF-8", b"\xff\xff"), ("quotes", b"'k'")] {
        env.write("key", content);
        cases.add(&format!("--key-file key, {name}"), with_file().run());
    }
    env.write("key", KEY);
    fs::set_permissions(env.path("key"), PermissionsExt::from_mode(0o644)).expect("it is ours");
    cases.add("--key-file key, readable by others", with_file().run());
    assert_text!(cases);
}

#[test]
fn endpoint_errors() {
    let env = env();
    let mut cases = Cases::default();
    let v1 = format!("{}/v1", env.sandbox.base_url());
    let other_path = format!("{}/other", env.sandbox.base_url());
    for endpoint in [
        "localhost:8077",
        "https://",
        "http://imagekit.example",
        &v1,
        &other_path,
        "http://127.0.0.1:1 --attempts 1 --down-max 100ms",
    ] {
        cases.run(&env, &format!("plan sheet.csv --endpoint {endpoint}"));
    }
    env.write("ikbulk.toml", "[profile.default]\nendpoint = \"https://imagekit.example\"\n");
    let foreign = call(&env, "plan sheet.csv").without("IMAGE_KIT_BASE_URL");
    let foreign = foreign.env("XDG_CONFIG_HOME", env.path("config"));
    cases.add("endpoint of a settings file in the directory", foreign.run());
    fs::remove_file(env.path("ikbulk.toml")).expect("it is there");
    env.apply("sheet.csv --limit 1").exits(5);
    let run = env.only_run("sheet").name();
    cases.run(&env, &format!("resume {run} --yes --endpoint http://localhost:9"));
    let ledger = RunDir::open(&env.path(&run)).expect("the run is there").ledger();
    let ledger = ledger.expect("it has a ledger");
    let service = Service::at(&"https://imagekit.example/".parse().expect("it is a URL"));
    let key = KeyFingerprint::new(&service, &KEY.to_owned().into());
    let account = Identity { service, key, name: None };
    let meta = ledger.meta().expect("the ledger is whole");
    let endpoint = "https://imagekit.example/".to_owned();
    ledger.set_meta(&RunMeta { endpoint, account, ..meta }).expect("it can be written");
    let elsewhere = call(&env, &format!("resume {run} --yes")).without("IMAGE_KIT_BASE_URL");
    let elsewhere = elsewhere.env("XDG_CONFIG_HOME", env.path("config"));
    cases.add("run of another machine at another endpoint", elsewhere.run());
    assert_text!(cases);
}

#[test]
fn settings_errors() {
    let env = env();
    let mut cases = Cases::default();
    cases.run(&env, "plan sheet.csv --settings nowhere.toml");
    cases.run(&env, "plan sheet.csv --profile night");
    for text in [
        "[profile.default\n",
        "[default]\nrate = 5\n",
        "[profile.default]\nrates = 5\n",
        "[profile.default]\nrate = \"fast\"\n",
        "[profile.default]\nleave = \"100%\"\n",
        "[profile.default]\nclear-token = \"\"\n",
        "[profile.day]\nrate = 5\n",
    ] {
        env.write("ikbulk.toml", text);
        cases.add(&format!("{text:?}"), env.run("plan sheet.csv"));
    }
    cases.run(&env, "plan sheet.csv --profile night");
    let own = env.path("config/ikbulk/config.toml");
    fs::create_dir_all(own.parent().expect("it has one")).expect("it can be made");
    fs::write(&own, "[profile.default]\nendpoint = \"https://imagekit.example\"\n")
        .expect("it is ours");
    fs::set_permissions(&own, PermissionsExt::from_mode(0o666)).expect("it is ours");
    fs::remove_file(env.path("ikbulk.toml")).expect("it is there");
    let done = call(&env, "plan sheet.csv").without("IMAGE_KIT_BASE_URL");
    let done = done.env("XDG_CONFIG_HOME", env.path("config")).run();
    cases.add("settings that others can write", done);
    assert_text!(cases);
}

#[test]
fn state_directory_errors() {
    let env = env();
    let mut cases = Cases::default();
    let apply = |state: &str| {
        let call = call(&env, "apply sheet.csv --yes").without("XDG_STATE_HOME");
        call.env("IKBULK_STATE_DIR", state).run()
    };
    cases.add("no HOME", apply(""));
    env.write("file", "");
    cases.add("a file", apply("file"));
    fs::create_dir(env.path("shared")).expect("it can be made");
    fs::set_permissions(env.path("shared"), PermissionsExt::from_mode(0o777)).expect("it is ours");
    symlink(env.path("shared"), env.path("link")).expect("it can be made");
    cases.add("a symbolic link", apply("link"));
    cases.add("writable by others", apply("shared"));
    fs::create_dir(env.path("state")).expect("it can be made");
    fs::write(env.path("state/state.db"), "no database, but long enough".repeat(100))
        .expect("ours");
    fs::set_permissions(env.path("state/state.db"), PermissionsExt::from_mode(0o600))
        .expect("ours");
    cases.add("state.db is no database", apply("state"));
    assert_text!(cases);
}

#[test]
fn lock_errors() {
    let env = env();
    let mut cases = Cases::default();
    env.apply("sheet.csv --limit 1").exits(5);
    let run = env.only_run("sheet");
    {
        let _lock = env.lock_account();
        cases.run(&env, "apply metadata.csv --yes");
        cases.run(&env, "apply metadata.csv --yes --wait-lock --max-duration 1s");
        cases.run(&env, &format!("resume {} --yes", run.name()));
    }
    let directory = RunDir::open(run.path()).expect("it is there");
    let _lock = ikbulk::internals::RunLock::take(&directory).expect("it is free");
    cases.run(&env, &format!("resume {} --yes", run.name()));
    cases.run(&env, &format!("undo {} --yes", run.name()));
    cases.run(&env, &format!("resume {} --yes --wait-lock --max-duration 1s", run.name()));
    assert_text!(cases);
}

#[test]
fn run_directory_errors() {
    let env = env();
    let mut cases = Cases::default();
    cases.run(&env, "apply sheet.csv --yes --rate unlimited --run-dir run -q");
    cases.run(&env, "apply sheet.csv --yes --run-dir run");
    cases.run(&env, "apply sheet.csv --yes --run-dir sheet.csv/run");
    cases.run(&env, "resume run --yes");
    cases.run(&env, "apply --plan run --yes");
    cases.run(&env, "plan sheet.csv --run-dir plan -q");
    cases.run(&env, "resume plan --yes");
    let path = env.path("plan/input.csv");
    let text = fs::read_to_string(&path).expect("the run has a copy");
    fs::write(&path, text + "c,new\n").expect("it can be edited");
    cases.run(&env, "apply --plan plan --yes");
    let ledger =
        || rusqlite::Connection::open(env.path("run/ledger.db")).expect("it is a database");
    for (version, format) in [("a newer", 99), ("an older", 4)] {
        let set_format = format!("PRAGMA user_version = {format}");
        ledger().execute_batch(&set_format).expect("it can be written");
        for command in ["report run", "resume run --yes", "undo run --yes"] {
            cases.add(&format!("ledger of {version} version, {command}"), env.run(command));
        }
    }
    fs::write(env.path("run/ledger.db"), "no database, but long enough".repeat(100)).expect("ours");
    cases.add("damaged ledger", env.run("report run"));
    assert_text!(cases);
}

#[test]
fn input_errors() {
    let env = env();
    let mut cases = Cases::default();
    let mut apply = |text: &str, flags: &str| {
        env.write("input.csv", text);
        cases.add(&format!("{text:?} {flags}"), env.apply(&format!("input.csv {flags}")));
    };
    apply("fileId,tags\n", "");
    apply("fileId,tags\n", "--allow-empty");
    apply("fileId,tags\na,50%\nb,60%\n", "--max-bad 100%");
    apply("fileId,tags\na,50%\nb,y\n", "");
    apply("fileId,description\na,<CLEAR>\n", "");
    apply("fileId,customMetadata.brnd\na,x\n", "");
    apply("fileId,customMetadata.nothing like it\na,x\n", "");
    apply("fileId,webhookUrl\na,https://example.com/\n", "");
    assert_text!(cases);
}

/// The account cannot be read before a run.
#[test]
fn account_errors() {
    let mut cases = Cases::default();
    let mut plan = |heading: &str, fault: Fault, sheet: &str| {
        let faults = (0..20).map(|n| (n, fault.clone())).collect();
        let env = env_with(script(faults, files(ids(2))));
        cases.add(heading, env.run(&format!("plan {sheet} --attempts 1 --down-max 100ms")));
    };
    let error = || status(403, "This key may not read.");
    plan("403, files", error(), "sheet.csv");
    plan("403, custom metadata", error(), "metadata.csv");
    plan("401", status(401, "Your account cannot be authenticated."), "sheet.csv");
    plan("expired key", Fault::Expire, "sheet.csv");
    plan("500", status(500, "Out of order."), "sheet.csv");
    plan("connection reset", Fault::ResetBefore, "sheet.csv");
    let page = "<html><body>Sign in to the Wi-Fi</body></html>".to_owned();
    let page = Fault::Status { code: 200, body: page, content_type: "text/html".to_owned() };
    plan("captive portal", page, "metadata.csv");
    let throttled = Fault::Throttle { reset_ms: Some(500), limit: None };
    plan("429", throttled, "sheet.csv");
    // Two fields with one label.
    let mut config = files(["a"]);
    config
        .fields
        .push(json!({"id": "x", "name": "brand2", "label": "Brand", "schema": {"type": "Text"}}));
    config
        .fields
        .push(json!({"id": "y", "name": "brand3", "label": "Brand", "schema": {"type": "Text"}}));
    let env = env_with(config);
    env.write("label.csv", "fileId,customMetadata.Brand\na,Acme\n");
    cases.add("ambiguous label", env.run("plan label.csv"));
    assert_text!(cases);
}

/// `resume` without a run, where a person can be asked.
#[test]
fn resume_without_a_run() {
    let env = env();
    let resume = || env.command(&["resume"]).env("COLUMNS", "100").on_terminal().ends();
    let mut cases = Cases::default();
    cases.add("no run", resume());
    env.apply("sheet.csv --limit 1 --run-dir sheet.ikbulk/one").exits(5);
    env.write("other.csv", tagging(&["b", "a"]));
    env.apply("other.csv --limit 1 --run-dir other.ikbulk/two").exits(5);
    cases.add("two unfinished runs", resume());
    assert_text!(cases);
}

#[test]
fn sandbox_that_cannot_start() {
    let env = env();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    let done = env.run(&format!("sandbox --port {port}"));
    assert_text!(done.to_string().replace(&port, "[port]"));
}
