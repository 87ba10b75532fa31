//! Reads the steps of a ledger in row order.

use std::collections::{BTreeSet, HashMap};

use fastrand::Rng;
use rusqlite::{Row, Rows, Statement, params_from_iter};

use super::writer::{INTENT, STEP_KINDS, step_id, step_of_id};
use super::{Completeness, EARLIER_RUN, LedgerError, LedgerFile, settlements};
use crate::outcome::{Code, Outcome, Status};
use crate::request::{StepKind, StepRef};
use crate::row::{FieldSet, FileId};
use crate::sent::Sent;
use crate::settled::{self, Settled};
use crate::sqlite::{damaged, from_json};

/// Rows that bulk calls completed, for each row of a larger sample of them.
const ROWS_PER_READ: usize = 20;

/// A step in the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRecord {
    /// Row and kind.
    pub step: StepRef,
    /// Outcome of the step. An intent without an outcome is [`Status::Unknown`] with
    /// [`Code::Interrupted`].
    pub outcome: Outcome,
    /// Number of attempts; 0 if nothing was sent.
    pub attempts: u32,
    /// Whether the row has no further steps.
    pub row_done: bool,
    /// What its request carried.
    pub sent: Sent,
    /// Statuses that became known after the response; `outcome` includes them.
    pub settled: Box<[Settled]>,
}

impl StepRecord {
    /// Whether a request was sent for the step, or may have been.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        !self.sent.is_empty()
    }
}

const COLUMNS: &str = "id, status, code, message, attempts, http_status, request_id, updated_at, \
                       extension_status, results, row_done, sent_fields, sent_extensions";

impl LedgerFile {
    /// The columns of a step. Settled statuses are only looked for if there are any.
    fn columns(&self) -> Result<String, LedgerError> {
        let settled = if self.has_settled()? { settlements::COLUMN } else { "NULL" };
        Ok(format!("{COLUMNS}, {settled}"))
    }

    /// Passes all steps, from the row `from_row` on, to `use_steps`.
    ///
    /// # Errors
    /// The ledger cannot be read, or the function fails.
    pub fn steps<T, E: From<LedgerError>>(
        &self,
        from_row: u64,
        use_steps: impl FnOnce(Steps<'_, '_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let failed = |source| E::from(self.failed("read", source));
        let columns = self.columns()?;
        let sql = format!("SELECT {columns} FROM step WHERE id >= ?1 ORDER BY id");
        let mut statement: Statement<'_> = self.connection.prepare(&sql).map_err(failed)?;
        let first = step_id(StepRef { row: from_row, kind: StepKind::Details });
        let rows = statement.query([first]).map_err(failed)?;
        use_steps(Steps { rows, ledger: self, look_ahead: None })
    }

    /// The steps of one row, in order.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn steps_of_row(&self, row: u64) -> Result<Vec<StepRecord>, LedgerError> {
        let id = |row| step_id(StepRef { row, kind: StepKind::Details });
        let columns = self.columns()?;
        self.reading(|connection| {
            let sql = format!("SELECT {columns} FROM step WHERE id >= ?1 AND id < ?2 ORDER BY id");
            let mut select = connection.prepare_cached(&sql)?;
            select.query_map([id(row), id(row + 1)], read)?.collect()
        })
    }

