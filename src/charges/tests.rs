//! Charges recorded from the ledgers of finished and killed runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use reqwest::Url;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::account::{Identity, KeyFingerprint};
use crate::history::ExtensionReport;
use crate::input::{Format, ReadOptions};
use crate::ledger::{RunKind, RunMeta, Stage};
use crate::row::testing::extensions;
use crate::row::{FieldSet, Rules};
use crate::sent::{Sent, SentExtension};
use crate::settings::Planning;

const REMOVE_BG: &str = r#"{"name":"remove-bg"}"#;
/// Rows 2, 3 and 4 run an extension, row 5 does not.
const SHEET: &str = r#"fileId,tags,extensions
reported,,"[{""name"":""remove-bg""}]"
lost,,"[{""name"":""remove-bg""}]"
rejected,,"[{""name"":""remove-bg""}]"
tagged,x,
"#;

/// A state directory, and run directories beside it.
struct TestDir(TempDir);

fn service(endpoint: &str) -> Service {
    Service::at(&Url::parse(endpoint).unwrap())
}

fn identity(key: &str) -> Identity {
    let service = service("https://api.imagekit.io");
    let key = KeyFingerprint::new(&service, &key.to_owned().into());
    Identity { service, key, name: None }
}

impl TestDir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn state(&self) -> StateDir {
        StateDir::open(&self.0.path().join("state")).unwrap()
    }

    fn charges(&self) -> Charges {
        Charges::open(&self.state(), &service("https://api.imagekit.io")).unwrap()
    }

    fn account(&self) -> AccountId {
        self.charges().db.account_of(&identity("key")).unwrap()
    }

    /// Creates a run that was killed while sending.
    fn killed_run(&self, name: &str) -> (RunDir, RunMeta) {
        let run = RunDir::create_at(&self.0.path().join(name)).unwrap();
        fs::write(run.path().join("input.csv"), SHEET).unwrap();
        let meta = RunMeta {
            spending: crate::spending::SpendingLimits::default(),
            id: format!("{name} {}", fastrand::Rng::new().u64(..)),
            kind: RunKind::Apply,
            position: 1,
            input_name: "sheet.csv".to_owned(),
            input_path: None,
            input_format: Format::Csv,
            read_options: ReadOptions::default(),
            input_fingerprint: String::new(),
            rows: 4,
            names_files_once: false,
            writes: 0,
            endpoint: "https://api.imagekit.io/".to_owned(),
            account: identity("key"),
            sandbox: false,
            has_extensions: true,
            rules: Rules::default(),
            fields: String::new(),
            begun: "2026-11-24T01:00:00Z".to_owned(),
            planning: Planning::Direct,
            saves_responses: false,
            fails_on_pending: false,
            stage: Stage::Running,
        };
        drop(LedgerFile::create(run.path(), &meta, None).unwrap());
        let ledger = Connection::open(run.path().join(LedgerFile::NAME)).unwrap();
        let sent = Sent::new(FieldSet::default(), Some(&extensions(&[REMOVE_BG])));
        let sent = sent.extensions_as_text().unwrap();
        ledger
            .execute_batch(&format!(
                "INSERT INTO step (id, status, attempts, extension_status, row_done, sent_fields, \
                     sent_extensions)
                 VALUES (2 << 8, 'updated', 1, '{{\"remove-bg\":\"pending\"}}', 1, 0, '{sent}'),
                        (3 << 8, 'intent', 1, NULL, 0, 0, '{sent}'),
                        (4 << 8, 'rejected', 1, NULL, 1, 0, '{sent}'),
                        (5 << 8, 'updated', 1, NULL, 1, 0, NULL)"
            ))
            .unwrap();
        (run, meta)
    }

    /// Creates a killed run that is registered and open in the state database.
    fn open_run(&self, name: &str) -> (RunDir, RunMeta) {
        let (run, meta) = self.killed_run(name);
        self.register(&run, &meta);
        self.charges().open_run(&meta.id).unwrap();
        (run, meta)
    }

    fn register(&self, run: &RunDir, meta: &RunMeta) {
        self.charges().db.register(self.account(), &run.entry(meta)).unwrap();
    }

    fn record_open_runs(&self) -> Vec<UnrecordedRun> {
        self.charges().record_open_runs(self.account()).unwrap()
    }
}

