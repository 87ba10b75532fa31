//! Exported workbooks that another program opened and saved again: the files in `fixtures/resaved`, as
//! `make.sh` there wrote them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::export::{awkward_env, awkward_is_up_to_date};
use crate::harness::{Cases, TestEnv, assert_text};

/// The files, and what `LibreOffice` calls their formats. CSV has UTF-8, and cells as they are shown, as
/// its dialog proposes.
const SAVED: [(&str, &str); 3] = [
    ("libreoffice.xlsx", "xlsx:Calc MS Excel 2007 XML"),
    ("libreoffice.ods", "ods"),
    ("libreoffice.csv", "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false"),
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/resaved").join(name)
}

/// The library whose export was saved, and the file.
fn resaved(name: &str) -> TestEnv {
    let env = awkward_env();
    std::fs::copy(fixture(name), env.path(name)).expect("the file is there");
    env
}

#[test]
fn workbook_saved_by_libreoffice_changes_nothing() {
    awkward_is_up_to_date(&resaved("libreoffice.xlsx"), "libreoffice.xlsx");
}

/// `LibreOffice` itself rounds a number of many digits in ODS, and shows it so in CSV.
#[test]
fn what_libreoffice_changes_in_other_formats_is_named() {
    let mut cases = Cases::default();
    for name in ["libreoffice.ods", "libreoffice.csv"] {
        cases.run(&resaved(name), &format!("plan {name} --diff"));
    }
    assert_text!(cases);
}

#[test]
#[ignore = "needs LibreOffice, and writes fixtures/resaved"]
fn libreoffice_saves_an_exported_workbook() {
    let env = awkward_env();
    env.run("export -o libreoffice.xlsx").exits(0);
    let profile = format!("-env:UserInstallation=file://{}", env.path("profile").display());
    for (name, kind) in SAVED {
        let saved = Command::new("soffice")
            .args([&profile, "--headless", "--convert-to", kind, "--outdir"])
            .args([env.path("out"), env.path("libreoffice.xlsx")])
            .status();
        assert!(saved.is_ok_and(|status| status.success()), "soffice failed");
        std::fs::copy(env.path("out").join(name), fixture(name)).expect("it was saved");
    }
}
