//! The sheets in `fixtures/sheets`: each stands for a kind of fault, and `expected.snap` beside it is
//! what a person is told about it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Cases, TestEnv};

fn fixture(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sheets").join(case)
}

/// The ids of the files that these sheets name.
pub(crate) fn case_ids() -> Vec<String> {
    (0..6).map(|index| format!("65a1f0c29b41d45b037cc00{index}")).collect()
}

/// Copies the sheet of a case into the environment; returns its name.
pub(crate) fn copy_sheet(env: &TestEnv, case: &str) -> String {
    let entries = fs::read_dir(fixture(case)).expect("the case has a folder").flatten();
    let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let name = names.find(|name| name.starts_with("sheet.")).expect("a sheet");
    env.write(&name, fs::read(fixture(case).join(&name)).expect("it can be read"));
    name
}

/// Compares a text with `expected.snap` beside the sheet of a case.
#[track_caller]
pub(crate) fn assert_expected(case: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(fixture(case));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_filters(crate::harness::FILTERS.to_vec());
    settings.bind(|| insta::assert_snapshot!("expected", text));
}

/// Runs commands with the sheet of a case in place of `SHEET`, and compares what they print.
#[track_caller]
pub(crate) fn assert_case(env: &TestEnv, case: &str, commands: &[&str]) {
    let name = copy_sheet(env, case);
    let mut cases = Cases::default();
    for command in commands {
        cases.run(env, &command.replace("SHEET", &name));
    }
    assert_expected(case, &cases.to_string());
}
