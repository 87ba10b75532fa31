//! Commands as a person runs them: in a shell, with the output on a terminal of 100 columns.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tempfile::TempDir;

use crate::root;

/// The port of the sandbox in the pages; the tests use a free one in its place.
const SHOWN_PORT: &str = "127.0.0.1:8077";
/// No command of the pages takes longer.
const PATIENCE: Duration = Duration::from_mins(2);

/// A directory in which the commands of a page are run one after the other.
pub(crate) struct Session {
    directory: TempDir,
    exports: Vec<(String, String)>,
    sandbox: Option<Child>,
    /// The address of the sandbox that the page started.
    address: String,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(sandbox) = &mut self.sandbox {
            drop(sandbox.kill());
            drop(sandbox.wait());
        }
    }
}

impl Session {
    pub(crate) fn new() -> Self {
        let directory = TempDir::with_prefix("ikbulk-docs-").expect("a directory can be made");
        let fixtures = directory.path().join("fixtures");
        fs::create_dir(&fixtures).expect("the directory takes files");
        fs::copy(root().join("fixtures/retag.csv"), fixtures.join("retag.csv"))
            .expect("the fixture can be copied");
        Self { directory, exports: Vec::new(), sandbox: None, address: SHOWN_PORT.to_owned() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Runs a command line and returns what it printed, with the address that the pages show.
    pub(crate) fn run(&mut self, line: &str) -> String {
        let line = line.replace("cargo run --release -- ", "ikbulk ");
        let line = line.replace(SHOWN_PORT, &self.address);
        if let Some(assignments) = line.strip_prefix("export ") {
            for (name, value) in assignments.split(' ').filter_map(|word| word.split_once('=')) {
                self.exports.push((name.to_owned(), value.to_owned()));
            }
            return String::new();
        }
        let printed = match line.strip_suffix(" &") {
            Some(server) => self.start(server),
            None => self.shell(&line),
        };
        printed.replace(&self.address, SHOWN_PORT)
    }

    fn command(&self, program: &str) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_ikbulk"));
        let binaries = binary.parent().expect("the program is in a directory").display();
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", format!("{binaries}:/usr/local/bin:/usr/bin:/bin"))
            .env("HOME", self.directory.path().join("home"))
            .env("TZ", "UTC")
            .env("NO_COLOR", "1")
            .env("LC_ALL", "C")
            .envs(self.exports.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        command
    }

    fn shell(&self, line: &str) -> String {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let person = openpt(flags).expect("there are terminals");
        grantpt(&person).and_then(|()| unlockpt(&person)).expect("it can be unlocked");
        let name = ptsname(&person, Vec::new()).expect("it has a name");
        let name = name.into_string().expect("it is a path");
        let mut options = fs::OpenOptions::new();
        let program = options.read(true).write(true).open(name).expect("it can be opened");
        let errors = self.path().join(".stderr");
        let mut command = self.command("/bin/sh");
        command.args(["-c", line]).stdout(program);
        command.stderr(fs::File::create(&errors).expect("the directory takes files"));
        let mut child = command.spawn().expect("there is a shell");
        drop(command);
        let reader = thread::spawn(move || {
            let mut bytes = Vec::new();
            // Reading a terminal that has no writer any more fails; what came before is kept.
            drop(fs::File::from(person).read_to_end(&mut bytes));
            bytes
        });
        wait_until(line, || child.try_wait().expect("it is our child").is_some());
        let bytes = reader.join().expect("the output can be read");
        let mut printed = String::from_utf8(bytes).expect("it is text").replace("\r\n", "\n");
        let errors = fs::read_to_string(errors).expect("it is text");
        // Log lines begin with their time.
        let errors = errors.lines().filter(|line| !line.starts_with(|c: char| c.is_ascii_digit()));
        errors.for_each(|line| printed.push_str(&format!("{line}\n")));
        printed
    }

    /// Starts a sandbox, on a free port in place of the one that the page shows.
    fn start(&mut self, line: &str) -> String {
        let log = self.path().join(".sandbox");
        let words: Vec<&str> =
            line.split(' ').map(|word| if word == "8077" { "0" } else { word }).collect();
        assert_eq!(words[..2], ["ikbulk", "sandbox"], "only a sandbox runs in the background");
        let mut command = self.command(env!("CARGO_BIN_EXE_ikbulk"));
        command.args(&words[1..]).stdout(fs::File::create(&log).expect("it can be written"));
        self.sandbox = Some(command.spawn().expect("the program starts"));
        let mut printed = String::new();
        wait_until(line, || {
            printed = fs::read_to_string(&log).expect("it is text");
            printed.contains("Ctrl-C")
        });
        let address = printed.split("http://").nth(1).and_then(|it| it.lines().next());
        address.expect("it prints its endpoint").trim().clone_into(&mut self.address);
        printed
    }
}

/// Waits for real processes, whose time no test can pause.
#[expect(clippy::disallowed_methods, reason = "other processes are waited for")]
fn wait_until(line: &str, mut is_done: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_done() {
        assert!(since.elapsed() < PATIENCE, "{line} hangs");
        thread::sleep(Duration::from_millis(20));
    }
}
