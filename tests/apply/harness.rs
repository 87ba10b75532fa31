//! The program as a person meets it: a directory with a sheet in it, an ImageKit at the other end
//! of the wire, and the real binary with nothing of the tester's own environment.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use ikbulk::internals::{AccountDb, AccountLock, Identity, KeyFingerprint, Service, StateDir};
use ikbulk_sandbox::{Config, Fault, Faults, Hook, Library, Phase, Running};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use tempfile::TempDir;

/// No command here takes longer; one that does hangs.
const PATIENCE: Duration = Duration::from_mins(1);
/// The key of every sandbox here. Its name shows wherever it leaks.
pub(crate) const KEY: &str = "private_doNotPrintMe12345=";

/// A directory, a sandbox, and the program.
pub(crate) struct TestEnv {
    directory: TempDir,
    pub(crate) sandbox: Running,
}

/// A sandbox without limits, and with these files.
pub(crate) fn files<I: IntoIterator<Item = S>, S: Into<String>>(ids: I) -> Config {
    with_library(Library::from_ids(ids.into_iter().map(Into::into)))
}

/// A sandbox without limits, and with this library.
pub(crate) fn with_library(library: Library) -> Config {
    Config {
        key: KEY.to_owned(),
        library,
        writes: Vec::new(),
        reads: Vec::new(),
        ..Config::default()
    }
}

impl TestEnv {
    pub(crate) fn new(config: Config) -> Self {
        let directory = TempDir::with_prefix("ikbulk-test-").expect("a directory can be made");
        let sandbox = ikbulk_sandbox::start(config).expect("the sandbox should start");
        Self { directory, sandbox }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file into the directory.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).expect("the directory takes files");
    }

    /// Writes a file that only its owner can read, such as a key.
    pub(crate) fn write_private(&self, name: &str, text: impl AsRef<[u8]>) {
        self.write(name, text);
        let only_owner = fs::Permissions::from_mode(0o600);
        fs::set_permissions(self.path(name), only_owner).expect("the file is ours");
    }

    /// A command of the program, with nothing of the tester's environment.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Call {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ikbulk"));
        command.args(arguments);
        self.call(command)
    }

    /// The same, started by a shell that has run these commands, such as `ulimit`.
    pub(crate) fn command_after<S: AsRef<OsStr>>(&self, shell: &str, arguments: &[S]) -> Call {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("{shell}; exec \"$0\" \"$@\"")]);
        command.arg(env!("CARGO_BIN_EXE_ikbulk")).args(arguments);
        self.call(command)
    }

    fn call(&self, mut command: Command) -> Call {
        command
            .env_clear()
            .env("XDG_STATE_HOME", self.path("state"))
            .env("TZ", "UTC")
            .env("IMAGEKIT_PRIVATE_KEY", KEY)
            .env("IMAGE_KIT_BASE_URL", self.sandbox.base_url())
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Call { command, input: Vec::new() }
    }

    /// Runs a command written as in a shell, without quotes.
    pub(crate) fn run(&self, line: &str) -> CmdResult {
        self.command(&line.split_whitespace().collect::<Vec<_>>()).run()
    }

    /// Applies a sheet without asking and without a rate limit.
    pub(crate) fn apply(&self, rest: &str) -> CmdResult {
        self.run(&format!("apply --yes --rate unlimited --read-rate unlimited {rest}"))
    }

    /// The same with `--direct` and without a snapshot of the files.
    pub(crate) fn apply_direct(&self, rest: &str) -> CmdResult {
        self.apply(&format!("--direct --no-snapshot {rest}"))
    }

    /// Takes the account's lock, as another run would.
    pub(crate) fn lock_account(&self) -> AccountLock {
        let state = StateDir::open(&self.path("state/ikbulk")).expect("it can be made");
        let endpoint = self.sandbox.base_url().parse().expect("it is a URL");
        let service = Service::at(&endpoint);
        let key = KeyFingerprint::new(&service, &KEY.to_owned().into());
        let identity = Identity { service, key, name: None };
        let account = AccountDb::open(&state).and_then(|db| db.account_of(&identity));
        let account = account.expect("the database can be made");
        AccountLock::take(&state, account, Path::new("another run")).expect("the lock is free")
    }

    /// The runs of a sheet, in their order.
    pub(crate) fn runs(&self, stem: &str) -> Vec<RunFiles> {
        let entries = fs::read_dir(self.path(&format!("{stem}.ikbulk")));
        let entries = entries.into_iter().flatten();
        let mut paths: Vec<PathBuf> =
            entries.map(|entry| entry.expect("the directory can be read").path()).collect();
        paths.sort();
        paths.into_iter().map(RunFiles).collect()
    }

    /// The only run of a sheet.
    pub(crate) fn only_run(&self, stem: &str) -> RunFiles {
        let mut runs = self.runs(stem);
        assert_eq!(runs.len(), 1, "{stem} should have one run: {runs:?}");
        runs.remove(0)
    }

    /// A file of the library as it is now.
    pub(crate) fn file(&self, id: &str) -> Value {
        self.sandbox.file(id).expect("the file should exist")
    }
}

