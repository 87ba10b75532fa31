//! Run directories: `<input stem>.ikbulk/<UTC time>/` beside the input, unless the user names one.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use super::RunLock;
use crate::account::RunEntry;
use crate::atomic_file::sync_directory;
use crate::input::{Format, Input};
use crate::ledger::{Completeness, LedgerError, LedgerFile, RunMeta, Stage};
use crate::outcome::Status;

/// File extension of a directory that holds the runs of one sheet.
const RUNS_EXTENSION: &str = "ikbulk";
/// The sheets that a run returns, without their extensions.
const RETURNED: [&str; 2] = ["failed", "unknown"];
const SANDBOX_RATES: &str = "sandbox_rates";
/// Maximum bytes of a file name on the common file systems.
const NAME_BYTES_MAX: usize = 255;
/// Maximum number of runs that can start within the same second.
const SAME_SECOND_MAX: u32 = 100;

/// The directory of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir(PathBuf);

/// The later run that decides what can still be done with a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Successor {
    /// It was undone: it is neither resumed nor retried.
    Undo(PathBuf),
    /// It was retried: what failed again is retried from there.
    Retry(PathBuf),
    /// It was retried, and the retry is to be resumed.
    UnfinishedRetry(PathBuf),
    /// A later run of the same sheet has changed files: resuming would overwrite newer values.
    LaterRun(PathBuf),
}

/// Runs that an error names.
const RUNS_NAMED_MAX: usize = 5;

/// Why a run directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// The directory cannot be created.
    #[error("cannot create the run directory {path}: {cause}; choose another with --run-dir DIR")]
    Create {
        /// The run directory.
        path: PathBuf,
        /// The file system error; `AlreadyExists` if the directory is in use.
        cause: io::Error,
    },
    /// The directory contains no ledger.
    #[error("there is no run in {path}: it contains no ledger.db{runs}")]
    NoRun {
        /// The directory that was opened.
        path: PathBuf,
        /// A hint that names the runs below it, if there are any.
        runs: String,
    },
    /// The path is a file, such as a sheet.
    #[error("{path} is a file, not the directory of a run{runs}")]
    File {
        /// The file.
        path: PathBuf,
        /// A hint that names the runs of this sheet, or where they would be.
        runs: String,
    },
}

impl RunDir {
    /// Creates the directory of a new run on `input`, beside that file.
    ///
    /// # Errors
    /// The directory cannot be created.
    pub fn create(input: &Path, now: Timestamp) -> Result<Self, RunDirError> {
        Self::create_in(&runs_directory(input), now)
    }

    /// Creates the directory `<earlier>-<UTC time>`, for when a directory named by the user already
    /// holds an earlier run.
    ///
    /// # Errors
    /// The directory cannot be created.
    pub fn create_after(earlier: &Self, now: Timestamp) -> Result<Self, RunDirError> {
        let mut name = earlier.0.clone().into_os_string();
        name.push(format!("-{}", name_of(now)));
        Self::create_numbered(Path::new(&name))
    }

    /// Creates the directory of a new run in the parent directory of another run.
    ///
    /// # Errors
    /// The directory cannot be created.
    pub fn create_beside(other: &Self, now: Timestamp) -> Result<Self, RunDirError> {
        // Paths such as `.` have to be resolved to find the parent.
        let path = match other.0.file_name() {
            Some(_) => Ok(other.0.clone()),
            None => other.0.canonicalize(),
        };
        let failed = |cause| RunDirError::Create { path: other.0.clone(), cause };
        Self::create_in(path.map_err(failed)?.parent().unwrap_or(Path::new("")), now)
    }

    fn create_in(runs: &Path, now: Timestamp) -> Result<Self, RunDirError> {
        Self::create_numbered(&runs.join(name_of(now)))
    }

    /// Creates `path`, or `path-2`, `path-3`, … if it exists.
    fn create_numbered(path: &Path) -> Result<Self, RunDirError> {
        for attempt in 1..=SAME_SECOND_MAX {
            let mut name = path.to_owned().into_os_string();
            if attempt > 1 {
                name.push(format!("-{attempt}"));
            }
            match Self::create_at(Path::new(&name)) {
                Err(RunDirError::Create { cause, .. })
                    if cause.kind() == io::ErrorKind::AlreadyExists => {}
                other => return other,
            }
        }
        let cause = io::ErrorKind::AlreadyExists.into();
        Err(RunDirError::Create { path: path.to_owned(), cause })
    }

