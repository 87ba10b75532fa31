//! What went wrong, gathered by cause, so that a thousand rows with one cause are one line.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::row::RowResult;
use crate::outcome::{Code, Status};

/// Causes told apart. What comes after them is counted, not described.
const CAUSES_MAX: usize = 50;
/// Rows named for each.
const ROWS_NAMED_MAX: usize = 5;

/// Everything that went wrong.
#[derive(Debug, Default, Clone)]
pub struct Failures {
    causes: BTreeMap<Key, Cause>,
    /// Rows whose causes are not among those described.
    pub others: u64,
}

type Key = (Reverse<Status>, Option<Code>, String);

/// One cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The status of its rows.
    pub status: Status,
    /// Their code.
    pub code: Option<Code>,
    /// What the first of them was told.
    pub message: String,
    /// Whether others of them were told other values.
    pub varies: bool,
    /// How many rows there are.
    pub count: u64,
    /// The first of them.
    pub rows: Vec<u64>,
}

impl Failures {
    /// Takes a row, if something is the matter with it.
    pub(super) fn add(&mut self, number: u64, row: &RowResult<'_>) {
        let needs_attention = row.code.is_some_and(Code::needs_attention);
        if row.status == Status::NotAttempted || row.status.is_success() && !needs_attention {
            return;
        }
        let key = (Reverse(row.status), row.code, without_values(&row.message));
        if !self.causes.contains_key(&key) && self.causes.len() >= CAUSES_MAX {
            self.others += 1;
            return;
        }
        let cause = self.causes.entry(key).or_insert_with(|| Cause {
            status: row.status,
            code: row.code,
            message: row.message.to_string(),
            varies: false,
            count: 0,
            rows: Vec::new(),
        });
        cause.count += 1;
        cause.varies |= cause.message != row.message;
        if cause.rows.len() < ROWS_NAMED_MAX {
            cause.rows.push(number);
        }
    }

    /// How many rows have that code.
    #[must_use]
    pub fn count_of(&self, code: Code) -> u64 {
        let causes = self.causes.values().filter(|cause| cause.code == Some(code));
        causes.map(|cause| cause.count).sum()
    }

    /// The causes, the worst first and the most frequent first among those.
    #[must_use]
    pub fn causes(&self) -> Vec<&Cause> {
        let mut causes: Vec<&Cause> = self.causes.values().collect();
        let first = |cause: &Cause| cause.rows.first().copied();
        causes.sort_by_key(|cause| (Reverse((cause.status, cause.count)), first(cause)));
        causes
    }
}

/// A message without what it quotes, which differs from row to row.
fn without_values(message: &str) -> String {
    let mut inside = false;
    message
        .chars()
        .filter(|c| {
            inside ^= *c == '"';
            !inside && !c.is_ascii_digit()
        })
        .collect()
}
