//! `ikbulk sandbox`: the same sandbox, set up by flags.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use crate::client::{self, Reply};

/// The program as a server on a port of its own.
struct Served {
    child: Child,
    address: String,
}

fn command(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ikbulk"));
    command.args(["sandbox", "--port", "0", "--files", "10"]).args(flags);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Served {
    fn start(flags: &[&str]) -> Self {
        let mut child = command(flags).spawn().expect("the program should start");
        let mut said = BufReader::new(child.stdout.as_mut().expect("its output is piped"));
        let mut line = String::new();
        said.read_line(&mut line).expect("it should say where it listens");
        let (_, address) = line.trim().split_once("http://").expect("it should have an endpoint");
        Self { address: address.to_owned(), child }
    }

    fn get(&self, path: &str) -> Reply {
        client::reply(&self.raw(path).0)
    }

    /// Ends it in good order.
    fn interrupt(mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-INT", &id]).status().expect("there is a kill");
        self.child.wait().expect("it should end")
    }

    fn raw(&self, path: &str) -> (String, std::io::Result<()>) {
        client::receive(client::send_to(&self.address, &format!("GET {path}"), ""))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // No error: it may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What the program says when it does not start.
fn refused(flags: &[&str]) -> String {
    let Output { status, stderr, .. } = command(flags).output().expect("it should start");
    assert_eq!(status.code(), Some(2), "{flags:?}");
    String::from_utf8(stderr).expect("it speaks UTF-8")
}

#[test]
fn limits_are_set_by_flags() {
    let flags = ["--read-window", "2/15m", "--headers-always", "--neighbour", "1%"];
    let served = Served::start(&flags);
    let read = || served.get("/v1/files");
    assert_eq!(read().header("x-ratelimit-reset"), Some("0"));
    assert_eq!((read().status, read().status), (200, 429));
    assert_eq!(read().header("x-ratelimit-interval"), Some("900000"));
    assert!(refused(&["--window", "5/s"]).contains("write it like 1000/15m"));
    assert!(refused(&["--neighbour", "1%", "--no-limits"]).contains("--no-limits"));
}

#[test]
fn faults_are_set_by_flags() {
    let served = Served::start(&["--fault", "2:throttle=soon", "--fault", "4:reset-in-body"]);
    assert_eq!(served.get("/v1/files").status, 200);
    assert_eq!(served.get("/v1/files").header("x-ratelimit-reset"), Some("soon"));
    assert_eq!(served.get("/v1/files").status, 200);
    assert!(served.raw("/v1/files").1.is_err());
    let served = Served::start(&["--fault", "100%:page-502", "--fault-seed", "7"]);
    assert_eq!(served.get("/v1/files").header("content-type"), Some("text/html"));
    assert!(refused(&["--fault", "3:reset"]).contains("The faults are:"));
    assert!(refused(&["--fault", "60%:garbage", "--fault", "60%:expire"]).contains("1.2"));
}

#[test]
fn a_library_is_read_and_saved() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (first, second, broken) = (path("first.jsonl"), path("second.jsonl"), path("broken.jsonl"));
    fs::write(&first, "{\"fileId\": \"mine\", \"tags\": [\"a\"]}\n").unwrap();
    let served = Served::start(&["--library", &first, "--save", &second]);
    assert_eq!(served.get("/v1/files").json().as_array().unwrap().len(), 11);
    let library = served.get("/__sandbox/library").text;
    assert!(!fs::exists(&second).unwrap());
    assert_eq!(served.interrupt().code(), Some(0));
    assert_eq!(fs::read_to_string(&second).unwrap(), library);
    let served = Served::start(&["--library", &second, "--save", &second]);
    assert_eq!(served.get("/__sandbox/library").text, library);
    served.interrupt();
    assert_eq!(fs::read_to_string(&second).unwrap(), library);

    fs::write(&broken, "{\"fileId\": \"mine\"}\nfileId\n").unwrap();
    assert!(refused(&["--library", &broken]).contains("broken.jsonl: line 2 is no JSON object"));
    assert!(refused(&["--save", &path("none/at.jsonl")]).contains("cannot save to"));
}
