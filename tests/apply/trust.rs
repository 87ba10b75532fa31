//! Where the private key goes: nowhere that only somebody else has named.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use ikbulk::account::{Identity, KeyFingerprint, Service};
use ikbulk::ledger::RunMeta;
use ikbulk::run::RunDir;

use crate::harness::{Call, KEY, TestEnv, files};

/// An endpoint that is neither ImageKit's nor on this machine.
const FOREIGN: &str = "https://imagekit.example";
/// What becomes of the foreign endpoint as a URL.
const FOREIGN_URL: &str = "https://imagekit.example/";

/// A proxy between the program and everything outside of this machine, which lets nothing through
/// and keeps where connections were to go.
struct Outside {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Outside {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it has an address"));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection can be taken");
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).expect("it asks for something");
                seen.lock().expect("nobody fails with it").push(line.trim().to_owned());
                // Whoever has gone does not hear it.
                drop(stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"));
            }
        });
        Self { url, asked }
    }

    /// Where connections were to go since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().expect("nobody fails with it"))
    }

    #[track_caller]
    fn was_asked(&self) {
        let asked = self.asked();
        assert!(asked.iter().any(|line| line.contains("imagekit.example:443")), "{asked:?}");
    }

    #[track_caller]
    fn was_not_asked(&self) {
        assert_eq!(self.asked(), Vec::<String>::new());
    }
}

/// A sheet that needs the account at every command, and a user with settings.
fn world() -> TestEnv {
    let world = TestEnv::new(files(["a", "b"]));
    world.write("sheet.csv", "fileId,customMetadata.brand\na,Acme\nb,Acme\n");
    std::fs::create_dir_all(world.path("config/ikbulk")).expect("a directory can be made");
    world
}

fn own_settings(world: &TestEnv, text: &str) {
    world.write("config/ikbulk/config.toml", text);
}

/// A command whose endpoint nobody gives now, and whose connections go to `outside`.
fn command(world: &TestEnv, outside: &Outside, words: &str) -> Call {
    let words: Vec<&str> = words.split_whitespace().collect();
    let call = world.command(&words).without("IMAGE_KIT_BASE_URL");
    call.env("XDG_CONFIG_HOME", world.path("config")).env("HTTPS_PROXY", &outside.url)
}

const COMMANDS: [&str; 4] = [
    "check sheet.csv",
    "plan sheet.csv --down-max 1s",
    "apply --direct --no-snapshot sheet.csv --yes --down-max 1s",
    "export -o library.csv --down-max 1s",
];

fn profile(endpoint: &str) -> String {
    format!("[profile.default]\nendpoint = \"{endpoint}\"\n")
}

#[test]
fn a_settings_file_that_lies_about_does_not_take_the_key() {
    let (world, outside) = (world(), Outside::new());
    world.write("ikbulk.toml", profile(FOREIGN));
    for words in COMMANDS {
        let refused = command(&world, &outside, words).run().exits(2);
        let refused = refused.output_contains("only the settings file ikbulk.toml names it");
        let refused = refused.output_contains(&format!("--endpoint {FOREIGN_URL}"));
        refused.output_contains("config/ikbulk/config.toml").output_contains("nothing was sent");
    }
    std::fs::rename(world.path("ikbulk.toml"), world.path("theirs.toml")).unwrap();
    let refused = command(&world, &outside, "check sheet.csv --settings theirs.toml").run();
    refused.exits(2).output_contains("only the settings file theirs.toml names it");
    outside.was_not_asked();
    assert!(!world.path("sheet.ikbulk").exists() && !world.path("library.csv").exists());
}

#[test]
fn the_key_goes_where_the_user_says_without_asking() {
    let (world, outside) = (world(), Outside::new());
    let words = "check sheet.csv --attempts 1 --down-max 1s";
    command(&world, &outside, &format!("{words} --endpoint {FOREIGN}")).run().exits(3);
    outside.was_asked();
    command(&world, &outside, words).env("IMAGE_KIT_BASE_URL", FOREIGN).run().exits(3);
    outside.was_asked();
    own_settings(&world, &profile(FOREIGN));
    command(&world, &outside, words).run().exits(3);
    outside.was_asked();
    // What the user trusts in one profile, a directory may choose.
    own_settings(&world, &profile(FOREIGN).replace("default", "proxy"));
    world.write("ikbulk.toml", profile(FOREIGN_URL));
    command(&world, &outside, words).run().exits(3);
    outside.was_asked();
}

#[test]
fn settings_that_others_can_write_are_not_the_users_own() {
    let (world, outside) = (world(), Outside::new());
    own_settings(&world, &profile(FOREIGN));
    let path = world.path("config/ikbulk/config.toml");
    for mode in [0o664, 0o606] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let refused = command(&world, &outside, "check sheet.csv").run().exits(2);
        refused
            .output_contains("can be written by others")
            .output_contains("is not sent to https://imagekit.example");
    }
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    // Only the superuser can give files away.
    if std::os::unix::fs::chown(&path, Some(4321), None).is_ok() {
        let refused = command(&world, &outside, "check sheet.csv").run().exits(2);
        refused.output_contains("belongs to another user");
    }
    outside.was_not_asked();
}

/// A plan or a run that says that it was made at the foreign endpoint.
fn foreign_run(world: &TestEnv, words: &str) -> String {
    world.run(words);
    let run = world.only_run("sheet");
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
fn a_run_that_was_begun_elsewhere_does_not_take_the_key() {
    for (made_by, words) in [
        ("apply sheet.csv --yes --limit 1", "resume --yes RUN"),
        ("apply sheet.csv --yes", "undo RUN --yes"),
        ("plan sheet.csv", "apply --plan RUN --yes"),
    ] {
        let (world, outside) = (world(), Outside::new());
        let run = foreign_run(&world, made_by);
        let words = words.replace("RUN", &run);
        let refused = command(&world, &outside, &words).run().exits(2);
        let refused = refused.output_contains(&format!("the run {run}, which you did not begin"));
        refused.output_contains(&format!("--endpoint {FOREIGN_URL}"));
        outside.was_not_asked();
        let limits = format!("--endpoint {FOREIGN} --attempts 1 --down-max 1s");
        let allowed = command(&world, &outside, &format!("{words} {limits}")).run();
        assert!(!allowed.err.contains("is not sent to"), "{}", allowed.err);
        outside.was_asked();
    }
}

#[test]
fn a_person_is_asked_whether_the_key_may_go_there() {
    let (world, outside) = (world(), Outside::new());
    world.write("ikbulk.toml", profile(FOREIGN));
    let ask = |answer: &str| {
        let call = command(&world, &outside, "check sheet.csv --attempts 1 --down-max 1s");
        let mut terminal = call.on_terminal();
        terminal.waits_for(&format!("Send the key to {FOREIGN_URL}? [y/N]"));
        terminal.types(answer);
        terminal.ends().output_contains("the settings file ikbulk.toml names")
    };
    ask("\n").exits(2).output_contains("the key was not sent to");
    outside.was_not_asked();
    ask("y\n").exits(3).output_contains("cannot read the account's custom metadata fields");
    outside.was_asked();
}
