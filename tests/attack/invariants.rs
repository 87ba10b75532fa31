//! What must hold after every attack.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::imagekit::Account;
use crate::program::CmdResult;
use crate::run_directory::{Line, RunDirectory};
use crate::server::Server;
use crate::sheet::{Change, FIELDS, Row, Sheet, is_predictable, value};

/// Codes of successful rows whose values may not be in the library.
const UNCERTAIN_CODES: [&str; 4] = ["mismatch", "unverified", "superseded", "conflict"];
/// Codes of updated rows that require action.
const ACTION_REQUIRED_CODES: [&str; 3] = ["mismatch", "unverified", "extension_failed"];
const STATUSES: [&str; 6] =
    ["updated", "unchanged", "rejected", "failed", "unknown", "not_attempted"];

/// The possible values of a field according to the report; `None` if any value is possible.
type Possible = Option<Vec<Value>>;

/// No file is charged twice for an extension configuration, or published twice.
#[track_caller]
pub(crate) fn nothing_billed_or_published_twice(server: &Server) {
    let account = server.account();
    for ((file, config), times) in account.charges() {
        assert!(*times <= 1, "{file} is charged {times} times for {config}");
    }
    for (file, times) in account.publications() {
        assert!(*times <= 1, "{file} is published or unpublished {times} times");
    }
}

/// The report contains every input row exactly once, the summary's counts match the report, and the
/// exit code fits.
#[track_caller]
pub(crate) fn report_is_complete(
    run: &RunDirectory,
    rows: impl Iterator<Item = usize>,
    result: &CmdResult,
) {
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
    let (exit_code, allowed) = (summary["exit_code"].clone(), exit_codes(&report));
    assert!(
        allowed.iter().any(|code| exit_code == *code),
        "expected one of {allowed:?}: {summary}"
    );
    let is_undo = summary["input"].as_str().is_some_and(|name| name.starts_with("undo of "));
    let code = result.code.expect("the command should not be killed");
    let has_left_alone = is_undo && code == 1 && exit_code == 0 && !run.not_undone().is_empty();
    assert!(exit_code == code || has_left_alone, "exit code {code}: {summary}\n{}", result.err);
}

/// The exit codes that fit a report. Several fit if rows were both rejected and not attempted, or if
/// rows were superseded: a partially superseded row counts, an entirely superseded one does not.
fn exit_codes(report: &[Line]) -> Vec<u8> {
    let has = |status: &str, codes: &dyn Fn(&str) -> bool| {
        report.iter().any(|line| line["status"] == status && codes(&line["code"]))
    };
    let (any, superseded) = (|_: &str| true, |code: &str| code == "superseded");
    if has("unknown", &any) {
        return vec![6];
    }
    let action_required = has("rejected", &|code| !superseded(code))
        || has("updated", &|code| ACTION_REQUIRED_CODES.contains(&code));
    let (is_open, may_require_action) = (has("not_attempted", &any), has("rejected", &superseded));
    let mut allowed = Vec::new();
    if action_required || may_require_action {
        allowed.push(1);
    }
    if is_open || has("failed", &any) && !action_required {
        allowed.push(5);
    }
    if !action_required && !is_open && !has("failed", &|code| !superseded(code)) {
        allowed.push(0);
    }
    allowed
}

/// Exactly the invalid rows are rejected, no row is open, and at most `unknown_max` rows are unknown: the
/// requests in flight at the kills.
#[track_caller]
pub(crate) fn all_rows_settled(sheet: &Sheet, run: &RunDirectory, unknown_max: usize) {
    let report = run.report();
    for (row, line) in sheet.rows.iter().zip(&report) {
        let is_rejected = line["status"] == "rejected";
        assert_eq!(is_rejected, row.must_be_rejected, "{row:?}: {line:?}");
        assert!(!["failed", "not_attempted"].contains(&line["status"].as_str()), "{line:?}");
    }
    let unknown = report.iter().filter(|line| line["status"] == "unknown").count();
    assert!(unknown <= unknown_max, "{unknown} rows are unknown: {report:?}");
}

