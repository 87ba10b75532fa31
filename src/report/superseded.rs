//! Rows that did not succeed and were overtaken by a later one: sent again, they would undo what
//! the later row did.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::input::Records;
use crate::ledger::{LedgerFile, StepRecord};
use crate::outcome::Status;

use super::error::ReportError;
use super::row::RowResult;

/// By which row, and in what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overtaken {
    pub(super) by: u64,
    /// Fields that a later row of the file has set.
    pub(super) fields: Vec<String>,
    /// Fields that nobody has set.
    pub(super) left: Vec<String>,
}

/// Rows that were overtaken. Memory is taken only by rows that did not succeed.
#[derive(Debug, Default)]
pub(super) struct Superseded {
    rows: HashMap<u64, Overtaken>,
}

impl Superseded {
    /// Looks through input and ledger side by side.
    pub(super) fn find(mut records: Records, ledger: &LedgerFile) -> Result<Self, ReportError> {
        let mut superseded = Self::default();
        if !ledger.has_status(&[Status::Rejected, Status::Failed])? {
            return Ok(superseded);
        }
        // By file, the rows that did not succeed so far.
        let mut waiting: HashMap<u64, Vec<u64>> = HashMap::new();
        let mut open: HashMap<u64, Overtaken> = HashMap::new();
        let mut steps: Vec<StepRecord> = Vec::new();
        ledger.steps(0, |mut ledger_steps| {
            while let Some(pos) = records.advance()? {
                ledger_steps.of_row(pos.number, &mut steps)?;
                let status = RowResult::of(&steps).status;
                let file = xxh3_64(records.file_id().as_bytes());
                match status {
                    Status::Rejected | Status::Failed => {
                        waiting.entry(file).or_default().push(pos.number);
                        let left = groups(records.touched());
                        open.insert(pos.number, Overtaken { by: 0, fields: Vec::new(), left });
                    }
                    Status::Updated => {
                        let Some(rows) = waiting.get(&file) else {
                            continue;
                        };
                        let set = groups(records.touched());
                        for row in rows {
                            if let Some(row) = open.get_mut(row) {
                                row.overtake(pos.number, &set);
                            }
                        }
                    }
                    _ => {}
                }
            }
            Ok::<_, ReportError>(())
        })?;
        open.retain(|_, row| !row.fields.is_empty());
        superseded.rows = open;
        Ok(superseded)
    }

    pub(super) fn of(&self, row: u64) -> Option<&Overtaken> {
        self.rows.get(&row)
    }
}

impl Overtaken {
    fn overtake(&mut self, by: u64, set: &[String]) {
        let (overtaken, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.left).into_iter().partition(|field| set.contains(field));
        self.left = left;
        if !overtaken.is_empty() {
            self.by = by;
            self.fields.extend(overtaken);
        }
    }

    /// Whether later rows did everything that the row asked for.
    pub(super) fn is_whole(&self) -> bool {
        self.left.is_empty()
    }

    pub(super) fn message(&self, before: &str) -> String {
        let Self { by, fields, left } = self;
        let mut message = format!("overtaken by row {by} in {}", fields.join(", "));
        if !left.is_empty() {
            message.push_str(&format!("; not applied: {}", left.join(", ")));
        }
        format!("{message}; before that: {before}")
    }
}

/// The fields that columns are about.
fn groups(columns: Vec<String>) -> Vec<String> {
    let mut fields = Vec::new();
    for column in columns {
        if let Some(field) = group(&column)
            && !fields.iter().any(|known| known == field)
        {
            fields.push(field.to_owned());
        }
    }
    fields
}

/// The field that a column is about: three columns are about the tags, two about publishing. An
/// extension is never overtaken: another run of it does not replace the first. A webhook URL is no
/// field of the file.
pub(super) fn group(column: &str) -> Option<&str> {
    match column {
        "addTags" | "removeTags" => Some("tags"),
        "includeFileVersions" => Some("isPublished"),
        "webhookUrl" => None,
        _ => Some(column),
    }
}
