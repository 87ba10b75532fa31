//! Faults of connections and headers, and responses that ImageKit never sends, from a server on plain
//! sockets that shares no code with the sandbox.

use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::harness::{
    Cases, CmdResult, TestEnv, assert_text, files, ids, script, sheet, status, tagged, tagging,
};

#[derive(Debug, Clone)]
struct Received {
    method: String,
    /// With its query.
    path: String,
    body: String,
}

impl Received {
    /// The file id in its path.
    fn file(&self) -> &str {
        self.path.split('/').nth(3).unwrap_or_default()
    }

    /// Whether it identifies the account, as the first request of each command does.
    fn is_about_account(&self) -> bool {
        self.path.starts_with("/v1/files?limit=1&skip=0&")
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// What the server sends back.
struct Response {
    /// The status line after the version, with further headers.
    head: String,
    body: String,
}

fn response(head: &str, body: &str) -> Response {
    Response { head: head.to_owned(), body: body.to_owned() }
}

/// A file as details and lists show it.
fn file(id: &str, tags: &[&str]) -> Value {
    json!({"fileId": id, "type": "file", "tags": tags})
}

/// A 200 in ImageKit's own form.
fn ok(body: &Value) -> Response {
    response("200 OK", &body.to_string())
}

/// What the server does with a connection after its first response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AfterResponse {
    /// Closes it, as the `Connection` header announces.
    Closes,
    /// Closes it without notice when the next request arrives.
    ClosesUnderTheNext,
}

/// A running server and the requests that it has received.
struct Server {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    /// Responds to every request but the one for the account, which finds an empty library.
    fn start(response: impl Fn(&Received) -> Response + Send + Sync + 'static) -> Self {
        Self::start_at_once(move |received| {
            if received.is_about_account() { ok(&json!([])) } else { response(received) }
        })
    }

    /// Responds to every request, including the one for the account.
    fn start_at_once(response: impl Fn(&Received) -> Response + Send + Sync + 'static) -> Self {
        Self::serve(AfterResponse::Closes, response)
    }

    fn serve(
        after: AfterResponse,
        response: impl Fn(&Received) -> Response + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let server = Self { address, received: Arc::clone(&received) };
        let response = Arc::new(response);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (response, received) = (Arc::clone(&response), Arc::clone(&received));
                std::thread::spawn(move || {
                    let response = |request: Received| {
                        received
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(request.clone());
                        response(&request)
                    };
                    // The client may have closed the connection.
                    drop(serve_one(&stream, after, response));
                });
            }
        });
        server
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve_one(
    mut stream: &TcpStream,
    after: AfterResponse,
    response: impl Fn(Received) -> Response,
) -> std::io::Result<()> {
    let Some(request) = read_request(&mut BufReader::new(stream))? else {
        return Ok(());
    };
    let Response { head, body } = response(request);
    let close = if after == AfterResponse::Closes { "Connection: close\r\n" } else { "" };
    let head = format!("HTTP/1.1 {head}\r\n{close}Content-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes())?;
    if after == AfterResponse::ClosesUnderTheNext {
        // Unread data turns the close into a reset.
        stream.peek(&mut [0])?;
    }
    Ok(())
}

fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<Received>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ').map(str::to_owned);
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default();
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? <= 2 {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("the client sends a number");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(Received { method, path, body }))
}

/// The responses of an ImageKit that does everything: a PATCH returns the file with its fields and
/// every extension as a success, a bulk call returns all of its files, and lists are empty.
fn imagekit(received: &Received) -> Response {
    let mut body = received.json();
    if received.method == "GET" && !received.path.contains("/details") {
        return ok(&json!([]));
    }
    if received.method == "POST" {
        return ok(&json!({"successfullyUpdatedFileIds": body["fileIds"]}));
    }
    let extensions = body["extensions"].as_array().cloned().unwrap_or_default();
    let status =
        |extension: &Value| Some((extension["name"].as_str()?.to_owned(), json!("success")));
    let statuses: serde_json::Map<String, Value> = extensions.iter().filter_map(status).collect();
    let mut file = json!({"fileId": received.file(), "type": "file"});
    if let (Some(file), Some(fields)) = (file.as_object_mut(), body.as_object_mut()) {
        fields.remove("extensions");
        file.append(fields);
        if !statuses.is_empty() {
            file.insert("extensionStatus".to_owned(), statuses.into());
        }
    }
    ok(&file)
}

