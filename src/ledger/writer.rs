//! The thread that writes: groups of operations in, one durable commit each.

use std::time::Duration;

use rusqlite::{CachedStatement, Connection, params};
use tokio::sync::{mpsc, oneshot};

use super::{Counters, LedgerError, LedgerFile};
use crate::outcome::Outcome;
use crate::request::{StepKind, StepRef};
use crate::row::{ExtensionFingerprint, FileId, RowPos};

/// A group is written when it has this many operations…
pub const GROUP_SIZE: usize = 1000;
/// …or when its first operation is this old, whichever comes first.
pub const GROUP_AGE_MAX: Duration = Duration::from_millis(200);

/// One change of the ledger.
#[derive(Debug, PartialEq)]
pub enum Op {
    /// A step is settled.
    Outcome {
        /// Which.
        step: StepRef,
        /// How.
        outcome: Outcome,
        /// After how many attempts.
        attempts: u32,
        /// Whether nothing of the row follows.
        row_done: bool,
    },
    /// A step that must not be repeated is about to be sent.
    Intent {
        /// Which.
        step: StepRef,
        /// What the file was like before, as JSON.
        before: String,
        /// The extensions that the request carries.
        extensions: Vec<ExtensionFingerprint>,
    },
    /// A step is open again: its request was certainly not carried out, or the run was halted by
    /// what happened to it.
    Reopen(StepRef),
    /// The answer to a request on this file was lost, so that it may yet take effect later than
    /// those of later rows. The first such row of a file counts.
    MarkLost {
        /// The file.
        file: FileId,
        /// The row of the request.
        row: u64,
    },
}

impl Op {
    /// Where in the ledger it is about.
    fn key(&self) -> Option<i64> {
        match self {
            Self::Outcome { step, .. } | Self::Intent { step, .. } | Self::Reopen(step) => {
                Some(step_id(*step))
            }
            Self::MarkLost { .. } => None,
        }
    }
}

/// What stands beside every group: how far everything is settled, and what has been sent.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Checkpoint {
    /// The row below which everything is settled.
    pub low_water: Option<RowPos>,
    /// Requests sent so far.
    pub counters: Counters,
}

/// One commit.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) ops: Vec<Op>,
    pub(super) checkpoint: Checkpoint,
    /// Who waits for it to be on disk.
    pub(super) waiting: Vec<oneshot::Sender<()>>,
}

/// The key of a step: rows in order, steps in order within a row.
pub(super) fn step_id(step: StepRef) -> i64 {
    i64::try_from(step.row << 3).unwrap_or(i64::MAX & !7) | step.kind as i64
}

/// SQLite's integers have a sign.
pub(super) fn row_number(row: u64) -> i64 {
    i64::try_from(row).unwrap_or(i64::MAX)
}

/// The step of a key.
pub(super) fn step_of_id(id: i64) -> Option<StepRef> {
    let kind = *StepKind::ALL.get(usize::try_from(id & 7).ok()?)?;
    Some(StepRef { row: u64::try_from(id >> 3).ok()?, kind })
}

/// The word for a step that may be under way.
pub(super) const INTENT: &str = "intent";

/// In the place of a row: the request is one of an earlier run, so that every row comes after it.
pub const EARLIER_RUN: u64 = 0;

/// The first row of a file counts.
pub(super) const MARK_LOST: &str = "INSERT OR IGNORE INTO doubt VALUES (?1, ?2)";

impl LedgerFile {
    /// Writes down that requests of these rows may yet take effect: see [`Op::MarkLost`].
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn mark_lost(&self, rows: &[(FileId, u64)]) -> Result<(), LedgerError> {
        self.writing(|connection| {
            let transaction = connection.unchecked_transaction()?;
            {
                let mut doubt = connection.prepare_cached(MARK_LOST)?;
                for (file, row) in rows {
                    doubt.execute(params![file.as_str(), row_number(*row)])?;
                }
            }
            transaction.commit()
        })
    }
}

/// Writes groups until the other side is gone, then gives the file back.
pub(super) fn write_all(
    file: LedgerFile,
    mut groups: mpsc::Receiver<Group>,
) -> Result<LedgerFile, LedgerError> {
    while let Some(mut group) = groups.blocking_recv() {
        // Steps are settled in nearly any order, and SQLite writes fastest in that of its keys.
        group.ops.sort_by_cached_key(Op::key);
        file.writing(|connection| write(connection, &group))?;
        for waiting in group.waiting {
            // Nobody waits any more when the run was told to stop at once.
            let _gone = waiting.send(());
        }
    }
    Ok(file)
}

fn write(connection: &Connection, group: &Group) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    {
        let mut outcome = connection.prepare_cached(
            "INSERT INTO step VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, NULL, NULL)
             ON CONFLICT (id) DO UPDATE SET
                 status = excluded.status, code = excluded.code, message = excluded.message,
                 attempts = excluded.attempts, http_status = excluded.http_status,
                 request_id = excluded.request_id, updated_at = excluded.updated_at,
                 extension_status = excluded.extension_status, row_done = excluded.row_done",
        )?;
        let mut intent = connection.prepare_cached(
            "INSERT OR REPLACE INTO step (id, status, attempts, row_done, before, extensions)
             VALUES (?1, 'intent', 1, 0, ?2, ?3)",
        )?;
        let mut forget = connection.prepare_cached("DELETE FROM step WHERE id = ?1")?;
        let mut doubt = connection.prepare_cached(MARK_LOST)?;
        for op in &group.ops {
            match op {
                Op::Outcome { step, outcome: settled, attempts, row_done } => {
                    insert(&mut outcome, *step, settled, *attempts, *row_done)?;
                }
                Op::Intent { step, before, extensions } => {
                    let extensions = text_of(extensions);
                    intent.execute(params![step_id(*step), before, extensions])?;
                }
                Op::Reopen(step) => {
                    forget.execute([step_id(*step)])?;
                }
                Op::MarkLost { file, row } => {
                    doubt.execute(params![file.as_str(), row_number(*row)])?;
                }
            }
        }
        let mut fact = connection.prepare_cached("INSERT OR REPLACE INTO fact VALUES (?1, ?2)")?;
        if let Some(RowPos { number, offset }) = group.checkpoint.low_water {
            fact.execute(params!["low_water", format!("{number} {offset}")])?;
        }
        let counters = serde_json::to_string(&group.checkpoint.counters).unwrap_or_default();
        fact.execute(params!["counters", counters])?;
    }
    transaction.commit()
}

/// The extensions of a request as the ledger holds them; none where there are none.
fn text_of(extensions: &[ExtensionFingerprint]) -> Option<String> {
    let numbers: Vec<String> = extensions.iter().map(|number| number.0.to_string()).collect();
    (!numbers.is_empty()).then(|| numbers.join(" "))
}

/// The same, read back.
pub(super) fn extensions_of(text: &str) -> Vec<ExtensionFingerprint> {
    let numbers = text.split_ascii_whitespace().filter_map(|number| number.parse().ok());
    numbers.map(ExtensionFingerprint).collect()
}

fn insert(
    statement: &mut CachedStatement<'_>,
    step: StepRef,
    outcome: &Outcome,
    attempts: u32,
    row_done: bool,
) -> rusqlite::Result<()> {
    statement.execute(params![
        step_id(step),
        outcome.status.as_str(),
        outcome.code.map(crate::outcome::Code::as_str),
        outcome.message.as_deref(),
        attempts,
        outcome.http_status,
        outcome.request_id.as_deref(),
        outcome.updated_at.as_deref(),
        outcome.extension_status.as_deref(),
        row_done,
    ])?;
    Ok(())
}
