//! `ikbulk sandbox`: the same sandbox, set up by flags.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use ikbulk::sandbox::synthetic_id;
use serde_json::{Value, json};

use crate::client::{self, Reply};

/// The program as a server on a port of its own.
struct Served {
    child: Child,
    address: String,
}

fn command(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ikbulk"));
    let files = if flags.contains(&"--files") { [].as_slice() } else { &["--files", "10"] };
    command.args(["sandbox", "--port", "0"]).args(files).args(flags);
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
        self.ask(&format!("GET {path}"), "")
    }

    fn patch(&self, body: &Value) -> Reply {
        let file = synthetic_id(1, 0);
        self.ask(&format!("PATCH /v1/files/{file}/details"), &body.to_string())
    }

    fn ask(&self, head: &str, body: &str) -> Reply {
        client::reply(&client::receive(client::send_to(&self.address, head, body)).0)
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
    let flags = ["--read-window", "2/15m", "--headers-always", "--background-load", "1%"];
    let served = Served::start(&flags);
    let read = || served.get("/v1/files");
    assert_eq!(read().header("x-ratelimit-reset"), Some("0"));
    assert_eq!((read().status, read().status), (200, 429));
    assert_eq!(read().header("x-ratelimit-interval"), Some("900000"));
    assert!(refused(&["--window", "5/s"]).contains("write it like 1000/15m"));
    assert!(refused(&["--background-load", "1%", "--no-limits"]).contains("--no-limits"));
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

#[test]
fn every_open_question_is_answered_by_a_flag() {
    let asked = |flags: &[&str], body: Value| Served::start(flags).patch(&body);
    let none = json!({"tags": []});
    assert_eq!(asked(&[], none.clone()).json()["tags"], Value::Null);
    assert_ne!(asked(&["--empty-tags", "ignore"], none.clone()).json()["tags"], Value::Null);
    assert_eq!(asked(&["--empty-tags", "refuse"], none).status, 400);

    let none = json!({"description": ""});
    assert_eq!(asked(&[], none.clone()).json()["description"], "");
    let cleared = asked(&["--empty-description", "clear"], none.clone()).json();
    assert_eq!(cleared.get("description"), None);
    assert_eq!(asked(&["--empty-description", "refuse"], none).status, 400);

    let long = json!({"tags": ["ä".repeat(300)]});
    assert_eq!(asked(&[], long.clone()).status, 200);
    assert_eq!(asked(&["--tag-length", "bytes"], long).status, 400);

    let set = json!({"customMetadata": {"price": 5}});
    let require = ["--require", "brand"];
    assert_eq!(asked(&require, set.clone()).status, 200);
    let given = [require.as_slice(), &["--required-fields", "given"]].concat();
    assert_eq!(asked(&given, set).status, 400);
    let unset = json!({"customMetadata": {"brand": null}});
    assert_eq!(asked(&require, unset.clone()).status, 400);
    let not_enforced = [require.as_slice(), &["--required-fields", "not-enforced"]].concat();
    assert_eq!(asked(&not_enforced, unset).status, 200);
    assert!(refused(&["--require", "none"]).contains("no custom metadata field none"));

    let bulk = json!({"fileIds": ["gone"], "tags": ["x"]}).to_string();
    for (flags, named) in
        [([].as_slice(), json!(["gone"])), (&["--missing-ids", "silent"], Value::Null)]
    {
        let reply = Served::start(flags).ask("POST /v1/files/removeTags", &bulk);
        assert_eq!((reply.status, &reply.json()["missingFileIds"]), (404, &named));
    }
    let served = Served::start(&["--skip-max", "5", "--url-max", "40"]);
    assert_eq!(served.get("/v1/files?skip=5").status, 200);
    assert_eq!(served.get("/v1/files?skip=6").status, 400);
    assert_eq!(served.get("/v1/files?skip=00000000000000000000000000005").status, 414);
}

#[test]
fn extensions_end_as_the_flags_say() {
    let tagging = json!({"extensions": [
        {"name": "google-auto-tagging", "minConfidence": 0, "maxTags": 3},
    ]});
    for status in ["success", "pending", "failed"] {
        let served = Served::start(&["--extension-status", status]);
        let told = served.patch(&tagging).json();
        assert_eq!(told["extensionStatus"], json!({"google-auto-tagging": status}));
    }
}

/// The most memory that the process has had so far, in KiB.
#[cfg(target_os = "linux")]
fn memory_peak_kib(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB")).expect("Linux says it");
    peak.parse().expect("it is a number")
}

#[cfg(target_os = "linux")]
#[test]
fn a_million_files_take_neither_time_nor_memory() {
    let began = Instant::now();
    let served = Served::start(&["--files", "1000000", "--no-limits"]);
    assert!(began.elapsed() < Duration::from_secs(3));
    let last = served.get("/v1/files?limit=1&skip=999999").json();
    assert_eq!(last[0]["fileId"], synthetic_id(1, 999_999));
    // The orders in which all files have to be looked at.
    for order in ["ASC_NAME", "DESC_UPDATED"] {
        let page = served.get(&format!("/v1/files?sort={order}&limit=1000")).json();
        assert_eq!(page.as_array().unwrap().len(), 1000);
    }
    let peak = memory_peak_kib(served.child.id());
    assert!(peak < 300_000, "{peak} KiB");
}
