//! Where a run lives: `<input stem>.ikbulk/<UTC time>/` beside its input.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::RunLock;
use crate::account::RunEntry;
use crate::atomic_file::sync_directory;
use crate::input::{Format, Input};
use crate::ledger::{Ended, LedgerError, LedgerFile, RunMeta, Stage};
use crate::outcome::Status;

/// What directories that hold runs end in.
const RUNS_SUFFIX: &str = "ikbulk";
const SANDBOX_RATES: &str = "sandbox_rates";
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

    /// Makes a new directory for a run at a place that an earlier run has taken: beside it, under
    /// its name and the time.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create_after(earlier: &Self, now: Timestamp) -> Result<Self, RunDirError> {
        let mut name = earlier.0.clone().into_os_string();
        name.push(format!("-{}", name_of(now)));
        Self::create_numbered(Path::new(&name))
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
        Self::create_numbered(&runs.join(name_of(now)))
    }

    /// Makes a directory of that name, or with a number behind it where there is one.
    fn create_numbered(path: &Path) -> Result<Self, RunDirError> {
        for attempt in 1..=SAME_SECOND_MAX {
            let mut name = path.to_owned().into_os_string();
            if attempt > 1 {
                name.push(format!("-{attempt}"));
            }
            match Self::create_at(Path::new(&name)) {
                Err(RunDirError::Create { source, .. })
                    if source.kind() == io::ErrorKind::AlreadyExists => {}
                other => return other,
            }
        }
        let source = io::ErrorKind::AlreadyExists.into();
        Err(RunDirError::Create { path: path.to_owned(), source })
    }

    /// Makes a new directory for a run at a place of the person's choice. It must not hold
    /// anything.
    ///
    /// # Errors
    /// It cannot be made, or holds something.
    pub fn create_at(path: &Path) -> Result<Self, RunDirError> {
        let create = || {
            let parent = path.parent().unwrap_or(Path::new(""));
            create_synced(parent)?;
            DirBuilder::new().mode(0o700).create(path)?;
            sync_directory(parent)
        };
        create().map_err(|source| RunDirError::Create { path: path.to_owned(), source })?;
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

    /// Where a run on a sandbox of its own keeps how far its rate limits are used up.
    #[must_use]
    pub fn sandbox_rates(&self) -> PathBuf {
        self.0.join(SANDBOX_RATES)
    }

    /// The entry of this run in the state database.
    #[must_use]
    pub fn entry<'r>(&'r self, meta: &'r RunMeta) -> RunEntry<'r> {
        RunEntry {
            id: &meta.id,
            path: &self.0,
            endpoint: &meta.endpoint,
            begun: &meta.begun,
            position: meta.position,
        }
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

    /// A newer run on the same sheet, or one that undoes this run, that has changed files or is about
    /// to: going on with this one would overwrite newer values. Looks at the runs beside this one
    /// and at `others`, which may be anywhere. Runs are ordered by their positions, not by any clock.
    ///
    /// # Errors
    /// The ledger of this run cannot be read. Others that cannot be read are passed by.
    pub fn newer_run(&self, others: &[PathBuf]) -> Result<Option<Self>, LedgerError> {
        let ours = self.ledger()?.meta()?;
        let Ok(path) = self.0.canonicalize() else {
            return Ok(None);
        };
        let beside = children(path.parent().unwrap_or(&path));
        let elsewhere = others.iter().filter(|other| !beside.contains(other));
        let mut candidates = beside.iter().chain(elsewhere).filter(|other| **other != path);
        Ok(candidates.find_map(|other| {
            let run = Self::open(other).ok()?;
            run.is_newer_than(&ours, &path).then_some(run)
        }))
    }

    fn is_newer_than(&self, ours: &RunMeta, our_path: &Path) -> bool {
        let looked_into = self.ledger().and_then(|ledger| Ok((ledger.meta()?, ledger)));
        let Ok((theirs, ledger)) = looked_into else {
            return false;
        };
        let is_beside = self.0.parent() == our_path.parent();
        let ours_is = |sheet| theirs.is_of_sheet(Path::new(sheet), is_beside);
        let is_same_sheet =
            ours.input_path.as_ref().is_some_and(ours_is) && theirs.account.is_same(&ours.account);
        let is_about_ours = is_same_sheet || theirs.undoes(our_path);
        if theirs.position <= ours.position || !is_about_ours {
            return false;
        }
        match theirs.stage {
            Stage::Running => {
                let touched = [Status::Updated, Status::Failed, Status::Unknown];
                ledger.ended().is_ok_and(|ended| ended.is_none())
                    || ledger.has_status(&touched).unwrap_or(false)
            }
            // One that still reads is about to write, unless it only plans.
            Stage::Planning => !theirs.guarded && RunLock::is_held(self).unwrap_or(true),
            Stage::Planned => false,
        }
    }

    /// The greatest position of the runs beside it, 0 where there are none.
    #[must_use]
    pub fn last_position_beside(&self) -> u64 {
        let beside = self.0.parent().map(children).unwrap_or_default();
        let positions = beside.iter().filter_map(|path| {
            let run = Self::open(path).ok()?;
            Some(run.ledger().ok()?.meta().ok()?.position)
        });
        positions.max().unwrap_or(0)
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

/// The runs of the sheets in a directory that can be resumed: those that were interrupted, and those
/// with rows that were not attempted. In the order in which they began.
#[must_use]
pub fn unfinished_runs(directory: &Path) -> Vec<RunDir> {
    let homes = children(directory).into_iter().filter(|path| is_home(path));
    let mut runs: Vec<RunDir> = homes
        .flat_map(|home| children(&home))
        .filter_map(|path| RunDir::open(&path).ok())
        .filter(RunDir::is_unfinished)
        .collect();
    runs.sort_by_cached_key(|run| {
        let meta = run.ledger().and_then(|ledger| ledger.meta());
        (meta.map_or(0, |meta| meta.position), run.0.clone())
    });
    runs
}

/// What a run that begins now is called.
fn name_of(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H-%M-%SZ").to_string()
}

/// Whether a directory holds the runs of a sheet.
fn is_home(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == RUNS_SUFFIX)
}

impl RunDir {
    /// Whether it began to send, is not done, and no process executes it.
    pub(super) fn is_unfinished(&self) -> bool {
        let looked_into = self.ledger().and_then(|ledger| Ok((ledger.meta()?, ledger)));
        looked_into.is_ok_and(|(meta, ledger)| self.is_left_unfinished(&meta, &ledger))
    }

    /// The same with its ledger open. What was never begun has sent nothing.
    pub(super) fn is_left_unfinished(&self, meta: &RunMeta, ledger: &LedgerFile) -> bool {
        let is_open = |ended: Option<Ended>| ended.is_none_or(|ended| ended.not_attempted > 0);
        meta.stage == Stage::Running
            && ledger.ended().is_ok_and(is_open)
            && !RunLock::is_held(self).unwrap_or(true)
    }

    /// Removes runs beside this one that were killed before they sent anything: each holds a copy of
    /// the sheet and nothing else.
    pub fn remove_abandoned_beside(&self) {
        let Some(home) = self.0.parent().filter(|home| is_home(home)) else {
            return;
        };
        for path in children(home).into_iter().filter(|path| *path != self.0) {
            let run = Self(path);
            // Before it has its lock, a run that just begins looks like an abandoned one.
            if run.0.join(RunLock::NAME).exists()
                && let Ok(_lock) = RunLock::take(&run)
                && run.sent_nothing()
            {
                drop(fs::remove_dir_all(&run.0));
            }
        }
    }

    /// Whether it ended before its first request, and is no saved plan.
    fn sent_nothing(&self) -> bool {
        if self.0.join(LedgerFile::NAME).exists() {
            let meta = self.ledger().and_then(|ledger| ledger.meta());
            return meta.is_ok_and(|meta| meta.stage == Stage::Planning);
        }
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let is_ours = |name: &str| {
            [RunLock::NAME, SANDBOX_RATES].contains(&name) || name.starts_with("input.")
        };
        entries.map(|entry| entry.file_name()).all(|name| name.to_str().is_some_and(is_ours))
    }
}

/// Makes a directory and those that it is in, and sees to it that they are on disk.
fn create_synced(path: &Path) -> io::Result<()> {
    let missing =
        path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists());
    let missing: Vec<&Path> = missing.collect();
    fs::create_dir_all(path)?;
    let mut made_in = missing.iter().rev().filter_map(|path| path.parent());
    made_in.try_for_each(sync_directory)
}

pub(super) fn children(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
