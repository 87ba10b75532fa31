//! Reading the ledger: steps in the order of their rows.

use std::collections::HashMap;

use rusqlite::{Row, Rows, Statement, params_from_iter};

use super::writer::{INTENT, extensions_of, step_id, step_of_id};
use super::{LedgerError, LedgerFile};
use crate::outcome::{Code, Outcome, Status};
use crate::request::{StepKind, StepRef};
use crate::row::ExtensionFingerprint;

/// One step as the ledger holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRecord {
    /// Which.
    pub step: StepRef,
    /// What became of it. A step that was about to be sent when the program ended is
    /// [`Status::Unknown`] with [`Code::Interrupted`].
    pub outcome: Outcome,
    /// After how many attempts.
    pub attempts: u32,
    /// Whether nothing of the row follows.
    pub row_done: bool,
    /// The extensions that its at-most-once request carried.
    pub extensions: Vec<ExtensionFingerprint>,
}

impl StepRecord {
    /// Whether a request went out for it, or may have.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        self.attempts > 0 || self.outcome.status == Status::Unknown
    }
}

const COLUMNS: &str = "id, status, code, message, attempts, http_status, request_id, updated_at, \
                       extension_status, row_done, extensions";

impl LedgerFile {
    /// Every step from a row on, in order, into a function.
    ///
    /// # Errors
    /// The ledger cannot be read, or the function fails.
    pub fn steps<T, E: From<LedgerError>>(
        &self,
        from_row: u64,
        use_them: impl FnOnce(Steps<'_, '_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let failed = |source| E::from(self.failed("read", source));
        let sql = format!("SELECT {COLUMNS} FROM step WHERE id >= ?1 ORDER BY id");
        let mut statement: Statement<'_> = self.connection.prepare(&sql).map_err(failed)?;
        let from = step_id(StepRef { row: from_row, kind: StepKind::Details });
        let rows = statement.query([from]).map_err(failed)?;
        use_them(Steps { rows, file: self, ahead: None })
    }

    /// The steps of one row, in order.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn steps_of_row(&self, row: u64) -> Result<Vec<StepRecord>, LedgerError> {
        let id = |row| step_id(StepRef { row, kind: StepKind::Details });
        self.reading(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM step WHERE id >= ?1 AND id < ?2 ORDER BY id");
            let mut select = connection.prepare_cached(&sql)?;
            select.query_map([id(row), id(row + 1)], read)?.collect()
        })
    }

    /// Whether nothing is known of any row, not even that a request may have been sent.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn has_no_steps(&self) -> Result<bool, LedgerError> {
        self.reading(|connection| {
            let query = "SELECT NOT EXISTS (SELECT 1 FROM step)";
            connection.query_row(query, [], |row| row.get(0))
        })
    }

    /// Whether any step ended so.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn has_status(&self, statuses: &[Status]) -> Result<bool, LedgerError> {
        self.reading(|connection| {
            let places = vec!["?"; statuses.len()].join(", ");
            let query = format!("SELECT EXISTS (SELECT 1 FROM step WHERE status IN ({places}))");
            let words = statuses.iter().map(|status| status.as_str());
            connection.query_row(&query, params_from_iter(words), |row| row.get(0))
        })
    }

    /// Whether the last session left nothing to do, and with which exit code it ended.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn is_done(&self) -> Result<Option<u8>, LedgerError> {
        let ended = self.ended()?.filter(|ended| ended.not_attempted == 0);
        let unverified: bool = self.reading(|connection| {
            let query = "SELECT EXISTS (SELECT 1 FROM step WHERE code = ?1)";
            connection.query_row(query, [Code::Unverified.as_str()], |row| row.get(0))
        })?;
        Ok(ended.filter(|_| !unverified).map(|ended| ended.exit_code))
    }

    /// The files of requests whose answers were lost, and the first row of each for which that
    /// happened.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn lost_rows(&self) -> Result<HashMap<String, u64>, LedgerError> {
        self.reading(|connection| {
            let mut statement = connection.prepare("SELECT file, row FROM doubt")?;
            let doubts = statement
                .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
            doubts.collect()
        })
    }

    /// Every `extensionStatus` there is, into a function.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn extension_statuses(&self, mut take: impl FnMut(&str)) -> Result<(), LedgerError> {
        self.reading(|connection| {
            let mut statement = connection
                .prepare("SELECT extension_status FROM step WHERE extension_status IS NOT NULL")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                take(row.get_ref(0)?.as_str().unwrap_or_default());
            }
            Ok(())
        })
    }
}

/// Steps in order, with one step of look-ahead to gather those of one row.
pub struct Steps<'f, 's> {
    rows: Rows<'s>,
    file: &'f LedgerFile,
    ahead: Option<StepRecord>,
}

impl Steps<'_, '_> {
    /// The next step; `None` at the end.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn next_step(&mut self) -> Result<Option<StepRecord>, LedgerError> {
        if let Some(step) = self.ahead.take() {
            return Ok(Some(step));
        }
        let read = self.rows.next().and_then(|row| row.map(read).transpose());
        read.map_err(|source| self.file.failed("read", source))
    }

    /// The steps of one row, where rows are asked for in ascending order.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn of_row(&mut self, row: u64, into: &mut Vec<StepRecord>) -> Result<(), LedgerError> {
        into.clear();
        while let Some(step) = self.next_step()? {
            if step.step.row > row {
                self.ahead = Some(step);
                break;
            }
            if step.step.row == row {
                into.push(step);
            }
        }
        Ok(())
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<StepRecord> {
    let damaged = |index, what: &str| {
        let kind = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(index, kind, what.to_owned().into())
    };
    let text = |index| -> rusqlite::Result<Option<Box<str>>> {
        Ok(row.get_ref(index)?.as_str_or_null()?.map(Into::into))
    };
    let step = step_of_id(row.get(0)?).ok_or_else(|| damaged(0, "no step has this id"))?;
    let word = row.get_ref(1)?.as_str()?;
    let code = row.get_ref(2)?.as_str_or_null()?.and_then(Code::parse);
    let (status, code, message) = if word == INTENT {
        let message =
            "the program ended while this was under way; nobody knows whether it was done";
        (Status::Unknown, Some(Code::Interrupted), Some(message.into()))
    } else {
        let status = Status::ALL.into_iter().find(|status| status.as_str() == word);
        (status.ok_or_else(|| damaged(1, "no status has this name"))?, code, text(3)?)
    };
    Ok(StepRecord {
        step,
        outcome: Outcome {
            status,
            code,
            message,
            http_status: row.get(5)?,
            request_id: text(6)?,
            updated_at: text(7)?,
            extension_status: text(8)?,
        },
        attempts: row.get(4)?,
        row_done: row.get(9)?,
        extensions: row.get_ref(10)?.as_str_or_null()?.map(extensions_of).unwrap_or_default(),
    })
}
