//! What must hold after an attack, however it went.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::imagekit::Account;
use crate::program::Done;
use crate::run::{Line, Run};
use crate::server::Server;
use crate::sheet::{Change, FIELDS, Row, Sheet, can_be_foreseen, value};

/// Codes by which a report says that a row's value is perhaps not on its file.
const SAID: [&str; 4] = ["mismatch", "unverified", "superseded", "conflict"];
/// Codes of updated rows that a person must look at.
const TO_LOOK_AT: [&str; 3] = ["mismatch", "unverified", "extension_failed"];
const STATUSES: [&str; 6] =
    ["updated", "unchanged", "rejected", "failed", "unknown", "not_attempted"];

/// What a file's field may be, as far as the report says. `None` where it says nothing.
type Possible = Option<Vec<Value>>;

/// No file is charged twice for an extension configuration, and nothing is published twice.
#[track_caller]
pub(crate) fn nothing_twice(server: &Server) {
    let account = server.account();
    for ((file, config), times) in account.charges() {
        assert!(*times <= 1, "{file} is charged {times} times for {config}");
    }
    for (file, times) in account.publications() {
        assert!(*times <= 1, "{file} is published or unpublished {times} times");
    }
}

/// Every input row is in the report exactly once, the summary counts the report, and the exit code
/// fits.
#[track_caller]
pub(crate) fn report_is_whole(run: &Run, rows: impl Iterator<Item = usize>, done: &Done) {
    let report = run.report();
    let numbers: Vec<String> = report.iter().map(|line| line["row"].clone()).collect();
    let expected: Vec<String> = rows.map(|row| row.to_string()).collect();
    assert_eq!(numbers, expected, "the rows of the report");
    let summary = run.summary();
    for status in STATUSES {
        let count = report.iter().filter(|line| line["status"] == status).count();
        assert_eq!(summary["rows"][status], count, "{status} rows in {summary}");
    }
    assert_eq!(summary["rows"]["total"], report.len(), "{summary}");
    let (exit_code, fitting) = (summary["exit_code"].clone(), exit_codes(&report));
    assert!(fitting.iter().any(|code| exit_code == *code), "{fitting:?} would fit {summary}");
    let is_undo = summary["input"].as_str().is_some_and(|name| name.starts_with("undo of "));
    let code = done.code.expect("it was not killed");
    let has_left_alone = is_undo && code == 1 && exit_code == 0 && !run.left_alone().is_empty();
    assert!(exit_code == code || has_left_alone, "exit code {code}: {summary}\n{}", done.err);
}

/// The exit codes that fit a report. Whether rejected rows come before rows that were not attempted
/// is left open where there are both; so is whether a superseded row counts, which it does unless it
/// is superseded as a whole.
fn exit_codes(report: &[Line]) -> Vec<u8> {
    let has = |status: &str, codes: &dyn Fn(&str) -> bool| {
        report.iter().any(|line| line["status"] == status && codes(&line["code"]))
    };
    let (any, superseded) = (|_: &str| true, |code: &str| code == "superseded");
    if has("unknown", &any) {
        return vec![6];
    }
    let must_look = has("rejected", &|code| !superseded(code))
        || has("updated", &|code| TO_LOOK_AT.contains(&code));
    let (is_open, may_look) = (has("not_attempted", &any), has("rejected", &superseded));
    let mut fitting = Vec::new();
    if must_look || may_look {
        fitting.push(1);
    }
    if is_open || has("failed", &any) && !must_look {
        fitting.push(5);
    }
    if !must_look && !is_open && !has("failed", &|code| !superseded(code)) {
        fitting.push(0);
    }
    fitting
}

/// Nothing is rejected that is not bad, nothing is left that could be done, and only what was in
/// flight at a kill is unknown.
#[track_caller]
pub(crate) fn nothing_left(sheet: &Sheet, run: &Run, unknown_max: usize) {
    let report = run.report();
    for (row, line) in sheet.rows.iter().zip(&report) {
        let is_rejected = line["status"] == "rejected";
        assert_eq!(is_rejected, row.is_bad, "{row:?}: {line:?}");
        assert!(!["failed", "not_attempted"].contains(&line["status"].as_str()), "{line:?}");
    }
    let unknown = report.iter().filter(|line| line["status"] == "unknown").count();
    assert!(unknown <= unknown_max, "{unknown} rows are unknown: {report:?}");
}

