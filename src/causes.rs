//! Groups rows by cause, so that a thousand rows with one cause become one line.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::outcome::{Code, Status};
use crate::row::RowPos;

/// Maximum distinct causes; rows with further causes are only counted.
const CAUSES_MAX: usize = 50;
/// Maximum rows listed per cause.
const ROWS_LISTED_MAX: usize = 5;

/// Rows grouped by cause.
#[derive(Debug, Default, Clone)]
pub struct Causes {
    listed: BTreeMap<Key, Cause>,
    /// The rows with each code, whatever their causes.
    codes: BTreeMap<Code, u64>,
    /// Rows with causes beyond the maximum.
    pub others: u64,
}

type Key = (Reverse<Status>, Option<Code>, String);

/// A cause: rows with the same status, code and message, except for quoted values and numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The status of its rows.
    pub status: Status,
    /// The code of its rows.
    pub code: Option<Code>,
    /// The message of its first row.
    pub message: String,
    /// Whether messages of other rows differ from the first in quoted values or numbers.
    pub varies: bool,
    /// The number of rows with this cause.
    pub count: u64,
    /// The first rows, at most five.
    pub rows: Vec<RowPos>,
}

impl Causes {
    /// Adds a row to the cause with its status, code and message.
    pub fn add(&mut self, row: RowPos, status: Status, code: Option<Code>, message: &str) {
        if let Some(code) = code {
            *self.codes.entry(code).or_default() += 1;
        }
        let key = (Reverse(status), code, message_pattern(message));
        if !self.listed.contains_key(&key) && self.listed.len() >= CAUSES_MAX {
            self.others += 1;
            return;
        }
        let cause = self.listed.entry(key).or_insert_with(|| Cause {
            status,
            code,
            message: message.to_owned(),
            varies: false,
            count: 0,
            rows: Vec::new(),
        });
        cause.count += 1;
        cause.varies |= cause.message != message;
        if cause.rows.len() < ROWS_LISTED_MAX {
            cause.rows.push(row);
        }
    }

    /// The number of rows with a code.
    #[must_use]
    pub fn count_of(&self, code: Code) -> u64 {
        self.codes.get(&code).copied().unwrap_or(0)
    }

    /// All causes, sorted by worst status, then by frequency, then by first row.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Cause> {
        let mut causes: Vec<&Cause> = self.listed.values().collect();
        let first = |cause: &Cause| cause.rows.first().copied();
        causes.sort_by_key(|cause| (Reverse((cause.status, cause.count)), first(cause)));
        causes
    }
}

impl Cause {
    /// Whether a message belongs to this cause: it may differ in quoted values and numbers.
    #[must_use]
    pub fn covers(&self, message: &str) -> bool {
        message_pattern(&self.message) == message_pattern(message)
    }

    /// The rows as text: `row 3`, or `rows 3, 4, …`.
    #[must_use]
    pub fn rows_text(&self) -> String {
        let rows: Vec<String> = self.rows.iter().map(RowPos::to_string).collect();
        let more = if self.count > self.rows.len() as u64 { ", …" } else { "" };
        let noun = if self.count == 1 { "row" } else { "rows" };
        format!("{noun} {}{more}", rows.join(", "))
    }
}

/// The message without quoted values and digits, which differ from row to row.
pub(crate) fn message_pattern(message: &str) -> String {
    let mut inside = false;
    message
        .chars()
        .filter(|c| {
            inside ^= *c == '"';
            !inside && !c.is_ascii_digit()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_beyond_the_listed_causes_count_by_their_code() {
        let mut causes = Causes::default();
        let mut add = |line, code, message: &str| {
            let row = RowPos { number: line, line, offset: 0 };
            causes.add(row, Status::Rejected, Some(code), message);
        };
        for line in 0..60 {
            add(line, Code::Invalid, &"x".repeat(usize::try_from(line).expect("it fits")));
        }
        add(61, Code::Conflict, "the file changed");
        assert_eq!(causes.others, 11);
        assert_eq!(causes.count_of(Code::Conflict), 1);
        assert_eq!(causes.count_of(Code::Invalid), 60);
    }
}
