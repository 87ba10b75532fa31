//! A minimal HTTP client: one request per connection, responses as raw bytes.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// `Authorization` value of the sandbox's default key.
pub(crate) const KEY: &str = "Basic cHJpdmF0ZV9zYW5kYm94Og==";

pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    pub(crate) text: String,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line = |line: &'_ str| line.split_once(": ").map(|(name, _)| name.to_lowercase());
        let found = self.head.lines().find(|text| line(text).as_deref() == Some(name))?;
        found.split_once(": ").map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("the body should be JSON")
    }
}

pub(crate) fn connect_to(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the sandbox should listen");
    let limit = Some(Duration::from_mins(1));
    stream.set_read_timeout(limit).expect("the timeout should be settable");
    stream
}

pub(crate) fn send_to(address: &str, head: &str, body: &str) -> TcpStream {
    let mut stream = connect_to(address);
    let length = body.len();
    let text = format!(
        "{head} HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).expect("the sandbox should read the request");
    stream
}

/// The response's bytes, and how the connection ended.
pub(crate) fn receive(mut stream: TcpStream) -> (String, io::Result<()>) {
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes).map(drop);
    (String::from_utf8_lossy(&bytes).into_owned(), end)
}

pub(crate) fn parse_response(text: &str) -> Response {
    let (head, body) = text.split_once("\r\n\r\n").expect("the response should have a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Response {
        status: status.expect("the response should have a status"),
        head: head.to_owned(),
        text: body.to_owned(),
    }
}
