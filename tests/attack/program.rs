//! Runs the real binary in a temporary directory with a clean environment.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::run_directory::RunDirectory;
use crate::server::{KEYS, lock_mutex};

/// No command takes longer unless it hangs.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Flag that lets `resume` send without a terminal.
pub(crate) const RESUME: &str = "--yes";
/// Flags for full speed and any share of rejected rows.
pub(crate) const NO_LIMITS: &str = "--rate unlimited --read-rate unlimited --concurrency 3 \
                               --max-bad 100% --max-rejected 100%";

/// A user's working directory with sheets, runs and state.
pub(crate) struct Workspace {
    directory: TempDir,
    endpoint: String,
}

impl Workspace {
    pub(crate) fn new(endpoint: impl Into<String>) -> Self {
        let directory =
            TempDir::with_prefix("ikbulk-attack-").expect("a directory should be creatable");
        Self { directory, endpoint: endpoint.into() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).expect("the directory should be writable");
    }

    /// The complete environment of commands started here.
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("XDG_STATE_HOME", self.path("state").into()),
            ("HOME", self.path("home").into()),
            ("TZ", "UTC".into()),
            ("IMAGEKIT_PRIVATE_KEY", KEYS[0].into()),
            ("IMAGE_KIT_BASE_URL", self.endpoint.clone().into()),
        ]
    }

    /// Prepares an `ikbulk` command; arguments are split at spaces.
    pub(crate) fn command(&self, line: &str) -> PreparedCommand {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ikbulk"));
        command
            .args(line.split_whitespace())
            .env_clear()
            .envs(self.environment())
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        PreparedCommand(command)
    }

    pub(crate) fn run(&self, line: &str) -> CmdResult {
        self.command(line).run()
    }

    /// The runs of a sheet, ordered by start.
    pub(crate) fn runs(&self, stem: &str) -> Vec<RunDirectory> {
        let entries = fs::read_dir(self.path(&format!("{stem}.ikbulk")));
        let paths = entries.into_iter().flatten().flatten().map(|entry| entry.path());
        let mut runs: Vec<RunDirectory> = paths.map(RunDirectory::at).collect();
        runs.sort_by_key(RunDirectory::start_key);
        runs
    }

    pub(crate) fn last_run(&self, stem: &str) -> RunDirectory {
        self.runs(stem).pop().expect("a run should have started")
    }
}

/// A command that is not started yet.
pub(crate) struct PreparedCommand(Command);

impl PreparedCommand {
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.env_remove(name);
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.env("IMAGEKIT_PRIVATE_KEY", key)
    }

    pub(crate) fn endpoint(self, endpoint: &str) -> Self {
        self.env("IMAGE_KIT_BASE_URL", endpoint)
    }

    /// Redirects standard output; [`CmdResult::out`] stays empty.
    pub(crate) fn output(mut self, output: impl Into<Stdio>) -> Self {
        self.0.stdout(output);
        self
    }

    pub(crate) fn run(self) -> CmdResult {
        self.start().wait()
    }

    pub(crate) fn start(self) -> RunningCommand {
        self.start_as(&ChildHandle::default())
    }

    /// Starts the command so that the hook can kill it through `child_handle` from its first request.
    pub(crate) fn start_as(mut self, child_handle: &ChildHandle) -> RunningCommand {
        let mut slot = lock_mutex(&child_handle.0);
        let mut child = self.0.spawn().expect("ikbulk should start");
        let out = OutputReader::new(child.stdout.take());
        let err = OutputReader::new(child.stderr.take());
        *slot = Some(child);
        RunningCommand { child_handle: child_handle.clone(), out, err }
    }
}

/// A running command; killed when dropped.
pub(crate) struct RunningCommand {
    child_handle: ChildHandle,
    out: OutputReader,
    err: OutputReader,
}

impl RunningCommand {
    /// Waits until standard error contains `text`, or the command has exited.
    #[track_caller]
    pub(crate) fn wait_for_stderr(&self, text: &str) {
        wait_until(&format!("{text:?} on standard error"), || {
            self.err.current().contains(text) || self.child_handle.id().is_none()
        });
    }

    pub(crate) fn wait(self) -> CmdResult {
        let (out, err) = (self.out.complete(), self.err.complete());
        let mut child = lock_mutex(&self.child_handle.0);
        let child = child.as_mut().expect("the child should be started");
        let code = child.wait().expect("waiting for the child should succeed").code();
        CmdResult { code, out, err }
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        self.child_handle.kill();
    }
}

/// A child process that another thread can kill.
#[derive(Clone, Default)]
pub(crate) struct ChildHandle(Arc<Mutex<Option<Child>>>);

impl ChildHandle {
    /// Kills the process with SIGKILL and waits until it has exited.
    pub(crate) fn kill(&self) {
        if let Some(child) = lock_mutex(&self.0).as_mut() {
            child.kill().expect("killing the child should succeed");
            child.wait().expect("waiting for the child should succeed");
        }
    }

    /// The process id; `None` if the process has exited.
    pub(crate) fn id(&self) -> Option<u32> {
        let mut child = lock_mutex(&self.0);
        let child = child.as_mut()?;
        let has_ended = !matches!(child.try_wait(), Ok(None));
        (!has_ended).then(|| child.id())
    }
}

/// The result of a command.
#[derive(Debug)]
pub(crate) struct CmdResult {
    /// The exit code; `None` if the command was killed.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl CmdResult {
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\n{}\n{}", self.out, self.err);
        self
    }

    /// Whether a command failed because its run has sent nothing so far.
    pub(crate) fn has_nothing_to_resume(&self) -> bool {
        self.code == Some(2)
    }

    #[track_caller]
    pub(crate) fn was_killed(self) -> Self {
        assert_eq!(self.code, None, "\n{}\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn output_contains(self, text: &str) -> Self {
        let is_printed = self.out.contains(text) || self.err.contains(text);
        assert!(is_printed, "{text} is not in the output:\n{}\n{}", self.out, self.err);
        self
    }
}

/// Collects an output stream of a command.
struct OutputReader {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Disconnected at the end of the stream.
    ended: Receiver<()>,
}

impl OutputReader {
    fn new(stream: Option<impl Read + Send + 'static>) -> Self {
        let (sender, ended) = sync_channel(0);
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let received = Arc::clone(&bytes);
        thread::spawn(move || {
            let _disconnects_at_end = sender;
            let mut stream = stream;
            let mut chunk = [0; 4096];
            while let Some(Ok(read @ 1..)) = stream.as_mut().map(|stream| stream.read(&mut chunk)) {
                lock_mutex(&received).extend(&chunk[..read]);
            }
        });
        Self { bytes, ended }
    }

    fn current(&self) -> String {
        String::from_utf8_lossy(&lock_mutex(&self.bytes)).into_owned()
    }

    /// The complete output, once the stream has ended.
    fn complete(&self) -> String {
        let ended = self.ended.recv_timeout(TIMEOUT);
        assert_eq!(
            ended,
            Err(RecvTimeoutError::Disconnected),
            "the command hangs: {}",
            self.current()
        );
        self.current()
    }
}

/// Polls until the condition holds.
#[track_caller]
pub(crate) fn wait_until(condition: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < TIMEOUT, "timed out waiting for: {condition}");
        thread::sleep(Duration::from_micros(200));
    }
}

/// Waits until the file exists.
#[track_caller]
pub(crate) fn wait_for_file(path: &Path) {
    wait_until(&format!("{} exists", path.display()), || path.exists());
}
