//! A ledger and its files, for unit tests.

use rusqlite::params;

use super::writer::step_id;
use super::{FileFilter, LedgerFile, RunKind, RunMeta};
use crate::file_fields::FileFields;
use crate::input::{Format, ReadOptions};
use crate::request::{StepKind, StepRef};
use crate::row::{FileId, Rules};
use crate::settings::Planning;

/// An empty ledger, and the temporary directory that holds it.
pub(crate) fn ledger() -> (tempfile::TempDir, LedgerFile) {
    let directory = tempfile::tempdir().unwrap();
    let ledger = LedgerFile::create(directory.path(), &meta(), None).unwrap();
    (directory, ledger)
}

pub(super) fn id(file: &str) -> FileId {
    FileId::new(file).unwrap()
}

/// Files that rows name, in this order, from row 2 on.
pub(super) fn add_files(ledger: &LedgerFile, files: &[&str]) {
    for (row, file) in (2..).zip(files) {
        ledger.add_file(&id(file), row).unwrap();
    }
    ledger.index_files().unwrap();
}

/// Adds a step that ran remove-bg, with a state before it.
pub(super) fn add_step(
    ledger: &LedgerFile,
    row: u64,
    kind: StepKind,
    status: &str,
    code: Option<&str>,
) {
    let sql = "INSERT INTO step (id, status, code, attempts, row_done, sent_fields,
                                 sent_extensions, snapshot)
               VALUES (?1, ?2, ?3, 1, 1, 0, 'remove-bg:1:0', '{\"before\":1}')";
    let id = step_id(StepRef { row, kind });
    ledger.writing(|it| it.execute(sql, params![id, status, code])).unwrap();
}

/// Fields of a file with this one tag.
pub(super) fn fields(file: &str, tag: &str) -> FileFields {
    FileFields { file_id: file.to_owned(), tags: vec![tag.to_owned()], ..FileFields::default() }
}

/// The files that the filter selects, at most nine.
pub(super) fn files(ledger: &LedgerFile, filter: FileFilter) -> Vec<FileId> {
    let files = ledger.files_after(None, filter, 9).unwrap();
    files.into_iter().map(|(_, file)| file).collect()
}

fn meta() -> RunMeta {
    RunMeta {
        spending: crate::spending::SpendingLimits::default(),
        id: "run".to_owned(),
        kind: RunKind::Apply,
        position: 1,
        input_path: None,
        input_name: "sheet.csv".to_owned(),
        input_format: Format::Csv,
        read_options: ReadOptions::default(),
        input_fingerprint: "none".to_owned(),
        rows: 3,
        names_files_once: false,
        writes: 0,
        endpoint: "http://127.0.0.1".to_owned(),
        account: serde_json::from_str(r#"{"service":"localhost:80","key":"key","name":null}"#)
            .expect("an account"),
        sandbox: false,
        has_extensions: false,
        rules: Rules::default(),
        fields: String::new(),
        begun: "2026-01-01T00:00:00Z".to_owned(),
        planning: Planning::Direct,
        saves_responses: false,
        fails_on_pending: false,
        stage: super::Stage::Running,
    }
}