    /// Creates a run directory at exactly this path, which must not exist.
    ///
    /// # Errors
    /// The directory exists or cannot be created.
    pub fn create_at(path: &Path) -> Result<Self, RunDirError> {
        let create = || {
            let parent = path.parent().unwrap_or(Path::new(""));
            create_synced(parent)?;
            DirBuilder::new().mode(0o700).create(path)?;
            sync_directory(parent)
        };
        create().map_err(|cause| RunDirError::Create { path: path.to_owned(), cause })?;
        Ok(Self(path.to_owned()))
    }

    /// Opens the directory of an existing run.
    ///
    /// # Errors
    /// The directory contains no ledger, or the path is a file.
    pub fn open(path: &Path) -> Result<Self, RunDirError> {
        let owned = path.to_owned();
        if path.join(LedgerFile::NAME).is_file() {
            Ok(Self(owned))
        } else if path.is_file() {
            Err(RunDirError::File { path: owned, runs: runs_of_sheet(path) })
        } else {
            Err(RunDirError::NoRun { path: owned, runs: runs_below(path) })
        }
    }

    /// The run in this directory; `None` if there is none.
    ///
    /// # Errors
    /// The directory cannot be reached.
    pub(crate) fn open_if_exists(path: &Path) -> io::Result<Option<Self>> {
        let has_ledger = path.join(LedgerFile::NAME).try_exists()?;
        Ok(has_ledger.then(|| Self(path.to_owned())))
    }

