//! Runs as they leave their ledgers behind, and what is known of them afterwards.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::evidence::Evidence;
use super::*;
use crate::input::Format;
use crate::ledger::Stage;
use crate::row::{Builder, Cell, Content, Extensions, Field, Rules};
use crate::settings::Planning;

const REMOVE_BG: &str = r#"{"name":"remove-bg"}"#;
/// Rows 2, 3 and 4 buy, row 5 does not.
const SHEET: &str = r#"fileId,tags,extensions
said,,"[{""name"":""remove-bg""}]"
lost,,"[{""name"":""remove-bg""}]"
refused,,"[{""name"":""remove-bg""}]"
tagged,x,
"#;

/// Extensions, as a cell of a sheet asks for them.
pub(super) fn extensions(configs: &[&str]) -> Extensions {
    let rules = Rules::default();
    let mut builder = Builder::new(&rules);
    builder.set("fileId", &Field::FileId, Cell::Text("a"));
    let cell = format!("[{}]", configs.join(","));
    builder.set("extensions", &Field::Extensions, Cell::Text(&cell));
    let Content::Update(update) = builder.finish() else { panic!("{cell} is not allowed") };
    update.change.extensions.expect("there are some")
}

/// A state directory, and runs beside it.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn state(&self) -> StateDir {
        StateDir::open(self.0.path()).unwrap()
    }

    fn paid(&self) -> PaidWork {
        PaidWork::open(&self.state(), "account").unwrap()
    }

    /// Makes a run that was begun then and killed after a while.
    fn run(&self, name: &str, begun: &str) -> (RunDir, Facts) {
        let run = RunDir::create_at(&self.0.path().join(name)).unwrap();
        fs::write(run.path().join("input.csv"), SHEET).unwrap();
        let facts = Facts {
            input_name: "sheet.csv".to_owned(),
            input_format: Format::Csv,
            input_fingerprint: String::new(),
            rows: 4,
            writes: 0,
            endpoint: String::new(),
            account: "account".to_owned(),
            sandbox: false,
            pays: true,
            clear_token: "<clear>".to_owned(),
            fields: String::new(),
            begun: begun.to_owned(),
            guarded: false,
            planning: Planning::Direct,
            stage: Stage::Running,
        };
        drop(LedgerFile::create(run.path(), &facts, None).unwrap());
        let ledger = Connection::open(run.path().join(LedgerFile::NAME)).unwrap();
        let steps = "INSERT INTO step (id, status, attempts, extension_status, row_done) VALUES
                         (2 << 3, 'updated', 1, '{\"remove-bg\":\"pending\"}', 1),
                         (3 << 3, 'intent', 1, NULL, 0),
                         (4 << 3, 'rejected', 1, NULL, 1),
                         (5 << 3, 'updated', 1, NULL, 1)";
        ledger.execute_batch(steps).unwrap();
        (run, facts)
    }
}

/// What is known of remove-bg on a file.
fn known(paid: &PaidWork, id: &str) -> Option<Bought> {
    let remove_bg = extensions(&[REMOVE_BG]);
    paid.known(&FileId::new(id).unwrap(), &remove_bg.as_slice()[0]).unwrap()
}

fn certainties(paid: &PaidWork) -> [Option<Certainty>; 4] {
    ["said", "lost", "refused", "tagged"].map(|id| known(paid, id).map(|bought| bought.certainty))
}

const OF_THE_RUN: [Option<Certainty>; 4] =
    [Some(Certainty::Accepted), Some(Certainty::AnswerLost), None, None];

#[test]
fn a_run_that_was_killed_is_known_to_the_next_one_for_ever() {
    let home = Home::new();
    let (run, facts) = home.run("run", "monday");
    home.paid().register(&run, &facts).unwrap();
    let paid = home.paid();
    assert_eq!(certainties(&paid), [None; 4], "a look alone copies nothing");
    assert!(paid.record_open_runs().unwrap().is_empty());
    assert_eq!(certainties(&paid), OF_THE_RUN);
    // It is closed: nobody asks for it any more.
    fs::remove_dir_all(run.path()).unwrap();
    assert!(home.paid().record_open_runs().unwrap().is_empty());
    assert_eq!(certainties(&home.paid()), OF_THE_RUN);
}

#[test]
fn a_run_that_came_to_its_end_is_closed_by_being_recorded() {
    let home = Home::new();
    let (run, facts) = home.run("run", "monday");
    let paid = home.paid();
    paid.register(&run, &facts).unwrap();
    paid.record(&run, &run.ledger().unwrap()).unwrap();
    assert_eq!(certainties(&paid), OF_THE_RUN);
    fs::remove_dir_all(run.path()).unwrap();
    assert!(paid.record_open_runs().unwrap().is_empty());
}

