//! Which runs on an account ended just now: what they wrote may not be in lists and searches yet.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::directory::{RunDir, state_dir};
use super::live::ReadError;
use crate::ledger::{LedgerError, LedgerFile};
use crate::outcome::Status;
use crate::row::FileId;

/// For so long lists and searches may be behind a write. Nobody states how long it is.
const RECENT: SignedDuration = SignedDuration::from_hours(1);
/// So many files that were written just now are enough to choose some of them.
const ENOUGH: usize = 5_000;

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

/// Files among those of `ledger` that these runs have written, the last run first: as many as are
/// enough to choose some of them.
///
/// # Errors
/// The ledger cannot be read. What the other runs hold and cannot be read is left out.
pub fn written_by(runs: &[RunDir], ledger: &LedgerFile) -> Result<Vec<FileId>, LedgerError> {
    let mut files = BTreeSet::new();
    for run in runs.iter().rev() {
        if let Err(error) = each_written(run, |file| {
            if ledger.known_file(file.as_str())?.is_some() {
                files.insert(file);
            }
            Ok(files.len() < ENOUGH)
        }) {
            tracing::warn!("{}: {}", run.path().display(), crate::error::chain(&error));
        }
    }
    Ok(files.into_iter().collect())
}

/// Every file of which a row was carried out, into a function that says whether it wants more.
fn each_written(
    run: &RunDir,
    mut take: impl FnMut(FileId) -> Result<bool, LedgerError>,
) -> Result<(), ReadError> {
    let ledger = run.ledger()?;
    let facts = ledger.facts()?;
    let files = Arc::new(ledger.files()?);
    let mut records = run.input(facts.input_format).records(Some(&files))?;
    let mut steps = Vec::new();
    ledger.steps(0, |mut ledger_steps| {
        while let Some(pos) = records.advance()? {
            ledger_steps.of_row(pos.number, &mut steps)?;
            let is_written = steps.iter().any(|record| record.outcome.status == Status::Updated);
            if let Some(file) = FileId::new(&records.file_id()).ok().filter(|_| is_written)
                && !take(file)?
            {
                break;
            }
        }
        Ok(())
    })
}

fn file_of(account: &str) -> PathBuf {
    state_dir().join("recent").join(account)
}