    /// The run in whose directory a file is, with its metadata; `None` if that is no run directory.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) fn of_file(file: &Path) -> Result<Option<(Self, RunMeta)>, LedgerError> {
        let Some(Ok(Some(run))) = file.parent().map(Self::open_if_exists) else { return Ok(None) };
        let meta = run.ledger()?.meta()?;
        Ok(Some((run, meta)))
    }

    /// The sheet of this run that took the place of an edited one, such as `failed.csv` of
    /// `failed.edited-1.csv`; `None` if that is not such a sheet, or if the run has returned the same rows
    /// since.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) fn replaced(&self, sheet: &Path) -> Result<Option<PathBuf>, LedgerError> {
        let name = sheet.file_name().unwrap_or_default().to_string_lossy();
        let Some((kind, edited)) = name.split_once(".edited-") else { return Ok(None) };
        let Some((_, extension)) = edited.split_once('.').filter(|_| RETURNED.contains(&kind))
        else {
            return Ok(None);
        };
        let current = format!("{kind}.{extension}");
        let path = self.0.join(&current);
        let ledger = self.ledger()?;
        let edited_from = ledger.written(&name)?;
        let is_current = edited_from.is_some() && edited_from == ledger.written(&current)?;
        Ok(Some(path).filter(|path| !is_current || !path.exists()))
    }

    /// Whether a file has the name of a sheet that a run returns, or of an edited one.
    pub(crate) fn is_returned(sheet: &Path) -> bool {
        let name = sheet.file_name().unwrap_or_default().to_string_lossy();
        name.split_once('.').is_some_and(|(kind, _)| RETURNED.contains(&kind))
    }

    /// Path of the directory, absolute or relative as given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The run's own copy of its input.
    #[must_use]
    pub fn input(&self, meta: &RunMeta) -> Input {
        let options = meta.read_options.clone();
        Input { options, ..self.own_input(meta.input_format) }
    }

    /// An input that the run itself writes into its directory.
    #[must_use]
    pub fn own_input(&self, format: Format) -> Input {
        Input::new(self.0.join(format!("input.{}", format.copy_extension())), format)
    }

    /// Path of the rate limit state of a run that starts its own sandbox.
    #[must_use]
    pub fn sandbox_rates(&self) -> PathBuf {
        self.0.join(SANDBOX_RATES)
    }

    /// This run's entry for the state database.
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

    /// Opens the ledger for reading and writing.
    ///
    /// # Errors
    /// The ledger cannot be opened.
    pub fn ledger(&self) -> Result<LedgerFile, LedgerError> {
        LedgerFile::open(&self.0)
    }

    /// Modification time of the ledger; `None` if unavailable.
    #[must_use]
    pub fn last_modified(&self) -> Option<Timestamp> {
        let modified = |suffix: &str| {
            let file = self.0.join(format!("{}{suffix}", LedgerFile::NAME));
            let file = fs::metadata(file).ok().filter(|file| file.len() > 0)?;
            Timestamp::try_from(file.modified().ok()?).ok()
        };
        // SQLite writes to the write-ahead log first, and makes an empty one to read the ledger.
        modified("").max(modified("-wal"))
    }

    /// Finds a newer run of the same sheet, or an undo or retry of this run, that has changed files or is about
    /// to: resuming this run would overwrite newer values. Searches the sibling directories and
    /// `others`. Runs are ordered by position, not by time.
    ///
    /// # Errors
    /// The ledger of this run cannot be read. Other runs that cannot be read are ignored.
    pub fn newer_run(&self, others: &[PathBuf]) -> Result<Option<Self>, LedgerError> {
        let ours = self.ledger()?.meta()?;
        Ok(self.find_other(others, |run, path| run.is_newer_than(&ours, path)))
    }

    /// Finds a retry of this run that has started to send. Searches the sibling directories and
    /// `others`.
    ///
    /// # Errors
    /// The ledger of this run cannot be read. Other runs that cannot be read are ignored.
    pub fn retried_by(&self, others: &[PathBuf]) -> Result<Option<Self>, LedgerError> {
        let ours = self.ledger()?.meta()?;
        Ok(self.find_other(others, |run, _| {
            let theirs = run.ledger().and_then(|ledger| ledger.meta());
            theirs.is_ok_and(|it| it.retries(&ours) && it.stage == Stage::Running)
        }))
    }

    /// The later run that decides what can still be done with this one: an undo, a retry, or a later run
    /// of the same sheet. Searches the sibling directories.
    ///
    /// # Errors
    /// The ledger of this run cannot be read. Other runs that cannot be read are ignored.
    pub(crate) fn successor(&self) -> Result<Option<Successor>, LedgerError> {
        let ours = self.ledger()?.meta()?;
        let undo = self.find_other(&[], |run, path| {
            let theirs = run.ledger().and_then(|ledger| ledger.meta());
            theirs.is_ok_and(|it| it.undoes(&ours)) && run.is_newer_than(&ours, path)
        });
        Ok(match (undo, self.retried_by(&[])?) {
            (Some(undo), _) => Some(Successor::Undo(undo.0)),
            (None, Some(retry)) if retry.has_ended() => Some(Successor::Retry(retry.0)),
            (None, Some(retry)) => Some(Successor::UnfinishedRetry(retry.0)),
            (None, None) => self.newer_run(&[])?.map(|run| Successor::LaterRun(run.0)),
        })
    }

    /// Whether the run has finished. One that cannot be read has not.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let exit_code = self.ledger().and_then(|ledger| ledger.final_exit_code());
        exit_code.is_ok_and(|exit_code| exit_code.is_some())
    }

    /// Finds an undo of this run that has finished, whether or not it had anything to revert. Searches
    /// the sibling directories and `others`.
    ///
    /// # Errors
    /// The ledger of this run cannot be read. Other runs that cannot be read are ignored.
    pub fn undone_by(&self, others: &[PathBuf]) -> Result<Option<Self>, LedgerError> {
        let ours = self.ledger()?.meta()?;
        Ok(self.find_other(others, |run, _| {
            let theirs =
                run.ledger().and_then(|ledger| Ok((ledger.meta()?, ledger.final_exit_code()?)));
            theirs.is_ok_and(|(theirs, done)| theirs.undoes(&ours) && done.is_some())
        }))
    }

    /// The directories beside this run, and its own.
    pub(crate) fn siblings(&self) -> Vec<PathBuf> {
        let path = self.0.canonicalize();
        path.map(|path| subdirectories(path.parent().unwrap_or(&path))).unwrap_or_default()
    }

    /// The first other run that matches; the path of this run is passed along.
    fn find_other(
        &self,
        others: &[PathBuf],
        matches: impl Fn(&Self, &Path) -> bool,
    ) -> Option<Self> {
        let path = self.0.canonicalize().ok()?;
        let siblings = subdirectories(path.parent().unwrap_or(&path));
        let elsewhere = others.iter().filter(|other| !siblings.contains(other));
        let mut candidates = siblings.iter().chain(elsewhere).filter(|other| **other != path);
        candidates.find_map(|other| {
            let run = Self::open(other).ok()?;
            matches(&run, &path).then_some(run)
        })
    }

    fn is_newer_than(&self, ours: &RunMeta, our_path: &Path) -> bool {
        let Ok((theirs, ledger)) = self.ledger().and_then(|ledger| Ok((ledger.meta()?, ledger)))
        else {
            return false;
        };
        let is_sibling = self.0.parent() == our_path.parent();
        let is_their_sheet = |sheet| theirs.is_of_sheet(Path::new(sheet), is_sibling);
        let is_same_sheet = ours.input_path.as_ref().is_some_and(is_their_sheet)
            && theirs.account.is_same(&ours.account);
        let is_related = is_same_sheet || theirs.undoes(ours) || theirs.retries(ours);
        if theirs.position <= ours.position || !is_related {
            return false;
        }
        self.changes_files(&theirs, &ledger)
    }

    /// Whether the run has changed files or is about to.
    pub(crate) fn changes_files(&self, meta: &RunMeta, ledger: &LedgerFile) -> bool {
        match meta.stage {
            Stage::Running => {
                let may_have_written = [Status::Updated, Status::Failed, Status::Unknown];
                ledger.completeness().is_ok_and(|it| it == Completeness::MayMissRequests)
                    || ledger.has_status(&may_have_written).unwrap_or(true)
            }
            // A run that is still planning will write, unless it only saves the plan.
            Stage::Planning => !meta.checks_conflicts() && RunLock::is_held(self).unwrap_or(true),
            Stage::Planned => false,
        }
    }

    /// The greatest position among the runs in the sibling directories; 0 if there are none.
    #[must_use]
    pub fn last_position_beside(&self) -> u64 {
        let siblings = self.0.parent().map(subdirectories).unwrap_or_default();
        let positions = siblings.iter().filter_map(|path| {
            let run = Self::open(path).ok()?;
            Some(run.ledger().ok()?.meta().ok()?.position)
        });
        positions.max().unwrap_or(0)
    }

    /// Removes the directory of a run that never started, and its parent directory if that is empty.
    pub fn discard(self) {
        // If removal fails, an unused directory remains, which is harmless.
        drop(fs::remove_dir_all(&self.0));
        if let Some(runs) = self.0.parent() {
            drop(fs::remove_dir(runs));
        }
    }
}