#[test]
fn what_is_known_says_which_run_bought_it_and_whether_that_is_certain() {
    let home = Home::new();
    let (run, _) = home.run("run", "2026-11-24T01:00:00Z");
    let paid = home.paid();
    paid.record(&run, &run.ledger().unwrap()).unwrap();
    let path = run.path().display();
    assert_eq!(
        known(&paid, "said").unwrap().to_string(),
        format!("bought by the run {path}, begun 2026-11-24T01:00:00Z")
    );
    assert_eq!(
        known(&paid, "lost").unwrap().to_string(),
        format!(
            "perhaps bought by the run {path}, begun 2026-11-24T01:00:00Z: the answer to its \
             request was lost"
        )
    );
}

#[test]
fn what_was_said_replaces_what_is_known_and_anything_less_only_fills_a_gap() {
    let remove_bg = extensions(&[REMOVE_BG]);
    let file = FileId::new("a").unwrap();
    let outcome = |evidences: &[(&str, Evidence)]| {
        let home = Home::new();
        let paid = home.paid();
        for (name, evidence) in evidences {
            let (run, facts) = home.run(name, "monday");
            let id = tables::open_run(&paid.connection, run.path(), &facts).unwrap();
            let extension = &remove_bg.as_slice()[0];
            tables::buy(&paid.connection, id, &file, extension, *evidence).unwrap();
        }
        let Bought { run, certainty, .. } = known(&paid, "a").unwrap();
        (run.file_name().unwrap().to_str().unwrap().to_owned(), certainty)
    };
    let (said, accepted, lost) = (Evidence::Said, Evidence::Accepted, Evidence::AnswerLost);
    let (certain, unsure) = (Certainty::Accepted, Certainty::AnswerLost);
    for (first, second, run, certainty) in [
        (lost, said, "second", certain),
        (lost, accepted, "first", unsure),
        (lost, lost, "first", unsure),
        (accepted, lost, "first", certain),
        (accepted, said, "second", certain),
        (said, lost, "first", certain),
        (said, accepted, "first", certain),
        (said, said, "second", certain),
    ] {
        let found = outcome(&[("first", first), ("second", second)]);
        assert_eq!(found, (run.to_owned(), certainty), "{first:?}, {second:?}");
    }
}

#[test]
fn a_run_that_is_gone_is_named_once() {
    let home = Home::new();
    let (run, facts) = home.run("run", "monday");
    home.paid().register(&run, &facts).unwrap();
    fs::remove_dir_all(run.path()).unwrap();
    let unrecorded = home.paid().record_open_runs().unwrap();
    let [Unrecorded::Gone { run: gone }] = unrecorded.as_slice() else {
        panic!("{unrecorded:?}");
    };
    assert_eq!(gone, run.path());
    assert!(home.paid().record_open_runs().unwrap().is_empty());
}

#[test]
fn a_run_at_the_place_of_another_is_not_taken_for_it() {
    let home = Home::new();
    let (run, facts) = home.run("run", "monday");
    home.paid().register(&run, &facts).unwrap();
    fs::remove_dir_all(run.path()).unwrap();
    home.run("run", "tuesday");
    let unrecorded = home.paid().record_open_runs().unwrap();
    assert!(matches!(unrecorded.as_slice(), [Unrecorded::Gone { .. }]), "{unrecorded:?}");
    assert_eq!(certainties(&home.paid()), [None; 4]);
}

#[test]
fn a_run_that_cannot_be_read_is_named_until_it_can() {
    let home = Home::new();
    let (run, facts) = home.run("run", "monday");
    let (other, other_facts) = home.run("other", "monday");
    home.paid().register(&run, &facts).unwrap();
    home.paid().register(&other, &other_facts).unwrap();
    let (input, elsewhere) = (run.path().join("input.csv"), run.path().join("elsewhere"));
    fs::rename(&input, &elsewhere).unwrap();
    for _ in 0..2 {
        let unrecorded = home.paid().record_open_runs().unwrap();
        let [Unrecorded::Unreadable { run: unreadable, .. }] = unrecorded.as_slice() else {
            panic!("{unrecorded:?}");
        };
        assert_eq!(unreadable, run.path());
        assert_eq!(known(&home.paid(), "said").unwrap().run, other.path());
    }
    fs::rename(&elsewhere, &input).unwrap();
    assert!(home.paid().record_open_runs().unwrap().is_empty());
    assert_eq!(known(&home.paid(), "said").unwrap().run, run.path());
}

#[test]
fn accounts_know_nothing_of_each_other_and_nobody_else_can_look() {
    let home = Home::new();
    let (run, _) = home.run("run", "monday");
    home.paid().record(&run, &run.ledger().unwrap()).unwrap();
    let other = PaidWork::open(&home.state(), "another").unwrap();
    assert_eq!(certainties(&other), [None; 4]);
    let mode = fs::metadata(&home.paid().path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_memory_of_a_later_version_is_left_alone() {
    let home = Home::new();
    home.paid().connection.pragma_update(None, "user_version", 2).unwrap();
    let refused = PaidWork::open(&home.state(), "account").unwrap_err();
    assert!(matches!(refused, PaidWorkError::Format { found: 2, .. }), "{refused}");
}
