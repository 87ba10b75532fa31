//! A ledger to try things on.

use super::{LedgerFile, RunMeta};
use crate::input::Format;
use crate::settings::Planning;

/// A new ledger in a directory that goes when it does.
pub(crate) fn ledger() -> (tempfile::TempDir, LedgerFile) {
    let directory = tempfile::tempdir().unwrap();
    let ledger = LedgerFile::create(directory.path(), &meta(), None).unwrap();
    (directory, ledger)
}

fn meta() -> RunMeta {
    RunMeta {
        id: "run".to_owned(),
        position: 1,
        input_path: None,
        input_name: "sheet.csv".to_owned(),
        input_format: Format::Csv,
        input_fingerprint: "none".to_owned(),
        rows: 3,
        writes: 0,
        endpoint: "http://127.0.0.1".to_owned(),
        account: serde_json::from_str(r#"{"service":"localhost:80","key":"key","name":null}"#)
            .expect("it is an account"),
        sandbox: false,
        pays: false,
        clear_token: "<clear>".to_owned(),
        fields: String::new(),
        begun: "2026-01-01T00:00:00Z".to_owned(),
        guarded: false,
        planning: Planning::Direct,
        stage: super::Stage::Running,
    }
}