    /// Whether the ledger has neither outcomes nor intents.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn has_no_steps(&self) -> Result<bool, LedgerError> {
        self.reading(|connection| {
            let query = "SELECT NOT EXISTS (SELECT 1 FROM step)";
            connection.query_row(query, [], |row| row.get(0))
        })
    }

    /// Whether any step has one of these statuses.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn has_status(&self, statuses: &[Status]) -> Result<bool, LedgerError> {
        self.reading(|connection| {
            let places = vec!["?"; statuses.len()].join(", ");
            let query = format!("SELECT EXISTS (SELECT 1 FROM step WHERE status IN ({places}))");
            let names = statuses.iter().map(|status| status.as_str());
            connection.query_row(&query, params_from_iter(names), |row| row.get(0))
        })
    }

    /// The exit code of the last session if nothing is left to do; otherwise `None`.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn final_exit_code(&self) -> Result<Option<u8>, LedgerError> {
        let ended = self.ended()?.filter(|ended| ended.rows_left == 0);
        Ok(ended.map(|ended| ended.exit_code))
    }

    /// Whether the ledger has every request that was sent.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) fn completeness(&self) -> Result<Completeness, LedgerError> {
        let may_miss = self.ended()?.is_none() || self.had_requests_in_flight()?;
        Ok(if may_miss { Completeness::MayMissRequests } else { Completeness::Complete })
    }

    /// The files on which a response was lost, each with the first row for which that happened, or
    /// [`EARLIER_RUN`].
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn lost_rows(&self) -> Result<HashMap<FileId, u64>, LedgerError> {
        self.reading(|connection| {
            let mut statement = connection.prepare("SELECT file, row FROM lost_response")?;
            let lost_rows = statement.query_map([], |row| {
                let file = FileId::new(row.get_ref(0)?.as_str()?).map_err(damaged)?;
                Ok((file, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(EARLIER_RUN)))
            })?;
            lost_rows.collect()
        })
    }

    /// The files on which a response to a request of this run was lost.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn files_with_own_loss(&self) -> Result<Vec<FileId>, LedgerError> {
        self.reading(|connection| {
            let sql = "SELECT file FROM lost_response WHERE row <> 0";
            let mut statement = connection.prepare(sql)?;
            let files = statement
                .query_map([], |row| FileId::new(row.get_ref(0)?.as_str()?).map_err(damaged))?;
            files.collect()
        })
    }

    /// A random sample of the rows with a step that a bulk call completed, of at most `size` rows and
    /// without the rows of `others`. It has more than `few` rows only if there are [`ROWS_PER_READ`]
    /// for each of them.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) fn sample_of_bulk_rows(
        &self,
        size: usize,
        few: usize,
        others: &BTreeSet<u64>,
        rng: &mut Rng,
    ) -> Result<BTreeSet<u64>, LedgerError> {
        let is_bulk = |kind: &StepKind| *kind == StepKind::RemoveAiTags || kind.is_tags();
        let kinds: Vec<String> = StepKind::ALL
            .iter()
            .filter(|kind| is_bulk(kind))
            .map(|kind| (*kind as i64).to_string())
            .collect();
        let sql = format!(
            "SELECT id / {STEP_KINDS} FROM step
             WHERE status = ?1 AND code IS NULL AND id % {STEP_KINDS} IN ({}) ORDER BY id",
            kinds.join(", ")
        );
        self.reading(|connection| {
            let mut statement = connection.prepare(&sql)?;
            let mut rows = statement.query([Status::Updated.as_str()])?;
            // A reservoir: each row has the same chance, and memory stays bounded.
            let mut sample = Vec::with_capacity(size);
            let mut seen = 0;
            let mut last = None;
            while let Some(row) = rows.next()? {
                let row = row.get::<_, i64>(0)?.unsigned_abs();
                // A row can have several steps.
                if last.replace(row) == Some(row) || others.contains(&row) {
                    continue;
                }
                seen += 1;
                if sample.len() < size {
                    sample.push(row);
                } else if let Some(place) = sample.get_mut(rng.usize(..seen)) {
                    *place = row;
                }
            }
            let affordable = few.max(seen / ROWS_PER_READ);
            if affordable < sample.len() {
                rng.shuffle(&mut sample);
                sample.truncate(affordable);
            }
            Ok(sample.into_iter().collect())
        })
    }

    /// The rows whose file was read back without a final result.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) fn unverified_rows(&self) -> Result<BTreeSet<u64>, LedgerError> {
        let sql = format!("SELECT id / {STEP_KINDS} FROM step WHERE code = ?1");
        self.reading(|connection| {
            let mut statement = connection.prepare(&sql)?;
            let rows =
                statement.query_map([Code::Unverified.as_str()], |row| row.get::<_, i64>(0))?;
            rows.map(|row| row.map(i64::unsigned_abs)).collect()
        })
    }

    /// Passes every `extensionStatus`, as JSON, to `take`.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn extension_statuses(&self, mut take: impl FnMut(&str)) -> Result<(), LedgerError> {
        if self.has_settled()? {
            return self.steps(0, |mut steps| {
                while let Some(step) = steps.next_step()? {
                    step.outcome.extension_status.as_deref().into_iter().for_each(&mut take);
                }
                Ok(())
            });
        }
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