/// An environment with a sheet that tags `count` files; `change` adjusts the sandbox.
pub(crate) fn tagged(count: usize, change: impl FnOnce(Config) -> Config) -> TestEnv {
    let ids = ids(count);
    let env = TestEnv::new(change(files(&ids)));
    env.write("sheet.csv", tagging(&ids));
    env
}

/// A command that has not been started.
pub(crate) struct Call {
    command: Command,
    input: Vec<u8>,
}

impl Call {
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// What comes in on standard input.
    pub(crate) fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self.command.stdin(Stdio::piped());
        self
    }

    /// A file that comes in on standard input.
    pub(crate) fn input_file(mut self, file: fs::File) -> Self {
        self.command.stdin(file);
        self
    }

    pub(crate) fn run(self) -> CmdResult {
        let (started, input) = self.start();
        CmdResult::of(started, &input)
    }

    /// Runs it where `victim` can get at it.
    pub(crate) fn run_as(self, victim: &ChildHandle) -> CmdResult {
        // Whoever strikes at its first request waits until its handle is there.
        let mut place = victim.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut started, _) = self.start();
        let streams = (started.stdout.take(), started.stderr.take());
        let id = started.id();
        *place = Some(started);
        drop(place);
        let out = read_in_background(streams.0);
        let err = read_in_background(streams.1);
        let (out, err) = (collected(&out, id), collected(&err, id));
        let mut place = victim.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut child = place.take().expect("it was put there above");
        let status = child.wait().expect("a child can be waited for");
        CmdResult::from(Output { status, stdout: out, stderr: err })
    }

    /// Calls `act` as soon as standard error contains the text.
    pub(crate) fn run_and_when_it_says(self, text: &str, act: impl FnOnce()) -> CmdResult {
        let (mut child, input) = self.start();
        let stderr = child.stderr.take().expect("it is piped");
        let mut said = String::new();
        let mut stderr = BufReader::new(stderr);
        while !said.contains(text) {
            let read = stderr.read_line(&mut said).expect("a pipe can be read");
            assert!(read > 0, "standard error never contained {text}: {said}");
        }
        act();
        let rest = read_in_background(Some(stderr));
        let mut done = CmdResult::of(child, &input);
        done.err = said + &String::from_utf8_lossy(&collected(&rest, 0));
        done
    }

    /// Starts it on a terminal of its own.
    pub(crate) fn on_terminal(mut self) -> OnTerminal {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let person = openpt(flags).expect("there are terminals");
        grantpt(&person).and_then(|()| unlockpt(&person)).expect("it can be unlocked");
        let name = ptsname(&person, Vec::new()).expect("it has a name");
        let program = OsStr::from_bytes(name.as_bytes());
        let mut options = fs::OpenOptions::new();
        let program = options.read(true).write(true).open(program).expect("it can be opened");
        let stream = || program.try_clone().expect("a terminal can be shared");
        self.command.stdin(stream()).stdout(stream()).stderr(stream());
        drop(program);
        let person = fs::File::from(person);
        let said = Lines::of(person.try_clone().expect("a terminal can be shared"));
        OnTerminal { child: self.start().0, person, said }
    }

    fn start(mut self) -> (Child, Vec<u8>) {
        let child = self.command.spawn().expect("the program should start");
        (child, self.input)
    }
}