/// Every row reported as `updated` or `unchanged` has its values in the library.
#[track_caller]
pub(crate) fn reported_values_are_in_library(sheet: &Sheet, run: &RunDirectory, server: &Server) {
    let possible = possible(sheet, &run.report());
    let account = server.account();
    for file in account.files() {
        for field in FIELDS.into_iter().filter(|field| is_predictable(&file.id, field)) {
            let actual = value(file, field);
            if let Some(Some(possible)) = possible.get(&(file.id.as_str(), field)) {
                let rows = run.report().into_iter().filter(|line| line["fileId"] == file.id);
                let rows: Vec<Line> = rows.collect();
                assert!(
                    possible.contains(&actual),
                    "{field} of {} is {actual}, not one of {possible:?}: {rows:#?}",
                    file.id
                );
            }
        }
    }
    charges_match_report(sheet, &run.report(), &account);
}

/// The extension of every updated row ran exactly once, unless an unknown row requests the same.
#[track_caller]
fn charges_match_report(sheet: &Sheet, report: &[Line], account: &Account) {
    let charge_of = |row: &Row| row.extension().map(|config| (row.file.clone(), config));
    let rows = || sheet.rows.iter().zip(report);
    let is_unknown = |charge: &(String, String)| {
        rows().any(|(row, line)| {
            line["status"] == "unknown" && charge_of(row).as_ref() == Some(charge)
        })
    };
    for (row, line) in rows().filter(|(_, line)| line["status"] == "updated") {
        let Some(charge) = charge_of(row).filter(|charge| !is_unknown(charge)) else { continue };
        let times = account.charges().get(&charge).copied();
        assert_eq!(times, Some(1), "charges of {line:?} for {charge:?}");
    }
}

/// The possible values by file and field according to the report.
fn possible<'s>(sheet: &'s Sheet, report: &[Line]) -> BTreeMap<(&'s str, &'static str), Possible> {
    let files = sheet.files();
    let mut possible = BTreeMap::new();
    for (row, line) in sheet.rows.iter().zip(report) {
        let Some(file) = files.iter().find(|file| file.id == row.file) else { continue };
        for change in &row.changes {
            let Some(field) = change.field() else { continue };
            let entry = possible.entry((row.file.as_str(), field));
            let before = entry.or_insert_with(|| Some(vec![value(file, field)]));
            *before = values_after(before.take(), change, line);
        }
    }
    possible
}

/// The possible values after a change whose row has this report line.
fn values_after(before: Possible, change: &Change, line: &Line) -> Possible {
    let (status, code) = (line["status"].as_str(), line["code"].as_str());
    let is_successful = matches!(status, "updated" | "unchanged");
    if status == "rejected" && code == "invalid" {
        before
    } else if is_successful && !UNCERTAIN_CODES.contains(&code) {
        change.apply_to_all(before)
    } else if is_successful || matches!(change, Change::Tags(_)) {
        // Tags may be half replaced: the old ones removed, the new ones not yet added.
        None
    } else {
        let mut values = before?;
        values.extend(change.apply_to_all(Some(values.clone()))?);
        Some(values)
    }
}

/// All values are restored, except those that the undo lists as left alone. Publication is not undone.
#[track_caller]
pub(crate) fn values_are_restored(sheet: &Sheet, undo: &RunDirectory, server: &Server) {
    let not_undone = undo.not_undone();
    let account = server.account();
    for before in sheet.files() {
        let now = account.file(&before.id).expect("no file should disappear");
        for field in FIELDS {
            let is_left_alone = not_undone.contains(&(before.id.clone(), field.to_owned()));
            if is_left_alone || field == "isPublished" || !is_predictable(&before.id, field) {
                continue;
            }
            let (now, before) = (value(now, field), value(&before, field));
            let empty = |value: &Value| value.is_null() || *value == "";
            assert!(
                now == before || empty(&now) && empty(&before),
                "{field} is {now}, was {before}; left alone: {not_undone:?}"
            );
        }
    }
}