/// No row is reported `updated` or `unchanged` whose value is not on its file.
#[track_caller]
pub(crate) fn values_are_there(sheet: &Sheet, run: &Run, server: &Server) {
    let possible = possible(sheet, &run.report());
    let account = server.account();
    for file in account.files() {
        for field in FIELDS.into_iter().filter(|field| can_be_foreseen(&file.id, field)) {
            let is = value(file, field);
            if let Some(Some(possible)) = possible.get(&(file.id.as_str(), field)) {
                let rows = run.report().into_iter().filter(|line| line["fileId"] == file.id);
                let rows: Vec<Line> = rows.collect();
                assert!(
                    possible.contains(&is),
                    "{field} of {} is {is}, not one of {possible:?}: {rows:#?}",
                    file.id
                );
            }
        }
    }
    charges_are_there(sheet, &run.report(), &account);
}

/// What a row says was run was run: once, or perhaps, where another row that asks for the same is
/// unknown.
#[track_caller]
fn charges_are_there(sheet: &Sheet, report: &[Line], account: &Account) {
    let asked = |row: &Row| row.extension().map(|config| (row.file.clone(), config));
    let rows = || sheet.rows.iter().zip(report);
    let is_unknown = |charge: &(String, String)| {
        rows().any(|(row, line)| line["status"] == "unknown" && asked(row).as_ref() == Some(charge))
    };
    for (row, line) in rows().filter(|(_, line)| line["status"] == "updated") {
        let Some(charge) = asked(row).filter(|charge| !is_unknown(charge)) else { continue };
        let times = account.charges().get(&charge).copied();
        assert_eq!(times, Some(1), "charges of {line:?} for {charge:?}");
    }
}

/// What each field of each file may be when a report says that of the rows.
fn possible<'s>(sheet: &'s Sheet, report: &[Line]) -> BTreeMap<(&'s str, &'static str), Possible> {
    let files = sheet.files();
    let mut possible = BTreeMap::new();
    for (row, line) in sheet.rows.iter().zip(report) {
        let Some(file) = files.iter().find(|file| file.id == row.file) else { continue };
        for change in &row.changes {
            let Some(field) = change.field() else { continue };
            let place = possible.entry((row.file.as_str(), field));
            let before = place.or_insert_with(|| Some(vec![value(file, field)]));
            *before = after(before.take(), change, line);
        }
    }
    possible
}

/// What a field may be after a change of a row of which a report says that.
fn after(before: Possible, change: &Change, line: &Line) -> Possible {
    let (status, code) = (line["status"].as_str(), line["code"].as_str());
    let is_done = matches!(status, "updated" | "unchanged");
    if status == "rejected" && code == "invalid" {
        before
    } else if is_done && !SAID.contains(&code) {
        change.made_to_all(before)
    } else if is_done || matches!(change, Change::Tags(_)) {
        // Tags can be replaced by removing some, which was done, and adding others, which was not.
        None
    } else {
        let mut values = before?;
        values.extend(change.made_to_all(Some(values.clone()))?);
        Some(values)
    }
}

/// All values are as they were before a run that was undone, except where the undo says otherwise.
/// Publication is not undone.
#[track_caller]
pub(crate) fn values_are_restored(sheet: &Sheet, undo: &Run, server: &Server) {
    let left_alone = undo.left_alone();
    let account = server.account();
    for before in sheet.files() {
        let now = account.file(&before.id).expect("no file goes away");
        for field in FIELDS {
            let is_said = left_alone.contains(&(before.id.clone(), field.to_owned()));
            if is_said || field == "isPublished" || !can_be_foreseen(&before.id, field) {
                continue;
            }
            let (now, before) = (value(now, field), value(&before, field));
            let empty = |value: &Value| value.is_null() || *value == "";
            assert!(
                now == before || empty(&now) && empty(&before),
                "{field} is {now}, was {before}; left alone: {left_alone:?}"
            );
        }
    }
}
