//! A ledger for unit tests.

use super::{LedgerFile, RunKind, RunMeta};
use crate::input::{Format, ReadOptions};
use crate::row::Rules;
use crate::settings::Planning;

/// An empty ledger, and the temporary directory that holds it.
pub(crate) fn ledger() -> (tempfile::TempDir, LedgerFile) {
    let directory = tempfile::tempdir().unwrap();
    let ledger = LedgerFile::create(directory.path(), &meta(), None).unwrap();
    (directory, ledger)
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
        stage: super::Stage::Running,
    }
}
