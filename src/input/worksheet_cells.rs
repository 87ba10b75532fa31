//! The cells of a worksheet as fields of a row.

use serde_json::{Number, Value};

use super::columns::Columns;
use super::workbook::{self, Stored};
use super::worksheet_records::WorksheetRecords;
use crate::row::{Builder, Cell, Content, Field, FieldType, Problem, unforced};

/// Digits of a whole number that spreadsheet programs keep.
const DIGITS_KEPT: usize = 15;

/// Passes the cells of the current row to the builder; returns the number of empty cells.
pub(super) fn fill(
    builder: &mut Builder<'_>,
    columns: &Columns,
    records: &WorksheetRecords,
) -> u64 {
    let mut empty = 0;
    let record = records.record();
    // The texts of a workbook are UTF-8, so they are checked once for all cells.
    let cells = std::str::from_utf8(record.as_slice()).unwrap_or_default();
    for (index, name, field) in columns.fields() {
        let text = record.range(index).and_then(|range| cells.get(range)).unwrap_or_default();
        if text.is_empty() {
            empty += 1;
            continue;
        }
        set(builder, (name, field), records.kind(index), text);
    }
    empty
}

/// Passes a cell to the builder.
fn set(builder: &mut Builder<'_>, (name, field): (&str, &Field), kind: Stored, text: &str) {
    match kind {
        Stored::Date => {
            builder.note_date(name, field, text);
            builder.set(name, field, Cell::Text(text));
        }
        Stored::Text | Stored::Error => {
            let text = unforced(text, field.names_file());
            builder.set(name, field, Cell::Text(&text));
        }
        Stored::Number => set_number(builder, (name, field), text),
        Stored::Boolean if field.takes(FieldType::Boolean) => {
            builder.set(name, field, Cell::Json(&Value::Bool(text == "true")));
        }
        Stored::Boolean => {
            builder.note_boolean(name, field, text);
            builder.set(name, field, Cell::Text(text));
        }
        Stored::Formula => builder.reject(Problem::new(
            name,
            text,
            "is a formula without a stored result",
            "open the workbook in a spreadsheet program, and save it again",
        )),
        Stored::Covered => builder.reject(Problem::new(
            name,
            "",
            format!("is covered by the merged cells {text}"),
            "unmerge the cells, and write the value into each row",
        )),
    }
}

/// Passes a number to the builder: as a number where the field takes one, so that no language reads it
/// differently, else as its digits.
fn set_number(builder: &mut Builder<'_>, (name, field): (&str, &Field), text: &str) {
    if field.takes(FieldType::Number)
        && let Some(number) = number(text)
    {
        return builder.set(name, field, Cell::Json(&Value::Number(number)));
    }
    let digits = text.trim_start_matches('-');
    let is_long = digits.len() > DIGITS_KEPT && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_long {
        return builder.set(name, field, Cell::Text(text));
    }
    if field.names_file() {
        // As spreadsheet programs show it, so that it is recognized as a damaged id.
        let zeros = "0".repeat(digits.len() - DIGITS_KEPT);
        let shown = digits.get(..DIGITS_KEPT).map(|kept| format!("{kept}{zeros}"));
        return builder.set(name, field, Cell::Text(shown.as_deref().unwrap_or(text)));
    }
    builder.reject(Problem::new(
        name,
        text,
        "is a number of more than 15 digits, which a spreadsheet rounds",
        "format the column as text, and write the digits again",
    ));
}

/// The number that a cell with this value is read as.
pub(crate) fn worksheet_number(value: f64) -> Option<Number> {
    number(&workbook::number_text(value))
}

fn number(text: &str) -> Option<Number> {
    match text.parse::<i64>() {
        Ok(number) => Some(number.into()),
        Err(_) => text.parse().ok().and_then(Number::from_f64),
    }
}

/// Adds the addresses of invalid cells; a problem of the whole row has none.
pub(super) fn locate(content: &mut Content, columns: &Columns, row: u64) {
    if let Content::Rejected(rejection) = content {
        rejection.locate(|name| Some(workbook::address(row, column_index(columns, name)?)));
    }
}

/// The index of the column with this name, as in the header or as ikbulk calls it.
pub(super) fn column_index(columns: &Columns, name: &str) -> Option<usize> {
    let named = columns.fields().find(|(_, column, _)| *column == name);
    let column = named.or_else(|| columns.fields().find(|(_, _, field)| field.column() == name));
    let index = column.map(|(index, ..)| index);
    index.or_else(|| columns.metadata_object().filter(|it| it.1 == name).map(|it| it.0))
}
