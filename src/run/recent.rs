//! Which runs on an account ended just now: what they wrote may not be in lists and searches yet.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};

use super::directory::{RunDir, state_dir};
use crate::ledger::{LedgerError, LedgerFile};
use crate::undo::{Made, Past, UndoError, replay};

/// For so long lists and searches may be behind a write. Nobody states how long it is.
const RECENT: SignedDuration = SignedDuration::from_hours(1);

/// Takes down that a run on this account has written until now.
///
/// # Errors
/// The file in the state directory cannot be written.
pub fn note_writing(account: &str, run: &RunDir, now: Timestamp) -> io::Result<()> {
    let recent = recent_runs(account, now);
    let path = file_of(account);
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let run = fs::canonicalize(run.path())?;
    let others = recent.iter().filter(|(_, other)| other.path() != run);
    let mut lines: Vec<String> =
        others.map(|(at, other)| format!("{at} {}\n", other.path().display())).collect();
    lines.push(format!("{now} {}\n", run.display()));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(lines.concat().as_bytes())
}

/// The runs on this account that wrote within the last hour and are still there.
#[must_use]
pub fn recent_runs(account: &str, now: Timestamp) -> Vec<(Timestamp, RunDir)> {
    let text = fs::read_to_string(file_of(account)).unwrap_or_default();
    let runs = text.lines().filter_map(|line| {
        let (at, path) = line.split_once(' ')?;
        let at: Timestamp = at.parse().ok()?;
        let is_recent = now.duration_since(at) < RECENT;
        Some((at, RunDir::open(path.as_ref()).ok().filter(|_| is_recent)?))
    });
    runs.collect()
}

/// Works out what the files of `ledger` must be like after these runs, the oldest first, if they
/// were like they were read before: a list that is behind what was written shows something else.
///
/// # Errors
/// The ledger cannot be written. A run that cannot be read is left out.
pub fn expect_written(runs: &[RunDir], ledger: &LedgerFile) -> Result<(), LedgerError> {
    ledger.as_one(|| {
        for run in runs {
            if let Err(error) = replay_onto(ledger, run) {
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

/// Rows of which a run that was killed knows nothing yet are not looked at: of those the last fifth
/// of a second at most was carried out.
fn replay_onto(ledger: &LedgerFile, run: &RunDir) -> Result<(), UndoError> {
    let their = run.ledger()?;
    let facts = their.facts()?;
    let past = Past {
        input: &run.input(facts.input_format),
        context: &their.context(&facts)?,
        ledger: &their,
        planning: facts.planning,
        is_cut_short: false,
    };
    replay(past, |file, made_of| {
        if let Some(before) = ledger.expected(file.as_str())? {
            match made_of(before) {
                Made::Nothing => {}
                Made::This(fields) => ledger.expect(file.as_str(), Some(&fields))?,
                Made::NotKnown => ledger.expect(file.as_str(), None)?,
            }
        }
        Ok(())
    })
}

fn file_of(account: &str) -> PathBuf {
    state_dir().join("recent").join(account)
}