/// The runs of the sheets in a directory that can be resumed: interrupted ones, and ones with rows
/// that were not attempted. Oldest first.
#[must_use]
pub fn unfinished_runs(directory: &Path) -> Vec<RunDir> {
    let sheets = subdirectories(directory).into_iter().filter(|path| holds_runs(path));
    let mut runs: Vec<RunDir> = sheets
        .flat_map(|runs| subdirectories(&runs))
        .filter_map(|path| RunDir::open(&path).ok())
        .filter(RunDir::is_unfinished)
        .collect();
    runs.sort_by_cached_key(|run| {
        let meta = run.ledger().and_then(|ledger| ledger.meta());
        (meta.map_or(0, |meta| meta.position), run.0.clone())
    });
    runs
}

/// The directory for the runs of a sheet: the name of the sheet with another extension. A sheet that has
/// that extension itself keeps it. A name that would be too long ends in a hash in place of its rest.
fn runs_directory(sheet: &Path) -> PathBuf {
    let has_extension = sheet.extension().is_some_and(|it| it == RUNS_EXTENSION);
    let stem = if has_extension { sheet.file_name() } else { sheet.file_stem() };
    let stem = stem.unwrap_or_default().as_bytes();
    let room = NAME_BYTES_MAX - RUNS_EXTENSION.len() - 1;
    let mut name = stem.to_owned();
    if stem.len() > room {
        let hash = format!("-{:016x}", xxh3_64(stem));
        let mut end = room - hash.len();
        while is_within_character(stem, end) {
            end -= 1;
        }
        name.truncate(end);
        name.extend(hash.into_bytes());
    }
    name.extend(format!(".{RUNS_EXTENSION}").into_bytes());
    sheet.with_file_name(OsString::from_vec(name))
}

/// Whether a character of UTF-8 continues at this byte.
fn is_within_character(text: &[u8], at: usize) -> bool {
    at > 0 && text.get(at).is_some_and(|byte| byte & 0xC0 == 0x80)
}

/// The directory name of a run that starts now.
fn name_of(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H-%M-%SZ").to_string()
}

/// Whether a directory holds the runs of a sheet.
fn holds_runs(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == RUNS_EXTENSION)
}

impl RunDir {
    fn is_unfinished(&self) -> bool {
        let opened = self.ledger().and_then(|ledger| Ok((ledger.meta()?, ledger)));
        opened.is_ok_and(|(meta, ledger)| self.can_resume(&meta, &ledger))
    }

