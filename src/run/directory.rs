//! Where a run lives: `<input stem>.ikbulk/<UTC time>/` beside its input.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::input::{Format, Input, STANDARD_INPUT};
use crate::ledger::{Facts, LedgerError, LedgerFile, Stage};
use crate::outcome::Status;

/// What directories that hold runs end in.
const RUNS_SUFFIX: &str = "ikbulk";
/// Runs begun within the same second that are told apart.
const SAME_SECOND_MAX: u32 = 100;

/// The directory of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir(PathBuf);

/// Why a run directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// It cannot be made.
    #[error("cannot make the run directory {path}; --run-dir puts it elsewhere")]
    Create {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no run there.
    #[error("there is no run in {path}: it holds no ledger.db")]
    NoRun {
        /// The directory.
        path: PathBuf,
    },
}

impl RunDir {
    /// Makes a new directory for a run on `input`. Runs on standard input are kept as if it was a
    /// file of the state directory.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(input: &Path, now: Timestamp) -> Result<Self, RunDirError> {
        Self::create_in(&input.with_extension(RUNS_SUFFIX), now)
    }

    /// Makes a new directory for a run beside another one.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create_beside(other: &Self, now: Timestamp) -> Result<Self, RunDirError> {
        // Of `.` and the like only the system knows what they are in.
        let path = match other.0.file_name() {
            Some(_) => Ok(other.0.clone()),
            None => other.0.canonicalize(),
        };
        let failed = |source| RunDirError::Create { path: other.0.clone(), source };
        Self::create_in(path.map_err(failed)?.parent().unwrap_or(Path::new("")), now)
    }

    fn create_in(runs: &Path, now: Timestamp) -> Result<Self, RunDirError> {
        let time = now.strftime("%Y-%m-%dT%H-%M-%SZ").to_string();
        for attempt in 1..=SAME_SECOND_MAX {
            let path = match attempt {
                1 => runs.join(&time),
                again => runs.join(format!("{time}-{again}")),
            };
            match Self::create_at(&path) {
                Err(RunDirError::Create { source, .. })
                    if source.kind() == io::ErrorKind::AlreadyExists => {}
                other => return other,
            }
        }
        let source = io::ErrorKind::AlreadyExists.into();
        Err(RunDirError::Create { path: runs.join(time), source })
    }

    /// Makes a new directory for a run at a place of the person's choice. It must not hold
    /// anything.
    ///
    /// # Errors
    /// It cannot be made, or holds something.
    pub fn create_at(path: &Path) -> Result<Self, RunDirError> {
        let failed = |source| RunDirError::Create { path: path.to_owned(), source };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        DirBuilder::new().mode(0o700).create(path).map_err(failed)?;
        Ok(Self(path.to_owned()))
    }

    /// An existing run.
    ///
    /// # Errors
    /// There is none.
    pub fn open(path: &Path) -> Result<Self, RunDirError> {
        if path.join(LedgerFile::NAME).is_file() {
            Ok(Self(path.to_owned()))
        } else {
            Err(RunDirError::NoRun { path: path.to_owned() })
        }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The run's own copy of its input.
    #[must_use]
    pub fn input(&self, format: Format) -> Input {
        Input { path: self.0.join(format!("input.{}", format.extension())), format }
    }

    /// Opens its ledger.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn ledger(&self) -> Result<LedgerFile, LedgerError> {
        LedgerFile::open(&self.0)
    }

    /// When its ledger was last written; `None` where the system does not say.
    #[must_use]
    pub fn last_touched(&self) -> Option<Timestamp> {
        let of = |suffix: &str| {
            let file = self.0.join(format!("{}{suffix}", LedgerFile::NAME));
            Timestamp::try_from(fs::metadata(file).and_then(|file| file.modified()).ok()?).ok()
        };
        // What is written is in the log first.
        of("").max(of("-wal"))
    }

    /// A run beside it, on the same sheet or undoing it, that was begun later and has changed files:
    /// going on with this one would put older values over newer ones.
    ///
    /// # Errors
    /// The ledger of this run cannot be read. Others that cannot be read are passed by.
    pub fn overtaken_by(&self) -> Result<Option<Self>, LedgerError> {
        let ours = self.ledger()?.facts()?;
        let Ok(path) = self.0.canonicalize() else {
            return Ok(None);
        };
        let others = children(path.parent().unwrap_or(&path)).into_iter();
        let mut others = others.filter(|other| *other != path).filter_map(|other| {
            let run = Self::open(&other).ok()?;
            let ledger = run.ledger().ok()?;
            let theirs = ledger.facts().ok()?;
            let is_later = theirs.begun.parse::<Timestamp>().ok() > ours.begun.parse().ok();
            let is_about_ours = is_same_sheet(&ours, &theirs) || theirs.undoes(&path);
            if !is_later || !is_about_ours || theirs.stage != Stage::Running {
                return None;
            }
            let touched = [Status::Updated, Status::Failed, Status::Unknown];
            let has_sent = ledger.ended().ok()?.is_none() || ledger.has_status(&touched).ok()?;
            has_sent.then_some(run)
        });
        Ok(others.next())
    }

    /// Removes a run that was never begun, and the directory of runs if it was the only one.
    pub fn discard(self) {
        // What cannot be removed is an empty attempt that disturbs nobody.
        drop(fs::remove_dir_all(&self.0));
        if let Some(runs) = self.0.parent() {
            drop(fs::remove_dir(runs));
        }
    }
}

/// The runs of one input, or of all inputs of a directory, that can be resumed: those that were
/// interrupted, and those with rows that were not attempted.
#[must_use]
pub fn unfinished_runs(place: &Place<'_>) -> Vec<RunDir> {
    let homes = match place {
        Place::Input(path) => vec![path.with_extension(RUNS_SUFFIX)],
        Place::Directory(path) => {
            let mut homes = children(path);
            homes.retain(|path| path.extension().is_some_and(|ending| ending == RUNS_SUFFIX));
            homes
        }
    };
    let mut runs: Vec<RunDir> = homes
        .iter()
        .flat_map(|home| children(home))
        .filter_map(|path| RunDir::open(&path).ok())
        .filter(RunDir::is_unfinished)
        .collect();
    runs.sort_by(|a, b| a.0.cmp(&b.0));
    runs
}

/// Where to look for runs.
#[derive(Debug, Clone, Copy)]
pub enum Place<'p> {
    /// Those of this input.
    Input(&'p Path),
    /// Those of every input in this directory.
    Directory(&'p Path),
}

impl RunDir {
    fn is_unfinished(&self) -> bool {
        let looked_into = self.ledger().and_then(|ledger| Ok((ledger.facts()?, ledger.ended()?)));
        // What was never begun has sent nothing.
        looked_into.is_ok_and(|(facts, ended)| {
            facts.stage == Stage::Running && ended.is_none_or(|ended| ended.not_attempted > 0)
        })
    }
}

/// Whether both runs are on one sheet, whatever state of it. What came by standard input is of none.
fn is_same_sheet(one: &Facts, other: &Facts) -> bool {
    let name = |facts: &Facts| Path::new(&facts.input_name).file_name().map(ToOwned::to_owned);
    one.input_name != STANDARD_INPUT && name(one) == name(other) && one.account == other.account
}

fn children(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
