//! A server that shares no code with the sandbox, byte by byte on plain sockets: what only a
//! connection or a header can do, and what no ImageKit would answer.

use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, PoisonError};

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::harness::{CmdResult, TestEnv, files, ids, script, sheet, status, tagged, tagging};

/// One request as it came in.
#[derive(Debug, Clone)]
struct Asked {
    method: String,
    /// With its query.
    path: String,
    body: String,
}

impl Asked {
    /// The file that its path names.
    fn file(&self) -> &str {
        self.path.split('/').nth(3).unwrap_or_default()
    }

    /// Whether it asks whose account it is, as each command does first.
    fn is_about_account(&self) -> bool {
        self.path.starts_with("/v1/files?limit=1&skip=0&")
    }

    /// Its body as JSON.
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// What it is answered: the status line with further headers, and the body.
struct Answer {
    head: String,
    body: String,
}

fn answer(head: &str, body: &str) -> Answer {
    Answer { head: head.to_owned(), body: body.to_owned() }
}

/// A file as details and lists show it.
fn file(id: &str, tags: &[&str]) -> Value {
    json!({"fileId": id, "type": "file", "tags": tags})
}

/// A 200 in ImageKit's own form.
fn ok(body: &Value) -> Answer {
    answer("200 OK", &body.to_string())
}

/// What becomes of a connection behind its first answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowProgress {
    /// It is closed, as the answer says.
    Closes,
    /// It is closed without notice at the moment at which the next request comes.
    ClosesUnderTheNext,
}