/// Iterates over steps in order, with one step of look-ahead to group them by row.
pub struct Steps<'f, 's> {
    rows: Rows<'s>,
    ledger: &'f LedgerFile,
    look_ahead: Option<StepRecord>,
}

impl Steps<'_, '_> {
    /// The next step; `None` at the end.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn next_step(&mut self) -> Result<Option<StepRecord>, LedgerError> {
        if let Some(step) = self.look_ahead.take() {
            return Ok(Some(step));
        }
        let read = self.rows.next().and_then(|row| row.map(read).transpose());
        read.map_err(|source| self.ledger.failed("read", source))
    }

    /// Replaces `into` with the steps of the next row that has any; returns whether there is one.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn next_row(&mut self, into: &mut Vec<StepRecord>) -> Result<bool, LedgerError> {
        let Some(first) = self.next_step()? else { return Ok(false) };
        let row = first.step.row;
        self.look_ahead = Some(first);
        self.of_row(row, into)?;
        Ok(true)
    }

    /// Replaces `into` with the steps of one row. Call with ascending rows.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn of_row(&mut self, row: u64, into: &mut Vec<StepRecord>) -> Result<(), LedgerError> {
        into.clear();
        while let Some(step) = self.next_step()? {
            if step.step.row > row {
                self.look_ahead = Some(step);
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
    let text = |index| -> rusqlite::Result<Option<Box<str>>> {
        Ok(row.get_ref(index)?.as_str_or_null()?.map(Into::into))
    };
    let step = step_of_id(row.get(0)?).ok_or_else(|| damaged("no step has this id"))?;
    let stored_status = row.get_ref(1)?.as_str()?;
    let code = row
        .get_ref(2)?
        .as_str_or_null()?
        .map(|code| Code::parse(code).ok_or_else(|| damaged("no code has this name")));
    let code = code.transpose()?;
    let (status, code, message) = if stored_status == INTENT {
        let Outcome { status, code, message, .. } = Outcome::interrupted();
        (status, code, message)
    } else {
        let status = Status::ALL.into_iter().find(|status| status.as_str() == stored_status);
        (status.ok_or_else(|| damaged("no status has this name"))?, code, text(3)?)
    };
    let extensions = row.get_ref(12)?.as_str_or_null()?.unwrap_or_default();
    let extensions = Sent::extensions_from_text(extensions);
    let extensions = extensions.ok_or_else(|| damaged("no extensions can be read from this"))?;
    let sent = Sent { fields: FieldSet::from_bits(row.get(11)?), extensions };
    let settled = settlements::read(row, 13)?;
    let mut outcome = Outcome {
        status,
        code,
        message,
        http_status: row.get(5)?,
        request_id: text(6)?,
        updated_at: text(7)?,
        extension_status: text(8)?,
        results: row.get_ref(9)?.as_str_or_null()?.map(from_json).transpose()?,
    };
    settled::apply(&mut outcome, &sent, &settled);
    // A publication is the last step of its row.
    let is_published = step.kind == StepKind::Publish && !settled.is_empty();
    let row_done = row.get::<_, bool>(10)? || is_published;
    Ok(StepRecord { step, outcome, attempts: row.get(4)?, row_done, sent, settled })
}
