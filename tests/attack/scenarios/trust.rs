//! The key goes nowhere that the user has not named.

use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rusqlite::Connection;
use serde_json::Value;

use super::{describing, ids, killed_at_write, scene};
use crate::program::{Call, Desk, RESUME};
use crate::run::Run;

/// An endpoint that exists nowhere.
const FOREIGN: &str = "https://imagekit.example.invalid/";
const FOREIGN_HOST: &str = "imagekit.example.invalid";

/// A proxy that every way to the network goes through, and that notes who tries.
struct Network {
    address: String,
    attempts: Arc<AtomicUsize>,
}

impl Network {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port can be had");
        let address = listener.local_addr().expect("it has an address").to_string();
        let attempts = Arc::<AtomicUsize>::default();
        let noted = Arc::clone(&attempts);
        thread::spawn(move || {
            for _ in listener.incoming() {
                noted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { address, attempts }
    }

    /// A call without an endpoint of its own, for which this is the network.
    fn behind(&self, call: Call) -> Call {
        let call = call.without("IMAGE_KIT_BASE_URL");
        call.env("HTTPS_PROXY", format!("http://{}", self.address))
    }

    #[track_caller]
    fn is_untouched(&self) {
        assert_eq!(self.attempts.load(Ordering::SeqCst), 0, "there was an attempt to connect");
    }
}

/// Ends soon where it is not refused.
const IMPATIENT: &str = "--attempts 1 --connect-timeout 1s --down-max 1s";

/// Writes another endpoint into the ledger of a run.
fn redirect(run: &Run, endpoint: &str) {
    let ledger = Connection::open(run.path().join("ledger.db")).expect("it can be opened");
    let meta: String = ledger
        .query_row("SELECT value FROM fact WHERE name = 'run'", [], |row| row.get(0))
        .expect("it says which run it is");
    let mut meta: Value = serde_json::from_str(&meta).expect("facts are JSON");
    meta["endpoint"] = endpoint.into();
    ledger
        .execute("UPDATE fact SET value = ?1 WHERE name = 'run'", [meta.to_string()])
        .expect("it can be written");
}

#[test]
fn resume_of_a_foreign_run_is_refused() {
    let ids = ids(3);
    let (server, theirs) = scene(&ids);
    theirs.write("sheet.csv", describing(&ids, "after"));
    let run = killed_at_write(&server, &theirs, 1, "apply sheet.csv --yes");
    redirect(&run, FOREIGN);
    // Another user, who was given the directory.
    let ours = Desk::new(server.endpoint());
    let copy = ours.path("sheet.ikbulk").join(run.path().file_name().expect("it has a name"));
    fs::create_dir_all(&copy).expect("a directory can be made");
    for file in fs::read_dir(run.path()).expect("the run is there").flatten() {
        fs::copy(file.path(), copy.join(file.file_name())).expect("a file can be copied");
    }
    let network = Network::new();
    let line = format!("resume {} {RESUME} {IMPATIENT}", copy.display());
    network.behind(ours.call(&line)).run().exits(2).says(FOREIGN_HOST);
    network.is_untouched();
}

#[test]
fn a_foreign_settings_file_is_refused() {
    let desk = Desk::new("");
    desk.write("ikbulk.toml", format!("[profile.default]\nendpoint = \"{FOREIGN}\"\n"));
    desk.write("sheet.csv", "fileId,customMetadata.brand\na,Acme\n");
    let network = Network::new();
    for line in [
        "check sheet.csv",
        "plan sheet.csv",
        "apply sheet.csv --yes",
        "apply sheet.csv --yes --direct --no-schema",
        "export -o library.csv",
    ] {
        let call = desk.call(&format!("{line} {IMPATIENT}"));
        network.behind(call).run().exits(2).says("ikbulk.toml").says(FOREIGN_HOST);
        network.is_untouched();
    }
    assert!(!desk.path("sheet.ikbulk").exists(), "nothing is left behind");
}
