//! Requests stay within the endpoint, and the key stays secret.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use ikbulk::internals::{Api, ApiSettings};
use ikbulk_sandbox::{Config, Fault, Hook, Phase};
use serde_json::json;

use crate::harness::{
    Cases, ChildHandle, KEY, Seen, TestEnv, assert_text, chance, files, ids, status, tagging,
};

/// The key in the encoding of HTTP Basic.
const ENCODED: &str = "cHJpdmF0ZV9kb05vdFByaW50TWUxMjM0NT06";

#[test]
fn hostile_file_id_reaches_no_other_endpoint() {
    let hostile = ["%2e%2e", "..%2fx", "übergröße", "a?limit=1", "a#b", "a\\b", "a;b", "a%00b"];
    let seen = Seen::default();
    let env = TestEnv::new(Config { hook: Some(seen.hook()), ..files(hostile) });
    let line = |id: &&str| json!({"fileId": id, "description": "x"}).to_string() + "\n";
    env.write("sheet.jsonl", hostile.iter().map(line).collect::<String>());
    env.apply("sheet.jsonl").exits(0);
    // The first request identifies the account.
    for request in seen.requests().into_iter().skip(1) {
        let path = request.strip_prefix("PATCH ").or_else(|| request.strip_prefix("GET "));
        let inside =
            path.and_then(|path| path.strip_prefix("/v1/files/")?.strip_suffix("/details"));
        let id = inside.unwrap_or_else(|| panic!("{request}"));
        assert!(!id.contains(['/', '?', '#', '\\', ' ']), "{request}");
    }
    // Each file is read and changed.
    assert_eq!(seen.requests().len(), 1 + 2 * hostile.len());
    for id in hostile {
        assert_eq!(env.file(id)["description"], "x", "{id}");
    }
}

#[test]
fn path_or_phrase_in_file_id_is_rejected() {
    let seen = Seen::default();
    let env = TestEnv::new(Config { hook: Some(seen.hook()), ..files(["a"]) });
    let lines = ["../x", "a/b", "with space", "../../v1/files/addTags", "....//", "a\u{202e}b"]
        .map(|id| json!({"fileId": id, "description": "x"}).to_string() + "\n");
    env.write("sheet.jsonl", lines.concat());
    env.apply_direct("sheet.jsonl --max-bad 100%").exits(1);
    assert_eq!(env.only_run("sheet").statuses(), ["rejected"; 6]);
    // The only request identifies the account.
    assert_eq!(seen.requests().len(), 1);
}

#[test]
fn unencodable_file_id_is_rejected() {
    let seen = Seen::default();
    let env = TestEnv::new(Config { hook: Some(seen.hook()), ..files(["a"]) });
    let lines = [".", "..", "a\nb", "a\u{0}b", &"x".repeat(300)]
        .map(|id| json!({"fileId": id, "tags": ["x"]}).to_string() + "\n");
    env.write("sheet.jsonl", lines.concat());
    env.apply("sheet.jsonl --max-bad 100%").exits(1);
    assert_eq!(env.only_run("sheet").statuses(), ["rejected"; 5]);
    assert_eq!(seen.requests(), ["GET /v1/files"]);
}

/// Adds the path and the bytes of every file below a directory.
fn below(directory: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(directory).expect("a directory can be read") {
        let path = entry.expect("a directory can be read").path();
        if path.is_dir() {
            below(&path, found);
        } else {
            found.push((path.display().to_string(), fs::read(&path).expect("a file can be read")));
        }
    }
}