fn read_in_background(
    stream: Option<impl std::io::Read + Send + 'static>,
) -> std::sync::mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            stream.read_to_end(&mut bytes).expect("a pipe can be read");
        }
        // A failed test has dropped the receiver.
        drop(sender.send(bytes));
    });
    receiver
}

fn collected(stream: &std::sync::mpsc::Receiver<Vec<u8>>, id: u32) -> Vec<u8> {
    match stream.recv_timeout(PATIENCE) {
        Ok(bytes) => bytes,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            signal(id, "KILL");
            panic!("the program hangs")
        }
    }
}

/// A program on a terminal, and a person in front of it.
pub(crate) struct OnTerminal {
    child: Child,
    person: fs::File,
    said: Lines,
}

impl OnTerminal {
    /// Types something, with `\n` for the return key.
    pub(crate) fn types(&mut self, text: &str) {
        self.person.write_all(text.as_bytes()).expect("a terminal takes what is typed");
    }

    /// Waits until that stands on the terminal.
    #[track_caller]
    pub(crate) fn waits_for(&self, text: &str) {
        self.said.wait_until(|said| said.text.contains(text));
    }

    /// Sends the program a signal.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits until the program has ended. What stood on the terminal counts as its output.
    #[track_caller]
    pub(crate) fn ends(mut self) -> CmdResult {
        let out = self.said.wait_until(|said| said.is_over);
        let status = self.child.wait().expect("a child can be waited for");
        CmdResult { code: status.code(), out, err: String::new() }
    }
}

/// What has come out of a terminal so far.
#[derive(Clone, Default)]
struct Lines(Arc<(Mutex<Said>, Condvar)>);

#[derive(Default)]
struct Said {
    text: String,
    is_over: bool,
}

impl Lines {
    fn of(mut terminal: fs::File) -> Self {
        let lines = Self::default();
        let here = lines.clone();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            loop {
                // It fails when the last program that had the terminal has ended.
                let read = terminal.read(&mut piece).unwrap_or(0);
                let (said, changed) = &*here.0;
                let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                said.text += &String::from_utf8_lossy(&piece[..read]);
                said.is_over = read == 0;
                changed.notify_all();
                if said.is_over {
                    return;
                }
            }
        });
        lines
    }

    /// Returns the output so far.
    #[track_caller]
    fn wait_until(&self, is_enough: impl Fn(&Said) -> bool) -> String {
        let (said, changed) = &*self.0;
        let said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |said: &mut Said| !is_enough(said) && !said.is_over;
        let (said, _) = changed
            .wait_timeout_while(said, PATIENCE, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(is_enough(&said), "the output never satisfied the condition: {}", said.text);
        said.text.clone()
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(id: u32, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(id.to_string()).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill -{name} {id}");
}

/// A running program, for whoever wants to do something to it from a tap.
#[derive(Clone, Default)]
pub(crate) struct ChildHandle(Arc<Mutex<Option<Child>>>);

impl ChildHandle {
    /// Kills it as the system would, and comes back when it is dead.
    pub(crate) fn kill(&self) {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(child) = place.as_mut() {
            child.kill().expect("a child can be killed");
            child.wait().expect("a child can be waited for");
        }
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        let place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        place.as_ref().expect("it is running").id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(child) = place.as_ref() {
            signal(child.id(), name);
        }
    }
}

/// A command that has come to its end.
#[derive(Debug)]
pub(crate) struct CmdResult {
    /// The exit code; `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The exit code, standard output and standard error, as snapshots show them. An empty stream is
/// left out.
impl fmt::Display for CmdResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => writeln!(f, "exit code {code}")?,
            None => writeln!(f, "ended by a signal")?,
        }
        for (name, text) in [("stdout", &self.out), ("stderr", &self.err)] {
            if !text.is_empty() {
                writeln!(f, "----- {name}")?;
            }
            text.lines().try_for_each(|line| writeln!(f, "{}", line.trim_end()))?;
        }
        Ok(())
    }
}

