//! The real binary, with nothing of the tester's own environment, in a directory of its own.

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

use crate::run::Run;
use crate::server::{KEYS, locked};

/// No command here takes longer; one that does hangs.
const PATIENCE: Duration = Duration::from_mins(1);
/// Lets `resume` send without a terminal.
pub(crate) const RESUME: &str = "--yes";
/// As fast as it goes, and whatever share of rows is rejected.
pub(crate) const FAST: &str = "--rate unlimited --read-rate unlimited --concurrency 3 \
                               --max-bad 100% --max-rejected 100%";

/// The directory that a person works in.
pub(crate) struct Desk {
    directory: TempDir,
    endpoint: String,
}

impl Desk {
    pub(crate) fn new(endpoint: impl Into<String>) -> Self {
        let directory = TempDir::with_prefix("ikbulk-attack-").expect("a directory can be made");
        Self { directory, endpoint: endpoint.into() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).expect("the directory takes files");
    }

    /// All that a program started here knows of the world.
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("XDG_STATE_HOME", self.path("state").into()),
            ("HOME", self.path("home").into()),
            ("TZ", "UTC".into()),
            ("IMAGEKIT_PRIVATE_KEY", KEYS[0].into()),
            ("IMAGE_KIT_BASE_URL", self.endpoint.clone().into()),
        ]
    }

    /// A command, written as in a shell, without quotes.
    pub(crate) fn call(&self, line: &str) -> Call {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ikbulk"));
        command
            .args(line.split_whitespace())
            .env_clear()
            .envs(self.environment())
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Call(command)
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, line: &str) -> Done {
        self.call(line).run()
    }

    /// The runs of a sheet, in the order in which they were begun.
    pub(crate) fn runs(&self, stem: &str) -> Vec<Run> {
        let entries = fs::read_dir(self.path(&format!("{stem}.ikbulk")));
        let paths = entries.into_iter().flatten().flatten().map(|entry| entry.path());
        let mut runs: Vec<Run> = paths.map(Run::at).collect();
        runs.sort_by_key(Run::place);
        runs
    }

    pub(crate) fn last_run(&self, stem: &str) -> Run {
        self.runs(stem).pop().expect("a run has begun")
    }
}

/// A command that has not been started.
pub(crate) struct Call(Command);

impl Call {
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

    /// Standard output goes there; what is done says nothing of it.
    pub(crate) fn output(mut self, output: impl Into<Stdio>) -> Self {
        self.0.stdout(output);
        self
    }

    pub(crate) fn run(self) -> Done {
        self.start().wait()
    }

    pub(crate) fn start(self) -> Started {
        self.start_as(&Victim::default())
    }

    /// Starts it where whoever has `victim` can kill it, from its first request on.
    pub(crate) fn start_as(mut self, victim: &Victim) -> Started {
        let mut place = locked(&victim.0);
        let mut child = self.0.spawn().expect("the program starts");
        let out = Said::by(child.stdout.take());
        let err = Said::by(child.stderr.take());
        *place = Some(child);
        Started { victim: victim.clone(), out, err }
    }
}

/// A command that runs. It is killed when this is dropped before its end.
pub(crate) struct Started {
    victim: Victim,
    out: Said,
    err: Said,
}

impl Started {
    /// Waits until it has said that on standard error, or has ended.
    #[track_caller]
    pub(crate) fn wait_until_it_says(&self, text: &str) {
        wait_until(&format!("{text:?} is said"), || {
            self.err.so_far().contains(text) || self.victim.id().is_none()
        });
    }

    /// Waits for its end.
    pub(crate) fn wait(self) -> Done {
        let (out, err) = (self.out.whole(), self.err.whole());
        let mut child = locked(&self.victim.0);
        let child = child.as_mut().expect("it was started");
        let code = child.wait().expect("a child can be waited for").code();
        Done { code, out, err }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.victim.kill();
    }
}

/// A running program, for whoever is to kill it.
#[derive(Clone, Default)]
pub(crate) struct Victim(Arc<Mutex<Option<Child>>>);

impl Victim {
    /// Kills it as the system would, and comes back when it is dead.
    pub(crate) fn kill(&self) {
        if let Some(child) = locked(&self.0).as_mut() {
            child.kill().expect("a child can be killed");
            child.wait().expect("a child can be waited for");
        }
    }

    /// Its process; `None` once that has ended.
    pub(crate) fn id(&self) -> Option<u32> {
        let mut child = locked(&self.0);
        let child = child.as_mut()?;
        let has_ended = !matches!(child.try_wait(), Ok(None));
        (!has_ended).then(|| child.id())
    }
}

/// A command that has come to its end.
#[derive(Debug)]
pub(crate) struct Done {
    /// The exit code; `None` where it was killed.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\n{}\n{}", self.out, self.err);
        self
    }

    /// Whether a command about a run was refused because the run has sent nothing so far. One that was
    /// killed while it made its ledger says so by another exit code than one that was killed later.
    pub(crate) fn has_nothing_to_go_on_with(&self) -> bool {
        self.code == Some(2)
    }

    #[track_caller]
    pub(crate) fn died(self) -> Self {
        assert_eq!(self.code, None, "\n{}\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        let said = self.out.contains(text) || self.err.contains(text);
        assert!(said, "not said: {text}\n{}\n{}", self.out, self.err);
        self
    }
}

/// What a program says on one of its streams.
struct Said {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Closed at the end of the stream.
    ended: Receiver<()>,
}

impl Said {
    fn by(stream: Option<impl Read + Send + 'static>) -> Self {
        let (sender, ended) = sync_channel(0);
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let heard = Arc::clone(&bytes);
        thread::spawn(move || {
            let _until_here = sender;
            let mut stream = stream;
            let mut piece = [0; 4096];
            while let Some(Ok(read @ 1..)) = stream.as_mut().map(|stream| stream.read(&mut piece)) {
                locked(&heard).extend(&piece[..read]);
            }
        });
        Self { bytes, ended }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&locked(&self.bytes)).into_owned()
    }

    /// All of it, once the program has ended.
    fn whole(&self) -> String {
        let ended = self.ended.recv_timeout(PATIENCE);
        assert_eq!(ended, Err(RecvTimeoutError::Disconnected), "it hangs: {}", self.so_far());
        self.so_far()
    }
}

/// Looks again and again until it is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what} does not happen");
        thread::sleep(Duration::from_micros(200));
    }
}

/// Waits until a file is there.
#[track_caller]
pub(crate) fn wait_for_file(path: &Path) {
    wait_until(&format!("{} appears", path.display()), || path.exists());
}