fn shows(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

/// Fails if the bytes contain the key, verbatim or in the encoding of HTTP Basic.
#[track_caller]
fn no_key_in(name: &str, bytes: &[u8]) {
    assert!(!shows(bytes, KEY.trim_end_matches('=')) && !shows(bytes, ENCODED), "{name}");
}

#[test]
fn key_appears_in_no_output_or_file() {
    let faults = vec![
        (Fault::ResetBefore, 0.1),
        (Fault::Garbage, 0.1),
        (status(500, "broken"), 0.1),
        (status(400, "refused"), 0.1),
    ];
    let ids = ids(30);
    let env = TestEnv::new(chance(faults, files(&ids)));
    env.write("sheet.csv", tagging(&ids));
    let mut outputs = Vec::new();
    let mut listen = |done: crate::harness::CmdResult| outputs.push(done.out + &done.err);
    listen(env.apply("sheet.csv -vv"));
    listen(env.apply("sheet.csv -vv --log-format json"));
    // Failures print the most.
    listen(env.apply("sheet.csv -vv --endpoint http://127.0.0.1:9 --down-max 1s"));
    listen(env.apply("sheet.csv -vv --endpoint http://example.com"));
    listen(env.run("report nowhere"));
    assert!(outputs[0].contains("TRACE"), "-vv logs no trace");
    for output in &outputs {
        no_key_in("the terminal", output.as_bytes());
    }
    let mut found = Vec::new();
    below(&env.path(""), &mut found);
    for name in ["ledger.db", "report.csv", "failed.csv", "summary.json", "input.csv", ".lock"] {
        assert!(found.iter().any(|(path, _)| path.ends_with(name)), "{name} was not looked at");
    }
    for (name, bytes) in &found {
        no_key_in(name, bytes);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn key_is_absent_from_process_and_killed_run() {
    let victim = ChildHandle::default();
    let (seen, hand) = (Arc::new(Mutex::new(Vec::new())), victim.clone());
    let found = Arc::clone(&seen);
    let home = Arc::new(OnceLock::new());
    let directory: Arc<OnceLock<PathBuf>> = Arc::clone(&home);
    let hook = Hook::new(move |event| {
        // The account, thirty reads, and then the ninth write.
        if event.n == 40 && event.phase == Phase::Arrived {
            let mut found = found.lock().unwrap();
            for name in ["cmdline", "environ"] {
                let path = format!("/proc/{}/{name}", hand.id());
                found.push((name.to_owned(), fs::read(path).unwrap()));
            }
            hand.kill();
            below(directory.get().unwrap(), &mut found);
        }
    });
    let ids = ids(30);
    let env = TestEnv::new(Config { hook: Some(hook), ..files(&ids) });
    home.set(env.path("sheet.ikbulk")).unwrap();
    env.write("sheet.csv", tagging(&ids));
    env.write_private("key", KEY);
    let words = ["apply", "sheet.csv", "--yes", "--rate", "unlimited", "--key-file", "key"];
    let call = env.command(&words).without("IMAGEKIT_PRIVATE_KEY");
    assert_eq!(call.run_as(&victim).code, None);
    let seen = seen.lock().unwrap();
    for name in ["cmdline", "environ", "ledger.db-wal"] {
        assert!(
            seen.iter().any(|(path, bytes)| path.ends_with(name) && !bytes.is_empty()),
            "{name}"
        );
    }
    for (name, bytes) in seen.iter() {
        no_key_in(name, bytes);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn core_dumps_are_disabled() {
    let victim = ChildHandle::default();
    let (limits, hand) = (Arc::new(Mutex::new(String::new())), victim.clone());
    let found = Arc::clone(&limits);
    let hook = Hook::new(move |event| {
        if event.phase == Phase::Arrived {
            let path = format!("/proc/{}/limits", hand.id());
            *found.lock().unwrap() = fs::read_to_string(path).unwrap();
        }
    });
    let env = TestEnv::new(Config { hook: Some(hook), ..files(["a"]) });
    env.write("sheet.csv", tagging(&["a"]));
    let call = env.command_after("ulimit -c unlimited", &["apply", "sheet.csv", "--yes"]);
    assert_eq!(call.run_as(&victim).code, Some(0));
    let limits = limits.lock().unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
    // A dump has at least a page; the limit 1 also disables dumps that are piped to a collector.
    let numbers: Vec<&str> = core.unwrap().split_whitespace().take(2).collect();
    assert_eq!(numbers, ["1", "1"]);
}

#[test]
fn debug_output_of_api_hides_the_key() {
    let (connect_timeout, timeout) = (Duration::from_secs(1), Duration::from_secs(1));
    let endpoint = "https://api.imagekit.io".parse().unwrap();
    let settings = ApiSettings { endpoint, key: KEY.into(), connect_timeout, timeout };
    let api = Api::new(&settings).unwrap();
    no_key_in("a panic", format!("{settings:?} {api:?} {api:#?}").as_bytes());
}

#[test]
fn key_file_is_read_and_never_echoed() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", tagging(&["a"]));
    env.write_private("key", format!("{KEY}\n"));
    let with_file = |name: &str| {
        let words = ["apply", "sheet.csv", "--yes", "--key-file", name];
        env.command(&words).without("IMAGEKIT_PRIVATE_KEY").run()
    };
    with_file("key").exits(0);
    env.write_private("broken", "private_do not\nprint");
    let mut cases = Cases::default();
    let broken = with_file("broken").exits(2);
    assert!(!broken.err.contains("print"));
    cases.add("broken", broken);
    cases.add("nowhere", with_file("nowhere").exits(2));
    let none = env.command(&["apply", "sheet.csv", "--yes"]).without("IMAGEKIT_PRIVATE_KEY");
    cases.add("no key", none.run().exits(2));
    assert_text!(cases);
}

#[test]
fn text_around_a_key_is_trimmed_or_explained() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", tagging(&["a"]));
    let with_file = |text: &str| {
        env.write_private("key", text);
        let words = ["plan", "sheet.csv", "--key-file", "key"];
        env.command(&words).without("IMAGEKIT_PRIVATE_KEY").run()
    };
    let with_variable =
        |text: &str| env.command(&["plan", "sheet.csv"]).env("IMAGEKIT_PRIVATE_KEY", text).run();
    for text in [format!("\u{feff}{KEY}\r\n"), format!("  {KEY}\n\n")] {
        with_file(&text).exits(0);
        with_variable(&text).exits(0);
    }
    let requests = env.sandbox.stats().requests;
    let mut cases = Cases::default();
    for (case, text) in [
        ("quotes", format!("\"{KEY}\"")),
        ("the variable", format!("IMAGEKIT_PRIVATE_KEY={KEY}")),
        ("export", format!("export KEY='{KEY}'")),
        ("public key", "public_doNotPrintMe12345=".to_owned()),
        ("colon", format!("{KEY}:")),
    ] {
        for (place, refused) in [("file", with_file(&text)), ("variable", with_variable(&text))] {
            cases.add(&format!("{case}, {place}"), refused.exits(2));
        }
    }
    assert!(!cases.to_string().contains("doNotPrintMe"), "{cases}");
    assert_text!(cases);
    assert_eq!(env.sandbox.stats().requests, requests);
}

#[test]
fn readable_key_file_causes_a_warning() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", tagging(&["a"]));
    env.write_private("key", KEY);
    let plan = |mode: u32| {
        let path = env.path("key");
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
        env.run("plan sheet.csv --key-file key").exits(0)
    };
    for mode in [0o640, 0o604] {
        assert_text!("readable_key_file_causes_a_warning", plan(mode).err);
    }
    for mode in [0o600, 0o400] {
        assert_eq!(plan(mode).err, "");
    }
    // Only the superuser can give files away.
    if std::os::unix::fs::chown(env.path("key"), Some(4321), None).is_ok() {
        assert_text!("key_file_of_another_user_causes_a_warning", plan(0o600).err);
    }
}

#[test]
fn plain_http_is_limited_to_localhost() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", tagging(&["a"]));
    let mut cases = Cases::default();
    for endpoint in [
        "http://example.com",
        "http://192.0.2.1:8077",
        "http://127.0.0.1.example.com",
        "https://",
        "localhost:8077",
    ] {
        cases.add(endpoint, env.apply(&format!("sheet.csv --endpoint {endpoint}")).exits(2));
    }
    assert_text!(cases);
    assert!(!env.path("sheet.ikbulk").exists());
}

#[test]
fn run_directory_is_private() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", tagging(&["a"]));
    env.apply("sheet.csv").exits(0);
    let run = env.only_run("sheet");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(run.path()), 0o700);
    for name in ["input.csv", "report.csv", "ledger.db", "summary.json"] {
        assert_eq!(mode(&run.path().join(name)), 0o600, "{name}");
    }
}