impl CmdResult {
    fn of(mut child: Child, input: &[u8]) -> Self {
        if let Some(mut stdin) = child.stdin.take() {
            // A program that refuses its input does not read it to its end.
            drop(stdin.write_all(input));
        }
        let id = child.id();
        let out = read_in_background(child.stdout.take());
        let err = read_in_background(child.stderr.take());
        let (stdout, stderr) = (collected(&out, id), collected(&err, id));
        let status = child.wait().expect("a child can be waited for");
        Self::from(Output { status, stdout, stderr })
    }

    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("the program writes UTF-8"),
            err: String::from_utf8(output.stderr).expect("the program writes UTF-8"),
        }
    }

    /// It ended with that exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\n{}\n{}", self.out, self.err);
        self
    }

    /// The line of standard output that begins with this label.
    #[track_caller]
    pub(crate) fn line(&self, label: &str) -> &str {
        let found = self.out.lines().find(|line| line.starts_with(label));
        found.unwrap_or_else(|| panic!("no line {label}\n{}\n{}", self.out, self.err))
    }

    /// Asserts that standard output or standard error contains the text. For prose, use
    /// [`assert_text`].
    #[track_caller]
    pub(crate) fn output_contains(self, text: &str) -> Self {
        let contains = self.out.contains(text) || self.err.contains(text);
        assert!(contains, "not in the output: {text}\n{}\n{}", self.out, self.err);
        self
    }
}

/// The directory of one run.
#[derive(Debug, Clone)]
pub(crate) struct RunFiles(pub(crate) PathBuf);

impl RunFiles {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn name(&self) -> String {
        self.0.display().to_string()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        let text = fs::read_to_string(self.0.join(name));
        text.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// `report.csv`, row by row.
    pub(crate) fn report(&self) -> Vec<Line> {
        lines(&self.text("report.csv"))
    }

    /// The line of one row.
    pub(crate) fn row(&self, number: u64) -> Line {
        let wanted = number.to_string();
        let found = self.report().into_iter().find(|line| line["row"] == wanted);
        found.expect("every row has a line")
    }

    /// The status of every row, in input order.
    pub(crate) fn statuses(&self) -> Vec<String> {
        self.report().into_iter().map(|line| line["status"].clone()).collect()
    }

    pub(crate) fn summary(&self) -> Value {
        serde_json::from_str(&self.text("summary.json")).expect("the summary is JSON")
    }

    /// Rows with that status, by the summary.
    pub(crate) fn count(&self, status: &str) -> u64 {
        self.summary()["rows"][status].as_u64().expect("every status is counted")
    }
}

/// One line of a CSV file, by its header.
pub(crate) type Line = BTreeMap<String, String>;

/// The lines of a CSV file.
pub(crate) fn lines(text: &str) -> Vec<Line> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(|line| line.expect("the file is CSV")).collect()
}

/// A sheet that tags each of these files with its own name.
pub(crate) fn tagging<S: AsRef<str>>(ids: &[S]) -> String {
    sheet("fileId,tags", ids.iter().map(|id| format!("{0},tag-{0}", id.as_ref())))
}

/// A sheet, from its header and its rows.
pub(crate) fn sheet(header: &str, rows: impl Iterator<Item = String>) -> String {
    let lines: Vec<String> = std::iter::once(header.to_owned()).chain(rows).collect();
    lines.join("\n") + "\n"
}