/// The recorded charge of remove-bg on a file.
fn charge(charges: &Charges, id: &str) -> Option<Charge> {
    let remove_bg = extensions(&[REMOVE_BG]);
    charges.find(&FileId::new(id).unwrap(), &remove_bg.as_slice()[0]).unwrap()
}

fn certainties(charges: &Charges) -> [Option<ChargeCertainty>; 4] {
    ["reported", "lost", "rejected", "tagged"]
        .map(|id| charge(charges, id).map(|charge| charge.certainty))
}

/// The certainties that a killed run leaves.
const RECORDED: [Option<ChargeCertainty>; 4] =
    [Some(ChargeCertainty::Accepted), Some(ChargeCertainty::ResponseLost), None, None];

#[test]
fn killed_run_is_recorded_by_the_next_one() {
    let dir = TestDir::new();
    let (run, _) = dir.open_run("run");
    assert_eq!(certainties(&dir.charges()), [None; 4], "opening copies nothing");
    assert!(dir.record_open_runs().is_empty());
    assert_eq!(certainties(&dir.charges()), RECORDED);
    // The run is closed, so it is not read again.
    fs::remove_dir_all(run.path()).unwrap();
    assert!(dir.record_open_runs().is_empty());
    assert_eq!(certainties(&dir.charges()), RECORDED);
}

#[test]
fn run_that_another_process_opened_is_recorded_and_stays_open() {
    let dir = TestDir::new();
    let (run, meta) = dir.open_run("run");
    let is_open = || {
        let count = "SELECT count(*) FROM run WHERE id = ?1 AND charges_open";
        let query = |connection: &Connection| {
            connection.query_row(count, [&meta.id], |row| row.get::<_, i64>(0))
        };
        dir.charges().db.read(query).unwrap() == 1
    };
    // As `resume --wait-lock` holds it while another run has the account.
    let lock = RunLock::take(&run).unwrap();
    assert!(dir.record_open_runs().is_empty());
    assert_eq!((certainties(&dir.charges()), is_open()), (RECORDED, true));
    drop(lock);
    assert!(dir.record_open_runs().is_empty());
    assert_eq!((certainties(&dir.charges()), is_open()), (RECORDED, false));
}

#[test]
fn recording_a_finished_run_closes_it() {
    let dir = TestDir::new();
    let (run, _) = dir.open_run("run");
    dir.charges().record(&run, &run.ledger().unwrap()).unwrap();
    assert_eq!(certainties(&dir.charges()), RECORDED);
    fs::remove_dir_all(run.path()).unwrap();
    assert!(dir.record_open_runs().is_empty());
}

#[test]
fn charge_names_its_run_and_certainty() {
    let dir = TestDir::new();
    let (run, _) = dir.open_run("run");
    dir.charges().record(&run, &run.ledger().unwrap()).unwrap();
    let path = run.path().display();
    let text = |id| charge(&dir.charges(), id).unwrap().to_string();
    assert_eq!(text("reported"), format!("already ran in {path}, started 2026-11-24T01:00:00Z"));
    assert_eq!(
        text("lost"),
        format!("may have run in {path}, started 2026-11-24T01:00:00Z: the response was lost")
    );
}

#[test]
fn reported_status_replaces_earlier_charge_and_any_a_failure() {
    let remove_bg = extensions(&[REMOVE_BG]);
    let file = FileId::new("a").unwrap();
    let outcome = |reports: &[(&str, ExtensionReport)]| {
        let dir = TestDir::new();
        let charges = dir.charges();
        for (name, report) in reports {
            let (_, meta) = dir.open_run(name);
            let extension = &remove_bg.as_slice()[0];
            charges
                .db
                .change(|connection| {
                    let run = tables::number_of(connection, &meta.id)?;
                    let service = &charges.service;
                    tables::record(
                        connection,
                        service,
                        run,
                        &file,
                        &SentExtension::of(extension),
                        *report,
                    )
                })
                .unwrap();
        }
        let Charge { run, certainty, .. } = charge(&charges, "a").unwrap();
        (run.file_name().unwrap().to_str().unwrap().to_owned(), certainty)
    };
    let (reported, accepted, lost) =
        (ExtensionReport::Status, ExtensionReport::Nothing, ExtensionReport::ResponseLost);
    let failed = ExtensionReport::Failed;
    let (certain, unsure) = (ChargeCertainty::Accepted, ChargeCertainty::ResponseLost);
    for (first, second, run, certainty) in [
        (lost, reported, "second", certain),
        (lost, accepted, "first", unsure),
        (lost, lost, "first", unsure),
        (accepted, lost, "first", certain),
        (accepted, reported, "second", certain),
        (reported, lost, "first", certain),
        (reported, accepted, "first", certain),
        (reported, reported, "second", certain),
        (failed, accepted, "second", certain),
        (failed, lost, "second", unsure),
        (failed, failed, "second", ChargeCertainty::Failed),
        (reported, failed, "first", certain),
        (lost, failed, "first", unsure),
    ] {
        let found = outcome(&[("first", first), ("second", second)]);
        assert_eq!(found, (run.to_owned(), certainty), "{first:?}, {second:?}");
    }
}

