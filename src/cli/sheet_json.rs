//! What is wrong with a sheet, as JSON for programs.

use ikbulk::engine::{
    ColumnFinding, InputSummary, InvalidCause, InvalidCell, InvalidCells, PlanSummary, Preview,
};
use serde_json::{Value, json};

/// The result of a check.
pub(super) fn checked_json(input: &str, checked: &InputSummary) -> Value {
    let parts = (input, checked.worksheet.as_deref(), &*checked.ignored_columns);
    sheet_json(parts, &checked.summary)
}

/// A sheet that is refused.
pub(super) fn refused_json(preview: &Preview<'_>) -> Value {
    sheet_json((preview.input, preview.worksheet, preview.ignored_columns), preview.summary)
}

fn sheet_json(
    (input, worksheet, ignored_columns): (&str, Option<&str>, &[String]),
    summary: &PlanSummary,
) -> Value {
    json!({
        "input": input,
        "worksheet": worksheet,
        "rows": {
            "total": summary.rows,
            "invalid": summary.rejected,
            "not_found": summary.missing,
            "without_change": summary.without_change,
        },
        "ignored_columns": ignored_columns,
        "findings": findings_json(&summary.findings),
        "problems": problems_json(&summary.invalid),
        "problems_left_out": problems_left_out(&summary.invalid),
    })
}

/// The findings of columns, with their samples.
pub(super) fn findings_json(findings: &[ColumnFinding]) -> Value {
    findings.iter().map(finding_json).collect()
}

fn finding_json(found: &ColumnFinding) -> Value {
    let samples =
        found.samples.iter().map(|sample| json!({"row": sample.row, "value": sample.text}));
    json!({
        "column": found.column,
        "finding": found.finding.as_str(),
        "held": found.is_held(),
        "cells": found.count,
        "filled": found.filled,
        "samples": samples.collect::<Vec<_>>(),
    })
}

/// The invalid cells and missing files in the order of their rows.
pub(super) fn problems_json(invalid: &InvalidCells) -> Value {
    let causes = invalid.sorted();
    let cells = causes.iter().flat_map(|cause| cause.cells.iter().map(move |cell| (*cause, cell)));
    let mut cells: Vec<(&InvalidCause, &InvalidCell)> = cells.collect();
    cells.sort_by_key(|(_, cell)| cell.pos);
    cells.into_iter().map(|(cause, cell)| problem_json(cause, cell)).collect()
}

fn problem_json(cause: &InvalidCause, cell: &InvalidCell) -> Value {
    let problem = &cell.problem;
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "row": cell.pos.number,
        "line": cell.pos.line,
        "column": filled(problem.column()),
        "cell": problem.address(),
        "value": filled(problem.value()),
        "code": cause.code.as_str(),
        "message": problem.message(),
        "help": filled(problem.suggestion()),
    })
}

/// The number of problems beyond those that are listed.
pub(super) fn problems_left_out(invalid: &InvalidCells) -> u64 {
    let left_out = |cause: &&InvalidCause| cause.count - cause.cells.len() as u64;
    invalid.others + invalid.sorted().iter().map(left_out).sum::<u64>()
}
