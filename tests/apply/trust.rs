//! The private key is sent only to endpoints that the user has chosen.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use ikbulk::internals::{Identity, KeyFingerprint, RunDir, RunMeta, Service};

use crate::harness::{Call, KEY, TestEnv, assert_text, files};

/// An endpoint that is neither ImageKit's nor local.
const FOREIGN: &str = "https://imagekit.example";
/// The foreign endpoint in normal form.
const FOREIGN_URL: &str = "https://imagekit.example/";

/// A proxy that refuses all connections and records their destinations.
struct Outside {
    url: String,
    contacted: Arc<Mutex<Vec<String>>>,
}

impl Outside {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it has an address"));
        let contacted: Arc<Mutex<Vec<String>>> = Arc::default();
        let recorded = Arc::clone(&contacted);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection can be taken");
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).expect("it sends a request");
                recorded.lock().expect("no other thread panics").push(line.trim().to_owned());
                // The client may have closed the connection.
                drop(stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"));
            }
        });
        Self { url, contacted }
    }

    /// The destinations since the last call.
    fn take_contacted(&self) -> Vec<String> {
        std::mem::take(&mut self.contacted.lock().expect("no other thread panics"))
    }

    #[track_caller]
    fn assert_contacted(&self) {
        let contacted = self.take_contacted();
        assert!(
            contacted.iter().any(|line| line.contains("imagekit.example:443")),
            "{contacted:?}"
        );
    }

    #[track_caller]
    fn assert_not_contacted(&self) {
        assert_eq!(self.take_contacted(), Vec::<String>::new());
    }
}

/// A sheet that needs the account's schema, and a directory for the user's settings.
fn env_with_metadata_sheet() -> TestEnv {
    let env = TestEnv::new(files(["a", "b"]));
    env.write("sheet.csv", "fileId,customMetadata.brand\na,Acme\nb,Acme\n");
    std::fs::create_dir_all(env.path("config/ikbulk")).expect("a directory can be made");
    env
}

fn own_settings(env: &TestEnv, text: &str) {
    env.write("config/ikbulk/config.toml", text);
}

/// A command without an endpoint in the environment, whose connections go through `outside`.
fn command(env: &TestEnv, outside: &Outside, words: &str) -> Call {
    let words: Vec<&str> = words.split_whitespace().collect();
    let call = env.command(&words).without("IMAGE_KIT_BASE_URL");
    call.env("XDG_CONFIG_HOME", env.path("config")).env("HTTPS_PROXY", &outside.url)
}

const COMMANDS: [&str; 4] = [
    "check sheet.csv",
    "plan sheet.csv --down-max 1s",
    "apply sheet.csv --yes --down-max 1s",
    "export -o library.csv --down-max 1s",
];

fn profile(endpoint: &str) -> String {
    format!("[profile.default]\nendpoint = \"{endpoint}\"\n")
}

#[test]
fn settings_of_directory_cannot_redirect_the_key() {
    let (env, outside) = (env_with_metadata_sheet(), Outside::new());
    env.write("ikbulk.toml", profile(FOREIGN));
    let endpoint = format!("--endpoint {FOREIGN_URL}");
    for words in COMMANDS {
        command(&env, &outside, words).run().exits(2).output_contains(&endpoint);
    }
    std::fs::rename(env.path("ikbulk.toml"), env.path("theirs.toml")).unwrap();
    let words = "check sheet.csv --settings theirs.toml";
    command(&env, &outside, words).run().exits(2).output_contains("theirs.toml");
    outside.assert_not_contacted();
    assert!(!env.path("sheet.ikbulk").exists() && !env.path("library.csv").exists());
}

#[test]
fn user_chosen_endpoint_receives_the_key() {
    let (env, outside) = (env_with_metadata_sheet(), Outside::new());
    let words = "check sheet.csv --attempts 1 --down-max 1s";
    command(&env, &outside, &format!("{words} --endpoint {FOREIGN}")).run().exits(3);
    outside.assert_contacted();
    command(&env, &outside, words).env("IMAGE_KIT_BASE_URL", FOREIGN).run().exits(3);
    outside.assert_contacted();
    own_settings(&env, &profile(FOREIGN));
    command(&env, &outside, words).run().exits(3);
    outside.assert_contacted();
    // A directory may choose an endpoint that the user trusts in any profile.
    own_settings(&env, &profile(FOREIGN).replace("default", "proxy"));
    env.write("ikbulk.toml", profile(FOREIGN_URL));
    command(&env, &outside, words).run().exits(3);
    outside.assert_contacted();
}

#[test]
fn writable_user_settings_are_not_trusted() {
    let (env, outside) = (env_with_metadata_sheet(), Outside::new());
    own_settings(&env, &profile(FOREIGN));
    let path = env.path("config/ikbulk/config.toml");
    for mode in [0o664, 0o606] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let refused = command(&env, &outside, "check sheet.csv").run().exits(2);
        refused.output_contains("chmod go-w");
    }
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    // Only the superuser can give files away.
    if std::os::unix::fs::chown(&path, Some(4321), None).is_ok() {
        let refused = command(&env, &outside, "check sheet.csv").run().exits(2);
        refused.output_contains("chmod go-w");
    }
    outside.assert_not_contacted();
}

/// Makes a plan or a run, and rewrites its ledger to the foreign endpoint.
fn run_with_foreign_endpoint(env: &TestEnv, words: &str) -> String {
    env.run(words);
    let run = env.only_run("sheet");
    let ledger = RunDir::open(run.path()).expect("the run is there").ledger();
    let ledger = ledger.expect("it has a ledger");
    let service = Service::at(&FOREIGN_URL.parse().expect("it is a URL"));
    let key = KeyFingerprint::new(&service, &KEY.to_owned().into());
    let account = Identity { service, key, name: None };
    let meta = ledger.meta().expect("the ledger is whole");
    let meta = RunMeta { endpoint: FOREIGN_URL.to_owned(), account, ..meta };
    ledger.set_meta(&meta).expect("the ledger can be written");
    run.name()
}

#[test]
fn foreign_run_does_not_receive_the_key() {
    for (made_by, words) in [
        ("apply sheet.csv --yes --limit 1", "resume --yes RUN"),
        ("apply sheet.csv --yes", "undo RUN --yes"),
        ("plan sheet.csv", "apply --plan RUN --yes"),
    ] {
        let (env, outside) = (env_with_metadata_sheet(), Outside::new());
        let run = run_with_foreign_endpoint(&env, made_by);
        let command_line = words.replace("RUN", &run);
        let refused = command(&env, &outside, &command_line).run().exits(2);
        refused.output_contains(&format!("--endpoint {FOREIGN_URL}"));
        outside.assert_not_contacted();
        let limits = format!("--endpoint {FOREIGN} --attempts 1 --down-max 1s");
        command(&env, &outside, &format!("{command_line} {limits}")).run();
        outside.assert_contacted();
    }
}

#[test]
fn untrusted_endpoint_requires_confirmation() {
    let (env, outside) = (env_with_metadata_sheet(), Outside::new());
    env.write("ikbulk.toml", profile(FOREIGN));
    let ask = |answer: &str| {
        let call = command(&env, &outside, "check sheet.csv --attempts 1 --down-max 1s");
        let mut terminal = call.on_terminal();
        terminal.waits_for("[y/N] ");
        terminal.types(answer);
        terminal.ends()
    };
    assert_text!(ask("\n").exits(2));
    outside.assert_not_contacted();
    ask("y\n").exits(3);
    outside.assert_contacted();
}
