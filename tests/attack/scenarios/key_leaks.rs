//! The key is sent only to endpoints that the user has named.

use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rusqlite::Connection;
use serde_json::Value;

use super::{description_sheet, ids, kill_at_write, set_up};
use crate::program::{PreparedCommand, RESUME, Workspace};
use crate::run_directory::RunDirectory;

/// An endpoint that does not exist.
const FOREIGN: &str = "https://imagekit.example.invalid/";
const FOREIGN_HOST: &str = "imagekit.example.invalid";

/// A proxy that counts connection attempts.
struct CountingProxy {
    address: String,
    attempts: Arc<AtomicUsize>,
}

impl CountingProxy {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port should be free");
        let address =
            listener.local_addr().expect("the listener should have an address").to_string();
        let attempts = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&attempts);
        thread::spawn(move || {
            for _ in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { address, attempts }
    }

    /// Removes the command's endpoint and routes its HTTPS connections through this proxy.
    fn route(&self, command: PreparedCommand) -> PreparedCommand {
        let command = command.without("IMAGE_KIT_BASE_URL");
        command.env("HTTPS_PROXY", format!("http://{}", self.address))
    }

    #[track_caller]
    fn assert_unused(&self) {
        assert_eq!(self.attempts.load(Ordering::SeqCst), 0, "connection attempts");
    }
}

/// Flags to fail fast if the endpoint is not refused.
const FAIL_FAST: &str = "--attempts 1 --connect-timeout 1s --down-max 1s";

/// Replaces the endpoint in a run's ledger.
fn replace_endpoint(run: &RunDirectory, endpoint: &str) {
    let ledger = Connection::open(run.path().join("ledger.db")).expect("the ledger should open");
    let meta: String = ledger
        .query_row("SELECT value FROM fact WHERE name = 'run'", [], |row| row.get(0))
        .expect("the ledger should have run metadata");
    let mut meta: Value = serde_json::from_str(&meta).expect("the metadata should be JSON");
    meta["endpoint"] = endpoint.into();
    ledger
        .execute("UPDATE fact SET value = ?1 WHERE name = 'run'", [meta.to_string()])
        .expect("the ledger should be writable");
}

#[test]
fn resume_of_a_foreign_run_is_refused() {
    let ids = ids(3);
    let (server, sender) = set_up(&ids);
    sender.write("sheet.csv", description_sheet(&ids, "after"));
    let run = kill_at_write(&server, &sender, 1, "apply sheet.csv --yes");
    replace_endpoint(&run, FOREIGN);
    // Another user receives the run directory.
    let receiver = Workspace::new(server.endpoint());
    let copy = receiver
        .path("sheet.ikbulk")
        .join(run.path().file_name().expect("the run directory should have a name"));
    fs::create_dir_all(&copy).expect("a directory should be creatable");
    for file in fs::read_dir(run.path()).expect("the run directory should exist").flatten() {
        fs::copy(file.path(), copy.join(file.file_name())).expect("the file should be copyable");
    }
    let proxy = CountingProxy::new();
    let line = format!("resume {} {RESUME} {FAIL_FAST}", copy.display());
    proxy.route(receiver.command(&line)).run().exits(2).output_contains(FOREIGN_HOST);
    proxy.assert_unused();
}

#[test]
fn foreign_settings_file_is_refused() {
    let workspace = Workspace::new("");
    workspace.write("ikbulk.toml", format!("[profile.default]\nendpoint = \"{FOREIGN}\"\n"));
    workspace.write("sheet.csv", "fileId,customMetadata.brand\na,Acme\n");
    let proxy = CountingProxy::new();
    for line in [
        "check sheet.csv",
        "plan sheet.csv",
        "apply sheet.csv --yes",
        "apply sheet.csv --yes --direct --no-schema",
        "export -o library.csv",
    ] {
        let command = workspace.command(&format!("{line} {FAIL_FAST}"));
        proxy
            .route(command)
            .run()
            .exits(2)
            .output_contains("ikbulk.toml")
            .output_contains(FOREIGN_HOST);
        proxy.assert_unused();
    }
    assert!(!workspace.path("sheet.ikbulk").exists(), "no run directory should be created");
}
