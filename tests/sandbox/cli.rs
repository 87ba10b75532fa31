//! `ikbulk sandbox`: the sandbox as a process, configured by flags.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use ikbulk_sandbox::synthetic_id;
use serde_json::{Value, json};

use crate::wire::{Response, parse_response, receive, send_to};

/// `ikbulk sandbox` as a child process on a free port.
struct SandboxProcess {
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

impl SandboxProcess {
    fn start(flags: &[&str]) -> Self {
        let mut child = command(flags).spawn().expect("ikbulk should start");
        let mut stdout = BufReader::new(child.stdout.as_mut().expect("stdout is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("ikbulk should print its endpoint");
        let (_, address) =
            line.trim().split_once("http://").expect("the first line should contain the endpoint");
        Self { address: address.to_owned(), child }
    }

    fn get(&self, path: &str) -> Response {
        self.request(&format!("GET {path}"), "")
    }

    fn patch(&self, body: &Value) -> Response {
        let file = synthetic_id(1, 0);
        self.request(&format!("PATCH /v1/files/{file}/details"), &body.to_string())
    }

    fn request(&self, head: &str, body: &str) -> Response {
        parse_response(&receive(send_to(&self.address, head, body)).0)
    }

    /// Stops the process with SIGINT.
    fn interrupt(mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-INT", &id]).status().expect("kill should run");
        self.child.wait().expect("ikbulk should exit")
    }

    fn raw(&self, path: &str) -> (String, std::io::Result<()>) {
        receive(send_to(&self.address, &format!("GET {path}"), ""))
    }
}

impl Drop for SandboxProcess {
    fn drop(&mut self) {
        // Fails if the process has already exited.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The error message of flags that are rejected at startup.
fn startup_error(flags: &[&str]) -> String {
    let Output { status, stderr, .. } = command(flags).output().expect("ikbulk should start");
    assert_eq!(status.code(), Some(2), "{flags:?}");
    String::from_utf8(stderr).expect("stderr should be UTF-8")
}

#[test]
fn flags_set_rate_limits() {
    let flags = ["--read-window", "2/15m", "--headers-always", "--background-load", "1%"];
    let sandbox = SandboxProcess::start(&flags);
    let read = || sandbox.get("/v1/files");
    assert_eq!(read().header("x-ratelimit-reset"), Some("0"));
    assert_eq!((read().status, read().status), (200, 429));
    assert_eq!(read().header("x-ratelimit-interval"), Some("900000"));
    assert!(startup_error(&["--window", "5/s"]).contains("such as 1000/15m"));
    assert!(startup_error(&["--background-load", "1%", "--no-limits"]).contains("--no-limits"));
}

#[test]
fn flags_inject_faults() {
    let sandbox =
        SandboxProcess::start(&["--fault", "2:throttle=soon", "--fault", "4:reset-in-body"]);
    assert_eq!(sandbox.get("/v1/files").status, 200);
    assert_eq!(sandbox.get("/v1/files").header("x-ratelimit-reset"), Some("soon"));
    assert_eq!(sandbox.get("/v1/files").status, 200);
    assert!(sandbox.raw("/v1/files").1.is_err());
    let sandbox = SandboxProcess::start(&["--fault", "100%:page-502", "--fault-seed", "7"]);
    assert_eq!(sandbox.get("/v1/files").header("content-type"), Some("text/html"));
    assert!(startup_error(&["--fault", "3:reset"]).contains("the faults are:"));
    assert!(startup_error(&["--fault", "60%:garbage", "--fault", "60%:expire"]).contains("1.2"));
}

#[test]
fn library_is_loaded_and_saved() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (first, second, broken) = (path("first.jsonl"), path("second.jsonl"), path("broken.jsonl"));
    fs::write(&first, "{\"fileId\": \"mine\", \"tags\": [\"a\"]}\n").unwrap();
    let sandbox = SandboxProcess::start(&["--library", &first, "--save", &second]);
    assert_eq!(sandbox.get("/v1/files").json().as_array().unwrap().len(), 11);
    sandbox.patch(&json!({"tags": ["changed"]}));
    let files = sandbox.get("/v1/files").json();
    assert!(!fs::exists(&second).unwrap());
    assert_eq!(sandbox.interrupt().code(), Some(0));
    let saved = fs::read_to_string(&second).unwrap();
    let ids = |text: &str| text.matches("\"fileId\"").count();
    assert_eq!(ids(&saved), 11);
    let flags = ["--files", "0", "--library", &second, "--save", &second];
    let sandbox = SandboxProcess::start(&flags);
    assert_eq!(sandbox.get("/v1/files").json(), files);
    sandbox.interrupt();
    assert_eq!(fs::read_to_string(&second).unwrap(), saved);

    fs::write(&broken, "{\"fileId\": \"mine\"}\nfileId\n").unwrap();
    assert!(
        startup_error(&["--library", &broken])
            .contains("broken.jsonl: line 2 is not a JSON object")
    );
    assert!(startup_error(&["--save", &path("none/at.jsonl")]).contains("cannot save to"));
}

#[test]
fn each_quirk_has_a_flag() {
    let patched = |flags: &[&str], body: Value| SandboxProcess::start(flags).patch(&body);
    let none = json!({"tags": []});
    assert_eq!(patched(&[], none.clone()).json()["tags"], Value::Null);
    assert_ne!(patched(&["--empty-tags", "ignore"], none.clone()).json()["tags"], Value::Null);
    assert_eq!(patched(&["--empty-tags", "refuse"], none).status, 400);

    let none = json!({"description": ""});
    assert_eq!(patched(&[], none.clone()).json()["description"], "");
    let cleared = patched(&["--empty-description", "clear"], none.clone()).json();
    assert_eq!(cleared.get("description"), None);
    assert_eq!(patched(&["--empty-description", "refuse"], none).status, 400);

    let long = json!({"tags": ["ä".repeat(300)]});
    assert_eq!(patched(&[], long.clone()).status, 200);
    assert_eq!(patched(&["--tag-length", "bytes"], long).status, 400);

    let set = json!({"customMetadata": {"price": 5}});
    let require = ["--require", "brand"];
    assert_eq!(patched(&require, set.clone()).status, 200);
    let given = [require.as_slice(), &["--required-fields", "given"]].concat();
    assert_eq!(patched(&given, set).status, 400);
    let unset = json!({"customMetadata": {"brand": null}});
    assert_eq!(patched(&require, unset.clone()).status, 400);
    let not_enforced = [require.as_slice(), &["--required-fields", "not-enforced"]].concat();
    assert_eq!(patched(&not_enforced, unset).status, 200);
    assert!(startup_error(&["--require", "none"]).contains("no custom metadata field none"));

    let describe = json!({"extensions": [{"name": "ai-auto-description"}]});
    assert_eq!(patched(&["--extension-limit", "1"], describe.clone()).status, 200);
    assert_eq!(patched(&["--extension-limit", "0"], describe).status, 400);

    let directory = tempfile::tempdir().unwrap();
    let library = directory.path().join("library.jsonl").to_str().unwrap().to_owned();
    let file = json!({"fileId": synthetic_id(1, 0), "customMetadata": {"brand": "Nike"},
        "selectedFieldsSchema": {"brand": {"type": "Text", "readOnly": true}}});
    fs::write(&library, file.to_string()).unwrap();
    let library = ["--library", &library];
    let same = json!({"customMetadata": {"brand": "Nike"}});
    assert_eq!(patched(&library, same.clone()).status, 200);
    let refuse_any = [library.as_slice(), &["--read-only-fields", "refuse-any"]].concat();
    assert_eq!(patched(&refuse_any, same).status, 400);

    let bulk = json!({"fileIds": ["gone"], "tags": ["x"]}).to_string();
    for (flags, missing) in
        [([].as_slice(), json!(["gone"])), (&["--missing-ids", "silent"], Value::Null)]
    {
        let response = SandboxProcess::start(flags).request("POST /v1/files/removeTags", &bulk);
        assert_eq!((response.status, &response.json()["missingFileIds"]), (404, &missing));
    }
    let sandbox = SandboxProcess::start(&["--skip-max", "5", "--url-max", "40"]);
    assert_eq!(sandbox.get("/v1/files?skip=5").status, 200);
    assert_eq!(sandbox.get("/v1/files?skip=6").status, 400);
    assert_eq!(sandbox.get("/v1/files?skip=00000000000000000000000000005").status, 414);
}

#[test]
fn flag_sets_extension_status() {
    let tagging = json!({"extensions": [
        {"name": "google-auto-tagging", "minConfidence": 0, "maxTags": 3},
    ]});
    for status in ["success", "pending", "failed"] {
        let sandbox = SandboxProcess::start(&["--extension-status", status]);
        let file = sandbox.patch(&tagging).json();
        assert_eq!(file["extensionStatus"], json!({"google-auto-tagging": status}));
    }
}

/// The process's peak resident memory in KiB.
#[cfg(target_os = "linux")]
fn memory_peak_kib(id: u32) -> u64 {
    let status =
        fs::read_to_string(format!("/proc/{id}/status")).expect("the process should be running");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak =
        peak.and_then(|peak| peak.trim().strip_suffix(" kB")).expect("VmHWM should be in kB");
    peak.parse().expect("VmHWM should be a number")
}

#[cfg(target_os = "linux")]
#[test]
fn million_files_start_fast_in_little_memory() {
    let start = Instant::now();
    let sandbox = SandboxProcess::start(&["--files", "1000000", "--no-limits"]);
    assert!(start.elapsed() < Duration::from_secs(3));
    let last = sandbox.get("/v1/files?limit=1&skip=999999").json();
    assert_eq!(last[0]["fileId"], synthetic_id(1, 999_999));
    // Orders that require looking at every file.
    for order in ["ASC_NAME", "DESC_UPDATED"] {
        let page = sandbox.get(&format!("/v1/files?sort={order}&limit=1000")).json();
        assert_eq!(page.as_array().unwrap().len(), 1000);
    }
    let peak = memory_peak_kib(sandbox.child.id());
    assert!(peak < 300_000, "{peak} KiB");
}
