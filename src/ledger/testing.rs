//! A ledger to try things on.

use super::{Facts, LedgerFile};
use crate::input::Format;
use crate::settings::Planning;

/// A new ledger in a directory that goes when it does.
pub(crate) fn ledger() -> (tempfile::TempDir, LedgerFile) {
    let directory = tempfile::tempdir().unwrap();
    let ledger = LedgerFile::create(directory.path(), &facts(), None).unwrap();
    (directory, ledger)
}

fn facts() -> Facts {
    Facts {
        input_name: "sheet.csv".to_owned(),
        input_format: Format::Csv,
        input_fingerprint: "none".to_owned(),
        rows: 3,
        writes: 0,
        endpoint: "http://127.0.0.1".to_owned(),
        account: "account".to_owned(),
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
