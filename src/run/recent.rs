//! Which runs on an account ended just now: what they wrote may not be in lists and searches yet.

use std::fs;
use std::io::{self, Read as _, Write as _};

use jiff::{SignedDuration, Timestamp};

use super::directory::RunDir;
use crate::account::state_dir::{StateDir, StateDirError};
use crate::ledger::{LedgerError, LedgerFile};
use crate::undo::{Made, Past, UndoError, replay};

/// Where the runs of accounts are noted.
const DIRECTORY: &str = "recent";
/// For so long lists and searches may be behind a write. Nobody states how long it is.
const RECENT: SignedDuration = SignedDuration::from_hours(1);

/// Takes down that a run on this account has written until now.
///
/// # Errors
/// The file in the state directory cannot be written.
pub fn note_writing(
    state: &StateDir,
    account: &str,
    run: &RunDir,
    now: Timestamp,
) -> io::Result<()> {
    let recent = recent_runs(state, account, now);
    let run = fs::canonicalize(run.path())?;
    let others = recent.iter().filter(|other| other.run.path() != run);
    let mut lines: Vec<String> =
        others.map(|other| format!("{} {}\n", other.at, other.run.path().display())).collect();
    lines.push(format!("{now} {}\n", run.display()));
    let recent = state.subdir(DIRECTORY).and_then(|directory| directory.open_file(account));
    let mut file = recent.map_err(io::Error::other)?;
    file.set_len(0)?;
    file.write_all(lines.concat().as_bytes())
}

/// A run that wrote just now.
#[derive(Debug)]
pub struct RecentRun {
    /// Its directory.
    pub run: RunDir,
    /// When it last wrote, as far as that is known.
    pub at: Timestamp,
}

/// The runs on this account that wrote within the last hour and are still there, in the order in
/// which they last did.
#[must_use]
pub fn recent_runs(state: &StateDir, account: &str, now: Timestamp) -> Vec<RecentRun> {
    let text = noted(state, account).unwrap_or_default();
    let runs = text.lines().filter_map(|line| {
        let (noted, path) = line.split_once(' ')?;
        let run = RunDir::open(path.as_ref()).ok()?;
        // One that was killed has noted nothing but its beginning.
        let at = noted.parse().ok().max(run.last_touched())?;
        (now.duration_since(at) < RECENT).then_some(RecentRun { run, at })
    });
    let mut runs: Vec<RecentRun> = runs.collect();
    runs.sort_by_key(|recent| recent.at);
    runs
}

/// Works out what the files of `ledger` must be like after these runs, if they were like they were
/// read before: a list that is behind what was written shows something else.
///
/// # Errors
/// The ledger cannot be written. A run that cannot be read is left out.
pub fn expect_written(runs: &[RecentRun], ledger: &LedgerFile) -> Result<(), LedgerError> {
    ledger.as_one(|| {
        for (index, RecentRun { run, .. }) in runs.iter().enumerate() {
            if let Err(error) = replay_onto(ledger, run, &runs[..index]) {
                let run = run.path().display();
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
fn replay_onto(ledger: &LedgerFile, run: &RunDir, before: &[RecentRun]) -> Result<(), UndoError> {
    let their = run.ledger()?;
    let facts = their.facts()?;
    let past = Past {
        input: &run.input(facts.input_format),
        context: &their.context(&facts)?,
        ledger: &their,
        planning: facts.planning,
        is_cut_short: their.ended()?.is_none(),
    };
    // One that was stopped and resumed has others between its sessions. Nobody knows which of its rows
    // were carried out before these.
    let begun: Option<Timestamp> = facts.begun.parse().ok();
    let is_around_others = before.iter().any(|other| begun.is_none_or(|begun| begun < other.at));
    replay(past, |file, made_of| {
        if let Some(before) = ledger.expected(file.as_str())? {
            match made_of(before) {
                Made::Nothing => {}
                Made::This(fields) if !is_around_others => {
                    ledger.expect(file.as_str(), Some(&fields))?;
                }
                Made::This(_) | Made::NotKnown => ledger.expect(file.as_str(), None)?,
            }
        }
        Ok(())
    })
}

fn noted(state: &StateDir, account: &str) -> Result<String, StateDirError> {
    let mut text = String::new();
    if let Some(mut file) = state.subdir(DIRECTORY)?.existing_file(account)? {
        // What is no text holds no runs.
        drop(file.read_to_string(&mut text));
    }
    Ok(text)
}