    /// Whether the run has started sending, is not finished, and no process is executing it.
    pub(super) fn can_resume(&self, meta: &RunMeta, ledger: &LedgerFile) -> bool {
        meta.stage == Stage::Running
            && ledger.final_exit_code().is_ok_and(|exit_code| exit_code.is_none())
            && !RunLock::is_held(self).unwrap_or(true)
    }

    /// Removes sibling runs that were killed before sending anything: they contain only a copy of the
    /// sheet.
    pub fn remove_abandoned_beside(&self) {
        let Some(runs) = self.0.parent().filter(|runs| holds_runs(runs)) else {
            return;
        };
        for path in subdirectories(runs).into_iter().filter(|path| *path != self.0) {
            let run = Self(path);
            // Without a lock file, the run may be just starting rather than abandoned.
            if run.0.join(RunLock::NAME).exists()
                && let Ok(_lock) = RunLock::take(&run)
                && run.sent_nothing()
            {
                drop(fs::remove_dir_all(&run.0));
            }
        }
    }

    /// Whether the run ended before its first request and is not a saved plan.
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

/// Creates a directory and its missing ancestors, and syncs them to disk.
fn create_synced(path: &Path) -> io::Result<()> {
    let missing =
        path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists());
    let missing: Vec<&Path> = missing.collect();
    fs::create_dir_all(path)?;
    let mut changed = missing.iter().rev().filter_map(|path| path.parent());
    changed.try_for_each(sync_directory)
}

pub(super) fn subdirectories(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// A hint that names the runs of a sheet, or the directory for them.
fn runs_of_sheet(sheet: &Path) -> String {
    let directory = runs_directory(sheet);
    match runs_below(&directory) {
        runs if runs.is_empty() => format!("; the runs of a sheet are in {}", directory.display()),
        runs => runs,
    }
}

/// A hint that names the runs in a directory such as `sheet.ikbulk`, the newest first; empty if
/// there are none.
fn runs_below(directory: &Path) -> String {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut runs: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.join(LedgerFile::NAME).is_file())
        .collect();
    runs.sort_unstable_by(|one, other| other.cmp(one));
    let more = if runs.len() > RUNS_NAMED_MAX { ", …" } else { "" };
    let names: Vec<String> =
        runs.iter().take(RUNS_NAMED_MAX).map(|run| run.display().to_string()).collect();
    match names.as_slice() {
        [] => String::new(),
        names => format!("; pass one of its runs: {}{more}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_of_runs_has_the_name_of_the_sheet_as_far_as_that_is_possible() {
        let of = |sheet: &str| runs_directory(Path::new(sheet)).display().to_string();
        assert_eq!(of("a/sheet.csv"), "a/sheet.ikbulk");
        assert_eq!(of("sheet.csv.gz"), "sheet.csv.ikbulk");
        assert_eq!(of("sheet.ikbulk"), "sheet.ikbulk.ikbulk");
        let fits = "x".repeat(248);
        assert_eq!(of(&format!("{fits}.csv")), format!("{fits}.ikbulk"));
        // Two bytes each, so that the end would be within a character.
        let long = |last: &str| of(&format!("a/x{}{last}", "é".repeat(125)));
        let name = long("a.c");
        let cut = name.trim_start_matches("a/").trim_end_matches(".ikbulk");
        assert!(cut.len() <= 248 && cut.starts_with("xéé") && !cut.contains('\u{fffd}'), "{cut}");
        assert_ne!(name, long("b.c"));
    }

    #[test]
    fn ledger_that_is_only_read_is_not_modified() {
        let directory = tempfile::tempdir().unwrap();
        let run = RunDir::create_at(&directory.path().join("run")).unwrap();
        let ledger = run.path().join(LedgerFile::NAME);
        let written = std::time::UNIX_EPOCH;
        fs::write(&ledger, "pages").unwrap();
        fs::File::options().write(true).open(&ledger).unwrap().set_modified(written).unwrap();
        // SQLite makes an empty log where it opens the ledger.
        let log = run.path().join(format!("{}-wal", LedgerFile::NAME));
        fs::write(&log, "").unwrap();
        assert_eq!(run.last_modified(), Some(Timestamp::UNIX_EPOCH));
        fs::write(&log, "pages").unwrap();
        assert!(run.last_modified() > Some(Timestamp::UNIX_EPOCH));
    }
}