/// `count` file ids.
pub(crate) fn ids(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("file{index:03}")).collect()
}

/// The requests that reached a sandbox, in order.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    pub(crate) fn hook(&self) -> Hook {
        let seen = Arc::clone(&self.0);
        Hook::new(move |event| {
            if event.phase == Phase::Arrived {
                let line = format!("{} {}", event.method, event.path);
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        })
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Faults at chosen requests, counted from 1 after the list call that names the account.
pub(crate) fn script(script: Vec<(u64, Fault)>, config: Config) -> Config {
    let script = script.into_iter().map(|(n, fault)| (n.saturating_add(1), fault)).collect();
    Config { faults: Faults { script, ..Faults::default() }, ..config }
}

/// Faults by chance, always the same.
pub(crate) fn chance(random: Vec<(Fault, f64)>, config: Config) -> Config {
    Config { faults: Faults { random, seed: 7, ..Faults::default() }, ..config }
}

/// A response in the API's own form, the work not done.
pub(crate) fn status(code: u16, message: &str) -> Fault {
    let body = serde_json::json!({"message": message, "help": ""}).to_string();
    Fault::Status { code, body, content_type: "application/json".to_owned() }
}

/// Replaces in a snapshot what differs from run to run: each pattern by its text, in this order.
pub(crate) const FILTERS: &[(&str, &str)] = &[
    (r"[^\s'\x22=(]*/ikbulk-test-\w+", "[dir]"),
    // The sandbox of the test, or the built-in one of `--sandbox`.
    (r"http://127\.0\.0\.1:\d+", "[url]"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:[port]"),
    (r"\.ikbulk/\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ(-\d+)?", ".ikbulk/[time]"),
    // Log lines.
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[time]"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?( UTC)?", "[time]"),
    (r"\b\d\d:\d\d(:\d\d)?( UTC)?\b", "[time]"),
    // Measured times. What is computed from the plan ("6 s at 4.5 writes/s") stays.
    (r"\b(in|after|for) \d+(\.\d+)? (ms|s)\b", "$1 [seconds] s"),
    (r"\(os error \d+\)", "(os error [code])"),
    // Ids of requests.
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "[request]"),
    // Fingerprints of keys, and process ids.
    (r"\b[0-9a-f]{16}\b", "[key]"),
    (r"\b(process|pid) \d+( on \S+ \(ikbulk [^)]*\))?", "$1 [pid]"),
    (r"\bikbulk \d+\.\d+\.\d+", "ikbulk [version]"),
];

/// Compares a text for people with its snapshot in `snapshots/`, without what differs from run to
/// run (see [`FILTERS`]). The text is a [`CmdResult`], or anything else that can be displayed, such
/// as the sections of a [`Cases`]. To accept a rewording, run
/// `INSTA_UPDATE=always cargo test --test apply`, and review the snapshots that changed.
macro_rules! assert_text {
    ($name:expr, $text:expr) => {
        insta::with_settings!(
            { filters => $crate::harness::FILTERS.to_vec(), omit_expression => true },
            { insta::assert_snapshot!($name, $text.to_string()) }
        )
    };
    ($text:expr) => {
        insta::with_settings!(
            { filters => $crate::harness::FILTERS.to_vec(), omit_expression => true },
            { insta::assert_snapshot!($text.to_string()) }
        )
    };
}
pub(crate) use assert_text;

/// Several short texts that are reviewed together in one snapshot, each below its own heading.
#[derive(Default)]
pub(crate) struct Cases(String);

impl Cases {
    pub(crate) fn add(&mut self, heading: &str, text: impl fmt::Display) {
        let text = text.to_string();
        self.0 += &format!("## {heading}\n{}\n\n", text.trim_end());
    }

    /// Runs a command line, and adds what it prints.
    pub(crate) fn run(&mut self, env: &TestEnv, line: &str) {
        self.add(&format!("ikbulk {}", line.trim_end()), env.run(line));
    }
}

impl fmt::Display for Cases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
