//! Malicious responses, byte by byte, which the sandbox would not send.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use serde_json::json;

use crate::harness::{CmdResult, TestEnv, files, tagging};

/// A server that responds to every request with these bytes and closes the connection, except that
/// the list call for the account returns an empty library.
fn answering(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer = answer.into();
    let server = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = server.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in server.incoming().flatten() {
            // A client that was killed has gone.
            drop(answer_one(&stream, &answer));
        }
    });
    address
}

fn answer_one(mut stream: &TcpStream, answer: &[u8]) -> std::io::Result<()> {
    let mut request = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    request.read_line(&mut line)?;
    let asks_for_account = line.starts_with("GET /v1/files?limit=1&skip=0&");
    line.clear();
    while request.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("reqwest sends a number");
        }
        line.clear();
    }
    request.read_exact(&mut vec![0; length])?;
    let empty = self::answer("200 OK", "[]");
    stream.write_all(if asks_for_account { empty.as_bytes() } else { answer })
}

fn answer(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A sheet of one row applied there.
fn applied(server: SocketAddr, sheet: &str, flags: &str) -> (TestEnv, CmdResult) {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", sheet);
    let done = env.apply_direct(&format!("sheet.csv --endpoint http://{server} {flags}"));
    (env, done)
}

#[test]
fn redirects_are_not_followed() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    target.set_nonblocking(true).unwrap();
    let there = target.local_addr().unwrap();
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        let here = answering(answer(&format!("{status}\r\nLocation: http://{there}/"), ""));
        let read_before = "fileId,isPublished\na,false\n";
        for sheet in [tagging(&["a"]).as_str(), read_before] {
            let (env, done) = applied(here, sheet, "--down-max 1s");
            done.exits(3).output_contains(&status[..3]);
            assert_eq!(env.only_run("sheet").statuses(), ["not_attempted"]);
        }
        let fields = "fileId,customMetadata.brand\na,Acme\n";
        applied(here, fields, "--down-max 1s").1.exits(3);
    }
    assert_eq!(target.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// No control character, and no formula for a spreadsheet program.
#[track_caller]
fn is_harmless(text: &str) {
    let is_order = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    assert!(!text.contains(is_order), "{text:?}");
    for line in crate::harness::lines(text) {
        for (column, cell) in line {
            assert!(!cell.starts_with(['=', '+', '-', '@']), "{column}: {cell}");
        }
    }
}

#[test]
fn response_text_is_sanitized() {
    let says = "=HYPERLINK(\"x\")\u{1b}[2J\u{1b}]0;owned\u{7}\r\n\u{9b}31m\u{202e}drow";
    let body = json!({"message": says, "help": says}).to_string();
    let page = format!("<h1>{says}</h1>");
    for (body, code) in [(&body, 1), (&page, 3)] {
        let head = "400 Bad Request\r\nx-ik-requestid: =1+1";
        let here = answering(answer(head, body));
        let (env, done) = applied(here, &tagging(&["a"]), "-vv --down-max 1s");
        let done = done.exits(code).output_contains("HYPERLINK");
        let run = env.only_run("sheet");
        let terminal = done.out + &done.err;
        assert!(!terminal.contains(|c: char| c.is_control() && c != '\n'), "{terminal:?}");
        assert!(!terminal.lines().any(|line| line.contains("drow") && !line.contains("HYPER")));
        is_harmless(&run.text("report.csv"));
        if code == 1 {
            is_harmless(&run.text("failed.csv"));
            assert_eq!(run.row(2)["requestId"], "'=1+1");
            assert!(run.row(2)["message"].contains("HYPERLINK"));
        }
    }
}

#[test]
fn extension_names_and_statuses_are_sanitized() {
    let file = json!({
        "fileId": "a", "type": "file", "tags": ["tag-a"], "updatedAt": "=1\u{1b}[2J",
        "extensionStatus": {"=remove\u{1b}[2J": "@success\u{1b}[2J"},
    });
    let here = answering(answer("200 OK", &file.to_string()));
    let (env, done) = applied(here, &tagging(&["a"]), "-vv");
    let done = done.exits(1);
    let terminal = done.out + &done.err;
    assert!(!terminal.contains(|c: char| c.is_control() && c != '\n'), "{terminal:?}");
    let run = env.only_run("sheet");
    let extensions = run.summary()["extensions"].clone();
    let counts: Vec<_> = extensions.as_object().expect("it counts them").values().collect();
    assert_eq!(counts.iter().map(|counts| &counts["unclear"]).collect::<Vec<_>>(), [1]);
    let report = run.text("report.csv");
    is_harmless(&report);
    assert!(report.starts_with("row,") && report.contains("extensionStatus.=remove\\u{1b}[2J"));
}

#[test]
fn odd_request_ids_are_truncated_or_dropped() {
    let long = "x".repeat(60_000);
    for (id, kept) in [(long.as_str(), "x".repeat(100)), ("größe", String::new())] {
        let head = format!("400 Bad Request\r\nx-ik-requestid: {id}");
        let (env, done) =
            applied(answering(answer(&head, "{\"message\":\"No.\"}")), &tagging(&["a"]), "");
        done.exits(1);
        assert_eq!(env.only_run("sheet").row(2)["requestId"], kept);
    }
}

#[test]
fn malformed_http_is_a_lost_response() {
    let endless = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-filler: y\r\n".repeat(100_000));
    let split = "HTTP/1.1 400 Bad\r\nx-ik-requestid: a\r\rHTTP/1.1 200 OK\r\n\r\n";
    let answers = [
        endless.as_str(),
        split,
        "HTTP/1.1 200 OK\r\nx-ik-requestid: \u{1b}[2J\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
        "\u{1b}[2J\u{7}",
        "",
    ];
    for answer in answers {
        let (env, done) = applied(answering(answer), &tagging(&["a"]), "--down-max 1s -vv");
        let done = done.exits(3);
        let terminal = done.out + &done.err;
        assert!(!terminal.contains(|c: char| c.is_control() && c != '\n'), "{terminal:?}");
        assert_eq!(env.only_run("sheet").statuses(), ["not_attempted"]);
    }
}