/// A server, and what it was asked.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers every request so; but whose account it is, an empty library does not say.
    fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_at_once(
            move |asked| {
                if asked.is_about_account() { ok(&json!([])) } else { answer(asked) }
            },
        )
    }

    /// Answers every request so, from the first one on.
    fn start_at_once(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::serve(RowProgress::Closes, answer)
    }

    fn serve(
        behind: RowProgress,
        answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let server = Self { address, asked: Arc::clone(&asked) };
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, asked) = (Arc::clone(&answer), Arc::clone(&asked));
                std::thread::spawn(move || {
                    let answer = |request: Asked| {
                        asked.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
                        answer(&request)
                    };
                    // A client that has gone needs no answer.
                    drop(serve_one(&stream, behind, answer));
                });
            }
        });
        server
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve_one(
    mut stream: &TcpStream,
    behind: RowProgress,
    answer: impl Fn(Asked) -> Answer,
) -> std::io::Result<()> {
    let Some(request) = read_request(&mut BufReader::new(stream))? else {
        return Ok(());
    };
    let Answer { head, body } = answer(request);
    let close = if behind == RowProgress::Closes { "Connection: close\r\n" } else { "" };
    let head = format!("HTTP/1.1 {head}\r\n{close}Content-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes())?;
    if behind == RowProgress::ClosesUnderTheNext {
        // What has come and is not read makes closing a reset.
        stream.peek(&mut [0])?;
    }
    Ok(())
}

fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<Asked>> {
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
    Ok(Some(Asked { method, path, body }))
}

/// What an ImageKit answers that does what it is asked: to a PATCH the file with its fields, and
/// every extension a success; to a bulk call all of its files; lists are empty.
fn imagekit(asked: &Asked) -> Answer {
    let mut body = asked.json();
    if asked.method == "GET" && !asked.path.contains("/details") {
        return ok(&json!([]));
    }
    if asked.method == "POST" {
        return ok(&json!({"successfullyUpdatedFileIds": body["fileIds"]}));
    }
    let extensions = body["extensions"].as_array().cloned().unwrap_or_default();
    let status =
        |extension: &Value| Some((extension["name"].as_str()?.to_owned(), json!("success")));
    let statuses: serde_json::Map<String, Value> = extensions.iter().filter_map(status).collect();
    let mut file = json!({"fileId": asked.file(), "type": "file"});
    if let (Some(file), Some(fields)) = (file.as_object_mut(), body.as_object_mut()) {
        fields.remove("extensions");
        file.append(fields);
        if !statuses.is_empty() {
            file.insert("extensionStatus".to_owned(), statuses.into());
        }
    }
    ok(&file)
}

/// A world with a sheet of `rows` rows that each run a billed extension.
fn tagging_world(rows: usize) -> TestEnv {
    let world = TestEnv::new(files(["unused"]));
    let extension = r#""[{""name"":""google-auto-tagging"",""minConfidence"":80,""maxTags"":3}]""#;
    let rows = ids(rows).into_iter().map(|id| format!("{id},{extension}"));
    world.write("sheet.csv", sheet("fileId,extensions", rows));
    world
}

#[test]
fn an_idle_connection_closed_under_a_billed_request_makes_no_row_unknown() {
    let server = Server::serve(RowProgress::ClosesUnderTheNext, imagekit);
    let world = tagging_world(2);
    world.apply_direct(&format!("sheet.csv --concurrency 1 --endpoint {}", server.url())).exits(0);
    assert_eq!(world.only_run("sheet").count("updated"), 2);
    let billed = server.asked().into_iter().filter(|asked| asked.method == "PATCH");
    let mut billed: Vec<String> = billed.map(|asked| asked.file().to_owned()).collect();
    billed.sort_unstable();
    assert_eq!(billed, ids(2), "each once");
}

#[test]
fn a_read_answered_about_another_file_is_read_again() {
    let swapped = AtomicUsize::new(2);
    let server = Server::start(move |asked| {
        let is_swapped = |left: usize| left.checked_sub(1);
        match (asked.method.as_str(), asked.file()) {
            ("GET", id) if swapped.fetch_update(SeqCst, SeqCst, is_swapped).is_ok() => {
                // As if it had been done already.
                let other = if id == "a" { "b" } else { "a" };
                ok(&file(other, &[&format!("tag-{other}")]))
            }
            ("GET", id) => ok(&file(id, &[])),
            _ => imagekit(asked),
        }
    });
    let world = TestEnv::new(files(["unused"]));
    world.write("sheet.csv", tagging(&["a", "b"]));
    let words = format!("apply sheet.csv --yes --rate unlimited --endpoint {}", server.url());
    world.run(&words).exits(0);
    assert_eq!(world.only_run("sheet").statuses(), ["updated", "updated"]);
}

#[test]
fn a_bulk_answer_that_names_a_file_as_updated_and_as_failed_counts_as_failed() {
    let server = Server::start(|_| {
        let errors = json!([{"fileId": "a", "error": "Not this one."}]);
        let body = json!({"successfullyUpdatedFileIds": ["a", "b"], "errors": errors});
        answer("207 Multi-Status", &body.to_string())
    });
    let world = TestEnv::new(files(["unused"]));
    world.write("sheet.csv", "fileId,addTags\na,new\nb,new\n");
    world
        .apply_direct(&format!("sheet.csv --endpoint {}", server.url()))
        .exits(1)
        .output_contains("Not this one.");
    assert_eq!(world.only_run("sheet").statuses(), ["rejected", "updated"]);
}

/// Applies a sheet that tags `count` files to what this server shows; gives the files of the rows
/// that were updated.
fn updated_at(server: &Server, count: usize) -> Vec<String> {
    let world = TestEnv::new(files(["unused"]));
    world.write("sheet.csv", tagging(&ids(count)));
    let words = format!("apply sheet.csv --yes --rate unlimited --endpoint {}", server.url());
    world.run(&words).exits(0);
    let mut report = world.only_run("sheet").report();
    report.retain(|line| line["status"] == "updated");
    report.into_iter().map(|line| line["fileId"].clone()).collect()
}

/// Files that are not tagged yet, and in none of the samples that are read again.
const UNTAGGED: [&str; 2] = ["file001", "file004"];

fn tagged_or_not(id: &str) -> Value {
    if UNTAGGED.contains(&id) { file(id, &[]) } else { file(id, &[&format!("tag-{id}")]) }
}

#[test]
fn a_list_by_ids_is_not_believed_of_other_files_nor_where_it_contradicts_itself() {
    let server = Server::start(|asked| {
        if asked.path.contains("/details") {
            return ok(&tagged_or_not(asked.file()));
        } else if asked.method != "GET" {
            return imagekit(asked);
        }
        let is_asked_for = |id: &String| asked.path.contains(&format!("%22{id}%22"));
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
    assert_eq!(updated_at(&server, 120), UNTAGGED);
}

#[test]
fn pages_that_contradict_each_other_are_not_believed() {
    let server = Server::start(|asked| {
        if asked.path.contains("/details") {
            return ok(&tagged_or_not(asked.file()));
        } else if asked.method != "GET" {
            return imagekit(asked);
        }
        let list: Vec<Value> = match asked.path.split('&').find(|part| part.starts_with("skip=")) {
            Some("skip=0") => ids(1000).iter().map(|id| tagged_or_not(id)).collect(),
            Some("skip=1000") => {
                UNTAGGED.iter().map(|id| file(id, &[&format!("tag-{id}")])).collect()
            }
            _ => Vec::new(),
        };
        ok(&list.into())
    });
    assert_eq!(updated_at(&server, 301), UNTAGGED);
}

/// What a proxy or a captive portal answers.
fn page(status: &str) -> Answer {
    answer(&format!("{status}\r\nContent-Type: text/html"), "<html>Please sign in</html>")
}

/// Applies a sheet to this server, with an outage of at most a second.
fn applied_to(server: &Server, sheet: &str, words: &str) -> (TestEnv, CmdResult) {
    let world = TestEnv::new(files(["unused"]));
    world.write("sheet.csv", sheet);
    let words = format!("sheet.csv --down-max 1s --endpoint {} {words}", server.url());
    let done = world.apply_direct(&words);
    (world, done)
}

#[test]
fn a_proxys_page_or_captive_portal_ends_the_run_and_its_rows_stay_open() {
    for status in ["200 OK", "400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Gone"] {
        let server = Server::start(move |_| page(status));
        let (world, done) = applied_to(&server, &tagging(&ids(12)), "--attempts 1");
        done.exits(3)
            .output_contains("ImageKit was out of reach")
            .output_contains("Please sign in");
        assert_eq!(world.only_run("sheet").count("not_attempted"), 12, "{status}");
    }
}

#[test]
fn a_page_that_answers_the_probe_does_not_count_as_back() {
    let server = Server::start(|asked| match asked.method.as_str() {
        "GET" => page("200 OK"),
        _ => answer("503 Service Unavailable", ""),
    });
    let (world, done) = applied_to(&server, &tagging(&["a"]), "");
    done.exits(3);
    assert_eq!(world.only_run("sheet").statuses(), ["not_attempted"]);
}

#[test]
fn a_page_for_one_row_alone_fails_it_and_stops_nothing() {
    let server = Server::start(|asked| match asked.file() {
        "file001" if asked.method == "PATCH" => page("403 Forbidden"),
        _ => imagekit(asked),
    });
    let (world, done) = applied_to(&server, &tagging(&ids(3)), "--attempts 2");
    done.exits(5)
        .output_contains("the answer is not ImageKit's: 403 Forbidden <html>Please sign in</html>");
    assert_eq!(world.only_run("sheet").statuses(), ["updated", "failed", "updated"]);
}

#[test]
fn an_endpoint_with_a_wrong_path_does_not_count_as_back() {
    let server = Server::start(|asked| match asked.method.as_str() {
        "GET" => answer("404 Not Found", r#"{"message":"No such resource.","help":""}"#),
        _ => page("404 Not Found"),
    });
    applied_to(&server, &tagging(&["a"]), "").1.exits(3).output_contains("No such resource.");
}

#[test]
fn a_page_that_answers_a_publication_leaves_it_unknown() {
    let server = Server::start(|asked| match asked.method.as_str() {
        "PATCH" => page("403 Forbidden"),
        _ => imagekit(asked),
    });
    let (world, done) = applied_to(&server, "fileId,isPublished\na,false\n", "");
    done.exits(6);
    assert_eq!(world.only_run("sheet").statuses(), ["unknown"]);
}

#[test]
fn an_outage_before_a_run_is_waited_out() {
    let unavailable = || status(503, "Try again.");
    let faults = (1..=4).map(|n| (n, unavailable())).collect();
    let world = tagged(2, |config| script(faults, config));
    world
        .run("apply sheet.csv --yes --attempts 1")
        .exits(0)
        .output_contains("until --down-max is over");
    assert_eq!(world.only_run("sheet").count("updated"), 2);
}

#[test]
fn an_outage_before_a_run_that_lasts_for_down_max_is_exit_3() {
    let server = Server::start_at_once(|_| page("200 OK"));
    for endpoint in ["http://127.0.0.1:9", server.url().as_str()] {
        let world = tagged(2, |config| config);
        world.write("paths.csv", "filePath,tags\n/a.jpg,new\n");
        world.write("fields.csv", "fileId,customMetadata.brand\na,Acme\n");
        for words in [
            "plan sheet.csv",
            "apply sheet.csv --yes",
            "apply sheet.csv --yes --direct",
            "apply paths.csv --yes --direct",
            "check fields.csv",
            "export -o all.csv",
        ] {
            let words = format!("{words} --down-max 300ms --endpoint {endpoint}");
            let done = world.run(&words).exits(3).output_contains("cannot read the ");
            done.output_contains("check the network and --endpoint");
        }
        assert!(!world.path("sheet.ikbulk").exists() && !world.path("all.csv").exists());
    }
}

#[test]
fn a_bad_key_before_a_run_is_exit_3() {
    let world = tagged(2, |config| config);
    for words in ["plan sheet.csv", "apply sheet.csv --yes --direct", "export -o all.csv"] {
        let words: Vec<&str> = words.split(' ').collect();
        let call = world.command(&words).env("IMAGEKIT_PRIVATE_KEY", "private_other");
        call.run().exits(3).output_contains("check the key in IMAGEKIT_PRIVATE_KEY");
    }
}

#[test]
fn writes_answered_by_nothing_but_429s_end_the_run_and_its_rows_stay_open() {
    let server = Server::start(|asked| match asked.method.as_str() {
        "GET" => imagekit(asked),
        _ => answer("429 Too Many Requests\r\nX-RateLimit-Reset: 20", r#"{"message":"Later."}"#),
    });
    let (world, done) = applied_to(&server, &tagging(&ids(3)), "");
    done.exits(3)
        .output_contains("ImageKit answered 429 (too many requests) and nothing else for 1 s");
    assert_eq!(world.only_run("sheet").count("not_attempted"), 3);
}

#[test]
fn reads_answered_by_nothing_but_429s_are_exit_3() {
    let reset = "429 Too Many Requests\r\nX-RateLimit-Reset: 20";
    let server = Server::start(move |_| answer(reset, r#"{"message":"Later."}"#));
    let world = tagged(2, |config| config);
    for words in ["plan sheet.csv", "apply sheet.csv --yes", "export -o all.csv"] {
        let words = format!("{words} --down-max 1s --endpoint {}", server.url());
        world.run(&words).exits(3).output_contains("what else uses up the account's limit");
    }
}

#[test]
fn looks_before_a_saved_plan_answered_by_nothing_but_429s_end_the_run() {
    let planned = AtomicUsize::new(1);
    let server = Server::start(move |asked| {
        match planned.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => ok(&file(asked.file(), &[])),
            Err(_) => {
                answer("429 Too Many Requests\r\nX-RateLimit-Reset: 20", r#"{"message":"Later."}"#)
            }
        }
    });
    let world = TestEnv::new(files(["unused"]));
    world.write("sheet.csv", tagging(&["a"]));
    let endpoint = format!("--endpoint {}", server.url());
    world.run(&format!("plan sheet.csv {endpoint}")).exits(0);
    let run = world.only_run("sheet");
    let words = format!("apply --plan {} --yes --down-max 1s {endpoint}", run.name());
    world.run(&words).exits(3).output_contains("ImageKit answered 429");
    assert_eq!(run.statuses(), ["not_attempted"]);
}

#[test]
fn retry_after_on_a_503_is_kept_whether_seconds_or_a_date() {
    let date = "Retry-After: Sun, 06 Nov 1994 08:49:39 GMT\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT";
    for header in ["Retry-After: 2", date] {
        let times = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&times);
        let server = Server::start(move |asked| {
            if asked.method != "PATCH" {
                return imagekit(asked);
            }
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(SystemTime::now());
            if seen.len() > 1 {
                return imagekit(asked);
            }
            answer(&format!("503 Service Unavailable\r\n{header}"), r#"{"message":"Later."}"#)
        });
        let (_world, done) = applied_to(&server, &tagging(&["a"]), "");
        done.exits(0);
        let times = times.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let [first, second] = times[..] else { panic!("{times:?}") };
        let waited = second.duration_since(first).unwrap_or_default();
        assert!(waited >= Duration::from_millis(1990), "{header}: {waited:?}");
    }
}

#[test]
fn an_extension_status_that_is_no_known_word_is_neither_good_nor_failed() {
    let cases = [
        (json!("SUCCESS"), 0, "", "success", 1),
        (json!("Failed"), 1, "extension_failed", "failed", 2),
        (json!(["failed"]), 1, "extension_unclear", "unclear", 1),
        (json!("done"), 1, "extension_unclear", "unclear", 1),
    ];
    for (status, code, reason, count, charged) in cases {
        let stated = status.clone();
        let server = Server::start(move |asked| match asked.method.as_str() {
            "PATCH" => {
                let mut file = file(asked.file(), &[]);
                file["extensionStatus"] = json!({"google-auto-tagging": stated});
                ok(&file)
            }
            _ => ok(&file(asked.file(), &[])),
        });
        let world = tagging_world(1);
        let words = format!("apply sheet.csv --yes --rate unlimited --endpoint {}", server.url());
        world.run(&words).exits(code);
        let run = world.only_run("sheet");
        let row = run.row(2);
        let told = (row["status"].as_str(), row["code"].as_str());
        assert_eq!(told, ("updated", reason), "{status}");
        let counted = &run.summary()["extensions"]["google-auto-tagging"][count];
        assert_eq!(counted, &json!(1), "{status}");
        // What may have run is not charged again.
        world.run(&words);
        let patches = server.asked().iter().filter(|asked| asked.method == "PATCH").count();
        assert_eq!(patches, charged, "{status}");
    }
}
