//! Which runs on an account ended just now: what they wrote may not be in lists and searches yet.

use jiff::{SignedDuration, Timestamp};

use super::RunDir;
use crate::account::{AccountDb, AccountError, AccountId, Writer};
use crate::ledger::{LedgerError, LedgerFile};
use crate::undo::{Effect, FinishedRun, UndoError, replay};

/// For so long lists and searches may be behind a write. Nobody states how long it is.
const RECENT: SignedDuration = SignedDuration::from_hours(1);

/// A run that wrote just now.
#[derive(Debug)]
pub struct RecentRun {
    /// Its directory.
    pub run: RunDir,
    /// The number of its first note of writing…
    first_write: u64,
    /// …and of its last one.
    last_write: u64,
}

/// The runs on an account that wrote within the last hour and are still there, in the order in which
/// they last did. A clock that was set back since does not hide them.
///
/// # Errors
/// The state database cannot be read.
pub fn recent_runs(
    db: &AccountDb,
    account: AccountId,
    now: Timestamp,
) -> Result<Vec<RecentRun>, AccountError> {
    let runs = db.writers(account)?.into_iter().filter_map(|writer| {
        let Writer { path, wrote_at, first_write, last_write, .. } = writer;
        let run = RunDir::open(&path).ok()?;
        // One that was killed has noted nothing but its beginning.
        let is_recent = is_recent(wrote_at.max(run.last_touched()), now);
        is_recent.then_some(RecentRun { run, first_write, last_write })
    });
    Ok(runs.collect())
}

/// Whether lists and searches may still be behind what was written then.
pub(super) fn is_recent(wrote_at: Option<Timestamp>, now: Timestamp) -> bool {
    wrote_at.is_some_and(|at| now.duration_since(at) < RECENT)
}

/// Works out what the files of `ledger` must be like after these runs, if they were like they were
/// read before: a list that is behind what was written shows something else.
///
/// # Errors
/// The ledger cannot be written. A run that cannot be read is left out.
pub fn expect_written(runs: &[RecentRun], ledger: &LedgerFile) -> Result<(), LedgerError> {
    ledger.transaction(|| {
        for (index, recent) in runs.iter().enumerate() {
            if let Err(error) = replay_onto(ledger, recent, &runs[..index]) {
                let run = recent.run.path().display();
                tracing::warn!(
                    "cannot tell which files {run} has just written: {}",
                    crate::error::chain(&error)
                );
            }
        }
        Ok(())
    })
}

/// Replays a run behind those that last wrote before it.
fn replay_onto(
    ledger: &LedgerFile,
    recent: &RecentRun,
    before: &[RecentRun],
) -> Result<(), UndoError> {
    let run = &recent.run;
    let their = run.ledger()?;
    let meta = their.meta()?;
    let past = FinishedRun {
        input: &run.input(meta.input_format),
        context: &their.context(&meta)?,
        ledger: &their,
        planning: meta.planning,
        is_cut_short: their.ended()?.is_none(),
    };
    // A run that was stopped and resumed has others between its sessions. Which of its rows were
    // carried out before these is not known.
    let is_around_others = before.iter().any(|other| recent.first_write < other.last_write);
    replay(past, |file, made_of| {
        if let Some(before) = ledger.expected(file.as_str())? {
            match made_of(before) {
                Effect::Nothing => {}
                Effect::This(fields) if !is_around_others => {
                    ledger.set_expected(file.as_str(), Some(&fields))?;
                }
                Effect::This(_) | Effect::NotKnown => ledger.set_expected(file.as_str(), None)?,
            }
        }
        Ok(())
    })
}
