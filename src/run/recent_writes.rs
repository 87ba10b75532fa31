//! Detects stale listings: the values that recent runs wrote may not appear in lists and searches
//! yet.

use jiff::{SignedDuration, Timestamp};

use super::{LoadedRun, RunDir};
use crate::account::{AccountDb, AccountError, AccountId, Writer};
use crate::ledger::{LedgerError, LedgerFile};
use crate::undo::{Effect, UndoError, replay};

/// How long lists and searches may lag behind a write. ImageKit does not document this.
const RECENT: SignedDuration = SignedDuration::from_hours(1);

/// A run that wrote within the last hour.
#[derive(Debug)]
pub(crate) struct RecentRun {
    /// Directory of the run.
    pub run: RunDir,
    /// See [`Writer::first_write`].
    first_write: u64,
    /// See [`Writer::last_write`].
    last_write: u64,
}

/// The runs on an account that wrote within the last hour and whose directories still exist, by their
/// last write. Runs with a time in the future count as recent, in case the clock was set back.
///
/// # Errors
/// The state database cannot be read.
pub(crate) fn recent_runs(
    db: &AccountDb,
    account: AccountId,
    now: Timestamp,
) -> Result<Vec<RecentRun>, AccountError> {
    let runs = db.writers(account)?.into_iter().filter_map(|writer| {
        let Writer { path, wrote_at, first_write, last_write, .. } = writer;
        let run = RunDir::open(&path).ok()?;
        // A killed run has noted only its start.
        let is_recent = is_recent(Some(wrote_at).max(run.last_modified()), now);
        is_recent.then_some(RecentRun { run, first_write, last_write })
    });
    Ok(runs.collect())
}

/// Whether lists and searches may still lag behind a write at that time.
pub(super) fn is_recent(wrote_at: Option<Timestamp>, now: Timestamp) -> bool {
    wrote_at.is_some_and(|at| now.duration_since(at) < RECENT)
}

/// Records in `ledger` the state that each of its files should have after these runs. A file listed
/// with another state is stale, or was changed by someone else.
///
/// # Errors
/// The ledger cannot be written. A run that cannot be read is skipped.
pub(crate) fn expect_written(runs: &[RecentRun], ledger: &LedgerFile) -> Result<(), LedgerError> {
    ledger.transaction(|| {
        for (index, recent) in runs.iter().enumerate() {
            if let Err(error) = replay_onto(ledger, recent, &runs[..index]) {
                let run = recent.run.path().display();
                tracing::warn!(
                    "cannot tell which files the recent run {run} changed; stale listings of them \
                     may go unnoticed: {}",
                    crate::error::chain(&error)
                );
            }
        }
        Ok(())
    })
}

/// Applies the changes of a run to the expected states; `earlier` are the runs already applied.
fn replay_onto(
    ledger: &LedgerFile,
    recent: &RecentRun,
    earlier: &[RecentRun],
) -> Result<(), UndoError> {
    let run = LoadedRun::load(recent.run.clone())?;
    // Other runs may have written between the sessions of a resumed run. It is unknown which of its
    // rows came first.
    let is_interleaved = earlier.iter().any(|other| recent.first_write < other.last_write);
    replay(run.record(), |file, effect_on| {
        if let Some(before) = ledger.expected(file.as_str())? {
            match effect_on(before) {
                Effect::Unchanged => {}
                Effect::Changed(fields) if !is_interleaved => {
                    ledger.set_expected(file.as_str(), Some(&fields))?;
                }
                Effect::Changed(_) | Effect::Unknown => ledger.set_expected(file.as_str(), None)?,
            }
        }
        Ok(())
    })
}
