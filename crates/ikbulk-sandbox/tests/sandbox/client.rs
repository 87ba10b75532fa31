//! Requests to a sandbox in this process.

use std::io::{self, Write as _};
use std::net::TcpStream;

use ikbulk_sandbox::{Config, Library, Running, start};
use serde_json::{Value, json};

use crate::wire::{Response, connect_to, parse_response, receive, send_to};

impl Response {
    pub(crate) fn message(&self) -> String {
        let body = self.json();
        body["message"].as_str().expect("the body should have a message").to_owned()
    }
}

/// Two files: `f1` has a value in every field, `f2` in none.
pub(crate) fn library() -> Library {
    let mut library = Library::new();
    library.insert(json!({
        "fileId": "f1", "filePath": "/a/one.jpg", "tags": ["old", "sale"],
        "AITags": [{"name": "Shoe", "confidence": 90.5, "source": "aws-auto-tagging"},
                   {"name": "Bag", "confidence": 80.5, "source": "google-auto-tagging"}],
        "customCoordinates": "1,2,3,4", "customMetadata": {"brand": "Acme", "color": "red"},
        "description": "before", "createdAt": "2022-01-01T00:00:00.000Z",
    }));
    library.insert(json!({
        "fileId": "f2", "filePath": "/a/b/two.jpg", "tags": null, "customMetadata": {},
        "description": null, "createdAt": "2021-01-01T00:00:00.000Z",
    }));
    library
}

/// The library of two files, without rate limits.
pub(crate) fn config() -> Config {
    Config { library: library(), writes: Vec::new(), reads: Vec::new(), ..Config::default() }
}

pub(crate) fn start_sandbox(config: Config) -> Running {
    start(config).expect("the sandbox should start")
}

/// A connection without a request.
pub(crate) fn connect(running: &Running) -> TcpStream {
    connect_to(&running.base_url().replace("http://", ""))
}

/// Sends a request without waiting for the response.
pub(crate) fn send(running: &Running, head: &str, body: &str) -> TcpStream {
    send_to(&running.base_url().replace("http://", ""), head, body)
}

/// Sends a request. Returns the response's bytes, and how the connection ended.
pub(crate) fn raw(running: &Running, head: &str, body: &str) -> (String, io::Result<()>) {
    receive(send(running, head, body))
}

/// Sends a request with these headers and without the key.
pub(crate) fn request_with_headers(running: &Running, head: &str, headers: &str) -> Response {
    let mut stream = connect(running);
    let text = format!("{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(text.as_bytes()).expect("the sandbox should read the request");
    parse_response(&receive(stream).0)
}

/// Sends a request with the default key.
pub(crate) fn request(running: &Running, head: &str, body: &str) -> Response {
    let (text, end) = raw(running, head, body);
    end.expect("the connection should close cleanly");
    parse_response(&text)
}

pub(crate) fn get(running: &Running, path: &str) -> Response {
    request(running, &format!("GET {path}"), "")
}

pub(crate) fn post(running: &Running, path: &str, body: &Value) -> Response {
    request(running, &format!("POST {path}"), &body.to_string())
}

pub(crate) fn patch(running: &Running, id: &str, body: &Value) -> Response {
    request(running, &format!("PATCH /v1/files/{id}/details"), &body.to_string())
}
