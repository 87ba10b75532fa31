//! The lock of a run directory: only one process at a time executes a run, whatever its user, key
//! and state directory.
//!
//! An advisory lock on the file `run.lock` in the directory, which the operating system releases when the
//! process ends. Executing the run takes it exclusively; inspecting the run or writing its reports
//! takes it shared. The content of the file is only used in messages.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::directory::RunDir;
use crate::system;

/// Lock file that allows one process at a time to write the reports.
const REPORT_NAME: &str = "report.lock";
/// Maximum number of bytes of a lock file shown in messages.
const HOLDER_BYTES_MAX: u64 = 300;

/// The lock for executing a run, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

/// The lock for writing the reports of a run: meanwhile no process executes the run, and no other
/// process writes its reports.
#[derive(Debug)]
pub struct ReportLock {
    _not_executed: File,
    _no_other_report: File,
}

/// Reason why a lock could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum RunLockError {
    /// Another process is executing the run.
    #[error("the run {run} is being executed by {holder}")]
    Held {
        /// The run directory.
        run: PathBuf,
        /// The process: id, machine and command, from the lock file.
        holder: String,
    },
    /// Another process is inspecting the run or writing its reports, which takes seconds at most.
    #[error("another process is writing the reports of the run {run}; try again in a moment")]
    Reporting {
        /// The run directory.
        run: PathBuf,
    },
    /// The lock file cannot be opened, locked or written.
    #[error("cannot use the lock file {path}")]
    File {
        /// The lock file.
        path: PathBuf,
        /// The file system error.
        #[source]
        source: io::Error,
    },
}

impl RunLock {
    /// Name of the lock file in a run directory.
    pub(super) const NAME: &str = "run.lock";

    /// Takes the lock for executing a run. Does not wait.
    ///
    /// # Errors
    /// Another process holds the lock, or the lock file cannot be used.
    pub fn take(run: &RunDir) -> Result<Self, RunLockError> {
        let failed = |source| RunLockError::File { path: path_of(run), source };
        let mut file = open_or_create(&path_of(run)).map_err(failed)?;
        if let Err(error) = file.try_lock() {
            return Err(match error {
                TryLockError::WouldBlock if is_executed(&file).map_err(failed)? => {
                    let run = run.path().to_owned();
                    RunLockError::Held { run, holder: holder(&file) }
                }
                TryLockError::WouldBlock => RunLockError::Reporting { run: run.path().to_owned() },
                TryLockError::Error(source) => failed(source),
            });
        }
        note_holder(&mut file).map_err(failed)?;
        Ok(Self { _file: file })
    }

    /// Whether a process is executing the run. Does not disturb that process.
    ///
    /// # Errors
    /// The lock file cannot be used.
    pub fn is_held(run: &RunDir) -> Result<bool, RunLockError> {
        let failed = |source| RunLockError::File { path: path_of(run), source };
        match open(OpenOptions::new().read(true), &path_of(run)) {
            Ok(file) => is_executed(&file).map_err(failed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }
}

impl ReportLock {
    /// Takes the lock for writing the reports of a run. Does not wait.
    ///
    /// # Errors
    /// Another process is executing the run or writing its reports, or a lock file cannot be used.
    pub fn take(run: &RunDir) -> Result<Self, RunLockError> {
        let path = path_of(run);
        let failed = |source| RunLockError::File { path: path.clone(), source };
        let not_executed = open_or_create(&path).map_err(failed)?;
        match not_executed.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = holder(&not_executed);
                return Err(RunLockError::Held { run: run.path().to_owned(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let path = run.path().join(REPORT_NAME);
        let failed = |source| RunLockError::File { path: path.clone(), source };
        let no_other_report = open_or_create(&path).map_err(failed)?;
        match no_other_report.try_lock() {
            Ok(()) => Ok(Self { _not_executed: not_executed, _no_other_report: no_other_report }),
            Err(TryLockError::WouldBlock) => {
                Err(RunLockError::Reporting { run: run.path().to_owned() })
            }
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

fn path_of(run: &RunDir) -> PathBuf {
    run.path().join(RunLock::NAME)
}

fn open_or_create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    open(options.read(true).write(true).create(true).truncate(false).mode(0o600), path)
}

/// Opens a lock file. Does not follow symbolic links, which a copied run directory might contain.
fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.custom_flags(system::NO_FOLLOW).open(path)
}

/// Whether a process holds the lock exclusively; a shared lock does not count.
fn is_executed(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(source)) => Err(source),
    }
}

/// Writes the holder of the lock: process id, machine and command. Arguments never contain a key.
fn note_holder(file: &mut File) -> io::Result<()> {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
    let machine = system::machine();
    let process = std::process::id();
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "process {process} on {machine} (ikbulk {})", args.join(" "))
}

/// The holder of the lock, for a message. The file may come from elsewhere, so control characters are
/// escaped.
fn holder(file: &File) -> String {
    let mut bytes = Vec::new();
    let read = file.take(HOLDER_BYTES_MAX).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let line: String = text.lines().next().unwrap_or_default().escape_debug().collect();
    // The file is empty until the holder has written it.
    if read.is_err() || line.is_empty() { "another process".to_owned() } else { line }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn run() -> (tempfile::TempDir, RunDir) {
        let directory = tempfile::tempdir().unwrap();
        let run = RunDir::create_at(&directory.path().join("run")).unwrap();
        (directory, run)
    }

    #[test]
    fn run_is_locked_until_lock_is_dropped() {
        let (_directory, run) = run();
        let lock = RunLock::take(&run).unwrap();
        let refused = RunLock::take(&run).unwrap_err().to_string();
        let process = format!("by process {} on ", std::process::id());
        assert!(refused.contains(&process), "{refused}");
        assert!(RunLock::is_held(&run).unwrap());
        drop(lock);
        assert!(!RunLock::is_held(&run).unwrap());
        RunLock::take(&run).unwrap();
    }

    #[test]
    fn shared_lock_does_not_count_as_held() {
        let (_directory, run) = run();
        assert!(!RunLock::is_held(&run).unwrap());
        assert!(!path_of(&run).exists());
        drop(RunLock::take(&run).unwrap());
        let observer = File::open(path_of(&run)).unwrap();
        observer.try_lock_shared().unwrap();
        assert!(matches!(RunLock::take(&run), Err(RunLockError::Reporting { .. })));
        assert!(!RunLock::is_held(&run).unwrap());
    }

    #[test]
    fn lock_file_is_private_and_links_are_refused() {
        let (directory, run) = run();
        drop(RunLock::take(&run).unwrap());
        let mode = std::fs::metadata(path_of(&run)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_file(path_of(&run)).unwrap();
        let target = directory.path().join("target");
        std::fs::write(&target, "kept").unwrap();
        symlink(&target, path_of(&run)).unwrap();
        assert!(matches!(RunLock::take(&run), Err(RunLockError::File { .. })));
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "kept");
    }

    #[test]
    fn control_characters_of_lock_holder_are_escaped() {
        let (_directory, run) = run();
        let lock = RunLock::take(&run).unwrap();
        std::fs::write(path_of(&run), "process \u{1b}[2J\nmore").unwrap();
        let refused = RunLock::take(&run).unwrap_err().to_string();
        assert!(refused.ends_with("by process \\u{1b}[2J"), "{refused}");
        drop(lock);
    }
}
