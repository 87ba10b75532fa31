//! The writer thread: commits groups of operations durably, one transaction each.

use std::time::Duration;

use rusqlite::{CachedStatement, Connection, params};
use tokio::sync::{mpsc, oneshot};

use super::{Counters, LedgerError, LedgerFile};
use crate::outcome::Outcome;
use crate::request::{StepKind, StepRef};
use crate::row::{FileId, RowPos};
use crate::sent::Sent;
use crate::spending::Spent;
use crate::sqlite::to_json;

/// A group is written when it has this many operations…
pub(crate) const GROUP_SIZE: usize = 1000;
/// …or when its first operation is this old, whichever comes first.
pub(crate) const GROUP_AGE_MAX: Duration = Duration::from_millis(200);

/// A change to the ledger.
#[derive(Debug, PartialEq)]
pub(crate) enum Op {
    /// A step is done.
    Outcome {
        /// The step.
        step: StepRef,
        /// Its outcome.
        outcome: Outcome,
        /// Number of attempts; 0 if nothing was sent.
        attempts: u32,
        /// Whether the row has no further steps.
        row_done: bool,
        /// What its request carried.
        sent: Sent,
    },
    /// An at-most-once step is about to be sent.
    Intent {
        /// The step.
        step: StepRef,
        /// Snapshot of the file before the request, as JSON.
        snapshot: String,
        /// What the request carries.
        sent: Sent,
    },
    /// Removes the outcome or intent of a step: its request certainly had no effect, or the run
    /// aborted because of it.
    Reopen(StepRef),
    /// The response to a request on this file was lost, so the request may take effect after those
    /// of later rows. Only the first mark of a file is kept.
    MarkLost {
        /// The file.
        file: FileId,
        /// Row of the request, or [`EARLIER_RUN`].
        row: u64,
    },
}

impl Op {
    /// The key of the record that the operation changes, if in the step table.
    fn key(&self) -> Option<i64> {
        match self {
            Self::Outcome { step, .. } | Self::Intent { step, .. } | Self::Reopen(step) => {
                Some(step_id(*step))
            }
            Self::MarkLost { .. } => None,
        }
    }
}

/// Progress to write with each group.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Checkpoint {
    /// The low-water mark: all rows before this one are done.
    pub low_water: Option<RowPos>,
    /// Requests sent so far.
    pub counters: Counters,
    /// Extensions run so far, including those of the intents in the group.
    pub spent: Spent,
}

/// Kinds of steps that the key of a step can tell apart.
pub(super) const STEP_KINDS: i64 = 1 << 8;

/// The content of one transaction.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) ops: Vec<Op>,
    pub(super) checkpoint: Checkpoint,
    /// Notified once the group is on disk.
    pub(super) waiters: Vec<oneshot::Sender<()>>,
}

/// The key of a step: the row number, and its kind in the last byte. Sorts by row, then by step.
pub(super) fn step_id(step: StepRef) -> i64 {
    row_number(step.row).saturating_mul(STEP_KINDS) | step.kind as i64
}

/// SQLite's integers are signed.
pub(super) fn row_number(row: u64) -> i64 {
    i64::try_from(row).unwrap_or(i64::MAX)
}

/// The step of a key.
pub(super) fn step_of_id(id: i64) -> Option<StepRef> {
    let kind = *StepKind::ALL.get(usize::try_from(id % STEP_KINDS).ok()?)?;
    Some(StepRef { row: u64::try_from(id / STEP_KINDS).ok()?, kind })
}

/// The fact that holds [`Checkpoint::counters`].
pub(super) const COUNTERS: &str = "counters";

/// The fact that holds [`Checkpoint::low_water`].
pub(super) const LOW_WATER: &str = "low_water";

/// The fact that holds [`Checkpoint::spent`].
pub(super) const SPENT: &str = "spent";

/// Stored status of a step with an intent and no outcome.
pub(super) const INTENT: &str = "intent";

/// Replaces an earlier record of the step, except its snapshot. An outcome without an attempt that is
/// unknown closes the request of an earlier session: what that one sent stays, because its extensions
/// may have been billed. Any other outcome without an attempt says that nothing was sent.
const INSERT_OUTCOME: &str = "
    INSERT INTO step VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, NULL)
    ON CONFLICT (id) DO UPDATE SET
        status = excluded.status, code = excluded.code, message = excluded.message,
        http_status = excluded.http_status, request_id = excluded.request_id,
        updated_at = excluded.updated_at, extension_status = excluded.extension_status,
        results = excluded.results, row_done = excluded.row_done,
        attempts = iif(excluded.attempts = 0 AND excluded.status = 'unknown', attempts, excluded.attempts),
        sent_fields = iif(excluded.attempts = 0 AND excluded.status = 'unknown', sent_fields, excluded.sent_fields),
        sent_extensions = iif(excluded.attempts = 0 AND excluded.status = 'unknown', sent_extensions, excluded.sent_extensions)";