/// An environment with a sheet of `rows` rows that each run a billed extension.
fn env_with_extensions(rows: usize) -> TestEnv {
    let env = TestEnv::new(files(["unused"]));
    let extension = r#""[{""name"":""google-auto-tagging"",""minConfidence"":80,""maxTags"":3}]""#;
    let rows = ids(rows).into_iter().map(|id| format!("{id},{extension}"));
    env.write("sheet.csv", sheet("fileId,extensions", rows));
    env
}

#[test]
fn idle_connection_close_makes_no_row_unknown() {
    let server = Server::serve(AfterResponse::ClosesUnderTheNext, imagekit);
    let env = env_with_extensions(2);
    env.apply(&format!("sheet.csv --concurrency 1 --endpoint {}", server.url())).exits(0);
    assert_eq!(env.only_run("sheet").count("updated"), 2);
    let billed = server.received().into_iter().filter(|received| received.method == "PATCH");
    let mut billed: Vec<String> = billed.map(|received| received.file().to_owned()).collect();
    billed.sort_unstable();
    assert_eq!(billed, ids(2), "each once");
}

#[test]
fn response_about_another_file_is_retried() {
    let swapped = AtomicUsize::new(2);
    let written = AtomicBool::new(false);
    let server = Server::start(move |received| {
        let is_written = written.fetch_or(received.method != "GET", SeqCst);
        let is_swapped = |left: usize| left.checked_sub(1);
        match (received.method.as_str(), received.file()) {
            ("GET", id) if swapped.fetch_update(SeqCst, SeqCst, is_swapped).is_ok() => {
                // As if it were up to date.
                let other = if id == "a" { "b" } else { "a" };
                ok(&file(other, &[&format!("tag-{other}")]))
            }
            ("GET", id) => ok(&if is_written { with_tag(id) } else { file(id, &[]) }),
            _ => imagekit(received),
        }
    });
    let env = TestEnv::new(files(["unused"]));
    env.write("sheet.csv", tagging(&["a", "b"]));
    let words = format!("apply sheet.csv --yes --rate unlimited --endpoint {}", server.url());
    env.run(&words).exits(0);
    assert_eq!(env.only_run("sheet").statuses(), ["updated", "updated"]);
}

#[test]
fn contradictory_bulk_response_counts_as_failed() {
    let server = Server::start(|received| {
        if received.method == "GET" {
            return imagekit(received);
        }
        let errors = json!([{"fileId": "a", "error": "Not this one."}]);
        let body = json!({"successfullyUpdatedFileIds": ["a", "b"], "errors": errors});
        response("207 Multi-Status", &body.to_string())
    });
    let env = TestEnv::new(files(["unused"]));
    env.write("sheet.csv", "fileId,addTags\na,new\nb,new\n");
    env.apply(&format!("sheet.csv --endpoint {}", server.url()))
        .exits(1)
        .output_contains("Not this one.");
    assert_eq!(env.only_run("sheet").statuses(), ["rejected", "updated"]);
}

/// Applies a sheet that tags `count` files at this server; returns the files that were updated.
fn updated_files(server: &Server, count: usize) -> Vec<String> {
    let env = TestEnv::new(files(["unused"]));
    env.write("sheet.csv", tagging(&ids(count)));
    let words = format!("apply sheet.csv --yes --rate unlimited --endpoint {}", server.url());
    env.run(&words).exits(0);
    let mut report = env.only_run("sheet").report();
    report.retain(|line| line["status"] == "updated");
    report.into_iter().map(|line| line["fileId"].clone()).collect()
}