#[test]
fn removed_run_is_reported_once() {
    let dir = TestDir::new();
    let (run, _) = dir.open_run("run");
    fs::remove_dir_all(run.path()).unwrap();
    let unrecorded = dir.record_open_runs();
    let [UnrecordedRun::Gone { run: gone }] = unrecorded.as_slice() else {
        panic!("{unrecorded:?}");
    };
    assert_eq!(gone, run.path());
    assert!(dir.record_open_runs().is_empty());
}

#[test]
fn other_run_at_same_path_is_not_recorded() {
    let dir = TestDir::new();
    let (run, _) = dir.open_run("run");
    fs::remove_dir_all(run.path()).unwrap();
    dir.killed_run("run");
    let unrecorded = dir.record_open_runs();
    assert!(matches!(unrecorded.as_slice(), [UnrecordedRun::Gone { .. }]), "{unrecorded:?}");
    assert_eq!(certainties(&dir.charges()), [None; 4]);
}

#[test]
fn unreadable_run_is_reported_until_readable() {
    let dir = TestDir::new();
    let (run, _) = dir.open_run("run");
    let (other, _) = dir.open_run("other");
    let (input, elsewhere) = (run.path().join("input.csv"), run.path().join("elsewhere"));
    fs::rename(&input, &elsewhere).unwrap();
    for _ in 0..2 {
        let unrecorded = dir.record_open_runs();
        let [UnrecordedRun::Unreadable { run: unreadable, .. }] = unrecorded.as_slice() else {
            panic!("{unrecorded:?}");
        };
        assert_eq!(unreadable, run.path());
        assert_eq!(charge(&dir.charges(), "reported").unwrap().run, other.path());
    }
    fs::rename(&elsewhere, &input).unwrap();
    assert!(dir.record_open_runs().is_empty());
    assert_eq!(charge(&dir.charges(), "reported").unwrap().run, run.path());
}

#[test]
fn charges_depend_on_service_not_key_or_spelling() {
    let dir = TestDir::new();
    let (run, _) = dir.open_run("run");
    dir.charges().record(&run, &run.ledger().unwrap()).unwrap();
    let at = |endpoint| certainties(&Charges::open(&dir.state(), &service(endpoint)).unwrap());
    assert_eq!(at("https://API.imagekit.io:443/"), RECORDED);
    assert_eq!(at("https://other.example"), [None; 4]);
    let mode = fs::metadata(dir.state().path().join("state.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn database_with_unknown_format_is_refused() {
    let dir = TestDir::new();
    drop(dir.charges());
    let path = dir.state().path().join("state.db");
    Connection::open(path).unwrap().pragma_update(None, "user_version", 9).unwrap();
    let service = service("https://api.imagekit.io");
    let refused = Charges::open(&dir.state(), &service).unwrap_err();
    let chain = crate::error::chain(&refused);
    assert!(chain.contains("has format 9"), "{chain}");
}

#[test]
fn charges_without_names_are_found_after_the_upgrade() {
    let dir = TestDir::new();
    let (run, _) = dir.open_run("run");
    dir.charges().record(&run, &run.ledger().unwrap()).unwrap();
    let file = FileId::new("reported").unwrap();
    let has_any = || dir.charges().has_any(&file, ExtensionName::RemoveBg).unwrap();
    assert!(has_any());
    // As the format before stored them.
    let path = dir.state().path().join("state.db");
    let before = "ALTER TABLE charge DROP COLUMN name; ALTER TABLE run DROP COLUMN imported;
                  ALTER TABLE charge RENAME COLUMN certainty TO response_lost;
                  PRAGMA user_version = 2";
    Connection::open(path).unwrap().execute_batch(before).unwrap();
    assert_eq!(certainties(&dir.charges()), RECORDED);
    assert!(!has_any());
}