/// Instead of a row number: the request belongs to an earlier run, so every row of this run comes
/// after it.
pub(crate) const EARLIER_RUN: u64 = 0;

/// Marks a file with a row, or with [`EARLIER_RUN`]; the first row of a file stays. If a file gets both, its
/// row becomes negative.
pub(super) const MARK_LOST: &str = "
    INSERT INTO lost_response VALUES (?1, ?2) ON CONFLICT (file) DO UPDATE
    SET row = -max(row, excluded.row) WHERE row >= 0 AND (row = 0) <> (excluded.row = 0)";

impl LedgerFile {
    /// Stores that requests of these rows may still take effect: see [`Op::MarkLost`].
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn mark_lost(&self, rows: &[(FileId, u64)]) -> Result<(), LedgerError> {
        self.writing(|connection| {
            let transaction = connection.unchecked_transaction()?;
            {
                let mut mark_lost = connection.prepare_cached(MARK_LOST)?;
                for (file, row) in rows {
                    mark_lost.execute(params![file.as_str(), row_number(*row)])?;
                }
            }
            transaction.commit()
        })
    }
}

/// Writes groups until the journal is closed, then returns the file.
pub(super) fn write_all(
    file: LedgerFile,
    mut groups: mpsc::Receiver<Group>,
) -> Result<LedgerFile, LedgerError> {
    while let Some(mut group) = groups.blocking_recv() {
        // Steps finish in almost any order, and SQLite inserts fastest in key order.
        group.ops.sort_by_cached_key(Op::key);
        file.writing(|connection| write(connection, &group))?;
        for waiter in group.waiters {
            // The receiver is gone if the run was told to stop immediately.
            let _gone = waiter.send(());
        }
    }
    Ok(file)
}

fn write(connection: &Connection, group: &Group) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    {
        let mut insert_outcome = connection.prepare_cached(INSERT_OUTCOME)?;
        let mut insert_intent = connection.prepare_cached(
            "INSERT OR REPLACE INTO step
                 (id, status, attempts, row_done, sent_fields, sent_extensions, snapshot)
             VALUES (?1, 'intent', 1, 0, ?2, ?3, ?4)",
        )?;
        let mut remove = connection.prepare_cached("DELETE FROM step WHERE id = ?1")?;
        let mut mark_lost = connection.prepare_cached(MARK_LOST)?;
        for op in &group.ops {
            match op {
                Op::Outcome { step, outcome, attempts, row_done, sent } => {
                    let outcome = (outcome, *attempts, *row_done);
                    insert(&mut insert_outcome, *step, outcome, sent)?;
                }
                Op::Intent { step, snapshot, sent } => {
                    let (fields, extensions) = (sent.fields.bits(), sent.extensions_as_text());
                    insert_intent.execute(params![step_id(*step), fields, extensions, snapshot])?;
                }
                Op::Reopen(step) => {
                    remove.execute([step_id(*step)])?;
                }
                Op::MarkLost { file, row } => {
                    mark_lost.execute(params![file.as_str(), row_number(*row)])?;
                }
            }
        }
        let mut fact = connection.prepare_cached("INSERT OR REPLACE INTO fact VALUES (?1, ?2)")?;
        if let Some(low_water) = group.checkpoint.low_water {
            fact.execute(params![LOW_WATER, to_json(&low_water)?])?;
        }
        fact.execute(params![COUNTERS, to_json(&group.checkpoint.counters)?])?;
        if group.checkpoint.spent != Spent::default() {
            fact.execute(params![SPENT, to_json(&group.checkpoint.spent)?])?;
        }
    }
    transaction.commit()
}

fn insert(
    statement: &mut CachedStatement<'_>,
    step: StepRef,
    (outcome, attempts, row_done): (&Outcome, u32, bool),
    sent: &Sent,
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
        outcome.results.as_deref().map(to_json).transpose()?,
        row_done,
        sent.fields.bits(),
        sent.extensions_as_text(),
    ])?;
    Ok(())
}