/// Files without their tag, and outside the samples that are read again.
const UNTAGGED: [&str; 2] = ["file001", "file004"];

fn tagged_or_not(id: &str) -> Value {
    if UNTAGGED.contains(&id) { file(id, &[]) } else { with_tag(id) }
}

fn with_tag(id: &str) -> Value {
    file(id, &[&format!("tag-{id}")])
}

#[test]
fn contradictory_list_by_ids_is_not_trusted() {
    let written = AtomicBool::new(false);
    let server = Server::start(move |received| {
        let is_written = written.fetch_or(received.method != "GET", SeqCst);
        if received.path.contains("/details") {
            return ok(&if is_written {
                with_tag(received.file())
            } else {
                tagged_or_not(received.file())
            });
        } else if received.method != "GET" {
            return imagekit(received);
        }
        let is_asked_for = |id: &String| received.path.contains(&format!("%22{id}%22"));
        let (mut files, others): (Vec<String>, Vec<String>) =
            ids(120).into_iter().partition(is_asked_for);
        let [twice, elsewhere] = UNTAGGED;
        files.retain(|id| id != elsewhere);
        let mut list: Vec<Value> = files.iter().map(|id| tagged_or_not(id)).collect();
        if files.iter().any(|id| id == twice) {
            list.push(file(twice, &["tag-file001"]));
        }
        if others.iter().any(|id| id == elsewhere) {
            list.push(file(elsewhere, &["tag-file004"]));
        }
        ok(&list.into())
    });
    assert_eq!(updated_files(&server, 120), UNTAGGED);
}

#[test]
fn contradictory_list_pages_are_not_trusted() {
    let written = AtomicBool::new(false);
    let server = Server::start(move |received| {
        let is_written = written.fetch_or(received.method != "GET", SeqCst);
        if received.path.contains("/details") {
            return ok(&if is_written {
                with_tag(received.file())
            } else {
                tagged_or_not(received.file())
            });
        } else if received.method != "GET" {
            return imagekit(received);
        }
        let list: Vec<Value> = match received.path.split('&').find(|part| part.starts_with("skip="))
        {
            Some("skip=0") => ids(1000).iter().map(|id| tagged_or_not(id)).collect(),
            Some("skip=1000") => {
                UNTAGGED.iter().map(|id| file(id, &[&format!("tag-{id}")])).collect()
            }
            _ => Vec::new(),
        };
        ok(&list.into())
    });
    assert_eq!(updated_files(&server, 301), UNTAGGED);
}

/// The response of a proxy or a captive portal.
fn html_page(status: &str) -> Response {
    response(&format!("{status}\r\nContent-Type: text/html"), "<html>Please sign in</html>")
}

/// Applies a sheet with `--direct --down-max 1s` at this server.
fn apply_to(server: &Server, sheet: &str, words: &str) -> (TestEnv, CmdResult) {
    let env = TestEnv::new(files(["unused"]));
    env.write("sheet.csv", sheet);
    let words = format!("sheet.csv --down-max 1s --endpoint {} {words}", server.url());
    let done = env.apply_direct(&words);
    (env, done)
}

#[test]
fn captive_portal_page_stops_the_run() {
    let mut cases = Cases::default();
    for status in ["200 OK", "400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Gone"] {
        let server = Server::start(move |_| html_page(status));
        let (env, done) = apply_to(&server, &tagging(&ids(12)), "--attempts 1");
        cases.add(status, done.line("stopped"));
        done.exits(3).output_contains("Please sign in");
        assert_eq!(env.only_run("sheet").count("not_attempted"), 12, "{status}");
    }
    assert_text!(cases);
}

#[test]
fn html_page_does_not_satisfy_the_probe() {
    let server = Server::start(|received| match received.method.as_str() {
        "GET" => html_page("200 OK"),
        _ => response("503 Service Unavailable", ""),
    });
    let (env, done) = apply_to(&server, &tagging(&["a"]), "");
    done.exits(3);
    assert_eq!(env.only_run("sheet").statuses(), ["not_attempted"]);
}

#[test]
fn html_page_for_one_row_fails_that_row() {
    let server = Server::start(|received| match received.file() {
        "file001" if received.method == "PATCH" => html_page("403 Forbidden"),
        _ => imagekit(received),
    });
    let (env, done) = apply_to(&server, &tagging(&ids(3)), "--attempts 2");
    done.exits(5);
    assert_text!(env.only_run("sheet").row(3)["message"]);
    assert_eq!(env.only_run("sheet").statuses(), ["updated", "failed", "updated"]);
}

#[test]
fn not_found_response_does_not_satisfy_the_probe() {
    let server = Server::start(|received| match received.method.as_str() {
        "GET" => response("404 Not Found", r#"{"message":"No such resource.","help":""}"#),
        _ => html_page("404 Not Found"),
    });
    apply_to(&server, &tagging(&["a"]), "").1.exits(3).output_contains("No such resource.");
}

#[test]
fn html_response_to_publish_is_unknown() {
    let server = Server::start(|received| match received.method.as_str() {
        "PATCH" => html_page("403 Forbidden"),
        _ => imagekit(received),
    });
    let (env, done) = apply_to(&server, "fileId,isPublished\na,false\n", "");
    done.exits(6);
    assert_eq!(env.only_run("sheet").statuses(), ["unknown"]);
}

#[test]
fn outage_before_a_run_is_waited_out() {
    let unavailable = || status(503, "Try again.");
    let faults = (1..=4).map(|n| (n, unavailable())).collect();
    let env = tagged(2, |config| script(faults, config));
    env.run("apply sheet.csv --yes --attempts 1").exits(0);
    assert_eq!(env.only_run("sheet").count("updated"), 2);
}

#[test]
fn outage_longer_than_down_max_exits_3() {
    let server = Server::start_at_once(|_| html_page("200 OK"));
    let mut cases = Cases::default();
    let url = server.url();
    for (case, endpoint) in [("no server", "http://127.0.0.1:9"), ("html page", &url)] {
        let env = tagged(2, |config| config);
        env.write("paths.csv", "filePath,tags\n/a.jpg,new\n");
        env.write("fields.csv", "fileId,customMetadata.brand\na,Acme\n");
        for words in [
            "plan sheet.csv",
            "apply sheet.csv --yes",
            "apply sheet.csv --yes --direct",
            "apply paths.csv --yes --direct",
            "check fields.csv",
            "export -o all.csv",
        ] {
            let line = format!("{words} --down-max 300ms --endpoint {endpoint}");
            let done = env.run(&line).exits(3);
            let error = done.err.lines().last().unwrap_or_default();
            cases.add(&format!("{case}: {words}"), error);
        }
        assert!(!env.path("sheet.ikbulk").exists() && !env.path("all.csv").exists());
    }
    assert_text!(cases);
}

#[test]
fn rejected_key_exits_3() {
    let env = tagged(2, |config| config);
    for words in ["plan sheet.csv", "apply sheet.csv --yes --direct", "export -o all.csv"] {
        let call = env.command(&words.split(' ').collect::<Vec<_>>());
        call.env("IMAGEKIT_PRIVATE_KEY", "private_other").run().exits(3);
    }
}

#[test]
fn endless_429s_on_writes_stop_the_run() {
    let server = Server::start(|received| match received.method.as_str() {
        "GET" => imagekit(received),
        _ => response("429 Too Many Requests\r\nX-RateLimit-Reset: 20", r#"{"message":"Later."}"#),
    });
    let (env, done) = apply_to(&server, &tagging(&ids(3)), "");
    assert_text!(done.exits(3).line("stopped"));
    assert_eq!(env.only_run("sheet").count("not_attempted"), 3);
}

#[test]
fn endless_429s_on_reads_exit_3() {
    let reset = "429 Too Many Requests\r\nX-RateLimit-Reset: 20";
    let server = Server::start(move |_| response(reset, r#"{"message":"Later."}"#));
    let env = tagged(2, |config| config);
    let mut cases = Cases::default();
    for words in ["plan sheet.csv", "apply sheet.csv --yes", "export -o all.csv"] {
        let line = format!("{words} --down-max 1s --endpoint {}", server.url());
        let done = env.run(&line).exits(3);
        cases.add(words, done.err.lines().last().unwrap_or_default());
    }
    assert_text!(cases);
}

#[test]
fn endless_429s_on_conflict_checks_stop_the_run() {
    let planned = AtomicUsize::new(1);
    let server = Server::start(move |received| {
        match planned.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => ok(&file(received.file(), &[])),
            Err(_) => response(
                "429 Too Many Requests\r\nX-RateLimit-Reset: 20",
                r#"{"message":"Later."}"#,
            ),
        }
    });
    let env = TestEnv::new(files(["unused"]));
    env.write("sheet.csv", tagging(&["a"]));
    let endpoint = format!("--endpoint {}", server.url());
    env.run(&format!("plan sheet.csv {endpoint}")).exits(0);
    let run = env.only_run("sheet");
    let words = format!("apply --plan {} --yes --down-max 1s {endpoint}", run.name());
    assert_text!(env.run(&words).exits(3).line("stopped"));
    assert_eq!(run.statuses(), ["not_attempted"]);
}

#[test]
fn retry_after_of_503_is_honored() {
    let date = "Retry-After: Sun, 06 Nov 1994 08:49:39 GMT\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT";
    for header in ["Retry-After: 2", date] {
        let times = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&times);
        let server = Server::start(move |received| {
            if received.method != "PATCH" {
                return imagekit(received);
            }
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(SystemTime::now());
            if seen.len() > 1 {
                return imagekit(received);
            }
            response(&format!("503 Service Unavailable\r\n{header}"), r#"{"message":"Later."}"#)
        });
        let (_env, done) = apply_to(&server, &tagging(&["a"]), "");
        done.exits(0);
        let times = times.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let [first, second] = times[..] else { panic!("{times:?}") };
        let waited = second.duration_since(first).unwrap_or_default();
        assert!(waited >= Duration::from_millis(1990), "{header}: {waited:?}");
    }
}

#[test]
fn unknown_extension_status_is_unclear() {
    let cases = [
        (json!("SUCCESS"), 0, "", "success"),
        (json!("Failed"), 1, "extension_failed", "failed"),
        (json!(["failed"]), 1, "extension_unclear", "unclear"),
        (json!("done"), 1, "extension_unclear", "unclear"),
        // The response has no status at all.
        (Value::Null, 1, "extension_unclear", "unclear"),
    ];
    for (status, code, reason, count) in cases {
        let stated = status.clone();
        let server = Server::start(move |received| match received.method.as_str() {
            "PATCH" => {
                let mut file = file(received.file(), &[]);
                if !stated.is_null() {
                    file["extensionStatus"] = json!({"google-auto-tagging": stated});
                }
                ok(&file)
            }
            _ => ok(&file(received.file(), &[])),
        });
        let env = env_with_extensions(1);
        let words = format!("apply sheet.csv --yes --rate unlimited --endpoint {}", server.url());
        env.run(&words).exits(code);
        let run = env.only_run("sheet");
        let row = run.row(2);
        let told = (row["status"].as_str(), row["code"].as_str());
        assert_eq!(told, ("updated", reason), "{status}");
        let counted = &run.summary()["extensions"]["google-auto-tagging"][count];
        assert_eq!(counted, &json!(1), "{status}");
        // Whatever became of it, it is not charged again.
        env.run(&words);
        let patches =
            server.received().iter().filter(|received| received.method == "PATCH").count();
        assert_eq!(patches, 1, "{status}");
    }
}
